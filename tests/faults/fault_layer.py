"""A file layer that fails at the k-th change on disk: for trying every write of an action.

`Layer(root)` counts the changes that code makes under a folder: files opened for writing, written,
flushed to the disk, renamed, linked, removed, folders made. `Layer(root, kind, at)` lets one of
them go wrong. The count is found by running the action, so a new write is covered by itself.
"""

from __future__ import annotations

import builtins
import datetime
import errno
import io
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

KINDS = ("kill", "full", "io", "io after", "lost", "clock back", "clock on")
"""A program killed in the midst of a write; a disk that stays full; one input-output error, before
or after the change took effect; a folder that may not be changed any more; a clock set wrong."""

KILLED = 9
_YEARS = {"clock back": -20, "clock on": 20}
_NEEDS_SPACE = ("open", "write", "mkdir", "link")
_NEEDS_PERMISSION = ("open", "replace", "rename", "link", "unlink", "mkdir", "rmdir")
_TO_WRITE = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Layer:
    """Counts what changes under a folder, and spoils it from number `at` on (0: the first)."""

    def __init__(self, root: Path, kind: str = "", at: int = -1) -> None:
        self._root = os.path.realpath(root)
        self._kind, self._at = kind, at
        self.done: list[str] = []
        """What was changed, such as "replace P1.json", in order."""
        self._kept: list[tuple[Any, str, Any]] = []

    def __enter__(self) -> Layer:
        for name in ("replace", "rename", "link"):
            self._patch(os, name, self._moving(name, getattr(os, name)))
        for name in ("unlink", "remove", "mkdir", "rmdir"):
            kind = "unlink" if name == "remove" else name
            self._patch(os, name, self._one(kind, getattr(os, name)))
        self._patch(os, "fsync", self._one("fsync", os.fsync))
        self._patch(os, "open", self._opening(os.open))
        if hasattr(os, "sendfile"):
            self._patch(os, "sendfile", self._one("write", os.sendfile))
        opened = self._files(io.open)
        self._patch(io, "open", opened)
        self._patch(builtins, "open", opened)
        return self

    def __exit__(self, *_: object) -> None:
        for owner, name, value in reversed(self._kept):
            setattr(owner, name, value)

    def _patch(self, owner: Any, name: str, value: Any) -> None:
        self._kept.append((owner, name, getattr(owner, name)))
        setattr(owner, name, value)

    def _is_inside(self, path: Any, folder: int | None = None) -> str:
        """The path below the root, empty where it is elsewhere."""
        if isinstance(path, int):
            path = os.readlink(f"/proc/self/fd/{path}")
        elif folder is not None:
            path = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), os.fspath(path))
        whole = os.path.abspath(os.fsdecode(path))
        return os.path.relpath(whole, self._root) if whole.startswith(self._root + os.sep) else ""

    def _change(self, name: str, path: str, do: Callable[[], Any], half: Any = None) -> Any:
        """Make a change, or fail as asked."""
        self.done.append(f"{name} {path}")
        number = len(self.done) - 1
        is_now, is_on = number == self._at, 0 <= self._at <= number
        match self._kind:
            case "kill" if is_now:
                if half is not None:
                    half()
                os._exit(KILLED)
            case "full" if is_on and name in _NEEDS_SPACE:
                if half is not None and is_now:
                    half()
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            case "io" if is_now:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            case "io after" if is_now:
                made = do()
                if name == "open":
                    os.close(made) if isinstance(made, int) else made.close()
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            case "lost" if is_on and name in _NEEDS_PERMISSION:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            case "clock back" | "clock on" if is_now:
                self._set_clock(_YEARS[self._kind])
        return do()

    def _one(self, name: str, real: Any) -> Any:
        def changed(path: Any, *args: Any, **kwargs: Any) -> Any:
            inside = self._is_inside(path, kwargs.get("dir_fd"))
            do = lambda: real(path, *args, **kwargs)  # noqa: E731
            return self._change(name, inside, do) if inside else do()

        return changed

    def _moving(self, name: str, real: Any) -> Any:
        def changed(source: Any, target: Any, *args: Any, **kwargs: Any) -> Any:
            inside = self._is_inside(target) or self._is_inside(source)
            do = lambda: real(source, target, *args, **kwargs)  # noqa: E731
            return self._change(name, inside, do) if inside else do()

        return changed

    def _opening(self, real: Any) -> Any:
        def opened(path: Any, flags: int, *args: Any, **kwargs: Any) -> Any:
            inside = flags & _TO_WRITE and self._is_inside(path, kwargs.get("dir_fd"))
            do = lambda: real(path, flags, *args, **kwargs)  # noqa: E731
            return self._change("open", inside, do) if inside else do()

        return opened

    def _files(self, real: Any) -> Any:
        def opened(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            is_written = any(letter in mode for letter in "wax+") and not isinstance(file, int)
            inside = self._is_inside(file) if is_written else ""
            if not inside:
                return real(file, mode, *args, **kwargs)
            do = lambda: real(file, mode, *args, **kwargs)  # noqa: E731
            return _Written(self._change("open", inside, do), self, inside)

        return opened

    def _set_clock(self, years: int) -> None:
        shift = years * 365.25 * 86_400
        now = time.time
        self._patch(time, "time", lambda: now() + shift)

        class Shifted(datetime.datetime):
            @classmethod
            def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:
                return datetime.datetime.now(tz) + datetime.timedelta(seconds=shift)

        for name, module in list(sys.modules.items()):
            is_ours = name.startswith("napari_breastseg")
            if is_ours and getattr(module, "datetime", None) is datetime.datetime:
                self._patch(module, "datetime", Shifted)


class _Written:
    """A file whose writes are counted."""

    def __init__(self, file: Any, layer: Layer, path: str) -> None:
        self._file, self._layer, self._path = file, layer, path

    def write(self, data: Any) -> Any:
        # Handed on at once: an error in a flush later would belong to another change.
        def do() -> Any:
            written = self._file.write(data)
            self._file.flush()
            return written

        def half() -> None:
            self._file.write(data[: len(data) // 2])
            self._file.flush()

        return self._layer._change("write", self._path, do, half)

    def __enter__(self) -> _Written:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __iter__(self) -> Any:
        return iter(self._file)
