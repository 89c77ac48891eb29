"""How far two masks agree."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["dice", "dice_of_counts"]


def dice(
    a: NDArray[np.bool_], b: NDArray[np.bool_], scored: NDArray[np.bool_] | None = None
) -> float:
    """Dice coefficient of two masks, 0 to 1; 1 where both are empty.

    Parameters
    ----------
    a, b : array of bool
        Masks of one shape.
    scored : array of bool, optional
        Voxels that count; all by default.

    References
    ----------
    Dice: Measures of the amount of ecologic association between species, Ecology 26 (1945), doi
    10.2307/1932409.

    Examples
    --------
    >>> dice(np.array([True, True, False]), np.array([True, False, False]))
    0.6666666666666666
    """
    if scored is not None:
        a, b = a & scored, b & scored
    sizes = (int(np.count_nonzero(mask)) for mask in (a, b))
    return dice_of_counts(int(np.count_nonzero(a & b)), sum(sizes))


def dice_of_counts(overlap: int, sizes: int) -> float:
    """Dice of two masks that share `overlap` voxels and together hold `sizes`.

    Examples
    --------
    >>> dice_of_counts(0, 0), dice_of_counts(2, 8)
    (1.0, 0.5)
    """
    return 2 * overlap / sizes if sizes else 1.0
