"""Whether the pixels of an exam agree with its roles: contrast makes heart, vessels and gland rise.

From the phase before contrast to those after it many voxels become much brighter and hardly any
darker; between two phases before contrast nothing changes, and between two phases after it some
rise and the blood falls. Loads numpy only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..core.volume import Volume

__all__ = ["Change", "Doubt", "change", "doubt_of"]

_BLOCKS = 64
"""An image is looked at in about so many blocks along its shorter side, ..."""
_SLICES = 24
"""... in so many slices at most twice."""
_FEWEST = 100
"""Fewer tell nothing."""
_TISSUE = 0.15
"""Tissue is brighter than this part of the bright end (99th percentile) of the brighter phase."""
_STEP = 0.05
"""Voxels that change by more than this part have changed."""
_SHARE = 0.003
"""Share of tissue that must have changed: vessels alone are more."""
_TIMES = 2.0
"""So many times more voxels rise than fall, if it is contrast; of motion both are as many."""
_STRONG = 0.7
"""Blood at least doubles from before contrast to after it; from one phase after it to the next
nothing rises so much."""


@dataclass(frozen=True)
class Change:
    """What became brighter and darker from one phase to another."""

    up: float
    """Share of tissue that rose."""

    down: float
    """Share of tissue that fell."""

    most: float
    """Rise of the highest tenth of what rose, as a part of the first phase."""

    @property
    def rises(self) -> bool:
        """Whether contrast came in between."""
        return self.up >= _SHARE and self.up > _TIMES * self.down

    @property
    def falls(self) -> bool:
        """Whether contrast went, as if the two were interchanged."""
        return self.down >= _SHARE and self.down > _TIMES * self.up

    @property
    def is_strong(self) -> bool:
        """Whether the rise is that of blood from before contrast to after it."""
        return self.rises and self.most >= _STRONG


@dataclass(frozen=True)
class Doubt:
    """What speaks against the roles of an exam by its pixels."""

    text: str
    order: tuple[str, ...]
    """The present roles in the order that fits: what should be pre, post1, ..."""


def change(before: Volume, after: Volume) -> Change | None:
    """Change of tissue from one phase to another; None if there is too little to tell.

    Parameters
    ----------
    before, after : Volume
        On one grid, (Z, Y, X), scaled alike.
    """
    return _change(_blocks(before.data), _blocks(after.data))


def doubt_of(phases: Mapping[str, Volume]) -> Doubt | None:
    """What speaks against the roles of an exam by its pixels; None if nothing does.

    Parameters
    ----------
    phases : mapping of str to Volume
        Role to volume in order of time, scaled alike. Without a pre nothing can be told.
    """
    posts = [role for role in phases if role.startswith("post")]
    if "pre" not in phases or not posts:
        return None
    blocks = {role: _blocks(phases[role].data) for role in ("pre", *posts)}
    seen = {role: _change(blocks["pre"], blocks[role]) for role in posts}
    known = {role: one for role, one in seen.items() if one is not None}
    if not known:
        return None
    if all(one.rises for one in known.values()):
        return None
    first = posts[0]
    if (other := _darkest(blocks)) is not None:
        # What came before it in time is no phase after contrast.
        order = (other, *(role for role in blocks if role != other))
        text = f"all other phases brighter than {other}, as if that were the one before contrast"
        return Doubt(text, order)
    fallen = [role for role, one in known.items() if one.falls]
    if fallen:
        others = [role for role in blocks if role != fallen[0]]
        text = f"{fallen[0]} darker than pre, as if it lay before contrast"
        return Doubt(text, (fallen[0], *others))
    arrived = next((role for role, one in known.items() if one.rises), None)
    if arrived is not None and first in known and not known[first].rises:
        place = posts.index(arrived)
        text = f"no contrast before {arrived}: {first} looks like pre"
        return Doubt(text, (posts[place - 1], *posts[place:]))
    return Doubt(f"little or no contrast: {first} looks like pre", tuple(blocks))


def _darkest(blocks: Mapping[str, NDArray[np.float64]]) -> str | None:
    """The one phase from which all others rise; None if there is none."""
    for role, own in blocks.items():
        changes = [_change(own, other) for name, other in blocks.items() if name != role]
        if all(one is not None and one.rises for one in changes):
            return role
    return None


def _change(first: NDArray[np.float64], second: NDArray[np.float64]) -> Change | None:
    lowest = min(float(first.min()), float(second.min()), 0.0)
    first, second = first - lowest, second - lowest
    brighter = np.maximum(first, second)
    is_tissue = brighter > _TISSUE * np.percentile(brighter, 99)
    first, second = first[is_tissue], second[is_tissue]
    if first.size < _FEWEST:
        return None
    # Where one is dark, as a vessel in fat-suppressed tissue, a ratio would know no end.
    least = 0.1 * float(np.median(brighter[is_tissue]))
    part = (second - first) / np.maximum(first, least)
    down = (first - second) / np.maximum(second, least)
    rising = part[part > _STEP]
    return Change(
        rising.size / first.size,
        float((down > _STEP).mean()),
        float(np.percentile(rising, 90)) if rising.size else 0.0,
    )


def _blocks(data: NDArray[np.generic]) -> NDArray[np.float64]:
    """Means of blocks, which noise does not move; the same places for arrays of one shape."""
    slices, rows, columns = data.shape
    edge = max(1, min(rows, columns) // _BLOCKS)
    some = data[:: max(1, slices // _SLICES), : rows // edge * edge, : columns // edge * edge]
    summed = np.add.reduceat(some, range(0, some.shape[2], edge), axis=2, dtype=np.float64)
    summed = np.add.reduceat(summed, range(0, some.shape[1], edge), axis=1)
    return np.asarray(summed / edge**2, np.float64)
