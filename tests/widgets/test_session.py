"""`Session`: one viewer's state, without a window."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from napari_breastseg.core.errors import InputError
from napari_breastseg.core.volume import Exam, LabelMap, Volume
from napari_breastseg.dataset import Dataset
from napari_breastseg.formats import DicomExam
from napari_breastseg.formats.dicom.phases import Decision
from napari_breastseg.widgets.state.casework import hold_exam
from napari_breastseg.widgets.state.session import Draft, Session
from napari_breastseg.widgets.state.sources import Source


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def source() -> Source:
    return Source("P001", "P001 (pre, post1)", {"pre": "P001 pre", "post1": "P001 post1"})


def test_time_away_counts_as_a_minute(
    sphere_exam: tuple[Exam, LabelMap], tmp_path: Path, source: Source
) -> None:
    exam, truth = sphere_exam
    dataset = Dataset.create(tmp_path / "set")
    record = dataset.add(exam, patient_id="A")
    clock = Clock()
    session = Session(clock)
    session.source = source
    session.enter_case(record, ExitStack(), truth.data.copy())
    clock.now += 10
    session.effort.touch()
    clock.now += 3600
    session.effort.touch()
    assert session.effort.seconds == 70.0


def test_leaving_a_case_gives_its_lock_back_and_forgets_the_count(
    sphere_exam: tuple[Exam, LabelMap], tmp_path: Path, source: Source
) -> None:
    exam, truth = sphere_exam
    dataset = Dataset.create(tmp_path / "set")
    record = dataset.add(exam, patient_id="A")
    session = Session()
    session.source = source
    lock = ExitStack()
    lock.enter_context(dataset.lock("P001", "AB"))
    session.enter_case(record, lock, truth.data.copy())
    session.mark_reviewed([3, 4])
    other = Dataset.open(tmp_path / "set")
    assert other.lock_holder("P001").owner == "AB"
    records = []
    session.record_changed.connect(records.append)
    session.source = Source("P002", "P002", {"post1": "P002 post1"})
    assert other.lock_holder("P001") is None
    assert (session.reviewed, session.effort.seconds, session.record) == ((), 0.0, None)
    assert records == [None]


def test_looking_at_an_accepted_case_is_not_work_on_it(
    sphere_exam: tuple[Exam, LabelMap], tmp_path: Path, source: Source
) -> None:
    exam, truth = sphere_exam
    dataset = Dataset.create(tmp_path / "set")
    dataset.add(exam, patient_id="A")
    record = dataset.accept("P001", truth, reviewed_slices=None, annotator="AB", seconds=1)
    session = Session(Clock())
    session.dataset, session.source = dataset, source
    for strokes in (0, 1):
        session.enter_case(record, ExitStack(), truth.data.copy())
        session.effort.add(30.0, strokes)
        session.leave_case()
        assert (dataset.case("P001").work is None) == (strokes == 0)


def test_another_direction_counts_once_all_its_slices_were_seen(
    sphere_exam: tuple[Exam, LabelMap], tmp_path: Path, source: Source
) -> None:
    exam, truth = sphere_exam
    record = Dataset.create(tmp_path / "set").add(exam, patient_id="A")
    session = Session()
    session.source = source
    session.enter_case(record, ExitStack(), truth.data.copy())
    session.mark_reviewed(range(39), axis=2)
    assert session.reviewed == ()
    session.mark_reviewed([2])
    assert session.reviewed == (2,)
    session.mark_reviewed([39], axis=2)
    assert session.reviewed == tuple(range(12))


def test_the_same_case_with_other_layers_stays_open(source: Source) -> None:
    session = Session()
    session.source = source
    session.mark_reviewed([1])
    session.source = Source("P001", "P001 (post1)", {"post1": "P001 post1"})
    assert session.reviewed == (1,)


def test_roles_chosen_for_a_foreign_source_stay_with_it(source: Source) -> None:
    session = Session()
    session.source = Source("scan", "scan (image layer)", {"post1": "scan"}, True)
    session.choose_roles({"pre": "before", "post1": "scan"})
    session.source = source
    assert session.roles is None
    session.source = Source("scan", "scan (image layer)", {"post1": "scan"}, True)
    assert session.roles == {"pre": "before", "post1": "scan"}


def test_another_exam_of_the_same_name_inherits_nothing(
    sphere_exam: tuple[Exam, LabelMap], tmp_path: Path
) -> None:
    exam, truth = sphere_exam
    dataset = Dataset.create(tmp_path / "set")
    record = dataset.add(exam, patient_id="A")
    layers = {"post1": "P001 post1"}
    session = Session()
    session.source = Source("P001", "P001", layers, fingerprint="one")
    session.enter_case(record, ExitStack(), truth.data.copy())
    session.drafts.keep(Draft("P001", truth, "a@1"))
    session.mark_reviewed([3])
    session.source = Source("P001", "P001", layers, fingerprint="two")
    assert (session.record, session.draft, session.reviewed) == (None, None, ())


def test_holding_refuses_another_exam_of_a_known_name(
    sphere_exam: tuple[Exam, LabelMap], tmp_path: Path
) -> None:
    exam, _ = sphere_exam
    dataset = Dataset.create(tmp_path / "set")
    dataset.add(exam, patient_id="A")
    with hold_exam(dataset, exam, patient_id="A", annotator="AB", draft=None).lock:
        pass  # the same exam is taken up again
    changed = exam.phases["post1"].data.copy()
    changed[5, 6, 7] += 1
    other = Exam("P001", {"pre": exam.phases["pre"], "post1": Volume(changed, exam.grid)})
    message = (
        r"Expected the exam .* case P001.*another exam of that name: phase post1.*another name"
    )
    with pytest.raises(InputError, match=message):
        hold_exam(dataset, other, patient_id="A", annotator="AB", draft=None)
    assert dataset.lock_holder("P001") is None


def test_a_draft_of_a_region_leaves_the_rest_of_the_earlier_one(
    sphere_exam: tuple[Exam, LabelMap], source: Source
) -> None:
    _, truth = sphere_exam
    session = Session()
    session.source = source
    session.drafts.keep(Draft("P001", truth, "a@1"))
    empty = LabelMap(np.zeros_like(truth.data), truth.grid)
    region = (slice(6, 7), slice(0, 48), slice(0, 40))
    session.drafts.keep(Draft("P001", empty, "b@2"), region)
    assert session.draft.model == "b@2"
    assert not session.draft.label_map.data[6].any()
    assert np.array_equal(session.draft.label_map.data[5], truth.data[5])
    assert truth.data[6].any()  # the earlier prediction itself is untouched


def test_a_draft_is_hidden_until_it_is_asked_for_in_each_exam_again(
    sphere_exam: tuple[Exam, LabelMap], source: Source
) -> None:
    _, truth = sphere_exam
    clock = Clock()
    session = Session(clock)
    drafts, changes = session.drafts, []
    drafts.changed.connect(lambda: changes.append(drafts.is_hidden))
    session.source = source
    drafts.keep(Draft("P001", truth, "a@1"))
    assert not drafts.is_hidden
    drafts.reveal()
    assert drafts.revealed_after_s is None  # nothing was hidden
    drafts.hides = True
    clock.now += 42
    drafts.reveal()
    assert (drafts.is_hidden, drafts.revealed_after_s) == (False, 42.0)
    clock.now += 1
    drafts.reveal()
    assert drafts.revealed_after_s == 42.0
    session.source = Source("P001", "P001 (post1)", {"post1": "P001 post1"})  # the same exam
    assert not drafts.is_hidden
    session.source = Source("P002", "P002", {"post1": "P002 post1"})
    assert drafts.is_hidden
    assert session.draft is None
    assert changes == [False, False, True, False, True]
    drafts.keep(Draft("P001", truth, "a@1"))  # comes late, of an exam that was left
    assert session.draft is None
    drafts.keep(Draft("P001", truth, "a@1"), source=source)
    session.source = source
    assert session.draft is not None
    drafts.forget()
    assert session.draft is None


def test_the_source_files_of_exams_long_closed_are_let_go() -> None:
    session, nothing = Session(), Decision((), ())
    for number in range(200):
        session.keep_dicom(f"P{number}", DicomExam(f"P{number}", (), nothing), "patient")
        session.keep_dicom("P0", None)
    assert session.dicom("P0") is None
    kept = [number for number in range(200) if session.dicom(f"P{number}") is not None]
    assert kept == list(range(180, 200))
