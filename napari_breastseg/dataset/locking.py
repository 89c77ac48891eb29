"""One person at a time on a case: file locks whose owner and time can be read.

The operating system frees a lock when its holder ends, however it ends; the note beside it
then tells who was there. Imports `errors`, `atomic`, `layout`.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, ValidationError

from ..core.atomic import storage_errors, write_json
from ..core.errors import InputError, StorageError
from ..core.reading import read_json
from .layout import Layout

__all__ = ["LockNote", "Locks"]

_NOTE = ".owner.json"
_FOLDER_WAIT_S = 30.0
_CASE_WAIT_S = 0.2  # rides out a `holder` that only looks


class LockNote(BaseModel):
    """Who holds a lock, or held it last, and since when."""

    model_config = ConfigDict(frozen=True)

    owner: str
    since: str
    """UTC, ISO 8601."""
    host: str
    pid: int


class Locks:
    """The locks of one dataset folder as held by one `Dataset`."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._held: dict[str, tuple[FileLock, int]] = {}  # with how many hold it
        self._books = threading.Lock()
        self._folder_lock: FileLock | None = None
        self._threads = threading.RLock()

    @contextmanager
    def case(self, case_id: str, owner: str) -> Iterator[None]:
        """Hold the lock of a case against other programs; holds by the same `Dataset` are one.

        It keeps no two threads of a `Dataset` apart: `Store.writing` does.

        Raises
        ------
        InputError
            When somebody else holds it, with owner and time.
        """
        self._enter(case_id, owner)
        try:
            yield
        finally:
            self._leave(case_id)

    def _require_there(self) -> None:
        """Raise if the folder is gone: a lock would make an empty one in its place."""
        if not self._layout.folder.is_dir():
            raise StorageError(
                f"Expected the dataset folder at {self._layout.folder}",
                "found that it is not there any more: it was moved, or its drive is not connected",
                "Connect the drive or move the folder back, then try again",
            )

    def _enter(self, case_id: str, owner: str) -> None:
        self._require_there()
        path = self._path(case_id)
        with self._books:
            if case_id in self._held:
                lock, count = self._held[case_id]
                self._held[case_id] = lock, count + 1
                return
            with storage_errors(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                # Not thread-local: a worker thread saves what the window's thread has locked.
                lock = FileLock(path, thread_local=False)
                try:
                    lock.acquire(timeout=_CASE_WAIT_S)
                except Timeout:
                    raise self._refusal(case_id) from None
            self._held[case_id] = lock, 1
        try:
            note = LockNote(
                owner=owner,
                since=datetime.now(UTC).isoformat(timespec="seconds"),
                host=socket.gethostname(),
                pid=os.getpid(),
            )
            # After a power cut nobody holds it: the note need not outlast one.
            write_json(self._note_path(case_id), note.model_dump(), outlasts_power=False)
        except BaseException:
            self._leave(case_id)
            raise

    def _leave(self, case_id: str) -> None:
        """The last one out frees the lock, in whatever order threads came and go."""
        with self._books:
            lock, count = self._held.pop(case_id)
            if count > 1:
                self._held[case_id] = lock, count - 1
                return
            with suppress(OSError):
                self._note_path(case_id).unlink()
            lock.release()

    @contextmanager
    def folder(self) -> Iterator[None]:
        """Hold the lock of the whole folder; it is held for moments, so others wait.

        Raises
        ------
        InputError
            When it is not free within half a minute.
        """
        self._require_there()
        path = self._layout.locks / "folder.lock"
        # The file lock is one for all threads of this `Dataset`; the other keeps them apart.
        with self._threads:
            with storage_errors(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                lock = self._folder_lock or FileLock(path, thread_local=False)
                self._folder_lock = lock
                try:
                    lock.acquire(timeout=_FOLDER_WAIT_S)
                except Timeout:
                    raise InputError(
                        "Expected the dataset folder to be free",
                        f"found another program writing to it for {_FOLDER_WAIT_S:.0f} seconds",
                        "Let the other program finish, then try again; nothing was changed",
                    ) from None
            try:
                yield
            finally:
                lock.release()

    def holders(self) -> dict[str, LockNote]:
        """Who holds which lock now, by its name, apart from this `Dataset`.

        Only locks with a note are looked at: who holds one writes it, who leaves removes it.
        """
        try:
            names = os.listdir(self._layout.locks / "cases")
        except OSError:
            return {}
        noted = (n.removesuffix(_NOTE) for n in names if n.endswith(_NOTE) and n[0] != ".")
        found = ((name, self.holder(name)) for name in sorted(noted))
        return {name: note for name, note in found if note is not None}

    def holder(self, case_id: str) -> LockNote | None:
        """Who holds the lock of a case now; None when it is free or held by this `Dataset`."""
        path = self._path(case_id)
        if case_id in self._held or not path.exists():
            return None
        probe = FileLock(path)
        try:
            probe.acquire(timeout=0)
        except (Timeout, OSError):
            return self.note(case_id) or LockNote(
                owner="somebody", since="an unknown time", host="", pid=0
            )
        probe.release()
        return None

    def require_free(self, case_id: str) -> None:
        """Raise InputError while somebody, this program too, holds the lock of a case."""
        if case_id in self._held or self.holder(case_id) is not None:
            raise self._refusal(case_id)

    def note(self, case_id: str) -> LockNote | None:
        """The note beside the lock: of its holder, or of one that ended without releasing it."""
        with suppress(OSError, ValueError, ValidationError):
            return LockNote.model_validate(read_json(self._note_path(case_id)))
        return None

    def _path(self, case_id: str) -> Path:
        return self._layout.locks / "cases" / f"{case_id}.lock"

    def _note_path(self, case_id: str) -> Path:
        return self._layout.locks / "cases" / f"{case_id}{_NOTE}"

    def _refusal(self, case_id: str) -> InputError:
        note = self.note(case_id)
        who = (
            f"found it open by {note.owner} on {note.host} since {note.since}"
            if note
            else "found it open elsewhere"
        )
        return InputError(
            f"Expected case {case_id} to be free",
            who,
            "Wait until it is closed there, or work on another case; nothing was changed",
        )
