"""The worklist as a Qt table: the rows a reader chose, sorted by a column or as arranged.

Rows come whole from the dataset and are sorted here in Python, at once: thousands of calls of a
proxy's comparison would cost more than all of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt

from ...dataset import Order, Status, WorklistRow, arranged

__all__ = ["COLUMNS", "WorklistModel", "ago"]

COLUMNS = ("Case", "Status", "Dice?", "Last", "Reader", "Draft by")
_TIPS = (
    "Case id; \u25e6 marks a case for a second read",
    "new, drafted, in progress, accepted or flagged",
    "The Dice the model expects of its draft; empty where it expects nothing",
    "When the case changed last",
    "Who accepted it last; hidden where you are to read it blind",
    "The model whose draft it has",
)
HIDDEN = "hidden"
_NO_PARENT = QModelIndex()
_FLAGS = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
_RIGHT = _FLAGS.value if hasattr(_FLAGS, "value") else int(_FLAGS)  # PyQt6, PyQt5


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


class WorklistModel(QAbstractTableModel):
    """Rows of a dataset's cases.

    Parameters
    ----------
    clock : callable, optional
        Seconds since 1970; tests give their own.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        super().__init__()
        self._clock = clock
        self._all: list[WorklistRow] = []
        self._rows: list[WorklistRow] = []
        self._place: dict[str, int] = {}
        self._choice: dict[str, Any] = {}
        self._sorted: tuple[int, bool] | None = None
        self.at_work: str | None = None
        """Case id drawn bold."""

    @property
    def rows(self) -> list[WorklistRow]:
        """The rows shown, in their order."""
        return self._rows

    @property
    def total(self) -> int:
        """How many cases the dataset has."""
        return len(self._all)

    def place(self, case_id: str | None) -> int | None:
        """Row of a case, None where it is not shown."""
        return self._place.get(case_id or "")

    def set_rows(self, rows: Iterable[WorklistRow]) -> None:
        """Take the dataset's rows as they are now; what is unchanged stays where it is."""
        self._all = list(rows)
        self._arrange()

    def choose(
        self,
        *,
        statuses: Iterable[Status] | None,
        only_second_reads: bool,
        text: str,
        order: Order,
        seed: int,
    ) -> None:
        """Show the rows asked for, in the order asked for; see `dataset.arranged`."""
        self._choice = {
            "statuses": None if statuses is None else frozenset(statuses),
            "only_second_reads": only_second_reads,
            "text": text,
            "order": order,
            "seed": seed,
        }
        self._arrange()

    def set_at_work(self, case_id: str | None) -> None:
        """Draw another case bold."""
        for one in (self.at_work, case_id):
            if (row := self.place(one)) is not None:
                self.dataChanged.emit(self.index(row, 0), self.index(row, len(COLUMNS) - 1))
        self.at_work = case_id

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column, or with column -1 leave the rows as they were arranged."""
        wanted = None if column < 0 else (column, order == Qt.SortOrder.DescendingOrder)
        if wanted != self._sorted:
            self._sorted = wanted
            self._arrange()

    def _arrange(self) -> None:
        rows = arranged(self._all, **self._choice)
        if self._sorted is not None:
            column, is_falling = self._sorted
            rows.sort(key=lambda row: _key(row, column), reverse=is_falling)
        if [row.case_id for row in rows] == [row.case_id for row in self._rows]:
            self._rows = rows  # selection and place in the list stay
            if rows:
                self.dataChanged.emit(self.index(0, 0), self.index(len(rows) - 1, len(COLUMNS) - 1))
            return
        if (
            rows
            and len(rows) == len(self._rows)
            and {r.case_id for r in rows} == self._place.keys()
        ):
            self._resort(rows)
            return
        self.beginResetModel()
        self._take(rows)
        self.endResetModel()

    def _resort(self, rows: list[WorklistRow]) -> None:
        """The same cases in another order: what is selected stays selected."""
        self.layoutAboutToBeChanged.emit()
        before = self.persistentIndexList()
        held = [self._rows[index.row()].case_id for index in before]
        self._take(rows)
        after = [
            self.index(self._place[case_id], index.column())
            for case_id, index in zip(held, before, strict=True)
        ]
        self.changePersistentIndexList(before, after)
        self.layoutChanged.emit()

    def _take(self, rows: list[WorklistRow]) -> None:
        self._rows = rows
        self._place = {row.case_id: number for number, row in enumerate(rows)}

    # What Qt asks

    def rowCount(self, parent: QModelIndex = _NO_PARENT) -> int:
        """Rows shown."""
        return 0 if parent.isValid() else len(self._rows)

    def columnCount(self, parent: QModelIndex = _NO_PARENT) -> int:
        """Columns."""
        return 0 if parent.isValid() else len(COLUMNS)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = 0) -> Any:
        """Titles and what they mean."""
        if orientation != Qt.Orientation.Horizontal or not 0 <= section < len(COLUMNS):
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return COLUMNS[section]
        return _TIPS[section] if role == Qt.ItemDataRole.ToolTipRole else None

    def data(self, index: QModelIndex, role: int = 0) -> Any:
        """Text, tooltip, alignment; bold for the case at work."""
        if not index.isValid() or index.row() >= len(self._rows):
            return None
        row, column = self._rows[index.row()], index.column()
        if role == Qt.ItemDataRole.DisplayRole:
            return self._text(row, column)
        if role == Qt.ItemDataRole.ToolTipRole:
            return _tooltip(row)
        if role == Qt.ItemDataRole.TextAlignmentRole and column in (2, 3):
            return _RIGHT
        if role == Qt.ItemDataRole.FontRole and row.case_id == self.at_work:
            return _bold()
        return None

    def _text(self, row: WorklistRow, column: int) -> str:
        if column == 0:
            return f"\u25e6 {row.case_id}" if row.is_for_second_read else row.case_id
        if column == 1:
            return status_words(row)
        if column == 2:
            return "" if row.predicted_dice is None else f"{row.predicted_dice:.2f}"
        if column == 3:
            return ago(self._clock() - row.changed_s)
        if column == 4:
            return HIDDEN if row.is_blinded else row.reader or ""
        return "" if row.is_blinded else row.model or ""


def status_words(row: WorklistRow) -> str:
    """Status as a reader says it; a case to be read blind says nothing more."""
    if row.is_blinded:
        return "second read"
    if row.flag_reason is not None:
        return f"flagged: {row.flag_reason.value.replace('_', ' ')}"
    return row.status.value.replace("_", " ")


def _tooltip(row: WorklistRow) -> str:
    if row.is_blinded:
        return "To be read without sight of the first outline; opening it begins that read"
    return f"{row.case_id}: {status_words(row)}" + (f"; {row.model}" if row.model else "")


def _key(row: WorklistRow, column: int) -> Any:
    if column == 0:
        return row.case_id
    if column == 1:
        return (list(Status).index(row.status), status_words(row))
    if column == 2:
        return 2.0 if row.predicted_dice is None else row.predicted_dice
    if column == 3:
        return -row.changed_s
    if column == 4:
        return (row.reader or "").casefold()
    return row.model or ""


def _bold() -> Any:
    from qtpy.QtGui import QFont

    font = QFont()
    font.setBold(True)
    return font
