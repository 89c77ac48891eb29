"""Masks on the lattice of an exam, stored otherwise: reversed or permuted axes, cropped, padded.

Slicer crops a `.seg.nrrd` to its segments; dcm2niix and other converters turn axes round. Their
voxels lie on the exam's voxels, so nothing is resampled. Loads no image library.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InputError
from ..core.volume import SAME_VOXELS, Grid, LabelMap

__all__ = ["placed", "placement"]


def placed(label_map: LabelMap, grid: Grid, case_id: str = "") -> LabelMap:
    """A label map on an exam's grid, its voxels where they lie in the patient.

    Parameters
    ----------
    label_map : LabelMap
        On the grid itself or on a part of the same lattice, with its axes in any order and
        direction. What it does not cover becomes background.
    grid : Grid
        The exam's.
    case_id : str
        The exam's name, for messages.

    Raises
    ------
    InputError
        If its voxels lie between the exam's (by more than `SAME_VOXELS`), or labels lie outside.
    """
    if label_map.grid.matches(grid):
        return LabelMap(label_map.data, grid)
    steps = _steps(label_map.grid, grid)
    if steps is None:
        label_map.require_grid(grid, case_id)
        raise AssertionError("unreachable")  # the grids do not match
    order, backwards, inside, target = steps
    data = np.flip(label_map.data.transpose(order), axis=backwards)
    out = np.zeros(grid.shape, np.uint8)
    out[target] = kept = data[inside]
    lost = int(np.count_nonzero(data)) - int(np.count_nonzero(kept))
    if lost:
        exam = f"exam {case_id}" if case_id else "the exam"
        raise InputError(
            f"Expected a mask within {exam}, {grid.describe()}",
            f"found {lost:,} of its {np.count_nonzero(label_map.data):,} labeled voxels outside",
            "Choose the exam on which the mask was drawn",
        )
    return LabelMap(out, grid)


def placement(grid: Grid, onto: Grid) -> str:
    """How a mask's grid lies on an exam's, as a sentence goes on after the mask's name.

    Returns
    -------
    str
        "" if they are the same, or the mask does not lie on the exam's lattice.

    Examples
    --------
    >>> exam = Grid((9, 8, 8), np.diag([2.0, 1.0, 1.0, 1.0]))
    >>> part = Grid((3, 8, 4), [[2, 0, 0, 4], [0, 1, 0, 0], [0, 0, 1, 2], [0, 0, 0, 1]])
    >>> placement(part, exam)
    'covers slices 3 to 5 of 9 and 17 % of the exam; it was placed there, the rest is background'
    """
    steps = None if grid.matches(onto) else _steps(grid, onto)
    if steps is None:
        return ""
    _, _, _, target = steps
    covered = [part.stop - part.start for part in target]
    if tuple(covered) == onto.shape:
        return "was stored on other axes, or with a margin; it was placed by its position"
    share = 100 * np.prod(covered) / np.prod(onto.shape)
    slices, last = target[0], target[0].stop
    which = f"slice {last}" if covered[0] == 1 else f"slices {slices.start + 1} to {last}"
    return (
        f"covers {which} of {onto.shape[0]} and {share:.2g} % of the exam; it was placed there, "
        "the rest is background"
    )


_Steps = tuple[list[int], tuple[int, ...], tuple[slice, ...], tuple[slice, ...]]


def _steps(grid: Grid, onto: Grid) -> _Steps | None:
    """How an array gets from a grid to another one of the same lattice; None off it.

    Returns
    -------
    order, backwards : list of int, tuple of int
        Axes to transpose to, and then to flip.
    inside, target : tuple of slice
        What of the turned array lies on the other grid, and where there; empty if nothing does.
    """
    found = _turn(grid, onto)
    if found is None:
        return None
    turn, start = found
    order = [int(np.flatnonzero(row)[0]) for row in turn]
    backwards = tuple(int(axis) for axis in np.flatnonzero(turn.sum(axis=1) < 0))
    inside: list[slice] = []
    target: list[slice] = []
    for axis, whole in enumerate(onto.shape):
        n = grid.shape[order[axis]]
        begin = int(start[axis]) - (n - 1 if axis in backwards else 0)
        low = min(max(begin, 0), whole)
        high = max(low, min(begin + n, whole))
        target.append(slice(low, high))
        inside.append(slice(low - begin, high - begin) if high > low else slice(0, 0))
    return order, backwards, tuple(inside), tuple(target)


def _turn(grid: Grid, onto: Grid) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """Turn (3, 3) and offset (3,) from a grid's indices to another's; None off its lattice."""
    if not all(one.has_spacing and one.has_orientation for one in (grid, onto)):
        return None
    exact = np.linalg.inv(onto.affine) @ grid.affine
    whole = np.round(exact)
    turn = whole[:3, :3]
    if not np.array_equal(np.abs(turn).sum(axis=0), [1, 1, 1]) or abs(np.linalg.det(turn)) != 1:
        return None
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in grid.shape], [1])).reshape(4, -1)
    if np.abs((exact - whole) @ corners).max() > SAME_VOXELS:
        return None
    return turn.astype(np.int64), whole[:3, 3].astype(np.int64)
