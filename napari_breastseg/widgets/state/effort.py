"""What a reader's work on a case cost: active seconds, and strokes. No Qt, no napari."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ...dataset import ClickRecord

__all__ = ["IDLE_S", "Effort"]

IDLE_S = 60.0
"""A longer pause counts as this long: the reader was away."""


class Effort:
    """Seconds and strokes spent on one case and not recorded anywhere else yet.

    Parameters
    ----------
    clock : callable
        Seconds that only rise.

    Examples
    --------
    >>> times = iter([0.0, 10.0, 3600.0])
    >>> effort = Effort(lambda: next(times))
    >>> effort.touch(), effort.touch(), effort.touch(), effort.seconds
    (None, None, None, 70.0)
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._last_touch: float | None = None
        self.seconds = 0.0
        """Active time; each pause counts as a minute at most."""

        self.strokes = 0
        """Edits of the mask, one per undo step."""

        self.clicks: list[ClickRecord] = []
        """What was said by smart clicks."""

    @property
    def is_worth_recording(self) -> bool:
        """Whether it is more than opening a case and closing it again."""
        return self.strokes > 0 or self.seconds >= 1.0

    def clicks_in(self, labels: NDArray[np.generic]) -> tuple[ClickRecord, ...]:
        """Each click once, as far as a mask (Z, Y, X) says the same: not those taken back."""
        return tuple(
            one for one in dict.fromkeys(self.clicks) if (labels[one.voxel] == 1) == one.is_lesion
        )

    def touch(self) -> None:
        """Note that the reader is active now."""
        now = self._clock()
        if self._last_touch is not None:
            self.seconds += min(now - self._last_touch, IDLE_S)
        self._last_touch = now

    def add(self, seconds: float, strokes: int) -> None:
        """Add effort that was counted elsewhere until now."""
        self.seconds += seconds
        self.strokes += strokes

    def deduct(self, seconds: float, strokes: int) -> None:
        """Take off what is counted elsewhere from now on, as with an accepted mask."""
        self.seconds = max(0.0, self.seconds - seconds)
        self.strokes = max(0, self.strokes - strokes)
