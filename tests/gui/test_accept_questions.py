"""Accept lets no work of the reader go, and claims nothing that the reader did not say."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hands import NO_KEYS, SHIFT, messages, open_row, press
from qtpy.QtCore import Qt

from napari_breastseg.core.volume import LabelMap
from napari_breastseg.dataset import Dataset
from napari_breastseg.widgets.parts import fields as _fields


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What was asked, and the answer given."""
    asked = SimpleNamespace(texts=[], answer=True)

    def ask(parent: object, title: str, text: str, *answers: str) -> bool:
        asked.texts.append(text)
        return bool(asked.answer)

    monkeypatch.setattr(_fields, "ask", ask)
    return asked


@pytest.fixture
def undrafted(folder: Dataset) -> Dataset:
    """The dataset without drafts."""
    for record in folder.cases():
        folder.save_draft(
            record.case_id,
            LabelMap(np.zeros(record.grid.shape, np.uint8), record.grid.grid),
            model="m@1",
        )
    return folder


def test_slices_filled_by_a_tool_are_accepted_though_nobody_scrolled_there(
    window: SimpleNamespace,
    undrafted: Dataset,
    opened: SimpleNamespace,
    settle: Callable[[], None],
    stroke: Callable[..., None],
    asked: SimpleNamespace,
) -> None:
    open_row(opened.panel, 0)
    settle()
    layer = window.viewer.layers["P001 tumor"]
    for z in (1, 7):
        window.viewer.dims.set_current_step(0, z)
        stroke(layer, (z, 30, 20), (z, 30, 40))
    press(window, Qt.Key.Key_J, NO_KEYS)
    settle()
    filled = np.flatnonzero(layer.data.any((1, 2))).tolist()
    assert filled == [1, 2, 3, 4, 5, 6, 7]
    before = layer.data.copy()
    press(window, Qt.Key.Key_Return, SHIFT)
    settle()
    assert asked.texts == []
    record = undrafted.case("P001")
    assert set(filled) <= set(record.accepted.reviewed_slices)
    np.testing.assert_array_equal(undrafted.label_map("P001").data == 1, before == 1)

    # Undone, they are slices that nobody looked at again
    layer.undo()
    session, between = window.dock.session, {2, 3, 5, 6}
    window.qtbot.waitUntil(lambda: between.isdisjoint(session.reviewed), timeout=5_000)


def test_tumor_of_the_draft_that_was_not_seen_is_asked_about(
    window: SimpleNamespace,
    folder: Dataset,
    opened: SimpleNamespace,
    settle: Callable[[], None],
    stroke: Callable[..., None],
    asked: SimpleNamespace,
) -> None:
    open_row(opened.panel, 0)
    settle()
    layer, seen = window.viewer.layers["P001 tumor"], window.viewer.dims.current_step[0]
    stroke(layer, (seen, 50, 20), (seen, 50, 40))
    unseen = sorted({2, 3, 4, 5, 6} - {seen})
    asked.answer = False
    press(window, Qt.Key.Key_Return, SHIFT)
    settle()
    assert "4 slices with tumor were not seen" in asked.texts[0]
    assert not folder.case("P001").is_accepted
    assert window.viewer.dims.current_step[0] == unseen[0]  # shown, as answered
    for z in unseen[1:]:
        window.viewer.dims.set_current_step(0, z)
    settle()
    press(window, Qt.Key.Key_Return, SHIFT)
    settle()
    assert len(asked.texts) == 1
    assert folder.case("P001").accepted.tumor_voxels == np.count_nonzero(layer.data == 1)


def test_an_untouched_exam_is_not_called_clear_by_one_key(
    window: SimpleNamespace,
    undrafted: Dataset,
    opened: SimpleNamespace,
    settle: Callable[[], None],
    asked: SimpleNamespace,
) -> None:
    open_row(opened.panel, 0)
    settle()
    asked.answer = False
    press(window, Qt.Key.Key_Return, SHIFT)
    settle()
    assert "Accept that it holds no tumor" in asked.texts[0]
    assert not undrafted.case("P001").is_accepted, messages(window)
    asked.answer = True
    press(window, Qt.Key.Key_Return, SHIFT)
    settle()
    accepted: Any = undrafted.case("P001").accepted
    assert accepted.reviewed_slices is None
    assert accepted.tumor_voxels == 0
