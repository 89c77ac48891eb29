"""What each accepted case cost, in the order of acceptance: does it fall with better models?

Drawn with QPainter in the theme's own colors, like the curves of a training.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QPaintEvent, QPen, QTextOption
from qtpy.QtWidgets import QComboBox, QSizePolicy, QVBoxLayout, QWidget

from ...dataset import Effort, effort_by_model
from .curves import plot_painter
from .fields import counted, note

__all__ = ["EffortPlot"]

DOT_COLOR, MEDIAN_COLOR = "#56b4e9", "#e69f00"


@dataclass(frozen=True)
class _Measure:
    title: str
    unit: str
    value: Callable[[Effort], float | None]


_MEASURES = (
    _Measure("Seconds of work", "s", lambda row: row.seconds),
    _Measure("Strokes", "", lambda row: row.strokes),
    _Measure("Added path length, mm", "mm", lambda row: row.added_path_mm),
    _Measure("Added path length, px", "px", lambda row: row.added_path_px),
    _Measure("Voxels changed", "", lambda row: row.voxels_changed),
    _Measure("Dice of draft and accepted mask", "", lambda row: row.dice_draft),
)


class EffortPlot(QWidget):
    """One dot for each case, a line for the median of each model's cases."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: tuple[Effort, ...] = ()
        self.measure = QComboBox()
        self.measure.setToolTip("What to draw")
        self.measure.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        for measure in _MEASURES:
            self.measure.addItem(measure.title)
        self.measure.currentIndexChanged.connect(lambda _: self._draw())
        self.canvas = _Canvas()
        self.words = note()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.measure)
        column.addWidget(self.canvas)
        column.addWidget(self.words)
        self.set_rows(())

    def set_rows(self, rows: Sequence[Effort]) -> None:
        """Show what these cases cost; those without a draft are left out."""
        self.rows = tuple(row for row in rows if row.model is not None)
        self._draw()

    @property
    def points(self) -> list[tuple[float, str]]:
        """Value and model of each case drawn, in order."""
        measure = _MEASURES[self.measure.currentIndex()]
        values = ((measure.value(row), row.model or "") for row in self.rows)
        return [(float(value), model) for value, model in values if value is not None]

    def _draw(self) -> None:
        unit = _MEASURES[self.measure.currentIndex()].unit
        self.canvas.show_points(self.points, unit)
        lines = [
            f"{row.model}: {counted(row.cases, 'case')}, {row.seconds:.0f} s, "
            f"draft's Dice {row.dice_draft:.2f}"
            for row in effort_by_model(self.rows)
            if row.dice_draft is not None
        ]
        self.words.setText("\n".join(lines) or "No case was corrected from a draft yet.")
        self.canvas.setVisible(bool(self.rows))
        self.measure.setVisible(bool(self.rows))


class _Canvas(QWidget):
    def __init__(self) -> None:
        super().__init__()
        self.setMinimumHeight(120)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._points: list[tuple[float, str]] = []
        self._unit = ""

    def show_points(self, points: list[tuple[float, str]], unit: str) -> None:
        self._points, self._unit = points, unit
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw scale, dots and medians; a new model begins at a dashed line."""
        painter, ink, faint = plot_painter(self)
        box = QRectF(self.rect()).adjusted(44, 8, -8, -18)
        top = max((value for value, _ in self._points), default=1.0) or 1.0
        painter.setPen(QPen(faint, 1))
        painter.drawLine(box.bottomLeft(), box.bottomRight())
        painter.drawLine(box.topLeft(), box.topRight())
        painter.setPen(ink)
        left, right = (
            QTextOption(side | Qt.AlignmentFlag.AlignVCenter)
            for side in (Qt.AlignmentFlag.AlignLeft, Qt.AlignmentFlag.AlignRight)
        )
        for value, y in ((top, box.top()), (0.0, box.bottom())):
            text = f"{value:.3g} {self._unit}".strip()
            painter.drawText(QRectF(0, y - 7, box.left() - 4, 14), text, right)
        below = QRectF(box.left(), box.bottom() + 2, box.width(), 14)
        painter.drawText(below, "first accepted", left)
        painter.drawText(below, "last", right)
        step = box.width() / max(len(self._points), 1)

        def place(index: float, value: float) -> QPointF:
            return QPointF(
                box.left() + (index + 0.5) * step, box.bottom() - box.height() * value / top
            )

        start = 0
        for index in range(1, len(self._points) + 1):
            is_end = index == len(self._points)
            if not is_end and self._points[index][1] == self._points[start][1]:
                continue
            middle = median(value for value, _ in self._points[start:index])
            painter.setPen(QPen(QColor(MEDIAN_COLOR), 2))
            painter.drawLine(place(start - 0.4, middle), place(index - 0.6, middle))
            if not is_end:
                painter.setPen(QPen(faint, 1, Qt.PenStyle.DashLine))
                x = place(index - 0.5, 0).x()
                painter.drawLine(QPointF(x, box.top()), QPointF(x, box.bottom()))
            start = index
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(DOT_COLOR))
        for index, (value, _) in enumerate(self._points):
            painter.drawEllipse(place(index, value), 2.5, 2.5)
        painter.end()
