"""Series of two stacks of sagittal slices, one of each breast: two exams.

They share headers, times and roles, and lie on a grid each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ...core.volume import Grid
from .headers import Frame
from .phases import Decision, decide
from .stacks import Stack, evenly_stacked, upward

__all__ = ["by_breast", "two_breasts"]

_MISSING = 2
"""So many slices may be missing from one stack; a wider gap lies between two."""
_OFF_STEP = 0.15
"""Steps by which a distance differs from a whole number of them, ..."""
_MIDLINE_MM = 20.0
"""... and its largest distance from the scanner's middle, if two stacks meet there."""
_FEWEST = 3
"""Slices of a stack."""
_APART_MM = 90.0
"""Middles of two breasts lie farther apart (some 150 mm), those of two parts of one do not. Asked
only where both lie on one side of the scanner's middle, where the patient's midline is meant to
lie: half a series of one breast must never be called the other one."""


def two_breasts(stack: Stack) -> tuple[Stack, Stack] | None:
    """Right and left breast of a sagittal stack with a gap in its middle; None if it has none.

    Returns
    -------
    tuple of Stack
        Each evenly stacked on its own grid, with its `side`.
    """
    frames = stack.frames
    if not stack.is_uneven:
        return None
    normal = upward(frames[0])
    if int(np.argmax(np.abs(normal))) != 0:
        return None
    gaps = np.diff(np.array([frame.position_mm for frame in frames]) @ normal)
    wide = int(np.argmax(np.abs(gaps - np.median(gaps))))
    steps = float(gaps[wide] / np.median(gaps))
    # Two stacks that meet at the midline lie any distance apart; where slices are missing, it is
    # a whole number of steps.
    meets = abs(steps - round(steps)) > _OFF_STEP and abs(_x_mm(frames, wide)) < _MIDLINE_MM
    if round(steps) - 1 <= _MISSING and not meets:
        return None
    base = replace(stack, frames=(), problem=None, is_uneven=False)
    parts = [evenly_stacked(base, list(part)) for part in (frames[: wide + 1], frames[wide + 1 :])]
    # The patient's right is x > 0 of RAS.
    known = [(_middle_x_mm(part.grid), part) for part in parts if part.grid is not None]
    if len(known) < 2 or min(len(part.frames) for part in parts) < _FEWEST:
        return None
    (right_mm, right), (left_mm, left) = sorted(known, key=lambda pair: -pair[0])
    if not (right_mm > 0 > left_mm or right_mm - left_mm >= _APART_MM):
        return None
    return replace(right, side="right"), replace(left, side="left")


def by_breast(stacks: Sequence[Stack]) -> list[tuple[str, tuple[Stack, ...], Decision]]:
    """Side, stacks and decision of each exam in a study.

    Parameters
    ----------
    stacks : sequence of Stack
        All of the study.

    Returns
    -------
    list of tuple
        Right and left if the dynamic series has a stack of each breast; else one, of side "".
    """
    whole = tuple(stacks)
    decision = decide(whole)
    one = [("", whole, decision)]
    pairs = [two_breasts(stack) or (stack, stack) for stack in whole]
    if not any(stack.side for stack, _ in pairs):
        return one
    right, left = (tuple(pair[place] for pair in pairs) for place in (0, 1))
    halves = [("right", right, decide(right)), ("left", left, decide(left))]
    are_phases = all(
        any(role and stack.side for role, stack in zip(d.roles, of_side, strict=True))
        for _, of_side, d in halves
    )
    # Without any phase both are asked for.
    are_open = not any(decision.roles) and not any(role for _, _, d in halves for role in d.roles)
    return halves if are_phases or are_open else one


def _x_mm(frames: Sequence[Frame], place: int) -> float:
    """Where the middle between two slices lies along the patient's left and right."""
    pair = [frame.position_mm for frame in frames[place : place + 2] if frame.position_mm]
    return sum(position[0] for position in pair) / len(pair)


def _middle_x_mm(grid: Grid) -> float:
    return float((grid.affine @ [*((n - 1) / 2 for n in grid.shape), 1.0])[0])
