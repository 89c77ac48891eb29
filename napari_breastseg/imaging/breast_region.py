"""Where the breasts are: right and left, without chest wall, heart and air.

Classical image analysis; no network.

On a coarse copy of the exam, turned to (feet to head, front to back, right to left):

1. the body is what is not air; its front is a height map,
2. the midline is the column about which that map is most symmetric; the front there is the notch
   over the sternum,
3. the chest wall is found behind the notch (`chest_wall`),
4. the breast is the soft tissue in front of the wall, where it is thick enough, and at the sides as
   far back as a plane behind the sternum.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InputError
from ..core.volume import Exam, LabelMap
from .chest_wall import chest_wall, notch_depth

__all__ = ["LEFT", "MARGIN_MM", "RIGHT", "breast_region", "near_breasts"]

RIGHT, LEFT = 1, 2
"""Values of the region's label map: the patient's sides."""

MARGIN_MM = 10.0
"""How far from the region a voxel still counts as near: tumors also grow at the chest wall, and the
region may end a little in front of it."""

Floats = NDArray[np.float32]

_LEAST_FIELD_MM = 240.0
_STEP_MM = (2.5, 1.5, 1.5)
_BACK_MM = 27.0
"""How far behind the notch a breast reaches at the sides."""

_LEAST_THICKNESS_MM = 14.0
"""Skin and fat thinner than this over the chest are not a breast."""

_STRIP_MM = 11.0
"""Half the width of the strip over the sternum between the breasts."""

_HALO = 0.45
"""A voxel at the front is tissue from this share of the brightest tissue beside it."""


def breast_region(exam: Exam) -> LabelMap:
    """Right and left breast of a bilateral exam on its own grid.

    Good enough to crop an exam and to flag findings outside the breasts, not to measure a breast.

    Parameters
    ----------
    exam : Exam
        With both breasts in its field of view and known orientation; axes in any order. The mean
        of its phases is used.

    Returns
    -------
    LabelMap
        0 elsewhere, 1 right, 2 left breast.

    Raises
    ------
    InputError
        If orientation or spacing is not known, the field of view is too narrow for both breasts,
        or shows no body.
    """
    found = _find(exam)
    return LabelMap(found.on_grid(exam), exam.grid)


def near_breasts(exam: Exam, margin_mm: float = MARGIN_MM) -> NDArray[np.bool_]:
    """Voxels in a breast or at most `margin_mm` from one: where a tumor may be.

    Returns
    -------
    array of bool, shape (Z, Y, X)

    Raises
    ------
    InputError
        As `breast_region`; or if no breast is found.
    """
    from scipy import ndimage

    found = _find(exam)
    if not found.coarse.any():
        raise InputError(
            "Expected breasts in the image",
            f"found none in exam {exam.case_id}",
            "Segment the whole exam",
        )
    away_mm = ndimage.distance_transform_edt(found.coarse == 0, sampling=found.steps_mm)
    near = replace(found, coarse=(away_mm <= margin_mm).astype(np.uint8))
    return near.on_grid(exam).view(np.bool_)


@dataclass(frozen=True)
class _Turn:
    """How an array is turned to (feet to head, front to back, right to left), and back."""

    order: tuple[int, int, int]
    is_flipped: tuple[bool, bool, bool]

    def there(self, array: NDArray[np.generic]) -> NDArray[np.generic]:
        flips = tuple(slice(None, None, -1 if f else 1) for f in self.is_flipped)
        return array.transpose(self.order)[flips]

    def back(self, array: NDArray[np.uint8], shape: tuple[int, int, int]) -> NDArray[np.uint8]:
        whole = array[tuple(slice(0, shape[axis]) for axis in self.order)]
        flips = tuple(slice(None, None, -1 if f else 1) for f in self.is_flipped)
        turned = whole[flips].transpose(np.argsort(self.order))
        return np.ascontiguousarray(turned)


@dataclass(frozen=True)
class _Found:
    """A region on the coarse copy of an exam, and the way back to its grid."""

    coarse: NDArray[np.uint8]
    steps_mm: tuple[float, float, float]
    factors: tuple[int, ...]
    turn: _Turn

    def on_grid(self, exam: Exam) -> NDArray[np.uint8]:
        return self.turn.back(_refine(self.coarse, self.factors), exam.grid.shape)


def _find(exam: Exam) -> _Found:
    """The region on the coarse copy; raises as `breast_region` does."""
    grid = exam.grid
    letters = grid.end_letters
    if letters is None or grid.spacing_mm is None:
        raise InputError(
            "Expected an exam with known sides and spacing to find the breasts",
            f"found exam {exam.case_id} with {grid.describe()}"
            + (" and unknown sides" if letters is None else ""),
            "Open the DICOM or NIfTI files it was made from",
        )
    turn = _turn(letters)
    spacing = [grid.voxel_size[axis] for axis in turn.order]
    field_mm = grid.shape[turn.order[2]] * spacing[2]
    if field_mm < _LEAST_FIELD_MM:
        raise InputError(
            f"Expected both breasts in the field of view, {_LEAST_FIELD_MM:g} mm from right "
            "to left",
            f"found {field_mm:.0f} mm in exam {exam.case_id}",
            "Continue without a breast region",
        )
    factors = tuple(max(1, round(step / s)) for step, s in zip(_STEP_MM, spacing, strict=True))
    z, y, x = (s * f for s, f in zip(spacing, factors, strict=True))
    coarse = _region(_coarse_mean(exam, turn, factors), (z, y, x), exam.case_id)
    return _Found(coarse, (z, y, x), factors, turn)


def _turn(letters: tuple[tuple[str, str], ...]) -> _Turn:
    order, flipped = [], []
    for wanted in (("F", "H"), ("A", "P"), ("R", "L")):
        axis = next(i for i, ends in enumerate(letters) if set(ends) == set(wanted))
        order.append(axis)
        flipped.append(letters[axis] != wanted)
    return _Turn((order[0], order[1], order[2]), (flipped[0], flipped[1], flipped[2]))


def _coarse_mean(exam: Exam, turn: _Turn, factors: tuple[int, ...]) -> Floats:
    """Mean of the phases over blocks of voxels; incomplete last blocks repeat the border."""
    means: list[Floats] = []
    for volume in exam.phases.values():
        mean = _block_mean(turn.there(volume.data), 0, factors[0])
        for axis in (1, 2):
            mean = _block_mean(mean, axis, factors[axis])
        means.append(mean)
    return np.asarray(np.mean(means, axis=0), np.float32)


def _block_mean(data: NDArray[np.generic], axis: int, factor: int) -> Floats:
    count = -(-data.shape[axis] // factor)
    parts = [
        np.take(data, np.minimum(np.arange(count) * factor + k, data.shape[axis] - 1), axis=axis)
        for k in range(factor)
    ]
    mean = parts[0].astype(np.float32)
    for part in parts[1:]:
        mean += part
    return np.asarray(mean / np.float32(factor), np.float32)


def _refine(coarse: NDArray[np.uint8], factors: tuple[int, ...]) -> NDArray[np.uint8]:
    fine = coarse
    for axis, factor in enumerate(factors):
        fine = np.repeat(fine, factor, axis=axis)
    return fine


def _region(image: Floats, steps: tuple[float, float, float], case_id: str) -> NDArray[np.uint8]:
    from scipy import ndimage

    body = _body(image)
    if not body.any():
        raise InputError(
            "Expected a body in the image to find the breasts",
            f"found none that stands out from the air in exam {case_id}",
            "Continue without a breast region",
        )
    dz, dy, dx = steps
    body &= np.maximum.accumulate(body & ~_is_halo(image, steps), axis=1)
    front = np.where(body.any(axis=1), body.argmax(axis=1), body.shape[1]).astype(np.float32) * dy
    middle = _midline(front, dx)
    across_mm = (np.arange(front.shape[1]) - middle) * dx
    notch = notch_depth(front, np.abs(across_mm) < 9, dz)
    air = float(np.median(image[~body])) if not body.all() else 0.0
    depth, offsets = chest_wall(image, air, notch, across_mm, steps)
    wall, back = notch[:, None] + depth, notch + _BACK_MM + np.maximum(offsets, 0)
    behind = np.minimum(wall, back[:, None])
    smooth = (6.0 / dz, 6.0 / dx)
    thick = ndimage.gaussian_filter(behind - front, smooth) > _LEAST_THICKNESS_MM
    thick &= np.abs(across_mm) > _STRIP_MM
    depth_mm = np.arange(body.shape[1], dtype=np.float32) * dy
    is_breast = body & thick[:, None, :] & (depth_mm[:, None] < behind[:, None, :])
    sides = np.where(across_mm < 0, np.uint8(RIGHT), np.uint8(LEFT))
    labels: NDArray[np.uint8] = is_breast * sides
    return labels


def _body(image: Floats) -> NDArray[np.bool_]:
    """The largest part that is not air, lungs filled."""
    from scipy import ndimage
    from skimage.filters import threshold_otsu

    smooth = ndimage.gaussian_filter(image, (0.5, 1.0, 1.0))
    bright = float(np.percentile(smooth, 98))
    if bright <= 0:
        return np.zeros(image.shape, bool)
    scale = np.sqrt(np.clip(smooth / bright, 0, 1))
    is_tissue = scale > threshold_otsu(scale[:, : image.shape[1] // 2])
    parts, count = ndimage.label(is_tissue)
    if not count:
        return np.zeros(image.shape, bool)
    largest = parts == 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
    # Everything behind the front counts as body: lungs and dark muscle are not air.
    body: NDArray[np.bool_] = np.maximum.accumulate(
        ndimage.binary_opening(largest, np.ones((1, 3, 3), bool)), axis=1
    ) & (largest | ndimage.binary_closing(largest, np.ones((1, 9, 9), bool)))
    return np.asarray([ndimage.binary_fill_holes(plane) for plane in body])


def _is_halo(image: Floats, steps: tuple[float, float, float]) -> NDArray[np.bool_]:
    """Voxels less than half as bright as tissue beside them: partial volume, ghosts, noise."""
    from scipy import ndimage

    size = [max(1, 2 * round(6 / step) + 1) for step in steps]
    smooth = ndimage.gaussian_filter(image, (0.3, 0.5, 0.5))
    return np.asarray(smooth < _HALO * ndimage.maximum_filter(smooth, size))


def _midline(front: Floats, dx: float) -> float:
    """Column about which the front is most symmetric."""
    width = front.shape[1]
    reach = int(min(100.0 / dx, 0.32 * width))
    profile = front.astype(np.float64)
    best, middle = np.inf, width / 2
    for twice in range(int(2 * 0.38 * width), int(2 * 0.62 * width)):  # in steps of half a column
        left = np.arange((twice + 1) // 2 - 1, -1, -1)[:reach]
        right = twice - left
        keep = right < width
        away = float(np.abs(profile[:, left[keep]] - profile[:, right[keep]]).mean())
        if keep.sum() >= reach * 0.8 and away < best:
            best, middle = away, twice / 2
    return float(middle)
