"""An exam turned to the patient's axes and made coarse: feet to head, front to back, right to left.

Whatever the view an exam was taken in, the methods behind this see the same axes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..core.volume import Exam, Grid

__all__ = ["STEP_MM", "BodyAxes"]

STEP_MM = (2.5, 1.6, 2.4)
"""Voxels are joined up to about this size (feet-head, front-back, right-left)."""

_PLANES = 8
"""Coarse planes that are made at a time."""

_WANTED = (("F", "H"), ("A", "P"), ("R", "L"))

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class BodyAxes:
    """How an exam's array is turned to the body's axes and made coarse, and the way back.

    Parameters
    ----------
    grid : Grid
        With known orientation and spacing.
    """

    grid: Grid

    @cached_property
    def _turn(self) -> tuple[tuple[int, int, int], tuple[bool, bool, bool]]:
        """The array's axis of each body axis, and whether it runs the other way."""
        letters = self.grid.end_letters
        assert letters is not None  # the caller checks
        order, flipped = [], []
        for wanted in _WANTED:
            axis = next(i for i, ends in enumerate(letters) if set(ends) == set(wanted))
            order.append(axis)
            flipped.append(letters[axis] != wanted)
        return (order[0], order[1], order[2]), (flipped[0], flipped[1], flipped[2])

    @cached_property
    def factors(self) -> tuple[int, int, int]:
        """Voxels joined along each body axis."""
        sizes = [self.grid.voxel_size[axis] for axis in self._turn[0]]
        z, y, x = (max(1, round(step / s)) for step, s in zip(STEP_MM, sizes, strict=True))
        return z, y, x

    @cached_property
    def steps_mm(self) -> tuple[float, float, float]:
        """Size of a coarse voxel (feet-head, front-back, right-left), mm."""
        z, y, x = (
            float(self.grid.voxel_size[axis] * f)
            for axis, f in zip(self._turn[0], self.factors, strict=True)
        )
        return z, y, x

    def mean(self, exam: Exam) -> Floats:
        """Mean of the phases over blocks of voxels; what does not fill a last block is left out."""
        total: NDArray[np.floating] | None = None
        for volume in exam.phases.values():
            one = self._blocks(volume.data)
            total = one if total is None else total + one
        assert total is not None  # an exam has a phase
        return np.asarray(total / np.float32(len(exam.phases)), np.float32)

    def _blocks(self, data: NDArray[np.generic]) -> Floats:
        order, flipped = self._turn
        # Along the array's own axes first: a strided sum of whole rows is several times faster.
        # A few planes at a time: as floats, a whole phase would be twice itself.
        factors = [self.factors[order.index(axis)] for axis in range(3)]
        counts = [max(1, size // factor) for size, factor in zip(data.shape, factors, strict=True)]
        starts = [
            max(0, size - count * factor) if flipped[order.index(axis)] else 0
            for axis, (size, count, factor) in enumerate(
                zip(data.shape, counts, factors, strict=True)
            )
        ]
        joined = np.empty(counts, np.float32)
        for first in range(0, counts[0], _PLANES):
            count = min(_PLANES, counts[0] - first)
            start = starts[0] + first * factors[0]
            part = _joined(data[start : start + count * factors[0]], 0, factors[0], 0, count)
            for axis in (1, 2):
                part = _joined(part, axis, factors[axis], starts[axis], counts[axis])
            joined[first : first + count] = part
        flips = tuple(slice(None, None, -1 if f else 1) for f in flipped)
        return np.ascontiguousarray(joined.transpose(order)[flips], np.float32)

    def back(self, coarse: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A coarse array (feet-head, front-back, right-left) on the exam's own grid."""
        order, flipped = self._turn
        shape = [self.grid.shape[axis] for axis in order]
        fine = coarse
        for axis, (factor, size) in enumerate(zip(self.factors, shape, strict=True)):
            places = np.minimum(np.arange(size) // factor, coarse.shape[axis] - 1)
            fine = fine.take(places, axis=axis)
        flips = tuple(slice(None, None, -1 if f else 1) for f in flipped)
        turned = fine[flips].transpose(np.argsort(order))
        return np.ascontiguousarray(turned)

    def coarse_places(self, voxels: NDArray[np.floating]) -> NDArray[np.float64]:
        """Places of the exam's voxels in the coarse array, shape (N, 3), in coarse voxels."""
        order, flipped = self._turn
        at = np.asarray(voxels, np.float64)[:, order]
        for axis, is_flipped in enumerate(flipped):
            if is_flipped:
                at[:, axis] = self.grid.shape[order[axis]] - 1 - at[:, axis]
            at[:, axis] = (at[:, axis] + 0.5) / self.factors[axis] - 0.5
        return at

    def voxels(self, places: NDArray[np.floating]) -> NDArray[np.float64]:
        """The exam's voxels (z, y, x) of places in the coarse array, shape (N, 3)."""
        order, flipped = self._turn
        at = (np.asarray(places, np.float64) + 0.5) * self.factors - 0.5
        for axis, is_flipped in enumerate(flipped):
            if is_flipped:
                at[:, axis] = self.grid.shape[order[axis]] - 1 - at[:, axis]
        return at[:, np.argsort(order)]

    def across_mm(self, count: int) -> NDArray[np.float64]:
        """Patient coordinate of each coarse column, RAS mm, falling from right to left.

        Oblique exams: that of the field's center in the other directions.
        """
        places = np.zeros((count, 3))
        for axis in (0, 1):
            size = self.grid.shape[self._turn[0][axis]]
            places[:, axis] = (size / self.factors[axis] - 1) / 2
        places[:, 2] = np.arange(count)
        voxels = self.voxels(places)
        return np.asarray(voxels @ self.grid.affine[0, :3] + self.grid.affine[0, 3])


def _joined(
    data: NDArray[np.generic], axis: int, factor: int, start: int, count: int
) -> NDArray[np.float32]:
    """Means of so many voxels in a row along an axis."""
    ahead, kept = (slice(None),) * axis, (slice(None),) * axis + (slice(0, count),)
    steps = min(factor, data.shape[axis])
    parts = [data[(*ahead, slice(start + k, None, factor))][kept] for k in range(steps)]
    total = parts[0].astype(np.float32)
    for part in parts[1:]:
        total += part.astype(np.float32)
    total /= np.float32(steps)
    return total
