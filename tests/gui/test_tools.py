"""Correction tools with real keys and a real mouse: each edit, its undo and its redo."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent, QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QAbstractSpinBox, QApplication, QLabel

from napari_breastseg.core.volume import Exam, Grid, LabelMap, Volume
from napari_breastseg.imaging import correction
from napari_breastseg.imaging.correction import Scope
from napari_breastseg.widgets.canvas.layers import show_exam, show_labels
from napari_breastseg.widgets.keys import KEYS
from napari_breastseg.widgets.state.session import Draft

GRID = Grid((14, 90, 96), [[0, 0, -0.8, 40], [0, -0.8, 0, 40], [3, 0, 0, 0], [0, 0, 0, 1]])
LEFT, NONE = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
SHIFT, CTRL = Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.ControlModifier


def ball(center, radius_mm):
    places = np.indices(GRID.shape).astype(float)
    far = sum(((p - c) * s) ** 2 for p, c, s in zip(places, center, (3, 0.8, 0.8), strict=True))
    return far <= radius_mm**2


ONE, TWO = ball((7, 30, 30), 9), ball((6, 60, 70), 6)


def an_exam():
    rng = np.random.default_rng(0)
    pre = rng.normal(100, 4, GRID.shape).astype(np.float32)
    post = pre + rng.normal(10, 4, GRID.shape) + 120 * (ONE | TWO)
    return Exam("P001", {"pre": Volume(pre, GRID), "post1": Volume(post, GRID)})


class Reader:
    """Hands and eyes: points, clicks, turns the wheel, presses keys, and checks undo and redo."""

    def __init__(self, window, stroke, idle):
        self.window, self.stroke, self.idle = window, stroke, idle
        self.viewer, self.dock = window.viewer, window.dock
        self.tools = window.dock.correct_panel.tools
        self.layer = None

    def open(self, mask, draft=None):
        exam = an_exam()
        show_exam(self.viewer, exam)
        source = self.dock.session.source
        self.layer = show_labels(self.viewer, source, LabelMap(mask.astype(np.uint8), GRID))
        if draft is not None:
            self.dock.session.drafts.keep(
                Draft("P001", LabelMap(draft.astype(np.uint8), GRID), "m")
            )
        self.viewer.layers.selection.active = self.layer
        self.viewer.dims.set_current_step(0, 7)
        self.window.qtbot.wait(50)
        return exam

    def set_mask(self, mask):
        """Another mask to begin from, with a history of its own."""
        self.layer.data = mask.astype(np.uint8)
        self.layer._reset_history()

    @property
    def native(self):
        return self.viewer.window._qt_viewer.canvas.native

    def place(self, voxel):
        view = self.viewer.window._qt_viewer.canvas.view
        world = self.layer.data_to_world(voxel)
        y, x = (world[axis] for axis in self.viewer.dims.displayed)
        mapped = (view.transform * view.scene.transform).map([x, y, 0, 1])
        return QPoint(round(mapped[0]), round(mapped[1]))

    def point(self, voxel, held=Qt.MouseButton.NoButton, keys=NONE):
        place = self.place(voxel)
        where = QPointF(self.native.mapToGlobal(place))
        move = QMouseEvent(
            QEvent.Type.MouseMove, QPointF(place), where, Qt.MouseButton.NoButton, held, keys
        )
        QApplication.sendEvent(self.native, move)
        QTest.qWait(20)

    def key(self, key, modifier=NONE, *, at=None):
        if at is not None:
            self.point(at)
        QTest.keyClick(self.native, key, modifier)
        self.idle(self.tools.runner)

    def click(self, voxel):
        QTest.mouseClick(self.native, LEFT, NONE, self.place(voxel))
        self.idle(self.tools.runner)

    def wheel(self, voxel, steps, held=LEFT):
        place = QPointF(self.place(voxel))
        event = QWheelEvent(
            place,
            QPointF(self.native.mapToGlobal(place.toPoint())),
            QPoint(),
            QPoint(0, 120 * steps),
            held,
            NONE,
            Qt.ScrollPhase.NoScrollPhase,
            False,
        )
        QApplication.sendEvent(self.native, event)
        QTest.qWait(20)

    def made(self, before, wanted):
        """The mask is as wanted; one undo brings it back, and one redo the edit."""
        assert not np.array_equal(before, wanted)
        assert np.array_equal(self.layer.data, wanted)
        self.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
        assert np.array_equal(self.layer.data, before)
        redo = Qt.KeyboardModifier.ControlModifier | SHIFT
        self.key(Qt.Key.Key_Z, redo)
        assert np.array_equal(self.layer.data, wanted)
        self.layer.undo()

    def said(self):
        """What stands beside the pointer."""
        shown = [w for w in QApplication.topLevelWidgets() if isinstance(w, QLabel)]
        return "".join(w.text() for w in shown if w.isVisible())

    def works_on(self, kind):
        self.tools.settings.scope.setCurrentText(f"scope: {kind}")


@pytest.fixture
def reader(window, stroke, idle):
    made = Reader(window, stroke, idle)
    yield made
    made.__dict__.clear()


def test_keys_fill_smooth_grow_and_shrink_lesion_slice_and_volume(reader):
    ragged = np.random.default_rng(1).random(GRID.shape) < 0.2
    rough = (ONE & ~ball((7, 30, 30), 3)) | (TWO & ~ragged) | (ball((7, 30, 30), 10) & ragged)
    reader.open(rough)
    before = reader.layer.data.copy()
    label_map = LabelMap(before, GRID)
    over_one = (7, 32, 33)
    lesion, flat = Scope("lesion", 0, 7, over_one), Scope("slice", 0, 7)
    volume = Scope("volume")
    engine = {
        Qt.Key.Key_F: lambda scope: correction.fill_holes(label_map, scope),
        Qt.Key.Key_H: lambda scope: correction.smooth(label_map, scope, 1.0),
        Qt.Key.Key_Period: lambda scope: correction.grow(label_map, scope, 1.0),
        Qt.Key.Key_Comma: lambda scope: correction.grow(label_map, scope, -1.0),
    }
    for kind, scope in (("lesion", lesion), ("slice", flat), ("volume", volume)):
        reader.works_on(kind)
        for key, find in engine.items():
            modifier = SHIFT if key in (Qt.Key.Key_F, Qt.Key.Key_H) else NONE
            reader.key(key, modifier, at=over_one)
            reader.made(before, find(scope).applied(before))
    # Another distance, by button: the lesion last clicked is meant, wherever the mouse is now
    reader.works_on("lesion")
    reader.layer.mode = "pan_zoom"
    reader.click((7, 60, 70))
    reader.point((7, 30, 30))
    reader.tools.settings.distance.setValue(2.5)
    reader.dock.show_tab("Correct")
    reader.window.qtbot.mouseClick(reader.tools.buttons["enlarge"], LEFT)
    reader.idle(reader.tools.runner)
    there = Scope("lesion", 0, 7, (7, 60, 70))
    reader.made(before, correction.grow(label_map, there, 2.5).applied(before))
    # H goes from scope to scope
    reader.key(Qt.Key.Key_H)
    assert reader.tools.settings.scope.currentText() == "scope: slice"


def test_a_click_grows_while_the_wheel_sets_the_tolerance(reader):
    exam = reader.open(np.zeros(GRID.shape))
    before = reader.layer.data.copy()
    reader.works_on("volume")
    at = (7, 30, 30)
    reader.key(Qt.Key.Key_G)
    assert reader.tools.buttons["grow_click"].isChecked()
    assert "P001 preview" in reader.viewer.layers
    zoom = reader.viewer.scene.camera.zoom
    QTest.mousePress(reader.native, LEFT, NONE, reader.place(at))
    QTest.qWait(30)
    growth = correction.Growth(correction.growth_map(exam), GRID, at)
    preview = reader.viewer.layers["P001 preview"].data
    assert np.array_equal(preview[growth.box] == 1, growth.mask(0.4))
    assert not reader.layer.data.any()  # nothing is done yet
    told = reader.said()
    assert told.startswith(f"{growth.mask(0.4).sum() * GRID.voxel_ml:.2f} mL in "), told
    for _ in range(4):
        reader.wheel(at, 1)
    assert reader.tools.settings.tolerance.value() == 60
    assert np.array_equal(preview[growth.box] == 1, growth.mask(0.6))
    reader.wheel(at, -1)
    assert reader.viewer.scene.camera.zoom == zoom
    QTest.mouseRelease(reader.native, LEFT, NONE, reader.place(at))
    wanted = growth.edit(before, 0.55).applied(before)
    assert not preview.any()
    reader.made(before, wanted)
    # In a slice only
    reader.works_on("slice")
    reader.click(at)
    flat = correction.Growth(correction.growth_map(exam), GRID, at, axis=0)
    reader.made(before, flat.edit(before, 0.55).applied(before))
    # The same key puts it down and gives the brush back
    reader.key(Qt.Key.Key_G)
    assert not reader.viewer.layers["P001 preview"].visible
    # It is kept for the next time: napari holds the window whenever a layer is removed
    kept = reader.viewer.layers["P001 preview"].unique_id
    reader.key(Qt.Key.Key_G)
    assert reader.viewer.layers["P001 preview"].visible
    assert reader.viewer.layers["P001 preview"].unique_id == kept
    reader.key(Qt.Key.Key_G)
    assert reader.layer.mode == "paint"
    assert not reader.tools.buttons["grow_click"].isChecked()


def test_growth_stops_at_three_times_its_first_size_until_told_to_go_on(reader):
    exam = reader.open(np.zeros(GRID.shape))
    reader.works_on("volume")
    at = (7, 30, 30)
    reader.key(Qt.Key.Key_G)
    growth = correction.Growth(correction.growth_map(exam), GRID, at)
    size = {step: int(growth.mask(step / 100).sum()) for step in range(0, 105, 5)}
    QTest.mousePress(reader.native, LEFT, NONE, reader.place(at))
    QTest.qWait(30)
    for _ in range(20):  # to the first step at which it would leak
        now = round(reader.tools._tolerance.value * 100)
        if now == 100 or size[now + 5] > 3 * size[40]:
            break
        reader.wheel(at, 1)
    assert now < 100, size
    reader.wheel(at, 1)
    assert round(reader.tools._tolerance.value * 100) == now
    assert "3 times the first size: turn once more to go on" in reader.said()
    reader.wheel(at, 1)
    assert round(reader.tools._tolerance.value * 100) == now + 5
    QTest.mouseRelease(reader.native, LEFT, NONE, reader.place(at))
    assert reader.layer.data.sum() == size[now + 5]


def test_growth_into_a_marked_lesion_is_red(reader):
    exam = reader.open(np.zeros(GRID.shape))
    at = (7, 30, 30)
    growth = correction.Growth(correction.growth_map(exam), GRID, at)
    grown = np.zeros(GRID.shape, np.uint8)
    grown[growth.box] = growth.mask(0.4)
    z, y, x = np.argwhere(grown & (np.indices(GRID.shape)[2] > 30 + 2))[-1]
    marked = np.zeros(GRID.shape, np.uint8)
    marked[z, y, x : x + 6] = 1
    reader.set_mask(marked)
    reader.works_on("volume")
    reader.key(Qt.Key.Key_G)
    QTest.mousePress(reader.native, LEFT, NONE, reader.place(at))
    QTest.qWait(30)
    preview = reader.viewer.layers["P001 preview"].data
    assert set(np.unique(preview)) == {0, 2}
    assert "Joins a lesion that is marked" in reader.said()
    QTest.mouseRelease(reader.native, LEFT, NONE, reader.place(at))
    assert set(np.unique(reader.layer.data)) == {0, 1}


def test_lesions_are_kept_and_dropped_by_a_click(reader):
    reader.open(ONE | TWO)
    before = reader.layer.data.copy()
    reader.works_on("lesion")
    reader.key(Qt.Key.Key_K)
    reader.click((7, 61, 71))
    reader.made(before, TWO.astype(np.uint8))
    reader.key(Qt.Key.Key_K, SHIFT)
    assert not reader.tools.buttons["keep"].isChecked()
    assert reader.tools.buttons["drop"].isChecked()
    reader.click((7, 61, 71))
    reader.made(before, ONE.astype(np.uint8))
    reader.works_on("slice")
    reader.click((7, 61, 71))
    wanted = before.copy()
    wanted[7][TWO[7]] = 0
    reader.made(before, wanted)
    # Any of napari's own tools puts this one down; a click then drops nothing
    reader.key(Qt.Key.Key_L)
    assert reader.layer.mode == "pick"
    assert reader.tools.mouse.name == ""
    reader.click((7, 61, 71))
    assert np.array_equal(reader.layer.data, before)
    # An empty slice is told, not changed
    reader.key(Qt.Key.Key_K)
    reader.viewer.dims.set_current_step(0, 0)
    reader.click((0, 61, 71))
    assert any("Expected a lesion in the current slice" in n.message for n in reader.window.told)
    assert np.array_equal(reader.layer.data, before)


def test_the_threshold_brush_paints_only_what_enhances(reader):
    exam = reader.open(np.zeros(GRID.shape))
    before = reader.layer.data.copy()
    reader.layer.brush_size = 9
    reader.key(Qt.Key.Key_Z, SHIFT)
    assert reader.tools.buttons["threshold_brush"].isChecked()
    reader.key(Qt.Key.Key_BracketRight)
    assert reader.layer.cursor_size == pytest.approx(10 * 0.8)
    reader.key(Qt.Key.Key_BracketLeft)
    reader.stroke(reader.layer, (7, 30, 10), (7, 30, 55))
    painted = reader.layer.data.copy()
    bright = np.asarray(correction.percent_map(exam)) >= 70
    band = np.zeros(GRID.shape, bool)
    band[7, 27:34, 15:50] = True
    assert painted[band & ONE & bright].mean() > 0.97
    assert not painted[~bright].any()
    assert np.unique(np.nonzero(painted)[0]).tolist() == [7]
    reader.made(before, painted)
    reader.tools.settings.level.setValue(500)
    reader.stroke(reader.layer, (7, 30, 10), (7, 30, 55))
    assert np.array_equal(reader.layer.data, before)
    reader.key(Qt.Key.Key_Z, SHIFT)
    assert reader.layer.mode == "paint"


def test_slices_are_interpolated_and_copied(reader):
    draft = np.zeros(GRID.shape, np.uint8)
    reader.open(draft, draft)
    # Two slices drawn with the mouse, the rest follows
    reader.layer.brush_size = 14
    reader.layer.mode = "paint"
    for z, x in ((4, 24), (8, 32)):
        reader.viewer.dims.set_current_step(0, z)
        reader.stroke(reader.layer, (z, 30, x), (z, 34, x))
    before = reader.layer.data.copy()
    reader.viewer.dims.set_current_step(0, 6)
    reader.works_on("slice")
    reader.key(Qt.Key.Key_J)
    edit = correction.interpolate(LabelMap(before, GRID), [(4, 8)])
    assert edit.applied(before)[6, 31:34, 27:30].all()
    reader.made(before, edit.applied(before))
    reader.layer.redo()
    # What interpolation wrote is no edit of the reader's: the same again changes nothing
    whole = reader.layer.data.copy()
    reader.works_on("volume")
    reader.key(Qt.Key.Key_J)
    assert np.array_equal(reader.layer.data, whole)
    # Until a slice of it is corrected: then from that one on both sides
    reader.viewer.dims.set_current_step(0, 6)
    reader.stroke(reader.layer, (6, 50, 28), (6, 36, 28))
    corrected = reader.layer.data.copy()
    reader.key(Qt.Key.Key_J)
    label_map = LabelMap(corrected, GRID)
    between = correction.interpolate(label_map, [(4, 6), (6, 8)])
    reader.made(corrected, between.applied(corrected))
    # Copy to the next slice and to the one before, and go there
    reader.works_on("slice")
    reader.viewer.dims.set_current_step(0, 8)
    before = reader.layer.data.copy()
    reader.key(Qt.Key.Key_N)
    assert reader.viewer.dims.current_step[0] == 9
    wanted = before.copy()
    wanted[9] = before[8]
    reader.made(before, wanted)
    reader.viewer.dims.set_current_step(0, 4)
    reader.key(Qt.Key.Key_J, SHIFT)
    assert reader.viewer.dims.current_step[0] == 3
    wanted = before.copy()
    wanted[3] = before[4]
    reader.made(before, wanted)
    reader.viewer.dims.set_current_step(0, 13)
    reader.key(Qt.Key.Key_N)
    assert any("Expected a slice to copy to" in note.message for note in reader.window.told)


def test_nothing_in_napari_puts_another_label_on_the_brush(reader):
    reader.open(ONE)
    layer, before = reader.layer, reader.layer.data.copy()
    for key in (Qt.Key.Key_M, Qt.Key.Key_Equal, Qt.Key.Key_Equal, Qt.Key.Key_M, Qt.Key.Key_Minus):
        reader.key(key)
        assert layer.selected_label in (0, 1)
    reader.key(Qt.Key.Key_M)
    layer.mode = "paint"
    reader.stroke(layer, (7, 50, 46), (7, 56, 46))
    assert set(np.unique(layer.data)) == {0, 1}
    painted = layer.data.copy()
    assert np.count_nonzero(painted) > np.count_nonzero(before)

    # After undo and redo, by the field of the label, and by picking what the mouse points at
    reader.key(Qt.Key.Key_Z, CTRL)
    assert np.array_equal(layer.data, before)
    reader.key(Qt.Key.Key_M)
    reader.key(Qt.Key.Key_Z, CTRL | SHIFT)
    assert np.array_equal(layer.data, painted)
    controls = reader.viewer.window._qt_viewer.controls.widgets[layer]
    field = next(one for one in controls.findChildren(QAbstractSpinBox) if is_label_field(one))
    for typed in ("3", "2"):
        field.lineEdit().selectAll()
        QTest.keyClicks(field, typed)
        QTest.keyClick(field, Qt.Key.Key_Return)
        assert layer.selected_label == 1
        assert field.lineEdit().text() == "1"
    layer.mode = "pick"
    reader.click((7, 5, 5))
    assert layer.selected_label == 0
    reader.click((7, 30, 30))
    assert layer.selected_label == 1
    layer.mode = "paint"
    reader.stroke(layer, (7, 70, 46), (7, 76, 46))
    assert set(np.unique(layer.data)) == {0, 1}


def is_label_field(field):
    return "LargeInt" in type(field).__name__


def test_lesion_slice_and_box_go_back_to_the_draft(reader):
    draft = (ONE | TWO).astype(np.uint8)
    assert reader.tools.why_not("revert") == "Open an exam first"
    mask = draft.copy()
    mask[:, 20:34] = 0
    mask[7, 62:80, 60:80] = 1
    reader.open(mask, draft)
    before = reader.layer.data.copy()
    reader.works_on("lesion")
    reader.key(Qt.Key.Key_U, SHIFT, at=(7, 61, 70))
    wanted = before.copy()
    wanted[:, 45:] = draft[:, 45:]
    reader.made(before, wanted)
    reader.works_on("slice")
    reader.key(Qt.Key.Key_U, SHIFT)
    wanted = before.copy()
    wanted[7] = draft[7]
    reader.made(before, wanted)
    # A box needs to be drawn; then it is worked in
    reader.works_on("box")
    reader.key(Qt.Key.Key_U, SHIFT)
    assert any("Expected a box" in note.message for note in reader.window.told)
    assert np.array_equal(reader.layer.data, before)
    reader.tools.settings.beside.setValue(1)
    reader.dock.show_tab("Correct")
    reader.window.qtbot.mouseClick(reader.tools.box_button, LEFT)
    reader.stroke(reader.layer, (7, 15, 20), (7, 40, 40))
    reader.viewer.layers.selection.active = reader.layer
    reader.key(Qt.Key.Key_U, SHIFT)
    corners = np.round(np.asarray(reader.viewer.layers["P001 box"].data[-1])[:, 1:])
    (y0, x0), (y1, x1) = corners.min(0).astype(int), corners.max(0).astype(int)
    wanted = before.copy()
    inside = (slice(6, 9), slice(y0, y1 + 1), slice(x0, x1 + 1))
    wanted[inside] = draft[inside]
    reader.made(before, wanted)


def test_predicting_in_a_box_keeps_corrections(reader, two_phase_model):
    draft = TWO.astype(np.uint8)
    exam = reader.open(draft, draft)
    reader.dock.segment_panel.model.value = two_phase_model
    reader.dock.segment_panel.device.value = "cpu"
    predicted = ball((7, 30, 40), 6).astype(np.uint8)
    session = reader.dock.session
    reader.key(Qt.Key.Key_Y, CTRL | SHIFT)  # no box yet: the rectangle tool is in hand
    assert any("Drag a rectangle" in note.message for note in reader.window.told)
    reader.stroke(reader.layer, (7, 10, 10), (7, 80, 85))
    reader.viewer.layers.selection.active = reader.layer
    corrected = draft.copy()
    corrected[7, 28:32, 38:42] = 0  # as drafted: no correction
    corrected[7, 58:64, 66:72] = 0
    corrected[7, 70:75, 20:25] = 1
    reader.set_mask(corrected)
    before = reader.layer.data.copy()
    asked = []

    def predict_in(region):
        asked.append(region)
        find = reader.dock.segment_panel.predict_in(region)

        def job():
            found = yield from find()
            assert found.label_map.data.shape == exam.grid.shape
            return SimpleNamespace(label_map=LabelMap(predicted, GRID), model="tiny@1")

        return job

    reader.tools.predict_with(predict_in)
    reader.key(Qt.Key.Key_Y, CTRL | SHIFT)
    edit, redraft = correction.merge_prediction(before, draft, predicted, asked[0])
    reader.made(before, edit.applied(before))
    assert session.draft.model == "tiny@1"
    assert np.array_equal(session.draft.label_map.data, redraft.applied(draft))


def test_a_mask_that_changed_meanwhile_is_left_alone(reader):
    reader.open(ONE | TWO)
    reader.works_on("volume")
    tools = reader.tools
    tools.act("enlarge")
    assert tools.runner.is_running
    assert tools.buttons["smooth"].toolTip() == "Busy; wait or cancel"
    painted = reader.layer.data.copy()
    painted[:, :45, :55] = 1
    y, x = np.nonzero(painted[7] != reader.layer.data[7])
    reader.layer.data_setitem((np.full(y.size, 7), y, x), 1)
    now = reader.layer.data.copy()
    reader.idle(tools.runner)
    assert np.array_equal(reader.layer.data, now)
    assert any("changed meanwhile" in note.message for note in reader.window.told)


def test_small_marks_are_dropped_from_the_whole_mask_in_one_undo_step(reader):
    mask = ONE.copy()
    mask[2, 80, 10:12] = mask[11, 80, 80] = True  # 3.8 and 1.9 mm3
    reader.open(mask)
    reader.dock.show_tab("Correct")
    assert reader.tools.settings.least.suffix() == " mm³"
    made, least = reader.tools.buttons["drop_small"], reader.tools.settings.least
    least.setValue(3)
    before = reader.layer.data.copy()
    QTest.mouseClick(made, LEFT, NONE, made.rect().center())
    reader.idle(reader.tools.runner)
    wanted = before.copy()
    wanted[11, 80, 80] = 0
    reader.made(before, wanted)
    least.setValue(20)
    reader.key(Qt.Key.Key_J, CTRL | SHIFT)
    reader.made(before, ONE.astype(np.uint8))


def test_every_tool_has_a_button_and_a_key_and_pixels_where_no_mm_are_known(reader):
    from napari_breastseg.widgets.correct.tool_actions import ToolActions
    from napari_breastseg.widgets.correct.tool_list import BUTTONS

    actions = [name for name in vars(ToolActions) if not name.startswith("_")]
    keyed = {action: key for key, action in KEYS.items()}
    buttons = {name: key for name, _, _, key in BUTTONS}
    for action in actions:
        if action in ("correct_panel", "next_scope"):
            continue
        name = action.removesuffix("_clicked")
        assert buttons[name] == keyed[action]
        assert f"({keyed[action]})" in reader.tools.buttons[name].property("help")
        assert reader.tools.buttons[name].toolTip() == "Open an exam first"
        assert not reader.tools.buttons[name].isEnabled()
    assert len(buttons) == len(actions) - 1

    grid = Grid((1, 40, 40))
    image = np.random.default_rng(0).normal(50, 5, grid.shape)
    show_exam(reader.viewer, Exam("S1", {"post1": Volume(image, grid)}))
    mask = np.zeros(grid.shape, np.uint8)
    mask[0, 10:20, 10:20] = 1
    reader.layer = show_labels(reader.viewer, reader.dock.session.source, LabelMap(mask, grid))
    reader.viewer.layers.selection.active = reader.layer
    reader.tools.reset_choices()
    assert reader.tools.settings.distance.suffix() == " px"
    assert reader.tools.line.text() == "Pixel size is unknown: distances are in pixels."
    reader.key(Qt.Key.Key_Comma, at=(0, 15, 15))
    wanted = np.zeros_like(mask)
    wanted[0, 11:19, 11:19] = 1
    reader.made(mask, wanted)
