"""The body's front in an exam turned to the body's axes: its skin, the midline and the side seen.

Arrays are (feet to head, front to back, right to left); see `body_axes`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "BOTH_MM",
    "Midline",
    "body_mask",
    "chest_front_mm",
    "find_midline",
    "front_mm",
    "without_ghosts",
]

Floats = NDArray[np.float32]

BOTH_MM = 240.0
"""A field of view at least this wide from right to left shows both breasts."""

_CLEAR_OFFSET_MM = 25.0
"""A field of view this far off the patient's midline shows the breast of that side."""

_CLEAR_FALL_MM = 12.0
"""By so much the chest must lie deeper at its side than at the breastbone to tell them apart."""

_BEYOND_MM, _WITHIN_MM = 30.0, 60.0
"""How far outside and inside the field's edge the midline may lie in an exam of one breast."""

_MOST_APART_MM = 30.0
"""Mirror places of the front that differ by more count as so different: a ghost has no mirror."""

_OFF_CENTER = 0.004
"""By how much, per mm2, a midline away from the field's center must fit better: patients lie within
some 10 mm of it."""

_DIM = 0.6
"""Share of the level that parts air from tissue best from which a voxel counts as tissue: far from
the coil it is dim."""

_MEDIAL_MM, _FORWARD_MM = 50.0, 8.0
"""Within so far of the midline the front of a breast only falls back towards it, but for so much:
its nipple lies farther out."""

_EDGE, _EDGE_MM = 0.5, 6.0
"""The skin lies where the signal reaches this share of the largest at most so far from it."""

_GLARE = 1.5
"""What is brighter than this many times its surroundings counts as so bright."""

_FAINT = 0.45
"""Tissue at the front is at least this share as bright as the tissue around."""


@dataclass(frozen=True)
class Midline:
    """Where the patient's midline lies from right to left."""

    column: float
    """In columns; may lie outside the field of view of one breast."""

    shows_both: bool
    """Whether the field of view is wide enough for both breasts."""

    doubts: tuple[str, ...] = ()
    """Why the sides are not to be trusted."""


def body_mask(image: Floats, steps: tuple[float, float, float]) -> NDArray[np.bool_]:
    """The largest part that is not air; dark lungs and muscle may be missing from it.

    Returns
    -------
    array of bool, shape (Z, Y, X)
        Empty if nothing stands out from the air.
    """
    from scipy import ndimage
    from skimage.filters import threshold_otsu

    smooth = ndimage.gaussian_filter(image, [1.5 / step for step in steps])
    bright = float(np.percentile(smooth, 98))
    if bright <= 0:
        return np.zeros(image.shape, bool)
    scale = np.sqrt(np.clip(smooth / bright, 0, 1))
    front = scale[:, : max(1, image.shape[1] // 2)]
    level = _DIM * bright * float(threshold_otsu(front.ravel())) ** 2
    is_tissue = smooth > np.maximum(level, _noise_level(smooth, level))[:, None, None]
    body = _largest(is_tissue)
    # Haze before the skin: motion, ghosts and partial volume are fainter than the tissue around.
    for _ in range(2):
        body &= smooth > _FAINT * _mean_around(body, smooth, steps)
    closed = ndimage.binary_closing(body, np.ones((1, 3, 3), bool)) | body
    opened = ndimage.binary_opening(closed, np.ones((1, 3, 3), bool))
    filled = np.asarray([ndimage.binary_fill_holes(plane) for plane in _largest(opened)])
    return _without_haze(filled, smooth, steps)


def _without_haze(
    body: NDArray[np.bool_], smooth: Floats, steps: tuple[float, float, float]
) -> NDArray[np.bool_]:
    """The body from the first row of each column that is half as bright as what lies behind it.

    A vessel or a tumor, much brighter than all around, does not count for more than a little above
    its surroundings, and clefts that it leaves in the skin beside it are closed.
    """
    from scipy import ndimage

    around = _mean_around(body, smooth, steps)
    size = [max(1, 2 * round(_EDGE_MM / step) + 1) for step in steps]
    peak = ndimage.maximum_filter(np.where(body, np.minimum(smooth, _GLARE * around), 0), size)
    is_clear = body & (smooth > _EDGE * peak)
    cut = body & np.logical_or.accumulate(is_clear, axis=1)
    closed = ndimage.binary_closing(cut, np.ones((3, 1, 5), bool)) & body
    return np.asarray(cut | closed)


def _mean_around(
    body: NDArray[np.bool_], smooth: Floats, steps: tuple[float, float, float]
) -> Floats:
    """Mean signal of the body in some 10 mm around each voxel."""
    from scipy import ndimage

    size = [10.0 / step for step in steps]
    share = ndimage.gaussian_filter(body.astype(np.float32), size)
    return np.asarray(
        ndimage.gaussian_filter(np.where(body, smooth, 0), size) / np.maximum(share, 1e-3)
    )


def _largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest connected part; empty if there is none."""
    from scipy import ndimage

    parts, _ = ndimage.label(mask)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return np.asarray((parts == sizes.argmax()) & mask)


def _noise_level(smooth: Floats, level: float) -> Floats:
    """Signal that noise alone reaches in each slice: scanners amplify the ends of a slab."""
    front = smooth[:, : smooth.shape[1] // 3]
    levels = np.zeros(len(smooth), np.float32)
    for z, plane in enumerate(front):
        air = plane[(plane < level) & (plane > 0)]
        if air.size > 50:
            low, middle = np.percentile(air, (16, 50))
            levels[z] = middle + 4 * (middle - low)
    return levels


def front_mm(body: NDArray[np.bool_], dy: float) -> Floats:
    """Depth of the body's front in mm, shape (Z, X); the whole depth where there is no body."""
    rows = np.where(body.any(axis=1), body.argmax(axis=1), body.shape[1])
    return np.asarray(rows * dy, np.float32)


def chest_front_mm(body: NDArray[np.bool_], dy: float) -> Floats:
    """Depth of the skin of the chest in mm, shape (Z, X): the last that has air before it.

    Over the breastbone this is the chest even where a ghost of the heart or a breast lies before
    it. The air within the lungs does not count unless it is one with that around the patient.
    """
    from scipy import ndimage

    within_slices = np.zeros((3, 3, 3), bool)
    within_slices[1, 1] = within_slices[1, :, 1] = True
    parts, _ = ndimage.label(~body, within_slices)
    outside = np.unique(parts[:, 0])
    is_outside = np.isin(parts, outside[outside > 0])
    is_skin = np.zeros_like(body)
    is_skin[:, 0] = body[:, 0]
    is_skin[:, 1:] = body[:, 1:] & is_outside[:, :-1]
    last = body.shape[1] - 1 - is_skin[:, ::-1].argmax(axis=1)
    rows = np.where(is_skin.any(axis=1), last, body.shape[1])
    return np.asarray(rows * dy, np.float32)


def without_ghosts(
    body: NDArray[np.bool_],
    front: Floats,
    notch: Floats,
    across_mm: NDArray[np.float64],
    steps: tuple[float, float, float],
) -> NDArray[np.bool_]:
    """The body without what lies before the chest between a breast and the midline, in the air.

    From a breast's middle to the midline its front falls back to the chest and does not come
    forward again; a ghost of the heart does.

    Parameters
    ----------
    body : array of bool, shape (Z, Y, X)
    front : array, shape (Z, X)
        Depth of its front, mm.
    notch : array, shape (Z,)
        Depth of the skin over the breastbone, mm.
    across_mm : array, shape (X,)
        Distance of each column from the midline, negative on the patient's right.
    steps : tuple of float
        Voxel size (z, y, x) in mm.
    """
    from scipy import ndimage

    dz, dy, dx = steps
    allowed = np.full(front.shape, -np.inf)
    smooth = ndimage.median_filter(front, [2 * round(4 / step) + 1 for step in (dz, dx)])
    for columns in (np.flatnonzero(across_mm < 0), np.flatnonzero(across_mm >= 0)[::-1]):
        aside_mm = np.abs(across_mm[columns])
        medial = columns[aside_mm < _MEDIAL_MM]
        breast = columns[(aside_mm >= _MEDIAL_MM) & (aside_mm < 2 * _MEDIAL_MM)]
        if not len(medial) or not len(breast):
            continue
        fallen = np.maximum.accumulate(smooth[:, medial], axis=1)
        fallen = np.maximum(fallen, smooth[:, breast].min(axis=1, keepdims=True))
        allowed[:, medial] = np.minimum(fallen, notch[:, None]) - _FORWARD_MM
    depth_mm = (np.arange(body.shape[1]) + 0.5) * dy
    return np.asarray(body & (depth_mm[:, None] > allowed[:, None, :]))


def find_midline(front: Floats, across_mm: NDArray[np.float64], deepest_mm: float) -> Midline:
    """The midline, from the symmetry of the front or, of one breast, from its place and shape.

    Parameters
    ----------
    front : array, shape (Z, X)
        As `front_mm` gives.
    across_mm : array, shape (X,)
        Patient coordinate of each column, RAS mm, falling from right to left.
    deepest_mm : float
        Depth of the field of view; the front lies there where there is no body.
    """
    dx = float(abs(across_mm[1] - across_mm[0])) if len(across_mm) > 1 else 1.0
    if len(across_mm) * dx >= BOTH_MM:
        return Midline(_symmetry(front, dx), True)
    center = float(across_mm.mean())
    by_place = 0 if abs(center) < _CLEAR_OFFSET_MM else int(np.sign(center))
    by_shape = _side_by_shape(front, dx, deepest_mm)
    side = by_place or by_shape or (1 if center >= 0 else -1)
    doubts = []
    names = {1: "right", -1: "left"}
    if not by_place and not by_shape:
        doubts.append("neither the position nor the shape of the chest says which breast this is")
    elif by_place * by_shape < 0:
        doubts.append(
            f"the position says {names[by_place]} breast, the shape of the chest says "
            f"{names[by_shape]}"
        )
    # The right breast's breastbone is at the last column, the left one's at the first.
    edge = len(across_mm) - 0.5 if side > 0 else -0.5
    column = edge
    if by_place:
        zero = float(np.interp(0, across_mm[::-1], np.arange(len(across_mm))[::-1]))
        if across_mm.min() > 0:
            zero = len(across_mm) - 1 + across_mm.min() / dx
        elif across_mm.max() < 0:
            zero = across_mm.max() / dx
        within, beyond = _WITHIN_MM / dx, _BEYOND_MM / dx
        low, high = (edge - within, edge + beyond) if side > 0 else (edge - beyond, edge + within)
        if not low <= zero <= high:
            doubts.append("the breastbone is not in the field of view")
        column = float(np.clip(zero, low, high))
    return Midline(column, False, tuple(doubts))


def _side_by_shape(front: Floats, dx: float, deepest_mm: float) -> int:
    """1 if the field shows the right breast, -1 the left, 0 if the shape does not say.

    The chest falls back at its side, and not at the breastbone.
    """
    width = max(1, round(10 / dx))
    seen = np.minimum(front, deepest_mm)
    right = np.median(seen[:, :width], axis=1)
    left = np.median(seen[:, -width:], axis=1)
    is_seen = np.minimum(right, left) < deepest_mm
    if not is_seen.any():
        return 0
    fall = float(np.median((right - left)[is_seen]))
    return 0 if abs(fall) < _CLEAR_FALL_MM else int(np.sign(fall))


def _symmetry(front: Floats, dx: float) -> float:
    """Column about which the front is most symmetric."""
    width = front.shape[1]
    reach = int(min(100.0 / dx, 0.32 * width))
    profile = front.astype(np.float64)
    best, middle = np.inf, width / 2
    for twice in range(int(2 * 0.38 * width), int(2 * 0.62 * width)):  # in steps of half a column
        left = np.arange((twice + 1) // 2 - 1, -1, -1)[:reach]
        right = twice - left
        keep = right < width
        apart = np.abs(profile[:, left[keep]] - profile[:, right[keep]])
        off_mm = (twice / 2 - (width - 1) / 2) * dx
        away = float(np.minimum(apart, _MOST_APART_MM).mean()) + _OFF_CENTER * off_mm**2
        if keep.sum() >= reach * 0.8 and away < best:
            best, middle = away, twice / 2
    return float(middle)
