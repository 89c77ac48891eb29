"""DICOM SEG to label map: each frame is placed by its ImagePositionPatient.

`highdicom.seg.Segmentation.get_volume` needs frames that are evenly spaced among themselves. It
refuses, for instance, the SEG published with the Duke exams: three slices far apart. Here each
frame is placed on the exam's grid separately, in any orientation. highdicom's errors would also
quote headers. Loads pydicom late.

References
----------
DICOM PS3.3: A.51 Segmentation IOD, C.8.20 Segmentation modules.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import InputError
from ...core.volume import TUMOR, Grid, LabelMap
from ..dicom.elements import number_of, quiet, read_dataset, text_of
from ..dicom.headers import Frame, frame_of, groups_of, read_header
from ..dicom.stacks import LPS_TO_RAS, affine_of, plane_directions, upward
from .codes import LESION_VALUES

__all__ = ["Segment", "is_seg", "read_seg", "segments_of"]

_DRIFT_VOXELS = 0.1
"""How far the far edge of a frame may lie off the exam's voxels, in voxels."""
_OFF_VOXELS = 0.25
"""How far a frame may lie off a voxel's center, in voxels: written positions are rounded."""
_STEP_PART = 0.05
"""Fraction of the slice distance by which a gap may differ from a multiple of it."""


@dataclass(frozen=True)
class Segment:
    """What a SEG says about one segment, in codes; free text is not kept."""

    number: int
    category: str
    """Code value of the property's category, such as 49755003."""

    type: str
    """Code value of the property's type, such as 52988006 for a lesion."""

    @property
    def is_lesion(self) -> bool:
        """Whether the type is a lesion's, mass's or neoplasm's."""
        return self.type in LESION_VALUES


@dataclass(frozen=True, eq=False)
class _Plane:
    frame: Frame
    mask: NDArray[np.bool_]


def is_seg(path: Path) -> bool:
    """Whether a file is a DICOM SEG, by its header."""
    header = read_header(path)
    return header is not None and header.is_segmentation


def segments_of(path: Path) -> tuple[Segment, ...]:
    """Segments of a DICOM SEG by number, without the background of a label map.

    Raises
    ------
    InputError
        If the file is damaged or has no segment.
    """
    return _segments(_load(path))


def read_seg(
    path: Path,
    *,
    grid: Grid | None = None,
    case_id: str = "",
    segments: Collection[int] | None = None,
) -> LabelMap:
    """Label map of a DICOM SEG: tumor wherever one of the chosen segments is.

    Parameters
    ----------
    path : Path
        A SEG of any kind: binary, fractional (at least half of its maximum) or label map.
    grid : Grid, optional
        The exam's grid on which to place the frames, in any orientation. By default the grid of
        the frames themselves, including slices between them that have no frame.
    case_id : str
        Name of the exam in errors.
    segments : collection of int, optional
        Segment numbers. By default the only segment, or those coded as lesion, mass or neoplasm.

    Returns
    -------
    LabelMap
        (Z, Y, X): 1 in the segments, else 0. Slices without a frame are empty.

    Raises
    ------
    InputError
        If the file is damaged, it is not clear which segment is meant, or the frames do not lie on
        the grid.
    """
    data = _load(path)
    chosen = _chosen(_segments(data), segments)
    planes = _planes(path, data, chosen)
    if grid is None:
        grid = _grid_of([plane.frame for plane in planes], data)
    elif not (grid.has_spacing and grid.has_orientation):
        raise InputError(
            f"Expected {_exam(case_id)} to have a position and spacing to place a DICOM SEG on",
            f"found {grid.describe()} and no position",
            "Open the DICOM exam the SEG was drawn on",
        )
    placed = np.zeros(grid.shape, np.uint8)
    for plane in planes:
        _place(placed, plane, grid, case_id)
    return LabelMap(placed, grid)


def _exam(case_id: str) -> str:
    return f"exam {case_id}".strip()


def _load(path: Path) -> Any:
    with quiet():
        try:
            data = read_dataset(path)
            is_whole = bool(data.SegmentSequence) and min(int(data.Rows), int(data.Columns)) > 0
        # On a damaged byte pydicom may raise anything, and may quote the header.
        except Exception:
            is_whole = False
    if not is_whole:
        raise InputError(
            "Expected a complete DICOM SEG",
            "found a DICOM file that describes no segment or is cut short",
            "Choose a segmentation object, or export it again",
        )
    return data


def _segments(data: Any) -> tuple[Segment, ...]:
    found = []
    for item in data.SegmentSequence:
        number = number_of(item, "SegmentNumber")
        if number:  # 0 is the background of a label map
            category, kind = (
                _code(item, f"SegmentedProperty{what}CodeSequence") for what in ("Category", "Type")
            )
            found.append(Segment(int(number), category, kind))
    return tuple(sorted(found, key=lambda segment: segment.number))


def _code(item: Any, keyword: str) -> str:
    codes = item.get(keyword) or []
    return text_of(codes[0], "CodeValue") if len(codes) else ""


def _chosen(found: Sequence[Segment], wanted: Collection[int] | None) -> set[int]:
    numbers = {segment.number for segment in found}
    if wanted is not None:
        if not wanted or not numbers.issuperset(wanted):
            raise InputError(
                f"Expected segments of the DICOM SEG, which has {_listed(numbers)}",
                f"found {_listed(wanted)}",
                "Choose from its segment numbers",
            )
        return set(wanted)
    lesions = {segment.number for segment in found if segment.is_lesion}
    if lesions or len(numbers) == 1:
        return lesions or numbers
    raise InputError(
        "Expected a DICOM SEG of one segment, or with a segment coded as lesion, mass or neoplasm",
        f"found segments {_listed(numbers)}, none of them coded so",
        "Export the tumor's segment as a separate SEG",
    )


def _listed(numbers: Collection[int]) -> str:
    return ", ".join(str(number) for number in sorted(numbers)) or "none"


def _planes(path: Path, data: Any, chosen: set[int]) -> list[_Plane]:
    """Frames of the chosen segments with their masks (rows, columns)."""
    from pydicom.pixels import pixel_array

    from ..dicom import jpeg  # noqa: F401  registers its decoder

    rows, columns = int(data.Rows), int(data.Columns)
    with quiet():
        try:
            kind = text_of(data, "SegmentationType").upper()
            count = int(number_of(data, "NumberOfFrames") or 1)
            pixels = np.asarray(pixel_array(data)).reshape(count, rows, columns)
            half = (number_of(data, "MaximumFractionalValue") or 255.0) / 2
            planes = []
            for index in range(count):
                frame = frame_of(path, data, index, rows, columns)
                if kind == "LABELMAP":
                    mask = np.isin(pixels[index], list(chosen))
                elif _number(data, index) not in chosen:
                    continue
                else:
                    mask = pixels[index] >= half if kind == "FRACTIONAL" else pixels[index] > 0
                planes.append(_Plane(frame, mask))
        except Exception:
            planes = []
    has_place = [
        bool(plane.frame.position_mm and plane.frame.orientation and plane.frame.spacing_mm)
        for plane in planes
    ]
    if not planes or not all(has_place):
        raise InputError(
            "Expected a DICOM SEG whose frames have a position in the patient",
            f"found {len(planes) - sum(has_place)} of {len(planes)} frames without one"
            if planes
            else "found no readable frame of its segments",
            "Export it again from the program it was drawn in",
        )
    return planes


def _number(data: Any, index: int) -> int:
    identification = groups_of(data, index)("SegmentIdentificationSequence")
    return int(number_of(identification, "ReferencedSegmentNumber") or 1)


def _place(placed: NDArray[np.uint8], plane: _Plane, grid: Grid, case_id: str) -> None:
    """Mark the tumor pixels of a frame in an array of the grid's shape."""
    frame = plane.frame
    row, column = plane_directions(frame)
    between_rows, between_columns = frame.spacing_mm or (0.0, 0.0)
    inverse = np.linalg.inv(grid.affine[:3, :3])
    # Steps in voxels from column to column and from row to row of the frame.
    steps = inverse @ LPS_TO_RAS @ np.column_stack([column * between_rows, row * between_columns])
    start = inverse @ (LPS_TO_RAS @ np.array(frame.position_mm) - grid.affine[:3, 3])
    whole = np.rint(steps).astype(int)
    drift = np.abs(steps - whole) * (np.array([frame.rows, frame.columns]) - 1)
    is_along = bool((np.abs(whole).sum(axis=0) == 1).all())
    if not is_along or drift.max() > _DRIFT_VOXELS:
        pixels = f"{frame.rows} x {frame.columns} pixels of {between_rows:.4g} x "
        raise InputError(
            f"Expected a DICOM SEG on the grid of {_exam(case_id)}, {grid.describe()}",
            f"found frames of {pixels}{between_columns:.4g} mm, of another size or direction",
            "Export the mask again on the exam's own grid",
        )
    origin = np.rint(start).astype(int)
    where = origin[:, None] + whole @ np.array(np.nonzero(plane.mask))
    is_inside = (where >= 0).all() and (where < np.array(grid.shape)[:, None]).all()
    if np.abs(start - origin).max() > _OFF_VOXELS or not is_inside:
        raise InputError(
            f"Expected a DICOM SEG that lies within {_exam(case_id)}, voxel on voxel",
            "found part of it outside"
            if not is_inside
            else "found frames that lie between the voxels",
            "Choose the exam it was drawn on, or export the mask again on this one",
        )
    placed[tuple(where)] = TUMOR


def _grid_of(frames: Sequence[Frame], data: Any) -> Grid:
    """The grid of the frames themselves, from the lowest to the highest."""
    first = frames[0]
    directions = np.array([frame.orientation for frame in frames])
    turned = float(np.abs(directions - directions[0]).max())
    normal = upward(first)
    heights = np.array([frame.position_mm for frame in frames]) @ normal
    lowest = frames[int(np.argmin(heights))]
    levels = np.unique(np.round(heights - heights.min(), 2))
    gaps = np.diff(levels)
    stated = number_of(groups_of(data, 0)("PixelMeasuresSequence"), "SpacingBetweenSlices")
    step = first.thickness_mm or 1.0
    if len(gaps):
        # Slices without tumor have no frame: the header's distance is better than the least gap.
        step = stated if stated and _are_multiples(gaps, stated) else float(gaps.min())
    if turned > 0.01 or not _are_multiples(gaps, step):
        raise InputError(
            "Expected a DICOM SEG of parallel, evenly spaced slices",
            "found slices at an angle to each other"
            if turned > 0.01
            else f"found slices {', '.join(f'{gap:.4g}' for gap in gaps[:4])} mm apart",
            "Choose the exam it was drawn on as well, or export the SEG as one stack",
        )
    count = round(float(levels[-1]) / step) + 1
    return Grid((count, first.rows, first.columns), affine_of(lowest, normal * step))


def _are_multiples(gaps: NDArray[np.float64], step: float) -> bool:
    times = gaps / step
    return bool((np.abs(times - np.rint(times)) <= _STEP_PART).all() and (times >= 0.5).all())
