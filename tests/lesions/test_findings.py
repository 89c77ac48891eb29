"""Findings: candidates of a probability, their evidence, and the score that orders them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_breastseg.core.errors import InputError
from napari_breastseg.core.progress import drain
from napari_breastseg.core.volume import Exam, Grid, Volume
from napari_breastseg.lesions import findings
from napari_breastseg.lesions.evidence import Evidence, Surroundings, evidence_of
from napari_breastseg.lesions.finding_score import FindingScore, Weights, fitted, kind_of
from napari_breastseg.lesions.findings import SMALLEST_MM, candidates, find

GRID = Grid((24, 60, 60), np.diag([2.0, 1.0, 1.0, 1.0]))


def ball(center, radius_mm):
    z, y, x = np.indices(GRID.shape)
    away = ((z - center[0]) * 2.0) ** 2 + (y - center[1]) ** 2 + (x - center[2]) ** 2
    return away <= radius_mm**2


def exam_of(lesion, *, later=1.0, vessel=None):
    """Tissue of 100 that rises by 2, a lesion by 92 and then `later` of it."""
    rng = np.random.default_rng(0)
    noise = [rng.normal(0, 3, GRID.shape).astype(np.float32) for _ in range(3)]
    pre = 100 + noise[0]
    post = pre + 2 + noise[1] + 90 * lesion
    last = pre + 3 + noise[2] + 90 * later * lesion
    if vessel is not None:
        post += 150 * vessel
        last += 150 * vessel
    phases = {"pre": pre, "post1": post, "post2": last}
    return Exam("P", {role: Volume(data, GRID) for role, data in phases.items()})


def test_shreds_are_one_finding_and_a_dark_center_belongs_to_its_rim():
    rim = ball((12, 30, 30), 10) & ~ball((12, 30, 30), 6)
    probability = np.where(rim, 0.9, 0.1).astype(np.float32)
    probability[:, 29:31, 35:] = np.where(rim, 0.4, 0.1)[:, 29:31, 35:]  # the rim is broken
    labels, voxels, specks = candidates(Volume(probability, GRID), 0.5)
    assert len(voxels) == 1
    assert labels[12, 30, 30] == 1
    assert specks == 0
    whole = ball((12, 30, 30), 10).sum()
    assert 0.8 * whole < voxels[0] <= whole


def test_what_is_smaller_than_a_finding_is_a_speck():
    probability = np.zeros(GRID.shape, np.float32)
    probability[ball((12, 20, 20), SMALLEST_MM)] = 0.9
    probability[5, 40:42, 40] = 1.0
    labels, voxels, specks = candidates(Volume(probability, GRID), 0.5)
    assert (len(voxels), specks) == (1, 1)
    assert not labels[5].any()


def test_an_empty_probability_has_no_findings():
    lesion = ball((12, 30, 30), 6)
    found = drain(find(Volume(np.zeros(GRID.shape, np.float32), GRID), exam_of(lesion)))
    assert found.findings == ()
    assert not found.mask().tumor.any()


def evidence(lesion, exam, probability=None):
    probability = np.where(lesion, 0.9, 0.05) if probability is None else probability
    volume = Volume(probability.astype(np.float32), GRID)
    labels, _, _ = candidates(volume, 0.5)
    found = drain(find(volume, exam))
    first = found.findings[0]
    around = Surroundings.of(exam, volume, labels, None)
    mask = found.labels[first.box] == 1
    assert evidence_of(around, mask, first.box) == first.evidence
    return first.evidence


def test_what_enhances_in_one_phase_only_is_not_consistent():
    lesion = ball((12, 30, 30), 7)
    lasting = evidence(lesion, exam_of(lesion))
    passing = evidence(lesion, exam_of(lesion, later=0.1))
    assert lasting.consistency > 0.85
    assert passing.consistency < 0.3
    assert lasting.rise > 5
    assert lasting.percent == pytest.approx(1.0, abs=0.1)


def test_a_vessel_is_long_and_a_ball_is_full():
    lesion = ball((12, 30, 30), 7)
    vessel = np.zeros(GRID.shape, bool)
    vessel[11:13, 5:55, 29:32] = True
    assert evidence(lesion, exam_of(lesion)).elongation < 1.2
    assert evidence(lesion, exam_of(lesion)).fullness > 0.9
    assert evidence(vessel, exam_of(vessel)).elongation > 5


def test_signal_lost_beside_a_mark_speaks_of_motion():
    moved = np.zeros(GRID.shape, bool)
    moved[8:16, 20:40, 30:34] = True
    exam = exam_of(moved)
    shifted = np.roll(moved, -5, axis=2)
    post = np.asarray(exam.phases["post1"].data) - 90 * shifted
    exam = Exam("P", {**exam.phases, "post1": Volume(post, GRID)})
    assert evidence(moved, exam).negative > 0.05
    still = ball((12, 30, 30), 7)
    assert evidence(still, exam_of(still)).negative < 0.02


def test_without_pre_there_is_no_enhancement_to_speak_of():
    lesion = ball((12, 30, 30), 7)
    whole = exam_of(lesion)
    single = Exam("P", {"post1": whole.phases["post1"]})
    found = evidence(lesion, single)
    assert (found.rise, found.consistency, found.skin_mm) == (None, None, None)
    assert found.contrast > 5
    assert (kind_of(whole.phases), kind_of(single.phases)) == ("dynamic", "single")


def drawn(rng, is_lesion):
    """Evidence of a lesion or of a vessel, as they usually are."""
    return Evidence(
        log_volume=rng.normal(0.5 if is_lesion else -2, 0.8),
        peak=rng.uniform(0.8, 1) if is_lesion else rng.uniform(0.5, 0.9),
        mean=rng.uniform(0.6, 0.9),
        elongation=rng.uniform(1, 2) if is_lesion else rng.uniform(2, 5),
        fullness=rng.uniform(0.3, 0.9),
        brightness=rng.normal(4, 1),
        contrast=rng.normal(4, 1),
        rise=rng.normal(8, 2) if is_lesion else rng.normal(5, 3),
        skin_mm=rng.uniform(5, 30) if is_lesion else rng.uniform(0, 20),
    )


def exams(count=30):
    rng = np.random.default_rng(3)
    return [
        [(drawn(rng, True), True), *((drawn(rng, False), False) for _ in range(8))]
        for _ in range(count)
    ]


def test_the_score_tells_lesions_from_vessels_of_exams_it_has_not_seen():
    weights = fitted(exams(), 30)
    rng = np.random.default_rng(99)
    lesions = [weights.score(drawn(rng, True)) for _ in range(60)]
    others = [weights.score(drawn(rng, False)) for _ in range(60)]
    assert np.mean(np.greater(lesions, weights.limit)) > 0.9
    assert np.mean(np.greater(others, weights.limit)) < 1.5 / 8
    assert np.median(lesions) > 0.9 > 0.2 > np.median(others)


def test_weights_have_the_sign_of_their_meaning_and_unknown_figures_none():
    weights = fitted(exams(), 30)
    assert weights.weight["elongation"] < 0 < weights.weight["peak"]
    assert "mirror" not in weights.weight
    rng = np.random.default_rng(5)
    one = drawn(rng, True)
    # The mean stands in for what is not known: neither for nor against.
    at_mean = replace(one, skin_mm=weights.mean["skin_mm"])
    assert weights.score(replace(one, skin_mm=None)) == pytest.approx(weights.score(at_mean))
    assert weights.score(replace(one, skin_mm=11.0)) >= weights.score(replace(one, skin_mm=1.0))


def test_decisions_of_readers_move_the_score_a_little():
    before = fitted(exams(), 30)
    rng = np.random.default_rng(8)
    # This site's lesions lie at the skin, which counted against them.
    kept = [(replace(drawn(rng, True), skin_mm=1.0), True) for _ in range(12)]
    dropped = [(replace(drawn(rng, False), skin_mm=20.0), False) for _ in range(12)]
    after = fitted([kept, dropped], 12, prior=before)
    assert after.limit == before.limit
    assert after.weight["skin_mm"] < before.weight["skin_mm"]
    assert after.score(kept[0][0]) >= before.score(kept[0][0])


def test_a_damaged_score_is_refused_by_name():
    good = fitted(exams(6), 6)
    score = FindingScore(weights=dict.fromkeys(("dynamic", "pair", "single"), good))
    assert FindingScore.read(score.model_dump(mode="json"), "m") == score
    for damage in (
        {"weights": {}},
        {"weights": {**score.model_dump()["weights"], "pair": {"mean": {}}}},
        "text",
    ):
        with pytest.raises(InputError, match="score of findings in model starter"):
            FindingScore.read(damage, "starter")
    with pytest.raises(ValueError, match="finite"):
        Weights(**{**good.model_dump(), "intercept": float("nan")})


def test_what_scores_low_is_held_back_and_can_be_asked_for():
    lesion = ball((12, 30, 30), 7)
    vessel = np.zeros(GRID.shape, bool)
    vessel[3:5, 5:55, 10:13] = True
    exam = exam_of(lesion, vessel=vessel)
    probability = np.full(GRID.shape, 0.05, np.float32)
    probability[lesion], probability[vessel] = 0.95, 0.6
    weights = Weights(
        mean={"elongation": 2.5}, weight={"elongation": -3.0}, intercept=0.0, limit=0.5
    )
    score = FindingScore(weights=dict.fromkeys(("dynamic", "pair", "single"), weights))
    found = drain(find(Volume(probability, GRID), exam, score=score))
    assert [one.is_shown for one in found.findings] == [True, False]
    assert found.mask().tumor[12, 30, 30]
    assert not found.mask().tumor[vessel].any()
    assert found.mask((2,)).tumor[vessel].all()
    # Another threshold marks more of what is shown and nothing of what is held back.
    cut = found.cut(probability >= 0.04)
    assert cut.all()  # everything is one part then
    cut = found.cut(probability >= 0.3)
    assert (cut[lesion].all(), cut[vessel].any()) == (True, False)


def test_what_lies_mostly_outside_the_breasts_is_held_back(monkeypatch):
    first, second = ball((12, 15, 30), 7), ball((12, 45, 30), 7)
    probability = np.where(first | second, 0.9, 0.05).astype(np.float32)
    weights = Weights(mean={"peak": 0.5}, weight={"peak": 1.0}, intercept=2.0, limit=0.5)
    score = FindingScore(weights=dict.fromkeys(("dynamic", "pair", "single"), weights))
    shares = {15: 0.6, 45: 0.8}

    def beside_the_breast(surroundings, mask, box):
        middle = (box[1].start + box[1].stop) // 2
        share = shares[min(shares, key=lambda y: abs(y - middle))]
        return replace(evidence_of(surroundings, mask, box), inside=share)

    monkeypatch.setattr(findings, "evidence_of", beside_the_breast)
    found = drain(find(Volume(probability, GRID), exam_of(first | second), score=score))
    assert [(one.evidence.inside, one.is_shown) for one in found.findings] == [
        (0.8, True),
        (0.6, False),
    ]
    assert found.mask().tumor[second].all()
    assert not found.mask().tumor[first].any()
