"""What readers keep and drop moves the score of findings, and the trained model takes it along."""

from __future__ import annotations

from dataclasses import asdict
from itertools import count

import numpy as np
import pytest

from napari_breastseg.core.volume import Exam, Grid, LabelMap, Volume
from napari_breastseg.dataset import Dataset, Decision, FindingRecord
from napari_breastseg.lesions.evidence import Evidence
from napari_breastseg.lesions.finding_score import FindingScore, Weights
from napari_breastseg.training.cases import DatasetCase
from napari_breastseg.training.decisions import learned_score

GRID = Grid((4, 20, 20), np.diag([3.0, 1.0, 1.0, 1.0]))
WEIGHTS = Weights(
    mean={"elongation": 2.0, "skin_mm": 8.0},
    weight={"elongation": -1.0, "skin_mm": 0.4},
    intercept=0.0,
    limit=0.5,
)
BASE = FindingScore(weights=dict.fromkeys(("dynamic", "pair", "single"), WEIGHTS))


def found(number, skin_mm, decision=Decision.NONE, *, share=0.0, is_shown=True):
    evidence = Evidence(0.0, 0.9, 0.8, 2.0, 0.7, 4.0, 4.0, skin_mm=skin_mm)
    return FindingRecord(
        number=number,
        score=0.5,
        is_shown=is_shown,
        volume_ml=1.0,
        center_voxel=(1.0, 9.0, 9.0),
        decision=decision,
        share_accepted=share,
        evidence=asdict(evidence),
    )


@pytest.fixture
def cases(tmp_path):
    """Makes accepted cases of a dataset, one for each list of findings."""

    numbers = count()

    def make(*findings):
        data = Dataset.open_or_create(tmp_path / f"data{next(numbers)}")
        mask = np.zeros(GRID.shape, np.uint8)
        mask[1, 8:11, 8:11] = 1
        made = []
        for number, own in enumerate(findings):
            case_id = f"C{number}"
            rng = np.random.default_rng(number)
            phases = {
                role: Volume(rng.normal(100, 9, GRID.shape), GRID) for role in ("pre", "post1")
            }
            data.add(Exam(case_id, phases), patient_id=f"P{number}")
            data.accept(
                case_id, LabelMap(mask, GRID), annotator="AB", seconds=1.0, findings=own,
                reviewed_slices=None,
            )  # fmt: skip
            made.append(DatasetCase(data, case_id, f"P{number}"))
        return made

    return make


def test_lesions_at_the_skin_that_are_kept_count_for_more_of_their_kind(cases):
    kept = [found(1, 1.0, Decision.KEPT), found(2, 16.0, Decision.DROPPED)]
    learned = learned_score(BASE, cases(*[kept] * 6))
    before, after = (score.weights["pair"].weight["skin_mm"] for score in (BASE, learned))
    assert after < before
    assert learned.weights["dynamic"] == BASE.weights["dynamic"]
    assert learned.weights["pair"].limit == WEIGHTS.limit


def test_the_accepted_mask_speaks_where_nothing_was_decided(cases):
    own = [
        found(1, 1.0, share=0.9),
        found(2, 16.0, share=0.0),
        found(3, 5.0, share=0.3),
        found(4, 1.0, share=0.0, is_shown=False),
    ]
    said = [found(1, 1.0, Decision.KEPT), found(2, 16.0, Decision.DROPPED)]
    by_mask, by_word = learned_score(BASE, cases(own)), learned_score(BASE, cases(said))
    # A redrawn finding, and one held back that nobody looked at, say nothing.
    assert by_mask == by_word


def test_without_decisions_the_score_stays_what_it_is(cases):
    assert learned_score(BASE, cases((), ())) is BASE
    assert learned_score(BASE, []) is BASE
