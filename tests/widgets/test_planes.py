"""Planes that are drawn beside the canvas: which slice, which way round, in which colors."""

from __future__ import annotations

import numpy as np
import pytest

from napari_breastseg.core.volume import Grid
from napari_breastseg.widgets.canvas.neighbors import arranged
from napari_breastseg.widgets.canvas.planes import (
    Plane,
    edges,
    grey_table,
    hung,
    painted,
    plane_order,
)

SAGITTAL = np.array([[2.0, 0, 0, 0], [0, 0, -1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
"""Slices from right to left; rows run to the feet, columns to the back."""


def plane_of(data: np.ndarray, order: tuple[int, int, int], index: int, **more: object) -> Plane:
    where = {"center": (0.0, 0.0), "fitted": (1.0, 1.0)}
    return Plane(
        data,
        order,
        index,
        (1.0, 1.0),
        (False, False),
        ("", "", "", ""),
        (0.0, 255.0),
        grey_table(),
        **(where | more),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 0, 1), (0, 2, 1), (2, 1, 0)])
def test_a_plane_is_the_slice_along_its_axis(order: tuple[int, int, int]) -> None:
    data = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
    plane = plane_of(data, order, 1)
    expected = np.moveaxis(data, order, (0, 1, 2))[1]
    assert plane.shape == expected.shape
    assert np.array_equal(painted(plane)[..., 0], expected)
    assert np.array_equal(
        plane_of(data, order, 99).slice_of(data), np.moveaxis(data, order, (0, 1, 2))[-1]
    )


def test_each_plane_of_any_acquisition_is_hung_radiologically() -> None:
    grid = Grid((5, 6, 7), SAGITTAL)
    letters = [hung(grid, plane_order(grid, axis))[1] for axis in range(3)]
    assert letters == [("A", "P", "H", "F"), ("R", "L", "A", "P"), ("R", "L", "H", "F")]


def test_a_filled_mask_shines_through_and_an_outline_is_left_to_lines() -> None:
    data = np.full((1, 2, 3), 100, np.uint8)
    mask = np.array([[[0, 1, 2], [0, 0, 0]]], np.uint8)
    filled = painted(plane_of(data, (0, 1, 2), 0, mask=mask, mask_color="#ff0000", opacity=0.5))
    assert filled[0, 1].tolist() == [177, 50, 50, 255]
    assert filled[0, 2].tolist() == [107, 107, 107, 255]
    assert (filled[1] == filled[0, 0]).all()
    assert (painted(plane_of(data, (0, 1, 2), 0, mask=mask))[..., 0] == 100).all()


def test_an_outline_runs_around_the_voxels_and_their_hole() -> None:
    mask = np.zeros((5, 6), bool)
    mask[0:4, 2:6] = True  # up to two edges of the slice
    mask[2, 4] = False
    lines = edges(mask)
    assert len(lines) == 4 * 4 + 4
    assert lines.min() == -0.5
    assert lines[:, [0, 2]].max() == 5.5
    assert edges(np.zeros((3, 3), bool)).shape == (0, 4)


@pytest.mark.parametrize(
    ("n", "shape", "columns"),
    [
        (2, (100, 100), 2),
        (2, (50, 200), 1),
        (4, (100, 100), 2),
        (4, (20, 200), 1),
        (3, (20, 200), 1),
    ],
)
def test_pictures_stand_so_that_the_smallest_is_large(
    n: int, shape: tuple[float, float], columns: int
) -> None:
    cells = arranged(n, (640, 700), shape)
    assert len(cells) == n
    assert max(column + width for _, column, _, width in cells) == columns


def test_three_pictures_leave_no_cell_empty() -> None:
    taken = {
        (row + down, column + across)
        for row, column, height, width in arranged(3, (640, 700), (100, 100))
        for down in range(height)
        for across in range(width)
    }
    assert taken == {(0, 0), (0, 1), (1, 0), (1, 1)}
