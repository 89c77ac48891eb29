"""What was left out of a reading and might have been a phase: a lost file, another frame, a word.

If the roles then were others, `phases` asks.
"""

from __future__ import annotations

from collections.abc import Sequence

from .evidence import Evidence, is_near
from .order import compared, series_number
from .readings import Reading
from .stacks import Stack

__all__ = ["is_pre", "might_be", "places_of"]

_DYNAMIC = "a phase of the dynamic series"


def might_be(
    stacks: Sequence[Stack],
    evidence: Sequence[Evidence],
    reading: Reading,
    candidates: Sequence[int],
) -> dict[int, str]:
    """Stacks left out that would change the roles if they were phases, and what they might be."""
    first = stacks[reading.members[0]]
    found: dict[int, str] = {}
    early: list[int] = []
    for i in candidates:
        if i in reading.members or not stacks[i].frames or not is_near(stacks[i], first):
            continue
        if _is_computed(stacks[i]) and len(reading.members) > 1 and not first.traits.is_derived:
            continue
        if what := _would_be(stacks, reading, i):
            found[i] = what
        elif list(places_of(stacks, reading, i)) == [0]:
            early.append(i)
    if len(reading.members) > 1:
        return found
    if len(early) > 1 and not any(reading.agents):
        # One may be the phase before contrast, not both.
        found |= dict.fromkeys(early, "a phase before it")
    if is_pre(evidence, reading):
        found |= dict.fromkeys(early, "the phase before contrast")
    return dict.fromkeys(_lost_dynamic(stacks, evidence, reading, candidates), _DYNAMIC) | found


def _lost_dynamic(
    stacks: Sequence[Stack],
    evidence: Sequence[Evidence],
    reading: Reading,
    candidates: Sequence[int],
) -> list[int]:
    """Stacks alike that cannot be read as they are, beside a lone one of another kind."""
    doubtful = [
        i
        for i in candidates
        if i not in reading.members
        and stacks[i].frames
        and (stacks[i].problem or stacks[i].doubt or evidence[i].doubt)
        and not _is_computed(stacks[i])
    ]
    near = {i: [j for j in doubtful if is_near(stacks[j], stacks[i])] for i in doubtful}
    return [i for i in doubtful if len(near[i]) > 1]


def is_pre(evidence: Sequence[Evidence], reading: Reading) -> bool:
    """Whether a lone phase lies before contrast by its name."""
    return evidence[reading.members[0]].says == "pre" and not reading.agents[0]


def _is_computed(stack: Stack) -> bool:
    """Whether a stack is derived, and called a subtraction, a diffusion or the like."""
    return stack.traits.is_derived and bool(stack.traits.species)


def _would_be(stacks: Sequence[Stack], reading: Reading, i: int) -> str:
    """What a stack would be among the phases of a reading; "" if no role would be another one."""
    places = places_of(stacks, reading, i)
    return next((what for at in places if (what := _would_be_at(stacks, reading, i, at))), "")


def _would_be_at(stacks: Sequence[Stack], reading: Reading, i: int, place: int) -> str:
    has_agent, count = stacks[i].has_agent, len(reading.members)
    if place == count:
        is_after = has_agent or not any(reading.agents)
        # A lone series called post1 would be the one before contrast.
        return "a phase after contrast" if count == 1 and is_after else ""
    if count == 1:
        return "the first phase after contrast" if has_agent else ""
    if any(reading.agents) and not all(reading.agents):
        if not has_agent:
            # Between the one taken for it and the first with an agent; a whole series of times
            # there is an ultrafast one.
            own = {j for j, s in enumerate(stacks) if s.series == stacks[i].series}
            is_lone = own <= {i, *reading.members}
            is_last = place == reading.agents.index(True)
            return "the phase before contrast" if is_lone and is_last else ""
        return "a phase after contrast" if place else ""
    if place:
        return "a phase in between"
    return "the first phase after contrast" if has_agent else "the phase before contrast"


def places_of(stacks: Sequence[Stack], reading: Reading, i: int) -> Sequence[int]:
    """How many members may have begun before a stack; none if it is a copy of one of them.

    All numbers, if nothing tells: time points of one series that differ in more than time.
    """
    members = reading.members
    everyone = [*members, i]
    for key, is_clock in (
        ((lambda s: s.acquired_s), True),
        ((lambda s: s.content_s), True),
        ((lambda s: s.temporal_position), False),
        ((lambda s: s.trigger_s), False),
        (series_number, False),
    ):
        values = compared(stacks, everyone, key, is_clock=is_clock)
        if values is None or len({values[j] for j in members}) == 1 < len(members):
            continue  # not known, or one that an anonymizer gave to all
        same = [j for j in members if values[j] == values[i]]
        if not same:
            return [sum(values[j] < values[i] for j in members)]
        others = [j for j in same if stacks[j].series != stacks[i].series]
        others = [j for j in others if len(stacks[j].frames) >= len(stacks[i].frames)]
        if len(members) == 1:
            continue  # of one time alone it is not known whether an anonymizer set it
        if any(stacks[j].has_agent == stacks[i].has_agent for j in others):
            return []
    return range(len(members) + 1)
