"""Where the organs of a phantom patient lie, as signed distances on a coarse lattice.

Positions are body millimetres (head, front, left); the origin is the skin over the sternum at the
height of the nipples. Distances are negative inside. Imports `config` and `fields` only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .config import Side
from .fields import BODY_BOX_MM, Axes, Floats, Lattice, noise

__all__ = ["Anatomy", "BreastShape", "Tubes", "curved_row", "draw_anatomy", "draw_breasts"]

STEP_MM = (5.0, 4.0, 4.0)
BREAST_BASE_MM = -30.0
"""Front position of the plane from which the breasts are measured."""


@dataclass(frozen=True, eq=False)
class Tubes:
    """Vessels as dense rows of balls."""

    points_mm: NDArray[np.float64]
    """Centers, shape (N, 3)."""

    radii_mm: NDArray[np.float64]
    """Shape (N,)."""


@dataclass(frozen=True)
class BreastShape:
    """One breast: a half superellipsoid that stands on the chest."""

    side: Side
    left_mm: float
    """Center, signed: negative on the patient's right."""

    head_mm: float
    half_width_mm: float
    half_height_mm: float
    tip_mm: float
    """Front position of its apex."""

    power: float
    """Exponent; larger is fuller."""

    def points(
        self,
        depth: NDArray[np.float64],
        reach: NDArray[np.float64],
        angle: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Body positions of breast coordinates, shape (N, 3).

        Parameters
        ----------
        depth : array
            0 at the base, 1 at the apex.
        reach : array
            0 on the axis, 1 at the skin.
        angle : array
            Around the axis, radians.
        """
        radius = reach * (1 - np.clip(depth, 0, 1) ** 2.2) ** (1 / self.power)
        return np.stack(
            [
                self.head_mm + self.half_height_mm * radius * np.sin(angle),
                BREAST_BASE_MM + (self.tip_mm - BREAST_BASE_MM) * depth,
                self.left_mm + self.half_width_mm * radius * np.cos(angle),
            ],
            axis=-1,
        )


@dataclass(frozen=True, eq=False)
class Anatomy:
    """One phantom patient."""

    breasts: tuple[BreastShape, BreastShape]
    """Right, left."""

    nipples_mm: tuple[tuple[float, float, float], ...]
    """Where each breast's skin is farthest to the front."""

    body: Lattice
    """Skin surface."""

    plan: Lattice
    """Outline of the breasts as seen from the front."""

    cage: Lattice
    """Outer surface of the ribs."""

    pectoral: Lattice
    """Outer surface of the muscle before the ribs."""

    heart: Lattice
    pools: Lattice
    """Blood in the heart."""

    great: Lattice
    """Aorta, pulmonary trunk, superior vena cava."""

    spine: Lattice
    abdomen: Lattice
    """Liver, spleen, stomach under the diaphragm."""

    vessels: Tubes
    """Of the breasts and the internal mammary ones."""

    lung_vessels: Tubes
    nodes: Tubes
    """Axillary lymph nodes."""

    foci: Tubes
    """Small round spots of enhancing gland."""

    def is_breast(self, axes: Axes, skin_mm: float = 0.0) -> NDArray[np.bool_]:
        """Mask of the voxels inside the breasts, at least `skin_mm` deep, shape (Z, Y, X)."""
        mask: NDArray[np.bool_] = (
            (self.body.at(axes) < -skin_mm)
            & (self.pectoral.at(axes) > 0)
            & (self.plan.at(axes) < 0)
            & (axes.front[:, None] > BREAST_BASE_MM)
        )
        return mask


def draw_anatomy(
    rng: np.random.Generator,
    breasts: tuple[BreastShape, BreastShape],
    box_mm: tuple[tuple[float, float], ...],
) -> Anatomy:
    """Draw a patient around her breasts.

    Parameters
    ----------
    rng : Generator
        Has drawn `breasts`; gives the same patient whatever `box_mm` is.
    box_mm : three pairs of float
        Lowest and highest position (head, front, left) at which the anatomy is asked for.
    """
    torso_width, torso_depth = rng.uniform(162, 184), rng.uniform(118, 134)
    blend_mm, heart_mm = rng.uniform(12, 20), rng.normal(0, 5, 3)
    lattice, (z, y, x) = _warped_lattice(rng, box_mm)
    step = np.array(STEP_MM)

    def distance(field: Floats) -> Floats:
        slope = np.sqrt(sum(g * g for g in np.gradient(field, *step))) + 1e-3
        scaled: Floats = (field / slope).astype(np.float32)
        return scaled

    def ellipsoid(center: tuple[float, float, float], radii: tuple[float, float, float]) -> Floats:
        r = [(c - m) / a for c, m, a in zip((z, y, x), center, radii, strict=True)]
        inside: Floats = (np.sqrt(r[0] ** 2 + r[1] ** 2 + r[2] ** 2) - 1) * min(radii)
        return inside.astype(np.float32)

    def tube(front: float, left: float, radius: float, low: float = -999.0) -> Floats:
        across = np.sqrt((y - front) ** 2 + (x - left) ** 2) - radius
        inside: Floats = np.maximum(across, low - z).astype(np.float32)
        return inside

    def barrel(width: float, depth: float, inset: float, power: float) -> Floats:
        u = np.abs(x) / (width + 0.25 * np.maximum(z - 40, 0))
        v = np.abs(y + inset + depth) / depth
        return distance((u**power + v**power) ** np.float32(1 / power) - 1)

    torso = barrel(torso_width, torso_depth, 0.0, 2.4)
    body, plan = torso, np.full_like(torso, 999.0)
    for breast in breasts:
        across = np.sqrt(
            ((x - breast.left_mm) / breast.half_width_mm) ** 2
            + ((z - breast.head_mm) / breast.half_height_mm) ** 2
        )
        up = np.maximum(y - BREAST_BASE_MM, 0) / (breast.tip_mm - BREAST_BASE_MM)
        bulge = (across**breast.power + up**2.2) ** np.float32(1 / breast.power) - 1
        body = _smooth_min(body, distance(bulge), blend_mm)
        plan = np.minimum(plan, (across - 1.12) * breast.half_width_mm)

    cage = barrel(torso_width - 26, torso_depth - 14, 15.0, 2.3)
    side = np.abs(x)
    muscle = 11 * np.clip((side - 8) / 25, 0, 1) * np.clip((125 - side) / 45, 0, 1)
    muscle *= 0.25 + 0.75 * np.clip((z + 75) / 50, 0, 1)
    muscle += 9 * np.clip((side - 118) / 20, 0, 1)  # serratus and latissimus at the sides
    hz, hy, hx = heart_mm
    tilted = np.cos(0.6), np.sin(0.6)
    along = (x - 16 - hx) * tilted[0] + (y + 76 - hy) * tilted[1]
    beside = -(x - 16 - hx) * tilted[1] + (y + 76 - hy) * tilted[0]
    heart = np.sqrt((along / 63) ** 2 + (beside / 43) ** 2 + ((z - hz) / 50) ** 2)
    pools = _smooth_min(
        _smooth_min(
            ellipsoid((hz + 2, hy - 57, hx + 14), (36, 22, 40)),
            ellipsoid((hz + 4, hy - 84, hx - 22), (32, 27, 24)),
            6.0,
        ),
        np.minimum(
            ellipsoid((hz - 4, hy - 80, hx + 46), (28, 18, 26)),
            ellipsoid((hz + 12, hy - 108, hx + 14), (24, 17, 32)),
        ),
        1.0,
    )
    great = np.minimum(
        np.minimum(tube(hy - 70, hx - 8, 15, 22), tube(hy - 60, hx + 22, 14, 28)),
        np.minimum(tube(hy - 92, hx - 30, 9, 22), tube(-146, 20, 11)),
    )
    spine = np.sqrt((x / 21) ** 2 + ((y + 172) / 17) ** 2) - 1
    abdomen = np.minimum(
        ellipsoid((-92, -92, -62), (78, 78, 88)), ellipsoid((-108, -96, 68), (74, 74, 74))
    )
    make = lattice.with_values
    anatomy_body = make(body)
    return Anatomy(
        breasts=breasts,
        nipples_mm=tuple(_tip(b, make(body), box_mm[0]) for b in breasts),
        body=anatomy_body,
        plan=make(plan),
        cage=make(cage),
        pectoral=make(cage - muscle),
        heart=make((heart - 1) * 46),
        pools=make(pools),
        great=make(great),
        spine=make(spine * 17),
        abdomen=make(abdomen),
        vessels=_breast_vessels(rng, breasts),
        lung_vessels=_lung_vessels(rng),
        nodes=_nodes(rng),
        foci=_foci(rng, breasts),
    )


def draw_breasts(rng: np.random.Generator) -> tuple[BreastShape, BreastShape]:
    """Draw the shapes of the right and the left breast."""
    width, height = rng.uniform(46, 66), rng.uniform(64, 90)
    tip = rng.uniform(55, 142)
    apart = width + rng.uniform(9, 22)
    power = rng.uniform(2.0, 3.0)

    def draw(side: Side, sign: float) -> BreastShape:
        return BreastShape(
            side=side,
            left_mm=sign * apart * rng.uniform(0.96, 1.06),
            head_mm=rng.uniform(-7, 7),
            half_width_mm=width * rng.uniform(0.92, 1.06),
            half_height_mm=height * rng.uniform(0.93, 1.05),
            tip_mm=tip + rng.uniform(-12, 8),
            power=power,
        )

    return draw("right", -1.0), draw("left", 1.0)


def _warped_lattice(
    rng: np.random.Generator, box_mm: tuple[tuple[float, float], ...]
) -> tuple[Lattice, tuple[Floats, Floats, Floats]]:
    """An empty lattice, and its positions bent by a few mm: no organ is a true ellipsoid."""
    origin, shape = [], []
    for wanted, (start, end), step in zip(box_mm, BODY_BOX_MM, STEP_MM, strict=True):
        low, high = np.clip(wanted, start, end)
        first = np.floor((low - start) / step)
        last = max(np.ceil((high - start) / step), first + 2)
        origin.append(float(start + first * step))
        shape.append(int(last - first) + 1)
    lattice = Lattice(np.zeros(shape, np.float32), (origin[0], origin[1], origin[2]), STEP_MM)
    axes = lattice.axes
    bent = [
        position
        + np.float32(3.0) * noise(rng, 48.0).at(axes)
        + np.float32(0.5) * noise(rng, 12.0).at(axes)
        for position in axes.open()
    ]
    return lattice, (bent[0], bent[1], bent[2])


def _smooth_min(a: Floats, b: Floats, blend_mm: float) -> Floats:
    h = np.clip(0.5 + (b - a) * np.float32(0.5 / blend_mm), 0, 1)
    blended: Floats = b + (a - b) * h - np.float32(blend_mm) * h * (1 - h)
    return blended


def _tip(
    breast: BreastShape, body: Lattice, head_range_mm: tuple[float, float]
) -> tuple[float, float, float]:
    head = float(np.clip(breast.head_mm, *head_range_mm))
    front = np.arange(breast.tip_mm + 40, BREAST_BASE_MM, -0.5)
    line = np.stack([np.full_like(front, head), front, np.full_like(front, breast.left_mm)], -1)
    inside = np.flatnonzero(body.at_points(line) < 0)
    tip = front[inside[0]] if len(inside) else breast.tip_mm
    # Below or above the slices that are drawn the nipple is out of sight: keep its true height.
    return (breast.head_mm, float(tip), breast.left_mm)


def curved_row(
    start: NDArray[np.float64], end: NDArray[np.float64], wave: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Points 0.7 mm apart on a curved line; `wave` (3, 3) bends it, both ends stay."""
    count = max(2, int(np.linalg.norm(end - start) / 0.7))
    t = np.linspace(0, 1, count)[:, None]
    bend = sum(np.sin(np.pi * (k + 1) * t) * wave[k] / (k + 1) for k in range(3))
    curve: NDArray[np.float64] = start + (end - start) * t + bend
    return curve


def _breast_vessels(rng: np.random.Generator, breasts: tuple[BreastShape, BreastShape]) -> Tubes:
    points, radii = [], []
    for breast in breasts:
        for number in range(int(rng.integers(9, 18))):
            depth = np.linspace(rng.uniform(0.05, 0.4), rng.uniform(0.55, 0.97), 150)
            t = np.linspace(0, 1, 150)
            is_superficial = number % 3 == 0
            reach = rng.uniform(0.84, 0.9) if is_superficial else rng.uniform(0.25, 0.8)
            angle = rng.uniform(0, 2 * np.pi) + rng.normal(0, 0.5) * t
            angle = angle + 0.07 * np.sin(rng.uniform(3, 9) * t + rng.uniform(0, 6))
            reaches = reach + 0.04 * np.sin(rng.uniform(3, 9) * t + rng.uniform(0, 6))
            points.append(breast.points(depth, reaches, angle))
            radii.append(np.linspace(rng.uniform(0.5, 1.1), rng.uniform(0.2, 0.5), 150))
    for sign in (-1, 1):
        for offset in (14.0, 18.5):
            head = np.arange(*BODY_BOX_MM[0], 0.7)
            left = sign * (offset + rng.uniform(0, 3) + 1.5 * np.sin(head / 17 + rng.uniform(0, 6)))
            points.append(
                np.stack([head, np.full_like(head, -28.0) + rng.uniform(-1, 1), left], -1)
            )
            radii.append(np.full(len(head), rng.uniform(0.9, 1.6)))
    return Tubes(np.concatenate(points), np.concatenate(radii))


def _lung_vessels(rng: np.random.Generator) -> Tubes:
    points, radii = [], []
    for sign in (-1, 1):
        hilum = np.array([12.0, -98.0, 16 + sign * 38.0])
        for _ in range(26):
            way = rng.standard_normal(3) * (0.8, 0.8, 0.6) + (0, 0, 0.8 * sign)
            end = hilum + way / np.linalg.norm(way) * rng.uniform(35, 90)
            row = curved_row(hilum + rng.normal(0, 6, 3), end, rng.normal(0, 6, (3, 3)))
            points.append(row)
            radii.append(np.linspace(rng.uniform(1.5, 4.0), 0.5, len(row)))
    return Tubes(np.concatenate(points), np.concatenate(radii))


def _nodes(rng: np.random.Generator) -> Tubes:
    points, radii = [], []
    for sign in (-1, 1):
        for _ in range(int(rng.integers(2, 6))):
            center = np.array(
                [rng.uniform(20, 90), rng.uniform(-55, -20), sign * rng.uniform(118, 145)]
            )
            way = rng.standard_normal(3)
            t = np.linspace(-1, 1, 9)[:, None]
            points.append(center + t * way / np.linalg.norm(way) * rng.uniform(1, 4))
            radii.append(np.full(9, rng.uniform(2.0, 4.5)))
    return Tubes(np.concatenate(points), np.concatenate(radii))


def _foci(rng: np.random.Generator, breasts: tuple[BreastShape, BreastShape]) -> Tubes:
    points, radii = [], []
    for breast in breasts:
        count = int(rng.integers(40, 160))
        depth = rng.beta(4, 1.6, count)
        points.append(
            breast.points(
                depth, 0.85 * np.sqrt(rng.random(count)), rng.uniform(0, 2 * np.pi, count)
            )
        )
        radii.append(rng.uniform(0.4, 1.5, count))
    return Tubes(np.concatenate(points), np.concatenate(radii))
