"""The Open step by real events: an exam dropped, chosen again, its pictures by their chips."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import imageio.v3 as iio
import napari._qt.qt_viewer as _qt_viewer
import numpy as np
import pytest
from dicom_files import write_exam, write_series
from hands import click, messages
from qtpy.QtCore import QMimeData, QPointF, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QApplication, QPushButton

from napari_breastseg import formats
from napari_breastseg.core.volume import Exam, Grid, Volume
from napari_breastseg.dataset import Dataset
from napari_breastseg.widgets.canvas.layers import show_exam

COPY = Qt.DropAction.CopyAction
GRID = Grid((6, 40, 44), [[0, 0, -1, 0], [0, -1, 0, 0], [3, 0, 0, 0], [0, 0, 0, 1]])


def drop(widget: Any, *paths: Path) -> None:
    """What Qt sends when a file manager drops paths."""
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    at = widget.rect().center()
    left, none, copy = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, COPY
    QApplication.sendEvent(widget, QDragEnterEvent(at, copy, data, left, none))
    QApplication.sendEvent(widget, QDropEvent(QPointF(at), copy, data, left, none))


def two_phases(case_id: str) -> Exam:
    rng = np.random.default_rng(0)
    pre = rng.normal(100, 3, GRID.shape).astype(np.float32)
    post = pre.copy()
    post[2:4, 10:20, 10:20] *= 2.5
    phases = {"pre": Volume(pre, GRID), "post1": Volume(post, GRID)}
    return Exam(case_id, phases, {"pre": -1371.1, "post1": 0.0})


def test_napari_asks_by_what_to_open_no_exam_that_is_dropped_on_its_canvas(
    window: SimpleNamespace,
    idle: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(_qt_viewer, "handle_gui_reading", lambda *args, **_: asked.append(args[0]))
    panel, canvas = window.dock.open_panel, window.viewer.window._qt_viewer
    image = np.random.default_rng(0).integers(0, 255, (40, 44), dtype=np.uint8)
    formats.write_volume(tmp_path / "one.nii.gz", two_phases("P").phases["post1"])
    formats.write_volume(tmp_path / "two.nrrd", two_phases("P").phases["post1"])
    iio.imwrite(tmp_path / "three.tif", image)
    write_exam(tmp_path / "four", size=(40, 44), count=4)
    for name in ("one.nii.gz", "two.nrrd", "three.tif", "four"):
        drop(canvas, tmp_path / name)
        idle(panel.runner)
        assert window.dock.session.case_id == name.split(".")[0], messages(window)
    drop(canvas, tmp_path / "one.nii.gz", tmp_path / "two.nrrd")
    names = {layer.name for layer in window.viewer.layers}
    assert {"one post1", "two post1"} <= names
    assert asked == []
    window.dock.drops.take_down()
    drop(canvas, tmp_path / "one.nii.gz")
    assert asked == [[str(tmp_path / "one.nii.gz")]]  # as without the dock


def test_an_exam_is_dropped_and_offered_again(
    window: SimpleNamespace, idle: Callable[..., None], tmp_path: Path
) -> None:
    panel = window.dock.open_panel
    paths = [tmp_path / "first.nii.gz", tmp_path / "second_one.nii.gz"]
    for path in paths:
        formats.write_volume(path, two_phases("P").phases["post1"])
        drop(panel.drop, path)
        idle(panel.runner)
    assert window.dock.session.case_id == "second_one"
    assert panel.grid_line.text() == "6 x 40 x 44 voxels of 3 x 1 x 1 mm"
    assert window.dock.tabs.currentIndex() == 1  # nothing is left to do in Open
    window.dock.show_tab("Open")
    offered = panel.recent.findChildren(QPushButton)
    again = {one.text(): one for one in offered if one.isVisible()}
    assert list(again) == ["second_one", "first"]
    click(again["first"])
    idle(panel.runner)
    assert window.dock.session.case_id == "first"


@pytest.mark.parametrize("kind", ["nifti", "dicom"])
def test_the_first_phase_is_seen_while_the_others_are_read(
    window: SimpleNamespace,
    idle: Callable[..., None],
    tmp_path: Path,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    viewer, panel, session = window.viewer, window.dock.open_panel, window.dock.session
    folder = tmp_path / "P1"
    if kind == "dicom":
        write_exam(folder, size=(64, 60), count=8)
    else:
        folder.mkdir()
        for number, volume in enumerate(two_phases("P1").phases.values()):
            formats.write_volume(folder / f"P1_{number:04d}.nii.gz", volume)
    may_go_on, reading = Event(), formats.reading_exam

    def held_after_the_first(case: Any) -> Any:
        """The job of reading, which waits after it has told of the first phase."""
        job = reading(case)
        try:
            while True:
                yield (progress := next(job))
                if isinstance(progress, formats.PhaseRead):
                    assert may_go_on.wait(30)
        except StopIteration as stop:
            return stop.value

    monkeypatch.setattr(formats, "reading_exam", held_after_the_first)
    drop(panel.drop, folder)
    try:
        window.qtbot.waitUntil(lambda: len(viewer.layers) == 1, timeout=30_000)
        (layer,) = viewer.layers
        assert layer.visible
        assert session.source is None  # no exam yet: nothing can be drafted or painted
    finally:
        may_go_on.set()
    idle(panel.runner)
    phases = session.source.layers
    assert len(phases) > 1
    assert len(viewer.layers) == len(phases)
    assert layer in list(viewer.layers)  # it became the phase
    assert layer.name == f"{session.case_id} pre"
    assert [one.name for one in viewer.layers if one.visible] == [f"{session.case_id} post1"]


def test_a_reading_that_fails_leaves_no_first_phase(
    window: SimpleNamespace, idle: Callable[..., None], tmp_path: Path
) -> None:
    folder = tmp_path / "P1"
    folder.mkdir()
    for number, volume in enumerate(two_phases("P1").phases.values()):
        formats.write_volume(folder / f"P1_{number:04d}.nii.gz", volume)
    inserted: list[str] = []
    window.viewer.layers.events.inserted.connect(lambda event: inserted.append(event.value.name))
    path = folder / "P1_0001.nii.gz"
    path.write_bytes(path.read_bytes()[:-4000])
    drop(window.dock.open_panel.drop, folder)
    idle(window.dock.open_panel.runner)
    assert len(inserted) == 1
    assert len(window.viewer.layers) == 0


def test_chips_say_the_times_and_show_their_pictures(
    window: SimpleNamespace, idle: Callable[..., None]
) -> None:
    viewer, panel = window.viewer, window.dock.open_panel
    show_exam(viewer, two_phases("P017"))
    chips = panel.chips.chips
    assert [chip.text().replace("\n", " ") for chip in chips.values()] == [
        "pre −22:51", "post1 0:00", "sub", "PE", "SER", "MIP",
    ]  # fmt: skip

    def shown() -> list[str]:
        return [layer.name for layer in viewer.layers if layer.visible]

    assert chips["post1"].isChecked()
    assert not panel.dce.badge.isVisible()
    click(chips["pre"])
    assert shown() == ["P017 pre"]
    assert [name for name, chip in chips.items() if chip.isChecked()] == ["pre"]
    click(chips["PE1"])
    idle(panel.dce.runner)
    assert shown() == ["P017 PE1"]
    assert [name for name, chip in chips.items() if chip.isChecked()] == ["PE1"]
    percent = viewer.layers["P017 PE1"]
    assert percent.colorbar.visible
    assert percent.data[2][12, 12] > 100
    assert percent.data[2][30, 30] == 0  # noise: nothing enhances there
    assert tuple(percent.colormap.low_color) == (0, 0, 0, 1)
    assert panel.dce.badge.isVisible()
    assert panel.dce.badge.toolTip().startswith("pre lies")
    assert chips["SER"].toolTip() == "SER needs a second post-contrast phase"
    click(chips["sub1"])
    assert shown() == ["P017 sub1"]

    # The same on the canvas, whatever step is in front
    window.dock.show_tab("Correct")
    on_canvas = window.dock.canvas_chips.chips
    assert [chip.text() for chip in on_canvas.values()] == [
        "pre", "post1", "sub", "PE", "SER", "MIP",
    ]  # fmt: skip
    assert on_canvas["post1"].isVisible()
    assert on_canvas["sub1"].isChecked()
    click(on_canvas["post1"])
    assert shown() == ["P017 post1"]
    assert chips["post1"].isChecked()


def test_series_are_folded_away_unless_there_is_doubt(
    window: SimpleNamespace, idle: Callable[..., None], tmp_path: Path
) -> None:
    panel = window.dock.open_panel
    write_exam(tmp_path / "clear", size=(64, 60), count=8)
    drop(panel.drop, tmp_path / "clear")
    idle(panel.runner)
    window.dock.show_tab("Open")
    assert panel.series_fold.isVisible()
    assert not panel.series.table.isVisible()
    for number in (2, 3):
        write_series(tmp_path / "doubt", number, 1000 * number, AcquisitionTime="100000")
    drop(panel.drop, tmp_path / "doubt")
    idle(panel.runner)
    assert panel.series.table.isVisible()
    assert panel.series.question.isVisible()


def test_cases_are_imported_into_the_open_dataset(
    window: SimpleNamespace, idle: Callable[..., None], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    dock = window.dock
    exam = two_phases("P1")
    mask = (exam.phases["post1"].data > 180).astype(np.uint8)
    formats.write_volume(tmp_path / "P1.nii.gz", exam.phases["post1"])
    formats.write_volume(tmp_path / "P1_mask.nii.gz", Volume(mask, GRID))
    rows = "case_id,patient_id,image,mask\nP1,A,P1.nii.gz,P1_mask.nii.gz\n"
    (tmp_path / "cases.csv").write_text(rows)
    ask = "napari_breastseg.widgets.open.case_import.QFileDialog.getOpenFileName"
    monkeypatch.setattr(ask, lambda *_: (str(tmp_path / "cases.csv"), ""))
    dock.open_panel.more.set_open(True)
    click(dock.open_panel.importing.button.native)
    assert "Expected a dataset to import into" in str(window.told[-1].message)
    dock.session.dataset = Dataset.create(tmp_path / "set")
    click(dock.open_panel.importing.button.native)
    idle(dock.open_panel.runner)
    assert dock.session.dataset.case("P1").is_accepted
