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
from scipy import ndimage

from ..core.atomic import storage_errors
from ..core.errors import InputError
from ..core.progress import Job, Progress
from ..core.volume import IGNORE, TUMOR, Exam, LabelMap
from ..dataset import Dataset
from ..imaging.preprocessing import prepare, prepare_labels
from ..model.unet import ModelSpec

__all__ = [
    "CORRECTED",
    "CaseSource",
    "DatasetCase",
    "DraftedCase",
    "TrainingCase",
    "least_share",
    "load_cases",
]

CORRECTED = 4
"""Bit set on top of a patch's labels where the reader changed the draft: what varies a patch moves
it with the labels, and the loss takes it off again."""

LEAST_SHARE = 0.2
ENOUGH_CASES = 16
"""If this many exams show none, the next one does with a chance of one in 18 (Laplace)."""
ENOUGH_PATIENTS = 5

_SPECK = 0.005


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


def least_share(cases: Sequence[TrainingCase]) -> dict[str, Any]:
    """Fields of a model spec: share of the largest region under which regions are hidden.

    A fifth, where so many fully reviewed exams show no smaller region that the next exam hardly
    will; else 0, and all regions are shown. Single voxels are slips of the brush. What
    single slices show holds for single slices only: a satellite may lie in another one.

    Parameters
    ----------
    cases : sequence of TrainingCase

    Returns
    -------
    dict
        `least_share` and `least_share_in`.

    References
    ----------
    Isensee et al.: nnU-Net, Nat Methods 2021, doi 10.1038/s41592-020-01008-z (postprocessing that
    follows from the training data).
    """
    clear = {"least_share": 0.0, "least_share_in": "volumes"}
    seen: dict[str, list[str]] = {"slices": [], "volumes": []}
    for case in cases:
        regions, _ = ndimage.label(case.labels == TUMOR, np.ones((3, 3, 3)))
        sizes = np.bincount(regions.ravel())[1:]
        if not sizes.size:
            continue
        sizes = sizes[sizes >= _SPECK * sizes.max()]
        if sizes.min() < LEAST_SHARE * sizes.max():
            return clear
        if not (case.labels == IGNORE).any():
            seen["slices" if len(case.labels) == 1 else "volumes"].append(case.patient_id)
    for kind in ("volumes", "slices"):
        if len(seen[kind]) >= ENOUGH_CASES and len(set(seen[kind])) >= ENOUGH_PATIENTS:
            return {"least_share": LEAST_SHARE, "least_share_in": kind}
    return clear
