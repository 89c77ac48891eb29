"""The films of the README and the guide: `make film`.

The first leads from an empty window to the first accepted mask of the synthetic sample exam, by
clicks alone (docs/images/first-mask.gif), and keeps how many and how long it took
(benchmarks/results/first_mask.md). The second corrects two slices of the draft as the demo's reader
does, and films how the rest is drafted again (docs/images/learning.gif).
"""

from __future__ import annotations

import sys
import time

# First: it sets napari's settings aside and says where the tools for real strokes are.
from make_screenshots import IMAGES, ROOT, SAMPLE, SCRATCH, SIZE, wait, write_dicom, zoom_on

# isort: split
import napari
import numpy as np
from _common import machine, today
from _strokes import canvas_place, drag
from napari.settings import get_settings
from PIL import Image, ImageDraw
from qtpy.QtCore import QPoint, Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QFileDialog, QPushButton, QWidget
from skimage.measure import label

from napari_breastseg import formats
from napari_breastseg.cli._demo_loop import outlined
from napari_breastseg.core.volume import LabelMap
from napari_breastseg.widgets.canvas.layers import edit_labels, tumor_layer

WIDTH, COLORS = 720, 128
RING = (255, 80, 80)
MOST_BYTES = 3_000_000
LAYER_LISTS_PX = 340
"""Width of napari's own lists on the left, which the film leaves out."""


class Film:
    """Frames of the canvas and the dock, each with how long it stands."""

    def __init__(self, viewer: napari.Viewer) -> None:
        self._viewer = viewer
        self.frames: list[Image.Image] = []
        self.durations: list[int] = []

    def shoot(self, stands_ms: int = 120, pointer: tuple[int, int] | None = None) -> None:
        """Take a frame; `pointer` is where in the window (x, y) the mouse is pressed."""
        picture = self._viewer.window.screenshot(canvas_only=False, flash=False)[..., :3]
        full = Image.fromarray(picture)
        if pointer is not None:
            x, y = pointer
            ImageDraw.Draw(full).ellipse((x - 11, y - 11, x + 11, y + 11), outline=RING, width=4)
        small = full.crop((LAYER_LISTS_PX, 0, *full.size))
        small.thumbnail((WIDTH, WIDTH))
        self.frames.append(small)
        self.durations.append(stands_ms)

    def save(self, name: str) -> int:
        """Write the film; its size in bytes."""
        path = IMAGES / name
        few, none = Image.Quantize.MEDIANCUT, Image.Dither.NONE
        # One palette for all, or colors would flicker; of frames from all over the film.
        some = self.frames[:: max(1, len(self.frames) // 8)] + self.frames[-1:]
        side_by_side = np.concatenate([np.asarray(frame) for frame in some], 1)
        palette = Image.fromarray(side_by_side).quantize(COLORS, method=few, dither=none)
        first, *others = (frame.quantize(palette=palette, dither=none) for frame in self.frames)
        first.save(
            path,
            save_all=True,
            append_images=others,
            duration=self.durations,
            loop=0,
            optimize=True,
        )
        return path.stat().st_size


def main() -> int:
    """Film both; the exit code says whether they stayed small."""
    get_settings().application.gui_notification_level = "error"
    return max(first_mask(), learning())


def first_mask() -> int:
    """From an empty window to the first accepted mask."""
    exam = formats.open_exam(SAMPLE)
    folder = SCRATCH / "exam"
    write_dicom(folder, exam)
    viewer = napari.Viewer(show=True)
    viewer.window.resize(*SIZE)
    _, dock = viewer.window.add_plugin_dock_widget("napari-breastseg", "Breast MRI")
    wait(dock)
    dock.tour.end()
    panel = dock.correct_panel
    panel.annotator.setText("AB")  # asked once, on the very first start
    QFileDialog.getExistingDirectory = lambda *_: str(folder)  # the system's, not ours to click
    film, clicks = Film(viewer), 0
    QTest.qWait(300)
    film.shoot(1500)
    started = time.monotonic()

    def press(widget: QWidget) -> None:
        nonlocal clicks
        place = widget.rect().center()
        at = widget.mapTo(viewer.window._qt_window, QPoint(place))
        film.shoot(700, (at.x(), at.y()))
        QTest.mouseClick(widget, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, place)
        clicks += 1

    def follow() -> None:
        while any(runner.is_running for runner in dock._runners()):
            QTest.qWait(350)
            film.shoot(350)
        wait(dock)

    def answer() -> None:
        for one in dock.notices.findChildren(QPushButton):
            if one.isVisible() and "ccept" in one.text():
                press(one)
                return

    press(dock.open_panel.drop)
    follow()
    film.shoot(900)
    press(dock.segment_panel.run_button.native)
    follow()
    film.shoot(1200)
    press(dock.segment_panel.correct_button.native)
    follow()
    QTest.qWait(400)
    film.shoot(1500)
    asking = QTimer()
    asking.timeout.connect(answer)
    asking.start(400)
    press(panel.accept_box.accept_button)
    while dock.session.record is None or not dock.session.record.is_accepted:
        QTest.qWait(50)
    asking.stop()
    seconds = time.monotonic() - started
    wait(dock)
    film.shoot(3000)
    size = film.save("first-mask.gif")
    (ROOT / "benchmarks" / "results" / "first_mask.md").write_text(
        "# From launch to the first accepted mask\n\n"
        f"{today()}, {machine()}. `make film`: the synthetic sample exam as a DICOM folder, by\n"
        "real clicks in a real window; the reader's initials were asked on an earlier start.\n\n"
        "| | clicks | fields | seconds, computing and filming included |\n|---|---|---|---|\n"
        "| before the dock was laid out anew | 10 | 3 | not measured |\n"
        f"| now | {clicks} | 0 | {seconds:.0f} |\n"
    )
    print(f"First mask: {clicks} clicks, {seconds:.0f} s, {size / 1e6:.1f} MB")
    viewer.close()
    return int(size > MOST_BYTES)


def learning() -> int:
    """Two slices are corrected, and the rest is drafted again."""
    exam = formats.open_exam(SAMPLE)
    truth = formats.read_label_map(next((SAMPLE.parent / "truth").glob("*.nii.gz")))
    wanted = outlined(truth)
    viewer = napari.Viewer(show=True)
    viewer.window.resize(*SIZE)
    _, dock = viewer.window.add_plugin_dock_widget("napari-breastseg", "Breast MRI")
    wait(dock)
    dock.tour.end()
    dock.open_panel.path.setValue(SAMPLE)
    dock.open_panel.open()
    wait(dock)
    dock.show_tab("Segment")
    dock.segment()
    wait(dock)
    panel = dock.correct_panel
    panel.folder.setValue(SCRATCH / "Dataset501_BreastTumor")
    panel.open_dataset()
    wait(dock)
    panel.patient.setText("P017")
    panel.annotator.setText("AB")
    dock.take_brush()
    wait(dock)
    layer = tumor_layer(viewer, exam.case_id)
    first, shown, second = slices(truth)
    drop_false(layer, wanted)
    zoom_on(viewer, truth, shown)
    viewer.dims.set_current_step(0, shown)
    QTest.qWait(400)

    film = Film(viewer)
    film.shoot(1800)
    for z in (first, second):
        viewer.dims.set_current_step(0, z)
        QTest.qWait(200)
        film.shoot(500)
        paint(viewer, layer, wanted, z, film)
        film.shoot(700)
    viewer.dims.set_current_step(0, shown)
    QTest.qWait(200)
    film.shoot(1200)
    told = panel.learning.line.text()
    started = time.monotonic()
    while panel.learning.runner.is_running or time.monotonic() - started < 0.5:
        QTest.qWait(30)
        if panel.learning.line.text() != told:
            told = panel.learning.line.text()
            QTest.qWait(80)
            film.shoot(1600)
    QTest.qWait(200)
    film.shoot(3000)
    size = film.save("learning.gif")
    print(f"{len(film.frames)} frames, {size / 1e6:.1f} MB")
    viewer.close()
    return int(size > MOST_BYTES)


def slices(truth: LabelMap) -> tuple[int, int, int]:
    """Two slices of the largest lesion to correct, and the one between them to look at."""
    areas = truth.tumor.sum(axis=(1, 2))
    middle = int(np.argmax(areas))
    return middle - 1, middle, middle + 1


def drop_false(layer: object, wanted: LabelMap) -> None:
    """Take findings out of the mask that are none, as a reader drops them in the list."""
    mask = layer.data.copy()  # type: ignore[attr-defined]
    parts = label(mask == 1, connectivity=3)
    true = np.unique(parts[wanted.tumor])
    mask[(parts > 0) & ~np.isin(parts, true)] = 0
    edit_labels(layer, mask)  # type: ignore[arg-type]
    QTest.qWait(300)


def paint(viewer: napari.Viewer, layer: object, wanted: LabelMap, z: int, film: Film) -> None:
    """A stroke along what is missing, and the rest of it at once."""
    lesions = label(wanted.tumor[z])
    largest = lesions == np.argmax(np.bincount(lesions.ravel())[1:]) + 1
    missing = np.argwhere(largest & (layer.data[z] != 1))  # type: ignore[attr-defined]
    center = missing.mean(axis=0)
    order = np.argsort(np.arctan2(*(missing - center).T))
    layer.mode, layer.brush_size = "paint", 2  # type: ignore[attr-defined]
    path = [
        canvas_place(viewer, layer, (z, *missing[i])) for i in order[:: max(1, len(order) // 14)]
    ]
    drag(viewer, path, film.shoot)
    QTest.qWait(150)
    mask = layer.data.copy()  # type: ignore[attr-defined]
    mask[z] = wanted.data[z]
    edit_labels(layer, mask)  # type: ignore[arg-type]
    QTest.qWait(150)


if __name__ == "__main__":
    sys.exit(main())
