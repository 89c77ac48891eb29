"""The order of stacks in time, and the times of phases.

What the headers say about time may be missing, copied from series to series, or contradict itself;
then there is no order, and the reason says why.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence

from ...core.volume import phase_order
from .headers import DAY_S
from .stacks import Stack
from .times import first_of_day, since

__all__ = ["compared", "in_order", "injection_s", "longest_pause_s", "series_number", "times_of"]

_SAME_S = 10.0
"""Content times closer than this do not give an order: one acquisition reconstructed twice."""


def in_order(stacks: Sequence[Stack], group: Sequence[int]) -> tuple[list[int] | None, str]:
    """The group in order of time and what gives the order; None and the reason if nothing does.

    The time points of one series are in order already, unless another clock contradicts.
    """
    starts: dict[Hashable, int] = {}
    for i in group:
        starts.setdefault(stacks[i].series, i)
    if len(starts) == 1:
        against = next(_against(stacks, list(group)), "")
        return (None, against) if against else (list(group), "time points of one series")
    clock = compared(stacks, list(starts.values()), lambda s: s.acquired_s, is_clock=True)
    is_clear = clock is not None and len(set(clock.values())) == len(clock)
    for what, key in (
        ("temporal position", lambda s: s.temporal_position),
        ("trigger time", lambda s: s.trigger_s),
    ):
        values = compared(stacks, group, key)
        if values is None or len(set(values.values())) < len(group):
            continue
        ordered = sorted(group, key=values.__getitem__)
        if is_clear and clock is not None:
            in_time = sorted(clock, key=clock.__getitem__)
            if [i for i in ordered if i in clock] != in_time:
                return None, f"{what} and acquisition time in conflict"
        return ordered, what
    firsts = list(starts.values())
    whole = {
        stacks[i].series: [j for j in group if stacks[j].series == stacks[i].series] for i in firsts
    }

    def joined(order: list[int]) -> list[int]:
        return [j for i in order for j in whole[stacks[i].series]]

    if clock is not None and is_clear:
        return joined(sorted(firsts, key=clock.__getitem__)), "acquisition time"
    made = compared(stacks, firsts, lambda s: s.content_s, is_clock=True)
    if clock is not None and (made is None or len(set(clock.values())) > 1):
        if len(set(clock.values())) == 1 and _begins_contrast(stacks, firsts):
            # Before and after contrast at one time: an anonymizer set it.
            return joined(firsts), "series number, as all have the same time"
        return None, "some acquired at the same time"
    if made is not None:
        order = sorted(firsts, key=made.__getitem__)
        steps = [made[b] - made[a] for a, b in itertools.pairwise(order)]
        if min(steps) >= (_SAME_S if clock is not None else 1e-9):
            return joined(order), "content time"
        return None, "some made at the same time"
    if any(stacks[i].acquired_s is not None or stacks[i].content_s is not None for i in firsts):
        return None, "only some with a time"
    if clock is None and all(series_number(stacks[i]) is not None for i in firsts):
        return joined(firsts), "series number, as there is no time"
    return None, "no time in any header"


def _begins_contrast(stacks: Sequence[Stack], firsts: Sequence[int]) -> bool:
    """Whether series in the order of their numbers have a contrast agent from the second one on."""
    agents = [stacks[i].has_agent for i in firsts]
    has_numbers = all(series_number(stacks[i]) is not None for i in firsts)
    return has_numbers and not agents[0] and all(agents[1:])


def _against(stacks: Sequence[Stack], ordered: Sequence[int]) -> Iterator[str]:
    """Clocks that contradict the order in which the time points of a series were put."""
    named: tuple[tuple[str, Callable[[Stack], float | None]], ...] = (
        ("temporal position", lambda s: s.temporal_position),
        ("trigger time", lambda s: s.trigger_s),
        ("acquisition time", lambda s: s.acquired_s),
        ("acquisition number", lambda s: s.acquisition_number),
    )
    orders: dict[str, list[int]] = {}
    for what, key in named:
        values = compared(stacks, ordered, key, is_clock=what == "acquisition time")
        if values is not None and len(set(values.values())) == len(values):
            orders[what] = sorted(ordered, key=values.__getitem__)
    for (one, first), (other, second) in itertools.pairwise(orders.items()):
        if first != second:
            yield f"{one} and {other} in conflict"


def compared(
    stacks: Sequence[Stack],
    indices: Sequence[int],
    key: Callable[[Stack], float | None],
    *,
    is_clock: bool = False,
) -> dict[int, float] | None:
    """A value for each stack, None unless all have one; times of day relative to the earliest."""
    values = {i: key(stacks[i]) for i in indices}
    known = {i: float(value) for i, value in values.items() if value is not None}
    if len(known) < len(values):
        return None
    start = first_of_day(known.values()) if is_clock else None
    return known if start is None else {i: since(start, value) for i, value in known.items()}


def series_number(stack: Stack) -> int | None:
    """Number of its series, None if it has none."""
    digits = stack.handle.partition(".")[0].rstrip("abcdefghijklmnopqrstuvwxyz")
    return int(digits) if digits.isdigit() else None


def longest_pause_s(stacks: Sequence[Stack], ordered: Sequence[int]) -> float:
    """Longest time from the start of one phase to the next; 0 where times are not known."""
    clock = compared(stacks, ordered, lambda s: s.acquired_s, is_clock=True)
    if clock is None or len(ordered) < 2:
        return 0.0
    return max(clock[b] - clock[a] for a, b in itertools.pairwise(ordered))


def times_of(phases: Mapping[str, Stack]) -> dict[str, float]:
    """Start of each phase in seconds from the injection if known, else from the first post.

    Earlier phases are negative; phases of unknown time are left out. Without a post-contrast phase
    of known time there are no times.
    """
    begins: dict[str, float] = {}
    for role, stack in phases.items():
        others = [other for other in phases.values() if other is not stack]
        acquired, trigger = stack.acquired_s, stack.trigger_s
        if acquired is None:
            continue
        if any(other.acquired_s == acquired for other in others):
            # The start of the series, repeated for each time point; trigger delays count from it.
            if trigger is None or any(other.trigger_s in (None, trigger) for other in others):
                continue
            acquired = (acquired + trigger) % DAY_S
        begins[role] = acquired
    posts = [role for role in sorted(begins, key=phase_order) if role.startswith("post")]
    if not posts:
        return {}
    zero = begins[posts[0]]
    injected = injection_s(phases.values())
    # Given shortly before or during the first post phase; else it is not the injection.
    if injected is not None and -120.0 <= _signed(zero - injected) <= 600.0:
        zero = injected
    return {role: round(_signed(begin - zero), 3) for role, begin in begins.items()}


def injection_s(stacks: Iterable[Stack]) -> float | None:
    """Second of the day of the injection, if the headers name one."""
    found = {frame.injection_s for stack in stacks for frame in stack.frames} - {None}
    return found.pop() if len(found) == 1 else None


def _signed(seconds: float) -> float:
    return (seconds + DAY_S / 2) % DAY_S - DAY_S / 2
