"""The form of the Train step, without a viewer: what its fields ask a training to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_breastseg.dataset import Dataset
from napari_breastseg.widgets.state.training import TrainingOrder
from napari_breastseg.widgets.train.form import TrainingForm


def test_the_form_asks_for_what_suits_the_data_until_told_otherwise(
    qtbot: Any, two_phase_model: Path, tmp_path: Path
) -> None:
    dataset = Dataset.create(tmp_path / "set")
    form = TrainingForm()
    qtbot.addWidget(form.native)
    form.base.value = two_phase_model
    assert form.order(dataset) == TrainingOrder(
        dataset=dataset.folder, base=two_phase_model, steps=None, fold=0, seed=0, device="auto"
    )
    assert form.run_name(dataset).startswith("set-")

    form.base.value = None
    form.steps.value = 40
    form.fold.value = None
    form.seed.value = 7
    form.device.value = "cpu"
    form.run.value = " mine "
    assert form.order(dataset) == TrainingOrder(
        dataset=dataset.folder, base=None, steps=40, fold=None, seed=7, device="cpu"
    )
    assert form.run_name(dataset) == "mine"
