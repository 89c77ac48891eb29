"""The registry's folder on disk: models, pointer, log, and the lock under which they change.

`models` says what the files mean.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, JsonValue

from ..core.atomic import (
    after_change,
    fsync,
    move_in_place,
    storage_errors,
    temporary_folder,
    write_json,
)
from ..core.errors import InputError, StorageError, UnconfirmedError
from ..core.reading import read_json
from ..model import checkpoint
from ..model.checkpoint import read_info
from .log import append, event_of, read_log

__all__ = [
    "JUDGMENT_FILE",
    "LOG_FILE",
    "POINTER_FILE",
    "RECORD_FILE",
    "RegistryEntry",
    "RegistryFolder",
    "finite",
    "read_object",
]

RECORD_FILE = "registered.json"
JUDGMENT_FILE = "judgment.json"
LOG_FILE = "log.jsonl"
POINTER_FILE = "promoted"

_LOGGED_LATER = "Do not repeat it: free disk space; the next change completes log.jsonl"

_LOCK_FILE = ".lock"
_LOCK_TIMEOUT_S = 60.0
_TEMPORARY = ".tmp-"


_MOST_BYTES = 1 << 26


class _Pointer(BaseModel):
    """Content of the pointer file."""

    name: str | None = Field(None, max_length=64)
    earlier: list[str] = []
    event: dict[str, JsonValue] = {}


@dataclass(frozen=True)
class RegistryEntry:
    """One registered model."""

    name: str
    path: Path
    is_promoted: bool
    parent: str | None = None
    """Name and weights hash of the model it was fine-tuned from."""
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    """Figures of the validation that chose it, as its model.json says."""
    created: str = ""
    """When it was registered: UTC, ISO 8601."""
    by: str = ""
    """Who registered it."""
    weights_sha256: str = ""
    problem: str = ""
    """Why it cannot be used; empty when it can."""

    def to_json(self) -> dict[str, Any]:
        """The entry as plain values that JSON can hold."""
        return asdict(self) | {"path": str(self.path), "metrics": dict(self.metrics)}


class RegistryFolder:
    """The files of a registry.

    Parameters
    ----------
    folder : Path
        Made by the first write.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the lock, with what a killed writer left cleared first."""
        from filelock import FileLock, Timeout

        with storage_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.folder / _LOCK_FILE, timeout=_LOCK_TIMEOUT_S)
            try:
                lock.acquire()
            except Timeout as error:
                raise StorageError(
                    f"Expected the model registry {self.folder} to be free",
                    f"found another program holding it for {_LOCK_TIMEOUT_S:.0f} s",
                    "Wait until it is done, or end it, then try again",
                ) from error
        try:
            self._mend()
            yield
        finally:
            lock.release()

    def _mend(self) -> None:
        """Clear what a killed writer left: half copies, and changes it had no time to log."""
        # Nobody else writes while this one holds the lock, so every temporary is a leftover.
        for leftover in self.folder.glob(f"{_TEMPORARY}*"):
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink(missing_ok=True)
        logged = read_log(self.folder / LOG_FILE)
        records = [read_object(self.folder / name / RECORD_FILE) for name in self.names()]
        records += [
            read_object(self.folder / name / JUDGMENT_FILE).get("event", {})
            for name in self.names()
        ]
        with suppress(InputError):  # a pointer nobody can read is told to whoever needs it
            records.append(self.pointer().get("event", {}))
        # One odd file beside a model must not keep others from being registered.
        events = [event for event in records if event and isinstance(event, dict)]
        for event in sorted(events, key=lambda event: str(event.get("time_utc", ""))):
            if event not in logged:
                with suppress(ValueError):  # NaN, which JSON does not have
                    self.add(event)

    def add(self, event: Mapping[str, Any]) -> None:
        """Add a change to the log."""
        append(self.folder / LOG_FILE, event)

    def pointer(self) -> dict[str, Any]:
        """What the pointer file says; empty where no model was ever promoted."""
        path = self.folder / POINTER_FILE
        try:
            pointer = read_json(path, _MOST_BYTES)
            return _Pointer.model_validate(pointer).model_dump()
        except FileNotFoundError:
            return {}
        except ValueError:
            pass
        raise InputError(
            f"Expected the name of the promoted model in {path}",
            "found a file that could not be read",
            "Delete that file and promote a model again; log.jsonl says which it was",
        )

    def point_to(self, name: str | None, earlier: Sequence[str], event: Mapping[str, Any]) -> None:
        """Make a model the promoted one, None the starter, and log it."""
        pointer = {"name": name, "earlier": [*earlier], "event": event}
        chosen = "the choice of the default model"
        with after_change(chosen, _LOGGED_LATER, UnconfirmedError):
            write_json(self.folder / POINTER_FILE, pointer)
        with after_change(chosen, _LOGGED_LATER):
            self.add(event)

    def names(self) -> tuple[str, ...]:
        """Names of all registered models, sorted."""
        if not self.folder.is_dir():
            return ()
        folders = (path for path in self.folder.iterdir() if path.is_dir())
        return tuple(sorted(path.name for path in folders if not path.name.startswith(".")))

    def entry(self, name: str, *, is_promoted: bool) -> RegistryEntry:
        """A model's entry; one that is damaged says so in `problem`."""
        path = self.folder / name
        record = read_object(path / RECORD_FILE)
        try:
            info = read_info(path)
        except InputError as error:
            return RegistryEntry(name, path, is_promoted, problem=str(error))
        return RegistryEntry(
            name=name,
            path=path,
            is_promoted=is_promoted,
            parent=info.parent,
            metrics=finite(info.metrics),
            created=str(record.get("time_utc", "")),
            by=str(record.get("by", "")),
            weights_sha256=str(record.get("weights_sha256", info.weights_sha256)),
        )

    def add_copy(
        self, source: Path, name: str, by: str | None, metrics: Mapping[str, float | None]
    ) -> None:
        """Copy a checkpoint under a name, whole or not at all, and log it."""
        final, registered = self.folder / name, f"the registration of {name}"
        with storage_errors(final):
            temporary = temporary_folder(self.folder, _TEMPORARY)
            try:
                digest = checkpoint.copy(source, temporary)
                event = event_of(
                    "register", name, by, weights_sha256=digest, metrics=finite(metrics)
                )
                write_json(temporary / RECORD_FILE, event)
                fsync(temporary)
                with after_change(registered, _LOGGED_LATER, UnconfirmedError):
                    move_in_place(temporary, final)
            except BaseException:
                shutil.rmtree(temporary, ignore_errors=True)
                raise
        with after_change(registered, _LOGGED_LATER):
            self.add(event)

    def require_new(self, name: str) -> None:
        """Raise InputError if a model has this name."""
        # Two names that differ in case are one folder on macOS and Windows.
        taken = {known.casefold() for known in self.names()}
        if name.casefold() in taken:
            raise InputError(
                "Expected a name that no registered model has",
                f"found '{name}', which is taken",
                "Choose another name; a registered model is never replaced",
            )

    def require_known(self, name: str) -> None:
        """Raise InputError unless a model has this name, naming those there are."""
        if name not in self.names():
            raise InputError(
                "Expected the name of a registered model",
                f"found '{name}'; registered: {', '.join(self.names()) or 'none'}",
                "Choose one of these, or register it first with 'models import'",
            )


def finite(metrics: Mapping[str, float | None]) -> dict[str, float | None]:
    """Metrics with None for what is not finite: JSON has no NaN."""
    return {
        name: value if value is not None and math.isfinite(value) else None
        for name, value in metrics.items()
    }


def read_object(path: Path) -> dict[str, Any]:
    """A JSON object; an empty one where the file is missing or holds none."""
    try:
        value = read_json(path, _MOST_BYTES)
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
