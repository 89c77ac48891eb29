"""What each stack says about itself: whether it can be a phase, and what speaks against it.

Nothing is decided here; `phases` weighs the evidence of all stacks of a study.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from .stacks import Stack, plane_directions

__all__ = ["Evidence", "difference", "evidence_of", "is_near"]

_NO_PHASE = {
    "no image": "holds no image",
    "segmentation": "a segmentation (SEG), not an image",
    "mosaic": "a mosaic: all slices tiled in one picture, as in functional imaging",
    "localizer": "a localizer",
    "subtraction": "a subtraction, computed from the phases",
    "projection or reformat": "a projection or reformat, computed from another series",
}
_TIMINGS = (
    ("repetition time", "ms", "repetition_ms"),
    ("echo time", "ms", "echo_ms"),
    ("flip angle", "degrees", "flip_deg"),
)
_APART = 0.1
"""Part by which times and angles of phases may differ; ..."""
_FAR = 2.0
"""... from this factor on they are of another kind of imaging."""
_PRE = re.compile(r"\b(pre|precontrast|nativ|native|noncontrast|unenhanced)\b")
_POST = re.compile(r"\b(post|postcontrast|postgd|ce|km|gd|enhanced|delayed)\d*\b|\+ ?c\b")


@dataclass(frozen=True)
class Evidence:
    """What speaks for and against a stack's being a phase of a dynamic series."""

    never: str
    """Why it can be no phase; "" if it may be one."""

    doubt: str
    """What speaks against it though it may be one; "" if nothing does."""

    is_readable: bool
    has_agent: bool
    says: str
    """"pre" or "post" if its description says so, else ""."""


def evidence_of(stack: Stack) -> Evidence:
    """Evidence of a stack by its headers alone."""
    words = re.sub(r"[^a-z0-9+]+", " ", stack.description.lower())
    is_pre, is_post = bool(_PRE.search(words)), bool(_POST.search(words))
    return Evidence(
        never=_why_never(stack),
        doubt=_doubt(stack),
        is_readable=stack.grid is not None and stack.problem is None,
        has_agent=stack.has_agent,
        says="" if is_pre == is_post else "pre" if is_pre else "post",
    )


def _why_never(stack: Stack) -> str:
    traits = stack.traits
    if traits.species in ("no image", "segmentation"):
        return _NO_PHASE[traits.species]
    if traits.modality not in ("MR", ""):
        word = traits.modality
        is_known = len(word) == 2 and word.isalpha()
        return f"{word if is_known else 'another modality'}, not MR"
    if traits.beside:
        return f"a {traits.beside}"
    if traits.is_color:
        return "a color picture"
    if traits.species and not traits.is_worded:
        return _NO_PHASE.get(traits.species, f"a {traits.species}")
    if traits.sequence == "spin echo":
        is_t2 = traits.echo_ms is not None and traits.echo_ms >= 40
        return f"a spin echo ({'T2' if is_t2 else 'T1'} weighted), not a dynamic gradient echo"
    if traits.sequence == "echo planar":
        return "echo planar, as in diffusion, not a dynamic gradient echo"
    return ""


def _doubt(stack: Stack) -> str:
    if stack.problem is not None:
        return f"not readable: {stack.problem.found.removeprefix('found ')}"
    if stack.traits.species:
        kind = _NO_PHASE.get(stack.traits.species, f"a {stack.traits.species}")
        return f"{kind}, by its description"
    return "derived from other images" if stack.traits.is_derived else ""


def difference(stack: Stack, other: Stack) -> str:
    """Why two stacks cannot be phases of one exam; "" if they can."""
    if stack.grid is None or other.grid is None:
        return "not readable"
    if not stack.grid.matches(other.grid):
        off = stack.grid.describe()
        if off == other.grid.describe():
            off += f", {other.grid.say_off(stack.grid)}"
        return f"another grid than the dynamic series: {off}"
    if stack.reference and other.reference and stack.reference != other.reference:
        return "another frame of reference than the dynamic series: the patient may have moved"
    mine, theirs = stack.traits, other.traits
    if mine.sequence != theirs.sequence:
        return "another kind of image than the dynamic series"
    for what, unit, name in _TIMINGS:
        a, b = getattr(mine, name), getattr(theirs, name)
        if a is not None and b is not None and abs(a - b) > _APART * max(a, b):
            return f"another {what} than the dynamic series: {a:g} {unit}, not {b:g}"
    return ""


def is_near(stack: Stack, other: Stack) -> bool:
    """Whether a stack that is no phase of an exam as it stands might have been one.

    That is an image of the same plane and pixels at about the same place, with times and angles
    not far from those of a phase: one that lost a file, was shifted or run with other settings.
    """
    mine, theirs = stack.frames[0], other.frames[0]
    if (mine.rows, mine.columns) != (theirs.rows, theirs.columns):
        return False
    spacings = mine.spacing_mm or theirs.spacing_mm, theirs.spacing_mm or mine.spacing_mm
    if None not in spacings and not np.allclose(*spacings, rtol=_APART):  # type: ignore[arg-type]
        return False
    if mine.orientation and theirs.orientation:
        turned = np.abs(np.subtract(plane_directions(mine), plane_directions(theirs))).max()
        if turned > _APART or not _overlap(stack, other):
            return False
    kinds = {stack.traits.sequence, other.traits.sequence}
    if len(kinds) > 1 and "" not in kinds:
        return False
    pairs = ((getattr(s.traits, n) for s in (stack, other)) for _, _, n in _TIMINGS)
    known = ((a, b) for a, b in pairs if a and b)
    return all(max(a, b) < _FAR * min(a, b) for a, b in known)


def _overlap(stack: Stack, other: Stack) -> bool:
    """Whether the boxes around the first pixels of two stacks' slices share half of their length.

    Of two breasts, each a stack of its own, they share nothing.
    """
    boxes = []
    for one in (stack, other):
        places = [frame.position_mm for frame in one.frames if frame.position_mm]
        if not places:
            return True  # nothing says that it does not
        frame = one.frames[0]
        row, column = plane_directions(frame)
        between_rows, between_columns = frame.spacing_mm or (1.0, 1.0)
        far = row * between_columns * frame.columns + column * between_rows * frame.rows
        corners = np.array([*places, *(np.array(place) + far for place in places)])
        boxes.append((corners.min(axis=0), corners.max(axis=0)))
    (low, high), (least, most) = boxes
    shared = np.minimum(high, most) - np.maximum(low, least)
    return bool((shared >= 0.5 * np.minimum(high - low, most - least) - 1e-6).all())
