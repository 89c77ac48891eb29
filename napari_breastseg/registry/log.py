"""The registry's log: a JSON object a line for every change, written so that none is lost.

What is in a line: who did what to which model, when, on which data and with which figures.
"""

from __future__ import annotations

import getpass
import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..core.atomic import storage_errors
from .judgment import Judgment

__all__ = ["append", "event_of", "figures_of", "read_log"]


def read_log(path: Path) -> tuple[dict[str, Any], ...]:
    """Every change on record, oldest first; lines a crash left unreadable are skipped."""
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return ()
    events = []
    for line in lines:
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):  # torn, or empty after the last line's end
            continue
        if isinstance(event, dict):
            events.append(event)
    return tuple(events)


def append(path: Path, event: Mapping[str, Any]) -> None:
    """Add a line and bring it to the disk.

    Raises
    ------
    StorageError
        If it cannot be written.
    """
    line = json.dumps(event, allow_nan=False).encode() + b"\n"
    with storage_errors(path), path.open("a+b") as file:
        if file.seek(0, os.SEEK_END) > 0:
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":  # a torn line stays, alone
                line = b"\n" + line
        file.write(line)
        file.flush()
        os.fsync(file.fileno())


def event_of(action: str, name: str | None, by: str | None, **details: Any) -> dict[str, Any]:
    """A change, now; by the name of the account when nobody else is named."""
    time_utc = datetime.now(UTC).isoformat(timespec="microseconds")
    who = _account_name() if by is None else by
    return {"time_utc": time_utc, "by": who, "action": action, "name": name, **details}


def figures_of(judgment: Judgment) -> dict[str, Any]:
    """What the log tells of a judgment: the figures, not each patient's."""
    kept = ("verdict", "reference", "datasets", "data_sha256", "n_patients", "n_cases", "left_out")
    values = judgment.model_dump(mode="json")
    return {key: values[key] for key in kept} | {
        "figures": [
            {key: f[key] for key in ("measure", "candidate", "reference", "ci95", "is_kept")}
            for f in values["figures"]
        ]
    }


def _account_name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # no such account, as in some containers
        return "unknown"
