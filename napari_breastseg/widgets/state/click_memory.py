"""What a reader said by clicks, for as long as the mask is what came of it. No Qt, no napari."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Mapping

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

    def with_prompts(
        self, new: Mapping[int, Prompts], labels: NDArray[np.generic]
    ) -> dict[int, Prompts]:
        """All that was said of the lesion, with what is said now.

        What was said of a slice is forgotten when its mask is no longer what came of it, and all of
        it when the reader turns to another lesion.

        Parameters
        ----------
        new : mapping of int to Prompts
            By slice along z.
        labels : ndarray, shape (Z, Y, X)
            The mask as it is.
        """
        places = _places(new)
        places += [
            (z, (one.box[0] + one.box[2]) / 2, (one.box[1] + one.box[3]) / 2)
            for z, one in new.items()
            if one.box is not None
        ]
        said = {
            at: prompts
            for at, prompts in self._said.items()
            if self._left.get(at) == _mark(labels[at])
        }
        before = _places(said)
        if before and places:
            apart = (np.array(places)[:, None] - np.array(before)[None]) * self._spacing
            if np.linalg.norm(apart, axis=-1).min() > SAME_LESION_MM:
                said = {}
        for z, one in new.items():
            earlier = said.get(z, Prompts())
            said[z] = Prompts(
                (*earlier.inside, *one.inside),
                (*earlier.outside, *one.outside),
                earlier.box if one.box is None else one.box,
                one.only_enhancing,
            )
        return said

    def note(
        self,
        said: dict[int, Prompts],
        labels: NDArray[np.generic],
        kept: Collection[int] = (),
    ) -> None:
        """Keep what was said, and the mask (Z, Y, X) that came of it, but for slices `kept`."""
        self._said = said
        self.know(labels, kept)
        self._left = {z: _mark(labels[z]) for z in said}

    def know(self, labels: NDArray[np.generic], kept: Collection[int] = ()) -> None:
        """Take a mask (Z, Y, X) for one that no hand has corrected, but for slices `kept`."""
        for z in set(range(len(labels))).difference(kept):
            plane = labels[z]
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


def _places(said: Mapping[int, Prompts]) -> list[tuple[float, float, float]]:
    """The places (z, y, x) that were clicked."""
    return [(z, *place) for z, one in said.items() for place in (*one.inside, *one.outside)]


def _mark(plane: NDArray[np.generic]) -> int:
    tumor = np.ascontiguousarray(plane == 1)
    return zlib.crc32(tumor.tobytes()) | 1 if tumor.any() else _NOTHING
