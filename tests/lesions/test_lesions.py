"""Lesions: exact on a given mask, right against shapes one can calculate, curves by their times."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage

from napari_breastseg.core.errors import InputError
from napari_breastseg.core.progress import drain
from napari_breastseg.core.volume import Exam, Grid, LabelMap, Volume
from napari_breastseg.imaging.breast_region import find_breasts
from napari_breastseg.lesions import (
    Lesion,
    LesionReport,
    compare_visits,
    measure_lesions,
    measure_shape,
)
from napari_breastseg.lesions.findings import least_voxels
from napari_breastseg.phantom import LesionSpec, breast_phantom


def one_breast_grid(shape, spacing):
    """As `plain_grid`, all of it on the patient's right."""
    grid = plain_grid(shape, spacing)
    affine = grid.affine.copy()
    affine[0, 3] += 200
    return Grid(shape, affine)


def plain_grid(shape, spacing=(3.0, 0.7, 0.7)):
    """Axial, as radiologists store it: x to the patient's left, y to the back."""
    z, y, x = spacing
    affine = np.array([[0, 0, -x, 0], [0, -y, 0, 0], [z, 0, 0, 0], [0, 0, 0, 1.0]])
    affine[:3, 3] = -affine[:3, :3] @ (np.array(shape) - 1) / 2
    return Grid(shape, affine)


def exam_with(mask, grid, signals, background=100.0, times_s=None):
    """Phases whose lesion has the given signals on a flat ground."""
    phases = {
        role: Volume(np.where(mask, np.float32(s), np.float32(background)), grid)
        for role, s in signals.items()
    }
    return Exam("P001", phases, times_s or {})


def measured(exam, mask, **settings):
    return drain(measure_lesions(exam, LabelMap(mask.astype(np.uint8), exam.grid), **settings))


def ball(grid, center_mm, radius_mm):
    z, y, x = np.indices(grid.shape)
    points = np.stack([z, y, x], -1) @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    return np.linalg.norm(points - center_mm, axis=-1) <= radius_mm


def test_a_block_of_voxels_is_measured_exactly(oblique_grid):
    mask = np.zeros(oblique_grid.shape, bool)
    mask[3:7, 10:21, 20:28] = True
    report = measured(exam_with(mask, oblique_grid, {"post1": 200}), mask)
    (lesion,) = report.lesions
    assert lesion.id == "index"
    assert lesion.volume_px == 4 * 11 * 8
    assert lesion.volume_ml == pytest.approx(4 * 11 * 8 * 3.0 * 0.7 * 0.7 / 1000)
    assert lesion.diameter_mm == pytest.approx(0.7 * np.hypot(10, 7))
    assert lesion.diameter_3d_mm == pytest.approx(np.sqrt((3 * 3.0) ** 2 + 0.49 * (100 + 49)))
    # The line across a rectangle's diagonal is cut off by its sides.
    assert lesion.perpendicular_mm == pytest.approx(0.7 * 7 * np.hypot(10, 7) / 10)
    assert lesion.box == ((3, 7), (10, 21), (20, 28))
    expected = oblique_grid.affine @ (4.5, 15, 23.5, 1)
    assert lesion.center_mm == pytest.approx(tuple(expected[:3]))
    assert lesion.center_voxel == (4.5, 15.0, 23.5)
    (y1, x1), (y2, x2) = lesion.diameter_ends
    assert (abs(y1 - y2), abs(x1 - x2)) == (10, 7)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (3.0, 0.7, 0.7), (2.5, 1.35, 1.35)])
@pytest.mark.parametrize("radius_mm", [6.3, 12.0, 24.0])
def test_balls_above_1_ml_have_their_volume_diameter_and_surface(spacing, radius_mm):
    shape = tuple(int(2 * radius_mm / s) + 6 for s in spacing)
    grid = plain_grid(shape, spacing)
    mask = ball(grid, (0.3, -0.2, 0.4), radius_mm)
    (lesion,) = measured(exam_with(mask, grid, {"post1": 200}), mask).lesions
    assert lesion.volume_ml == pytest.approx(4 / 3 * np.pi * radius_mm**3 / 1000, rel=0.05)
    assert lesion.diameter_mm == pytest.approx(2 * radius_mm, abs=spacing[1])
    assert lesion.diameter_3d_mm == pytest.approx(2 * radius_mm, abs=spacing[1])
    # Slices four times as thick as a voxel is wide leave steps: 11 % at most, else 5 %.
    allowed = 0.11 if spacing[0] > 2.9 else 0.05
    assert lesion.surface_mm2 == pytest.approx(4 * np.pi * radius_mm**2, rel=allowed)
    assert 0.9 < lesion.sphericity <= 1


def test_sphericity_tells_a_rod_from_a_ball():
    grid = plain_grid((40, 40, 40), (1.0, 1.0, 1.0))
    rod = np.zeros(grid.shape, bool)
    rod[18:22, 18:22, 2:38] = True
    shape = measure_shape(rod, grid)
    # A rod of 4 x 4 x 36 mm: faces of 608 mm2, a ball of its volume 335.9 mm2.
    assert shape.sphericity == pytest.approx(335.9 / 608, abs=0.08)


@pytest.mark.parametrize("seed", range(3))
def test_phantom_lesions_have_their_true_size_side_and_type_at_six_percent_noise(seed):
    specs = (
        LesionSpec("round", 5.0, "III", "right"),
        LesionSpec("irregular", 2.5, "II", "left"),
        LesionSpec("round", 1.5, "I", "left"),
    )
    phantom = breast_phantom(seed, shape=(44, 224, 224), spacing_mm=(2.5, 1.5, 1.5), lesions=specs)
    report = measured(phantom.exam, phantom.truth.tumor, breasts=find_breasts(phantom.exam))
    assert [lesion.id for lesion in report.lesions] == ["index", "left 1", "left 2"]
    for lesion in report.lesions:
        truth = min(
            phantom.lesions,
            key=lambda t: np.linalg.norm(np.subtract(t.center_mm, lesion.center_mm)),
        )
        assert lesion.center_mm == pytest.approx(truth.center_mm)
        assert lesion.side == truth.side
        assert lesion.outside_share == 0
        assert lesion.volume_ml == pytest.approx(truth.volume_ml)
        if truth.analytic_volume_ml is not None:
            assert lesion.volume_ml == pytest.approx(truth.analytic_volume_ml, rel=0.05)
        assert lesion.diameter_3d_mm == pytest.approx(truth.longest_diameter_mm, abs=1.5)
        assert lesion.kinetics.curve_type == truth.kinetic_type
        assert sum(lesion.kinetics.type_shares.values()) == pytest.approx(1)


def test_curve_types_are_right_for_nine_in_ten_voxels_at_three_percent_noise():
    grid = plain_grid((12, 40, 40), (2.0, 1.0, 1.0))
    mask = ball(grid, (0, 0, 0), 9.0)
    rng = np.random.default_rng(1)
    for kind, late in (("I", 260.0), ("II", 200.0), ("III", 150.0)):
        exam = exam_with(mask, grid, {"pre": 100.0, "post1": 200.0, "post2": late})
        noisy = {
            role: Volume(v.data + rng.normal(0, 6.0, v.data.shape).astype(np.float32), grid)
            for role, v in exam.phases.items()
        }
        (lesion,) = measured(Exam("P001", noisy), mask).lesions
        assert lesion.kinetics.curve_type == kind
        assert lesion.kinetics.type_shares[kind] > 0.9


def test_a_change_of_just_ten_percent_is_a_plateau():
    grid = plain_grid((4, 8, 8))
    mask = np.zeros(grid.shape, bool)
    mask[1:3, 2:6, 2:6] = True
    for late, kind in ((220, "II"), (222, "I"), (180, "II"), (178, "III")):
        exam = exam_with(mask, grid, {"pre": 100, "post1": 200, "post3": late})
        (lesion,) = measured(exam, mask).lesions
        assert (lesion.kinetics.curve_type, lesion.kinetics.type_shares[kind]) == (kind, 1.0)


def test_time_is_never_counted_from_pre():
    grid = plain_grid((4, 8, 8))
    mask = np.zeros(grid.shape, bool)
    mask[1:3, 2:6, 2:6] = True
    signals = {"pre": 100, "post1": 200, "post2": 230}
    # 23 minutes before the first post-contrast phase, as a real exam has it.
    times_s = {"pre": -1380.0, "post1": 0.0, "post2": 60.0}
    exam = exam_with(mask, grid, signals, times_s=times_s)
    (lesion,) = measured(exam, mask).lesions
    assert lesion.kinetics.times_s == {"post1": 0.0, "post2": 60.0}
    assert lesion.kinetics.time_zero == "post1"
    assert lesion.kinetics.initial_slope_percent_per_min == pytest.approx(30)
    assert any("injection is not known" in note for note in lesion.kinetics.notes)
    (lesion,) = measured(exam, mask, injection_s=1290.0).lesions
    assert lesion.kinetics.times_s == {"pre": -1290.0, "post1": 90.0, "post2": 150.0}
    assert lesion.kinetics.time_zero == "injection"
    assert lesion.kinetics.initial_slope_percent_per_min == pytest.approx(100 / 1.5)


def test_times_that_count_from_the_injection_give_the_slope_from_it():
    grid = plain_grid((4, 8, 8))
    mask = np.zeros(grid.shape, bool)
    mask[1:3, 2:6, 2:6] = True
    times_s = {"pre": -300.0, "post1": 20.0, "post2": 80.0}
    exam = exam_with(mask, grid, {"pre": 100, "post1": 200, "post2": 230}, times_s=times_s)
    (lesion,) = measured(exam, mask).lesions
    assert (lesion.kinetics.times_s, lesion.kinetics.time_zero) == (times_s, "injection")
    assert lesion.kinetics.initial_slope_percent_per_min == pytest.approx(300)
    assert not any("injection is not known" in note for note in lesion.kinetics.notes)


def test_one_post_phase_has_no_type_and_says_so():
    grid = plain_grid((4, 8, 8))
    mask = np.zeros(grid.shape, bool)
    mask[1:3, 2:6, 2:6] = True
    exam = exam_with(mask, grid, {"pre": 100, "post1": 180}, times_s={"pre": -1380.0, "post1": 0.0})
    (lesion,) = measured(exam, mask).lesions
    kinetics = lesion.kinetics
    assert kinetics.peak_percent == pytest.approx(80)
    assert (kinetics.curve_type, kinetics.ser, kinetics.initial_slope_percent_per_min) == (
        (None,) * 3
    )
    assert kinetics.type_shares == {}
    assert "no curve type and no SER, which need two" in kinetics.notes[0]
    assert "no slope can be given" in kinetics.notes[1]


def test_ser_is_early_over_late_enhancement():
    grid = plain_grid((4, 8, 8))
    mask = np.zeros(grid.shape, bool)
    mask[1:3, 2:6, 2:6] = True
    exam = exam_with(mask, grid, {"pre": 100, "post1": 220, "post2": 260, "post3": 180})
    (lesion,) = measured(exam, mask).lesions
    assert lesion.kinetics.ser == pytest.approx(120 / 80)
    assert lesion.kinetics.peak_percent == pytest.approx(160)
    assert lesion.kinetics.late_change == pytest.approx(180 / 220 - 1)


def test_functional_volume_counts_voxels_from_the_threshold_on():
    grid = plain_grid((4, 8, 8))
    mask = np.zeros(grid.shape, bool)
    mask[1:3, 2:6, 2:6] = True
    exam = exam_with(mask, grid, {"pre": 100, "post1": 150})
    exam.phases["post1"].data[1, 2:6, 2:6] = 170
    exam.phases["post1"].data[1, 2, 2] = 169
    report = measured(exam, mask)
    assert report.lesions[0].functional_px == 15
    assert report.lesions[0].functional_ml == pytest.approx(15 * 3 * 0.49 / 1000)
    assert report.total.functional_px == 15
    assert measured(exam, mask, pe_threshold_percent=50).total.functional_px == 32


def test_voxels_without_signal_before_contrast_divide_by_nothing():
    grid = plain_grid((4, 8, 8))
    mask = np.zeros(grid.shape, bool)
    mask[1:3, 2:6, 2:6] = True
    exam = exam_with(mask, grid, {"pre": 0, "post1": 0, "post2": 0})
    (lesion,) = measured(exam, mask).lesions
    assert lesion.kinetics.curve_percent == {}
    assert lesion.kinetics.curve_type is None
    assert any("no signal before contrast" in note for note in lesion.kinetics.notes)


def test_unsigned_phases_may_fall():
    grid = plain_grid((4, 8, 8))
    mask = np.zeros(grid.shape, bool)
    mask[1:3, 2:6, 2:6] = True
    phases = {
        role: Volume(np.full(grid.shape, s, np.uint8), grid)
        for role, s in (("pre", 200), ("post1", 150), ("post2", 240))
    }
    (lesion,) = measured(Exam("P001", phases), mask).lesions
    assert lesion.kinetics.curve_percent["post1"] == pytest.approx(-25)
    assert lesion.kinetics.curve_type == "I"


def test_pixels_of_unknown_size_give_no_millimeters():
    grid = Grid((1, 30, 30))
    mask = np.zeros(grid.shape, bool)
    mask[0, 5:15, 5:10] = True
    report = measured(exam_with(mask, grid, {"post1": 200}), mask)
    (lesion,) = report.lesions
    assert lesion.diameter_px == pytest.approx(np.hypot(9, 4))
    assert lesion.volume_px == 50
    for one in (lesion, report.total):
        with_unit = {n: v for n, v in vars(one).items() if n.endswith(("_mm", "_mm2", "_ml"))}
        assert set(with_unit.values()) == {None}
    assert lesion.side is None
    assert "in pixels" in report.notes[0]


def test_a_single_slice_has_an_area_and_no_volume():
    grid = plain_grid((1, 30, 30), (5.0, 0.5, 0.5))
    mask = np.zeros(grid.shape, bool)
    mask[0, 5:15, 5:10] = True
    (lesion,) = measured(exam_with(mask, grid, {"post1": 200}), mask).lesions
    assert (lesion.volume_ml, lesion.diameter_3d_mm, lesion.surface_mm2) == (None, None, None)
    assert lesion.area_mm2 == pytest.approx(50 * 0.25)


def test_an_empty_mask_has_no_lesion_and_nothing_in_total():
    grid = plain_grid((4, 8, 8))
    report = measured(
        exam_with(np.zeros(grid.shape, bool), grid, {"post1": 1}), np.zeros((4, 8, 8))
    )
    assert report.lesions == ()
    assert (report.total.volume_ml, report.total.diameter_mm) == (0.0, None)
    assert len(report.rows()) == 1


def test_slices_not_looked_at_are_no_tumor():
    grid = plain_grid((4, 8, 8))
    labels = np.zeros(grid.shape, np.uint8)
    labels[1, 2:4, 2:4] = 1
    labels[2:] = 2
    exam = exam_with(labels == 1, grid, {"post1": 200})
    report = drain(measure_lesions(exam, LabelMap(labels, grid)))
    assert report.total.volume_px == 4


def test_the_side_is_the_patients_whatever_the_arrays_order():
    for affine in (
        np.diag([2.0, 2.0, 2.0, 1.0]),  # z to the right
        np.array([[0, 0, -2.0, 0], [0, -2, 0, 0], [2, 0, 0, 0], [0, 0, 0, 1]]),
    ):
        affine = affine.copy()
        affine[:3, 3] = -affine[:3, :3] @ np.array([9.5, 9.5, 9.5])
        grid = Grid((20, 20, 20), affine)
        for x_mm, side in ((10, "right"), (-10, "left")):
            mask = ball(grid, (x_mm, 3, -4), 5)
            (lesion,) = measured(exam_with(mask, grid, {"post1": 9}), mask).lesions
            assert lesion.side == side


@pytest.mark.parametrize("x_mm", [-2, 2])
def test_near_the_middle_of_a_small_window_no_side_is_told(x_mm):
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = -23.0
    grid = Grid((24, 24, 24), affine)
    mask = ball(grid, (x_mm, 3, -4), 4)
    (lesion,) = measured(exam_with(mask, grid, {"post1": 9}), mask).lesions
    assert lesion.side is None


def test_a_wide_field_of_view_has_the_patient_in_its_middle():
    grid = plain_grid((10, 100, 200), (3.0, 1.5, 1.5))
    moved = grid.affine.copy()
    moved[0, 3] += 60  # the table's zero lies in the left breast
    grid = Grid(grid.shape, moved)
    mask = np.zeros(grid.shape, bool)
    mask[4:6, 50:60, 120:130] = True
    (lesion,) = measured(exam_with(mask, grid, {"post1": 9}), mask).lesions
    assert lesion.center_mm[0] > 0
    assert lesion.side == "left"


@pytest.fixture(scope="module")
def breasts():
    phantom = breast_phantom(
        7, shape=(30, 128, 128), spacing_mm=(5.0, 2.7, 2.7), phases=("post1",), lesions=0
    )
    return find_breasts(phantom.exam)


def test_what_lies_outside_the_breast_is_said(breasts):
    grid = breasts.labels.grid
    mask = np.zeros(grid.shape, bool)
    z, y, x = np.argwhere(breasts.labels.data == 1).mean(axis=0).round().astype(int)
    mask[z - 1 : z + 2, y - 2 : y + 2, x - 2 : x + 2] = True
    mask[z, 100:102, 60:62] = True
    exam = exam_with(mask, grid, {"post1": 9})
    report = measured(exam, mask, breasts=breasts)
    assert [one.outside_share for one in report.lesions] == [0.0, 1.0]
    assert report.lesions[0].side == "right"
    assert report.notes == ("mostly outside the breast: satellite 1",)
    first, second = report.lesions
    assert first.nipple_mm > 0
    assert first.quadrant is not None
    assert second.quadrant is None
    row = report.rows()[0]
    assert (row["quadrant"], row["clock"]) == (first.quadrant, first.clock)
    assert LesionReport.from_json(report.to_json()).lesions == report.lesions
    # A region in doubt says nothing.
    doubted = replace(breasts, doubts=("the left breast seems to hold 20 mL",))
    (one, _) = measured(exam, mask, breasts=doubted).lesions
    assert (one.outside_share, one.quadrant, one.nipple_mm) == (None, None, None)


def test_a_report_written_before_places_were_told_still_reads(breasts):
    grid = plain_grid((6, 20, 20))
    mask = np.zeros(grid.shape, bool)
    mask[2:4, 2:8, 2:8] = True
    value = measured(exam_with(mask, grid, {"post1": 9}), mask).to_json()
    for one in (*value["lesions"], value["total"]):
        for name in ("quadrant", "clock", "nipple_mm"):
            del one[name]
    assert LesionReport.from_json(value).lesions[0].quadrant is None


boxes = arrays.arrays(bool, st.tuples(*[st.integers(1, 6)] * 3))


@settings(max_examples=60, deadline=None)
@given(boxes, st.permutations([0, 1, 2]), st.tuples(*[st.booleans()] * 3))
def test_measures_do_not_depend_on_the_arrays_axes(mask, order, flips):
    if not mask.any():
        mask[0, 0, 0] = True
    spacing = np.array([3.0, 0.8, 0.6])
    affine = np.diag([*spacing, 1.0])
    whole = measure_shape(np.pad(mask, 1), Grid(tuple(n + 2 for n in mask.shape), affine))
    turned = np.pad(mask, 1)[tuple(slice(None, None, -1 if f else 1) for f in flips)]
    same = measure_shape(turned, Grid(turned.shape, affine))
    assert same.extent.longest == pytest.approx(whole.extent.longest)
    assert same.longest_3d == pytest.approx(whole.longest_3d)
    assert same.surface == pytest.approx(whole.surface, rel=0.03)
    swapped = np.pad(mask, 1).transpose(order)
    other = Grid(swapped.shape, affine[:, [*order, 3]])
    # No length is below a voxel's width, and which width that is depends on the slices' axis.
    again = measure_shape(swapped, other).longest_3d
    assert max(again, 0.8) == pytest.approx(max(whole.longest_3d, 0.8))


@settings(max_examples=40, deadline=None)
@given(boxes)
def test_volumes_and_functional_volumes_add_up_to_the_total(mask):
    grid = plain_grid(mask.shape)
    rng = np.random.default_rng(0)
    phases = {
        role: Volume(rng.integers(50, 200, mask.shape).astype(np.int16), grid)
        for role in ("pre", "post1", "post2")
    }
    parts, _ = ndimage.label(mask, np.ones((3, 3, 3)))
    sizes = np.bincount(parts.ravel())
    listed = mask & (sizes >= least_voxels(grid))[parts]
    report = measured(Exam("P001", phases), mask)
    assert report.total.volume_px == mask.sum()
    assert sum(one.volume_px for one in report.lesions) == listed.sum()
    functional = sum(one.functional_px for one in report.lesions)
    assert functional <= report.total.functional_px <= functional + (mask & ~listed).sum()
    assert np.array_equal(report.labels > 0, listed)


@settings(max_examples=60, deadline=None)
@given(arrays.arrays(bool, (1, 7, 8)))
def test_diameters_agree_with_comparing_every_pair(mask):
    if not mask.any():
        mask[0, 0, 0] = True
    points = np.argwhere(mask)[:, 1:] * (0.8, 0.6)
    pairs = np.linalg.norm(points[:, None] - points[None], axis=-1)
    extent = measure_shape(mask, plain_grid(mask.shape, (3.0, 0.8, 0.6))).extent
    assert extent.longest == pytest.approx(max(pairs.max(), 0.6))
    assert 0.6 <= extent.perpendicular <= extent.longest + 1e-9


def test_the_longest_diameter_is_the_one_simpleitk_finds():
    grid = Grid((14, 20, 24), np.diag([3.0, 0.7, 0.9, 1.0]))
    mask = ball(grid, (20.0, 7.0, 10.0), 9.0) | ball(grid, (25.0, 4.0, 5.0), 5.0)
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    image.SetSpacing((0.9, 0.7, 3.0))
    found = sitk.LabelShapeStatisticsImageFilter()
    found.ComputeFeretDiameterOn()
    found.Execute(image)
    assert measure_shape(mask, grid).longest_3d == pytest.approx(found.GetFeretDiameter(1))


def test_a_mask_of_a_whole_exam_is_measured_without_comparing_every_pair():
    # Nine million voxels: their pairs would fit no memory.
    mask = np.zeros((60, 448, 448), bool)
    mask[2:58, 20:430, 20:430] = True
    shape = measure_shape(mask, plain_grid(mask.shape))
    assert shape.extent.longest == pytest.approx(0.7 * 409 * np.sqrt(2))


def blobs(grid, *centers):
    """Cubes of growing size around voxels."""
    mask = np.zeros(grid.shape, bool)
    for (z, y, x), half in centers:
        mask[z - half : z + half + 1, y - half : y + half + 1, x - half : x + half + 1] = True
    return mask


def by_place(report):
    return {tuple(round(c) for c in one.center_voxel): one.id for one in report.lesions}


@pytest.mark.parametrize("is_read_from_file", [False, True])
def test_lesions_keep_their_ids_while_the_mask_changes(is_read_from_file):
    grid = one_breast_grid((20, 60, 60), (2.0, 1.0, 1.0))
    a, b, c, d = (5, 10, 10), (5, 40, 12), (14, 30, 45), (14, 8, 50)
    before = blobs(grid, (a, 4), (b, 3), (c, 2))
    exam = exam_with(before, grid, {"post1": 200})
    first = measured(exam, before)
    assert by_place(first) == {a: "index", b: "satellite 1", c: "satellite 2"}
    if is_read_from_file:
        first = LesionReport.from_json(json.loads(json.dumps(first.to_json())))
    # The index shrinks below the others, satellite 1 is erased, another one is drawn.
    after = blobs(grid, (a, 1), (c, 3), (d, 2))
    second = measured(exam, after, previous=first)
    assert by_place(second) == {a: "index", c: "satellite 2", d: "satellite 3"}
    assert [one.id for one in second.lesions] == ["index", "satellite 2", "satellite 3"]
    assert second.labels[c] == 2
    # What came back after satellite 1 was gone is a new lesion.
    third = measured(exam, blobs(grid, (a, 1), (b, 2), (c, 3)), previous=second)
    assert by_place(third) == {a: "index", c: "satellite 2", b: "satellite 4"}


def test_a_lesion_in_the_other_breast_is_called_by_its_side():
    grid = plain_grid((20, 60, 80), (2.0, 1.0, 1.0))  # the midline lies between columns 39 and 40
    a, b, c, d = (10, 30, 10), (10, 30, 70), (10, 10, 20), (10, 10, 60)
    mask = blobs(grid, (a, 4), (b, 3), (c, 2))
    first = measured(exam_with(mask, grid, {"post1": 200}), mask)
    assert by_place(first) == {a: "index", b: "left 1", c: "satellite 2"}
    # Known again, with the side of the index lesion, when that is gone.
    mask = blobs(grid, (b, 3), (d, 2), (c, 1))
    second = measured(exam_with(mask, grid, {"post1": 200}), mask, previous=first)
    assert by_place(second) == {b: "left 1", c: "satellite 2", d: "left 3"}


def test_of_two_pieces_the_larger_keeps_the_id():
    grid = one_breast_grid((9, 20, 40), (2.0, 1.0, 1.0))
    mask = np.zeros(grid.shape, bool)
    mask[3:6, 5:15, 2:30] = True
    exam = exam_with(mask, grid, {"post1": 200})
    first = measured(exam, mask)
    mask[:, :, 10] = False
    second = measured(exam, mask, previous=first)
    assert [(one.id, one.volume_px) for one in second.lesions] == [
        ("index", 3 * 10 * 19),
        ("satellite 1", 3 * 10 * 8),
    ]


def lesion(lesion_id, center, volume, side="right", diameter=20.0):
    return Lesion(
        lesion_id,
        round(volume * 1000),
        volume_ml=volume,
        diameter_mm=diameter,
        side=side,
        center_mm=center,
        functional_ml=volume / 2,
    )


def test_visits_are_compared_lesion_by_lesion():
    prior = [
        lesion("index", (60.0, 50.0, 0.0), 8.0),
        lesion("satellite 1", (60.0, 20.0, 30.0), 1.0),
        lesion("satellite 2", (-60.0, 20.0, 0.0), 1.0, side="left"),
        lesion("total", None, 10.0, side=None),
    ]
    now = [
        lesion("index", (55.0, 25.0, 28.0), 1.5),
        lesion("satellite 1", (63.0, 54.0, 0.0), 2.0, diameter=12.0),
        lesion("satellite 2", (70.0, 50.0, -70.0), 0.4),
        lesion("total", None, 3.9, side=None),
    ]
    changes = compare_visits(prior, now)
    assert [(c.id, c.prior_id, c.status) for c in changes] == [
        ("index", "satellite 1", "followed"),
        ("satellite 1", "index", "followed"),
        ("satellite 2", None, "new"),
        ("satellite 2", "satellite 2", "gone"),
        ("total", "total", "followed"),
    ]
    followed = changes[1]
    assert followed.volume_ml == pytest.approx(-6.0)
    assert followed.volume_relative == pytest.approx(-0.75)
    assert followed.diameter_mm == pytest.approx(-8.0)
    assert followed.functional_relative == pytest.approx(-0.75)
    assert followed.moved_mm == pytest.approx(5.0)
    assert changes[-1].volume_relative == pytest.approx(-0.61)


def test_visits_without_positions_are_compared_by_id():
    prior = [replace(lesion("index", None, 2.0), side=None)]
    now = [replace(lesion("index", None, 1.0), side=None)]
    (change,) = compare_visits(prior, now)
    assert (change.status, change.volume_relative, change.moved_mm) == ("followed", -0.5, None)
    assert compare_visits([], now)[0].status == "new"
    assert compare_visits(prior, [])[0].status == "gone"
    assert compare_visits([], []) == ()


def test_a_report_comes_back_from_json():
    grid = plain_grid((6, 20, 20))
    mask = blobs(grid, ((2, 6, 6), 2), ((4, 15, 15), 1))
    exam = exam_with(mask, grid, {"pre": 100, "post1": 190, "post2": 150})
    report = measured(exam, mask)
    again = LesionReport.from_json(json.loads(json.dumps(report.to_json(), allow_nan=False)))
    assert again.lesions == report.lesions
    assert again.total == report.total
    rows = report.rows()
    assert [row["lesion"] for row in rows] == ["index", "left 1", "total"]
    assert {tuple(row) for row in rows} == {tuple(rows[0])}
    assert rows[0]["pe_post1_percent"] == pytest.approx(90)
    assert report.lesion("left 1").volume_px == 27


def test_errors_say_what_was_needed(oblique_grid, breasts):
    mask = np.zeros(oblique_grid.shape, np.uint8)
    exam = exam_with(mask > 0, oblique_grid, {"post1": 1})
    other = LabelMap(mask[:6], Grid((6, 48, 40), oblique_grid.affine))
    with pytest.raises(InputError, match="Expected a mask on the grid of exam P001"):
        measure_lesions(exam, other)
    with pytest.raises(InputError, match="Expected a mask on the grid of exam P001"):
        measure_lesions(exam, LabelMap(mask, oblique_grid), breasts=breasts)
    with pytest.raises(InputError, match="Expected an enhancement threshold above 0 %"):
        measure_lesions(exam, LabelMap(mask, oblique_grid), pe_threshold_percent=-5)
    with pytest.raises(InputError, match=r"Expected a lesion of case P001.*; found 'satellite 7'"):
        measured(exam, mask).lesion("satellite 7")
    with pytest.raises(InputError, match="Expected a lesion report"):
        LesionReport.from_json({"cases": []})


def test_lesions_keep_their_ids_in_the_case_record(tmp_path):
    from napari_breastseg.dataset import Dataset

    grid = Grid((4, 40, 40), np.diag([3.0, 1.0, 1.0, 1.0]))
    labels = np.zeros(grid.shape, np.uint8)
    labels[1:3, 5:15, 5:15] = 1
    labels[1:3, 25:30, 25:30] = 1
    image = Volume(np.random.default_rng(0).random(grid.shape, np.float32), grid)
    exam = Exam("P001", {"post1": image})
    dataset = Dataset.create(tmp_path / "set", ["post1"])
    dataset.add(exam, patient_id="patient-1")
    assert dataset.lesions("P001").lesions == ()
    first = drain(measure_lesions(exam, LabelMap(labels, grid)))
    dataset.note_lesions("P001", first.lesions)

    # Opened again, the index lesion has shrunk below the other one: it is the index all the same
    labels[1:3, 5:15, 8:15] = 0
    labels[1:3, 5:12, 5:8] = 0
    previous = Dataset.open(tmp_path / "set").lesions("P001")
    assert [one.id for one in previous.lesions] == ["index", "satellite 1"]
    again = drain(measure_lesions(exam, LabelMap(labels, grid), previous=previous))
    assert {one.id: one.volume_px for one in again.lesions} == {"index": 18, "satellite 1": 50}
