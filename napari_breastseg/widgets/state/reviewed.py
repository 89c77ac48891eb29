"""Which slices of a case the reader has seen. No Qt, no napari."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

__all__ = ["ReviewedSlices"]


class ReviewedSlices:
    """Slices seen along each axis of one case.

    Parameters
    ----------
    shape : tuple of int, optional
        Voxels of the case along (z, y, x); None while no case is held.

    Examples
    --------
    >>> reviewed = ReviewedSlices((4, 2, 9))
    >>> reviewed.add([1]), reviewed.add([1]), sorted(reviewed.along(0))
    (True, False, [1])
    >>> reviewed.add([0, 1], axis=1), sorted(reviewed.along(0))  # all coronal slices were seen
    (True, [0, 1, 2, 3])
    """

    def __init__(self, shape: tuple[int, int, int] | None = None) -> None:
        self._shape = shape
        self._seen: dict[int, set[int]] = {}
        self._marked: frozenset[int] = frozenset()

    def add(self, indices: Iterable[int], *, axis: int = 0) -> bool:
        """Count slices along an array axis (0 z, 1 y, 2 x) as seen; whether any of them is new."""
        seen = self._seen.setdefault(axis, set())
        new = {int(index) for index in indices} - seen
        seen |= new
        return bool(new)

    def note_marked(self, slices: frozenset[int]) -> bool:
        """Count slices along z as reviewed while they hold the reader's marks; whether it is news.

        Examples
        --------
        >>> reviewed = ReviewedSlices((4, 2, 9))
        >>> reviewed.note_marked(frozenset({2})), sorted(reviewed.along(0))
        (True, [2])
        >>> reviewed.note_marked(frozenset()), sorted(reviewed.along(0))  # the marks were undone
        (True, [])
        """
        is_new, self._marked = slices != self._marked, slices
        return is_new

    def discard(self, voxels: Sequence[Iterable[int]]) -> bool:
        """Count the slices of changed voxels (z, y, x) as not seen; whether any of them was.

        Examples
        --------
        >>> reviewed = ReviewedSlices((4, 2, 9))
        >>> reviewed.add([1, 2]), reviewed.discard(([2, 2], [0, 1], [5, 5])), reviewed.along(0)
        (True, True, frozenset({1}))
        """
        was_seen = False
        for axis, seen in self._seen.items():
            changed = seen & {int(index) for index in np.unique(np.asarray(voxels[axis]))}
            seen -= changed
            was_seen |= bool(changed)
        return was_seen

    def along(self, axis: int) -> frozenset[int]:
        """Slices along an axis that were seen or, along z, hold the reader's own marks.

        Who has seen every slice along y or x has seen all slices along z.
        """
        if axis == 0 and self._shape is not None:
            for other in (1, 2):
                if len(self._seen.get(other, ())) == self._shape[other]:
                    return frozenset(range(self._shape[0]))
        seen = frozenset(self._seen.get(axis, ()))
        return seen | self._marked if axis == 0 else seen
