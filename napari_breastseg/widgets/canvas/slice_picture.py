"""A picture of one slice beside the canvas, drawn by Qt: made in no time, and nothing to clean up.

A second canvas of napari would cost a second to make, and copies of its layers another to remove.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from qtpy.QtCore import QLineF, QPointF, QRect, QRectF, Qt, Signal
from qtpy.QtGui import (
    QColor,
    QImage,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QTransform,
    QWheelEvent,
)
from qtpy.QtWidgets import QSizePolicy, QWidget

from ...core.volume import TUMOR
from ..parts import colors as _colors
from .planes import Plane, edges, painted

__all__ = ["SlicePicture"]

_NOTCH = 120
_TEXT, _GROUND, _BAR = QColor("#dddddd"), QColor(0, 0, 0, 170), QColor("#7a1f5c")
_MARGIN, _POINTER_PX = 6, 7


class SlicePicture(QWidget):
    """Draws a plane; tells what the mouse does on it.

    Parameters
    ----------
    look : callable
        Gives the `Plane` to draw, or None.
    """

    placed = Signal(float, float)
    """The left button is held at a row and column."""

    dragged = Signal(float, float)
    """The left button moved by so many mm down and across, in the order of rows and columns."""

    windowed = Signal(int, int)
    """The right button moved by pixels to the right and down."""

    scrolled = Signal(int, bool)
    """The wheel went on by so many slices; whether Alt was held."""

    zoomed = Signal(float)
    """The wheel was turned with Ctrl: by this factor."""

    def __init__(self, look: Callable[[], Plane | None]) -> None:
        super().__init__()
        self._look = look
        self._plane: Plane | None = None
        self._image: QImage | None = None
        self._lines: list[QLineF] = []
        self.waits_for = ""
        """What is said while there is no plane."""

        self._turned = 0
        self._last: QPointF | None = None
        self.setMinimumSize(60, 60)
        # As large as the layout gives, whatever it shows: the canvas and it share the room evenly.
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Ignored)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # the keys are the canvas's

    @property
    def plane(self) -> Plane | None:
        """What is drawn."""
        return self._plane

    def renew(self, event: object = None) -> None:
        """Draw anew: the slice, its window or its mask changed."""
        self._image = None
        self.update()

    def follow(self, event: object = None) -> None:
        """Draw at another place: only camera or pointer moved."""
        self.update()

    def place_of(self, position: QPointF) -> tuple[float, float]:
        """Row and column under a place of this widget."""
        if self._plane is None:
            return 0.0, 0.0
        back, _ = self._transform(self._plane).inverted()
        place = back.map(QPointF(position))
        return place.y(), place.x()

    def position_of(self, row: float, column: float) -> QPointF:
        """Where a row and column are drawn."""
        if self._plane is None:
            return QPointF()
        return self._transform(self._plane).map(QPointF(column, row))

    def _transform(self, plane: Plane) -> QTransform:
        """From columns and rows to this widget's pixels."""
        height, width = plane.fitted
        scale = plane.zoom * min(self.width() / max(width, 1e-9), self.height() / max(height, 1e-9))
        down, across = (-1 if is_flipped else 1 for is_flipped in plane.is_flipped)
        turned = QTransform()
        turned.translate(self.width() / 2, self.height() / 2)
        turned.scale(across * scale * plane.size[1], down * scale * plane.size[0])
        turned.translate(-plane.center[1], -plane.center[0])
        return turned

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw slice, mask, lines and words."""
        before, plane = self._plane, self._look()
        self._plane = plane
        painter = QPainter(self)
        painter.fillRect(self.rect(), Qt.GlobalColor.black)
        if plane is None:
            painter.setPen(_TEXT)
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, self.waits_for)
            painter.end()
            return
        is_other = before is None or (before.index, before.order) != (plane.index, plane.order)
        if self._image is None or is_other:
            self._render(plane)
        assert self._image is not None
        turned = self._transform(plane)
        painter.setTransform(turned)
        # Enlarged voxels are shown as they are; a smaller picture must not lose thin ones.
        is_smaller = abs(turned.m11()) < 1 or abs(turned.m22()) < 1
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, is_smaller)
        rows, columns = plane.shape
        if not plane.is_blank:
            painter.drawImage(QRectF(-0.5, -0.5, columns, rows), self._image)
        if self._lines and not plane.is_blank:
            self._pen(painter, QColor(plane.mask_color), 2)
            painter.drawLines(self._lines)
        if plane.cross is not None:
            row, column = plane.cross
            self._pen(painter, QColor(_colors.FRAME), 1)
            painter.drawLine(QLineF(-0.5, row, columns - 0.5, row))
            painter.drawLine(QLineF(column, -0.5, column, rows - 0.5))
        painter.resetTransform()
        if plane.pointer is not None:
            at = turned.map(QPointF(plane.pointer[1], plane.pointer[0]))
            self._pen(painter, QColor(_colors.ADDED), 1)
            for across, down in ((_POINTER_PX, 0), (0, _POINTER_PX)):
                by = QPointF(across, down)
                painter.drawLine(QLineF(at - by, at + by))
        self._write(painter, plane)
        painter.end()

    def _render(self, plane: Plane) -> None:
        colors = painted(plane)
        rows, columns = colors.shape[:2]
        # The image does not own the array's memory: a copy does.
        self._image = QImage(
            colors.tobytes(), columns, rows, 4 * columns, QImage.Format.Format_RGBA8888
        ).copy()
        self._lines = []
        if plane.mask is not None and plane.opacity == 0:
            lines = edges(np.asarray(plane.slice_of(plane.mask) == TUMOR))
            self._lines = [QLineF(*line) for line in lines.tolist()]

    @staticmethod
    def _pen(painter: QPainter, color: QColor, width: int) -> None:
        pen = QPen(color, width)
        pen.setCosmetic(True)
        painter.setPen(pen)

    def _write(self, painter: QPainter, plane: Plane) -> None:
        font = painter.font()
        font.setPixelSize(13)
        painter.setFont(font)
        inside = self.rect().adjusted(_MARGIN, _MARGIN, -_MARGIN, -_MARGIN)
        if plane.title:
            bar = self.rect()
            bar.setHeight(painter.fontMetrics().height() + 8)
            painter.fillRect(bar, _BAR)
            painter.setPen(Qt.GlobalColor.white)
            painter.drawText(bar, Qt.AlignmentFlag.AlignCenter, plane.title)
            inside.setTop(bar.bottom() + _MARGIN)
        middle, center = Qt.AlignmentFlag.AlignVCenter, Qt.AlignmentFlag.AlignHCenter
        left, right = Qt.AlignmentFlag.AlignLeft, Qt.AlignmentFlag.AlignRight
        top, bottom = Qt.AlignmentFlag.AlignTop, Qt.AlignmentFlag.AlignBottom
        places = (middle | left, middle | right, top | center, bottom | center)
        for where, letter in zip(places, plane.letters, strict=True):
            self._text(painter, inside, where, letter)
        font.setPixelSize(11)
        painter.setFont(font)
        wide = painter.boundingRect(inside, bottom | left, plane.caption).width()
        if 2 * wide > inside.width() - 20:
            inside.setBottom(inside.bottom() - 16)  # above the letter
        self._text(painter, inside, bottom | left, plane.caption)

    @staticmethod
    def _text(painter: QPainter, room: QRect, where: Qt.AlignmentFlag, text: str) -> None:
        """Words on a ground of their own: the picture may be as bright as they are."""
        if text:
            box = painter.boundingRect(room, where, text).adjusted(-3, 0, 3, 0)
            painter.fillRect(box, _GROUND)
            painter.setPen(_TEXT)
            painter.drawText(box.adjusted(3, 0, 0, 0), Qt.AlignmentFlag.AlignLeft, text)

    # The mouse

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Scroll, or zoom with Ctrl."""
        held = event.modifiers()
        # Some systems turn the wheel's direction where Alt is held.
        delta = event.angleDelta()
        self._turned += delta.y() or delta.x()
        steps = int(self._turned / _NOTCH)
        self._turned -= steps * _NOTCH
        if steps and held & Qt.KeyboardModifier.ControlModifier:
            self.zoomed.emit(1.1**steps)
        elif steps:
            self.scrolled.emit(-steps, bool(held & Qt.KeyboardModifier.AltModifier))
        event.accept()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Go there, or begin a drag."""
        self._last = _place(event)
        if event.button() == Qt.MouseButton.LeftButton:
            self.placed.emit(*self.place_of(self._last))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Follow a drag."""
        here = _place(event)
        if self._last is None or self._plane is None:
            return
        moved, before, self._last = here - self._last, self._last, here
        if event.buttons() & Qt.MouseButton.RightButton:
            self.windowed.emit(round(moved.x()), round(moved.y()))
        elif event.buttons() & Qt.MouseButton.LeftButton:
            (row, column), (was_row, was_column) = self.place_of(here), self.place_of(before)
            height, width = self._plane.size
            self.dragged.emit((row - was_row) * height, (column - was_column) * width)
            self.placed.emit(row, column)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """End a drag."""
        self._last = None


def _place(event: QMouseEvent) -> QPointF:
    return event.position() if hasattr(event, "position") else QPointF(event.localPos())
