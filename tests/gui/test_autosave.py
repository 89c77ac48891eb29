"""Edits reach the disk by themselves, off the window's thread, and again after a refusal."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from napari_breastseg.core.errors import StorageError
from napari_breastseg.core.volume import Exam, Grid, LabelMap, Volume
from napari_breastseg.dataset import Dataset
from napari_breastseg.widgets.canvas.layers import show_exam, show_labels, tumor_layer
from napari_breastseg.widgets.correct import autosave as _autosave


def test_strokes_and_undo_are_kept_by_themselves(
    window: SimpleNamespace,
    idle: Callable[..., None],
    stroke: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    grid = Grid((6, 60, 80), np.diag([3.0, 1.0, 1.0, 1.0]))
    image = np.random.default_rng(0).normal(100, 10, grid.shape).astype(np.float32)
    exam = Exam("P001", {"post1": Volume(image, grid)})
    dock = window.dock
    show_exam(window.viewer, exam)
    show_labels(window.viewer, dock.session.source, LabelMap(np.zeros(grid.shape, np.uint8), grid))
    correct = dock.correct_panel
    monkeypatch.setattr(_autosave, "SAVE_AFTER_S", 0.3)
    correct.folder.setValue(tmp_path / "set")
    correct.open_dataset()
    idle(correct.runner)
    correct.patient.setText("A")
    correct.annotator.setText("AB")
    dock.take_brush()
    idle(correct.runner)
    layer = tumor_layer(window.viewer, "P001")
    layer.brush_size = 5
    dataset = Dataset.open(tmp_path / "set")
    threads: list[threading.Thread] = []
    autosave = Dataset.autosave

    def save(self: Dataset, *args: Any) -> Any:
        threads.append(threading.current_thread())
        return autosave(self, *args)

    monkeypatch.setattr(Dataset, "autosave", save)

    def is_on_disk() -> bool:
        kept = dataset.recover("P001")
        return kept is not None and np.array_equal(kept.data, layer.data)

    stroke(layer, (3, 30, 30), (3, 34, 40))
    assert layer.data.any()
    window.qtbot.waitUntil(is_on_disk, timeout=30_000)
    window.viewer.dims.set_current_step(0, 1)
    stroke(layer, (1, 20, 30), (1, 24, 40))
    both = layer.data.copy()
    window.qtbot.waitUntil(is_on_disk, timeout=30_000)
    layer.undo()
    assert not np.array_equal(layer.data, both)
    window.qtbot.waitUntil(is_on_disk, timeout=30_000)
    assert threading.main_thread() not in threads

    # A disk that refuses is told once, and tried again
    monkeypatch.setattr(_autosave, "RETRY_S", 0.2)

    def refuse(*_: object) -> None:
        monkeypatch.setattr(Dataset, "autosave", save)
        raise StorageError("Expected to write the mask", "the disk is full", "Free disk space")

    monkeypatch.setattr(Dataset, "autosave", refuse)
    layer.redo()
    window.qtbot.waitUntil(is_on_disk, timeout=30_000)
    assert [n for n in window.told if "the disk is full" in n.message]
