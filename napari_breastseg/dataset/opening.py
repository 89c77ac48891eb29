"""Making and opening dataset folders, and telling ours from any other.

Imports `errors`, `atomic`, and of this package `derived`, `layout`, `records`, `store`.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field, ValidationError

from ..core.atomic import after_change, storage_errors, write_text
from ..core.errors import InputError, UnconfirmedError
from ..core.reading import read_json
from .derived import OWN_KEY, derived_texts
from .identifiers import require_word
from .layout import Layout
from .renaming import heal_renames
from .store import Store

__all__ = ["create_store", "open_or_create_store", "open_store"]


_MOST_BYTES = 1 << 28


class _Head(BaseModel):
    """What is taken from a dataset.json; everything else follows from the records."""

    name: str = Field(max_length=200)
    channels: dict[Annotated[int, Field(ge=0, lt=1000)], Annotated[str, Field(max_length=100)]]
    id: str = Field(max_length=100)


def create_store(folder: Path, channels: Sequence[str], name: str | None) -> Store:
    """Make a new, empty dataset folder; see `Dataset.create`."""
    folder = Path(folder)
    channels = tuple(channels)
    if len(set(channels)) != len(channels) or not all(
        c.replace("_", "a").isalnum() for c in channels
    ):
        raise InputError(
            "Expected channel roles such as pre, post1, post2, all different",
            f"found {', '.join(map(repr, channels))}",
            "Give each channel its own role",
        )
    if folder.exists() and (not folder.is_dir() or _holds_something(folder)):
        raise InputError(
            f"Expected a new or empty folder at {folder}",
            "found a dataset" if _is_own(folder) else _what_is_there(folder),
            "Open the dataset that is there, or choose another folder; nothing was changed",
        )
    name = require_word(folder.resolve().name if name is None else name, "a dataset name")
    store = Store(folder, name, channels, secrets.token_hex(8))
    # dataset.json comes first, so that a folder left half made is still known as ours.
    texts = derived_texts(folder, store.name, channels, [], store.id)
    made = f"the dataset folder {folder.name}", "Open it instead of making it again"
    with after_change(*made, UnconfirmedError):
        write_text(store.layout.dataset_json, texts.pop(store.layout.dataset_json))
    with after_change(*made):
        for path, text in texts.items():
            write_text(path, text)
        for part in ("imagesTr", "labelsTr", "cases"):
            with storage_errors(folder / part):
                (folder / part).mkdir(exist_ok=True)
    return store


def open_store(folder: Path) -> Store:
    """Open a dataset folder and heal it; see `Dataset.open`."""
    folder = Path(folder)
    head = _read_head(Layout(folder))
    if head is None:
        # dataset.json follows from the records, so it may be lost as long as they are there.
        records = Store(folder, folder.name, ()).summaries()
        if not records:
            raise InputError(
                f"Expected a dataset folder at {folder}",
                _what_is_there(folder),
                "Choose one that `dataset init` or `dataset import` made; nothing was changed",
            )
        head = (folder.resolve().name, records[0].channels, records[0].dataset_id)
    store = Store(folder, *head)
    with store.catalog.read_once():
        store.heal()
        cut_off = [one.case_id for one in store.summaries() if one.renamed_to is not None]
    heal_renames(store, cut_off)
    return store


def open_or_create_store(folder: Path) -> Store:
    """Open the dataset at `folder`, or make one where there is nothing yet."""
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or _holds_something(folder)):
        return open_store(folder)
    return create_store(folder, (), None)


def _read_head(layout: Layout) -> tuple[str, tuple[str, ...], str] | None:
    """Name, channels and id in dataset.json; None where it is missing or damaged."""
    try:
        value = read_json(layout.dataset_json, _MOST_BYTES)
    except (OSError, ValueError):
        return None
    if not isinstance(value, dict) or OWN_KEY not in value:
        raise InputError(
            f"Expected a dataset folder of napari-breastseg at {layout.folder}",
            "found a dataset.json made by other software",
            "Import its cases into a new folder with `dataset import`; nothing was changed",
        )
    own = value[OWN_KEY]
    try:
        head = _Head(
            name=value.get("name") or layout.folder.name,
            channels=value.get("channel_names") or {},
            id=own.get("id", "") if isinstance(own, dict) else "",
        )
    except ValidationError:
        return None
    return head.name, tuple(head.channels[key] for key in sorted(head.channels)), head.id


def _is_own(folder: Path) -> bool:
    try:
        return folder.is_dir() and _read_head(Layout(folder)) is not None
    except InputError:
        return False


def _holds_something(folder: Path) -> bool:
    # A crash in the first write leaves a temporary file and nothing else.
    return any(not path.name.startswith(".tmp-") for path in folder.iterdir())


def _what_is_there(folder: Path) -> str:
    if not folder.exists():
        return "found no such folder"
    if not folder.is_dir():
        return "found a file"
    return "found other files in it" if _holds_something(folder) else "found it empty"
