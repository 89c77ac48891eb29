"""Redrafts as undo steps of a mask: which of them stand in it, and which were taken back.

No Qt, no napari.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...imaging.correction import Edit

__all__ = ["RedraftSteps", "slices_of_edit"]


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


def slices_of_edit(edit: Edit) -> set[int]:
    """Slices along z that an edit changes."""
    return set(np.unique(edit.voxels[0]).tolist())


def _holds(labels: NDArray[np.uint8], edit: Edit, wanted: NDArray[np.uint8]) -> bool:
    return bool(np.array_equal(labels[edit.voxels], wanted))
