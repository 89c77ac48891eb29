"""Redrafts as undo steps of a mask: which of them stand in it, and which were taken back.

No Qt, no napari.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ...dataset import RedraftRecord
from ...imaging.correction import Edit

__all__ = ["RedraftPlanes", "RedraftSteps", "slices_of_edit"]


class RedraftSteps:
    """The redrafts of one mask, in the order in which they were put into it."""

    def __init__(self) -> None:
        self._standing: list[Edit] = []
        self._undone: list[Edit] = []
        self._is_last = False

    @property
    def last(self) -> Edit | None:
        """The redraft that was the last change of the mask; None where another change was."""
        return self._standing[-1] if self._is_last else None

    @property
    def is_undone(self) -> bool:
        """Whether the newest redraft was taken back by undo, and not put back by redo."""
        return bool(self._undone)

    def add(self, edit: Edit) -> None:
        """Note a redraft that was put into the mask just now."""
        self._standing.append(edit)
        self._undone, self._is_last = [], True

    def drop_last(self) -> None:
        """Note that the redraft `last` was undone, to make room for a better one."""
        self._standing.pop()
        self._is_last = False

    def note_step(self) -> None:
        """Note another undo step: nothing that was undone can come back."""
        self._undone, self._is_last = [], False

    def note_change(self) -> None:
        """Note another change of the mask, by undo or redo as well."""
        self._is_last = False

    def follow(self, labels: NDArray[np.uint8]) -> tuple[list[Edit], list[Edit]]:
        """The redrafts that an undo took out of a mask (Z, Y, X), and that a redo put back."""
        taken: list[Edit] = []
        given: list[Edit] = []
        while self._undone and _holds(labels, self._undone[-1], self._undone[-1].after):
            given.append(self._undone.pop())
        if given:
            self._standing += given
            return [], given
        while self._standing and self._standing[-1].fits(labels):
            taken.append(self._standing.pop())
        self._undone += taken
        return taken, []

    def slices(self) -> set[int]:
        """Slices along z that the redrafts in the mask changed."""
        return {z for edit in self._standing for z in slices_of_edit(edit)}


class RedraftPlanes:
    """The slices that redrafts changed, as they were before the first and after the last one.

    No other slice is copied: a mask as large as the exam holds the window while it is.
    """

    def __init__(self) -> None:
        self._planes: dict[int, tuple[NDArray[np.uint8], NDArray[np.uint8]]] = {}

    def __len__(self) -> int:
        return len(self._planes)

    def put(self, labels: NDArray[np.uint8], edit: Edit) -> None:
        """Note a redraft; `labels` (Z, Y, X) is the mask before it."""
        for z in slices_of_edit(edit) - self._planes.keys():
            self._planes[z] = labels[z].copy(), labels[z].copy()
        self._set(edit, edit.after)

    def take_back(self, edit: Edit) -> None:
        """Note that the redraft noted last was undone."""
        self._set(edit, edit.before)

    def record(
        self, labels: NDArray[np.uint8], reviewed: Iterable[int] | None, learned_from: int
    ) -> RedraftRecord | None:
        """What became of redrafts in a mask (Z, Y, X) that is accepted; None without any.

        Parameters
        ----------
        labels : ndarray, shape (Z, Y, X)
        reviewed : iterable of int, optional
            Slices along z that were reviewed; all when not given.
        learned_from : int
        """
        if not self._planes:
            return None
        slices = sorted(self._planes)
        before, redrafted = (np.stack([self._planes[z][n] for z in slices]) for n in (0, 1))
        seen = slices if reviewed is None else set(reviewed)
        is_reviewed = np.array([z in seen for z in slices])
        return RedraftRecord.of(before, redrafted, labels[slices], is_reviewed, learned_from)

    def _set(self, edit: Edit, values: NDArray[np.uint8]) -> None:
        for z in slices_of_edit(edit):
            of_slice = edit.voxels[0] == z
            rows, columns = edit.voxels[1][of_slice], edit.voxels[2][of_slice]
            self._planes[z][1][rows, columns] = values[of_slice]


def slices_of_edit(edit: Edit) -> set[int]:
    """Slices along z that an edit changes."""
    return set(np.unique(edit.voxels[0]).tolist())


def _holds(labels: NDArray[np.uint8], edit: Edit, wanted: NDArray[np.uint8]) -> bool:
    return bool(np.array_equal(labels[edit.voxels], wanted))
