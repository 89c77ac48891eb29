"""Two readers at one window: what the second may neither see nor decide."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
from hands import CTRL_SHIFT, SHIFT, click_row, messages, open_row, press
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_breastseg.dataset import Dataset
from napari_breastseg.widgets.canvas.layers import show_exam, show_labels
from napari_breastseg.widgets.parts import fields as _fields

YOURS = "yours for a second read: the first reader decides on it"
KEYS = {"flag": Qt.Key.Key_F, "reopen": Qt.Key.Key_E, "undo": Qt.Key.Key_U}


@pytest.fixture
def asked(
    window: SimpleNamespace,
    opened: SimpleNamespace,
    folder: Dataset,
    settle: Callable[[], None],
) -> SimpleNamespace:
    """P001 accepted by AB and to be read again by CD, who sits at the window."""
    folder.accept("P001", folder.draft("P001"), reviewed_slices=None, annotator="AB", seconds=1)
    folder.reads.ask("P001")
    window.dock.correct_panel.annotator.setText("CD")
    opened.panel.refresh()
    settle()
    return opened


def decide(window: SimpleNamespace, settle: Callable[[], None]) -> None:
    """Press each key that decides, and see it refused."""
    for key in KEYS.values():
        window.told.clear()
        press(window, key)
        settle()
        assert YOURS in messages(window)


def test_no_key_decides_on_a_case_the_annotator_reads_second(
    window: SimpleNamespace,
    asked: SimpleNamespace,
    folder: Dataset,
    settle: Callable[[], None],
    stroke: Callable[..., None],
) -> None:
    before = folder.case("P001")
    click_row(asked.panel, 0)
    decide(window, settle)
    # With another one, the other is left alone, too.
    QTest.keyClick(asked.panel.worklist.table, Qt.Key.Key_Down, SHIFT)
    decide(window, settle)
    assert folder.case("P002").status == "drafted"
    # While it is read, though nothing else is chosen ...
    open_row(asked.panel, 0)
    settle()
    asked.panel.worklist.table.clearSelection()
    decide(window, settle)
    assert window.dock.session.is_second_read
    # ... and when it has been: the first read is in sight now, and still the first reader's.
    stroke(window.viewer.layers["P001 tumor"], (4, 28, 18), (4, 28, 24))
    window.dock.correct_panel.rest.setChecked(True)
    press(window, Qt.Key.Key_Return, SHIFT)
    settle()
    assert [read.reader for read in folder.reads.of_case("P001")] == ["AB", "CD", "m@1"]
    decide(window, settle)
    assert folder.case("P001") == before
    # The first reader may.
    open_row(asked.panel, 1)
    settle()
    window.dock.correct_panel.annotator.setText("AB")
    asked.panel.refresh()
    settle()
    click_row(asked.panel, 0)
    press(window, KEYS["flag"])
    settle()
    assert folder.case("P001").status == "flagged"


@pytest.mark.parametrize("folder", [1], indirect=True)
def test_no_key_on_a_picture_decides_on_it_either(
    window: SimpleNamespace,
    asked: SimpleNamespace,
    folder: Dataset,
    settle: Callable[[], None],
) -> None:
    before = folder.case("P001")
    press(window, Qt.Key.Key_G)
    settle()
    grid = asked.panel.worklist.grid
    grid.setCurrentIndex(grid.model().index(0, 0))
    QTest.keyClick(grid, Qt.Key.Key_A)
    settle()
    assert "it is yours for a second read, blind to the first" in messages(window)
    QTest.keyClick(grid, Qt.Key.Key_F)
    settle()
    assert YOURS in messages(window)
    second = folder.reads.second_read("P001", "CD")
    second.accept("P001", folder.draft("P002"), reviewed_slices=None, annotator="CD", seconds=1)
    asked.panel.refresh()
    settle()
    settle()
    assert not asked.panel.model.rows[0].is_blinded
    pictures = asked.panel.worklist.thumbnails
    window.qtbot.waitUntil(lambda: pictures._kept["P001"].mask is not None, timeout=20_000)
    for key in (Qt.Key.Key_A, Qt.Key.Key_F):
        window.told.clear()
        grid.setCurrentIndex(grid.model().index(0, 0))
        QTest.keyClick(grid, key)
        settle()
        assert YOURS in messages(window)
    assert folder.case("P001") == before


def test_no_undo_brings_a_mask_back_that_was_in_sight_before_a_second_read(
    window: SimpleNamespace,
    asked: SimpleNamespace,
    folder: Dataset,
    settle: Callable[[], None],
) -> None:
    dock, first = window.dock, folder.label_map("P001")
    show_exam(window.viewer, folder.exam("P001"))
    show_labels(window.viewer, dock.session.source, first)
    press(window, Qt.Key.Key_B, CTRL_SHIFT)
    settle()
    assert dock.session.is_second_read
    layer = window.viewer.layers["P001 tumor"]
    assert not layer.data.any()
    press(window, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert not layer.data.any()


def test_edits_after_an_own_second_read_are_kept_as_its_work(
    window: SimpleNamespace,
    asked: SimpleNamespace,
    folder: Dataset,
    settle: Callable[[], None],
    stroke: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_fields, "ask", lambda *_: True)
    open_row(asked.panel, 0)
    settle()
    layer = window.viewer.layers["P001 tumor"]
    stroke(layer, (4, 28, 18), (4, 28, 24))
    window.dock.correct_panel.rest.setChecked(True)
    press(window, Qt.Key.Key_Return, SHIFT)
    settle()
    stroke(layer, (4, 50, 18), (4, 50, 24))
    later = layer.data.copy()
    open_row(asked.panel, 1)
    settle()
    assert folder.recover("P001") is None
    np.testing.assert_array_equal(
        folder.reads.second_read("P001", "CD").recover("P001").data, later
    )
    open_row(asked.panel, 0)
    settle()
    assert window.dock.session.is_second_read
    np.testing.assert_array_equal(window.viewer.layers["P001 tumor"].data, later)


def test_a_second_reader_accepts_nothing_in_place_of_the_first_read(
    window: SimpleNamespace,
    asked: SimpleNamespace,
    folder: Dataset,
    settle: Callable[[], None],
    stroke: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_fields, "ask", lambda *_: True)
    before, annotator = folder.case("P001"), window.dock.correct_panel.annotator

    def try_to_accept() -> None:
        window.told.clear()
        stroke(window.viewer.layers["P001 tumor"], (4, 50, 18), (4, 50, 24))
        press(window, Qt.Key.Key_Return, SHIFT)
        settle()
        assert "CD is its second reader" in messages(window)
        assert folder.case("P001").accepted == before.accepted

    # The first reader opened the case, and the second one sits down.
    annotator.setText("AB")
    open_row(asked.panel, 0)
    settle()
    annotator.setText("CD")
    try_to_accept()
    # After the own read the first one may be looked at.
    open_row(asked.panel, 1)
    settle()
    second = folder.reads.second_read("P001", "CD")
    second.accept("P001", folder.draft("P002"), reviewed_slices=None, annotator="CD", seconds=1)
    open_row(asked.panel, 0)
    settle()
    assert not window.dock.session.is_second_read
    try_to_accept()
