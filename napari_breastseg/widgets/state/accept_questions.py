"""What is asked before a mask is accepted, and how a question reads. No Qt, no napari."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.volume import TUMOR

__all__ = ["Question", "question_before_accept", "slice_numbers"]


@dataclass(frozen=True)
class Question:
    """A question with two answers; the second is the careful one, which Escape gives too."""

    title: str
    text: str
    yes: str
    no: str
    unseen: tuple[int, ...] = ()
    """Slices along z to be shown when the answer is no."""


def question_before_accept(
    labels: NDArray[Any], reviewed: Collection[int] | None, *, voxel_ml: float | None
) -> Question | None:
    """What to ask before a mask is accepted; None when nothing would be lost or claimed by it.

    Parameters
    ----------
    labels : ndarray, shape (Z, Y, X)
    reviewed : collection of int, optional
        Slices along z that were looked at or hold the reader's own marks; None when the reader
        said that all were reviewed.
    voxel_ml : float, optional
        Volume of a voxel; None where the spacing is unknown.
    """
    if reviewed is None:
        return None
    counts = np.array([np.count_nonzero(plane == TUMOR) for plane in labels])
    if not counts.any():
        return Question(
            "No tumor is marked",
            "Nothing is marked in this exam. Accept that it holds no tumor, with all slices "
            "reviewed?",
            "No tumor in this exam",
            "Go on reading",
        )
    unseen = tuple(z for z in np.flatnonzero(counts).tolist() if z not in set(reviewed))
    if not unseen:
        return None
    one = len(unseen) == 1
    total, left_out = int(counts.sum()), int(counts[list(unseen)].sum())
    size = f"{left_out:,} of {total:,} px"
    if voxel_ml is not None:
        size = f"{left_out * voxel_ml:.2f} of {total * voxel_ml:.2f} mL"
    return Question(
        "Tumor not seen yet",
        f"{len(unseen)} slice{'' if one else 's'} with tumor {'was' if one else 'were'} not seen: "
        f"{slice_numbers(unseen)}, {size}.\n"
        "Accepted anyway, they stay out of the accepted mask and of training.",
        "Accept anyway",
        "Show it" if one else "Show them",
        unseen,
    )


def slice_numbers(slices: Collection[int]) -> str:
    """Slices as a reader counts them, from 1, neighbors drawn together.

    Parameters
    ----------
    slices : collection of int
        Counted from 0.

    Examples
    --------
    >>> slice_numbers([70, 71, 72, 80]), slice_numbers([0])
    ('slices 71 to 73 and 81', 'slice 1')
    """
    runs: list[list[int]] = []
    for z in sorted(slices):
        if runs and z == runs[-1][1] + 1:
            runs[-1][1] = z
        else:
            runs.append([z, z])
    words = [f"{a + 1}" if a == b else f"{a + 1} to {b + 1}" for a, b in runs]
    text = words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
    return f"slice{'' if len(slices) == 1 else 's'} {text}"
