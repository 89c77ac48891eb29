"""The form that says how to train: start, steps, name, held-out patients, seed, device."""

from __future__ import annotations

from datetime import datetime

from magicgui.widgets import ComboBox, Container, LineEdit, SpinBox, create_widget

from ...dataset import Dataset
from ..parts.fields import Fold
from ..parts.forms import Device, keep_between_starts, place
from ..parts.model_field import ModelField
from ..state.training import TrainingOrder, run_name

__all__ = ["TrainingForm"]

_FOLDS = 5


class TrainingForm(Container):
    """What is asked of a training; `order` makes a `TrainingOrder` of it."""

    def __init__(self) -> None:
        base = ModelField(name="base", label="Start from", with_scratch=True)
        folds = [(f"fold {fold}", fold) for fold in range(_FOLDS)]
        more = Container(
            widgets=[
                SpinBox(
                    name="steps",
                    label="Steps, 0: automatic",
                    max=100_000,
                    step=50,
                    tooltip="Optimizer steps; with 0, as many as suit the amount of data",
                ),
                LineEdit(name="name_of_run", label="Name"),
                ComboBox(
                    name="fold",
                    label="Hold out",
                    choices=[*folds, ("none: train on every case", None)],
                    value=0,
                    nullable=True,
                    tooltip="Patients held out to choose the best step",
                ),
                SpinBox(name="seed", label="Seed", max=10_000),
                create_widget(annotation=Device, name="device", label="Device"),
            ],
            name="more",
        )
        more.margins = (12, 0, 0, 0)
        more.name_of_run.native.setPlaceholderText("dataset and time")
        start = Container(widgets=[base])
        start.margins = (0, 0, 0, 0)
        super().__init__(widgets=[start, more], labels=False)
        self.margins = (0, 0, 0, 0)
        self.base = base
        self.steps, self.run, self.fold = more.steps, more.name_of_run, more.fold
        self.seed, self.device = more.seed, more.device
        place(self, start, Fold("More", more.native))
        keep_between_starts("train", (self.device,))

    def order(self, dataset: Dataset) -> TrainingOrder:
        """What the fields ask for, without the folder for the result."""
        return TrainingOrder(
            dataset=dataset.folder,
            base=self.base.value,
            steps=self.steps.value or None,
            fold=self.fold.value,
            seed=self.seed.value,
            device=self.device.value,
        )

    def run_name(self, dataset: Dataset) -> str:
        """Name for the new training."""
        return run_name(self.run.value, dataset.name, datetime.now())
