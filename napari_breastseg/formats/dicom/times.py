"""Times of day within a visit, and slices grouped by time.

Dates are not used: anonymized files often share one date.
"""

from __future__ import annotations

import enum
import itertools
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from .headers import DAY_S, Frame

__all__ = ["Basis", "at_times", "first_of_day", "since"]


class Basis(enum.Enum):
    """What tells the order of slices at one position."""

    TIME = "a time, or a number of the acquisition"
    NUMBERS = "instance numbers that run through whole volumes, or whole positions"
    GUESS = "instance numbers in no regular order"


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
) -> tuple[list[list[Frame]], Basis] | None:
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
    basis : Basis
        What tells their order.
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
            return [[frames[i] for i in groups[time]] for time in sorted(groups)], Basis.TIME
        # Slices acquired one after another: each position has its own times, in the same order.
        if ranked is None:
            ranked = _by_rank(at_place, times)
    basis = Basis.TIME
    numbers = [frame.instance_number for frame in frames]
    if ranked is None and None not in numbers:
        counted = [float(number or 0) for number in numbers]
        ranked = _by_rank(at_place, counted, is_even=False)
        if ranked is not None:
            in_turn = _are_in_turn(ranked, counted) or _are_in_turn(at_place.values(), counted)
            basis = Basis.NUMBERS if in_turn else Basis.GUESS
    if ranked is None:
        return None
    return [[frames[i] for i in group] for group in ranked], basis


def _are_in_turn(groups: Collection[Sequence[int]], numbers: Sequence[float]) -> bool:
    """Whether groups of one size have their numbers one after another, as a scanner counts."""
    spans = sorted((min(of), max(of)) for of in ([numbers[i] for i in g] for g in groups))
    apart = all(end < start for (_, end), (start, _) in itertools.pairwise(spans))
    return apart and len({len(group) for group in groups}) == 1


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
