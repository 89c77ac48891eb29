"""Times of day within a visit, and slices grouped by time.

Dates are not used: anonymized files often share one date.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence

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


def at_times(
    frames: Sequence[Frame], places: Sequence[int]
) -> tuple[list[list[Frame]], bool] | None:
    """Frames grouped by time, earliest first; None if nothing tells the times apart.

    Parameters
    ----------
    frames : sequence of Frame
    places : sequence of int
        Position of each frame: the same number at the same place.

    Returns
    -------
    groups : list of list of Frame
        As many as there are frames at the place that has most.
    is_sure : bool
        False if only the instance numbers tell their order.
    """
    at_place: dict[int, list[int]] = defaultdict(list)
    for i, place in enumerate(places):
        at_place[place].append(i)
    most = max(map(len, at_place.values()))
    ranked: list[list[int]] | None = None
    for times in _times(frames):
        groups: dict[float, list[int]] = defaultdict(list)
        for i, time in enumerate(times):
            groups[time].append(i)
        if len(groups) == most and all(_are_apart(places[i] for i in g) for g in groups.values()):
            return [[frames[i] for i in groups[time]] for time in sorted(groups)], True
        # Slices acquired one after another: each position has its own times, in the same order.
        if ranked is None:
            ranked = _by_rank(at_place, times)
    is_sure = ranked is not None
    numbers = [frame.instance_number for frame in frames]
    if ranked is None and None not in numbers:
        ranked = _by_rank(at_place, [float(number or 0) for number in numbers], is_even=False)
    if ranked is None:
        return None
    return [[frames[i] for i in group] for group in ranked], is_sure


def _times(frames: Sequence[Frame]) -> Iterator[list[float]]:
    """What may tell the time of every frame, the surest first."""
    keys: tuple[Callable[[Frame], float | None], ...] = (
        lambda frame: frame.temporal_position,
        lambda frame: frame.trigger_s,
        lambda frame: frame.acquired_s,
        lambda frame: frame.content_s,
        lambda frame: frame.acquisition_number,
    )
    for is_clock, key in zip((False, False, True, True, False), keys, strict=True):
        values = [key(frame) for frame in frames]
        known = [float(value) for value in values if value is not None]
        if len(known) < len(values):
            continue
        start = first_of_day(known) if is_clock else None
        yield known if start is None else [since(start, value) for value in known]
    for axis in range(min(len(frame.dimension) for frame in frames)):
        yield [float(frame.dimension[axis]) for frame in frames]


def _by_rank(
    at_place: dict[int, list[int]], times: Sequence[float], *, is_even: bool = True
) -> list[list[int]] | None:
    """First frames of all places, then the second ones, ...; None if times are equal at a place.

    `is_even` asks for as many frames at each place.
    """
    in_time = [sorted(members, key=times.__getitem__) for members in at_place.values()]
    counts = {len(members) for members in in_time}
    if is_even and len(counts) > 1:
        return None
    if not all(_are_apart(times[i] for i in members) for members in in_time):
        return None
    return [
        [members[rank] for members in in_time if len(members) > rank] for rank in range(max(counts))
    ]


def _are_apart(values: Iterable[float]) -> bool:
    listed = list(values)
    return len(set(listed)) == len(listed)
