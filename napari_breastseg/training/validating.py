"""How well the cases held out are segmented. Imports torch when called; no Qt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..core.overlap import dice
from ..core.progress import Job, Progress
from ..core.volume import IGNORE, TUMOR, Grid
from ..imaging.preprocessing import Prepared
from ..model.unet import ModelSpec, place
from ..predict.devices import is_out_of_memory
from ..predict.passes import predict_working
from .cases import TrainingCase
from .ranks import ALONE, Ranks

if TYPE_CHECKING:
    import torch

__all__ = ["dice_of_cases", "mean", "validated"]


def dice_of_cases(
    network: torch.nn.Module,
    spec: ModelSpec,
    cases: Sequence[TrainingCase],
    device: torch.device,
    ranks: Ranks = ALONE,
) -> Job[list[float]]:
    """Dice of each case at threshold 0.5 on the working grid, `ignore` left out."""
    import torch

    scores = []
    wanted = device
    for number, case in enumerate(cases[ranks.rank :: ranks.count]):
        phases = torch.from_numpy(np.array(case.phases, np.float32))
        prepared = Prepared(phases, case.roles, Grid(case.labels.shape))
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
    place(network.train(), wanted, spec.dims)
    return ranks.every(scores)


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
