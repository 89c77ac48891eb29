"""The dock's header: exam, patient, reader and dataset in two lines, their fields behind them."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QHBoxLayout, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from ..parts.fields import form

__all__ = ["Header"]


class Header(QWidget):
    """Always there; a click on its lines opens the fields.

    Parameters
    ----------
    rows : tuples of str and QWidget
        Titles of the fields, and the fields.
    below : QWidget
        What stands under them.
    menus : sequence of QWidget
        Buttons right of the line.
    """

    def __init__(self, *rows: tuple[str, QWidget], below: QWidget, menus: list[QWidget]) -> None:
        super().__init__()
        self.line = _Line()
        self.line.toggled.connect(self._show_fields)
        row = QHBoxLayout()
        row.setSpacing(4)
        row.addWidget(self.line, 1)
        for menu in menus:
            row.addWidget(menu)
        self.fields = QWidget()
        inside = QVBoxLayout(self.fields)
        inside.setContentsMargins(6, 0, 6, 4)
        inside.addLayout(form(*rows))
        inside.addWidget(below)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addLayout(row)
        column.addWidget(self.fields)
        self.fields.hide()

    def set_open(self, is_open: bool) -> None:
        """Show the fields, or only the line."""
        self.line.setChecked(is_open)

    def open(self) -> None:
        """Show the fields."""
        self.set_open(True)

    def say(self, words: str) -> None:
        """Show a line."""
        self.line.say(words)

    def _show_fields(self, is_open: bool) -> None:
        arrow = Qt.ArrowType.DownArrow if is_open else Qt.ArrowType.RightArrow
        self.line.setArrowType(arrow)
        self.fields.setVisible(is_open)


class _Line(QToolButton):
    """The lines, cut where the dock is narrow; the tooltip has all of them."""

    def __init__(self) -> None:
        super().__init__()
        self._words = ""
        self.setCheckable(True)
        self.setArrowType(Qt.ArrowType.RightArrow)
        self.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setStyleSheet(
            "QToolButton { border: none; background: transparent; text-align: left; padding: 2px; }"
        )

    def say(self, words: str) -> None:
        """Show these words."""
        self._words = words
        self.setToolTip(f"{words}\nClick for exam, patient, reader and dataset")
        self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Cut the words to the new width."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        room = max(self.width() - 34, 20)  # the arrow and the margins
        font = self.fontMetrics()
        lines = self._words.splitlines()
        self.setText(
            "\n".join(font.elidedText(line, Qt.TextElideMode.ElideRight, room) for line in lines)
        )
