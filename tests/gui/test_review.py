"""The List step in a real window: walking, deciding, pictures, a blind second read."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hands import NO_KEYS, SHIFT, click, click_row, listed, press
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_breastseg.dataset import Dataset
from napari_breastseg.widgets.review.listing import WorklistView
from napari_breastseg.widgets.review.thumbnails import SIDE


def test_the_worklist_is_sorted_and_searched(qtbot: Any, folder: Dataset) -> None:
    view = WorklistView()  # no viewer: it opens nothing itself
    qtbot.addWidget(view)
    view.resize(330, 500)
    view.show()
    view.model.set_rows(folder.worklist("AB"))

    def listed() -> list[str]:
        return [row.case_id for row in view.model.rows]

    assert listed() == ["P001", "P002", "P003", "P004"]
    view.order.setCurrentText("least certain first")
    assert listed() == ["P003", "P004", "P001", "P002"]
    view.order.setCurrentText("at random")
    shuffled = listed()
    view.seed.setValue(5)
    assert listed() != shuffled
    view.seed.setValue(0)
    assert listed() == shuffled
    view.order.setCurrentText("least certain first")
    # A click on a column sorts by it, on the same cases.
    header = view.table.horizontalHeader()
    at_case = QPoint(header.sectionPosition(0) + 20, header.height() // 2)
    QTest.mouseClick(header.viewport(), Qt.MouseButton.LeftButton, NO_KEYS, at_case)
    assert listed() == ["P001", "P002", "P003", "P004"]
    view.order.setCurrentText("as entered")
    view.order.setCurrentText("least certain first")
    assert listed() == ["P003", "P004", "P001", "P002"]
    view.search.setFocus()
    QTest.keyClicks(view.search, "p004")
    assert listed() == ["P004"]
    assert view.line.text().startswith("1 of 4 cases")
    view.search.clear()
    # What is selected stays selected in another order, and is told in that order.
    view.select([view.model.place("P001"), view.model.place("P003")])
    view.order.setCurrentText("as entered")
    assert view.chosen == ["P001", "P003"]
    opened: list[str] = []
    view.open_asked.connect(lambda row: opened.append(row.case_id))
    QTest.keyClick(view.table, Qt.Key.Key_Return)
    assert opened == ["P001"]


def test_the_worklist_is_walked(
    window: SimpleNamespace, opened: SimpleNamespace, folder: Dataset, settle: Callable[[], None]
) -> None:
    review = opened.panel
    viewer = window.viewer
    review.worklist.order.setCurrentText("least certain first")
    # Enter opens; the next one is read ahead and shown in the same image layer.
    click_row(review, 0)
    QTest.keyClick(review.worklist.table, Qt.Key.Key_Return)
    settle()
    assert window.dock.session.record.case_id == "P003"
    assert review.worklist.table.currentIndex().row() == 0
    image = viewer.layers["P003 post1"]
    window.qtbot.waitUntil(lambda: review.walk.prefetch._loaded is not None, timeout=10_000)
    loaded = review.walk.prefetch._loaded
    press(window, Qt.Key.Key_PageDown, NO_KEYS)
    settle()
    assert window.dock.session.record.case_id == "P004"
    assert viewer.layers["P004 post1"] == image
    assert image.data is loaded.exam.phases["post1"].data
    np.testing.assert_array_equal(viewer.layers["P004 tumor"].data, folder.draft("P004").data)
    assert "P003 tumor" not in viewer.layers
    # Back, with the list in focus: the dock's keys reach it there too.
    press(window, Qt.Key.Key_PageUp, NO_KEYS, review.worklist.table)
    settle()
    assert window.dock.session.record.case_id == "P003"
    assert not review.previous_button.isEnabled()
    assert review.previous_button.toolTip() == "This is the first case in the list"
    # The case left behind is free for others.
    assert Dataset.open(folder.folder).lock_holder("P004") is None
    assert Dataset.open(folder.folder).lock_holder("P003").owner == "AB"


def test_accept_goes_on_and_can_be_taken_back(
    window: SimpleNamespace,
    opened: SimpleNamespace,
    folder: Dataset,
    settle: Callable[[], None],
    stroke: Callable[..., None],
) -> None:
    review = opened.panel
    viewer, session = window.viewer, window.dock.session
    review.worklist.status.setCurrentText("still to do")
    review.advance.setChecked(True)
    click_row(review, 0)
    QTest.keyClick(review.worklist.table, Qt.Key.Key_Return)
    settle()
    layer = viewer.layers["P001 tumor"]
    stroke(layer, (4, 50, 20), (4, 50, 40))
    stroke(layer, (4, 10, 20), (4, 10, 40))
    assert session.effort.strokes == 2
    wanted = layer.data.copy()
    window.dock.correct_panel.rest.setChecked(True)
    click(review.accept_button)
    settle()
    settle()
    mask = folder.case("P001").accepted
    assert (mask.strokes, mask.voxels_changed) == (
        2,
        np.count_nonzero(wanted != folder.draft("P001").data),
    )
    assert mask.seconds_spent > 0
    # It has left the list, and the one after it was opened.
    assert listed(review) == ["P002", "P003", "P004"]
    assert session.record.case_id == "P002"
    # What it cost is drawn.
    assert review.effort.points == [(mask.seconds_spent, "m@1")]
    review.effort.measure.setCurrentText("Strokes")
    assert review.effort.points == [(2.0, "m@1")]

    # Accept again, differently, and take that back while the case is open.
    review.worklist.status.setCurrentText("all cases")
    review.advance.setChecked(False)
    click(review.previous_button)
    settle()
    layer = viewer.layers["P001 tumor"]
    np.testing.assert_array_equal(layer.data, wanted)
    stroke(layer, (4, 40, 50), (4, 50, 60))
    later = layer.data.copy()
    press(window, Qt.Key.Key_Return, SHIFT)
    settle()
    assert len(folder.case("P001").history) == 1
    press(window, Qt.Key.Key_U)
    settle()
    record = folder.case("P001")
    assert (record.status, record.accepted, len(record.history)) == ("in_progress", None, 2)
    np.testing.assert_array_equal(layer.data, wanted)
    assert session.record.status == "in_progress"
    layer.undo()  # one undo step
    np.testing.assert_array_equal(layer.data, later)
    layer.redo()
    assert folder.check() == []


def test_cases_are_flagged_with_a_reason_and_reopened(
    window: SimpleNamespace, opened: SimpleNamespace, folder: Dataset, settle: Callable[[], None]
) -> None:
    review = opened.panel
    review.advance.setChecked(True)
    click_row(review, 2)
    QTest.keyClick(review.worklist.table, Qt.Key.Key_Return)
    settle()
    review.reason.setCurrentText("motion")
    press(window, Qt.Key.Key_F)
    settle()
    settle()
    assert folder.case("P003").flag_reason == "motion"
    assert window.dock.session.record.case_id == "P004"
    # Two at once, by the list.
    click_row(review, 0)
    QTest.keyClick(review.worklist.table, Qt.Key.Key_Down, SHIFT)
    review.reason.setCurrentText("implant")
    click(review.flag_button)
    settle()
    assert [folder.case(c).status.value for c in ("P001", "P002")] == ["flagged", "flagged"]
    assert review.worklist.model.data(review.worklist.model.index(0, 1)) == "flagged: implant"
    review.worklist.status.setCurrentText("flagged")
    assert listed(review) == ["P001", "P002", "P003"]
    click_row(review, 0)
    press(window, Qt.Key.Key_E, widget=review.worklist.table)
    settle()
    assert folder.case("P001").status == "in_progress"
    assert listed(review) == ["P002", "P003"]
    click_row(review, 0)
    assert not review.undo_button.isEnabled()
    assert review.undo_button.toolTip() == "Not accepted"


@pytest.mark.parametrize("folder", [1], indirect=True)
def test_single_slices_are_decided_by_their_pictures(
    window: SimpleNamespace, opened: SimpleNamespace, folder: Dataset, settle: Callable[[], None]
) -> None:
    review = opened.panel
    press(window, Qt.Key.Key_G)
    settle()
    window.qtbot.waitUntil(lambda: len(review.worklist.thumbnails._kept) == 4, timeout=10_000)
    picture = review.worklist.thumbnails._kept["P001"].image
    assert max(picture.width(), picture.height()) == SIDE
    colors = {
        picture.pixelColor(x, y).name()
        for x in range(picture.width())
        for y in range(picture.height())
    }
    assert "#ff5a36" in colors  # the outline
    place = review.worklist.grid.visualRect(review.worklist.grid.model().index(0, 0)).center()
    QTest.mouseClick(review.worklist.grid.viewport(), Qt.MouseButton.LeftButton, NO_KEYS, place)
    QTest.qWait(50)
    QTest.keyClick(review.worklist.grid, Qt.Key.Key_A)
    settle()
    mask = folder.case("P001").accepted
    np.testing.assert_array_equal(folder.label_map("P001").data, folder.draft("P001").data)
    assert (mask.annotator, mask.strokes, mask.dice_draft) == ("AB", 0, 1.0)
    assert mask.seconds_spent > 0
    # The next picture is in hand.
    assert review.worklist.grid.currentIndex().row() == 1
    review.reason.setCurrentText("artifact")
    QTest.keyClick(review.worklist.grid, Qt.Key.Key_F)
    settle()
    assert folder.case("P002").flag_reason == "artifact"
    assert review.worklist.grid.currentIndex().row() == 2
    QTest.keyClick(review.worklist.grid, Qt.Key.Key_Left)
    assert review.worklist.grid.currentIndex().row() == 1
    QTest.keyClick(review.worklist.grid, Qt.Key.Key_Right)
    QTest.keyClick(review.worklist.grid, Qt.Key.Key_Return)
    settle()
    assert window.dock.session.record.case_id == "P003"
    QTest.keyClick(review.worklist.grid, Qt.Key.Key_A)
    settle()
    assert "it is open for correction" in str(window.told[-1])


def test_a_second_read_is_blind_and_is_compared(
    window: SimpleNamespace,
    opened: SimpleNamespace,
    folder: Dataset,
    settle: Callable[[], None],
    stroke: Callable[..., None],
) -> None:
    review = opened.panel
    viewer, dock, correct = window.viewer, window.dock, window.dock.correct_panel
    draft = folder.draft("P001")
    folder.accept("P001", draft, reviewed_slices=None, annotator="AB", seconds=1)
    review.refresh()
    settle()
    click_row(review, 0)
    review.readers.ask()
    settle()
    assert review.worklist.model.data(review.worklist.model.index(0, 4)) == "AB"
    # Another reader sits down.
    correct.annotator.setText("CD")
    review.refresh()
    settle()
    texts = [
        review.worklist.model.data(review.worklist.model.index(0, column)) for column in range(6)
    ]
    assert texts[1] == "second read"
    assert texts[4] == "hidden"
    assert texts[5] == ""
    click_row(review, 0)
    assert not review.flag_button.isEnabled()
    QTest.keyClick(review.worklist.table, Qt.Key.Key_Return)
    settle()
    layer = viewer.layers["P001 tumor"]
    assert not layer.data.any()
    assert dock.session.draft is None
    assert (dock.session.is_second_read, dock.session.record.accepted) == (True, None)
    layer.brush_size = 12
    stroke(layer, (4, 28, 18), (4, 28, 24))
    outline = layer.data.copy()
    correct.autosave.save()
    settle()
    assert folder.recover("P001") is None  # it went to the reader's own place
    correct.rest.setChecked(True)
    click(review.accept_button)
    settle()
    read = folder.reads.of_case("P001")[1]
    assert (read.reader, read.strokes) == ("CD", 1)
    np.testing.assert_array_equal(folder.reads.label_map(read).data, outline)
    assert folder.case("P001").accepted.annotator == "AB"
    np.testing.assert_array_equal(folder.label_map("P001").data, draft.data)
    # Now the readers are compared, and their consensus is a draft.
    review.readers.compare()
    settle()
    assert review.readers.words.text().startswith("AB – CD: Dice 0.")
    assert "Model and a reader who did not see its draft" in review.readers.words.text()
    click_row(review, 1)
    QTest.keyClick(review.worklist.table, Qt.Key.Key_Return)
    settle()
    click_row(review, 0)
    review.readers.merge()
    settle()
    record = folder.case("P001")
    assert (record.status, record.draft.model) == (
        "in_progress",
        "consensus by staple of 2 readers",
    )
    assert folder.check() == []


def test_slices_looked_at_are_marked_under_the_slider(
    window: SimpleNamespace, opened: SimpleNamespace, folder: Dataset, settle: Callable[[], None]
) -> None:
    review = opened.panel
    marks, viewer = window.dock.marks, window.viewer
    assert not marks.isVisible()
    click_row(review, 0)
    QTest.keyClick(review.worklist.table, Qt.Key.Key_Return)
    settle()
    window.qtbot.wait(100)
    assert marks.isVisible()
    viewer.dims.set_current_step(0, 0)
    viewer.dims.set_current_step(0, 3)
    window.qtbot.wait(100)
    reviewed = {index for index, state in enumerate(marks.states) if state == "reviewed"}
    assert {0, 3} <= reviewed
    assert [index for index, state in enumerate(marks.states) if state == "tumor"] == [
        index for index in (2, 3, 4, 5, 6) if index not in reviewed
    ]
    slider = next(s for s in marks.parent().findChildren(type(marks)) if s is marks)
    image = slider.grab().toImage()
    left, width = marks._track()
    scale = image.width() / slider.width()

    def color(index: int) -> str:
        x = round((left + (index + 0.5) * width / 9) * scale)
        return image.pixelColor(x, image.height() - 2).name()

    assert color(3) == "#009e73"
    assert color(5) == ("#009e73" if 5 in reviewed else "#e69f00")
    # Below the slider, not over it.
    sliders = [w for w in marks.parent().children() if type(w).__name__ == "QtDimSliderWidget"]
    assert all(marks.y() >= s.y() + s.height() for s in sliders if s.isVisible())
