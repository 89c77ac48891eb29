"""Reading in a real window, by keys and mouse: pictures, windows, draft, layouts, keys, tour."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hands import drag_on, turn_wheel
from qtpy.QtCore import QEvent, QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QToolButton, QWidget

from napari_breastseg.core.progress import Progress
from napari_breastseg.core.volume import Exam, Grid, LabelMap, Volume
from napari_breastseg.predict.prediction import Prediction
from napari_breastseg.widgets.canvas.layers import show_exam, show_labels, tumor_layer
from napari_breastseg.widgets.canvas.slice_picture import SlicePicture
from napari_breastseg.widgets.keys import KEYS
from napari_breastseg.widgets.parts import fields as _fields
from napari_breastseg.widgets.parts.manners import canvas_of
from napari_breastseg.widgets.parts.shortcuts import key_words
from napari_breastseg.widgets.segment.panel import SegmentTumor
from napari_breastseg.widgets.state.settings import recall, remember
from napari_breastseg.widgets.tour import STEPS

SHAPE = (12, 60, 80)
NONE, SHIFT = Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.ShiftModifier


def exam_of_two_lesions(case_id: str = "P001") -> tuple[Exam, Volume]:
    """Three phases and a probability with two lesions, of 0.9 and 0.6."""
    grid = Grid(SHAPE, np.array([[0, 0, -1.0, 40], [0, -1, 0, 30], [2, 0, 0, -8], [0, 0, 0, 1]]))
    rng = np.random.default_rng(0)
    probability = np.zeros(SHAPE, np.float32)
    probability[4:7, 20:30, 20:30] = 0.9
    probability[8:10, 40:46, 50:56] = 0.6
    pre = rng.normal(100, 5, SHAPE).astype(np.float32)
    phases = {"pre": pre, "post1": pre + 80 * probability, "post2": pre + 60 * probability}
    exam = Exam(case_id, {role: Volume(data, grid) for role, data in phases.items()})
    return exam, Volume(probability, grid)


@pytest.fixture
def reading(window: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The window with an exam, and a model that finds its two lesions at once."""
    exam, probability = exam_of_two_lesions()

    def segment(*_: object) -> Iterator[Progress]:
        yield Progress("Segmenting", 0, 1)
        labels = LabelMap((probability.data >= 0.5).astype(np.uint8), exam.grid)
        return Prediction(probability, labels, 0.5, ("post1",), "cpu", "two@0123", 1.0)

    monkeypatch.setattr(SegmentTumor, "_segment", segment)
    show_exam(window.viewer, exam)
    window.exam, window.probability = exam, probability
    return window


def press(window: SimpleNamespace, key: Qt.Key, modifier: Qt.KeyboardModifier = NONE) -> None:
    """A real key on the canvas."""
    native = window.viewer.window._qt_viewer.canvas.native
    native.setFocus()
    QTest.keyClick(native, key, modifier)
    QApplication.processEvents()


def in_sight(window: SimpleNamespace) -> list[str]:
    return [one.name for one in window.viewer.layers if one.visible]


def point_at(window: SimpleNamespace, layer: Any, voxel: tuple[float, ...]) -> None:
    """Move the mouse to a voxel of the slice in sight."""
    canvas = window.viewer.window._qt_viewer.canvas
    world = layer.data_to_world(voxel)
    y, x = (world[axis] for axis in window.viewer.dims.displayed)
    mapped = (canvas.view.transform * canvas.view.scene.transform).map([x, y, 0, 1])
    QTest.mouseMove(canvas.native, QPoint(round(mapped[0]), round(mapped[1])))
    QTest.qWait(60)


def test_one_key_steps_through_the_pictures_under_one_window(reading: SimpleNamespace) -> None:
    viewer = reading.viewer
    where = viewer.scene.camera.center, viewer.dims.point
    seen = []
    press(reading, Qt.Key.Key_W)
    press(reading, Qt.Key.Key_W, SHIFT)
    assert "P001 sub1" not in viewer.layers  # made when its turn comes: it holds the window
    for _ in range(5):
        seen.append(in_sight(reading))
        press(reading, Qt.Key.Key_W)
    names = [f"P001 {role}" for role in ("post1", "post2", "sub1", "pre", "post1")]
    assert seen == [[name] for name in names]
    assert (viewer.scene.camera.center, viewer.dims.point) == where
    assert np.allclose(
        viewer.layers["P001 sub1"].data[5], 80 * reading.probability.data[5], atol=1e-3
    )

    # One intensity window for all phases, by keys and by hand; the map keeps its own
    phases = [viewer.layers[f"P001 {role}"] for role in ("pre", "post1", "post2")]
    opened = tuple(phases[0].contrast_limits)
    of_map = tuple(viewer.layers["P001 sub1"].contrast_limits)
    press(reading, Qt.Key.Key_Left, SHIFT)
    narrow = [tuple(layer.contrast_limits) for layer in phases]
    assert len(set(narrow)) == 1
    assert np.ptp(narrow[0]) == pytest.approx(np.ptp(opened) / 1.25)
    assert np.mean(narrow[0]) == pytest.approx(np.mean(opened))
    press(reading, Qt.Key.Key_Right, SHIFT)
    assert tuple(phases[2].contrast_limits) == pytest.approx(opened)
    press(reading, Qt.Key.Key_Up, SHIFT)
    assert np.mean(phases[1].contrast_limits) < np.mean(opened)  # brighter
    press(reading, Qt.Key.Key_Down, SHIFT)
    phases[0].contrast_limits = (10, 20)
    assert tuple(phases[2].contrast_limits) == (10, 20)
    press(reading, Qt.Key.Key_F6)
    half = opened[0], opened[0] + (opened[1] - opened[0]) / 2
    assert tuple(phases[0].contrast_limits) == pytest.approx(half)
    press(reading, Qt.Key.Key_F6)
    press(reading, Qt.Key.Key_F6)
    assert tuple(phases[1].contrast_limits) == pytest.approx(opened)
    assert tuple(viewer.layers["P001 sub1"].contrast_limits) == of_map


def test_the_threshold_follows_the_slider_as_one_undo_step(
    reading: SimpleNamespace,
    idle: Callable[..., None],
    stroke: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    panel, viewer, truth = reading.dock.segment_panel, reading.viewer, reading.probability.data
    reading.dock.segment()
    idle(panel.runner)
    layer = tumor_layer(viewer, "P001")
    drafted = layer.data.copy()
    reading.dock.show_tab("Segment")
    slider = panel.threshold
    for value in (0.55, 0.62, 0.7):
        slider.value = value
        QTest.qWait(120)
    assert np.array_equal(layer.data, truth >= 0.7)
    assert "threshold 0.7" in panel.result.text()
    slider.value = 0.95
    QTest.qWait(120)
    assert not layer.data.any()
    slider.value = 0.8
    QTest.qWait(120)
    assert np.array_equal(layer.data, truth >= 0.8)
    assert np.array_equal(reading.dock.session.draft.label_map.data, layer.data)
    layer.undo()
    assert np.array_equal(layer.data, drafted)
    layer.redo()
    assert np.array_equal(layer.data, truth >= 0.8)

    # A mask that somebody edited is asked about
    layer.mode, layer.brush_size = "paint", 4
    viewer.layers.selection.active = layer
    viewer.dims.set_current_step(0, 5)
    stroke(layer, (5, 10, 60), (5, 12, 66))
    mine = layer.data.copy()
    assert mine[5, 10, 60] == 1
    answers: list[bool] = [False, True]
    asked: list[str] = []

    def answer(parent: Any, title: str, text: str, yes: str, no: str) -> bool:
        asked.append(f"{title} {yes} {no}")
        return answers.pop(0)

    monkeypatch.setattr(_fields, "ask", answer)
    slider.value = 0.5
    reading.qtbot.waitUntil(lambda: len(asked) == 1)
    assert np.array_equal(layer.data, mine)
    assert slider.value == pytest.approx(0.8)
    slider.value = 0.5
    reading.qtbot.waitUntil(lambda: len(asked) == 2)
    assert np.array_equal(layer.data, drafted)
    layer.undo()
    assert np.array_equal(layer.data, mine)
    assert set(asked) == {"The mask was edited Replace it Keep my mask"}


def test_the_threshold_slider_counts_as_one_stroke_however_far_it_moves(
    reading: SimpleNamespace, idle: Callable[..., None], tmp_path: Path
) -> None:
    dock, correct = reading.dock, reading.dock.correct_panel
    dock.segment()
    idle(dock.segment_panel.runner)
    correct.folder.setValue(tmp_path / "set")
    correct.open_dataset()
    idle(correct.runner)
    correct.patient.setText("A")
    correct.annotator.setText("AB")
    dock.take_brush()
    idle(correct.runner)
    for value in (0.55, 0.62, 0.7, 0.95):
        dock.segment_panel.threshold.value = value
        QTest.qWait(120)
    assert not tumor_layer(reading.viewer, "P001").data.any()
    assert dock.session.effort.strokes == 1


def test_a_new_draft_takes_no_unfinished_work_away_unasked(
    reading: SimpleNamespace,
    idle: Callable[..., None],
    stroke: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    viewer, dock, runner = reading.viewer, reading.dock, reading.dock.segment_panel.runner
    asked: list[str] = []
    answers = [False, True]

    def answer(parent: Any, title: str, text: str, yes: str, no: str) -> bool:
        asked.append(title)
        return answers.pop(0)

    monkeypatch.setattr(_fields, "ask", answer)
    for _ in range(2):  # a draft as it came is replaced without a word
        dock.segment()
        idle(runner)
    layer = tumor_layer(viewer, "P001")
    drafted = layer.data.copy()
    assert asked == []
    assert dock.correct_panel.accept_box.saved_line.text().startswith("In no dataset")
    layer.mode, layer.brush_size = "paint", 4
    viewer.layers.selection.active = layer
    viewer.dims.set_current_step(0, 5)
    stroke(layer, (5, 10, 60), (5, 12, 66))
    painted = layer.data.copy()
    assert painted[5, 10, 60] == 1
    # A slice in which nothing was painted is nobody's work
    viewer.dims.set_current_step(0, 9)
    dock.segment_panel.run("slice")
    idle(runner)
    assert asked == []
    assert np.array_equal(tumor_layer(viewer, "P001").data, painted)
    dock.segment()
    idle(runner)
    assert np.array_equal(tumor_layer(viewer, "P001").data, painted)
    dock.segment()
    idle(runner)
    assert np.array_equal(tumor_layer(viewer, "P001").data, drafted)
    assert asked == ["The mask was edited"] * 2


def test_a_hidden_draft_is_shown_when_asked_for(
    reading: SimpleNamespace, idle: Callable[..., None], stroke: Callable[..., None], tmp_path: Path
) -> None:
    dock, viewer = reading.dock, reading.viewer
    segment, correct = dock.segment_panel, dock.correct_panel
    dock.show_tab("Segment")
    segment.fold.set_open(True)
    QTest.mouseClick(segment.hides_drafts.native, Qt.MouseButton.LeftButton)
    assert recall("hides_drafts") == "yes"
    here = viewer.dims.point
    dock.segment()
    idle(segment.runner)
    layer = tumor_layer(viewer, "P001")
    assert not layer.data.any()
    assert viewer.dims.point == here
    assert "mL" not in segment.result.text()

    # Correcting starts from nothing; the draft is kept all the same
    correct.folder.setValue(tmp_path / "set")
    correct.open_dataset()
    idle(correct.runner)
    correct.patient.setText("A")
    correct.annotator.setText("AB")
    dock.take_brush()
    idle(correct.runner)
    assert not layer.data.any()
    assert not correct.difference.isEnabled()
    assert correct.difference.toolTip() == "The draft is hidden; show it first"
    assert correct.hidden_draft.button.isVisible()
    dataset = dock.session.dataset
    assert dataset.draft("P001").tumor.any()
    assert dock.session.drafts.revealed_after_s is None

    # What the reader drew stays; the draft is shown as differences
    viewer.dims.set_current_step(0, 2)
    layer.brush_size = 4
    stroke(layer, (2, 30, 30), (2, 32, 36))
    mine = layer.data.copy()
    assert mine.any()
    press(reading, Qt.Key.Key_F9)
    assert dock.session.drafts.revealed_after_s > 0
    assert np.array_equal(layer.data, mine)
    assert correct.difference.isChecked()
    assert "Draft shown after" in correct.hidden_draft.line.text()
    assert not correct.hidden_draft.button.isVisible()

    # Into an empty mask it goes as one undo step
    show_exam(viewer, exam_of_two_lesions("P002")[0], instead_of="P001")
    dock.segment()
    idle(segment.runner)
    layer = tumor_layer(viewer, "P002")
    assert not layer.data.any()
    press(reading, Qt.Key.Key_F9)
    assert np.array_equal(layer.data, reading.probability.data >= 0.5)
    assert "mL" in segment.result.text()
    layer.undo()
    assert not layer.data.any()


def test_outline_opacity_crosshair_and_the_next_lesion(
    reading: SimpleNamespace, idle: Callable[..., None]
) -> None:
    dock, viewer = reading.dock, reading.viewer
    mask = LabelMap((reading.probability.data >= 0.5).astype(np.uint8), reading.exam.grid)
    layer = show_labels(viewer, dock.session.source, mask)
    press(reading, Qt.Key.Key_F5)
    assert layer.contour == 2
    press(reading, Qt.Key.Key_F5)
    assert layer.contour == 0
    press(reading, Qt.Key.Key_U)
    assert layer.opacity == 0.25
    for _ in range(3):
        press(reading, Qt.Key.Key_U)
    assert layer.opacity == 0.5

    viewer.dims.set_current_step(0, 6)
    active = viewer.layers.selection.active
    point_at(reading, layer, (6, 25, 40))
    press(reading, Qt.Key.Key_F7)
    lines = np.array(viewer.layers["P001 crosshair"].data)
    assert np.allclose(lines[:, 0].max(axis=0), (6, 25, 40), atol=1)
    assert viewer.layers.selection.active == active
    viewer.dims.set_current_step(0, 9)
    assert viewer.layers["P001 crosshair"].data[1][0][0] == 9
    press(reading, Qt.Key.Key_F7)
    assert "P001 crosshair" not in viewer.layers

    # The first press measures; each further one leads to the next, and round again
    slices = []
    for _ in range(3):
        press(reading, Qt.Key.Key_F8)
        idle(dock.correct_panel.lesions.runner)
        slices.append(int(viewer.dims.current_step[0]))
    assert 4 <= slices[0] <= 6
    assert 8 <= slices[1] <= 9
    assert slices[2] == slices[0]


def test_layouts_show_the_other_directions_and_the_phases(
    reading: SimpleNamespace, stroke: Callable[..., None]
) -> None:
    dock, viewer, layouts = reading.dock, reading.viewer, reading.dock.layouts
    mask = LabelMap((reading.probability.data >= 0.5).astype(np.uint8), reading.exam.grid)
    layer = show_labels(viewer, dock.session.source, mask)
    names = [one.name for one in viewer.layers]
    window, canvas = viewer.window._qt_window, canvas_of(viewer.window._qt_window)
    alone, zoom = canvas.size(), viewer.scene.camera.zoom

    press(reading, Qt.Key.Key_F3)
    coronal, sagittal = layouts.pictures
    QTest.qWait(50)
    assert canvas.height() < alone.height()
    assert (
        coronal.mapTo(window, QPoint()).y() > canvas.mapTo(window, canvas.rect().bottomLeft()).y()
    )
    assert window.height() <= 800 or window.minimumSizeHint().height() <= 800
    assert [one.plane.order for one in (coronal, sagittal)] == [(1, 0, 2), (2, 0, 1)]
    assert coronal.plane.letters == ("R", "L", "H", "F")
    assert sagittal.plane.letters == ("A", "P", "H", "F")
    # Nothing is copied, and no layer is made: both would hold the window.
    assert coronal.plane.data is viewer.layers["P001 post1"].data
    assert coronal.plane.mask is layer.data
    viewer.dims.set_current_step(0, 3)
    QTest.qWait(50)
    assert coronal.plane.cross[0] == sagittal.plane.cross[0] == 3
    before = sagittal.plane.index
    turn_wheel(sagittal, -2)
    assert viewer.dims.current_step[2] == sagittal.plane.index == before + 2
    # A click moves all views there; a press held goes on
    at = coronal.position_of(7, 33).toPoint()
    QTest.mouseClick(coronal, Qt.MouseButton.LeftButton, NONE, at)
    QTest.qWait(50)
    assert (viewer.dims.current_step[0], viewer.dims.current_step[2]) == (7, 33)
    assert sagittal.plane.index == 33
    # Zoomed by itself
    turn_wheel(coronal, 3, Qt.KeyboardModifier.ControlModifier)
    assert coronal.plane.zoom > 1.2 * sagittal.plane.zoom
    # The colors are those of the slice, upside down as head is up
    press(reading, Qt.Key.Key_W)
    assert coronal.plane.data is viewer.layers["P001 post2"].data
    viewer.dims.set_current_step(0, 3)
    viewer.layers.selection.active = layer
    layer.mode, layer.brush_size = "paint", 5
    stroke(layer, (3, 30, 40), (3, 30, 44))
    viewer.dims.set_current_step(1, 30)
    QTest.qWait(50)
    red, green, _, _ = (
        coronal.grab().toImage().pixelColor(coronal.position_of(2.7, 42).toPoint()).getRgb()
    )
    assert red > green + 30

    press(reading, Qt.Key.Key_F4)
    QTest.qWait(50)
    assert [one.plane.caption for one in layouts.pictures] == ["pre", "post1", "sub1"]
    sizes = [one.size() for one in layouts.pictures]
    assert max(size.height() for size in sizes) - min(size.height() for size in sizes) < 40
    number = next(iter(dock.numbers._fields.values()))[0]
    assert number.width() > number.fontMetrics().horizontalAdvance("888")
    pre, _, subtraction = layouts.pictures
    assert pre.plane.mask is layer.data
    assert subtraction.plane.slice_of(subtraction.plane.data).max() <= 80 + 1
    assert np.isclose(pre.plane.zoom, layouts.present.zoom(viewer.layers["P001 post2"]))
    press(reading, Qt.Key.Key_W)  # the subtraction gets a layer and the canvas
    QTest.qWait(50)
    assert [one.plane.caption for one in layouts.pictures] == ["pre", "post1", "post2"]
    here = viewer.dims.current_step[0]
    turn_wheel(pre, -1)
    assert viewer.dims.current_step[0] == here + 1
    turn_wheel(pre, 2, Qt.KeyboardModifier.ControlModifier)
    assert pre.plane.zoom > 1.1 * 0.95
    window_before = viewer.layers["P001 sub1"].contrast_limits
    drag_on(pre, QPoint(40, 40), QPoint(90, 70), Qt.MouseButton.RightButton)
    assert viewer.layers["P001 sub1"].contrast_limits != window_before

    press(reading, Qt.Key.Key_F2)
    viewer.reset_view()
    assert layouts.pictures == ()
    assert canvas.size() == alone
    assert np.isclose(viewer.scene.camera.zoom, zoom)
    assert [one.name for one in viewer.layers if one.name != "P001 sub1"] == names


def test_switching_layouts_leaves_nothing_behind(reading: SimpleNamespace) -> None:
    viewer, dock = reading.viewer, reading.dock
    window = viewer.window._qt_window
    seen = []
    for number in range(3):
        exam, probability = exam_of_two_lesions(f"Q{number}")
        show_exam(viewer, exam, instead_of=dock.session.case_id)
        labels = LabelMap((probability.data >= 0.5).astype(np.uint8), exam.grid)
        show_labels(viewer, dock.session.source, labels)
        for key in (Qt.Key.Key_F3, Qt.Key.Key_F4, Qt.Key.Key_F3, Qt.Key.Key_F2):
            press(reading, key)
        QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        kinds = Counter(type(one).__name__ for one in window.findChildren(QWidget))
        seen.append((len(viewer.layers), kinds["SlicePicture"], kinds["QtViewer"]))
    assert seen == [(4, 0, 1)] * 3
    # An exam that goes takes its layout along
    press(reading, Qt.Key.Key_F4)
    assert len(dock.layouts.pictures) == 3
    doubled = {role: Volume(2 * phase.data, phase.grid) for role, phase in exam.phases.items()}
    show_exam(viewer, Exam("R", doubled), instead_of=dock.session.case_id)
    reading.qtbot.waitUntil(lambda: dock.layouts.pictures == ())
    # Without an exam there is nothing to lay out
    viewer.layers.clear()
    QTest.qWait(50)
    for key in (Qt.Key.Key_F3, Qt.Key.Key_F4):
        press(reading, key)
        assert dock.layouts.pictures == ()


def test_a_dock_that_is_closed_takes_its_pictures_along(reading: SimpleNamespace) -> None:
    viewer, window = reading.viewer, reading.viewer.window._qt_window
    canvas, alone = canvas_of(window), canvas_of(window).size()
    press(reading, Qt.Key.Key_F3)
    assert canvas.height() < alone.height()
    viewer.window.remove_dock_widget(reading.dock)
    QTest.qWait(50)
    assert window.centralWidget().layout().count() == 1  # napari's own, as it was
    assert not [w for w in window.findChildren(QWidget) if isinstance(w, SlicePicture)]
    reading.dock = viewer.window.add_plugin_dock_widget("napari-breastseg", "Breast MRI")[1]
    QTest.qWait(100)
    reading.dock.layouts.show_phases()
    assert len(reading.dock.layouts.pictures) == 3
    assert canvas.height() < alone.height()
    reading.dock.shut_down()
    QTest.qWait(50)
    assert canvas.height() > 0.9 * alone.height()


def test_the_sheet_of_keys_is_the_docks_own_list(reading: SimpleNamespace) -> None:
    dock = reading.dock
    native = reading.viewer.window._qt_viewer.canvas.native
    native.setFocus()
    reading.viewer.window._qt_window.activateWindow()
    reading.qtbot.waitUntil(lambda: QApplication.activeWindow() is not None)
    QTest.keyClick(native, "?")
    sheet = dock._sheet
    assert sheet.isVisible()
    assert [name.text() for name, _ in sheet.rows] == [key_words(key) for key in KEYS]
    assert all(what.text() for _, what in sheet.rows)
    QTest.keyClicks(sheet.search, "crosshair")
    assert [name.text() for name, _ in sheet.rows if not name.isHidden()] == ["F7"]
    sheet.close()

    view = next(b for b in dock.findChildren(QToolButton) if b.text().startswith("View"))
    entries = [entry.text() for entry in view.menu().actions()]
    assert "Layout: one view\tF2" in entries
    next(e for e in view.menu().actions() if "Next image" in e.text()).trigger()
    assert in_sight(reading) == ["P001 post2"]


def test_the_tour_is_offered_once(window: SimpleNamespace) -> None:
    dock = window.dock
    assert not dock.tour.isVisible()
    remember("tour", "")
    dock.tour.offer()
    assert dock.tour.isVisible()
    seen = []
    for _ in STEPS:
        seen.append(dock.tabs.tabText(dock.tabs.currentIndex()))
        assert dock.tour.words.text()
        QTest.mouseClick(dock.tour.next_button, Qt.MouseButton.LeftButton)
    assert seen == ["Open", "Draft", "Correct", "List", "Train"]
    assert not dock.tour.isVisible()
    dock.tour.offer()
    assert not dock.tour.isVisible()
    assert recall("tour") == "seen"


def test_skipping_the_tour_goes_back_to_where_it_began(window: SimpleNamespace) -> None:
    dock = window.dock
    for chosen, expected in (("", "Open"), ("List", "List")):
        dock.show_tab("Open")
        dock.tour.start()
        QTest.mouseClick(dock.tour.next_button, Qt.MouseButton.LeftButton)
        assert dock.tabs.currentIndex() == 1
        dock.show_tab(chosen)  # the reader goes elsewhere, or nowhere
        QTest.mouseClick(dock.tour.skip_button, Qt.MouseButton.LeftButton)
        assert not dock.tour.isVisible()
        assert dock.tabs.tabText(dock.tabs.currentIndex()) == expected
