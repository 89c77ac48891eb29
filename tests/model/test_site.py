"""An exam gets as much of a site's model as it is like the site's exams."""

from __future__ import annotations

import numpy as np
import pytest

from napari_breastseg.model.site import SHARES, Site, SiteExams

FEATURES = 40
RNG = np.random.default_rng(0)


def features_of(center: float, count: int) -> np.ndarray:
    return RNG.normal(center, 1.0, (count, FEATURES)).astype(np.float32)


def site(*exams: SiteExams) -> Site:
    return Site(scale=(1.0,) * FEATURES, exams=exams)


def share(known: Site, row: np.ndarray) -> float:
    return known.share(row, ("post1",))


OWN = SiteExams.of(("post1",), features_of(0.0, 12), [f"P{n // 2}" for n in range(12)])


def test_other_patients_of_the_site_get_its_model_and_far_exams_the_general_one():
    assert min(share(site(OWN), row) for row in features_of(0.0, 20)) == 1.0
    assert max(share(site(OWN), row) for row in features_of(3.0, 20)) == 0.0


def test_an_exam_between_gets_a_mixture_in_quarters():
    shares = {
        share(site(OWN), np.full(FEATURES, value, np.float32)) for value in np.arange(0, 3, 0.02)
    }
    assert shares == {n / SHARES for n in range(SHARES + 1)}


def test_the_nearest_kind_of_exam_decides():
    other = SiteExams.of(("post1",), features_of(6.0, 4), ["P7"] * 4)
    assert share(site(OWN), np.full(FEATURES, 6.0, np.float32)) == 0.0
    assert share(site(OWN, other), np.full(FEATURES, 6.0, np.float32)) == 1.0
    assert share(site(OWN, other), np.zeros(FEATURES, np.float32)) == 1.0


def test_an_exam_with_other_phases_gets_the_general_model():
    assert site(OWN).share(np.zeros(FEATURES, np.float32), ("pre", "post1")) == 0.0


def test_one_odd_feature_decides_nothing():
    odd = np.zeros(FEATURES, np.float32)
    odd[0] = 1000.0
    assert share(site(OWN), odd) == 1.0


def test_patients_count_alike_whatever_their_number_of_slices():
    rows = np.concatenate([features_of(0.0, 1), features_of(4.0, 9)])
    exams = SiteExams.of(("post1",), rows, ["A", *["B"] * 9])
    assert np.mean(exams.mean) == pytest.approx(2.0, abs=0.3)
    assert (exams.cases, exams.patients) == (10, 2)


def test_the_spread_of_one_patient_is_the_usual_one_and_of_many_their_own():
    one = SiteExams.of(("post1",), features_of(0.0, 3), ["A"] * 3)
    wide = SiteExams.of(("post1",), 2.0 * features_of(0.0, 30), [f"P{n}" for n in range(30)])
    assert one.spread == pytest.approx(1.5)
    assert wide.spread == pytest.approx(4.0, abs=0.5)
