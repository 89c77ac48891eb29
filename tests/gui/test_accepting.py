"""Accept in a real window: what holds it back, what it counts, what comes between."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hands import NO_KEYS, SHIFT, messages, open_row, press
from qtpy.QtCore import Qt

from napari_breastseg.core.errors import StorageError
from napari_breastseg.dataset import Dataset
from napari_breastseg.imaging import correction
from napari_breastseg.widgets.canvas.layers import show_exam

ENTER = Qt.Key.Key_Return


class Held:
    """`Dataset.accept`, stopped before it writes until it is let go."""

    def __init__(self) -> None:
        self.begun, self.go = threading.Event(), threading.Event()
        self.is_disk_full = False

    def let_go_soon(self) -> None:
        threading.Timer(0.2, self.go.set).start()


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    made, real = Held(), Dataset.accept

    def accept(self: Dataset, *args: Any, **settings: Any) -> Any:
        made.begun.set()
        assert made.go.wait(20)
        if made.is_disk_full:  # an error kept here would keep the window alive by its traceback
            raise StorageError("Expected to write the mask", "the disk is full", "Free disk space")
        return real(self, *args, **settings)

    monkeypatch.setattr(Dataset, "accept", accept)
    yield made
    made.go.set()


@pytest.fixture
def corrected(
    window: SimpleNamespace,
    opened: SimpleNamespace,
    settle: Callable[[], None],
    stroke: Callable[..., None],
) -> SimpleNamespace:
    """P001 with two strokes, ready to be accepted."""
    open_row(opened.panel, 0)
    settle()
    layer = window.viewer.layers["P001 tumor"]
    stroke(layer, (4, 50, 20), (4, 50, 40))
    stroke(layer, (4, 10, 20), (4, 10, 40))
    settle()
    assert window.dock.session.effort.strokes == 2
    window.dock.correct_panel.rest.setChecked(True)
    return window


def begin_to_accept(window: SimpleNamespace, held: Held) -> None:
    press(window, ENTER, SHIFT)
    window.qtbot.waitUntil(held.begun.is_set, timeout=20_000)


def test_closing_the_window_in_mid_accept_counts_the_work_once(
    corrected: SimpleNamespace, folder: Dataset, held: Held
) -> None:
    begin_to_accept(corrected, held)
    held.let_go_soon()
    corrected.viewer.close()
    record = folder.case("P001")
    assert (record.accepted.strokes, record.work) == (2, None)
    assert record.accepted.seconds_spent > 0
    assert folder.recover("P001") is None


def test_leaving_the_case_in_mid_accept_counts_the_work_once(
    corrected: SimpleNamespace, folder: Dataset, held: Held, settle: Callable[[], None]
) -> None:
    begin_to_accept(corrected, held)
    held.let_go_soon()
    show_exam(corrected.viewer, folder.exam("P002"))  # as from a file: it becomes the exam at work
    corrected.viewer.layers.selection.active = corrected.viewer.layers["P002 post1"]
    assert corrected.dock.session.case_id == "P002"
    settle()
    record = folder.case("P001")
    assert (record.accepted.strokes, record.work) == (2, None)


def test_work_is_counted_when_its_mask_was_refused(
    corrected: SimpleNamespace, folder: Dataset, held: Held, settle: Callable[[], None]
) -> None:
    session = corrected.dock.session
    seconds = session.effort.seconds
    held.is_disk_full = True
    begin_to_accept(corrected, held)
    held.go.set()
    settle()
    assert "the disk is full" in messages(corrected)
    assert session.effort.strokes == 2
    assert session.effort.seconds >= seconds
    held.is_disk_full = False
    press(corrected, ENTER, SHIFT)
    settle()
    assert folder.case("P001").accepted.strokes == 2
    assert session.effort.strokes == 0
    # The window closes while a mask is refused: the work is noted in the record.
    layer = corrected.viewer.layers["P001 tumor"]
    layer.data_setitem((np.array([4]), np.array([5]), np.array([5])), 1)
    session.count_stroke()
    held.is_disk_full = True
    for event in (held.begun, held.go):
        event.clear()
    begin_to_accept(corrected, held)
    held.let_go_soon()
    corrected.viewer.close()
    assert folder.case("P001").work.strokes >= 1


def test_accept_waits_for_a_tool(
    corrected: SimpleNamespace,
    folder: Dataset,
    settle: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dock = corrected.dock
    tools, accept_button = dock.correct_panel.tools, dock.correct_panel.accept_box.accept_button
    tools.settings.scope.setCurrentText("scope: volume")
    go, grow = threading.Event(), correction.grow

    def slow(*args: Any) -> Any:
        assert go.wait(20)
        return grow(*args)

    monkeypatch.setattr(correction, "grow", slow)
    press(corrected, Qt.Key.Key_Period, NO_KEYS)
    assert tools.runner.is_running
    press(corrected, ENTER, SHIFT)
    assert "A tool is running; wait or cancel" in messages(corrected)
    assert not dock.correct_panel.runner.is_running
    go.set()
    settle()

    press(corrected, ENTER, SHIFT)
    settle()
    assert folder.case("P001").is_accepted
    assert accept_button.isEnabled(), accept_button.toolTip()


def test_an_accept_undone_while_another_case_opens_changes_no_mask_in_sight(
    corrected: SimpleNamespace,
    opened: SimpleNamespace,
    folder: Dataset,
    settle: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    press(corrected, ENTER, SHIFT)
    settle()
    assert folder.case("P001").is_accepted
    undone, go, real = threading.Event(), threading.Event(), Dataset.undo_accept

    def undo(self: Dataset, case_id: str) -> Any:
        record = real(self, case_id)
        undone.set()
        assert go.wait(20)
        return record

    monkeypatch.setattr(Dataset, "undo_accept", undo)
    press(corrected, Qt.Key.Key_U)
    corrected.qtbot.waitUntil(undone.is_set, timeout=20_000)
    open_row(opened.panel, 1)
    session = corrected.dock.session
    corrected.qtbot.waitUntil(
        lambda: session.record is not None and session.record.case_id == "P002", timeout=20_000
    )
    go.set()
    settle()
    draft = folder.draft("P002").data
    np.testing.assert_array_equal(corrected.viewer.layers["P002 tumor"].data, draft)
    np.testing.assert_array_equal(session.saved, draft)
    assert folder.case("P001").status == "in_progress"
