"""What may be done with the case being corrected, and what is said about it; no window."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_breastseg.core.errors import InputError
from napari_breastseg.core.volume import Exam, LabelMap
from napari_breastseg.dataset import Dataset
from napari_breastseg.widgets.state.case_rules import (
    REST,
    accepted_text,
    has_recovered_work,
    require_own_labels,
    reviewed_labels,
    reviewed_text,
    saved_text,
    starting_mask,
    why_no_accept,
    why_no_start,
    would_be_lost,
)
from napari_breastseg.widgets.state.casework import hold_case, hold_exam
from napari_breastseg.widgets.state.drafts import Draft

MAY_START = {
    "is_busy": False,
    "has_exam": True,
    "is_known": False,
    "patient_id": "P017",
    "reader": "AB",
}
MAY_ACCEPT = {
    "is_busy": False,
    "is_held": True,
    "has_mask": True,
    "unfinished": "",
    "is_rest_reviewed": False,
    "has_reviewed": True,
    "axis": 0,
}


@pytest.mark.parametrize(
    ("given", "why_not"),
    [
        ({}, ""),
        ({"is_busy": True}, "Busy"),
        ({"has_exam": False}, "Open an exam"),
        ({"patient_id": " "}, "Type the patient's id"),
        ({"patient_id": "Jane Doe"}, "may identify the patient"),
        ({"patient_id": "1970-01-02"}, "may identify the patient"),
        ({"patient_id": "Jane Doe", "is_known": True}, ""),  # the record has its pseudonym
        ({"patient_id": "", "is_known": True}, ""),
        ({"reader": "  "}, "Type your initials"),
    ],
)
def test_correcting_starts_or_it_is_said_why_not(given: dict[str, Any], why_not: str) -> None:
    said = why_no_start(**{**MAY_START, **given})
    assert bool(said) == bool(why_not)
    assert why_not in said


@pytest.mark.parametrize(
    ("given", "why_not"),
    [
        ({}, ""),
        ({"is_busy": True}, "Busy"),
        ({"is_held": False}, "Start correcting"),
        ({"has_mask": False}, "mask layer was removed"),
        ({"unfinished": "A tool is running"}, "A tool is running"),
        ({"has_reviewed": False}, "Review a slice first"),
        ({"has_reviewed": False, "axis": 1}, f"every slice in this direction, or tick '{REST}'"),
        ({"has_reviewed": False, "is_rest_reviewed": True}, ""),
    ],
)
def test_a_mask_is_accepted_or_it_is_said_why_not(given: dict[str, Any], why_not: str) -> None:
    said = why_no_accept(**{**MAY_ACCEPT, **given})
    assert bool(said) == bool(why_not)
    assert why_not in said


def test_only_a_mask_that_somebody_drew_would_be_lost(
    sphere_exam: tuple[Exam, LabelMap],
) -> None:
    _, truth = sphere_exam
    draft = Draft("P001", truth, "m@1")
    edited = truth.data.copy()
    edited[0, 0, 0] = 1
    assert not would_be_lost(None, draft)
    assert not would_be_lost(np.zeros_like(truth.data), draft)
    assert not would_be_lost(truth.data.copy(), draft)
    assert would_be_lost(edited, draft)
    assert would_be_lost(truth.data, None)


def test_correcting_starts_from_what_is_on_disk_unless_it_is_a_hidden_draft(
    sphere_exam: tuple[Exam, LabelMap], tmp_path: Path
) -> None:
    exam, truth = sphere_exam
    dataset = Dataset.create(tmp_path / "set")
    with hold_exam(dataset, exam, patient_id="A", annotator="AB", draft=None).lock:
        pass
    blank = hold_case(dataset, "P001", annotator="AB")
    blank.lock.close()
    assert not starting_mask(blank, is_draft_hidden=False).data.any()
    dataset.save_draft("P001", truth, model="m@1")
    drafted = hold_case(dataset, "P001", annotator="AB")
    drafted.lock.close()
    assert np.array_equal(starting_mask(drafted, is_draft_hidden=False).data, truth.data)
    assert not starting_mask(drafted, is_draft_hidden=True).data.any()
    mine = LabelMap(np.roll(truth.data, 3, axis=1), truth.grid)
    dataset.accept("P001", mine, reviewed_slices=None, annotator="AB", seconds=1)
    accepted = hold_case(dataset, "P001", annotator="AB")
    accepted.lock.close()
    assert np.array_equal(starting_mask(accepted, is_draft_hidden=True).data, mine.data)


def test_recovered_work_is_offered_unless_it_is_what_is_shown(
    sphere_exam: tuple[Exam, LabelMap], tmp_path: Path
) -> None:
    exam, truth = sphere_exam
    dataset = Dataset.create(tmp_path / "set")
    with hold_exam(dataset, exam, patient_id="A", annotator="AB", draft=None).lock:
        pass
    held = hold_case(dataset, "P001", annotator="AB")
    held.lock.close()
    assert not has_recovered_work(held, np.zeros_like(truth.data))
    dataset.autosave("P001", truth)
    held = hold_case(dataset, "P001", annotator="AB")
    held.lock.close()
    assert has_recovered_work(held, np.zeros_like(truth.data))
    assert not has_recovered_work(held, truth.data.copy())


def test_slices_with_tumor_that_were_not_reviewed_are_counted() -> None:
    shape = (12, 48, 40)
    assert reviewed_text(shape, [0, 1], [1]) == "Reviewed 2 of 12 slices."
    text = reviewed_text(shape, [0, 1], [1, 5, 6])
    assert text == "Reviewed 2 of 12 slices; 2 with tumor are not reviewed."
    assert reviewed_text(shape, [0], [0, 3]).endswith("; 1 with tumor is not reviewed.")
    along_x = reviewed_text(shape, [0], [5], axis=2, along_axis=7)
    assert along_x == "Reviewed 7 of 40 slices in this direction."
    done = reviewed_text(shape, range(12), [5], axis=2, along_axis=40)
    assert done == "Reviewed 12 of 12 slices."


def test_what_is_saved_is_said_in_a_sentence_and_so_is_what_was_accepted(
    sphere_exam: tuple[Exam, LabelMap], tmp_path: Path
) -> None:
    exam, truth = sphere_exam
    dataset = Dataset.create(tmp_path / "set")
    record = dataset.add(exam, patient_id="A")

    def said(**given: Any) -> str:
        state = {"has_mask": True, "record": record, "is_changed": True, "is_behind": True}
        state["is_refused"] = False
        return saved_text(**{**state, **given}, saved_within_s=5)

    assert said(has_mask=False) == ""
    assert said(record=None).startswith("In no dataset yet.")
    assert said(is_refused=True).startswith("NOT SAVED in the dataset; kept on this computer")
    assert said(record=None, is_refused=True) == "NOT SAVED. It is tried again."
    assert said(is_changed=False) == "No changes yet."
    assert said() == "Unsaved changes; autosave within 5 s."
    assert said(is_behind=False) == "Changes autosaved, not accepted yet."

    how = {"annotator": "AB", "seconds": 1.0}
    with_tumor = np.flatnonzero(truth.tumor.any(axis=(1, 2))).tolist()
    record = dataset.accept("P001", truth, reviewed_slices=with_tumor[1:], **how)
    assert said(is_changed=False) == "Accepted; no changes since."
    text = accepted_text(record, truth.data)
    assert f"{len(with_tumor) - 1} of 12 slices reviewed." in text
    assert text.endswith("1 slice with tumor was not reviewed and is left out of training.")
    record = dataset.accept("P001", truth, reviewed_slices=with_tumor[2:], **how)
    assert "2 slices with tumor were not reviewed and are" in accepted_text(record, truth.data)
    record = dataset.accept("P001", truth, reviewed_slices=None, **how)
    size_ml = np.count_nonzero(truth.tumor) * truth.grid.voxel_ml
    assert accepted_text(record, truth.data) == (
        f"Accepted P001: tumor {size_ml:.2f} mL, 12 of 12 slices reviewed."
    )
    empty = LabelMap(np.zeros_like(truth.data), truth.grid)
    record = dataset.accept("P001", empty, reviewed_slices=None, **how)
    assert "no tumor" in accepted_text(record, empty.data)


def test_a_label_that_a_script_wrote_into_a_mask_is_asked_about() -> None:
    saved = np.zeros((5, 4, 4), np.uint8)
    saved[0] = 2  # not reviewed, by the dataset's own record
    labels = saved.copy()
    labels[2, 1, 1] = 1
    require_own_labels(labels, saved)
    require_own_labels(labels, labels)
    labels[2, 1, 2] = labels[3, 1, 1] = 2
    found = r"tumor and background only.*; found label 2 in 2 voxels \(slices 3 to 4\)\. Paint over"
    with pytest.raises(InputError, match=found):
        require_own_labels(labels, saved)
    with pytest.raises(InputError, match="found label 2 in 18 voxels"):
        require_own_labels(labels, None)
    labels[3] = 7
    with pytest.raises(InputError, match="label 2 and label 7 in 17 voxels"):
        require_own_labels(labels, saved)


def test_a_slice_reviewed_at_last_is_background_beside_what_was_painted() -> None:
    labels = np.full((4, 3, 3), 2, np.uint8)
    labels[0], labels[2, 1, 1], labels[0, 0, 0] = 0, 1, 2
    settled = reviewed_labels(labels, (0,), (0, 2))
    assert settled[2].tolist() == [[0, 0, 0], [0, 1, 0], [0, 0, 0]]
    assert np.array_equal(settled[[0, 1, 3]], labels[[0, 1, 3]])  # 0 was imported so
    assert (reviewed_labels(labels, (0,), None)[1:] != 2).all()
    assert np.array_equal(reviewed_labels(labels, None, None), labels)
