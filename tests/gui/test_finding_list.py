"""Findings in a real window: listed after a draft, kept, dropped, taken back, recorded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hands import NO_KEYS, click, press
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_breastseg.core.progress import drain
from napari_breastseg.core.volume import Volume
from napari_breastseg.dataset import Dataset, effort
from napari_breastseg.lesions.findings import Findings, find
from napari_breastseg.phantom import LesionSpec, PhantomExam, breast_phantom
from napari_breastseg.predict.prediction import Prediction
from napari_breastseg.widgets.canvas.layers import edit_labels, show_exam

CTRL = Qt.KeyboardModifier.ControlModifier


@pytest.fixture(scope="module")
def phantom() -> PhantomExam:
    specs = (
        LesionSpec("round", 6.0, "III", "right"),
        LesionSpec("round", 2.0, "II", "right"),
        LesionSpec("irregular", 1.0, "I", "right"),
    )
    return breast_phantom(
        11,
        shape=(24, 128, 128),
        spacing_mm=(4.0, 2.6, 2.6),
        lesions=specs,
        motion_mm=0,
        case_id="P017",
    )


@pytest.fixture(scope="module")
def prediction(phantom: PhantomExam) -> Prediction:
    """A model's draft with two findings, and a third one held back."""
    labels = phantom.lesion_labels.data
    levels = np.array([0, 0.95, 0.9, 0.85, 0.8, 0.8], np.float32)
    probability = Volume(levels[labels], phantom.exam.grid)
    found = drain(find(probability, phantom.exam))
    scored = tuple(
        replace(one, score=score, is_shown=score > 0.5)
        for one, score in zip(found.findings, (0.97, 0.74, 0.21), strict=True)
    )
    findings = Findings(scored, found.labels, found.grid)
    return Prediction(
        probability=probability,
        label_map=findings.mask(),
        threshold=0.5,
        phases=("pre", "post1"),
        device="cpu",
        model="tiny@1",
        seconds=1.0,
        findings=findings,
    )


@pytest.fixture
def drafted(
    window: SimpleNamespace,
    idle: Callable[..., None],
    phantom: PhantomExam,
    prediction: Prediction,
) -> SimpleNamespace:
    """The exam with its draft; the findings are listed without a click."""
    dock = window.dock
    show_exam(window.viewer, phantom.exam)
    dock.segment_panel.view.show_prediction(dock.session.source, prediction, None)
    dock.show_tab("Correct")
    wait_for_list(window, idle)
    return window


def wait_for_list(window: SimpleNamespace, idle: Callable[..., None]) -> None:
    section = window.dock.correct_panel.lesions
    window.qtbot.waitUntil(lambda: section.report is not None, timeout=30_000)
    idle(section.runner)


def key(window: SimpleNamespace, name: Qt.Key) -> None:
    press(window, name, NO_KEYS, window.dock.correct_panel.lesions.table)


def column(window: SimpleNamespace, number: int) -> list[str]:
    table = window.dock.correct_panel.lesions.table
    return [table.item(row, number).text() for row in range(table.rowCount())]


def look(window: SimpleNamespace, row: int) -> tuple[bool, bool]:
    """Whether a row is struck through, and whether it is grey."""
    table = window.dock.correct_panel.lesions.table
    item = table.item(row, 0)
    usual = table.item(table.rowCount() - 1, 0).foreground().color()
    return item.font().strikeOut(), item.foreground().color() != usual


def test_findings_are_kept_and_dropped_by_keys_and_go_into_the_record(
    drafted: SimpleNamespace,
    idle: Callable[..., None],
    prediction: Prediction,
    tmp_path: Path,
) -> None:
    window, dock = drafted, drafted.dock
    correct, section = dock.correct_panel, dock.correct_panel.lesions
    assert "2 findings" in dock.segment_panel.result.text()
    assert "1 weaker one is held back" in dock.segment_panel.result.text()
    correct.folder.setValue(tmp_path / "set")
    correct.open_dataset()
    idle(correct.runner)
    correct.patient.setText("A")
    correct.annotator.setText("AB")
    dock.take_brush()
    idle(correct.runner)
    layer = window.viewer.layers["P017 tumor"]
    findings = prediction.findings
    assert findings is not None

    def has(number: int) -> bool:
        return bool(layer.data[findings.labels == number].all())

    # Listed best first with their scores, and the list says why nothing can be chosen yet
    assert column(window, 0) == ["index", "satellite 1", "total"]
    assert column(window, 6) == ["97 %", "74 %", ""]
    assert section.list.keep_button.toolTip() == "Select a row of the list first"
    assert section.list.result.text() == "Nothing found in the left breast."

    # Down, Down, D: the second is dropped; Ctrl+Z brings it and its row back
    key(window, Qt.Key.Key_Down)
    assert window.viewer.dims.current_step[0] == section.list.rows[0].lesion.diameter_z
    key(window, Qt.Key.Key_Down)
    assert section.plot.chosen == "satellite 1"
    before = layer.data.copy()
    key(window, Qt.Key.Key_D)
    assert has(1)
    assert not layer.data[findings.labels == 2].any()
    assert look(window, 1) == (True, True)
    assert not section.outdated.isVisible()
    assert column(window, 3)[2] == column(window, 3)[0]  # the total is that of the first
    press(window, Qt.Key.Key_Z, CTRL, section.table)  # where the focus still is
    assert np.array_equal(layer.data, before)
    assert look(window, 1) == (False, False)
    assert not section.outdated.isVisible()
    press(window, Qt.Key.Key_Z, CTRL | Qt.KeyboardModifier.ShiftModifier)
    assert look(window, 1) == (True, True)

    # The weaker one: listed in grey, the mask as it was; K paints it
    mask = layer.data.copy()
    click(section.list.weaker_button)
    idle(section.runner)
    assert column(window, 0) == ["index", "satellite 1", "finding 3", "total"]
    assert look(window, 2) == (False, True)
    assert np.array_equal(layer.data, mask)
    assert section.list.weaker_button.text() == "Hide weaker findings"
    key(window, Qt.Key.Key_Down)
    key(window, Qt.Key.Key_K)
    assert has(3)
    assert column(window, 0)[2] == "✓ finding 3"
    assert look(window, 2) == (False, False)
    press(window, Qt.Key.Key_Z, CTRL)
    assert not layer.data[findings.labels == 3].any()
    for widget in (None, section.table):  # anywhere in the window
        press(window, Qt.Key.Key_K, CTRL, widget)
        assert has(3)
        press(window, Qt.Key.Key_Z, CTRL)
        assert not has(3)
    press(window, Qt.Key.Key_K, CTRL)

    # Measured again: the lesions of the mask, and what was dropped
    dock.measure_lesions()
    idle(section.runner)
    assert [row.key for row in section.list.rows] == [1, 2, 3]
    assert section.list.rows[2].lesion.id == "satellite 2"

    dock.toggle_rest()
    dock.accept()
    idle(correct.runner)
    record = Dataset.open(tmp_path / "set").case("P017")
    assert [(one.decision.value, one.share_accepted) for one in record.findings] == [
        ("none", 1.0),
        ("dropped", 0.0),
        ("kept", 1.0),
    ]
    assert [one.score for one in record.findings] == [0.97, 0.74, 0.21]
    (row,) = effort([record])
    assert (row.findings_kept, row.findings_dropped) == (1, 1)


def test_letters_mean_rows_in_the_list_only(drafted: SimpleNamespace) -> None:
    window, correct = drafted, drafted.dock.correct_panel
    layer = window.viewer.layers["P017 tumor"]
    before = layer.data.copy()
    key(window, Qt.Key.Key_Down)
    for name in (Qt.Key.Key_K, Qt.Key.Key_D):
        QTest.keyClick(correct.patient, name)
    assert correct.patient.text().lower().endswith("kd")
    press(window, Qt.Key.Key_K, NO_KEYS)  # over the image K is the tool "Keep clicked"
    assert correct.tools.mouse.name == "keep"
    assert np.array_equal(layer.data, before)
    assert not window.dock.session.choices.decided
    # And a letter that the list does not know is the window's
    window.dock.display.toggle_outline()
    outline = layer.contour
    press(window, Qt.Key.Key_F5, NO_KEYS, correct.lesions.table)
    assert layer.contour != outline


def test_a_hidden_draft_is_not_listed_and_other_masks_are_as_before(
    window: SimpleNamespace,
    idle: Callable[..., None],
    phantom: PhantomExam,
    prediction: Prediction,
) -> None:
    dock = window.dock
    section = dock.correct_panel.lesions
    dock.session.drafts.hides = True
    show_exam(window.viewer, phantom.exam)
    dock.segment_panel.view.show_prediction(dock.session.source, prediction, None)
    dock.show_tab("Correct")
    window.qtbot.wait(600)
    assert section.report is None
    assert not section.runner.is_running
    # What the reader draws meanwhile is measured without the scores of the draft
    edit_labels(window.viewer.layers["P017 tumor"], prediction.label_map.data)
    dock.measure_lesions()
    idle(section.runner)
    assert column(window, 6) == ["", "", ""]
    assert not section.list.weaker_button.isVisible()
    dock.reveal_draft()
    window.qtbot.waitUntil(lambda: column(window, 6)[0] == "97 %", timeout=30_000)
    idle(section.runner)
    assert column(window, 0) == ["index", "satellite 1", "total"]
    assert section.list.weaker_button.isVisible()

    # A draft without findings, as one from a dataset folder: the mask alone, on request
    other = replace(phantom.exam, case_id="P018")
    show_exam(window.viewer, other, instead_of="P017")
    bare = replace(prediction, findings=None)
    dock.segment_panel.view.show_prediction(dock.session.source, bare, None)
    dock.reveal_draft()
    window.qtbot.wait(600)
    assert section.report is None
    dock.measure_lesions()
    idle(section.runner)
    assert column(window, 6) == ["", "", ""]
    assert section.table.isColumnHidden(6)
    assert not section.list.weaker_button.isVisible()
    layer: Any = window.viewer.layers["P018 tumor"]
    tumor = int((layer.data == 1).sum())
    key(window, Qt.Key.Key_Down)
    key(window, Qt.Key.Key_D)
    assert 0 < int((layer.data == 1).sum()) < tumor


def test_the_list_follows_another_threshold(
    drafted: SimpleNamespace, idle: Callable[..., None]
) -> None:
    window, dock = drafted, drafted.dock
    section, segment = dock.correct_panel.lesions, dock.segment_panel
    segment.threshold.value = 0.92  # only the first is above it
    window.qtbot.waitUntil(lambda: len(section.list.rows) == 1, timeout=30_000)
    idle(section.runner)
    assert column(window, 0) == ["index", "total"]
    assert "1 finding, " in segment.result.text()
    segment.threshold.value = 0.99
    window.qtbot.waitUntil(lambda: not section.list.rows, timeout=30_000)
    idle(section.runner)
    assert section.list.result.text() == (
        "Nothing found in the right breast. Nothing found in the left breast."
    )
    assert segment.result.text().startswith("No tumor found at threshold 0.99")
    assert "1 weaker finding is held back" in segment.result.text()
    assert not section.list.keep_button.isVisible()
