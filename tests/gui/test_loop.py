"""The loop in a real window: open, segment, correct with the mouse, accept, fine-tune, go on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from napari_breastseg import formats
from napari_breastseg.core.progress import drain
from napari_breastseg.core.volume import TUMOR
from napari_breastseg.dataset import Dataset
from napari_breastseg.model import checkpoint
from napari_breastseg.predict.prediction import predict
from napari_breastseg.registry.models import Registry


def test_a_slice_goes_from_file_to_a_better_model(
    window: SimpleNamespace,
    stroke: Callable[..., None],
    idle: Callable[..., None],
    slice_case: Any,
    tiny_model: Path,
    tmp_path: Path,
) -> None:
    viewer, dock = window.viewer, window.dock
    open_panel, segment = dock.open_panel, dock.segment_panel
    correct, train = dock.correct_panel, dock.train_panel
    case_id = slice_case.case_id

    # Open
    open_panel.path.setValue(slice_case.path)
    open_panel.open()
    window.qtbot.waitUntil(lambda: dock.session.case_id == case_id)
    idle(open_panel.runner)
    assert list(viewer.layers) == [viewer.layers[f"{case_id} post1"]]
    assert open_panel.grid_line.text() == "1 x 227 x 227 voxels of unknown size"

    # Segment: the panel's mask and the command line's are the same file
    segment.model.value = tiny_model
    segment.device.value = "cpu"
    dock.segment()
    idle(segment.runner)
    layer = viewer.layers[f"{case_id} tumor"]
    draft = layer.data.copy()
    overlap = np.count_nonzero((draft[0] == 1) & slice_case.mask)
    assert 2 * overlap / (np.count_nonzero(draft) + slice_case.mask.sum()) > 0.5
    loaded = checkpoint.load(tiny_model)
    engine = drain(predict(loaded, formats.open_exam(slice_case.path), device="cpu"))
    formats.write_label_map(tmp_path / "engine.png", engine.label_map)
    viewer.layers.selection = {layer}
    layer.save(str(tmp_path / "panel.png"), plugin="napari-breastseg")
    assert (tmp_path / "panel.png").read_bytes() == (tmp_path / "engine.png").read_bytes()

    # Correct: the case enters a new dataset folder, the brush is in hand
    correct.folder.setValue(tmp_path / "set")
    correct.open_dataset()
    idle(correct.runner)
    assert correct.patient.text() == case_id  # until the reader says who it is
    correct.patient.setText("Mrs Smith")
    assert "may identify the patient" in correct.start_line.text()
    assert not correct.start_button.isEnabled()
    correct.patient.setText("P001")
    correct.annotator.setText("AB")
    dock.take_brush()
    idle(correct.runner)
    assert dock.session.record.case_id == case_id
    assert (layer.mode, layer.selected_label) == ("paint", 1)
    assert viewer.layers.selection.active == layer
    dataset = Dataset.open(tmp_path / "set")
    assert np.array_equal(dataset.draft(case_id).data, draft)

    # Paint where no tumor was, erase where one was
    layer.brush_size = 8
    stroke(layer, (0, 20, 20), (0, 20, 60))
    painted = layer.data.copy()
    added = np.argwhere((painted == 1) & (draft == 0))
    assert len(added) > 200
    assert added[:, 1:].min() >= 14
    assert added[:, 1].max() <= 26
    assert added[:, 2].max() <= 66
    layer.mode = "erase"
    y, x = (round(c) for c in np.argwhere(draft[0] == 1).mean(axis=0))
    stroke(layer, (0, y, x - 6), (0, y, x + 6))
    erased = layer.data.copy()
    assert not erased[0, y, x - 4 : x + 5].any()
    assert draft[0, y, x - 4 : x + 5].any()
    assert np.array_equal(erased[0, 10:30], painted[0, 10:30])

    # Undo and redo walk the strokes
    layer.undo()
    assert np.array_equal(layer.data, painted)
    layer.undo()
    assert np.array_equal(layer.data, draft)
    layer.redo()
    layer.redo()
    assert np.array_equal(layer.data, erased)

    # The difference says what was added and removed; it is no part of the mask
    correct.difference.setChecked(True)
    difference = viewer.layers[f"{case_id} difference"].data
    assert np.array_equal(difference == 1, (erased == 1) & (draft == 0))
    assert np.array_equal(difference == 2, (erased == 0) & (draft == 1))
    correct.difference.setChecked(False)
    assert f"{case_id} difference" not in viewer.layers
    window.qtbot.wait(100)
    assert correct.accept_box.saved_line.text().startswith(("Changes autosaved", "Unsaved"))

    # Accept
    dock.accept()
    idle(correct.runner)
    accepted = dataset.label_map(case_id)
    assert np.array_equal(accepted.data, erased)
    record = dataset.case(case_id)
    assert record.status == "accepted"
    assert record.accepted.annotator == "AB"
    assert record.accepted.reviewed_slices is None
    assert record.accepted.voxels_changed == np.count_nonzero(erased != draft)
    assert record.accepted.model.startswith("tiny@")
    listed = json.loads((tmp_path / "set" / "dataset.json").read_text())
    assert list(listed["dataset"]) == [case_id]
    assert correct.accept_box.saved_line.text() == "Accepted; no changes since."
    assert any("Accepted" in str(note) for note in window.told)

    # Fine-tune two steps
    train.form.base.value = tiny_model
    train.form.steps.value = 2
    train.form.device.value = "cpu"
    dock.train()
    idle(train.runner)
    assert [step for step, _ in train.curves.loss] == [1, 2]
    assert [step for step, _ in train.curves.dice] == [0, 1, 2]
    # The held-out case's Dice before and after; with one patient it is the training case.
    assert train.case_dice.before == {case_id: train.curves.dice[0][1]}
    assert train.case_dice.now == {case_id: train.curves.dice[-1][1]}
    folder = train._result.folder
    info = checkpoint.read_info(folder)
    assert info.parent == checkpoint.read_info(tiny_model).identity
    assert info.training.training_cases == [case_id]

    # Use the new model: registered, chosen, and it runs; its result is one undo step
    dock.use_model()
    idle(train.chores)
    (entry,) = Registry().list()
    assert (entry.path, entry.is_promoted) == (dock.session.model, False)
    before = layer.data.copy()
    dock.segment()
    idle(segment.runner)
    newer = drain(predict(checkpoint.load(entry.path), slice_case.exam(), device="cpu"))
    assert np.array_equal(layer.data[0] == TUMOR, newer.label_map.tumor[0])
    assert not np.array_equal(layer.data, before)
    layer.undo()
    assert np.array_equal(layer.data, before)

    # The threshold moves an unedited result, without the network
    layer.redo()
    segment.threshold.value = 0.9
    window.qtbot.wait(500)
    assert np.array_equal(layer.data, newer.at_threshold(0.9).data)
