"""When the rest of an exam is drafted again, and what is said about it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_breastseg.core.volume import Grid, LabelMap, Volume
from napari_breastseg.predict.thresholding import ProbabilitySteps
from napari_breastseg.widgets.state.drafts import Draft
from napari_breastseg.widgets.state.exam_learning import (
    Told,
    learning_line,
    prediction_of,
    size_words,
    why_no_learning,
)

READY: dict[str, Any] = {
    "is_wanted": True,
    "is_held": True,
    "has_draft": True,
    "is_hidden": False,
    "is_second_read": False,
    "has_model": True,
    "is_rest_reviewed": False,
    "is_single": False,
}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, ""),
        ({"is_wanted": False, "is_held": False}, "Switched off"),
        ({"is_held": False}, "Start correcting first"),
        ({"is_second_read": True, "has_draft": False}, "second read is made without"),
        ({"is_hidden": True}, "hidden"),
        ({"has_draft": False}, "Nothing was drafted"),
        ({"has_model": False}, "Choose a model"),
        ({"is_single": True}, "next slices"),
        ({"is_rest_reviewed": True}, "whole exam as reviewed"),
        ({"problem": "The model is of another kind"}, "The model is of another kind"),
    ],
)
def test_what_keeps_an_exam_from_learning(changes: dict[str, Any], why: str) -> None:
    found = why_no_learning(**READY | changes)
    assert why in found
    assert bool(found) == bool(changes)


def test_a_redraft_is_told_in_ml_where_the_spacing_is_known() -> None:
    grid = Grid((9, 9, 9), np.diag([10.0, 10.0, 1.0, 1.0]))
    assert size_words(31, grid) == "3.1 mL"
    assert size_words(4, grid) == "0.40 mL"
    words = learning_line(Told(1, 1, 31, 40), grid, learns_from=1, stage="adapted")
    assert words == "Drafted 1 slice again from your slice: 3.1 mL → 4.0 mL. Refining…"
    assert learning_line(None, grid, learns_from=0) == ""
    none = learning_line(Told(0, 3, 31, 31), grid, learns_from=3, why_not="Switched off")
    assert none == "Your 3 slices changed nothing elsewhere. Switched off"
    # What was told before gives way to what is being done.
    assert learning_line(Told(1, 1, 3, 4), grid, learns_from=2, stage="features") == (
        "Learning from your 2 slices…"
    )


def test_a_draft_gives_back_its_probability_in_half_per_cents() -> None:
    grid = Grid((1, 1, 3))
    volume = Volume(np.array([[[0.2, 0.503, 1.0]]], np.float32), grid)
    label_map = LabelMap(np.array([[[0, 1, 1]]], np.uint8), grid)
    draft = Draft("P1", label_map, "m@1", ProbabilitySteps.of(volume))
    found = prediction_of(draft)
    assert found is not None
    np.testing.assert_allclose(found.probability.data, [[[0.2, 0.5, 1.0]]], atol=0.0051)
    assert found.label_map is label_map
    assert prediction_of(Draft("P1", label_map, "m@1")) is None
