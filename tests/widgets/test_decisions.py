"""What may be decided on cases of a worklist, and changing several, without a window."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rows import NOW_S, row

from napari_breastseg.core.progress import drain
from napari_breastseg.core.volume import Exam, LabelMap
from napari_breastseg.dataset import CaseRecord, Dataset, FlagReason, Status
from napari_breastseg.widgets.state.decisions import (
    changing,
    is_of_second_read,
    why_not_accept_picture,
    why_not_flag,
    why_not_reopen,
    why_not_undo,
)


@pytest.fixture
def folder(sphere_exam: tuple[Exam, LabelMap], tmp_path: Path) -> Dataset:
    """Two drafted cases, P001 and P002."""
    exam, truth = sphere_exam
    dataset = Dataset.create(tmp_path / "set")
    for case_id in ("P001", "P002"):
        dataset.add(Exam(case_id, exam.phases), patient_id=case_id)
        dataset.save_draft(case_id, truth, model="m@1")
    return dataset


def test_nothing_is_decided_without_a_case() -> None:
    for why_not in (why_not_flag, why_not_undo, why_not_reopen):
        assert why_not([]) == "Select a case first"


def test_what_may_be_undone_and_reopened_depends_on_the_statuses() -> None:
    drafted, accepted = row("a"), row("b", status=Status.ACCEPTED)
    flagged = row("c", status=Status.FLAGGED)
    assert why_not_flag([drafted]) == why_not_flag([drafted, accepted]) == ""
    assert why_not_undo([drafted, flagged]) == "Not accepted"
    assert why_not_undo([drafted, accepted]) == ""
    assert why_not_reopen([drafted]) == "Neither accepted nor flagged"
    assert why_not_reopen([flagged]) == why_not_reopen([accepted]) == ""


def test_nothing_is_decided_on_a_case_to_be_read_blind() -> None:
    rows = [row("a", status=Status.ACCEPTED), row("b", status=Status.ACCEPTED, is_blinded=True)]
    for why_not in (why_not_flag, why_not_undo, why_not_reopen):
        assert "only its first reader can decide" in why_not(rows)


def test_a_slice_is_accepted_by_the_thumbnail_that_shows_its_mask() -> None:
    one = row("a", n_slices=1)
    ready: dict[str, Any] = {
        "reader": "AB",
        "made_of_s": NOW_S,
        "has_mask": True,
        "is_open": False,
    }
    assert why_not_accept_picture(one, **ready) == ""
    for found, change in (
        ("no reader is named in the dock's header", {"reader": ""}),
        ("its thumbnail is not ready yet", {"made_of_s": None}),
        ("its thumbnail is not ready yet", {"made_of_s": NOW_S - 1}),  # made before a change
        ("it has no mask", {"has_mask": False}),
        ("it is open for correction", {"is_open": True}),
    ):
        assert why_not_accept_picture(one, **{**ready, **change}) == found
    blinded = row("a", n_slices=1, is_blinded=True)
    assert (
        why_not_accept_picture(blinded, **ready)
        == "it is yours for a second read, blind to the first"
    )
    assert why_not_accept_picture(row("a"), **ready) == "it is a volume of 9 slices"


def test_only_the_second_reader_is_kept_from_deciding(folder: Dataset) -> None:
    draft = folder.draft("P001")
    assert draft is not None
    folder.accept("P001", draft, reviewed_slices=None, annotator="AB", seconds=1)
    folder.reads.ask("P001")
    both = ("P001", "P002")
    assert is_of_second_read(folder, both, "CD", current=None)
    assert not is_of_second_read(folder, ["P002"], "CD", current=None)
    assert not is_of_second_read(folder, both, "AB", current=None)
    # Who reads a case second at this moment decides nothing on it, whatever name is typed in.
    assert is_of_second_read(folder, both, "AB", current="P001")


def test_a_case_that_refuses_stops_no_other(folder: Dataset) -> None:
    def accept(dataset: Dataset, case_id: str) -> CaseRecord:
        if case_id == "P001":
            return dataset.undo_accept(case_id)  # it was never accepted
        return dataset.flag(case_id, FlagReason.MOTION)

    job = changing("Deciding", folder, ["P001", "P002"], accept)
    first = next(job)
    assert (first.stage, first.done, first.total) == ("Deciding", 0, 2)
    changes = drain(job)
    assert [record.case_id for record in changes.records] == ["P002"]
    assert len(changes.errors) == 1
    assert "P001" in str(changes.errors[0])
    assert folder.case("P002").status is Status.FLAGGED
