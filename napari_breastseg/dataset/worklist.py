"""The worklist: a row for each case, and the order and choice in which a reader takes them.

Rows in, rows out. Imports `locking`, `masks`, `reads`, `records`, `store`, `summaries` of this
package.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

from .layout import FILE_ENDING
from .locking import LockNote
from .masks import unfinished_path
from .reads import Reads
from .records import FlagReason, Status
from .store import Store
from .summaries import CaseSummary

__all__ = ["Order", "WorklistRow", "arranged", "worklist"]


class Order(StrEnum):
    """How a worklist is arranged."""

    ENTERED = "entered"
    """As patients entered the dataset."""
    UNCERTAIN = "uncertain"
    """The drafts of which the model expects least first; those it says nothing of last."""
    RANDOM = "random"
    """By chance; the same seed gives the same order, whatever is filtered or done."""


@dataclass(frozen=True)
class WorklistRow:
    """What a reader sees of a case before opening it."""

    case_id: str
    status: Status
    flag_reason: FlagReason | None
    model: str | None
    predicted_dice: float | None
    changed_s: float
    """When its record changed last, in seconds since 1970."""
    reader: str | None
    """Who accepted it last; None where nobody has, or where that must not be seen."""
    is_for_second_read: bool
    is_blinded: bool
    """Whether this reader is to outline it without seeing the first outline."""
    n_slices: int
    patient_id: str = ""
    held_by: str | None = None
    """Who else has it open now; None where nobody has, or where that must not be seen."""
    unfinished_s: float | None = None
    """When unfinished work on it was kept last, in seconds since 1970; None without any. Of a case
    to be read blind: this reader's own."""
    reads_changed_s: float = 0.0
    """When a reader's outline of a case that is read twice changed last, in seconds since 1970;
    0 where none may be seen."""


def worklist(store: Store, reader: str) -> list[WorklistRow]:
    """Rows of all cases, as `reader` may see them, in the order in which patients entered."""
    reads = Reads(store)
    kept, holders = _autosaves(store), store.locks.holders()
    return [
        _row_of(store, reads, one, reader, kept, holders.get(one.case_id))
        for one in store.summaries()
    ]


def _row_of(
    store: Store,
    reads: Reads,
    record: CaseSummary,
    reader: str,
    kept: Mapping[str, float],
    holder: LockNote | None,
) -> WorklistRow:
    """One case's row; `kept` says when autosaves were written, by file name."""
    is_blinded = reads.is_blinded(record, reader)
    unfinished_s = kept.get(record.case_id + FILE_ENDING)
    if is_blinded:
        unfinished_s = reads.unfinished_s(record, reader)
    elif unfinished_s is not None and unfinished_path(store, record) is None:
        unfinished_s = None  # older than the accepted mask
    return WorklistRow(
        case_id=record.case_id,
        status=record.status,
        flag_reason=record.flag_reason,
        model=None if is_blinded else record.model,
        predicted_dice=None if is_blinded else record.predicted_dice,
        changed_s=store.catalog.changed_s(record.case_id),
        reader=None if is_blinded else record.annotator,
        is_for_second_read=record.is_for_second_read,
        is_blinded=is_blinded,
        n_slices=record.n_slices,
        patient_id=record.patient_id,
        held_by=None if is_blinded or holder is None else holder.owner,
        unfinished_s=unfinished_s,
        reads_changed_s=0.0 if is_blinded else reads.changed_s(record),
    )


def _autosaves(store: Store) -> dict[str, float]:
    """When each autosave was written, in seconds since 1970, by file name."""
    times: dict[str, float] = {}
    with suppress(OSError), os.scandir(store.layout.autosave("").parent) as entries:
        for entry in entries:
            with suppress(OSError):
                times[entry.name] = entry.stat().st_mtime
    return times


def arranged(
    rows: Iterable[WorklistRow],
    *,
    statuses: Iterable[Status] | None = None,
    only_second_reads: bool = False,
    text: str = "",
    order: Order = Order.ENTERED,
    seed: int = 0,
) -> list[WorklistRow]:
    """The rows a reader asked for, in the order asked for.

    Parameters
    ----------
    rows : iterable of WorklistRow
    statuses : iterable of Status, optional
        Those to keep; all when not given.
    only_second_reads : bool
        Keep only the cases chosen for a second read.
    text : str
        Words that all must stand in case or patient id, status, reason, model or reader, in any
        letter case.
    order : Order
    seed : int
        Of the random order.
    """
    wanted = None if statuses is None else frozenset(statuses)
    words = text.casefold().split()
    kept = [
        row
        for row in rows
        if (wanted is None or row.status in wanted)
        and (row.is_for_second_read or not only_second_reads)
        and all(word in _text(row) for word in words)
    ]
    if order is Order.UNCERTAIN:
        kept.sort(key=lambda row: 2.0 if row.predicted_dice is None else row.predicted_dice)
    elif order is Order.RANDOM:
        kept.sort(key=lambda row: _lot(row.case_id, seed))
    return kept


def _text(row: WorklistRow) -> str:
    parts = (
        row.case_id,
        row.status.value.replace("_", " "),
        (row.flag_reason or "").replace("_", " "),
        row.model or "",
        row.reader or "",
        row.patient_id,
    )
    return "\n".join(parts).casefold()


def _lot(case_id: str, seed: int) -> bytes:
    # A lot drawn for each case by itself: filtering must not shuffle the rest again.
    return hashlib.blake2b(f"{seed}/{case_id}".encode(), digest_size=8).digest()
