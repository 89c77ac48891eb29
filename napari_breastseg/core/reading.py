"""What may be opened, and how much of it: regular files, within one budget for all formats.

A pipe or a device never ends, and a few megabytes may unpack to gigabytes. Imports `errors` only.
"""

from __future__ import annotations

import io
import json
import os
import stat
import time
from pathlib import Path
from typing import Any, BinaryIO

from .errors import InputError

__all__ = [
    "MOST_PIXELS",
    "MOST_VOXELS",
    "READ_GB",
    "READ_SECONDS",
    "Deadline",
    "is_regular",
    "most_bytes",
    "most_unpacked",
    "open_regular",
    "read_bounded",
    "read_json",
    "require_room",
]

READ_GB, READ_SECONDS = "BREASTSEG_READ_GB", "BREASTSEG_READ_SECONDS"
"""Environment variables that raise the budget of one file: gigabytes unpacked, and seconds."""

_USUAL_GB, _USUAL_SECONDS = 4.0, 300.0

MOST_PIXELS = 1 << 26
"""A page with more pixels than this cannot be an MRI slice."""

MOST_VOXELS = 1 << 29
"""A phase with more voxels than this cannot be an MRI exam."""

_LARGE_READ = 1 << 20

_SHRINKS, _SMALL = 200, 1 << 28
"""No image shrinks to a smaller part than this, except an empty mask; up to 256 MB none matters."""


def most_bytes() -> int:
    """Bytes that a file may unpack to, as `READ_GB` says."""
    return int(_setting(READ_GB, _USUAL_GB) * 1e9)


def most_unpacked(packed: int) -> int:
    """Bytes that so many packed bytes may unpack to."""
    return min(most_bytes(), max(_SMALL, _SHRINKS * packed))


def require_room(n_bytes: int, what: str) -> None:
    """Raise InputError where something needs more bytes than a file may unpack to."""
    if n_bytes > most_bytes():
        raise _too_much(what, f"{n_bytes / 1e9:.3g} GB in it")


class Deadline:
    """The seconds that reading one file may take, from now on."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._seconds = _setting(READ_SECONDS, _USUAL_SECONDS)
        self._end = time.monotonic() + self._seconds

    def check(self) -> None:
        """Raise InputError once they are over."""
        if time.monotonic() > self._end:
            raise InputError(
                f"Expected {self._what} to be read within {self._seconds:g} seconds",
                "found that it takes longer",
                f"Copy it to this computer first, or set {READ_SECONDS} to a larger number",
            )


def is_regular(path: Path) -> bool:
    """Whether a path leads to a file with content: no folder, pipe, socket or device."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False


def open_regular(path: Path) -> BinaryIO:
    """A file opened for reading; what is no regular one is never waited for.

    Raises
    ------
    InputError
        If it is a folder, pipe, socket or device.
    OSError
        If it cannot be opened.
    """
    # Without O_NONBLOCK opening a pipe waits until somebody writes into it.
    descriptor = os.open(
        path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    )
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InputError(
            "Expected a file",
            "found a folder, a pipe or a device in its place",
            "Give a file that holds an image or a table",
        )
    return _Bounded(io.FileIO(descriptor, "rb"))


class _Bounded(io.BufferedReader):
    """A file that sets no more memory aside than it has bytes left, whatever is asked for."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Bytes from here on, at most `size`."""
        if size is not None and size > _LARGE_READ:
            size = min(size, max(0, os.fstat(self.fileno()).st_size - self.tell()))
        return super().read(size)


def read_bounded(path: Path, most: int) -> bytes:
    """Content of a regular file of at most so many bytes.

    Raises
    ------
    InputError
        If it is larger, or no regular file.
    OSError
        If it cannot be read.
    """
    with open_regular(path) as file:
        # Told a number, `read` would set that much memory aside first.
        content = file.read() if os.fstat(file.fileno()).st_size <= most else None
    if content is None:
        raise InputError(
            f"Expected at most {most:,} bytes in {path.name}", "found more", "Check what it is"
        )
    return content


def read_json(path: Path, most: int = 1 << 28) -> Any:
    """Value in a JSON file of at most so many bytes.

    Raises
    ------
    ValueError
        If it is no JSON, nested without end, or, as InputError, too large or no regular file.
    OSError
        If it cannot be read.
    """
    try:
        return json.loads(read_bounded(path, most))
    except RecursionError as error:
        raise ValueError("it is nested without end") from error


def _too_much(what: str, found: str) -> InputError:
    return InputError(
        f"Expected at most {most_bytes() / 1e9:g} GB of image in {what}",
        f"found {found}",
        f"Split it, or set {READ_GB} to a larger number if it really is that large",
    )


def _setting(name: str, usual: float) -> float:
    text = os.environ.get(name, "")
    if not text:
        return usual
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < 1e6:
        raise InputError(
            f"Expected a number above 0 in the environment variable {name}",
            "found another value",
            f"Set it to {usual:g}, or take it away",
        )
    return number
