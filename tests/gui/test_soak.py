"""Exam after exam through one window leaves neither layers nor threads, exams or workers behind."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hands import exam_with_truth
from napari.layers import Layer
from qtpy.QtWidgets import QApplication

from napari_breastseg import formats
from napari_breastseg.core.volume import Exam, LabelMap
from napari_breastseg.widgets.canvas.layers import edit_labels


@pytest.mark.slow
def test_closed_cases_leave_nothing_behind(
    window: SimpleNamespace, settle: Callable[[], None], two_phase_model: Path, tmp_path: Path
) -> None:
    dock, correct = window.dock, window.dock.correct_panel
    dock.segment_panel.model.value = two_phase_model
    dock.segment_panel.device.value = "cpu"
    correct.annotator.setText("AB")
    correct.folder.setValue(tmp_path / "set")
    correct.open_dataset()
    settle()
    counts = []
    for number in range(6):
        case_id = f"E{number}"
        for phase in range(2):
            exam, truth = exam_with_truth(case_id, 5, number)
            path = tmp_path / f"{case_id}_{phase:04d}.nii.gz"
            formats.write_volume(path, exam.phases["post1"])
        dock.open_panel.path.setValue(tmp_path / f"{case_id}_0000.nii.gz")
        dock.open_panel.open()
        settle()
        dock.segment()
        settle()
        correct.patient.setText(f"P{number}")
        dock.take_brush()
        settle()
        edit_labels(window.viewer.layers[f"{case_id} tumor"], np.array(truth.data))
        if number % 2:
            correct.accept_box.rest.setChecked(True)
            dock.accept()
            settle()
            assert dock.session.dataset.case(case_id).is_accepted
        dock.close_case()
        settle()
        del exam, truth
        assert not list(window.viewer.layers)
        gc.collect()
        held = [type(one) for one in gc.get_objects() if isinstance(one, Layer | Exam | LabelMap)]
        tasks = window.viewer.window._task_status_manager._tasks
        widgets = len(QApplication.allWidgets())
        counts.append((len(held), len(tasks), threading.active_count(), widgets))
    warm, last = counts[3], counts[5]  # the exams opened last are offered by now
    assert all(now <= before for now, before in zip(last, warm, strict=True)), counts
