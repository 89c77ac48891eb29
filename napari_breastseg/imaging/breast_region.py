"""Where the breasts are: right and left, without chest wall, heart, axilla and air.

Classical image analysis; no network. Axial, sagittal and coronal exams, of both breasts or one.

On a coarse copy of the exam, turned to (feet to head, front to back, right to left):

1. the body is what is not air; its front is a height map (`body_front`),
2. the midline is the column about which that map is most symmetric; in an exam of one breast it is
   where the patient's position has it, at the edge at which the chest does not fall back; the front
   there is the notch over the breastbone,
3. the chest wall is found behind the notch (`chest_wall`),
4. the breast is the soft tissue in front of the wall, where it is thick enough, and at the sides as
   far back as a plane behind the breastbone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InputError
from ..core.volume import Exam, LabelMap
from .body_axes import BodyAxes
from .body_front import body_mask, find_midline, front_mm
from .chest_wall import find_chest_wall, notch_depth

__all__ = ["LEFT", "MARGIN_MM", "RIGHT", "Breasts", "Side", "find_breasts"]

Side = Literal["right", "left"]

RIGHT, LEFT = 1, 2
"""Values of the region's label map: the patient's sides."""

MARGIN_MM = 10.0
"""How far from the region a voxel still counts as near: tumors also grow at the chest wall, and the
region may end a little in front of it."""

Floats = NDArray[np.float32]

_SIDES: tuple[tuple[Side, int], ...] = (("right", RIGHT), ("left", LEFT))

_BACK_MM = 27.0
"""How far behind the notch a breast reaches at the sides."""

_LEAST_THICKNESS_MM = 14.0
"""Skin and fat thinner than this over the chest are not a breast."""

_STRIP_MM = 11.0
"""Half the width of the strip over the breastbone between the breasts."""

_HALF_HEIGHT_MM, _HALF_WIDTH_MM = 108.0, 90.0
"""A breast reaches no farther up or down, or to a side, from its middle."""

_SLIVER_ML = 5.0
"""Less tissue than this on one side is no breast."""

_LEAST_FORWARD_MM = 10.0
"""A breast stands out from the skin over the breastbone by this much or more."""

_LEAST_ML, _MOST_ML = 50.0, 3000.0
"""Volumes of a breast that are plausible, mL."""

_MOST_RATIO = 5.0
_LEAST_EVIDENCE = 0.02
_MOST_CUT = 0.3
"""Most of the columns in which the body may reach the field's front edge."""

_LEAST_FIELD_MM = 40.0


@dataclass(frozen=True, eq=False)
class _Surfaces:
    """What was found on the coarse copy of an exam."""

    axes: BodyAxes
    labels: NDArray[np.uint8]
    body: NDArray[np.bool_]
    """Everything that is not air in front of the chest wall."""

    wall_mm: Floats
    """Depth of the chest wall, mm, (Z, X)."""

    middle: float
    """Column of the midline."""


@dataclass(frozen=True, eq=False)
class Breasts:
    """The breasts of an exam."""

    labels: LabelMap
    """0 elsewhere, 1 right, 2 left breast, on the exam's grid."""

    doubts: tuple[str, ...]
    """Why the region is not to be trusted; empty if it is."""

    nipples_mm: Mapping[Side, tuple[float, float, float]]
    """Nipple of each breast seen, RAS mm: the skin that lies farthest to the front."""

    _found: _Surfaces = field(repr=False)

    @property
    def is_trusted(self) -> bool:
        """Whether findings outside the region may be left out."""
        return not self.doubts

    @property
    def sides(self) -> tuple[Side, ...]:
        """Breasts seen."""
        return tuple(side for side, _ in _SIDES if side in self.nipples_mm)

    def near(self, margin_mm: float = MARGIN_MM) -> NDArray[np.bool_]:
        """Voxels in a breast or at most `margin_mm` from one: where a tumor may be.

        Returns
        -------
        array of bool, shape (Z, Y, X)
        """
        if margin_mm <= 0:
            return np.asarray(self.labels.data > 0)
        found = self._found
        is_near = (self._away_mm <= margin_mm) & found.body
        return found.axes.back(is_near.view(np.uint8)).view(np.bool_)

    def skin_mm(self, voxels: NDArray[np.floating]) -> NDArray[np.float64]:
        """Depth of voxels below the nearest skin, mm; 0 in air.

        Parameters
        ----------
        voxels : array, shape (N, 3)
            Places (z, y, x) in the exam's voxels.
        """
        from scipy import ndimage

        places = self._found.axes.coarse_places(np.atleast_2d(voxels)).T
        return np.asarray(ndimage.map_coordinates(self._skin_mm, places, order=1, mode="nearest"))

    def wall_mm(self, voxels: NDArray[np.floating]) -> NDArray[np.float64]:
        """Distance of voxels in front of the chest wall, mm; negative behind it.

        Parameters
        ----------
        voxels : array, shape (N, 3)
            Places (z, y, x) in the exam's voxels.
        """
        from scipy import ndimage

        found = self._found
        dz, dy, dx = found.axes.steps_mm
        z, y, x = found.axes.coarse_places(np.atleast_2d(voxels)).T
        slopes = [
            np.gradient(found.wall_mm, step, axis=axis)
            if found.wall_mm.shape[axis] > 1
            else np.zeros_like(found.wall_mm)
            for axis, step in ((0, dz), (1, dx))
        ]
        tilt = 1 / np.sqrt(1 + slopes[0] ** 2 + slopes[1] ** 2)
        wall, upright = (
            ndimage.map_coordinates(values, (z, x), order=1, mode="nearest")
            for values in (found.wall_mm, tilt)
        )
        return np.asarray((wall - (y + 0.5) * dy) * upright, np.float64)

    def away_mm(self, voxels: NDArray[np.floating]) -> NDArray[np.float64]:
        """Distance of voxels from the breasts, mm; 0 inside.

        Parameters
        ----------
        voxels : array, shape (N, 3)
            Places (z, y, x) in the exam's voxels.
        """
        from scipy import ndimage

        places = self._found.axes.coarse_places(np.atleast_2d(voxels)).T
        return np.asarray(ndimage.map_coordinates(self._away_mm, places, order=1, mode="nearest"))

    def side_at(self, voxel: NDArray[np.floating]) -> Side | None:
        """Side of the midline on which a voxel (z, y, x) lies, None if no breast is seen there."""
        column = float(self._found.axes.coarse_places(np.atleast_2d(voxel))[0, 2])
        side: Side = "right" if column < self._found.middle else "left"
        return side if side in self.nipples_mm else None

    @cached_property
    def _away_mm(self) -> Floats:
        from scipy import ndimage

        found = self._found
        away = ndimage.distance_transform_edt(found.labels == 0, sampling=found.axes.steps_mm)
        return np.asarray(away, np.float32)

    @cached_property
    def _skin_mm(self) -> Floats:
        from scipy import ndimage

        found = self._found
        deep = ndimage.distance_transform_edt(found.body, sampling=found.axes.steps_mm)
        return np.asarray(deep, np.float32)


def find_breasts(exam: Exam) -> Breasts:
    """Right and left breast of an exam.

    Good enough to crop an exam and to flag findings outside the breasts, not to measure a breast.

    Parameters
    ----------
    exam : Exam
        With known orientation and spacing; axes in any order. The mean of its phases is used.

    Returns
    -------
    Breasts

    Raises
    ------
    InputError
        If orientation or spacing is not known, or no body or no breast is seen.
    """
    grid = exam.grid
    if grid.end_letters is None or grid.spacing_mm is None:
        raise InputError(
            "Expected an exam with known sides and spacing to find the breasts",
            f"found exam {exam.case_id} with {grid.describe()}"
            + (" and unknown sides" if grid.end_letters is None else ""),
            "Open the DICOM or NIfTI files it was made from",
        )
    axes = BodyAxes(grid)
    image = axes.mean(exam)
    dz, dy, dx = axes.steps_mm
    body = body_mask(image, axes.steps_mm)
    if not body.any():
        raise InputError(
            "Expected a body in the image to find the breasts",
            f"found none that stands out from the air in exam {exam.case_id}",
            "Continue without a breast region",
        )
    front = front_mm(body, dy)
    columns = np.arange(image.shape[2])
    midline = find_midline(front, axes.across_mm(len(columns)), image.shape[1] * dy)
    across_mm = np.asarray((columns - midline.column) * dx, np.float64)
    nearest = np.abs(across_mm) < max(9.0, float(np.abs(across_mm).min()) + 9.0)
    notch = notch_depth(front, nearest, image.shape[1] * dy, dz)
    air = image[~body & (image > 0)]
    wall = find_chest_wall(
        image, float(np.median(air)) if air.size else 0.0, front, notch, across_mm, axes.steps_mm
    )
    is_breast = _in_front(body, front, wall.depth_mm, notch, wall.shift_mm, across_mm, axes)
    stands_out = notch[:, None] - front
    for is_side in (across_mm < 0, across_mm >= 0):
        is_breast[:, :, is_side] &= _around(stands_out[:, is_side], (dz, dx))[:, None]
    labels = np.asarray(is_breast * np.where(across_mm < 0, RIGHT, LEFT), np.uint8)
    volumes = {side: _volume_ml(labels == value, axes) for side, value in _SIDES}
    largest = max(volumes.values())
    # Of one breast the field may take in a part of the other: it belongs to the region.
    least = 0.02 if midline.shows_both else 0.35
    seen = [
        side
        for side, value in _SIDES
        if volumes[side] > max(_SLIVER_ML, least * largest)
        and stands_out[(labels == value).any(axis=1)].max() > _LEAST_FORWARD_MM
    ]
    if not seen:
        raise InputError(
            "Expected breasts in the image",
            f"found none in exam {exam.case_id}",
            "Segment the whole exam",
        )
    nipples = {
        side: _nipple_mm(front, labels == value, axes) for side, value in _SIDES if side in seen
    }
    doubts = [*midline.doubts, *_doubts(labels, volumes, seen, wall.evidence, body, axes)]
    body |= (np.arange(body.shape[1])[:, None] * dy) > wall.depth_mm[:, None, :]
    return Breasts(
        LabelMap(axes.back(labels), grid),
        tuple(doubts),
        MappingProxyType(nipples),
        _Surfaces(axes, labels, body, wall.depth_mm, midline.column),
    )


def _in_front(
    body: NDArray[np.bool_],
    front: Floats,
    wall: Floats,
    notch: Floats,
    shift: Floats,
    across_mm: NDArray[np.float64],
    axes: BodyAxes,
) -> NDArray[np.bool_]:
    """The tissue in front of the wall, where it is thick enough to be a breast."""
    from scipy import ndimage

    dz, dy, dx = axes.steps_mm
    side = (across_mm >= 0).astype(int)
    back = notch[:, None] + _BACK_MM + np.maximum(shift[:, side], 0)
    behind = np.minimum(wall, back)
    thickness = ndimage.gaussian_filter(behind - front, (6.0 / dz, 6.0 / dx), mode="nearest")
    thick = (thickness > _LEAST_THICKNESS_MM) & (np.abs(across_mm) > _STRIP_MM)
    depth_mm = (np.arange(body.shape[1], dtype=np.float32) + 0.5) * dy
    region = body & thick[:, None, :] & (depth_mm[:, None] < behind[:, None, :])
    return np.asarray(region)


def _around(stands_out: Floats, steps: tuple[float, float]) -> NDArray[np.bool_]:
    """Columns of one side that may belong to its breast, by their distance from its middle.

    What stands out of the chest farther away is the axilla, the shoulder or the belly.

    Parameters
    ----------
    stands_out : array, shape (Z, X)
        How far the front lies before the skin over the breastbone, mm.
    """
    weights = np.maximum(stands_out - 0.5 * stands_out.max(initial=0), 0)
    if not weights.any():
        return np.ones(stands_out.shape, bool)
    z = np.arange(stands_out.shape[0])[:, None] * steps[0]
    x = np.arange(stands_out.shape[1])[None] * steps[1]
    up = z - (weights * z).sum() / weights.sum()
    across = x - (weights * x).sum() / weights.sum()
    return np.asarray((up / _HALF_HEIGHT_MM) ** 2 + (across / _HALF_WIDTH_MM) ** 2 < 1)


def _volume_ml(mask: NDArray[np.bool_], axes: BodyAxes) -> float:
    return float(np.count_nonzero(mask) * np.prod(axes.steps_mm) / 1000)


def _nipple_mm(
    front: Floats, mask: NDArray[np.bool_], axes: BodyAxes
) -> tuple[float, float, float]:
    """The skin that lies farthest to the front."""
    from scipy import ndimage

    dz, dy, dx = axes.steps_mm
    smooth = ndimage.gaussian_filter(front, (2.5 / dz, 2.5 / dx), mode="nearest")
    smooth = np.where(mask.any(axis=1), smooth, np.inf)
    z, x = np.unravel_index(int(smooth.argmin()), smooth.shape)
    voxel = axes.voxels(np.array([[z, front[z, x] / dy - 0.5, x]]))[0]
    r, a, s = (float(v) for v in (axes.grid.affine @ (*voxel, 1))[:3])
    return r, a, s


def _doubts(
    labels: NDArray[np.uint8],
    volumes: Mapping[Side, float],
    seen: Sequence[Side],
    evidence: Floats,
    body: NDArray[np.bool_],
    axes: BodyAxes,
) -> list[str]:
    """Why the region is not plausible, in plain sentences."""
    doubts = []
    field_mm = [count * step for count, step in zip(labels.shape, axes.steps_mm, strict=True)]
    if min(field_mm) < _LEAST_FIELD_MM:
        doubts.append(f"the field of view is only {min(field_mm):.0f} mm in one direction")
    for side in seen:
        if not _LEAST_ML <= volumes[side] <= _MOST_ML:
            doubts.append(f"the {side} breast seems to hold {volumes[side]:.0f} mL")
    if len(seen) == 2 and max(volumes.values()) > _MOST_RATIO * min(volumes.values()):
        doubts.append("the breasts seem to be of very unlike size")
    columns = (labels > 0).any(axis=1)
    if float(evidence[columns].mean()) < _LEAST_EVIDENCE:
        doubts.append("the chest wall does not stand out from the breast")
    if float(body[:, 0].any(axis=0).mean()) > _MOST_CUT:
        doubts.append("the front of the breasts is not in the field of view")
    return doubts
