"""Holding and reading cases of a dataset folder, without a window."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_breastseg import formats
from napari_breastseg.core.errors import InputError
from napari_breastseg.core.volume import Exam, LabelMap
from napari_breastseg.dataset import Dataset
from napari_breastseg.widgets.state.casework import hold_case, load


@pytest.fixture
def folder(sphere_exam: tuple[Exam, LabelMap], tmp_path: Path) -> Dataset:
    """The drafted case P001."""
    exam, truth = sphere_exam
    dataset = Dataset.create(tmp_path / "set")
    dataset.add(exam, patient_id="A")
    dataset.save_draft("P001", truth, model="m@1")
    return dataset


def test_a_case_read_ahead_is_shown_as_it_was_read(folder: Dataset) -> None:
    ahead, other = load(folder, "P001", "AB"), Dataset.open(folder.folder)
    held = hold_case(folder, "P001", annotator="AB", loaded=ahead)
    with held.lock:
        assert held.loaded is ahead
        assert held.exam is ahead.exam
        assert other.lock_holder("P001").owner == "AB"
    assert other.lock_holder("P001") is None


def test_a_case_changed_since_it_was_read_ahead_is_read_again(folder: Dataset) -> None:
    ahead, draft = load(folder, "P001", "AB"), folder.draft("P001")
    other = LabelMap(np.roll(draft.data, 9, axis=1), draft.grid)
    Dataset.open(folder.folder).save_draft("P001", other, model="m@2")
    held = hold_case(folder, "P001", annotator="AB", loaded=ahead)
    with held.lock:
        assert held.loaded is not ahead
        np.testing.assert_array_equal(held.on_disk.data, other.data)
        np.testing.assert_array_equal(held.draft.label_map.data, other.data)
        assert held.draft.model == "m@2"


def test_a_case_that_somebody_else_holds_stays_theirs(folder: Dataset) -> None:
    ahead = load(folder, "P001", "AB")
    with (
        Dataset.open(folder.folder).lock("P001", "CD"),
        pytest.raises(InputError, match="P001"),
    ):
        hold_case(folder, "P001", annotator="AB", loaded=ahead)


def test_a_second_reader_reads_ahead_nothing_of_the_first_read(folder: Dataset) -> None:
    folder.accept("P001", folder.draft("P001"), reviewed_slices=None, annotator="AB", seconds=1)
    folder.reads.ask("P001")
    ahead = load(folder, "P001", "CD")
    assert (ahead.on_disk, ahead.draft, ahead.record.accepted) == (None, None, None)
    # Read ahead by the first reader, it is of no use to the second.
    of_first = load(folder, "P001", "AB")
    held = hold_case(folder, "P001", annotator="CD", loaded=of_first)
    with held.lock:
        assert (held.on_disk, held.draft) == (None, None)


def test_a_mask_that_another_program_changed_is_shown_as_it_is_now_and_told(
    folder: Dataset,
) -> None:
    folder.accept("P001", folder.draft("P001"), reviewed_slices=None, annotator="AB", seconds=1)
    ahead = load(folder, "P001", "AB")
    path = folder.folder / "labelsTr" / "P001.nii.gz"
    changed = np.zeros_like(ahead.on_disk.data)
    changed[0, :2, :2] = 1
    formats.write_label_map(path, LabelMap(changed, ahead.on_disk.grid))
    held = hold_case(folder, "P001", annotator="AB", loaded=ahead)
    with held.lock:
        assert held.is_changed_outside
        np.testing.assert_array_equal(held.on_disk.data, changed)
        folder.accept("P001", held.on_disk, reviewed_slices=None, annotator="AB", seconds=1)
    with (held := hold_case(folder, "P001", annotator="AB")).lock:
        assert not held.is_changed_outside
