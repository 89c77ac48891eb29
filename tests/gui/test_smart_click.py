"""Smart click by a real mouse: shown while held, taken on release, one undo step."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from bright_network import bright_network
from hands import messages
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from test_tools import LEFT, NONE, ONE, SHIFT, TWO, Reader

from napari_breastseg.clicks.lesion import ClickReader
from napari_breastseg.core.overlap import dice
from napari_breastseg.widgets.canvas.layers import find_layer
from napari_breastseg.widgets.correct import smart_clicks

CTRL = Qt.KeyboardModifier.ControlModifier
NOTHING = np.zeros(ONE.shape, bool)


class Clicker(Reader):
    """A reader with the smart click in hand."""

    def take_it(self, mask, draft=None):
        self.open(mask, draft)
        self.tools.clicks.load = lambda folder: bright_network()
        self.key(Qt.Key.Key_A)
        self.idle(self.tools.clicks.looking)
        assert self.tools.buttons["smart_click"].isChecked()
        self.window.told.clear()

    def wait(self):
        self.idle(self.tools.clicks.looking, self.tools.runner)

    def smart(self, voxel, modifier=NONE):
        QTest.mouseClick(self.native, LEFT, modifier, self.place(voxel))
        self.wait()

    def drag(self, modifier, *path):
        QTest.mousePress(self.native, LEFT, modifier, self.place(path[0]))
        for voxel in path[1:]:
            self.point(voxel, held=LEFT, keys=modifier)
        QTest.mouseRelease(self.native, LEFT, modifier, self.place(path[-1]))
        self.wait()

    def tumor(self):
        return self.layer.data == 1


@pytest.fixture
def clicker(window, stroke, idle) -> Iterator[Clicker]:
    made = Clicker(window, stroke, idle)
    yield made
    made.__dict__.clear()


def test_a_click_outlines_the_lesion_in_all_its_slices_as_one_undo_step(clicker):
    clicker.take_it(NOTHING)
    clicker.smart((7, 30, 30))
    assert dice(clicker.tumor(), ONE) > 0.93
    assert not (clicker.tumor() & TWO).any()
    wanted = clicker.layer.data.copy()
    clicker.made(np.zeros_like(wanted), wanted)


def test_it_is_shown_while_the_button_is_held_and_nothing_is_kept_before(clicker):
    clicker.take_it(NOTHING)
    QTest.mousePress(clicker.native, LEFT, NONE, clicker.place((7, 30, 30)))
    clicker.window.qtbot.waitUntil(
        lambda: find_layer(clicker.viewer, "preview").data.any(), timeout=20_000
    )
    preview = find_layer(clicker.viewer, "preview").data
    assert dice(preview[7] == 1, ONE[7]) > 0.9
    assert not clicker.layer.data.any()
    QTest.mouseRelease(clicker.native, LEFT, NONE, clicker.place((7, 30, 30)))
    clicker.wait()
    assert not find_layer(clicker.viewer, "preview").data.any()
    assert dice(clicker.tumor(), ONE) > 0.93
    clicker.key(Qt.Key.Key_A)  # put down
    assert not find_layer(clicker.viewer, "preview").visible


def test_with_shift_what_is_clicked_is_taken_away(clicker):
    clicker.take_it(ONE | TWO, draft=ONE | TWO)
    clicker.smart((7, 60, 70), SHIFT)
    assert (clicker.tumor() & TWO).sum() < 0.25 * TWO.sum()
    assert (clicker.tumor() & ONE).sum() == ONE.sum()


def test_a_slice_corrected_by_hand_stays(clicker):
    by_hand = NOTHING.copy()
    by_hand[8, 20:36, 22:34] = True
    clicker.take_it(by_hand)
    clicker.smart((7, 30, 30))
    assert (clicker.tumor()[8] == by_hand[8]).all()
    assert dice(clicker.tumor()[6], ONE[6]) > 0.9


def test_a_slice_corrected_by_hand_stays_at_every_further_click(clicker):
    by_hand = NOTHING.copy()
    by_hand[8, 20:36, 22:34] = True
    clicker.take_it(by_hand)
    clicker.smart((7, 30, 30))
    clicker.smart((7, 32, 32))
    assert (clicker.tumor()[8] == by_hand[8]).all()


def test_a_click_where_nothing_enhances_says_so(clicker):
    clicker.take_it(TWO)
    clicker.smart((7, 75, 15))
    assert (clicker.tumor() == TWO).all()
    assert "Nothing enhances at the click in slice 8" in messages(clicker.window)


def test_the_slice_scope_changes_one_slice(clicker):
    clicker.take_it(NOTHING)
    clicker.works_on("slice")
    clicker.smart((7, 30, 30))
    assert np.flatnonzero(clicker.tumor().any((1, 2))).tolist() == [7]


def test_drags_scribble_and_with_ctrl_draw_a_box(clicker):
    clicker.take_it(NOTHING)
    clicker.works_on("slice")
    asked = []
    clicks = clicker.tools.clicks
    answer = clicks._take
    clicker.tools.mouse._tool._take = lambda said: (asked.append(said[7]), answer(said))
    clicker.stroke(clicker.layer, (7, 26, 26), (7, 34, 34))
    clicker.wait()
    assert len(asked[0].inside) >= 4
    assert dice(clicker.tumor()[7], ONE[7]) > 0.9
    clicker.key(Qt.Key.Key_Z, CTRL)
    clicker.drag(CTRL, (7, 17, 17), (7, 30, 30), (7, 43, 43))
    assert asked[1].box == pytest.approx((17, 17, 43, 43), abs=1.5)
    assert dice(clicker.tumor()[7], ONE[7]) > 0.9


def roll(clicker, x):
    """Look along x, at the slice x."""
    clicker.key(Qt.Key.Key_E, CTRL)
    assert tuple(clicker.viewer.dims.order) == (2, 0, 1)
    clicker.viewer.dims.set_current_step(2, x)
    clicker.window.qtbot.wait(50)


def test_a_drag_in_a_rolled_view_says_it_in_every_slice_that_it_passes(clicker):
    clicker.take_it(NOTHING)
    roll(clicker, 30)
    clicker.stroke(clicker.layer, (6, 30, 30), (8, 32, 30))
    clicker.wait()
    assert dice(clicker.tumor(), ONE) > 0.93
    assert not (clicker.tumor() & TWO).any()
    said = clicker.window.dock.session.effort.clicks_in(clicker.layer.data)
    assert {one.voxel[0] for one in said} == {6, 7, 8}
    assert {one.voxel[2] for one in said} == {30}
    wanted = clicker.layer.data.copy()
    clicker.made(np.zeros_like(wanted), wanted)


def test_a_drag_with_shift_in_a_rolled_view_takes_away(clicker):
    clicker.take_it(ONE | TWO, draft=ONE | TWO)
    roll(clicker, 70)
    clicker.drag(SHIFT, (5, 58, 70), (6, 60, 70), (7, 62, 70))
    assert (clicker.tumor() & TWO).sum() < 0.25 * TWO.sum()
    assert (clicker.tumor() & ONE).sum() == ONE.sum()


def test_a_drag_across_a_slice_corrected_by_hand_leaves_it(clicker):
    by_hand = NOTHING.copy()
    by_hand[7, 20:36, 22:34] = True
    clicker.take_it(by_hand)
    roll(clicker, 30)
    clicker.stroke(clicker.layer, (6, 30, 30), (8, 32, 30))
    clicker.wait()
    assert (clicker.tumor()[7] == by_hand[7]).all()
    assert dice(clicker.tumor()[[6, 8]], ONE[[6, 8]]) > 0.9


def test_the_slice_scope_changes_the_slice_of_a_rolled_view(clicker):
    clicker.take_it(NOTHING)
    clicker.works_on("slice")
    roll(clicker, 30)
    clicker.smart((7, 30, 30))
    assert np.flatnonzero(clicker.tumor().any((0, 1))).tolist() == [30]
    assert dice(clicker.tumor()[:, :, 30], ONE[:, :, 30]) > 0.9


def test_a_box_in_a_rolled_view_is_refused_in_place(clicker):
    clicker.take_it(NOTHING)
    roll(clicker, 30)
    clicker.drag(CTRL, (5, 18, 30), (7, 30, 30), (9, 42, 30))
    assert not clicker.layer.data.any()
    assert "A box is drawn within an original slice" in messages(clicker.window)


def test_clicks_are_kept_with_the_case_as_far_as_the_mask_says_the_same(clicker):
    clicker.take_it(NOTHING)
    clicker.smart((7, 30, 30))
    effort = clicker.window.dock.session.effort
    (said,) = effort.clicks_in(clicker.layer.data)
    assert said.is_lesion
    assert np.abs(np.array(said.voxel) - (7, 30, 30)).max() <= 1
    clicker.key(Qt.Key.Key_Z, CTRL)
    assert effort.clicks_in(clicker.layer.data) == ()


def test_only_what_enhances_is_asked_for_when_it_is_ticked(clicker):
    clicker.take_it(NOTHING)
    asked = []
    outline = ClickReader.outline

    def watched(self, said, at, mask, kept=()):
        asked.extend(said[z].only_enhancing for z in at)
        return outline(self, said, at, mask, kept)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ClickReader, "outline", watched)
        clicker.smart((7, 30, 30))
        clicker.tools.settings.only_enhancing.setChecked(True)
        clicker.smart((7, 32, 30))
    assert asked == [False, True]


def test_the_click_network_is_the_one_that_goes_with_the_chosen_model(clicker, monkeypatch):
    loaded = []
    clicker.open(NOTHING)
    clicker.tools.clicks.load = lambda folder: (loaded.append(folder), bright_network())[1]
    monkeypatch.setattr(smart_clicks, "clicks_of", lambda model: model / "clicks")
    clicker.key(Qt.Key.Key_A)
    clicker.idle(clicker.tools.clicks.looking)
    assert loaded == [clicker.window.dock.session.model / "clicks"]
