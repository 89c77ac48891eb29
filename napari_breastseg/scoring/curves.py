"""Curves over pixels: ROC, precision-recall and reliability, from counts added up case by case.

The counts are kept here, not in torchmetrics' binned curves: that would be one more dependency, its
bins are of one width, which joins the crowds of pixels near 0 and 1, and it gives no reliability.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InputError
from ..core.volume import LabelMap

__all__ = ["Curves", "ProbabilityHistogram", "Reliability", "require_same_shape"]

_SHIFT = 11
_HALF = 0x3F000000 >> _SHIFT
_BINS = 2 * _HALF + 1
_CHUNK = 1 << 22


@dataclass(frozen=True, eq=False)
class Curves:
    """ROC and precision-recall curves of pixels, from the highest probability down.

    All four arrays have one shape, (N,); the first point is the one where nothing is called
    tumor, with precision 1.
    """

    false_positive_rate: NDArray[np.float64]
    sensitivity: NDArray[np.float64]
    precision: NDArray[np.float64]
    roc_auc: float
    """Area under the ROC curve; equal probabilities count half."""
    pr_auc: float
    """Average precision: the area in steps, without the too hopeful straight lines between."""
    prevalence: float
    """Share of tumor pixels: the precision of guessing."""


@dataclass(frozen=True, eq=False)
class Reliability:
    """How often pixels are tumor that a model gives a probability, in bins of the latter.

    Arrays of shape (N,), bins without pixels left out.
    """

    probability: NDArray[np.float64]
    """Mean probability in each bin."""
    observed: NDArray[np.float64]
    """Share of its pixels that are tumor."""
    pixels: NDArray[np.int64]
    """How many there are."""

    @property
    def expected_error(self) -> float:
        """Mean distance of the two over the pixels given more than the lowest bin.

        Nearly all pixels lie in that bin, and a mean over them would say nothing of the others.
        """
        weights = self.pixels[1:]
        if weights.sum() == 0:
            return 0.0
        distance = np.abs(self.probability - self.observed)[1:]
        return float(np.average(distance, weights=weights))


class ProbabilityHistogram:
    """Counts of tumor and other pixels by probability, added up case by case.

    A million bins keep whole data sets in 16 MB. Their width is 1/4096 of the probability below
    one half and of its distance from 1 above, so that the crowds near 0 and 1 stay told apart;
    pixels of one bin count as equal, which is exact for values further apart than that.

    References
    ----------
    Davis, Goadrich. The relationship between precision-recall and ROC curves. ICML (2006).

    Examples
    --------
    >>> from napari_breastseg.core.volume import Grid
    >>> reference = LabelMap(np.array([[[0, 0, 1, 1]]], np.uint8), Grid((1, 1, 4)))
    >>> histogram = ProbabilityHistogram()
    >>> histogram.add(np.array([[[0.1, 0.4, 0.35, 0.8]]]), reference, "P001")
    >>> histogram.curves().roc_auc
    0.75
    """

    def __init__(self) -> None:
        self.tumor = np.zeros(_BINS, np.int64)
        self.other = np.zeros(_BINS, np.int64)

    def add(self, probability: NDArray[np.floating], reference: LabelMap, case_id: str) -> None:
        """Count the scored pixels of one case.

        Parameters
        ----------
        probability : array, shape (Z, Y, X)
            Tumor probability from 0 to 1.
        reference : LabelMap
            The truth on the same grid.
        case_id : str
            For the message.

        Raises
        ------
        InputError
            If a probability is not a number from 0 to 1.
        """
        require_same_shape(probability, reference, case_id, "probability map")
        low, high = float(np.min(probability)), float(np.max(probability))
        if not (low >= -1e-3 and high <= 1 + 1e-3):
            raise InputError(
                f"Expected tumor probabilities from 0 to 1 for case {case_id}",
                f"found values from {low:g} to {high:g}",
                "Check the model's last layer and its weights",
            )
        values, labels = probability.reshape(-1), reference.data.reshape(-1)
        for start in range(0, values.size, _CHUNK):
            part = slice(start, start + _CHUNK)
            bins, label = _bin_of(values[part]), labels[part]
            self.tumor += np.bincount(bins[label == 1], minlength=_BINS)
            self.other += np.bincount(bins[label == 0], minlength=_BINS)

    def merge(self, other: ProbabilityHistogram) -> None:
        """Add the counts of `other`."""
        self.tumor += other.tumor
        self.other += other.other

    def reliability(self, bins: int = 10) -> Reliability:
        """Observed against predicted, in so many bins of equal width from 0 to 1.

        Examples
        --------
        >>> from napari_breastseg.core.volume import Grid
        >>> reference = LabelMap(np.array([[[0, 0, 0, 1]]], np.uint8), Grid((1, 1, 4)))
        >>> histogram = ProbabilityHistogram()
        >>> histogram.add(np.array([[[0.25, 0.25, 0.25, 0.25]]]), reference, "P001")
        >>> float(histogram.reliability().observed[0])
        0.25
        """
        used = np.flatnonzero(self.tumor + self.other)
        center, counts = _center_of(used), (self.tumor + self.other)[used]
        place = np.minimum((center * bins).astype(int), bins - 1)
        pixels = np.bincount(place, counts, minlength=bins)
        filled = pixels > 0
        return Reliability(
            probability=(np.bincount(place, counts * center, minlength=bins)[filled])
            / pixels[filled],
            observed=np.bincount(place, self.tumor[used], minlength=bins)[filled] / pixels[filled],
            pixels=pixels[filled].astype(np.int64),
        )

    def curves(self) -> Curves | None:
        """Both curves, or None unless there are tumor pixels and others."""
        used = np.flatnonzero(self.tumor + self.other)[::-1]
        true = np.concatenate([[0], np.cumsum(self.tumor[used])])
        false = np.concatenate([[0], np.cumsum(self.other[used])])
        if true[-1] == 0 or false[-1] == 0:
            return None
        sensitivity, rate = true / true[-1], false / false[-1]
        precision = true / np.maximum(true + false, 1)
        precision[0] = 1.0
        return Curves(
            false_positive_rate=rate,
            sensitivity=sensitivity,
            precision=precision,
            roc_auc=float(np.sum(np.diff(rate) * (sensitivity[1:] + sensitivity[:-1])) / 2),
            pr_auc=float(np.sum(np.diff(sensitivity) * precision[1:])),
            prevalence=float(true[-1] / (true[-1] + false[-1])),
        )


def _bin_of(probability: NDArray[np.floating]) -> NDArray[np.int64]:
    # A positive float's bits rise with its value; the leading ones make bins of even relative
    # width. Adding 0 turns -0.0, whose bits are the largest of all, into 0.0.
    clipped = np.clip(probability.astype(np.float32), 0, 1) + np.float32(0)
    upper = clipped >= 0.5
    nearest_end = np.where(upper, np.float32(1) - clipped, clipped)
    code = (nearest_end.view(np.uint32) >> _SHIFT).astype(np.int64)
    return np.where(upper, 2 * _HALF - code, code)


def _center_of(bins: NDArray[np.int64]) -> NDArray[np.float64]:
    """Lowest probability of each bin of `_bin_of`, seen from its nearer end."""
    upper = bins > _HALF
    code = np.where(upper, 2 * _HALF - bins, bins).astype(np.uint32) << np.uint32(_SHIFT)
    value = code.view(np.float32).astype(np.float64)
    return np.where(upper, 1 - value, value)


def require_same_shape(
    array: NDArray[np.generic], reference: LabelMap, case_id: str, what: str
) -> None:
    """Raise InputError unless an array has the reference's shape."""
    if array.shape != reference.grid.shape:
        raise InputError(
            f"Expected a {what} of shape {reference.grid.shape} for case {case_id}",
            f"found {array.shape}",
            "Predict on the exam's own grid, in (Z, Y, X) order",
        )
