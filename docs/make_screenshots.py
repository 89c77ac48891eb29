"""Pictures of the real window for the user guide: `make screenshots`.

Opens napari on the synthetic sample exam, walks through the steps as a reader would, and writes
docs/images/<step>-<theme>.png at 1280 x 800, and each step as <step>-<theme>-1920.png at
1920 x 1080, with the starter model. They are no evidence of accuracy.
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

sys.path.insert(0, str(ROOT / "benchmarks"))  # real mouse events
sys.path.insert(0, str(ROOT / "tests"))  # synthetic DICOM

import napari  # noqa: E402
import numpy as np  # noqa: E402
from _strokes import canvas_place, drag  # noqa: E402
from dicom_files import STUDY, slice_dataset  # noqa: E402
from napari.settings import get_settings  # noqa: E402
from PIL import Image  # noqa: E402
from qtpy.QtTest import QTest  # noqa: E402
from skimage.measure import label, regionprops  # noqa: E402

from napari_breastseg import formats  # noqa: E402
from napari_breastseg.core.volume import Exam, LabelMap  # noqa: E402
from napari_breastseg.widgets.canvas.layers import tumor_layer  # noqa: E402
from napari_breastseg.widgets.canvas.lesion_frame import remove_frame  # noqa: E402

SAMPLE = next(iter(sorted((ROOT / "sample_data").glob("*_0000.nii.gz"))))
SIZE, LARGE = (1280, 800), (1920, 1080)
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
    dock.tour.end()
    snap(viewer, dock, "empty", themes=("dark",))

    dock.open_panel.open_dropped(SAMPLE)
    wait(dock)
    dock.show_tab("Open")
    z = int(np.argmax(truth.tumor.sum(axis=(1, 2))))
    viewer.dims.set_current_step(0, z)
    snap_step(viewer, dock, "open")

    dock.show_tab("Segment")
    dock.segment()
    wait(dock)
    viewer.dims.set_current_step(0, z)
    snap_step(viewer, dock, "segment")

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
    snap_step(viewer, dock, "correct")
    panel.difference.setChecked(False)
    film_correction(viewer, layer, truth, z)

    viewer.reset_view()
    dock.show_tab("Segment")
    dock.layouts.show_orthogonal()
    QTest.qWait(600)
    lesion = max(regionprops(label(truth.tumor[z])), key=lambda region: region.area)
    place = layer.data_to_world((z, *lesion.centroid))
    viewer.dims.set_point(range(3), place)
    snap(viewer, dock, "orthogonal")
    dock.layouts.show_phases()
    QTest.qWait(600)
    snap(viewer, dock, "phases")
    dock.layouts.show_axial()
    dock.show_keys()
    QTest.qWait(400)
    for theme in ("dark", "light"):
        viewer.theme = theme
        QTest.qWait(300)
        save(dock._sheet.grab(), f"keys-{theme}")
    viewer.theme = "dark"
    dock._sheet.close()
    dock.tour.start()
    dock.tour.next_button.click()
    snap(viewer, dock, "tour")
    dock.tour.end()

    panel.rest.setChecked(True)
    dock.accept()
    wait(dock)
    viewer.reset_view()
    dock.show_tab("Correct")
    dock.measure_lesions()
    wait(dock)
    panel.lesions.table.selectRow(0)
    QTest.qWait(200)
    scrolled = panel.parentWidget().parentWidget()
    scrolled.verticalScrollBar().setValue(scrolled.verticalScrollBar().maximum())
    snap(viewer, dock, "lesions")
    remove_frame(viewer)
    dock.show_tab("Review")
    wait(dock)
    snap_step(viewer, dock, "review")
    train = dock.train_panel
    train.form.steps.value = 40
    dock.show_tab("Train")
    train.start()
    wait(dock)
    snap_step(viewer, dock, "train")

    write_dicom(SCRATCH / "P017", exam)
    dock.show_tab("Open")
    dock.open_panel.path.setValue(SCRATCH / "P017")
    dock.open_panel.open()
    wait(dock)
    snap(viewer, dock, "series")
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


def write_dicom(folder: Path, exam: Exam) -> None:
    """The exam as a folder of DICOM series, with a T2 series that is no phase."""
    folder.mkdir()
    lps = np.diag([-1.0, -1.0, 1.0])
    z, y, x = (lps @ exam.grid.affine[:3, axis] for axis in range(3))
    origin = lps @ exam.grid.affine[:3, 3]
    series = [
        (2 + number, f"t1_fl3d_tra_dyn {role}", volume.data, {"AcquisitionTime": f"10{time}"})
        for number, ((role, volume), time) in enumerate(
            zip(exam.phases.items(), ("0000", "0530", "0700", "0830"), strict=True)
        )
    ]
    for _, _, _, elements in series[1:]:
        elements["ContrastBolusAgent"] = "Gd"
    spin_echo = {"ScanningSequence": "SE", "EchoTime": 90, "AcquisitionTime": "095000"}
    series.insert(0, (1, "t2_tse_tra", exam.phases["pre"].data, spin_echo))
    for number, description, voxels, elements in series:
        for index, plane in enumerate(np.round(voxels).clip(0).astype(np.uint16)):
            data = slice_dataset(
                plane,
                (origin + index * z).tolist(),
                SeriesInstanceUID=f"{STUDY}.{number}",
                SeriesNumber=number,
                SeriesDescription=description,
                InstanceNumber=index + 1,
                PixelSpacing=[float(np.linalg.norm(y)), float(np.linalg.norm(x))],
                ImageOrientationPatient=[
                    *(x / np.linalg.norm(x)).tolist(),
                    *(y / np.linalg.norm(y)).tolist(),
                ],
                **elements,
            )
            data.save_as(folder / f"{number}-{index}.dcm", enforce_file_format=True)


def film_correction(viewer: napari.Viewer, layer: object, truth: LabelMap, z: int) -> None:
    """Write correction.gif: real strokes that rub out a part of the mask and paint it anew."""
    frames: list[Image.Image] = []

    def shoot() -> None:
        picture = viewer.window.screenshot(canvas_only=True, flash=False)[..., :3]
        small = Image.fromarray(picture)
        small.thumbnail((480, 480))
        few = Image.Quantize.MAXCOVERAGE
        frames.append(small.quantize(96, method=few, dither=Image.Dither.NONE))

    lesion = max(regionprops(label(truth.tumor[z])), key=lambda region: region.area)
    (top, left, _, right) = lesion.bbox
    top += 2
    shoot()
    for mode, size in (("erase", 4), ("paint", 5)):
        layer.mode, layer.brush_size = mode, size  # type: ignore[attr-defined]
        ends = [(z, top, left), (z, top, right)]
        path = [canvas_place(viewer, layer, tuple(p)) for p in np.linspace(*ends, 12)]
        drag(viewer, path, shoot)
        QTest.qWait(200)
        shoot()
    for step in ("undo", "undo", "redo", "redo"):
        getattr(layer, step)()
        QTest.qWait(150)
        shoot()
    durations = [900, *[110] * (len(frames) - 6), *[700] * 5]
    frames[0].save(
        IMAGES / "correction.gif",
        save_all=True,
        append_images=frames[1:],
        duration=durations,
        loop=0,
        optimize=True,
    )


def correct_a_little(layer: object, truth: LabelMap, z: int) -> None:
    """Edits such as a reader makes: towards the truth in one slice."""
    wanted = layer.data.copy()  # type: ignore[attr-defined]
    wanted[z] = truth.data[z]
    changed = np.nonzero(wanted != layer.data)  # type: ignore[attr-defined]
    layer.data_setitem(changed, wanted[changed])  # type: ignore[attr-defined]


def zoom_on(viewer: napari.Viewer, truth: LabelMap, z: int) -> None:
    """Bring the largest tumor of a slice close."""
    lesion = max(regionprops(label(truth.tumor[z])), key=lambda region: region.area)
    _, dy, dx = truth.grid.voxel_size
    viewer.scene.camera.center = (0, lesion.centroid[0] * dy, lesion.centroid[1] * dx)
    viewer.scene.camera.zoom *= 3


def snap_step(viewer: napari.Viewer, dock: object, name: str) -> None:
    """Write a step in both themes and both sizes."""
    snap(viewer, dock, name)
    viewer.window.resize(*LARGE)
    snap(viewer, dock, name, suffix="-1920")
    viewer.window.resize(*SIZE)
    QTest.qWait(400)


def snap(
    viewer: napari.Viewer,
    dock: object,
    name: str,
    themes: tuple[str, ...] = ("dark", "light"),
    suffix: str = "",
) -> None:
    """Write the whole window in each theme, with few enough colors to stay small."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    for theme in themes:
        viewer.theme = theme
        QTest.qWait(400)
        picture = viewer.window.screenshot(canvas_only=False, flash=False)
        save(picture, f"{name}-{theme}{suffix}")
    viewer.theme = "dark"


def save(picture: object, name: str) -> None:
    """Write an array or a pixmap as a PNG of 256 colors."""
    if not isinstance(picture, np.ndarray):
        path = IMAGES / f"{name}.png"
        picture.save(str(path))  # type: ignore[attr-defined]
        picture = np.asarray(Image.open(path).convert("RGB"))
    Image.fromarray(picture[..., :3]).quantize(
        256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE
    ).save(IMAGES / f"{name}.png", optimize=True)


if __name__ == "__main__":
    sys.exit(main())
