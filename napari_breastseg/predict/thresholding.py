"""From a tumor probability to a label map: the threshold, and the findings that are shown."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..core.volume import TUMOR, Grid, LabelMap, Volume
from ..lesions.findings import Findings

__all__ = ["PROBABILITY_STEPS", "ProbabilitySteps", "marked"]

PROBABILITY_STEPS = 200
"""Steps that a kept probability is cut into: half a per cent each."""


@dataclass(frozen=True, eq=False)
class ProbabilitySteps:
    """A probability kept in a quarter of its memory, to cut at other thresholds later on.

    Examples
    --------
    >>> volume = Volume(np.array([[[0.2, 0.7, 1.0]]], np.float32), Grid((1, 1, 3)))
    >>> ProbabilitySteps.of(volume).at_threshold(0.7).data
    array([[[0, 1, 1]]], dtype=uint8)
    """

    steps: NDArray[np.uint8]
    """Whole steps of 1/200 in the probability (Z, Y, X), rounded down."""

    grid: Grid

    findings: Findings | None = None
    """What is shown of it; None shows all."""

    @classmethod
    def of(cls, probability: Volume, findings: Findings | None = None) -> ProbabilitySteps:
        """Steps of a probability volume, 0 to 1."""
        steps = np.empty(probability.data.shape, np.uint8)
        for out, plane in zip(steps, probability.data, strict=True):
            # Not rounded to the nearest: a voxel just below a threshold must stay below it.
            out[:] = np.asarray(plane, np.float32) * np.float32(PROBABILITY_STEPS)
        return cls(steps, probability.grid, findings)

    def at_threshold(self, threshold: float) -> LabelMap:
        """Label map at a threshold, which is rounded up to the next half per cent."""
        least = int(np.ceil(round(threshold * PROBABILITY_STEPS, 6)))
        return _label_map(self.steps >= np.uint8(max(least, 1)), self.grid, self.findings)


def marked(probability: Volume, threshold: float, findings: Findings | None = None) -> LabelMap:
    """Label map of a probability (Z, Y, X).

    Parameters
    ----------
    probability : Volume
    threshold : float
        Probability from which a voxel is tumor.
    findings : Findings, optional
        Only what belongs to one of those shown is marked.

    Examples
    --------
    >>> from napari_breastseg.core.volume import Grid
    >>> row = Volume(np.array([[[0.9, 0.4, 0.8]]]), Grid((1, 1, 3)))
    >>> marked(row, 0.5).data.tolist()
    [[[1, 0, 1]]]
    """
    is_tumor = np.asarray(probability.data, np.float32) >= threshold
    return _label_map(is_tumor, probability.grid, findings)


def _label_map(is_tumor: NDArray[np.bool_], grid: Grid, findings: Findings | None) -> LabelMap:
    if findings is not None:
        is_tumor = findings.cut(is_tumor)
    return LabelMap(is_tumor.astype(np.uint8) * np.uint8(TUMOR), grid)
