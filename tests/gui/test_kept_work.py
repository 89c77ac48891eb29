"""Work is kept from the first stroke on: without a dataset, past a canceled close."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import napari._qt.qt_main_window as _main_window
import numpy as np
import pytest
from hands import NO_KEYS, SHIFT, messages, open_row, press
from napari.settings import get_settings
from qtpy.QtCore import Qt
from qtpy.QtGui import QCloseEvent
from qtpy.QtWidgets import QApplication, QDialog

from napari_breastseg import formats
from napari_breastseg.core.volume import Exam, Grid, LabelMap, Volume
from napari_breastseg.dataset import Dataset
from napari_breastseg.widgets.canvas.layers import show_exam, show_labels, tumor_layer
from napari_breastseg.widgets.correct import autosave as _autosave
from napari_breastseg.widgets.parts import fields as _fields
from napari_breastseg.widgets.state.sources import fingerprint
from napari_breastseg.widgets.state.unfinished import unfinished_map, unfinished_path

GRID = Grid((6, 60, 80), np.diag([3.0, 1.0, 1.0, 1.0]))
WAIT_MS = 20_000


def exam_called(case_id: str) -> Exam:
    seed = sum(map(ord, case_id))
    data = np.random.default_rng(seed).normal(100, 10, GRID.shape).astype(np.float32)
    return Exam(case_id, {"post1": Volume(data, GRID)})


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_autosave, "SAVE_AFTER_S", 0.2)
    monkeypatch.setattr(_autosave, "RETRY_S", 0.3)


@pytest.fixture
def painted(window: SimpleNamespace, stroke: Callable[..., None]) -> SimpleNamespace:
    """An exam in no dataset, with an empty mask into which one stroke was drawn."""
    exam = exam_called("P001")
    show_exam(window.viewer, exam)
    empty = LabelMap(np.zeros(GRID.shape, np.uint8), GRID)
    layer = show_labels(window.viewer, window.dock.session.source, empty)
    window.viewer.layers.selection.active = layer
    layer.mode, layer.brush_size = "paint", 5
    window.viewer.dims.set_current_step(0, 3)
    stroke(layer, (3, 30, 30), (3, 34, 40))
    assert layer.data.any()
    return SimpleNamespace(exam=exam, mark=fingerprint(exam))


def kept(mark: str) -> Any:
    found = unfinished_map(mark, GRID)
    return None if found is None else found.data


def test_work_on_the_screen_is_not_offered_as_found(
    window: SimpleNamespace, painted: SimpleNamespace, stroke: Callable[..., None]
) -> None:
    dock, layer = window.dock, window.viewer.layers["P001 tumor"]
    window.qtbot.waitUntil(lambda: kept(painted.mark) is not None, timeout=20_000)
    dock.correct_panel.unfinished._looked_at = None  # as when its layers went and came back
    stroke(layer, (3, 20, 20), (3, 24, 24))  # newer than what was kept
    dock.correct_panel.unfinished._look()
    runner = dock.correct_panel.unfinished.runner
    window.qtbot.waitUntil(lambda: not runner.is_running, timeout=20_000)
    window.qtbot.wait(50)  # a question would fail the test
    assert layer.data[3, 22, 22] == 1


class FromTheFrame(QCloseEvent):
    """What the window system sends; of what a program sends itself napari asks nothing."""

    def spontaneous(self) -> bool:
        return True


def close_and_cancel(window: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Close the window as its frame's button does, and cancel in napari's question."""
    get_settings().application.confirm_close_window = True
    asked: list[object] = []

    def exec_(dialog: Any) -> Any:
        asked.append(dialog)
        return QDialog.DialogCode.Rejected

    monkeypatch.setattr(_main_window.ConfirmCloseDialog, "exec_", exec_)
    QApplication.sendEvent(window.viewer.window._qt_window, FromTheFrame())
    window.qtbot.waitUntil(lambda: bool(asked), timeout=WAIT_MS)
    window.qtbot.wait(50)
    asked.clear()


def test_a_stroke_is_kept_though_no_dataset_holds_the_exam_and_offered_again(
    window: SimpleNamespace,
    painted: SimpleNamespace,
    settle: Callable[[], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    work = window.viewer.layers["P001 tumor"].data.copy()
    window.qtbot.waitUntil(lambda: np.array_equal(kept(painted.mark), work), timeout=WAIT_MS)
    path = tmp_path / "P001.nii.gz"
    formats.write_volume(path, painted.exam.phases["post1"])
    asked: list[str] = []
    monkeypatch.setattr(_fields, "ask", lambda *parts: asked.append(parts[1]) or True)
    formats.write_volume(tmp_path / "P002.nii.gz", exam_called("P002").phases["post1"])
    open_panel = window.dock.open_panel
    for name in ("P002", "P001"):
        open_panel.open_dropped(tmp_path / f"{name}.nii.gz")
        window.qtbot.waitUntil(
            lambda name=name: window.dock.session.case_id == name, timeout=WAIT_MS
        )
        settle()
    assert asked == ["Unfinished work found"]  # and nothing was asked on leaving
    np.testing.assert_array_equal(window.viewer.layers["P001 tumor"].data, work)


def test_what_is_undone_is_not_offered(
    window: SimpleNamespace, painted: SimpleNamespace, settle: Callable[[], None]
) -> None:
    window.qtbot.waitUntil(lambda: kept(painted.mark) is not None, timeout=WAIT_MS)
    window.viewer.layers["P001 tumor"].undo()
    window.qtbot.waitUntil(lambda: not unfinished_path(painted.mark).exists(), timeout=WAIT_MS)


def test_a_dataset_takes_over_what_was_painted_before_correcting_started(
    window: SimpleNamespace,
    painted: SimpleNamespace,
    settle: Callable[[], None],
    tmp_path: Path,
) -> None:
    work = window.viewer.layers["P001 tumor"].data.copy()
    window.qtbot.waitUntil(lambda: kept(painted.mark) is not None, timeout=WAIT_MS)
    correct = window.dock.correct_panel
    correct.folder.setValue(tmp_path / "set")
    correct.open_dataset()
    settle()
    correct.patient.setText("A")
    correct.annotator.setText("AB")
    window.dock.take_brush()
    settle()
    recovered = Dataset.open(tmp_path / "set").recover("P001")
    np.testing.assert_array_equal(recovered.data, work)
    assert not unfinished_path(painted.mark).exists()


def test_the_brush_is_there_while_the_exam_is_still_being_written(
    window: SimpleNamespace,
    settle: Callable[[], None],
    stroke: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    exam = exam_called("P001")
    show_exam(window.viewer, exam)
    correct, go, real = window.dock.correct_panel, threading.Event(), Dataset.add
    correct.folder.setValue(tmp_path / "set")
    correct.open_dataset()
    settle()

    def add(self: Dataset, *args: Any, **settings: Any) -> Any:
        assert go.wait(60)
        return real(self, *args, **settings)

    monkeypatch.setattr(Dataset, "add", add)
    correct.patient.setText("A")
    correct.annotator.setText("AB")
    window.dock.take_brush()
    try:
        layer = tumor_layer(window.viewer, "P001")
        assert layer.mode == "paint"
        for z in (1, 4):
            window.viewer.dims.set_current_step(0, z)
            stroke(layer, (z, 30, 30), (z, 34, 40))
        work = layer.data.copy()
        assert sorted(set(np.nonzero(work)[0])) == [1, 4]
        mark = fingerprint(exam)
        window.qtbot.waitUntil(lambda: np.array_equal(kept(mark), work), timeout=WAIT_MS)
        assert window.dock.session.record is None
    finally:
        go.set()
    settle()
    session = window.dock.session
    assert session.record.case_id == "P001", messages(window)
    assert window.viewer.dims.current_step[0] == 4  # the reader stays there
    assert {1, 4} <= set(session.reviewed)
    assert session.effort.strokes == 2
    np.testing.assert_array_equal(layer.data, work)
    np.testing.assert_array_equal(Dataset.open(tmp_path / "set").recover("P001").data, work)
    assert not unfinished_path(mark).exists()


def test_closing_the_window_keeps_the_last_stroke(
    window: SimpleNamespace, painted: SimpleNamespace
) -> None:
    work = window.viewer.layers["P001 tumor"].data.copy()
    window.viewer.close()
    np.testing.assert_array_equal(kept(painted.mark), work)


def test_a_close_that_is_canceled_leaves_the_dock_at_work(
    window: SimpleNamespace,
    opened: SimpleNamespace,
    folder: Dataset,
    settle: Callable[[], None],
    stroke: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    open_row(opened.panel, 0)
    settle()
    layer = window.viewer.layers["P001 tumor"]
    stroke(layer, (4, 50, 20), (4, 50, 40))
    first = layer.data.copy()
    close_and_cancel(window, monkeypatch)
    np.testing.assert_array_equal(folder.recover("P001").data, first)  # kept before it is asked
    assert Dataset.open(folder.folder).lock_holder("P001").owner == "AB"
    stroke(layer, (4, 20, 20), (4, 20, 40))
    work = layer.data.copy()
    assert not np.array_equal(first, work)
    window.qtbot.waitUntil(
        lambda: np.array_equal(folder.recover("P001").data, work), timeout=WAIT_MS
    )
    press(window, Qt.Key.Key_C, NO_KEYS)
    press(window, Qt.Key.Key_R, SHIFT)
    assert window.dock.correct_panel.rest.isChecked()


def test_a_folder_that_vanishes_is_said_and_the_work_kept_on_this_computer(
    window: SimpleNamespace,
    opened: SimpleNamespace,
    folder: Dataset,
    settle: Callable[[], None],
    stroke: Callable[..., None],
) -> None:
    open_row(opened.panel, 0)
    settle()
    layer, saved = (
        window.viewer.layers["P001 tumor"],
        window.dock.correct_panel.accept_box.saved_line,
    )
    mark = window.dock.session.source.fingerprint
    away = folder.folder.with_name("away")
    folder.folder.rename(away)
    stroke(layer, (4, 50, 20), (4, 50, 40))
    work = layer.data.copy()
    window.qtbot.waitUntil(lambda: saved.text().startswith("NOT SAVED"), timeout=WAIT_MS)
    assert "it is not there any more" in messages(window)
    assert not folder.folder.exists()  # no empty one was made in its place
    grid = window.dock.session.record.grid.grid
    np.testing.assert_array_equal(unfinished_map(mark, grid).data, work)
    away.rename(folder.folder)
    window.qtbot.waitUntil(lambda: "autosaved" in saved.text(), timeout=WAIT_MS)
    np.testing.assert_array_equal(folder.recover("P001").data, work)
    assert unfinished_map(mark, grid) is None
    assert tumor_layer(window.viewer, "P001") == layer


@pytest.mark.parametrize("is_opened_first", [True, False])
def test_a_case_the_dataset_knows_is_corrected_under_the_patient_it_knows(
    window: SimpleNamespace,
    folder: Dataset,
    settle: Callable[[], None],
    is_opened_first: bool,
) -> None:
    dock, correct = window.dock, window.dock.correct_panel
    correct.annotator.setText("AB")
    correct.folder.setValue(folder.folder)
    if is_opened_first:
        correct.open_dataset()
        settle()
    show_exam(window.viewer, folder.exam("P001"))
    settle()
    if not is_opened_first:
        assert correct.patient.text() == "P001"
        correct.open_dataset()
        settle()
    assert correct.patient.text() == "patient-P001"
    correct.start()
    settle()
    assert dock.session.record.patient_id == "patient-P001"
    show_exam(window.viewer, exam_called("P009"), instead_of="P001")
    settle()
    assert correct.patient.text() == "P009"
    correct.patient.setText("typed")
    dock.session.dataset_changed.emit(folder)
    assert correct.patient.text() == "typed"


def test_work_is_kept_after_the_dock_was_closed_and_goes_on_in_the_next(
    window: SimpleNamespace,
    opened: SimpleNamespace,
    folder: Dataset,
    settle: Callable[[], None],
    stroke: Callable[..., None],
) -> None:
    show_exam(window.viewer, folder.exam("P001"))
    settle()
    window.dock.correct_panel.patient.setText("patient-P001")
    window.dock.take_brush()
    settle()
    layer, mark = window.viewer.layers["P001 tumor"], window.dock.session.source.fingerprint
    stroke(layer, (4, 50, 20), (4, 50, 40))
    window.viewer.window.remove_dock_widget(window.dock)
    assert window.dock._is_over
    assert Dataset.open(folder.folder).lock_holder("P001") is None
    grid = folder.case("P001").grid.grid
    stroke(layer, (4, 10, 20), (4, 10, 40))
    work = layer.data.copy()

    def is_kept() -> bool:
        found = unfinished_map(mark, grid)
        return found is not None and np.array_equal(found.data, work)

    window.qtbot.waitUntil(is_kept, timeout=WAIT_MS)
    _, window.dock = window.viewer.window.add_plugin_dock_widget("napari-breastseg", "Breast MRI")
    correct = window.dock.correct_panel
    correct.folder.setValue(folder.folder)
    correct.open_dataset()
    settle()
    correct.annotator.setText("AB")
    correct.patient.setText("patient-P001")
    window.dock.take_brush()
    settle()
    np.testing.assert_array_equal(layer.data, work)  # and nothing was asked
    np.testing.assert_array_equal(folder.recover("P001").data, work)
    assert unfinished_map(mark, grid) is None
