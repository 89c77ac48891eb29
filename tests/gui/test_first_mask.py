"""From launch to the first accepted mask by real clicks: five at most, and no field."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from dicom_files import write_exam
from hands import click
from qtpy.QtCore import QEvent, QObject, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QFileDialog, QPushButton, QWidget

from napari_breastseg.core.home import default_dataset_folder
from napari_breastseg.core.volume import IGNORE
from napari_breastseg.dataset import Dataset
from napari_breastseg.formats.dicom.privacy import patient_pseudonym
from napari_breastseg.widgets.state.settings import recall, remember


class Counter(QObject):
    """Counts presses and typed keys that reach the window."""

    def __init__(self) -> None:
        super().__init__()
        self.pressed: list[int] = []
        self.typed = 0

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if isinstance(watched, QWidget) and event.type() == QEvent.Type.MouseButtonPress:
            if event.timestamp() not in self.pressed[-1:]:  # a parent gets the same press again
                self.pressed.append(event.timestamp())
        elif isinstance(watched, QWidget) and event.type() == QEvent.Type.KeyPress:
            self.typed += 1
        return False


@pytest.fixture
def counter() -> Any:
    made = Counter()
    QApplication.instance().installEventFilter(made)
    yield made
    QApplication.instance().removeEventFilter(made)


def answer(window: SimpleNamespace) -> None:
    """Accept all the same, where the window asks about slices not seen."""
    asked = [one for one in window.dock.notices.findChildren(QPushButton) if one.isVisible()]
    for one in asked:
        if "ccept" in one.text():
            click(one)
            return


@pytest.mark.answers_by_hand
def test_five_clicks_lead_from_launch_to_the_first_accepted_mask(
    window: SimpleNamespace,
    idle: Callable[..., None],
    counter: Counter,
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dock = window.dock
    remember("annotator", "AB")
    dock.correct_panel.annotator.setText("AB")  # asked once, in the first start of all
    dock.segment_panel.model.value, dock.segment_panel.device.value = tiny_model, "cpu"
    folder = tmp_path / "Jane Doe"
    write_exam(folder, size=(64, 60), count=8, PatientID="4711", PatientName="Doe^Jane")
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(folder))

    click(dock.open_panel.drop)  # the file dialog of the system is not ours to click through
    idle(dock.open_panel.runner)
    assert dock.tabs.tabText(dock.tabs.currentIndex()) == "Draft"
    click(dock.segment_panel.run_button.native)
    idle(dock.segment_panel.runner)
    click(dock.segment_panel.correct_button.native)
    idle(dock.correct_panel.runner)
    window.qtbot.waitUntil(lambda: dock.session.record is not None, timeout=30_000)
    idle(dock.correct_panel.runner)
    # A question about slices not seen holds the click until it is answered.
    answering = QTimer()
    answering.timeout.connect(lambda: answer(window))
    answering.start(200)
    click(dock.correct_panel.accept_box.accept_button)
    try:
        window.qtbot.waitUntil(lambda: dock.session.record.is_accepted, timeout=30_000)
    finally:
        answering.stop()
    idle(dock.correct_panel.runner)

    assert len(counter.pressed) <= 5
    assert counter.typed == 0
    dataset = Dataset.open(default_dataset_folder())
    (record,) = dataset.cases()
    assert record.is_accepted
    assert record.annotator == "AB"
    assert record.patient_id == patient_pseudonym("4711")
    assert "4711" not in record.patient_id
    assert recall("dataset") == str(default_dataset_folder())
    accepted, shown = dataset.label_map(record.case_id), window.viewer.layers
    is_known = accepted.data != IGNORE  # slices not looked at are left out of training
    assert is_known.any()
    tumor = shown[f"{record.case_id} tumor"].data == 1
    assert np.array_equal(accepted.tumor[is_known], tumor[is_known])


def test_initials_are_asked_before_a_folder_is_made(
    window: SimpleNamespace, idle: Callable[..., None], tmp_path: Path
) -> None:
    dock = window.dock
    write_exam(tmp_path / "P1", size=(64, 60), count=8)
    dock.open_panel.open_dropped(tmp_path / "P1")
    idle(dock.open_panel.runner)
    dock.show_tab("Correct")
    correct = dock.correct_panel
    click(correct.start_button)  # leads to the field, with the cursor in it
    assert not default_dataset_folder().exists()
    assert correct.annotator.isVisible()
    assert correct.window().focusWidget() is correct.annotator
    QTest.keyClicks(correct.annotator, "AB")
    click(correct.start_button)
    window.qtbot.waitUntil(lambda: dock.session.record is not None, timeout=30_000)
    assert recall("annotator") == "AB"
    assert not correct.annotator.isVisible()  # the findings have its room again
