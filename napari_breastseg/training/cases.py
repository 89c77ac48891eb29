"""The cases a run learns from: where they come from, and how they are held ready.

Imports no Qt; torch comes with `preprocessing` when cases are prepared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..atomic import storage_errors
from ..dataset import Dataset
from ..errors import InputError
from ..preprocessing import prepare, prepare_labels
from ..progress import Job, Progress
from ..unet import ModelSpec
from ..volume import Exam, LabelMap

__all__ = ["CaseSource", "DatasetCase", "TrainingCase", "load_cases", "split_by_patient"]


class CaseSource(Protocol):
    """Where an annotated case comes from: a dataset folder gives these."""

    @property
    def case_id(self) -> str:
        """The case's name."""

    @property
    def patient_id(self) -> str:
        """Pseudonym of the case's patient."""

    def exam(self) -> Exam:
        """The case's phases."""

    def label_map(self) -> LabelMap:
        """The accepted mask, with `ignore` where nobody looked."""


@dataclass(frozen=True)
class DatasetCase:
    """An accepted case of a dataset folder, read when asked; refused of a locked patient."""

    dataset: Dataset
    case_id: str
    patient_id: str

    def exam(self) -> Exam:
        """The case's phases."""
        self._require_unlocked()
        return self.dataset.exam(self.case_id)

    def label_map(self) -> LabelMap:
        """The accepted mask, with `ignore` where nobody looked."""
        self._require_unlocked()
        return self.dataset.label_map(self.case_id)

    def _require_unlocked(self) -> None:
        if self.dataset.case(self.case_id).is_locked:
            raise InputError(
                "Needed cases of patients who may be learned from",
                f"case {self.case_id} is of a patient locked for testing",
                "Leave it out: locked patients judge models and teach none",
            )


def split_by_patient(
    datasets: Sequence[Dataset], fold: int | None
) -> tuple[list[DatasetCase], list[DatasetCase]]:
    """Cases to learn from and cases held out; all cases of a patient go the same way.

    A patient locked in one of the datasets is left out of all, one held out in one is held out
    in all, whatever case ids and visits they have there.

    Parameters
    ----------
    datasets : sequence of Dataset
    fold : int or None
        Fold held out; None learns from every unlocked patient.

    Returns
    -------
    learned, held_out : list of DatasetCase
        With a single patient in all, both hold the same cases.

    Raises
    ------
    InputError
        If a dataset has no accepted case outside its locked patients, or no such fold.
    """
    locked: set[str] = set()
    held: set[str] = set()
    usable: list[DatasetCase] = []
    for dataset in datasets:
        records = {record.case_id: record for record in dataset.cases()}
        locked |= {record.patient_id for record in records.values() if record.is_locked}
        # Every case of fold 0 is in one of its two lists, so together they are all there is.
        split = dataset.split(fold or 0)
        if fold is not None and split.train != split.val:
            held |= {records[case_id].patient_id for case_id in split.val}
        usable += [
            DatasetCase(dataset, case_id, records[case_id].patient_id)
            for case_id in dict.fromkeys((*split.train, *split.val))
        ]
    usable = [case for case in usable if case.patient_id not in locked]
    learned = [case for case in usable if case.patient_id not in held]
    if not learned:
        raise InputError(
            "Needed patients to learn from besides those held out and those locked for testing",
            f"got {len(usable)} cases of patients who are held out in one of the datasets",
            "Choose another fold, or hold out none",
        )
    if fold is None:
        return learned, []
    return learned, [case for case in usable if case.patient_id in held] or learned


@dataclass(frozen=True, eq=False)
class TrainingCase:
    """One case as training reads it."""

    case_id: str
    patient_id: str

    phases: NDArray[np.float16]
    """Normalized phases on the working grid, (P, Z, Y, X); a memory map."""

    roles: tuple[str, ...]
    """The phase of each channel."""

    labels: NDArray[np.uint8]
    """0 background, 1 tumor, 2 ignore, (Z, Y, X)."""

    digest: str = ""
    """SHA-256 of phases and labels: tells whether a run goes on with the data it began with."""


def load_cases(
    cases: Sequence[CaseSource], spec: ModelSpec, cache: Path, stage: str
) -> Job[list[TrainingCase]]:
    """Prepared cases as memory maps, so that a hundred exams need no hundred exams of memory."""
    loaded = []
    for number, case in enumerate(cases):
        yield Progress(stage, number, len(cases))
        exam = case.exam()
        roles = spec.require(exam, "to be trained")
        prepared = prepare(exam, roles, spacing_mm=spec.spacing_mm, percentiles=spec.percentiles)
        labels = prepare_labels(case.label_map(), spec.spacing_mm)
        arrays = []
        digest = hashlib.sha256()
        for kind, array in (
            ("phases", prepared.phases.numpy().astype(np.float16)),
            ("labels", labels),
        ):
            path = cache / f"{stage.replace(' ', '-')}-{number}-{kind}.npy"
            digest.update(np.ascontiguousarray(array).data)
            with storage_errors(path):
                np.save(path, array)
            arrays.append(np.load(path, mmap_mode="r"))
        loaded.append(
            TrainingCase(
                case.case_id, case.patient_id, arrays[0], roles, arrays[1], digest.hexdigest()
            )
        )
    return loaded
