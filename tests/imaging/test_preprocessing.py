"""Joint normalization keeps enhancement; resampling is undone to the exam's own grid."""

from __future__ import annotations

import numpy as np
import pytest

from napari_breastseg.core.errors import InputError
from napari_breastseg.core.volume import Exam, Grid, Volume
from napari_breastseg.imaging.intensity import intensity_window
from napari_breastseg.imaging.preprocessing import (
    available_roles,
    prepare,
    prepare_labels,
    resample,
    stack_inputs,
    working_shape,
)

torch = pytest.importorskip("torch")


def test_phases_are_normalized_by_one_and_the_same_line(sphere_exam):
    exam, truth = sphere_exam
    prepared = prepare(exam, ("pre", "post1"))
    low, high = intensity_window([v.data for v in exam.phases.values()])
    expected = (exam.phases["post1"].data - exam.phases["pre"].data) / (high - low)
    found = (prepared.phases[1] - prepared.phases[0]).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert found[truth.tumor].mean() > 10 * abs(found[~truth.tumor]).mean()


def test_a_scanner_that_counts_ten_times_higher_gives_the_same_input(sphere_exam):
    exam, _ = sphere_exam
    scaled = Exam("P002", {r: Volume(v.data * 10 + 500, v.grid) for r, v in exam.phases.items()})
    torch.testing.assert_close(
        prepare(scaled, ("pre", "post1")).phases,
        prepare(exam, ("pre", "post1")).phases,
        atol=1e-4,
        rtol=0,
    )


def test_a_constant_image_is_refused(oblique_grid):
    flat = Exam("P003", {"post1": Volume(np.full(oblique_grid.shape, 7), oblique_grid)})
    with pytest.raises(InputError, match=r"a constant image \(all voxels 7"):
        prepare(flat, ("post1",))


def test_a_few_bright_pixels_on_black_are_no_constant_image():
    picture = np.zeros((1, 100, 100))
    picture[0, 50, 50] = 9
    assert intensity_window([picture]) == (0.0, 9.0)


def test_resampling_and_back_gives_the_exams_shape_and_place(oblique_grid):
    # A bright box must come back where it was, whatever the spacing in between.
    image = np.zeros(oblique_grid.shape, np.float32)
    image[4:8, 10:30, 12:28] = 1
    exam = Exam("P004", {"post1": Volume(image, oblique_grid)})
    for spacing in [(3.0, 1.0, 1.0), (2.0, 0.5, 0.9), (None, 1.4, 1.4)]:
        prepared = prepare(exam, ("post1",), spacing_mm=spacing)
        back = prepared.restore(prepared.phases)[0].numpy() > 0.5
        assert back.shape == oblique_grid.shape
        truth = image > 0.5
        dice = 2 * (back & truth).sum() / (back.sum() + truth.sum())
        assert dice > 0.9, (spacing, dice)
        center = np.argwhere(back).mean(0) - np.argwhere(truth).mean(0)
        assert np.abs(center).max() < 0.35, (spacing, center)


def test_resampling_to_the_same_shape_changes_nothing():
    array = torch.rand(2, 3, 8, 9)
    torch.testing.assert_close(resample(array, (3, 8, 9)), array)


def test_unknown_spacing_is_never_resampled():
    assert working_shape(Grid((1, 227, 227)), (None, 1.0, 1.0)) == (1, 227, 227)


def test_working_shape_follows_the_spacing(oblique_grid):
    assert working_shape(oblique_grid, (1.5, 1.4, 0.7)) == (24, 24, 40)
    assert working_shape(oblique_grid, (None, 0.7, 0.7)) == (12, 48, 40)


def test_labels_are_resampled_without_new_values(sphere_exam):
    _, truth = sphere_exam
    data = np.array(truth.data)
    data[0] = 2
    labels = prepare_labels(type(truth)(data, truth.grid), (3.0, 1.0, 1.0))
    assert labels.shape == (12, 34, 28)
    assert set(np.unique(labels)) == {0, 1, 2}


def test_differences_are_made_of_the_named_phases():
    phases = torch.rand(2, 1, 4, 4)
    stacked = stack_inputs(phases, ("pre", "post1"), ("post1", "post1-pre"))
    torch.testing.assert_close(stacked[0], phases[1])
    torch.testing.assert_close(stacked[1], phases[1] - phases[0])


def test_a_missing_phase_leaves_its_inputs_at_zero():
    post = torch.rand(1, 1, 4, 4)
    stacked = stack_inputs(post, ("post1",), ("pre", "post1", "post1-pre"))
    assert not stacked[0].any()
    torch.testing.assert_close(stacked[1], post[0])
    assert not stacked[2].any()


def test_preparing_leaves_the_exam_as_it_is(sphere_exam):
    exam, _ = sphere_exam
    before = {role: volume.data.copy() for role, volume in exam.phases.items()}
    assert {data.dtype for data in before.values()} == {np.dtype(np.float32)}
    for spacing in (None, (3.0, 1.4, 1.4)):
        prepare(exam, ("pre", "post1"), spacing_mm=spacing)
        for role, data in before.items():
            np.testing.assert_array_equal(exam.phases[role].data, data)


def test_no_enhancement_is_zero_in_a_ready_made_subtraction(oblique_grid):
    rise = np.zeros(oblique_grid.shape, np.float32)
    rise[:, :4] = -40  # the window's darkest value lies below zero
    rise[:, -4:] = 160
    exam = Exam("P005", {"sub1": Volume(rise, oblique_grid)})
    prepared = prepare(exam, ("sub1",)).phases[0].numpy()
    low, high = intensity_window([rise])
    assert low < 0
    np.testing.assert_allclose(prepared, rise / (high - low), atol=1e-6)
    assert not prepared[:, 4:-4].any()


def test_a_ready_made_subtraction_takes_the_place_of_the_difference():
    sub = torch.rand(1, 1, 4, 4)
    stacked = stack_inputs(sub, ("sub1",), ("pre", "post1", "post1-pre"))
    assert not stacked[:2].any()
    torch.testing.assert_close(stacked[2], sub[0])


def test_all_posts_together_are_the_last_and_the_least(oblique_grid):
    rng = np.random.default_rng(0)
    roles = ("pre", "post1", "post2", "post3")
    data = {role: rng.integers(0, 500, oblique_grid.shape).astype(np.int16) for role in roles}
    exam = Exam("P006", {role: Volume(array, oblique_grid) for role, array in data.items()})
    assert available_roles(exam)[-2:] == ("last", "least")
    prepared = prepare(exam, ("pre", "last", "least"))
    inputs = stack_inputs(prepared.phases, prepared.roles, ("last", "least-pre", "last-post1"))
    low, high = intensity_window([data["pre"], data["post3"]])
    rise = np.min([data["post1"], data["post2"], data["post3"]], axis=0) - data["pre"]
    np.testing.assert_allclose(inputs[0], (data["post3"] - low) / (high - low), atol=1e-5)
    np.testing.assert_allclose(inputs[1], rise / (high - low), atol=1e-5)
    assert not inputs[2].any()  # post1 was not asked for
