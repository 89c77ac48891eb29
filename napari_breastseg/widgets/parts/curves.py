"""Loss and Dice of a training as it goes, drawn with QPainter in the theme's own colors.

Two lines, redrawn at every step in the window's thread, are too little for a matplotlib canvas.
"""

from __future__ import annotations

import math

from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPainterPath, QPaintEvent, QPen, QTextOption
from qtpy.QtWidgets import QSizePolicy, QWidget

__all__ = ["DICE_COLOR", "Curves", "plot_painter"]

LOSS_COLOR = "#e8833a"
DICE_COLOR = "#4aa3df"
_MARGIN = 30.0
_SMOOTH = 0.9


class Curves(QWidget):
    """Loss (left scale) and validation Dice (right scale, 0 to 1) over steps."""

    def __init__(self) -> None:
        super().__init__()
        self.setMinimumHeight(150)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.loss: list[tuple[int, float]] = []
        self.dice: list[tuple[int, float]] = []
        self._total = 1
        self._smoothed = math.nan
        self.setVisible(False)

    def begin(self) -> None:
        """Forget the curves of an earlier run."""
        self.loss, self.dice, self._total, self._smoothed = [], [], 1, math.nan
        self.setVisible(True)
        self.update()

    def add(self, step: int, total: int, loss: float | None, dice: float | None) -> None:
        """Add a step's figures; the loss is drawn as a running mean."""
        self._total = max(total, 1)
        if loss is not None:
            before = loss if math.isnan(self._smoothed) else self._smoothed
            self._smoothed = _SMOOTH * before + (1 - _SMOOTH) * loss
            self.loss.append((step, self._smoothed))
        if dice is not None:
            self.dice.append((step, dice))
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw frame, scales and both curves."""
        painter, ink, faint = plot_painter(self)
        box = QRectF(self.rect()).adjusted(_MARGIN, 18, -_MARGIN, -18)
        painter.setPen(QPen(faint, 1))
        for part in (0.0, 0.5, 1.0):
            y = box.bottom() - part * box.height()
            painter.drawLine(QPointF(box.left(), y), QPointF(box.right(), y))
        top = self._nice_top()
        self._text(painter, ink, box.left() - 3, box.top(), f"{top:g}", Qt.AlignmentFlag.AlignRight)
        self._text(painter, ink, box.left() - 3, box.bottom(), "0", Qt.AlignmentFlag.AlignRight)
        self._text(painter, ink, box.right() + 3, box.top(), "1", Qt.AlignmentFlag.AlignLeft)
        self._text(painter, ink, box.right() + 3, box.bottom(), "0", Qt.AlignmentFlag.AlignLeft)
        steps = QRectF(box.left(), box.bottom() + 2, box.width(), 14)
        painter.setPen(ink)
        painter.drawText(steps, "0", _to_the(Qt.AlignmentFlag.AlignLeft))
        painter.drawText(
            steps,
            "" if self._total == 1 else f"{self._total} steps",
            _to_the(Qt.AlignmentFlag.AlignRight),
        )
        legend = QRectF(box.left(), 0, box.width(), 16)
        painter.setPen(QColor(LOSS_COLOR))
        loss = f"loss {self.loss[-1][1]:.3f}" if self.loss else "loss"
        painter.drawText(legend, loss, _to_the(Qt.AlignmentFlag.AlignLeft))
        painter.setPen(QColor(DICE_COLOR))
        dice = f"Dice {self.dice[-1][1]:.3f}" if self.dice else "Dice"
        painter.drawText(legend, dice, _to_the(Qt.AlignmentFlag.AlignRight))
        self._curve(painter, box, self.loss, top, LOSS_COLOR, with_dots=False)
        self._curve(painter, box, self.dice, 1.0, DICE_COLOR, with_dots=True)
        painter.end()

    def _nice_top(self) -> float:
        highest = max((value for _, value in self.loss), default=1.0)
        return max(0.1, math.ceil(highest * 5) / 5)

    def _curve(
        self,
        painter: QPainter,
        box: QRectF,
        points: list[tuple[int, float]],
        top: float,
        color: str,
        *,
        with_dots: bool,
    ) -> None:
        places = [
            QPointF(
                box.left() + box.width() * step / self._total,
                box.bottom() - box.height() * min(value / top, 1.0),
            )
            for step, value in points
        ]
        painter.setPen(QPen(QColor(color), 1.6))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        if places:
            path = QPainterPath(places[0])
            for place in places[1:]:
                path.lineTo(place)
            painter.drawPath(path)
        if with_dots:
            painter.setBrush(QColor(color))
            for place in places:
                painter.drawEllipse(place, 2.2, 2.2)

    def _text(
        self,
        painter: QPainter,
        color: QColor,
        x: float,
        y: float,
        text: str,
        side: Qt.AlignmentFlag,
    ) -> None:
        painter.setPen(color)
        left = x - 40 if side == Qt.AlignmentFlag.AlignRight else x
        area = QRectF(left, y - 7, 40, 14)
        painter.drawText(area, text, _to_the(side))


def _to_the(side: Qt.AlignmentFlag) -> QTextOption:
    option = QTextOption(side | Qt.AlignmentFlag.AlignVCenter)
    option.setWrapMode(QTextOption.WrapMode.NoWrap)
    return option


def plot_painter(widget: QWidget) -> tuple[QPainter, QColor, QColor]:
    """A painter for a small plot, with the theme's ink and a faint one for scales.

    Parameters
    ----------
    widget : QWidget
        The one whose paintEvent is under way.
    """
    painter = QPainter(widget)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    small = painter.font()
    small.setPointSizeF(8.0)
    painter.setFont(small)
    ink = widget.palette().windowText().color()
    faint = QColor(ink)
    faint.setAlpha(70)
    return painter, ink, faint
