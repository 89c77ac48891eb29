"""Pictures of the real window for the user guide: `make screenshots`.

Opens napari on the synthetic sample exam, walks through the tabs as a reader would, and writes
docs/images/<tab>-<theme>.png, with the starter model. They are no evidence of accuracy.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
SCRATCH = Path(tempfile.mkdtemp(prefix="breastseg-pictures-"))
# Before napari is imported: neither its settings nor the user's registry are touched.
os.environ["NAPARI_CONFIG"] = str(SCRATCH / "napari.yaml")
os.environ["BREASTSEG_HOME"] = str(SCRATCH / "home")

import napari  # noqa: E402
import numpy as np  # noqa: E402
from napari.settings import get_settings  # noqa: E402
from PIL import Image  # noqa: E402
from qtpy.QtTest import QTest  # noqa: E402

from napari_breastseg import formats  # noqa: E402
from napari_breastseg.volume import LabelMap  # noqa: E402
from napari_breastseg.widgets._layers import tumor_layer  # noqa: E402

SAMPLE = next(iter(sorted((ROOT / "sample_data").glob("*_0000.nii.gz"))))
SIZE = (1280, 800)
MOST_BYTES = 400_000


def main() -> int:
    """Write all pictures; the exit code says whether all stayed small."""
    get_settings().application.gui_notification_level = "error"
    exam = formats.open_exam(SAMPLE)
    truth = formats.read_label_map(next((ROOT / "sample_data" / "truth").glob("*.nii.gz")))
    viewer = napari.Viewer(show=True)
    viewer.window.resize(*SIZE)
    _, dock = viewer.window.add_plugin_dock_widget("napari-breastseg", "Breast MRI")
    wait(dock)
    snap(viewer, dock, "empty", themes=("dark",))

    dock.open_panel.path.setValue(SAMPLE)
    dock.open_panel.open()
    wait(dock)
    z = int(np.argmax(truth.tumor.sum(axis=(1, 2))))
    viewer.dims.set_current_step(0, z)
    snap(viewer, dock, "open")

    dock.show_tab("Segment")
    dock.segment()
    wait(dock)
    viewer.dims.set_current_step(0, z)
    snap(viewer, dock, "segment")

    panel = dock.correct_panel
    panel.folder.setValue(SCRATCH / "Dataset501_BreastTumor")
    panel.open_dataset()
    wait(dock)
    panel.patient.setText("P017")
    panel.annotator.setText("AB")
    dock.take_brush()
    wait(dock)
    layer = tumor_layer(viewer, exam.case_id)
    correct_a_little(layer, truth, z)
    panel.difference.setChecked(True)
    zoom_on(viewer, truth, z)
    QTest.qWait(300)
    snap(viewer, dock, "correct")

    panel.difference.setChecked(False)
    panel.rest.setChecked(True)
    dock.accept()
    wait(dock)
    viewer.reset_view()
    dock.show_tab("Review")
    wait(dock)
    snap(viewer, dock, "review")
    train = dock.train_panel
    train.steps.setValue(40)
    dock.show_tab("Train")
    train.start()
    wait(dock)
    snap(viewer, dock, "train")
    viewer.close()
    too_large = [p.name for p in IMAGES.glob("*.png") if p.stat().st_size > MOST_BYTES]
    print(
        f"{len(list(IMAGES.glob('*.png')))} pictures in {IMAGES}; too large: {too_large or 'none'}"
    )
    return 1 if too_large else 0


def wait(dock: object) -> None:
    """Until the dock's jobs have ended and the window is drawn."""
    QTest.qWait(150)
    while any(runner.is_running for runner in dock._runners()):  # type: ignore[attr-defined]
        QTest.qWait(50)
    QTest.qWait(250)


def correct_a_little(layer: object, truth: LabelMap, z: int) -> None:
    """Edits such as a reader makes: towards the truth in one slice."""
    wanted = layer.data.copy()  # type: ignore[attr-defined]
    wanted[z] = truth.data[z]
    changed = np.nonzero(wanted != layer.data)  # type: ignore[attr-defined]
    layer.data_setitem(changed, wanted[changed])  # type: ignore[attr-defined]


def zoom_on(viewer: napari.Viewer, truth: LabelMap, z: int) -> None:
    """Bring the tumor of a slice close."""
    ys, xs = np.nonzero(truth.tumor[z])
    _, dy, dx = truth.grid.voxel_size
    viewer.scene.camera.center = (0, float(ys.mean()) * dy, float(xs.mean()) * dx)
    viewer.scene.camera.zoom *= 3


def snap(
    viewer: napari.Viewer, dock: object, name: str, themes: tuple[str, ...] = ("dark", "light")
) -> None:
    """Write the whole window in each theme, with few enough colors to stay small."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    for theme in themes:
        viewer.theme = theme
        QTest.qWait(400)
        picture = viewer.window.screenshot(canvas_only=False, flash=False)
        Image.fromarray(picture[..., :3]).quantize(
            256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE
        ).save(IMAGES / f"{name}-{theme}.png", optimize=True)
    viewer.theme = "dark"


if __name__ == "__main__":
    sys.exit(main())
