"""The rest of an exam is drafted again while its reader corrects it, in a real window."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hands import NO_KEYS, SHIFT, click, messages, open_row, press
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_breastseg.core.errors import InputError
from napari_breastseg.core.progress import Progress
from napari_breastseg.core.volume import LabelMap, Volume
from napari_breastseg.dataset import Dataset, effort
from napari_breastseg.training.corrections import Corrections, Redraft
from napari_breastseg.widgets.canvas.slice_marks import SliceMarks
from napari_breastseg.widgets.state.settings import recall, remember

CTRL = Qt.KeyboardModifier.ControlModifier
QUICK, BETTER = np.s_[10:14, 50:60], np.s_[10:16, 50:60]
"""Where the stand-in marks tumor in every slice, at once and after it has learned."""


class StandIn:
    """Drafts again what it is told to, and stops until it is let go."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, list[int]]] = []
        self.go = {"features": threading.Event(), "adapted": threading.Event()}
        self.go["features"].set()
        self.go["adapted"].set()
        self.prepared = 0
        self.refuses = False
        self.unlearns = False

    def prepare(self) -> Iterator[Progress]:
        self.prepared += 1
        yield Progress("Preparing", 0, 0)

    def quick(self, corrections: list[Corrections]) -> Any:
        return self._draft(corrections, "features", QUICK)

    def adapt(self, corrections: list[Corrections]) -> Any:
        return self._draft(corrections, "adapted", BETTER)

    def _draft(self, corrections: list[Corrections], stage: Any, where: Any) -> Any:
        (one,) = corrections
        finished = np.flatnonzero(one.reviewed).tolist()
        self.asked.append((stage, finished))
        if self.refuses:
            raise InputError("Expected a model that learns", "found another", "Choose another")
        while not self.go[stage].wait(0.02):
            yield Progress("Learning", 0, 1)
        wanted = one.labels.copy()
        wanted[:, *where] = 1
        if self.unlearns:
            wanted = one.labels * one.touched
        grid = self.exam.grid
        probability = Volume(wanted.astype(np.float32), grid)
        changed = tuple(np.flatnonzero((wanted != one.labels).any((1, 2))).tolist())
        return (Redraft(probability, LabelMap(wanted, grid), changed, 0.1, stage, len(finished)),)

    def made_for(self, model: Path, exam: Any, draft: Any) -> StandIn:
        self.exam = exam
        return self


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    made = StandIn()
    yield made
    for event in made.go.values():
        event.set()
    made.__dict__.clear()


@pytest.fixture
def learning(
    window: SimpleNamespace,
    opened: SimpleNamespace,
    settle: Callable[[], None],
    stand_in: StandIn,
) -> SimpleNamespace:
    """P001 held for correction in slice 5 of 9, with the switch on."""
    correct = window.dock.correct_panel
    correct.learning.make_learner = stand_in.made_for
    correct.learning.switch.setChecked(True)
    open_row(opened.panel, 0)
    settle()
    window.dock.show_tab("Correct")
    assert window.viewer.dims.current_step[0] == 4
    return window


@pytest.fixture
def correct_slice(
    window: SimpleNamespace, stroke: Callable[..., None], settle: Callable[[], None]
) -> Callable[..., None]:
    """Paint in a slice, leave it for the next one, and wait until all has been drafted."""

    def act(z: int, y: int = 40, *, waits: bool = True) -> None:
        while (now := window.viewer.dims.current_step[0]) != z:
            press(window, Qt.Key.Key_Right if now < z else Qt.Key.Key_Left, NO_KEYS)
        stroke(window.viewer.layers["P001 tumor"], (z, y, 20), (z, y, 40))
        press(window, Qt.Key.Key_Right, NO_KEYS)
        if waits:
            settle()
            settle()

    return act


def test_a_corrected_slice_that_is_left_drafts_the_others_again_as_one_undo_step(
    learning: SimpleNamespace,
    correct_slice: Callable[..., None],
    stand_in: StandIn,
) -> None:
    section = learning.dock.correct_panel.learning
    layer: Any = learning.viewer.layers["P001 tumor"]
    before = layer.data.copy()
    assert (stand_in.prepared, stand_in.asked) == (0, [])  # it is only looked at yet
    correct_slice(4)
    assert stand_in.prepared == 1
    assert stand_in.asked == [("features", [4]), ("adapted", [4])]
    assert (layer.data[:4, *BETTER] == 1).all()
    assert (layer.data[4, *BETTER] == before[4, *BETTER]).all()
    painted = layer.data[4].copy()
    assert (painted != before[4]).any()
    assert learning.dock.session.effort.strokes == 1
    assert section.line.text().startswith("Drafted 8 slices again from your slice: ")
    marks: SliceMarks = learning.dock.marks
    assert marks.states == ["redrafted"] * 4 + ["reviewed"] * 2 + ["redrafted"] * 3

    press(learning, Qt.Key.Key_Z, CTRL)
    np.testing.assert_array_equal(layer.data[4], painted)
    for z in (0, 3, 5, 8):
        np.testing.assert_array_equal(layer.data[z], before[z])
    learning.qtbot.waitUntil(lambda: section.line.text().startswith("Undone: "), timeout=5_000)
    assert "redrafted" not in marks.states
    press(learning, Qt.Key.Key_Z, CTRL | SHIFT)
    learning.qtbot.waitUntil(lambda: section.line.text().startswith("Drafted 8 "), timeout=5_000)
    press(learning, Qt.Key.Key_Z, CTRL)
    learning.qtbot.waitUntil(lambda: section.line.text().startswith("Undone: "), timeout=5_000)
    # What the reader took back does not come again.
    correct_slice(6)
    assert stand_in.asked[-1] == ("adapted", [4, 6])
    np.testing.assert_array_equal(layer.data[8], before[8])


def test_a_lesion_that_the_model_unlearned_stays_and_is_told(
    learning: SimpleNamespace, correct_slice: Callable[..., None], stand_in: StandIn
) -> None:
    layer: Any = learning.viewer.layers["P001 tumor"]
    lesion = layer.data == 1
    stand_in.unlearns = True
    correct_slice(4, y=50)
    assert stand_in.asked[-1] == ("adapted", [4])
    assert (layer.data[lesion] == 1).all()
    words = learning.dock.correct_panel.learning.line.text()
    assert "1 finding larger than all you removed left as drafted" in words


def test_a_newer_correction_gives_up_what_is_drafted_from_fewer(
    learning: SimpleNamespace,
    correct_slice: Callable[..., None],
    settle: Callable[[], None],
    stand_in: StandIn,
) -> None:
    layer: Any = learning.viewer.layers["P001 tumor"]
    stand_in.go["adapted"].clear()
    correct_slice(4, waits=False)
    learning.qtbot.waitUntil(lambda: len(stand_in.asked) == 2, timeout=20_000)
    assert "Refining" in learning.dock.correct_panel.learning.line.text()
    assert (layer.data[7, *QUICK] == 1).all()
    correct_slice(6, waits=False)
    learning.qtbot.waitUntil(lambda: len(stand_in.asked) == 4, timeout=20_000)
    stand_in.go["adapted"].set()
    settle()
    assert [stage for stage, _ in stand_in.asked] == ["features", "adapted"] * 2
    assert stand_in.asked[-1] == ("adapted", [4, 6])
    assert (layer.data[8, *BETTER] == 1).all()
    # The slice painted second kept its stroke, and is not drafted again.
    assert (layer.data[6, 40, 22:38] == 1).all()
    assert (layer.data[6, 14:16, 50:60] == 0).all()


def test_nothing_lands_in_a_stroke_or_in_a_slice_being_painted(
    learning: SimpleNamespace,
    correct_slice: Callable[..., None],
    settle: Callable[[], None],
    stroke: Callable[..., None],
    stand_in: StandIn,
) -> None:
    layer: Any = learning.viewer.layers["P001 tumor"]
    stand_in.go["features"].clear()
    correct_slice(4, waits=False)
    learning.qtbot.waitUntil(lambda: len(stand_in.asked) == 1, timeout=20_000)
    learning.qtbot.wait(100)
    watch = learning.dock.correct_panel.learning.watch
    seen: list[bool] = []
    layer.events.labels_update.connect(lambda _: seen.append(watch.is_stroke_under_way))
    threading.Timer(0.15, stand_in.go["features"].set).start()
    stroke(layer, (5, 10, 20), (5, 10, 60), (5, 50, 60), (5, 50, 10))
    settle()
    settle()
    assert any(seen)
    assert (layer.data[2, *BETTER] == 1).all()
    assert (layer.data[5, 14:16, 50:57] == 0).all()  # only what the stroke painted
    press(learning, Qt.Key.Key_Z, CTRL)  # the redraft alone
    assert (layer.data[2, *BETTER] == 0).all()
    assert (layer.data[5, 10, 25:55] == 1).all()


def test_the_switch_is_remembered_and_stops_what_is_being_drafted(
    learning: SimpleNamespace,
    correct_slice: Callable[..., None],
    settle: Callable[[], None],
    stand_in: StandIn,
) -> None:
    section = learning.dock.correct_panel.learning
    layer: Any = learning.viewer.layers["P001 tumor"]
    stand_in.go["features"].clear()
    correct_slice(4, waits=False)
    learning.qtbot.waitUntil(lambda: len(stand_in.asked) == 1, timeout=20_000)
    mask = layer.data.copy()
    learning.dock.tabs.currentWidget().ensureWidgetVisible(section.switch)
    learning.qtbot.wait(50)
    QTest.mouseClick(
        section.switch, Qt.MouseButton.LeftButton, NO_KEYS, section.switch.rect().center()
    )
    assert not section.switch.isChecked()
    stand_in.go["features"].set()
    settle()
    correct_slice(6)
    mask[6] = layer.data[6]
    np.testing.assert_array_equal(layer.data, mask)
    assert recall("learns_from_exam") == "no"
    QTest.mouseClick(
        section.switch, Qt.MouseButton.LeftButton, NO_KEYS, section.switch.rect().center()
    )
    settle()
    settle()
    assert stand_in.asked[-1] == ("adapted", [4, 6])


def test_what_is_accepted_records_that_drafting_again_helped(
    learning: SimpleNamespace,
    correct_slice: Callable[..., None],
    settle: Callable[[], None],
    folder: Dataset,
) -> None:
    correct_slice(4)
    for key in [Qt.Key.Key_Left] * 9 + [Qt.Key.Key_Right] * 9:
        press(learning, key, NO_KEYS)
    press(learning, Qt.Key.Key_Return, SHIFT)
    settle()
    accepted = folder.case("P001").accepted
    assert accepted is not None
    redraft = accepted.redraft
    assert redraft is not None
    assert (redraft.from_slices, redraft.slices, redraft.share_accepted) == (1, 8, 1.0)
    assert redraft.voxels == 8 * 60
    (row,) = effort(folder.cases())
    assert (row.slices_redrafted, row.redraft_accepted, row.strokes) == (8, 1.0, 1)


def test_nothing_is_drafted_in_an_exam_that_the_reader_called_reviewed(
    learning: SimpleNamespace,
    correct_slice: Callable[..., None],
    stand_in: StandIn,
) -> None:
    correct = learning.dock.correct_panel
    click(correct.rest)
    correct_slice(4)
    assert stand_in.asked == []
    assert "whole exam as reviewed" in correct.learning.line.text()


def test_nothing_is_drafted_while_the_draft_is_hidden(
    window: SimpleNamespace,
    opened: SimpleNamespace,
    correct_slice: Callable[..., None],
    settle: Callable[[], None],
    stand_in: StandIn,
    folder: Dataset,
) -> None:
    correct = window.dock.correct_panel
    correct.learning.make_learner = stand_in.made_for
    correct.learning.switch.setChecked(True)
    window.dock.show_tab("Segment")
    window.dock.segment_panel.fold.set_open(True)
    QTest.mouseClick(window.dock.segment_panel.hides_drafts.native, Qt.MouseButton.LeftButton)
    window.dock.show_tab("Review")
    open_row(opened.panel, 0)
    settle()
    correct_slice(4)
    assert (stand_in.prepared, stand_in.asked) == (0, [])
    assert "The draft is hidden" in correct.learning.line.text()
    press(window, Qt.Key.Key_F9, NO_KEYS)
    correct_slice(6)
    layer: Any = window.viewer.layers["P001 tumor"]
    # The draft that came into sight is nobody's work; what was painted before and after is.
    assert stand_in.asked[-1][0] == "adapted"
    assert (layer.data[3, *BETTER] == 1).all()
    assert (layer.data[4, 40, 22:38] == 1).all()


def test_a_model_that_cannot_learn_says_so_once_in_the_line(
    learning: SimpleNamespace,
    correct_slice: Callable[..., None],
    stand_in: StandIn,
) -> None:
    stand_in.refuses = True
    correct_slice(4)
    correct_slice(6)
    assert len(stand_in.asked) == 1
    assert "Expected a model that learns" in learning.dock.correct_panel.learning.line.text()
    assert "Expected a model" not in messages(learning)


def test_another_case_starts_without_what_was_learned(
    learning: SimpleNamespace,
    opened: SimpleNamespace,
    correct_slice: Callable[..., None],
    settle: Callable[[], None],
    stand_in: StandIn,
    folder: Dataset,
) -> None:
    stand_in.go["adapted"].clear()
    correct_slice(4, waits=False)
    learning.qtbot.waitUntil(lambda: len(stand_in.asked) == 2, timeout=20_000)
    learning.dock.show_tab("Review")
    open_row(opened.panel, 1)
    stand_in.go["adapted"].set()
    settle()
    section = learning.dock.correct_panel.learning
    assert (section.line.text(), section.watch.to_look_at) == ("", frozenset())
    layer: Any = learning.viewer.layers["P002 tumor"]
    np.testing.assert_array_equal(layer.data, folder.draft("P002").data)
    assert recall("learns_from_exam") == "yes"
    remember("learns_from_exam", "no")


def test_the_window_closes_while_an_exam_learns(
    learning: SimpleNamespace,
    correct_slice: Callable[..., None],
    stand_in: StandIn,
) -> None:
    stand_in.go["adapted"].clear()
    correct_slice(4, waits=False)
    learning.qtbot.waitUntil(lambda: len(stand_in.asked) == 2, timeout=20_000)
    learning.viewer.close()
    stand_in.go["adapted"].set()
    learning.qtbot.waitUntil(lambda: learning.dock._is_over, timeout=20_000)


def test_the_window_drafts_what_the_engine_drafts(
    window: SimpleNamespace,
    opened: SimpleNamespace,
    correct_slice: Callable[..., None],
    settle: Callable[[], None],
    tiny_model: Path,
) -> None:
    from napari_breastseg.core.progress import drain
    from napari_breastseg.model import checkpoint
    from napari_breastseg.training.exam_learning import ExamLearner

    section = window.dock.correct_panel.learning
    window.dock.session.model = tiny_model
    section.switch.setChecked(True)
    taught: list[Corrections] = []
    made: list[ExamLearner] = []

    class Noting(ExamLearner):
        def adapt(self, corrections: Any) -> Any:
            taught.extend(corrections)
            return super().adapt(corrections)

    def make(folder: Path, exam: Any, draft: Any) -> ExamLearner:
        made.append(Noting(checkpoint.load(folder), [exam], drafts=[draft], device="cpu"))
        return made[-1]

    section.make_learner = make
    open_row(opened.panel, 0)
    settle()
    layer: Any = window.viewer.layers["P001 tumor"]
    before = layer.data.copy()
    correct_slice(4, waits=False)
    window.qtbot.waitUntil(lambda: bool(taught) and not section.runner.is_running, timeout=300_000)
    settle()
    assert messages(window) == ""  # that no breasts were found was said when it was drafted
    (learner,) = made
    (redraft,) = drain(ExamLearner.adapt(learner, taught))
    free = np.ones(9, bool)
    free[4] = False
    np.testing.assert_array_equal(layer.data[free], redraft.label_map.data[free])
    assert "slice" in section.line.text()
    assert (layer.data[4] != before[4]).any()
    made.clear()
    section.stop()
