"""What the Review tab lists: the choice of cases, as a table or as small pictures, and a selection.

Says what is asked for; opens and changes no case.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import QItemSelectionModel, Qt, Signal
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QComboBox,
    QGridLayout,
    QHeaderView,
    QLineEdit,
    QSizePolicy,
    QSpinBox,
    QStackedWidget,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from ...dataset import Order, Status
from ..parts.fields import counted, note
from .grid import GridView, is_enter, is_of_dock
from .thumbnails import Thumbnails
from .worklist import WorklistModel

__all__ = ["WorklistView"]

_ORDERS = (
    (Order.ENTERED, "as entered"),
    (Order.UNCERTAIN, "least certain first"),
    (Order.RANDOM, "at random"),
)
_ALL, _TO_DO, _SECOND = "all cases", "still to do", "for a second read"


class WorklistView(QWidget):
    """The worklist with its filters."""

    open_asked = Signal(object)
    """A `WorklistRow`."""

    changed = Signal()
    """Other rows are listed or selected."""

    def __init__(self) -> None:
        super().__init__()
        self.model = WorklistModel()
        self.thumbnails = Thumbnails(self)
        self.status = QComboBox()
        self.status.setToolTip("Which cases to list")
        for title in (_ALL, _TO_DO, *(s.value.replace("_", " ") for s in Status), _SECOND):
            self.status.addItem(title)
        self.status.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.search = QLineEdit()
        self.search.setPlaceholderText("search")
        self.search.setToolTip("Words of the case id, status, reason, reader or model")
        self.search.setClearButtonEnabled(True)
        self.order = QComboBox()
        self.order.setToolTip("In which order; a click on a column sorts by it instead")
        self.order.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        for order, title in _ORDERS:
            self.order.addItem(title, order)
        self.seed = QSpinBox()
        self.seed.setRange(0, 9999)
        self.seed.setMaximumWidth(90)
        self.seed.setToolTip("Seed: the same one gives the same order")
        self.table = _table(self.model)
        self.table.opened.connect(self.open_asked)
        self.grid = GridView(self.model, self.thumbnails)
        self.grid.open_asked.connect(self.open_asked)
        self.views = QStackedWidget()
        self.views.addWidget(self.table)
        self.views.addWidget(self.grid)
        self.pictures = QCheckBox("Pictures")
        self.pictures.setProperty(
            "help",
            "Small pictures with outlines: arrows walk, A accepts a single slice, F flags, "
            "Enter opens (Ctrl-Shift-G)",
        )
        self.pictures.setToolTip(self.pictures.property("help"))
        self.pictures.toggled.connect(self._show_view)
        self.line = note()
        choice = QGridLayout()
        choice.setContentsMargins(0, 0, 0, 0)
        choice.addWidget(self.status, 0, 0)
        choice.addWidget(self.search, 0, 1, 1, 2)
        choice.addWidget(self.order, 1, 0)
        choice.addWidget(self.seed, 1, 1)
        choice.addWidget(self.pictures, 1, 2, Qt.AlignmentFlag.AlignRight)
        choice.setColumnStretch(0, 3)
        choice.setColumnStretch(1, 2)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(choice)
        column.addWidget(self.line)
        column.addWidget(self.views, 1)
        for signal in (
            self.status.currentIndexChanged,
            self.search.textChanged,
            self.order.currentIndexChanged,
            self.seed.valueChanged,
        ):
            signal.connect(lambda _: self._choose())
        self.order.currentIndexChanged.connect(
            lambda _: self.table.horizontalHeader().setSortIndicator(
                -1, Qt.SortOrder.AscendingOrder
            )
        )
        for view in (self.table, self.grid):
            # No lambda: nothing would ever free it, and the window with it.
            view.selectionModel().selectionChanged.connect(self._on_selected)
        self._held: tuple[list[str], int] = ([], -1)
        self.model.modelAboutToBeReset.connect(self._hold_selection)
        self.model.modelReset.connect(self._restore_selection)
        self._choose()

    @property
    def chosen(self) -> list[str]:
        """Case ids selected, in the order of the list."""
        places = {index.row() for index in self._view.selectionModel().selectedIndexes()}
        rows = self.model.rows
        return [rows[place].case_id for place in sorted(places) if place < len(rows)]

    def _choose(self) -> None:
        title = self.status.currentText()
        statuses: Any = None
        if title == _TO_DO:
            statuses = (Status.NEW, Status.DRAFTED, Status.IN_PROGRESS)
        elif title not in (_ALL, _SECOND):
            statuses = (Status(title.replace(" ", "_")),)
        order = self.order.currentData()
        self.seed.setVisible(order is Order.RANDOM)
        self.model.choose(
            statuses=statuses,
            only_second_reads=title == _SECOND,
            text=self.search.text(),
            order=order,
            seed=self.seed.value(),
        )
        self.show_count()
        self.changed.emit()

    def show_count(self) -> None:
        """Say how many cases are listed."""
        shown, total = len(self.model.rows), self.model.total
        text = counted(total, "case") if shown == total else f"{shown:,} of {total:,} cases"
        hint = "Enter opens one." if total else "Choose a dataset folder in Correct."
        self.line.setText(f"{text}. {hint}")

    def _show_view(self, is_grid: bool) -> None:
        before = self.table if is_grid else self.grid
        after = self.grid if is_grid else self.table
        row = before.currentIndex().row()
        self.views.setCurrentWidget(after)
        if row >= 0:
            after.setCurrentIndex(after.model().index(row, 0))
        after.setFocus()
        self.changed.emit()

    def _hold_selection(self) -> None:
        self._held = self.chosen, self._view.currentIndex().row()

    def _restore_selection(self) -> None:
        case_ids, current = self._held
        places = [p for p in map(self.model.place, case_ids) if p is not None]
        if not places and 0 <= current < len(self.model.rows):
            places = [current]  # what was selected has left the list: the next one came up
        self.select(places)

    def select(self, places: Sequence[int]) -> None:
        """Select rows, the first of them the current one."""
        for view in (self.table, self.grid):
            selection = view.selectionModel()
            how = QItemSelectionModel.SelectionFlag.ClearAndSelect
            for place in places:
                index = view.model().index(place, 0)
                if place == places[0]:
                    view.setCurrentIndex(index)
                selection.select(index, how | QItemSelectionModel.SelectionFlag.Rows)
                how = QItemSelectionModel.SelectionFlag.Select

    @property
    def _view(self) -> Any:
        return self.grid if self.pictures.isChecked() else self.table

    def _on_selected(self, *_: object) -> None:
        self.changed.emit()


class _Table(QTableView):
    """A table whose Enter and double click open a row."""

    opened = Signal(object)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Open the current row; leave the keys of the dock to the window."""
        index = self.currentIndex()
        if index.isValid() and is_enter(event):
            self.opened.emit(self.model().rows[index.row()])
        elif is_of_dock(event):
            event.ignore()
        else:
            super().keyPressEvent(event)


def _table(model: WorklistModel) -> Any:
    table = _Table()
    table.setModel(model)
    table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    table.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
    table.setShowGrid(False)
    table.setWordWrap(False)
    table.setMinimumHeight(200)
    table.verticalHeader().setVisible(False)
    table.verticalHeader().setDefaultSectionSize(20)
    header = table.horizontalHeader()
    header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
    header.setStretchLastSection(True)
    header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft)
    for column, width in enumerate((92, 78, 46, 46, 54)):
        table.setColumnWidth(column, width)
    header.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
    table.setSortingEnabled(True)
    table.doubleClicked.connect(lambda index: table.opened.emit(model.rows[index.row()]))
    return table
