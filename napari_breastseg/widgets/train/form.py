"""The fields that say how to train: start, steps, name, held-out patients, seed, device."""

from __future__ import annotations

from datetime import datetime

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QLineEdit, QSpinBox, QVBoxLayout, QWidget

from ...dataset import Dataset
from ..parts.device_picker import DevicePicker
from ..parts.fields import Fold, form
from ..parts.model_picker import ModelPicker
from ..state.training import TrainingOrder, run_name

__all__ = ["TrainingForm"]

_FOLDS = 5


class TrainingForm(QWidget):
    """What is asked of a training; its value is a `TrainingOrder`."""

    changed = Signal()
    """A field that a training's duration depends on has another value."""

    def __init__(self) -> None:
        super().__init__()
        self.base = ModelPicker(with_scratch=True)
        self.steps = QSpinBox()
        self.steps.setRange(0, 100_000)
        self.steps.setSingleStep(50)
        self.steps.setSpecialValueText("automatic")
        self.steps.setToolTip("Optimizer steps; automatic takes as many as suit the amount of data")
        self.name = QLineEdit()
        self.name.setPlaceholderText("dataset and time")
        self.fold = QComboBox()
        for fold in range(_FOLDS):
            self.fold.addItem(f"fold {fold}", fold)
        self.fold.addItem("none: train on every case", None)
        self.fold.setToolTip("Patients held out to choose the best step")
        self.seed = QSpinBox()
        self.seed.setRange(0, 10_000)
        self.device = DevicePicker()
        more = QWidget()
        inner = QVBoxLayout(more)
        inner.setContentsMargins(12, 0, 0, 0)
        inner.addLayout(
            form(
                ("Name", self.name),
                ("Hold out", self.fold),
                ("Seed", self.seed),
                ("Device", self.device),
            )
        )
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(form(("Start from", self.base), ("Steps", self.steps)))
        column.addWidget(Fold("More", more))
        self.base.valueChanged.connect(lambda _: self.changed.emit())
        self.steps.valueChanged.connect(lambda _: self.changed.emit())
        self.fold.currentIndexChanged.connect(lambda _: self.changed.emit())
        self.device.currentIndexChanged.connect(lambda _: self.changed.emit())

    def value(self, dataset: Dataset) -> TrainingOrder:
        """What the fields ask for, without the folder for the result."""
        return TrainingOrder(
            dataset=dataset.folder,
            base=self.base.value(),
            steps=self.steps.value() or None,
            fold=self.fold.currentData(),
            seed=self.seed.value(),
            device=self.device.value(),
        )

    def run_name(self, dataset: Dataset) -> str:
        """Name for the new training."""
        return run_name(self.name.text(), dataset.name, datetime.now())
