"""Correction tools on anisotropic grids: what they change, what they leave, what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_breastseg.core.errors import InputError
from napari_breastseg.core.volume import Exam, Grid, LabelMap, Volume
from napari_breastseg.imaging.correction import (
    Edit,
    Growth,
    Scope,
    copy_slice,
    drop_lesion,
    drop_small,
    edited_slices,
    fill_holes,
    gap_around,
    gaps,
    grow,
    growth_map,
    interpolate,
    keep_lesion,
    merge_prediction,
    percent_map,
    revert,
    smooth,
    spare_findings,
    threshold_dab,
    unit_of,
)

GRID = Grid((20, 60, 64), np.diag([3.0, 0.7, 0.7, 1.0]))
VOLUME = Scope("volume")


def ball(center, radius_mm, grid=GRID):
    places = np.indices(grid.shape).astype(float)
    steps = grid.spacing_mm or (1.0, 1.0, 1.0)
    far = sum(((p - c) * s) ** 2 for p, c, s in zip(places, center, steps, strict=True))
    return far <= radius_mm**2


def masked(*masks, grid=GRID):
    return LabelMap(np.any(masks, axis=0).astype(np.uint8), grid)


def dice(a, b):
    a, b = np.asarray(a) == 1, np.asarray(b) == 1
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


def after(label_map, edit):
    assert edit.fits(label_map.data)
    return edit.applied(label_map.data)


def test_growing_takes_what_lies_within_so_many_mm():
    label_map = masked(ball((10, 30, 30), 6))
    grown = after(label_map, grow(label_map, VOLUME, 3.0))
    wanted = np.zeros(GRID.shape, bool)
    for z, y, x in np.argwhere(label_map.data):  # the slow way
        wanted |= ball((z, y, x), 3.0 + 1e-6)
    assert np.array_equal(grown == 1, wanted)
    # One slice is 3 mm away: 2 mm reach no other slice
    assert not after(label_map, grow(label_map, VOLUME, 2.0))[7].any()
    back = LabelMap(grown, GRID)
    assert dice(after(back, grow(back, VOLUME, -3.0)), label_map.data) > 0.99


def test_a_slice_grows_within_itself_along_any_axis():
    label_map = masked(ball((10, 30, 30), 6))
    for axis, index in ((0, 10), (1, 30), (2, 30)):
        grown = after(label_map, grow(label_map, Scope("slice", axis, index), 3.0))
        changed = np.unique(np.nonzero(grown != label_map.data)[axis])
        assert changed.tolist() == [index]


def test_the_lesion_nearest_to_the_pointer_is_the_one_changed():
    near, far = ball((10, 20, 20), 5), ball((10, 40, 48), 5)
    label_map = masked(near, far)
    scope = Scope("lesion", 0, 10, (10, 24, 30))
    shrunk = after(label_map, grow(label_map, scope, -1.0))
    assert np.array_equal(shrunk[far], label_map.data[far])
    assert 0 < np.count_nonzero(shrunk[near]) < np.count_nonzero(near)
    with pytest.raises(InputError, match="Expected a lesion in the current slice; found no"):
        grow(label_map, Scope("lesion", 0, 0, (0, 2, 2)), 1.0)


def test_a_long_lesion_is_taken_whole():
    grid = Grid((6, 40, 400), np.diag([3.0, 0.7, 0.7, 1.0]))
    mask = np.zeros(grid.shape, np.uint8)
    mask[3, 20, 5:390] = 1
    mask[3, 30, 5:390] = 1
    label_map = LabelMap(mask, grid)
    left = after(label_map, drop_lesion(label_map, Scope("lesion", 0, 3, (3, 20, 100))))
    assert np.unique(np.nonzero(left)[1]).tolist() == [30]


@pytest.mark.parametrize(
    ("distance", "came"), [(0.0, "found 0"), (float("nan"), "found nan"), (0.5, "found 0.5 mm")]
)
def test_a_distance_that_moves_nothing_is_refused(distance, came):
    with pytest.raises(InputError, match=f"Expected a distance.*{came}"):
        grow(masked(ball((10, 30, 30), 6)), VOLUME, distance)


def test_without_spacing_distances_are_pixels():
    grid = Grid((1, 40, 40))
    mask = np.zeros(grid.shape, np.uint8)
    mask[0, 20, 20] = 1
    assert unit_of(grid) == "px"
    assert unit_of(GRID) == "mm"
    grown = after(LabelMap(mask, grid), grow(LabelMap(mask, grid), VOLUME, 2.0))
    assert np.count_nonzero(grown) == 13  # a disk of radius 2
    with pytest.raises(InputError, match="at least one voxel, 1 px"):
        grow(LabelMap(mask, grid), VOLUME, 0.5)


def test_filling_closes_a_ring_and_nothing_else():
    ring = ball((10, 30, 30), 8) & ~ball((10, 30, 30), 4)
    other = ball((3, 15, 15), 3)
    label_map = masked(ring, other)
    filled = after(label_map, fill_holes(label_map, VOLUME))
    assert np.array_equal(filled == 1, ball((10, 30, 30), 8) | other)
    one = after(label_map, fill_holes(label_map, Scope("slice", 0, 10)))
    assert np.unique(np.nonzero(one != label_map.data)[0]).tolist() == [10]


def test_smoothing_keeps_the_volume_and_removes_spikes():
    rng = np.random.default_rng(0)
    truth = ball((10, 30, 30), 11)
    rough = truth ^ ((rng.random(GRID.shape) < 0.25) & ball((10, 30, 30), 12.5))
    label_map = masked(rough)
    smoothed = after(label_map, smooth(label_map, VOLUME, 1.5))
    assert dice(smoothed, truth) > dice(rough, truth) + 0.1
    assert abs(np.count_nonzero(smoothed) / np.count_nonzero(rough) - 1) < 0.01
    # mm, not voxels: thick slices are hardly mixed, the same blur in voxels would mix them
    single = np.zeros(GRID.shape, bool)
    single[10, 20:40, 20:40] = True
    label_map = masked(single)
    assert not after(label_map, smooth(label_map, VOLUME, 1.0))[[9, 11]].any()


def test_a_wandering_lesion_is_interpolated_better_than_copied():
    truth = np.zeros(GRID.shape, bool)
    for z in range(4, 15):
        radius = 9 - 0.5 * abs(z - 9)
        truth[z] = ball((z, 24 + 1.2 * (z - 4), 20 + 2 * (z - 4)), radius)[z]
    drawn = truth.copy()
    drawn[5:9] = drawn[10:14] = False
    label_map = masked(drawn)
    keys = edited_slices(label_map.data, None)
    assert keys == (4, 9, 14)
    result = after(label_map, interpolate(label_map, gaps(keys)))
    scores = [dice(result[z], truth[z]) for z in range(5, 14)]
    assert min(scores) > 0.93
    copied = [dice(truth[9], truth[z]) for z in range(5, 14) if z != 9]
    assert min(scores) > max(0.5, np.mean(copied))


def test_interpolation_splits_and_leaves_other_lesions_alone():
    first = np.zeros(GRID.shape, bool)
    first[5, 20:40, 20:44] = True
    first[9, 20:40, 20:28] = first[9, 20:40, 36:44] = True
    bystander = ball((7, 50, 55), 3)
    draft_between = np.zeros(GRID.shape, bool)
    draft_between[7, 25:50, 25:30] = True  # the model's, and wrong
    label_map = masked(first, bystander, draft_between)
    result = after(label_map, interpolate(label_map, [(5, 9)]))
    assert np.array_equal(result[7] & bystander[7], bystander[7])
    assert not result[7, 42:50, 25:30].any()
    assert result[6, 25:35, 22:42].mean() > result[8, 25:35, 22:42].mean() > 0.3
    assert np.array_equal(result[[5, 9]], label_map.data[[5, 9]])
    # Far-apart marks are no lesion together: nothing between is drawn or wiped away
    apart = np.zeros(GRID.shape, bool)
    apart[5, 5:15, 5:15] = apart[9, 45:55, 45:55] = True
    label_map = masked(apart, bystander)
    assert interpolate(label_map, [(5, 9)]).count == 0


def test_interpolation_along_another_axis():
    truth = ball((10, 30, 30), 12)
    drawn = truth & (np.arange(64) % 6 == 0)
    label_map = masked(drawn)
    keys = edited_slices(label_map.data, None, axis=2)
    result = after(label_map, interpolate(label_map, gaps(keys), axis=2))
    inner = slice(min(keys), max(keys) + 1)
    assert dice(result[..., inner], truth[..., inner]) > 0.95


def test_slices_count_as_edited_against_the_draft_but_not_when_interpolated():
    draft = masked(ball((10, 30, 30), 9)).data
    labels = draft.copy()
    labels[8, 5, 5] = labels[12, 5, 5] = 1
    assert edited_slices(labels, draft) == (8, 12)
    written = {z: labels[z].copy() for z in range(9, 13)}
    written[8] = labels[8].copy()
    assert edited_slices(labels, draft, written=written) == ()
    labels[10, 5, 5] = 1
    assert edited_slices(labels, draft, written=written) == (10,)
    assert gaps((8, 9, 12)) == ((9, 12),)
    assert gap_around((8, 12), 7) == ()


def test_a_slice_is_copied_whole_or_by_the_mark():
    one, two = ball((5, 20, 20), 5), ball((5, 45, 45), 5)
    label_map = masked(one & (np.arange(20)[:, None, None] == 5), two, ball((6, 22, 22), 2))
    result = after(label_map, copy_slice(label_map, 5, 1))
    assert np.array_equal(result[6], label_map.data[5])
    result = after(label_map, copy_slice(label_map, 5, 1, at=(20, 20)))
    assert np.array_equal(result[6] & ~two[6], one[5])
    assert np.array_equal(result[6][two[6]], label_map.data[6][two[6]])
    with pytest.raises(InputError, match=r"copy to; found none after slice 20, the last\. Go back"):
        copy_slice(label_map, 19, 1)
    with pytest.raises(InputError, match=r"found none before slice 1, the first\. Go on one slice"):
        copy_slice(label_map, 0, -1)
    with pytest.raises(InputError, match="Expected tumor in the current slice"):
        copy_slice(label_map, 0, 1)


def noisy(*masks, grid=GRID, contrast=200.0, noise=20.0, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(0, noise, grid.shape) + contrast * np.any(masks, axis=0)).astype(np.float32)


def test_a_click_grows_to_half_the_enhancement_and_no_farther():
    one, two = ball((10, 28, 28), 8), ball((10, 50, 55), 4)
    values = noisy(one, two)
    growth = Growth(values, GRID, (10, 28, 28))
    labels = np.zeros(GRID.shape, np.uint8)
    edit = growth.edit(labels, 0.5)
    assert dice(edit.applied(labels), one) > 0.97
    flat = Growth(values, GRID, (10, 28, 28), axis=0).edit(labels, 0.5)
    assert np.unique(flat.voxels[0]).tolist() == [10]
    assert dice(flat.applied(labels)[10], one[10]) > 0.97


@settings(max_examples=25, deadline=None)
@given(st.floats(0, 1), st.floats(0, 1))
def test_more_tolerance_never_grows_less(a, b):
    values = noisy(ball((5, 20, 20), 6, SMALL), grid=SMALL, noise=40.0)
    growth = Growth(values, SMALL, (5, 20, 20))
    less, more = (growth.mask(t) for t in sorted((a, b)))
    assert not (less & ~more).any()
    assert less[tuple(p - s.start for p, s in zip((5, 20, 20), growth.box, strict=True))]


SMALL = Grid((10, 40, 40), np.diag([3.0, 0.7, 0.7, 1.0]))


def test_maps_come_from_the_exam_with_and_without_pre():
    tumor = ball((10, 30, 30), 8)
    pre = np.full(GRID.shape, 100, np.int16)
    post = (pre * (1 + tumor)).astype(np.int16)
    exam = Exam("P001", {"pre": Volume(pre, GRID), "post1": Volume(post, GRID)})
    assert np.array_equal(np.asarray(growth_map(exam)) == 100, tumor)
    assert np.array_equal(np.asarray(percent_map(exam)) == 100, tumor)
    single = Exam("P001", {"post1": Volume(post, GRID)})
    assert growth_map(single) is post
    brightness = np.asarray(percent_map(single))
    assert brightness[tumor].min() > 90
    assert brightness[~tumor].max() < 10


def test_a_dab_paints_only_where_it_enhances():
    tumor = ball((10, 30, 30), 8)
    values = noisy(tumor, noise=0.0)
    labels = np.zeros(GRID.shape, np.uint8)
    spacing = GRID.spacing_mm
    edit = threshold_dab(labels, values, 100.0, (10, 30, 20), (10, 30, 44), 3.5, spacing=spacing)
    painted = edit.applied(labels)
    z, y, x = np.indices(GRID.shape)
    along = np.clip(x, 20, 44)
    capsule = (z == 10) & (((y - 30) * 0.7) ** 2 + ((x - along) * 0.7) ** 2 <= 3.5**2)
    assert np.array_equal(painted == 1, capsule & tumor)
    assert threshold_dab(labels, values, 100, (10, -99, 0), (10, -90, 0), 2).count == 0


def test_a_lesion_is_kept_or_dropped():
    one, two, three = ball((5, 15, 15), 5), ball((5, 45, 45), 5), ball((14, 15, 50), 4)
    label_map = masked(one, two, three)
    scope = Scope("lesion", 0, 5, (5, 16, 17))
    assert np.array_equal(after(label_map, drop_lesion(label_map, scope)) == 1, two | three)
    assert np.array_equal(after(label_map, keep_lesion(label_map, scope)) == 1, one)
    in_slice = Scope("slice", 0, 5, (5, 16, 17))
    kept = after(label_map, keep_lesion(label_map, in_slice)) == 1
    assert np.array_equal(kept[5], one[5])
    assert np.array_equal(np.delete(kept, 5, 0), np.delete(label_map.data == 1, 5, 0))
    dropped = after(label_map, drop_lesion(label_map, in_slice)) == 1
    assert np.array_equal(dropped[5], two[5])
    assert np.array_equal(dropped[4], label_map.data[4] == 1)
    box = (slice(3, 8), slice(0, 60), slice(0, 64))
    kept = after(label_map, keep_lesion(label_map, Scope("box", 0, 5, (5, 16, 17), box))) == 1
    assert np.array_equal(kept, one | three)
    with pytest.raises(InputError, match="Expected a box to work in; found none"):
        keep_lesion(label_map, Scope("box", 0, 5, (5, 16, 17)))


def test_reverting_brings_the_draft_back_where_asked():
    draft = masked(ball((5, 15, 15), 5), ball((12, 45, 45), 5))
    worked = masked(ball((12, 45, 45), 3), ball((16, 10, 50), 2))  # one lesion erased altogether
    back = after(worked, revert(worked, draft, Scope("lesion", 0, 5, (5, 15, 15))))
    assert np.array_equal(back[:9], draft.data[:9])
    assert np.array_equal(back[9:], worked.data[9:])
    back = after(worked, revert(worked, draft, Scope("slice", 0, 12)))
    assert np.unique(np.nonzero(back != worked.data)[0]).tolist() == [12]
    assert np.array_equal(back[12], draft.data[12])
    assert np.array_equal(after(worked, revert(worked, draft, VOLUME)), draft.data)
    box = (slice(0, 20), slice(0, 30), slice(0, 30))
    back = after(worked, revert(worked, draft, Scope("box", box=box)))
    assert np.array_equal(back[box], draft.data[box])
    other = LabelMap(draft.data[:5], Grid((5, 60, 64)))
    with pytest.raises(InputError, match="Expected a mask on the grid"):
        revert(worked, other, VOLUME)


def test_a_new_prediction_leaves_corrections_as_they_are():
    rng = np.random.default_rng(0)
    draft, labels, predicted = (rng.integers(0, 2, GRID.shape, np.uint8) for _ in range(3))
    box = (slice(2, 9), slice(5, 40), slice(8, 50))
    edit, redraft = merge_prediction(labels, draft, predicted, box)
    merged, newer = edit.applied(labels), redraft.applied(draft)
    is_corrected = labels != draft
    inside = np.zeros(GRID.shape, bool)
    inside[box] = True
    assert np.array_equal(merged[is_corrected], labels[is_corrected])
    assert np.array_equal(merged[inside & ~is_corrected], predicted[inside & ~is_corrected])
    assert np.array_equal(merged[~inside], labels[~inside])
    # The same voxels are corrections still: another model leaves them as they are too
    assert np.array_equal(merged != newer, is_corrected)


def test_a_redraft_takes_no_finding_larger_than_what_the_reader_removed():
    large, small = ball((10, 20, 20), 8), ball((10, 45, 45), 4)
    labels = masked(large, small).data
    touched = np.zeros(GRID.shape, bool)
    nothing = np.zeros(GRID.shape, np.uint8)

    kept, spared = spare_findings(labels, touched, nothing)  # the reader removed nothing at all
    assert spared == 2
    assert np.array_equal(kept, labels)

    dropped = ball((10, 20, 45), 6)  # larger than the small one: that may go, as it was taught
    kept, spared = spare_findings(labels, touched | dropped, nothing)
    assert spared == 1
    assert np.array_equal(kept == 1, large)

    corrected = touched.copy()  # erased in a slice: what is left of it may go as well
    corrected[10], labels[10] = large[10], np.where(large[10], 0, labels[10])
    kept, spared = spare_findings(labels, corrected, nothing)
    assert (spared, np.count_nonzero(kept)) == (0, 0)

    trimmed = ball((10, 20, 20), 7).astype(np.uint8)  # an outline drawn closer stays a redraft's
    labels = masked(large).data
    assert spare_findings(labels, touched, trimmed)[0] is trimmed


def test_marks_under_a_size_are_dropped_and_those_of_the_size_stay():
    big = ball((10, 30, 30), 6)
    label_map = masked(big)
    label_map.data[2, 5, 5] = label_map.data[3, 6, 6] = 1  # one mark of two voxels, by a corner
    label_map.data[17, 50, 50] = 1
    voxel = 3.0 * 0.7 * 0.7
    assert drop_small(label_map, voxel).count == 0
    two_stay = after(label_map, drop_small(label_map, 2 * voxel))
    assert np.array_equal(
        two_stay == 1, big | (label_map.data == 1) & (np.arange(20) < 17)[:, None, None]
    )
    np.testing.assert_array_equal(after(label_map, drop_small(label_map, 2.1 * voxel)) == 1, big)
    # Without a spacing the size is a number of pixels.
    flat = LabelMap(np.zeros((1, 9, 9), np.uint8), Grid((1, 9, 9)))
    flat.data[0, 1, 1:4] = flat.data[0, 5:7, 5] = 1
    assert drop_small(flat, 3).count == 2
    assert drop_small(LabelMap(np.zeros((1, 9, 9), np.uint8), flat.grid), 3).count == 0
    with pytest.raises(InputError, match="a size above 0; found 0"):
        drop_small(flat, 0)


def test_an_edit_knows_when_the_mask_has_changed_under_it():
    label_map = masked(ball((10, 30, 30), 6))
    edit = Edit.joined([grow(label_map, VOLUME, 1.0)])
    changed = label_map.data.copy()
    changed[0, 0, 0] = 1
    assert edit.fits(changed)  # elsewhere: no matter
    changed[tuple(axis[0] for axis in edit.voxels)] = 1
    assert not edit.fits(changed)
    assert Edit.joined([]).count == 0


def test_tools_on_an_empty_mask_change_nothing():
    empty = LabelMap(np.zeros(GRID.shape, np.uint8), GRID)
    assert grow(empty, VOLUME, 2.0).count == 0
    assert smooth(empty, VOLUME, 2.0).count == 0
    assert fill_holes(empty, Scope("slice", 1, 30)).count == 0
    full = LabelMap(np.ones(GRID.shape, np.uint8), GRID)
    assert grow(full, VOLUME, -2.0).count == 0
    assert smooth(full, VOLUME, 1.0).count == 0
