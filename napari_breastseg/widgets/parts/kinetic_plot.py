"""Enhancement curves of lesions, drawn with QPainter in the theme's own colors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QPaintEvent, QPen
from qtpy.QtWidgets import QSizePolicy, QWidget

from ...lesions import Lesion
from .curves import plot_painter

__all__ = ["KineticPlot"]

CHOSEN_COLOR = "#4aa3df"


class KineticPlot(QWidget):
    """Enhancement in % over the phases; the chosen lesion bright, the others faint."""

    def __init__(self) -> None:
        super().__init__()
        self.setMinimumHeight(140)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.curves: dict[str, dict[str, float]] = {}
        """Lesion id to role to enhancement in %."""

        self.chosen: str | None = None

    def show_lesions(self, lesions: Sequence[Lesion], chosen: str | None) -> None:
        """Show the curves of lesions; hidden without any."""
        self.curves = {
            lesion.id: dict(lesion.kinetics.curve_percent)
            for lesion in lesions[:12]
            if lesion.kinetics.curve_percent
        }
        self.chosen = chosen or next(iter(self.curves), None)
        self.setVisible(bool(self.curves))
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw scale, phases and curves."""
        if not self.curves:
            return
        painter, ink, faint = plot_painter(self)
        box = QRectF(self.rect()).adjusted(44, 20, -16, -20)
        values = [value for curve in self.curves.values() for value in curve.values()]
        top = max(50.0, 50 * math.ceil(max(values) / 50))
        bottom = min(0.0, 50 * math.floor(min(values) / 50))

        def height(value: float) -> float:
            return float(box.bottom() - (value - bottom) / (top - bottom) * box.height())

        for value in (bottom, (bottom + top) / 2, top):
            painter.setPen(QPen(faint, 1))
            painter.drawLine(
                QPointF(box.left(), height(value)), QPointF(box.right(), height(value))
            )
            painter.setPen(ink)
            label = QRectF(0, height(value) - 8, 40, 16)
            painter.drawText(
                label,
                Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter,
                f"{value:.0f} %",
            )
        roles = list(next(iter(self.curves.values())))
        step = box.width() / max(1, len(roles) - 1)
        for place, role in enumerate(roles):
            label = QRectF(box.left() + place * step - 30, box.bottom() + 3, 60, 16)
            painter.drawText(label, Qt.AlignmentFlag.AlignCenter, role)
        painter.setPen(QColor(CHOSEN_COLOR))
        painter.drawText(
            QRectF(box.left(), 0, box.width(), 16), Qt.AlignmentFlag.AlignLeft, self.chosen or ""
        )
        for lesion_id in sorted(self.curves, key=lambda one: one == self.chosen):
            is_chosen = lesion_id == self.chosen
            color = QColor(CHOSEN_COLOR) if is_chosen else faint
            painter.setPen(QPen(color, 2 if is_chosen else 1))
            points = [
                QPointF(box.left() + place * step, height(value))
                for place, value in enumerate(self.curves[lesion_id].values())
            ]
            for one, other in pairwise(points):
                painter.drawLine(one, other)
            if is_chosen:
                painter.setBrush(color)
                for point in points:
                    painter.drawEllipse(point, 2.5, 2.5)
        painter.end()
