"""From a tumor probability to findings: what a reader is shown, best first, and what is held back.

A network marks too much of a whole exam: vessels, nipples, moved skin, the heart. Its probability
is cut into connected candidates, each is described by what tells a lesion from those (`Evidence`),
and a trained score orders them.

References
----------
Vignati et al., J Magn Reson Imaging 34, 1341-1351 (2011); Gubern-Merida et al., Med Image Anal 20,
265-274 (2015): lesion candidates in breast DCE-MRI, and features that leave few of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..core.progress import Job, Progress
from ..core.volume import TUMOR, Exam, Grid, LabelMap, Volume
from .evidence import Evidence, Surroundings, evidence_of

if TYPE_CHECKING:
    from ..imaging.breast_region import Breasts
    from .finding_score import FindingScore

__all__ = [
    "SMALLEST_MM",
    "Finding",
    "Findings",
    "candidates",
    "evidence_json",
    "find",
    "least_voxels",
]

SMALLEST_MM = 4.0
"""Diameter of the ball whose volume a finding must have: what is smaller cannot be told from a
vessel seen end on. A focus of the field's lexicon (BI-RADS) is under 5 mm."""

_JOIN_MM = 2.0
"""Shreds this near to each other are one finding where the probability between them is not low."""

_BETWEEN = 0.5
"""Share of the threshold that the probability must have there."""

_LEAST_INSIDE = 0.7
"""Share of a finding that must lie within the breasts for it to be shown: muscle and skin are
marked at their edge. Of 167 candidates that were lesions of the synthetic exams the score is fitted
on none had less inside, of 2,610 others 6 in 100."""

_MOST = 250
"""Largest number of candidates described; the largest are."""


@dataclass(frozen=True)
class Finding:
    """One place that a model marked."""

    number: int
    """Its value in `Findings.labels`, from 1: the most likely lesion first."""

    score: float | None
    """Probability that it is a lesion, 0 to 1; None without a score, as in a single slice."""

    is_shown: bool
    """Whether the mask shows it; else it is held back, and can be asked for."""

    voxels: int
    volume_ml: float | None
    """None where the spacing is not known, or in a single slice."""

    box: tuple[slice, slice, slice]
    """Smallest box that holds it (z, y, x)."""

    center_voxel: tuple[float, float, float]
    """Center of mass (z, y, x)."""

    evidence: Evidence


@dataclass(frozen=True, eq=False)
class Findings:
    """What a model found in an exam, the most likely lesion first."""

    findings: tuple[Finding, ...]

    labels: NDArray[np.uint16]
    """Shape (Z, Y, X): 0, or the number of the finding."""

    grid: Grid

    specks: int = 0
    """Marks smaller than `SMALLEST_MM`, which are in no finding."""

    @property
    def shown(self) -> tuple[Finding, ...]:
        """Findings in the mask."""
        return tuple(one for one in self.findings if one.is_shown)

    @property
    def weaker(self) -> tuple[Finding, ...]:
        """Findings held back."""
        return tuple(one for one in self.findings if not one.is_shown)

    def mask(self, numbers: tuple[int, ...] | None = None) -> LabelMap:
        """Label map of some findings; of those shown by default."""
        chosen = np.zeros(len(self.findings) + 1, np.uint8)
        wanted = [one.number for one in self.shown] if numbers is None else list(numbers)
        chosen[wanted] = TUMOR
        return LabelMap(chosen[self.labels], self.grid)

    def cut(self, is_tumor: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Parts of a mask (Z, Y, X) at another threshold that belong to findings shown.

        A connected part belongs to them if it touches one of them; one that touches no finding at
        all was under the threshold at which findings are made, and is held back.
        """
        from scipy import ndimage

        if not is_tumor.any():
            return is_tumor
        shown = self.mask().tumor
        parts, count = ndimage.label(is_tumor | shown, np.ones((3, 3, 3)))
        touching = np.zeros(count + 1, bool)
        touching[np.unique(parts[shown])] = True
        touching[0] = False
        kept: NDArray[np.bool_] = touching[parts] & is_tumor
        return kept


def find(
    probability: Volume,
    exam: Exam,
    *,
    threshold: float = 0.5,
    breasts: Breasts | None = None,
    score: FindingScore | None = None,
) -> Job[Findings]:
    """Findings of a probability, ordered by a score.

    Parameters
    ----------
    probability : Volume
        Tumor probability (Z, Y, X) on the exam's grid, 0 to 1.
    exam : Exam
        The phases tell lesions from what moved, pulsed or merely is bright.
    threshold : float
        Probability from which a voxel is tumor.
    breasts : Breasts, optional
        Depths below skin and before the chest wall, and the other side, where they are known.
    score : FindingScore, optional
        Without it every finding is shown, the largest first.

    Returns
    -------
    generator of Progress, giving Findings
    """
    yield Progress("Sorting the findings", 0, 0)
    labels, volumes, specks = candidates(probability, threshold)
    order = np.argsort(-volumes, kind="stable")
    surroundings = Surroundings.of(exam, probability, labels, breasts)
    found: list[Finding] = []
    boxes = _boxes(labels)
    voxel_ml = None if exam.grid.shape[0] == 1 else exam.grid.voxel_ml
    for place, number in enumerate(int(n) + 1 for n in order):
        yield Progress("Sorting the findings", place, len(order))
        box = boxes[number - 1]
        mask = labels[box] == number
        evidence = evidence_of(surroundings, mask, box)
        start = [part.start for part in box]
        z, y, x = np.argwhere(mask).mean(axis=0) + start
        found.append(
            Finding(
                number,
                None if score is None else score.of(exam).score(evidence),
                True,
                int(volumes[number - 1]),
                None if voxel_ml is None else float(volumes[number - 1] * voxel_ml),
                box,
                (float(z), float(y), float(x)),
                evidence,
            )
        )
    if score is not None:
        limit = score.of(exam).limit
        found = [replace(one, is_shown=_is_likely(one, limit)) for one in found]
        found.sort(key=lambda one: (not one.is_shown, -(one.score or 0.0)))
    places = np.zeros(len(found) + 1, np.uint16)
    places[[one.number for one in found]] = np.arange(1, len(found) + 1)
    named = tuple(replace(one, number=n) for n, one in enumerate(found, start=1))
    for plane in labels:  # in place: an exam has no room for two of them
        plane[:] = places[plane]
    return Findings(named, labels, exam.grid, specks)


def _is_likely(finding: Finding, limit: float) -> bool:
    inside = finding.evidence.inside
    return (finding.score or 0.0) >= limit and (inside is None or inside >= _LEAST_INSIDE)


def candidates(
    probability: Volume, threshold: float
) -> tuple[NDArray[np.uint16], NDArray[np.int64], int]:
    """Connected candidates of a probability (Z, Y, X), and how many specks are in none of them.

    Voxels at or above the threshold, joined where they almost touch and the probability between
    them is at least half of it, and with what they enclose within a slice: a rim with a dark
    center is one lesion.

    Returns
    -------
    labels : array of uint16, shape (Z, Y, X)
    voxels : array, shape (N,)
        Size of each.
    specks : int
    """
    from scipy import ndimage

    grid = probability.grid
    data = np.asarray(probability.data, np.float32)
    # Each of these is as large as the exam: none is kept longer than it is needed.
    core = data >= threshold
    (box,) = ndimage.find_objects(core.view(np.uint8)) or (None,)
    if box is None:
        return np.zeros(data.shape, np.uint16), np.zeros(0, np.int64), 0
    reach = _join_voxels(grid)
    wide = tuple(
        slice(max(0, part.start - r - 1), part.stop + r + 1)
        for part, r in zip(box, reach, strict=True)
    )
    inner = core[wide]
    if any(reach):
        z, y, x = np.ogrid[tuple(slice(-r, r + 1) for r in reach)]
        ball = sum((n / max(r, 1)) ** 2 for n, r in zip((z, y, x), reach, strict=True)) <= 1.0
        joined = ndimage.binary_closing(inner, ball)
        joined &= data[wide] >= _BETWEEN * threshold
        joined |= inner
        inner = joined
        del joined
    del core
    for plane in inner:
        if plane.any():
            plane[:] = ndimage.binary_fill_holes(plane)
    parts, count = _parts(inner)
    del inner, plane
    sizes = np.zeros(count, np.int64)
    for part in parts:  # numpy counts 8-byte numbers only, and would make a copy of them all
        sizes += np.bincount(part.ravel(), minlength=count + 1)[1:]
    # What filling and joining added must not make a finding of what no voxel supports.
    is_large = sizes >= least_voxels(grid)
    chosen = np.flatnonzero(is_large)
    if len(chosen) > _MOST:
        chosen = chosen[np.argsort(-sizes[chosen])[:_MOST]]
    numbers = np.zeros(count + 1, np.uint16)
    numbers[chosen + 1] = np.arange(1, len(chosen) + 1)
    labels = np.zeros(data.shape, np.uint16)
    for shown, own in zip(labels[wide], parts, strict=True):
        shown[:] = numbers[own]
    return labels, sizes[chosen].astype(np.int64), int(count - len(chosen))


def _parts(mask: NDArray[np.bool_]) -> tuple[NDArray[np.integer], int]:
    """Connected parts of a mask, numbered from 1, and how many they are."""
    from scipy import ndimage

    parts = np.empty(mask.shape, np.uint16)
    try:
        count = ndimage.label(mask, np.ones((3, 3, 3)), output=parts)
    except RuntimeError:  # more of them than such numbers
        whole: tuple[NDArray[np.integer], int] = ndimage.label(mask, np.ones((3, 3, 3)))
        return whole
    return parts, int(count)


def _join_voxels(grid: Grid) -> tuple[int, int, int]:
    if grid.spacing_mm is None:
        return 0, 0, 0
    z, y, x = (int(_JOIN_MM / 2 / step + 0.5) for step in grid.spacing_mm)
    return z, y, x


def least_voxels(grid: Grid) -> int:
    """Voxels that make a finding: a ball of `SMALLEST_MM`, or a disc of it in a single slice."""
    if grid.spacing_mm is None:
        return 4
    z, y, x = grid.spacing_mm
    if grid.shape[0] == 1:
        return max(2, round(np.pi / 4 * SMALLEST_MM**2 / (y * x)))
    return max(3, round(np.pi / 6 * SMALLEST_MM**3 / (z * y * x)))


def _boxes(labels: NDArray[np.uint16]) -> list[tuple[slice, slice, slice]]:
    from scipy import ndimage

    return [(z, y, x) for z, y, x in ndimage.find_objects(labels)]


def evidence_json(evidence: Evidence) -> Mapping[str, float | None]:
    """Evidence as plain values, rounded."""
    values = {one.name: getattr(evidence, one.name) for one in fields(evidence)}
    return {name: None if v is None else round(float(v), 4) for name, v in values.items()}
