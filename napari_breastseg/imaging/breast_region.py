"""Where the breasts are: right and left, without chest wall, heart, axilla and air.

Classical image analysis; no network. Axial, sagittal and coronal exams, of both breasts or one.

On a coarse copy of the exam, turned to (feet to head, front to back, right to left):

1. the body is what is not air; its front is a height map (`body_front`),
2. the midline is the column about which that map is most symmetric; in an exam of one breast it is
   where the patient's position has it, at the edge at which the chest does not fall back; the front
   there is the notch over the breastbone; ghosts of the heart between it and a breast are cut away,
3. the chest wall is found behind the notch (`chest_wall`),
4. the breast is the soft tissue in front of the wall, where it is thick enough, at the sides as far
   back as a plane behind the breastbone, and towards the head as far as its lower half lets expect.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InputError
from ..core.volume import Exam, LabelMap
from .body_axes import BodyAxes
from .body_front import body_mask, chest_front_mm, find_midline, front_mm, without_ghosts
from .breast_shape import (
    LEFT,
    RIGHT,
    SIDES,
    Side,
    breast_labels,
    nipple_place,
    shape_doubts,
    sides_seen,
)
from .chest_wall import find_chest_wall, notch_depth

__all__ = ["LEFT", "MARGIN_MM", "RIGHT", "Breasts", "Side", "find_breasts"]

MARGIN_MM = 10.0
"""How far from the region a voxel still counts as near: tumors also grow at the chest wall, and the
region may end a little in front of it."""

Floats = NDArray[np.float32]


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
        return tuple(side for side in SIDES if side in self.nipples_mm)

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
    body = body_mask(image, axes.steps_mm)
    if not body.any():
        raise InputError(
            "Expected a body in the image to find the breasts",
            f"found none that stands out from the air in exam {exam.case_id}",
            "Continue without a breast region",
        )
    dz, dy, dx = axes.steps_mm
    deepest_mm = image.shape[1] * dy
    front = front_mm(body, dy)
    midline = find_midline(front, axes.across_mm(image.shape[2]), deepest_mm)
    across_mm = np.asarray((np.arange(image.shape[2]) - midline.column) * dx, np.float64)
    is_middle = np.abs(across_mm) < float(np.abs(across_mm).min()) + 9.0
    nearest = np.median(chest_front_mm(body[:, :, is_middle], dy), axis=1)
    farthest = np.median(chest_front_mm(body, dy)[:, is_middle], axis=1)
    notch = notch_depth(nearest, farthest, deepest_mm, dz)
    body = without_ghosts(body, front, notch, across_mm, axes.steps_mm)
    front = front_mm(body, dy)
    wall = find_chest_wall(image, body, front, notch, across_mm, axes.steps_mm)
    labels = breast_labels(body, front, notch, wall, across_mm, axes.steps_mm)
    stands_out = notch[:, None] - front
    seen = sides_seen(labels, stands_out, midline.shows_both, axes.steps_mm)
    if not seen:
        raise InputError(
            "Expected breasts in the image",
            f"found none in exam {exam.case_id}",
            "Segment the whole exam",
        )
    doubts = [*midline.doubts, *shape_doubts(labels, seen, wall, body, axes.steps_mm)]
    nipples = {
        side: _ras_mm(axes, nipple_place(front, labels == SIDES[side], axes.steps_mm))
        for side in seen
    }
    is_inside = np.arange(body.shape[1])[:, None] * dy > wall.depth_mm[:, None, :]
    return Breasts(
        LabelMap(axes.back(labels), grid),
        tuple(doubts),
        MappingProxyType(nipples),
        _Surfaces(axes, labels, body | is_inside, wall.depth_mm, midline.column),
    )


def _ras_mm(axes: BodyAxes, place: tuple[float, float, float]) -> tuple[float, float, float]:
    voxel = axes.voxels(np.array([place]))[0]
    r, a, s = (float(v) for v in (axes.grid.affine @ (*voxel, 1))[:3])
    return r, a, s
