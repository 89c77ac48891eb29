"""Work on a case that is left: painted while another opens, declined, on the way to the disk."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hands import NO_KEYS, click, messages, open_row, press
from qtpy.QtCore import Qt

from napari_breastseg.core.volume import LabelMap
from napari_breastseg.dataset import Dataset
from napari_breastseg.imaging import correction
from napari_breastseg.widgets.canvas.layers import show_exam, show_labels
from napari_breastseg.widgets.correct import opening
from napari_breastseg.widgets.parts import fields as _fields


class Gate:
    """Stops a thread at a place, and lets it go."""

    def __init__(self) -> None:
        self.reached, self.go = threading.Event(), threading.Event()

    def before(self, work: Callable[..., Any]) -> Callable[..., Any]:
        def held(*args: Any, **settings: Any) -> Any:
            self.reached.set()
            assert self.go.wait(20)
            return work(*args, **settings)

        return held


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.go.set()


def is_at_work(window: SimpleNamespace, case_id: str) -> bool:
    record = window.dock.session.record
    return record is not None and record.case_id == case_id


def test_what_is_painted_while_another_case_is_read_stays_with_its_case(
    window: SimpleNamespace,
    opened: SimpleNamespace,
    folder: Dataset,
    settle: Callable[[], None],
    stroke: Callable[..., None],
    gate: Gate,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    open_row(opened.panel, 0)
    settle()
    monkeypatch.setattr(opening, "hold_case", gate.before(opening.hold_case))
    open_row(opened.panel, 1)
    window.qtbot.waitUntil(gate.reached.is_set, timeout=20_000)
    layer = window.viewer.layers["P001 tumor"]
    stroke(layer, (4, 50, 20), (4, 50, 40))
    painted = layer.data.copy()
    assert is_at_work(window, "P001")  # held until the other one is there
    gate.go.set()
    settle()
    assert is_at_work(window, "P002")
    np.testing.assert_array_equal(folder.recover("P001").data, painted)
    assert folder.case("P001").work.strokes == 1
    assert folder.recover("P002") is None
    assert Dataset.open(folder.folder).lock_holder("P001") is None


def test_what_is_painted_while_another_folder_is_read_stays_in_the_first(
    window: SimpleNamespace,
    opened: SimpleNamespace,
    folder: Dataset,
    settle: Callable[[], None],
    stroke: Callable[..., None],
    gate: Gate,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = Dataset.create(folder.folder.parent / "other")
    open_row(opened.panel, 0)
    settle()
    correct = window.dock.correct_panel
    monkeypatch.setattr(Dataset, "open_or_create", gate.before(Dataset.open_or_create))
    correct.folder.setValue(other.folder)
    correct.open_dataset()
    window.qtbot.waitUntil(gate.reached.is_set, timeout=20_000)
    layer = window.viewer.layers["P001 tumor"]
    stroke(layer, (4, 50, 20), (4, 50, 40))
    painted = layer.data.copy()
    gate.go.set()
    settle()
    assert window.dock.session.dataset.folder == other.folder
    np.testing.assert_array_equal(folder.recover("P001").data, painted)
    assert other.cases() == []


def test_work_on_its_way_to_the_disk_arrives_when_another_exam_is_chosen(
    window: SimpleNamespace,
    opened: SimpleNamespace,
    folder: Dataset,
    settle: Callable[[], None],
    stroke: Callable[..., None],
) -> None:
    open_row(opened.panel, 0)
    settle()
    layer = window.viewer.layers["P001 tumor"]
    stroke(layer, (4, 50, 20), (4, 50, 40))
    painted = layer.data.copy()
    assert folder.recover("P001") is None  # it is too early
    disk = window.dock.correct_panel.autosave._writer.disk
    disk.acquire()  # the disk is busy for a while
    threading.Timer(0.3, disk.release).start()
    show_exam(window.viewer, folder.exam("P002"))
    assert window.dock.session.case_id == "P002"
    settle()
    np.testing.assert_array_equal(folder.recover("P001").data, painted)


def test_what_a_tool_finds_after_its_case_was_left_is_told_and_not_done(
    window: SimpleNamespace,
    opened: SimpleNamespace,
    folder: Dataset,
    settle: Callable[[], None],
    gate: Gate,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    open_row(opened.panel, 0)
    settle()
    layer, draft = window.viewer.layers["P001 tumor"], folder.draft("P001").data
    monkeypatch.setattr(correction, "grow", gate.before(correction.grow))
    window.dock.correct_panel.tools.settings.scope.setCurrentText("scope: volume")
    press(window, Qt.Key.Key_Period, NO_KEYS)
    window.qtbot.waitUntil(gate.reached.is_set, timeout=20_000)
    show_exam(window.viewer, folder.exam("P002"))
    gate.go.set()
    settle()
    assert "The case was closed meanwhile; nothing was changed." in messages(window)
    np.testing.assert_array_equal(layer.data, draft)
    assert folder.recover("P001") is None


def test_a_case_opened_again_goes_on_as_it_was(
    window: SimpleNamespace,
    opened: SimpleNamespace,
    folder: Dataset,
    settle: Callable[[], None],
    stroke: Callable[..., None],
) -> None:
    open_row(opened.panel, 0)
    settle()
    stroke(window.viewer.layers["P001 tumor"], (4, 50, 20), (4, 50, 40))
    painted = window.viewer.layers["P001 tumor"].data.copy()
    open_row(opened.panel, 0)
    settle()
    assert is_at_work(window, "P001"), messages(window)
    np.testing.assert_array_equal(window.viewer.layers["P001 tumor"].data, painted)
    assert Dataset.open(folder.folder).lock_holder("P001").owner == "AB"
    assert "Your unfinished work on P001 goes on." in messages(window)  # and nothing was asked


def test_what_another_reader_left_is_asked_about_and_named(
    window: SimpleNamespace,
    opened: SimpleNamespace,
    folder: Dataset,
    settle: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    draft = folder.draft("P001")
    work = LabelMap(np.roll(draft.data, 9, axis=1), draft.grid)
    other = Dataset.open(folder.folder)
    with other.lock("P001", "CD"):
        other.autosave("P001", work)
    asked: list[str] = []
    monkeypatch.setattr(_fields, "ask", lambda *parts: asked.append(parts[1]) or True)
    for row in (0, 1, 0):  # taken up once, it is this reader's own
        open_row(opened.panel, row)
        settle()
    assert asked == ["Unfinished work of CD"]
    np.testing.assert_array_equal(window.viewer.layers["P001 tumor"].data, work.data)
    assert folder.case("P001").left_by == "AB"


def test_declined_work_stays_on_the_disk_until_new_work_takes_its_place(
    window: SimpleNamespace,
    opened: SimpleNamespace,
    folder: Dataset,
    settle: Callable[[], None],
    stroke: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    draft = folder.draft("P001")
    earlier = LabelMap(np.roll(draft.data, 9, axis=1), draft.grid)
    folder.autosave("P001", earlier)
    asked: list[str] = []

    def decline(parent: object, title: str, *_: str) -> bool:
        asked.append(title)
        return False

    monkeypatch.setattr(_fields, "ask", decline)
    open_row(opened.panel, 0)
    settle()
    np.testing.assert_array_equal(window.viewer.layers["P001 tumor"].data, draft.data)
    open_row(opened.panel, 1)  # leaving the case without a stroke changes nothing
    settle()
    np.testing.assert_array_equal(folder.recover("P001").data, earlier.data)
    open_row(opened.panel, 0)
    settle()
    assert asked == ["Recovered work found"] * 2
    layer = window.viewer.layers["P001 tumor"]
    stroke(layer, (4, 50, 20), (4, 50, 40))
    painted = layer.data.copy()
    open_row(opened.panel, 1)
    settle()
    np.testing.assert_array_equal(folder.recover("P001").data, painted)


def test_an_exam_that_is_opened_twice_stays_one_with_its_mask_in_sight(
    window: SimpleNamespace, settle: Callable[[], None], stroke: Callable[..., None]
) -> None:
    viewer = window.viewer
    viewer.open_sample("napari-breastseg", "phantom")
    settle()
    source = window.dock.session.source
    empty = np.zeros(viewer.layers[0].data.shape, np.uint8)
    grid = viewer.layers[0].metadata["breastseg"]["grid"]
    layer = show_labels(viewer, source, LabelMap(empty, grid))
    names = [each.name for each in viewer.layers]
    viewer.open_sample("napari-breastseg", "phantom")
    settle()
    assert [each.name for each in viewer.layers] == names
    assert "is open already" in messages(window)
    assert viewer.layers.selection.active == layer
    layer.mode = "paint"
    z = viewer.dims.current_step[0]
    stroke(layer, (z, 60, 60), (z, 65, 70))
    assert layer.data.any()


def test_a_case_that_is_closed_is_saved_given_back_and_off_the_canvas(
    window: SimpleNamespace,
    opened: SimpleNamespace,
    folder: Dataset,
    settle: Callable[[], None],
    stroke: Callable[..., None],
) -> None:
    assert window.dock.correct_panel.dataset_box.close_button.toolTip() == "No case is open"
    open_row(opened.panel, 0)
    settle()
    window.dock.show_tab("Correct")
    stroke(window.viewer.layers["P001 tumor"], (4, 50, 20), (4, 50, 40))
    painted = window.viewer.layers["P001 tumor"].data.copy()
    press(window, Qt.Key.Key_Q)
    settle()
    assert len(window.viewer.layers) == 0
    assert window.dock.session.source is None
    assert window.dock.session.record is None
    assert window.dock.tabs.currentIndex() == 3
    np.testing.assert_array_equal(folder.recover("P001").data, painted)
    assert Dataset.open(folder.folder).lock_holder("P001") is None

    # Opened again it goes on as it was; the button in the header closes it, too.
    open_row(opened.panel, 0)
    settle()
    np.testing.assert_array_equal(window.viewer.layers["P001 tumor"].data, painted)
    window.dock.header.open()
    window.qtbot.wait(50)
    click(window.dock.correct_panel.dataset_box.close_button)
    settle()
    assert len(window.viewer.layers) == 0
    assert Dataset.open(folder.folder).lock_holder("P001") is None
