"""Image files of a folder in natural order, without masks and work in progress."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..core.errors import InputError
from ..core.reading import is_regular

__all__ = ["DATASET_JSON", "in_order", "listed", "natural_key", "walk"]

DATASET_JSON = "dataset.json"
# Where MAMA-MIA, nnU-Net and others keep masks beside images: never exams of their own.
_MASK_FOLDER = re.compile(
    r"(masks?|labels?(tr|ts|val)?|segmentations?|truth|ground[-_ ]?truth)", re.IGNORECASE
)
# Folders of a dataset that hold drafts, work in progress and earlier masks, never exams.
_WORK_FOLDERS = frozenset({"autosave", "drafts", "history", "locks", "reads"})


def natural_key(text: str) -> tuple[tuple[int, int | str], ...]:
    """Sort key that puts "slice 9" before "slice 10" and ignores letter case.

    Examples
    --------
    >>> sorted(["s10", "S9", "s1"], key=natural_key)
    ['s1', 'S9', 's10']
    """
    parts = re.findall(r"[0-9]+|[^0-9]+", text)
    return tuple(
        (0, int(part)) if part[0] in "0123456789" else (1, part.casefold()) for part in parts
    )


def in_order(files: Iterable[Path]) -> tuple[Path, ...]:
    """Files sorted by name, with numbers in names compared as numbers."""
    return tuple(sorted(files, key=lambda file: (natural_key(file.name), file.name)))


def listed(folder: Path) -> list[Path]:
    """Visible files directly in a folder.

    Raises
    ------
    InputError
        If the folder cannot be read.
    """
    try:
        return sorted(
            file for file in folder.iterdir() if not file.name.startswith(".") and file.is_file()
        )
    except OSError as error:
        raise InputError(
            f"Expected folder {folder.name} to be readable",
            f"found the system error '{error.strerror or error}'",
            "Check that you have permission to read it",
        ) from error


def walk(folder: Path) -> Iterator[Path]:
    """Visible files at any depth, except in folders of masks or work; each real folder once."""
    visited: set[str] = set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        if real in visited:
            folders.clear()
            continue
        visited.add(real)
        skipped = _WORK_FOLDERS if DATASET_JSON in files else frozenset()
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith((".", "__MACOSX"))
            and not _MASK_FOLDER.fullmatch(name)
            and name not in skipped
        )
        paths = (Path(parent, name) for name in sorted(files) if not name.startswith("."))
        # A pipe or a device among them would be waited for without end.
        yield from (path for path in paths if is_regular(path))
