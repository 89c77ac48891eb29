"""What a reader may decide on cases of a worklist, and doing it to several of them. No Qt.

Every `why_not_...` gives a reason a person can read; empty when nothing stands in the way.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from ...core.errors import InputError
from ...core.progress import Job, Progress
from ...dataset import CaseRecord, Dataset, Status, WorklistRow

__all__ = [
    "Changes",
    "changing",
    "is_of_second_read",
    "why_not_accept_picture",
    "why_not_flag",
    "why_not_rename",
    "why_not_reopen",
    "why_not_undo",
]

_BLINDED = "It is yours for a second read: only its first reader can decide this"


def why_not_flag(rows: Collection[WorklistRow]) -> str:
    """Why the selected cases cannot be flagged."""
    if not rows:
        return "Select a case first"
    return _BLINDED if any(row.is_blinded for row in rows) else ""


def why_not_undo(rows: Collection[WorklistRow]) -> str:
    """Why no acceptance of the selected cases can be undone."""
    return why_not_flag(rows) or _without(rows, {Status.ACCEPTED}, "Not accepted")


def why_not_reopen(rows: Collection[WorklistRow]) -> str:
    """Why none of the selected cases can be reopened."""
    closed = {Status.ACCEPTED, Status.FLAGGED}
    return why_not_flag(rows) or _without(rows, closed, "Neither accepted nor flagged")


def why_not_rename(rows: Sequence[WorklistRow], *, on_canvas: str | None) -> str:
    """Why the selected case cannot get another id.

    Parameters
    ----------
    rows : sequence of WorklistRow
        Those selected.
    on_canvas : str, optional
        Case id of the exam that is shown.
    """
    if len(rows) != 1:
        return "Select one case"
    if rows[0].held_by is not None:
        return f"{rows[0].held_by} has the case open"
    if rows[0].case_id == on_canvas:
        return "Close the case first (Ctrl-Shift-Q)"
    return why_not_flag(rows)


def _without(rows: Collection[WorklistRow], statuses: set[Status], reason: str) -> str:
    return "" if any(row.status in statuses for row in rows) else reason


def why_not_accept_picture(
    row: WorklistRow,
    *,
    reader: str,
    made_of_s: float | None,
    has_mask: bool,
    is_open: bool,
) -> str:
    """Why a case cannot be accepted as its thumbnail shows it, worded as what was found.

    Parameters
    ----------
    row : WorklistRow
    reader : str
        Who reads; empty when nobody said so.
    made_of_s : float, optional
        `changed_s` of the case when the thumbnail was made; None without a thumbnail.
    has_mask : bool
        Whether the thumbnail shows a mask that can be accepted.
    is_open : bool
        Whether the case is open for correction.
    """
    if not reader:
        return "no reader is named in the dock's header"
    if row.is_blinded:
        return "it is yours for a second read, blind to the first"
    if row.n_slices > 1:
        return f"it is a volume of {row.n_slices} slices"
    if made_of_s != row.changed_s:
        return "its thumbnail is not ready yet"
    if not has_mask:
        return "it has no mask"
    return "it is open for correction" if is_open else ""


def is_of_second_read(
    dataset: Dataset, case_ids: Collection[str], reader: str, *, current: str | None
) -> bool:
    """Whether `reader` reads, or is to read, one of the cases second.

    Parameters
    ----------
    dataset : Dataset
    case_ids : collection of str
    reader : str
    current : str, optional
        The case that is being read second right now.
    """
    return any(
        case_id == current or dataset.reads.is_second_reader(dataset.case(case_id), reader)
        for case_id in case_ids
    )


@dataclass(frozen=True)
class Changes:
    """What came of a change to several cases."""

    records: tuple[CaseRecord, ...]
    errors: tuple[InputError, ...]
    """Of the cases that refused."""


def changing(
    title: str,
    dataset: Dataset,
    case_ids: Sequence[str],
    change: Callable[[Dataset, str], CaseRecord],
) -> Job[Changes]:
    """Change cases one by one; one that refuses stops no other."""
    records: list[CaseRecord] = []
    errors: list[InputError] = []
    for index, case_id in enumerate(case_ids):
        yield Progress(title, index, len(case_ids))
        try:
            records.append(change(dataset, case_id))
        except InputError as error:
            errors.append(error)
    return Changes(tuple(records), tuple(errors))
