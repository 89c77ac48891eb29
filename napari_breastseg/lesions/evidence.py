"""What tells a lesion from the other bright places of an exam, as figures of one candidate.

A figure is None where the exam cannot give it: no second post-contrast phase, no pre-contrast
phase, no trusted breast region, one breast only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..core.volume import Exam, Volume
from ..imaging.dce import post_roles

if TYPE_CHECKING:
    from ..imaging.breast_region import Breasts

__all__ = ["Evidence", "Surroundings", "evidence_of"]

Floats = NDArray[np.float32]

_SHELL_MM = (2.0, 7.0)
"""What lies around a candidate: from so far to so far from it."""

_MIRROR_MM = 12.0
"""How far from the mirror place in the other breast a mark counts as its counterpart: the breasts
are not of one shape."""

_SAMPLE = 200_000
"""About how many voxels of the breasts tell what is usual in them."""


@dataclass(frozen=True)
class Evidence:
    """Figures of one candidate; None where they cannot be had."""

    log_volume: float
    """Natural logarithm of its volume in mL (of its pixels, where the spacing is not known)."""

    peak: float
    """Largest probability, smoothed over neighboring voxels, 0 to 1."""

    mean: float
    """Mean probability, 0 to 1."""

    elongation: float
    """Length over width: 1 for a ball, large for a vessel."""

    fullness: float
    """Share of its ellipsoid of inertia that it fills."""

    brightness: float
    """Signal in the first post-contrast phase over that of the breasts, in robust deviations."""

    contrast: float
    """The same, over that of the shell around it."""

    rise: float | None = None
    """Enhancement in the first post-contrast phase over that of the breasts, in robust deviations;
    needs pre."""

    rise_contrast: float | None = None
    """The same, over that of the shell around it."""

    percent: float | None = None
    """Relative enhancement in the first post-contrast phase, 1 for 100 %."""

    consistency: float | None = None
    """Mean of the least enhancement over all posts, over that in the first: 1 where it stays, low
    where something moved or pulsed, or washes out strongly; needs pre and two posts."""

    negative: float | None = None
    """Share of the shell that lost signal with contrast: beside an edge that moved."""

    skin_mm: float | None = None
    """Depth below the skin."""

    wall_mm: float | None = None
    """Distance in front of the chest wall; negative behind it."""

    inside: float | None = None
    """Share of it in the breasts."""

    mirror: float | None = None
    """Largest probability near the mirror place in the other breast."""

    edge_mm: float | None = None
    """Distance from the border of the field of view."""


@dataclass(frozen=True, eq=False)
class Surroundings:
    """What the candidates of one exam are compared with."""

    exam: Exam
    probability: Volume
    breasts: Breasts | None
    labels: NDArray[np.uint16]
    """Candidates, shape (Z, Y, X)."""

    usual_post: tuple[float, float]
    """Median and robust deviation of the first post-contrast signal in the breasts."""

    usual_rise: tuple[float, float] | None
    """The same of the enhancement."""

    noise: float
    """Robust deviation of the enhancement below zero, as noise makes it."""

    posts: tuple[str, ...] = ()
    """Post-contrast phases in order of time."""

    @classmethod
    def of(
        cls,
        exam: Exam,
        probability: Volume,
        labels: NDArray[np.uint16],
        breasts: Breasts | None,
    ) -> Surroundings:
        """Surroundings of an exam, in its breasts where they are known."""
        posts = post_roles(exam) or tuple(exam.phases)[-1:]
        where = _sample(exam, breasts)
        post = np.asarray(exam.phases[posts[0]].data[where], np.float32)
        rise, noise = None, 1.0
        if "pre" in exam.phases:
            before = np.asarray(exam.phases["pre"].data[where], np.float32)
            rise = _usual(post - before)
            fallen = (before - post)[post < before]
            # Of a normal distribution's negative half; what moved is a small part of it.
            noise = float(np.median(fallen)) / 0.6745 if fallen.size else 1.0
        return cls(exam, probability, breasts, labels, _usual(post), rise, max(noise, 1e-6), posts)


def evidence_of(
    around: Surroundings, mask: NDArray[np.bool_], box: tuple[slice, slice, slice]
) -> Evidence:
    """Evidence of one candidate.

    Parameters
    ----------
    mask : array of bool
        The candidate's voxels in its box.
    """
    from scipy import ndimage

    grid, exam = around.exam.grid, around.exam
    steps = np.array(grid.voxel_size)
    voxels = np.argwhere(mask)
    length, fullness = _form(voxels * steps, steps)
    volume = (
        grid.voxel_ml
        if grid.voxel_ml is not None and grid.shape[0] > 1
        else float(np.prod(steps[1:]))
    )
    margin = [int(np.ceil(_SHELL_MM[1] / step)) for step in steps]
    if grid.spacing_mm is None:
        margin = [0, 6, 6]
    wide, inner = _widened(box, margin, grid.shape)
    whole = np.zeros([part.stop - part.start for part in wide], bool)
    whole[inner] = mask
    away = ndimage.distance_transform_edt(~whole, sampling=tuple(steps))
    shell = (away > _SHELL_MM[0]) & (away <= _SHELL_MM[1]) & (around.labels[wide] == 0)
    if grid.spacing_mm is None:
        shell = (away > 2) & (away <= 6) & (around.labels[wide] == 0)
    probability = np.asarray(around.probability.data[box], np.float32)
    post = np.asarray(exam.phases[around.posts[0]].data[wide], np.float32)
    middle, spread = around.usual_post
    outside = float(np.median(post[shell])) if shell.any() else middle
    level = float(post[whole].mean())
    values: dict[str, float | None] = {
        "log_volume": float(np.log(len(voxels) * volume)),
        "peak": float(ndimage.uniform_filter(probability, 3)[mask].max()),
        "mean": float(probability[mask].mean()),
        "elongation": length,
        "fullness": fullness,
        "brightness": (level - middle) / spread,
        "contrast": (level - outside) / spread,
    }
    values |= _enhancement(around, post, whole, shell, wide)
    values |= _place(around, voxels + [part.start for part in box], box)
    return Evidence(**values)  # type: ignore[arg-type]


def _enhancement(
    around: Surroundings,
    post: Floats,
    whole: NDArray[np.bool_],
    shell: NDArray[np.bool_],
    wide: tuple[slice, slice, slice],
) -> dict[str, float | None]:
    """What the phases together say."""
    if around.usual_rise is None:
        return {}
    phases = around.exam.phases
    pre = np.asarray(phases["pre"].data[wide], np.float32)
    rise = post - pre
    middle, spread = around.usual_rise
    level = float(rise[whole].mean())
    outside = float(np.median(rise[shell])) if shell.any() else middle
    values: dict[str, float | None] = {
        "rise": (level - middle) / spread,
        "rise_contrast": (level - outside) / spread,
        "percent": level / max(float(pre[whole].mean()), 1e-6),
        "negative": float((rise[shell] < -3 * around.noise).mean()) if shell.any() else 0.0,
    }
    if len(around.posts) > 1 and level > 0:
        least = np.minimum.reduce([phases[role].data[wide][whole] for role in around.posts])
        values["consistency"] = float((least.astype(np.float32) - pre[whole]).mean()) / level
    return values


def _place(
    around: Surroundings, voxels: NDArray[np.int64], box: tuple[slice, slice, slice]
) -> dict[str, float | None]:
    """Where in the breast it lies, and whether the other breast has the same."""
    grid, breasts = around.exam.grid, around.breasts
    values: dict[str, float | None] = {}
    if grid.spacing_mm is not None:
        ends = [
            min(part.start, size - part.stop) * step
            for part, size, step in zip(box, grid.shape, grid.spacing_mm, strict=True)
            if size > 1
        ]
        values["edge_mm"] = float(min(ends))
    if breasts is None:
        return values
    few = voxels[:: max(1, len(voxels) // 200)].astype(np.float64)
    values["skin_mm"] = float(np.median(breasts.skin_mm(few)))
    values["wall_mm"] = float(np.median(breasts.wall_mm(few)))
    values["inside"] = float((breasts.labels.data[tuple(voxels.T)] > 0).mean())
    values["mirror"] = _mirrored(around, breasts, voxels.mean(axis=0))
    return values


def _mirrored(around: Surroundings, breasts: Breasts, center: NDArray[np.float64]) -> float | None:
    """Largest probability near the place that mirrors a voxel, by the nipples of both breasts."""
    grid = around.exam.grid
    if len(breasts.nipples_mm) < 2:
        return None
    point = grid.affine[:3, :3] @ center + grid.affine[:3, 3]
    nipples = [np.array(place) for place in breasts.nipples_mm.values()]
    own, other = sorted(nipples, key=lambda nipple: abs(float(nipple[0] - point[0])))
    across, *rest = point - own
    target = other + np.array([-across, *rest])
    middle = np.linalg.solve(grid.affine[:3, :3], target - grid.affine[:3, 3])
    reach = _MIRROR_MM / np.array(grid.voxel_size)
    low, high = np.rint(middle - reach).astype(int), np.rint(middle + reach).astype(int) + 1
    part = around.probability.data[
        tuple(slice(max(0, a), max(0, b)) for a, b in zip(low, high, strict=True))
    ]
    return float(part.max()) if part.size else None


def _form(points_mm: NDArray[np.float64], steps: NDArray[np.float64]) -> tuple[float, float]:
    """Length over width, and share of the ellipsoid of inertia that is filled."""
    apart = points_mm - points_mm.mean(axis=0)
    flat = np.ptp(points_mm[:, 0]) == 0
    if flat:
        apart, steps = apart[:, 1:], steps[1:]
    # A voxel has a width of its own.
    inertia = apart.T @ apart / len(apart) + np.diag(steps**2 / 12)
    axes = np.sqrt(np.linalg.eigvalsh(inertia))[::-1]
    dims = len(axes)
    if dims == 3:
        size, ellipsoid = np.prod(steps), 4 / 3 * np.pi * np.prod(np.sqrt(5) * axes)
        length = axes[0] / np.sqrt(axes[1] * axes[2])
    else:
        size, ellipsoid = np.prod(steps), np.pi * np.prod(2 * axes)
        length = axes[0] / axes[1]
    return float(length), float(len(points_mm) * size / ellipsoid)


def _sample(exam: Exam, breasts: Breasts | None) -> tuple[NDArray[np.intp], ...]:
    """Indices of about `_SAMPLE` voxels of the breasts, or of what is not air."""
    if breasts is not None:
        data, least = breasts.labels.data, 0.0
    else:
        data = np.asarray(exam.phases[(post_roles(exam) or tuple(exam.phases))[0]].data)
        least = 0.1 * float(np.percentile(np.asarray(data[::3, ::3, ::3], np.float32), 99))
    # Slice by slice: the indices of all of them would be several times the exam.
    counts = [int(np.count_nonzero(plane > least)) for plane in data]
    if not sum(counts):
        chosen = np.arange(int(np.prod(exam.grid.shape)))
        return np.unravel_index(chosen[:: max(1, chosen.size // _SAMPLE)], exam.grid.shape)
    step, before, places = max(1, sum(counts) // _SAMPLE), 0, []
    for z, (plane, count) in enumerate(zip(data, counts, strict=True)):
        own = np.flatnonzero(plane > least)[-before % step :: step]
        places.append(own + z * plane.size)
        before += count
    return np.unravel_index(np.concatenate(places), exam.grid.shape)


def _usual(values: Floats) -> tuple[float, float]:
    """Median and robust deviation, never 0."""
    low, middle, high = (float(v) for v in np.percentile(values, (25, 50, 75)))
    return middle, max((high - low) / 1.349, 1e-6)


def _widened(
    box: tuple[slice, slice, slice], margin: list[int], shape: tuple[int, int, int]
) -> tuple[tuple[slice, slice, slice], tuple[slice, ...]]:
    """A box with a margin, within the array, and where the box lies in it."""
    z, y, x = (
        slice(max(0, part.start - m), min(size, part.stop + m))
        for part, m, size in zip(box, margin, shape, strict=True)
    )
    inner = tuple(
        slice(part.start - wide.start, part.stop - wide.start)
        for part, wide in zip(box, (z, y, x), strict=True)
    )
    return (z, y, x), inner
