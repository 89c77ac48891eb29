"""Slices that are there twice under different names: told by their pixels. Loads pydicom late."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence

from .elements import quiet, read_dataset
from .headers import Frame

__all__ = ["without_copies"]


def without_copies(frames: Sequence[Frame], places: Sequence[int]) -> list[Frame]:
    """Frames without those whose pixels equal those of another one at the same position.

    Parameters
    ----------
    frames : sequence of Frame
        Of single-frame files; others are kept.
    places : sequence of int
        Position of each frame: the same number at the same place.
    """
    at_place: dict[int, list[Frame]] = defaultdict(list)
    for frame, place in zip(frames, places, strict=True):
        at_place[place].append(frame)
    dropped: set[int] = set()
    for members in at_place.values():
        seen: set[bytes] = set()
        for frame in members if len(members) > 1 else ():
            digest = _pixels(frame)
            if digest and digest in seen:
                dropped.add(id(frame))
            seen.add(digest)
    return [frame for frame in frames if id(frame) not in dropped]


def _pixels(frame: Frame) -> bytes:
    """Digest of the pixels of a file; empty if they cannot be read or it holds several frames."""
    with quiet():
        try:
            data = read_dataset(frame.file, specific_tags=["PixelData", "NumberOfFrames"])
            if int(data.get("NumberOfFrames") or 1) > 1:
                return b""
            return hashlib.sha256(data.PixelData).digest()
        # A damaged file may raise anything; it is refused when it is read.
        except Exception:
            return b""
