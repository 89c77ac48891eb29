"""The film of the README: `make film`.

Opens napari on the synthetic sample exam, corrects two slices of its draft as the demo's reader
does, and films how the rest of the exam is drafted again: docs/images/learning.gif.
"""

from __future__ import annotations

import sys
import time

# First: it sets napari's settings aside and says where the tools for real strokes are.
from make_screenshots import IMAGES, SAMPLE, SCRATCH, SIZE, wait, zoom_on

# isort: split
import napari
import numpy as np
from _strokes import canvas_place, drag
from napari.settings import get_settings
from PIL import Image
from qtpy.QtTest import QTest
from skimage.measure import label

from napari_breastseg import formats
from napari_breastseg.cli._demo_loop import outlined
from napari_breastseg.core.volume import LabelMap
from napari_breastseg.widgets.canvas.layers import edit_labels, tumor_layer

WIDTH, COLORS = 720, 128
MOST_BYTES = 3_000_000
LAYER_LISTS_PX = 340
"""Width of napari's own lists on the left, which the film leaves out."""


class Film:
    """Frames of the canvas and the dock, each with how long it stands."""

    def __init__(self, viewer: napari.Viewer) -> None:
        self._viewer = viewer
        self.frames: list[Image.Image] = []
        self.durations: list[int] = []

    def shoot(self, stands_ms: int = 120) -> None:
        """Take a frame."""
        picture = self._viewer.window.screenshot(canvas_only=False, flash=False)[..., :3]
        small = Image.fromarray(picture[:, LAYER_LISTS_PX:])
        small.thumbnail((WIDTH, WIDTH))
        self.frames.append(small)
        self.durations.append(stands_ms)

    def save(self) -> int:
        """Write the film; its size in bytes."""
        path = IMAGES / "learning.gif"
        few, none = Image.Quantize.MEDIANCUT, Image.Dither.NONE
        # One palette for all, or colors would flicker.
        palette = self.frames[-1].quantize(COLORS, method=few, dither=none)
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
    """Film it; the exit code says whether the film stayed small."""
    get_settings().application.gui_notification_level = "error"
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
    size = film.save()
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
