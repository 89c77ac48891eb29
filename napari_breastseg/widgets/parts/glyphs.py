"""Buttons with a drawn sign in the theme's own ink instead of words; the tooltip has the words."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QBrush, QColor, QPainter, QPainterPath, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QPushButton, QStyle, QStyleOptionButton, QStylePainter

__all__ = ["GLYPHS", "GlyphButton"]

_SIDE = 20.0
"""Signs are drawn on a square of 20 x 20, y downwards."""

_PEN_PX = 1.7
_WIDTH_PX, _HEIGHT_PX = 38, 30

Drawing = Callable[[QPainter], None]


class GlyphButton(QPushButton):
    """A button that shows its sign; its text is for the tooltip and for screen readers.

    Parameters
    ----------
    sign : str
        One of `GLYPHS`.
    text : str
        What it does, in a word or two.
    """

    def __init__(self, sign: str, text: str) -> None:
        super().__init__(text)
        self._draw = GLYPHS[sign]

    def sizeHint(self) -> QSize:
        """As large as the sign and its margins."""
        return QSize(_WIDTH_PX, _HEIGHT_PX)

    def minimumSizeHint(self) -> QSize:
        """Seven of them fit into a narrow dock."""
        return QSize(_HEIGHT_PX, _HEIGHT_PX)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the button as the theme does, and the sign in place of the words."""
        painter = QStylePainter(self)
        option = QStyleOptionButton()
        self.initStyleOption(option)
        option.text = ""
        painter.drawControl(QStyle.ControlElement.CE_PushButton, option)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        ink = QColor(self.palette().buttonText().color())
        if not self.isEnabled():
            ink.setAlpha(90)
        painter.setPen(
            QPen(
                QBrush(ink),
                _PEN_PX,
                Qt.PenStyle.SolidLine,
                Qt.PenCapStyle.RoundCap,
                Qt.PenJoinStyle.RoundJoin,
            )
        )
        painter.translate((self.width() - _SIDE) / 2, (self.height() - _SIDE) / 2)
        self._draw(painter)
        painter.end()


def _circle(painter: QPainter, x: float, y: float, radius: float) -> None:
    painter.drawEllipse(QPointF(x, y), radius, radius)


def _line(painter: QPainter, *places: tuple[float, float]) -> None:
    painter.drawPolyline(QPolygonF([QPointF(x, y) for x, y in places]))


def _filled(painter: QPainter, path: QPainterPath) -> None:
    painter.fillPath(path, painter.pen().color())


def _dashed(painter: QPainter) -> None:
    pen = painter.pen()
    pen.setDashPattern([1.6, 2.2])
    pen.setWidthF(1.3)
    painter.setPen(pen)


def _smart_click(painter: QPainter) -> None:
    """A pointer, and the outline that it gives."""
    path = QPainterPath(QPointF(9, 8))
    for x, y in ((9, 19), (12, 16.2), (14, 20), (16, 19), (14, 15.4), (18, 15)):
        path.lineTo(x, y)
    path.closeSubpath()
    _filled(painter, path)
    painter.drawArc(QRectF(2, 1, 13, 12), 40 * 16, 240 * 16)


def _grow_click(painter: QPainter) -> None:
    """A point, and rings around it."""
    dot = QPainterPath()
    dot.addEllipse(QPointF(10, 10), 2.4, 2.4)
    _filled(painter, dot)
    _circle(painter, 10, 10, 5.2)
    _dashed(painter)
    _circle(painter, 10, 10, 8.6)


def _threshold_brush(painter: QPainter) -> None:
    """A brush, and a disk of which one half counts."""
    _line(painter, (18, 2), (11, 10))
    half = QPainterPath()
    half.moveTo(7, 8.5)
    half.arcTo(QRectF(2, 8.5, 10, 10), 90, 180)
    half.closeSubpath()
    _filled(painter, half)
    _circle(painter, 7, 13.5, 5)


def _keep(painter: QPainter) -> None:
    _circle(painter, 10, 10, 8)
    _line(painter, (6, 10.5), (9, 13.5), (14, 7))


def _drop(painter: QPainter) -> None:
    _circle(painter, 10, 10, 8)
    _line(painter, (7, 7), (13, 13))
    _line(painter, (13, 7), (7, 13))


def _box(painter: QPainter) -> None:
    _dashed(painter)
    painter.drawRect(QRectF(2, 4, 16, 12))


def _enlarge(painter: QPainter) -> None:
    _circle(painter, 10, 10, 8)
    _line(painter, (6, 10), (14, 10))
    _line(painter, (10, 6), (10, 14))


def _shrink(painter: QPainter) -> None:
    _circle(painter, 10, 10, 8)
    _line(painter, (6, 10), (14, 10))


def _smooth(painter: QPainter) -> None:
    """A ragged line above a smooth one."""
    _line(painter, (2, 7), (5, 3), (7, 7), (10, 2), (13, 7), (15, 3), (18, 7))
    path = QPainterPath(QPointF(2, 17))
    path.cubicTo(7, 9, 13, 9, 18, 17)
    painter.drawPath(path)


def _fill_holes(painter: QPainter) -> None:
    """A ring that is being filled."""
    _circle(painter, 10, 10, 8)
    hole = QPainterPath()
    hole.addEllipse(QPointF(10, 10), 4.6, 4.6)
    _filled(painter, hole)


def _interpolate(painter: QPainter) -> None:
    """Two slices, and one made between them."""
    _line(painter, (3, 3), (17, 3))
    _line(painter, (5, 17), (15, 17))
    _dashed(painter)
    _line(painter, (4, 10), (16, 10))


def _copy_next(painter: QPainter) -> None:
    _line(painter, (3, 3), (17, 3))
    _line(painter, (10, 6.5), (10, 17))
    _line(painter, (6, 13), (10, 17), (14, 13))


def _copy_previous(painter: QPainter) -> None:
    _line(painter, (3, 17), (17, 17))
    _line(painter, (10, 13.5), (10, 3))
    _line(painter, (6, 7), (10, 3), (14, 7))


GLYPHS: dict[str, Drawing] = {
    "smart_click": _smart_click,
    "grow_click": _grow_click,
    "threshold_brush": _threshold_brush,
    "keep": _keep,
    "drop": _drop,
    "box": _box,
    "enlarge": _enlarge,
    "shrink": _shrink,
    "smooth": _smooth,
    "fill_holes": _fill_holes,
    "interpolate": _interpolate,
    "copy_next": _copy_next,
    "copy_previous": _copy_previous,
}
"""Sign by name."""
