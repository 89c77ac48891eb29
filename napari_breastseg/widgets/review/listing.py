"""What the List step lists: filters, order, a table or thumbnails, and the selection.

Says what is asked for; opens and changes no case.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from qtpy.QtCore import QItemSelectionModel, Signal
from qtpy.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from ...dataset import Order, Status
from ..parts.fields import note
from ..state.settings import recall, remember
from ..state.worklist import ALL, CHIPS, FOR_SECOND_READ, TO_DO, count_words, status_choice
from .grid import GridView
from .table import WorklistModel, WorklistTable
from .thumbnails import Thumbnails

__all__ = ["WorklistView"]

_VIEW = "list_view"
"""The setting: pictures or table."""

_LEAST_HEIGHT_PX = 96

_ORDERS = (
    (Order.ENTERED, "as entered"),
    (Order.UNCERTAIN, "least certain first"),
    (Order.RANDOM, "at random"),
)


class WorklistView(QWidget):
    """The worklist with its filters."""

    open_asked = Signal(object)
    """A `WorklistRow`."""

    changed = Signal()
    """Other rows are listed or selected."""

    filtered = Signal()
    """The reader asked for other rows, or for another order."""

    def __init__(self) -> None:
        super().__init__()
        self.model = WorklistModel()
        self.thumbnails = Thumbnails(self)
        self.status = QComboBox()
        self.status.setToolTip("Which cases to list")
        statuses = (status.value.replace("_", " ") for status in Status)
        self.status.addItems([ALL, TO_DO, *statuses, FOR_SECOND_READ])
        self.status.hide()  # the chips stand in its place, and the words can be searched for
        self.status.setParent(self)
        self.chips = QButtonGroup(self)
        chips = QHBoxLayout()
        chips.setSpacing(3)
        for title, choice in CHIPS.items():
            chip = QPushButton(title)
            chip.setCheckable(True)
            chip.setToolTip(f"List {choice}")
            chip.clicked.connect(partial(self.status.setCurrentText, choice))
            self.chips.addButton(chip)
            chips.addWidget(chip)
        self._check_chip()
        self.status.currentTextChanged.connect(self._check_chip)
        self.search = QLineEdit()
        self.search.setPlaceholderText("search")
        self.search.setToolTip("Words from the case or patient ID, status, reason, reader or model")
        self.search.setClearButtonEnabled(True)
        self.order = QComboBox()
        self.order.setToolTip("Order of the list; click a column heading to sort by it instead")
        self.order.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        for order, title in _ORDERS:
            self.order.addItem(title, order)
        self.seed = QSpinBox()
        self.seed.setRange(0, 9999)
        self.seed.setMaximumWidth(90)
        self.seed.setToolTip("Seed: the same number gives the same order")
        self.table = WorklistTable(self.model)
        self.table.opened.connect(self.open_asked)
        self.grid = GridView(self.model, self.thumbnails)
        self.grid.open_asked.connect(self.open_asked)
        self.views = QStackedWidget()
        # It takes the room there is, and asks for no more, or the step would scroll around it.
        self.views.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Ignored)
        self.views.setMinimumHeight(_LEAST_HEIGHT_PX)
        self.views.addWidget(self.table)
        self.views.addWidget(self.grid)
        self.pictures = QCheckBox("Pictures")
        self.pictures.setProperty(
            "help",
            "Thumbnails with outlines: the arrow keys move, A accepts a single slice, F flags, "
            "Enter opens (Ctrl-Shift-G)",
        )
        self.pictures.setToolTip(self.pictures.property("help"))
        self.pictures.toggled.connect(self._show_view)
        self.line = note()
        choice = QHBoxLayout()
        choice.setSpacing(3)
        choice.addWidget(self.search, 3)
        choice.addWidget(self.order, 4)
        choice.addWidget(self.seed)
        choice.addWidget(self.pictures)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(chips)
        column.addLayout(choice)
        self.line_row = QHBoxLayout()
        """How many cases are listed, and room beside it."""

        self.line_row.addWidget(self.line, 1)
        column.addLayout(self.line_row)
        column.addWidget(self.views, 1)
        for signal in (
            self.status.currentIndexChanged,
            self.search.textChanged,
            self.order.currentIndexChanged,
            self.seed.valueChanged,
        ):
            signal.connect(lambda _: self._choose())
        self.order.currentIndexChanged.connect(lambda _: self.table.leave_arranged())
        for view in (self.table, self.grid):
            # No lambda: nothing would ever free it, and the window with it.
            view.selectionModel().selectionChanged.connect(self._on_selected)
            view.clicked.connect(self._on_selected)  # a row that the list had selected already
        self._held: tuple[list[str], int] = ([], -1)
        self._is_selecting = False
        self.is_selected_by_hand = False
        """Whether the reader selected what is selected, not the list itself."""

        self.model.modelAboutToBeReset.connect(self._hold_selection)
        self.model.modelReset.connect(self._restore_selection)
        self._choose()
        self.pictures.setChecked(recall(_VIEW) != "table")

    @property
    def chosen(self) -> list[str]:
        """Case ids selected, in the order of the list."""
        ranges = self._view.selectionModel().selection()  # a handful, however many rows they hold
        places = {row for one in ranges for row in range(one.top(), one.bottom() + 1)}
        rows = self.model.rows
        return [rows[place].case_id for place in sorted(places) if place < len(rows)]

    def _choose(self) -> None:
        statuses, only_second_reads = status_choice(self.status.currentText())
        order = self.order.currentData()
        self.seed.setVisible(order is Order.RANDOM)
        self.model.choose(
            statuses=statuses,
            only_second_reads=only_second_reads,
            text=self.search.text(),
            order=order,
            seed=self.seed.value(),
        )
        self.show_count()
        self.filtered.emit()
        self.changed.emit()

    def show_count(self) -> None:
        """Say how many cases are listed."""
        self.line.setText(count_words(self.model.rows, self.model.total))

    def _check_chip(self, *_: object) -> None:
        """Press the chip of what is listed; none where it has no chip."""
        self.chips.setExclusive(False)
        for chip in self.chips.buttons():
            chip.setChecked(CHIPS[chip.text()] == self.status.currentText())
        self.chips.setExclusive(True)

    def _show_view(self, is_grid: bool) -> None:
        remember(_VIEW, "pictures" if is_grid else "table")
        before = self.table if is_grid else self.grid
        after = self.grid if is_grid else self.table
        row = before.currentIndex().row()
        self.views.setCurrentWidget(after)
        if row >= 0:
            after.setCurrentIndex(after.model().index(row, 0))
        if self.isVisible():
            after.setFocus()
        self.changed.emit()

    def _hold_selection(self) -> None:
        self._held = self.chosen, self._view.currentIndex().row()
        self._is_selecting = True  # until `_restore_selection`: the reset itself clears it

    def _restore_selection(self) -> None:
        case_ids, current = self._held
        places = [p for p in map(self.model.place, case_ids) if p is not None]
        is_by_hand = self.is_selected_by_hand and len(places) == len(case_ids)
        if not places and 0 <= current < len(self.model.rows):
            places = [current]  # what was selected has left the list: the next one came up
        self.select(places)
        self.is_selected_by_hand = is_by_hand

    def select(self, places: Sequence[int]) -> None:
        """Select rows, the first of them the current one."""
        self._is_selecting, self.is_selected_by_hand = True, False
        try:
            self._select(places)
        finally:
            self._is_selecting = False

    def _select(self, places: Sequence[int]) -> None:
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
        if not self._is_selecting:
            self.is_selected_by_hand = True
        self.changed.emit()
