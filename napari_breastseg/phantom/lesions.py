"""Where lesions lie, what shape they have and how they enhance.

A shape is a score in mm that grows from its middle outwards; the lesion is where the score is
below a limit. The limit is found from the voxels themselves, so that the mask has the volume
asked for whatever the shape, and whatever skin or muscle it meets.
Imports `errors`, `config`, `fields`, `anatomy`, `kinetics` only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .anatomy import Anatomy
from .config import (
    MAX_VOLUME_ML,
    MIN_VOLUME_ML,
    KineticType,
    LesionKind,
    LesionSpec,
    PhantomConfig,
    Side,
)
from .fields import Axes, Floats, sum_waves, waves
from .kinetics import draw_lesion_curve
from .tissue import GLAND_SIGNAL, SKIN_MM

__all__ = ["Lesion", "draw_lesions", "draw_specs"]

_MARGIN_MM = SKIN_MM + 1.0
_ROOM: Mapping[LesionKind, float] = {
    "round": 1.12, "irregular": 1.35, "spiculated": 1.6, "rim": 1.25, "nonmass": 1.9,
}  # fmt: skip
"""Reach of a shape relative to the radius of the ball of its volume."""


@dataclass(frozen=True, eq=False)
class Lesion:
    """A lesion on the voxels of its box, which may reach beyond the exam in z."""

    spec: LesionSpec
    side: Side
    box: tuple[slice, slice, slice]
    """Voxels of the exam (z, y, x); z may start below 0 or end above the last slice."""

    share: Floats
    """Share of each voxel that is lesion."""

    mask: NDArray[np.bool_]
    """Voxels of which at least half is lesion."""

    plain: Floats
    """Signal before contrast."""

    gain: Floats
    """Enhancement relative to the lesion's own curve, mean 1 over the mask."""

    curve: Mapping[str, float]
    """Mean relative enhancement per phase."""

    is_ellipsoid: bool
    """Whether it has exactly the volume asked, uncut."""


def draw_specs(rng: np.random.Generator, config: PhantomConfig) -> tuple[LesionSpec, ...]:
    """The lesions asked for, or random ones: many small, few large."""
    if not isinstance(config.lesions, int):
        return config.lesions
    specs = []
    for _ in range(config.lesions):
        kind = str(rng.choice(get_args(LesionKind), p=(0.2, 0.32, 0.2, 0.14, 0.14)))
        volume = float(np.clip(np.exp(rng.normal(np.log(2.0), 1.5)), MIN_VOLUME_ML, MAX_VOLUME_ML))
        curve = str(rng.choice(get_args(KineticType), p=(0.3, 0.35, 0.35)))
        specs.append(LesionSpec(kind, volume, curve))  # type: ignore[arg-type]
    return tuple(specs)


def draw_lesions(
    rng: np.random.Generator, anatomy: Anatomy, axes: Axes, config: PhantomConfig
) -> list[Lesion]:
    """Draw the lesions of an exam, largest first, none touching another.

    Parameters
    ----------
    axes : Axes
        Body positions of the exam's voxels; every lesion's center lies among its slices.

    Raises
    ------
    InputError
        When there is no room for a lesion.
    """
    from scipy import ndimage

    specs = draw_specs(rng, config)
    if not specs:
        return []
    # Room on a lattice of 3 mm: distance to skin, muscle and other lesions.
    reach = 45.0
    coarse = Axes(
        np.arange(axes.head[0] - reach, axes.head[-1] + reach, 3.0),
        np.arange(axes.front[-1], axes.front[0], 3.0),
        np.arange(axes.left[0], axes.left[-1], 3.0),
    )
    free = anatomy.is_breast(coarse, _MARGIN_MM)
    lesions: list[Lesion] = []
    for number in sorted(range(len(specs)), key=lambda n: -specs[n].volume_ml):
        spec = specs[number]
        own = rng.spawn(1)[0]
        side = spec.side or str(own.choice(get_args(Side)))
        here = free & ((coarse.left < 0) == (side == "right"))
        depth = ndimage.distance_transform_edt(here, sampling=3.0)
        half_slice = config.spacing_mm[0] / 2
        within = (coarse.head >= axes.head[0] - half_slice) & (
            coarse.head <= axes.head[-1] + half_slice
        )
        depth[~within] = 0
        radius = (3 * spec.volume_ml * 1000 / (4 * np.pi)) ** (1 / 3)
        wanted = radius * _ROOM[spec.kind]
        if config.field_mm[0] > 3 * wanted:  # whole in the exam, not cut by its ends
            inside = (coarse.head - axes.head[0] > wanted) & (axes.head[-1] - coarse.head > wanted)
            depth[~inside] *= 0.01
        if not depth.any():
            raise _no_room(spec, number, side)
        roomy = np.flatnonzero(depth >= min(wanted, 0.9 * float(depth.max())))
        spot = np.unravel_index(int(own.choice(roomy)), depth.shape)
        center = np.array(
            [
                axis[i]
                for axis, i in zip((coarse.head, coarse.front, coarse.left), spot, strict=True)
            ]
        )
        center += own.uniform(-1.5, 1.5, 3)
        blocked = (coarse, free)
        lesion = _draw_one(own, spec, side, center, anatomy, axes, config, blocked)  # type: ignore[arg-type]
        if lesion is None:
            raise _no_room(spec, number, side)
        lesions.append(lesion)
        _block(free, coarse, axes, lesion)
    return lesions


def _no_room(spec: LesionSpec, number: int, side: str) -> InputError:
    return InputError(
        f"Needed room for lesion {number + 1} of {spec.volume_ml:g} mL in the {side} breast",
        "the slices of this phantom have less",
        "Ask for fewer or smaller lesions, another seed, or slices through the breasts",
    )


def _block(free: NDArray[np.bool_], coarse: Axes, axes: Axes, lesion: Lesion) -> None:
    """Keep 5 mm around a lesion for no other."""
    z, y, x = np.nonzero(lesion.mask)
    step = [a[1] - a[0] if len(a) > 1 else 3.0 for a in (axes.head, axes.front, axes.left)]
    start = [axes.head[0], axes.front[0], axes.left[0]]
    low, high = [], []
    for i, (index, box) in enumerate(zip((z, y, x), lesion.box, strict=True)):
        ends = start[i] + step[i] * (np.array([index.min(), index.max()]) + box.start)
        low.append(ends.min() - 5)
        high.append(ends.max() + 5)
    inside = [
        (axis >= lo) & (axis <= hi)
        for axis, lo, hi in zip((coarse.head, coarse.front, coarse.left), low, high, strict=True)
    ]
    free[np.ix_(*inside)] = False


def _draw_one(
    rng: np.random.Generator,
    spec: LesionSpec,
    side: Side,
    center: NDArray[np.float64],
    anatomy: Anatomy,
    axes: Axes,
    config: PhantomConfig,
    blocked: tuple[Axes, NDArray[np.bool_]],
) -> Lesion | None:
    radius = (3 * spec.volume_ml * 1000 / (4 * np.pi)) ** (1 / 3)
    spacing = np.array(config.spacing_mm)
    voxel_ml = float(spacing.prod()) / 1000
    wanted = max(1, round(spec.volume_ml / voxel_ml))
    shape = _Shape(rng, spec.kind, radius)
    state = rng.bit_generator.state
    for widen in (1.5, 2.2, 3.2, 4.5):
        rng.bit_generator.state = state
        box, positions = _box(
            center, radius * widen * max(1.0, _ROOM[spec.kind] / 1.3), axes, spacing
        )
        allowed = anatomy.is_breast(positions, _MARGIN_MM) & _is_free(positions, *blocked)
        if allowed.sum() < 1.02 * wanted:
            continue
        score = shape.voxel_scores(positions, center, spacing, wanted)
        middle = np.partition(score, (score.shape[0] - 1) // 2, axis=0)[(score.shape[0] - 1) // 2]
        middle = np.where(allowed, middle, np.inf)
        is_ellipsoid = spec.kind == "round" and bool(allowed[_touched(score, radius)].all())
        if is_ellipsoid:
            limit = radius
            mask = middle <= limit
        else:
            found = _connected(middle, wanted)
            if found is None:
                continue
            limit, mask = found
        if not mask.any():  # smaller than a voxel, and between their centers
            mask = middle == middle.min()
        touches_end = (
            any(np.take(mask, end, axis=axis).any() for axis in (1, 2) for end in (0, -1))
            or mask[[0, -1]].any()
        )
        if touches_end and widen < 4:
            continue
        share = ((score <= limit) & _near(mask)).mean(axis=0, dtype=np.float32)
        share[~allowed] = 0
        share[mask] = np.maximum(share[mask], 0.5)
        share[~mask] = np.minimum(share[~mask], 0.49)
        plain, gain = shape.signals(positions, center, middle / limit, mask)
        curve = draw_lesion_curve(rng, spec.kinetic_type, config.phase_times_s)
        return Lesion(spec, side, box, share, mask, plain, gain, curve, is_ellipsoid)
    return None


def _touched(score: Floats, limit: float) -> NDArray[np.bool_]:
    """Voxels of which any part lies within the limit."""
    touched: NDArray[np.bool_] = (score <= limit).any(axis=0)
    return touched


def _near(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask and its neighbors: loose crumbs of a shape are not drawn."""
    from scipy import ndimage

    near: NDArray[np.bool_] = ndimage.binary_dilation(mask, np.ones((3, 3, 3), bool))
    return near


def _is_free(positions: Axes, coarse: Axes, free: NDArray[np.bool_]) -> NDArray[np.bool_]:
    index = [
        np.clip(np.rint((p - c[0]) / 3.0).astype(int), 0, len(c) - 1)
        for p, c in zip(
            (positions.head, positions.front, positions.left),
            (coarse.head, coarse.front, coarse.left),
            strict=True,
        )
    ]
    # Only other lesions count here: the lattice is too coarse for skin and muscle.
    blocked: NDArray[np.bool_] = free[np.ix_(*index)]
    return blocked


def _box(
    center: NDArray[np.float64], reach_mm: float, axes: Axes, spacing: NDArray[np.float64]
) -> tuple[tuple[slice, slice, slice], Axes]:
    signs = (1.0, -1.0, 1.0)  # array y runs to the back
    starts = (axes.head[0], axes.front[0], axes.left[0])
    sizes = axes.shape
    slices, positions = [], []
    for axis in range(3):
        at = (center[axis] - starts[axis]) * signs[axis] / spacing[axis]
        low = int(np.floor(at - reach_mm / spacing[axis])) - 1
        high = int(np.ceil(at + reach_mm / spacing[axis])) + 2
        if axis:
            low, high = max(low, 0), min(high, sizes[axis])
        slices.append(slice(low, high))
        positions.append(starts[axis] + signs[axis] * spacing[axis] * np.arange(low, high))
    return (slices[0], slices[1], slices[2]), Axes(*positions)


def _connected(score: Floats, wanted: int) -> tuple[float, NDArray[np.bool_]] | None:
    """Limit of the score whose largest connected part has the wanted number of voxels."""
    from scipy import ndimage

    finite = np.sort(score[np.isfinite(score)])
    if len(finite) < wanted:
        return None
    low, high = wanted, len(finite)
    best: tuple[float, NDArray[np.bool_]] | None = None
    count = wanted
    for _ in range(12):
        limit = float(finite[count - 1])
        parts, number = ndimage.label(score <= limit, np.ones((3, 3, 3)))
        sizes = np.bincount(parts.ravel())[1:]
        largest = int(sizes.argmax())
        mask = parts == largest + 1
        if best is None or abs(sizes[largest] - wanted) < abs(int(best[1].sum()) - wanted):
            best = (limit, mask)
        if abs(sizes[largest] - wanted) <= max(1, 0.005 * wanted):
            break
        if sizes[largest] < wanted:
            low = count + 1
        else:
            high = count - 1
        if low > high:
            break
        guess = count + (wanted - int(sizes[largest]))
        count = guess if low <= guess <= high else (low + high) // 2
    return best


class _Shape:
    """One drawn shape, centered at the origin, as a score in mm."""

    def __init__(self, rng: np.random.Generator, kind: LesionKind, radius: float) -> None:
        self.kind, self.radius = kind, radius
        stretch = {"round": 1.10, "rim": 1.2, "irregular": 1.3, "spiculated": 1.25, "nonmass": 1.0}[
            kind
        ]
        axes = np.exp(rng.uniform(-1, 1, 3) * np.log(stretch))
        self.semi_axes = axes / np.prod(axes) ** (1 / 3)
        turn, _ = np.linalg.qr(rng.standard_normal((3, 3)))
        self.turn = turn.astype(np.float32)
        self.bumps = waves(rng, (0.9, 3.5))  # on the unit sphere
        self.bend = [waves(rng, (1.2 * radius, 4 * radius)) for _ in range(3)]
        self.texture = waves(rng, (max(2.5, 0.4 * radius), max(5.0, radius)))
        self.spicules = rng.standard_normal((int(rng.integers(26, 46)), 3))
        self.spicules /= np.linalg.norm(self.spicules, axis=1, keepdims=True)
        self.spicule_length = rng.uniform(0.4, 1.2, len(self.spicules))
        self.spicule_width = max(0.9, 0.22 * radius)
        count = int(np.clip(18 * (radius / 6) ** 1.5, 10, 90))
        along = rng.uniform(-1.5, 1.5, (count, 1)) * np.array([[1.0, 0, 0]])
        self.clumps = radius * (along + rng.normal(0, (0.1, 0.52, 0.38), (count, 3)))
        self.clump_mm = rng.uniform(0.22, 0.42, count) * radius**0.75
        self.rim_core = rng.uniform(0.4, 0.65)
        self.contrast = rng.uniform(0.05, 0.22)
        self.level = rng.uniform(0.95, 1.25)

    def voxel_scores(
        self,
        positions: Axes,
        center: NDArray[np.float64],
        spacing: NDArray[np.float64],
        wanted: int,
    ) -> Floats:
        """Scores of sub-samples of each voxel, shape (samples, Z, Y, X)."""
        parts = np.clip(np.rint(spacing / 0.6), 2, 5).astype(int)
        while parts.prod() * np.prod(positions.shape) > 3_000_000 and parts.max() > 1:
            parts[int(parts.argmax())] -= 1
        offsets = [
            (np.arange(n) + 0.5) / n * s - s / 2 for n, s in zip(parts, spacing, strict=True)
        ]
        scores = []
        grid = (positions.head - center[0], positions.front - center[1], positions.left - center[2])
        for dz in offsets[0]:
            for dy in offsets[1]:
                for dx in offsets[2]:
                    p = np.stack(
                        np.meshgrid(grid[0] + dz, grid[1] + dy, grid[2] + dx, indexing="ij")
                    )
                    scores.append(self.score(p.astype(np.float32)))
        return np.stack(scores)

    def score(self, p: Floats) -> Floats:
        """Score at points relative to the center, shape (3, Z, Y, X) to (Z, Y, X)."""
        if self.kind in ("irregular", "nonmass"):
            bend = np.float32(0.16 if self.kind == "irregular" else 0.07) * np.float32(self.radius)
            p = p + bend * np.stack([sum_waves(field, p) for field in self.bend])
        p = np.einsum("ij,j...->i...", self.turn, p)
        if self.kind == "nonmass":
            return self._clump_score(p)
        q = p / self.semi_axes.astype(np.float32)[:, None, None, None]
        rho: Floats = np.sqrt((q * q).sum(axis=0))
        if self.kind == "round":
            return rho
        unit = q / np.maximum(rho, np.float32(1e-3))
        amount = {"irregular": 0.24, "spiculated": 0.13, "rim": 0.12}[self.kind]
        score: Floats = rho / np.clip(
            1 + np.float32(amount) * sum_waves(self.bumps, unit), 0.45, 1.8
        )
        if self.kind == "spiculated":
            for way, length in zip(self.spicules, self.spicule_length, strict=True):
                along = np.einsum("i,i...->...", way.astype(np.float32), p)
                off = np.sqrt(np.maximum((p * p).sum(axis=0) - along * along, 0))
                reach = np.float32(self.radius * (1 + length))
                # A cone: at the limit (score = radius) it narrows to a point at its reach.
                taper = np.clip((reach - along) / reach, 0, None) * np.float32(
                    2.0 * self.spicule_width
                )
                cone = self.radius * off / np.maximum(taper, np.float32(1e-3))
                score = np.where(along > 0, np.minimum(score, cone), score)
        return score

    def _clump_score(self, p: Floats) -> Floats:
        total = np.zeros(p.shape[1:], np.float32)
        for clump, size in zip(self.clumps.astype(np.float32), self.clump_mm, strict=True):
            away = sum((p[i] - clump[i]) ** 2 for i in range(3))
            total += np.exp(away * np.float32(-0.5 / size**2))
        # A broad envelope ties the clumps together.
        broad = (p[0] / 1.6) ** 2 + p[1] ** 2 + p[2] ** 2
        total += np.float32(0.25) * np.exp(broad * np.float32(-0.5 / self.radius**2))
        spread: Floats = np.float32(self.radius) * np.sqrt(
            np.maximum(4 - np.log(np.maximum(total, 1e-8)), 0)
        )
        return spread

    def signals(
        self,
        positions: Axes,
        center: NDArray[np.float64],
        relative: Floats,
        mask: NDArray[np.bool_],
    ) -> tuple[Floats, Floats]:
        """Signal before contrast, and enhancement relative to the mean."""
        p = np.stack(
            np.meshgrid(
                positions.head - center[0],
                positions.front - center[1],
                positions.left - center[2],
                indexing="ij",
            )
        ).astype(np.float32)
        texture = sum_waves(self.texture, p)
        plain = np.float32(GLAND_SIGNAL * self.level) * (1 + np.float32(0.04) * texture)
        gain = 1 + np.float32(self.contrast) * texture
        if self.kind == "rim":
            core = np.clip(
                (np.float32(self.rim_core) + np.float32(0.06) * texture - relative)
                / np.float32(0.12)
                + 0.5,
                0,
                1,
            )
            gain *= 1 - np.float32(0.85) * core
        gain = np.clip(gain, 0.1, 2.5)
        # Signals count: the mean of plain * gain over the lesion must follow the curve.
        gain *= np.float32(plain[mask].mean() / (plain * gain)[mask].mean())
        return plain.astype(np.float32), gain.astype(np.float32)
