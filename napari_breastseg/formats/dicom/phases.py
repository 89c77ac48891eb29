"""Which stacks are the phases of a DCE exam, in which order, and why.

If that is not clear, the user is asked; nothing is guessed.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from ...core.errors import InputError
from ...core.volume import phase_order
from .beside import OPENS_ALONE
from .headers import DAY_S
from .stacks import Stack
from .times import first_of_day, since

__all__ = ["Decision", "decide", "times_of"]

_NO_PHASE = {
    "no image": "holds no image",
    "segmentation": "a segmentation (SEG), not an image",
    "mosaic": "a mosaic: all slices tiled in one picture, as in functional imaging",
    "localizer": "a localizer",
    "subtraction": "a subtraction, computed from the phases",
    "projection or reformat": "a projection or reformat, computed from another series",
}
_SAME_S = 10.0
"""Content times closer than this do not give an order: one acquisition reconstructed twice."""


@dataclass(frozen=True)
class Decision:
    """A role and a reason for each stack, in the order of the stacks."""

    roles: tuple[str | None, ...]
    whys: tuple[str, ...]
    question: InputError | None = None
    """What to ask the user before the exam can be read."""


def decide(stacks: Sequence[Stack]) -> Decision:
    """Find the phases among the stacks of a study.

    Parameters
    ----------
    stacks : sequence of Stack

    Returns
    -------
    Decision
        With a `question` if two readings are equally good, or nothing can be read.
    """
    whys = [_why_not(stack) for stack in stacks]
    left = [i for i, why in enumerate(whys) if not why]
    if any(not stacks[i].traits.is_derived for i in left):
        for i in [i for i in left if stacks[i].traits.is_derived]:
            whys[i] = "derived from other images"
            left.remove(i)
    if not left:
        return _only_series(stacks, whys)
    groups = _alike(stacks, left)
    most = max(map(len, groups))
    largest = [group for group in groups if len(group) == most]
    if len(largest) > 1:
        for i in (i for group in largest for i in group):
            whys[i] = "may be the dynamic series; another one has as many phases"
        return _asked(
            stacks,
            whys,
            [i for group in largest for i in group],
            "Expected one dynamic series",
            f"{len(largest)} that could be it",
        )
    group = largest[0]
    for i in left:
        if i not in group:
            whys[i] = _difference(stacks[i], stacks[group[0]])
    return _in_roles(stacks, whys, group)


def _why_not(stack: Stack) -> str:
    """Why a stack cannot be a phase; "" if it may be one."""
    traits = stack.traits
    if traits.species in ("no image", "segmentation"):
        return _NO_PHASE[traits.species]
    if traits.modality not in ("MR", ""):
        return f"{_modality(stack)}, not MR"
    if traits.beside:
        return f"a {traits.beside}"
    if traits.is_color:
        return "a color picture"
    if traits.species:
        return _NO_PHASE.get(traits.species, f"a {traits.species}")
    if traits.sequence == "spin echo":
        is_t2 = traits.echo_ms is not None and traits.echo_ms >= 40
        return f"a spin echo ({'T2' if is_t2 else 'T1'} weighted), not a dynamic gradient echo"
    if traits.sequence == "echo planar":
        return "echo planar, as in diffusion, not a dynamic gradient echo"
    return _say_problem(stack) if stack.problem is not None else ""


def _modality(stack: Stack) -> str:
    word = stack.traits.modality
    return word if len(word) == 2 and word.isalpha() else "another modality"


def _say_problem(stack: Stack) -> str:
    return (
        ""
        if stack.problem is None
        else f"not readable: {stack.problem.found.removeprefix('found ')}"
    )


def _only_series(stacks: Sequence[Stack], whys: list[str]) -> Decision:
    """A folder without a dynamic series: its image series, if there is only one."""
    candidates = [
        i for i, s in enumerate(stacks) if not s.traits.beside or s.traits.beside in OPENS_ALONE
    ]
    readable = [i for i in candidates if stacks[i].grid is not None]
    originals = [i for i in readable if not stacks[i].traits.species] or readable
    groups = _alike(stacks, originals)
    if len(groups) == 1 and len({stacks[i].series for i in groups[0]}) == 1:
        return _in_roles(stacks, whys, groups[0], f"the only image series; {whys[groups[0][0]]}")
    if groups:
        return _asked(
            stacks, whys, originals, "Expected a dynamic (DCE) series", "none that looks like one"
        )
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


def _alike(stacks: Sequence[Stack], indices: Sequence[int]) -> list[list[int]]:
    """Groups of stacks that can be phases of one exam: same grid, same kind of imaging."""
    groups: list[list[int]] = []
    for i in indices:
        for group in groups:
            if not _difference(stacks[i], stacks[group[0]]):
                group.append(i)
                break
        else:
            groups.append([i])
    return groups


def _difference(stack: Stack, other: Stack) -> str:
    """Why two stacks cannot be phases of one exam; "" if they can."""
    if stack.grid is None or other.grid is None:
        return "not readable"
    if not stack.grid.matches(other.grid):
        return f"another grid than the dynamic series: {stack.grid.describe()}"
    mine, theirs = stack.traits, other.traits
    if (mine.sequence, mine.species, mine.is_derived) != (
        theirs.sequence,
        theirs.species,
        theirs.is_derived,
    ):
        return "another kind of image than the dynamic series"
    for what, unit, a, b in (
        ("repetition time", "ms", mine.repetition_ms, theirs.repetition_ms),
        ("echo time", "ms", mine.echo_ms, theirs.echo_ms),
        ("flip angle", "degrees", mine.flip_deg, theirs.flip_deg),
    ):
        if a is not None and b is not None and abs(a - b) > 0.1 * max(a, b):
            return f"another {what} than the dynamic series: {a:g} {unit}, not {b:g}"
    return ""


def _asked(
    stacks: Sequence[Stack], whys: list[str], indices: Sequence[int], needed: str, came: str
) -> Decision:
    names = [stacks[i].handle for i in indices]
    listed = ", ".join(f"series {name}" for name in names[:8]) + (", ..." if names[8:] else "")
    example = f"pre={names[0]},post1={names[-1]}"
    question = InputError(
        needed, f"found {came}: {listed}", f"Say which series is which phase: --phases {example}"
    )
    return Decision((None,) * len(stacks), tuple(whys), question)


def _in_roles(
    stacks: Sequence[Stack], whys: list[str], group: list[int], remark: str = ""
) -> Decision:
    if len(group) == 1:
        whys[group[0]] = remark or "the only phase"
        roles = tuple("post1" if i in group else None for i in range(len(stacks)))
        return Decision(roles, tuple(whys))
    ordered, basis = _ordered(stacks, group)
    if ordered is None:
        for i in group:
            whys[i] = basis
        return _asked(stacks, whys, group, "Expected phases in a clear order of time", basis)
    agents = [stacks[i].has_agent for i in ordered]
    before = agents.index(True) if True in agents else 0
    if before > 1 or (True in agents and not all(agents[before:])):
        doubtful = ordered[:before] if before > 1 else ordered
        came = (
            "several before the contrast agent"
            if before > 1
            else "contrast agents that come and go in the order of time"
        )
        for i in ordered:
            whys[i] = came if i in doubtful else f"contrast agent; {basis}"
        return _asked(stacks, whys, ordered, "Expected one phase before contrast", came)
    role_of = {i: f"post{place}" if place else "pre" for place, i in enumerate(ordered)}
    for place, i in enumerate(ordered):
        first = "no contrast agent" if before == 1 else "earliest"
        whys[i] = f"{basis}: {first if place == 0 else f'{place + 1} of {len(ordered)}'}"
        whys[i] += f"; {remark}" if remark else ""
    return Decision(tuple(role_of.get(i) for i in range(len(stacks))), tuple(whys))


def _ordered(stacks: Sequence[Stack], group: list[int]) -> tuple[list[int] | None, str]:
    """The group in order of time and what gives the order; None and the reason if nothing does.

    The time points of one series are in order already.
    """
    starts: dict[Hashable, int] = {}
    for i in group:
        starts.setdefault(stacks[i].series, i)
    if len(starts) == 1:
        return group, "time points of one series"
    clock = _compared(stacks, list(starts.values()), lambda s: s.acquired_s, is_clock=True)
    is_clear = clock is not None and len(set(clock.values())) == len(clock)
    for what, key in (
        ("temporal position", lambda s: s.temporal_position),
        ("trigger time", lambda s: s.trigger_s),
    ):
        values = _compared(stacks, group, key)
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
    made = _compared(stacks, firsts, lambda s: s.content_s, is_clock=True)
    if clock is not None and (made is None or len(set(clock.values())) > 1):
        return None, "some acquired at the same time"
    if made is not None:
        order = sorted(firsts, key=made.__getitem__)
        steps = [made[b] - made[a] for a, b in itertools.pairwise(order)]
        if min(steps) >= (_SAME_S if clock is not None else 1e-9):
            return joined(order), "content time"
        return None, "some made at the same time"
    if any(stacks[i].acquired_s is not None or stacks[i].content_s is not None for i in firsts):
        return None, "only some with a time"
    if clock is None and all(stacks[i].handle.partition(".")[0].isdigit() for i in firsts):
        return joined(firsts), "series number, as there is no time"
    return None, "no time in any header"


def _compared(
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


def times_of(phases: dict[str, Stack]) -> dict[str, float]:
    """Start of each phase in seconds from the injection if known, else from the first post.

    Earlier phases are negative; phases of unknown time are left out. Without a post-contrast phase
    of known time there are no times.
    """
    begins: dict[str, float] = {}
    for role, stack in phases.items():
        others = [s for s in phases.values() if s.series == stack.series and s is not stack]
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
    injections = {f.injection_s for s in phases.values() for f in s.frames} - {None}
    if len(injections) == 1:
        injected = injections.pop()
        # Given shortly before or during the first post phase; else it is not the injection.
        if injected is not None and -120.0 <= _signed(zero - injected) <= 600.0:
            zero = injected
    return {role: round(_signed(begin - zero), 3) for role, begin in begins.items()}


def _signed(seconds: float) -> float:
    return (seconds + DAY_S / 2) % DAY_S - DAY_S / 2
