"""The chest wall behind the breasts: the smooth surface in which pectoral muscle and ribs begin.

It is looked for behind the notch over the breastbone, where signal changes from breast to muscle:
down behind bright fat or gland, up behind suppressed fat. How deep it usually lies, and how far the
pectoral muscle usually stands out, decide where there is nothing to see.

References
----------
Dynamic programming over columns: Amini, Weymouth, Jain, IEEE PAMI 12, 855-867 (1990).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["ChestWall", "find_chest_wall", "notch_depth"]

Floats = NDArray[np.float32]

_WALL_MM = (
    (0, 13), (20, 9), (38, 6.5), (55, 8.5), (80, 15), (95, 23), (110, 32), (140, 50), (200, 90)
)  # fmt: skip
"""Distance from the midline, and how far behind the notch the chest wall usually lies there."""

_NEAREST_MM, _DEEPEST_MM = -45.0, 95.0
"""Where the wall is looked for, from the notch."""

_SPREAD_MM = 8.0
_WINDOW_MM = 6.0
_SKIN_MM = 7.0
"""Changes of signal nearer to the skin than this are the skin's."""

_FAINT, _CLEAR = 0.2, 0.6
"""How much the signal's logarithm must change from one window to the next before it counts
(muscle's own texture varies as much), and by how much more for full evidence."""

_RISE_WEIGHT = 0.7
"""A rise counts less than a fall: gland that begins behind fat rises too."""

_LEAST_OVER_AIR = 1.3
"""Signal below this many times that of air is no signal."""

_INTO_LUNG = 0.75
_BEFORE_LUNG_MM, _LUNG_WEIGHT = 21.0, 0.8
"""By how much the logarithm falls into the lungs; muscle and ribs before them are so thick, and a
place so far in front of them counts as weak evidence of the wall."""

_NOTCH_MM = 8.0
"""How far the skin over the breastbone may lie from a parabola."""

_DEEP_SHARES = (0.5, 0.75)
"""The deep slices are those beyond this share of all."""

_BEHIND_MM, _LEAST_DEEP = 15.0, 0.2
"""A parabola so much deeper, that so great a share of the slices agrees with, is the chest."""

_SAME_MM, _LEAST_SURE = 2.0, 0.3
"""Two depths of the skin agree within this; so great a share of the slices must agree."""

_USUAL_WEIGHT = 0.3
_SHIFTS_MM = np.arange(-14.0, 14.1, 2.0)
_BULGES_MM = np.arange(-28.0, 4.1, 4.0)
"""The whole wall may lie so much deeper than usual, and the pectoral muscle stand out so much."""

_BULGE_AT_MM, _BULGE_WIDTH_MM = 62.0, 30.0


@dataclass(frozen=True, eq=False)
class ChestWall:
    """The chest wall's outer surface, on the columns of a coarse exam."""

    depth_mm: Floats
    """Depth from the first row, mm, (Z, X)."""

    shift_mm: Floats
    """How much deeper than usual it lies in each slice, right and left, (Z, 2)."""

    evidence: Floats
    """How clearly the signal changes at it, 0 to 1, (Z, X)."""


def notch_depth(nearest: Floats, farthest: Floats, deepest_mm: float, dz: float) -> Floats:
    """Depth in mm of the skin over the breastbone, smooth from feet to head.

    A parabola from feet to head that most slices agree with, and what they show within a few mm of
    it: a breast that lies over the breastbone is nearer, the neck and noisy end slices are deeper.

    Parameters
    ----------
    nearest, farthest : array, shape (Z,)
        Depth of the skin in mm, by the air in front of it and by the air around the whole slice:
        a ghost of the heart before the chest may be taken for skin in the one, and the back of an
        open lung in the other. Where they differ, the one nearer to the parabola counts.
    deepest_mm : float
        Depth of the field of view; the front lies there where there is no body.
    dz : float
        Slice distance in mm.
    """
    from scipy import ndimage

    seen, is_sure = nearest, np.abs(farthest - nearest) < _SAME_MM
    if is_sure.mean() >= _LEAST_SURE:
        fitted = _parabola(nearest, is_sure & (nearest < deepest_mm - 1), dz)
        is_far = np.abs(farthest - fitted) < np.abs(nearest - fitted)
        seen = np.where(is_far, farthest, nearest)
    fitted = _parabola(seen, seen < deepest_mm - 1, dz)
    kept = np.clip(seen, fitted - _NOTCH_MM, fitted + _NOTCH_MM)
    return np.asarray(ndimage.gaussian_filter1d(kept, 10 / dz, mode="nearest"), np.float32)


def _parabola(seen: Floats, counts: NDArray[np.bool_], dz: float) -> NDArray[np.float64]:
    """Parabola near most of the depths (Z,) that count, sought from the deep and the others.

    A deeper one counts before it if enough slices agree: breasts or a ghost lie before the chest
    in the others, but nothing behind its skin looks like it.
    """
    height = (np.arange(len(seen)) - len(seen) / 2) * dz / 100
    terms = np.stack([height**power for power in range(3)], axis=1)
    if not counts.any():
        counts = np.ones(len(seen), bool)
    ridge = np.diag([0.0, 0.3, 3.0])
    found = []
    for share in _DEEP_SHARES:
        is_deep = seen >= np.quantile(seen[counts], share)
        for chosen in (is_deep, ~is_deep):
            weights = counts * chosen + 1e-3
            fitted = np.zeros(len(seen))
            for _ in range(15):
                weighted = terms * weights[:, None]
                fitted = terms @ np.linalg.solve(weighted.T @ terms + ridge, weighted.T @ seen)
                away = seen - fitted
                weights = counts / (1 + (away / np.where(away < 0, 5.0, 8.0)) ** 2) + 1e-3
            close = np.count_nonzero(counts & (np.abs(seen - fitted) < _NOTCH_MM))
            found.append((close / np.count_nonzero(counts), fitted))
    most, best = max(found, key=lambda one: one[0])
    for share, fitted in found:
        is_deeper = float((fitted - best)[counts].mean()) > _BEHIND_MM
        if share >= min(_LEAST_DEEP, most) and is_deeper and _lies_behind(seen, counts, fitted):
            best = fitted
    return best


def _lies_behind(seen: Floats, counts: NDArray[np.bool_], fitted: NDArray[np.float64]) -> bool:
    """Whether slices both above and below those that lie before a parabola agree with it.

    At one end alone it may be the neck or the belly.
    """
    before = np.flatnonzero(counts & (seen < fitted - _BEHIND_MM))
    close = np.flatnonzero(counts & (np.abs(seen - fitted) < _NOTCH_MM))
    if not len(before):
        return False
    middle, least = np.median(before), 0.1 * len(seen)
    return bool(min((close < middle).sum(), (close > middle).sum()) >= least)


def find_chest_wall(
    image: Floats,
    body: NDArray[np.bool_],
    front: Floats,
    notch: Floats,
    across_mm: NDArray[np.float64],
    steps: tuple[float, float, float],
) -> ChestWall:
    """The chest wall behind the notch.

    Parameters
    ----------
    image : array, shape (Z, Y, X)
        Feet to head, front to back, right to left.
    body : array of bool, shape (Z, Y, X)
        What is not air.
    front : array, shape (Z, X)
        Depth of the body's front in mm.
    notch : array, shape (Z,)
        As `notch_depth` gives.
    across_mm : array, shape (X,)
        Distance of each column from the midline, negative on the patient's right.
    steps : tuple of float
        Voxel size (z, y, x) in mm.
    """
    from scipy import ndimage

    dz, _, dx = steps
    depths = np.arange(_NEAREST_MM, _DEEPEST_MM, steps[1])
    outside = image[~body & (image > 0)]
    air = float(np.median(outside)) if outside.size else 0.0
    evidence = _evidence(image, air, front, notch, depths, steps)
    usual = np.interp(np.abs(across_mm), *np.array(_WALL_MM, float).T)
    bulge = np.exp(-0.5 * ((np.abs(across_mm) - _BULGE_AT_MM) / _BULGE_WIDTH_MM) ** 2)
    expected = np.empty(front.shape, np.float32)
    shifts = np.zeros((len(notch), 2), np.float32)
    for number, is_side in enumerate((across_mm < 0, across_mm >= 0)):
        columns = np.flatnonzero(is_side & (np.abs(across_mm) < 90))
        if len(columns):
            shift, stands_out = _usual_shape(evidence, depths, usual, bulge, columns, dz)
            shifts[:, number] = shift
            fitted = usual + shift[:, None] + bulge * stands_out[:, None]
            expected[:, is_side] = fitted[:, is_side]
    unusual = (depths[None, :, None] - expected[:, None, :]) / _SPREAD_MM
    path = depths[_cheapest_paths(_USUAL_WEIGHT * unusual**2 - evidence, 2)]
    path = ndimage.gaussian_filter(path, (4 / dz, 4 / dx), mode="nearest")
    rows = np.searchsorted(depths, path).clip(1, len(depths) - 2)
    z, x = np.indices(path.shape)
    seen = np.max([evidence[z, rows + k, x] for k in (-1, 0, 1)], axis=0) / _CLEAR
    wall = notch[:, None] + path
    return ChestWall(wall.astype(np.float32), shifts, seen.astype(np.float32))


def _evidence(
    image: Floats,
    air: float,
    front: Floats,
    notch: Floats,
    depths: NDArray[np.float64],
    steps: tuple[float, float, float],
) -> Floats:
    """How much signal changes at depths behind the notch, 0 to `_CLEAR`, (Z, depths, X)."""
    from scipy import ndimage

    dz, dy, dx = steps
    window = max(1, round(_WINDOW_MM / dy))
    mean = ndimage.gaussian_filter(image, (4 / dz, 0.5, 3 / dx))
    mean = ndimage.uniform_filter1d(mean, window, axis=1, mode="nearest")
    log = np.log(np.maximum(mean, max(_LEAST_OVER_AIR * air, 1e-3 * float(image.max()))))
    rows = (notch[:, None] + depths) / dy
    before, behind = (_at_rows(log, rows + way * window / 2) for way in (-1, 1))
    fall = before - behind
    evidence = np.clip(np.maximum(fall, -_RISE_WEIGHT * fall) - _FAINT, 0, _CLEAR)
    is_lung = _is_lung(fall, dy)
    evidence[is_lung] = 0
    ahead = round(_BEFORE_LUNG_MM / dy)
    hint = np.zeros_like(evidence)
    hint[:, :-ahead] = is_lung[:, ahead:]
    hint = ndimage.gaussian_filter1d(hint, 4 / dy, axis=1) * _LUNG_WEIGHT
    evidence = np.maximum(evidence, hint)
    is_skin = (rows * dy)[:, :, None] < front[:, None, :] + _SKIN_MM
    evidence[is_skin] = 0
    return np.asarray(ndimage.gaussian_filter1d(evidence, 5 / dz, axis=0, mode="nearest"))


def _is_lung(fall: Floats, dy: float) -> NDArray[np.bool_]:
    """Where the signal falls into the lungs: by much, and by as much nowhere just behind."""
    from scipy import ndimage

    is_steep = fall > _INTO_LUNG
    first, last = round(10 / dy), round(30 / dy)
    # A window of rows, moved so that it lies behind the row it is about.
    size = last - first + 1
    moved = np.zeros_like(is_steep)
    moved[:, : -(first + size // 2)] = is_steep[:, first + size // 2 :]
    return np.asarray(is_steep & ~ndimage.maximum_filter1d(moved, size, axis=1, mode="constant"))


def _at_rows(values: Floats, rows: NDArray[np.float64]) -> Floats:
    """Values (Z, Y, X) at fractional rows (Z, N) of each slice, (Z, N, X)."""
    low = np.floor(rows).astype(int)
    part = (rows - low).astype(np.float32)[:, :, None]
    last = values.shape[1] - 1
    z = np.arange(len(values))[:, None]
    first, second = values[z, low.clip(0, last)], values[z, (low + 1).clip(0, last)]
    return np.asarray(first * (1 - part) + second * part)


def _usual_shape(
    evidence: Floats,
    depths: NDArray[np.float64],
    usual: NDArray[np.float64],
    bulge: NDArray[np.float64],
    columns: NDArray[np.intp],
    dz: float,
) -> tuple[Floats, Floats]:
    """Shift of the whole wall and of the pectoral muscle in each slice, mm, (Z,) each."""
    from scipy import ndimage

    shift, stands_out = (a.ravel() for a in np.meshgrid(_SHIFTS_MM, _BULGES_MM, indexing="ij"))
    wanted = (
        usual[columns] + shift[:, None] + stands_out[:, None] * bulge[columns]
    )  # (states, columns)
    rows = np.searchsorted(depths, wanted).clip(0, len(depths) - 1)
    seen = evidence[:, rows, columns].mean(axis=2)  # (Z, states)
    seen = ndimage.gaussian_filter1d(seen, 10 / dz, axis=0, mode="nearest")
    cost = 0.04 * (shift / 6) ** 2 + 0.02 * (stands_out / 8) ** 2 - seen
    apart = (np.subtract.outer(shift, shift) / 4) ** 2
    apart += (np.subtract.outer(stands_out, stands_out) / 6) ** 2
    step = 0.02 * apart * (5 / dz)
    total, came_from = cost[0].copy(), []
    for one in cost[1:]:
        options = total[:, None] + step
        chosen = options.argmin(axis=0)
        came_from.append(chosen)
        total = options[chosen, np.arange(len(chosen))] + one
    state = [int(total.argmin())]
    for chosen in reversed(came_from):
        state.append(int(chosen[state[-1]]))
    path = np.array(state[::-1])
    smooth = [
        ndimage.gaussian_filter1d(a[path], 8 / dz, mode="nearest") for a in (shift, stands_out)
    ]
    return np.asarray(smooth[0], np.float32), np.asarray(smooth[1], np.float32)


def _cheapest_paths(cost: NDArray[np.floating], most_step: int) -> NDArray[np.intp]:
    """Row of each column along the cheapest path through every plane (Z, rows, columns)."""
    planes, rows, columns = cost.shape
    total = cost[:, :, 0].copy()
    came_from = np.zeros((planes, rows, columns), np.int8)
    moves = np.arange(-most_step, most_step + 1)
    for column in range(1, columns):
        padded = np.pad(total, ((0, 0), (most_step, most_step)), constant_values=np.inf)
        options = np.stack(
            [padded[:, most_step + m : most_step + m + rows] + 0.02 * m * m for m in moves]
        )
        chosen = options.argmin(axis=0)
        came_from[:, :, column] = moves[chosen]
        total = options.min(axis=0) + cost[:, :, column]
    path = np.zeros((planes, columns), np.intp)
    path[:, -1] = total.argmin(axis=1)
    each = np.arange(planes)
    for column in range(columns - 1, 0, -1):
        at = path[:, column]
        path[:, column - 1] = (at + came_from[each, at, column]).clip(0, rows - 1)
    return path
