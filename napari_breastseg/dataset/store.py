"""The records of a dataset folder on disk: read with a cache, written as commits, healed.

A commit is: files staged under `autosave/pending`, the record replaced, the staged files moved to
their places. Whatever is cut off between two steps, `heal` finishes or undoes.
Imports `errors`, `atomic`, and of this package `derived`, `layout`, `locking`, `records`.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from ..core.atomic import atomic_path, fsync, storage_errors, write_text
from ..core.errors import InputError, StorageError
from .derived import derived_texts
from .layout import FILE_ENDING, PENDING_KINDS, Layout, sha256
from .locking import Locks
from .records import AcceptedMask, CaseRecord

__all__ = ["Store"]

_Stamp = tuple[int, int, int]


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
    """

    def __init__(self, folder: Path, name: str, channels: tuple[str, ...]) -> None:
        self.layout = Layout(folder)
        self.locks = Locks(self.layout)
        self.name = name
        self._channels = channels
        self._cache: dict[str, tuple[_Stamp, CaseRecord]] = {}
        self._writers = threading.RLock()
        self.accepted_labels: dict[str, tuple[str, str]] = {}
        """SHA-256 of the accepted mask, and of the labels it was made of, by case accepted here."""

    @property
    def channels(self) -> tuple[str, ...]:
        """Channel roles in the order of the file numbers; empty before they are fixed."""
        if not self._channels:
            records, _ = self.read_all()
            self._channels = records[0].channels if records else ()
        return self._channels

    def read_all(self) -> tuple[list[CaseRecord], list[str]]:
        """All records in the order in which patients entered, and the ids of unreadable ones."""
        found: dict[str, tuple[_Stamp, CaseRecord]] = {}
        unreadable = []
        try:
            entries = sorted(os.scandir(self.layout.cases), key=lambda entry: entry.name)
        except (FileNotFoundError, NotADirectoryError):
            entries = []
        except OSError as error:
            raise InputError(
                f"Expected {self.layout.cases} to be readable",
                f"found the system error '{error.strerror}'",
                "Check that you may read the dataset folder",
            ) from error
        for entry in entries:
            if entry.name.startswith(".") or not entry.name.endswith(".json"):
                continue
            case_id = entry.name.removesuffix(".json")
            try:
                stat = entry.stat()
                stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
                cached = self._cache.get(case_id)
                if cached is None or cached[0] != stamp:
                    cached = (stamp, self._parse(case_id, Path(entry.path)))
                found[case_id] = cached
            except (OSError, ValueError):
                unreadable.append(case_id)
        self._cache = found
        records = [record for _, record in found.values()]
        return sorted(records, key=lambda r: (r.role.entry, r.case_id)), unreadable

    def cases(self) -> list[CaseRecord]:
        """All records.

        Raises
        ------
        InputError
            When one cannot be read, naming the case.
        """
        records, unreadable = self.read_all()
        if unreadable:
            raise InputError(
                "Expected readable records in the dataset's cases folder",
                f"found the record of {', '.join(unreadable)} damaged or from a newer version",
                "Restore it from a backup, update napari-breastseg, or move it away",
            )
        return records

    def case(self, case_id: str) -> CaseRecord:
        """Record of one case.

        Raises
        ------
        InputError
            When the dataset has no such case or its record cannot be read.
        """
        record = next((r for r in self.cases() if r.case_id == case_id), None)
        if record is None:
            raise InputError(
                f"Expected a case of dataset {self.name}",
                f"found none called {case_id}",
                "Choose one of those that `dataset status` lists, or add it first",
            )
        return record

    def changed_s(self, case_id: str) -> float:
        """When a case's record changed last, as it was when the records were read; 0 if unknown."""
        cached = self._cache.get(case_id)
        return 0.0 if cached is None else cached[0][0] / 1e9

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
        write_text(self.layout.record(record.case_id), record.model_dump_json(indent=2) + "\n")
        for kind in staged:
            self._place(kind, record.case_id)
        return record

    def rebuild(self) -> list[Path]:
        """Write the derived files that differ from what the records say; their paths."""
        with self.locks.folder():
            stale = self.stale()
            for path, text in stale.items():
                write_text(path, text)
            return list(stale)

    def stale(self) -> dict[Path, str]:
        """Path and right content of the derived files that are missing or differ."""
        texts = derived_texts(self.layout.folder, self.name, self.channels, self.cases())
        return {path: text for path, text in texts.items() if _read_text(path) != text}

    def archive(self, record: CaseRecord) -> tuple[AcceptedMask, ...]:
        """Copy the accepted mask of a case into its history; the history to commit."""
        if record.accepted is None:
            return record.history
        source = self.layout.label(record.case_id)
        if not source.exists():
            return (*record.history, record.accepted)
        folder = self.layout.history(record.case_id)
        # Microseconds, so that no two masks of a case meet; should they, `link` refuses.
        name = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ") + FILE_ENDING
        with storage_errors(folder / name):
            folder.mkdir(parents=True, exist_ok=True)
            try:
                os.link(source, folder / name)
            except FileExistsError:
                raise
            except OSError:  # a file system without hard links
                with atomic_path(folder / name) as temporary:
                    shutil.copyfile(source, temporary)
            fsync(folder)  # before the mask is replaced, or a power cut could take both
            fsync(folder.parent)
        return (*record.history, record.accepted.model_copy(update={"history_file": name}))

    def heal(self) -> None:
        """Finish or undo what a crash cut off; does nothing where the folder is read-only."""
        with suppress(StorageError, OSError):
            records, unreadable = self.read_all()
            for record in records:
                if self._is_cut_off(record):
                    # Refused where somebody is at work on the case: then it is not cut off.
                    with suppress(InputError), self.writing(record.case_id, "repair"):
                        self._heal_case(self.case(record.case_id))
            if not unreadable and self.stale():
                self.rebuild()

    def _is_cut_off(self, record: CaseRecord) -> bool:
        return (record.accepted is None and self.layout.label(record.case_id).exists()) or any(
            self.layout.pending(kind, record.case_id).exists() for kind in PENDING_KINDS
        )

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

    def _parse(self, case_id: str, path: Path) -> CaseRecord:
        record = CaseRecord.model_validate_json(path.read_bytes())
        if record.case_id != case_id:
            raise ValueError("the record names another case")
        return record


def _read_text(path: Path) -> str | None:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return None
