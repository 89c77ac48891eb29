"""The chest wall behind the breasts, slice by slice.

The wall is the smooth surface behind the notch between the breasts where the signal falls from fat
to muscle. How deep it usually lies decides where fat suppression leaves nothing to see.

References
----------
Dynamic programming over columns: Amini, Weymouth, Jain, IEEE PAMI 12, 855-867 (1990).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["chest_wall", "notch_depth"]

Floats = NDArray[np.float32]

_WALL_MM = (
    (0, 13), (20, 9), (38, 6.5), (55, 8.5), (80, 15), (95, 23), (110, 32), (140, 50)
)  # fmt: skip
"""Distance from the midline, and how far behind the notch the chest wall usually lies there."""

_WALL_SPREAD_MM = 9.0
_DEEPEST_MM = 70.0
_WINDOW_MM = 6.0
_FAINT_FALL, _CLEAR_FALL = 0.25, 0.5
"""How much the signal's logarithm must fall from one window to the next before it counts (muscle's
own texture varies as much), and by how much more for full evidence."""

_LEAST_OVER_AIR = 3.0
"""Signal below this many times that of air is lung, whose border lies behind the wall."""

_USUAL_WEIGHT = 0.3
_OFFSET_WEIGHT = 0.05


def notch_depth(front: Floats, is_middle: NDArray[np.bool_], dz: float) -> Floats:
    """Depth in mm of the skin over the sternum, smooth from feet to head.

    Parameters
    ----------
    front : array, shape (Z, X)
        Depth of the body's front in mm.
    is_middle : array of bool, shape (X,)
        Columns over the sternum.
    dz : float
        Slice distance in mm.
    """
    from scipy import ndimage

    deepest = np.median(front[:, is_middle], axis=1)
    size = min(len(deepest), max(1, round(40 / dz)))
    smooth = ndimage.median_filter(deepest, size, mode="nearest")
    return np.asarray(ndimage.gaussian_filter1d(smooth, 15 / dz, mode="nearest"), np.float32)


def chest_wall(
    image: Floats,
    air: float,
    notch: Floats,
    across_mm: NDArray[np.float64],
    steps: tuple[float, float, float],
) -> tuple[Floats, Floats]:
    """Chest wall behind the notch in mm, (Z, X), and how much deeper than usual it is, (Z,).

    Parameters
    ----------
    image : array, shape (Z, Y, X)
        Feet to head, front to back, right to left.
    air : float
        Signal of air.
    notch : array, shape (Z,)
        As `notch_depth` gives.
    across_mm : array, shape (X,)
        Distance of each column from the midline, negative on the patient's right.
    steps : tuple of float
        Voxel size (z, y, x) in mm.
    """
    from scipy import ndimage

    dz, dy, dx = steps
    depths = np.arange(-6.0, _DEEPEST_MM, dy)
    window = max(1, round(_WINDOW_MM / dy))
    mean = ndimage.gaussian_filter(image, (6 / dz, 0.5, 4 / dx))
    mean = ndimage.uniform_filter1d(mean, window, axis=1, mode="nearest")
    z, _, x = np.indices((len(notch), len(depths), len(across_mm)), dtype=np.float32)
    at = (notch[:, None, None] + depths[None, :, None].astype(np.float32)) / dy + 0 * x
    before, behind = (
        ndimage.map_coordinates(mean, (z, at + way * window / 2, x), order=1, mode="nearest")
        for way in (-1, 1)
    )
    least = max(_LEAST_OVER_AIR * air, 1e-3 * float(image.max()))
    fall = np.log(np.maximum(before, least)) - np.log(np.maximum(behind, least))
    evidence = np.where(behind > least, np.clip(fall - _FAINT_FALL, 0, _CLEAR_FALL), 0)
    evidence = ndimage.gaussian_filter1d(evidence, 8 / dz, axis=0, mode="nearest")
    usual = np.interp(np.abs(across_mm), *np.array(_WALL_MM, float).T)
    offsets = _offsets_mm(evidence, depths, usual, np.abs(across_mm) < 75, dz)
    unusual = (depths[None, :, None] - usual - offsets[:, None, None]) / _WALL_SPREAD_MM
    cost = _USUAL_WEIGHT * unusual**2 - evidence
    return depths[_cheapest_paths(cost, 2)].astype(np.float32), offsets.astype(np.float32)


def _offsets_mm(
    evidence: Floats,
    depths: NDArray[np.float64],
    usual: NDArray[np.float64],
    is_before_lungs: NDArray[np.bool_],
    dz: float,
) -> NDArray[np.float64]:
    """How much deeper than usual the wall lies in each slice, with more or less fat in front."""
    from scipy import ndimage

    columns = np.flatnonzero(is_before_lungs)
    offsets = np.arange(-4.0, 13.0, 1.0)
    rows = np.searchsorted(depths, usual[columns] + offsets[:, None]).clip(0, len(depths) - 1)
    seen = evidence[:, rows, columns].mean(axis=2).T
    seen = ndimage.gaussian_filter1d(seen, 12 / dz, axis=1, mode="nearest")
    cost = _OFFSET_WEIGHT * (offsets[:, None] / 6) ** 2 - seen
    path = offsets[_cheapest_paths(cost[None], 1)[0]]
    return np.asarray(ndimage.gaussian_filter1d(path, 8 / dz, mode="nearest"))


def _cheapest_paths(cost: Floats, most_step: int) -> NDArray[np.intp]:
    """Row of each column along the cheapest path through every plane (Z, rows, columns)."""
    planes, rows, columns = cost.shape
    total = cost[:, :, 0].copy()
    came_from = np.zeros((planes, rows, columns), np.intp)
    moves = range(-most_step, most_step + 1)
    for column in range(1, columns):
        padded = np.pad(total, ((0, 0), (most_step, most_step)), constant_values=np.inf)
        options = np.stack(
            [padded[:, most_step + m : most_step + m + rows] + 0.02 * m * m for m in moves]
        )
        chosen = options.argmin(axis=0)
        came_from[:, :, column] = np.arange(rows) + chosen - most_step
        total = options.min(axis=0) + cost[:, :, column]
    path = np.zeros((planes, columns), np.intp)
    path[:, -1] = total.argmin(axis=1)
    each = np.arange(planes)
    for column in range(columns - 1, 0, -1):
        path[:, column - 1] = came_from[each, path[:, column], column]
    return path
