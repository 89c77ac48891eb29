"""Decisions without a selection are about the case on the canvas, whatever the list did."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest
from hands import SHIFT, click, click_row, listed, open_row, press
from qtpy.QtCore import Qt

from napari_breastseg.dataset import Dataset


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
