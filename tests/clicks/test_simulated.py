"""The simulated reader clicks on what is wrong."""

from __future__ import annotations

import numpy as np
import pytest

from napari_breastseg.clicks.simulated import altered, box_around, click_on_largest_error


def disk(y: float, x: float, radius: float) -> np.ndarray:
    rows, columns = np.indices((96, 96))
    return np.hypot(rows - y, columns - x) < radius


def test_the_first_click_is_in_the_middle_of_the_lesion() -> None:
    found = click_on_largest_error(np.zeros((96, 96), bool), disk(40, 60, 12) | disk(10, 10, 4))
    assert found is not None
    (y, x), is_lesion = found
    assert is_lesion
    assert np.hypot(y - 40, x - 60) <= 1.5


def test_too_much_is_clicked_as_no_lesion_when_it_is_the_larger_error() -> None:
    truth = disk(40, 60, 12)
    found = click_on_largest_error(truth & ~disk(40, 52, 4) | disk(80, 20, 9), truth)
    assert found is not None
    assert found[1] is False
    assert np.hypot(found[0][0] - 80, found[0][1] - 20) <= 1.5
    assert click_on_largest_error(truth, truth) is None


def test_a_hand_misses_the_middle_but_not_the_error() -> None:
    truth, nothing = disk(48, 48, 14), np.zeros((96, 96), bool)
    rng = np.random.default_rng(0)
    places = []
    for _ in range(60):
        found = click_on_largest_error(nothing, truth, rng)
        assert found is not None
        assert truth[found[0]]
        places.append(found[0])
    assert 2.0 < np.std(places, axis=0).mean() < 8.0


def test_altered_masks_are_wrong_in_many_ways() -> None:
    truth = disk(48, 48, 14)
    rng = np.random.default_rng(1)
    errors = [int((altered(truth, rng) ^ truth).sum()) for _ in range(40)]
    assert sum(error > 20 for error in errors) > 30
    assert altered(np.zeros((96, 96), bool), rng).shape == (96, 96)


@pytest.mark.parametrize("seed", [None, 3])
def test_a_box_holds_the_lesion(seed: int | None) -> None:
    truth = disk(48, 40, 10)
    y0, x0, y1, x1 = box_around(truth, None if seed is None else np.random.default_rng(seed))
    assert truth[y0 : y1 + 1, x0 : x1 + 1].sum() == truth.sum()
    assert (y1 - y0) < 30
