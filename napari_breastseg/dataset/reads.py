"""Several readers of one case: who is asked, who may see what, and how their reads end."""

from __future__ import annotations

from contextlib import suppress

from ..core.errors import InputError
from ..core.volume import LabelMap
from .identifiers import require_word
from .lifecycle import save_draft, withdraw
from .masks import read_draft
from .read_files import ReadFiles, file_name
from .records import CaseRecord, ReadKind, ReadRecord, Status
from .second_read import SecondRead
from .store import Store
from .summaries import CaseSummary

__all__ = ["Reads"]


class Reads:
    """The reads of a dataset folder's cases."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def ask(self, case_id: str) -> CaseRecord:
        """Choose an accepted case for a second read; its mask and draft are kept as they are now.

        Raises
        ------
        InputError
            When the case is not accepted.
        """
        with self._store.writing(case_id, "asking for a second read"):
            record = self._store.case(case_id)
            mask = record.accepted
            if mask is None:
                raise InputError(
                    f"Expected an accepted mask of case {case_id} to ask for a second read",
                    f"found status '{record.status.value}'",
                    "Accept the case first",
                )
            if record.is_for_second_read:
                return record
            files = ReadFiles(self._store, case_id)
            if any(read.kind is ReadKind.SECOND for read in files.records()):
                raise InputError(
                    f"Expected case {case_id} to have no second read yet",
                    "found one already",
                    "Choose another case; the reads of this one stay as they are",
                )
            if record.draft is not None:
                draft = ReadRecord(
                    case_id=case_id,
                    reader=record.draft.model,
                    kind=ReadKind.MODEL,
                    sha256=record.draft.sha256,
                    tumor_voxels=_tumor_voxels(read_draft(self._store, record)),
                    software_version=record.draft.software_version,
                )
                files.keep_copy(self._store.layout.draft(case_id), draft)
            first = ReadRecord(
                case_id=case_id,
                reader=mask.annotator,
                kind=ReadKind.FIRST,
                sha256=mask.sha256,
                seconds_spent=mask.seconds_spent,
                strokes=mask.strokes,
                reviewed_slices=mask.reviewed_slices,
                tumor_voxels=mask.tumor_voxels,
                model=mask.model,
                software_version=mask.software_version,
            )
            files.keep_copy(self._store.layout.label(case_id), first)
            return self._store.commit(record.model_copy(update={"is_for_second_read": True}))

    def of_case(self, case_id: str) -> list[ReadRecord]:
        """Records of all reads of a case: first, second ones, model.

        Raises
        ------
        InputError
            When one of them cannot be read.
        """
        return ReadFiles(self._store, case_id).records()

    def changed_s(self, record: CaseRecord | CaseSummary) -> float:
        """When a read of a case changed last, in seconds since 1970; 0 if none was asked for."""
        if not record.is_for_second_read:
            return 0.0
        return ReadFiles(self._store, record.case_id).changed_s()

    def unfinished_s(self, record: CaseRecord | CaseSummary, reader: str) -> float | None:
        """When this reader's unfinished second read was kept last, in seconds since 1970."""
        with suppress(OSError):
            return ReadFiles(self._store, record.case_id).unfinished(reader).stat().st_mtime
        return None

    def label_map(self, read: ReadRecord) -> LabelMap:
        """The outline of a read, with `ignore` where its reader did not look."""
        return ReadFiles(self._store, read.case_id).label_map(read)

    def is_blinded(self, record: CaseRecord | CaseSummary, reader: str) -> bool:
        """Whether a case must show `reader` neither its mask nor its annotator.

        So it is while a second read is asked for, unless this reader made the first read, or has
        made an own one and left no work on it unfinished.
        """
        if not record.is_for_second_read:
            return False
        files = ReadFiles(self._store, record.case_id)
        return files.unfinished(reader).exists() or not files.has_read(reader)

    def is_second_reader(self, record: CaseRecord, reader: str) -> bool:
        """Whether a second read is asked for, and `reader` is not who made the first one."""
        if not record.is_for_second_read:
            return False
        first = (r.reader for r in self.of_case(record.case_id) if r.kind is ReadKind.FIRST)
        return file_name(reader) not in {file_name(name) for name in first}

    def adopt_consensus(self, case_id: str, label_map: LabelMap, name: str) -> CaseRecord:
        """End the second reads of a case: an outline made of them is its new draft.

        An accepted case is reopened, its mask goes into the history. Nothing is accepted.
        """
        record = self._store.case(case_id)
        if record.status is Status.FLAGGED:
            raise InputError(
                f"Expected case {case_id} not to be flagged, to make a consensus",
                "found it flagged",
                "Reopen it first",
            )
        with self._store.writing(case_id, "consensus"):
            if record.is_accepted:
                withdraw(self._store, case_id, {"status": Status.IN_PROGRESS}, "consensus")
            record = save_draft(self._store, case_id, label_map, name)
            return self._store.commit(record.model_copy(update={"is_for_second_read": False}))

    def second_read(self, case_id: str, reader: str) -> SecondRead:
        """A second read by `reader`, to be opened and corrected like a case.

        Raises
        ------
        InputError
            When no second read was asked for, or this reader made the first one.
        """
        require_word(reader, "an annotator")
        record = self._store.case(case_id)
        first = next((r for r in self.of_case(case_id) if r.kind is ReadKind.FIRST), None)
        if not record.is_for_second_read or first is None:
            raise InputError(
                f"Expected a request for a second read of case {case_id}",
                "found none",
                "Ask for a second read in the List step or with `dataset ask`",
            )
        if file_name(first.reader) == file_name(reader):
            raise InputError(
                f"Expected another reader for the second read of case {case_id}",
                "found the reader of the first read",
                "Let somebody else read it",
            )
        return SecondRead(self._store, case_id, reader)


def _tumor_voxels(label_map: LabelMap | None) -> int:
    return 0 if label_map is None else int(label_map.tumor.sum())
