"""A training cut off by closing the window is offered when it next starts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

from hands import click, exam_with_truth

from napari_breastseg.core.home import home_folder
from napari_breastseg.dataset import Dataset
from napari_breastseg.model.checkpoint import is_checkpoint


def test_a_training_cut_off_by_closing_goes_on_in_the_next_window(
    window: SimpleNamespace,
    folder: Dataset,
    idle: Callable[..., None],
    tiny_model: Path,
) -> None:
    truth = exam_with_truth("P001", 9, 0)[1]
    folder.accept("P001", truth, reviewed_slices=None, annotator="AB", seconds=1)
    train = window.dock.train_panel
    window.dock.show_tab("Train")
    assert not train.interrupted_runs.isVisible()
    train.folder.setValue(folder.folder)
    train.open_dataset()
    idle(train.chores)
    train.form.base.value = tiny_model
    train.form.steps.value = 12
    train.form.fold.value = None
    train.form.device.value = "cpu"
    train.form.run.value = "cut off"
    click(train.start_button)
    window.qtbot.waitUntil(lambda: len(train.curves.loss) > 2, timeout=60_000)
    output = home_folder() / "trainings" / "cut-off"
    window.viewer.window.remove_dock_widget(window.dock)
    window.qtbot.waitUntil((output / "history.csv").is_file, timeout=60_000)
    window.qtbot.waitUntil(lambda: not (output / ".training.lock").exists(), timeout=60_000)

    window.dock = window.viewer.window.add_plugin_dock_widget("napari-breastseg", "Breast MRI")[1]
    train = window.dock.train_panel
    window.dock.show_tab("Train")
    window.qtbot.wait(50)
    (row,) = train.interrupted_runs.rows
    assert row.isVisible()
    (cut,) = train.interrupted_runs.found
    assert row.line.text() == f"cut-off: stopped at step {cut.step}, on {folder.name}"
    assert cut.step > 2
    click(row.go_on)
    idle(train.chores)
    assert not train.interrupted_runs.isVisible()
    idle(train.runner)
    assert [step for step, _ in train.curves.loss] == list(range(cut.step + 1, 13))
    assert is_checkpoint(output)
    assert not train.interrupted_runs.isVisible()
    assert not list(output.parent.glob("*.json"))
    window.dock.shut_down()  # the fixture knows the first dock only
    idle(*window.dock._runners())


def test_a_training_is_forgotten_by_a_click_and_its_folder_stays(
    window: SimpleNamespace,
    folder: Dataset,
    idle: Callable[..., None],
    tiny_model: Path,
) -> None:
    truth = exam_with_truth("P001", 9, 0)[1]
    folder.accept("P001", truth, reviewed_slices=None, annotator="AB", seconds=1)
    train = window.dock.train_panel
    window.dock.show_tab("Train")
    train.folder.setValue(folder.folder)
    train.open_dataset()
    idle(train.chores)
    train.form.base.value = tiny_model
    train.form.steps.value = 40
    train.form.fold.value = None
    train.form.device.value = "cpu"
    click(train.start_button)
    window.qtbot.waitUntil(lambda: len(train.curves.loss) > 1, timeout=60_000)
    window.dock.cancel()
    idle(train.runner)
    assert train.start_button.text() == "Resume training"
    assert train.interrupted_runs.rows == []  # the large button offers it
    train.form.steps.value = 30  # another training
    assert train.start_button.text() == "Train"
    (row,) = train.interrupted_runs.rows
    (cut,) = train.interrupted_runs.found
    # The dataset is another one meanwhile: it is said in the window's words.
    folder.accept("P002", truth, reviewed_slices=None, annotator="AB", seconds=1)
    click(row.go_on)
    idle(train.chores, train.runner)
    said = window.dock.notices.error.text.text()
    assert "Expected the same data, model and settings" in said
    assert "press Forget and train anew" in said
    assert "command" not in said
    train.form.steps.value = 20
    (row,) = train.interrupted_runs.rows
    click(row.forget)
    assert not train.interrupted_runs.isVisible()
    assert (cut.order.output / "history.csv").is_file()
    idle(train.expecting.runner)
