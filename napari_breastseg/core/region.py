"""Boxes of voxels within an exam.

Imports no torch, no Qt.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .volume import Exam

__all__ = [
    "Region",
    "checked",
    "grown",
    "resampled",
    "smallest",
    "tight_box",
    "whole",
    "widened",
]

Region = tuple[slice, slice, slice]
"""A part of an exam, as slices of voxels along (z, y, x)."""


def whole(exam: Exam) -> Region:
    """Region that is the whole exam."""
    z, y, x = exam.grid.shape
    return slice(0, z), slice(0, y), slice(0, x)


def checked(region: Region | None, exam: Exam) -> Region:
    """Region with its bounds filled in; the whole exam for None.

    Raises
    ------
    InputError
        If the region is empty or outside the exam.
    """
    if region is None:
        return whole(exam)
    bounds = [part.indices(size) for part, size in zip(region, exam.grid.shape, strict=True)]
    if any(step != 1 or stop <= start for start, stop, step in bounds):
        raise InputError(
            f"Expected a region inside exam {exam.case_id}, {exam.grid.describe()}",
            "found an empty region, or one outside it",
            "Draw the box on the image, or segment the whole volume",
        )
    z, y, x = (slice(start, stop) for start, stop, _ in bounds)
    return z, y, x


def smallest(near: NDArray[np.bool_], box: Region) -> Region:
    """The smallest region that holds what is near inside a box; the box where nothing is."""
    found = tight_box(near[box])
    if found is None:
        return box
    z, y, x = (
        slice(part.start + inner.start, part.start + inner.stop)
        for part, inner in zip(box, found, strict=True)
    )
    return z, y, x


def grown(region: Region, exam: Exam, by_mm: float) -> Region:
    """A region of an exam of known spacing, enlarged on every side by so many mm."""
    sides = zip(region, exam.grid.shape, exam.grid.voxel_size, strict=True)
    z, y, x = (
        slice(max(0, part.start - round(by_mm / step)), min(size, part.stop + round(by_mm / step)))
        for part, size, step in sides
    )
    return z, y, x


def resampled(region: Region, shape: Sequence[int], other: Sequence[int]) -> Region:
    """The smallest region that covers the same part on another grid of the same field of view.

    Parameters
    ----------
    region : Region
    shape, other : sequence of int
        Voxels (z, y, x) of the grid the region is given on, and of the other one.
    """
    parts = []
    for part, have, working in zip(region, shape, other, strict=True):
        scale = working / have
        start = max(0, int(np.floor(part.start * scale - 0.5)))
        stop = min(working, int(np.ceil(part.stop * scale + 0.5)))
        parts.append(part if scale == 1 else slice(start, max(stop, start + 1)))
    return parts[0], parts[1], parts[2]


def widened(box: Region, shape: tuple[int, ...], by: Iterable[int]) -> Region:
    """A box with so many voxels more on each side, within the array."""
    z, y, x = (
        slice(max(0, part.start - more), min(size, part.stop + more))
        for part, size, more in zip(box, shape, by, strict=True)
    )
    return z, y, x


def tight_box(mask: NDArray[np.bool_]) -> Region | None:
    """The smallest box that holds all of a mask (Z, Y, X); None when it is empty."""
    along_z = np.array([plane.any() for plane in mask])
    if not along_z.any():
        return None
    z = _span(along_z)
    flat: NDArray[np.bool_] = np.any(mask[z], axis=0)
    return z, _span(np.any(flat, axis=1)), _span(np.any(flat, axis=0))


def _span(is_there: NDArray[np.bool_]) -> slice:
    places = np.flatnonzero(is_there)
    return slice(int(places[0]), int(places[-1]) + 1)
