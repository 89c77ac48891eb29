"""The mouse of a reading station: wheel, right drag; what is written on the picture; W and back."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hands import NO_KEYS, SHIFT, press
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent, QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_breastseg.core.volume import Exam, Grid, Volume
from napari_breastseg.widgets.canvas.layers import show_exam

GRID = Grid((160, 40, 44), [[0, 0, -1, 0], [0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
RIGHT, NO_BUTTON = Qt.MouseButton.RightButton, Qt.MouseButton.NoButton
CTRL = Qt.KeyboardModifier.ControlModifier


@pytest.fixture
def reading(window: SimpleNamespace) -> SimpleNamespace:
    rng = np.random.default_rng(0)
    phases = {
        role: Volume(rng.normal(100, 9, GRID.shape).astype(np.float32), GRID)
        for role in ("pre", "post1", "post2")
    }
    times = {"pre": -90.0, "post1": 0.0, "post2": 121.0}
    show_exam(window.viewer, Exam("P017", phases, times))
    window.viewer.dims.set_current_step(0, 70)
    window.canvas = window.viewer.window._qt_viewer.canvas.native
    QTest.qWait(50)
    return window


def wheel(canvas: Any, notches: int, keys: Any = NO_KEYS) -> None:
    place = QPointF(canvas.rect().center())
    there = QPointF(canvas.mapToGlobal(canvas.rect().center()))
    turned, phase = QPoint(0, 120 * notches), Qt.ScrollPhase.NoScrollPhase
    event = QWheelEvent(place, there, QPoint(), turned, NO_BUTTON, keys, phase, False)
    QApplication.sendEvent(canvas, event)
    QTest.qWait(30)


def drag_right(canvas: Any, *moves: tuple[int, int]) -> None:
    at = canvas.rect().center()
    QTest.mousePress(canvas, RIGHT, NO_KEYS, at)
    for dx, dy in moves:
        at = at + QPoint(dx, dy)
        there = QPointF(canvas.mapToGlobal(at))
        move = QMouseEvent(QEvent.Type.MouseMove, QPointF(at), there, NO_BUTTON, RIGHT, NO_KEYS)
        QApplication.sendEvent(canvas, move)
        QTest.qWait(20)
    QTest.mouseRelease(canvas, RIGHT, NO_KEYS, at)
    QTest.qWait(20)


def test_the_wheel_scrolls_slices_and_with_ctrl_it_zooms(reading: SimpleNamespace) -> None:
    dims, camera = reading.viewer.dims, reading.viewer.scene.camera
    zoom = camera.zoom
    wheel(reading.canvas, -3)
    assert dims.current_step[0] == 73
    wheel(reading.canvas, 1)
    assert dims.current_step[0] == 72
    assert camera.zoom == zoom
    wheel(reading.canvas, 1, CTRL)
    assert dims.current_step[0] == 72
    assert camera.zoom > zoom


def test_a_drag_with_the_right_button_changes_window_and_level(reading: SimpleNamespace) -> None:
    layer, camera = reading.viewer.layers["P017 post1"], reading.viewer.scene.camera
    low, high = layer.contrast_limits
    zoom = camera.zoom
    drag_right(reading.canvas, (12, 0), (30, 0))
    wider = layer.contrast_limits
    assert wider[1] - wider[0] > 1.2 * (high - low)
    assert sum(wider) == pytest.approx(low + high)
    drag_right(reading.canvas, (0, 12), (0, 30))
    darker = layer.contrast_limits
    assert darker[1] - darker[0] == pytest.approx(wider[1] - wider[0])
    assert sum(darker) > sum(wider)
    assert camera.zoom == zoom
    # All phases share it, as with the keys
    assert tuple(reading.viewer.layers["P017 pre"].contrast_limits) == tuple(darker)


def test_picture_time_and_slice_are_written_on_the_canvas(reading: SimpleNamespace) -> None:
    caption = reading.dock.caption
    assert caption.isVisible()
    assert caption.geometry().bottom() < reading.canvas.height()
    assert caption.text() == "post1 0:00   slice 71/160"
    assert reading.canvas.height() - caption.geometry().bottom() < 10
    reading.viewer.window.resize(700, 700)  # on a narrow canvas it stands above the middle letter
    QTest.qWait(100)
    assert caption.geometry().right() > reading.canvas.width() // 2 - 20
    assert reading.canvas.height() - caption.geometry().bottom() > 35
    wheel(reading.canvas, -1)
    assert caption.text() == "post1 0:00   slice 72/160"
    press(reading, Qt.Key.Key_W, NO_KEYS)
    assert caption.text().startswith("post2 +2:01 ")
    press(reading, Qt.Key.Key_W, SHIFT)
    press(reading, Qt.Key.Key_W, SHIFT)
    assert caption.text().startswith("pre −1:30 ")


def test_the_canvas_is_dark_in_the_light_theme_until_the_dock_is_gone(
    reading: SimpleNamespace,
) -> None:
    viewer = reading.viewer
    viewer.theme = "light"
    assert tuple(viewer.canvas.background_color[:3]) == (0, 0, 0)
    reading.dock.shut_down()
    assert tuple(viewer.canvas.background_color[:3]) != (0, 0, 0)


def move(canvas: Any, x: int, y: int, keys: Any = NO_KEYS) -> None:
    """Move the mouse over the canvas with no button held."""
    place = QPoint(x, y)
    where = QPointF(canvas.mapToGlobal(place))
    none = Qt.MouseButton.NoButton
    event = QMouseEvent(QEvent.Type.MouseMove, QPointF(place), where, none, none, keys)
    QApplication.sendEvent(canvas, event)
    QTest.qWait(40)


def test_the_curve_of_the_voxel_under_the_mouse_stands_beside_it_while_shift_is_held(
    reading: SimpleNamespace,
) -> None:
    canvas, curve = reading.canvas, reading.dock.curve
    middle = canvas.rect().center()
    move(canvas, middle.x(), middle.y())
    assert not curve.frame.isVisible()
    move(canvas, middle.x() + 3, middle.y(), SHIFT)
    assert curve.frame.isVisible()
    viewer = reading.viewer
    voxel = tuple(round(p) for p in viewer.layers["P017 pre"].world_to_data(viewer.cursor.position))
    pre, *posts = (
        float(viewer.layers[f"P017 {role}"].data[voxel]) for role in ("pre", "post1", "post2")
    )
    (shown,) = curve.chart.curves.values()
    assert list(shown) == ["pre", "post1", "post2"]
    assert list(shown.values()) == pytest.approx([0, *(100 * (one / pre - 1) for one in posts)])
    assert curve.chart.times_s == {"pre": -90.0, "post1": 0.0, "post2": 121.0}
    QTest.keyRelease(canvas, Qt.Key.Key_Shift)
    assert not curve.frame.isVisible()

    press(reading, Qt.Key.Key_C, SHIFT)
    move(canvas, middle.x() + 6, middle.y())
    assert curve.frame.isVisible()
    assert canvas.rect().contains(curve.frame.geometry())
    move(canvas, 3, 3)  # beside the image
    assert not curve.frame.isVisible()
    press(reading, Qt.Key.Key_C, SHIFT)
    move(canvas, middle.x() + 9, middle.y())
    assert not curve.frame.isVisible()
    move(canvas, middle.x(), middle.y(), SHIFT)  # how it looks
    QTest.qWait(700)
