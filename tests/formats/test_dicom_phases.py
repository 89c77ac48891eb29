"""Which series is which phase: one reading without a contradiction, or a question.

Each exam is written with the true roles in its brightness: 1 pre, 2 post1, 3 post2, ... thousands.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_files import levels, voxels, write_enhanced, write_series
from pydicom import dcmread

from napari_breastseg import formats
from napari_breastseg.core.errors import InputError
from napari_breastseg.formats import PhasesDoubted

AGENT = {"ContrastBolusAgent": "Gd"}


def write_dynamic(
    folder: Path, *, own: dict[int, dict[str, Any]] | None = None, n: int = 4
) -> Path:
    """Series 4 (pre) and the posts 5, 6, 7, two minutes apart; `own` elements by series number."""
    for place in range(n):
        elements = {"AcquisitionTime": f"10{2 * place:02d}00"} | (AGENT if place else {})
        elements |= (own or {}).get(4 + place, {})
        write_series(folder, 4 + place, 1000 * (place + 1), **elements)
    return folder


def told(folder: Path) -> list[str]:
    (case,) = formats.find_cases(folder)
    return [progress.message for progress in formats.reading_exam(case) if progress.message]


SHIFT = {"position": lambda z: (-9.97, -20.0, 30.0 + 2 * z)}
FAR = {"position": lambda z: (-9.8, -20.0, 30.0 + 2 * z)}
GAP = {"position": lambda z: (-10.0, -20.0, 30.0 + 2 * z + 2 * (z > 1))}


@pytest.mark.parametrize("number", [4, 5])
def test_a_series_a_few_hundredths_of_a_voxel_off_is_a_phase(tmp_path: Path, number: int) -> None:
    exam = formats.open_exam(write_dynamic(tmp_path, own={number: SHIFT}))
    assert levels(exam) == {"pre": 1, "post1": 2, "post2": 3, "post3": 4}


@pytest.mark.parametrize(
    ("elements", "why", "proposal"),
    [
        (FAR, "another grid than the dynamic series", "post1=5,post2=6,post3=7"),
        (GAP, r"not readable: 4 mm between slices 2 and 3", "post1=5,post2=6,post3=7"),
        ({"count": 3}, r"another grid .*: 3 x 6 x 5 voxels", "post1=5,post2=6,post3=7"),
        ({"RepetitionTime": 5.2}, "another repetition time", "pre=4,post1=5,post2=6,post3=7"),
        ({"FlipAngle": 15}, "another flip angle", "pre=4,post1=5,post2=6,post3=7"),
        ({"EchoTime": 1.7}, "another echo time", "pre=4,post1=5,post2=6,post3=7"),
        (
            {"SeriesDescription": "t1 pre for sub"},
            "a subtraction, computed from the phases, by its description",
            "pre=4,post1=5,post2=6,post3=7",
        ),
        (
            {"ImageType": ["DERIVED", "PRIMARY", "M"]},
            "derived from other images",
            "pre=4,post1=5,post2=6,post3=7",
        ),
        (
            {"FrameOfReferenceUID": "1.2.3"},
            "another frame of reference",
            "pre=4,post1=5,post2=6,post3=7",
        ),
    ],
)
def test_without_its_pre_no_post_is_called_pre(
    tmp_path: Path, elements: dict[str, Any], why: str, proposal: str
) -> None:
    same = {number: {"FrameOfReferenceUID": "1.2.9"} for number in (4, 5, 6, 7)}
    same[4] = same[4] | elements
    write_dynamic(tmp_path, own=same)
    message = rf"found series 4 left out \({why}.*the phase before contrast.*--phases {proposal}\."
    with pytest.raises(InputError, match=message):
        formats.open_exam(tmp_path)
    answered = formats.open_exam(tmp_path, phases=proposal.split(","))
    wanted = {"pre": 1, "post1": 2, "post2": 3, "post3": 4}
    assert levels(answered) == {role: wanted[role] for role in answered.phases}
    assert len(answered.phases) == proposal.count("=")


def test_no_post_is_counted_wrongly_where_one_is_lost(tmp_path: Path) -> None:
    write_dynamic(tmp_path, own={5: GAP})
    message = r"series 5 left out .* a phase after contrast\. .*--phases pre=4,post2=6,post3=7"
    with pytest.raises(InputError, match=message):
        formats.open_exam(tmp_path)
    answered = formats.open_exam(tmp_path, phases=["pre=4", "post2=6", "post3=7"])
    assert levels(answered) == {"pre": 1, "post2": 3, "post3": 4}


def test_a_last_phase_that_is_lost_is_told(tmp_path: Path) -> None:
    write_dynamic(tmp_path, own={7: GAP})
    assert levels(formats.open_exam(tmp_path)) == {"pre": 1, "post1": 2, "post2": 3}
    (words,) = told(tmp_path)
    assert "Series 7 is left out. Expected evenly spaced slices in series 7" in words


def test_headers_without_an_agent_leave_it_open_which_phase_was_lost(tmp_path: Path) -> None:
    plain: dict[str, Any] = {"ContrastBolusAgent": None}
    own = {number: dict(plain) for number in (5, 6, 7)} | {4: {"RepetitionTime": 5.2}}
    with pytest.raises(InputError, match=r"series 4 left out .* the phase before contrast"):
        formats.open_exam(write_dynamic(tmp_path / "a", own=own))
    own = {number: dict(plain) for number in (5, 6, 7)}
    own[6] |= GAP
    with pytest.raises(InputError, match=r"series 6 left out .* may be a phase in between"):
        formats.open_exam(write_dynamic(tmp_path / "b", own=own))


def test_a_plain_t1_beside_a_whole_dynamic_is_told_and_asks_nothing(tmp_path: Path) -> None:
    write_dynamic(tmp_path)
    write_series(tmp_path, 3, 9000, AcquisitionTime="095000", RepetitionTime=7.0)
    assert levels(formats.open_exam(tmp_path)) == {"pre": 1, "post1": 2, "post2": 3, "post3": 4}
    where = "Series 3 is left out: another repetition time than the dynamic series: 7 ms, not 4.1"
    assert told(tmp_path) == [f"{tmp_path.name}: {where}"]


def test_dixon_water_is_the_dynamic_though_derived(tmp_path: Path) -> None:
    water = {"ImageType": ["DERIVED", "PRIMARY", "W", "W", "DERIVED"]}
    write_dynamic(tmp_path, own=dict.fromkeys((4, 5, 6, 7), water))
    write_series(tmp_path, 3, 9000, AcquisitionTime="095000", RepetitionTime=7.0)
    assert levels(formats.open_exam(tmp_path)) == {"pre": 1, "post1": 2, "post2": 3, "post3": 4}


def test_posts_marked_derived_beside_an_original_pre_are_asked(tmp_path: Path) -> None:
    derived = {"ImageType": ["DERIVED", "PRIMARY", "OTHER"]}
    write_dynamic(tmp_path, own=dict.fromkeys((5, 6, 7), derived))
    message = (
        r"series 5, series 6, series 7 left out \(derived from other images\), which may be a "
        r"phase after contrast.*--phases pre=4,post1=5,post2=6,post3=7"
    )
    with pytest.raises(InputError, match=message):
        formats.open_exam(tmp_path)


def test_copies_computed_from_the_phases_ask_nothing(tmp_path: Path) -> None:
    write_dynamic(tmp_path)
    derived = {"ImageType": ["DERIVED", "PRIMARY", "M"]} | AGENT
    for place in (1, 2, 3):
        time = f"10{2 * place:02d}00"
        write_series(tmp_path, 40 + place, 9000, AcquisitionTime=time, **derived)
    assert levels(formats.open_exam(tmp_path)) == {"pre": 1, "post1": 2, "post2": 3, "post3": 4}


def write_ultrafast(folder: Path, **elements: Any) -> None:
    for place in range(12):
        level = 1000 + 300 * max(place - 3, 0)
        own = {"AcquisitionTime": f"1000{5 * place:02d}", "TemporalPositionIdentifier": place + 1}
        write_series(folder / str(place), 10, level, count=5, **(own | elements))


@pytest.mark.parametrize("agent", [{}, AGENT], ids=["no agent named", "agent typed in all"])
def test_an_ultrafast_series_beside_the_standard_one_is_asked(
    tmp_path: Path, agent: dict[str, Any]
) -> None:
    own = {number: {"ContrastBolusAgent": None} | agent for number in (4, 5, 6, 7)}
    write_dynamic(tmp_path, own=own)
    write_ultrafast(tmp_path, **agent)
    message = (
        r"one dynamic series; found 2 that could be it.*--phases pre=4,post1=5,post2=6,post3=7"
    )
    with pytest.raises(InputError, match=message):
        formats.open_exam(tmp_path)


def test_headers_that_tell_contrast_win_over_more_phases_that_do_not(tmp_path: Path) -> None:
    write_dynamic(tmp_path)
    write_ultrafast(tmp_path)
    assert levels(formats.open_exam(tmp_path)) == {"pre": 1, "post1": 2, "post2": 3, "post3": 4}


def test_contrast_that_comes_late_is_asked_with_the_phases_it_lies_between(tmp_path: Path) -> None:
    write_ultrafast(tmp_path)
    message = r"no contrast before post4: post1 looks like pre\. .*--phases pre=10.4,post1=10.5,pos"
    with pytest.raises(PhasesDoubted, match=message) as caught:
        formats.open_exam(tmp_path)
    asked = caught.value.exam
    assert [row.proposed for row in asked.rows][:6] == [None, None, None, "pre", "post1", "post2"]
    with pytest.raises(InputError, match="no contrast before post4"):
        formats.read_exam(formats.dicom_case(asked))


def test_an_agent_in_every_header_is_believed_where_the_pixels_rise_like_blood(
    tmp_path: Path,
) -> None:
    write_dynamic(tmp_path / "exam", own={4: AGENT})
    assert levels(formats.open_exam(tmp_path / "exam"))["pre"] == 1
    for place in range(3):
        time = f"10{2 * place:02d}00"
        write_series(
            tmp_path / "posts", 5 + place, 2000 + 500 * place, AcquisitionTime=time, **AGENT
        )
    message = r"in every header, of the first one too.*after contrast: --phases post1=5,post2=6,pos"
    with pytest.raises(PhasesDoubted, match=message):
        formats.open_exam(tmp_path / "posts")
    told = {"ContrastBolusStartTime": "095900"}
    for place in range(2):
        time = f"10{2 * place:02d}00"
        write_series(tmp_path / "given", 5 + place, 2000, AcquisitionTime=time, **AGENT, **told)
    assert list(formats.open_exam(tmp_path / "given").phases) == ["post1", "post2"]


@pytest.mark.parametrize("is_chosen", [False, True])
def test_phases_in_the_wrong_order_are_asked_and_told_where_chosen(
    tmp_path: Path, is_chosen: bool
) -> None:
    write_series(tmp_path, 4, 3000, AcquisitionTime="100000")
    write_series(tmp_path, 5, 1000, AcquisitionTime="100200")
    write_series(tmp_path, 6, 2000, AcquisitionTime="100400")
    against = "all other phases brighter than post1, as if that were the one before contrast"
    if not is_chosen:
        way = r"--phases pre=5,post1=4,post2=6, or --phases pre=4,post1=5,post2=6 if the order is"
        with pytest.raises(InputError, match=f"found {against}.*{way}"):
            formats.open_exam(tmp_path)
        return
    (case,) = formats.find_cases(tmp_path, phases=["pre=4", "post1=5", "post2=6"])
    told = [progress.message for progress in formats.reading_exam(case) if progress.message]
    assert told == [f"{case.case_id}: {against}"]


@pytest.mark.parametrize(
    ("own", "message"),
    [
        (
            {4: {"SeriesDescription": "dyn post 2"}, 6: {"SeriesDescription": "dyn pre"}},
            r"series 4 in the place of pre, after contrast by its name",
        ),
        ({7: {"AcquisitionTime": "163000"}}, r"6.4 hours between two phases"),
    ],
)
def test_words_and_long_pauses_are_contradictions(
    tmp_path: Path, own: dict[int, dict[str, Any]], message: str
) -> None:
    plain = {number: {"ContrastBolusAgent": None} for number in (4, 5, 6, 7)}
    for number, elements in own.items():
        plain[number] |= elements
    with pytest.raises(InputError, match=message):
        formats.open_exam(write_dynamic(tmp_path, own=plain))


def test_a_lone_series_named_pre_is_no_post(tmp_path: Path) -> None:
    write_series(tmp_path, 3, 1000, SeriesDescription="t1 fs pre")
    assert list(formats.open_exam(tmp_path).phases) == ["pre"]


# One series of several times


def write_times(folder: Path, n: int = 3, **elements: Any) -> Path:
    for t in range(n):
        own = {key: value(t) for key, value in elements.items()}
        write_series(folder / str(t), 4, 1000 * (t + 1), **own)
    return folder


def test_temporal_positions_against_acquisition_times_are_asked(tmp_path: Path) -> None:
    write_times(
        tmp_path,
        AcquisitionTime=lambda t: f"10{t:02d}00",
        TemporalPositionIdentifier=lambda t: 3 - t,
    )
    with pytest.raises(InputError, match="temporal position and acquisition time in conflict"):
        formats.open_exam(tmp_path)


def test_one_series_with_an_agent_in_every_header_begins_before_contrast(tmp_path: Path) -> None:
    write_times(
        tmp_path, AcquisitionTime=lambda t: f"10{t:02d}00", ContrastBolusAgent=lambda t: "Gd"
    )
    assert levels(formats.open_exam(tmp_path)) == {"pre": 1, "post1": 2, "post2": 3}


def test_acquisition_numbers_tell_times_apart(tmp_path: Path) -> None:
    numbers = lambda t: lambda z: 4 * t + z + 1  # noqa: E731
    write_times(tmp_path, InstanceNumber=numbers, AcquisitionNumber=lambda t: t + 1)
    assert levels(formats.open_exam(tmp_path)) == {"pre": 1, "post1": 2, "post2": 3}


@pytest.mark.parametrize("number", [lambda t, z: 4 * t + z, lambda t, z: 3 * z + t])
def test_instance_numbers_that_run_on_tell_times_apart_where_the_pixels_rise(
    tmp_path: Path, number: Any
) -> None:
    write_times(tmp_path, InstanceNumber=lambda t: lambda z: number(t, z) + 1)
    assert levels(formats.open_exam(tmp_path)) == {"pre": 1, "post1": 2, "post2": 3}


@pytest.mark.parametrize("case", ["pixels that hardly rise", "numbers in no order"])
def test_instance_numbers_alone_are_asked(tmp_path: Path, case: str) -> None:
    for t in range(3):
        level = 1000 + 300 * t if case == "pixels that hardly rise" else 1000 * (t + 1)
        irregular = 50 * (t == 1) if case == "numbers in no order" else 0
        write_series(
            tmp_path / str(t),
            4,
            level,
            InstanceNumber=lambda z, t=t, more=irregular: 4 * t + z + 1 + more * (z == 3),
        )
    message = r"one slice at each position in series 4; found 8 of 12 .*--phases pre=4.1,post1=4.2,"
    with pytest.raises(InputError, match=message):
        formats.open_exam(tmp_path)
    answered = formats.open_exam(tmp_path, phases=["pre=4.1", "post1=4.2", "post2=4.3"])
    assert list(answered.phases) == ["pre", "post1", "post2"]


@pytest.mark.parametrize("kind", ["offset", "dimension"])
def test_multi_frames_without_a_clock_are_split(tmp_path: Path, kind: str) -> None:
    from pydicom.dataset import Dataset

    write_enhanced(tmp_path / "IM_1", times=3)
    data = dcmread(tmp_path / "IM_1")
    for frame in data.PerFrameFunctionalGroupsSequence:
        content = frame.FrameContentSequence[0]
        time = content.TemporalPositionIndex
        del content.TemporalPositionIndex, content.FrameAcquisitionDateTime
        if kind == "offset":
            item = Dataset()
            item.TemporalPositionTimeOffset = 60.0 * time
            frame.TemporalPositionSequence = [item]
        else:
            z = round((frame.PlanePositionSequence[0].ImagePositionPatient[2] - 30) / 2)
            content.DimensionIndexValues = [1, z + 1, time]
    data.save_as(tmp_path / "IM_1")
    exam = formats.open_exam(tmp_path)
    assert [int(v.data.min()) for v in exam.phases.values()] == [993, 1993, 2993]


def test_copied_times_give_no_times(tmp_path: Path) -> None:
    for t in range(3):
        own = {"AcquisitionTime": "100000", "TemporalPositionIdentifier": t + 1}
        write_series(tmp_path, 4 + t, 1000 * (t + 1), **own)
    exam = formats.open_exam(tmp_path)
    assert (levels(exam), exam.times_s) == ({"pre": 1, "post1": 2, "post2": 3}, {})


@pytest.mark.parametrize("names_agent", [True, False])
def test_series_of_one_copied_time_are_read_where_the_agent_tells_their_order(
    tmp_path: Path, names_agent: bool
) -> None:
    for t in range(3):
        own = {"ContrastBolusAgent": "Gd"} if names_agent and t else {}
        write_series(tmp_path, 4 + t, 1000 * (t + 1), AcquisitionTime="000000", **own)
    if names_agent:
        exam = formats.open_exam(tmp_path)
        assert (levels(exam), exam.times_s) == ({"pre": 1, "post1": 2, "post2": 3}, {})
        return
    with pytest.raises(InputError, match="some acquired at the same time: series 4, series 5"):
        formats.open_exam(tmp_path)


@pytest.mark.parametrize("off_mm", [0.02, 0.04])
def test_positions_that_jitter_are_one_grid(tmp_path: Path, off_mm: float) -> None:
    write_times(
        tmp_path,
        AcquisitionTime=lambda t: f"10{t:02d}00",
        position=lambda t: lambda z: (-10.0, -20.0, 30.0 + 2 * z + off_mm * ((t + z) % 2)),
    )
    assert levels(formats.open_exam(tmp_path)) == {"pre": 1, "post1": 2, "post2": 3}


# Values


def write_philips(folder: Path, slopes: Any, *, private: bool) -> Path:
    truth = voxels(4, 1000).astype(float)
    for place, (rescale, scale) in enumerate(slopes):
        time = f"10{2 * place:02d}00"
        true = truth * (1 + (truth % 2) * place)  # every second voxel enhances by 100 %
        pixels = lambda z, true=true, scale=scale: np.round(true[z] * scale).astype("u2").tobytes()  # noqa: E731
        own = {"RescaleSlope": rescale, "RescaleIntercept": 0, "AcquisitionTime": time}
        own |= {"PixelData": pixels} | (AGENT if place else {})
        for path in write_series(folder, 4 + place, 0, **own):
            data = dcmread(path)
            if private:
                block = data.private_block(0x2005, "Philips MR Imaging DD 001", create=True)
                block.add_new(0x0E, "FL", scale)
            data.save_as(path)
    return folder


def test_scale_slopes_of_philips_bring_phases_to_one_scale(tmp_path: Path) -> None:
    exam = formats.open_exam(write_philips(tmp_path, ((2.0, 0.5), (1.25, 0.9)), private=True))
    pre, post = exam.phases["pre"].data, exam.phases["post1"].data
    gain = post / pre - 1
    assert np.allclose(np.unique(gain.round(2)), [0, 1], atol=0.011)
    (words,) = told(tmp_path)
    assert "different scale slopes were brought to one scale of signal" in words


def test_equal_scale_slopes_change_nothing(tmp_path: Path) -> None:
    exam = formats.open_exam(write_philips(tmp_path, ((2.0, 0.5), (2.0, 0.5)), private=True))
    assert np.array_equal(exam.phases["pre"].data, 2 * np.round(voxels(4, 1000) * 0.5))
    assert told(tmp_path) == []


def test_different_rescale_slopes_are_told(tmp_path: Path) -> None:
    write_philips(tmp_path, ((2.0, 0.5), (1.25, 0.9)), private=False)
    assert "phases have different rescale slopes" in told(tmp_path)[0]


@pytest.mark.parametrize("implicit", [True, False])
def test_files_without_group_2_are_read(tmp_path: Path, implicit: bool) -> None:
    from pydicom import Dataset

    for path in write_series(tmp_path, 4, 1000):
        data = Dataset(dcmread(path))
        data.save_as(path, implicit_vr=implicit, little_endian=True)
    assert np.array_equal(formats.open_exam(tmp_path).phases["post1"].data, voxels(4, 1000))
