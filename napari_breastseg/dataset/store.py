"""The records of a dataset folder on disk: read with a cache, written as commits, healed.

A commit is: files staged under `autosave/pending`, the record replaced, the staged files moved to
their places. Whatever is cut off between two steps, `heal` finishes or undoes.
Imports `errors`, `atomic`, and of this package `derived`, `layout`, `locking`, `records`,
`unreadable`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import time
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
from .unreadable import Unreadable, unreadable

__all__ = ["Store", "after_commit"]

_LEFTOVER_S = 86_400.0

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
        self._cache: dict[str, tuple[_Stamp, CaseRecord]] = {}
        self._digests: dict[str, tuple[_Stamp, str]] = {}
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
        found: dict[str, tuple[_Stamp, CaseRecord]] = {}
        left_out: list[Unreadable] = []
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
                stamp = _stamp(Path(entry.path))
                cached = self._cache.get(case_id)
                if cached is None or cached[0] != stamp:
                    cached = (stamp, _parse(case_id, Path(entry.path)))
                found[case_id] = cached
            except FileNotFoundError:
                continue  # moved away meanwhile
            except (OSError, ValueError):
                left_out.append(unreadable(case_id, _read_bytes(Path(entry.path))))
        self._cache = found
        records = [record for _, record in found.values()]
        return sorted(records, key=lambda r: (r.role.entry, r.case_id)), left_out

    def cases(self) -> list[CaseRecord]:
        """All records that can be read; see `left_out`."""
        return self.read_all()[0]

    def left_out(self) -> list[Unreadable]:
        """The cases whose record cannot be read."""
        return self.read_all()[1]

    def case(self, case_id: str) -> CaseRecord:
        """Record of one case.

        Raises
        ------
        InputError
            When the dataset has no such case or its record cannot be read.
        """
        records, left_out = self.read_all()
        record = next((r for r in records if r.case_id == case_id), None)
        if record is None:
            if (one := next((u for u in left_out if u.case_id == case_id), None)) is not None:
                raise InputError(
                    f"Expected a record of case {case_id} that can be read",
                    f"found it {one.reason}",
                    "Restore it from a backup, or update napari-breastseg; other cases are not "
                    "affected",
                )
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

    def is_mask_changed(self, record: CaseRecord) -> bool:
        """Whether the file of an accepted mask is not what was accepted: another program wrote it.

        A file that is not there is not changed, nor one that a commit is about to replace.
        """
        path = self.layout.label(record.case_id)
        is_waiting = self.layout.pending("labelsTr", record.case_id).exists()
        if record.accepted is None or is_waiting:
            return False
        try:
            stamp = _stamp(path)
            known = self._digests.get(record.case_id)
            if known is None or known[0] != stamp:
                known = self._digests[record.case_id] = (stamp, sha256(path))
        except OSError:
            return False
        return known[1] != record.accepted.sha256

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
        with after_commit(record.case_id):
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
        texts = derived_texts(
            self.layout.folder, self.name, self.channels, self.cases(), self.given_id
        )
        return {path: text for path, text in texts.items() if _read_text(path) != text}

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
        return (*record.history, accepted.model_copy(update={"history_file": name}))

    def heal(self) -> None:
        """Finish or undo what a crash cut off; does nothing where the folder is read-only."""
        with suppress(StorageError, OSError):
            _sweep(self.layout)
            records, left_out = self.read_all()
            for record in records:
                if self._is_cut_off(record):
                    # Refused where somebody is at work on the case: then it is not cut off.
                    with suppress(InputError), self.writing(record.case_id, "repair"):
                        self._heal_case(self.case(record.case_id))
            if not left_out and self.stale():
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


@contextmanager
def after_commit(case_id: str) -> Iterator[None]:
    """Say of an error that the change to a case is kept all the same; opening finishes it."""
    try:
        yield
    except (InputError, OSError) as error:
        reason = getattr(error, "strerror", None) or getattr(error, "found", "")
        raise StorageError(
            f"Expected to finish what follows from the new record of case {case_id}",
            f"found that the record is kept, and then: {str(reason).removeprefix('found ')}",
            "Do not repeat it: free disk space, then open the dataset again, which finishes it",
        ) from error


def _sweep(layout: Layout) -> None:
    """Remove temporary files that killed programs left more than a day ago."""
    folders = [layout.folder, layout.cases]
    folders += [layout.folder / part for part in ("imagesTr", "labelsTr", "drafts")]
    for path in (one for folder in folders for one in folder.glob(".tmp-*")):
        with suppress(OSError):
            if path.is_file() and time.time() - path.stat().st_mtime > _LEFTOVER_S:
                path.unlink()


def _parse(case_id: str, path: Path) -> CaseRecord:
    record = CaseRecord.model_validate_json(path.read_bytes())
    if record.case_id != case_id:
        raise ValueError("the record names another case")
    return record


def _stamp(path: Path) -> _Stamp:
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def _read_bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _read_text(path: Path) -> str | None:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return None
