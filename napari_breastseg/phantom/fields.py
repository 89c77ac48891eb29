"""Smooth random fields, upsampling and tubes: the drawing tools of the phantom.

Positions are body millimetres (head, front, left), in array order (z, y, x) and independent of
the image grid, so that one seed gives one patient however finely it is sampled. Fields are drawn
on coarse lattices and upsampled with separable weights in a fixed order of additions: quick, and
the result does not depend on the number of threads.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "BODY_BOX_MM",
    "Axes",
    "Floats",
    "Lattice",
    "noise",
    "over",
    "soft_inside",
    "splat",
    "waves",
]

Floats = NDArray[np.float32]

BODY_BOX_MM = ((-160.0, 160.0), (-276.0, 180.0), (-200.0, 200.0))
"""Extent (head, front, left) in which anatomy is drawn; the sternum's skin is at the origin."""


@dataclass(frozen=True)
class Axes:
    """Body positions in mm of the voxels of an image along each of its axes."""

    head: NDArray[np.float64]
    front: NDArray[np.float64]
    left: NDArray[np.float64]
    slice_mm: float = 3.0
    """Distance of slices, for images that have one."""

    slice_axis: int = 0
    """Axis along which slices are stacked: 0 head (axial), 1 front (coronal), 2 left."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(Z, Y, X)."""
        return (len(self.head), len(self.front), len(self.left))

    def open(self) -> tuple[Floats, Floats, Floats]:
        """The three axes as float32 arrays that broadcast to (Z, Y, X)."""
        return (
            self.head.astype(np.float32)[:, None, None],
            self.front.astype(np.float32)[None, :, None],
            self.left.astype(np.float32)[None, None, :],
        )

    def take(self, z: slice, y: slice, x: slice) -> Axes:
        """The axes of a box of voxels."""
        return Axes(self.head[z], self.front[y], self.left[x], self.slice_mm, self.slice_axis)

    @property
    def starts_mm(self) -> NDArray[np.float64]:
        """Position of the first voxel, shape (3,)."""
        return np.array([self.head[0], self.front[0], self.left[0]])

    @property
    def steps_mm(self) -> NDArray[np.float64]:
        """Signed distance of neighboring voxels, shape (3,)."""
        return np.array(
            [
                axis[1] - axis[0] if len(axis) > 1 else sign * self.slice_mm
                for axis, sign in ((self.head, 1), (self.front, -1), (self.left, 1))
            ]
        )


@dataclass(frozen=True, eq=False)
class Lattice:
    """Values on a coarse regular lattice of body positions.

    Parameters
    ----------
    values : array, shape (Lz, Ly, Lx)
        float32.
    origin_mm, step_mm : tuple of float
        Position of the first point and distance of neighbors, per axis.
    is_noise : bool
        Upsample with B-splines, which smooth, instead of Catmull-Rom, which keeps the values.
    """

    values: Floats
    origin_mm: tuple[float, float, float]
    step_mm: tuple[float, float, float]
    is_noise: bool = False

    @property
    def axes(self) -> Axes:
        """Positions of the lattice points."""
        head, front, left = (
            o + s * np.arange(n, dtype=np.float64)
            for o, s, n in zip(self.origin_mm, self.step_mm, self.values.shape, strict=True)
        )
        return Axes(head, front, left)

    def with_values(self, values: NDArray[np.floating]) -> Lattice:
        """Another field on the same lattice."""
        return Lattice(values.astype(np.float32), self.origin_mm, self.step_mm, self.is_noise)

    def at(self, axes: Axes) -> Floats:
        """Upsample to a voxel grid, shape (Z, Y, X); beyond the lattice its edge goes on."""
        # Only the lattice planes that these slices need; then x first, so that z grows last.
        ends = (np.array([axes.head.min(), axes.head.max()]) - self.origin_mm[0]) / self.step_mm[0]
        last = self.values.shape[0] - 1
        low = int(np.clip(np.floor(ends[0]) - 1, 0, last))
        high = int(np.clip(np.floor(ends[1]) + 3, low + 1, last + 1))
        if (low, high) != (0, last + 1):
            origin = (self.origin_mm[0] + low * self.step_mm[0], *self.origin_mm[1:])
            cropped = Lattice(self.values[low:high], origin, self.step_mm, self.is_noise)
            return cropped._upsample(axes)
        return self._upsample(axes)

    def _upsample(self, axes: Axes) -> Floats:
        out = self.values
        for axis, positions in ((2, axes.left), (1, axes.front), (0, axes.head)):
            out = self._along(out, axis, positions)
        return out

    def at_points(self, points_mm: NDArray[np.floating]) -> Floats:
        """Trilinear values at points, shape (N, 3) to (N,)."""
        from scipy import ndimage

        index = (np.asarray(points_mm, dtype=np.float64) - self.origin_mm) / self.step_mm
        value: Floats = ndimage.map_coordinates(self.values, index.T, order=1, mode="nearest")
        return value

    def _along(self, values: Floats, axis: int, positions: NDArray[np.float64]) -> Floats:
        u = (positions - self.origin_mm[axis]) / self.step_mm[axis]
        u = np.clip(u, 0, values.shape[axis] - 1)
        first = np.floor(u).astype(np.intp)
        t = u - first
        if self.is_noise:
            weights = (
                (1 - t) ** 3 / 6,
                (3 * t**3 - 6 * t**2 + 4) / 6,
                (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6,
                t**3 / 6,
            )
        else:
            weights = (
                -0.5 * t + t**2 - 0.5 * t**3,
                1 - 2.5 * t**2 + 1.5 * t**3,
                0.5 * t + 2 * t**2 - 1.5 * t**3,
                -0.5 * t**2 + 0.5 * t**3,
            )
        shape = [1, 1, 1]
        shape[axis] = len(positions)
        out: Floats | None = None
        for tap, weight in enumerate(weights):
            index = np.clip(first + tap - 1, 0, values.shape[axis] - 1)
            part = np.take(values, index, axis=axis)
            part *= weight.astype(np.float32).reshape(shape)
            if out is None:
                out = part
            else:
                out += part
        assert out is not None
        return out


def noise(rng: np.random.Generator, grain_mm: float | tuple[float, float, float]) -> Lattice:
    """Smooth random field over the whole body, mean 0 and standard deviation about 1.

    Parameters
    ----------
    rng : Generator
        Drawn from the same number of times whatever the image grid is.
    grain_mm : float or three floats
        Distance of the lattice points; structures are about twice as large.
    """
    grain = (grain_mm,) * 3 if isinstance(grain_mm, float | int) else grain_mm
    # A random start hides the lattice itself: no seed has its blobs where another has them.
    origin = [low - g * (1 + rng.random()) for (low, _), g in zip(BODY_BOX_MM, grain, strict=True)]
    shape = [
        int(np.ceil((high - o) / g)) + 3
        for (_, high), o, g in zip(BODY_BOX_MM, origin, grain, strict=True)
    ]
    values = rng.standard_normal(shape, dtype=np.float32)
    values *= np.float32((315 / 151) ** 1.5)  # variance of a cubic B-spline's weights, three axes
    return Lattice(values, (origin[0], origin[1], origin[2]), grain, is_noise=True)


def waves(
    rng: np.random.Generator, length: tuple[float, float], count: int = 16
) -> tuple[Floats, Floats, np.float32]:
    """Random plane waves whose sum is a smooth field of standard deviation 1 at any point.

    Parameters
    ----------
    length : tuple of float
        Shortest and longest wavelength, in the unit of the points.

    Returns
    -------
    tuple
        Wave vectors (3, count), angles (count,) and the amplitude; hand them to `sum_waves`.
    """
    direction = rng.standard_normal((3, count))
    direction /= np.linalg.norm(direction, axis=0)
    vectors = direction * (2 * np.pi / rng.uniform(*length, count))
    angles = rng.uniform(0, 2 * np.pi, count)
    return vectors.astype(np.float32), angles.astype(np.float32), np.float32(np.sqrt(2 / count))


def sum_waves(field: tuple[Floats, Floats, np.float32], points: Floats) -> Floats:
    """Values of a field of `waves` at points, shape (3, ...) to (...)."""
    vectors, angles, amplitude = field
    total = np.zeros(points.shape[1:], np.float32)
    for (kz, ky, kx), angle in zip(vectors.T, angles, strict=True):
        total += np.cos(kz * points[0] + ky * points[1] + kx * points[2] + angle)
    total *= amplitude
    return total


def soft_inside(distance_mm: Floats, width_mm: float) -> Floats:
    """Share of a voxel inside a surface from its signed distance (negative inside)."""
    share = distance_mm * np.float32(-1.0 / width_mm)
    share += np.float32(0.5)
    return np.clip(share, 0, 1, out=share)


def over(target: Floats, value: float | Floats, share: Floats) -> None:
    """Paint `value` over `target` in place, where `share` of the voxel is covered."""
    target += share * (np.asarray(value, np.float32) - target)


def splat(
    share: Floats, axes: Axes, points_mm: NDArray[np.floating], radii_mm: NDArray[np.floating]
) -> None:
    """Draw balls, or tubes as dense rows of balls, into `share` in place.

    Parameters
    ----------
    share : array, shape (Z, Y, X)
        Keeps the larger of what was there and the share of the voxel that a ball covers; a
        tube thinner than a slice covers no more of it than its thickness does.
    points_mm : array, shape (N, 3)
        Centers (head, front, left).
    radii_mm : array, shape (N,)
    """
    starts, steps = axes.starts_mm, axes.steps_mm
    size = np.abs(steps)
    through = axes.slice_axis
    ends = (axes.head, axes.front, axes.left)[through][[0, -1]]
    near = np.abs(points_mm[:, through] - ends.mean()) <= (
        np.abs(ends[1] - ends[0]) / 2 + size[through] + np.max(radii_mm, initial=0.0)
    )
    flat = share.reshape(-1)
    # Thin tubes apart from thick ones: all balls of a group visit as many voxels as its thickest.
    for low, high in ((0.0, 1.2), (1.2, 2.4), (2.4, np.inf)):
        chosen = near & (radii_mm > low) & (radii_mm <= high)
        if chosen.any():
            tube = points_mm[chosen], radii_mm[chosen]
            _splat_group(flat, share.shape, starts, steps, through, *tube)


def _splat_group(
    flat: Floats,
    shape: tuple[int, ...],
    starts: NDArray[np.float64],
    steps: NDArray[np.float64],
    through: int,
    points: NDArray[np.floating],
    radii: NDArray[np.floating],
) -> None:
    size = np.abs(steps)
    in_plane = int(through == 0)  # an axis within the slices
    beyond = np.where(np.arange(3) == through, 0.0, 0.5) * size
    reach = np.ceil((radii.max() + 0.5 * size + beyond) / size).astype(int)
    offsets = np.stack(
        np.meshgrid(*(np.arange(-r, r + 1) for r in reach), indexing="ij"), axis=-1
    ).reshape(-1, 3)
    chunk = max(1, 2_000_000 // len(offsets))
    for begin in range(0, len(points), chunk):
        p, r = points[begin : begin + chunk], radii[begin : begin + chunk, None]
        index = np.rint((p - starts) / steps).astype(int)[:, None, :] + offsets
        apart = np.abs(index * steps + starts - p[:, None, :])
        # A slice shows whatever lies within its thickness.
        apart[..., through] = np.maximum(apart[..., through] - size[through] / 2, 0)
        distance = np.sqrt((apart**2).sum(-1))
        covered = np.clip(0.5 - (distance - r) / size[in_plane], 0, 1)
        covered *= np.minimum(1, 2 * r / size[through])
        ok = (covered > 0) & ((index >= 0) & (index < shape)).all(-1)
        z, y, x = index[ok].T
        where = (z * shape[1] + y) * shape[2] + x
        np.maximum.at(flat, where, covered[ok].astype(np.float32))
