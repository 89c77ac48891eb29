"""An exam learns from its own corrections: what is left of it is drafted again within seconds.

First from the features that the network saw before its last layer, by logistic regression; then
from a copy of the network that made a few steps on the corrected slices. Both serve this exam
alone: no model comes out that could be saved. Imports torch when called; no Qt.

References
----------
Wang et al.: Interactive medical image segmentation using deep learning with image-specific fine
tuning, IEEE Trans Med Imaging 37, 1562-1573 (2018), doi 10.1109/TMI.2018.2791721.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Literal, cast

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InputError
from ..core.progress import Job, Progress
from ..core.region import Region, whole
from ..core.volume import IGNORE, TUMOR, Exam, LabelMap, Volume
from ..imaging.preprocessing import Prepared, prepare_labels
from ..model.checkpoint import Checkpoint
from ..model.unet import ModelSpec, folded
from ..predict.devices import choose_device
from ..predict.likeness import site_share
from ..predict.prediction import Prediction, predict
from .cases import TrainingCase
from .corrections import Corrections, Redraft, changed_slices
from .exam_features import BACKGROUND, ExamFeatures, own_weights, weights_of
from .exam_reach import joined_to, within_reach
from .exam_steps import ExamLearning, learn
from .exam_view import ExamView, boxes_around

if TYPE_CHECKING:
    import torch

__all__ = ["ExamLearner", "ExamLearning", "can_learn"]

AROUND_MM = (15.0, 12.0, 12.0)
"""How far (z, y, x) around what is marked the exam is drafted again: with every redraft a lesion
may grow so far, and no more."""

_DRAFTING = "Drafting again"


def can_learn(spec: ModelSpec) -> bool:
    """Whether an exam can be drafted again from corrections: this package's 2D models."""
    return spec.foreign is None and spec.dims == 2


class ExamLearner:
    """Drafts one exam again, or all single slices of one patient, from a reader's corrections.

    It holds the prepared images and what the network saw of them; the checkpoint it was made with
    never changes.

    Parameters
    ----------
    checkpoint : Checkpoint
        The model of the draft, see `can_learn`.
    exams : sequence of Exam
        One exam; or several slices of one patient, which learn from each other.
    drafts : sequence of Prediction or None, optional
        What the model made of each, in the same order; missing ones are predicted by `prepare`.
    device : str
        auto, cpu, cuda or mps.
    how : ExamLearning, optional

    Raises
    ------
    InputError
        If the model cannot learn, or an exam lacks a phase that it needs.

    Examples
    --------
    The window's way, each job in a thread and closed to cancel it::

        learner = ExamLearner(checkpoint, [exam], drafts=[prediction])
        drain(learner.prepare())                       # when the draft is shown
        (redraft,) = drain(learner.quick([corrections]))
        (redraft,) = drain(learner.adapt([corrections]))
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        exams: Sequence[Exam],
        *,
        drafts: Sequence[Prediction | None] | None = None,
        device: str = "auto",
        how: ExamLearning | None = None,
    ) -> None:
        if not can_learn(checkpoint.spec):
            raise InputError(
                "Expected a 2D model of napari-breastseg to learn from corrections at once",
                f"found {checkpoint.spec.title}",
                "Choose the starter or a model trained from it, or train on accepted cases",
            )
        for exam in exams:
            checkpoint.spec.require(exam, checkpoint.info.name)
        self.exams = tuple(exams)
        self.how = how or ExamLearning()
        self._checkpoint = checkpoint
        self._device = choose_device(device)
        self._drafts: list[Prediction | None] = list(drafts or [None] * len(self.exams))
        self._features: list[ExamFeatures] = []
        self._model = checkpoint

    @property
    def drafts(self) -> tuple[Prediction, ...]:
        """What the model made of each exam; complete once prepared."""
        return tuple(draft for draft in self._drafts if draft is not None)

    def prepare(self) -> Job[None]:
        """Prepare the images, and keep what the network sees around all that is marked.

        Done once; the other jobs do what is missing of it.

        Yields
        ------
        Progress
        """
        for number, exam in enumerate(self.exams):
            if self._drafts[number] is None:
                self._drafts[number] = yield from predict(
                    self._checkpoint, exam, device=str(self._device)
                )
        for exam, draft in list(zip(self.exams, self.drafts, strict=True))[len(self._features) :]:
            yield Progress("Preparing", len(self._features), len(self.exams))
            features = ExamFeatures(
                ExamView.of(exam, self._checkpoint.spec, self._checkpoint.info.name)
            )
            if not self._features:
                self._model = self._suiting(features.view, draft)
            self._features.append(features)
            boxes = _boxes(exam, draft.label_map.tumor)
            yield from features.look(self._model.fast_network, boxes, self._device)

    def quick(self, corrections: Sequence[Corrections]) -> Job[tuple[Redraft, ...]]:
        """Draft again from the features, within half a second once prepared.

        Parameters
        ----------
        corrections : sequence of Corrections
            Of each exam; `Corrections.nothing` for a slice that is only to be drafted.

        Yields
        ------
        Progress

        Returns
        -------
        tuple of Redraft
            Of each exam.

        Raises
        ------
        InputError
            If nothing is corrected, or a mask is not on its exam's grid.
        """
        started = time.perf_counter()
        self._require_something(corrections)
        yield from self.prepare()
        boxes = self._boxes(corrections)
        network = self._model.fast_network
        for features, of_exam in zip(self._features, boxes, strict=True):
            yield from features.look(network, of_exam, self._device)
        prior = own_weights(self._model.network, self._features[0].view)
        probabilities = [draft.probability for draft in self.drafts]
        weights = weights_of(
            self._features, corrections, boxes, probabilities, prior, self.how.pull
        )

        def probability(number: int, box: Region) -> Job[NDArray[np.float32]]:
            yield Progress(_DRAFTING, number, len(self.exams))
            return self._features[number].probability(weights, box)

        return (yield from self._redrafted(corrections, boxes, probability, "features", started))

    def adapt(self, corrections: Sequence[Corrections]) -> Job[tuple[Redraft, ...]]:
        """Draft again with a copy of the network that learned the corrections, within 10 s.

        Parameters, yields, returns and raises as `quick`.
        """
        started = time.perf_counter()
        self._require_something(corrections)
        yield from self.prepare()
        boxes = self._boxes(corrections)
        network = deepcopy(self._model.network)
        cases = [
            case
            for number, (one, of_exam) in enumerate(zip(corrections, boxes, strict=True))
            for case in self._cases(number, one, of_exam)
        ]
        yield from learn(network, self._checkpoint.spec, cases, self.how, self._device)
        network = folded(network)

        def compute(batch: torch.Tensor) -> torch.Tensor:
            tumor: torch.Tensor = network(batch).float().softmax(1)[:, TUMOR : TUMOR + 1]
            return tumor

        def probability(number: int, box: Region) -> Job[NDArray[np.float32]]:
            view = self._features[number].view
            seen = yield from view.look(compute, box, self._device, _DRAFTING, each=False)
            return cast("NDArray[np.float32]", seen[0].numpy())

        return (yield from self._redrafted(corrections, boxes, probability, "adapted", started))

    def _suiting(self, view: ExamView, draft: Prediction) -> Checkpoint:
        """The one network that drafted: of a site's and a general one, their mixture."""
        share = draft.site_share
        if self._checkpoint.info.site is not None and share is None:
            prepared = Prepared(view.phases.float(), view.roles, view.exam.grid)
            share = site_share(self._checkpoint, prepared, self._device)
        return self._checkpoint if share is None else self._checkpoint.at(share)

    def _require_something(self, corrections: Sequence[Corrections]) -> None:
        if len(corrections) != len(self.exams):
            raise ValueError("give corrections for each exam, in the order of the exams")
        for exam, one in zip(self.exams, corrections, strict=True):
            LabelMap(one.labels, exam.grid)  # raises for another shape
        if not any(one.is_kept().any() for one in corrections):
            raise InputError(
                "Expected a corrected slice to learn from",
                "found none",
                "Correct a slice, or mark one as reviewed, first",
            )

    def _boxes(self, corrections: Sequence[Corrections]) -> list[list[Region]]:
        return [_boxes(exam, one.tumor) for exam, one in zip(self.exams, corrections, strict=True)]

    def _cases(
        self, number: int, corrections: Corrections, boxes: Sequence[Region]
    ) -> list[TrainingCase]:
        """What an exam's patches are cut from: what was corrected, and in every fourth patch
        background that the draft was sure of, away from all that is marked.
        """
        exam, view, draft = self.exams[number], self._features[number].view, self.drafts[number]

        def case(labels: NDArray[np.uint8]) -> TrainingCase:
            working = prepare_labels(LabelMap(labels, exam.grid), view.spec.spacing_mm)
            return TrainingCase(exam.case_id, "", view.phases.numpy(), view.roles, working)

        known = corrections.known()
        cases = [case(known)] * 3
        if exam.grid.shape[0] > 1:
            sure = (np.asarray(draft.probability.data) < BACKGROUND) & (known == IGNORE)
            for box in boxes:
                sure[box] &= ~view.near(corrections.tumor[box])
            background = np.where(sure, np.uint8(0), np.uint8(IGNORE))
            cases.append(case(background))
        return cases

    def _redrafted(
        self,
        corrections: Sequence[Corrections],
        boxes: Sequence[Sequence[Region]],
        probability: Callable[[int, Region], Job[NDArray[np.float32]]],
        stage: Literal["features", "adapted"],
        started: float,
    ) -> Job[tuple[Redraft, ...]]:
        parts = []
        learned = sum(int(one.is_kept().any((1, 2)).sum()) for one in corrections)
        for number, (one, of_exam) in enumerate(zip(corrections, boxes, strict=True)):
            draft = self.drafts[number]
            values = np.array(draft.probability.data, np.float32)
            before, kept = one.tumor, one.is_kept()
            tumor = before.copy()
            is_volume = self.exams[number].grid.shape[0] > 1
            for box in of_exam:
                if kept[box].all():
                    continue
                found = yield from probability(number, box)
                view = self._features[number].view
                found = view.joined(found)
                if is_volume:
                    drafted = np.asarray(draft.probability.data[box])
                    found = within_reach(found, drafted, one, box, view.near)
                values[box] = found
                is_tumor = np.where(kept[box], before[box], found >= 0.5)
                tumor[box] = joined_to(is_tumor, before[box]) if is_volume else is_tumor
            label_map = LabelMap(tumor.astype(np.uint8), self.exams[number].grid)
            changed = changed_slices(before, tumor)
            parts.append((values, label_map, changed))
        seconds = time.perf_counter() - started
        return tuple(
            Redraft(Volume(values, label_map.grid), label_map, changed, seconds, stage, learned)
            for values, label_map, changed in parts
        )


def _boxes(exam: Exam, tumor: NDArray[np.bool_]) -> list[Region]:
    """Where an exam is drafted again: around what is marked; all of slices of unknown size."""
    if exam.grid.shape[0] == 1 or not exam.grid.has_spacing:
        return [whole(exam)]
    return boxes_around(tumor, exam, AROUND_MM)
