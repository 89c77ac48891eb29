"""Where lesions lie, what shape they have and how they enhance.

A shape is a score in mm that grows from its middle outwards; the lesion is where the score is
below a limit. The limit is found from the voxels themselves, so that the mask has the volume
asked for whatever the shape, and whatever skin or muscle it meets.
Imports `errors`, `config`, `fields`, `anatomy`, `kinetics`, `shapes`, `tissue` only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InputError
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
from .fields import Axes, Floats
from .kinetics import draw_lesion_curve
from .shapes import Shape
from .tissue import SKIN_MM
from .views import body_spacing_mm

__all__ = ["Lesion", "draw_lesions", "draw_specs"]

_MARGIN_MM = SKIN_MM + 1.0
_ROOM_STEP_MM = 4.0
_ROOM: Mapping[LesionKind, float] = {
    "round": 1.15, "irregular": 1.35, "spiculated": 1.6, "rim": 1.25, "nonmass": 1.9,
}  # fmt: skip
"""Reach of a shape relative to the radius of the ball of its volume."""


@dataclass(frozen=True, eq=False)
class Lesion:
    """A lesion on the voxels of its box, which may reach beyond the exam along its slices."""

    spec: LesionSpec
    side: Side
    box: tuple[slice, slice, slice]
    """Voxels of the body's array; along the slices it may start below 0 or end behind the last."""

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
        When there is no room for a lesion asked for; random ones are then left out.
    """
    specs = draw_specs(rng, config)
    if not specs:
        return []
    # Room on a coarse lattice: distance to skin, muscle and other lesions.
    reach_mm = 45.0
    head, front, left = (
        np.arange(low - reach_mm * beyond, high + reach_mm * beyond, _ROOM_STEP_MM)
        for (low, high), beyond in zip(
            (axes.head[[0, -1]], axes.front[[-1, 0]], axes.left[[0, -1]]),
            np.arange(3) == axes.slice_axis,
            strict=True,
        )
    )
    coarse = Axes(head, front, left)
    room = _Room(coarse, anatomy.is_breast(coarse, _MARGIN_MM), np.zeros(coarse.shape, bool))
    lesions: list[Lesion] = []
    for number in sorted(range(len(specs)), key=lambda n: -specs[n].volume_ml):
        spec, own = specs[number], rng.spawn(1)[0]
        side: Side = spec.side or ("right" if own.random() < 0.5 else "left")
        if spec.side is None:
            side = room.side_in_view(side, axes, config)
        lesion = _draw_one(own, spec, side, anatomy, axes, config, room)
        if lesion is not None:
            lesions.append(lesion)
            room.take(axes, lesion)
        elif not isinstance(config.lesions, int):
            raise InputError(
                f"Expected room for lesion {number + 1} of {spec.volume_ml:g} mL "
                f"in the {side} breast",
                "found less in the slices of this phantom",
                "Ask for fewer or smaller lesions, another seed, or slices through the breasts",
            )
    return lesions


@dataclass(frozen=True, eq=False)
class _Room:
    """Where lesions may lie, on a lattice."""

    axes: Axes
    breast: NDArray[np.bool_]
    taken: NDArray[np.bool_]
    """Within 5 mm of the box of another lesion."""

    def take(self, axes: Axes, lesion: Lesion) -> None:
        """Keep others away from a lesion."""
        inside = []
        for index, box, start, step, axis in zip(
            np.nonzero(lesion.mask),
            lesion.box,
            axes.starts_mm,
            axes.steps_mm,
            (self.axes.head, self.axes.front, self.axes.left),
            strict=True,
        ):
            ends = start + step * (np.array([index.min(), index.max()]) + box.start)
            inside.append((axis >= ends.min() - 5) & (axis <= ends.max() + 5))
        self.taken[np.ix_(*inside)] = True

    def is_taken(self, axes: Axes) -> NDArray[np.bool_]:
        """Mask of the voxels nearest to lattice points that are taken."""
        index = [
            np.clip(np.rint((p - c[0]) / _ROOM_STEP_MM).astype(int), 0, len(c) - 1)
            for p, c in zip(
                (axes.head, axes.front, axes.left),
                (self.axes.head, self.axes.front, self.axes.left),
                strict=True,
            )
        ]
        taken: NDArray[np.bool_] = self.taken[np.ix_(*index)]
        return taken

    def side_in_view(self, side: Side, axes: Axes, config: PhantomConfig) -> Side:
        """The side wanted, or the other when the exam is laid over that one alone."""
        if config.breasts != "both":
            return config.breasts
        if config.view == "sagittal" and axes.left[0] * axes.left[-1] > 0:
            return "right" if axes.left[0] < 0 else "left"
        return side

    def bounds_mm(self, side: Side) -> list[tuple[float, float]]:
        """Extent of a breast per axis; empty when none of it is there."""
        here = np.nonzero(self.breast & ((self.axes.left < 0) == (side == "right")))
        if not len(here[0]):
            return []
        return [
            (float(axis[index.min()]) - _ROOM_STEP_MM, float(axis[index.max()]) + _ROOM_STEP_MM)
            for axis, index in zip(
                (self.axes.head, self.axes.front, self.axes.left), here, strict=True
            )
        ]

    def place(
        self,
        rng: np.random.Generator,
        side: Side,
        wanted_mm: float,
        axes: Axes,
        config: PhantomConfig,
    ) -> NDArray[np.float64] | None:
        """Center for a lesion of this reach: as deep as it needs, else as deep as there is."""
        from scipy import ndimage

        coarse, half_slice = self.axes, axes.slice_mm / 2
        through = axes.slice_axis
        here = (self.breast & ~self.taken)[:, :, (coarse.left < 0) == (side == "right")]
        lefts = coarse.left[(coarse.left < 0) == (side == "right")]
        # Half the lattice: the other breast does not count, nor does the middle between them.
        depth = ndimage.distance_transform_edt(here, sampling=_ROOM_STEP_MM)
        if not depth.size:
            return None
        along = (coarse.head, coarse.front, lefts)[through]
        low, high = np.sort((axes.head, axes.front, axes.left)[through][[0, -1]])
        slices = np.moveaxis(depth, through, 0)
        beside = (along < low - half_slice) | (along > high + half_slice)
        if beside.all():  # a slab thinner than the lattice's step
            beside[np.abs(along - (low + high) / 2).argmin()] = False
        slices[beside] = 0
        if config.field_mm[0] > 3 * wanted_mm:  # whole in the exam, not cut by its ends
            slices[(along < low + wanted_mm) | (along > high - wanted_mm)] *= 0.01
        if not depth.any():
            return None
        roomy = np.flatnonzero(depth >= min(wanted_mm, 0.9 * float(depth.max())))
        z, y, x = np.unravel_index(int(rng.choice(roomy)), depth.shape)
        spot = np.array([coarse.head[z], coarse.front[y], lefts[x]])
        spot += rng.uniform(-0.5, 0.5, 3) * _ROOM_STEP_MM
        # The lattice may lie beside a thin slab's slices.
        spot[through] = np.clip(spot[through], low, high)
        return spot


def _draw_one(
    rng: np.random.Generator,
    spec: LesionSpec,
    side: Side,
    anatomy: Anatomy,
    axes: Axes,
    config: PhantomConfig,
    room: _Room,
) -> Lesion | None:
    radius = (3 * spec.volume_ml * 1000 / (4 * np.pi)) ** (1 / 3)
    # Half a lattice step for the jitter of the spot, half for the lattice itself.
    wanted_mm = radius * _ROOM[spec.kind] + _ROOM_STEP_MM
    center = room.place(rng, side, wanted_mm, axes, config)
    if center is None:
        return None
    spacing = np.array(body_spacing_mm(config))
    wanted = max(1, round(spec.volume_ml * 1000 / float(spacing.prod())))
    shape = Shape(rng, spec.kind, radius, spec.core)
    curve = draw_lesion_curve(rng, spec.kinetic_type, config.phase_times_s)
    bounds = room.bounds_mm(side)
    # A box that holds the shape; wider ones when it has to flow along the breast for its volume.
    for widen in (1.5, 2.2, 3.2, 4.5):
        reach_mm = radius * widen * max(1.0, _ROOM[spec.kind] / 1.3)
        box, positions = _box(center, reach_mm, axes, bounds)
        if min(positions.shape) < 1:
            return None
        allowed = anatomy.is_breast(positions, _MARGIN_MM) & ~room.is_taken(positions)
        score = shape.voxel_scores(positions, center, spacing)
        half = (score.shape[0] - 1) // 2
        middle = np.where(allowed, np.partition(score, half, axis=0)[half], np.inf)
        touched = (score <= radius).any(axis=0)
        is_ellipsoid = spec.kind == "round" and bool(allowed[touched].all())
        if is_ellipsoid:
            limit, mask = radius, middle <= radius
        else:
            found = _connected(middle, wanted)
            if found is None:
                continue
            limit, mask = found
        if not mask.any():  # smaller than a voxel, and between their centers
            mask = middle == middle.min()
        if widen < 4 and _meets_border(mask):
            continue
        share = ((score <= limit) & _near(mask)).mean(axis=0, dtype=np.float32)
        share[~allowed] = 0
        share[mask] = np.maximum(share[mask], 0.5)
        share[~mask] = np.minimum(share[~mask], 0.49)
        plain, gain = shape.signals(positions, center, middle / limit, mask)
        return Lesion(spec, side, box, share, mask, plain, gain, curve, is_ellipsoid)
    return None


def _meets_border(mask: NDArray[np.bool_]) -> bool:
    return any(np.take(mask, end, axis=axis).any() for axis in range(3) for end in (0, -1))


def _near(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask and its neighbors: loose crumbs of a shape are not drawn."""
    from scipy import ndimage

    near: NDArray[np.bool_] = ndimage.binary_dilation(mask, np.ones((3, 3, 3), bool))
    return near


def _box(
    center: NDArray[np.float64],
    reach_mm: float,
    axes: Axes,
    bounds_mm: list[tuple[float, float]],
) -> tuple[tuple[slice, slice, slice], Axes]:
    """Voxels around a center and within bounds; along the slices also beyond the exam."""
    slices, positions = [], []
    for axis in range(3):
        start, step = axes.starts_mm[axis], axes.steps_mm[axis]
        near = max(center[axis] - reach_mm, bounds_mm[axis][0])
        far = min(center[axis] + reach_mm, bounds_mm[axis][1])
        ends = (np.array([near, far]) - start) / step
        low, high = int(np.floor(ends.min())) - 1, int(np.ceil(ends.max())) + 2
        if axis != axes.slice_axis:
            low, high = max(low, 0), min(high, axes.shape[axis])
        slices.append(slice(low, high))
        positions.append(start + step * np.arange(low, high, dtype=np.float64))
    head, front, left = positions
    box = (slices[0], slices[1], slices[2])
    return box, Axes(head, front, left, axes.slice_mm, axes.slice_axis)


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
        parts, _ = ndimage.label(score <= limit, np.ones((3, 3, 3)))
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
