"""A second read: a case outlined by another reader who does not see the first outline."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np

from .. import formats
from ..core.atomic import storage_errors, write_text
from ..core.errors import InputError
from ..core.version import __version__
from ..core.volume import TUMOR, Exam, LabelMap
from .finding_record import FindingRecord
from .images import read_exam
from .layout import sha256
from .masks import checked, read_label_map
from .read_files import ReadFiles, file_name
from .records import AcceptedMask, CaseRecord, ClickRecord, ReadKind, ReadRecord, Status
from .redraft_record import RedraftRecord
from .staging import Review, with_ignore
from .store import Store

__all__ = ["SecondRead"]


class SecondRead:
    """A case as its second reader sees it: images, and nothing of the first read.

    A `Workspace`: what its methods write is a read, and no accepted mask.
    """

    is_second_read = True

    def __init__(self, store: Store, case_id: str, reader: str) -> None:
        self._store = store
        self._reader = reader
        self._files = ReadFiles(store, case_id)
        self._lock_name = f"{case_id}@{file_name(reader)}"
        self._autosave = self._files.unfinished(reader)
        self._begun_with = self._autosave.with_name(f"{file_name(reader)}.model.txt")

    @property
    def folder(self) -> Path:
        """Where this read is kept, another place than the dataset's own autosave and masks."""
        return self._autosave.parent

    @property
    def name(self) -> str:
        """The dataset's name."""
        return self._store.name

    def case(self, case_id: str) -> CaseRecord:
        """The record without first mask, annotator, history and draft; with the own read if any."""
        record = self._store.case(case_id)
        own = self._own()
        return record.model_copy(
            update={
                "status": Status.IN_PROGRESS if own is None else Status.ACCEPTED,
                "accepted": None if own is None else _as_accepted(own),
                "history": (),
                "goes_on_from": None,
                "draft": None,
                "left_by": self._reader,
                "work": None,
            }
        )

    def label_map(self, case_id: str) -> LabelMap:
        """The own read."""
        own = self._own()
        if own is None:
            raise InputError(
                f"Expected a read of case {case_id} by this annotator",
                "found none",
                "Outline and accept the case first",
            )
        return self._files.label_map(own)

    def draft(self, case_id: str) -> None:
        """Nothing: a second reader starts from the images."""

    def kept_map(self, case_id: str) -> LabelMap | None:
        """The own read, None before there is one."""
        return None if self._own() is None else self.label_map(case_id)

    def recover(self, case_id: str) -> LabelMap | None:
        """The own work in progress."""
        if not self._autosave.exists():
            return None
        return read_label_map(self._autosave, self._store.case(case_id))

    def lock(self, case_id: str, owner: str) -> AbstractContextManager[None]:
        """Hold this reader's read, not the case: the first reader may have it open."""
        return self._store.locks.case(self._lock_name, owner)

    def autosave(self, case_id: str, label_map: LabelMap) -> None:
        """Keep work in progress."""
        with self._store.writing(self._lock_name, self._reader):
            label_map = checked(label_map, self._store.case(case_id))
            kept = self.kept_map(case_id)
            if kept is not None and np.array_equal(kept.data, label_map.data):
                with storage_errors(self._autosave):
                    self._autosave.unlink(missing_ok=True)
            else:
                formats.write_label_map(self._autosave, label_map)

    def save_draft(self, case_id: str, label_map: LabelMap, *, model: str) -> CaseRecord:
        """Note that this reader began with a model's draft; the case's own draft stays."""
        write_text(self._begun_with, model)
        return self.case(case_id)

    @property
    def _model(self) -> str | None:
        """The model whose draft this reader began with, in an earlier sitting too."""
        if not self._begun_with.exists():
            return None
        return self._begun_with.read_text(encoding="utf-8")

    def note_work(self, case_id: str, *, seconds: float, strokes: int) -> CaseRecord:
        """Keep nothing: only the sitting in which a read is accepted counts."""
        return self.case(case_id)

    def accept(
        self,
        case_id: str,
        label_map: LabelMap,
        *,
        reviewed_slices: Sequence[int] | None,
        annotator: str,
        seconds: float,
        strokes: int | None = None,
        findings: Sequence[FindingRecord] = (),
        clicks: Sequence[ClickRecord] = (),
        redraft: RedraftRecord | None = None,
    ) -> CaseRecord:
        """Keep the outline as this reader's read; the dataset's accepted mask stays what it is."""
        review = Review(annotator, reviewed_slices, seconds, strokes)
        with self._store.writing(self._lock_name, self._reader):
            label_map = checked(label_map, self._store.case(case_id))
            data, slices = with_ignore(label_map, review.reviewed_slices, case_id)
            staged = self._autosave.with_name(f"accepting-{self._autosave.name}")
            formats.write_label_map(staged, LabelMap(data, label_map.grid))
            read = ReadRecord(
                case_id=case_id,
                reader=self._reader,
                kind=ReadKind.SECOND,
                sha256=sha256(staged),
                seconds_spent=float(review.seconds),
                strokes=review.strokes,
                reviewed_slices=slices,
                tumor_voxels=int((data == TUMOR).sum()),
                model=self._model,
                software_version=__version__,
            )
            if self._autosave.exists():
                # Should the program end before it is removed, it is no older than the read.
                formats.write_label_map(self._autosave, label_map)
            self._files.keep(staged, read)
            with storage_errors(self._autosave):
                self._autosave.unlink(missing_ok=True)
            return self.case(case_id)

    def exam(self, case_id: str) -> Exam:
        """Images of the case by channel role."""
        return read_exam(self._store.layout, self._store.case(case_id))

    def _own(self) -> ReadRecord | None:
        own = file_name(self._reader)
        return next(
            (
                read
                for read in self._files.records()
                if read.kind is ReadKind.SECOND and file_name(read.reader) == own
            ),
            None,
        )


def _as_accepted(read: ReadRecord) -> AcceptedMask:
    return AcceptedMask(
        sha256=read.sha256,
        annotator=read.reader,
        seconds_spent=read.seconds_spent or 0.0,
        reviewed_slices=read.reviewed_slices,
        tumor_voxels=read.tumor_voxels,
        model=read.model,
        voxels_changed=None,
        dice_draft=None,
        software_version=read.software_version,
    )
