"""What is said of a lesion while it grows from a click, and how far it may grow unasked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["MOST_TIMES_FIRST", "Grown", "may_grow_to"]

MOST_TIMES_FIRST = 3
"""The wheel stops once at so many times the volume at the press: beyond it growth often leaks."""


@dataclass(frozen=True)
class Grown:
    """What would be marked.

    Parameters
    ----------
    voxels, slices : int
        How many, slices along z.
    is_joining : bool
        Whether it reaches a lesion that is marked already and was not clicked.
    """

    voxels: int
    slices: int
    is_joining: bool

    @classmethod
    def of(
        cls, mask: NDArray[np.bool_], marked: NDArray[np.bool_], clicked: tuple[int, int, int]
    ) -> Grown:
        """Look at a mask.

        Parameters
        ----------
        mask, marked : ndarray, shape (Z, Y, X)
            What grew, and what was marked before, in the same box.
        clicked : tuple of int
            Voxel of the click in that box.
        """
        from scipy import ndimage

        lesions, _ = ndimage.label(marked, np.ones((3, 3, 3)))
        reached = np.unique(lesions[ndimage.binary_dilation(mask) | mask])
        others = set(reached.tolist()) - {0, int(lesions[clicked])}
        return cls(
            int(np.count_nonzero(mask)), int(np.count_nonzero(mask.any((1, 2)))), bool(others)
        )

    def words(self, voxel_ml: float | None, *, is_stopped: bool = False) -> str:
        """Size and slices, and what to mind; `voxel_ml` is None where the spacing is unknown.

        Examples
        --------
        >>> Grown(1500, 7, False).words(0.001)
        '1.50 mL in 7 slices'
        >>> print(Grown(12, 1, True).words(None, is_stopped=True))
        12 px in 1 slice
        Joins a lesion that is marked
        3 times the first size: turn once more to go on
        """
        size = f"{self.voxels:,} px" if voxel_ml is None else f"{self.voxels * voxel_ml:.2f} mL"
        lines = [f"{size} in {self.slices} slice{'' if self.slices == 1 else 's'}"]
        if self.is_joining:
            lines.append("Joins a lesion that is marked")
        if is_stopped:
            lines.append(f"{MOST_TIMES_FIRST} times the first size: turn once more to go on")
        return "\n".join(lines)


def may_grow_to(voxels: int, first: int, *, is_told_to: bool) -> bool:
    """Whether the wheel may go on to a volume.

    Parameters
    ----------
    voxels, first : int
        That volume, and the one at the press.
    is_told_to : bool
        Whether the reader turned on after it had stopped.

    Examples
    --------
    >>> may_grow_to(300, 100, is_told_to=False), may_grow_to(301, 100, is_told_to=False)
    (True, False)
    """
    return is_told_to or voxels <= MOST_TIMES_FIRST * max(1, first)
