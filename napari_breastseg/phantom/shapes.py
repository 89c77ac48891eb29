"""Shapes of lesions: scores in mm that grow from the middle outwards.

Imports `config`, `fields`, `tissue` only.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .config import LesionKind
from .fields import Axes, Floats, sum_waves, waves
from .tissue import GLAND_SIGNAL

__all__ = ["Shape"]


class Shape:
    """One drawn shape, centered at the origin, as a score in mm."""

    def __init__(
        self, rng: np.random.Generator, kind: LesionKind, radius: float, core: float = 0.0
    ) -> None:
        self.kind, self.radius, self.core = kind, radius, core
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
        self.spicules = rng.standard_normal((int(rng.integers(45, 75)), 3))
        self.spicules /= np.linalg.norm(self.spicules, axis=1, keepdims=True)
        self.spicule_length = rng.uniform(0.4, 1.2, len(self.spicules))
        self.spicule_width = max(0.9, 0.24 * radius)
        count = int(np.clip(18 * (radius / 6) ** 1.5, 10, 90))
        along = rng.uniform(-1.5, 1.5, (count, 1)) * np.array([[1.0, 0, 0]])
        self.clumps = radius * (along + rng.normal(0, (0.1, 0.52, 0.38), (count, 3)))
        self.clump_mm = rng.uniform(0.22, 0.42, count) * radius**0.75
        self.rim_core = rng.uniform(0.4, 0.65)
        self.contrast = rng.uniform(0.05, 0.22)
        self.level = rng.uniform(0.95, 1.25)

    def voxel_scores(
        self, positions: Axes, center: NDArray[np.float64], spacing: NDArray[np.float64]
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
        if self.kind == "rim" and self.core:
            return self._around_core(plain, gain, texture, relative, mask)
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

    def _around_core(
        self,
        plain: Floats,
        gain: Floats,
        texture: Floats,
        relative: Floats,
        mask: NDArray[np.bool_],
    ) -> tuple[Floats, Floats]:
        """Signals of a rim around a dead core, whose edge is uneven."""
        edge = np.float32(self.core) * (1 + np.float32(0.08) * texture)
        core = np.clip((edge - relative) / np.float32(0.08) + 0.5, 0, 1)
        plain = plain * (1 - np.float32(0.45) * core)
        gain = np.clip(gain, 0.1, 2.5) * (1 - core)
        rim = mask & (core < 0.5)
        rim = rim if rim.any() else mask
        gain *= np.float32(plain[rim].mean() / max(float((plain * gain)[rim].mean()), 1e-3))
        return plain.astype(np.float32), np.clip(gain, 0, 4).astype(np.float32)
