"""Times of day within a visit, and slices grouped by time.

Dates are not used: anonymized files often share one date.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable

from .headers import DAY_S, Frame

__all__ = ["at_times", "first_of_day", "since"]


def first_of_day(times_s: Iterable[float | None]) -> float | None:
    """Earliest of several times of day within one visit, which may pass midnight.

    Examples
    --------
    >>> first_of_day([30.0, 86_390.0, None])
    86390.0
    """
    known = sorted({time for time in times_s if time is not None})
    if not known:
        return None
    # The longest gap lies outside the visit, and ends with the visit's first time.
    gaps = [(known[i] - known[i - 1]) % DAY_S or DAY_S for i in range(len(known))]
    return known[gaps.index(max(gaps))]


def since(start_s: float, time_s: float) -> float:
    """Seconds from one time of day to a later one."""
    return (time_s - start_s) % DAY_S


def at_times(frames: list[Frame], places: list[int], most: int) -> list[list[Frame]] | None:
    """Frames grouped by time, earliest first; None if nothing tells the times apart."""
    keys: tuple[Callable[[Frame], float | None], ...] = (
        lambda frame: frame.temporal_position,
        lambda frame: frame.trigger_s,
        lambda frame: frame.acquired_s,
        lambda frame: frame.content_s,
    )
    ranked: list[list[Frame]] | None = None
    for is_clock, key in zip((False, False, True, True), keys, strict=True):
        values = [key(frame) for frame in frames]
        if None in values:
            continue
        known = [float(value) for value in values if value is not None]
        start = first_of_day(known) if is_clock else None
        times = known if start is None else [since(start, value) for value in known]
        groups: dict[float, list[int]] = defaultdict(list)
        for i, time in enumerate(times):
            groups[time].append(i)
        if len(groups) == most and all(_is_single(places[i] for i in g) for g in groups.values()):
            return [[frames[i] for i in groups[time]] for time in sorted(groups)]
        # Slices acquired one after another: each position has its own times, in the same order.
        if ranked is None:
            ranked = _by_rank(frames, places, times, most)
    return ranked


def _by_rank(
    frames: list[Frame], places: list[int], times: list[float], most: int
) -> list[list[Frame]] | None:
    at_place: dict[int, list[int]] = defaultdict(list)
    for i, place in enumerate(places):
        at_place[place].append(i)
    for members in at_place.values():
        if len(members) != most or not _is_single(times[i] for i in members):
            return None
        members.sort(key=lambda i: times[i])
    return [[frames[members[rank]] for members in at_place.values()] for rank in range(most)]


def _is_single(values: Iterable[float]) -> bool:
    listed = list(values)
    return len(set(listed)) == len(listed)
