"""The outlines that several readers made of a case, as files.

    reads/<case>/<reader>.nii.gz, <reader>.json   an outline and its record
    reads/<case>/work/<reader>.nii.gz             a second read in progress
    reads/<case>/earlier/                         outlines that their reader replaced

None of them is in nnU-Net's or MONAI's lists.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from ..core.atomic import atomic_path, storage_errors, write_text
from ..core.errors import InputError
from ..core.volume import LabelMap
from .derived import LABELS
from .layout import FILE_ENDING, sha256
from .masks import read_label_map, require_labels
from .records import CaseRecord, ReadKind, ReadRecord
from .store import Store

__all__ = ["ReadFiles", "file_name", "read_findings"]

_MODEL_FILE = "+model"
"""No reader's file is called so: `file_name` gives letters, digits, '_', '-' and dots only."""


class ReadFiles:
    """Outlines of one case and their records, one of each for each reader."""

    def __init__(self, store: Store, case_id: str) -> None:
        self._store = store
        self._case_id = case_id
        self.folder = store.layout.reads(case_id)

    def records(self) -> list[ReadRecord]:
        """Records of all reads: first, second ones, model.

        Raises
        ------
        InputError
            When one of them cannot be read.
        """
        found = []
        for path in sorted(self.folder.glob("*.json")):
            if path.name.startswith("."):
                continue
            try:
                found.append(ReadRecord.model_validate_json(path.read_bytes()))
            except (OSError, ValueError):
                raise InputError(
                    f"Expected readable records of the reads of case {self._case_id}",
                    "found one that is damaged or from a newer version",
                    "Restore it from a backup, update napari-breastseg, or move it away",
                ) from None
        return sorted(found, key=lambda r: (list(ReadKind).index(r.kind), r.reader))

    def changed_s(self) -> float:
        """When a read was kept last, in seconds since 1970; 0 without any."""
        with storage_errors(self.folder):
            return max((path.stat().st_mtime for path in self.folder.glob("*.json")), default=0.0)

    def path(self, read: ReadRecord) -> Path:
        """Where the outline of a read lies."""
        name = _MODEL_FILE if read.kind is ReadKind.MODEL else file_name(read.reader)
        return self.folder / f"{name}{FILE_ENDING}"

    def unfinished(self, reader: str) -> Path:
        """Where a second read in progress is kept."""
        return self.folder / "work" / f"{file_name(reader)}{FILE_ENDING}"

    def has_read(self, reader: str) -> bool:
        """Whether there is an outline of this reader."""
        return (self.folder / f"{file_name(reader)}.json").exists()

    def label_map(self, read: ReadRecord) -> LabelMap:
        """The outline of a read, with `ignore` where its reader did not look."""
        return read_label_map(self.path(read), self._store.case(self._case_id))

    def keep_copy(self, source: Path, read: ReadRecord) -> None:
        """Copy an outline from elsewhere in the dataset folder."""
        path = self.path(read)
        with atomic_path(path) as temporary:
            shutil.copyfile(source, temporary)
        _write_record(path, read)

    def keep(self, staged: Path, read: ReadRecord) -> None:
        """Move an outline in place; an earlier one of its reader goes aside, nothing is lost."""
        path = self.path(read)
        with storage_errors(path):
            if path.exists():
                aside = path.parent / "earlier"
                aside.mkdir(exist_ok=True)
                time = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
                for file in (path, _record_path(path)):
                    if file.exists():
                        file.rename(aside / f"{time}-{file.name}")
            staged.rename(path)
        _write_record(path, read)


def read_findings(store: Store, record: CaseRecord) -> Iterator[tuple[str, str]]:
    """What is wrong with a case's reads: short name and message."""
    files = ReadFiles(store, record.case_id)
    try:
        known = files.records()
    except InputError as error:
        yield "unreadable_read", str(error)
        return
    paths = {files.path(read): read for read in known}
    for path, read in paths.items():
        if not path.exists():
            yield "missing_file", f"a read is missing (reads/{record.case_id}/{path.name})"
        elif sha256(path) != read.sha256:
            yield "hash_mismatch", "a read is not the file that was recorded; somebody changed it"
        else:
            try:
                require_labels(files.label_map(read), LABELS.values(), record.case_id)
            except InputError as error:
                yield "bad_read", str(error)
    for path in sorted(files.folder.glob(f"*{FILE_ENDING}")):
        if path not in paths and not path.name.startswith(".tmp-"):
            yield "orphan_file", f"reads/{record.case_id}/{path.name} belongs to no record"


def file_name(reader: str) -> str:
    """A file name for a reader; letter case tells no two readers apart."""
    folded = reader.strip().casefold()
    plain = re.sub(r"[^a-z0-9_-]+", "_", folded)
    if plain == folded:
        return plain
    return f"{plain[:60]}.{hashlib.sha256(folded.encode()).hexdigest()[:8]}"


def _record_path(path: Path) -> Path:
    return path.with_name(path.name.removesuffix(FILE_ENDING) + ".json")


def _write_record(path: Path, read: ReadRecord) -> None:
    write_text(_record_path(path), read.model_dump_json(indent=2) + "\n")
