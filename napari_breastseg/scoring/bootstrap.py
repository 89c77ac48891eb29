"""How sure a mean over patients is: the bootstrap, for one model and for two compared.

Imports `errors` only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InputError

__all__ = ["RESAMPLES", "SEED", "PairedDifference", "bootstrap_ci95", "paired_bootstrap"]

RESAMPLES = 10_000
"""How often patients are drawn."""

SEED = 0
"""The seed of all published intervals."""


@dataclass(frozen=True)
class PairedDifference:
    """How much one model is better than another on the same patients."""

    mean: float
    ci95: tuple[float, float] | None
    """95 % interval of the mean; None for fewer than two patients."""
    n_patients: int


def bootstrap_ci95(
    values: Sequence[float] | NDArray[np.floating],
    *,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> tuple[float, float] | None:
    """95 % interval of a mean: 2.5th and 97.5th percentile over resamples of the values.

    Parameters
    ----------
    values : sequence of float, shape (N,)
        One value per patient.
    resamples : int
        How many times N values are drawn with replacement.
    seed : int
        The same seed gives the same interval.

    Returns
    -------
    tuple of (low, high), or None
        None for fewer than two values, which tell nothing of their spread.

    References
    ----------
    Efron, Tibshirani. An Introduction to the Bootstrap (1993), chapter 13.

    Examples
    --------
    >>> low, high = bootstrap_ci95([0.7, 0.8, 0.9])
    >>> round(low, 3), round(high, 3)
    (0.7, 0.9)
    >>> bootstrap_ci95([0.8]) is None
    True
    """
    array = np.asarray(values, dtype=np.float64)
    if array.size < 2:
        return None
    generator = np.random.default_rng(seed)
    means = np.empty(resamples)
    at_once = max(1, 4_000_000 // array.size)  # 32 MB of indices
    for start in range(0, resamples, at_once):
        part = means[start : start + at_once]
        part[:] = array[generator.integers(0, array.size, (part.size, array.size))].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def paired_bootstrap(
    a: Mapping[str, float],
    b: Mapping[str, float],
    *,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> PairedDifference:
    """Mean of `a` - `b` over patients, with its 95 % interval.

    Parameters
    ----------
    a, b : mapping of patient id to value
        The same patients scored twice, such as `Evaluation.patient_values("dice")`.
    resamples, seed : int
        As in `bootstrap_ci95`.

    Raises
    ------
    InputError
        If the patients are not the same, or there are none.

    Examples
    --------
    >>> paired_bootstrap({"P1": 0.75, "P2": 1.0}, {"P1": 0.5, "P2": 0.75}).mean
    0.25
    """
    only_one = sorted(set(a) ^ set(b))
    if only_one or not a:
        raise InputError(
            "Expected both models scored on the same patients",
            f"found {len(only_one)} of {len(set(a) | set(b))} patients with one score only"
            if a or b
            else "found no patients",
            "Evaluate both models on the same cases",
        )
    differences = np.array([a[patient] - b[patient] for patient in sorted(a)])
    return PairedDifference(
        mean=float(differences.mean()),
        ci95=bootstrap_ci95(differences, resamples=resamples, seed=seed),
        n_patients=differences.size,
    )
