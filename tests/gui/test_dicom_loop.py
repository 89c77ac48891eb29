"""From a dropped DICOM folder to a DICOM SEG of the accepted mask, in a real window."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pydicom
import pytest
from dicom_files import write_exam

from napari_breastseg import formats
from napari_breastseg.dataset import Dataset
from napari_breastseg.widgets.canvas.layers import edit_labels, show_labels
from napari_breastseg.widgets.correct import export_form

NEEDED = {"FrameOfReferenceUID": "1.2.826.0.1.3680043.8.498.77"}


def test_a_dropped_dicom_folder_ends_as_a_seg_of_its_corrected_mask(
    window: SimpleNamespace,
    idle: Callable[..., None],
    stroke: Callable[..., None],
    two_phase_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = write_exam(tmp_path / "P1", size=(48, 40), **NEEDED)
    viewer, dock = window.viewer, window.dock
    lesions, correct, segment = dock.correct_panel.lesions, dock.correct_panel, dock.segment_panel
    viewer.open(str(folder), plugin="napari-breastseg")  # what a drop calls
    idle(dock.open_panel.runner)
    assert dock.session.case_id == "P1"
    assert lesions.exports.seg_button.native.toolTip().endswith("there is no mask yet")
    segment.model.value = two_phase_model
    segment.device.value = "cpu"
    dock.segment()
    idle(segment.runner)
    layer = viewer.layers["P1 tumor"]

    correct.folder.setValue(tmp_path / "set")
    correct.open_dataset()
    idle(correct.runner)
    correct.patient.setText("P001")
    correct.annotator.setText("AB")
    dock.take_brush()
    idle(correct.runner)
    edit_labels(layer, np.zeros_like(layer.data))  # fresh weights mark anything
    viewer.dims.set_current_step(0, 2)
    layer.brush_size = 6
    stroke(layer, (2, 20, 10), (2, 20, 24))
    dock.toggle_rest()
    dock.accept()
    idle(correct.runner)
    accepted = Dataset.open(tmp_path / "set").label_map("P1")
    assert accepted.tumor[2, 20, 12:22].all()

    # Its lesions keep their ids in the case record
    dock.measure_lesions()
    idle(lesions.runner)
    (lesion,) = Dataset.open(tmp_path / "set").case("P1").lesions
    assert (lesion.id, lesion.voxels) == ("index", np.count_nonzero(accepted.tumor))

    target = tmp_path / "tumor.dcm"
    monkeypatch.setattr(export_form, "ask_where", lambda *_: target)
    assert lesions.exports.seg_button.enabled
    dock.export_seg()
    idle(lesions.runner)
    assert any("Wrote tumor.dcm: 1 frames on post1" in note.message for note in window.told)
    grid = formats.open_exam(folder).grid
    read = formats.read_label_map(target, grid=grid, case_id="P1")
    assert np.array_equal(read.tumor, accepted.tumor)
    segment_item = pydicom.dcmread(target).SegmentSequence[0]
    assert segment_item.SegmentAlgorithmType == "SEMIAUTOMATIC"
    assert segment_item.SegmentAlgorithmName == "two"


@pytest.mark.slow
def test_a_real_exam_goes_from_its_folder_to_a_seg(
    window: SimpleNamespace,
    idle: Callable[..., None],
    stroke: Callable[..., None],
    test_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = test_data / "duke_dicom"
    viewer, dock = window.viewer, window.dock
    lesions, correct, segment = dock.correct_panel.lesions, dock.correct_panel, dock.segment_panel
    viewer.open(str(folder), plugin="napari-breastseg")  # what a drop calls
    idle(dock.open_panel.runner)
    case_id = dock.session.case_id
    assert list(dock.session.source.layers) == ["pre", "post1"]
    shown = dock.open_panel.series.table
    assert shown.rowCount() == 2 * len(dock.session.dicom(case_id).stacks)

    # The whole exam with the model that comes with the program
    segment.device.value = "cpu"
    dock.segment()
    window.qtbot.waitUntil(lambda: not segment.runner.is_running, timeout=600_000)
    window.qtbot.wait(50)
    layer = viewer.layers[f"{case_id} tumor"]
    assert (layer.data == 1).any()

    # A finding erased with the mouse, a stroke painted
    correct.folder.setValue(tmp_path / "set")
    correct.open_dataset()
    idle(correct.runner)
    correct.patient.setText("P001")
    correct.annotator.setText("AB")
    dock.take_brush()
    idle(correct.runner)
    z, y, x = np.argwhere(layer.data == 1)[0]
    viewer.dims.set_current_step(0, int(z))
    layer.mode, layer.brush_size = "erase", 12
    stroke(layer, (z, y, x - 3), (z, y, x + 3))
    assert layer.data[z, y, x] == 0
    layer.mode = "paint"
    stroke(layer, (z, y + 30, x), (z, y + 30, x + 10))
    assert layer.data[z, y + 30, x + 5] == 1
    dock.toggle_rest()
    dock.accept()
    idle(correct.runner)
    accepted = Dataset.open(tmp_path / "set").label_map(case_id)
    assert np.array_equal(accepted.tumor, layer.data == 1)

    target = tmp_path / "tumor.dcm"
    monkeypatch.setattr(export_form, "ask_where", lambda *_: target)
    dock.export_seg()
    idle(lesions.runner)
    grid = formats.open_exam(folder).grid
    read = formats.read_label_map(target, grid=grid, case_id=case_id)
    assert np.array_equal(read.tumor, accepted.tumor)


def test_a_seg_needs_an_exam_that_came_from_dicom(
    window: SimpleNamespace, idle: Callable[..., None], slice_case: SimpleNamespace
) -> None:
    dock = window.dock
    dock.open_panel.path.setValue(slice_case.path)
    dock.open_panel.open()
    idle(dock.open_panel.runner)
    show_labels(window.viewer, dock.session.source, slice_case.label_map())
    dock.reset_choices()
    button = dock.correct_panel.lesions.exports.seg_button.native
    assert not button.isEnabled()
    assert button.toolTip().startswith("The exam was not opened from DICOM here")
    dock.export_seg()
    assert any("Expected a mask of a DICOM exam" in note.message for note in window.told)
