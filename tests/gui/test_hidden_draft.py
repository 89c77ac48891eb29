"""While a draft is hidden no tool brings any of it into sight."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
from hands import CTRL_SHIFT, NO_KEYS, SHIFT, messages, open_row, press
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_breastseg.core.volume import LabelMap
from napari_breastseg.dataset import Dataset

HIDDEN = "The draft is hidden; show it first (F9)"


@pytest.fixture
def hiding(window: SimpleNamespace, opened: SimpleNamespace) -> SimpleNamespace:
    """The List step with drafts hidden until they are asked for."""
    window.dock.show_tab("Segment")
    window.dock.segment_panel.fold.set_open(True)
    QTest.mouseClick(window.dock.segment_panel.hides_drafts.native, Qt.MouseButton.LeftButton)
    window.dock.show_tab("Review")
    return opened


def test_going_back_and_predicting_in_a_box_wait_until_the_draft_is_shown(
    window: SimpleNamespace,
    hiding: SimpleNamespace,
    folder: Dataset,
    settle: Callable[[], None],
) -> None:
    open_row(hiding.panel, 0)
    settle()
    tools, layer = window.dock.correct_panel.tools, window.viewer.layers["P001 tumor"]
    tools.settings.scope.setCurrentText("scope: volume")
    for key, modifiers, name in (
        (Qt.Key.Key_U, SHIFT, "revert"),
        (Qt.Key.Key_Y, CTRL_SHIFT, "predict_box"),
    ):
        window.told.clear()
        press(window, key, modifiers)
        settle()
        assert HIDDEN in messages(window)
        assert tools.buttons[name].toolTip() == HIDDEN
        assert not layer.data.any()
        assert "P001 box" not in window.viewer.layers
    press(window, Qt.Key.Key_F9, NO_KEYS)
    draft = folder.draft("P001").data
    np.testing.assert_array_equal(layer.data, draft)
    layer.data_setitem(np.nonzero(draft), 0)
    press(window, Qt.Key.Key_U, SHIFT)
    settle()
    np.testing.assert_array_equal(layer.data, draft)
    press(window, Qt.Key.Key_Y, CTRL_SHIFT)
    assert "Drag a rectangle" in messages(window)


def test_interpolating_knows_nothing_of_a_hidden_draft(
    window: SimpleNamespace,
    hiding: SimpleNamespace,
    folder: Dataset,
    settle: Callable[[], None],
    stroke: Callable[..., None],
) -> None:
    open_row(hiding.panel, 0)
    settle()
    layer = window.viewer.layers["P001 tumor"]
    layer.brush_size = 8
    window.dock.correct_panel.tools.settings.scope.setCurrentText("scope: slice")
    for z in (1, 7):
        window.viewer.dims.set_current_step(0, z)
        stroke(layer, (z, 50, 20), (z, 50, 40))
    # The draft has tumor in 2 to 6: against it, these slices would count as edited.
    assert np.flatnonzero(folder.draft("P001").data.any(axis=(1, 2))).tolist() == [2, 3, 4, 5, 6]
    window.viewer.dims.set_current_step(0, 4)
    press(window, Qt.Key.Key_J, NO_KEYS)
    settle()
    assert [bool(plane.any()) for plane in layer.data] == [False, *[True] * 7, False]
    assert not layer.data[4, :40].any()


def test_a_reopened_mask_is_no_draft_and_stays_in_sight(
    window: SimpleNamespace,
    hiding: SimpleNamespace,
    folder: Dataset,
    settle: Callable[[], None],
) -> None:
    draft = folder.draft("P002")
    mask = LabelMap(np.roll(draft.data, 9, axis=1), draft.grid)
    folder.accept("P002", mask, reviewed_slices=None, annotator="AB", seconds=1)
    folder.reopen("P002")
    open_row(hiding.panel, 1)
    settle()
    np.testing.assert_array_equal(window.viewer.layers["P002 tumor"].data, mask.data)
    assert window.dock.correct_panel.tools.why_not("revert") == HIDDEN
