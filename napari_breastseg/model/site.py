"""The exams a site's model was fine-tuned on, and how much a new exam is like them.

A model that was fine-tuned on a site's exams keeps the general model beside the site's, see
`checkpoint.Checkpoint`. What its own exams look like is kept as the mean of what the general
model's encoder sees in them (`predict.likeness`), one mean for each set of phases. An exam among
them gets the site's model; one far from all, or with other phases, the general model; one between
a mixture.

Imports no torch, no Qt.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

__all__ = ["SHARES", "Site", "SiteExams"]

SHARES = 4
"""Parts in which a share is given: quarters, so that few mixtures have to be made."""

NEAR, FAR = 1.3, 2.1
"""Distance of an exam, in units of how far the site's own lie from their mean, up to which it gets
the site's model alone, and from which it gets none of it. Chosen on I-SPY validation slices made to
look like another site's: once six patients are known, three in four exams of others lie within 1.5,
nine in ten exams from elsewhere with the same phases beyond 1.8."""

USUAL_SPREAD, USUAL_WEIGHT = 1.5, 2.0
"""Mean squared distance of a site's exams from their mean, where it cannot be measured, and how
many patients this counts as: two patients say little about how different a site's exams are."""

LARGEST_DEVIATION = 5.0
"""Standard deviations to which a feature's distance is cut: a few odd ones must not decide."""


class SiteExams(BaseModel):
    """Exams with the same phases that a model was fine-tuned on."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    phases: tuple[str, ...]
    cases: int
    patients: int

    mean: tuple[float, ...]
    """Mean of the patients' features, in units of `Site.scale`."""

    spread: float
    """Mean squared distance, over features, of a patient's exam from the others' mean."""

    @classmethod
    def of(
        cls,
        phases: tuple[str, ...],
        features: NDArray[np.float32],
        patients: Sequence[str],
    ) -> SiteExams:
        """Exams with these features, scaled, (cases, features), and of these patients."""
        names = sorted(set(patients))
        by_patient = [features[[p == name for p in patients]] for name in names]
        means = np.stack([own.mean(0) for own in by_patient])
        distances = [
            np.mean([_distance(one, np.delete(means, n, 0).mean(0)) for one in own])
            for n, own in enumerate(by_patient)
            if len(names) > 1
        ]
        spread = USUAL_WEIGHT * USUAL_SPREAD + float(np.sum(distances))
        return cls(
            phases=phases,
            cases=len(features),
            patients=len(names),
            mean=tuple(round(float(value), 4) for value in means.mean(0)),
            spread=round(spread / (USUAL_WEIGHT + len(distances)), 4),
        )


class Site(BaseModel):
    """What a site's exams look like to the general model's encoder."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    scale: tuple[float, ...]
    """Standard deviation of each feature over synthetic exams of all kinds."""

    exams: tuple[SiteExams, ...]
    """One entry for each set of phases, and for each training."""

    @property
    def scale_array(self) -> NDArray[np.float32]:
        """The scale as an array, shape (features,)."""
        return np.array(self.scale, np.float32)

    def share(self, features: NDArray[np.float32], phases: tuple[str, ...]) -> float:
        """Share of the site's model that suits an exam: 0, a quarter, ..., 1.

        Parameters
        ----------
        features : array, shape (features,)
            What `predict.likeness.exam_features` gives.
        phases : tuple of str
            Phases that the model uses of it, in the model's order.

        Examples
        --------
        >>> own = SiteExams(phases=("post1",), cases=4, patients=2, mean=(2.0, -1.0), spread=1.0)
        >>> site = Site(scale=(1.0, 2.0), exams=(own,))
        >>> [site.share(np.array(one, np.float32), ("post1",)) for one in ((2, -2), (9, 9))]
        [1.0, 0.0]
        >>> site.share(np.array((2, -2), np.float32), ("pre", "post1"))
        0.0
        """
        scaled = features / self.scale_array
        distances = [
            _distance(scaled, np.array(own.mean, np.float32)) / own.spread
            for own in self.exams
            if own.phases == phases
        ]
        share = (FAR - min(distances, default=FAR)) / (FAR - NEAR)
        return round(min(max(share, 0.0), 1.0) * SHARES) / SHARES


def _distance(features: NDArray[np.float32], mean: NDArray[np.float32]) -> float:
    squared = np.minimum(np.abs(features - mean), LARGEST_DEVIATION) ** 2
    return float(squared.mean())
