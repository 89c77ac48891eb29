"""The rest of the exam drafted again from the reader's corrections, beside the window.

Each corrected slice starts two jobs: one that answers at once from what the network saw, and one
that lets a copy of it learn for some seconds. Nothing of either can be saved as a model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QCheckBox, QVBoxLayout, QWidget

from ...core.errors import InputError
from ...core.progress import Job
from ...core.volume import Exam
from ...dataset import CaseRecord, RedraftRecord
from ...imaging.correction import spare_findings
from ...predict.prediction import Prediction
from ..parts.beside import beside_the_window
from ..parts.fields import note
from ..parts.jobs import JobRunner
from ..state.exam_learning import Told, learning_line, prediction_of, why_no_learning
from ..state.reader_work import copy_of
from ..state.session import Draft, Session
from ..state.settings import recall, remember
from ..state.sources import exam_of
from .reader_watch import ReaderWatch
from .slice_learning import SliceLearning

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from ...training.corrections import Corrections, Redraft

__all__ = ["ExamLearning", "Learner"]

_TITLE = "Learning from this exam"
_SOON_MS = 100


class Learner(Protocol):
    """What drafts an exam again; `training.exam_learning.ExamLearner` is one."""

    def prepare(self) -> Job[None]:
        """Do beforehand what takes long."""

    def quick(self, corrections: Sequence[Corrections]) -> Job[tuple[Redraft, ...]]:
        """Draft again within half a second."""

    def adapt(self, corrections: Sequence[Corrections]) -> Job[tuple[Redraft, ...]]:
        """Draft again better, within some seconds."""


class ExamLearning(QWidget):
    """The switch, the line that says what was drafted again, and the jobs.

    Parameters
    ----------
    viewer : napari.Viewer
    session : Session
    is_rest_reviewed : callable
        Whether the reader called the whole exam reviewed.
    is_tool_running : callable
        Whether a tool is at work on the mask: it must find it as it was.
    """

    redrafted = Signal()
    """The mask was changed by a redraft."""

    def __init__(
        self,
        viewer: Viewer,
        session: Session,
        *,
        is_rest_reviewed: Callable[[], bool],
        is_tool_running: Callable[[], bool],
    ) -> None:
        super().__init__()
        self._viewer = viewer
        self._session = session
        self._is_rest_reviewed = is_rest_reviewed
        self._is_tool_running = is_tool_running
        self.runner = JobRunner(self)
        self.watch = ReaderWatch(viewer, session, self)
        self.slices = SliceLearning(session, self.watch, self)
        self.make_learner: Callable[[Path, Exam, Prediction | None], Learner] = _make_learner
        """Gives what drafts an exam again; called in the worker's thread."""

        self._learners = _Learners()
        self._order = 0
        self._stage: str | None = None
        self._is_wanted_again = False
        self._told: Told | None = None
        self._undone: Told | None = None
        self._problem = ""
        self._held_back: list[tuple[Redraft, int, int, int]] = []
        self._soon = QTimer(self, singleShot=True, interval=_SOON_MS)
        self._soon.timeout.connect(lambda: self._put(*self._held_back.pop()))
        self.switch = _switch()
        self.line = note()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addWidget(self.switch)
        column.addWidget(self.line)
        self.switch.toggled.connect(self._on_switched)
        self.runner.ended.connect(self._on_ended)
        self.watch.begun.connect(self._prepare)
        self.watch.corrected.connect(self._learn)
        self.watch.redraft_undone.connect(self._on_undone)
        self.slices.redrafted.connect(self.refresh)
        self.slices.redrafted.connect(self.redrafted)
        self.slices.runner.ended.connect(lambda _: self.refresh())
        session.record_changed.connect(self._on_record)
        session.model_changed.connect(lambda _: self._forget_learner())
        session.drafts.changed.connect(self.refresh)
        self.refresh()

    @property
    def is_waiting(self) -> bool:
        """Whether a redraft waits for the end of a stroke or of a tool's work."""
        return self._soon.isActive()

    def begin(self) -> None:
        """Follow the mask of the case that is held now, and prepare to learn from it."""
        self.stop()
        self.watch.begin()
        draft = self.watch.draft
        if not self.why_not():
            # A draft of this window is prepared at once; one from the dataset must be predicted
            # again first, and not for each case that is only looked at.
            self._start("load" if draft is None or draft.probability is None else "prepare")
        self.refresh()

    def stop(self) -> None:
        """Follow no mask any longer, and forget what was learned from it."""
        self.watch.stop()
        self._told = self._undone = None
        self._forget_learner()

    def cancel(self) -> None:
        """Stop what is being drafted; the mask stays as it is."""
        self._order += 1
        self._is_wanted_again = False
        self.runner.cancel()

    def accepting(
        self, labels: NDArray[np.uint8], reviewed: Sequence[int] | None
    ) -> RedraftRecord | None:
        """What became of redrafts in a mask (Z, Y, X) that is accepted now; None without any.

        None comes after it. `reviewed` are the slices along z that were reviewed, None for all.
        """
        self.cancel()
        self.watch.follow()
        work = self.watch.work
        if work is None:
            return None
        work.finish(reviewed)
        return work.record(labels, reviewed)

    def accepted(self, record: CaseRecord) -> None:
        """Learn from a single slice that was accepted for the patient's others."""
        if self.switch.isChecked() and not self._session.is_second_read:
            self.slices.learn(record)
            self.refresh()

    def why_not(self) -> str:
        """Why nothing is drafted again; empty when it is."""
        session, record = self._session, self._session.record
        return why_no_learning(
            is_wanted=self.switch.isChecked(),
            is_held=self.watch.work is not None,
            has_draft=session.draft is not None,
            is_hidden=session.drafts.is_hidden,
            is_second_read=session.is_second_read,
            has_model=session.model is not None,
            is_rest_reviewed=self._is_rest_reviewed(),
            is_single=record is not None and record.grid.shape[0] == 1,
            problem=self._problem,
        )

    def refresh(self) -> None:
        """Bring the line up to date."""
        work = self.watch.work
        self.setVisible(work is not None)
        if work is not None:
            self.line.setText(
                self.slices.line
                or learning_line(
                    self._told,
                    self.watch.grid,
                    learns_from=work.learns_from,
                    stage=self._stage if self.runner.is_running else None,
                    is_undone=work.is_redraft_undone,
                    why_not=self.why_not() if self.switch.isChecked() else "",
                )
            )
            self.line.setVisible(bool(self.line.text()))

    # The jobs

    def _prepare(self) -> None:
        if not (self.runner.is_running or self.why_not()):
            self._start("prepare")

    def _learn(self) -> None:
        """Draft the rest again; what is under way from fewer corrections is given up."""
        self.watch.follow()
        work = self.watch.work
        if work is None or not work.learns_from or self.why_not():
            self.refresh()
            return
        self._order += 1
        self._is_wanted_again = self.runner.is_running
        if not self._is_wanted_again:
            self._start("features")
        elif self._stage in ("features", "adapted"):  # preparing is waited for
            self.runner.cancel()

    def _start(self, stage: str) -> None:
        """Start a job in the worker's thread; "load" and "prepare" make the others faster."""
        session, work = self._session, self.watch.work
        source, folder, draft = session.source, session.model, self.watch.draft
        if work is None or source is None or folder is None:
            return
        try:
            exam = exam_of(self._viewer, source, session.roles)
        except InputError as error:
            self._problem = str(error)
            return
        labels = copy_of(self.watch.labels)
        touched, finished = copy_of(work.touched), work.finished.copy()
        order, learns_from, self._stage = self._order, work.learns_from, stage
        learners = self._learners

        def job() -> Job[tuple[Redraft, int] | str | None]:
            if stage == "load":  # torch, which takes seconds
                from ...training import corrections  # noqa: F401

                return None
            try:
                learner = learners.learner_of(folder, exam, draft, self.make_learner)
                return (yield from _drafted(learner, stage, labels, touched, finished))
            except InputError as error:
                return str(error)

        def take(found: tuple[Redraft, int] | str | None) -> None:
            if isinstance(found, str):
                self._problem = found
            elif found is not None:
                self._put(*found, order, learns_from)
            self.refresh()

        self.runner.start(_TITLE, lambda: beside_the_window(job), on_result=take)
        self.refresh()

    def _put(self, redraft: Redraft, spared: int, order: int, learned_from: int) -> None:
        """Put it into the mask, unless the reader has corrected more meanwhile."""
        if order != self._order or self.why_not():
            return
        if self.watch.is_stroke_under_way or self._is_tool_running():
            self._held_back = [(redraft, spared, order, learned_from)]
            self._soon.start()
            return
        told = self.watch.put(redraft.label_map.data, learned_from)
        self._told, self._undone = (told and replace(told, spared=spared)), None
        if redraft.stage == "features":
            self._start("adapted")
        self.refresh()
        self.redrafted.emit()

    def _forget_learner(self) -> None:
        self._problem, self._learners = "", _Learners()
        self.cancel()
        self.refresh()

    def _on_record(self, record: CaseRecord | None) -> None:
        if record is None:
            self.stop()
        self.refresh()

    def _on_switched(self, is_on: bool) -> None:
        remember("learns_from_exam", "yes" if is_on else "no")
        self.cancel()
        self.slices.cancel()
        if is_on:
            self._learn()
        self.refresh()

    def _on_undone(self, is_undone: bool) -> None:
        """Tell no more of a redraft that was taken back, until redo puts it back."""
        self._told, self._undone = None if is_undone else self._undone, self._told
        self.refresh()

    def _on_ended(self, outcome: str) -> None:
        if outcome == "failed":
            self._problem = "Learning from this exam failed; go on without, or with another model."
        if self._is_wanted_again:
            self._is_wanted_again = False
            self._start("features")
        self.refresh()


class _Learners:
    """The last learner, made anew for other images, draft or model."""

    def __init__(self) -> None:
        self._kept: tuple[tuple[Any, ...], Learner] | None = None

    def learner_of(
        self,
        folder: Path,
        exam: Exam,
        draft: Draft | None,
        make: Callable[[Path, Exam, Prediction | None], Learner],
    ) -> Learner:
        """In the worker's thread: the learner of an exam."""
        # An exam is made of the layers anew each time; where its voxels lie in memory stays.
        images = (np.asarray(image.data) for image in exam.phases.values())
        key = (folder, draft, *(image.__array_interface__["data"] for image in images))
        if self._kept is None or self._kept[0] != key:
            self._kept = key, make(folder, exam, None if draft is None else prediction_of(draft))
        return self._kept[1]


def _drafted(
    learner: Learner,
    stage: str,
    labels: NDArray[np.uint8],
    touched: NDArray[np.bool_],
    finished: NDArray[np.bool_],
) -> Job[tuple[Redraft, int] | None]:
    """In the worker's thread: the redraft, and how many findings it spares; None to prepare."""
    from ...training.corrections import Corrections

    if stage == "prepare":
        yield from learner.prepare()
        return None
    learn = learner.quick if stage == "features" else learner.adapt
    redraft = (yield from learn([Corrections(labels, touched, finished)]))[0]
    kept, spared = spare_findings(labels, touched, redraft.label_map.data)
    return replace(redraft, label_map=replace(redraft.label_map, data=kept)), spared


def _switch() -> QCheckBox:
    switch = QCheckBox("Learn from this exam")
    switch.setToolTip(
        "When you leave a slice that you corrected, or keep or drop a finding, the rest of\n"
        "the exam is drafted again from it: never over what you painted, nor in slices that\n"
        "you corrected or looked at. It is one undo step, and serves this exam only."
    )
    switch.setChecked(recall("learns_from_exam") != "no")
    return switch


def _make_learner(folder: Path, exam: Exam, draft: Prediction | None) -> Learner:
    """In the worker's thread: torch is loaded here."""
    from ...model import checkpoint
    from ...training.exam_learning import ExamLearner

    return ExamLearner(checkpoint.load(folder), [exam], drafts=[draft])
