"""No text of the dock is cut: needed against given size, in every step and both themes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hands import exam_with_truth
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSpinBox,
    QComboBox,
    QLabel,
    QLineEdit,
    QPushButton,
    QToolButton,
    QWidget,
)

from napari_breastseg.core.volume import Exam, Volume
from napari_breastseg.dataset import Dataset
from napari_breastseg.widgets.canvas.layers import show_exam, show_labels
from napari_breastseg.widgets.parts.glyphs import GlyphButton

ROOM_PX = 2
"""Rounding of styles."""


def text_of(widget: QWidget) -> str:
    if isinstance(widget, QComboBox):
        return str(widget.currentText())
    if isinstance(widget, QLineEdit) and not widget.text():
        return str(widget.placeholderText())
    return str(widget.text())


def clipped(inside: QWidget) -> Iterator[str]:
    """Each visible label, button or field whose text needs more room than it has."""
    for widget in inside.findChildren(QWidget):
        if not widget.isVisible() or isinstance(widget.parent(), QAbstractSpinBox):
            continue
        if isinstance(widget, GlyphButton):  # shows a sign; the text is its tooltip's
            continue
        if isinstance(widget, QLabel) and widget.text():
            if widget.wordWrap():
                needed, given = widget.heightForWidth(widget.width()), widget.height()
            else:
                needed, given = widget.sizeHint().width(), widget.width()
        elif isinstance(widget, (QPushButton, QToolButton)) and widget.text():
            longest = max(str(widget.text()).splitlines(), key=len)
            if longest.endswith("…") and longest in str(widget.toolTip()):
                continue
            needed = widget.fontMetrics().horizontalAdvance(longest)
            given = widget.width()
        elif isinstance(widget, QAbstractButton) and widget.text():
            needed, given = widget.sizeHint().width(), widget.width()
        elif isinstance(widget, QAbstractSpinBox):
            edit = widget.findChild(QLineEdit)
            needed = widget.fontMetrics().horizontalAdvance(edit.text())
            given = edit.width()
        elif isinstance(widget, QComboBox):
            needed = widget.fontMetrics().horizontalAdvance(widget.currentText())
            given = widget.width() - widget.height()  # the arrow
        else:
            continue
        if needed > given + ROOM_PX:
            yield f"{type(widget).__name__} {text_of(widget)!r}: {needed} px in {given} px"


@pytest.fixture
def busy(window: SimpleNamespace, idle: Callable[..., None], tmp_path: Any) -> SimpleNamespace:
    """A window of 1280 x 800 with an exam of five phases, its mask, and a dataset."""
    viewer, dock = window.viewer, window.dock
    viewer.window.resize(1280, 800)
    exam, truth = exam_with_truth("P017_first_visit", 9, 0)
    post = exam.phases["post1"]
    phases = {
        role: Volume(post.data, post.grid) for role in ("pre", "post1", "post2", "post3", "post4")
    }
    times = {role: 121.0 * number - 1371 for number, role in enumerate(phases)}
    show_exam(viewer, Exam(exam.case_id, phases, times))
    show_labels(viewer, dock.session.source, truth)
    dock.session.dataset = Dataset.create(tmp_path / "Dataset501_BreastTumor", ["post1"])
    dock.correct_panel.annotator.setText("AB")
    QTest.qWait(100)
    return window


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("step", ["Open", "Draft", "Correct", "List", "Train"])
def test_no_text_of_a_step_is_cut(
    busy: SimpleNamespace, idle: Callable[..., None], step: str, theme: str
) -> None:
    dock = busy.dock
    busy.viewer.theme = theme
    dock.show_tab(step)
    dock.segment_panel.fold.set_open(True)
    dock.open_panel.more.set_open(True)
    dock.train_panel.more.set_open(True)
    QTest.qWait(150)
    idle(*dock._runners())
    front = dock.tabs.currentWidget()
    assert list(clipped(front)) == []
    assert list(clipped(dock.bar)) == []


def test_what_is_cut_is_found(qtbot: Any) -> None:
    box = QWidget()
    qtbot.addWidget(box)
    label, button = QLabel("A line that needs more room", box), QPushButton("So does this", box)
    wrapped = QLabel("Several lines of words " * 5, box)
    wrapped.setWordWrap(True)
    box.setAttribute(Qt.WidgetAttribute.WA_DontShowOnScreen)
    for number, one in enumerate((label, button, wrapped)):
        one.setGeometry(0, 30 * number, 40, 20)
    box.show()
    assert [line.split()[0] for line in clipped(box)] == ["QLabel", "QPushButton", "QLabel"]
    for number, one in enumerate((label, button, wrapped)):
        one.setGeometry(0, 200 * number, 400, 200)
    assert list(clipped(box)) == []
