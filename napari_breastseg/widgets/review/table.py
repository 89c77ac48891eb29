"""The worklist as a Qt table: the rows a reader chose, sorted by a column or as arranged.

Rows come whole from the dataset and are sorted here in Python, at once: thousands of calls of a
proxy's comparison would cost more than all of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt, Signal
from qtpy.QtGui import QFont, QKeyEvent, QResizeEvent
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView

from ...dataset import Order, Status, WorklistRow, arranged
from ..state.worklist import COLUMNS, cell_text, row_words, sorted_rows
from .dock_keys import is_dock_key, is_enter

__all__ = ["WorklistModel", "WorklistTable"]

_NO_PARENT = QModelIndex()
_FLAGS = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
_RIGHT = _FLAGS.value if hasattr(_FLAGS, "value") else int(_FLAGS)  # PyQt6, PyQt5
_WIDTHS_PX = (80, 112, 46, 46, 50, 88)
_BY_WEIGHT = (0, 1, 3, 2, 4, 5)
"""Columns in the order in which they may take room."""


class WorklistModel(QAbstractTableModel):
    """Rows of a dataset's cases.

    Parameters
    ----------
    clock : callable, optional
        Seconds since 1970; tests give their own.
    """

    taken = Signal()
    """The dataset's rows are known anew, shown or not."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        super().__init__()
        self._clock = clock
        self._all: list[WorklistRow] = []
        self._by_id: dict[str, WorklistRow] = {}
        self._rows: list[WorklistRow] = []
        self._place: dict[str, int] = {}
        self._choice: dict[str, Any] = {}
        self._sorted: tuple[int, bool] | None = None
        self.current: str | None = None
        """Case id drawn bold."""

    @property
    def rows(self) -> list[WorklistRow]:
        """The rows shown, in their order."""
        return self._rows

    @property
    def total(self) -> int:
        """How many cases the dataset has."""
        return len(self._all)

    @property
    def n_accepted(self) -> int:
        """How many of them are accepted, as far as this reader may see."""
        return sum(row.status is Status.ACCEPTED and not row.is_blinded for row in self._all)

    def row_of(self, case_id: str | None) -> WorklistRow | None:
        """The row of a case, shown or not; None where the dataset has no such case."""
        return self._by_id.get(case_id or "")

    def place(self, case_id: str | None) -> int | None:
        """Row of a case, None where it is not shown."""
        return self._place.get(case_id or "")

    def set_rows(self, rows: Iterable[WorklistRow]) -> None:
        """Take the dataset's rows as they are now; what is unchanged stays where it is."""
        self._all = list(rows)
        self._by_id = {row.case_id: row for row in self._all}
        self._arrange()
        self.taken.emit()

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

    def set_current(self, case_id: str | None) -> None:
        """Draw another case bold."""
        for one in (self.current, case_id):
            if (row := self.place(one)) is not None:
                self.dataChanged.emit(self.index(row, 0), self.index(row, len(COLUMNS) - 1))
        self.current = case_id

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
            rows = sorted_rows(rows, column, is_falling=is_falling)
        if [row.case_id for row in rows] == [row.case_id for row in self._rows]:
            before, self._rows = self._rows, rows  # selection and place in the list stay
            # All thousands at once would make a view measure each of them again.
            for place, (old, new) in enumerate(zip(before, rows, strict=True)):
                if old != new:
                    last = self.index(place, len(COLUMNS) - 1)
                    self.dataChanged.emit(self.index(place, 0), last)
            return
        if (
            rows
            and len(rows) == len(self._rows)
            and {r.case_id for r in rows} == self._place.keys()
        ):
            self._resort(rows)
            return
        self.beginResetModel()
        self._set(rows)
        self.endResetModel()

    def _resort(self, rows: list[WorklistRow]) -> None:
        """The same cases in another order: what is selected stays selected."""
        self.layoutAboutToBeChanged.emit()
        before = self.persistentIndexList()
        held = [self._rows[index.row()].case_id for index in before]
        self._set(rows)
        after = [
            self.index(self._place[case_id], index.column())
            for case_id, index in zip(held, before, strict=True)
        ]
        self.changePersistentIndexList(before, after)
        self.layoutChanged.emit()

    def _set(self, rows: list[WorklistRow]) -> None:
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
            return COLUMNS[section][0]
        return COLUMNS[section][1] if role == Qt.ItemDataRole.ToolTipRole else None

    def data(self, index: QModelIndex, role: int = 0) -> Any:
        """Text, tooltip, alignment; bold for the current case."""
        if not index.isValid() or index.row() >= len(self._rows):
            return None
        row, column = self._rows[index.row()], index.column()
        if role == Qt.ItemDataRole.DisplayRole:
            return cell_text(row, column, self._clock())
        if role == Qt.ItemDataRole.ToolTipRole:
            return row_words(row)
        if role == Qt.ItemDataRole.TextAlignmentRole and column in (2, 3):
            return _RIGHT
        if role == Qt.ItemDataRole.FontRole and row.case_id == self.current:
            font = QFont()
            font.setBold(True)
            return font
        return None


class WorklistTable(QTableView):
    """A table whose Enter and double click open a row."""

    opened = Signal(object)
    """A `WorklistRow`."""

    def __init__(self, model: WorklistModel) -> None:
        super().__init__()
        self._worklist = model
        self.setModel(model)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.verticalHeader().setVisible(False)
        self.verticalHeader().setDefaultSectionSize(20)
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft)
        for column, width in enumerate(_WIDTHS_PX):
            self.setColumnWidth(column, width)
        self.leave_arranged()
        self.setSortingEnabled(True)
        self.doubleClicked.connect(self._open)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Show the columns that fit, the most telling first; the tooltip of a row says the rest."""
        super().resizeEvent(event)
        room = self.viewport().width()
        for column in _BY_WEIGHT:
            room -= _WIDTHS_PX[column]
            self.setColumnHidden(column, room < 0)

    def leave_arranged(self) -> None:
        """Sort by no column."""
        self.horizontalHeader().setSortIndicator(-1, Qt.SortOrder.AscendingOrder)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Open the current row; leave the keys of the dock to the window."""
        if self.currentIndex().isValid() and is_enter(event):
            self._open(self.currentIndex())
        elif is_dock_key(event):
            event.ignore()
        else:
            super().keyPressEvent(event)

    def _open(self, index: QModelIndex) -> None:
        self.opened.emit(self._worklist.rows[index.row()])
