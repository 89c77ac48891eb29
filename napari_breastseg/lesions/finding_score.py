"""A small trained score that tells lesions from other findings: logistic regression, as JSON.

One set of weights for each kind of exam, as what is known differs: a dynamic series (pre and two
posts or more), a pair (pre and one post), a single post-contrast series. Every weight has the sign
that its meaning asks for, so that what was learned on one kind of exam cannot turn around on
another.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..core.errors import InputError
from ..core.volume import Exam
from .evidence import Evidence

__all__ = ["KINDS", "FindingScore", "Kind", "Weights", "fitted", "kind_of"]

Kind = Literal["dynamic", "pair", "single"]
KINDS: tuple[Kind, ...] = ("dynamic", "pair", "single")

Floats = NDArray[np.float64]

_FEATURES: Mapping[str, tuple[float, float, int]] = {
    "log_volume": (-4.0, 3.0, 1),
    "peak": (0.3, 1.0, 1),
    "mean": (0.3, 1.0, 1),
    "elongation": (1.0, 5.0, -1),
    "fullness": (0.1, 1.0, 1),
    "brightness": (-2.0, 8.0, 1),
    "contrast": (-2.0, 8.0, 1),
    "rise": (-2.0, 15.0, 1),
    "rise_contrast": (-2.0, 15.0, 1),
    "percent": (0.0, 2.0, 1),
    "consistency": (0.0, 1.0, 1),
    "negative": (0.0, 0.5, -1),
    "skin_mm": (0.0, 12.0, 1),
    "wall_mm": (-10.0, 10.0, 1),
    "inside": (0.0, 1.0, 1),
    "mirror": (0.0, 1.0, -1),
    "edge_mm": (0.0, 8.0, 1),
}
"""Smallest and largest value that counts of each figure of `Evidence`, and the sign of its weight:
more volume, more enhancement, farther from the skin speak for a lesion; length, marks at the mirror
place and signal lost beside it speak against it."""

FALSE_PER_EXAM = 1.5
"""False findings an exam at the operating point, on synthetic exams that are full of what looks
like a lesion: nodes within the breast, and vessels that enhance as lesions do. Real exams have
fewer."""


class Weights(BaseModel):
    """Score of one kind of exam: a standardized figure's weight, and the operating point."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    mean: dict[str, float]
    """What counts where a figure is not known."""

    weight: dict[str, float]
    """Weight of a figure's distance from its mean, in its own unit."""

    intercept: float
    limit: float = Field(ge=0, le=1)
    """Score from which a finding is shown."""

    curve: list[tuple[float, float, float]] = []
    """Score, false findings an exam and share of the lesions found at it, on the exams that it was
    fitted on, each scored by weights that had not seen it."""

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        values = [*self.mean.values(), *self.weight.values(), self.intercept]
        if set(self.weight) - set(_FEATURES) or set(self.weight) != set(self.mean):
            raise ValueError(f"weights and means must be of {', '.join(_FEATURES)}")
        if not np.isfinite(values).all():
            raise ValueError("weights and means must be finite numbers")
        return self

    def score(self, evidence: Evidence) -> float:
        """Probability that a candidate is a lesion, 0 to 1."""
        total = self.intercept
        for name, weight in self.weight.items():
            total += weight * (_value(evidence, name, self.mean[name]) - self.mean[name])
        return float(1 / (1 + np.exp(-np.clip(total, -50, 50))))


class FindingScore(BaseModel):
    """Scores of the kinds of exams, as a model's JSON file holds them."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    weights: dict[Kind, Weights]

    @model_validator(mode="after")
    def _has_every_kind(self) -> Self:
        if set(self.weights) != set(KINDS):
            raise ValueError(f"a score needs weights for {', '.join(KINDS)}")
        return self

    @classmethod
    def read(cls, value: Any, model: str) -> Self:
        """Score from the value in a model's JSON file.

        Raises
        ------
        InputError
            If it is not one.
        """
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            wrong = error.errors()[0]
            place = ".".join(str(part) for part in wrong["loc"])
            raise InputError(
                f"Expected the score of findings in model {model} to hold weights",
                f"found {place or 'it'}: {wrong['msg']}",
                "Import the model again, or train it again",
            ) from None

    def of(self, exam: Exam) -> Weights:
        """Weights for an exam's kind."""
        return self.weights[kind_of(exam.phases)]


def kind_of(roles: Collection[str]) -> Kind:
    """A dynamic series, pre and one post, or nothing to compare, by the phases there are.

    Examples
    --------
    >>> kind_of(("pre", "post1", "post2")), kind_of(("pre", "post1")), kind_of(("post1", "post2"))
    ('dynamic', 'pair', 'single')
    """
    if "pre" not in roles:
        return "single"
    posts = [role for role in roles if role.startswith("post") and role[4:].isdigit()]
    return "dynamic" if len(posts) > 1 else "pair"


def fitted(
    exams: Sequence[Sequence[tuple[Evidence, bool]]],
    lesions: int,
    *,
    prior: Weights | None = None,
    strength: float = 3.0,
    false_per_exam: float = FALSE_PER_EXAM,
) -> Weights:
    """Weights that tell lesions from other candidates.

    Parameters
    ----------
    exams : sequence of sequences
        The candidates of each exam, and whether each is a lesion.
    lesions : int
        Lesions in all these exams, those without a candidate included.
    prior : Weights, optional
        What was known before; the fit stays near it where the exams say little.
    strength : float
        How firmly, in standardized units: the weight of the squared distance from the prior, or
        from 0.
    false_per_exam : float
        What decides the operating point, in exams that the weights have not seen. The limit of
        `prior` is kept when there is one.

    Returns
    -------
    Weights
    """
    names = tuple(_FEATURES)
    matrices = [
        np.array([[_value(e, n, np.nan) for n in names] for e, _ in exam]).reshape(-1, len(names))
        for exam in exams
    ]
    truths = [np.array([is_lesion for _, is_lesion in exam], bool) for exam in exams]
    everything = np.concatenate(matrices)
    known = np.isfinite(everything)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, everything, 0).sum(axis=0) / count
    spread = np.sqrt((np.where(known, everything - mean, 0) ** 2).sum(axis=0) / count)
    if prior is not None:
        mean = np.array([prior.mean.get(name, m) for name, m in zip(names, mean, strict=True)])
    is_used = (known.sum(axis=0) > 0) & (spread > 1e-9)
    # A figure that hardly varies in these exams must not count for much in others.
    ranges = np.array([_FEATURES[name][1] - _FEATURES[name][0] for name in names])
    spread = np.maximum(spread, ranges / 10)
    if prior is not None:
        is_used = np.array([name in prior.weight for name in names])
        spread = ranges / 4
    standard = [np.where(np.isfinite(m), (m - mean) / spread, 0) * is_used for m in matrices]
    start = np.zeros(len(names) + 1)
    if prior is not None:
        start[:-1] = [prior.weight.get(name, 0.0) for name in names] * spread
        start[-1] = prior.intercept

    def fit(chosen: Sequence[int]) -> Floats:
        return _fit(
            np.concatenate([standard[n] for n in chosen]),
            np.concatenate([truths[n] for n in chosen]),
            np.array([_FEATURES[name][2] for name in names]),
            start,
            strength,
        )

    solution = fit(range(len(exams)))
    curve: list[tuple[float, float, float]] = [] if prior is None else list(prior.curve)
    limit = 0.5 if prior is None else prior.limit
    if prior is None:
        folds = min(5, len(exams))
        scores = [np.zeros(0)] * len(exams)
        for fold in range(folds):
            others = [n for n in range(len(exams)) if n % folds != fold]
            own = fit(others or range(len(exams)))
            for n in range(fold, len(exams), folds):
                scores[n] = 1 / (1 + np.exp(-(standard[n] @ own[:-1] + own[-1])))
        curve = _curve(np.concatenate(scores), np.concatenate(truths), len(exams), lesions)
        allowed = [point for point in curve if point[1] <= false_per_exam]
        limit = min((point[0] for point in allowed), default=1.0)
    used = [place for place, name in enumerate(names) if is_used[place]]
    return Weights(
        mean={names[n]: round(float(mean[n]), 5) for n in used},
        weight={names[n]: round(float(solution[n] / spread[n]), 5) for n in used},
        intercept=round(float(solution[-1]), 5),
        limit=round(float(limit), 4),
        curve=[(round(s, 4), round(f, 3), round(found, 3)) for s, f, found in _thinned(curve)],
    )


def _fit(
    x: Floats, is_lesion: NDArray[np.bool_], signs: Floats, start: Floats, strength: float
) -> Floats:
    """Logistic regression with signed weights, lesions and others weighing the same in all."""
    from scipy.optimize import minimize

    weight = np.ones(len(x))
    if 0 < is_lesion.sum() < len(x):
        # Scores then are probabilities among as many lesions as others: the limit decides.
        weight[is_lesion] = (len(x) - is_lesion.sum()) / is_lesion.sum()
        weight /= weight.mean()
    sign = np.where(is_lesion, 1.0, -1.0)

    def loss(w: Floats) -> tuple[float, Floats]:
        margin = sign * (x @ w[:-1] + w[-1])
        away = w - start
        away[-1] = 0 if not start.any() else away[-1]
        value = float((weight * np.logaddexp(0, -margin)).sum() + strength * (away**2).sum())
        pull = -weight * sign / (1 + np.exp(np.clip(margin, -50, 50)))
        return value, np.append(x.T @ pull, pull.sum()) + 2 * strength * away

    bounds = [(0, None) if s > 0 else (None, 0) for s in signs]
    result = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[*bounds, (None, None)])
    solution: Floats = result.x
    return solution


def _curve(
    scores: Floats, is_lesion: NDArray[np.bool_], exams: int, lesions: int
) -> list[tuple[float, float, float]]:
    """Score, false findings an exam, share of the lesions found; from the best score down."""
    order = np.argsort(-scores, kind="stable")
    false = np.cumsum(~is_lesion[order]) / max(exams, 1)
    found = np.cumsum(is_lesion[order]) / max(lesions, 1)
    return [
        (float(s), float(f), float(t)) for s, f, t in zip(scores[order], false, found, strict=True)
    ]


def _thinned(curve: Sequence[tuple[float, float, float]]) -> list[tuple[float, float, float]]:
    """The curve without the points in which hardly anything changes."""
    kept = list(curve[:1])
    for point in curve[1:]:
        if point[1] - kept[-1][1] >= 0.05 or point[2] - kept[-1][2] >= 0.02:
            kept.append(point)
    return kept


def _value(evidence: Evidence, name: str, unknown: float) -> float:
    low, high, _ = _FEATURES[name]
    value = getattr(evidence, name)
    return unknown if value is None else float(np.clip(value, low, high))
