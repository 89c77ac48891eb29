"""Logistic regression on a network's features, drawn towards the network's own last layer.

Imports numpy only.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["fitted", "logistic"]

NEWTON_STEPS = 25


def logistic(values: NDArray[np.floating]) -> NDArray[np.float32]:
    """1 / (1 + exp(-values)), without overflow."""
    result: NDArray[np.float32] = (0.5 * (1 + np.tanh(0.5 * values))).astype(np.float32)
    return result


def fitted(
    features: NDArray[np.floating],
    is_tumor: NDArray[np.bool_],
    prior: NDArray[np.floating],
    pull: float,
) -> NDArray[np.float64]:
    """Weights of a logistic regression, the last one its constant.

    Parameters
    ----------
    features : array, shape (N, F)
    is_tumor : array of bool, shape (N,)
    prior : array, shape (F + 1,)
        Weights that it is drawn towards.
    pull : float
        How strongly, against the mean log likelihood; in the scale of each feature's spread.

    References
    ----------
    Hastie, Tibshirani, Friedman: The Elements of Statistical Learning, 2nd ed. (2009), section
    4.4.1 (Newton's method), with a Gaussian prior.

    Examples
    --------
    >>> x = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> weights = fitted(x, np.array([False, False, True, True]), np.zeros(2), 0.01)
    >>> bool(-weights[1] / weights[0] > 1.0), bool(-weights[1] / weights[0] < 2.0)
    (True, True)
    """
    x = np.column_stack([features, np.ones(len(features))]).astype(np.float64)
    spread = x.std(axis=0)
    spread[spread < 1e-6] = 1.0
    penalty = pull * spread**2
    penalty[-1] = 0.01 * pull
    weights = prior.astype(np.float64).copy()

    def cost(tried: NDArray[np.float64]) -> float:
        margin = np.where(is_tumor, -1.0, 1.0) * (x @ tried)
        loss = np.logaddexp(0.0, margin).mean()
        return float(loss + 0.5 * (penalty * (tried - prior) ** 2).sum())

    now = cost(weights)
    for _ in range(NEWTON_STEPS):
        p = logistic(x @ weights).astype(np.float64)
        slope = x.T @ (p - is_tumor) / len(x) + penalty * (weights - prior)
        curve = (x * (p * (1 - p))[:, None]).T @ x / len(x) + np.diag(penalty + 1e-9)
        step = np.linalg.solve(curve, slope)
        # Far from the minimum a whole step goes too far.
        for _ in range(10):
            tried = cost(weights - step)
            if tried <= now:
                break
            step /= 2
        else:
            break
        weights, before, now = weights - step, now, tried
        if before - now < 1e-5:
            break
    return weights
