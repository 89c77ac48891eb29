"""Files that are either the old ones or the new ones, never half of each.

Every write of the package goes through `atomic_path`: a temporary file in the same folder,
fsync, rename. Imports `errors` only.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from .errors import InputError, StorageError, UnconfirmedError

__all__ = [
    "after_change",
    "atomic_path",
    "fsync",
    "link_or_copy",
    "move_in_place",
    "storage_errors",
    "temporary_folder",
    "write_bytes",
    "write_json",
    "write_text",
    "write_texts",
]


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn an `OSError` raised while writing `path` into a three-part `StorageError`."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise StorageError(
            f"Expected {path} to be writable",
            f"found the system error '{reason}'",
            "Free disk space or choose a folder you may write to, then save again; "
            "what was there before is unchanged",
        ) from error


@contextmanager
def after_change(
    what: str, fix: str, of: type[Exception] | tuple[type[Exception], ...] = (InputError, OSError)
) -> Iterator[None]:
    """Say of an error that a change, such as "the new record of case K1", is kept all the same.

    Around the write itself, `of` is `UnconfirmedError`: of others nothing is kept.
    """
    try:
        yield
    except of as error:
        reason = getattr(error, "strerror", None) or getattr(error, "found", "")
        raise StorageError(
            f"Expected to finish what follows from {what}",
            f"found that it is kept, and then: {str(reason).removeprefix('found ')}",
            fix,
        ) from error


@contextmanager
def atomic_path(path: Path, *, outlasts_power: bool = True) -> Iterator[Path]:
    """Path of a temporary file that replaces `path` when the block ends without error.

    Parameters
    ----------
    path : Path
        The file to make or replace. Its folder is made when missing.
    outlasts_power : bool
        Wait until the disk has it. Not needed for a note that means nothing once the machine
        is off.

    Yields
    ------
    Path
        A temporary file in the same folder with the same endings, so that writers that
        choose a format by the file's name choose the right one.

    Raises
    ------
    StorageError
        When the disk is full or the folder may not be written; `path` keeps its content.
    UnconfirmedError
        When the new content is in place, but the disk failed to confirm it.
    """
    path = Path(path)
    with storage_errors(path):
        temporary = _temporary(path)
        try:
            yield temporary
            if outlasts_power:
                fsync(temporary)
            move_in_place(temporary, path, outlasts_power=outlasts_power)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise


def _temporary(path: Path) -> Path:
    """A new, empty file beside `path`, with the same endings."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".tmp-{secrets.token_hex(8)}{''.join(path.suffixes[-2:])}"
    # Unlike mkstemp's, this mode leaves it to the umask who may read it: datasets are shared.
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666))
    return temporary


def move_in_place(temporary: Path, path: Path, *, outlasts_power: bool = True) -> None:
    """Rename a finished file, or a folder where there is none, and bring that to the disk.

    Raises
    ------
    OSError
        If it could not be renamed.
    UnconfirmedError
        If it is in place, but the disk failed to confirm it.
    """
    try:
        os.replace(temporary, path)
        if outlasts_power:
            fsync(path.parent)
    except OSError as error:
        if temporary.exists():
            raise
        # A renamed file is seen by everybody, whatever the disk says of it afterwards.
        raise UnconfirmedError(
            f"Expected the disk to confirm {path}",
            f"found the system error '{error.strerror or error}' once it was written",
            "Check that disk and its free space, then try again",
        ) from error


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` as UTF-8, atomically."""
    write_bytes(path, text.encode("utf-8"))


def write_texts(texts: Mapping[Path, str]) -> None:
    """Write files that can be made again, each atomically; wait for the disk once for all of them.

    A program that dies in between leaves some of them as they were, and so may a power cut soon
    after: what is in a file is on the disk, its name perhaps not yet.
    """
    if not texts:
        return
    made: dict[Path, Path] = {}
    try:
        for path, text in texts.items():
            with storage_errors(path):
                made[path] = _temporary(path)
                made[path].write_bytes(text.encode("utf-8"))
        # At the same time: a file system brings what it has to several files to the disk at once.
        with ThreadPoolExecutor(len(made)) as pool:
            for path, synced in [(path, pool.submit(fsync, made[path])) for path in made]:
                with storage_errors(path):
                    synced.result()
        for path, temporary in made.items():
            with storage_errors(path):
                os.replace(temporary, path)
    except BaseException:
        for temporary in made.values():
            with suppress(OSError):
                temporary.unlink()
        raise


def write_json(path: Path, value: Any, *, outlasts_power: bool = True) -> None:
    """Write `value` to `path` as indented JSON, atomically; NaN is refused."""
    with atomic_path(path, outlasts_power=outlasts_power) as temporary:
        temporary.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n", "utf-8")


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file a second name, or a copy of that name where the disk knows no hard links.

    Raises
    ------
    StorageError
        When it cannot be written; FileExistsError when there is a file of that name.
    """
    with storage_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, target)
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links
            with atomic_path(target) as temporary:
                shutil.copyfile(source, temporary)
        fsync(target.parent)


def temporary_folder(parent: Path, prefix: str) -> Path:
    """A new folder with a name nobody else has, to be filled and then renamed; the umask counts."""
    folder = parent / f"{prefix}{secrets.token_hex(8)}"
    folder.mkdir()
    return folder


def fsync(path: Path) -> None:
    """Wait until a file's content, or a folder's list of names, is on the disk."""
    if path.is_dir() and os.name == "nt":  # Windows cannot open a folder for fsync
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
