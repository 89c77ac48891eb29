"""What is on the screen belongs to the exam in sight: results, layers renamed, moved or copied."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hands import CTRL_SHIFT, NO_KEYS, SHIFT, messages
from hands import press as press_with
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QLabel, QLineEdit

from napari_breastseg import formats
from napari_breastseg.core.progress import Progress
from napari_breastseg.core.volume import Exam, Grid, LabelMap, Volume
from napari_breastseg.dataset import Dataset
from napari_breastseg.predict.prediction import Prediction
from napari_breastseg.widgets.canvas.layers import tumor_layer
from napari_breastseg.widgets.parts import fields as _fields
from napari_breastseg.widgets.segment import phase_layers
from napari_breastseg.widgets.segment.panel import SegmentTumor

GRID = Grid((8, 40, 44), [[0, 0, -1.0, 22], [0, -1, 0, 20], [3, 0, 0, 0], [0, 0, 0, 1]])
LESION = np.zeros(GRID.shape, np.uint8)
LESION[3:6, 12:24, 12:24] = 1


@pytest.fixture
def screen(
    window: SimpleNamespace,
    settle: Callable[[], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> SimpleNamespace:
    """The window, files of exams to open by hand, and a model that finds what is bright."""

    def segment(_: object, __: object, exam: Exam, *___: object) -> Iterator[Progress]:
        while not gate.wait(0.02):
            yield Progress("Segmenting", 0, 1)
        post = exam.phases["post1"]
        chance = Volume((post.data > 200).astype(np.float32), exam.grid)
        labels = LabelMap(chance.data.astype(np.uint8), exam.grid)
        return Prediction(chance, labels, 0.5, ("post1",), "cpu", "bright@0123", 1.0)

    gate = threading.Event()  # a test may hold the model back
    gate.set()
    monkeypatch.setattr(SegmentTumor, "_segment", segment)
    monkeypatch.setattr(phase_layers, "needed_phases", lambda _: ("post1",))
    noise = np.random.default_rng(3).normal(100, 10, GRID.shape).astype(np.float32)
    for case_id, gain in (("A", 150), ("B", 0)):
        for number, data in enumerate((noise, noise + 20 + gain * LESION)):
            formats.write_volume(
                tmp_path / f"{case_id}_{number:04d}.nii.gz",
                Volume(data.astype(np.float32), GRID),
            )

    def open_exam(case_id: str) -> None:
        window.dock.open_panel.open_dropped(tmp_path / f"{case_id}_0000.nii.gz")
        window.qtbot.waitUntil(lambda: window.dock.session.case_id == case_id, timeout=20_000)
        settle()

    def correct() -> Any:
        panel = window.dock.correct_panel
        panel.folder.setValue(tmp_path / "set")
        panel.open_dataset()
        settle()
        panel.patient.setText("P1")
        panel.annotator.setText("AB")
        window.dock.take_brush()
        settle()
        panel.rest.setChecked(True)
        return tumor_layer(window.viewer, window.dock.session.case_id)

    def accepted(case_id: str) -> Any:
        press(window, Qt.Key.Key_Return, SHIFT)
        settle()
        return Dataset.open(tmp_path / "set").kept_map(case_id).data

    window.open_exam, window.correct, window.accepted = open_exam, correct, accepted
    window.gate = gate
    return window


def press(window: SimpleNamespace, key: Qt.Key, modifiers: Any = NO_KEYS) -> None:
    press_with(window, key, modifiers)


def words(window: SimpleNamespace) -> str:
    """All that the tabs say."""
    tabs = [window.dock.tabs.widget(place) for place in range(window.dock.tabs.count())]
    return "\n".join(
        label.text() for tab in tabs for label in tab.findChildren(QLabel) if label.isVisibleTo(tab)
    )


def test_the_size_of_the_exam_before_does_not_stand_beside_the_next(
    screen: SimpleNamespace, settle: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_fields, "ask", lambda *_: True)
    screen.open_exam("A")
    press(screen, Qt.Key.Key_S, CTRL_SHIFT)
    settle()
    assert "1.3 mL" in words(screen), words(screen)
    press(screen, Qt.Key.Key_T, SHIFT)
    settle()
    screen.open_exam("B")
    assert "mL" not in words(screen)
    assert screen.dock.segment_panel.result.text() == ""


def test_a_result_that_comes_late_is_put_into_its_own_exam(
    screen: SimpleNamespace, settle: Callable[[], None]
) -> None:
    """As when two exams stand in the viewer, and the reader goes on to the other one."""
    viewer, panel = screen.viewer, screen.dock.segment_panel
    screen.open_exam("A")
    other = np.random.default_rng(1).normal(100, 10, GRID.shape)
    viewer.add_image(other, name="other", scale=GRID.voxel_size, units=("mm",) * 3)
    viewer.layers.selection.active = viewer.layers["A post1"]
    viewer.dims.set_current_step(0, 1)
    screen.gate.clear()
    press(screen, Qt.Key.Key_S, CTRL_SHIFT)
    viewer.layers.selection.active = viewer.layers["other"]
    screen.gate.set()
    settle()
    assert screen.dock.session.case_id == "other"
    assert np.array_equal(viewer.layers["A tumor"].data, LESION)
    assert panel.result.text() == ""
    assert viewer.dims.current_step[0] == 1
    panel.threshold.value = 0.9  # for the other exam's next draft
    screen.qtbot.wait(200)
    assert np.array_equal(viewer.layers["A tumor"].data, LESION)
    viewer.layers.selection.active = viewer.layers["A post1"]
    assert "1.3 mL" in panel.result.text()
    assert "Expected" not in messages(screen)


def rename(window: SimpleNamespace, layer: Any, name: str) -> None:
    """Give a layer another name in napari's list, by double click and keys."""
    window.viewer.layers.selection.active = layer
    view = window.viewer.window._qt_viewer.layers
    place = view.visualRect(view.currentIndex()).center()
    QTest.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, NO_KEYS, place)
    QTest.mouseDClick(view.viewport(), Qt.MouseButton.LeftButton, NO_KEYS, place)
    editor = view.viewport().findChild(QLineEdit)
    editor.selectAll()
    QTest.keyClicks(editor, name)
    QTest.keyClick(editor, Qt.Key.Key_Return)
    window.qtbot.wait(20)
    assert layer.name == name


def test_a_layer_renamed_while_its_exam_is_segmented_gets_the_result(
    screen: SimpleNamespace, settle: Callable[[], None]
) -> None:
    viewer = screen.viewer
    screen.open_exam("A")
    screen.gate.clear()
    press(screen, Qt.Key.Key_S, CTRL_SHIFT)
    rename(screen, viewer.layers["A post1"], "first post")
    screen.gate.set()
    settle()
    assert np.array_equal(viewer.layers["A tumor"].data, LESION)
    assert "Expected" not in messages(screen)

    # The mask is its exam's whatever it is called, and so is the subtraction
    press(screen, Qt.Key.Key_W)  # pre
    press(screen, Qt.Key.Key_W)
    rename(screen, viewer.layers["A sub1"], "difference")
    rename(screen, viewer.layers["A tumor"], "mine")
    viewer.add_image(np.zeros(GRID.shape), name="A sub1", visible=False)  # another program's
    viewer.layers.selection.active = viewer.layers["first post"]
    for _ in range(3):
        press(screen, Qt.Key.Key_W)
    assert "A sub1 [1]" not in viewer.layers
    screen.correct()
    assert np.array_equal(screen.accepted("A"), LESION)


def test_a_renamed_layer_of_another_reader_keeps_its_case(
    screen: SimpleNamespace, settle: Callable[[], None], stroke: Callable[..., None]
) -> None:
    viewer, session = screen.viewer, screen.dock.session
    data = np.where(LESION, 250.0, 100.0) + np.arange(44)
    viewer.add_image(data, name="scan", scale=GRID.voxel_size, units=("mm",) * 3)
    screen.gate.clear()
    press(screen, Qt.Key.Key_S, CTRL_SHIFT)
    rename(screen, viewer.layers["scan"], "breast")
    screen.gate.set()
    settle()
    mask = screen.correct()
    assert np.array_equal(mask.data, LESION)
    rename(screen, viewer.layers["breast"], "left breast")
    assert session.record is not None
    assert session.case_id == "scan"
    assert screen.dock.exam_picker.currentText() == "left breast (image layer)"
    viewer.layers.selection.active = mask
    viewer.dims.set_current_step(0, 4)
    stroke(mask, (4, 30, 30), (4, 30, 34))
    drawn = mask.data.copy()
    assert drawn.sum() > LESION.sum()
    assert np.array_equal(screen.accepted("scan"), drawn)


def test_layers_of_other_readers_stay_when_an_exam_is_opened(screen: SimpleNamespace) -> None:
    screen.viewer.add_image(np.random.default_rng(0).random(GRID.shape), name="scan")
    screen.viewer.add_labels(LESION.astype(int), name="drawn by hand")
    screen.open_exam("A")
    names = [layer.name for layer in screen.viewer.layers]
    assert names == ["scan", "drawn by hand", "A pre", "A post1"]


def test_a_layer_that_holds_what_is_no_number_is_told_and_not_segmented(
    screen: SimpleNamespace, settle: Callable[[], None]
) -> None:
    data = np.where(LESION, 250.0, 100.0) + np.arange(44)
    data[0, 0, 0] = np.nan
    screen.viewer.add_image(data, name="scan", contrast_limits=(0, 300))
    wanted = "Expected finite values in layer 'scan'; found 1 of 14,080 voxels NaN or infinite."
    assert wanted in messages(screen)  # as soon as it is the current exam
    screen.told.clear()
    press(screen, Qt.Key.Key_W)
    press(screen, Qt.Key.Key_S, CTRL_SHIFT)
    settle()
    assert wanted in messages(screen)
    assert wanted in screen.dock.segment_panel.result.text()  # all of it, to be read at leisure
    assert "No tumor" not in words(screen)
    assert "scan tumor" not in screen.viewer.layers


def test_color_and_multiscale_layers_are_segmented_or_told_what_they_are(
    screen: SimpleNamespace, settle: Callable[[], None]
) -> None:
    viewer = screen.viewer
    grey = (np.where(LESION, 250, 100) + np.arange(44) % 5).astype(np.uint8)
    viewer.add_image(np.stack([grey] * 3, axis=-1), name="photo", rgb=True)
    press(screen, Qt.Key.Key_S, CTRL_SHIFT)
    settle()
    assert np.array_equal(viewer.layers["photo tumor"].data, LESION)
    pyramid = [grey, grey[:, ::2, ::2]]
    viewer.add_image(pyramid, name="pyramid", multiscale=True, contrast_limits=(0, 255))
    viewer.dims.set_current_step(0, 4)
    screen.dock.segment_panel.part_buttons["slice"].native.click()
    settle()
    assert np.array_equal(viewer.layers["pyramid tumor"].data, LESION)
    assert messages(screen) == ""
    colors = np.stack([grey, grey // 2, grey], axis=-1)
    viewer.add_image(colors, name="colors", rgb=True)
    press(screen, Qt.Key.Key_S, CTRL_SHIFT)
    settle()
    assert "Expected a grey image in layer 'colors'; found red, green and blue that differ." in (
        messages(screen)
    )
    assert "Open an exam first" not in screen.dock.segment_panel.run_button.native.toolTip()


def test_a_mask_dragged_away_goes_back_and_is_accepted_where_it_was_painted(
    screen: SimpleNamespace, stroke: Callable[..., None]
) -> None:
    viewer = screen.viewer
    screen.open_exam("A")
    mask, image = screen.correct(), viewer.layers["A post1"]
    viewer.dims.set_current_step(0, 4)
    press(screen, Qt.Key.Key_7)
    assert mask.mode == "transform"
    stroke(mask, (4, 20, 20), (4, 25, 25))
    assert np.array_equal(mask.extent.world, image.extent.world)
    screen.qtbot.waitUntil(lambda: "'A tumor' was moved and is back" in messages(screen))
    assert messages(screen).count("back in place") == 1  # for the whole drag
    screen.dock.take_brush()
    mask.brush_size = 3
    stroke(mask, (4, 20, 20), (4, 20, 20))
    assert mask.data[4, 20, 20] == 1
    # Every way of moving a layer, of the image too; once before the window knew of it
    mask.affine = np.array([[1, 0, 0, 0], [0, 1, 0, 5], [0, 0, 1, 5], [0, 0, 0, 1.0]])
    mask.translate, mask.scale, mask.rotate = (0, 5, 5), (3, 2, 1), 20
    image.translate = (0, 5, 5)
    places = [(layer.extent.world == mask.extent.world).all() for layer in viewer.layers]
    assert places == [True] * 3
    assert np.allclose(mask.data_to_world((4, 20, 20)), (12, 20, 20))
    screen.qtbot.waitUntil(lambda: "'A post1' and 'A tumor' were moved" in messages(screen))
    assert "Align phases" in messages(screen)
    found = np.argwhere(screen.accepted("A"))
    assert np.allclose(found.mean(axis=0), (4, 20, 20), atol=0.5)


def test_masks_of_another_readers_image_go_where_it_goes(
    screen: SimpleNamespace, settle: Callable[[], None]
) -> None:
    viewer = screen.viewer
    data = np.where(LESION, 250.0, 100.0) + np.arange(44)
    scan = viewer.add_image(data, name="scan", scale=(3, 2, 2), units=("mm",) * 3)
    press(screen, Qt.Key.Key_S, CTRL_SHIFT)
    settle()
    mask = viewer.layers["scan tumor"]
    scan.translate = (3, 5, 5)
    assert np.array_equal(mask.extent.world, scan.extent.world)
    mask.translate = (0, 0, 9)
    assert np.array_equal(mask.extent.world, scan.extent.world)
    screen.qtbot.waitUntil(lambda: "'scan tumor' was moved and is back" in messages(screen))


def duplicate(window: SimpleNamespace, layer: Any) -> Any:
    """napari's Duplicate, as its menu of the layer calls it."""
    from napari._app_model import get_app_model

    window.viewer.layers.selection.active = layer
    get_app_model().commands.execute_command("napari.layer.duplicate").result()
    window.qtbot.wait(50)
    return window.viewer.layers[f"{layer.name} copy"]


def test_of_two_copies_of_a_mask_the_one_that_is_saved_is_painted(
    screen: SimpleNamespace, stroke: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = screen.viewer
    screen.open_exam("A")
    mask = screen.correct()
    viewer.dims.set_current_step(0, 4)
    copy = duplicate(screen, mask)
    assert "'A tumor copy' is a copy to look at. The brush stays in 'A tumor'" in messages(screen)
    assert viewer.layers.selection.active == mask
    stroke(mask, (4, 20, 20), (4, 20, 26))
    drawn = mask.data.copy()
    assert drawn.any()
    assert not copy.data.any()

    # Nor does the brush draw in the copy, also after a look at it in 3D
    viewer.layers.selection.active = copy
    viewer.dims.ndisplay = 3
    viewer.dims.ndisplay = 2
    copy.mode = "paint"
    stroke(copy, (4, 30, 30), (4, 30, 34))
    assert not copy.data.any()
    assert screen.dock.session.record is not None  # it is still this exam's
    viewer.layers.selection.active = mask
    assert np.array_equal(screen.accepted("A") == 1, drawn == 1)

    # What a script painted in the copy is asked about
    copy.data_setitem((np.array([2]), np.array([3]), np.array([4])), 1)
    assert "'A tumor copy' was painted in, but 'A tumor' is what is saved" in messages(screen)
    asked: list[str] = []
    monkeypatch.setattr(_fields, "ask", lambda *parts: asked.append(parts[2]) or True)
    assert np.argwhere(screen.accepted("A")).tolist() == [[2, 3, 4]]
    assert len(asked) == 1
    assert "'A tumor copy' was painted in" in asked[0]
    mask.undo()
    assert np.array_equal(mask.data, drawn)
    screen.accepted("A")
    assert len(asked) == 1


def test_a_slice_painted_in_another_sitting_is_reviewed_as_a_whole(
    screen: SimpleNamespace, settle: Callable[[], None], stroke: Callable[..., None]
) -> None:
    viewer = screen.viewer
    screen.open_exam("A")
    mask = screen.correct()
    screen.dock.correct_panel.rest.setChecked(False)
    viewer.dims.set_current_step(0, 4)
    stroke(mask, (4, 20, 20), (4, 20, 24))
    seen = screen.dock.session.reviewed
    first = screen.accepted("A")
    assert [bool((plane == 2).all()) for plane in first] == [z not in seen for z in range(8)]
    screen.dock.correct_panel.go_to_case("A")
    settle()
    mask = viewer.layers["A tumor"]
    viewer.dims.set_current_step(0, 6)
    stroke(mask, (6, 20, 20), (6, 20, 24))
    second = screen.accepted("A")
    assert second[6].any()
    assert (second[6] != 2).all()
    assert (second[0] == 2).all()  # nobody has seen it yet
    assert np.array_equal(second[4], first[4])


def test_a_label_that_a_script_wrote_is_neither_accepted_nor_measured(
    screen: SimpleNamespace, settle: Callable[[], None]
) -> None:
    screen.open_exam("A")
    mask = screen.correct()
    mask.data_setitem((np.array([2]), np.array([3]), np.array([4])), 2)
    for key in (Qt.Key.Key_Return, Qt.Key.Key_T):
        screen.told.clear()
        press(screen, key, SHIFT)
        settle()
        assert "found label 2 in 1 voxel (slice 3)" in messages(screen)
    assert "Accepted" not in messages(screen)
    press(screen, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert not screen.accepted("A").any()
