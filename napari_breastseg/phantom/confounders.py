"""What is mistaken for a lesion, or hides one: each is off unless the settings ask for it.

Thick winding vessels, nodes within the breast, clips, patches of bright gland, and fat that is
bright at folds of the skin. Imports `config`, `fields`, `anatomy` only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .anatomy import BREAST_BASE_MM, Anatomy, BreastShape, Tubes, curved_row
from .config import PhantomConfig
from .fields import Axes, Floats, noise, splat

__all__ = ["Confounders", "clip_signal", "draw_confounders"]

_NONE = Tubes(np.zeros((0, 3)), np.zeros(0))


@dataclass(frozen=True, eq=False)
class Confounders:
    """Those of one patient."""

    vessels: Tubes = _NONE
    nodes: Tubes = _NONE
    clips: Tubes = _NONE
    clip_rim_mm: float = 1.5

    patches: NDArray[np.float32] | None = None
    """Relative enhancement that the gland has at least at 90 s, shape (Z, Y, X)."""

    bright_fat: NDArray[np.float32] | None = None
    """0 to 1 where the fat's suppression fails at folds, shape (Z, Y, X)."""


def draw_confounders(
    rng: np.random.Generator, anatomy: Anatomy, axes: Axes, config: PhantomConfig
) -> Confounders:
    """Draw what the settings ask for; one stream each, so that none depends on another."""
    vessels, nodes, clips, patches, folds = rng.spawn(5)
    breasts = anatomy.breasts
    return Confounders(
        vessels=_join([_vessel(vessels, breasts) for _ in range(config.thick_vessels)]),
        nodes=_join([_node(nodes, breasts) for _ in range(config.breast_nodes)]),
        clips=_join([_clip(clips, breasts) for _ in range(config.clips)]),
        clip_rim_mm=float(clips.uniform(1.0, 2.0)),
        patches=_patches(patches, axes, config) if config.bpe_patches else None,
        bright_fat=_bright_folds(folds, anatomy, axes, config) if config.fold_failure else None,
    )


def _join(tubes: list[Tubes]) -> Tubes:
    if not tubes:
        return _NONE
    return Tubes(
        np.concatenate([t.points_mm for t in tubes]), np.concatenate([t.radii_mm for t in tubes])
    )


def _vessel(rng: np.random.Generator, breasts: tuple[BreastShape, BreastShape]) -> Tubes:
    """One vessel with a branch: below the skin, or from beside the sternum into the breast."""
    breast = breasts[int(rng.integers(2))]
    t = np.linspace(0, 1, 170)
    inward = np.pi if breast.side == "left" else 0.0  # the angle that points to the other breast
    thick = float(rng.uniform(0.8, 2.5))

    def along_skin(angle: float, start: float, end: float) -> NDArray[np.float64]:
        bend = np.zeros(len(t))
        for k in (1, 3, 7):
            bend += rng.normal(0, 0.3 / k) * np.sin(k * np.pi * t + rng.uniform(0, 6))
        reach = np.full(len(t), rng.uniform(0.84, 0.93))
        reach += 0.02 * np.sin(rng.uniform(5, 20) * t)
        return breast.points(start + (end - start) * t, reach, angle + bend)

    # They lie in clusters: the angles of one breast are drawn around a few.
    angle = float(rng.choice((-1.8, -0.7, 0.6, 1.7, inward)) + rng.normal(0, 0.25))
    if rng.random() < 0.6:
        trunk = along_skin(angle, float(rng.uniform(0.05, 0.3)), float(rng.uniform(0.5, 0.95)))
    else:
        end = breast.points(
            np.array([rng.uniform(0.2, 0.6)]),
            np.array([rng.uniform(0.3, 0.85)]),
            np.array([inward + rng.normal(0, 0.5)]),
        )[0]
        sign = -1 if breast.side == "right" else 1
        start = np.array([end[0] + rng.normal(0, 15), BREAST_BASE_MM + 2, sign * 17.0])
        trunk = curved_row(start, end, rng.normal(0, 7, (3, 3)))
    fork = int(rng.uniform(0.3, 0.8) * len(trunk))
    way = trunk[-1] - trunk[fork] + rng.normal(0, 18, 3)
    branch = curved_row(trunk[fork], trunk[fork] + way, rng.normal(0, 4, (3, 3)))
    radii = [
        np.linspace(thick, 0.5 * thick, len(trunk)),
        np.linspace(0.6, 0.3, len(branch)) * thick,
    ]
    return Tubes(np.concatenate([trunk, branch]), np.concatenate(radii))


def _node(rng: np.random.Generator, breasts: tuple[BreastShape, BreastShape]) -> Tubes:
    """A bean of 4 to 10 mm, mostly in the upper outer quarter."""
    breast = breasts[int(rng.integers(2))]
    outward = 0.0 if breast.side == "left" else np.pi
    upper = 0.8 if breast.side == "left" else -0.8
    center = breast.points(
        np.array([rng.uniform(0.1, 0.5)]),
        np.array([rng.uniform(0.4, 0.8)]),
        np.array([outward + upper * rng.uniform(-0.3, 1.2)]),
    )[0]
    radius = float(rng.uniform(1.3, 2.6))
    plane, _ = np.linalg.qr(rng.standard_normal((3, 2)))
    arc = np.linspace(-1.2, 1.2, 9)
    ring = np.stack([np.cos(arc), np.sin(arc)], -1) * radius * 1.3
    return Tubes(center + ring @ plane.T, np.full(9, radius))


def _clip(rng: np.random.Generator, breasts: tuple[BreastShape, BreastShape]) -> Tubes:
    """Where a metal clip has put out the signal, 3 to 8 mm across."""
    breast = breasts[int(rng.integers(2))]
    center = breast.points(
        rng.uniform(0.1, 0.8, 1), rng.uniform(0.0, 0.75, 1), rng.uniform(0, 2 * np.pi, 1)
    )
    return Tubes(center + rng.normal(0, 0.5, (3, 3)), np.full(3, rng.uniform(1.5, 4.0)))


def _patches(rng: np.random.Generator, axes: Axes, config: PhantomConfig) -> Floats:
    field = noise(rng, 15.0).at(axes) + np.float32(0.4) * noise(rng, 6.0).at(axes)
    patches: Floats = np.clip((field - np.float32(0.5)) / np.float32(0.5), 0, 1)
    return patches * np.float32(config.bpe_patches)


def _bright_folds(
    rng: np.random.Generator, anatomy: Anatomy, axes: Axes, config: PhantomConfig
) -> Floats:
    """Share of failed suppression at the fold below, the outer edge, the armpit and the nipple."""
    lattice = anatomy.body
    z, y, x = lattice.axes.open()
    depth = np.clip(-lattice.values, 0, None)
    ragged = noise(rng, 13.0).at(lattice.axes)
    failed = np.zeros(lattice.values.shape, np.float32)
    for breast in anatomy.breasts:
        sign = -1 if breast.side == "right" else 1
        middle = (breast.tip_mm + BREAST_BASE_MM) / 2
        outer = breast.left_mm + sign * breast.half_width_mm
        places = (
            (breast.head_mm - breast.half_height_mm, BREAST_BASE_MM + 25, breast.left_mm),
            (breast.head_mm, middle - 15, outer),
            (breast.head_mm + 70, BREAST_BASE_MM, sign * 125.0),
            (breast.head_mm - 10, breast.tip_mm - 5, breast.left_mm),
        )
        for head, front, left in places:
            extent = rng.uniform(14, 42, 3) * (0.5 + config.fold_failure)
            layer = rng.uniform(5, 22)  # how deep below the skin it goes, mm
            drawn = rng.random()
            if drawn > 0.25 + 0.75 * config.fold_failure:
                continue
            away = ((z - head) / extent[0]) ** 2 + ((y - front) / extent[1]) ** 2
            away = away + ((x - left) / extent[2]) ** 2
            level = 1.3 - np.sqrt(away) - np.maximum(depth - layer, 0) / 8 + 0.22 * ragged
            failed = np.maximum(failed, np.clip(level / 0.5, 0, 1).astype(np.float32))
    return np.clip(lattice.with_values(failed).at(axes), 0, 1)


def clip_signal(clips: Tubes, rim_mm: float, axes: Axes) -> Floats | None:
    """What clips multiply the signal by: 0 within, more than 1 around; None without clips."""
    if not len(clips.radii_mm):
        return None
    hole, rim = np.zeros(axes.shape, np.float32), np.zeros(axes.shape, np.float32)
    splat(hole, axes, clips.points_mm, clips.radii_mm)
    splat(rim, axes, clips.points_mm, clips.radii_mm + rim_mm)
    # Signal that was lost within piles up beside it.
    factor: Floats = (1 + np.float32(0.9) * rim) * (1 - np.float32(0.97) * hole)
    return factor
