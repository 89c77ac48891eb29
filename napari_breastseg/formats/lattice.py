"""Masks on the lattice of an exam, stored otherwise: reversed or permuted axes, cropped, padded.

Slicer crops a `.seg.nrrd` to its segments; dcm2niix and other converters turn axes round. Their
voxels lie on the exam's voxels, so nothing is resampled. Loads no image library.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InputError
from ..core.volume import SAME_VOXELS, Grid, LabelMap

__all__ = ["placed"]


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
    turn, start = steps
    order = [int(np.flatnonzero(row)[0]) for row in turn]
    data = label_map.data.transpose(order)
    backwards = turn.sum(axis=1) < 0
    data = np.flip(data, axis=tuple(np.flatnonzero(backwards)))
    # Where the turned array's first voxel lies on the exam's grid.
    first = [
        int(at) - (n - 1 if back else 0)
        for at, n, back in zip(start, data.shape, backwards, strict=True)
    ]
    inside: list[slice] = []
    target: list[slice] = []
    for begin, n, whole in zip(first, data.shape, grid.shape, strict=True):
        low, high = max(begin, 0), min(begin + n, whole)
        target.append(slice(low, max(low, high)))
        inside.append(slice(low - begin, max(low, high) - begin))
    out = np.zeros(grid.shape, np.uint8)
    out[tuple(target)] = kept = data[tuple(inside)]
    lost = int(np.count_nonzero(data)) - int(np.count_nonzero(kept))
    if lost:
        exam = f"exam {case_id}" if case_id else "the exam"
        raise InputError(
            f"Expected a mask within {exam}, {grid.describe()}",
            f"found {lost:,} of its {np.count_nonzero(label_map.data):,} labeled voxels outside",
            "Choose the exam on which the mask was drawn",
        )
    return LabelMap(out, grid)


def _steps(grid: Grid, onto: Grid) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
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
