"""Dice of each held-out case before a training and now, drawn with QPainter."""

from __future__ import annotations

from collections.abc import Mapping

from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QPaintEvent, QPen
from qtpy.QtWidgets import QSizePolicy, QWidget

from .curves import DICE_COLOR, plot_painter

__all__ = ["CaseDice"]

MOST_ROWS = 12
WORSE_COLOR = "#d64545"
_ROW = 15
_NAME = 110
_FIGURES = 84


class CaseDice(QWidget):
    """A row for each case, lowest Dice first: an open dot before, a full one now, from 0 to 1."""

    def __init__(self) -> None:
        super().__init__()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.before: dict[str, float] = {}
        self.now: dict[str, float] = {}
        self.begin()

    def begin(self) -> None:
        """Forget the cases of an earlier run."""
        self.before, self.now = {}, {}
        self.setVisible(False)

    def add(self, step: int, per_case: Mapping[str, float]) -> None:
        """Take the Dice of each case; those of step 0 are of the model that is fine-tuned."""
        if step == 0:
            self.before = dict(per_case)
        else:
            self.now = dict(per_case)
        rows = self.rows()
        hidden = len({*self.before, *self.now}) - len(rows)
        self.setFixedHeight(_ROW * (len(rows) + (hidden > 0)) + 4)
        self.setToolTip("\n".join(self._figures(case) for case in self._cases()))
        self.setVisible(True)
        self.update()

    def rows(self) -> list[str]:
        """Cases shown, lowest Dice first."""
        return self._cases()[:MOST_ROWS]

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the rows."""
        painter, ink, faint = plot_painter(self)
        left, width = _NAME, max(20.0, self.width() - _NAME - _FIGURES - 8.0)
        side = Qt.AlignmentFlag.AlignVCenter
        for number, case in enumerate(self.rows()):
            top = float(number * _ROW)
            middle = top + _ROW / 2
            painter.setPen(ink)
            name = painter.fontMetrics().elidedText(case, Qt.TextElideMode.ElideMiddle, _NAME - 8)
            painter.drawText(QRectF(0, top, _NAME, _ROW), side, name)
            figures = QRectF(left + width + 8, top, _FIGURES, _ROW)
            painter.drawText(figures, side, self._change(case))
            painter.setPen(QPen(faint, 1))
            painter.drawLine(QPointF(left, middle), QPointF(left + width, middle))
            before, now = self.before.get(case), self.now.get(case)
            is_worse = before is not None and now is not None and now < before
            color = QColor(WORSE_COLOR if is_worse else DICE_COLOR)
            if before is not None and now is not None:
                painter.setPen(QPen(color, 2))
                ends = [QPointF(left + width * value, middle) for value in (before, now)]
                painter.drawLine(*ends)
            painter.setPen(QPen(color, 1.4))
            if before is not None:
                painter.setBrush(self.palette().window())
                painter.drawEllipse(QPointF(left + width * before, middle), 3, 3)
            if now is not None:
                painter.setBrush(color)
                painter.drawEllipse(QPointF(left + width * now, middle), 3, 3)
            painter.setBrush(Qt.BrushStyle.NoBrush)
        if hidden := len(self._cases()) - len(self.rows()):
            area = QRectF(0, MOST_ROWS * _ROW, self.width(), _ROW)
            painter.setPen(ink)
            painter.drawText(area, side, f"and {hidden} more, better ones")
        painter.end()

    def _cases(self) -> list[str]:
        latest = self.before | self.now
        return sorted(latest, key=lambda case: (latest[case], case))

    def _change(self, case: str) -> str:
        shown = [values.get(case) for values in (self.before, self.now)]
        return " → ".join(f"{value:.2f}" for value in shown if value is not None)

    def _figures(self, case: str) -> str:
        return f"{case}: Dice {self._change(case)}"
