"""Interpolating between the slices a reader edited, again and again. No Qt, no napari."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import InputError
from ...core.volume import LabelMap
from ...imaging import correction
from ...imaging.correction import Edit

__all__ = ["Interpolation"]


class Interpolation:
    """Finds the gaps between edited slices; what it filled in before is no edit of the reader's."""

    def __init__(self) -> None:
        self._filled: dict[tuple[int, int], NDArray[Any]] = {}

    def forget(self) -> None:
        """Forget what was filled in: another exam is shown."""
        self._filled = {}

    def edit(
        self, label_map: LabelMap, drafted: NDArray[Any] | None, *, axis: int, index: int | None
    ) -> tuple[Edit, tuple[tuple[int, int], ...]]:
        """The edit that redraws slices between edited ones, and the gaps it fills.

        Parameters
        ----------
        label_map : LabelMap
        drafted : ndarray, shape (Z, Y, X), optional
            The draft, against which a slice counts as edited; None where there is none, or none
            that the reader may see.
        axis : int
            Array axis the slices lie along.
        index : int, optional
            Only the gap around this slice; all when not given.

        Raises
        ------
        InputError
            When there is no gap between edited slices.
        """
        filled = {i: plane for (a, i), plane in self._filled.items() if a == axis}
        edited = correction.edited_slices(label_map.data, drafted, axis=axis, written=filled)
        gaps = correction.gaps(edited) if index is None else correction.gap_around(edited, index)
        if not gaps:
            where = "" if index is None else " from a slice between"
            raise InputError(
                "Expected two edited slices with others between them",
                _edited_text(edited),
                f"Correct a slice further on, then interpolate{where}",
            )
        return correction.interpolate(label_map, gaps, axis=axis), gaps

    def note_filled(
        self, labels: NDArray[Any], gaps: Sequence[tuple[int, int]], *, axis: int
    ) -> None:
        """Note that the slices inside these gaps of a mask (Z, Y, X) were filled in."""
        planes = np.moveaxis(labels, axis, 0)
        for first, last in gaps:
            for index in range(first + 1, last):
                self._filled[axis, index] = planes[index].copy()


def _edited_text(slices: Sequence[int]) -> str:
    if not slices:
        return "no slice was edited"
    if len(slices) == 1:
        return f"only slice {slices[0] + 1} was edited"
    shown = ", ".join(str(index + 1) for index in slices[:8])
    return f"only slices {shown}{' ...' if len(slices) > 8 else ''} were edited"
