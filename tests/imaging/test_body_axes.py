"""An exam turned to the body's axes and back, in any order and direction of its own axes."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest

from napari_breastseg.core.volume import Exam, Grid, Volume
from napari_breastseg.imaging.body_axes import BodyAxes


def exam_of(order, flips):
    """11 x 13 x 15 voxels of 1 x 1 x 2 mm along head, back and left, stored in another order."""
    head, back, left = np.meshgrid(*(np.arange(n) for n in (11, 13, 15)), indexing="ij")
    data = (head + 20.0 * back + 400.0 * left).astype(np.float32)
    affine = np.eye(4)
    affine[:3, :3] = np.array([[0, 0, -2.0], [0, -1.0, 0], [1.0, 0, 0]])
    data, affine = data.transpose(order), affine[:, [*order, 3]]
    for axis, is_flipped in enumerate(flips):
        if is_flipped:
            data = np.flip(data, axis)
            affine[:3, 3] += affine[:3, axis] * (data.shape[axis] - 1)
            affine[:3, axis] *= -1
    return Exam("P001", {"post1": Volume(data, Grid(data.shape, affine))})


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("flips", list(product((False, True), repeat=3)))
def test_the_body_lies_the_same_whatever_the_arrays_order(order, flips):
    exam = exam_of(order, flips)
    axes = BodyAxes(exam.grid)
    assert axes.factors == (2, 2, 1)
    assert axes.steps_mm == (2.0, 2.0, 2.0)
    mean = axes.mean(exam)
    z, y, x = np.meshgrid(*(np.arange(n) for n in (5, 6, 15)), indexing="ij")
    np.testing.assert_allclose(mean, (2 * z + 0.5) + 20 * (2 * y + 0.5) + 400.0 * x)
    # Back on the exam's grid a coarse voxel covers the voxels it was made of.
    back = axes.back((x % 7).astype(np.uint8))
    left = np.floor(exam.phases["post1"].data / 400)
    np.testing.assert_array_equal(back, left % 7)
    # Places go there and back.
    voxels = np.argwhere(back >= 0)[::101]
    places = axes.coarse_places(voxels)
    np.testing.assert_allclose(axes.voxels(places), voxels, atol=1e-9)
    np.testing.assert_allclose(axes.across_mm(15), -2.0 * np.arange(15), atol=1e-9)
