"""Several readers of one case: who is asked, a second read without sight of the first, all reads.

    reads/<case>/<reader>.nii.gz, <reader>.json   an outline and its record
    reads/<case>/work/<reader>.nii.gz             a second read in progress
    reads/<case>/earlier/                         outlines that their reader replaced

Nothing here is in nnU-Net's or MONAI's lists. Imports `errors`, `atomic`, `volume`, `formats`, and
of this package `derived`, `layout`, `masks`, `records`, `store`, `work`.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from .. import formats
from ..core.atomic import atomic_path, storage_errors, write_text
from ..core.errors import InputError
from ..core.version import __version__
from ..core.volume import TUMOR, Exam, LabelMap
from . import masks
from .derived import LABELS
from .layout import FILE_ENDING, sha256
from .records import (
    AcceptedMask,
    CaseRecord,
    ReadKind,
    ReadRecord,
    Status,
    require_word,
)
from .store import Store
from .work import save_draft, withdraw

__all__ = ["Reads", "SecondRead", "read_findings"]

_MODEL_FILE = "+model"
"""No reader's file is called so: `_file_name` gives letters, digits, '_', '-' and dots only."""


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
            if any(read.kind is ReadKind.SECOND for read in self.of_case(case_id)):
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
                    tumor_voxels=_tumor_voxels(masks.read_draft(self._store, record)),
                    software_version=record.draft.software_version,
                )
                self._keep_copy(self._store.layout.draft(case_id), draft)
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
            self._keep_copy(self._store.layout.label(case_id), first)
            return self._store.commit(record.model_copy(update={"is_for_second_read": True}))

    def of_case(self, case_id: str) -> list[ReadRecord]:
        """Records of all reads of a case: first, second ones, model.

        Raises
        ------
        InputError
            When one of them cannot be read.
        """
        found = []
        for path in sorted(self._store.layout.reads(case_id).glob("*.json")):
            if path.name.startswith("."):
                continue
            try:
                found.append(ReadRecord.model_validate_json(path.read_bytes()))
            except (OSError, ValueError):
                raise InputError(
                    f"Expected readable records of the reads of case {case_id}",
                    "found one that is damaged or from a newer version",
                    "Restore it from a backup, update napari-breastseg, or move it away",
                ) from None
        return sorted(found, key=lambda r: (list(ReadKind).index(r.kind), r.reader))

    def label_map(self, read: ReadRecord) -> LabelMap:
        """The outline of a read, with `ignore` where its reader did not look."""
        record = self._store.case(read.case_id)
        return masks.read_label_map(self._path(read.case_id, read.reader, read.kind), record)

    def is_blinded(self, record: CaseRecord, reader: str) -> bool:
        """Whether a case must show `reader` neither its mask nor its annotator.

        So it is while a second read is asked for, unless this reader made the first read, or has
        made an own one and left no work on it unfinished.
        """
        if not record.is_for_second_read:
            return False
        folder, name = self._store.layout.reads(record.case_id), _file_name(reader)
        is_unfinished = (folder / "work" / f"{name}{FILE_ENDING}").exists()
        return is_unfinished or not (folder / f"{name}.json").exists()

    def is_second_reader(self, record: CaseRecord, reader: str) -> bool:
        """Whether a second read is asked for, and `reader` is not who made the first one."""
        if not record.is_for_second_read:
            return False
        first = (r.reader for r in self.of_case(record.case_id) if r.kind is ReadKind.FIRST)
        return _file_name(reader) not in {_file_name(name) for name in first}

    def settle(self, case_id: str, label_map: LabelMap, name: str) -> CaseRecord:
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

    def second(self, case_id: str, reader: str) -> SecondRead:
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
                "Ask for a second read in the Review tab or with `dataset ask`",
            )
        if _file_name(first.reader) == _file_name(reader):
            raise InputError(
                f"Expected another reader for the second read of case {case_id}",
                "found the reader of the first read",
                "Let somebody else read it",
            )
        return SecondRead(self, self._store, case_id, reader)

    # What `SecondRead` writes

    def _path(self, case_id: str, reader: str, kind: ReadKind) -> Path:
        name = _MODEL_FILE if kind is ReadKind.MODEL else _file_name(reader)
        return self._store.layout.reads(case_id) / f"{name}{FILE_ENDING}"

    def _keep_copy(self, source: Path, read: ReadRecord) -> None:
        path = self._path(read.case_id, read.reader, read.kind)
        with atomic_path(path) as temporary:
            shutil.copyfile(source, temporary)
        _write_record(path, read)

    def _keep(self, read: ReadRecord, staged: Path) -> None:
        """Move an outline in place; an earlier one of its reader goes aside, nothing is lost."""
        path = self._path(read.case_id, read.reader, read.kind)
        with storage_errors(path):
            if path.exists():
                aside = path.parent / "earlier"
                aside.mkdir(exist_ok=True)
                time = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
                for file in (path, _record_path(path)):
                    if file.exists():
                        file.rename(aside / f"{time}-{file.name}")
            staged.rename(path)
        _write_record(path, read)


class SecondRead:
    """A case as its second reader sees it: images, and nothing of the first read.

    Has the methods of `Dataset` that correcting a case needs; what they write is a read.
    """

    def __init__(self, reads: Reads, store: Store, case_id: str, reader: str) -> None:
        self._reads = reads
        self._store = store
        self._case_id = case_id
        self._reader = reader
        folder = store.layout.reads(case_id)
        self._work = folder / "work" / f"{_file_name(reader)}{FILE_ENDING}"
        self._begun_with = folder / "work" / f"{_file_name(reader)}.model.txt"

    @property
    def folder(self) -> Path:
        """Where this read is kept, another place than the dataset's own autosave and masks."""
        return self._work.parent

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
        return self._reads.label_map(own)

    def draft(self, case_id: str) -> None:
        """Nothing: a second reader starts from the images."""

    def kept_map(self, case_id: str) -> LabelMap | None:
        """The own read, None before there is one."""
        return None if self._own() is None else self.label_map(case_id)

    def recover(self, case_id: str) -> LabelMap | None:
        """The own work in progress."""
        if not self._work.exists():
            return None
        return masks.read_label_map(self._work, self._store.case(case_id))

    def lock(self, case_id: str, owner: str) -> AbstractContextManager[None]:
        """Hold this reader's read, not the case: the first reader may be at work on it."""
        return self._store.locks.case(self._lock_name, owner)

    def autosave(self, case_id: str, label_map: LabelMap) -> None:
        """Keep work in progress."""
        with self._store.writing(self._lock_name, self._reader):
            label_map = masks.on_grid(label_map, self._store.case(case_id).grid.grid, case_id)
            masks.require_labels(label_map, LABELS.values(), case_id)
            kept = self.kept_map(case_id)
            if kept is not None and np.array_equal(kept.data, label_map.data):
                with storage_errors(self._work):
                    self._work.unlink(missing_ok=True)
            else:
                formats.write_label_map(self._work, label_map)

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

    def note_work(self, case_id: str, *, seconds: float, strokes: int) -> None:
        """Nothing: only the sitting in which a read is accepted counts."""

    def accept(
        self,
        case_id: str,
        label_map: LabelMap,
        *,
        reviewed_slices: Sequence[int] | None,
        annotator: str,
        seconds: float,
        strokes: int | None = None,
    ) -> CaseRecord:
        """Keep the outline as this reader's read; the dataset's accepted mask stays what it is."""
        with self._store.writing(self._lock_name, self._reader):
            grid = self._store.case(case_id).grid.grid
            label_map = masks.on_grid(label_map, grid, case_id)
            masks.require_labels(label_map, LABELS.values(), case_id)
            data, slices = masks.with_ignore(label_map, reviewed_slices, case_id)
            staged = self._work.with_name(f"accepting-{self._work.name}")
            formats.write_label_map(staged, LabelMap(data, grid))
            read = ReadRecord(
                case_id=case_id,
                reader=self._reader,
                kind=ReadKind.SECOND,
                sha256=sha256(staged),
                seconds_spent=float(seconds),
                strokes=strokes,
                reviewed_slices=slices,
                tumor_voxels=int((data == TUMOR).sum()),
                model=self._model,
                software_version=__version__,
            )
            self._reads._keep(read, staged)
            with storage_errors(self._work):
                self._work.unlink(missing_ok=True)
            return self.case(case_id)

    def exam(self, case_id: str) -> Exam:
        """Images of the case by channel role."""
        record = self._store.case(case_id)
        files = [self._store.layout.image(case_id, i) for i in range(len(record.channels))]
        found = formats.case_from_files(case_id, files, phases=record.channels)
        return Exam(case_id, formats.read_exam(found).phases, record.times_s)

    @property
    def _lock_name(self) -> str:
        return f"{self._case_id}@{_file_name(self._reader)}"

    def _own(self) -> ReadRecord | None:
        own = _file_name(self._reader)
        reads = self._reads.of_case(self._case_id)
        return next(
            (r for r in reads if r.kind is ReadKind.SECOND and _file_name(r.reader) == own), None
        )


def read_findings(store: Store, record: CaseRecord) -> Iterator[tuple[str, str]]:
    """What is wrong with a case's reads: short name and message."""
    reads, folder = Reads(store), store.layout.reads(record.case_id)
    try:
        known = reads.of_case(record.case_id)
    except InputError as error:
        yield "unreadable_read", str(error)
        return
    paths = {reads._path(r.case_id, r.reader, r.kind): r for r in known}
    for path, read in paths.items():
        if not path.exists():
            yield "missing_file", f"a read is missing (reads/{record.case_id}/{path.name})"
        elif sha256(path) != read.sha256:
            yield "hash_mismatch", "a read is not the file that was recorded; somebody changed it"
        else:
            try:
                masks.require_labels(reads.label_map(read), LABELS.values(), record.case_id)
            except InputError as error:
                yield "bad_read", str(error)
    for path in sorted(folder.glob(f"*{FILE_ENDING}")):
        if path not in paths and not path.name.startswith(".tmp-"):
            yield "orphan_file", f"reads/{record.case_id}/{path.name} belongs to no record"


def _file_name(reader: str) -> str:
    """A file name for a reader; letter case tells no two readers apart."""
    folded = reader.strip().casefold()
    plain = re.sub(r"[^a-z0-9_-]+", "_", folded)
    if plain == folded:
        return plain
    return f"{plain[:60]}.{hashlib.sha256(folded.encode()).hexdigest()[:8]}"


def _record_path(path: Path) -> Path:
    return path.with_name(path.name.removesuffix(FILE_ENDING) + ".json")


def _write_record(path: Path, read: ReadRecord) -> None:
    write_text(_record_path(path), read.model_dump_json(indent=2) + "\n")


def _tumor_voxels(label_map: LabelMap | None) -> int:
    return 0 if label_map is None else int(label_map.tumor.sum())


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
