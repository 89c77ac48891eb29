"""What the headers of DICOM files say, frame by frame; no pixels are read.

Header text is never quoted in an error, as it may name a patient. Loads pydicom late.
"""

from __future__ import annotations

import math
import re
from collections.abc import Hashable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ...core.errors import InputError
from ...core.reading import MOST_PIXELS, open_regular
from .beside import beside_kind
from .elements import (
    clock_of,
    day_of,
    number_of,
    numbers_of,
    quiet,
    read_dataset,
    text_of,
)
from .identity import IDENTITY_KEYWORDS, Identity, identity_of
from .plain import Known, PlainPixels, plain_header
from .traits import Traits, traits_of
from .walk import OddError

__all__ = [
    "DAY_S",
    "Frame",
    "Header",
    "HeaderReader",
    "frame_of",
    "groups_of",
    "has_dicom_head",
    "is_dicom",
    "read_header",
    "rescale_of",
    "scale_slope_of",
]

DAY_S = 86_400.0
"""Seconds of a day."""

_SEGS = re.compile(r"1\.2\.840\.10008\.5\.1\.4\.1\.1\.66\.[457]")
"""Classes of segmentations: of voxels, of surfaces, label maps."""
_IMAGES = re.compile(r"1\.2\.840\.10008\.5\.1\.4\.1\.1\.[24](\.\d+)?")
"""Classes of MR and CT images."""

_MOST_SERIES = 64
"""Of so many series the shared part of the headers is kept."""
_MOST_FRAMES = 20_000
"""A file with more frames than this cannot be an MRI exam."""

_WANTED = [
    *IDENTITY_KEYWORDS,
    *[
        "SOPClassUID",
        "SOPInstanceUID",
        "StudyInstanceUID",
        "SeriesInstanceUID",
        "Modality",
        "PatientIdentityRemoved",
        "SeriesNumber",
        "SeriesDescription",
        "InstanceNumber",
        "AcquisitionNumber",
        "FrameOfReferenceUID",
        "ImageType",
        "ScanningSequence",
        "SequenceName",
        "PulseSequenceName",
        "EchoPulseSequence",
        "EchoPlanarPulseSequence",
        "RepetitionTime",
        "EchoTime",
        "FlipAngle",
        "DiffusionBValue",
        "ContrastBolusAgent",
        "ContrastBolusAgentSequence",
        "ContrastBolusStartTime",
        "TemporalPositionIdentifier",
        "TriggerTime",
        "TemporalPositionTimeOffset",
        "AcquisitionTime",
        "AcquisitionDateTime",
        "AcquisitionDate",
        "SeriesDate",
        "ContentDate",
        "ContentTime",
        "Rows",
        "Columns",
        "PixelSpacing",
        "SliceThickness",
        "SpacingBetweenSlices",
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "NumberOfFrames",
        "SamplesPerPixel",
        "BitsAllocated",
        "SharedFunctionalGroupsSequence",
        "PerFrameFunctionalGroupsSequence",
    ],
]


@dataclass(frozen=True, slots=True)
class Frame:
    """One slice as its header describes it, and where its pixels are."""

    file: Path = field(repr=False)
    index: int
    """Index of the frame in the file, from 0."""

    traits: Traits
    rows: int
    columns: int
    position_mm: tuple[float, float, float] | None
    """Center of the first pixel in LPS mm, as in DICOM; None if the header does not say."""

    orientation: tuple[float, ...] | None
    """Direction cosines (LPS) along a row, then along a column."""

    spacing_mm: tuple[float, float] | None
    """Between rows (y), between columns (x)."""

    thickness_mm: float | None
    """Distance between slices, else slice thickness; only used for a single slice."""

    has_agent: bool
    injection_s: float | None
    """Second of the day at which the contrast agent was given."""

    temporal_position: int | None
    trigger_s: float | None
    """Delay from a trigger or from the beginning of the series."""

    acquired_s: float | None
    """Second of the day at which the acquisition began."""

    content_s: float | None
    instance: str = field(repr=False)
    instance_number: int | None = None
    acquisition_number: int | None = None
    dimension: tuple[int, ...] = ()
    """Indices of a multi-frame file's frame along its dimensions, of which one may be time."""

    pixels: PlainPixels | None = field(default=None, repr=False, compare=False)
    """Where its pixels lie, if they need no decoding."""

    reference: str = field(default="", repr=False)
    """Frame of reference: positions of two can only be compared where it is the same."""


@dataclass(frozen=True)
class Header:
    """One file: its series and its frames."""

    study: str = field(repr=False)
    series: str = field(repr=False)
    number: int | None
    description: str = field(repr=False)
    modality: str
    is_segmentation: bool
    beside: str
    """What the file is if it is no MR image, such as "report"; see `beside_kind`."""

    frames: tuple[Frame, ...]
    identity: Identity = field(repr=False)
    is_deidentified: bool = False
    """Whether the file says that its identifying values are pseudonyms."""

    patient: str = field(default="", repr=False)
    """Patient id, else name, in lower case; "" if the file has neither."""

    date: str = field(default="", repr=False)
    """Date of the study; "" if the file has none."""

    days: tuple[int | None, int | None, int | None] = field(default=(None, None, None), repr=False)
    """Day of the acquisition, the series and the content, counted from year 1."""


def is_dicom(path: Path) -> bool:
    """Whether a file begins as DICOM, with or without the preamble."""
    try:
        with open_regular(path) as file:
            head = file.read(132)
    except (OSError, InputError):
        return False
    return has_dicom_head(head)


def has_dicom_head(head: bytes) -> bool:
    """Whether a file with these first bytes is DICOM.

    Examples
    --------
    >>> has_dicom_head(bytes(128) + b"DICM"), has_dicom_head(b"NRRD0004")
    (True, False)
    """
    if head[128:132] == b"DICM":
        return True
    # Older files without a preamble begin with one of the first elements of group 0002 or 0008.
    return head[:2] in (b"\x02\0", b"\x08\0") and head[3:4] == b"\0" and head[2] in (0, 1, 2, 5, 8)


def read_header(path: Path) -> Header | None:
    """Header of a DICOM file; None if it cannot be read."""
    return HeaderReader().read(path)


class HeaderReader:
    """Reads the headers of one exam after another; what a series shares is decoded once."""

    def __init__(self) -> None:
        self._known: Known = {}
        self._series: dict[Hashable, Header] = {}

    def read(self, path: Path) -> Header | None:
        """Header of a DICOM file; None if it cannot be read."""
        # What cannot be decoded in a plain file either is left to pydicom too.
        with suppress(Exception):
            return self._plain(path)
        with quiet():
            try:
                data = read_dataset(path, stop_before_pixels=True, specific_tags=_WANTED)
                return _header(path, data)
            # On a damaged byte pydicom may raise anything: EOFError, KeyError, struct.error, ...
            except Exception:
                return None

    def _plain(self, path: Path) -> Header | None:
        with open_regular(path) as file:
            data = plain_header(file, _WANTED, self._known)
        key = data.shared
        like = self._series.get(key)
        if like is not None:
            frame = like.frames[0]
            own = _own_to_slice(data, groups_of(data, 0))
            if (own["position_mm"] is None) == (frame.position_mm is None):
                pixels = data.plain_pixels(frame.rows, frame.columns)
                return replace(like, frames=(replace(frame, file=path, pixels=pixels, **own),))
        if (number_of(data, "NumberOfFrames") or 1) > 1:
            raise OddError  # a few such files; their frames are told apart by nested elements
        header = _header(path, data)
        if header is not None and header.frames:
            if len(self._series) > _MOST_SERIES:
                self._series.clear()
            self._series[key] = header
            (frame,) = header.frames
            pixels = data.plain_pixels(frame.rows, frame.columns)
            header = replace(header, frames=(replace(frame, pixels=pixels),))
        return header


def _header(path: Path, data: Any) -> Header | None:
    sop_class = text_of(data, "SOPClassUID")
    rows, columns = number_of(data, "Rows"), number_of(data, "Columns")
    modality = text_of(data, "Modality").upper()
    if not rows and (not (sop_class or modality) or _IMAGES.fullmatch(sop_class)):
        return None  # cut short before anything useful
    is_segmentation = bool(_SEGS.fullmatch(sop_class)) or modality == "SEG"
    has_image = bool(rows and columns) and not is_segmentation
    frames: tuple[Frame, ...] = ()
    if rows and columns and has_image:
        count = int(number_of(data, "NumberOfFrames") or 1)
        if not _can_hold(path, data, count, int(rows) * int(columns)):
            return None
        frames = tuple(
            frame_of(path, data, index, int(rows), int(columns)) for index in range(count)
        )
    beside = beside_kind(
        sop_class,
        "SEG" if is_segmentation else modality,
        has_image=has_image,
        has_place=any(frame.position_mm is not None for frame in frames),
    )
    if beside:
        frames = tuple(replace(f, traits=replace(f.traits, beside=beside)) for f in frames)
    return Header(
        study=text_of(data, "StudyInstanceUID"),
        series=text_of(data, "SeriesInstanceUID"),
        number=_whole(number_of(data, "SeriesNumber")),
        description=text_of(data, "SeriesDescription"),
        modality=modality,
        is_segmentation=is_segmentation,
        beside=beside,
        frames=frames,
        identity=identity_of(data),
        is_deidentified=text_of(data, "PatientIdentityRemoved").upper() == "YES",
        patient=(text_of(data, "PatientID") or text_of(data, "PatientName")).casefold(),
        date=text_of(data, "StudyDate"),
        days=(
            day_of(data, "AcquisitionDate") or day_of(data, "AcquisitionDateTime"),
            day_of(data, "SeriesDate"),
            day_of(data, "ContentDate"),
        ),
    )


def _can_hold(path: Path, data: Any, count: int, pixels: int) -> bool:
    """Whether a file may hold so many frames of so many pixels."""
    if not 0 < count <= _MOST_FRAMES or pixels > MOST_PIXELS:
        return False
    syntax = getattr(getattr(data, "file_meta", None), "TransferSyntaxUID", None)
    is_packed = syntax is not None and (syntax.is_compressed or syntax.is_deflated)
    bits = 1 if is_packed else int(number_of(data, "BitsAllocated") or 1)
    # A packed frame has a header of 8 bytes of its own, whatever it shrank to.
    # One cut short is told so when its pixels are read, hence a part of the size will do.
    least = count * 10 if is_packed else count * pixels * bits // 512
    return count == 1 or least <= path.stat().st_size


def frame_of(path: Path, data: Any, index: int, rows: int, columns: int) -> Frame:
    """One frame of a data set, as its header describes it."""
    groups = groups_of(data, index)
    pixel = groups("PixelMeasuresSequence")
    content = groups("FrameContentSequence")
    agents = data.get("ContrastBolusAgentSequence") or []
    spacing = numbers_of(pixel, "PixelSpacing", 2)
    orientation = numbers_of(groups("PlaneOrientationSequence"), "ImageOrientationPatient", 6)
    thickness = number_of(data, "SpacingBetweenSlices") or number_of(pixel, "SpacingBetweenSlices")
    return Frame(
        file=path,
        index=index,
        traits=traits_of(data, groups),
        rows=rows,
        columns=columns,
        orientation=orientation if _is_orientation(orientation) else None,
        spacing_mm=None if spacing is None or min(spacing) <= 0 else (spacing[0], spacing[1]),
        thickness_mm=abs(thickness or number_of(pixel, "SliceThickness") or 0.0) or None,
        has_agent=bool(text_of(data, "ContrastBolusAgent")) or len(agents) > 0,
        injection_s=clock_of(data, "ContrastBolusStartTime"),
        dimension=_wholes(content, "DimensionIndexValues"),
        reference=text_of(data, "FrameOfReferenceUID"),
        **_own_to_slice(data, groups),
    )


def _own_to_slice(data: Any, groups: Any) -> dict[str, Any]:
    """Those of a frame's fields that usually differ from slice to slice of a series."""
    content = groups("FrameContentSequence")
    acquired = clock_of(content, "FrameAcquisitionDateTime")
    temporal = number_of(content, "TemporalPositionIndex")
    trigger_ms = number_of(
        groups("CardiacSynchronizationSequence"), "NominalCardiacTriggerDelayTime"
    )
    if content is data:
        acquired = clock_of(data, "AcquisitionTime")
        temporal = number_of(data, "TemporalPositionIdentifier")
        trigger_ms = number_of(data, "TriggerTime")
    if trigger_ms is None:
        seconds = number_of(groups("TemporalPositionSequence"), "TemporalPositionTimeOffset")
        trigger_ms = None if seconds is None else 1000.0 * seconds
    if acquired is None:
        acquired = clock_of(data, "AcquisitionTime")
    if acquired is None:
        acquired = clock_of(data, "AcquisitionDateTime")
    position = numbers_of(groups("PlanePositionSequence"), "ImagePositionPatient", 3)
    return {
        "position_mm": None if position is None else (position[0], position[1], position[2]),
        "temporal_position": _whole(temporal),
        "trigger_s": None if trigger_ms is None else trigger_ms / 1000.0,
        "acquired_s": acquired,
        "content_s": clock_of(data, "ContentTime"),
        "instance": text_of(data, "SOPInstanceUID"),
        "instance_number": _whole(number_of(data, "InstanceNumber")),
        "acquisition_number": _whole(
            number_of(content, "FrameAcquisitionNumber")
            if content is not data
            else number_of(data, "AcquisitionNumber")
        ),
    }


def groups_of(data: Any, index: int) -> Any:
    """Function from a functional group's keyword to its item for a frame, else the data set."""
    of_frames = data.get("PerFrameFunctionalGroupsSequence") or []
    shared = data.get("SharedFunctionalGroupsSequence") or []
    places = [of_frames[index]] if index < len(of_frames) else []
    places += [shared[0]] if len(shared) else []

    def find(keyword: str) -> Any:
        for place in places:
            items = place.get(keyword)
            if items:
                return items[0]
        return data

    return find


def _is_orientation(cosines: tuple[float, ...] | None) -> bool:
    if cosines is None:
        return False
    row, column = cosines[:3], cosines[3:]
    lengths = math.hypot(*row), math.hypot(*column)
    across = sum(a * b for a, b in zip(row, column, strict=True))
    return all(abs(length - 1) < 0.01 for length in lengths) and abs(across) < 0.01


def rescale_of(data: Any, index: int) -> tuple[float, float]:
    """Slope and intercept that turn a frame's stored numbers into values; 1 and 0 if not given."""
    place = groups_of(data, index)("PixelValueTransformationSequence")
    slope, intercept = number_of(place, "RescaleSlope"), number_of(place, "RescaleIntercept")
    return (slope if slope else 1.0), (intercept or 0.0)


_SCALE_SLOPE, _PHILIPS_FRAME = (0x2005, 0x100E), (0x2005, 0x140F)
"""Philips' private elements: the scale slope, and the sequence that holds it in multi-frames."""


def scale_slope_of(data: Any, index: int) -> float:
    """Philips' scale slope of a frame, stored numbers per signal; nan if the file has none."""
    places = [data]
    of_frames = getattr(data, "PerFrameFunctionalGroupsSequence", None) or []
    if index < len(of_frames) and _PHILIPS_FRAME in of_frames[index]:
        places = [*of_frames[index][_PHILIPS_FRAME].value, data]
    for place in places:
        if _SCALE_SLOPE in place:
            slope = float(place[_SCALE_SLOPE].value)
            return slope if slope > 0 and math.isfinite(slope) else math.nan
    return math.nan


def _whole(number: float | None) -> int | None:
    return None if number is None else round(number)


def _wholes(data: Any, keyword: str) -> tuple[int, ...]:
    try:
        value = data.get(keyword)
        return tuple(int(number) for number in ([value] if isinstance(value, int) else value or ()))
    except Exception:
        return ()
