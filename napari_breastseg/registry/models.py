"""The models of one person or group: register, list, promote, roll back.

A registry is a folder of checkpoints with three files beside them:

- ``<name>/`` holds a copy of a checkpoint and ``registered.json``: who registered it and when; once
  it was judged, ``judgment.json``: the last judgment, and who asked for it and when;
- ``promoted`` is a pointer to the model used when none is named, replaced as one file, with the
  models promoted before it;
- ``log.jsonl`` gets a line for every change and loses none. A line cut off by a crash is skipped.

The folders and the pointer are the truth, the log tells how they came about. Writers take turns
through a lock; readers need none. No torch: weights are copied and hashed, not loaded.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ..core.atomic import fsync, storage_errors, write_json
from ..core.errors import InputError, StorageError
from ..core.home import home_folder
from ..model import checkpoint
from ..model.checkpoint import MODEL_FILE, STARTER, WEIGHTS_FILE, is_checkpoint, read_info
from .gate import Judgment
from .log import append, event_of, figures_of, read_log

__all__ = ["Registry", "RegistryEntry", "home_folder"]

RECORD_FILE = "registered.json"
JUDGMENT_FILE = "judgment.json"
LOG_FILE = "log.jsonl"
POINTER_FILE = "promoted"

_LOCK_FILE = ".lock"
_LOCK_TIMEOUT_S = 60.0
_TEMPORARY = ".tmp-"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}[A-Za-z0-9]|[A-Za-z0-9]")
_RESERVED = {LOG_FILE, POINTER_FILE, "scratch", "starter", "con", "prn", "aux", "nul"} | {
    f"{port}{number}" for port in ("com", "lpt") for number in range(1, 10)
}


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


class Registry:
    """The checkpoints under ``<home>/models``.

    Parameters
    ----------
    home : Path, optional
        Where settings and models live; `home_folder` when not given. Nothing is made there
        before the first write.
    """

    def __init__(self, home: Path | None = None) -> None:
        self.folder = (home_folder() if home is None else Path(home)) / "models"

    def __repr__(self) -> str:
        return f"Registry({str(self.folder.parent)!r})"

    def register(
        self, folder: Path, name: str | None = None, *, by: str | None = None
    ) -> RegistryEntry:
        """Copy a checkpoint into the registry and give its entry.

        Parameters
        ----------
        folder : Path
            The checkpoint; what `checkpoint.copy` copies, nothing else.
        name : str, optional
            What to call it: letters, digits, dot, dash and underscore, 64 at most. The
            folder's name when not given.
        by : str, optional
            Who does it; the name of the account when not given.

        Raises
        ------
        InputError
            If the folder is no whole checkpoint, or the name is taken or not allowed.
        StorageError
            If the registry cannot be written; nothing is left behind.
        """
        folder = Path(folder)
        name = folder.resolve().name if name is None else name
        _require_name(name)
        info = read_info(folder)
        with self._writing():
            self._require_new(name)
            final = self.folder / name
            with storage_errors(final):
                temporary = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=self.folder))
                try:
                    digest = checkpoint.copy(folder, temporary)
                    event = event_of(
                        "register", name, by, weights_sha256=digest, metrics=_finite(info.metrics)
                    )
                    write_json(temporary / RECORD_FILE, event)
                    _give_default_mode(temporary)
                    fsync(temporary)
                    os.rename(temporary, final)
                    fsync(self.folder)
                except BaseException:
                    shutil.rmtree(temporary, ignore_errors=True)
                    raise
            self._log(event)
        return self._entry(name, is_promoted=False)

    def require_free(self, name: str) -> None:
        """Raise InputError unless a model may be registered under this name."""
        _require_name(name)
        self._require_new(name)

    def list(self) -> tuple[RegistryEntry, ...]:
        """All registered models, oldest first; one that is damaged says so in `problem`."""
        promoted = self._pointer().get("name")
        entries = (self._entry(name, is_promoted=name == promoted) for name in self._names())
        return tuple(sorted(entries, key=lambda entry: (entry.created, entry.name)))

    def resolve(self, name_or_folder: str | Path) -> Path:
        """Checkpoint folder of a registered name, or of a folder given as such.

        A registered name goes first; write ``./name`` for a folder of the same name.

        Raises
        ------
        InputError
            If it is neither, naming the models there are.
        """
        text = str(name_or_folder)
        if isinstance(name_or_folder, str) and text in self._names():
            return self.folder / text
        folder = Path(text).expanduser()
        if is_checkpoint(folder):
            return folder
        if text in self._names():
            return self.folder / text
        raise InputError(
            "Expected the name of a registered model or a checkpoint folder "
            f"with {WEIGHTS_FILE} and {MODEL_FILE}",
            f"found '{text}'; registered: {', '.join(self._names()) or 'none'}",
            "Choose one of these names, give the folder that train wrote, or register it with "
            "'models import'",
        )

    def chosen(self, model: str | Path | None) -> Path:
        """Checkpoint folder of what a user names: a model, "starter", or nothing.

        Parameters
        ----------
        model : str, Path or None
            As for `resolve`; None is the default model, and the starter where none was promoted.

        Raises
        ------
        InputError
            As `resolve` does.
        """
        if model is None:
            return self.promoted() or STARTER
        return STARTER if model == "starter" else self.resolve(model)

    def promote(
        self,
        name: str,
        *,
        judgment: Judgment | None = None,
        force: bool = False,
        by: str | None = None,
    ) -> RegistryEntry:
        """Make a registered model the one that is used when none is named, if it may be.

        Parameters
        ----------
        name : str
            A registered model.
        judgment : Judgment, optional
            Of this model against the one in use; kept beside the model and in the log, whatever
            it says.
        force : bool
            Promote by hand, on the word of whoever does it, whatever the judgment says.
        by : str, optional
            Who does it; the name of the account when not given.

        Returns
        -------
        RegistryEntry
            Not promoted when the judgment does not let it pass.

        Raises
        ------
        InputError
            If there is no such model, it was not judged and `force` is False, or the judgment is
            of other models.
        StorageError
            If the registry cannot be written.
        """
        self._require_known(name)
        if judgment is None and not force:
            raise InputError(
                "Expected a model judged better on locked test patients",
                f"found {name}, which was not judged on them",
                f"Judge it with 'napari-breastseg models promote {name} --dataset DATASET', or "
                "promote it by hand with --force",
            )
        with self._writing():
            self._require_known(name)
            entry = self._entry(name, is_promoted=True)
            if entry.problem:
                raise InputError(
                    f"Expected a complete model to promote '{name}'",
                    f"found it damaged: {entry.problem}",
                    "Import the checkpoint again under another name and promote that",
                )
            pointer = self._pointer()
            figures: dict[str, Any] = {"metrics": dict(entry.metrics)}
            if judgment is not None:
                self._require_of_these(judgment, name, pointer.get("name"))
                figures = figures_of(judgment)
                event = event_of("judge", name, by, weights_sha256=entry.weights_sha256, **figures)
                record = {"event": event, "judgment": judgment.model_dump(mode="json")}
                write_json(self.folder / name / JUDGMENT_FILE, record)
                self._log(event)
            passes = judgment is not None and judgment.passes
            if pointer.get("name") == name:
                return entry
            if not (passes or force):
                return replace(entry, is_promoted=False)
            earlier = pointer.get("earlier", [])
            if pointer.get("name") is not None:
                earlier = [*earlier, pointer["name"]]
            event = event_of(
                "promote",
                name,
                by,
                by_hand=not passes,
                weights_sha256=entry.weights_sha256,
                **figures,
            )
            self._point(name, earlier, event)
        return entry

    def judgment(self, name: str) -> Judgment | None:
        """The last judgment of a registered model; None when there is none to read."""
        record = _read_object(self.folder / name / JUDGMENT_FILE)
        try:
            return Judgment.model_validate(record["judgment"])
        except (KeyError, ValueError):
            return None

    def rollback(self, *, by: str | None = None) -> Path | None:
        """Go back to the model promoted before this one, and give its folder.

        Returns
        -------
        Path or None
            None when no earlier model is left: the starter is used again.

        Raises
        ------
        InputError
            If no model is promoted.
        StorageError
            If the registry cannot be written.
        """
        with self._writing():
            pointer = self._pointer()
            current = pointer.get("name")
            if current is None:
                raise InputError(
                    "Expected a promoted model to roll back from",
                    "found none: the starter is the default model",
                    "See 'models list', and 'models promote' to choose one",
                )
            known = self._names()
            earlier = [name for name in pointer.get("earlier", []) if name in known]
            name = earlier.pop() if earlier else None
            self._point(name, earlier, event_of("rollback", name, by, rolled_back_from=current))
        return None if name is None else self.folder / name

    def promoted(self) -> Path | None:
        """Folder of the promoted model; None when none is, and the starter is used.

        Raises
        ------
        InputError
            If the model it points to is gone: no other is taken in its place unasked.
        """
        name = self._pointer().get("name")
        if name is None:
            return None
        if name not in self._names():
            raise InputError(
                f"Expected the promoted model '{name}' in {self.folder}",
                "found it missing",
                "Put its folder back, or go back to the model before it with 'models rollback'",
            )
        return self.folder / str(name)

    def log(self) -> tuple[dict[str, Any], ...]:
        """Every change on record, oldest first; lines a crash left unreadable are skipped."""
        return read_log(self.folder / LOG_FILE)

    @contextmanager
    def _writing(self) -> Iterator[None]:
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
        logged = self.log()
        records = [_read_object(self.folder / name / RECORD_FILE) for name in self._names()]
        records += [
            _read_object(self.folder / name / JUDGMENT_FILE).get("event", {})
            for name in self._names()
        ]
        records.append(self._pointer().get("event", {}))
        for event in sorted(records, key=lambda event: str(event.get("time_utc", ""))):
            if event and event not in logged:
                self._log(event)

    def _log(self, event: Mapping[str, Any]) -> None:
        append(self.folder / LOG_FILE, event)

    def _pointer(self) -> dict[str, Any]:
        path = self.folder / POINTER_FILE
        try:
            pointer = json.loads(path.read_bytes())
            if isinstance(pointer, dict):
                return pointer
        except FileNotFoundError:
            return {}
        except ValueError:
            pass
        raise InputError(
            f"Expected the name of the promoted model in {path}",
            "found a file that could not be read",
            "Delete that file and promote a model again; log.jsonl says which it was",
        )

    def _point(self, name: str | None, earlier: Sequence[str], event: Mapping[str, Any]) -> None:
        pointer = {"name": name, "earlier": [*earlier], "event": event}
        write_json(self.folder / POINTER_FILE, pointer)
        self._log(event)

    def _names(self) -> tuple[str, ...]:
        if not self.folder.is_dir():
            return ()
        folders = (path for path in self.folder.iterdir() if path.is_dir())
        return tuple(sorted(path.name for path in folders if not path.name.startswith(".")))

    def _entry(self, name: str, *, is_promoted: bool) -> RegistryEntry:
        path = self.folder / name
        record = _read_object(path / RECORD_FILE)
        try:
            info = read_info(path)
        except InputError as error:
            return RegistryEntry(name, path, is_promoted, problem=str(error))
        return RegistryEntry(
            name=name,
            path=path,
            is_promoted=is_promoted,
            parent=info.parent,
            metrics=_finite(info.metrics),
            created=str(record.get("time_utc", "")),
            by=str(record.get("by", "")),
            weights_sha256=str(record.get("weights_sha256", info.weights_sha256)),
        )

    def _require_new(self, name: str) -> None:
        # Two names that differ in case are one folder on macOS and Windows.
        taken = {known.casefold() for known in self._names()}
        if name.casefold() in taken:
            raise InputError(
                "Expected a name that no registered model has",
                f"found '{name}', which is taken",
                "Choose another name; a registered model is never replaced",
            )

    def _require_known(self, name: str) -> None:
        if name not in self._names():
            raise InputError(
                "Expected the name of a registered model",
                f"found '{name}'; registered: {', '.join(self._names()) or 'none'}",
                "Choose one of these, or register it first with 'models import'",
            )

    def _require_of_these(self, judgment: Judgment, name: str, promoted: str | None) -> None:
        """Refuse a judgment made of other weights, or before another model was promoted."""
        used = STARTER if promoted is None else self.folder / promoted
        identities = tuple(read_info(folder).identity for folder in (self.folder / name, used))
        if identities != (judgment.candidate, judgment.reference):
            raise InputError(
                f"Expected a judgment of {identities[0]} against {identities[1]}, the default "
                "model",
                f"found one of {judgment.candidate} against {judgment.reference}",
                "Judge it again; nothing was promoted",
            )


def _finite(metrics: Mapping[str, float | None]) -> dict[str, float | None]:
    # JSON has no NaN.
    return {
        name: value if value is not None and math.isfinite(value) else None
        for name, value in metrics.items()
    }


def _require_name(name: str) -> None:
    stem = name.casefold().split(".")[0]
    if _NAME.fullmatch(name) and not {name.casefold(), stem} & _RESERVED:
        return
    raise InputError(
        "Expected a model name of 1 to 64 letters, digits, dots, dashes and "
        "underscores that begins and ends with a letter or digit and is not a "
        "reserved word",
        f"found '{name[:80]}'",
        "Choose a name such as 'site-a-2'",
    )


def _give_default_mode(folder: Path) -> None:
    # mkdtemp makes folders that only their owner opens; a group's registry needs the umask's.
    umask = os.umask(0)
    os.umask(umask)
    folder.chmod(0o777 & ~umask)


def _read_object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
