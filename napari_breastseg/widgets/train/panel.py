"""Train & models: fine-tune on the accepted cases, follow the training, use the new model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from ...core.errors import InputError
from ...core.home import new_training_folder
from ...core.progress import Job, Progress
from ...dataset import Dataset
from ...registry.models import Registry
from ...registry.promotion import registered
from ..parts.fields import Fold, PathField, button, note, set_ready
from ..parts.job_bar import JobBar, time_words
from ..parts.jobs import JobRunner, as_job, errors_shown, show_info
from ..state.interrupted import forget_training, has_state, note_training
from ..state.session import Session
from ..state.settings import remember
from ..state.training import Learnable, TrainingOrder, result_words, why_not_train
from .charts import CaseDice, Curves
from .expecting import Expecting
from .form import TrainingForm
from .gate import GateBox
from .interrupted_runs import InterruptedRuns

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from ...training import TrainResult

__all__ = ["TrainPanel"]


class TrainPanel(QWidget):
    """Dataset, base model, steps; curves while it runs; the new model afterwards."""

    used = Signal(object)
    """Folder of the model just chosen for segmenting."""

    def __init__(self, viewer: Viewer, session: Session) -> None:
        super().__init__()
        self._session = session
        self._interrupted: TrainingOrder | None = None
        self._result: TrainResult | None = None
        self.runner = JobRunner(self)
        self.chores = JobRunner(self)
        self.looking = JobRunner(self)
        self.folder = PathField("Dataset folder")
        self.folder.valueChanged.connect(lambda _: self.open_dataset())
        self.dataset_line = note("No dataset is open.")
        self.form = TrainingForm()
        self.form.changed.connect(lambda _: self._refresh())
        self.expecting = Expecting(self)
        self.expected_line = note()
        self.expecting.known.connect(self._show_expected)
        self.start_button = button(
            "Train", self.start, "Train on the accepted cases", "Ctrl-Shift-L"
        )
        self.interrupted_runs = InterruptedRuns()
        self.interrupted_runs.wanted.connect(self.go_on)
        self.curves = Curves()
        self.case_dice = CaseDice()
        self.result_line = note()
        self.use_button = button(
            "Use here", self.use, "Register it and choose it in the Draft step", "Ctrl-Shift-M"
        )
        self.gate = GateBox(session, self.chores, self.use_button)
        self.gate.promoted.connect(self._on_default)
        self._lay_out()
        session.dataset_changed.connect(self._show_dataset)
        session.record_changed.connect(lambda _: self._show_dataset(session.dataset))
        for runner in (self.runner, self.chores):
            runner.started.connect(lambda _: self._refresh())
        self.chores.ended.connect(lambda _: self._refresh())
        self.runner.ended.connect(self._on_ended)
        self._refresh()

    def _lay_out(self) -> None:
        self.start_button.setMinimumHeight(2 * self.start_button.sizeHint().height())
        font = self.start_button.font()
        font.setBold(True)
        self.start_button.setFont(font)
        more = QWidget()
        inner = QVBoxLayout(more)
        inner.setContentsMargins(12, 0, 0, 0)
        inner.addWidget(self.folder)
        inner.addWidget(self.form.native)
        self.more = Fold("Dataset, model to start from, settings", more)
        column = QVBoxLayout(self)
        for widget in (
            self.dataset_line,
            self.expected_line,
            self.start_button,
            JobBar(self.runner, "Ctrl-Shift-X"),
            self.interrupted_runs,
            self.curves,
            self.case_dice,
            self.result_line,
            self.gate,
            JobBar(self.chores),
            self.more,
        ):
            column.addWidget(widget)
        column.addStretch(1)

    def reset_choices(self, event: object = None) -> None:
        """Read registry and dataset again."""
        self.form.base.reset_choices()
        self.gate.reset_choices()
        self._refresh()

    def showEvent(self, event: QEvent) -> None:
        """Work out how long a training would take, with what other programs accepted."""
        super().showEvent(event)
        self._refresh()
        dataset = self._session.dataset
        if dataset is not None and not self.looking.is_running:
            self.looking.start(
                "Looking at the dataset",
                lambda: as_job("Looking at the dataset", dataset.summaries),
                on_result=lambda _: self._show_dataset(self._session.dataset),
            )

    def open_dataset(self) -> None:
        """Open the dataset folder typed in; the Correct step then has it too."""
        folder = self.folder.value()
        if folder is not None:
            self.chores.start(
                "Opening the dataset",
                lambda: as_job("Opening the dataset", lambda: Dataset.open(folder)),
                on_result=self._on_dataset_opened,
            )

    def start(self) -> None:
        """Train, or resume the training that was canceled."""
        with errors_shown():
            if why_not := self._why_not():
                raise InputError(
                    "Expected accepted cases to train on", "not everything is ready", why_not
                )
            dataset = self._session.dataset
            assert dataset is not None  # `_why_not` said so
            order = self._order(dataset)
            self._run(dataset, order, is_resuming=self._interrupted is not None)

    def go_on(self, order: TrainingOrder) -> None:
        """Go on with a training that was cut off, by a closed window or a crash."""
        dataset = self._session.dataset

        def run(opened: Dataset) -> None:
            if self._session.dataset is None:
                self._on_dataset_opened(opened)
            self._run(opened, order, is_resuming=True)

        if dataset is not None and dataset.folder == order.dataset:
            run(dataset)
            return
        title = "Opening the dataset"
        self.chores.start(
            title, lambda: as_job(title, lambda: Dataset.open(order.dataset)), on_result=run
        )

    def _run(self, dataset: Dataset, order: TrainingOrder, *, is_resuming: bool) -> None:
        if not is_resuming or order != self._interrupted:
            self.curves.begin()
            self.case_dice.begin()
        self._interrupted, self._result = order, None
        self.result_line.setText("")
        note_training(order)
        self.runner.start(
            "Training",
            lambda: _train(dataset, order, is_resuming),
            on_result=self._on_result,
            on_progress=self._show_progress,
        )

    def _order(self, dataset: Dataset) -> TrainingOrder:
        """The training the fields ask for; the interrupted one where that is what they ask."""
        order = self.form.order(dataset)
        if (interrupted := order.resuming(self._interrupted)) is not None:
            return interrupted
        self._interrupted = None
        return replace(order, output=new_training_folder(self.form.run_name(dataset)))

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
                on_result=self._on_registered,
            )

    def _on_registered(self, folder: Path) -> None:
        self._session.model = folder
        self.gate.model.value = folder
        self.reset_choices()
        show_info(f"Model {folder.name} is chosen in the Draft step.")
        self.used.emit(folder)

    def _on_default(self, folder: Path) -> None:
        self._session.model = folder
        self.form.base.reset_choices()

    def _on_dataset_opened(self, dataset: Dataset) -> None:
        remember("dataset", str(dataset.folder))
        self._session.dataset = dataset

    def _show_progress(self, progress: Progress) -> None:
        if progress.stage == "Training":
            loss, dice = progress.metrics.get("loss"), progress.metrics.get("val_dice")
            self.curves.add(progress.done, progress.total, loss, dice)
            if progress.per_case:
                self.case_dice.add(progress.done, progress.per_case)

    @property
    def has_new_model(self) -> bool:
        """Whether a training ended here with a model that may be used."""
        return self._result is not None

    def _on_result(self, result: TrainResult) -> None:
        with errors_shown():
            forget_training(result.folder)
        self._interrupted, self._result = None, result
        self.result_line.setText(result_words(result, time_words(result.seconds)))
        self.result_line.setToolTip(str(result.folder))
        self.gate.model.value = result.folder
        self._refresh()

    def _on_ended(self, outcome: str) -> None:
        if outcome == "canceled":
            self.result_line.setText("Stopped; the training so far is saved.")
        elif outcome == "failed":
            order, self._interrupted = self._interrupted, None
            if order is not None and not has_state(order.output):
                with errors_shown():
                    forget_training(order.output)  # it would fail from its start again
        self._refresh()

    def _show_dataset(self, dataset: Dataset | None) -> None:
        if dataset is not None:
            self.folder.setValue(dataset.folder)
            self.dataset_line.setText(Learnable.of(dataset.known_summaries()).describe())
        self._refresh()

    def _why_not(self) -> str:
        dataset = self._session.dataset
        return why_not_train(
            None if dataset is None else Learnable.of(dataset.known_summaries()),
            is_running=self.runner.is_running,
            problem=self.form.base.problem,
        )

    def _show_expected(self, words: str) -> None:
        self.expected_line.setText(f"Learns from {words}." if words else "")
        self.expected_line.setVisible(bool(words))

    def _refresh(self) -> None:
        why_not, dataset = self._why_not(), self._session.dataset
        set_ready(self.start_button, why_not)
        if self.runner.is_running:
            self.expecting.pause()
        elif why_not or dataset is None:
            self.expecting.forget()
        elif self.isVisible():
            accepted = Learnable.of(dataset.known_summaries()).n_cases
            self.expecting.ask(dataset, self.form.order(dataset), accepted)
        offered = None
        if dataset is not None:
            offered = self.form.order(dataset).resuming(self._interrupted)
        self.start_button.setText("Train" if offered is None else "Resume training")
        busy = "Busy; wait a moment" if self.chores.is_running else ""
        if self.runner.is_running:
            self.interrupted_runs.hide()
        elif self.isVisible():
            self.interrupted_runs.refresh(why_not=busy, offered=offered)
        no_model = "" if self._result is not None else "Train a model first"
        set_ready(self.use_button, busy or no_model)
        self.gate.refresh()


def _train(dataset: Dataset, order: TrainingOrder, is_resuming: bool) -> Job[TrainResult]:
    """In the worker's thread: torch and MONAI are loaded here."""
    yield Progress("Loading PyTorch", 0, 0)
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
