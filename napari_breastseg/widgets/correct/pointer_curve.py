"""The enhancement curve of the voxel under the pointer, beside it: with Shift held, or always."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QEvent, QObject, QPoint, Qt
from qtpy.QtGui import QCursor
from qtpy.QtWidgets import QFrame, QVBoxLayout, QWidget

from ..parts.jobs import show_info
from ..state.session import Session
from ..state.sources import layer_of, note_of
from .kinetic_chart import KineticChart

if TYPE_CHECKING:
    from napari.viewer import Viewer

__all__ = ["PointerCurve"]

_BESIDE = QPoint(20, 20)
_WIDTH_PX = 230
_REST_S = 0.03
_STYLE = "QWidget { background: #202428; color: white; }"


class PointerCurve(QObject):
    """Reads the phases at the mouse, when it moves over the canvas with no button held.

    Parameters
    ----------
    viewer : napari.Viewer
    session : Session
    parent : QObject
    """

    def __init__(self, viewer: Viewer, session: Session, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._session = session
        self.is_always = False
        """Whether the curve is shown without Shift, too."""

        self.chart = KineticChart()
        self.chart.rest_s = _REST_S
        self.frame = QFrame()
        self.frame.setStyleSheet(_STYLE)
        self.frame.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.frame.setFixedWidth(_WIDTH_PX)
        column = QVBoxLayout(self.frame)
        column.setContentsMargins(4, 4, 12, 4)
        column.addWidget(self.chart)
        self._canvas: QWidget | None = None
        viewer.mouse_move_callbacks.append(self._on_move)

    def stand_on(self, canvas: QWidget) -> None:
        """Stand on a canvas, hidden until it is asked for."""
        self._canvas = canvas
        self.frame.setParent(canvas)
        canvas.installEventFilter(self)

    def take_down(self) -> None:
        """Leave canvas and viewer."""
        if self._on_move in self._viewer.mouse_move_callbacks:
            self._viewer.mouse_move_callbacks.remove(self._on_move)
        if self._canvas is not None:
            self._canvas.removeEventFilter(self)
            self._canvas = None
        self.frame.hide()
        self.frame.deleteLater()

    def toggle(self) -> None:
        """Enhancement curve at the mouse: always, or with Shift held only."""
        self.is_always = not self.is_always
        if self.is_always:
            self.show_at(self._viewer.cursor.position)
            if not self.frame.isVisible():
                show_info("The curve needs phases before and after contrast, and the mouse there.")
        else:
            self.frame.hide()

    def curve_at(self, position: Any) -> dict[str, float]:
        """Enhancement in % by role at a world position; empty where it is not known."""
        source = self._session.source
        if source is None:
            return {}
        signals: dict[str, float] = {}
        for role, key in (self._session.roles or source.layers).items():
            layer = layer_of(self._viewer, key)
            if layer is None or layer.ndim > 3 or layer.rgb or layer.multiscale:
                return {}
            voxel = tuple(round(float(place)) for place in layer.world_to_data(position))
            voxel = voxel[-layer.ndim :]
            if not all(0 <= at < n for at, n in zip(voxel, layer.data.shape, strict=True)):
                return {}
            signals[role] = float(np.asarray(layer.data[voxel]))
        pre = signals.get("pre", 0.0)
        if pre <= 0 or len(signals) < 2:
            return {}
        return {role: 100 * (signal / pre - 1) for role, signal in signals.items()}

    def show_at(self, position: Any) -> None:
        """Show the curve at a world position, beside the mouse; nothing where there is none."""
        curve = self.curve_at(position)
        if not curve or self._canvas is None:
            self.frame.hide()
            return
        posts = [f"{role} {value:+.0f} %" for role, value in curve.items() if role != "pre"]
        title = ", ".join(posts[:1] + posts[1:][-1:])
        self.chart.times_s = self._times_s()
        self.chart.curves, self.chart.chosen = {title: curve}, title
        self.chart.redraw()
        self.frame.adjustSize()
        here = self._canvas.mapFromGlobal(QCursor.pos())
        room = self._canvas.size() - self.frame.size()
        x, y = here.x() + _BESIDE.x(), here.y() + _BESIDE.y()
        if x > room.width():
            x = here.x() - _BESIDE.x() - self.frame.width()
        self.frame.move(max(0, x), max(0, min(y, room.height())))
        self.frame.show()
        self.frame.raise_()

    def _times_s(self) -> dict[str, float]:
        source = self._session.source
        layers = {} if source is None else (self._session.roles or source.layers)
        times = {role: note_of(layer_of(self._viewer, key)) for role, key in layers.items()}
        return {
            role: note["time_s"] for role, note in times.items() if note.get("time_s") is not None
        }

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Hide the curve when a button is pressed, the mouse leaves, or Shift is let go."""
        kind = event.type()
        is_over = kind in (QEvent.Type.MouseButtonPress, QEvent.Type.Leave)
        if kind == QEvent.Type.KeyRelease and not self.is_always:
            is_over = getattr(event, "key", int)() == Qt.Key.Key_Shift
        if is_over:
            self.frame.hide()
        return False

    def _on_move(self, viewer: object, event: Any) -> None:
        held = tuple(event.modifiers)  # each equals its name
        is_wanted = held == ("Shift",) or (self.is_always and not held)
        if is_wanted and len(event.dims_displayed) == 2:
            self.show_at(event.position)
        else:
            self.frame.hide()
