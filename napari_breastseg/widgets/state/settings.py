"""What the window remembers between starts: reader and last dataset folder. No Qt."""

from __future__ import annotations

import json
from contextlib import suppress

from ...core.atomic import write_json
from ...core.errors import StorageError
from ...core.home import home_folder

__all__ = ["recall", "remember"]

_FILE = "window.json"


def recall(key: str) -> str:
    """A remembered value; empty if there is none."""
    return _read().get(key, "")


def remember(key: str, value: str) -> None:
    """Remember a value; if the settings folder cannot be written, work goes on without it."""
    values = _read()
    if values.get(key) != value:
        with suppress(StorageError):
            write_json(home_folder() / _FILE, values | {key: value})


def _read() -> dict[str, str]:
    try:
        values = json.loads((home_folder() / _FILE).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(values, dict):
        return {}
    return {key: value for key, value in values.items() if isinstance(value, str)}
