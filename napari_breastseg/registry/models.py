"""The models of one person or group: register, list, promote, roll back.

A registry is a folder of checkpoints with three files beside them:

- ``<name>/`` holds a copy of a checkpoint and ``registered.json``: who registered it and when; once
  it was judged, ``judgment.json``: the last judgment, and who asked for it and when;
- ``promoted`` is a pointer to the model used when none is named, replaced as one file, with the
  models promoted before it;
- ``log.jsonl`` gets a line for every change and loses none. A line cut off by a crash is skipped.

The folders and the pointer are the truth, the log tells how they came about. Writers take turns
through a lock; readers need none. A model is tried on a tiny exam before it is registered.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..core.atomic import write_json
from ..core.errors import InputError
from ..core.home import home_folder
from ..model.checkpoint import (
    MODEL_FILE,
    STARTER,
    WEIGHTS_FILE,
    ModelInfo,
    is_checkpoint,
    read_info,
)
from ..predict.trial import require_working
from .folder import (
    JUDGMENT_FILE,
    LOG_FILE,
    POINTER_FILE,
    RegistryEntry,
    RegistryFolder,
    read_object,
)
from .judgment import Judgment
from .log import event_of, figures_of, read_log

__all__ = ["Registry", "RegistryEntry", "home_folder"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}[A-Za-z0-9]|[A-Za-z0-9]")
_RESERVED = {LOG_FILE, POINTER_FILE, "scratch", "starter", "con", "prn", "aux", "nul"} | {
    f"{port}{number}" for port in ("com", "lpt") for number in range(1, 10)
}


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
        self._files = RegistryFolder(self.folder)

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
            If it is no complete checkpoint, cannot segment, or the name is taken or not allowed.
        StorageError
            If the registry cannot be written; nothing is left behind.
        """
        folder = Path(folder)
        name = folder.resolve().name if name is None else name
        _require_name(name)
        info = read_info(folder)
        _require_unasked(info)
        self._files.require_new(name)
        require_working(folder)
        with self._files.writing():
            self._files.require_new(name)
            self._files.add_copy(folder, name, by, info.metrics)
        return self._files.entry(name, is_promoted=False)

    def require_free(self, name: str) -> None:
        """Raise InputError unless a model may be registered under this name."""
        _require_name(name)
        self._files.require_new(name)

    def list(self) -> tuple[RegistryEntry, ...]:
        """All registered models, oldest first; one that is damaged says so in `problem`."""
        promoted = self._files.pointer().get("name")
        entries = (
            self._files.entry(name, is_promoted=name == promoted) for name in self._files.names()
        )
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
        if isinstance(name_or_folder, str) and text in self._files.names():
            return self.folder / text
        folder = Path(text).expanduser()
        if is_checkpoint(folder):
            return folder
        if text in self._files.names():
            return self.folder / text
        raise InputError(
            "Expected the name of a registered model or a checkpoint folder "
            f"with {WEIGHTS_FILE} and {MODEL_FILE}",
            f"found '{text}'; registered: {', '.join(self._files.names()) or 'none'}",
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
        """Make a registered model the default model, if it passes.

        Parameters
        ----------
        name : str
            A registered model.
        judgment : Judgment, optional
            Of this model against the default model; kept with the model and in the log, whatever
            it says.
        force : bool
            Promote whatever the judgment says.
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
        self._files.require_known(name)
        if judgment is None and not force:
            raise InputError(
                "Expected a model judged better on locked test patients",
                f"found {name}, which was not judged on them",
                f"Judge it with 'napari-breastseg models promote {name} --dataset DATASET', or "
                "add --force to promote it without the check",
            )
        with self._files.writing():
            self._files.require_known(name)
            entry = self._files.entry(name, is_promoted=True)
            if entry.problem:
                raise InputError(
                    f"Expected a complete model to promote '{name}'",
                    f"found it damaged: {entry.problem}",
                    "Import the checkpoint again under another name and promote that",
                )
            pointer = self._files.pointer()
            figures: dict[str, Any] = {"metrics": dict(entry.metrics)}
            if judgment is not None:
                _require_of_these(self.folder, judgment, name, pointer.get("name"))
                figures = figures_of(judgment)
                event = event_of("judge", name, by, weights_sha256=entry.weights_sha256, **figures)
                record = {"event": event, "judgment": judgment.model_dump(mode="json")}
                write_json(self.folder / name / JUDGMENT_FILE, record)
                self._files.add(event)
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
            self._files.point_to(name, earlier, event)
        return entry

    def judgment(self, name: str) -> Judgment | None:
        """The last judgment of a registered model; None when there is none to read."""
        record = read_object(self.folder / name / JUDGMENT_FILE)
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
        with self._files.writing():
            pointer = self._files.pointer()
            current = pointer.get("name")
            if current is None:
                raise InputError(
                    "Expected a promoted model to roll back from",
                    "found none: the starter is the default model",
                    "See 'models list', and 'models promote' to choose one",
                )
            known = self._files.names()
            earlier = [name for name in pointer.get("earlier", []) if name in known]
            name = earlier.pop() if earlier else None
            self._files.point_to(
                name, earlier, event_of("rollback", name, by, rolled_back_from=current)
            )
        return None if name is None else self.folder / name

    def promoted(self) -> Path | None:
        """Folder of the promoted model; None when none is, and the starter is used.

        Raises
        ------
        InputError
            If the model it points to is missing: no other is used instead.
        """
        name = self._files.pointer().get("name")
        if name is None:
            return None
        if name not in self._files.names():
            raise InputError(
                f"Expected the promoted model '{name}' in {self.folder}",
                "found it missing",
                "Put its folder back, or go back to the model before it with 'models rollback'",
            )
        return self.folder / str(name)

    def log(self) -> tuple[dict[str, Any], ...]:
        """Every change on record, oldest first; lines a crash left unreadable are skipped."""
        return read_log(self.folder / LOG_FILE)


def _require_unasked(info: ModelInfo) -> None:
    if info.spec.prompts:
        raise InputError(
            "Expected a model that segments unasked",
            f"found {info.name}, which answers clicks",
            "Register another; the click network is not chosen by name",
        )


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


def _require_of_these(root: Path, judgment: Judgment, name: str, promoted: str | None) -> None:
    """Refuse a judgment made of other weights, or before another model was promoted."""
    used = STARTER if promoted is None else root / promoted
    identities = tuple(read_info(folder).identity for folder in (root / name, used))
    if identities != (judgment.candidate, judgment.reference):
        raise InputError(
            f"Expected a judgment of {identities[0]} against {identities[1]}, the default model",
            f"found one of {judgment.candidate} against {judgment.reference}",
            "Judge it again; nothing was promoted",
        )
