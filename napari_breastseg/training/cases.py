"""The cases a run learns from: where they come from, and how they are held ready.

Imports no Qt; torch comes with `preprocessing` when cases are prepared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..core.atomic import storage_errors
from ..core.errors import InputError
from ..core.progress import Job, Progress
from ..core.volume import IGNORE, Exam, Grid, LabelMap
from ..dataset import Dataset
from ..imaging.preprocessing import Prepared, prepare, prepare_labels
from ..model.unet import ModelSpec

__all__ = [
    "CORRECTED",
    "CaseSource",
    "DatasetCase",
    "DraftedCase",
    "TrainingCase",
    "load_cases",
]

CORRECTED = 4
"""Bit set on top of a patch's labels where the reader changed the draft: what varies a patch moves
it with the labels, and the loss takes it off again."""


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
        """The accepted mask, with `ignore` where it was not reviewed."""


@runtime_checkable
class DraftedCase(CaseSource, Protocol):
    """A case whose mask may have been corrected from a model's draft."""

    def draft(self) -> LabelMap | None:
        """The draft on the case's grid; None when the mask was made without one."""


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
        """The accepted mask, with `ignore` where it was not reviewed."""
        self._require_unlocked()
        return self.dataset.label_map(self.case_id)

    def draft(self) -> LabelMap | None:
        """The model's draft; None when the mask was made without one."""
        return self.dataset.draft(self.case_id)

    def _require_unlocked(self) -> None:
        if self.dataset.case(self.case_id).is_locked:
            raise InputError(
                "Expected cases of patients who may be trained on",
                f"found case {self.case_id} of a patient locked for testing",
                "Leave it out: locked patients are only for judging models",
            )


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
    """SHA-256 of the arrays: tells whether a run goes on with the data it began with."""

    corrected: NDArray[np.uint8] | None = None
    """1 where the reader changed the draft, (Z, Y, X); None without a draft."""

    def prepared(self) -> Prepared:
        """The phases as a network's passes take them; their grid is the working grid."""
        import torch

        phases = torch.from_numpy(np.array(self.phases, np.float32))
        return Prepared(phases, self.roles, Grid(self.labels.shape))


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
        yield Progress(stage, number, len(cases))
        label_map = case.label_map()
        made: dict[str, NDArray[Any]] = {
            "phases": prepared.phases.numpy().astype(np.float16),
            "labels": prepare_labels(label_map, spec.spacing_mm),
        }
        draft = case.draft() if isinstance(case, DraftedCase) else None
        if draft is not None:
            made["corrected"] = prepare_labels(_corrected(draft, label_map), spec.spacing_mm)
        arrays = {}
        digest = hashlib.sha256()
        for kind, array in made.items():
            path = cache / f"{stage.replace(' ', '-')}-{number}-{kind}.npy"
            digest.update(np.ascontiguousarray(array).data)
            with storage_errors(path):
                np.save(path, array)
            arrays[kind] = np.load(path, mmap_mode="r")
        loaded.append(
            TrainingCase(
                case.case_id,
                case.patient_id,
                arrays["phases"],
                roles,
                arrays["labels"],
                digest.hexdigest(),
                arrays.get("corrected"),
            )
        )
    return loaded


def _corrected(draft: LabelMap, accepted: LabelMap) -> LabelMap:
    """1 where the mask is reviewed and says something else than the draft."""
    is_changed = (draft.tumor != accepted.tumor) & (accepted.data != IGNORE)
    return LabelMap(is_changed.astype(np.uint8), accepted.grid)
