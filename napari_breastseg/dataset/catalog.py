"""The records of a dataset folder as they are read: each when it has changed, no more.

Imports `errors` and of this package `index_file`, `layout`, `records`, `summaries`, `unreadable`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from operator import itemgetter
from pathlib import Path

from ..core.errors import InputError, StorageError
from .index_file import Known, Stamp, read_index, stamp_of, write_index
from .layout import FILE_ENDING, Layout, sha256
from .records import CaseRecord
from .summaries import CaseSummary, summary_of
from .unreadable import Unreadable, unreadable

__all__ = ["Catalog"]

_WORTH_KEEPING = 50
"""Files read anew from which on the index is written again: below, it costs more than it saves."""


class _Once(threading.local):
    """How far a thread is in `Catalog.read_once`; what one has looked at is old for another."""

    depth = 0
    is_done = False


class Catalog:
    """What the records of a dataset folder say, read again where a file has changed.

    Parameters
    ----------
    layout : Layout
        Of the folder.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._lock = threading.RLock()
        self._known: Known | None = None
        self._left_out: list[Unreadable] = []
        self._records: dict[str, tuple[Stamp, CaseRecord]] = {}
        self._n_new = 0
        self._is_read = False
        self._once = _Once()

    @contextmanager
    def read_once(self) -> Iterator[None]:
        """Look at the folder once in this block, when this thread first asks for it."""
        self._once.depth += 1
        if self._once.depth == 1:
            self._once.is_done = False
        try:
            yield
        finally:
            self._once.depth -= 1

    def summaries(self) -> list[CaseSummary]:
        """All cases in the order in which patients entered."""
        with self._lock:
            self._look()
            return self._sorted()

    def known(self) -> list[CaseSummary]:
        """`summaries` as they were when somebody looked last; for a window, which must not wait."""
        with self._lock:
            if not self._is_read:
                self._look()
            return self._sorted()

    @property
    def known_left_out(self) -> list[Unreadable]:
        """`left_out` as it was when somebody looked last."""
        return list(self._left_out)

    def known_changes(self) -> list[str]:
        """Cases whose mask was found to be another than the accepted one, when last looked at."""
        digests = self._files.digests
        return [
            one.case_id
            for one in self.known()
            if one.mask_sha256 is not None
            and digests.get(one.case_id, (None, one.mask_sha256))[1] != one.mask_sha256
        ]

    def left_out(self) -> list[Unreadable]:
        """The cases whose record cannot be read."""
        with self._lock:
            self._look()
            return list(self._left_out)

    def records(self) -> tuple[list[CaseRecord], list[Unreadable]]:
        """All records in the order in which patients entered, and the cases without one to read."""
        with self._lock:
            self._look(keeps_records=True)  # made for the summaries, and wanted right now
            found = [self.record(one.case_id) for one in self._sorted()]
        records = [one for one in found if isinstance(one, CaseRecord)]
        left_out = [one for one in found if isinstance(one, Unreadable)]
        return records, self._left_out + left_out

    def record(self, case_id: str) -> CaseRecord | Unreadable | None:
        """Record of one case as its file is now; None where there is none."""
        if not _is_name(case_id):
            return None
        path = self._layout.record(case_id)
        with self._lock:
            try:
                stamp = stamp_of(path)
                cached = self._records.get(case_id)
                if cached is None or cached[0] != stamp:
                    cached = stamp, _parse(case_id, path)
                    self._take(*cached)
            except (FileNotFoundError, NotADirectoryError):
                return None  # moved away meanwhile
            except (OSError, ValueError):
                self._files.summaries.pop(case_id, None)
                return unreadable(case_id, _read_bytes(path))
            return cached[1]

    def note_written(self, record: CaseRecord) -> None:
        """Take a record that was written just now."""
        with self._lock, suppress(OSError):
            self._take(stamp_of(self._layout.record(record.case_id)), record)

    def changed_s(self, case_id: str) -> float:
        """When a case's record changed last, as it was when it was read; 0 if unknown."""
        known = self._files.summaries.get(case_id)
        return 0.0 if known is None else known[0][0] / 1e9

    def mask_digest(self, case_id: str) -> str | None:
        """SHA-256 of the file of an accepted mask, read when it has changed; None without one."""
        path = os.path.join(self._layout.folder, "labelsTr", case_id + FILE_ENDING)
        digests = self._files.digests
        try:
            stamp = stamp_of(path)
            known = digests.get(case_id)
            if known is None or known[0] != stamp:
                known = digests[case_id] = stamp, sha256(Path(path))
                self._n_new += 1
        except OSError:
            return None
        return known[1]

    def note_mask(self, case_id: str, digest: str) -> None:
        """Take the SHA-256 of a mask's file that was written just now."""
        with suppress(OSError):
            self._files.digests[case_id] = stamp_of(self._layout.label(case_id)), digest

    def reading_again(self) -> Iterator[tuple[CaseRecord | Unreadable, bool]]:
        """Each record from its file, whatever is known; whether something else was known of it.

        None is kept in memory. The index goes: nothing that it said counts from here on.
        """
        with self._lock, suppress(OSError):
            self._files.digests.clear()
            self._layout.index.unlink(missing_ok=True)
        for case_id, _ in self._paths():
            with self._lock:
                before = self._files.summaries.pop(case_id, None)
                self._records.pop(case_id, None)
                record = self.record(case_id)
                self._records.pop(case_id, None)
                after = self._files.summaries.get(case_id)
                self._n_new += 1
            if record is not None:
                is_same_file = before is not None and after is not None and before[0] == after[0]
                yield record, is_same_file and before != after

    @property
    def n_files(self) -> int:
        """How many records there seem to be."""
        return sum(1 for _ in self._paths())

    def keep_index(self) -> None:
        """Write the index anew if enough was read without it; a folder may be read-only."""
        with self._lock, suppress(StorageError, OSError):
            if self._n_new >= max(_WORTH_KEEPING, len(self._files.summaries) // 20):
                self._n_new = 0
                write_index(self._layout.index, self._files)

    @property
    def _files(self) -> Known:
        if self._known is None:
            self._known = read_index(self._layout.index)
        return self._known

    def _sorted(self) -> list[CaseSummary]:
        found = [one for _, one in self._files.summaries.values()]
        return sorted(found, key=_place)

    def _take(self, stamp: Stamp, record: CaseRecord) -> None:
        self._records[record.case_id] = stamp, record
        self._files.summaries[record.case_id] = stamp, summary_of(record)

    def _look(self, keeps_records: bool = False) -> None:
        """Bring the summaries up to date with the files."""
        if self._once.depth and self._once.is_done:
            return
        before, found = self._files.summaries, {}
        left_out = []
        for case_id, path in self._paths():
            try:
                stamp = stamp_of(path)
                known = before.get(case_id)
                if known is None or known[0] != stamp:
                    record = _parse(case_id, path)
                    known = stamp, summary_of(record)
                    self._n_new += 1
                    if keeps_records:
                        self._records[case_id] = stamp, record
                found[case_id] = known
            except FileNotFoundError:
                continue  # moved away meanwhile
            except (OSError, ValueError):
                left_out.append(unreadable(case_id, _read_bytes(path)))
        self._known = Known(found, self._files.digests)
        self._left_out, self._is_read, self._once.is_done = left_out, True, True
        if not self._once.depth:
            self.keep_index()

    def _paths(self) -> Iterator[tuple[str, str]]:
        """Case and path of each record's file, in the order of the names."""
        try:
            entries = sorted((entry.name, entry.path) for entry in os.scandir(self._layout.cases))
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise InputError(
                f"Expected {self._layout.cases} to be readable",
                f"found the system error '{error.strerror}'",
                "Check that you may read the dataset folder",
            ) from error
        for name, path in entries:
            if name.endswith(".json") and not name.startswith("."):
                yield name.removesuffix(".json"), path


_place = itemgetter(CaseSummary._fields.index("entry"), CaseSummary._fields.index("case_id"))


def _is_name(case_id: str) -> bool:
    return bool(case_id) and not case_id.startswith(".") and Path(case_id).name == case_id


def _parse(case_id: str, path: str | Path) -> CaseRecord:
    with open(path, "rb") as stream:
        record = CaseRecord.model_validate_json(stream.read())
    if record.renamed_to == case_id:  # a rename that was not finished, but counts
        record = record.model_copy(update={"case_id": case_id})
    if record.case_id != case_id:
        raise ValueError("the record names another case")
    return record


def _read_bytes(path: str | Path) -> bytes | None:
    try:
        return Path(path).read_bytes()
    except OSError:
        return None
