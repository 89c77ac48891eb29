"""Header, steps and bar are always there; what is told and asked stands above the bar, in full."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hands import click, messages, open_row
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QPoint, Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QDialog, QLabel, QPushButton, QWidget

from napari_breastseg.core.errors import InputError
from napari_breastseg.widgets.parts import fields
from napari_breastseg.widgets.parts.jobs import show, show_info
from napari_breastseg.widgets.state.frame import STEPS


@pytest.fixture
def held(
    window: SimpleNamespace, opened: SimpleNamespace, settle: Callable[[], None]
) -> SimpleNamespace:
    """A drafted case on the canvas, in the Correct step."""
    window.viewer.window.resize(1280, 800)
    open_row(opened.panel, 0)
    settle()
    window.dock.show_tab("Correct")
    window.qtbot.wait(50)
    return window


def said(window: SimpleNamespace) -> dict[str, str]:
    return {made.text(): made._step.words for made in window.dock.steps.buttons}


def is_seen(widget: QWidget) -> bool:
    """Whether all of it is inside the window."""
    corner = widget.mapTo(widget.window(), QPoint(0, 0))
    frame = widget.window().rect()
    return (
        widget.isVisible()
        and frame.contains(corner)
        and frame.contains(corner + QPoint(widget.width() - 1, widget.height() - 1))
    )


def test_steps_go_to_their_panels_and_say_where_they_stand(
    held: SimpleNamespace, settle: Callable[[], None]
) -> None:
    dock = held.dock
    assert said(held) == dict(zip(STEPS, ("done", "done", "under way", "0/4", ""), strict=True))
    for place, made in enumerate(dock.steps.buttons):
        click(made)
        assert dock.tabs.currentIndex() == place
        assert made.isChecked()
    dock.show_tab("Review")  # as it was called before
    assert dock.steps.buttons[3].isChecked()
    dock.correct_panel.rest.setChecked(True)
    click(dock.correct_panel.accept_box.accept_button)
    settle()
    held.qtbot.waitUntil(lambda: said(held)["List"] == "1/4")
    assert said(held)["Correct"] == "accepted"


def test_header_and_bar_are_in_sight_in_every_step_and_hold_nothing_twice(
    held: SimpleNamespace,
) -> None:
    dock, box = held.dock, held.dock.correct_panel.accept_box
    always = (
        dock.header,
        *dock.steps.buttons,
        box.saved_line,
        box.accept_button,
        box.rest,
        dock.review_panel.previous_button,
        dock.review_panel.next_button,
    )
    assert dock.header.line.toolTip().startswith("P001 · patient-P001\nAB · set")
    for name in STEPS:
        dock.show_tab(name)
        QTest.qWait(20)
        assert [widget for widget in always if not is_seen(widget)] == []
        texts = [b.text() for b in dock.findChildren(QPushButton) if b.isVisibleTo(dock)]
        assert texts.count("Accept") == texts.count("Next") == 1


def test_the_fields_of_the_case_stand_behind_the_header(held: SimpleNamespace) -> None:
    dock, correct = held.dock, held.dock.correct_panel
    fields_ = (dock.exam_picker, correct.patient, correct.annotator, correct.folder)
    assert not any(field.isVisible() for field in fields_)
    click(dock.header.line)
    assert all(is_seen(field) for field in fields_)
    click(dock.header.line)
    assert not any(field.isVisible() for field in fields_)


def test_a_start_that_lacks_a_field_opens_the_header(window: SimpleNamespace) -> None:
    window.viewer.add_image(np.random.default_rng(0).random((6, 40, 40)), name="scan")
    window.dock.take_brush()
    assert window.dock.correct_panel.folder.isVisible()
    assert window.dock.notices.error.isVisible()


def test_show_next_goes_through_the_slices_with_tumor_not_seen(held: SimpleNamespace) -> None:
    box, viewer = held.dock.correct_panel.accept_box, held.viewer
    viewer.dims.set_current_step(0, 0)
    QTest.qWait(100)
    unseen = set(box.tumor_slices) - set(held.dock.session.reviewed)
    assert len(unseen) > 1
    assert f"{len(unseen)} with tumor" in box.reviewed_line.text()
    visited = []
    while held.dock.bar.show_next_button.isVisible():
        click(held.dock.bar.show_next_button)
        QTest.qWait(100)
        visited.append(int(viewer.dims.current_step[0]))
    assert visited == sorted(unseen)


def test_an_error_stands_in_full_above_the_bar_until_it_is_closed(held: SimpleNamespace) -> None:
    dock = held.dock
    long = "a phase " * 30
    n_of_napari = len(notification_manager.records)
    show(InputError("Expected an exam with " + long, "found none", "Choose another folder"))
    assert len(notification_manager.records) == n_of_napari  # it prints what it is told
    card = dock.notices.error
    assert is_seen(card)
    assert "Choose another folder." in card.text.text()
    assert card.text.height() >= card.text.heightForWidth(card.text.width())
    below = dock.correct_panel.accept_box.mapTo(dock, QPoint(0, 0)).y()
    assert card.mapTo(dock, QPoint(0, card.height())).y() <= below
    assert "Expected an exam" in messages(held)
    toasts = [w for w in held.viewer.window._qt_window.findChildren(QDialog) if w.isVisible()]
    assert [toast for toast in toasts if "Notification" in type(toast).__name__] == []
    show_info("Something else was saved.")  # news does not take an error away
    assert is_seen(dock.notices.news)
    assert is_seen(card)
    click(card.close_button)
    assert not card.isVisible()


def test_where_no_dock_is_in_sight_napari_tells(
    held: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    held.dock.parent().hide()
    show(InputError("Expected a mask", "found none", "Draw one"))
    assert not held.dock.notices.error.isVisibleTo(held.dock)
    assert str(held.told[-1].severity) == "error"


@pytest.mark.answers_by_hand
@pytest.mark.parametrize(("answer", "expected"), [("yes", True), ("no", False), ("esc", False)])
def test_a_question_stands_in_the_dock_and_nothing_else_can_be_done_meanwhile(
    held: SimpleNamespace, stroke: Callable[..., None], answer: str, expected: bool
) -> None:
    dock, seen = held.dock, SimpleNamespace()
    card = dock.notices.question
    before = held.viewer.layers["P001 tumor"].data.copy()

    def reply() -> None:
        seen.is_shown = is_seen(card)
        seen.labels = [label.text() for label in card.findChildren(QLabel)]
        click_anyhow(dock.steps.buttons[0])
        stroke(held.viewer.layers["P001 tumor"], (4, 50, 50), (4, 50, 60))
        seen.tab = dock.tabs.currentIndex()
        seen.is_closed = held.viewer.window._qt_window.close() if answer == "esc" else False
        if answer != "esc":
            click(card.buttons[1 if answer == "yes" else 0])

    QTimer.singleShot(50, reply)
    text = "3 slices with tumor were not seen.\nThey stay out of training."
    assert fields.ask(dock.correct_panel, "Not seen", text, "Accept anyway", "Show") is expected
    assert seen.is_shown
    assert seen.labels == [f"Not seen\n{text}"]
    assert seen.tab == STEPS.index("Correct")
    assert not seen.is_closed
    assert np.array_equal(held.viewer.layers["P001 tumor"].data, before)
    assert not card.isVisible()
    click(dock.steps.buttons[0])
    assert dock.tabs.currentIndex() == 0


def click_anyhow(widget: Any) -> None:
    QTest.mouseClick(widget, Qt.MouseButton.LeftButton)
