"""Single slices of one patient, kept as cases of a dataset: those accepted draft the others again.

A worklist of pictures then works as one exam does. Imports torch when called; no Qt.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from ..core.errors import InputError
from ..core.progress import Job
from ..dataset import CaseRecord, Dataset, Status
from ..model.checkpoint import Checkpoint
from .corrections import Corrections, Redraft
from .exam_learning import ExamLearner

__all__ = ["LEARNED", "PatientSlices", "slices_of"]

LEARNED = "+own"
"""Added to the name of a model that also learned from the patient's own accepted slices."""

MOST_SLICES = 30
"""Slices drafted again at once, those that come first in the dataset."""


def slices_of(
    dataset: Dataset, patient_id: str
) -> tuple[tuple[CaseRecord, ...], tuple[CaseRecord, ...]]:
    """A patient's accepted single slices, and those with a draft that nobody has worked on."""
    own = [
        dataset.case(one.case_id)
        for one in dataset.summaries()
        if one.patient_id == patient_id and one.n_slices == 1
    ]
    waiting = tuple(record for record in own if record.status is Status.DRAFTED)
    return tuple(record for record in own if record.is_accepted), waiting[:MOST_SLICES]


class PatientSlices:
    """Drafts a patient's slices again from those of them that are accepted.

    Parameters
    ----------
    dataset : Dataset
    checkpoint : Checkpoint
        See `exam_learning.can_learn`.
    patient_id : str
    device : str
        auto, cpu, cuda or mps.

    Raises
    ------
    InputError
        If the patient has no accepted slice, or none that waits, or the model cannot learn.
    """

    def __init__(
        self, dataset: Dataset, checkpoint: Checkpoint, patient_id: str, *, device: str = "auto"
    ) -> None:
        self._dataset = dataset
        self._model = f"{checkpoint.info.identity}{LEARNED}"
        self.taught, self.waiting = slices_of(dataset, patient_id)
        if not (self.taught and self.waiting):
            raise InputError(
                "Expected accepted slices of the patient and others with an untouched draft",
                f"found {len(self.taught)} and {len(self.waiting)}",
                "Accept one, and draft the others",
            )
        records = (*self.taught, *self.waiting)
        exams = [dataset.exam(record.case_id) for record in records]
        self._corrections = [
            *(Corrections.of_mask(dataset.label_map(record.case_id)) for record in self.taught),
            *(Corrections.nothing(record.grid.shape) for record in self.waiting),
        ]
        self._learner = ExamLearner(checkpoint, exams, device=device)

    def draft(self, stage: Literal["features", "adapted"]) -> Job[dict[str, Redraft]]:
        """Redrafts of the slices that wait, by case id; at once, or better after some seconds."""
        learn = self._learner.quick if stage == "features" else self._learner.adapt
        found = yield from learn(self._corrections)
        ids = [record.case_id for record in self.waiting]
        return dict(zip(ids, found[len(self.taught) :], strict=True))

    def keep(self, redrafts: Mapping[str, Redraft]) -> tuple[str, ...]:
        """Make redrafts the drafts of their cases; the ids of those that still waited.

        A case that a reader has begun meanwhile, or holds elsewhere, keeps its draft.
        """
        kept = []
        learned_from = tuple(record.case_id for record in self.taught)
        for case_id, redraft in redrafts.items():
            try:
                if self._dataset.case(case_id).status is not Status.DRAFTED:
                    continue
                self._dataset.save_draft(
                    case_id, redraft.label_map, model=self._model, learned_from=learned_from
                )
            except InputError:  # open elsewhere, or gone
                continue
            kept.append(case_id)
        return tuple(kept)
