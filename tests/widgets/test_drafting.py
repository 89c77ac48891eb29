"""What the Draft step decides, without a window."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_breastseg.core.volume import Grid, LabelMap
from napari_breastseg.lesions.evidence import Evidence
from napari_breastseg.lesions.findings import Finding, Findings
from napari_breastseg.widgets.state.drafting import (
    Cut,
    ShownDraft,
    cut_for,
    draft_words,
    needed_phases,
    phase_layers,
    why_not_segment,
    with_region,
    would_replace_work,
)
from napari_breastseg.widgets.state.session import Draft
from napari_breastseg.widgets.state.sources import Source

GRID = Grid((3, 4, 5), np.diag([2.0, 1.0, 1.0, 1.0]))
BOX = slice(0, 1), slice(0, 4), slice(0, 5)
SOURCE = Source("P001", "P001 (post1)", {"post1": "P001 post1"})


def marks(*voxels: tuple[int, int, int]) -> NDArray[np.uint8]:
    mask = np.zeros(GRID.shape, np.uint8)
    for voxel in voxels:
        mask[voxel] = 1
    return mask


def draft_of(labels: NDArray[np.uint8]) -> Draft:
    return Draft("P001", LabelMap(labels, GRID), "m@1")


def test_a_mask_without_tumor_holds_no_work() -> None:
    assert not would_replace_work(marks(), None, draft=None, saved=None)
    assert would_replace_work(marks((0, 0, 0)), None, draft=None, saved=None)


def test_a_draft_as_it_came_or_a_mask_as_saved_holds_no_work() -> None:
    mask = marks((0, 0, 0), (2, 1, 1))
    assert not would_replace_work(mask, None, draft=draft_of(mask.copy()), saved=None)
    assert not would_replace_work(mask, None, draft=None, saved=mask.copy())
    assert would_replace_work(mask, None, draft=draft_of(marks((0, 0, 0))), saved=marks())


def test_erasing_all_of_a_draft_is_work_too() -> None:
    assert would_replace_work(marks(), None, draft=draft_of(marks((0, 0, 0))), saved=None)


def test_only_work_inside_the_region_counts() -> None:
    mask = marks((2, 1, 1))
    assert would_replace_work(mask, None, draft=draft_of(marks()), saved=marks())
    assert not would_replace_work(mask, BOX, draft=draft_of(marks()), saved=marks((1, 0, 0)))
    assert not would_replace_work(mask, BOX, draft=None, saved=None)


def test_a_region_is_replaced_and_the_rest_stays() -> None:
    mask, predicted = marks((0, 0, 0), (2, 1, 1)), marks((0, 3, 3), (1, 1, 1))
    merged = with_region(mask, predicted, BOX)
    np.testing.assert_array_equal(merged, marks((0, 3, 3), (2, 1, 1)))
    np.testing.assert_array_equal(mask, marks((0, 0, 0), (2, 1, 1)))  # its own array is untouched


@pytest.mark.parametrize("mask", [None, np.ones((1, 4, 5), np.uint8)])
def test_a_region_needs_a_mask_of_its_own_grid(mask: NDArray[np.uint8] | None) -> None:
    predicted = marks((1, 1, 1))
    merged = with_region(mask, predicted, BOX)
    np.testing.assert_array_equal(merged, predicted)
    assert merged is not predicted  # napari paints into what it is given


def test_the_threshold_changes_an_untouched_mask_at_once_and_asks_about_an_edited_one() -> None:
    labels = marks((0, 0, 0))
    shown = ShownDraft(SOURCE, draft_of(labels), None, labels, 0.5, "1 s on cpu")
    assert cut_for(shown, labels.copy(), 0.5) is Cut.NOTHING
    assert cut_for(shown, labels.copy(), 0.6) is Cut.AT_ONCE
    assert cut_for(shown, marks(), 0.6) is Cut.AFTER_ASKING
    assert cut_for(shown, None, 0.6) is Cut.NOTHING
    assert cut_for(None, labels, 0.6) is Cut.NOTHING


def test_why_nothing_can_be_segmented_names_the_first_thing_to_do() -> None:
    ready = {"is_running": False, "has_exam": True, "has_model": True}
    assert why_not_segment(**ready) == ""
    assert why_not_segment(**{**ready, "is_running": True}) == "Segmenting; wait or cancel"
    assert why_not_segment(**{**ready, "has_exam": False}) == "Open an exam first"
    assert why_not_segment(**{**ready, "has_model": False}).startswith("Choose a model first")
    assert why_not_segment(**ready, problem="its weights are missing") == "its weights are missing"
    layers = {"pre": None, "post1": "after", "post2": None}
    assert why_not_segment(**ready, layers=layers) == "Choose the layer of phase pre and post2"
    assert why_not_segment(**ready, layers={"pre": "before", "post1": "after"}) == ""


def test_a_foreign_layer_is_taken_for_the_last_phase_unless_the_user_said_otherwise() -> None:
    foreign = Source("scan", "scan (image layer)", {"post1": "scan"}, is_foreign=True)
    assert phase_layers(foreign, ("pre", "post1"), None) == {"pre": None, "post1": "scan"}
    chosen = {"pre": "scan", "post1": "late"}
    assert phase_layers(foreign, ("pre", "post1"), chosen) == chosen
    assert phase_layers(foreign, (), None) == {}


def test_a_model_that_cannot_be_read_asks_for_no_phases(tmp_path: Path) -> None:
    assert needed_phases(None) == needed_phases(tmp_path) == ()


def test_a_draft_is_described_in_ml_or_in_pixels_where_spacing_is_unknown() -> None:
    labels = marks(*((z, y, x) for z in range(3) for y in range(4) for x in range(5)))
    assert draft_words(LabelMap(labels, GRID), 0.5, "2 s on cpu") == (
        "Draft: 0.12 mL at threshold 0.5 (2 s on cpu)."
    )
    assert draft_words(LabelMap(labels, Grid(GRID.shape)), 0.25, "2 s on cpu").startswith(
        "Draft: 60 px at threshold 0.25"
    )
    empty = LabelMap(marks(), GRID)
    assert draft_words(empty, 0.5, "2 s on cpu") == "No tumor found at threshold 0.5 (2 s on cpu)."


def test_a_draft_says_how_many_findings_it_shows_and_holds_back() -> None:
    labels = np.zeros(GRID.shape, np.uint16)
    labels[0, 0, 0], labels[1, 1, 1], labels[2, 2, 2], labels[2, 0, 0] = 1, 2, 3, 4
    evidence = Evidence(0.0, 0.9, 0.8, 1.2, 0.9, 3.0, 3.0)
    one = slice(0, 1), slice(0, 1), slice(0, 1)
    found = [Finding(n, 0.5, n < 3, 1, 0.002, one, (0.0, 0.0, 0.0), evidence) for n in range(1, 5)]
    both = Findings(tuple(found), labels, GRID)
    assert draft_words(both.mask(), 0.5, "2 s on cpu", both) == (
        "Draft: 2 findings, 0.00 mL at threshold 0.5 (2 s on cpu); 2 weaker ones are held back."
    )
    first = Findings(tuple(found[:3]), labels * (labels < 4), GRID)
    empty = LabelMap(marks(), GRID)
    assert draft_words(empty, 0.9, "2 s on cpu", first) == (
        "No tumor found at threshold 0.9 (2 s on cpu); 1 weaker finding is held back."
    )
    no_weaker = Findings(tuple(found[:2]), labels * (labels < 3), GRID)
    assert "held back" not in draft_words(no_weaker.mask(), 0.5, "2 s on cpu", no_weaker)
