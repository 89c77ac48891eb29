"""A prior exam beside the current one, chosen and read by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hands import click, drag_on, listed, open_row, press, turn_wheel
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QMenu, QWidget

from napari_breastseg import formats
from napari_breastseg.core.volume import Exam, Grid, LabelMap, Volume
from napari_breastseg.dataset import Dataset
from napari_breastseg.widgets.canvas.layers import tumor_layer
from napari_breastseg.widgets.canvas.planes import Plane
from napari_breastseg.widgets.parts import fields as _fields

NO_KEYS, ALT = Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.AltModifier
NOW = np.array([[0, 0, -1.0, 40], [0, -1, 0, 30], [3, 0, 0, -12], [0, 0, 0, 1]])
THEN = np.array([[0, 0, -1.0, 38], [0, 1, 0, -30], [2, 0, 0, -12], [0, 0, 0, 1]])
"""Rows run the other way, slices are thinner."""


def exam_on(case_id: str, affine: np.ndarray, depth: int) -> tuple[Exam, LabelMap]:
    grid = Grid((depth, 60, 70), affine)
    rng = np.random.default_rng(depth)
    data = rng.normal(90, 6, grid.shape).astype(np.float32)
    tumor = np.zeros(grid.shape, np.uint8)
    tumor[3 : depth // 2 + 1, 20:30, 20:30] = 1
    phases = {"pre": Volume(data, grid), "post1": Volume(data + 100 * tumor, grid)}
    return Exam(case_id, phases), LabelMap(tumor, grid)


@pytest.fixture
def two_visits(window: SimpleNamespace, tmp_path: Path, settle: Callable[[], None]) -> Dataset:
    """The second visit of a patient open in its dataset, the first accepted."""
    dataset = Dataset.create(tmp_path / "set", ["pre", "post1"])
    for case_id, visit, affine, depth in (("A", "T1", THEN, 13), ("B", "T2", NOW, 9)):
        exam, truth = exam_on(case_id, affine, depth)
        dataset.add(exam, patient_id="P1", visit=visit)
        dataset.save_draft(case_id, truth, model="m@1")
    with dataset.lock("A", "AB"):
        truth = exam_on("A", THEN, 13)[1]
        dataset.accept("A", truth, reviewed_slices=None, annotator="AB", seconds=1)
    correct = window.dock.correct_panel
    correct.annotator.setText("AB")
    correct.folder.setValue(dataset.folder)
    correct.open_dataset()
    settle()
    open_case(window, "B")
    settle()
    return dataset


def open_case(window: SimpleNamespace, case_id: str) -> None:
    panel = window.dock.review_panel
    window.dock.show_tab("Review")
    open_row(panel, listed(panel).index(case_id))


def plane(window: SimpleNamespace) -> Plane:
    QTest.qWait(60)
    return window.dock.prior.picture.plane


def choose(window: SimpleNamespace, words: str) -> None:
    """Open the menu by its button in the header, and take an entry."""
    button = window.dock.findChild(QWidget, "prior_button")
    assert button.isVisible()
    click(button)
    menu = window.dock.prior.menu
    window.qtbot.waitUntil(menu.isVisible)
    take(menu, words)


def take(menu: QMenu, words: str) -> None:
    """Click an entry of an open menu."""
    entry = next(one for one in menu.actions() if one.text().startswith(words))
    assert entry.isEnabled()
    QTest.mouseClick(menu, Qt.MouseButton.LeftButton, NO_KEYS, menu.actionGeometry(entry).center())


def test_a_prior_visit_stands_beside_at_the_same_place(
    window: SimpleNamespace, two_visits: Dataset, settle: Callable[[], None]
) -> None:
    viewer, dock = window.viewer, window.dock
    layers = [one.name for one in viewer.layers]
    viewer.dims.set_current_step(0, 4)
    choose(window, "T1: A")
    window.qtbot.waitUntil(lambda: dock.prior.picture is not None)
    shown = plane(window)
    assert shown.title == "PRIOR  T1"
    assert shown.letters == ("R", "L", "A", "P")
    assert shown.is_flipped == (True, False)
    assert shown.index == 6  # 4 x 3 mm is 6 x 2 mm
    assert "slice 7/13" in shown.caption
    assert "linked by position" in shown.caption
    # 2 slices of 3 mm against 4 of 2 mm, of 100 mm² each
    assert "0.60 mL, was 0.80 mL, -25 %" in shown.caption
    assert np.array_equal(shown.slice_of(shown.mask) == 1, exam_on("A", THEN, 13)[1].tumor[6])
    # It is no layer: nothing can be drawn in it
    assert [one.name for one in viewer.layers] == layers

    # The wheel scrolls both, whichever it is turned over; with Alt the prior alone
    turn_wheel(dock.prior.picture, -1)
    assert viewer.dims.current_step[0] == 5
    assert plane(window).index == round(7.5)
    turn_wheel(dock.prior.picture, -2, ALT)
    assert viewer.dims.current_step[0] == 5
    before = plane(window)
    assert before.index == 10
    assert "+4 mm" in before.caption
    viewer.dims.set_current_step(0, 8)
    outside = plane(window)
    assert outside.is_blank
    assert "outside" in outside.caption
    viewer.dims.set_current_step(0, 3)
    assert plane(window).index == round(4.5) + 2

    # W changes both; the window of each is its own
    press(window, Qt.Key.Key_W, NO_KEYS)
    window.qtbot.waitUntil(lambda: plane(window).caption.startswith("post1"))
    limits = plane(window).limits
    drag_on(dock.prior.picture, QPoint(60, 60), QPoint(100, 60), Qt.MouseButton.RightButton)
    assert plane(window).limits[1] - plane(window).limits[0] > limits[1] - limits[0]
    center = plane(window).center
    drag_on(dock.prior.picture, QPoint(60, 60), QPoint(80, 90), Qt.MouseButton.LeftButton)
    assert plane(window).center != center

    # Volumes follow the mask
    mask = tumor_layer(viewer, "B")
    mask.data_setitem((np.full(100, 6), *np.divmod(np.arange(100), 10)), 1)
    dock.correct_panel.autosave.edited.emit()
    window.qtbot.waitUntil(lambda: plane(window).caption.count("0.90 mL") == 1)

    # The key takes it away and brings it back; another exam lets go of it
    press(window, Qt.Key.Key_F4, Qt.KeyboardModifier.ShiftModifier)
    assert dock.prior.picture is None
    press(window, Qt.Key.Key_F4, Qt.KeyboardModifier.ShiftModifier)
    assert dock.prior.picture is not None
    open_case(window, "A")
    settle()
    assert dock.prior.picture is None
    assert dock.prior.shown is None


@pytest.mark.answers_by_hand
def test_a_file_is_asked_about_before_it_is_shown(
    window: SimpleNamespace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    settle: Callable[[], None],
) -> None:
    from napari_breastseg.widgets.canvas.layers import show_exam

    dock, asked = window.dock, []
    show_exam(window.viewer, exam_on("B", NOW, 9)[0])
    for number, volume in enumerate(exam_on("A", THEN, 13)[0].phases.values()):
        formats.write_volume(tmp_path / f"A_000{number}.nii.gz", volume)
    answers = [False, True]

    def answer(parent: object, title: str, text: str, *names: str) -> bool:
        asked.append(text)
        return answers.pop(0)

    monkeypatch.setattr(_fields, "ask", answer)
    for is_shown in (False, True):
        dock.prior.read_file(tmp_path / "A_0000.nii.gz")
        settle()
        assert (dock.prior.picture is not None) is is_shown
    assert all("do not say whose exam" in text for text in asked)
    assert plane(window).title == "PRIOR  from a file"
    assert "was" not in plane(window).caption  # no mask, no volume

    # Of several exams in a folder one is chosen
    formats.write_volume(tmp_path / "C_0000.nii.gz", exam_on("C", NOW, 9)[0].phases["pre"])
    dock.prior.read_file(tmp_path)
    menu = dock.prior.menu
    window.qtbot.waitUntil(menu.isVisible)
    assert [entry.text() for entry in menu.actions()] == ["A", "C"]
    answers.append(True)
    take(menu, "C")
    window.qtbot.waitUntil(lambda: answers == [])
    settle()
    assert plane(window).caption.count("slice 5/9") == 1
