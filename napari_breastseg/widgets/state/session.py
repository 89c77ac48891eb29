"""State of one viewer: exam, model, draft, dataset, and the case held for correction.

One `Session` per dock, handed to each panel. Values in, events out; no Qt, no napari, no torch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from ...core.errors import InputError
from ...dataset import CaseRecord, Dataset, Workspace
from ...formats import DicomExam
from .drafts import Draft, Drafts
from .effort import Effort
from .findings import Choices
from .reviewed import ReviewedSlices
from .sources import Source

__all__ = ["Draft", "Session", "is_same"]

_DICOM_EXAMS = 20
"""Exams whose source files are remembered, half a megabyte or more each."""


class Session:
    """What the panels of one viewer share.

    Parameters
    ----------
    clock : callable, optional
        Seconds that only rise; tests give their own.
    """

    source_changed = Signal(object)
    """The current exam or layer, a `Source`, or None."""

    model_changed = Signal(object)
    """The model to segment with: its folder, or None."""

    dataset_changed = Signal(object)
    """The open `Dataset`, or None."""

    record_changed = Signal(object)
    """The dataset's record of the case held, or None while no case is."""

    reviewed_changed = Signal()

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        """Seconds that only rise."""

        self._source: Source | None = None
        self._model: Path | None = None
        self.drafts = Drafts(clock)
        self.choices = Choices()
        """What the reader keeps and drops of the current exam's findings."""

        self._roles: dict[str, dict[str, str]] = {}
        self._dicom: dict[str, DicomExam] = {}
        self._patients: dict[str, str] = {}
        self._dataset: Dataset | None = None
        self._workspace: Workspace | None = None
        self._record: CaseRecord | None = None
        self._lock = ExitStack()
        self._reviewed = ReviewedSlices()
        self._is_preparing = False
        self.effort = Effort(clock)
        """What was spent on the current case and is not recorded yet."""

        self.saved: NDArray[np.uint8] | None = None
        """Labels as they were when last accepted or opened; None before."""

        self.drafts.changed.connect(self._follow_findings)

    # The current exam

    @property
    def source(self) -> Source | None:
        """The current exam or layer."""
        return self._source

    @source.setter
    def source(self, value: Source | None) -> None:
        if value == self._source:
            return
        is_same_exam = value is not None and value.is_same_exam(self._source)
        if not is_same_exam:
            self.leave_case()
        self._source = value
        self.drafts.follow(value, is_same_exam=is_same_exam)
        self._follow_findings()
        self.source_changed.emit(value)
        if not is_same_exam:
            self.drafts.changed.emit()

    @property
    def case_id(self) -> str | None:
        """Case id of the current exam."""
        return None if self._source is None else self._source.case_id

    @property
    def roles(self) -> dict[str, str] | None:
        """Role to layer as the user chose for a foreign source; None where nobody did."""
        if self._source is None or not self._source.is_foreign:
            return None
        return self._roles.get(self._source.case_id)

    def choose_roles(self, roles: Mapping[str, str]) -> None:
        """Keep which layer of another reader is which phase of the current source."""
        if self._source is not None and self._source.is_foreign and roles:
            self._roles[self._source.case_id] = dict(roles)

    def dicom(self, case_id: str | None) -> DicomExam | None:
        """The source files of an exam that was opened from DICOM here, slice by slice."""
        return self._dicom.get(case_id or "")

    @property
    def proposed_patient(self) -> str:
        """Patient id for the current exam: the pseudonym of its DICOM patient, else its case id."""
        case_id = self.case_id or ""
        return self._patients.get(case_id) or case_id

    def keep_dicom(self, case_id: str, exam: DicomExam | None, patient: str = "") -> None:
        """Note where an exam's slices came from, None: not from DICOM; and its known pseudonym."""
        self._dicom.pop(case_id, None)
        self._patients[case_id] = patient
        if exam is not None:
            self._dicom[case_id] = exam
        while len(self._dicom) > _DICOM_EXAMS:
            del self._dicom[next(iter(self._dicom))]

    # The model and its draft

    @property
    def model(self) -> Path | None:
        """Folder of the model to segment with."""
        return self._model

    @model.setter
    def model(self, value: Path | None) -> None:
        if value != self._model:
            self._model = value
            self.model_changed.emit(value)

    @property
    def draft(self) -> Draft | None:
        """Draft of the current exam."""
        return self.drafts.current

    # The dataset and the case held for correction

    @property
    def dataset(self) -> Dataset | None:
        """The open dataset folder."""
        return self._dataset

    @dataset.setter
    def dataset(self, value: Dataset | None) -> None:
        self.leave_case()
        self._dataset = value
        self.dataset_changed.emit(value)

    @property
    def record(self) -> CaseRecord | None:
        """The dataset's record of the current case, once correcting has started."""
        return self._record

    @property
    def workspace(self) -> Workspace | None:
        """Where work on the current case is kept: the dataset, or a blinded second read."""
        return self._dataset if self._workspace is None else self._workspace

    @property
    def is_second_read(self) -> bool:
        """Whether the current case is read without sight of the first read."""
        return self._workspace is not None and self._workspace.is_second_read

    def prepare_case(self, shape: tuple[int, int, int]) -> None:
        """Count work from now on, on a case of these voxels (z, y, x) that is yet to be entered."""
        self.leave_case()
        self._reviewed, self._is_preparing = ReviewedSlices(shape), True
        self.effort.touch()

    @property
    def is_at_work(self) -> bool:
        """Whether a case is held, or about to be."""
        return self._record is not None or self._is_preparing

    def enter_case(
        self,
        record: CaseRecord,
        lock: ExitStack,
        saved: NDArray[np.uint8] | None,
        workspace: Workspace | None = None,
    ) -> None:
        """Start correcting: take over the lock, start the clock, note what is on disk."""
        was_prepared, early = self._is_preparing, (self.effort, self._reviewed)
        self.leave_case()
        self._workspace = workspace
        self._record, self._lock, self.saved = record, lock, saved
        self._reviewed = ReviewedSlices(record.grid.shape)
        if was_prepared:
            self.effort, self._reviewed = early
        self.effort.touch()
        self.record_changed.emit(record)

    def update_record(self, record: CaseRecord) -> None:
        """Replace the record of the current case by a newer one."""
        self._record = record
        self.record_changed.emit(record)

    def leave_case(self) -> None:
        """Release the lock; effort that no accepted mask covers goes into the case's record."""
        if self._record is not None and self.workspace is not None:
            _record_effort(self._record, self.workspace, self.effort)
        self._lock.close()
        self._lock = ExitStack()
        had_record, self._record, self._workspace = self._record, None, None
        self.saved = None
        self.effort, self._reviewed = Effort(self.clock), ReviewedSlices()
        self._is_preparing = False
        if had_record is not None:
            self.record_changed.emit(None)
        self.reviewed_changed.emit()

    def count_stroke(self) -> None:
        """Count an edit of the mask, if a case is held."""
        if self.is_at_work:
            self.effort.strokes += 1

    def uncount_stroke(self) -> None:
        """Take back a stroke: an edit replaced the one before it."""
        self.effort.deduct(0.0, 1)

    @property
    def reviewed(self) -> tuple[int, ...]:
        """Indices along z of the slices that were reviewed."""
        return tuple(sorted(self._reviewed.along(0)))

    def reviewed_along(self, axis: int) -> frozenset[int]:
        """Slices along an array axis (0 z, 1 y, 2 x) that were reviewed."""
        return self._reviewed.along(axis)

    def mark_reviewed(self, indices: Iterable[int], *, axis: int = 0) -> None:
        """Count slices along an array axis as reviewed.

        Along y or x every slice must have been seen before the slices along z count, all at once.
        """
        self.effort.touch()
        if self._reviewed.add(indices, axis=axis):
            self.reviewed_changed.emit()

    def note_marked(self, slices: frozenset[int]) -> None:
        """Count these slices along z as reviewed as long as they hold the reader's own marks."""
        if self._record is not None and self._reviewed.note_marked(slices):
            self.reviewed_changed.emit()

    def unmark_reviewed(self, voxels: Sequence[Iterable[int]]) -> None:
        """Count slices as not reviewed again in which voxels (z, y, x) changed since."""
        if self._reviewed.discard(voxels):
            self.reviewed_changed.emit()

    def _follow_findings(self) -> None:
        source, draft = self._source, self.draft
        exam = None if source is None else (source.case_id, source.fingerprint)
        self.choices.follow(exam, None if draft is None else draft.findings)
        if draft is None and self.choices.findings is not None:
            self.choices.forget()  # as when a second reader must not see the draft


def _record_effort(record: CaseRecord, workspace: Workspace, effort: Effort) -> None:
    # Looking at an accepted case is not work on it.
    if effort.is_worth_recording and (not record.is_accepted or effort.strokes):
        with suppress(InputError):  # a count that cannot be written must not hold anybody here
            workspace.note_work(record.case_id, seconds=effort.seconds, strokes=effort.strokes)


def is_same(one: NDArray[np.generic] | None, other: NDArray[np.generic] | None) -> bool:
    """Whether two label arrays (Z, Y, X) are equal; stops at the first slice that differs.

    Examples
    --------
    >>> is_same(np.zeros((2, 3, 3)), np.zeros((2, 3, 3))), is_same(None, np.zeros((2, 3, 3)))
    (True, False)
    """
    if one is None or other is None or one.shape != other.shape:
        return False
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
