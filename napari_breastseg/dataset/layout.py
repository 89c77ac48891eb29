"""Where the files of a dataset folder lie, and the SHA-256 that pins them.

Knows names and reads bytes; decides nothing. Imports of this package only `errors`, `reading`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import InputError
from ..core.reading import is_regular, open_regular

__all__ = ["FILE_ENDING", "PENDING_KINDS", "Layout", "sha256"]

FILE_ENDING = ".nii.gz"
PENDING_KINDS = ("labelsTr", "drafts")

_MOST_ENTRIES, _MOST_BYTES = 20_000, 50_000_000_000


@dataclass(frozen=True)
class Layout:
    """Paths of a dataset folder."""

    folder: Path

    @property
    def dataset_json(self) -> Path:
        """nnU-Net's description of the dataset."""
        return self.folder / "dataset.json"

    @property
    def splits_json(self) -> Path:
        """nnU-Net's folds."""
        return self.folder / "splits_final.json"

    @property
    def datalist_json(self) -> Path:
        """MONAI's decathlon list."""
        return self.folder / "datalist.json"

    @property
    def cases(self) -> Path:
        """Folder of the records."""
        return self.folder / "cases"

    @property
    def locks(self) -> Path:
        """Folder of the lock files."""
        return self.folder / "locks"

    @property
    def index(self) -> Path:
        """What was read from the records last; see `index_file`."""
        return self.folder / ".index.json"

    def record(self, case_id: str) -> Path:
        """The commit point of a case."""
        return self.cases / f"{case_id}.json"

    def image(self, case_id: str, channel: int) -> Path:
        """Image file of one channel."""
        return self.folder / "imagesTr" / f"{case_id}_{channel:04d}{FILE_ENDING}"

    def label(self, case_id: str) -> Path:
        """The accepted mask."""
        return self.folder / "labelsTr" / f"{case_id}{FILE_ENDING}"

    def draft(self, case_id: str) -> Path:
        """The model's untouched prediction."""
        return self.folder / "drafts" / f"{case_id}{FILE_ENDING}"

    def autosave(self, case_id: str) -> Path:
        """Work in progress."""
        return self.folder / "autosave" / f"{case_id}{FILE_ENDING}"

    def history(self, case_id: str) -> Path:
        """Folder of the earlier accepted masks."""
        return self.folder / "history" / case_id

    def reads(self, case_id: str) -> Path:
        """Folder of the outlines that several readers made of a case."""
        return self.folder / "reads" / case_id

    def pending(self, kind: str, case_id: str) -> Path:
        """A file written for `kind` ("labelsTr" or "drafts") before its record is committed."""
        return self.folder / "autosave" / "pending" / kind / f"{case_id}{FILE_ENDING}"

    def committed(self, kind: str, case_id: str) -> Path:
        """Where a pending file of `kind` goes once its record is committed."""
        return self.label(case_id) if kind == "labelsTr" else self.draft(case_id)


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, or of all files in a folder in the order of their names.

    Raises
    ------
    InputError
        If the folder holds more than a case does, or the path leads to a pipe or a device.
    """
    digest = hashlib.sha256()
    files = sorted(_files_of_case(path)) if path.is_dir() else [path]
    for file in files:
        with open_regular(file) as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def _files_of_case(folder: Path) -> Iterator[Path]:
    """Regular files in a folder, at any depth."""
    n_entries = n_bytes = 0
    for parent, folders, files in os.walk(folder):
        n_entries += len(folders) + len(files)
        for path in (Path(parent, name) for name in files):
            if is_regular(path):
                n_bytes += path.stat().st_size
                yield path
        if n_entries > _MOST_ENTRIES or n_bytes > _MOST_BYTES:
            raise InputError(
                "Expected a folder with the files of one case",
                f"found more than {_MOST_ENTRIES:,} files or {_MOST_BYTES / 1e9:g} GB in it",
                "Give the folder of one exam's images",
            )
