"""The mouse as a reading station has it: the wheel scrolls slices, a drag to the right windows.

Ctrl and the wheel zooms. A right click without a drag stays napari's, and so does the wheel while a
button is down, when a tool may have a use for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QObject, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent, QWheelEvent
from qtpy.QtWidgets import QApplication, QWidget

from ..parts.manners import canvas_of
from .display import Display

if TYPE_CHECKING:
    from napari.viewer import Viewer

__all__ = ["ReadingMouse"]

_NOTCH = 120
"""What Qt says of one notch of a wheel; touchpads send parts of it."""

_RIGHT, _NONE = Qt.MouseButton.RightButton, Qt.MouseButton.NoButton


class ReadingMouse(QObject):
    """Follows wheel and right button over the canvas of a window.

    Parameters
    ----------
    viewer : napari.Viewer
    display : Display
        Whose intensity window the right drag changes.
    parent : QObject
    """

    def __init__(self, viewer: Viewer, display: Display, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._display = display
        self._canvas: QWidget | None = None
        self._turned = 0
        self._pressed: QPoint | None = None
        self._last: QPoint | None = None
        self._is_passing = False

    def follow(self, window: QWidget) -> None:
        """Take the canvas of a window; keep it dark, as MR images are."""
        if self._canvas is None and (canvas := canvas_of(window)) is not None:
            self._canvas = canvas
            canvas.installEventFilter(self)
            self._viewer.canvas.background_color_override = "black"

    def take_down(self) -> None:
        """Leave the canvas as napari has it."""
        if self._canvas is not None:
            self._canvas.removeEventFilter(self)
            self._canvas = None
            self._viewer.canvas.background_color_override = None

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Take what reads the image, and leave the rest to napari."""
        if self._is_passing or watched is not self._canvas:
            return False
        if isinstance(event, QWheelEvent):
            return self._turn(event)
        return isinstance(event, QMouseEvent) and self._window(event)

    def _turn(self, event: QWheelEvent) -> bool:
        is_flat = self._viewer.dims.ndisplay == 2 and self._viewer.dims.ndim > 2
        held = event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
        if event.buttons() != _NONE or not is_flat:
            return False
        if held == Qt.KeyboardModifier.ControlModifier:
            self._pass(_without_keys(event))  # napari would scroll; without the key it zooms
            return True
        if held != Qt.KeyboardModifier.NoModifier:
            return False
        self._turned += event.angleDelta().y()
        steps = int(self._turned / _NOTCH)
        if steps:
            self._turned -= steps * _NOTCH
            axis = self._viewer.dims.order[-3]
            here = self._viewer.dims.current_step[axis]
            self._viewer.dims.set_current_step(axis, here - steps)  # towards the reader: onward
        return True

    def _window(self, event: QMouseEvent) -> bool:
        kind, place = event.type(), _place(event)
        if kind == QEvent.Type.MouseButtonPress and event.button() == _RIGHT:
            self._pressed, self._last = place, None
            return True
        if self._pressed is None:
            return False
        if kind == QEvent.Type.MouseMove:
            far = (place - self._pressed).manhattanLength() >= QApplication.startDragDistance()
            if self._last is None and far:
                self._last = self._pressed
            if self._last is not None:
                moved, self._last = place - self._last, place
                self._display.drag_window(moved.x(), moved.y())
            return True
        if kind == QEvent.Type.MouseButtonRelease and event.button() == _RIGHT:
            pressed, was_drag = self._pressed, self._last is not None
            self._pressed = self._last = None
            if not was_drag:
                self._click(pressed, event)
            return True
        return False

    def _click(self, place: QPoint, released: QMouseEvent) -> None:
        """Hand napari the click that was held back."""
        at = self._canvas
        if at is None:
            return
        for kind, buttons in (
            (QEvent.Type.MouseButtonPress, _RIGHT),
            (QEvent.Type.MouseButtonRelease, _NONE),
        ):
            on_screen = QPointF(at.mapToGlobal(place))
            held = released.modifiers()
            self._pass(QMouseEvent(kind, QPointF(place), on_screen, _RIGHT, buttons, held))

    def _pass(self, event: QEvent) -> None:
        self._is_passing = True
        try:
            QApplication.sendEvent(self._canvas, event)
        finally:
            self._is_passing = False


def _place(event: QMouseEvent) -> QPoint:
    return event.position().toPoint() if hasattr(event, "position") else event.pos()


def _without_keys(event: QWheelEvent) -> QWheelEvent:
    return QWheelEvent(
        event.position(),
        event.globalPosition(),
        event.pixelDelta(),
        event.angleDelta(),
        event.buttons(),
        Qt.KeyboardModifier.NoModifier,
        event.phase(),
        event.inverted(),
    )
