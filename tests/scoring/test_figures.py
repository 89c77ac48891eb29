"""Pictures: that they show what they say, on the side they say."""

from __future__ import annotations

import itertools
import subprocess
import sys

import imageio.v3 as iio
import numpy as np
import pytest

from napari_breastseg.core.volume import Grid, LabelMap, Volume
from napari_breastseg.scoring.curves import ProbabilityHistogram
from napari_breastseg.scoring.figures import (
    case_picture,
    curves_picture,
    key_slice,
    learning_picture,
    reliability_picture,
)

BLUE, ORANGE, PINK = (86, 180, 233), (230, 159, 0), (204, 121, 167)


def share_of(picture, color):
    return np.mean(np.abs(picture[..., :3].astype(int) - color).max(axis=2) < 12)


def panels_of(path, count):
    picture = iio.imread(path)
    return np.array_split(picture, count, axis=1)


def box(shape, *spans):
    mask = np.zeros(shape, bool)
    mask[tuple(slice(*span) for span in spans)] = True
    return mask


def label_map(mask, grid):
    return LabelMap(mask.astype(np.uint8), grid)


def test_each_panel_shows_its_own_outline(sphere_exam, tmp_path):
    exam, truth = sphere_exam
    prediction = np.roll(truth.tumor, 3, axis=2)
    path = tmp_path / "case.png"
    case_picture(path, exam.phases["post1"], truth, prediction, case_id="P001", dice=0.8)
    image, reference, predicted = panels_of(path, 3)
    assert share_of(image, BLUE) == share_of(image, ORANGE) == 0
    assert share_of(reference, BLUE) > 0.005
    assert share_of(reference, ORANGE) == 0
    assert share_of(predicted, ORANGE) > 0.005
    assert share_of(predicted, BLUE) > 0


def test_the_picture_of_learning_has_a_row_for_each_of_two_patients(sphere_exam, tmp_path):
    exam, truth = sphere_exam
    draft = label_map(np.roll(truth.tumor, 3, axis=2), exam.grid)
    path = tmp_path / "loop.png"
    image = exam.phases["post1"]
    learning_picture(path, (image, truth, draft, truth, [6]), (image, truth, draft, truth))
    picture = iio.imread(path)
    for row in np.array_split(picture, 2, axis=0):
        panels = np.array_split(row, 4, axis=1)
        assert [share_of(panel, ORANGE) > 0.005 for panel in panels] == [False, False, True, False]
        assert [share_of(panel, PINK) > 0.005 for panel in panels] == [False, False, False, True]
        assert share_of(panels[1], BLUE) > 0.005


ORIENTATIONS = [
    (order, signs)
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]


@pytest.mark.parametrize(("order", "signs"), ORIENTATIONS)
def test_right_is_left_and_front_or_head_is_up_however_the_array_lies(tmp_path, order, signs):
    # Column k of the affine: where array axis k (z, y, x) runs in the patient (R, A, H).
    affine = np.eye(4)
    affine[:3, :3] = 0
    for array_axis, (patient_axis, sign) in enumerate(zip(order, signs, strict=True)):
        affine[patient_axis, array_axis] = sign * (2.0, 1.0, 1.0)[array_axis]
    grid = Grid((5, 60, 60), affine)
    # A spot far to the patient's right, front and head.
    place = [4 if signs[0] > 0 else 0, *(50 if sign > 0 else 9 for sign in signs[1:])]
    spot = np.zeros(grid.shape, np.float32)
    spot[place[0], place[1] - 4 : place[1] + 5, place[2] - 4 : place[2] + 5] = 1
    path = tmp_path / "case.png"
    truth = label_map(spot > 0, grid)
    case_picture(path, Volume(spot, grid), truth, truth.tumor, case_id="c", dice=1)
    # The reference panel holds the outline; its frame is left out.
    panel = panels_of(path, 3)[1][..., :3].astype(int)
    is_blue = np.abs(panel - BLUE).max(axis=2) < 12
    frame_rows, frame_columns = (
        np.flatnonzero(is_blue.any(axis=1)),
        np.flatnonzero(is_blue.any(axis=0)),
    )
    inside = is_blue[
        frame_rows[0] + 12 : frame_rows[-1] - 12, frame_columns[0] + 12 : frame_columns[-1] - 12
    ]
    rows, columns = np.nonzero(inside)
    assert rows.max() < inside.shape[0] / 2, "front or head is not at the top"
    # Axial and coronal: the patient's right is on the left. Sagittal: the front is.
    assert columns.max() < inside.shape[1] / 2, "the patient's right or front is not on the left"


@pytest.mark.parametrize("shape", [(1, 1, 30), (1, 30, 1), (1, 2, 2), (1, 300, 20), (3, 20, 300)])
def test_odd_shapes_are_drawn(tmp_path, shape):
    grid = Grid(shape)
    image = Volume(np.arange(np.prod(shape), dtype=np.float32).reshape(shape), grid)
    everything, nothing = np.ones(shape, bool), np.zeros(shape, bool)
    for name, truth, prediction in [
        ("full", everything, everything),
        ("empty", nothing, nothing),
        ("missed", everything, nothing),
    ]:
        path = tmp_path / f"{name}.png"
        case_picture(path, image, label_map(truth, grid), prediction, case_id="c", dice=0)
        assert iio.imread(path).shape[1] > 500


@pytest.mark.parametrize("value", [0.0, 7.0, np.nan])
def test_images_without_contrast_are_drawn(tmp_path, value):
    grid = Grid((1, 40, 40))
    truth = label_map(box(grid.shape, (0, 1), (5, 9), (5, 9)), grid)
    image = Volume(np.full(grid.shape, value), grid)
    case_picture(tmp_path / "c.png", image, truth, truth.tumor, case_id="c", dice=1)
    assert share_of(iio.imread(tmp_path / "c.png"), BLUE) > 0


@pytest.mark.parametrize("name", ["x" * 400, "cost $5 and $6_", "病人 01", "two\nlines\tand tabs"])
def test_any_case_name_fits_in_the_title(sphere_exam, tmp_path, name):
    exam, truth = sphere_exam
    path = tmp_path / "case.png"
    case_picture(path, exam.phases["pre"], truth, truth.tumor, case_id=name, dice=1)
    picture = iio.imread(path)[..., :3]
    top = picture[:50]
    assert (top < 100).any(), "no title"
    for margin in (top[:, :100], top[:, -100:]):
        assert (margin > 200).all(), "the title overflows"


def test_the_slice_shown_is_the_one_with_the_most_tumor():
    shape = (6, 10, 10)
    truth = box(shape, (1, 5), (2, 4), (2, 4)) | box(shape, (3, 4), (2, 8), (2, 8))
    prediction = box(shape, (5, 6), (0, 9), (0, 9))
    empty = np.zeros(shape, bool)
    assert key_slice(truth, prediction) == 3
    assert key_slice(empty, prediction) == 5
    assert key_slice(empty, empty) == 3


def test_curves_of_many_points_are_drawn(tmp_path):
    rng = np.random.default_rng(0)
    grid = Grid((1, 200, 200))
    truth = label_map(rng.random(grid.shape) < 0.1, grid)
    histogram = ProbabilityHistogram()
    histogram.add(np.clip(rng.normal(0.3 + 0.3 * truth.tumor, 0.15), 0, 1), truth, "c")
    curves_picture(tmp_path / "curves.png", histogram.curves())
    picture = iio.imread(tmp_path / "curves.png")
    for half in np.array_split(picture, 2, axis=1):
        assert share_of(half, (0, 114, 178)) > 0.002
    for edge in (picture[:2], picture[-2:], picture[:, :2], picture[:, -2:]):
        assert (edge[..., :3] > 200).all(), "something is cut off at the border"


def test_reliability_lies_on_the_diagonal_of_a_model_that_is_right(tmp_path):
    rng = np.random.default_rng(0)
    grid = Grid((1, 300, 300))
    probability = rng.random(grid.shape).astype(np.float32)
    truth = label_map(rng.random(grid.shape) < probability, grid)
    right, hopeful = ProbabilityHistogram(), ProbabilityHistogram()
    right.add(probability, truth, "c")
    hopeful.add(np.sqrt(probability), truth, "c")
    found = right.reliability()
    np.testing.assert_allclose(found.probability, np.arange(10) / 10 + 0.05, atol=0.005)
    np.testing.assert_allclose(found.observed, found.probability, atol=0.03)
    assert found.pixels.sum() == 90_000
    assert found.expected_error < 0.02
    assert hopeful.reliability().expected_error > 0.1
    reliability_picture(tmp_path / "r.png", {"right": found, "hopeful": hopeful.reliability()})
    picture = iio.imread(tmp_path / "r.png")
    assert share_of(picture, (0, 114, 178)) > 0.002
    assert share_of(picture, (213, 94, 0)) > 0.002


def test_reliability_of_one_probability_is_one_point():
    grid = Grid((1, 1, 4))
    histogram = ProbabilityHistogram()
    histogram.add(np.full(grid.shape, 1.0), label_map(np.array([[[1, 1, 1, 0]]]), grid), "c")
    found = histogram.reliability()
    assert (found.probability.tolist(), found.observed.tolist()) == ([1.0], [0.75])


def test_drawing_leaves_pyplot_alone(tmp_path):
    script = (
        "import sys, numpy as np\n"
        "from pathlib import Path\n"
        "from napari_breastseg.scoring import evaluation, figures\n"
        "assert 'matplotlib' not in sys.modules\n"
        "from napari_breastseg.core.volume import Grid, LabelMap, Volume\n"
        "grid = Grid((1, 30, 30))\n"
        "truth = LabelMap(np.eye(30, dtype=np.uint8)[None], grid)\n"
        "own = (Volume(truth.data, grid), truth, truth, truth, ())\n"
        "figures.learning_picture(Path(sys.argv[1]), own, own[:4])\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script, tmp_path / "loop.png"], check=True)
    assert (tmp_path / "loop.png").stat().st_size > 1000
