"""The few steps in which a copy of a network learns the corrections of one exam.

Imports torch when called; no Qt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..core.progress import Job, Progress
from ..model.unet import ModelSpec, place
from .cases import TrainingCase
from .loss import segmentation_loss
from .patches import PatchSource, make_batch
from .steps import keep_norm_statistics

if TYPE_CHECKING:
    import torch

__all__ = ["ExamLearning", "learn"]

LARGEST_GRADIENT = 1.0
"""Norm to which a longer gradient is shortened."""


@dataclass(frozen=True)
class ExamLearning:
    """How an exam learns from its own corrections."""

    steps: int = 30
    batch_size: int = 2
    learning_rate: float = 5e-4

    patch_px: int = 160
    """Side of a patch on the model's working grid; less where the slices are smaller."""

    lesion_fraction: float = 0.7
    """Share of patches placed on a tumor."""

    gain: float = 0.15
    """Brightness is changed by up to this share."""

    pull: float = 0.01
    """How strongly the regression on features is drawn to the network's last layer, see
    `linear.fitted`."""


def learn(
    network: torch.nn.Module,
    spec: ModelSpec,
    cases: Sequence[TrainingCase],
    how: ExamLearning,
    device: torch.device,
) -> Job[None]:
    """Change a network so that it gives what a reader corrected.

    Parameters
    ----------
    network : torch.nn.Module
        A copy: its weights change. Its batch norms keep the statistics they have.
    spec : ModelSpec
    cases : sequence of TrainingCase
        What is known of each exam; the rest is `ignore`.
    how : ExamLearning
    device : torch.device

    Yields
    ------
    Progress
    """
    import torch

    stage = "Learning from the corrections"
    layout = place(network.train(), device, spec.dims)
    keep_norm_statistics(network)
    optimizer = torch.optim.AdamW(network.parameters(), lr=how.learning_rate)
    source = PatchSource(cases, _patch(cases, spec, how), how.lesion_fraction)
    vary = _FlipsAndBrightness(how.gain)
    for step in range(how.steps):
        yield Progress(stage, step, how.steps)
        inputs, labels = make_batch(
            source, vary, spec, samples=range(how.batch_size), seed=0, step=step
        )
        optimizer.zero_grad(set_to_none=True)
        logits = network(inputs.to(device, memory_format=layout)).float()
        segmentation_loss(logits, labels.to(device)).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), LARGEST_GRADIENT)
        optimizer.step()
    network.eval()
    yield Progress(stage, how.steps, how.steps)


def _patch(
    cases: Sequence[TrainingCase], spec: ModelSpec, how: ExamLearning
) -> tuple[int, int, int]:
    largest = max(max(case.labels.shape[1:]) for case in cases)
    side = min(how.patch_px, spec.divisor * -(-largest // spec.divisor))
    return 1 + 2 * spec.context_slices, side, side


@dataclass(frozen=True)
class _FlipsAndBrightness:
    """Patches mirrored both ways and made brighter or darker: what thirty steps have time for."""

    gain: float

    def __call__(
        self, phases: NDArray[np.float32], labels: NDArray[np.uint8], seed: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        import torch

        rng = np.random.default_rng(seed)
        for axis in (-1, -2):
            if rng.random() < 0.5:
                phases, labels = np.flip(phases, axis), np.flip(labels, axis)
        phases = phases * np.float32(1 + rng.uniform(-self.gain, self.gain))
        return (
            torch.from_numpy(np.ascontiguousarray(phases)),
            torch.from_numpy(np.ascontiguousarray(labels)).long(),
        )
