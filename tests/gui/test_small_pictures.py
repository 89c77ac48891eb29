"""Small pictures of the worklist show each reader only what this reader may see."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hands import press
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_breastseg.dataset import Dataset, WorklistRow
from napari_breastseg.widgets.review import grid as _grid
from napari_breastseg.widgets.review import thumbnails as _thumbnails
from napari_breastseg.widgets.review.read_outlines import OTHER
from napari_breastseg.widgets.review.thumbnails import OUTLINE, Thumbnail, Thumbnails, thumbnail


def is_outlined(made: Thumbnail, color: tuple[int, int, int] = OUTLINE) -> bool:
    picture = made.image
    places = ((x, y) for x in range(picture.width()) for y in range(picture.height()))
    return any(picture.pixelColor(*place).getRgb()[:3] == color for place in places)


def row_of(dataset: Dataset, reader: str) -> WorklistRow:
    return dataset.worklist(reader)[0]


def accept(dataset: Dataset, case_id: str = "P001") -> None:
    draft = dataset.draft(case_id)
    dataset.accept(case_id, draft, reviewed_slices=None, annotator="AB", seconds=1)


@pytest.mark.parametrize("folder", [1], indirect=True)
def test_a_hidden_draft_is_in_no_picture_but_own_work_and_masks_are(
    qtbot: Any, folder: Dataset
) -> None:
    assert is_outlined(thumbnail(folder, row_of(folder, "AB"), "AB"))
    hidden = thumbnail(folder, row_of(folder, "AB"), "AB", hides_drafts=True)
    assert not is_outlined(hidden)
    assert hidden.mask is None  # nothing to accept by its picture
    folder.autosave("P001", folder.draft("P002"))
    assert is_outlined(thumbnail(folder, row_of(folder, "AB"), "AB", hides_drafts=True))
    accept(folder)
    folder.reopen("P001")
    assert is_outlined(thumbnail(folder, row_of(folder, "AB"), "AB", hides_drafts=True))


@pytest.mark.parametrize("change", ["reader", "hiding"])
def test_a_picture_made_for_the_one_before_is_not_shown_to_the_next(
    qtbot: Any, folder: Dataset, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go, made = threading.Event(), threading.Event(), []

    def slow(*args: Any) -> Thumbnail:
        begun.set()
        assert go.wait(20)
        made.append(args[2:])
        return thumbnail(*args)

    monkeypatch.setattr(_thumbnails, "thumbnail", slow)
    if change == "reader":
        accept(folder)
        folder.reads.ask("P001")
    reader, is_hiding = ("CD", False) if change == "reader" else ("AB", True)
    pictures = Thumbnails()
    pictures.set_dataset(folder, "AB")
    assert pictures.get(row_of(folder, "AB")) is None
    qtbot.waitUntil(begun.is_set)
    pictures.set_dataset(folder, reader, is_hiding)
    row = row_of(folder, reader)
    assert pictures.get(row) is None  # asked for while the other one is on its way
    go.set()
    qtbot.waitUntil(lambda: "P001" in pictures._kept, timeout=20_000)  # `get` would ask again
    assert made == [("AB", False), (reader, is_hiding)]
    assert not is_outlined(pictures.get(row))
    qtbot.waitUntil(lambda: not pictures.runner.is_running)
    # And what had been kept is forgotten when the first one comes back.
    pictures.set_dataset(folder, "AB")
    assert pictures.get(row_of(folder, "AB")) is None
    qtbot.waitUntil(lambda: not pictures.runner.is_running)


def test_hiding_drafts_takes_them_out_of_the_pictures_in_sight(
    window: SimpleNamespace,
    opened: SimpleNamespace,
    folder: Dataset,
    settle: Callable[[], None],
) -> None:
    pictures = opened.panel.worklist.thumbnails
    accept(folder, "P002")
    opened.panel.refresh()
    press(window, Qt.Key.Key_G)
    settle()

    def drawn() -> list[bool]:
        window.qtbot.waitUntil(
            lambda: len(pictures._kept) == 4 and not pictures.runner.is_running, timeout=20_000
        )
        return [is_outlined(pictures._kept[row.case_id]) for row in opened.panel.model.rows]

    assert drawn() == [True] * 4
    window.dock.show_tab("Segment")
    window.dock.segment_panel.fold.set_open(True)
    QTest.mouseClick(window.dock.segment_panel.hides_drafts.native, Qt.MouseButton.LeftButton)
    assert window.dock.session.drafts.hides
    window.dock.show_tab("Review")
    assert drawn() == [False, True, False, False]


def test_a_case_read_twice_shows_both_outlines_and_their_dice(
    window: SimpleNamespace,
    opened: SimpleNamespace,
    folder: Dataset,
    settle: Callable[[], None],
) -> None:
    accept(folder)
    folder.reads.ask("P001")
    assert not is_outlined(thumbnail(folder, row_of(folder, "AB"), "AB"), OTHER)
    opened.panel.refresh()
    press(window, Qt.Key.Key_G)
    settle()
    pictures, grid = opened.panel.worklist.thumbnails, opened.panel.worklist.grid
    window.qtbot.waitUntil(lambda: "P001" in pictures._kept, timeout=20_000)
    # Another reader finishes the second read elsewhere, which changes no record.
    half = folder.draft("P001")
    half.data[:, :28] = 0
    second = folder.reads.second_read("P001", "CD")
    second.accept("P001", half, reviewed_slices=None, annotator="CD", seconds=1)
    opened.panel.refresh()
    settle()
    window.qtbot.waitUntil(lambda: bool(pictures._kept["P001"].agreement), timeout=20_000)
    made = pictures._kept["P001"]
    overlap = 2 * half.tumor.sum() / (half.tumor.sum() + folder.label_map("P001").tumor.sum())
    assert made.agreement == f"AB – CD: Dice {overlap:.2f}"
    assert is_outlined(made)
    assert is_outlined(made, OTHER)
    assert made.agreement in grid.model().index(0, 0).data(Qt.ItemDataRole.ToolTipRole)
    # Who is still to read it sees neither.
    blind = thumbnail(folder, row_of(folder, "EF"), "EF")
    assert blind.agreement == ""
    assert not is_outlined(blind, OTHER)
    assert not is_outlined(blind)


def test_pictures_scrolled_past_are_let_go(
    opened: SimpleNamespace, settle: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_grid, "_DRAWN", 2)
    monkeypatch.setattr(_thumbnails, "_KEPT", 3)
    model = opened.panel.worklist.grid._pictures
    for _ in range(2):
        for place in range(4):
            assert not model.data(model.index(place, 0), Qt.ItemDataRole.DecorationRole).isNull()
        settle()
    assert list(model._drawn) == ["P003", "P004"]
    assert len(opened.panel.worklist.thumbnails._kept) == 3
    monkeypatch.undo()  # what is in sight is made again without end where less is kept
    settle()
