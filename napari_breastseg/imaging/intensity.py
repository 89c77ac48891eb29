"""Grey windows: between which values an exam is shown to eyes and handed to a network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InputError
from ..core.volume import Exam

__all__ = ["grey_window", "intensity_window"]


def intensity_window(
    arrays: Sequence[NDArray[np.generic]], percentiles: tuple[float, float] = (0.5, 99.5)
) -> tuple[float, float]:
    """Lower and upper grey value of a set of arrays, by percentiles over all of them together.

    Parameters
    ----------
    arrays : sequence of array
        The phases of one exam; large ones are sampled on a regular lattice of about a million
        voxels.
    percentiles : tuple of float
        Lower and upper percentile, 0 to 100.

    Returns
    -------
    tuple of float
        (low, high) with low < high.

    Raises
    ------
    InputError
        If the image is constant (all voxels equal).
    """
    samples = []
    for array in arrays:
        step = max(1, round((array.size / 1e6) ** (1 / 3)))
        steps = tuple(slice(None, None, step if n > 8 else 1) for n in array.shape)
        samples.append(np.asarray(array[steps], dtype=np.float32).ravel())
    low, high = (float(v) for v in np.percentile(np.concatenate(samples), percentiles))
    if high <= low:  # a few bright pixels on an empty ground
        low, high = float(min(s.min() for s in samples)), float(max(s.max() for s in samples))
    if high <= low:
        raise InputError(
            "Expected an image with structure",
            f"found a constant image (all voxels {low:g})",
            "Check the export",
        )
    return low, high


def grey_window(exam: Exam) -> tuple[float, float]:
    """Contrast limits by percentiles over all phases, so that enhancement is visible."""
    return intensity_window([volume.data for volume in exam.phases.values()], (0.5, 99.7))
