"""Which stacks are the phases of a DCE exam, in which order, and why.

Every stack keeps its evidence, every reading of the exam its contradictions. One reading without a
contradiction is taken. Anything else is a question, with the best proposal and what speaks against
it. What is left out counts as if it might have been a phase: if the roles then were others, it is
asked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ...core.errors import InputError
from ...core.volume import phase_order
from .beside import OPENS_ALONE
from .evidence import Evidence, difference, evidence_of, is_near
from .lost import is_pre, might_be, places_of
from .order import injection_s, longest_pause_s
from .readings import Reading, alike, best_of, reading_of, readings_of
from .stacks import Stack

__all__ = ["Decision", "decide"]

_FAST_S = 20.0
"""Phases that follow each other faster are an ultrafast series, without much resolution."""
_PAUSE_S = 3 * 3600.0
"""Phases do not lie farther apart within one visit."""


@dataclass(frozen=True)
class Decision:
    """A role and a reason for each stack, in the order of the stacks."""

    roles: tuple[str | None, ...]
    whys: tuple[str, ...]
    question: InputError | None = None
    """What to ask the user before the exam can be read."""

    proposal: tuple[str | None, ...] = ()
    """With a question, or one to be asked unless the pixels rise: the roles most likely right."""

    left_out: tuple[int, ...] = ()
    """Places of stacks that are not used and might have been phases."""

    unless_rise: InputError | None = None
    """What to ask unless the pixels rise as much as only contrast makes them."""

    is_chosen: bool = False
    """Whether the user named the roles."""


def decide(stacks: Sequence[Stack]) -> Decision:
    """Find the phases among the stacks of a study.

    Parameters
    ----------
    stacks : sequence of Stack

    Returns
    -------
    Decision
        With a `question` if no reading is free of contradictions, or nothing can be read.
    """
    evidence = [evidence_of(stack) for stack in stacks]
    whys = [one.never or one.doubt or s.doubt for one, s in zip(evidence, stacks, strict=True)]
    open_ = [i for i, one in enumerate(evidence) if not one.never]
    readings = readings_of(stacks, evidence, [i for i in open_ if evidence[i].is_readable])
    if not readings:
        return _only_series(stacks, evidence, whys)
    best, rivals = best_of(stacks, readings)
    if rivals:
        return _which_dynamic(stacks, whys, [best, *rivals])
    for i in open_:
        if i not in best.members and not whys[i]:
            whys[i] = difference(stacks[i], stacks[best.members[0]])
    decision = _in_roles(stacks, evidence, whys, best, open_)
    left = [i for i in open_ if decision.question is None and i not in best.members]
    near = [i for i in left if stacks[i].problem or is_near(stacks[i], stacks[best.members[0]])]
    return replace(decision, left_out=tuple(near))


def _which_dynamic(
    stacks: Sequence[Stack], whys: list[str], readings: Sequence[Reading]
) -> Decision:
    count = max(len(reading.members) for reading in readings)
    for i in (i for reading in readings for i in reading.members):
        whys[i] = "may be the dynamic series; another one could be as well"
        if all(len(reading.members) == count for reading in readings):
            whys[i] = "may be the dynamic series; another one has as many phases"
    between = ", " if count == 1 else " or "
    listed = between.join(_listed(stacks, reading.members) for reading in readings[:6])

    def standing(reading: Reading) -> tuple[bool, bool, int, int]:
        pause = longest_pause_s(stacks, reading.members)
        grid = stacks[reading.members[0]].grid
        voxels = 0 if grid is None else grid.shape[0] * grid.shape[1] * grid.shape[2]
        is_slow = not 0 < pause < _FAST_S
        return reading.is_clear, is_slow, voxels, len(reading.members)

    likely = max(readings, key=standing)
    proposal = _roles(likely.members, likely.agents, has_pre=True)
    if count == 1:
        # Two single series alike in nothing else: what lies before and after is not known.
        proposal = _roles([r.members[0] for r in readings[:2]], (False, True), has_pre=True)
    return _asked(
        stacks,
        whys,
        "Expected one dynamic series",
        f"{len(readings)} that could be it: {listed}",
        proposal,
    )


def _in_roles(
    stacks: Sequence[Stack],
    evidence: Sequence[Evidence],
    whys: list[str],
    reading: Reading,
    candidates: Sequence[int],
) -> Decision:
    members = reading.members
    against = _against(stacks, evidence, reading)
    others = {} if against else might_be(stacks, evidence, reading, candidates)
    # If contrast comes between the first two members, what came before them is no phase of theirs.
    are_earlier = len(members) > 1 and all(
        list(places_of(stacks, reading, i)) == [0] for i in others
    )
    before = _before(stacks, reading)
    if against or (others and not (are_earlier and before)):
        for i in members:
            whys[i] = against[0][1].partition(":")[0] if against else reading.basis
        needed, came, proposal = against[0] if against else _with_others(stacks, reading, others)
        return _asked(stacks, whys, needed, came, proposal)
    if len(members) == 1:
        says_pre = is_pre(evidence, reading)
        whys[members[0]] = "the only phase" + (", before contrast by its name" if says_pre else "")
        return Decision(_placed({members[0]: "pre" if says_pre else "post1"}, stacks), tuple(whys))
    roles = _roles(members, reading.agents, has_pre=before > 0)
    for place, i in enumerate(members):
        first = "no contrast agent" if reading.is_clear else "earliest"
        whys[i] = f"{reading.basis}: {first if not place else f'{place + 1} of {len(members)}'}"
    decision = Decision(_placed(roles, stacks), tuple(whys))
    if others:
        asked = _asked(stacks, whys, *_with_others(stacks, reading, others))
    elif (unsure := _unsure(stacks, evidence, reading)) is not None:
        asked = _asked(stacks, whys, *unsure, roles)
    else:
        return decision
    if not before:
        return asked
    return replace(decision, unless_rise=asked.question, proposal=asked.proposal)


def _unsure(
    stacks: Sequence[Stack], evidence: Sequence[Evidence], reading: Reading
) -> tuple[str, str] | None:
    """What the headers leave open of a reading: what was expected, and what was found.

    The pixels can answer it: only the first phase after contrast rises much from the one before.
    """
    members = reading.members
    untimed = [i for i in members if stacks[i].untimed]
    if untimed and not reading.is_clear:
        number = stacks[untimed[0]].handle.partition(".")[0]
        needed = f"Expected one slice at each position in series {number}"
        return needed, stacks[untimed[0]].untimed
    says = [evidence[i].says == "pre" for i in members]
    if not reading.all_agent or says == [True] + [False] * (len(members) - 1):
        return None
    if injection_s(stacks[i] for i in members) is not None:
        return None
    posts = _spoken(stacks, _roles(members, reading.agents, has_pre=False))
    return (
        "Expected one phase before contrast",
        f"a contrast agent in every header, of the first one too: {_listed(stacks, members)} (if "
        f"all lie after contrast: --phases {posts})",
    )


def _before(stacks: Sequence[Stack], reading: Reading) -> int:
    """How many members lie before contrast, as far as headers tell; one if they do not."""
    if not all(reading.agents):
        return reading.agents.index(True) if any(reading.agents[1:]) else 1
    injected = injection_s(stacks[i] for i in reading.members)
    clock = [stacks[i].acquired_s for i in reading.members]
    if injected is None or None in clock:
        return 1
    return sum(1 for time in clock if time is not None and 0 < (injected - time) % 86_400 < 43_200)


def _against(
    stacks: Sequence[Stack], evidence: Sequence[Evidence], reading: Reading
) -> list[tuple[str, str, dict[int, str]]]:
    """What contradicts a reading: what was expected, what was found, and the roles proposed."""
    members = reading.members
    found: list[tuple[str, str, dict[int, str]]] = []
    plain = _roles(members, reading.agents, has_pre=True)
    listed = _listed(stacks, members)
    if doubts := [i for i in members if stacks[i].doubt]:
        number = stacks[doubts[0]].handle.partition(".")[0]
        what = f"Expected one slice at each position in series {number}"
        found.append((what, stacks[doubts[0]].doubt, plain))
    if len(members) == 1:
        return found
    if not reading.is_ordered:
        by_number = _roles(sorted(members), reading.agents, has_pre=True)
        needed = "Expected phases in a clear order of time"
        return [*found, (needed, f"{reading.basis}: {listed}", by_number)]
    needed = "Expected one phase before contrast"
    before = _before(stacks, reading)
    agents = reading.agents
    if any(agents) and not reading.all_agent and not all(agents[agents.index(True) :]):
        came = f"contrast agents that come and go in the order of time: {listed}"
        found.append((needed, came, plain))
    elif before > 1 and any(agents):
        early = _listed(stacks, members[:before])
        roles = _roles(members[before - 1 :], agents[before - 1 :], has_pre=True)
        found.append((needed, f"several before the contrast agent: {early}", roles))
    if (words := _words_against(stacks, evidence, members, plain)) is not None:
        is_all_post = all(evidence[i].says == "post" for i in members)
        found.append((needed, words, _roles(members, agents, has_pre=not is_all_post)))
    if longest_pause_s(stacks, members) > _PAUSE_S:
        hours = longest_pause_s(stacks, members) / 3600
        came = f"{hours:.1f} hours between two phases: {listed}"
        found.append(("Expected the phases of one visit", came, plain))
    return found


def _words_against(
    stacks: Sequence[Stack],
    evidence: Sequence[Evidence],
    members: Sequence[int],
    roles: Mapping[int, str],
) -> str | None:
    """Descriptions of series that contradict the roles; those that all share say nothing."""
    if len({stacks[i].description for i in members}) == 1:
        return None
    for i, role in roles.items():
        says = evidence[i].says
        if (says == "pre") != (role == "pre") and says:
            words = "before" if says == "pre" else "after"
            return f"series {stacks[i].handle} in the place of {role}, {words} contrast by its name"
    return None


def _with_others(
    stacks: Sequence[Stack], reading: Reading, others: Mapping[int, str]
) -> tuple[str, str, dict[int, str]]:
    """The question whether stacks left out belong to the phases, and the roles if they do."""
    members = list(reading.members)

    def place(i: int) -> int:
        places = places_of(stacks, reading, i)
        return places[0] if len(places) == 1 else sum(j < i for j in reading.members)

    for i in sorted(others, key=lambda i: (place(i), i)):
        before = place(i)
        later = [j for j in members if j in reading.members][before:]
        members.insert(members.index(later[0]) if later else len(members), i)
    agents = tuple(stacks[i].has_agent for i in members)
    # A phase that is lost leaves its role free.
    roles = {
        i: role
        for i, role in _roles(members, agents, has_pre=not all(agents)).items()
        if i not in others or _fits(stacks[i], stacks[reading.members[0]])
    }
    kinds: dict[tuple[str, str], list[int]] = defaultdict(list)
    for i, what in others.items():
        kinds[what, _why_left(stacks[i], stacks[reading.members[0]])].append(i)
    told = "; ".join(
        f"{_listed(stacks, alike)} left out ({why}), which may be {what}"
        for (what, why), alike in kinds.items()
    )
    needed = f"Expected all phases of one dynamic series with {_listed(stacks, reading.members)}"
    return needed, told, roles


def _fits(stack: Stack, other: Stack) -> bool:
    """Whether a stack can be read together with another one."""
    return (
        stack.problem is None
        and stack.grid is not None
        and (other.grid is not None and stack.grid.matches(other.grid))
    )


def _why_left(stack: Stack, other: Stack) -> str:
    return evidence_of(stack).doubt or stack.doubt or difference(stack, other)


def _roles(members: Sequence[int], agents: Sequence[bool], *, has_pre: bool) -> dict[int, str]:
    """Roles of members in order of time: the last one before the agent is pre, if there is one."""
    if len(members) == 1:
        return {members[0]: "post1"}
    before = int(has_pre)
    if has_pre and any(agents) and not all(agents):
        before = max(list(agents).index(True), 0) or 1
    roles = {}
    if before:
        roles[members[before - 1]] = "pre"
    roles |= {i: f"post{place}" for place, i in enumerate(members[before:], start=1)}
    return roles


def _placed(roles: Mapping[int, str], stacks: Sequence[Stack]) -> tuple[str | None, ...]:
    return tuple(roles.get(i) for i in range(len(stacks)))


def _only_series(
    stacks: Sequence[Stack], evidence: Sequence[Evidence], whys: list[str]
) -> Decision:
    """A folder without a dynamic series: its image series, if there is only one."""
    candidates = [
        i for i, s in enumerate(stacks) if not s.traits.beside or s.traits.beside in OPENS_ALONE
    ]
    readable = [i for i in candidates if evidence[i].is_readable]
    originals = [i for i in readable if not stacks[i].traits.species] or readable
    groups = alike(stacks, originals)
    lost = [i for i in candidates if not evidence[i].never and i not in originals]
    if lost and originals and all(evidence[i].never for i in originals):
        # A T2 is no post because the dynamic series cannot be read.
        listed = _listed(stacks, lost)
        roles = dict.fromkeys(lost[:1], "post1")
        came = f"none that can be taken as it is: {listed} ({whys[lost[0]]})"
        return _asked(stacks, whys, "Expected a dynamic (DCE) series", came, roles)
    if len(groups) == 1 and len({stacks[i].series for i in groups[0]}) == 1:
        reading = reading_of(stacks, groups[0])
        maybe = [i for i, one in enumerate(evidence) if not one.never]
        decision = _in_roles(stacks, evidence, list(whys), reading, maybe)
        remarks = list(decision.whys)
        for i in groups[0]:
            is_alone = remarks[i] == "the only phase"
            remarks[i] = f"the only image series; {whys[i]}" if is_alone else remarks[i]
        return replace(decision, whys=tuple(remarks))
    if groups:
        listed = _listed(stacks, originals)
        roles = {originals[0]: "post1"}
        came = f"none that looks like one: {listed}"
        return _asked(stacks, whys, "Expected a dynamic (DCE) series", came, roles)
    problems = (stacks[i].problem for i in candidates)
    problem = next((problem for problem in problems if problem is not None), None)
    if problem is None:
        named = "; ".join(f"series {s.handle}: {w}" for s, w in zip(stacks, whys, strict=True))
        problem = InputError(
            "Expected an MR image series",
            f"found {named or 'none'}",
            "Choose the folder of the exam",
        )
    return Decision((None,) * len(stacks), tuple(whys), problem)


def _asked(
    stacks: Sequence[Stack], whys: Sequence[str], needed: str, came: str, roles: Mapping[int, str]
) -> Decision:
    question = InputError(
        needed,
        f"found {came}",
        f"Say which series is which phase, most likely --phases {_spoken(stacks, roles)}",
    )
    nothing = (None,) * len(stacks)
    return Decision(nothing, tuple(whys), question, _placed(roles, stacks))


def _spoken(stacks: Sequence[Stack], roles: Mapping[int, str]) -> str:
    """Roles as `--phases` takes them."""
    named = sorted(roles.items(), key=lambda item: phase_order(item[1]))
    return ",".join(f"{role}={stacks[i].handle}" for i, role in named)


def _listed(stacks: Sequence[Stack], indices: Iterable[int]) -> str:
    names = [f"series {stacks[i].handle}" for i in indices]
    return ", ".join(names[:8]) + (", ..." if names[8:] else "")
