"""The five steps of the dock in a row, each with where it stands."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QEvent, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QFont, QPainter, QPaintEvent
from qtpy.QtWidgets import QAbstractButton, QButtonGroup, QHBoxLayout, QSizePolicy, QWidget

from ..parts.colors import DONE, FRAME
from ..state.frame import STEPS, Step

__all__ = ["StepBar"]

_HEIGHT_PX = 40
_TICK = "\u2713 "


class StepBar(QWidget):
    """Goes to a step by a click."""

    chosen = Signal(int)
    """Place of the step that was clicked."""

    def __init__(self) -> None:
        super().__init__()
        self._group = QButtonGroup(self)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        self.buttons = [_StepButton(name) for name in STEPS]
        for place, made in enumerate(self.buttons):
            self._group.addButton(made, place)
            row.addWidget(made, 1)
        self._group.idClicked.connect(self.chosen)
        self.set_current(0)

    def set_current(self, place: int) -> None:
        """Mark the step in front."""
        self.buttons[place].setChecked(True)

    def show_steps(self, steps: Sequence[Step]) -> None:
        """Show where the steps stand."""
        for made, step in zip(self.buttons, steps, strict=True):
            made.show_step(step)


class _StepButton(QAbstractButton):
    """Name of a step, a tick when it is done, and its state beneath."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._step = Step(name, "", is_done=False)
        self.setText(name)
        self.setCheckable(True)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.show_step(self._step)

    def show_step(self, step: Step) -> None:
        self._step = step
        self.setToolTip(f"{step.name}: {step.words}" if step.words else step.name)
        self.setAccessibleName(self.toolTip())
        self.update()

    def sizeHint(self) -> QSize:
        """As wide as its longest words."""
        width = self.fontMetrics().horizontalAdvance(f"{_TICK}{self._step.name}")
        return QSize(width + 12, _HEIGHT_PX)

    def changeEvent(self, event: QEvent) -> None:
        """Follow the theme."""
        super().changeEvent(event)
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw name, state, and a line under the step in front."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.TextAntialiasing)
        ink = self.palette().windowText().color()
        width, height = float(self.width()), float(self.height())
        if self.underMouse():
            shade = QColor(ink)
            shade.setAlpha(20)
            painter.fillRect(self.rect(), shade)
        font = QFont(self.font())
        font.setBold(self.isChecked())
        painter.setFont(font)
        painter.setPen(ink)
        name = f"{_TICK}{self._step.name}" if self._step.is_done else self._step.name
        middle = Qt.AlignmentFlag.AlignCenter
        painter.drawText(QRectF(0, 2, width, 19), middle, name)
        font.setBold(False)
        font.setPixelSize(max(9, round(0.85 * self.fontMetrics().height()) - 3))
        painter.setFont(font)
        faint = QColor(ink)
        faint.setAlpha(190)
        painter.setPen(QColor(DONE) if self._step.is_done else faint)
        words = painter.fontMetrics().elidedText(
            self._step.words, Qt.TextElideMode.ElideRight, int(width)
        )
        painter.drawText(QRectF(0, 20, width, 15), middle, words)
        if self.isChecked():
            painter.fillRect(QRectF(0, height - 3, width, 3), QColor(FRAME))
        painter.end()
