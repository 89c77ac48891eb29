"""Train & models: learn from the accepted cases, watch it, go on with the better model."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QLineEdit, QSpinBox, QVBoxLayout, QWidget

from ...core.errors import InputError
from ...core.home import new_training_folder
from ...core.progress import Job, Progress
from ...dataset import Dataset
from ...registry.models import Registry
from ...registry.promotion import registered
from ..parts.fields import (
    Fold,
    PathField,
    button,
    counted,
    form,
    heading,
    note,
    set_ready,
)
from ..parts.job_bar import JobBar, time_words
from ..parts.jobs import JobRunner, as_job, errors_shown, show_info
from ..parts.model_picker import ModelPicker
from ..segment.panel import DEVICES
from ..state.session import Session
from ..state.settings import remember
from .charts import CaseDice, Curves
from .gate import GateBox

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from ...training import TrainResult

__all__ = ["TrainPanel"]

_FOLDS = 5


@dataclass(frozen=True)
class _Order:
    """What a training was asked to do; asked again after a cancel, it is resumed."""

    dataset: Path
    base: Path | None
    steps: int | None
    fold: int | None
    seed: int
    device: str
    output: Path


class TrainPanel(QWidget):
    """Dataset, base model, steps; curves while it runs; the new model afterwards."""

    used = Signal(object)
    """Folder of a model that was just taken into use."""

    def __init__(self, viewer: Viewer, session: Session) -> None:
        super().__init__()
        self._session = session
        self._interrupted: _Order | None = None
        self._result: TrainResult | None = None
        self.runner = JobRunner(self)
        self.chores = JobRunner(self)
        self.folder = PathField("Dataset folder")
        self.folder.valueChanged.connect(lambda _: self.open_dataset())
        self.dataset_line = note("No dataset open.")
        self.base = ModelPicker(with_scratch=True)
        self.base.valueChanged.connect(lambda _: self._refresh())
        self.steps = QSpinBox()
        self.steps.setRange(0, 100_000)
        self.steps.setSingleStep(50)
        self.steps.setSpecialValueText("as the data needs")
        self.steps.setToolTip("Optimizer steps; more take longer")
        self.name = QLineEdit()
        self.name.setPlaceholderText("dataset and time")
        self.fold = QComboBox()
        for fold in range(_FOLDS):
            self.fold.addItem(f"fold {fold}", fold)
        self.fold.addItem("none: learn from every case", None)
        self.fold.setToolTip("Patients held out to choose the best step")
        self.seed = QSpinBox()
        self.seed.setRange(0, 10_000)
        self.device = QComboBox()
        self.device.addItems(DEVICES)
        self.start_button = button("Train", self.start, "Learn from the accepted cases", "Shift-G")
        self.bar = JobBar(self.runner, "Shift-X")
        self.curves = Curves()
        self.case_dice = CaseDice()
        self.result_line = note()
        self.use_button = button(
            "Use the new model", self.use, "Register it and segment with it", "Shift-M"
        )
        self.gate = GateBox(session, self.chores)
        self.gate.promoted.connect(self._take_default)
        self.chores_bar = JobBar(self.chores)

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
        column.addWidget(heading("Learn from"))
        column.addWidget(self.folder)
        column.addWidget(self.dataset_line)
        column.addLayout(form(("Start from", self.base), ("Steps", self.steps)))
        column.addWidget(Fold("More", more))
        column.addWidget(self.start_button)
        column.addWidget(self.bar)
        column.addWidget(self.curves)
        column.addWidget(self.case_dice)
        column.addWidget(self.result_line)
        column.addWidget(self.use_button)
        column.addWidget(self.gate)
        column.addWidget(self.chores_bar)
        column.addStretch(1)
        session.dataset_changed.connect(self._show_dataset)
        session.record_changed.connect(lambda _: self._show_dataset(session.dataset))
        for runner in (self.runner, self.chores):
            runner.started.connect(lambda _: self._refresh())
        self.chores.ended.connect(lambda _: self._refresh())
        self.runner.ended.connect(self._on_ended)
        self._refresh()

    def reset_choices(self, event: object = None) -> None:
        """Read registry and dataset again."""
        self.base.reset_choices()
        self.gate.reset_choices()
        self._refresh()

    def open_dataset(self) -> None:
        """Open the dataset folder typed in; the Correct tab then has it too."""
        folder = self.folder.value()
        if folder is not None:
            self.chores.start(
                "Opening the dataset",
                lambda: as_job("Opening the dataset", lambda: Dataset.open(folder)),
                on_result=self._take_dataset,
            )

    def start(self) -> None:
        """Train, or go on with the training that was canceled."""
        with errors_shown():
            if why_not := self._why_not():
                raise InputError("Expected cases to learn from", why_not, "Then train")
            dataset = self._session.dataset
            assert dataset is not None  # `_why_not` said so
            order = self._order(dataset)
            is_resuming = self._interrupted is not None
            self._interrupted, self._result = order, None
            if not is_resuming:
                self.curves.begin()
                self.case_dice.begin()
            self.result_line.setText("")
            self.runner.start(
                "Training",
                lambda: _train(dataset, order, is_resuming),
                on_result=self._take_result,
                on_progress=self._take_progress,
            )

    def _order(self, dataset: Dataset) -> _Order:
        """The run the fields ask for; the interrupted one where that is what they ask."""
        order = _Order(
            dataset=dataset.folder,
            base=self.base.value(),
            steps=self.steps.value() or None,
            fold=self.fold.currentData(),
            seed=self.seed.value(),
            device=self.device.currentText(),
            output=self._interrupted.output if self._interrupted else Path(),
        )
        if self._interrupted == order:
            return order
        self._interrupted = None
        name = self.name.text().strip() or f"{dataset.name}-{datetime.now():%Y%m%d-%H%M}"
        output = new_training_folder(name)
        return _Order(**{**order.__dict__, "output": output})

    def use(self) -> None:
        """Register the new model and choose it for segmenting."""
        with errors_shown():
            if (result := self._result) is None:
                raise InputError("Expected a new model", "none is trained yet", "Train one first")
            self.chores.start(
                "Registering the model",
                lambda: as_job(
                    "Registering the model", lambda: registered(Registry(), result.folder).path
                ),
                on_result=self._take_into_use,
            )

    def _take_into_use(self, folder: Path) -> None:
        self._session.model = folder
        self.gate.model.setValue(folder)
        self.reset_choices()
        show_info(f"Model {folder.name} is chosen in the Segment tab.")
        self.used.emit(folder)

    def _take_default(self, folder: Path) -> None:
        self._session.model = folder
        self.base.reset_choices()

    def _take_dataset(self, dataset: Dataset) -> None:
        remember("dataset", str(dataset.folder))
        self._session.dataset = dataset

    def _take_progress(self, progress: Progress) -> None:
        if progress.stage == "Training":
            loss, dice = progress.metrics.get("loss"), progress.metrics.get("val_dice")
            self.curves.add(progress.done, progress.total, loss, dice)
            if progress.per_case:
                self.case_dice.add(progress.done, progress.per_case)

    def _take_result(self, result: TrainResult) -> None:
        self._interrupted, self._result = None, result
        training = result.info.training
        dice = "" if result.val_dice is None else f", validation Dice {result.val_dice:.3f}"
        if training.is_validated_on_its_own:
            dice += " on the training cases themselves (a second patient is needed to hold out)"
        self.result_line.setText(
            f"{result.info.name}: best at step {result.best_step}{dice}, "
            f"{time_words(result.seconds)}."
        )
        self.result_line.setToolTip(str(result.folder))
        self.gate.model.setValue(result.folder)
        self._refresh()

    def _on_ended(self, outcome: str) -> None:
        if outcome == "canceled":
            self.result_line.setText("Stopped; what was learned so far is kept.")
        elif outcome == "failed":
            self._interrupted = None
        self._refresh()

    def _show_dataset(self, dataset: Dataset | None) -> None:
        if dataset is not None:
            self.folder.setValue(dataset.folder)
            records = dataset.cases()
            usable = [r for r in records if r.is_accepted and not r.is_locked]
            locked = sum(r.is_accepted and r.is_locked for r in records)
            patients = len({r.patient_id for r in usable})
            text = f"{counted(len(usable), 'accepted case')} of {counted(patients, 'patient')}"
            self.dataset_line.setText(text + (f"; {locked} kept for testing" if locked else ""))
        self._refresh()

    def _why_not(self) -> str:
        dataset = self._session.dataset
        if self.runner.is_running:
            return "Training; wait or cancel"
        if dataset is None:
            return "Open a dataset folder first"
        if not any(r.is_accepted and not r.is_locked for r in dataset.cases()):
            return "Accept a case in the Correct tab first"
        return self.base.problem

    def _refresh(self) -> None:
        set_ready(self.start_button, self._why_not())
        self.start_button.setText("Go on training" if self._interrupted else "Train")
        busy = "Busy; wait a moment" if self.chores.is_running else ""
        no_model = "" if self._result is not None else "Train a model first"
        set_ready(self.use_button, busy or no_model)
        self.gate.refresh()


def _train(dataset: Dataset, order: _Order, is_resuming: bool) -> Job[TrainResult]:
    """In the worker's thread: torch and MONAI are loaded here."""
    yield Progress("Loading torch", 0, 0)
    from ...model import checkpoint
    from ...training import train_dataset

    base = None if order.base is None else checkpoint.load(order.base)
    return (
        yield from train_dataset(
            [dataset],
            order.output,
            base=base,
            fold=order.fold,
            steps=order.steps,
            seed=order.seed,
            device=order.device,
            resume=is_resuming,
        )
    )
