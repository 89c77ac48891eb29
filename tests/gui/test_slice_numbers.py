"""Slices are counted from 1 beside the slider, as in reports."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QLabel, QLineEdit, QWidget

from napari_breastseg.core.volume import Exam, Grid, Volume
from napari_breastseg.widgets.canvas.layers import show_exam

GRID = Grid((9, 30, 40), np.diag([3.0, 1.0, 1.0, 1.0]))
DATA = np.random.default_rng(0).normal(100, 10, GRID.shape).astype(np.float32)


def shown_numbers(window: SimpleNamespace) -> list[str]:
    """What stands beside the slider that is shown."""
    sliders = [
        widget
        for widget in window.viewer.window._qt_window.findChildren(QWidget)
        if type(widget).__name__ == "QtDimSliderWidget" and widget.isVisible()
    ]
    if len(sliders) != 1:  # they are made anew when the number of axes changes
        return []
    fields = [
        *sliders[0].findChildren(QLineEdit),
        *sliders[0].findChildren(QLabel),
    ]
    return [f.text() for f in fields if f.isVisible() and f.text().isdigit()]


def test_the_slider_counts_from_one_and_takes_such_numbers(window: SimpleNamespace) -> None:
    viewer = window.viewer
    exam = Exam("P001", {"post1": Volume(DATA, GRID)})
    show_exam(viewer, exam)
    viewer.dims.set_current_step(0, 0)
    window.qtbot.waitUntil(lambda: shown_numbers(window) == ["1", "9"])
    viewer.dims.set_current_step(0, 8)
    window.qtbot.waitUntil(lambda: shown_numbers(window) == ["9", "9"])
    found = viewer.window._qt_window.findChildren(QLineEdit, "slice_number")
    number = next(field for field in found if field.isVisible())
    number.setFocus()
    number.selectAll()
    QTest.keyClicks(number, "4")
    QTest.keyClick(number, Qt.Key.Key_Return)
    assert viewer.dims.current_step[0] == 3
    viewer.dims.order = (1, 0, 2)
    window.qtbot.waitUntil(lambda: shown_numbers(window)[1:] == ["30"])


def status_at(window: SimpleNamespace, *at: float) -> str:
    """What the status bar says of a place of the world (z, y, x)."""
    viewer = window.viewer
    viewer.mouse_over_canvas = True
    viewer.cursor.position = at
    viewer.update_status_from_cursor()
    return str(viewer.window._qt_window.statusBar()._coordinates.text()).strip()


def test_the_status_bar_counts_from_one_as_well(window: SimpleNamespace) -> None:
    viewer = window.viewer
    show_exam(viewer, Exam("P001", {"post1": Volume(DATA, GRID)}))
    assert tuple(viewer.dims.order) == (0, 2, 1)  # this exam's rows run along its third axis
    place, _, value = status_at(window, 12.0, 7.0, 20.0).partition(": ")
    assert place == "slice 5, row 21, column 8"
    assert float(value) == pytest.approx(DATA[4, 7, 20], rel=0.01)
    assert "slice" not in status_at(window, 12.0, -3.0, 20.0)  # beside the picture
    viewer.dims.order = (1, 0, 2)
    assert status_at(window, 12.0, 7.0, 20.0).startswith("slice 8, row 5, column 21: ")
    viewer.add_image(DATA, name="of another program")
    assert status_at(window, 4.0, 7.0, 20.0).startswith("[4")
    window.dock.shut_down()
    viewer.layers.selection.active = viewer.layers["P001 post1"]
    assert status_at(window, 12.0, 7.0, 20.0).startswith("[12.00, 7.00, 20.00]")


def test_napari_has_its_own_numbers_back_without_the_dock(window: SimpleNamespace) -> None:
    show_exam(window.viewer, Exam("P001", {"post1": Volume(DATA, GRID)}))
    window.viewer.dims.set_current_step(0, 2)
    window.qtbot.waitUntil(lambda: shown_numbers(window)[:1] == ["3"])
    window.dock.shut_down()
    assert shown_numbers(window) == ["2", "8"]


def test_the_slider_names_the_plane_of_its_slices(window: SimpleNamespace) -> None:
    viewer = window.viewer
    head_back_left = np.array([[0, 0, -1, 0], [0, -1, 0, 0], [3.0, 0, 0, 0], [0, 0, 0, 1]])
    show_exam(viewer, Exam("P001", {"post1": Volume(DATA, Grid(GRID.shape, head_back_left))}))
    assert viewer.dims.axis_labels == ("axial", "coronal", "sagittal")
    sagittal = head_back_left[:, [2, 0, 1, 3]]  # the next exam comes in the same layers
    show_exam(viewer, Exam("P001", {"post1": Volume(DATA, Grid(GRID.shape, sagittal))}))
    assert viewer.dims.axis_labels == ("sagittal", "axial", "coronal")
    unknown = Grid(GRID.shape, np.eye(4), has_spacing=False, has_orientation=False)
    show_exam(viewer, Exam("P001", {"post1": Volume(DATA, unknown)}))
    assert viewer.dims.axis_labels == ("slice", "row", "column")
