"""The single slices of a patient drafted again from those that were accepted, beside the window.

The slice on show changes as one undo step while it is as it was drafted; the others get new drafts
in the dataset. Nothing of the copy that learned can be saved as a model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from qtpy.QtCore import QObject, Signal

from ...core.errors import InputError
from ...core.progress import Job
from ...dataset import CaseRecord, Dataset
from ..parts.beside import beside_the_window
from ..parts.jobs import JobRunner
from ..state.exam_learning import slices_line
from ..state.session import Draft, Session
from .reader_watch import ReaderWatch

if TYPE_CHECKING:
    from ...training.corrections import Redraft

__all__ = ["SliceLearner", "SliceLearning"]

_TITLE = "Learning from the slice"
Stage = Literal["features", "adapted"]


class SliceLearner(Protocol):
    """What drafts a patient's slices again; `training.patient_slices.PatientSlices` is one."""

    def draft(self, stage: Stage) -> Job[dict[str, Redraft]]:
        """Redrafts by case id."""

    def keep(self, redrafts: Mapping[str, Redraft]) -> tuple[str, ...]:
        """Make them the drafts of their cases; the ids of those that still waited."""


class SliceLearning(QObject):
    """Starts the job when a slice is accepted, and shows what came of it.

    Parameters
    ----------
    session : Session
    watch : ReaderWatch
        Follows the mask on show.
    parent : QObject
    """

    redrafted = Signal()
    """The mask on show was changed, or drafts in the dataset were."""

    def __init__(self, session: Session, watch: ReaderWatch, parent: QObject) -> None:
        super().__init__(parent)
        self._session = session
        self._watch = watch
        self.runner = JobRunner(self)
        self.make_learner: Callable[[Dataset, Path, str], SliceLearner] = _make_learner
        """Gives what drafts a patient's slices again; called in the worker's thread."""

        self._again: tuple[Dataset, Path, str] | None = None
        self._last: tuple[str, int, int] | None = None
        self.runner.ended.connect(self._on_ended)
        session.dataset_changed.connect(lambda _: self.cancel())
        session.record_changed.connect(self._on_record)

    @property
    def line(self) -> str:
        """What was drafted again of the patient whose slice is on show, in words."""
        record = self._session.record
        if record is None or record.grid.shape[0] > 1 or self._last is None:
            return ""
        patient_id, slices, learned_from = self._last
        if record.patient_id != patient_id:
            return ""
        return slices_line(slices, learned_from, is_running=self.runner.is_running)

    def learn(self, record: CaseRecord) -> None:
        """Draft the patient's other slices again from those accepted; `record` is one of them."""
        dataset, model = self._session.dataset, self._session.model
        if dataset is None or model is None or record.grid.shape[0] > 1:
            return
        order = dataset, model, record.patient_id
        self._again = order
        if self.runner.is_running:
            self.runner.cancel()  # it was made from fewer
        else:
            self._start(order)

    def cancel(self) -> None:
        """Stop what is being drafted."""
        self._again = None
        self.runner.cancel()

    def _start(self, order: tuple[Dataset, Path, str]) -> None:
        dataset, model, patient_id = order
        self._again = None

        def job() -> Job[tuple[SliceLearner, dict[str, Redraft]] | None]:
            try:
                learner = self.make_learner(dataset, model, patient_id)
                return learner, (yield from learner.draft("features"))
            except InputError:  # nothing of the patient waits, or the model cannot learn
                return None

        def take(found: tuple[SliceLearner, dict[str, Redraft]] | None) -> None:
            if found is not None and self._again is None:
                learner, redrafts = found
                self._show(patient_id, redrafts, tuple(redrafts))
                self._refine(learner, dataset, patient_id)

        self.runner.start(_TITLE, lambda: beside_the_window(job), on_result=take)

    def _refine(self, learner: SliceLearner, dataset: Dataset, patient_id: str) -> None:
        def job() -> Job[tuple[dict[str, Redraft], tuple[str, ...]]]:
            redrafts = yield from learner.draft("adapted")
            return redrafts, learner.keep(redrafts)

        def take(found: tuple[dict[str, Redraft], tuple[str, ...]]) -> None:
            if self._session.dataset is dataset:
                self._show(patient_id, *found)

        self.runner.start(_TITLE, lambda: beside_the_window(job), on_result=take)

    def _show(self, patient_id: str, redrafts: dict[str, Redraft], kept: tuple[str, ...]) -> None:
        """Put a redraft of the slice on show into its mask, where it is as it was drafted."""
        session, case_id = self._session, self._session.case_id or ""
        learned_from = next((one.learned_from for one in redrafts.values()), 0)
        self._last = patient_id, len(kept), learned_from
        self._watch.follow()
        work, draft = self._watch.work, self._watch.draft
        if case_id in kept and work is not None and draft is not None and not work.touched.any():
            label_map = redrafts[case_id].label_map
            told = self._watch.put(label_map.data, learned_from)
            if told is not None and told.slices:
                session.drafts.keep(Draft(case_id, label_map, _named(draft.model)))
        self.redrafted.emit()

    def _on_record(self, record: CaseRecord | None) -> None:
        if record is not None and self._last and self._last[0] != record.patient_id:
            self._last = None

    def _on_ended(self, outcome: str) -> None:
        if self._again is not None:
            self._start(self._again)


def _named(model: str) -> str:
    """A model's name as a draft has it that learned from the patient's own slices."""
    from ...training.patient_slices import LEARNED

    return model if model.endswith(LEARNED) else f"{model}{LEARNED}"


def _make_learner(dataset: Dataset, model: Path, patient_id: str) -> SliceLearner:
    """In the worker's thread: torch is loaded here."""
    from ...model import checkpoint
    from ...training.patient_slices import PatientSlices

    return PatientSlices(dataset, checkpoint.load(model), patient_id)
