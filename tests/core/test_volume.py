"""Grids know their spacing, their letters and each other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_breastseg.core.errors import InputError
from napari_breastseg.core.volume import Exam, Grid, LabelMap, Volume, require_numbers


def test_spacing_is_the_length_of_the_affine_columns(oblique_grid):
    assert oblique_grid.spacing_mm == pytest.approx((3.0, 0.7, 0.7))
    assert oblique_grid.voxel_ml == pytest.approx(3.0 * 0.7 * 0.7 / 1000)


def test_a_bare_grid_has_neither_spacing_nor_letters():
    grid = Grid((1, 227, 227))
    assert grid.spacing_mm is None
    assert grid.voxel_ml is None
    assert grid.end_letters is None
    assert "unknown spacing" in grid.describe()


@given(
    order=st.permutations((0, 1, 2)),
    signs=st.tuples(*[st.sampled_from((-1, 1))] * 3),
    tilt=st.floats(-0.3, 0.3),
)
def test_letters_agree_with_nibabel_for_every_orientation(order, signs, tilt):
    import nibabel as nib

    axes = np.zeros((3, 3))
    for column, (row, sign) in enumerate(zip(order, signs, strict=True)):
        axes[row, column] = sign * (0.5 + column)
    turn = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ axes
    opposite = {"R": "L", "A": "P", "H": "F", "L": "R", "P": "A", "F": "H"}
    ends = [{"S": "H", "I": "F"}.get(code, code) for code in nib.aff2axcodes(affine)]
    assert Grid((3, 4, 5), affine).end_letters == tuple((opposite[end], end) for end in ends)


def test_an_affine_that_cannot_be_inverted_is_refused():
    with pytest.raises(InputError, match="invertible 4 x 4 affine"):
        Grid((2, 2, 2), np.zeros((4, 4)))
    with pytest.raises(InputError, match="the last row 0 0 0 1"):
        Grid((2, 2, 2), np.diag([1.0, 1.0, 1.0, 0.0]))


def test_two_axes_are_refused():
    with pytest.raises(InputError, match=r"three axes.*found shape \(5, 5\)"):
        Grid((5, 5))  # type: ignore[arg-type]


def test_grids_are_one_within_a_tenth_of_a_voxel_along_every_axis(oblique_grid):
    for axis, size in enumerate(oblique_grid.voxel_size):
        for voxels, is_same in ((0.09, True), (0.11, False)):
            affine = np.array(oblique_grid.affine)
            affine[:, 3] += affine[:, axis] * voxels
            other = Grid(oblique_grid.shape, affine)
            assert oblique_grid.matches(other) is is_same
            assert oblique_grid.off_voxels(other) == pytest.approx(voxels)
            assert oblique_grid.say_off(other).endswith(
                f"{voxels * size:.3g} mm ({voxels:.2g} voxels) away"
            )


def test_phases_apart_are_refused_with_how_far(sphere_exam):
    exam, _ = sphere_exam
    pre = exam.phases["pre"]
    affine = np.array(pre.grid.affine)
    affine[:, 3] += affine[:, 1] / 2
    moved = Volume(pre.data, Grid(pre.grid.shape, affine))
    with pytest.raises(InputError, match=r"found post1 on .* position, 0.35 mm \(0.5 vox"):
        Exam("P001", {"pre": pre, "post1": moved})


def test_a_mask_on_another_grid_is_refused_with_both_shapes_and_spacings(sphere_exam):
    exam, _ = sphere_exam
    other = LabelMap(np.zeros((10, 48, 40), np.uint8), Grid((10, 48, 40), np.diag([2, 1, 1, 1])))
    with pytest.raises(
        InputError,
        match=r"P001, 12 x 48 x 40 voxels of 3 x 0.7 x 0.7 mm; "
        r"found one of 10 x 48 x 40 voxels of 2 x 1 x 1 mm",
    ):
        other.require_grid(exam.grid, exam.case_id)


def test_fractions_are_no_labels(oblique_grid):
    with pytest.raises(InputError, match="whole numbers"):
        LabelMap(np.full(oblique_grid.shape, 0.5), oblique_grid)


def test_phases_are_kept_in_time_order(oblique_grid):
    volume = Volume(np.zeros(oblique_grid.shape), oblique_grid)
    exam = Exam("P001", {"post10": volume, "post2": volume, "pre": volume})
    assert list(exam.phases) == ["pre", "post2", "post10"]


def test_phases_on_two_grids_are_refused(oblique_grid):
    small = Grid((2, 48, 40), oblique_grid.affine)
    with pytest.raises(InputError, match=r"on the grid of pre.*post1 on 2 x 48 x 40"):
        Exam(
            "P001",
            {
                "pre": Volume(np.zeros(oblique_grid.shape), oblique_grid),
                "post1": Volume(np.zeros(small.shape), small),
            },
        )


def test_a_missing_phase_is_named(sphere_exam):
    exam, _ = sphere_exam
    with pytest.raises(InputError, match=r"phase post2 for model M; found pre, post1 in exam P001"):
        exam.require_phases(("pre", "post2"), "model M")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_are_counted_and_named(value: float) -> None:
    data = np.ones((2, 3, 4), np.float32)
    require_numbers(data, "post1 of case P1")
    require_numbers(np.full((2, 3, 4), np.finfo(np.float16).max), "half floats")
    require_numbers(data.astype(np.int16), "whole numbers")
    data[1, 2, 3] = data[0, 0, 0] = value
    with pytest.raises(InputError, match=r"in post1 of case P1; found 2 of 24 voxels NaN or inf"):
        require_numbers(data, "post1 of case P1")
