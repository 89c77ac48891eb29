"""The recovery copy, and writing masks from several threads; no window."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from napari_breastseg.core.errors import StorageError
from napari_breastseg.core.volume import Exam, LabelMap
from napari_breastseg.dataset import Dataset
from napari_breastseg.widgets.state.recovery import InDataset, RecoveryCopy
from napari_breastseg.widgets.state.session import Session
from napari_breastseg.widgets.state.sources import Source
from napari_breastseg.widgets.state.writing import MaskWriter


@pytest.fixture
def held(sphere_exam: tuple[Exam, LabelMap], tmp_path: Path) -> SimpleNamespace:
    """P001 held by a session, its mask saved, and 12 s and 2 strokes spent on it."""
    exam, truth = sphere_exam
    dataset = Dataset.create(tmp_path / "set")
    record = dataset.add(exam, patient_id="A")
    session = Session(lambda: 0.0)
    session.dataset = dataset
    session.source = Source("P001", "P001", {"post1": "P001 post1"})
    session.enter_case(record, ExitStack(), truth.data.copy())
    session.effort.add(12.0, 2)
    copy = RecoveryCopy()
    copy.note_saved(truth.data)
    place = InDataset(dataset, record, lambda: "mark")
    assert copy.update(truth.data, place) is None
    return SimpleNamespace(
        dataset=dataset,
        record=record,
        place=place,
        session=session,
        copy=copy,
        writer=MaskWriter(),
        labels=truth.data.copy(),
        saved=truth.data,
        grid=truth.grid,
    )


def edit(held: Any, *slices: int) -> None:
    for z in slices:
        held.labels[z, 3, 4] = 1
    held.copy.note_edited(slices)


def update(held: Any) -> Any:
    return held.copy.update(held.labels, held.place)


def accept(held: Any, effort: Any) -> Any:
    def write(seconds: float, strokes: int) -> Any:
        return held.dataset.accept(
            "P001",
            LabelMap(held.labels, held.grid),
            reviewed_slices=None,
            annotator="AB",
            seconds=seconds,
            strokes=strokes,
        )

    return held.writer.accept(effort, held.labels, write)


def on_disk(held: Any) -> Any:
    found = held.dataset.recover("P001")
    return None if found is None else found.data


def test_the_copy_follows_edits_and_leaves_the_array_on_disk_alone(held: Any) -> None:
    before = held.saved.copy()
    assert not held.copy.is_behind
    edit(held, 0, 2)
    assert held.copy.is_behind
    pending = update(held)
    assert not held.copy.is_behind
    assert np.array_equal(pending.labels, held.labels)
    assert pending.labels is not held.labels
    assert np.array_equal(held.saved, before)


def test_only_slices_said_to_be_edited_are_compared(held: Any) -> None:
    held.labels[5, 0, 0] = 1
    edit(held, 2)
    pending = update(held)
    assert (pending.labels[2, 3, 4], pending.labels[5, 0, 0]) == (1, 0)
    held.copy.note_edited(None)  # as after undo: it could be any of them
    held.copy.note_edited([2])
    assert update(held).labels[5, 0, 0] == 1


def test_a_save_that_was_refused_stays_pending_without_new_edits(held: Any) -> None:
    edit(held, 1)
    pending = update(held)
    assert update(held) is pending
    held.writer.autosave(held.copy, pending)
    assert np.array_equal(on_disk(held), held.labels)
    assert update(held) is None
    held.copy.forget()
    assert np.array_equal(update(held).labels, held.labels)  # of another case nothing is saved


def test_accepting_a_mask_ends_a_save_of_it_that_was_refused(held: Any) -> None:
    edit(held, 1)
    assert update(held) is not None
    held.copy.note_saved(held.labels)
    assert update(held) is None


@pytest.fixture
def written(held: Any, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Masks that were autosaved."""
    masks: list[Any] = []
    real = Dataset.autosave

    def autosave(self: Dataset, case_id: str, label_map: LabelMap) -> None:
        masks.append(label_map.data.copy())
        real(self, case_id, label_map)

    monkeypatch.setattr(Dataset, "autosave", autosave)
    return masks


def test_an_autosave_is_written_once(held: Any, written: list[Any]) -> None:
    edit(held, 1)
    pending = update(held)
    for _ in range(2):  # by a thread, and by the window that closes
        held.writer.autosave(held.copy, pending)
    assert len(written) == 1


def test_no_autosave_of_the_accepted_mask_comes_after_it(held: Any, written: list[Any]) -> None:
    edit(held, 1)
    pending = update(held)
    accept(held, held.writer.take_effort(held.session, held.dataset, "P001"))
    held.writer.autosave(held.copy, pending)
    assert written == []
    held.labels = held.labels.copy()
    edit(held, 4)  # painted while it was accepted: that is new
    held.writer.autosave(held.copy, update(held))
    assert np.array_equal(on_disk(held), held.labels)


def test_the_effort_goes_with_the_accepted_mask_and_is_counted_once(held: Any) -> None:
    effort = held.writer.take_effort(held.session, held.dataset, "P001")
    assert (held.session.effort.seconds, held.session.effort.strokes) == (0, 0)
    record = accept(held, effort)
    assert (record.accepted.seconds_spent, record.accepted.strokes) == (12, 2)
    held.writer.return_effort(held.session)
    held.session.leave_case()
    assert held.dataset.case("P001").work is None


def test_the_effort_of_a_refused_mask_comes_back(held: Any) -> None:
    effort = held.writer.take_effort(held.session, held.dataset, "P001")

    def refuse(seconds: float, strokes: int) -> Any:
        raise StorageError("Expected to write the mask", "the disk is full", "Free disk space")

    with pytest.raises(StorageError, match="disk is full"):
        held.writer.accept(effort, held.labels, refuse)
    held.writer.return_effort(held.session)
    assert (held.session.effort.seconds, held.session.effort.strokes) == (12, 2)


def test_the_effort_of_a_case_that_was_left_goes_into_its_record(held: Any) -> None:
    effort = held.writer.take_effort(held.session, held.dataset, "P001")
    held.session.leave_case()
    held.writer.return_effort(held.session)  # the window closes before the mask is accepted
    assert held.dataset.case("P001").work.strokes == 2
    assert accept(held, effort).accepted.strokes == 2  # those of the record, and none twice


def test_nothing_else_is_written_while_a_mask_is_accepted(held: Any) -> None:
    effort = held.writer.take_effort(held.session, held.dataset, "P001")
    begun, go, order = threading.Event(), threading.Event(), []
    real = held.dataset.accept

    def slow(*args: Any, **settings: Any) -> Any:
        begun.set()
        assert go.wait(20)
        order.append("accepted")
        return real(*args, **settings)

    held.dataset.accept = slow
    accepting = threading.Thread(target=accept, args=(held, effort))
    accepting.start()
    assert begun.wait(20)

    def return_effort() -> None:
        held.writer.return_effort(held.session)
        order.append("returned")

    returning = threading.Thread(target=return_effort)
    returning.start()
    returning.join(0.05)
    assert order == []
    go.set()
    accepting.join(20)
    returning.join(20)
    assert order == ["accepted", "returned"]
    assert held.session.effort.strokes == 0


def test_declined_work_stays_on_disk_until_new_work_takes_its_place(held: Any) -> None:
    earlier = LabelMap(np.roll(held.saved, 5, axis=1), held.grid)
    held.dataset.autosave("P001", earlier)
    for _ in range(2):  # held, declined and left without a stroke, twice
        copy = held.copy = RecoveryCopy()
        copy.note_saved(held.saved)
        assert update(held) is None
        assert np.array_equal(on_disk(held), earlier.data)
    edit(held, 4)
    held.writer.autosave(held.copy, update(held))
    assert np.array_equal(on_disk(held), held.labels)
