"""Masks kept on this computer: of exams that no dataset holds, and what a dataset refused.

One file for each exam in the home folder, named by the exam's fingerprint: it tells nothing of the
patient. No Qt, no napari.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from ... import formats
from ...core.atomic import storage_errors
from ...core.errors import InputError
from ...core.home import home_folder
from ...core.volume import Grid, LabelMap

__all__ = [
    "forget_unfinished",
    "has_unfinished",
    "keep_unfinished",
    "unfinished_map",
    "unfinished_path",
    "was_kept_here",
]

_KEPT_HERE: set[str] = set()
"""Fingerprints of the exams whose work this program kept since it started."""


def unfinished_path(mark: str) -> Path:
    """File in which the work on an exam of this fingerprint is kept."""
    return home_folder() / "unfinished" / f"{mark}.nii.gz"


def has_unfinished() -> bool:
    """Whether work on any exam is kept."""
    with suppress(OSError):
        return any(unfinished_path("").parent.glob("*.nii.gz"))
    return False


def keep_unfinished(mark: str, label_map: LabelMap) -> None:
    """Keep the work on an exam, in place of what was kept of it before.

    Raises
    ------
    StorageError
        If it cannot be written.
    """
    formats.write_label_map(unfinished_path(mark), label_map)
    _KEPT_HERE.add(mark)


def was_kept_here(mark: str) -> bool:
    """Whether what is kept on an exam is this program's own: its layer, if there, is newer."""
    return mark in _KEPT_HERE


def unfinished_map(mark: str, grid: Grid) -> LabelMap | None:
    """The work that is kept on an exam; None without any, or where it cannot be read."""
    path = unfinished_path(mark)
    with suppress(InputError):
        if path.exists():
            return formats.read_label_map(path, grid=grid, is_own=True)
    return None


def forget_unfinished(mark: str) -> None:
    """Keep no work on an exam any more: a dataset has it, or there is none."""
    path = unfinished_path(mark)
    with storage_errors(path):
        path.unlink(missing_ok=True)
    _KEPT_HERE.discard(mark)
