"""The phases of the current exam: role, voxels, spacing."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

from ...core.volume import Exam
from ..state.opening import phase_rows

__all__ = ["PhaseTable"]


class PhaseTable(QTableWidget):
    """A table as high as its rows; hidden while there are none."""

    def __init__(self) -> None:
        super().__init__(0, 3)
        self.setHorizontalHeaderLabels(["Phase", "Voxels (z, y, x)", "Spacing, mm"])
        self.verticalHeader().setVisible(False)
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.ResizeToContents)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)

    def setValue(self, exam: Exam | None) -> None:
        """Show the phases of an exam."""
        rows = phase_rows(exam)
        self.setRowCount(len(rows))
        for row, (*texts, tip) in enumerate(rows):
            for column, text in enumerate(texts):
                item = QTableWidgetItem(text)
                item.setToolTip(tip)
                self.setItem(row, column, item)
        height = self.horizontalHeader().height() + len(rows) * self.rowHeight(0) + 4
        self.setFixedHeight(max(height, 1))
        self.setVisible(bool(rows))
