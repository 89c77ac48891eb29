"""What one picture beside the canvas shows: a slice of a volume, its colors, its mask, its place.

Arrays in, arrays out; no Qt. Rows run down and columns run right as they are stored; the picture
turns them as the patient is hung.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.volume import IGNORE, TUMOR, Grid
from .orientation import UNKNOWN, screen_orientation

__all__ = ["Plane", "edges", "grey_table", "hung", "painted", "plane_order"]

LEVELS = 256


@dataclass(frozen=True)
class Plane:
    """A slice as it is to be drawn.

    Parameters
    ----------
    data : array, shape (Z, Y, X)
        Grey values, or a map that computes what is asked of it.
    order : tuple of int
        Array axes: through the slices, down, across.
    index : int
        The slice.
    size : tuple of float
        A voxel's height and width in mm, or pixels where the spacing is unknown.
    is_flipped : tuple of bool
        Whether rows run up, and columns to the left.
    letters : tuple of str
        At the left, right, upper and lower edge.
    limits : tuple of float
        Grey values shown black and white.
    table : array of uint8, shape (256, 4)
        Red, green, blue, opaque for each level between them.
    center : tuple of float
        Row and column in the middle of the picture.
    fitted : tuple of float
        Height and width, in mm, that fill the picture at a zoom of 1.
    zoom : float
    mask : array, optional
        Labels, as `data`.
    mask_color : str
    opacity : float
        Of the mask where it is filled; 0 draws its outline.
    cross : tuple of float, optional
        Row and column of two lines.
    pointer : tuple of float, optional
        Row and column of a small mark.
    caption : str
        In the lower left corner, in one line or several.
    title : str
        Across the upper edge, on a bar of its own: for what must not be mistaken.
    """

    data: Any
    order: tuple[int, int, int]
    index: int
    size: tuple[float, float]
    is_flipped: tuple[bool, bool]
    letters: tuple[str, str, str, str]
    limits: tuple[float, float]
    table: NDArray[np.uint8]
    center: tuple[float, float]
    fitted: tuple[float, float]
    zoom: float = 1.0
    mask: Any = None
    mask_color: str = "#ffffff"
    opacity: float = 0.0
    cross: tuple[float, float] | None = None
    pointer: tuple[float, float] | None = None
    caption: str = ""
    title: str = ""
    is_blank: bool = False
    """The place looked at lies outside of the volume."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return int(self.data.shape[self.order[1]]), int(self.data.shape[self.order[2]])

    def slice_of(self, volume: Any) -> NDArray[Any]:
        """The same slice of another array of the same shape: rows, columns."""
        through, down, across = self.order
        where: list[Any] = [slice(None)] * 3
        where[through] = min(max(self.index, 0), volume.shape[through] - 1)
        part = np.asarray(volume[tuple(where)])
        return part if down < across else part.T


def plane_order(grid: Grid | None, through: int) -> tuple[int, int, int]:
    """Array axes of the slices along one axis: through, down, across, as radiologists hang them.

    Examples
    --------
    >>> affine = [[0, 0, -1, 0], [0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]]
    >>> [plane_order(Grid((9, 8, 7), affine), axis) for axis in range(3)]
    [(0, 1, 2), (1, 0, 2), (2, 0, 1)]
    """
    first, second = (axis for axis in range(3) if axis != through)
    ends = None if grid is None else grid.end_letters
    if ends is None:
        return through, first, second
    down = next(
        axis
        for pair in ("HF", "AP")
        for axis in (first, second)
        if frozenset(ends[axis]) == frozenset(pair)
    )
    return through, down, second if down == first else first


def hung(
    grid: Grid | None, order: tuple[int, int, int]
) -> tuple[tuple[bool, bool], tuple[str, str, str, str]]:
    """Whether rows and columns are turned round on the screen, and the letters at the edges.

    Examples
    --------
    >>> affine = [[0, 0, -1, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]]
    >>> hung(Grid((9, 8, 7), affine), (0, 1, 2))
    ((True, False), ('R', 'L', 'A', 'P'))
    """
    view = None if grid is None else screen_orientation(grid, order)
    if view is None:
        return (False, False), ("", "", "", "" if grid is None else UNKNOWN)
    return (view.vertical == "up", view.horizontal == "left"), view.letters


def grey_table() -> NDArray[np.uint8]:
    """Black to white."""
    grey = np.repeat(np.arange(LEVELS, dtype=np.uint8)[:, None], 4, axis=1)
    grey[:, 3] = 255
    return grey


def painted(plane: Plane) -> NDArray[np.uint8]:
    """Colors of a slice and of its filled mask, shape (rows, columns, 4).

    Examples
    --------
    >>> data = np.array([[[0, 50, 100]]], np.int16)
    >>> plane = Plane(data, (0, 1, 2), 0, (1, 1), (False, False), ("", "", "", ""), (0, 100),
    ...     grey_table(), (0, 1), (1, 3))
    >>> painted(plane)[0, :, 0]
    array([  0, 127, 255], dtype=uint8)
    """
    low, high = plane.limits
    values = plane.slice_of(plane.data).astype(np.float32)
    levels = (values - np.float32(low)) * np.float32((LEVELS - 1) / max(high - low, 1e-12))
    colors = plane.table[np.clip(np.nan_to_num(levels), 0, LEVELS - 1).astype(np.uint8)]
    if plane.mask is not None and plane.opacity > 0:
        labels = plane.slice_of(plane.mask)
        for label, color, opacity in (
            (TUMOR, plane.mask_color, plane.opacity),
            (IGNORE, "#808080", 0.5 * plane.opacity),
        ):
            inside = labels == label
            if inside.any():
                over = np.array([int(color[n : n + 2], 16) for n in (1, 3, 5)], np.float32)
                mixed = opacity * over + (1 - opacity) * colors[inside, :3]
                colors[inside, :3] = mixed.astype(np.uint8)
    return np.ascontiguousarray(colors)


def edges(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Lines around a mask, along the sides of its voxels.

    Parameters
    ----------
    mask : array of bool, shape (rows, columns)

    Returns
    -------
    array, shape (N, 4)
        Column and row of the start, column and row of the end; voxel centers are whole numbers.

    Examples
    --------
    >>> len(edges(np.array([[False, True, True]])))
    6
    """
    inside = np.pad(mask, 1)
    down = np.argwhere(inside[1:] != inside[:-1]) - (0, 1)  # between two rows
    across = np.argwhere(inside[:, 1:] != inside[:, :-1]) - (1, 0)
    lines = [
        np.column_stack([c - 0.5, r - 0.5, c + 0.5, r - 0.5]) for r, c in [down.T.astype(float)]
    ]
    lines += [
        np.column_stack([c - 0.5, r - 0.5, c - 0.5, r + 0.5]) for r, c in [across.T.astype(float)]
    ]
    return np.concatenate(lines)
