"""Scores of one case, against slow and obvious reference implementations."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_breastseg.core.errors import InputError
from napari_breastseg.core.volume import Grid, LabelMap
from napari_breastseg.scoring.curves import ProbabilityHistogram
from napari_breastseg.scoring.scores import score_case, surface_distances

SPACING = (3.0, 0.7, 0.5)
SHAPES = st.sampled_from([(1, 5, 6), (3, 4, 5), (4, 1, 5)])
MASKS = SHAPES.flatmap(lambda shape: st.tuples(*[arrays(bool, shape)] * 2))


def surface_points_slowly(mask, scored):
    """Voxel by voxel: in the mask, with a face to a scored voxel outside it or to the border."""
    steps = [s for s in itertools.product((-1, 0, 1), repeat=3) if sum(map(abs, s)) == 1]
    if mask.shape[0] == 1:
        steps = [s for s in steps if s[0] == 0]
    points = []
    for place in np.argwhere(mask):
        for step in steps:
            neighbor = tuple(place + step)
            is_inside = all(0 <= i < n for i, n in zip(neighbor, mask.shape, strict=True))
            if not is_inside or (scored[neighbor] and not mask[neighbor]):
                points.append(place)
                break
    return np.array(points).reshape(-1, 3)


def distances_slowly(a, b, scored):
    surfaces = [surface_points_slowly(mask, scored) * SPACING for mask in (a, b)]
    if not all(map(len, surfaces)):
        return np.empty(0), np.empty(0)
    table = np.linalg.norm(surfaces[0][:, None] - surfaces[1][None], axis=2)
    return table.min(axis=1), table.min(axis=0)


def label_map(values, spacing=SPACING):
    values = np.asarray(values)
    affine = None if spacing is None else np.diag([*spacing, 1.0])
    return LabelMap(values.astype(np.uint8), Grid(values.shape, affine))


def box(shape, *spans):
    mask = np.zeros(shape, bool)
    mask[tuple(slice(*span) for span in spans)] = True
    return mask


@settings(max_examples=200, deadline=None)
@given(MASKS)
def test_surface_distances_equal_the_slow_ones(masks):
    scored = np.ones(masks[0].shape, bool)
    for fast, slow in zip(
        surface_distances(*masks, SPACING), distances_slowly(*masks, scored), strict=True
    ):
        np.testing.assert_allclose(np.sort(fast), np.sort(slow), atol=1e-12)


@settings(max_examples=200, deadline=None)
@given(
    SHAPES.flatmap(
        lambda s: st.tuples(arrays(bool, s), arrays(np.uint8, s, elements=st.integers(0, 2)))
    )
)
def test_every_score_equals_the_slow_one(masks):
    prediction, values = masks
    row = score_case("c", "p", prediction, label_map(values))
    scored, truth = values != 2, values == 1
    marked = prediction & scored
    pairs = list(zip(marked[scored], truth[scored], strict=True))
    tp, fp, fn, tn = (
        pairs.count(kind) for kind in [(True, True), (True, False), (False, True), (False, False)]
    )
    assert (row.true_positive_px, row.false_positive_px) == (tp, fp)
    assert (row.false_negative_px, row.true_negative_px) == (fn, tn)
    assert row.dice == pytest.approx(2 * tp / (2 * tp + fp + fn) if tp + fp + fn else 1)
    assert row.jaccard == pytest.approx(row.dice / (2 - row.dice))
    assert row.volume_error_ml == pytest.approx((fp - fn) * 3.0 * 0.7 * 0.5 / 1000)
    there, back = distances_slowly(marked, truth, scored)
    if there.size == 0:
        assert row.hd95_mm is None
        assert row.assd_mm is None
    else:
        both = np.concatenate([there, back])
        assert row.hd95_mm == pytest.approx(max(np.percentile(there, 95), np.percentile(back, 95)))
        assert row.assd_mm == pytest.approx(both.mean())
        assert row.surface_dice_mm == pytest.approx(np.mean(both <= 2.0 + 1e-6))


@settings(max_examples=100, deadline=None)
@given(
    SHAPES.flatmap(
        lambda s: st.tuples(
            arrays(bool, s), arrays(bool, s), arrays(np.uint8, s, elements=st.integers(0, 2))
        )
    )
)
def test_what_is_predicted_where_nobody_looked_changes_no_score(masks):
    prediction, other, values = masks
    changed = np.where(values == 2, other, prediction)
    reference = label_map(values)
    assert score_case("c", "p", prediction, reference, prediction.astype(float)) == score_case(
        "c", "p", changed, reference, changed.astype(float)
    )


# MONAI calls one of its own functions with an argument that it has deprecated.
@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")
@pytest.mark.parametrize("shape", [(1, 24, 20), (6, 24, 20)])
def test_distances_agree_with_monai(shape):
    torch = pytest.importorskip("torch")
    metrics = pytest.importorskip("monai.metrics")
    rng = np.random.default_rng(3)
    a = box(shape, (0, 4), (3, 14), (2, 12)) & (rng.random(shape) > 0.1)
    b = box(shape, (0, 6), (0, 16), (4, 15)) & (rng.random(shape) > 0.1)
    row = score_case("c", "p", a, label_map(b))
    flat = shape[0] == 1
    tensors = [torch.tensor(mask[0] if flat else mask)[None, None].float() for mask in (a, b)]
    spacing = SPACING[1:] if flat else SPACING
    options = {"include_background": True, "spacing": spacing}
    hd95 = metrics.compute_hausdorff_distance(*tensors, percentile=95, **options)
    assd = metrics.compute_average_surface_distance(*tensors, symmetric=True, **options)
    nsd = metrics.compute_surface_dice(*tensors, class_thresholds=[2.0], **options)
    assert row.hd95_mm == pytest.approx(hd95.item(), rel=1e-5)
    assert row.assd_mm == pytest.approx(assd.item(), rel=1e-5)
    assert row.surface_dice_mm == pytest.approx(nsd.item(), rel=1e-5)


def test_a_shift_between_slices_is_one_slice_thickness_in_mm(oblique_grid):
    truth = box(oblique_grid.shape, (5, 6), (10, 20), (10, 20))
    reference = LabelMap(truth.astype(np.uint8), oblique_grid)
    row = score_case("c", "p", np.roll(truth, 1, axis=0), reference)
    assert row.hd95_mm == pytest.approx(3.0)
    assert row.assd_mm == pytest.approx(3.0)
    assert row.surface_dice_mm == 0.0
    row = score_case("c", "p", np.roll(truth, 2, axis=2), reference)
    assert row.hd95_mm == pytest.approx(1.4)
    assert row.surface_dice_mm == 1.0
    assert row.reference_ml == pytest.approx(100 * 3.0 * 0.7 * 0.7 / 1000)


def test_without_spacing_no_score_is_in_mm():
    truth = box((1, 20, 20), (0, 1), (5, 9), (5, 9))
    row = score_case("c", "p", np.roll(truth, 3, axis=2), label_map(truth, spacing=None))
    assert row.hd95_px == 3.0
    assert row.surface_dice_px is not None
    assert row.assd_px is not None
    assert row.volume_error_px == 0
    in_mm = [name for name in row.__dataclass_fields__ if name.endswith(("_mm", "_ml"))]
    assert len(in_mm) == 6
    assert all(getattr(row, name) is None for name in in_mm)


def test_the_tolerance_of_surface_dice_includes_its_own_value():
    truth = box((1, 60, 60), (0, 1), (5, 6), (5, 6))
    row = score_case("c", "p", np.roll(truth, 20, axis=1), label_map(truth, (1.0, 0.1, 0.1)))
    assert row.surface_dice_mm == 1.0  # 20 steps of 0.1 mm
    row = score_case("c", "p", np.roll(truth, 21, axis=1), label_map(truth, (1.0, 0.1, 0.1)))
    assert row.surface_dice_mm == 0.0


def test_two_empty_masks_agree_and_have_no_distance():
    row = score_case("c", "p", np.zeros((3, 4, 5), bool), label_map(np.zeros((3, 4, 5))))
    assert (row.dice, row.jaccard, row.surface_dice_mm) == (1.0, 1.0, 1.0)
    assert row.hd95_mm is None
    assert row.assd_mm is None
    assert row.volume_error_relative is None
    assert row.lesion_sensitivity is None
    assert (row.lesions, row.false_positives) == (0, 0)


@pytest.mark.parametrize("is_missed", [True, False])
def test_one_empty_mask_scores_zero_and_has_no_distance(is_missed):
    empty, full = np.zeros((3, 6, 6), bool), box((3, 6, 6), (1, 2), (2, 4), (2, 4))
    prediction, truth = (empty, full) if is_missed else (full, empty)
    row = score_case("c", "p", prediction, label_map(truth))
    assert (row.dice, row.jaccard, row.surface_dice_mm) == (0.0, 0.0, 0.0)
    assert row.hd95_mm is None
    assert row.assd_mm is None
    assert row.volume_error_relative == (-1.0 if is_missed else None)
    assert row.false_positives == (0 if is_missed else 1)
    assert row.lesion_sensitivity == (0.0 if is_missed else None)


def test_a_mask_ends_where_it_was_seen_to_end_not_where_nobody_looked():
    truth = box((5, 12, 12), (1, 4), (3, 9), (3, 9)).astype(np.uint8)
    truth[[0, 1, 3, 4]] = 2
    prediction = box((5, 12, 12), (0, 5), (3, 9), (3, 9))
    prediction[2, 5:7, 5:7] = False
    # Above and below nobody looked, so there is no surface: as if the slice were alone.
    row = score_case("c", "p", prediction, label_map(truth))
    alone = score_case("c", "p", prediction[2:3], label_map(truth[2:3]))
    assert row.assd_mm == alone.assd_mm > 0
    assert (row.hd95_mm, row.surface_dice_mm) == (alone.hd95_mm, alone.surface_dice_mm)


def test_lesions_are_found_by_a_voxel_and_strays_are_counted():
    truth = box((3, 20, 20), (0, 1), (2, 5), (2, 5)) | box((3, 20, 20), (1, 2), (10, 14), (10, 14))
    prediction = box((3, 20, 20), (0, 1), (4, 6), (4, 6))  # touches the first by one voxel
    prediction |= box((3, 20, 20), (2, 3), (17, 19), (1, 3))  # a stray
    row = score_case("c", "p", prediction, label_map(truth))
    assert (row.lesions, row.lesions_found, row.false_positives) == (2, 1, 1)
    assert row.lesion_sensitivity == 0.5


def test_voxels_that_share_a_corner_are_one_lesion():
    truth = np.zeros((2, 4, 4), bool)
    truth[0, 1, 1] = truth[1, 2, 2] = True
    assert score_case("c", "p", truth, label_map(truth)).lesions == 1
    truth = np.zeros((1, 4, 4), bool)
    truth[0, 1, 1] = truth[0, 2, 2] = True
    assert score_case("c", "p", truth, label_map(truth)).lesions == 1


PROBABILITIES = st.sampled_from(
    [0.0, -0.0, 1e-30, 1e-4, 0.1, 0.25, 0.4999, 0.5, 0.5003, 0.9, 0.9999, 1.0]
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(PROBABILITIES, st.integers(0, 2)), min_size=1, max_size=40))
def test_areas_under_the_curves_equal_the_slow_ones(pixels):
    probability = np.array([[[p for p, _ in pixels]]])
    reference = label_map([[[label for _, label in pixels]]])
    row = score_case("c", "p", probability >= 0.5, reference, probability)
    tumor = [p for p, label in pixels if label == 1]
    other = [p for p, label in pixels if label == 0]
    if not tumor or not other:
        assert row.roc_auc is None
        assert row.pr_auc is None
        return
    wins = [(t > o) + 0.5 * (t == o) for t in tumor for o in other]
    assert row.roc_auc == pytest.approx(np.mean(wins))
    area, recall_before = 0.0, 0.0
    for threshold in sorted({*tumor, *other}, reverse=True):
        tp, fp = sum(t >= threshold for t in tumor), sum(o >= threshold for o in other)
        area += (tp / len(tumor) - recall_before) * tp / (tp + fp)
        recall_before = tp / len(tumor)
    assert row.pr_auc == pytest.approx(area)


def test_binning_changes_an_area_by_less_than_a_ten_thousandth():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    label = rng.random((1, 300, 300)) < 0.03
    probability = (1 / (1 + np.exp(-rng.normal(4.0 * label - 5, 2.5)))).astype(np.float32)
    row = score_case("c", "p", probability > 0.5, label_map(label), probability)
    flat = label.ravel(), probability.ravel()
    assert row.roc_auc == pytest.approx(metrics.roc_auc_score(*flat), abs=1e-4)
    assert row.pr_auc == pytest.approx(metrics.average_precision_score(*flat), abs=1e-4)


def test_histograms_of_cases_add_up_to_the_pooled_one():
    rng = np.random.default_rng(1)
    reference = label_map(rng.integers(0, 3, (2, 30, 30)))
    probability = rng.random((2, 30, 30))
    pooled = ProbabilityHistogram()
    pooled.add(probability, reference, "c")
    parts = ProbabilityHistogram()
    for z in range(2):
        part = ProbabilityHistogram()
        part.add(probability[z : z + 1], label_map(reference.data[z : z + 1]), "c")
        parts.merge(part)
    assert np.array_equal(parts.tumor, pooled.tumor)
    assert np.array_equal(parts.other, pooled.other)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1.5, -0.2])
def test_probabilities_that_are_none_are_refused(value):
    probability = np.full((1, 4, 4), 0.5)
    probability[0, 0, 0] = value
    with pytest.raises(InputError, match=r"from 0 to 1 for case P001; found values from .*layer"):
        score_case("P001", "p", probability > 0.5, label_map(np.zeros((1, 4, 4))), probability)


def test_a_prediction_of_another_shape_is_refused():
    reference = label_map(np.zeros((2, 4, 5)))
    with pytest.raises(InputError, match=r"shape \(2, 4, 5\) for case P001; found \(2, 5, 4\)"):
        score_case("P001", "p", np.zeros((2, 5, 4), bool), reference)
