"""What a reader said by clicks, for as long as the mask is what came of it. No Qt, no napari."""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from ...clicks.prompts import Prompts

__all__ = ["ClickMemory"]

SAME_LESION_MM = 30.0
"""A click farther than this from all that was said before means another lesion."""


class ClickMemory:
    """The prompts of the lesion at work, and which slices the reader corrected by hand.

    Parameters
    ----------
    spacing : tuple of float
        Of the voxels (z, y, x).
    """

    def __init__(self, spacing: tuple[float, float, float]) -> None:
        self._spacing = np.array(spacing)
        self._said: dict[int, Prompts] = {}
        self._left: dict[int, int] = {}
        self._known: dict[int, set[int]] = {}

    def with_prompts(self, z: int, new: Prompts, labels: NDArray[np.generic]) -> dict[int, Prompts]:
        """All that was said of the lesion, with what is said now of a slice.

        What was said of a slice is forgotten when its mask is no longer what came of it, and all of
        it when the reader turns to another lesion.

        Parameters
        ----------
        z : int
            The slice.
        new : Prompts
        labels : ndarray, shape (Z, Y, X)
            The mask as it is.
        """
        places = [(z, *place) for place in (*new.inside, *new.outside)]
        if new.box is not None:
            places.append((z, (new.box[0] + new.box[2]) / 2, (new.box[1] + new.box[3]) / 2))
        said = {
            at: prompts
            for at, prompts in self._said.items()
            if self._left.get(at) == _mark(labels[at])
        }
        before = [(at, *place) for at, one in said.items() for place in (*one.inside, *one.outside)]
        if before and places:
            apart = (np.array(places)[:, None] - np.array(before)[None]) * self._spacing
            if np.linalg.norm(apart, axis=-1).min() > SAME_LESION_MM:
                said = {}
        earlier = said.get(z, Prompts())
        said[z] = Prompts(
            (*earlier.inside, *new.inside),
            (*earlier.outside, *new.outside),
            earlier.box if new.box is None else new.box,
            new.only_enhancing,
        )
        return said

    def note(self, said: dict[int, Prompts], labels: NDArray[np.generic]) -> None:
        """Keep what was said, and the mask (Z, Y, X) that came of it."""
        self._said = said
        self.know(labels)
        self._left = {z: _mark(labels[z]) for z in said}

    def know(self, labels: NDArray[np.generic]) -> None:
        """Take a mask (Z, Y, X) for one that no hand has corrected, as a draft is."""
        for z, plane in enumerate(labels):
            self._known.setdefault(z, {_NOTHING}).add(_mark(plane))

    def corrected(self, labels: NDArray[np.generic]) -> frozenset[int]:
        """Slices along z that the reader corrected by hand: they stay as they are."""
        return frozenset(
            z
            for z, plane in enumerate(labels)
            if _mark(plane) not in self._known.get(z, {_NOTHING})
        )


_NOTHING = 0
"""The mark of a slice in which nothing is marked, of any size."""


def _mark(plane: NDArray[np.generic]) -> int:
    tumor = np.ascontiguousarray(plane == 1)
    return zlib.crc32(tumor.tobytes()) | 1 if tumor.any() else _NOTHING
