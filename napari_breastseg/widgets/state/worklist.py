"""What the worklist says of a case, how it is sorted, and which case comes next.

The rows themselves, their choice and their arrangement are the dataset's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from time import time
from typing import Any

from ...dataset import Status, WorklistRow

__all__ = [
    "ALL",
    "CHIPS",
    "COLUMNS",
    "FOR_SECOND_READ",
    "HIDDEN",
    "TO_DO",
    "ago",
    "cell_text",
    "clock_words",
    "count_words",
    "decided_on",
    "neighbor",
    "row_words",
    "sorted_rows",
    "status_choice",
    "status_words",
    "unfinished_words",
]

COLUMNS = (
    ("Case", "Case ID; \u25e6 marks a case chosen for a second read"),
    ("Status", "new, drafted, in progress, accepted or flagged"),
    ("Dice?", "Dice that the model predicts for its draft; empty where it predicts none"),
    ("Last", "When the case last changed"),
    ("Reader", "Who accepted it last; hidden if you are to read it without seeing that"),
    ("Draft by", "The model that made the draft"),
)
"""Title of each column and what it means."""

HIDDEN = "hidden"
CHIPS = {
    "All": "all cases",
    "To do": "still to do",
    "Flagged": "flagged",
    "Second read": "for a second read",
}
"""Buttons above the list, and what each lists."""

ALL, TO_DO, FOR_SECOND_READ = "all cases", "still to do", "for a second read"
_NAMED = 3
_NO_DICE = 2.0  # sorts behind every Dice


def status_choice(title: str) -> tuple[tuple[Status, ...] | None, bool]:
    """What a title of the status filter lists: statuses, None for all; only second reads or not.

    Examples
    --------
    >>> status_choice("in progress"), status_choice("for a second read")
    (((<Status.IN_PROGRESS: 'in_progress'>,), False), (None, True))
    """
    if title == TO_DO:
        return (Status.NEW, Status.DRAFTED, Status.IN_PROGRESS), False
    if title in (ALL, FOR_SECOND_READ):
        return None, title == FOR_SECOND_READ
    return (Status(title.replace(" ", "_")),), False


def ago(seconds: float) -> str:
    """A time that has passed, as people say it.

    Examples
    --------
    >>> ago(20), ago(300), ago(7200), ago(200_000)
    ('now', '5 min', '2 h', '2 d')
    """
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit}"
    return "now"


def clock_words(then_s: float, now_s: float | None = None) -> str:
    """Time of day of a moment of today, else its day and month.

    Parameters
    ----------
    then_s, now_s : float
        Seconds since 1970; now when not given.
    """
    then, now = (datetime.fromtimestamp(s) for s in (then_s, time() if now_s is None else now_s))
    if then.date() == now.date():
        return f"{then:%H:%M}"
    return f"{then.day} {then:%b}"


def status_words(row: WorklistRow) -> str:
    """Status as a reader says it; a case to be read blind says of its reader's own work only."""
    left = "" if row.unfinished_s is None else f"unfinished, {clock_words(row.unfinished_s)}"
    if row.is_blinded:
        return f"second read: {left}" if left else "second read"
    if row.held_by is not None:
        return f"open: {row.held_by}"
    if left:
        return left
    if row.flag_reason is not None:
        return f"flagged: {row.flag_reason.value.replace('_', ' ')}"
    return row.status.value.replace("_", " ")


def unfinished_words(rows: Iterable[WorklistRow]) -> str:
    """Which cases hold unfinished work, and since when; empty where none does."""
    left = sorted(
        (row for row in rows if row.unfinished_s is not None and row.held_by is None),
        key=lambda row: -(row.unfinished_s or 0.0),
    )
    named = [f"{row.case_id} ({clock_words(row.unfinished_s or 0.0)})" for row in left[:_NAMED]]
    if len(left) > _NAMED:
        named.append(f"{len(left) - _NAMED:,} more")
    return f"Unfinished work: {', '.join(named)}." if named else ""


def row_words(row: WorklistRow) -> str:
    """A row in a sentence, for its tooltip."""
    if row.is_blinded:
        words = "Your second read: the first outline stays hidden. Opening the case "
        return words + ("starts the read" if row.unfinished_s is None else "goes on with it")
    patient = f" (patient {row.patient_id})" if row.patient_id else ""
    known = (status_words(row), row.reader and f"reader {row.reader}", row.model)
    return f"{row.case_id}{patient}: {'; '.join(part for part in known if part)}"


def cell_text(row: WorklistRow, column: int, now_s: float) -> str:
    """What stands in a column of `COLUMNS`.

    Parameters
    ----------
    row : WorklistRow
    column : int
    now_s : float
        Seconds since 1970.
    """
    if column == 0:
        return f"\u25e6 {row.case_id}" if row.is_for_second_read else row.case_id
    if column == 1:
        return status_words(row)
    if column == 2:
        return "" if row.predicted_dice is None else f"{row.predicted_dice:.2f}"
    if column == 3:
        return ago(now_s - row.changed_s)
    if column == 4:
        return HIDDEN if row.is_blinded else row.reader or ""
    return "" if row.is_blinded else row.model or ""


def sorted_rows(rows: Iterable[WorklistRow], column: int, *, is_falling: bool) -> list[WorklistRow]:
    """Rows sorted by a column of `COLUMNS`; equal ones stay in their order."""
    return sorted(rows, key=lambda row: _key(row, column), reverse=is_falling)


def _key(row: WorklistRow, column: int) -> Any:
    if column == 0:
        return row.case_id
    if column == 1:
        return (list(Status).index(row.status), status_words(row))
    if column == 2:
        return _NO_DICE if row.predicted_dice is None else row.predicted_dice
    if column == 3:
        return -row.changed_s
    if column == 4:
        return (row.reader or "").casefold()
    return row.model or ""


def neighbor(n_rows: int, place: int | None, last_place: int, step: int) -> int | None:
    """Place of the next (step 1) or previous (step -1) case; None where the list ends.

    Parameters
    ----------
    n_rows : int
        Cases listed.
    place : int, optional
        Where the current case stands; None when it is not listed.
    last_place : int
        Where it stood last; -1 when no case has been opened yet.
    step : int

    Examples
    --------
    >>> neighbor(4, 1, 1, 1), neighbor(4, 3, 3, 1), neighbor(4, None, -1, 1)
    (2, None, 0)
    """
    if place is not None:
        wanted = place + step
    elif last_place < 0:
        wanted = 0 if step > 0 else -1
    else:  # it has left the list, and the one after it stands in its place
        wanted = last_place if step > 0 else last_place - 1
    return wanted if 0 <= wanted < n_rows else None


def decided_on(
    selected: Sequence[str], *, is_selected_by_hand: bool, on_canvas: str | None
) -> list[str]:
    """Case ids that a decision is about: those the reader selected, else the one on the canvas.

    A row that the list selected by itself, as when the case before it has left the list, has been
    seen by nobody.

    Parameters
    ----------
    selected : sequence of str
        Case ids selected in the list.
    is_selected_by_hand : bool
        Whether the reader selected them, and has opened no case since.
    on_canvas : str, optional
        Case id of the dataset's case that is shown; None while none is.

    Examples
    --------
    >>> decided_on(["P002"], is_selected_by_hand=False, on_canvas="P001")
    ['P001']
    >>> decided_on(["P002", "P003"], is_selected_by_hand=True, on_canvas="P001")
    ['P002', 'P003']
    """
    if on_canvas is None or (is_selected_by_hand and selected):
        return list(selected)
    return [on_canvas]


def count_words(rows: Sequence[WorklistRow], total: int) -> str:
    """How many cases are listed, and what to do next."""
    if len(rows) == total:
        cases = "1 case" if total == 1 else f"{total:,} cases"
    else:
        cases = f"{len(rows):,} of {total:,} cases"
    hint = "Press Enter to open one." if total else "Choose a dataset folder in the dock's header."
    return f"{cases}. {hint}"
