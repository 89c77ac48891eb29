"""The List step: pictures first, four chips, who has a case open, drafts for all that is to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hands import click, click_row, listed, open_row
from qtpy.QtCore import Qt, QTimer
from qtpy.QtTest import QTest

from napari_breastseg.core.progress import Progress
from napari_breastseg.dataset import Dataset, FlagReason
from napari_breastseg.predict.drafting import Drafting
from napari_breastseg.widgets.parts import fields as _fields
from napari_breastseg.widgets.parts.jobs import JobRunner
from napari_breastseg.widgets.review.draft_all import DraftAll
from napari_breastseg.widgets.review.listing import WorklistView
from napari_breastseg.widgets.state.settings import recall, remember


def chip(review: Any, title: str) -> Any:
    (found,) = (one for one in review.worklist.chips.buttons() if one.text() == title)
    return found


def test_pictures_are_what_a_reader_sees_first_and_the_choice_is_kept(qtbot: Any) -> None:
    remember("list_view", "")
    first = WorklistView()
    qtbot.addWidget(first)
    assert first.views.currentWidget() is first.grid
    first.pictures.setChecked(False)
    assert recall("list_view") == "table"
    second = WorklistView()
    qtbot.addWidget(second)
    assert second.views.currentWidget() is second.table


def test_two_pictures_stand_side_by_side_in_the_narrow_dock(
    window: SimpleNamespace, opened: SimpleNamespace, settle: Callable[[], None]
) -> None:
    window.viewer.window.resize(1280, 800)
    review = opened.panel
    review.worklist.pictures.setChecked(True)
    settle()
    grid = review.worklist.grid
    first, second = (grid.visualRect(grid.model().index(row, 0)) for row in (0, 1))
    assert first.top() == second.top()
    assert second.right() <= grid.viewport().width()
    words = grid.model().data(grid.model().index(0, 0), Qt.ItemDataRole.DisplayRole)
    assert words == "P001\npatient-P001"


def test_what_is_told_leaves_a_row_of_pictures_and_all_buttons_in_sight(
    window: SimpleNamespace, opened: SimpleNamespace, settle: Callable[[], None]
) -> None:
    window.viewer.window.resize(1280, 800)
    review, dock = opened.panel, window.dock
    review.worklist.pictures.setChecked(True)
    settle()
    dock.notices.tell("Expected a folder; found a pipe that nobody feeds. Choose. " * 2)
    dock.notices.tell("Expected one case; found 20,000 files in it. Give it. " * 3, is_error=True)
    window.qtbot.wait(100)
    area = dock.tabs.currentWidget()
    assert area.verticalScrollBar().maximum() == 0  # no scroll bar around a scroll bar
    grid = review.worklist.grid
    assert grid.viewport().height() >= grid.visualRect(grid.model().index(0, 0)).height()
    for made in (review.undo_button, review.reopen_button, review.flag_button):
        assert area.viewport().rect().contains(made.geometry())

    asked: list[int] = []

    def look() -> None:
        asked.append(area.verticalScrollBar().maximum())
        click(dock.notices.question.buttons[0])

    QTimer.singleShot(100, look)
    dock.notices.ask("Recovered work found", "Case P001 has changes. Continue? " * 2, "Yes", "No")
    assert asked == [0]
    assert not dock.notices.news.isVisible()

    review.worklist.pictures.setChecked(False)
    table = review.worklist.table
    for width in (1280, 1180):
        window.viewer.window.resize(width, 800)
        window.qtbot.wait(50)
        assert table.horizontalHeader().length() <= table.viewport().width()
        assert not table.isColumnHidden(1)


def test_chips_list_what_they_say(
    opened: SimpleNamespace, folder: Dataset, settle: Callable[[], None]
) -> None:
    review = opened.panel
    folder.flag("P002", FlagReason.MOTION)
    folder.accept(
        "P003", folder.draft("P003"), reviewed_slices=None, annotator="CD", seconds=1, strokes=0
    )
    folder.reads.ask("P003")
    review.refresh()
    settle()
    for title, cases in (
        ("To do", ["P001", "P004"]),
        ("Flagged", ["P002"]),
        ("Second read", ["P003"]),
        ("All", ["P001", "P002", "P003", "P004"]),
    ):
        click(chip(review, title))
        assert listed(review) == cases
        assert [one.text() for one in review.worklist.chips.buttons() if one.isChecked()] == [title]
    review.worklist.search.setText("patient-P004")
    assert listed(review) == ["P004"]


def test_a_case_says_who_has_it_open(
    opened: SimpleNamespace, folder: Dataset, settle: Callable[[], None]
) -> None:
    review = opened.panel
    with Dataset.open(folder.folder).lock("P002", "CD"):
        review.refresh()
        settle()
        assert review.model.data(review.model.index(1, 1)) == "open: CD"
    review.refresh()
    settle()
    assert review.model.data(review.model.index(1, 1)) == "drafted"


def test_a_case_is_renamed_in_the_list_unless_it_is_open_or_the_id_taken(
    window: SimpleNamespace, opened: SimpleNamespace, folder: Dataset, settle: Callable[[], None]
) -> None:
    review, box = opened.panel, opened.panel.renaming
    open_row(review, 0)
    settle()
    window.dock.show_tab("List")
    assert box.open_button.toolTip() == "Close the case first (Ctrl-Shift-Q)"
    click_row(review, 1)
    click(box.open_button)
    assert box.window().focusWidget() is box.field
    QTest.keyClicks(box.field, "P003")  # in place of the id that is selected
    QTest.keyClick(box.field, Qt.Key.Key_Return)
    settle()
    assert "found case P003" in window.dock.notices.error.text.text()
    assert box.isVisible()  # to be typed again
    box.field.setText("K-17")
    click(box.rename_button)
    settle()
    assert not box.isVisible()
    assert listed(review) == ["P001", "K-17", "P003", "P004"]
    assert folder.draft("K-17") is not None
    with Dataset.open(folder.folder).lock("P004", "CD"):
        review.refresh()
        settle()
        click_row(review, 3)
        assert box.open_button.toolTip() == "CD has the case open"
    click_row(review, 2)
    click(box.open_button)
    QTest.keyClick(box.field, Qt.Key.Key_Escape)
    assert not box.isVisible()


def test_all_to_do_is_drafted_by_one_click(
    window: SimpleNamespace,
    opened: SimpleNamespace,
    folder: Dataset,
    settle: Callable[[], None],
    tiny_model: Path,
) -> None:
    review, session = opened.panel, window.dock.session
    asked: list[tuple[Path, Path]] = []

    def draft(dataset: Dataset, model: Path) -> Iterator[Progress]:
        asked.append((dataset.folder, model))
        yield Progress("Drafting", 0, 1)
        return Drafting({"P001": 0.8, "P004": 0.7}, {"P002": "Expected a file; found none. Look."})

    review.draft_all.draft = draft
    session.model = tiny_model
    review.draft_all.refresh()
    click(review.draft_all.button)
    settle()
    assert asked == [(folder.folder, tiny_model)]
    said = window.dock.notices.news.text.text()
    assert said.startswith("Drafted 2 cases. 1 case could not be drafted:\nP002: Expected a file")


@pytest.mark.parametrize("lacks", ["dataset", "model"])
def test_drafting_all_says_what_it_lacks(qtbot: Any, folder: Dataset, lacks: str) -> None:
    session = SimpleNamespace(dataset=folder, model=Path("model"))
    setattr(session, lacks, None)
    runner = JobRunner()
    made = DraftAll(session, runner, lambda: None)
    qtbot.addWidget(made.button)
    assert not made.button.isEnabled()
    assert lacks in made.button.toolTip()


def test_the_list_opens_the_dataset_of_the_last_start(
    window: SimpleNamespace, folder: Dataset, settle: Callable[[], None]
) -> None:
    panel = window.dock.review_panel
    window.dock.show_tab("List")
    assert not panel.last_button.isVisible()  # there is none yet
    window.dock.correct_panel.folder.setValue(folder.folder)  # as a start remembers it
    panel.reset_choices()
    click(panel.last_button)
    settle()
    assert listed(panel) == ["P001", "P002", "P003", "P004"]
    assert not panel.last_button.isVisible()


@pytest.fixture
def last(folder: Dataset) -> Dataset:
    """A dataset that was open at the last start, with unfinished work."""
    folder.autosave("P003", folder.draft("P003"))
    remember("dataset", str(folder.folder))
    return folder


def test_the_last_dataset_is_open_again_and_says_what_is_unfinished(
    last: Dataset, window: SimpleNamespace, settle: Callable[[], None]
) -> None:
    review, box = window.dock.review_panel, window.dock.correct_panel.dataset_box
    window.qtbot.waitUntil(lambda: review.model.total == 4, timeout=20_000)
    settle()
    assert window.dock.session.dataset.folder == last.folder
    assert window.dock.notices.news.text.text().startswith("Unfinished work: P003 (")
    assert review.model.data(review.model.index(2, 1)).startswith("unfinished, ")
    window.dock.header.open()
    box.at_start.setChecked(False)
    assert recall("opens_last_dataset") == "no"


def test_closing_while_recovered_work_is_asked_about_leaves_it_on_disk(
    window: SimpleNamespace,
    opened: SimpleNamespace,
    folder: Dataset,
    settle: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    work = folder.draft("P001")
    work.data[4, 50:54, 20:40] = 1
    folder.autosave("P001", work)
    asked: list[str] = []

    def close(parent: object, title: str, text: str, *answers: str) -> bool:
        asked.append(title)
        window.dock.correct_panel.autosave.save_now()  # as the closing window does
        return False

    monkeypatch.setattr(_fields, "ask", close)
    open_row(opened.panel, 0)
    settle()
    assert asked == ["Recovered work found"]
    kept = folder.recover("P001")
    assert kept is not None
    assert (kept.data == work.data).all()


def test_of_thousands_of_rows_only_those_that_changed_are_drawn_again(
    qtbot: Any, folder: Dataset
) -> None:
    listing = WorklistView()
    qtbot.addWidget(listing)
    (first, *_) = folder.worklist("AB")
    rows = [replace(first, case_id=f"C{number:05d}") for number in range(3000)]
    listing.model.set_rows(rows)
    drawn: list[tuple[int, int]] = []
    listing.model.dataChanged.connect(lambda top, last, *_: drawn.append((top.row(), last.row())))
    listing.table.selectAll()
    listing.pictures.setChecked(False)
    assert len(listing.chosen) == 3000
    listing.model.set_rows([*rows[:2000], replace(rows[2000], model="other@2"), *rows[2001:]])
    assert drawn == [(2000, 2000)]
    assert len(listing.chosen) == 3000
    assert listing.model.row_of("C02000").model == "other@2"
    assert listing.model.row_of("C09999") is None
