"""Grids with right angles: what ITK and a NIfTI qform can hold, and what a scanner makes.

Headers round positions and cosines, which leaves axes a little askew. Loads no image library.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..core.volume import SAME_VOXELS, Grid

__all__ = ["is_straight", "nearest_straight", "straightened"]

_ITK_SHEAR = 5e-5
"""Largest cosine between axes that ITK surely takes for a right angle (measured: 1e-4)."""


def is_straight(affine: NDArray[np.float64]) -> bool:
    """Whether the axes of an affine (4, 4) stand at right angles, as ITK takes it."""
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return bool(np.abs(axes.T @ axes - np.eye(3)).max() <= _ITK_SHEAR)


def nearest_straight(affine: NDArray[np.float64], shape: Sequence[int]) -> NDArray[np.float64]:
    """The affine (4, 4) nearest to a sheared one that has right angles, the middle in place.

    Parameters
    ----------
    affine : ndarray, shape (4, 4)
    shape : sequence of int
        Voxels along the affine's first three columns.
    """
    exact = affine[:3, :3]
    sizes = np.linalg.norm(exact, axis=0)
    left, _, right = np.linalg.svd(exact / sizes)
    straight = np.eye(4)
    straight[:3, :3] = left @ right * sizes
    straight[:3, 3] = affine[:3, 3] + (exact - straight[:3, :3]) @ (np.array(shape[:3]) - 1) / 2
    return straight


def straightened(grid: Grid) -> Grid:
    """The grid with right angles, unless a corner would move by more than `SAME_VOXELS`.

    Examples
    --------
    >>> affine = np.diag([2.0, 0.8, 0.8, 1.0])
    >>> affine[2, 0] = 0.005  # positions rounded to 0.1 mm, over 20 slices
    >>> grid = Grid((20, 256, 256), affine)
    >>> is_straight(grid.affine), is_straight(straightened(grid).affine)
    (False, True)
    """
    if is_straight(grid.affine):
        return grid
    straight = Grid(grid.shape, nearest_straight(grid.affine, grid.shape))
    return straight if grid.off_voxels(straight) <= SAME_VOXELS else grid
