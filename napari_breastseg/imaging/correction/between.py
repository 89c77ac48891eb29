"""From slice to slice: interpolate between edited slices, copy a slice to the next one.

Shapes are interpolated by their signed distances (Raya and Udupa, IEEE Transactions on Medical
Imaging 9, 32-42, 1990), after their centers are aligned, so that a lesion that shifts from slice to
slice keeps its size.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import InputError
from ...core.volume import BACKGROUND, TUMOR, LabelMap
from .regions import Edit, Mask, spacing_of

__all__ = ["copy_slice", "edited_slices", "gap_around", "gaps", "interpolate"]

MOST_APART = 5.0
"""Marks in two slices farther apart than this, in mm or pixels, are two lesions."""

Gap = tuple[int, int]
"""Two edited slices with unedited ones between them."""


def edited_slices(
    labels: NDArray[Any],
    draft: NDArray[Any] | None,
    *,
    axis: int = 0,
    written: Mapping[int, NDArray[Any]] | None = None,
) -> tuple[int, ...]:
    """Slices whose tumor differs from the draft; without a draft, slices with tumor.

    Parameters
    ----------
    labels, draft : array, shape (Z, Y, X)
    axis : int
        Array axis along which slices are counted.
    written : mapping of int to array, optional
        Slices written by an earlier interpolation; those still unchanged were not edited.
    """
    found = []
    for index in range(labels.shape[axis]):
        now = _plane(labels, index, axis) == TUMOR
        if draft is None:
            is_edited = bool(now.any())
        else:
            is_edited = not np.array_equal(now, _plane(draft, index, axis) == TUMOR)
        if is_edited and written is not None and index in written:
            is_edited = not np.array_equal(now, written[index] == TUMOR)
        if is_edited:
            found.append(index)
    return tuple(found)


def gaps(edited: Sequence[int]) -> tuple[Gap, ...]:
    """Pairs of consecutive edited slices with unedited ones between them.

    Examples
    --------
    >>> gaps((3, 4, 8, 11))
    ((4, 8), (8, 11))
    """
    return tuple((a, b) for a, b in pairwise(edited) if b - a > 1)


def gap_around(edited: Sequence[int], index: int) -> tuple[Gap, ...]:
    """The gap that contains a slice; for an edited slice, the gaps on both sides.

    Examples
    --------
    >>> gap_around((3, 8, 11), 5), gap_around((3, 8, 11), 8), gap_around((3, 8), 9)
    (((3, 8),), ((3, 8), (8, 11)), ())
    """
    return tuple((a, b) for a, b in gaps(edited) if a <= index <= b)


def interpolate(label_map: LabelMap, between: Iterable[Gap], *, axis: int = 0) -> Edit:
    """Redraw the slices between two edited ones by interpolation.

    Parameters
    ----------
    label_map : LabelMap
    between : iterable of (int, int)
        Pairs of slices, as `gaps` gives.
    axis : int
        Array axis along which slices are counted.

    Returns
    -------
    Edit
        Marks in the two slices belong together if they overlap, or lie at most 5 mm (pixels) apart
        and no farther than the slices themselves; they may split or merge. Marks in one slice
        only, and tumor between that belongs to no pair, stay unchanged.
    """
    spacing = np.roll(spacing_of(label_map.grid), -axis)
    through, in_plane = spacing[0], np.delete(spacing_of(label_map.grid), axis)
    edits = []
    for a, b in between:
        first, last = (_plane(label_map.data, index, axis) == TUMOR for index in (a, b))
        pairs = list(_pairs(first, last, in_plane, min(MOST_APART, (b - a) * through)))
        for index in range(a + 1, b):
            drawn = [pair.at((index - a) / (b - a)) for pair in pairs]
            edits.append(_redrawn(label_map.data, index, axis, pairs, drawn))
    return Edit.joined(edits)


def copy_slice(
    label_map: LabelMap, index: int, step: int, *, axis: int = 0, at: tuple[int, int] | None = None
) -> Edit:
    """Copy the tumor of a slice to the next one.

    Parameters
    ----------
    label_map : LabelMap
    index : int
        The slice to copy, along `axis`.
    step : int
        1 for the next slice, -1 for the one before.
    axis : int
        Array axis along which slices are counted.
    at : tuple of int, optional
        A tumor pixel of the slice: only its mark is copied, replacing the marks it overlaps.
        Without it the whole slice is copied.

    Raises
    ------
    InputError
        If there is no next slice, or no tumor to copy.
    """
    from scipy import ndimage

    depth = label_map.data.shape[axis]
    if not 0 <= index + step < depth:
        raise InputError(
            "Expected a slice to copy to",
            f"found none after slice {index + 1}, the last"
            if step > 0
            else f"found none before slice {index + 1}, the first",
            "Go back one slice" if step > 0 else "Go on one slice",
        )
    mark = _plane(label_map.data, index, axis) == TUMOR
    if not mark.any():
        raise InputError(
            "Expected tumor in the current slice to copy", "found none", "Draw it first"
        )
    there = _plane(label_map.data, index + step, axis) == TUMOR
    old = there
    if at is not None:
        numbers, _ = ndimage.label(mark, np.ones((3, 3), bool))
        mark = numbers == numbers[at]
        old = _touching(there, mark)
    wanted = _plane(label_map.data, index + step, axis).copy()
    wanted[old] = BACKGROUND
    wanted[mark] = TUMOR
    return _edit_of_plane(label_map.data, index + step, axis, wanted)


class _Pair:
    """Marks in two slices that are one lesion, and the shapes between them."""

    def __init__(self, first: Mask, last: Mask, spacing: NDArray[np.float64]) -> None:
        from scipy import ndimage

        self.footprint = first | last
        places = np.argwhere(self.footprint)
        low = np.maximum(places.min(axis=0) - 3, 0)
        high = np.minimum(places.max(axis=0) + 4, first.shape)
        self.box = (slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1])))
        ends = []
        for mask in (first[self.box], last[self.box]):
            inside = ndimage.distance_transform_edt(mask, sampling=spacing)
            outside = ndimage.distance_transform_edt(~mask, sampling=spacing)
            center = np.argwhere(mask).mean(axis=0)
            ends.append((inside - outside, center))
        (self._first, one), (self._last, other) = ends
        self._way = other - one

    def at(self, share: float) -> Mask:
        """The mark at a fraction of the way from the first slice to the last, in `box`."""
        from scipy import ndimage

        first = ndimage.shift(self._first, share * self._way, order=1, mode="nearest")
        last = ndimage.shift(self._last, (share - 1) * self._way, order=1, mode="nearest")
        drawn: Mask = (1 - share) * first + share * last > 0
        return drawn


def _pairs(
    first: Mask, last: Mask, spacing: NDArray[np.float64], most_apart: float
) -> Iterator[_Pair]:
    from scipy import ndimage

    both = first | last
    if not (first.any() and last.any()):
        return
    places = np.argwhere(both)
    more = np.ceil(most_apart / spacing).astype(int) + 1
    low = np.maximum(places.min(axis=0) - more, 0)
    high = np.minimum(places.max(axis=0) + more + 1, both.shape)
    box = (slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1])))
    near = ndimage.distance_transform_edt(~both[box], sampling=spacing) <= most_apart / 2
    numbers = np.zeros(both.shape, np.int32)
    # Marks that overlap in this projection are one group; nearby ones join it, even in a chain.
    ndimage.label(near, np.ones((3, 3), bool), output=numbers[box])
    for number in range(1, int(numbers.max()) + 1):
        is_own = numbers == number
        if (first & is_own).any() and (last & is_own).any():
            yield _Pair(first & is_own, last & is_own, spacing)


def _redrawn(
    labels: NDArray[Any], index: int, axis: int, pairs: list[_Pair], drawn: list[Mask]
) -> Edit:
    now = _plane(labels, index, axis)
    wanted = now.copy()
    for pair, mark in zip(pairs, drawn, strict=True):
        own = pair.footprint.copy()
        own[pair.box] |= mark
        wanted[_touching(now == TUMOR, own)] = BACKGROUND
    for pair, mark in zip(pairs, drawn, strict=True):
        wanted[pair.box][mark] = TUMOR
    return _edit_of_plane(labels, index, axis, wanted)


def _touching(tumor: Mask, mark: Mask) -> Mask:
    """The components of a plane's tumor that overlap a mark."""
    from scipy import ndimage

    if not tumor.any():
        return tumor
    numbers, count = ndimage.label(tumor, np.ones((3, 3), bool))
    is_met = np.zeros(count + 1, bool)
    is_met[np.unique(numbers[mark])] = True
    is_met[0] = False
    met: Mask = is_met[numbers]
    return met


def _plane(labels: NDArray[Any], index: int, axis: int) -> NDArray[Any]:
    """A slice along an axis; a view."""
    plane: NDArray[Any] = np.moveaxis(labels, axis, 0)[index]
    return plane


def _edit_of_plane(labels: NDArray[Any], index: int, axis: int, wanted: NDArray[Any]) -> Edit:
    box = [slice(0, size) for size in labels.shape]
    box[axis] = slice(index, index + 1)
    return Edit.within(labels, (box[0], box[1], box[2]), np.expand_dims(wanted, axis))
