"""What the window remembers between starts: reader, last dataset, exams opened last. No Qt.

Where exams lie may name a patient: the file is its owner's alone, and holds nothing of a header.
"""

from __future__ import annotations

import json
from contextlib import suppress

from ...core.atomic import atomic_path
from ...core.errors import StorageError
from ...core.home import home_folder
from ...core.reading import read_json

__all__ = ["recall", "remember"]

_FILE = "window.json"


def recall(key: str) -> str:
    """A remembered value; empty if there is none."""
    return _read().get(key, "")


def remember(key: str, value: str) -> None:
    """Remember a value; if the settings folder cannot be written, work goes on without it."""
    values = _read()
    if values.get(key) != value:
        text = json.dumps(values | {key: value}, indent=2, ensure_ascii=False)
        with suppress(StorageError), atomic_path(home_folder() / _FILE) as temporary:
            temporary.chmod(0o600)
            temporary.write_text(text + "\n", "utf-8")


def _read() -> dict[str, str]:
    try:
        values = read_json(home_folder() / _FILE)
    except (OSError, ValueError):
        return {}
    if not isinstance(values, dict):
        return {}
    return {key: value for key, value in values.items() if isinstance(value, str)}
