"""The records of a dataset folder on disk: written as commits, healed.

A commit is: files staged under `autosave/pending`, the record replaced, the staged files moved to
their places. Whatever is cut off between two steps, `heal` finishes or undoes.
Imports `errors`, `atomic`, and of this package `catalog`, `derived`, `layout`, `locking`,
`records`, `summaries`, `unreadable`.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from ..core.atomic import (
    after_change,
    fsync,
    link_or_copy,
    storage_errors,
    write_text,
    write_texts,
)
from ..core.errors import InputError, StorageError, UnconfirmedError
from .catalog import Catalog
from .derived import derived_texts
from .layout import FILE_ENDING, PENDING_KINDS, Layout, sha256
from .locking import Locks
from .records import AcceptedMask, CaseRecord
from .summaries import CaseSummary
from .unreadable import Unreadable

__all__ = ["Store", "after_commit", "write_record"]

_LEFTOVER_S = 86_400.0


class Store:
    """Records, derived files and locks of one dataset folder.

    Parameters
    ----------
    folder : Path
        The dataset folder.
    name : str
        The dataset's name.
    channels : tuple of str
        Channel roles given when it was made; empty when the first case is to fix them.
    given_id : str
        What tells it from others of its name; empty in folders made before there were ids.
    """

    def __init__(
        self, folder: Path, name: str, channels: tuple[str, ...], given_id: str = ""
    ) -> None:
        self.layout = Layout(folder)
        self.locks = Locks(self.layout)
        self.name = name
        self._channels = channels
        self.given_id = given_id
        """As in dataset.json; empty where that has none, see `id`."""
        self.catalog = Catalog(self.layout)
        self._writers = threading.RLock()
        self.accepted_labels: dict[str, tuple[str, str]] = {}
        """SHA-256 of the accepted mask, and of the labels it was made of, by case accepted here."""

    @property
    def channels(self) -> tuple[str, ...]:
        """Channel roles in the order of the file numbers; empty before they are fixed."""
        if not self._channels:
            first = next(iter(self.summaries()), None)
            self._channels = () if first is None else first.channels
        return self._channels

    @property
    def id(self) -> str:
        """What tells the dataset from others of its name, also in a copy or under another name."""
        if self.given_id:
            return self.given_id
        first = next(iter(self.cases()), None)  # a folder made before there were ids
        named = [first.case_id, *sorted(first.image_sha256.values())] if first else [self.name]
        return hashlib.sha256("/".join(named).encode()).hexdigest()[:16]

    def read_all(self) -> tuple[list[CaseRecord], list[Unreadable]]:
        """All records in the order in which patients entered, and the cases without one to read."""
        return self.catalog.records()

    def cases(self) -> list[CaseRecord]:
        """All records that can be read; see `left_out`."""
        return self.catalog.records()[0]

    def summaries(self) -> list[CaseSummary]:
        """`cases` in short, which thousands of them take a fraction of the time for."""
        return self.catalog.summaries()

    def left_out(self) -> list[Unreadable]:
        """The cases whose record cannot be read."""
        return self.catalog.left_out()

    def case(self, case_id: str) -> CaseRecord:
        """Record of one case.

        Raises
        ------
        InputError
            When the dataset has no such case or its record cannot be read.
        """
        record = self.catalog.record(case_id)
        if isinstance(record, Unreadable):
            raise InputError(
                f"Expected a record of case {case_id} that can be read",
                f"found it {record.reason}",
                "Restore it from a backup, or update napari-breastseg; other cases are not "
                "affected",
            )
        if record is None:
            raise InputError(
                f"Expected a case of dataset {self.name}",
                f"found none called {case_id}",
                "Choose one of those that `dataset status` lists, or add it first",
            )
        return record

    def is_mask_changed(self, record: CaseRecord) -> bool:
        """Whether the file of an accepted mask is not what was accepted: another program wrote it.

        A file that is not there is not changed, nor one that a commit is about to replace.
        """
        is_waiting = self.layout.pending("labelsTr", record.case_id).exists()
        if record.accepted is None or is_waiting:
            return False
        return self.catalog.mask_digest(record.case_id) not in (None, record.accepted.sha256)

    def changed_masks(self) -> list[str]:
        """Cases in which `is_mask_changed`."""
        waiting = _names(self._pending("labelsTr"))
        changed = [
            one.case_id
            for one in self.summaries()
            if one.mask_sha256 is not None
            and one.case_id + FILE_ENDING not in waiting
            and self.catalog.mask_digest(one.case_id) not in (None, one.mask_sha256)
        ]
        self.catalog.keep_index()
        return changed

    @contextmanager
    def writing(self, case_id: str, owner: str) -> Iterator[None]:
        """Change a case: alone among the threads of this `Dataset`, and among programs.

        A record that a change builds on is read inside.

        Raises
        ------
        InputError
            When another program holds the case, with owner and time.
        """
        with self._writers, self.locks.case(case_id, owner):
            yield

    def commit(self, record: CaseRecord, *, staged: tuple[str, ...] = ()) -> CaseRecord:
        """Write the record, which makes a change count, then move its staged files in place."""
        with after_commit(record.case_id, UnconfirmedError):
            write_record(self, record)
        with after_commit(record.case_id):
            for kind in staged:
                self._place(kind, record.case_id)
        if "labelsTr" in staged and record.accepted is not None:
            self.catalog.note_mask(record.case_id, record.accepted.sha256)
        return record

    @contextmanager
    def writing_lists(self) -> Iterator[None]:
        """Hold the folder, so that no number is given twice; its records are looked at once."""
        with self.locks.folder(), self.catalog.read_once():
            yield

    def rebuild(self) -> list[Path]:
        """Write the derived files that differ from what the records say; their paths."""
        with self.writing_lists():
            stale = self.stale()
            write_texts(stale)
            return list(stale)

    def stale(self) -> dict[Path, str]:
        """Path and right content of the derived files that are missing or differ."""
        texts = derived_texts(
            self.layout.folder, self.name, self.channels, self.summaries(), self.given_id
        )
        return {path: text for path, text in texts.items() if not _holds(path, text)}

    def archive(self, record: CaseRecord) -> tuple[AcceptedMask, ...]:
        """Copy the accepted mask of a case into its history; the history to commit."""
        if record.accepted is None:
            return record.history
        source = self.layout.label(record.case_id)
        if not source.exists():
            return (*record.history, record.accepted)
        accepted = record.accepted
        if (digest := sha256(source)) != accepted.sha256:  # another program wrote it
            update = {"sha256": digest, "is_changed_outside": True}
            accepted = accepted.model_copy(update=update)
        folder = self.layout.history(record.case_id)
        # Microseconds, so that no two masks of a case meet; should they, `link` refuses.
        name = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ") + FILE_ENDING
        link_or_copy(source, folder / name)
        with storage_errors(folder):
            fsync(folder.parent)  # before the mask is replaced, or a power cut could take both
        return (*record.history, accepted.model_copy(update={"history_file": name}))

    def heal(self) -> None:
        """Finish or undo what a crash cut off; does nothing where the folder is read-only."""
        with suppress(StorageError, OSError):
            _sweep(self.layout)
            with self.catalog.read_once():
                for case_id in self._cut_off():
                    # Refused where somebody is at work on the case: then it is not cut off.
                    with suppress(InputError), self.writing(case_id, "repair"):
                        self._heal_case(self.case(case_id))
                is_stale = not self.left_out() and bool(self.stale())
            if is_stale:
                self.rebuild()
            self.catalog.keep_index()

    def _cut_off(self) -> list[str]:
        """Cases with a file that waits for its place, or with a mask that nobody accepted."""
        waiting = [name for kind in PENDING_KINDS for name in _names(self._pending(kind))]
        labels = _names(self.layout.label("").parent)
        return [
            one.case_id
            for one in self.summaries()
            if one.case_id + FILE_ENDING in waiting
            or (one.mask_sha256 is None and one.case_id + FILE_ENDING in labels)
        ]

    def _pending(self, kind: str) -> Path:
        return self.layout.pending(kind, "").parent

    def _heal_case(self, record: CaseRecord) -> None:
        committed = {
            "labelsTr": record.accepted.sha256 if record.accepted else None,
            "drafts": record.draft.sha256 if record.draft else None,
        }
        for kind, digest in committed.items():
            pending = self.layout.pending(kind, record.case_id)
            if not pending.exists():
                continue
            autosave = self.layout.autosave(record.case_id)
            if sha256(pending) == digest:
                self._place(kind, record.case_id)
            elif kind == "labelsTr" and not autosave.exists():
                autosave.parent.mkdir(parents=True, exist_ok=True)
                record = self.commit(record.model_copy(update={"autosave_after": record.n_masks}))
                os.replace(pending, autosave)  # not accepted, but somebody's work
            else:
                pending.unlink()
        label = self.layout.label(record.case_id)
        if record.accepted is None and label.exists():
            digest = sha256(label)
            if any(mask.sha256 == digest and mask.history_file for mask in record.history):
                label.unlink()

    def _place(self, kind: str, case_id: str) -> None:
        target = self.layout.committed(kind, case_id)
        with storage_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(self.layout.pending(kind, case_id), target)


def write_record(store: Store, record: CaseRecord) -> CaseRecord:
    """Write a record that counts for nothing yet: what it speaks of is still to be written."""
    write_text(store.layout.record(record.case_id), record.model_dump_json(indent=2) + "\n")
    store.catalog.note_written(record)
    return record


def after_commit(case_id: str, *of: type[Exception]) -> AbstractContextManager[None]:
    """Say of an error that the change to a case is kept all the same; opening finishes it."""
    fix = "Do not repeat it: free disk space, then open the dataset again, which finishes it"
    return after_change(f"the new record of case {case_id}", fix, of or (InputError, OSError))


def _sweep(layout: Layout) -> None:
    """Remove temporary files that killed programs left more than a day ago."""
    folders = [layout.folder, layout.cases]
    folders += [layout.folder / part for part in ("imagesTr", "labelsTr", "drafts")]
    for folder in folders:
        for path in (folder / name for name in _names(folder) if name.startswith(".tmp-")):
            with suppress(OSError):
                if path.is_file() and time.time() - path.stat().st_mtime > _LEFTOVER_S:
                    path.unlink()


def _names(folder: Path) -> frozenset[str]:
    """Names in a folder; none where there is no such folder."""
    try:
        return frozenset(os.listdir(folder))
    except OSError:
        return frozenset()


def _holds(path: Path, text: str) -> bool:
    try:
        return path.read_bytes() == text.encode()
    except OSError:
        return False
