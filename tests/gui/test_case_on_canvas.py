"""Decisions without a selection are about the case on the canvas, whatever the list did."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hands import SHIFT, click, click_row, listed, messages, open_row, press
from qtpy.QtCore import QEvent, Qt
from qtpy.QtWidgets import QApplication

from napari_breastseg.dataset import Dataset

CTRL = Qt.KeyboardModifier.ControlModifier


@pytest.fixture
def accepted(
    window: SimpleNamespace,
    opened: SimpleNamespace,
    folder: Dataset,
    settle: Callable[[], None],
) -> SimpleNamespace:
    """P002 accepted while only cases still to do are listed: it has left the list."""
    open_row(opened.panel, 1)
    settle()
    opened.panel.worklist.status.setCurrentText("still to do")
    press(window, Qt.Key.Key_R, SHIFT)
    press(window, Qt.Key.Key_Return, SHIFT)
    settle()
    assert folder.case("P002").is_accepted
    assert listed(opened.panel) == ["P001", "P003", "P004"]
    return opened


def test_flag_sets_the_case_on_the_canvas_aside_not_the_one_that_moved_up(
    window: SimpleNamespace,
    accepted: SimpleNamespace,
    folder: Dataset,
    settle: Callable[[], None],
) -> None:
    press(window, Qt.Key.Key_F)
    settle()
    status = {record.case_id: record.status.value for record in folder.cases()}
    assert status == {
        "P001": "drafted",
        "P002": "flagged",
        "P003": "drafted",
        "P004": "drafted",
    }
    press(window, Qt.Key.Key_E)  # it is on the canvas still
    settle()
    assert folder.case("P002").status.value != "flagged"
    assert folder.case("P003").status.value == "drafted"


def test_undo_accept_undoes_what_was_just_accepted(
    window: SimpleNamespace,
    accepted: SimpleNamespace,
    folder: Dataset,
    settle: Callable[[], None],
) -> None:
    assert accepted.panel.undo_button.isEnabled(), accepted.panel.undo_button.toolTip()
    press(window, Qt.Key.Key_U)
    settle()
    assert not folder.case("P002").is_accepted


def test_a_row_clicked_in_the_list_is_what_is_flagged(
    window: SimpleNamespace,
    accepted: SimpleNamespace,
    folder: Dataset,
    settle: Callable[[], None],
) -> None:
    click_row(accepted.panel, 1)  # the list had selected it by itself
    click(accepted.panel.flag_button)
    settle()
    assert folder.case("P003").status.value == "flagged"
    assert folder.case("P002").is_accepted


def test_next_opens_the_first_case_of_a_list_that_leaves_the_current_one_out(
    window: SimpleNamespace, opened: SimpleNamespace, folder: Dataset, settle: Callable[[], None]
) -> None:
    folder.accept("P002", folder.draft("P002"), reviewed_slices=None, annotator="AB", seconds=1)
    opened.panel.refresh()
    settle()
    open_row(opened.panel, 1)
    settle()
    assert window.dock.session.case_id == "P002"
    opened.panel.worklist.status.setCurrentText("still to do")
    click(opened.panel.next_button)
    settle()
    assert window.dock.session.case_id == "P001"


def test_the_list_is_read_again_when_the_window_is_turned_to(
    window: SimpleNamespace, opened: SimpleNamespace, folder: Dataset, settle: Callable[[], None]
) -> None:
    other = Dataset.open(folder.folder)  # another window, or another person
    other.accept("P003", other.draft("P003"), reviewed_slices=None, annotator="CD", seconds=1)
    model = opened.panel.worklist.model
    assert model.row_of("P003").status.value == "drafted"
    QApplication.sendEvent(opened.panel, QEvent(QEvent.Type.WindowActivate))
    settle()
    assert model.row_of("P003").status.value == "accepted"


def test_a_mask_layer_that_was_removed_comes_back_with_the_brush(
    window: SimpleNamespace,
    opened: SimpleNamespace,
    folder: Dataset,
    settle: Callable[[], None],
    stroke: Callable[..., None],
) -> None:
    open_row(opened.panel, 0)
    settle()
    stroke(window.viewer.layers["P001 tumor"], (4, 50, 20), (4, 50, 40))
    work = window.viewer.layers["P001 tumor"].data.copy()
    window.viewer.layers.remove("P001 tumor")
    settle()
    window.dock.show_tab("Correct")
    click(window.dock.correct_panel.start_button)
    settle()
    layer = window.viewer.layers["P001 tumor"]
    assert layer.mode == "paint"
    np.testing.assert_array_equal(layer.data, work)
    stroke(layer, (4, 10, 20), (4, 10, 40))
    press(window, Qt.Key.Key_R, SHIFT)
    press(window, Qt.Key.Key_Return, SHIFT)
    settle()
    np.testing.assert_array_equal(folder.label_map("P001").data, layer.data)


def test_a_mistyped_folder_makes_none(
    window: SimpleNamespace, tmp_path: Path, settle: Callable[[], None]
) -> None:
    correct = window.dock.correct_panel
    correct.folder.setValue(tmp_path / "mistypd" / "set")
    correct.open_dataset()
    settle()
    assert "Check the spelling" in messages(window)
    assert list(tmp_path.glob("mistypd*")) == []


def test_changes_undone_in_a_rolled_view_are_not_shown_any_more(
    window: SimpleNamespace,
    opened: SimpleNamespace,
    settle: Callable[[], None],
    stroke: Callable[..., None],
) -> None:
    open_row(opened.panel, 0)
    settle()
    layer = window.viewer.layers["P001 tumor"]
    window.viewer.dims.set_current_step(0, 4)
    window.dock.correct_panel.difference.setChecked(True)
    stroke(layer, (4, 50, 20), (4, 50, 40))
    settle()
    shown = window.viewer.layers["P001 difference"].data
    window.qtbot.waitUntil(lambda: bool(shown[4].any()), timeout=5_000)
    press(window, Qt.Key.Key_E, CTRL)
    press(window, Qt.Key.Key_Z, CTRL)
    press(window, Qt.Key.Key_E, CTRL)
    press(window, Qt.Key.Key_E, CTRL)
    assert tuple(window.viewer.dims.order) == (0, 1, 2)
    assert not shown[4].any()
