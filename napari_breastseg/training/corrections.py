"""What a reader has corrected in an exam so far, and the rest of the exam drafted again from it.

Plain values: imports no torch, no Qt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InputError
from ..core.volume import IGNORE, TUMOR, LabelMap, Volume

__all__ = ["Corrections", "Redraft", "changed_slices"]


@dataclass(frozen=True, eq=False)
class Corrections:
    """A mask on its way to being right: what a reader has made of an exam up to now.

    Raises
    ------
    InputError
        If the arrays do not fit each other.
    """

    labels: NDArray[np.uint8]
    """The mask as it stands, (Z, Y, X): 1 tumor; 0 or 2 (not reviewed) elsewhere."""

    touched: NDArray[np.bool_]
    """Voxels that the reader painted, erased, kept or dropped, (Z, Y, X): they teach what they
    are, and are never drafted again."""

    reviewed: NDArray[np.bool_]
    """Slices that the reader corrected or marked as reviewed, (Z,): all of such a slice is right as
    it stands. It teaches, tissue left unmarked included, and is never drafted again."""

    def __post_init__(self) -> None:
        shape = self.labels.shape
        if self.touched.shape != shape or self.reviewed.shape != shape[:1]:
            raise InputError(
                f"Expected the voxels touched and the slices reviewed of a mask of {shape}",
                f"found arrays of {self.touched.shape} and {self.reviewed.shape}",
                "Take all three from one mask",
            )

    @classmethod
    def of_mask(
        cls,
        label_map: LabelMap,
        draft: LabelMap | None = None,
        reviewed: Sequence[int] | None = None,
    ) -> Corrections:
        """Corrections that a mask on disk tells.

        Parameters
        ----------
        label_map : LabelMap
            0 no tumor, 1 tumor, 2 not reviewed.
        draft : LabelMap, optional
            What is marked where nothing was reviewed.
        reviewed : sequence of int, optional
            Slices of the mask that are right, from 0; by default all that is not `ignore`.

        Raises
        ------
        InputError
            If there is no such slice.

        Examples
        --------
        >>> from napari_breastseg.core.volume import Grid
        >>> mask = LabelMap(np.array([[[0, 1]], [[2, 2]]], np.uint8), Grid((2, 1, 2)))
        >>> Corrections.of_mask(mask).reviewed
        array([ True, False])
        """
        is_known = label_map.data != IGNORE
        if reviewed is not None:
            depth = len(is_known)
            outside = [z + 1 for z in reviewed if not 0 <= z < depth]
            if outside:
                raise InputError(
                    f"Expected reviewed slices from 1 to {depth}",
                    f"found slice {outside[0]}",
                    "Count slices from 1, in the order of the file",
                )
            is_known[[z for z in range(depth) if z not in set(reviewed)]] = False
        elsewhere = np.uint8(0) if draft is None else draft.data
        labels = np.where(is_known, label_map.data, elsewhere).astype(np.uint8)
        return cls(labels, is_known, np.array([plane.all() for plane in is_known]))

    @classmethod
    def nothing(cls, shape: tuple[int, int, int], draft: LabelMap | None = None) -> Corrections:
        """No corrections, as of a slice that is to be drafted again from those of others."""
        labels = np.zeros(shape, np.uint8) if draft is None else draft.data
        return cls(labels, np.zeros(shape, bool), np.zeros(shape[0], bool))

    @property
    def tumor(self) -> NDArray[np.bool_]:
        """Voxels marked now, (Z, Y, X)."""
        return np.equal(self.labels, TUMOR)

    def is_kept(self) -> NDArray[np.bool_]:
        """Voxels that stay as they are, (Z, Y, X): those touched, and all of reviewed slices."""
        return self.touched | self.reviewed[:, None, None]

    def known(self) -> NDArray[np.uint8]:
        """What they teach, (Z, Y, X): 0 no tumor, 1 tumor, 2 nothing."""
        labels = np.where(self.is_kept(), self.labels, np.uint8(IGNORE))
        return labels.astype(np.uint8)


@dataclass(frozen=True, eq=False)
class Redraft:
    """An exam drafted again from the reader's own corrections in it."""

    probability: Volume
    """Tumor probability, float32 (Z, Y, X), on the exam's grid; of the first draft where nothing
    was drafted again."""

    label_map: LabelMap
    """The whole mask: the reader's where it is kept, and drafted anew elsewhere; 0 and 1."""

    changed: tuple[int, ...]
    """Slices, counted from 0, in which it differs from the mask as the reader had it."""

    seconds: float
    """Wall time, with learning, without what `ExamLearner.prepare` did before."""

    stage: Literal["features", "adapted"]
    """features: at once, from what the network saw; adapted: from a copy of it that learned."""

    learned_from: int
    """Slices that taught something."""


def changed_slices(before: NDArray[np.bool_], after: NDArray[np.bool_]) -> tuple[int, ...]:
    """Slices, counted from 0, in which two masks (Z, Y, X) differ.

    Examples
    --------
    >>> changed_slices(np.zeros((3, 1, 1), bool), np.array([[[0]], [[1]], [[0]]], bool))
    (1,)
    """
    return tuple(z for z, (a, b) in enumerate(zip(before, after, strict=True)) if (a != b).any())
