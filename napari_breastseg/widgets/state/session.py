"""State of one viewer: exam, model, draft, dataset, case, slices looked at, time spent.

One `Session` per dock, handed to each panel. Values in, events out; no Qt, no napari, no torch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from ...core.errors import InputError
from ...core.region import Region
from ...core.volume import LabelMap
from ...dataset import CaseRecord, Dataset, SecondRead
from ...formats import DicomExam
from ...predict.thresholding import ProbabilitySteps
from .sources import Source

__all__ = ["Draft", "Session", "is_same"]

IDLE_S = 60.0
"""A pause longer than this counts as this long: the reader was away."""


@dataclass(frozen=True, eq=False)
class Draft:
    """A model's untouched prediction of a case, kept for comparison."""

    case_id: str
    label_map: LabelMap
    model: str
    """Name and weights hash of the model that made it."""

    probability: ProbabilitySteps | None = None
    """What it was cut from, where this window made it; of the last region only."""

    def updated(self, region: Region, newer: Draft) -> Draft:
        """The same draft with the voxels of `region` taken from a newer one of its case."""
        data = self.label_map.data.copy()
        data[region] = newer.label_map.data[region]
        label_map = LabelMap(data, self.label_map.grid)
        return Draft(self.case_id, label_map, newer.model, newer.probability)


class Session:
    """What the panels of one viewer share.

    Parameters
    ----------
    clock : callable, optional
        Seconds that only rise; tests give their own.
    """

    source_changed = Signal(object)
    """The exam or layer at work, a `Source`, or None."""

    model_changed = Signal(object)
    """The model to segment with: its folder, or None."""

    draft_changed = Signal()
    dataset_changed = Signal(object)
    """The open `Dataset`, or None."""

    record_changed = Signal(object)
    """The dataset's record of the exam at work, or None while it has none."""

    reviewed_changed = Signal()

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._source: Source | None = None
        self._model: Path | None = None
        self._drafts: dict[tuple[str, str], Draft] = {}
        self._hides_drafts = False
        self._opened_at = clock()
        self._revealed_after_s: float | None = None
        self._roles: dict[str, dict[str, str]] = {}
        self._dicom: dict[str, DicomExam] = {}
        self._dataset: Dataset | None = None
        self._desk: Dataset | SecondRead | None = None
        self._record: CaseRecord | None = None
        self._seen: dict[int, set[int]] = {}
        self._seconds = 0.0
        self._strokes = 0
        self._last_touch: float | None = None
        self._lock = ExitStack()
        self.saved: NDArray[np.uint8] | None = None
        """Labels as they were when last accepted or opened; None before."""

    @property
    def source(self) -> Source | None:
        """The exam or layer at work."""
        return self._source

    @source.setter
    def source(self, value: Source | None) -> None:
        if value == self._source:
            return
        is_same_exam = value is not None and value.is_same_exam(self._source)
        if not is_same_exam:
            self.leave_case()
            self._opened_at, self._revealed_after_s = self._clock(), None
        self._source = value
        self.source_changed.emit(value)
        if not is_same_exam:
            self.draft_changed.emit()

    @property
    def case_id(self) -> str | None:
        """Case id of the exam at work."""
        return None if self._source is None else self._source.case_id

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
        """Draft of the exam at work."""
        return None if self._source is None else self._drafts.get(_key(self._source))

    @property
    def hides_drafts(self) -> bool:
        """Whether drafts are hidden until the reader asks for them."""
        return self._hides_drafts

    @hides_drafts.setter
    def hides_drafts(self, value: bool) -> None:
        if value != self._hides_drafts:
            self._hides_drafts = value
            self.draft_changed.emit()

    @property
    def is_draft_hidden(self) -> bool:
        """Whether a draft of the exam at work would be hidden, should there be one."""
        return self._hides_drafts and self._revealed_after_s is None

    @property
    def revealed_after_s(self) -> float | None:
        """Seconds from the opening of the exam to the reader's asking for its draft."""
        return self._revealed_after_s

    def reveal_draft(self) -> None:
        """Hide the draft of the exam at work no longer, and note when that was."""
        if self.is_draft_hidden:
            self._revealed_after_s = self._clock() - self._opened_at
            self.draft_changed.emit()

    def keep_draft(
        self, draft: Draft, region: Region | None = None, *, source: Source | None = None
    ) -> None:
        """Keep a draft of its case; with a region, only that part of an earlier one is replaced.

        It is the draft of `source`, of the one at work when none is given.
        """
        source = self._source if source is None else source
        if source is None or source.case_id != draft.case_id:
            return
        earlier = self._drafts.get(_key(source))
        if (
            earlier is not None
            and region is not None
            and earlier.label_map.grid.matches(draft.label_map.grid)
        ):
            draft = earlier.updated(region, draft)
        # One draft at a time: those of other exams come back from the dataset.
        self._drafts = {_key(source): draft}
        self.draft_changed.emit()

    def forget_drafts(self) -> None:
        """Keep no draft any more: a second reader must not see one."""
        self._drafts = {}
        self.draft_changed.emit()

    def dicom(self, case_id: str | None) -> DicomExam | None:
        """The source files of an exam that was opened from DICOM here, slice by slice."""
        return self._dicom.get(case_id or "")

    def keep_dicom(self, case_id: str, exam: DicomExam | None) -> None:
        """Note where an exam's slices came from; None for one that is no DICOM."""
        self._dicom.pop(case_id, None)
        if exam is not None:
            self._dicom[case_id] = exam

    @property
    def roles(self) -> dict[str, str] | None:
        """Role to layer name as the user chose for a foreign source; None where nobody did."""
        if self._source is None or not self._source.is_foreign:
            return None
        return self._roles.get(self._source.case_id)

    def choose_roles(self, roles: Mapping[str, str]) -> None:
        """Keep which layer of another reader is which phase of the source at work."""
        if self._source is not None and self._source.is_foreign and roles:
            self._roles[self._source.case_id] = dict(roles)

    @property
    def dataset(self) -> Dataset | None:
        """The dataset folder at work."""
        return self._dataset

    @dataset.setter
    def dataset(self, value: Dataset | None) -> None:
        self.leave_case()
        self._dataset = value
        self.dataset_changed.emit(value)

    @property
    def record(self) -> CaseRecord | None:
        """The dataset's record of the exam at work, once correcting has begun."""
        return self._record

    @property
    def desk(self) -> Dataset | SecondRead | None:
        """Where the case at work is kept: the dataset, or a second read blind to the first."""
        return self._dataset if self._desk is None else self._desk

    @property
    def is_second_read(self) -> bool:
        """Whether the case at work is read blind to an earlier outline."""
        return isinstance(self._desk, SecondRead)

    def enter_case(
        self,
        record: CaseRecord,
        lock: ExitStack,
        saved: NDArray[np.uint8] | None,
        desk: Dataset | SecondRead | None = None,
    ) -> None:
        """Begin correcting: take over the lock, start the clock, note what is on disk."""
        self.leave_case()
        self._desk = desk
        self._record, self._lock, self.saved = record, lock, saved
        self.touch()
        self.record_changed.emit(record)

    def update_record(self, record: CaseRecord) -> None:
        """Take a newer record of the case being corrected."""
        self._record = record
        self.record_changed.emit(record)

    def leave_case(self) -> None:
        """Give the lock back; what was counted and not accepted is noted in the case's record."""
        self._note_work()
        self._lock.close()
        self._lock = ExitStack()
        had_record, self._record, self._desk = self._record, None, None
        self.saved = None
        self._seconds, self._strokes, self._last_touch = 0.0, 0, None
        self._seen = {}
        if had_record is not None:
            self.record_changed.emit(None)
        self.reviewed_changed.emit()

    def touch(self) -> None:
        """Note that the reader does something now."""
        now = self._clock()
        if self._last_touch is not None:
            self._seconds += min(now - self._last_touch, IDLE_S)
        self._last_touch = now

    @property
    def seconds(self) -> float:
        """Seconds of work on the case, pauses cut to a minute."""
        return self._seconds

    @property
    def strokes(self) -> int:
        """Edits of the mask, one per undo step."""
        return self._strokes

    def count_stroke(self) -> None:
        """Count an edit of the mask."""
        if self._record is not None:
            self._strokes += 1

    def settle(self, seconds: float, strokes: int) -> None:
        """Take off what is accounted for elsewhere, as by an accepted mask; less than 0 adds."""
        self._seconds = max(0.0, self._seconds - seconds)
        self._strokes = max(0, self._strokes - strokes)

    def _note_work(self) -> None:
        record, desk = self._record, self.desk
        is_work = self._strokes > 0 or self._seconds >= 1.0
        if record is None or desk is None or not is_work:
            return
        # Who only looks at an accepted case has done no work on it.
        if not record.is_accepted or self._strokes:
            with suppress(InputError):  # the count is no reason to keep anybody from leaving
                desk.note_work(record.case_id, seconds=self._seconds, strokes=self._strokes)

    @property
    def reviewed(self) -> tuple[int, ...]:
        """Indices along Z of the slices that were looked at."""
        shape = None if self._record is None else self._record.grid.shape
        if shape is not None and any(self.seen(axis) == shape[axis] for axis in (1, 2)):
            return tuple(range(shape[0]))
        return tuple(sorted(self._seen.get(0, ())))

    def look_at(self, indices: Iterable[int], *, axis: int = 0) -> None:
        """Count slices as looked at.

        Parameters
        ----------
        indices : iterable of int
            Slices along `axis`.
        axis : int
            Array axis one looks along: 0 z, 1 y, 2 x. Along y or x every slice must have been
            seen before the slices along z count, all at once.
        """
        self.touch()
        seen = self._seen.setdefault(axis, set())
        new = {int(index) for index in indices} - seen
        if new:
            seen |= new
            self.reviewed_changed.emit()

    def seen(self, axis: int) -> int:
        """How many slices along an array axis were looked at."""
        return len(self._seen.get(axis, ()))

    def seen_slices(self, axis: int) -> frozenset[int]:
        """Slices along an array axis that were looked at."""
        return frozenset(self.reviewed if axis == 0 else self._seen.get(axis, ()))

    def is_unsaved(self, labels: NDArray[np.generic]) -> bool:
        """Whether `labels` differ from what is on disk."""
        # Undo and redo tell nobody that they painted; only the arrays know.
        return self.saved is not None and not is_same(self.saved, labels)


def _key(source: Source) -> tuple[str, str]:
    return source.case_id, source.fingerprint


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
