"""Which findings are lesions, and how many lesions are found at how many false findings an exam.

References
----------
Chakraborty, Med Phys 16, 561-568 (1989): free-response curves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..lesions.findings import Findings

__all__ = ["Marked", "Point", "detection_curve", "lesions_hit"]

HIT_SHARE = 0.2
"""Overlap that makes a finding a lesion: this share of the finding, or of the lesion."""


@dataclass(frozen=True)
class Marked:
    """Findings of one exam, each with its score and the lesion it is."""

    lesions: int
    """Lesions there are."""

    scores: tuple[float, ...]
    hits: tuple[int | None, ...]
    """Number of the lesion each finding is; None for a false finding."""


@dataclass(frozen=True)
class Point:
    """One point of a free-response curve."""

    score: float
    """Findings from this score on are shown."""

    false_per_exam: float
    found: float
    """Share of all lesions that a finding shown is."""


def lesions_hit(findings: Findings, lesions: NDArray[np.integer]) -> tuple[int | None, ...]:
    """Lesion that each finding is, None for those that are none.

    Parameters
    ----------
    findings : Findings
    lesions : array of int, shape (Z, Y, X)
        0, or the number of a lesion.
    """
    sizes = np.bincount(lesions.ravel())
    hits: list[int | None] = []
    for one in findings.findings:
        inside = lesions[one.box][findings.labels[one.box] == one.number]
        counts = np.bincount(inside, minlength=2)
        counts[0] = 0
        lesion = int(counts.argmax())
        share = max(counts[lesion] / len(inside), counts[lesion] / max(sizes[lesion], 1))
        hits.append(lesion if counts[lesion] and share >= HIT_SHARE else None)
    return tuple(hits)


def detection_curve(exams: Sequence[Marked]) -> tuple[Point, ...]:
    """Lesions found against false findings an exam, from the highest score down.

    Examples
    --------
    >>> exams = [Marked(1, (0.9, 0.4), (1, None)), Marked(1, (0.6, 0.2), (None, 1))]
    >>> [(p.score, p.false_per_exam, p.found) for p in detection_curve(exams)]
    [(0.9, 0.0, 0.5), (0.6, 0.5, 0.5), (0.4, 1.0, 0.5), (0.2, 1.0, 1.0)]
    """
    lesions = max(1, sum(exam.lesions for exam in exams))
    marks = sorted(
        (
            (score, number, hit)
            for number, exam in enumerate(exams)
            for score, hit in zip(exam.scores, exam.hits, strict=True)
        ),
        key=lambda mark: -mark[0],
    )
    found: set[tuple[int, int]] = set()
    false, points = 0, []
    for score, number, hit in marks:
        if hit is None:
            false += 1
        else:
            found.add((number, hit))
        points.append(Point(score, false / max(1, len(exams)), len(found) / lesions))
    return tuple(points)
