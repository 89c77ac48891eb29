"""Which way round exams are shown: every axis order and direction, without a window."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest

from napari_breastseg.core.volume import Grid
from napari_breastseg.widgets.canvas.orientation import radiological_order, screen_orientation


def grid_of(
    order: tuple[int, ...], signs: tuple[int, ...], spacing: tuple[float, ...] = (1.0, 1.0, 1.0)
) -> Grid:
    """Grid whose array axis i runs along RAS axis `order[i]` in direction `signs[i]`."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, (ras, sign) in enumerate(zip(order, signs, strict=True)):
        affine[ras, axis] = sign * spacing[axis]
    return Grid((8, 9, 10), affine)


ALL_48 = [(o, s) for o in permutations(range(3)) for s in product((1, -1), repeat=3)]


@pytest.mark.parametrize(("order", "signs"), ALL_48)
def test_every_orientation_is_shown_axial_right_on_the_left_and_front_up(
    order: tuple[int, ...], signs: tuple[int, ...]
) -> None:
    grid = grid_of(order, signs)
    shown = radiological_order(grid)
    view = screen_orientation(grid, shown)
    assert view.letters == ("R", "L", "A", "P")
    depth, vertical, across = shown
    # Walk one voxel to the right and one up in the picture, and see where that leads in RAS.
    step = np.zeros((3, 3))
    step[0, across] = 1 if view.horizontal == "right" else -1
    step[1, vertical] = 1 if view.vertical == "up" else -1
    step[2, depth] = 1 if view.depth == "towards" else -1
    right, up, toward_viewer = step @ grid.affine[:3, :3].T
    assert np.allclose(right, (-1, 0, 0))  # to the patient's left
    assert np.allclose(up, (0, 1, 0))  # to the front
    assert np.allclose(toward_viewer, (0, 0, -1))  # seen from the feet, and not mirrored


@pytest.mark.parametrize(
    ("shown", "letters"),
    [
        ((0, 1, 2), ("R", "L", "A", "P")),  # axial
        ((2, 0, 1), ("A", "P", "H", "F")),  # sagittal
        ((1, 0, 2), ("R", "L", "H", "F")),  # coronal
        ((0, 2, 1), ("A", "P", "R", "L")),  # transposed by the user
    ],
)
def test_letters_follow_the_displayed_axes(
    shown: tuple[int, int, int], letters: tuple[str, ...]
) -> None:
    for signs in product((1, -1), repeat=3):
        assert screen_orientation(grid_of((2, 1, 0), signs), shown).letters == letters


def test_a_sagittal_acquisition_is_shown_in_its_own_slices() -> None:
    grid = grid_of((0, 2, 1), (1, -1, -1), spacing=(3.0, 0.7, 0.7))
    order = radiological_order(grid)
    assert order == (0, 1, 2)
    assert screen_orientation(grid, order).letters == ("A", "P", "H", "F")


def test_a_single_slice_is_shown_as_that_slice() -> None:
    grid = Grid((1, 20, 30), grid_of((0, 2, 1), (1, 1, 1)).affine)
    assert radiological_order(grid)[0] == 0


def test_an_oblique_exam_gets_the_nearest_letters(oblique_grid: Grid) -> None:
    assert screen_orientation(oblique_grid, radiological_order(oblique_grid)).letters == (
        "R",
        "L",
        "A",
        "P",
    )


def test_without_orientation_nothing_is_claimed() -> None:
    grid = Grid((1, 20, 30))
    assert radiological_order(grid) == (0, 1, 2)
    assert screen_orientation(grid, (0, 1, 2)) is None
