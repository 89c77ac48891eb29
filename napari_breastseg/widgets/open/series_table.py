"""The series of a DICOM exam: the role of each, its time, and why; roles can be changed.

Shows a `DicomExam`, changes none: `value` says what the user chose. Knows no layers and no jobs.
"""

from __future__ import annotations

from qtpy.QtCore import QRect, Qt, Signal
from qtpy.QtGui import QFontMetrics
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QHeaderView,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from ...formats import DicomExam
from ..parts.fields import button, heading, note, set_ready
from ..state.opening import READING, phase_time_words, role_choices, why_not_read_as

__all__ = ["SeriesTable"]

LEFT_OUT = "—"
_WRAPPED = Qt.TextFlag.TextWordWrap
_COLUMNS = ("Series, and why", "Role", "Time")


class SeriesTable(QWidget):
    """Two rows for each series, the second says why; the button asks for the roles to be read."""

    chosen = Signal(object)
    """The roles to read: handle to role, without the series left out."""

    def __init__(self) -> None:
        super().__init__()
        self._exam: DicomExam | None = None
        self._is_busy = False
        self.roles: dict[str, QComboBox] = {}
        """Handle to the field that holds a series' role."""

        self.question = note()
        self.table = QTableWidget(0, len(_COLUMNS))
        self.table.setHorizontalHeaderLabels(_COLUMNS)
        self.table.verticalHeader().setVisible(False)
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        header.sectionResized.connect(lambda *_: self._fit())
        self.table.setWordWrap(True)
        self.table.setShowGrid(False)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.table.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.table.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.button = button(
            "Read with these roles",
            lambda: self.chosen.emit(self.value()),
            "Read the phases again with the roles chosen in the table",
        )
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(heading("Series"))
        column.addWidget(self.question)
        column.addWidget(self.table)
        column.addWidget(self.button)
        self.setValue(None)

    def value(self) -> dict[str, str]:
        """Roles as the fields have them: handle to role, without the series left out."""
        roles = {handle: field.currentText() for handle, field in self.roles.items()}
        return {handle: role for handle, role in roles.items() if role != LEFT_OUT}

    def setValue(self, exam: DicomExam | None) -> None:
        """Show the series of an exam; hidden when there is none."""
        self._exam = exam
        self.roles = {}
        rows = () if exam is None else exam.rows
        self.table.setRowCount(0)
        self.table.setRowCount(2 * len(rows))
        asked = None if exam is None else exam.decision.question
        self.question.setVisible(asked is not None)
        self.question.setText(
            "" if asked is None else f"{asked.expected}; {asked.found}. Choose the roles below."
        )
        choices = [LEFT_OUT, *role_choices(len(rows))]
        for place, row in enumerate(rows):
            name = f"{row.handle}  {row.stack.description}".strip()
            time = "" if row.time_s is None else phase_time_words(row.time_s)
            grid = row.stack.grid
            size = "no image" if grid is None else grid.describe()
            for line, column, text in (
                (0, 0, name),
                (0, 2, time),
                (1, 0, row.why),
            ):
                item = QTableWidgetItem(_breakable(text))
                item.setToolTip(f"{name}\n{size}\n{row.why}")
                if line == 1:
                    font = item.font()
                    font.setItalic(True)
                    item.setFont(font)
                    item.setTextAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)
                self.table.setItem(2 * place + line, column, item)
            self.table.setSpan(2 * place + 1, 0, 1, len(_COLUMNS))
            field = QComboBox()
            role = row.role or row.proposed or LEFT_OUT
            field.addItems(choices + ([] if role in choices else [role]))
            field.setCurrentText(role)
            field.setMaximumHeight(field.sizeHint().height())
            field.setProperty("help", "The phase this series is read as")
            problem = row.stack.problem
            set_ready(field, "" if grid is not None else str(problem or "It holds no image"))
            field.currentTextChanged.connect(lambda _: self._refresh())
            self.table.setCellWidget(2 * place, 1, field)
            self.roles[row.handle] = field
        self.setVisible(exam is not None)
        self._fit()
        self._refresh()

    def set_busy(self, is_busy: bool) -> None:
        """Accept no roles while a job runs."""
        self._is_busy = is_busy
        self._refresh()

    def _refresh(self) -> None:
        roles = self.value()
        known = (
            {}
            if self._exam is None
            else {stack.handle: role for role, stack in self._exam.phases.items()}
        )
        set_ready(self.button, READING if self._is_busy else why_not_read_as(roles, known))

    def _fit(self) -> None:
        """Rows as high as their words need, the table as high as its rows."""
        self.table.resizeRowsToContents()
        width = sum(self.table.columnWidth(column) for column in range(len(_COLUMNS)))
        for row in range(1, self.table.rowCount(), 2):
            # Qt takes a spanned cell for as narrow as its first column.
            item = self.table.item(row, 0)
            room = QRect(0, 0, width - 8, 10_000)
            words = QFontMetrics(item.font()).boundingRect(room, _WRAPPED, item.text())
            self.table.setRowHeight(row, words.height() + 10)
        rows = sum(self.table.rowHeight(row) for row in range(self.table.rowCount()))
        self.table.setFixedHeight(self.table.horizontalHeader().height() + rows + 4)


def _breakable(text: str) -> str:
    """Text that may wrap at underscores: names of series often hold no space."""
    return text.replace("_", "_\u200b")
