"""From a tumor probability to a label map: the threshold, and small regions that are hidden."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..core.volume import TUMOR, Grid, LabelMap, Volume

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

    least_share: float = 0.0
    """Smallest share of the largest region that is shown."""

    @classmethod
    def of(cls, probability: Volume, least_share: float = 0.0) -> ProbabilitySteps:
        """Steps of a probability volume, 0 to 1."""
        steps = np.empty(probability.data.shape, np.uint8)
        for out, plane in zip(steps, probability.data, strict=True):
            # Not rounded to the nearest: a voxel just below a threshold must stay below it.
            out[:] = np.asarray(plane, np.float32) * np.float32(PROBABILITY_STEPS)
        return cls(steps, probability.grid, least_share)

    def at_threshold(self, threshold: float) -> LabelMap:
        """Label map at a threshold, which is rounded up to the next half per cent."""
        least = int(np.ceil(round(threshold * PROBABILITY_STEPS, 6)))
        is_tumor = self.steps >= np.uint8(max(least, 1))
        _leave_out_small(is_tumor, self.least_share)
        return LabelMap(is_tumor.view(np.uint8) * np.uint8(TUMOR), self.grid)


def marked(probability: Volume, threshold: float, least_share: float = 0.0) -> tuple[LabelMap, int]:
    """Label map of a probability (Z, Y, X), and how many small regions were hidden.

    Parameters
    ----------
    probability : Volume
    threshold : float
        Probability from which a voxel is tumor.
    least_share : float
        Smallest share of the largest region's voxels that a region must have; regions are
        connected through faces, edges and corners.

    Examples
    --------
    >>> from napari_breastseg.core.volume import Grid
    >>> row = Volume(np.array([[[0.9, 0.9, 0.9, 0.1, 0.8]]]), Grid((1, 1, 5)))
    >>> label_map, left_out = marked(row, 0.5, least_share=0.5)
    >>> label_map.data.tolist(), left_out
    ([[[1, 1, 1, 0, 0]]], 1)
    """
    is_tumor = np.asarray(probability.data, np.float32) >= threshold
    left_out = _leave_out_small(is_tumor, least_share)
    return LabelMap(is_tumor.astype(np.uint8) * np.uint8(TUMOR), probability.grid), left_out


def _leave_out_small(is_tumor: NDArray[np.bool_], least_share: float) -> int:
    """Clear regions smaller than a share of the largest, in place; how many those were."""
    from scipy import ndimage

    if least_share <= 0 or not is_tumor.any():
        return 0
    (box,) = ndimage.find_objects(is_tumor.view(np.uint8))  # labeling a whole exam is slow
    regions, count = ndimage.label(is_tumor[box], np.ones((3, 3, 3)))
    sizes = np.bincount(regions.ravel(), minlength=count + 1)[1:]
    is_kept = sizes >= least_share * sizes.max()
    is_tumor[box] = np.concatenate([[False], is_kept])[regions]
    return int(count) - int(is_kept.sum())
