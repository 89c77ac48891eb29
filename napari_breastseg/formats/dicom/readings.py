"""The ways to take the stacks of a study for the phases of an exam, and which of them is likeliest.

A reading is a group of stacks alike; `phases` looks for what contradicts it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .evidence import Evidence, difference
from .order import in_order
from .stacks import Stack

__all__ = ["Reading", "alike", "best_of", "reading_of", "readings_of"]

_FEW = 3
"""A second dynamic series has at least so many phases; a pair may be an addition."""


@dataclass(frozen=True)
class Reading:
    """Stacks taken for the phases of one dynamic series, as far as headers tell."""

    members: list[int]
    """In order of time if there is an order."""

    basis: str
    """What gives the order, or why there is none."""

    is_ordered: bool
    agents: tuple[bool, ...]
    """Whether the header of each member names a contrast agent."""

    is_one_series: bool

    @property
    def is_clear(self) -> bool:
        """Whether the headers say which members lie before and after contrast: one before."""
        return self.is_ordered and self.agents[:1] == (False,) and set(self.agents[1:]) == {True}

    @property
    def all_agent(self) -> bool:
        """Whether every header of several series names an agent, as if there were no pre."""
        return all(self.agents) and not self.is_one_series


def readings_of(
    stacks: Sequence[Stack], evidence: Sequence[Evidence], indices: Sequence[int]
) -> list[Reading]:
    """A reading for each group of stacks alike: those without a doubt, else the derived ones."""
    readings = []
    for group in alike(stacks, indices):
        plain = [i for i in group if not evidence[i].doubt and not stacks[i].doubt]
        derived = [i for i in group if not stacks[i].traits.species]
        if members := plain or derived:
            readings.append(reading_of(stacks, members))
    return readings


def reading_of(stacks: Sequence[Stack], members: Sequence[int]) -> Reading:
    """The reading that takes these stacks for phases."""
    ordered, basis = in_order(stacks, members)
    placed = list(members) if ordered is None else ordered
    return Reading(
        placed,
        basis,
        ordered is not None,
        tuple(stacks[i].has_agent for i in placed),
        len({stacks[i].series for i in members}) == 1,
    )


def alike(stacks: Sequence[Stack], indices: Sequence[int]) -> list[list[int]]:
    """Groups of stacks that can be phases of one exam: same grid, same kind of imaging."""
    groups: list[list[int]] = []
    for i in indices:
        for group in groups:
            if not difference(stacks[i], stacks[group[0]]):
                group.append(i)
                break
        else:
            groups.append([i])
    return groups


def best_of(stacks: Sequence[Stack], readings: Sequence[Reading]) -> tuple[Reading, list[Reading]]:
    """The likeliest reading, and the others that could be meant as well."""

    def is_original(reading: Reading) -> bool:
        return len(reading.members) > 1 and not stacks[reading.members[0]].traits.is_derived

    def standing(reading: Reading) -> tuple[bool, int, bool, int]:
        doubled = sum(len(stacks[i].frames) for i in reading.members if stacks[i].doubt)
        return not is_original(reading), -len(reading.members), bool(doubled), -doubled

    ranked = sorted(readings, key=standing)
    clear = [r for r in ranked if r.is_clear]
    best = ranked[0]
    if clear and (
        len(clear[0].members) == len(best.members)
        or (len(clear[0].members) >= _FEW and not any(best.agents))
    ):
        best = clear[0]
    rivals = [r for r in ranked if r is not best and _is_rival(stacks, r, best)]
    return best, rivals


def _is_rival(stacks: Sequence[Stack], reading: Reading, best: Reading) -> bool:
    """Whether a second reading could be the dynamic series as well as the best one."""
    if _are_copies(stacks, reading, best) or _is_rest(stacks, reading, best):
        return False
    count = len(reading.members)
    if best.is_clear:
        # Others are no equal unless their headers say as clearly what lies after contrast.
        return reading.is_clear and (count == len(best.members) or count >= _FEW)
    if count == len(best.members) or count >= _FEW:
        return True
    return reading.is_clear and not (best.is_one_series and any(best.agents))


def _are_copies(stacks: Sequence[Stack], reading: Reading, of: Reading) -> bool:
    """Whether derived images were computed from the phases of another reading: same times."""
    times = {stacks[i].acquired_s for i in of.members} - {None}
    return all(
        stacks[i].traits.is_derived and stacks[i].acquired_s in times for i in reading.members
    )


def _is_rest(stacks: Sequence[Stack], reading: Reading, of: Reading) -> bool:
    """Whether a reading is a part of a series of doubled slices, beside a better one."""
    series = {stacks[i].series for i in of.members}
    is_whole = not any(stacks[i].doubt for i in of.members)
    return all(
        stacks[i].doubt and (is_whole or stacks[i].series in series) for i in reading.members
    )
