"""Rows of the list of findings, and what is decided about them, without a window."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_breastseg.core.progress import drain
from napari_breastseg.core.volume import Exam, Grid, LabelMap, Volume
from napari_breastseg.dataset import Decision
from napari_breastseg.imaging.correction import Edit
from napari_breastseg.lesions import LesionReport, measure_lesions
from napari_breastseg.lesions.evidence import Evidence
from napari_breastseg.lesions.findings import Finding, Findings
from napari_breastseg.widgets.state.drafts import Draft
from napari_breastseg.widgets.state.findings import (
    Choices,
    Row,
    is_marked,
    rows_of,
    total_now,
    why_no_choice,
)
from napari_breastseg.widgets.state.session import Session
from napari_breastseg.widgets.state.sources import Source

GRID = Grid((10, 40, 40), np.diag([3.0, 1.0, 1.0, 1.0]))
BOXES = (
    (slice(2, 7), slice(18, 30), slice(18, 30)),
    (slice(2, 5), slice(4, 10), slice(4, 10)),
    (slice(6, 9), slice(4, 10), slice(30, 36)),
)
EXAM = Exam(
    "P001", {"post1": Volume(np.random.default_rng(0).random(GRID.shape, np.float32), GRID)}
)


@pytest.fixture
def findings() -> Findings:
    """Two that are shown, and a weaker one."""
    labels, found = np.zeros(GRID.shape, np.uint16), []
    evidence = Evidence(0.0, 0.9, 0.8, 1.2, 0.9, 3.0, 3.0)
    for number, box in enumerate(BOXES, start=1):
        labels[box] = number
        size = int((labels == number).sum())
        score, center = 1.0 - 0.3 * number, tuple((p.start + p.stop - 1) / 2 for p in box)
        found.append(Finding(number, score, number < 3, size, 0.003 * size, box, center, evidence))
    return Findings(tuple(found), labels, GRID)


def measured(mask: NDArray[np.uint8], findings: Findings) -> LesionReport:
    return drain(measure_lesions(EXAM, LabelMap(mask, GRID), findings=findings))


def apply(edit: Edit, mask: NDArray[np.uint8]) -> None:
    mask[:] = edit.applied(mask)


def undo(edit: Edit, mask: NDArray[np.uint8]) -> None:
    mask[edit.voxels] = edit.before


@pytest.fixture
def mask(findings: Findings) -> NDArray[np.uint8]:
    return findings.mask().data


@pytest.fixture
def rows(findings: Findings, mask: NDArray[np.uint8]) -> list[Row]:
    weaker = measured(findings.mask((3,)).data, findings)
    return rows_of(measured(mask, findings), weaker=weaker)


@pytest.fixture
def choices(findings: Findings) -> Choices:
    made = Choices()
    made.follow("P001", findings)
    return made


def test_rows_are_findings_best_first_then_what_a_reader_drew(findings: Findings, mask) -> None:
    mask[8:10, 20:30, 2:12] = 1
    weaker = measured(findings.mask((3,)).data, findings)
    rows = rows_of(measured(mask, findings), weaker=weaker)
    assert [(row.key, row.lesion.id) for row in rows] == [
        (1, "index"),
        (2, "satellite 2"),
        (3, "finding 3"),
        ("satellite 1", "satellite 1"),
    ]
    assert [is_marked(row, mask) for row in rows] == [True, True, False, True]
    assert rows[0].inside.sum() == findings.findings[0].voxels


def test_of_a_finding_in_parts_the_first_is_the_finding(findings: Findings, mask) -> None:
    mask[:, 23:25] = 0
    rows = rows_of(measured(mask, findings))
    assert [row.key for row in rows][:2] == [1, rows[1].lesion.id]
    assert rows[1].lesion.finding == 1


def test_dropping_clears_a_row_and_undo_and_redo_move_its_state(choices, rows, mask) -> None:
    before = mask.copy()
    edit = choices.drop(rows[1], mask, rows)
    apply(edit, mask)
    assert not mask[BOXES[1]].any()
    assert np.array_equal(mask[BOXES[0]], before[BOXES[0]])
    assert choices.of(2) is Decision.DROPPED
    assert not choices.follow_mask(mask)
    undo(edit, mask)
    assert choices.follow_mask(mask)
    assert choices.of(2) is Decision.NONE
    apply(edit, mask)
    assert choices.follow_mask(mask)
    assert choices.of(2) is Decision.DROPPED
    # The same key again takes it back.
    apply(choices.drop(rows[1], mask, rows), mask)
    assert choices.of(2) is Decision.NONE
    assert np.array_equal(mask, before)


def test_strokes_elsewhere_or_on_part_of_it_change_no_decision(choices, rows, mask) -> None:
    apply(choices.drop(rows[1], mask, rows), mask)
    mask[0, 0, 0] = 1
    mask[2, 4, 4] = 1
    assert not choices.follow_mask(mask)
    assert choices.of(2) is Decision.DROPPED


def test_keeping_a_weaker_finding_paints_it_and_a_shown_one_stays_as_it_is(
    choices, rows, mask
) -> None:
    mask[2, 18:20, 18:30] = 0  # the reader erased a part of the first
    before = mask.copy()
    assert choices.keep(rows[0], mask).count == 0
    assert choices.of(1) is Decision.KEPT
    edit = choices.keep(rows[2], mask)
    apply(edit, mask)
    assert mask[BOXES[2]].all()
    undo(edit, mask)
    assert choices.follow_mask(mask)
    assert (choices.of(1), choices.of(3)) == (Decision.KEPT, Decision.NONE)
    assert np.array_equal(mask, before)
    choices.keep(rows[0], mask)
    assert choices.of(1) is Decision.NONE


def test_each_undo_step_takes_one_decision_back(choices, rows, mask) -> None:
    dropped = choices.drop(rows[1], mask, rows)
    apply(dropped, mask)
    kept = choices.keep(rows[1], mask)
    apply(kept, mask)
    assert mask[BOXES[1]].all()
    assert not choices.follow_mask(mask)
    assert choices.of(2) is Decision.KEPT
    for edit, was in ((kept, Decision.DROPPED), (dropped, Decision.NONE)):
        undo(edit, mask)
        assert choices.follow_mask(mask)
        assert choices.of(2) is was


def test_what_was_painted_onto_a_lesion_goes_with_it_and_no_other_row(choices, rows, mask) -> None:
    mask[3, 10:18, 6:8] = 1  # from the second up to the first
    mask[3, 17, 6:20] = 1
    apply(choices.drop(rows[1], mask, rows), mask)
    assert not mask[3, :17].any()
    assert mask[BOXES[0]].all()


def test_what_was_dropped_stays_in_the_list_when_it_is_measured_again(
    choices, rows, mask, findings
) -> None:
    apply(choices.drop(rows[1], mask, rows), mask)
    again = rows_of(measured(mask, findings), earlier=rows, decided=choices.decided)
    assert [row.key for row in again] == [1, 2]
    assert again[1] is rows[1]


def test_the_total_follows_decisions(choices, rows, mask, findings) -> None:
    report = measured(mask, findings)
    marked = [row for row in rows if is_marked(row, mask)]
    assert total_now(report, rows, marked) is report.total
    for keep, drop in ((2, 1), (1, 0)):
        apply(choices.keep(rows[keep], mask), mask)
        apply(choices.drop(rows[drop], mask, rows), mask)
        marked = [row for row in rows if is_marked(row, mask)]
        now, exact = total_now(report, rows, marked), measured(mask, findings).total
        assert now.volume_px == exact.volume_px
        assert now.volume_ml == pytest.approx(exact.volume_ml)
        assert now.diameter_mm == exact.diameter_mm


def test_records_hold_every_finding_with_its_decision_and_share(choices, rows, mask) -> None:
    apply(choices.drop(rows[1], mask, rows), mask)
    choices.keep(rows[0], mask)
    mask[2:7, 18:24, 18:30] = 0
    found = choices.records(mask)
    assert [
        (one.number, one.decision.value, one.share_accepted, one.is_shown) for one in found
    ] == [
        (1, "kept", 0.5, True),
        (2, "dropped", 0.0, True),
        (3, "none", 0.0, False),
    ]
    assert found[0].score == pytest.approx(0.7)
    assert found[0].center_voxel == (4.0, 23.5, 23.5)
    assert found[0].evidence["peak"] == 0.9
    assert found[0].evidence["rise"] is None


def test_decisions_are_of_one_exam_and_its_findings(choices, rows, mask, findings) -> None:
    choices.keep(rows[0], mask)
    choices.follow("P001", findings)
    choices.follow("P001", None)  # a box was segmented
    assert choices.of(1) is Decision.KEPT
    choices.follow("P001", Findings(findings.findings, findings.labels, GRID))
    assert choices.of(1) is Decision.NONE
    choices.keep(rows[0], mask)
    choices.follow("P002", None)
    assert choices.of(1) is Decision.NONE
    assert choices.records(mask) == ()


def test_what_cannot_be_chosen_says_why() -> None:
    ready = {"has_list": True, "has_row": True, "has_mask": True, "is_busy": False}
    assert why_no_choice(**ready) == ""
    for changes, why in (
        ({"has_row": False}, "Select a row of the list first"),
        ({"has_list": False}, "Measure the lesions first"),
        ({"has_list": False, "is_busy": True}, "Being measured; wait a moment"),
        ({"has_mask": False}, "there is no mask yet"),
    ):
        assert why in why_no_choice(**ready | changes)


def test_decisions_that_the_mask_contradicts_are_forgotten(choices, rows, mask, findings) -> None:
    apply(choices.drop(rows[1], mask, rows), mask)
    apply(choices.keep(rows[2], mask), mask)
    choices.settle(rows, mask)
    assert (choices.of(2), choices.of(3)) == (Decision.DROPPED, Decision.KEPT)
    mask[:] = findings.mask().data  # the draft once more, as at another threshold
    choices.settle(rows, mask)
    assert (choices.of(2), choices.of(3)) == (Decision.NONE, Decision.NONE)


def test_a_second_reader_knows_no_findings_of_the_draft(choices, rows, mask, findings) -> None:
    session = Session()
    session.source = Source("P001", "P001 (post1)", {"post1": "P001 post1"})
    session.drafts.keep(Draft("P001", findings.mask(), "m@1", findings=findings))
    session.choices.keep(rows[0], mask)
    assert session.choices.records(mask)[0].decision is Decision.KEPT
    session.drafts.forget()
    assert session.choices.findings is None
    assert session.choices.records(mask) == ()
    assert session.choices.of(1) is Decision.NONE


def test_findings_stay_when_a_box_is_segmented_again(findings: Findings) -> None:
    session = Session()
    session.source = Source("P001", "P001 (post1)", {"post1": "P001 post1"})
    session.drafts.keep(Draft("P001", findings.mask(), "m@1", findings=findings))
    box = (slice(0, 2), slice(0, 40), slice(0, 40))
    session.drafts.keep(Draft("P001", findings.mask(), "m@1"), box)
    assert session.draft is not None
    assert session.draft.findings is findings
    assert session.choices.findings is findings
