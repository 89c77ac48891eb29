"""Intervals over patients."""

from __future__ import annotations

import numpy as np
import pytest

from napari_breastseg.core.errors import InputError
from napari_breastseg.scoring.bootstrap import bootstrap_ci95, paired_bootstrap


def test_an_interval_is_the_same_every_time_and_holds_the_mean():
    values = np.random.default_rng(0).normal(0.8, 0.1, 40)
    low, high = bootstrap_ci95(values)
    assert (low, high) == bootstrap_ci95(values)
    assert low < values.mean() < high
    # For many values the interval is the mean +- 1.96 standard errors.
    error = values.std() / np.sqrt(40)
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.05)


def test_resampling_in_parts_draws_every_resample():
    values = np.random.default_rng(0).normal(0.8, 0.1, 3000)  # three parts
    low, high = bootstrap_ci95(values, resamples=4000)
    error = values.std() / np.sqrt(3000)
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.1)


@pytest.mark.parametrize("values", [[], [0.8]])
def test_fewer_than_two_patients_have_no_interval(values):
    assert bootstrap_ci95(values) is None


def test_a_paired_difference_goes_by_patient_not_by_order():
    a = {"P1": 0.9, "P2": 0.5, "P3": 0.7}
    b = {"P3": 0.6, "P1": 0.8, "P2": 0.4}
    difference = paired_bootstrap(a, b)
    assert difference.mean == pytest.approx(0.1)
    assert difference.ci95 == pytest.approx((0.1, 0.1))
    assert difference.n_patients == 3


def test_a_paired_difference_is_narrower_than_the_models_apart():
    rng = np.random.default_rng(0)
    hardness = rng.normal(0, 0.2, 30)
    a = {f"P{i}": 0.7 + hardness[i] + rng.normal(0, 0.01) for i in range(30)}
    b = {f"P{i}": 0.65 + hardness[i] + rng.normal(0, 0.01) for i in range(30)}
    low, high = paired_bootstrap(a, b).ci95
    assert 0.03 < low < high < 0.07


@pytest.mark.parametrize(
    ("a", "b", "came"),
    [({"P1": 0.5, "P2": 0.6}, {"P1": 0.5, "P3": 0.6}, "2 of 3 patients"), ({}, {}, "no patients")],
)
def test_different_patients_are_refused(a, b, came):
    with pytest.raises(InputError, match=f"same patients; .*{came}.* Evaluate both"):
        paired_bootstrap(a, b)
