"""What the exams of a training look like, kept with the model. Imports torch when called; no Qt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..core.errors import InputError
from ..core.progress import Job, Progress
from ..model.checkpoint import Checkpoint
from ..model.site import Site, SiteExams
from ..predict.likeness import can_be_likened, exam_features
from .cases import TrainingCase
from .replay import can_replay

if TYPE_CHECKING:
    import torch

    from ..model.unet import ModelSpec

__all__ = ["can_keep_base", "shares_of", "site_of"]

LEAST_SCALE = 1e-3
"""A feature that hardly varies must not be divided by nothing."""


def can_keep_base(spec: ModelSpec) -> bool:
    """Whether a model may keep its base and choose exam by exam, see `TrainConfig.keeps_base`."""
    return can_be_likened(spec) and can_replay(spec)


def site_of(
    base: Checkpoint,
    learned: Sequence[TrainingCase],
    phantoms: Sequence[TrainingCase],
    device: torch.device,
) -> Job[Site]:
    """What the cases that are learned from look like, added to what the base knows of a site.

    Parameters
    ----------
    base : Checkpoint
        Its general network looks at them.
    learned : sequence of TrainingCase
    phantoms : sequence of TrainingCase
        Synthetic exams of every kind: how much they differ is the unit.
    device : torch.device

    Raises
    ------
    InputError
        If there is no phantom to compare with.
    """
    if not can_keep_base(base.spec) or not phantoms:
        raise InputError(
            "Expected a 2D model of pre- and post-contrast phases to keep beside its base",
            f"found {base.spec.title} for {', '.join(base.spec.phases)}",
            "Train with a fixed share of the base: --base-share 0.65",
        )
    known = base.info.site
    if known is None:
        seen = yield from _features(base, phantoms, device)
        scale = seen.std(0) + LEAST_SCALE
        known = Site(scale=tuple(round(float(value), 5) for value in scale), exams=())
    features = yield from _features(base, learned, device)
    features = features / known.scale_array
    exams = list(known.exams)
    for phases in sorted({case.roles for case in learned}):
        rows = [n for n, case in enumerate(learned) if case.roles == phases]
        patients = [learned[n].patient_id for n in rows]
        exams.append(SiteExams.of(phases, features[rows], patients))
    return known.model_copy(update={"exams": tuple(exams)})


def shares_of(
    base: Checkpoint, site: Site | None, cases: Sequence[TrainingCase], device: torch.device
) -> Job[list[float]]:
    """Share of the site's model that suits each case; 1 without a site."""
    if site is None or not cases:
        return [1.0] * len(cases)
    features = yield from _features(base, cases, device)
    return [site.share(row, case.roles) for row, case in zip(features, cases, strict=True)]


def _features(
    base: Checkpoint, cases: Sequence[TrainingCase], device: torch.device
) -> Job[np.ndarray[tuple[int, int], np.dtype[np.float32]]]:
    """What the general network sees in each case, (cases, features)."""
    network = (base.general or base.network).eval()
    rows = []
    for number, case in enumerate(cases):
        yield Progress("Comparing exams", number, len(cases))
        rows.append(exam_features(network, base.spec, case.prepared(), device))
    return np.stack(rows)
