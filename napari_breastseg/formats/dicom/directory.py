"""The files that a DICOMDIR lists: the table of contents of a disk. Loads pydicom late."""

from __future__ import annotations

from pathlib import Path

from .elements import quiet, read_dataset

__all__ = ["files_listed_in", "is_directory"]


def is_directory(path: Path) -> bool:
    """Whether a file is a DICOMDIR, by its name."""
    return path.name.upper() == "DICOMDIR"


def files_listed_in(path: Path) -> list[Path]:
    """Files that a DICOMDIR lists and that are there, below its folder; empty if it is damaged."""
    with quiet():
        try:
            records = read_dataset(path).DirectoryRecordSequence
            names = [record.get("ReferencedFileID") for record in records]
        # A damaged file may raise anything.
        except Exception:
            return []
    found: list[Path] = []
    for name in names:
        parts = [name] if isinstance(name, str) else [str(part) for part in name or ()]
        if not parts or any(part in ("", ".", "..") or "/" in part for part in parts):
            continue
        # Disks are read in capitals, copies of them sometimes in small letters.
        for spelled in (parts, [part.lower() for part in parts]):
            file = path.parent.joinpath(*spelled)
            if file.is_file():
                found.append(file)
                break
    return list(dict.fromkeys(found))
