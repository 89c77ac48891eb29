"""The default model in a real window: judged, promoted, stopped with its reasons, rolled back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hospital import add_case, bright_model, make_hospital
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_breastseg.dataset import Dataset
from napari_breastseg.model import checkpoint
from napari_breastseg.model.checkpoint import STARTER
from napari_breastseg.registry.models import Registry
from napari_breastseg.widgets.parts.jobs import JobRunner
from napari_breastseg.widgets.state.session import Session
from napari_breastseg.widgets.train.gate import GateBox


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return make_hospital(tmp_path_factory.mktemp("hospital") / "Dataset501_Breast")


@pytest.fixture
def models(tmp_path: Path) -> dict[str, Path]:
    """One that is right, and one that is blind."""
    folders = {}
    for name, level in (("right", 0.5), ("blind", 9.0)):
        model = bright_model(name, level)
        folders[name] = tmp_path / name
        checkpoint.save(folders[name], model.network.state_dict(), model.info)
    return folders


def click(widget: Any) -> None:
    assert widget.isEnabled(), widget.toolTip()
    QTest.mouseClick(widget, Qt.MouseButton.LeftButton)


def test_a_model_is_judged_promoted_stopped_and_rolled_back_by_one_click_each(
    window: SimpleNamespace,
    idle: Callable[..., None],
    hospital: Dataset,
    models: dict[str, Path],
) -> None:
    dock, registry = window.dock, Registry()
    train = dock.train_panel
    gate = train.gate
    dock.show_tab("Train")
    assert gate.back_button.toolTip() == "The starter is the default"
    assert not gate.promote_button.isEnabled()  # the starter is chosen
    registry.register(models["blind"])
    registry.promote("blind", force=True)
    gate.reset_choices()
    gate.model.value = models["right"]
    assert gate.promote_button.toolTip() == "Open a dataset folder first"
    train.folder.setValue(hospital.folder)
    train.open_dataset()
    idle(train.chores)

    # Better: promoted, and said with figures
    click(gate.promote_button)
    assert gate.promote_button.toolTip() == "Busy; wait a moment"
    idle(train.chores)
    assert registry.promoted() == registry.folder / "right"
    assert gate.model.value == registry.folder / "right"
    assert "right is better than blind on 5 locked patients" in gate.judgment_line.text()
    assert "lesions missed" in gate.judgment_line.toolTip()
    assert any("right is now the default" in note.message for note in window.told)
    assert dock.session.model == registry.folder / "right"
    assert gate.promote_button.toolTip() == "It is already the default"

    # Worse: not promoted, kept, explained; by hand it can be
    gate.model.value = registry.folder / "blind"
    click(gate.promote_button)
    idle(train.chores)
    assert registry.promoted() == registry.folder / "right"
    assert "blind is worse than right" in gate.judgment_line.text()
    assert any("blind was not set as default" in note.message for note in window.told)
    gate.model.value = registry.folder / "right"
    assert "right is better" in gate.judgment_line.text()
    gate.model.value = registry.folder / "blind"
    assert "blind is worse than right" in gate.judgment_line.text()
    click(gate.by_hand_button)
    idle(train.chores)
    assert registry.promoted() == registry.folder / "blind"
    assert registry.log()[-1]["by_hand"] is True

    # Back, step by step, to the starter
    for expected in ("right", "blind"):
        click(gate.back_button)
        idle(train.chores)
        assert registry.promoted() == registry.folder / expected
    window.viewer.window._qt_viewer.canvas.native.setFocus()
    QTest.keyClick(
        window.viewer.window._qt_viewer.canvas.native,
        Qt.Key.Key_PageDown,
        Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier,
    )
    idle(train.chores)
    assert registry.promoted() is None
    assert dock.session.model == STARTER
    assert gate.back_button.toolTip() == "The starter is the default"
    dock.promote_model()  # the starter is chosen now
    assert any("The starter becomes the default when you go back" in n.message for n in window.told)


def test_too_few_locked_patients_are_said_and_nothing_is_promoted(
    qtbot: Any, models: dict[str, Path], tmp_path: Path
) -> None:
    small = Dataset.create(tmp_path / "small")
    add_case(small, 0, "v1")
    session, runner = Session(), JobRunner()
    session.dataset = small
    gate = GateBox(session, runner)  # no viewer: it needs none
    qtbot.addWidget(gate)
    gate.model.value = models["right"]
    click(gate.promote_button)
    qtbot.waitUntil(lambda: not runner.is_running, timeout=30_000)
    assert Registry().promoted() is None
    assert "right could not be judged against starter" in gate.judgment_line.text()
    assert "5 locked patients with an accepted case are needed" in gate.judgment_line.text()
    assert [entry.name for entry in Registry().list()] == ["right"]
