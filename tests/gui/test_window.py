"""The dock in a real window: orientation, regions, other readers' layers, bad input, kept work."""

from __future__ import annotations

import errno
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from napari.utils.shortcuts import default_shortcuts

from napari_breastseg import formats
from napari_breastseg.core.progress import drain
from napari_breastseg.core.volume import Exam, Grid, LabelMap, Volume
from napari_breastseg.dataset import Dataset
from napari_breastseg.lesions.findings import find
from napari_breastseg.widgets.canvas.layers import show_exam, show_labels, tumor_layer
from napari_breastseg.widgets.dock import KEYS
from napari_breastseg.widgets.parts import fields as _fields
from napari_breastseg.widgets.state.session import Draft


def letters(viewer: Any) -> tuple[str, ...]:
    overlays = viewer.canvas.overlays
    names = ("breastseg_left", "breastseg_right", "breastseg_top", "breastseg_bottom")
    return tuple(overlays[n].text for n in names if n in overlays and overlays[n].visible)


def told(window: SimpleNamespace, *parts: str) -> bool:
    return any(all(part in note.message for part in parts) for note in window.told)


def exam_on(grid: Grid, case_id: str = "P001") -> Exam:
    rng = np.random.default_rng(0)
    pre = rng.normal(100, 10, grid.shape).astype(np.float32)
    post = pre + 20
    return Exam(case_id, {"pre": Volume(pre, grid), "post1": Volume(post, grid)})


def start_correcting(
    window: SimpleNamespace, idle: Callable[..., None], folder: Path, exam: Exam, mask: Any
) -> Any:
    """Show an exam with a mask, and take the brush in a dataset folder."""
    dock = window.dock
    show_exam(window.viewer, exam)
    show_labels(window.viewer, dock.session.source, LabelMap(mask, exam.grid))
    dock.correct_panel.folder.setValue(folder)
    dock.correct_panel.open_dataset()
    idle(dock.correct_panel.runner)
    dock.correct_panel.patient.setText("A")
    dock.correct_panel.annotator.setText("AB")
    dock.take_brush()
    idle(dock.correct_panel.runner)
    return tumor_layer(window.viewer, exam.case_id)


def test_strokes_land_on_the_side_where_they_are_drawn(
    window: SimpleNamespace, stroke: Callable[..., None]
) -> None:
    viewer = window.viewer
    # The same patient twice: as radiologists store an exam, and rising to the right, the front
    # and the feet, with the array's axes in another order.
    stored = np.array([[0, 0, -1.0, 20], [0, -1, 0, 20], [2, 0, 0, -8], [0, 0, 0, 1]])
    turned = np.array([[1.0, 0, 0, -20], [0, 0, 1, -20], [0, -2, 0, 8], [0, 0, 0, 1]])
    for affine, shape in ((stored, (9, 40, 40)), (turned, (40, 9, 40))):
        grid = Grid(shape, affine)
        case_id = f"P{shape[0]:03d}"
        show_exam(viewer, exam_on(grid, case_id), instead_of=window.dock.session.case_id)
        window.qtbot.wait(50)
        assert letters(viewer) == ("R", "L", "A", "P")
        layer = show_labels(
            viewer, window.dock.session.source, LabelMap(np.zeros(shape, np.uint8), grid)
        )
        viewer.layers.selection.active = layer
        layer.mode, layer.brush_size = "paint", 3
        # A stroke in the upper left quarter of the picture, chosen by the canvas alone.
        canvas = viewer.window._qt_viewer.canvas
        native = canvas.native
        inverse = (canvas.view.transform * canvas.view.scene.transform).inverse
        x, y, _, w = inverse.map([native.width() * 0.4, native.height() * 0.35, 0, 1])
        point = list(viewer.dims.point)
        across, down = viewer.dims.order[-1], viewer.dims.order[-2]
        point[across], point[down] = x / w, y / w
        voxel = layer.world_to_data(point)
        stroke(layer, voxel, voxel)
        painted = np.argwhere(layer.data == 1)
        assert len(painted) > 0
        ras = painted @ affine[:3, :3].T + affine[:3, 3]
        assert (ras[:, 0] > 0).all()  # the patient's right
        assert (ras[:, 1] > 0).all()  # the front
        layer.undo()
        assert not layer.data.any()
    viewer.dims.order = (0, 1, 2)  # now sagittal: x is the first axis of the turned array
    assert letters(viewer) == ("A", "P", "H", "F")
    viewer.dims.ndisplay = 3
    assert letters(viewer) == ()
    viewer.dims.ndisplay = 2
    bare = Grid((1, 40, 40))
    show_exam(viewer, exam_on(bare, "PNG"), instead_of=window.dock.session.case_id)
    assert letters(viewer) == ("left/right unknown",)
    assert tuple(map(str, viewer.scene.camera.orientation)) == ("towards", "down", "right")


def test_regions_and_layers_of_other_readers(
    window: SimpleNamespace,
    idle: Callable[..., None],
    tiny_model: Path,
    two_phase_model: Path,
    slice_case: Any,
    tmp_path: Path,
) -> None:
    viewer, segment = window.viewer, window.dock.segment_panel
    picture = slice_case.exam().phases["post1"].data[0]
    stack = np.repeat(picture[None], 6, axis=0)
    viewer.add_image(stack, name="from elsewhere", scale=(3, 0.5, 0.5), translate=(1, 2, 3))
    segment.model.value = tiny_model
    segment.device.value = "cpu"
    viewer.dims.set_current_step(0, 2)
    segment.part_buttons["slice"].native.click()
    idle(segment.runner)
    layer = viewer.layers["from_elsewhere tumor"]
    marked = [bool(plane.any()) for plane in layer.data]
    assert marked == [False, False, True, False, False, False]
    assert np.array_equal(layer.extent.world, viewer.layers["from elsewhere"].extent.world)
    one_slice = layer.data.copy()

    # A box over the marked part, one slice either side; what was there outside stays
    segment.beside.value = 1
    segment.part_buttons["box"].native.click()
    box = viewer.layers["from_elsewhere box"]
    assert box.mode == "add_rectangle"
    ys, xs = np.nonzero(one_slice[2])
    top, bottom, left, right = int(ys.mean()), ys.max() + 3, xs.min() - 3, xs.max() + 3
    corners = [(3, top, left), (3, top, right), (3, bottom, right), (3, bottom, left)]
    box.add_rectangles(np.array(corners, float))
    window.qtbot.waitUntil(lambda: segment.runner.is_running, timeout=2000)
    idle(segment.runner)
    inside = np.zeros(stack.shape, bool)
    inside[2:5, top : bottom + 1, left : right + 1] = True
    assert np.array_equal(layer.data[~inside], one_slice[~inside])
    assert layer.data[4][inside[4]].any()
    layer.undo()
    assert np.array_equal(layer.data, one_slice)

    # A model of two phases asks which layer is which
    viewer.layers.selection.active = viewer.layers["from elsewhere"]
    viewer.add_image(stack + 1, name="before", scale=(3, 0.5, 0.5), translate=(1, 2, 3))
    viewer.layers.selection.active = viewer.layers["from elsewhere"]
    segment.model.value = two_phase_model
    assert segment.phases.isVisibleTo(segment.native)
    assert segment.run_button.native.toolTip() == "Choose the layer of phase pre"
    assert not segment.run_button.native.isEnabled()
    segment.phases.fields["pre"].setCurrentText("before")
    assert segment.run_button.native.isEnabled()
    before = layer.data.copy()
    window.dock.segment()
    window.dock.cancel()
    idle(segment.runner)
    assert segment.result.text() == "Canceled; the mask is unchanged."
    assert np.array_equal(layer.data, before)

    # The same layers make the exam that is corrected
    correct = window.dock.correct_panel
    correct.folder.setValue(tmp_path / "set")
    correct.open_dataset()
    idle(correct.runner)
    correct.patient.setText("A")
    correct.annotator.setText("AB")
    window.dock.take_brush()
    idle(correct.runner)
    exam = Dataset.open(tmp_path / "set").exam("from_elsewhere")
    assert list(exam.phases) == ["pre", "post1"]
    assert np.array_equal(exam.phases["pre"].data, stack + 1)
    assert np.array_equal(exam.phases["post1"].data, stack)


def test_bad_input_is_told_in_three_parts_and_loses_nothing(
    window: SimpleNamespace,
    idle: Callable[..., None],
    two_phase_model: Path,
    slice_case: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    viewer, dock = window.viewer, window.dock
    correct, segment = dock.correct_panel, dock.segment_panel

    # A model needs a phase the exam lacks
    show_exam(viewer, slice_case.exam())
    segment.model.value = two_phase_model
    dock.segment()
    idle(segment.runner)
    case_id = slice_case.case_id
    assert told(
        window, "phase pre for model two", f"found post1 in exam {case_id}", "Open the exam"
    )
    assert tumor_layer(viewer, case_id) is None

    # A folder made by something else, and a place that cannot be written
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "dataset.json").write_text('{"name": "other"}')
    correct.folder.setValue(foreign)
    correct.open_dataset()
    idle(correct.runner)
    assert told(window, "Expected a dataset folder of napari-breastseg", "made by other software")
    assert sorted(p.name for p in foreign.iterdir()) == ["dataset.json"]
    (tmp_path / "file").write_text("")
    correct.folder.setValue(tmp_path / "file" / "set")
    correct.open_dataset()
    idle(correct.runner)
    assert told(window, "neither it nor the folder above it is there", "Check the spelling")
    assert dock.session.dataset is None

    # The disk fills up while a case is accepted
    grid = Grid((6, 20, 24), np.diag([3.0, 1.0, 1.0, 1.0]))
    exam = exam_on(grid)
    mask = np.zeros(grid.shape, np.uint8)
    mask[3, 5:9, 6:12] = mask[1, 2:4, 2:4] = 1
    show_exam(viewer, exam, instead_of=case_id)
    layer = start_correcting(window, idle, tmp_path / "set", exam, mask)
    dock.accept()
    idle(correct.runner)
    assert told(window, "3 of 6 slices reviewed.")  # two with marks, one on the screen
    dataset = Dataset.open(tmp_path / "set")
    first = dataset.label_map("P001").data
    assert dataset.case("P001").accepted.reviewed_slices == (1, 2, 3)
    assert set(np.unique(first[[0, 4, 5]])) == {2}  # never looked at
    files = {p: p.read_bytes() for p in (tmp_path / "set").rglob("*.nii.gz")}
    layer.data_setitem((np.array([3]), np.array([15]), np.array([15])), 1)
    edited = layer.data.copy()

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        dock.accept()
        idle(correct.runner)
    assert told(window, "to be writable", "No space left on device", "Free disk space")
    assert np.array_equal(layer.data, edited)
    assert {p: p.read_bytes() for p in files} == files
    assert np.array_equal(Dataset.open(tmp_path / "set").label_map("P001").data, first)
    dock.accept()
    idle(correct.runner)
    assert np.array_equal(dataset.label_map("P001").data[3], edited[3])
    assert len(dataset.case("P001").history) == 1

    # An exam of the same name on another grid
    other = exam_on(Grid((6, 20, 24), np.diag([2.0, 1.0, 1.0, 1.0])))
    dock.session.source = None
    for old in list(viewer.layers):
        viewer.layers.remove(old.name)
    show_exam(viewer, other)
    dock.take_brush()
    idle(correct.runner)
    assert told(
        window, "Expected exam P001 on the grid", "3 x 1 x 1 mm", "2 x 1 x 1 mm", "Open the"
    )

    # Somebody else has the case open
    with dataset.lock("P001", "CD"):
        correct.dataset_box.open_case()
        idle(correct.runner)
        assert told(window, "Expected case P001 to be free", "found it open by CD", "Wait until")


def test_work_is_kept_and_offered_again(
    window: SimpleNamespace,
    idle: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    viewer, dock = window.viewer, window.dock
    correct = dock.correct_panel
    grid = Grid((4, 20, 24), np.diag([3.0, 1.0, 1.0, 1.0]))
    mask = np.zeros(grid.shape, np.uint8)
    mask[2, 5:9, 6:12] = 1
    layer = start_correcting(window, idle, tmp_path / "set", exam_on(grid), mask)
    dataset = Dataset.open(tmp_path / "set")
    idle(correct.autosave.runner)
    assert np.array_equal(dataset.recover("P001").data, mask)  # marked before correcting started
    layer.data_setitem((np.array([1]), np.array([2]), np.array([3])), 1)
    correct.autosave.save()
    idle(correct.autosave.runner)
    assert np.array_equal(dataset.recover("P001").data, layer.data)
    said = correct.accept_box.saved_line.text()
    assert re.fullmatch(r"Changes autosaved at \d\d:\d\d, not accepted yet\.", said)
    layer.data_setitem((np.array([1]), np.array([2]), np.array([4])), 1)
    window.qtbot.wait(100)
    assert correct.accept_box.saved_line.text().startswith("Unsaved changes")
    unfinished = layer.data.copy()

    # Slices looked at, and the rest
    viewer.dims.set_current_step(0, 0)
    assert (
        correct.accept_box.reviewed_line.text()
        == "Reviewed 2 of 4 slices; 1 with tumor is not reviewed."
    )
    dock.toggle_rest()
    assert correct.rest.isChecked()
    dock.toggle_rest()

    # Leaving for another exam keeps the work; coming back goes on with it
    asked: list[str] = []

    def answer(parent: Any, title: str, text: str, yes: str, no: str) -> bool:
        asked.append(text)
        return True

    monkeypatch.setattr(_fields, "ask", answer)
    formats.write_volume(tmp_path / "NEXT.nii.gz", exam_on(grid).phases["post1"])
    dock.open_panel.path.setValue(tmp_path / "NEXT.nii.gz")
    dock.open_panel.open()
    window.qtbot.waitUntil(lambda: dock.session.case_id == "NEXT")
    idle(dock.open_panel.runner)
    assert not asked
    assert [each.name for each in viewer.layers] == ["NEXT post1"]
    assert np.array_equal(dataset.recover("P001").data, unfinished)
    assert dataset.lock_holder("P001") is None
    correct.dataset_box.case.setCurrentIndex(correct.dataset_box.case.findData("P001"))
    correct.dataset_box.open_case()
    idle(correct.runner)
    assert not asked  # it is this reader's own
    layer = tumor_layer(viewer, "P001")
    assert np.array_equal(layer.data, unfinished)

    # No tumor: one undo step away from the mask, all slices count
    dock.mark_clear()
    assert not layer.data.any()
    dock.accept()
    idle(correct.runner)
    assert dataset.case("P001").accepted.reviewed_slices is None
    assert dataset.case("P001").accepted.tumor_voxels == 0
    layer.undo()
    assert np.array_equal(layer.data, unfinished)


def test_what_is_asked_while_work_is_being_kept_comes_after_it(
    window: SimpleNamespace,
    idle: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dock, correct = window.dock, window.dock.correct_panel
    autosaver = correct.autosave
    grid = Grid((4, 20, 24), np.diag([3.0, 1.0, 1.0, 1.0]))
    layer = start_correcting(
        window, idle, tmp_path / "set", exam_on(grid), np.zeros(grid.shape, np.uint8)
    )
    dataset = Dataset.open(tmp_path / "set")
    written: list[tuple[str, int]] = []
    slow, autosave, accept = threading.Event(), Dataset.autosave, Dataset.accept

    def save(self: Dataset, case_id: str, label_map: LabelMap) -> None:
        assert slow.wait(10)
        autosave(self, case_id, label_map)
        written.append(("autosave", int(label_map.data.sum())))

    def take(self: Dataset, case_id: str, label_map: LabelMap, **rest: Any) -> Any:
        record = accept(self, case_id, label_map, **rest)
        written.append(("accept", int(label_map.data.sum())))
        return record

    monkeypatch.setattr(Dataset, "autosave", save)
    monkeypatch.setattr(Dataset, "accept", take)

    def paint(x: int) -> None:
        layer.data_setitem((np.array([1]), np.array([2]), np.array([x])), 1)

    def done() -> bool:
        return not autosaver.is_writing and not autosaver.runner.is_running

    # Accept waits for the autosave, and nothing is kept after it
    paint(3)
    autosaver.save()
    paint(4)
    dock.accept()
    window.qtbot.wait(50)
    assert written == []
    slow.set()
    window.qtbot.waitUntil(lambda: len(written) == 2 and done())
    autosaver.save()
    idle(autosaver.runner)
    assert written == [("autosave", 1), ("accept", 2)]
    assert dataset.recover("P001") is None

    # Another case asked for meanwhile: what was painted since is kept first
    formats.write_volume(tmp_path / "NEXT.nii.gz", exam_on(grid).phases["post1"])
    dock.open_panel.path.setValue(tmp_path / "NEXT.nii.gz")
    written.clear()
    slow.clear()
    paint(5)
    autosaver.save()
    paint(6)
    dock.open_panel.open()
    idle(dock.open_panel.runner)
    assert dock.session.case_id == "P001"
    slow.set()
    window.qtbot.waitUntil(lambda: dock.session.case_id == "NEXT")
    assert written == [("autosave", 3), ("autosave", 4)]
    assert dataset.recover("P001").data.sum() == 4


def test_another_exam_of_the_same_name_is_another_exam(
    window: SimpleNamespace,
    idle: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_fields, "ask", lambda *_: True)  # go on with what was kept
    viewer, dock = window.viewer, window.dock
    correct, panel = dock.correct_panel, dock.open_panel
    grid = Grid((4, 20, 24), np.diag([3.0, 1.0, 1.0, 1.0]))
    files = []
    for patient in (1, 2, 3):
        folder = tmp_path / f"pat{patient}"
        folder.mkdir()
        files.append(folder / "scan.nii.gz")
        data = np.random.default_rng(patient).normal(100, 10, grid.shape).astype(np.float32)
        formats.write_volume(files[-1], Volume(data, grid))

    def open_file(path: Path) -> None:
        panel.path.setValue(path)
        panel.open()
        idle(panel.runner, correct.autosave.runner)
        window.qtbot.wait(50)
        idle(panel.runner)

    def start() -> Any:
        correct.patient.setText("A")
        correct.annotator.setText("AB")
        dock.take_brush()
        idle(correct.runner)
        return tumor_layer(viewer, "scan")

    # The first patient's exam is held, drafted and worked on
    open_file(files[0])
    correct.folder.setValue(tmp_path / "set")
    correct.open_dataset()
    idle(correct.runner)
    dock.session.drafts.keep(Draft("scan", LabelMap(np.ones(grid.shape, np.uint8), grid), "a@1"))
    layer = start()
    layer.data_setitem((np.array([1]), np.array([2]), np.array([3])), 0)
    work = layer.data.copy()
    dataset = Dataset.open(tmp_path / "set")

    # The second's has the same file name: nothing of the first stays
    def is_left() -> bool:
        session = dock.session
        state = (session.record, session.draft, session.reviewed, session.saved)
        return state == (None, None, (), None) and dataset.lock_holder("scan") is None

    open_file(files[1])
    assert [each.name for each in viewer.layers] == ["scan post1"]
    assert is_left()
    assert np.array_equal(dataset.recover("scan").data, work)
    start()
    assert told(
        window,
        "Expected the exam that dataset set knows as case scan",
        "found another exam of that name: phase post1 differs",
        "Give the other exam's file another name",
    )
    assert is_left()

    # The first again, this time followed by the third through napari's own File > Open
    open_file(files[0])
    layer = start()
    assert dock.session.draft.model == "a@1"
    layer.data_setitem((np.array([1]), np.array([2]), np.array([4])), 0)
    work = layer.data.copy()
    viewer.open(str(files[2]), plugin="napari-breastseg")
    assert told(window, "Another exam called 'scan' was opened", "stay as '(earlier)'")
    assert is_left()
    assert np.array_equal(dataset.recover("scan").data, work)
    names = ["scan post1 (earlier)", "scan tumor (earlier)", "scan post1"]
    assert [each.name.replace(" [1]", "") for each in viewer.layers] == names
    assert tumor_layer(viewer, "scan") is None
    assert np.array_equal(viewer.layers[1].data, work)
    start()
    assert is_left()
    assert len([n for n in window.told if "another exam of that name" in n.message]) == 2


def test_closing_the_window_keeps_the_work_and_frees_the_case(
    window: SimpleNamespace, idle: Callable[..., None], tmp_path: Path
) -> None:
    grid = Grid((4, 20, 24), np.diag([3.0, 1.0, 1.0, 1.0]))
    mask = np.zeros(grid.shape, np.uint8)
    layer = start_correcting(window, idle, tmp_path / "set", exam_on(grid), mask)
    layer.data_setitem((np.array([1]), np.array([2]), np.array([3])), 1)
    work = layer.data.copy()
    window.viewer.close()
    dataset = Dataset.open(tmp_path / "set")
    assert np.array_equal(dataset.recover("P001").data, work)
    assert dataset.lock_holder("P001") is None


def test_a_folder_of_cases_is_walked_by_key(
    window: SimpleNamespace, idle: Callable[..., None], tmp_path: Path
) -> None:
    viewer, dock = window.viewer, window.dock
    panel = dock.open_panel
    grid = Grid((4, 20, 24), np.diag([3.0, 1.0, 1.0, 1.0]))
    for name in ("a", "b"):
        formats.write_volume(tmp_path / f"{name}.nii.gz", exam_on(grid).phases["post1"])
    panel.path.setValue(tmp_path)
    panel.open()
    idle(panel.runner)
    assert [panel.cases.item(row).text() for row in range(2)] == ["a", "b"]
    for name in ("a", "b"):
        dock.next_case()
        window.qtbot.waitUntil(lambda name=name: dock.session.case_id == name)
        idle(panel.runner)
    assert panel.next_button.toolTip() == "This is the last case"
    assert panel.grid_line.text().endswith("voxels of 3 x 1 x 1 mm")
    assert [layer.name for layer in viewer.layers] == ["b post1"]

    # Every action has a key, and none is one of napari's; but A selects in points and shapes alone,
    # whose layers take it first.
    selecting = {"napari:select_all_in_slice", "napari:select_shapes_in_slice"}
    others = (keys for name, keys in default_shortcuts.items() if name not in selecting)
    taken = {str(key) for keys in others for key in keys}
    bound = {str(key) for key in viewer.keymap}
    for key in KEYS.keys() - {"?"}:  # that one is Qt's: no key of napari's name makes it
        normal = key.replace("-", "+")
        assert normal not in taken
        assert normal in bound


def test_the_commands_of_the_manifest_open_the_dock(
    make_napari_viewer: Any, monkeypatch: pytest.MonkeyPatch, two_phase_model: Path
) -> None:
    import napari._qt.qt_main_window as _qt_main_window
    from napari.utils.notifications import notification_manager

    from napari_breastseg.widgets import dock as _dock
    from napari_breastseg.widgets import show_demo, show_segment

    viewers = []

    def make() -> Any:
        viewers.append(make_napari_viewer(show=True))
        return viewers[-1]

    monkeypatch.setattr(_qt_main_window, "SHOW_QT_WARNING", True)
    in_place = SimpleNamespace(viewer=SimpleNamespace(Viewer=make), run=lambda: None)
    monkeypatch.setattr(_dock, "napari", in_place)
    grid = Grid((4, 20, 24), np.diag([3.0, 1.0, 1.0, 1.0]))
    mask = np.zeros(grid.shape, np.uint8)
    mask[3, 5:9, 6:12] = 1
    draft = LabelMap(mask, grid)
    found = drain(find(Volume(mask.astype(np.float32), grid), exam_on(grid)))
    show_demo(
        exam_on(grid),
        draft,
        model=two_phase_model,
        model_identity="two@0123",
        findings=found,
    )
    viewer = viewers.pop()
    told = [str(note.message) for note in notification_manager.records]
    assert [text for text in told if "backend is deprecated" in text] == []
    dock = viewer.window.dock_widgets["Breast MRI (napari-breastseg)"]
    assert dock.tabs.tabText(dock.tabs.currentIndex()) == "Correct"
    assert np.array_equal(viewer.layers["P001 tumor"].data, mask)
    assert viewer.dims.current_step[0] == 3
    assert dock.session.draft.model == "two@0123"
    assert dock.session.choices.findings is found
    assert dock.session.model == dock.segment_panel.model.value == two_phase_model
    show_segment(viewer)  # the dock that is open, not a second one
    assert dock.tabs.tabText(dock.tabs.currentIndex()) == "Draft"
    assert len(viewer.window.dock_widgets) == 1
    dock.shut_down()


def test_the_starter_is_chosen_and_shows_its_card(window, qtbot):
    from qtpy.QtCore import Qt
    from qtpy.QtWidgets import QPushButton, QTextBrowser

    from napari_breastseg.model.checkpoint import STARTER

    dock = window.dock
    picker = dock.segment_panel.model
    dock.segment_panel.fold.set_open(True)
    assert picker.value == STARTER
    dock.show_tab("Segment")
    (button,) = (b for b in picker.native.findChildren(QPushButton) if b.text() == "Model card…")
    assert button.isVisible()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    (card,) = picker.native.findChildren(QTextBrowser)
    assert "not a medical device" in card.toPlainText()
    card.window().close()
