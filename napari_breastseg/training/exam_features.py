"""What a network saw of an exam before its last layer, kept box by box, to be weighed anew.

Imports torch when called; no Qt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.progress import Job
from ..core.region import Region
from ..core.volume import IGNORE, TUMOR, Volume
from ..model.unet import place
from .corrections import Corrections
from .exam_view import ExamView
from .linear import fitted, logistic

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["BACKGROUND", "ExamFeatures", "own_weights", "weights_of"]

MOST_SAMPLES, LEAST_SAMPLES = 20_000, 2_000
"""Voxels of a box in the regression."""

BACKGROUND = 0.02
"""Where the draft is this sure, far from all that is marked, is background to keep."""


class ExamFeatures:
    """Features of one exam, in the boxes that were looked at last.

    Parameters
    ----------
    view : ExamView
    """

    def __init__(self, view: ExamView) -> None:
        self.view = view
        self._kept: list[tuple[Region, NDArray[np.float16]]] = []

    def look(self, network: Any, boxes: Sequence[Region], device: torch.device) -> Job[None]:
        """Keep the features of these boxes, and forget others.

        Parameters
        ----------
        network : torch.nn.Module
            A network of `model.unet`, in evaluation mode.
        boxes : sequence of Region
        device : torch.device

        Yields
        ------
        Progress
        """
        from torch.nn.functional import interpolate

        place(network, device, 2)

        def compute(batch: torch.Tensor) -> torch.Tensor:
            seen: torch.Tensor = network.features(batch).float()
            # After a stem that halves, the head brings them up.
            size = batch.shape[2:]
            return seen if seen.shape[2:] == size else interpolate(seen, size=size, mode="bilinear")

        kept = [one for one in self._kept if any(_holds(one[0], box) for box in boxes)]
        for box in boxes:
            if not any(_holds(place_, box) for place_, _ in kept):
                job = self.view.look(compute, box, device, "Looking at the findings", each=True)
                seen = yield from job
                kept.append((box, seen.numpy().astype(np.float16)))
        self._kept = kept

    def of(self, box: Region) -> NDArray[np.float16]:
        """Features (F, Z, Y, X) of a box that was looked at, or of a part of one."""
        place_, features = next(one for one in self._kept if _holds(one[0], box))
        inner = [
            slice(part.start - whole.start, part.stop - whole.start)
            for part, whole in zip(box, place_, strict=True)
        ]
        return features[(slice(None), *inner)]

    def probability(self, weights: NDArray[np.float64], box: Region) -> NDArray[np.float32]:
        """Tumor probability (Z, Y, X) of a box by these weights, the last one their constant."""
        logits = np.tensordot(weights[:-1].astype(np.float32), self.of(box), 1) + weights[-1]
        return logistic(logits)

    def samples(
        self, corrections: Corrections, boxes: Sequence[Region], draft: Volume
    ) -> tuple[NDArray[np.float16], NDArray[np.bool_]]:
        """Features (N, F) of voxels in boxes, and whether each is tumor, (N,).

        Those that the reader corrected, and at most as many that the draft was sure are none: two
        slices alone do not show what else lies around a lesion.
        """
        known = corrections.known()
        rng = np.random.default_rng(0)
        xs, ys = [np.zeros((0, self._count), np.float16)], [np.zeros(0, bool)]

        def take(box: Region, at: NDArray[np.intp], most: int) -> int:
            if len(at) > most:
                at = rng.choice(at, most, replace=False)
            xs.append(self.of(box).reshape(self._count, -1)[:, at].T)
            ys.append(known[box].ravel()[at] == TUMOR)
            return len(at)

        for box in boxes:
            labels = known[box]
            taken = take(box, np.flatnonzero(labels.ravel() != IGNORE), MOST_SAMPLES)
            if not corrections.tumor[box].any():
                continue  # the draft may have missed what is there
            sure = (labels == IGNORE) & (np.asarray(draft.data[box]) < BACKGROUND)
            sure &= ~self.view.near(corrections.tumor[box])
            take(box, np.flatnonzero(sure.ravel()), max(taken, LEAST_SAMPLES))
        return np.concatenate(xs), np.concatenate(ys)

    @property
    def _count(self) -> int:
        return self.view.spec.features[0] * len(self.view.views)


def own_weights(network: nn.Module, view: ExamView) -> NDArray[np.float64]:
    """Weights of the network's own last layer: of tumor, less those of background."""
    head: Any = network.get_submodule("head")
    weight = head[0].conv.weight.detach().cpu().double().flatten(1).numpy()
    bias = head[0].conv.bias.detach().cpu().double().numpy()
    times = len(view.views)
    own = np.tile((weight[TUMOR] - weight[0]) / times, times)
    return np.append(own, bias[TUMOR] - bias[0])


def weights_of(
    features: Sequence[ExamFeatures],
    corrections: Sequence[Corrections],
    boxes: Sequence[Sequence[Region]],
    drafts: Sequence[Volume],
    prior: NDArray[np.float64],
    pull: float,
) -> NDArray[np.float64]:
    """Weights that tell tumor in what was corrected of several exams; see `linear.fitted`."""
    parts = [
        one.samples(corrected, of_exam, draft)
        for one, corrected, of_exam, draft in zip(features, corrections, boxes, drafts, strict=True)
    ]
    x, y = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return fitted(x, y, prior, pull) if len(x) else prior


def _holds(place_: Region, box: Region) -> bool:
    return all(a.start <= b.start and b.stop <= a.stop for a, b in zip(place_, box, strict=True))
