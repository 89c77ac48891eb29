"""What the scanner and the patient's movements do to the signal.

Imports `config`, `fields`, `anatomy` only.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .anatomy import Anatomy
from .config import PhantomConfig, PhaseAxis, View
from .fields import Axes, Floats, noise

__all__ = ["Ghosts", "Motion", "coil_sensitivity", "draw_motions", "magnitude"]


def coil_sensitivity(
    rng: np.random.Generator, anatomy: Anatomy, axes: Axes, strength: float
) -> Floats:
    """Shading of a breast coil: bright near the skin of the breasts, dark deep in the chest.

    Returns
    -------
    array, shape (Z, Y, X)
        About 1 in the middle of the breasts, everywhere 1 when `strength` is 0.
    """
    slow = noise(rng, 55.0)
    if strength == 0:
        return np.ones(axes.shape, np.float32)
    lattice = anatomy.body
    z, y, _ = lattice.axes.open()
    depth = np.clip(-lattice.values, 0, None)
    near = 0.2 + 0.8 * np.exp(-np.maximum(-y - 5, 0) / 60) + 0.55 * np.exp(-depth / 7)
    near *= np.exp(-((z / 170) ** 2))
    fall = min(1.0, 0.5 + strength)
    shading = near**fall * np.exp(strength * slow.at(lattice.axes))
    return lattice.with_values(shading).at(axes)


class Motion:
    """A small rigid and elastic displacement of the whole patient.

    Parameters
    ----------
    rng : Generator
        Draws the movement.
    typical_mm : float
        Its typical size.
    chest_mm : float
        Shift of the chest wall to the front, which the breasts follow less and less.
    """

    def __init__(self, rng: np.random.Generator, typical_mm: float, chest_mm: float = 0.0) -> None:
        self.chest_mm = np.float32(chest_mm)
        self.shift_mm = rng.normal(0, typical_mm * 0.6, 3) * (0.7, 1.0, 0.7)
        self.angle = np.float32(rng.normal(0, typical_mm * 0.4 / 100))
        self.elastic = [noise(rng, 45.0) for _ in range(2)]
        self.elastic_mm = np.float32(typical_mm * 0.6)

    def apply(self, signal: Floats, axes: Axes, spacing_mm: tuple[float, float, float]) -> Floats:
        """The signal after the movement, by linear interpolation; edges repeat."""
        from scipy import ndimage

        head_mm, front_shift, left_shift = (np.float32(s) for s in self.shift_mm)
        if signal.shape[0] > 1:
            # Along z the shift is the same everywhere: a weighted sum of two slices.
            source = np.arange(signal.shape[0]) - head_mm / spacing_mm[0]
            low = np.floor(source).astype(int)
            part = (source - low).astype(np.float32)[:, None, None]
            last = signal.shape[0] - 1
            signal = (
                signal[np.clip(low, 0, last)] * (1 - part)
                + signal[np.clip(low + 1, 0, last)] * part
            )
        _, front, left = axes.open()
        front_mm = front_shift + self.angle * left + self.elastic_mm * self.elastic[0].at(axes)
        if self.chest_mm:
            front_mm = front_mm + self.chest_mm * np.clip((15 - front) / np.float32(45), 0, 1)
        left_mm = left_shift - self.angle * front + self.elastic_mm * self.elastic[1].at(axes)
        rows = np.arange(signal.shape[1], dtype=np.float32)[:, None]
        columns = np.arange(signal.shape[2], dtype=np.float32)[None, :]
        moved = np.empty_like(signal)
        for z in range(signal.shape[0]):
            # Array y runs to the back, x to the left.
            where = (rows + front_mm[z] / spacing_mm[1], columns - left_mm[z] / spacing_mm[2])
            ndimage.map_coordinates(signal[z], where, output=moved[z], order=1, mode="nearest")
        return moved


def draw_motions(
    rng: np.random.Generator, breathing: np.random.Generator, config: PhantomConfig
) -> dict[str, Motion | None]:
    """One movement per phase; none for the first post-contrast one, in which the truth lies."""
    posts = [role for role, time in config.phase_times_s.items() if time > 0]
    still = posts[0] if posts else config.phases[0]
    motions: dict[str, Motion | None] = {}
    for role in config.phases:
        chest_mm = float(breathing.normal()) * config.breathing_mm
        is_still = role == still or (config.motion_mm == 0 and config.breathing_mm == 0)
        motions[role] = None if is_still else Motion(rng, config.motion_mm, chest_mm)
    return motions


_PHASE_AXES: dict[View, tuple[PhaseAxis, ...]] = {
    "axial": ("left", "left", "front"),
    "sagittal": ("head", "front"),
    "coronal": ("left", "head"),
}
"""Directions that a view is measured with, the usual one first."""


class Ghosts:
    """Copies of the beating heart along the phase-encoding direction.

    Heartbeats modulate the signal from one phase-encoding step to the next: copies appear at even
    distances, or half a field of view away, weaker the farther, adding to the signal or taking
    from it as their phase happens to be.

    Parameters
    ----------
    rng : Generator
        Draws direction, places and strengths.
    beating : array of bool, shape (Z, Y, X)
        Heart and great vessels.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        beating: NDArray[np.bool_],
        axes: Axes,
        config: PhantomConfig,
    ) -> None:
        names = _PHASE_AXES[config.view]
        drawn = names[int(rng.integers(len(names)))]
        self.axis = ("head", "front", "left").index(config.ghost_axis or drawn)
        self.rng, self.beating, self.axes = rng, beating, axes
        self.strength = config.heart_ghosts
        self.is_half = bool(rng.random() < 0.4)

    def add(self, signal: Floats) -> Floats:
        """The signal of one phase with its ghosts; never negative."""
        from scipy import ndimage

        rng = self.rng
        grain, blotches = noise(rng, 16.0), noise(rng, 6.0)
        strength = self.strength * rng.uniform(0.4, 1.0)
        length = signal.shape[self.axis]
        apart = 0.5 if self.is_half else rng.uniform(0.08, 0.3)
        orders = (1,) if self.is_half else (-3, -2, -1, 1, 2, 3)
        offsets = [round(length * (k * apart + rng.normal(0, 0.01))) for k in orders]
        signs = rng.choice((-1.0, 1.0), len(orders), p=(0.35, 0.65))
        if not self.beating.any():
            return signal
        source = np.where(self.beating, signal, np.float32(0))
        # Beats differ in length, which smears the copies.
        smear = max(1, round(length * rng.uniform(0.005, 0.025)))
        source = ndimage.uniform_filter1d(source, smear, axis=self.axis, mode="wrap")
        source *= np.clip(1 + np.float32(0.5) * grain.at(self.axes), 0, None)
        ghosted = signal * (1 + self.beating * np.float32(0.5 * strength) * blotches.at(self.axes))
        for order, offset, sign in zip(orders, offsets, signs, strict=True):
            share = np.float32(sign * strength / abs(order) ** 0.8)
            ghosted += share * np.roll(source, offset, axis=self.axis)
        return np.abs(ghosted, out=ghosted)


def magnitude(
    rng: np.random.Generator, signal: Floats, sigma: float, air: NDArray[np.bool_] | None
) -> NDArray[np.int16]:
    """Rician magnitude image, rounded.

    Parameters
    ----------
    signal : array, shape (Z, Y, X)
        Noise-free signal; overwritten.
    sigma : float
        Standard deviation of the noise of the real and of the imaginary part.
    air : array of bool, optional
        Where the scanner writes zero.
    """
    if sigma > 0:
        signal += rng.standard_normal(signal.shape, dtype=np.float32) * np.float32(sigma)
        signal *= signal
        other = rng.standard_normal(signal.shape, dtype=np.float32)
        other *= np.float32(sigma)
        other *= other
        signal += other
        np.sqrt(signal, out=signal)
    if air is not None:
        signal[air] = 0
    np.clip(np.rint(signal, out=signal), 0, 32767, out=signal)
    return signal.astype(np.int16)
