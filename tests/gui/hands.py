"""What hands do in the window: keys, clicks, the worklist; and cases to do it on."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent, QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QWidget

from napari_breastseg.core.volume import Exam, Grid, LabelMap, Volume

NO_KEYS, SHIFT = Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.ShiftModifier
CTRL_SHIFT = Qt.KeyboardModifier.ControlModifier | SHIFT


def exam_with_truth(case_id: str, depth: int, seed: int) -> tuple[Exam, LabelMap]:
    """Tissue with one bright disk; each seed another."""
    rng = np.random.default_rng(seed)
    grid = Grid((depth, 60, 70), [[0, 0, -1, 0], [0, -1, 0, 0], [3, 0, 0, 0], [0, 0, 0, 1]])
    z, y, x = np.indices(grid.shape)
    tumor = ((y - 28) ** 2 + (x - 20 - 5 * seed) ** 2 < 64) & (abs(z - depth // 2) < 3)
    post = (90 + rng.normal(0, 6, grid.shape) + 120 * tumor).astype(np.float32)
    return Exam(case_id, {"post1": Volume(post, grid)}), LabelMap(tumor.astype(np.uint8), grid)


def listed(panel: Any) -> list[str]:
    return [row.case_id for row in panel.worklist.model.rows]


def press(
    window: SimpleNamespace, key: Qt.Key, modifiers: Any = CTRL_SHIFT, widget: Any = None
) -> None:
    """A key of the dock, pressed with the canvas in focus unless a widget is given."""
    widget = window.viewer.window._qt_viewer.canvas.native if widget is None else widget
    widget.setFocus()
    QTest.keyClick(widget, key, modifiers)
    QTest.qWait(30)


def click(widget: Any) -> None:
    assert widget.isEnabled(), widget.toolTip()
    QTest.mouseClick(widget, Qt.MouseButton.LeftButton, NO_KEYS, widget.rect().center())
    QTest.qWait(20)


def click_row(panel: Any, row: int) -> None:
    place = panel.worklist.table.visualRect(panel.worklist.model.index(row, 0)).center()
    QTest.mouseClick(panel.worklist.table.viewport(), Qt.MouseButton.LeftButton, NO_KEYS, place)


def open_row(panel: Any, row: int) -> None:
    """Open a case of the worklist by Enter."""
    click_row(panel, row)
    QTest.keyClick(panel.worklist.table, Qt.Key.Key_Return)


def messages(window: SimpleNamespace) -> str:
    """All that the window told."""
    return "\n".join(str(note.message) for note in window.told)


def turn_wheel(widget: QWidget, notches: int, held: Qt.KeyboardModifier = NO_KEYS) -> None:
    """The wheel, turned away from the reader by notches."""
    middle = QPointF(widget.rect().center())
    QApplication.sendEvent(
        widget,
        QWheelEvent(
            middle,
            QPointF(widget.mapToGlobal(widget.rect().center())),
            QPoint(),
            QPoint(0, 120 * notches),
            Qt.MouseButton.NoButton,
            held,
            Qt.ScrollPhase.NoScrollPhase,
            False,
        ),
    )
    QTest.qWait(50)


def drag_on(widget: QWidget, start: QPoint, end: QPoint, button: Qt.MouseButton) -> None:
    """A drag with a button, over a widget."""
    QTest.mousePress(widget, button, NO_KEYS, start)
    for place in (start + (end - start) / 2, end):
        move = QMouseEvent(
            QEvent.Type.MouseMove,
            QPointF(place),
            QPointF(widget.mapToGlobal(place)),
            Qt.MouseButton.NoButton,
            button,
            NO_KEYS,
        )
        QApplication.sendEvent(widget, move)
    QTest.mouseRelease(widget, button, NO_KEYS, end)
    QTest.qWait(50)
