"""How well the cases held out are segmented. Imports torch when called; no Qt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..core.overlap import dice
from ..core.progress import Job, Progress
from ..core.volume import IGNORE, TUMOR
from ..model.checkpoint import Checkpoint
from ..model.site import Site
from ..model.unet import ModelSpec, place
from ..predict.devices import is_out_of_memory
from ..predict.passes import predict_working
from .cases import TrainingCase
from .learner import Learner
from .likening import shares_of
from .ranks import ALONE, Ranks

if TYPE_CHECKING:
    import torch

__all__ = ["Validation", "dice_of_cases", "mean", "validated", "validation_of"]


def dice_of_cases(
    networks: Sequence[torch.nn.Module],
    spec: ModelSpec,
    cases: Sequence[TrainingCase],
    device: torch.device,
    ranks: Ranks = ALONE,
) -> Job[list[float]]:
    """Dice of each case at threshold 0.5 on the working grid, `ignore` left out.

    Parameters
    ----------
    networks : sequence of Module
        One for each case.
    """
    import torch

    scores = []
    wanted = device
    own = slice(ranks.rank, None, ranks.count)
    for number, (case, network) in enumerate(zip(cases[own], networks[own], strict=True)):
        prepared = case.prepared()
        job = predict_working(network, spec, prepared, device)
        tumor = None
        while tumor is None:
            message = ""
            try:
                next(job)
            except StopIteration as stop:
                tumor = stop.value[0].numpy() >= 0.5
            except RuntimeError as error:
                if device.type == "cpu" or not is_out_of_memory(error):
                    raise
                message = f"The {device.type} device ran out of memory; validating on the CPU"
                device = torch.device("cpu")
                job = predict_working(network, spec, prepared, device)
            # Every batch is a chance to cancel.
            yield Progress("Validating", number * ranks.count, len(cases), message=message)
        scores.append(dice(tumor, case.labels == TUMOR, case.labels != IGNORE))
    for network in {*networks}:
        place(network, wanted, spec.dims)
    return ranks.every(scores)


@dataclass(frozen=True, eq=False)
class Validation:
    """The cases held out, and which networks each of them is given."""

    cases: Sequence[TrainingCase]
    spec: ModelSpec
    device: torch.device
    ranks: Ranks

    bases: Sequence[torch.nn.Module]
    """The base model as it is used on each case; none without a base."""

    shares: Sequence[float]
    """Share of the trained model in what is used on each case."""

    def of_base(self) -> Job[list[float]]:
        """Dice of each case by the model that is fine-tuned."""
        return self._dice(self.bases)

    def of(self, learner: Learner) -> Job[list[float]]:
        """Dice of each case by the model as it would be used now."""
        return self._dice(learner.used(self.shares))

    def _dice(self, networks: Sequence[torch.nn.Module]) -> Job[list[float]]:
        return dice_of_cases(networks, self.spec, self.cases, self.device, self.ranks)


def validation_of(
    cases: Sequence[TrainingCase],
    spec: ModelSpec,
    base: Checkpoint | None,
    site: Site | None,
    device: torch.device,
    ranks: Ranks = ALONE,
) -> Job[Validation]:
    """How cases are validated on, for a model that keeps this base and these exams of a site."""
    if base is None:
        return Validation(cases, spec, device, ranks, (), [1.0] * len(cases))
    before = yield from shares_of(base, base.info.site, cases, device)
    shares = yield from shares_of(base, site, cases, device)
    bases = [base.at(share).network for share in before]
    return Validation(cases, spec, device, ranks, bases, shares)


def mean(values: Sequence[float]) -> float:
    """Mean as a plain number."""
    return float(np.mean(values))


def validated(
    progress: Progress, cases: Sequence[TrainingCase], scores: Sequence[float]
) -> Progress:
    """Progress with the Dice of each case, where they were just validated."""
    if not scores:
        return progress
    metrics = {**progress.metrics, "val_dice": mean(scores)}
    return replace(
        progress,
        metrics=metrics,
        per_case={case.case_id: value for case, value in zip(cases, scores, strict=True)},
    )
