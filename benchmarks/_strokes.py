"""Real mouse events on a viewer's canvas, for benchmarks that paint."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

BETWEEN_MS = 20
"""Between two moves; napari drops faster ones."""


def canvas_place(viewer: Any, layer: Any, point: Sequence[float]) -> QPoint:
    """Where a point of a layer, in its own voxels, lies on the canvas."""
    view = viewer.window._qt_viewer.canvas.view
    world = layer.data_to_world(point)
    y, x = (world[axis] for axis in viewer.dims.displayed)
    mapped = (view.transform * view.scene.transform).map([x, y, 0, 1])
    return QPoint(round(mapped[0]), round(mapped[1]))


def drag(
    viewer: Any, path: Sequence[QPoint], after_move: Callable[[], object] = lambda: None
) -> None:
    """Press the left button, move and release it."""
    native = viewer.window._qt_viewer.canvas.native
    left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    QTest.mouseMove(native, path[0])
    QTest.qWait(BETWEEN_MS)
    QTest.mousePress(native, left, none, path[0])
    for place in path[1:]:
        # QTest.mouseMove carries no button.
        move = QMouseEvent(
            QEvent.Type.MouseMove,
            QPointF(place),
            QPointF(native.mapToGlobal(place)),
            Qt.MouseButton.NoButton,
            left,
            none,
        )
        QApplication.sendEvent(native, move)
        QTest.qWait(BETWEEN_MS)
        after_move()
    QTest.mouseRelease(native, left, none, path[-1])
