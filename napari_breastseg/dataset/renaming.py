"""Another id for a case: its record, images, masks, history and reads move together, or none does.

The record says first where it is going (`renamed_to`); then each file gets its new name beside the
old one; then the record's own file is renamed, in one step: from there on the case has its new id.
What a crash cuts off before that step is undone when the folder is opened next, and after it
finished. Imports `errors`, `atomic`, and of this package `identifiers`, `layout`, `locking`,
`new_case`, `records`, `store`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from ..core.atomic import fsync, link_or_copy, storage_errors, write_text
from ..core.errors import InputError
from .identifiers import require_case_id
from .layout import PENDING_KINDS, Layout
from .new_case import require_unused
from .records import CaseRecord, ReadRecord
from .store import Store, after_commit

__all__ = ["heal_renames", "rename"]


def rename(store: Store, case_id: str, new_id: str) -> CaseRecord:
    """Give a case another id; see `Dataset.rename`."""
    require_case_id(new_id)
    layout = store.layout
    store.case(case_id)
    _require_free(store, case_id)
    with store.writing(case_id, "renaming"), store.writing(new_id, "renaming"):
        record = store.case(case_id)
        require_unused(store, new_id, record.patient_id)
        if (path := next(filter(Path.exists, _places(layout, new_id, record)), None)) is not None:
            raise InputError(
                f"Expected no file of another case called {new_id}",
                f"found {path.relative_to(layout.folder).as_posix()}, which belongs to no case",
                "Move it out of the dataset folder, or choose another id; nothing was changed",
            )
        former = (*record.former_ids, case_id)
        going = record.model_copy(update={"renamed_to": new_id, "former_ids": former})
        store.commit(going)
        try:
            _link_files(layout, record, new_id)
            with store.writing_lists():
                require_unused(store, new_id, record.patient_id, besides=case_id)
                with storage_errors(layout.record(new_id)):
                    os.replace(layout.record(case_id), layout.record(new_id))
        except BaseException:
            with suppress(InputError, OSError):
                _undo(store, going)
            raise
        with after_commit(new_id):
            fsync(layout.cases)
            return _finish(store, new_id)


def heal_renames(store: Store, case_ids: Iterable[str]) -> None:
    """Finish or undo what a crash cut off; does nothing where the folder is read-only."""
    for case_id in case_ids:
        # Refused where somebody is at it: then it is not cut off.
        with suppress(InputError, OSError):
            record = store.case(case_id)
            old, new = record.former_ids[-1], record.renamed_to or case_id
            with store.writing(old, "repair"), store.writing(new, "repair"):
                _heal(store, case_id)


def _heal(store: Store, case_id: str) -> None:
    record = store.case(case_id)
    if record.renamed_to == case_id:
        _finish(store, case_id)
    elif record.renamed_to is not None:
        _undo(store, record)


def _finish(store: Store, case_id: str) -> CaseRecord:
    """Take the old names away: the record has its new one."""
    record = store.case(case_id)
    former_id = record.former_ids[-1]
    if not store.layout.record(former_id).exists():  # else they are another case's
        _remove(store.layout, former_id, record)
    record = store.commit(record.model_copy(update={"renamed_to": None}))
    store.rebuild()
    return record


def _undo(store: Store, record: CaseRecord) -> None:
    """Take the new names away: the record kept its old one."""
    new_id = record.renamed_to
    if new_id is not None and not store.layout.record(new_id).exists():
        _remove(store.layout, new_id, record)
    former = record.former_ids[:-1]
    store.commit(record.model_copy(update={"renamed_to": None, "former_ids": former}))


def _places(layout: Layout, case_id: str, record: CaseRecord) -> Iterator[Path]:
    """Files and folders in which a case of this id is kept, its record apart."""
    yield from (layout.image(case_id, channel) for channel in range(len(record.channels)))
    yield from (layout.label(case_id), layout.draft(case_id), layout.autosave(case_id))
    yield from (layout.pending(kind, case_id) for kind in PENDING_KINDS)
    yield from (layout.history(case_id), layout.reads(case_id))


def _link_files(layout: Layout, record: CaseRecord, new_id: str) -> None:
    olds, news = (_places(layout, one, record) for one in (record.case_id, new_id))
    for old, new in zip(olds, news, strict=True):
        files = sorted(old.rglob("*")) if old.is_dir() else [old]
        for file in (one for one in files if one.is_file() and not one.name.startswith(".tmp-")):
            target = new / file.relative_to(old) if old.is_dir() else new
            if old == layout.reads(record.case_id) and file.suffix == ".json":
                _write_read(file, target, new_id)
            else:
                link_or_copy(file, target)


def _write_read(file: Path, target: Path, new_id: str) -> None:
    """A reader's record under the case's new id; one that cannot be read stays as it is."""
    with storage_errors(target):
        try:
            read = ReadRecord.model_validate_json(file.read_bytes())
        except ValueError:
            link_or_copy(file, target)
            return
    text = read.model_copy(update={"case_id": new_id}).model_dump_json(indent=2)
    write_text(target, text + "\n")


def _remove(layout: Layout, case_id: str, record: CaseRecord) -> None:
    for path in _places(layout, case_id, record):
        with storage_errors(path):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def _require_free(store: Store, case_id: str) -> None:
    """Raise where somebody has the case open, or a second read of it; this program too."""
    store.locks.require_free(case_id)
    for path in (store.layout.locks / "cases").glob(f"{case_id}@*.lock"):
        store.locks.require_free(path.name.removesuffix(".lock"))
