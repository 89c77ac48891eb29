"""Whole synthetic studies as hospitals hand them out, with the true role of every phase known.

A `Study` says in plain values which habits of scanners it follows and what went wrong with it;
`write` makes the files, `outcome` opens them and compares what is read with the truth. Every phase
carries its true place in time in the brightness of one corner, which no reader looks at.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from dicom_files import ROOT, STUDY, slice_dataset
from hypothesis import strategies as st
from pydicom.config import disable_value_validation
from pydicom.uid import generate_uid

from napari_breastseg import formats
from napari_breastseg.core.errors import InputError

SHAPE = (6, 24, 24)
CORNER = 5000
"""Brightness of the corner of the phase before contrast; each later one is 1 more."""

AGENTS = ("in the posts", "in no header", "in every header")
CLOCKS = ("acquisition time", "content time", "temporal position", "trigger time", "none", "copied")
WORDS = ("the same", "numbered", "pre and post", "none")
SERIES = ("a series each", "one series")
TROUBLES = {
    "pre was not exported": "the phase before contrast is not there",
    "pre lost a slice": "one of its files is missing in the middle",
    "pre lost its last slice": "one of its files is missing at the end",
    "pre lies a hundredth off": "its positions differ by 0.01 mm",
    "pre lies half a voxel off": "its positions differ by half a voxel",
    "pre has another TR": "by 15 %",
    "pre has another flip angle": "by a fifth",
    "pre is called a subtraction": "the description says 't1 pre for sub'",
    "pre is in another frame": "its frame of reference is another one",
    "post1 lost a slice": "one of its files is missing in the middle",
    "post1 has another TR": "by 15 %",
    "last post lost a slice": "one of its files is missing in the middle",
    "posts are marked derived": "the pre is ORIGINAL",
    "all are marked derived": "as Dixon water images",
    "clock runs backwards": "temporal positions count against the acquisition times",
    "positions jitter": "by 0.02 mm from phase to phase",
    "slices are there twice": "under other UIDs, with the same pixels",
    "a UID per slice": "every file has a series UID of its own",
    "one UID for all": "every file has the same SOP instance UID",
    "no group 2": "files without meta information",
    "another patient": "a second patient under the same study UID",
    "another visit": "a second date under the same study UID",
    "another day": "a second visit under the same study UID and date, acquired on another day",
    "an earlier T1": "without fat suppression, another TR, before the dynamic",
    "a later T1": "the same, after the dynamic",
    "a second pre": "the same protocol once more, before contrast",
    "a T2": "spin echo",
    "a diffusion": "echo planar",
    "a localizer": "by image type",
    "subtractions": "by image type",
    "unmarked subtractions": "derived, with times of the posts",
    "an ultrafast series": "12 times of 4 s, other grid",
    "a late high-resolution T1": "another grid, with contrast agent",
    "brightness of posts interchanged with pre": "headers say otherwise than pixels",
}
"""What may be wrong with a study, or be there besides, and how."""


@dataclass(frozen=True)
class Study:
    """One study: habits and troubles."""

    posts: int = 3
    agent: str = AGENTS[0]
    clock: str = CLOCKS[0]
    words: str = WORDS[1]
    series: str = SERIES[0]
    step_s: int = 90
    first_number: int = 4
    troubles: tuple[str, ...] = ()

    @property
    def is_plain(self) -> bool:
        """Whether nothing is wrong with it and its headers tell everything."""
        has_time = self.clock not in ("none", "copied") or self.series == SERIES[0]
        return not self.troubles and self.clock != "copied" and has_time


def studies() -> st.SearchStrategy[Study]:
    """Any habits, with up to three troubles."""
    return st.builds(
        Study,
        posts=st.integers(1, 5),
        agent=st.sampled_from(AGENTS),
        clock=st.sampled_from(CLOCKS),
        words=st.sampled_from(WORDS),
        series=st.sampled_from(SERIES),
        step_s=st.sampled_from((45, 60, 90, 120)),
        first_number=st.integers(2, 40),
        troubles=st.lists(st.sampled_from(list(TROUBLES)), max_size=3, unique=True).map(tuple),
    )


def pixels(place: int, *, gain: float | None = None, seed: int = 0) -> np.ndarray:
    """A phase: body, gland that goes on rising and blood that washes out, uint16 (Z, Y, X).

    `place` is 0 before contrast; `gain` overrides how much blood rises.
    """
    rng = np.random.default_rng(seed * 31 + place)
    _, y, x = np.indices(SHAPE)
    body = np.where((y - 12) ** 2 + (x - 12) ** 2 < 100, 400.0, 15.0)
    blood = ((y - 7) ** 2 + (x - 9) ** 2 < 8) | ((y - 8) ** 2 + (x - 16) ** 2 < 5)
    gland = (y - 16) ** 2 + (x - 12) ** 2 < 16
    risen = (1.6 - 0.15 * place) * (place > 0) if gain is None else gain
    rise = risen * blood + (0.35 + 0.04 * place) * gland * (risen > 0)
    data = (body * (1 + rise) * (1 + 0.02 * rng.standard_normal(SHAPE))).clip(0)
    data[0, 0, 0] = CORNER + place
    return data.astype(np.uint16)


def write(folder: Path, study: Study) -> None:
    """Write the files of a study."""
    has = study.troubles.__contains__
    for place in range(study.posts + 1):
        if place == 0 and has("pre was not exported"):
            continue
        write_phase(folder, study, place)
    others = {
        "another patient": {"PatientID": "P2"},
        "another visit": {"StudyDate": "20240309"},
        "another day": {"AcquisitionDate": "20240309"},
    }
    if other := next((own for trouble, own in others.items() if has(trouble)), None):
        for place in range(study.posts + 1):
            write_phase(folder / "other", study, place, offset=100, own=other)
    number = study.first_number
    again = number + 200
    t1 = {"RepetitionTime": 7.0, "EchoTime": 2.3, "SeriesDescription": "t1 tra"}
    se = {"ScanningSequence": "SE", "EchoTime": 90.0, "SeriesDescription": "t2 tse tra"}
    agent = {} if study.agent == AGENTS[1] else {"ContrastBolusAgent": "Gd"}
    extras: dict[str, tuple[int, float, dict[str, Any]]] = {
        "an earlier T1": (number - 1, -600, t1),
        "a later T1": (again + 1, 1200, t1),
        "a second pre": (number - 1, -300, {}),
        "a T2": (number - 1, -500, se),
        "a diffusion": (again + 3, 900, {"ScanningSequence": "EP", "SeriesDescription": "ep2d"}),
        "a localizer": (1, -900, {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}),
        "a late high-resolution T1": (again + 5, 800, {"PixelSpacing": [0.4, 0.4]} | agent),
    }
    for trouble, (own_number, seconds, elements) in extras.items():
        if has(trouble):
            data = pixels(0, seed=9)
            # Where no other was exported, a second pre is the phase before contrast.
            is_pre = trouble == "a second pre" and has("pre was not exported")
            data[0, 0, 0] = CORNER if is_pre else 90
            timed = _clock(study, seconds, None)
            write_stack(folder / f"s{own_number}", data, own_number, elements | timed)
    for place in range(1, study.posts + 1):
        sub = pixels(place, seed=5)
        sub[0, 0, 0] = 91
        timed = _clock(study, place * study.step_s, None)
        if has("subtractions"):
            kind = {"ImageType": ["DERIVED", "PRIMARY", "M", "SUB"]}
            write_stack(folder / "sub", sub, again + 20 + place, kind | timed | agent)
        if has("unmarked subtractions"):
            kind = {"ImageType": ["DERIVED", "PRIMARY", "M"], "SeriesDescription": f"diff {place}"}
            write_stack(folder / "diff", sub, again + 40 + place, kind | timed | agent)
    if has("an ultrafast series"):
        for t in range(12):
            fast = pixels(0, gain=0.2 * max(t - 4, 0), seed=7)
            fast[0, 0, 0] = 92
            timed = {"AcquisitionTime": _time(4.0 * t), "TemporalPositionIdentifier": t + 1}
            kind = {"RepetitionTime": 3.0, "PixelSpacing": [1.4, 1.4]} | agent
            write_stack(folder / f"fast{t}", fast[:4], again + 60, kind | timed)


def write_phase(
    folder: Path,
    study: Study,
    place: int,
    *,
    offset: int = 0,
    own: dict[str, Any] | None = None,
) -> None:
    """Write the phase at a place in time, with what is wrong with it."""
    has = study.troubles.__contains__
    number = study.first_number + (place if study.series == SERIES[0] else 0)
    elements: dict[str, Any] = {"PatientID": "P1"}
    elements |= {"StudyDate": "20240307", "AcquisitionDate": "20240307"}
    elements |= _clock(study, place * study.step_s - (200 if place == 0 else 0), place)
    elements["SeriesDescription"] = {
        "the same": "t1 fl3d dyn",
        "numbered": f"t1 fl3d dyn {place + 1}",
        "pre and post": f"t1 dyn post {place}" if place else "t1 dyn pre",
        "none": None,
    }[study.words if study.series == SERIES[0] else "the same"]
    if (study.agent == AGENTS[0] and place) or study.agent == AGENTS[2]:
        elements["ContrastBolusAgent"] = "Gd"
    names = {0: "pre", 1: "post1"}
    name = names.get(place, "")
    last = place == study.posts
    if name and has(f"{name} has another TR"):
        elements["RepetitionTime"] = 4.1 * 1.15
    if place == 0 and has("pre has another flip angle"):
        elements["FlipAngle"] = 12 * 1.2
    if place == 0 and has("pre is called a subtraction"):
        elements["SeriesDescription"] = "t1 pre for sub"
    if place == 0 and has("pre is in another frame"):
        elements["FrameOfReferenceUID"] = "1.2.3.4"
    if (place and has("posts are marked derived")) or has("all are marked derived"):
        elements["ImageType"] = ["DERIVED", "PRIMARY", "W", "W"]
    if has("clock runs backwards"):
        elements["TemporalPositionIdentifier"] = study.posts + 1 - place
        elements["AcquisitionTime"] = _time(place * study.step_s)
    shift = 0.0
    if place == 0 and has("pre lies a hundredth off"):
        shift = 0.01
    if place == 0 and has("pre lies half a voxel off"):
        shift = 0.4
    jitter = 0.02 * (place % 2) if has("positions jitter") else 0.0
    gain = None
    if has("brightness of posts interchanged with pre"):
        gain = 0.0 if place else 1.4
    data = pixels(place, gain=gain)
    missing = []
    if name and has(f"{name} lost a slice"):
        missing = [2]
    if last and place and has("last post lost a slice"):
        missing = [2]
    if place == 0 and has("pre lost its last slice"):
        missing = [SHAPE[0] - 1]
    elements |= own or {}
    write_stack(
        folder / f"s{number + offset}_{place}",
        data,
        number,
        elements,
        place=place,
        shift=(shift, jitter),
        missing=missing,
        study=study,
        uid=f"{number}.{offset}",
    )


def write_stack(
    folder: Path,
    data: np.ndarray,
    number: int,
    elements: dict[str, Any],
    *,
    place: int = 0,
    shift: tuple[float, float] = (0.0, 0.0),
    missing: list[int] | None = None,
    study: Study | None = None,
    uid: str | None = None,
) -> None:
    """Write the slices of one stack, of 0.8 x 0.8 x 2 mm."""
    has = study.troubles.__contains__ if study is not None else ().__contains__
    folder.mkdir(parents=True, exist_ok=True)
    for z, plane in enumerate(data):
        if z in (missing or []):
            continue
        values: dict[str, Any] = {
            "SeriesInstanceUID": f"{STUDY}.{uid or number}",
            "SeriesNumber": number,
            "InstanceNumber": place * len(data) + z + 1,
            "PixelSpacing": [0.8, 0.8],
            "FrameOfReferenceUID": STUDY + ".7",
        } | elements
        if has("a UID per slice"):
            values["SeriesInstanceUID"] += f".{place}.{z}"
        if has("one UID for all"):
            values["SOPInstanceUID"] = STUDY + ".5"
        position = (-10.0 + shift[0], -20.0, 30.0 + 2.0 * z + shift[1] * (z % 2))
        copies = 2 if has("slices are there twice") and z == 1 else 1
        for copy in range(copies):
            if copy:
                values["SOPInstanceUID"] = generate_uid(prefix=ROOT)
            with disable_value_validation():
                dataset = slice_dataset(plane, position, **values)
            path = folder / f"{z}_{copy}.dcm"
            if has("no group 2"):
                from pydicom import Dataset

                Dataset(dataset).save_as(path, implicit_vr=True, little_endian=True)
            else:
                dataset.save_as(path, enforce_file_format=True)


def _clock(study: Study, seconds: float, place: int | None) -> dict[str, Any]:
    """What the headers of a stack say about its time; `place` is None for what is no phase."""
    if study.clock == "acquisition time":
        return {"AcquisitionTime": _time(seconds)}
    if study.clock == "content time":
        return {"ContentTime": _time(seconds)}
    if study.clock == "copied":
        return {"AcquisitionTime": _time(0)}
    if study.clock == "none" or place is None:
        return {}
    if study.clock == "temporal position":
        return {"TemporalPositionIdentifier": place + 1}
    return {"TriggerTime": 1000.0 * (seconds + 300)}


def _time(seconds: float) -> str:
    whole = 36_000 + round(seconds)
    return f"{whole // 3600:02d}{whole // 60 % 60:02d}{whole % 60:02d}"


def outcome(folder: Path) -> str:
    """How the files of a study are read: "right", "asks", or "WRONG" and what."""
    return outcome_and_reason(folder)[0]


def outcome_and_reason(folder: Path) -> tuple[str, str]:
    """The outcome, and the first question or refusal; a refusal that says why counts as one."""
    reasons = []
    try:
        cases = formats.find_cases(folder)
    except InputError as error:
        return "asks", str(error)
    for case in cases:
        try:
            exam = formats.read_exam(case)
        except InputError as error:
            reasons.append(str(error))
            continue
        for role, volume in exam.phases.items():
            true = int(volume.data[0, 0, 0]) - CORNER
            named = "pre" if true == 0 else f"post{true}"
            if role != named:
                shown = named if true >= 0 else "no phase"
                return f"WRONG: {shown} read as {role}", ""
    return ("asks", reasons[0]) if reasons else ("right", "")
