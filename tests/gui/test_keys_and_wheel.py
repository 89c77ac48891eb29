"""Keys are the canvas's and the wheel scrolls, whatever was clicked in the dock before."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hands import CTRL_SHIFT, NO_KEYS, SHIFT, click, click_row, open_row, press
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QLineEdit,
    QScrollArea,
    QScrollBar,
)

from napari_breastseg.dataset import Dataset, Status
from napari_breastseg.widgets.canvas.layers import tumor_layer


@pytest.fixture
def held(
    window: SimpleNamespace,
    opened: SimpleNamespace,
    settle: Callable[[], None],
) -> SimpleNamespace:
    """A case on the canvas, with a brush in the hand and a mask."""
    open_row(opened.panel, 0)
    settle()
    window.dock.show_tab("Correct")
    main = window.viewer.window._qt_window
    main.activateWindow()
    window.qtbot.waitUntil(main.isActiveWindow)
    window.mask = tumor_layer(window.viewer, window.dock.session.case_id)
    QApplication.processEvents()
    return window


def native(window: SimpleNamespace) -> Any:
    return window.viewer.window._qt_viewer.canvas.native


def typed(letters: str, modifiers: Any = SHIFT) -> None:
    """Letters to whatever has the focus, as a keyboard sends them."""
    for letter in letters:
        QTest.keyClick(QApplication.focusWidget(), letter, modifiers)
        QTest.qWait(20)


def slice_now(window: SimpleNamespace) -> int:
    return int(window.viewer.dims.current_step[0])


def click_anyway(widget: Any, place: QPoint | None = None) -> None:
    """A click, also on what is disabled."""
    place = widget.rect().center() if place is None else place
    QTest.mouseClick(widget, Qt.MouseButton.LeftButton, NO_KEYS, place)
    QTest.qWait(20)


def test_after_a_click_in_the_dock_the_arrows_scroll_and_space_presses_nothing(
    held: SimpleNamespace, settle: Callable[[], None]
) -> None:
    dock, mask = held.dock, held.mask
    before = mask.data.copy()
    assert before.any()
    correct = dock.correct_panel
    native(held).setFocus()
    for clicked in (correct.start_button, correct.rest, correct.tools.settings, dock.tabs.tabBar()):
        click_anyway(clicked)
        settle()
        held.viewer.dims.set_current_step(0, start := 4)
        for key in (Qt.Key.Key_Right, Qt.Key.Key_Right, Qt.Key.Key_Space, Qt.Key.Key_Left):
            QTest.keyClick(QApplication.focusWidget(), key)
            QTest.qWait(30)
        assert slice_now(held) == start + 1, clicked
        assert QApplication.focusWidget() is native(held)
    assert np.array_equal(mask.data, before)
    assert dock.session.record.status is not Status.ACCEPTED


def test_no_button_box_or_slider_of_the_dock_takes_keys(held: SimpleNamespace) -> None:
    kinds = (QAbstractButton, QComboBox, QAbstractSlider)
    found = [
        widget
        for kind in kinds
        for widget in held.dock.findChildren(kind)
        if widget.window() is held.dock.window()
    ]
    assert len(found) > 50
    assert [w for w in found if w.focusPolicy() != Qt.FocusPolicy.NoFocus] == []


def test_typing_ends_by_enter_escape_or_a_click_beside_the_field(held: SimpleNamespace) -> None:
    reader = held.dock.correct_panel.annotator
    for end in (Qt.Key.Key_Return, Qt.Key.Key_Escape, None):
        held.dock.header.set_open(True)
        click(reader)
        assert QApplication.focusWidget() is reader
        reader.clear()
        typed("CS")  # capitals that would be keys of the canvas
        assert reader.text() == "CS"
        if end is None:
            click_anyway(held.dock.correct_panel.tools, QPoint(2, 2))
        else:
            QTest.keyClick(reader, end)
        held.qtbot.waitUntil(lambda: QApplication.focusWidget() is native(held))


def test_the_click_that_gives_the_canvas_its_keys_back_paints_nothing(
    held: SimpleNamespace, stroke: Callable[..., None]
) -> None:
    mask, viewer = held.mask, held.viewer
    viewer.layers.selection.active = mask
    mask.mode, mask.brush_size = "paint", 3
    before = mask.data.copy()
    place = (slice_now(held), 50, 60)
    assert not before[place]
    for is_list in (False, True):
        if is_list:
            held.dock.show_tab("Review")
            click_row(held.dock.review_panel, 1)
        else:
            click(held.dock.correct_panel.annotator)
        assert QApplication.focusWidget() is not native(held)
        stroke(mask, place, place)
        assert QApplication.focusWidget() is native(held)
        assert np.array_equal(mask.data, before)
    stroke(mask, place, place)  # the next one paints
    assert mask.data[place]
    mask.undo()

    # A stroke is meant, also as the first thing on the canvas
    held.dock.show_tab("Correct")
    click(held.dock.correct_panel.annotator)
    end = (place[0], 50, 40)
    stroke(mask, place, end)
    assert mask.data[place]
    assert mask.data[end]


def test_keys_of_a_field_that_is_hidden_go_to_the_canvas(held: SimpleNamespace) -> None:
    held.dock.header.set_open(True)
    click(held.dock.correct_panel.annotator)
    assert QApplication.focusWidget() is held.dock.correct_panel.annotator
    held.dock.header.set_open(False)
    held.qtbot.waitUntil(lambda: QApplication.focusWidget() is native(held))


def test_a_list_leaves_all_but_its_own_keys_to_the_canvas(
    held: SimpleNamespace, settle: Callable[[], None]
) -> None:
    held.dock.show_tab("Review")
    panel = held.dock.review_panel
    click_row(panel, 1)
    start = slice_now(held)
    QTest.keyClick(panel.worklist.table, Qt.Key.Key_Down)  # the list's own
    assert panel.worklist.table.currentIndex().row() == 2
    QTest.keyClick(panel.worklist.table, Qt.Key.Key_Right)
    assert slice_now(held) == start + 1
    click_row(panel, 0)
    held.viewer.layers.selection.active = held.mask
    QTest.keyClick(panel.worklist.table, Qt.Key.Key_1)  # napari's eraser
    assert held.mask.mode == "erase"


def test_capitals_typed_over_the_canvas_change_nothing_that_undo_does_not_bring_back(
    held: SimpleNamespace, settle: Callable[[], None], folder: Dataset
) -> None:
    dock, mask = held.dock, held.mask
    before, layers = mask.data.copy(), list(held.viewer.layers)
    case_id, record = dock.session.case_id, dock.session.record
    started: list[str] = []
    for runner in dock._runners():
        runner.started.connect(started.append)
    for letter in "ABCDEFGHIJKLMNPQRSTUVWXYZ":
        native(held).setFocus()
        typed(letter)
        settle()
    native(held).setFocus()
    typed("O")  # the cursor goes where letters are seen
    typed("RS")
    path = dock.open_panel.path
    assert QApplication.focusWidget() in path.findChildren(QLineEdit)
    assert str(path.value()) == "RS"
    assert set(started) <= {"Measuring lesions", "Smoothing", "Reverting", "Filling"}
    assert dock.session.case_id == case_id
    assert dock.session.record.status == record.status
    assert folder.case(case_id).status == record.status
    native(held).setFocus()
    for _ in range(30):
        QTest.keyClick(native(held), Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert np.array_equal(mask.data, before)
    assert set(layers) <= set(held.viewer.layers)


def test_undoing_no_tumor_takes_back_that_all_was_reviewed(
    held: SimpleNamespace, settle: Callable[[], None]
) -> None:
    before = held.mask.data.copy()
    rest = held.dock.correct_panel.rest
    press(held, Qt.Key.Key_K, CTRL_SHIFT)
    assert not held.mask.data.any()
    assert rest.isChecked()
    press(held, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert np.array_equal(held.mask.data, before)
    held.qtbot.waitUntil(lambda: not rest.isChecked())


def test_what_cannot_be_edited_looks_like_text_and_takes_no_keys(held: SimpleNamespace) -> None:
    patient = held.dock.correct_panel.patient
    assert patient.text() == "patient-P001"
    before = held.mask.data.copy()
    click_anyway(patient)
    assert QApplication.focusWidget() is not patient
    assert not patient.hasFrame()
    typed("C")
    assert np.array_equal(held.mask.data, before)
    assert patient.text() == "patient-P001"
    held.dock.session.leave_case()
    assert patient.hasFrame()


def turn(widget: Any, steps: int) -> None:
    """The wheel over a widget."""
    place = QPointF(widget.rect().center())
    event = QWheelEvent(
        place,
        QPointF(widget.mapToGlobal(widget.rect().center())),
        QPoint(0, 0),
        QPoint(0, 120 * steps),
        Qt.MouseButton.NoButton,
        NO_KEYS,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(widget, event)


def value_of(widget: Any) -> Any:
    return widget.currentIndex() if isinstance(widget, QComboBox) else widget.value()


def test_the_wheel_scrolls_the_panel_and_changes_no_value_it_passes(
    held: SimpleNamespace, settle: Callable[[], None]
) -> None:
    window = held.viewer.window._qt_window
    window.resize(1000, 560)  # lower than the panels are
    passed = 0
    for place in range(held.dock.tabs.count()):
        held.dock.tabs.setCurrentIndex(place)
        QTest.qWait(20)
        area = held.dock.tabs.widget(place)
        assert isinstance(area, QScrollArea)
        for widget in held.dock.findChildren((QAbstractSpinBox, QComboBox, QAbstractSlider)):
            if isinstance(widget, QScrollBar) or not widget.isVisible() or not widget.isEnabled():
                continue
            before = value_of(widget)
            for steps in (-1, 1, 1, -1):
                turn(widget, steps)
            assert value_of(widget) == before
            turn(widget, -1)
            assert value_of(widget) == before
            passed += 1
    assert passed > 5

    held.dock.show_tab("Correct")
    distance = held.dock.correct_panel.tools.settings.distance
    area = held.dock.tabs.currentWidget()
    bar = area.verticalScrollBar()
    bar.setValue(0)
    turn(distance, -1)
    assert bar.value() > 0
    # Clicked into, a field is meant
    before = distance.value()
    click(distance)
    turn(distance, 1)
    assert distance.value() > before
