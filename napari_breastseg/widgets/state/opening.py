"""What the Open step decides: how cases are named, what is asked, what aligns, what was opened."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from ...core.errors import InputError
from ...core.volume import Exam
from ...formats import CaseFiles
from ...imaging.dce.maps import fixed_role
from .settings import recall, remember
from .sources import Source

__all__ = [
    "READING",
    "aligned_words",
    "case_titles",
    "grid_words",
    "keep_recent_exam",
    "phase_names",
    "phase_time_words",
    "recent_exams",
    "role_choices",
    "spacing_of",
    "why_not_align",
    "why_not_map",
    "why_not_read_as",
]

READING = "Reading; wait or cancel"
_RECENT, _MOST_RECENT = "recent_exams", 4


def case_titles(cases: Sequence[CaseFiles]) -> list[str]:
    """Names to list cases by; of two cases of one name each says its folder.

    A DICOM case's folder may be a patient's name and is never said.
    """
    times = Counter(case.case_id for case in cases)
    return [
        f"{case.case_id} ({case.path.parent.name})"
        if times[case.case_id] > 1 and case.dicom is None
        else case.case_id
        for case in cases
    ]


def phase_names(text: str) -> list[str] | None:
    """Phases as typed, separated by commas; None for none.

    Examples
    --------
    >>> phase_names(" pre, post1 ,"), phase_names(" ")
    (['pre', 'post1'], None)
    """
    return [name.strip() for name in text.split(",") if name.strip()] or None


def spacing_of(text: str) -> float | None:
    """Pixel size in mm as typed, with or without its unit; None for an empty field.

    Raises
    ------
    InputError
        If it is no number.

    Examples
    --------
    >>> spacing_of("0.7 mm"), spacing_of(" ")
    (0.7, None)
    """
    if not text.strip():
        return None
    try:
        return float(text.strip().removesuffix("mm"))
    except ValueError:
        raise InputError(
            "Expected the pixel size in mm as one number",
            f"found '{text.strip()}'",
            "Type a number such as 0.7",
        ) from None


def grid_words(exam: Exam | None) -> str:
    """Voxels (z, y, x) and spacing of an exam in one line; empty for none.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_breastseg.core.volume import Grid, Volume
    >>> voxels = np.zeros((4, 5, 6), np.float32)
    >>> volume = Volume(voxels, Grid((4, 5, 6), np.diag([3.0, 0.7, 0.7, 1.0])))
    >>> grid_words(Exam("A", {"post1": volume})), grid_words(None)
    ('4 x 5 x 6 voxels of 3 x 0.7 x 0.7 mm', '')
    """
    if exam is None:
        return ""
    spacing = exam.grid.spacing_mm
    size = " x ".join(f"{mm:.3g}" for mm in spacing) + " mm" if spacing else "unknown size"
    return f"{' x '.join(map(str, exam.grid.shape))} voxels of {size}"


def recent_exams() -> list[tuple[str, Path]]:
    """Case id and path of the exams opened last, the latest first, as far as they are there."""
    try:
        kept = json.loads(recall(_RECENT) or "[]")
        found = [(str(case_id), Path(path)) for case_id, path in kept]
    except (ValueError, TypeError):
        return []
    return [(case_id, path) for case_id, path in found if _is_there(path)]


def _is_there(path: Path) -> bool:
    with suppress(OSError):  # a share that went away
        return path.exists()
    return False


def keep_recent_exam(case_id: str, path: Path) -> None:
    """Note an exam as opened last. Paths stay in this user's settings and are shown nowhere."""
    others = [one for one in recent_exams() if one != (case_id, path)]
    rows = [(case_id, path), *others][:_MOST_RECENT]
    remember(_RECENT, json.dumps([(case_id, str(path)) for case_id, path in rows]))


def role_choices(n_series: int) -> list[str]:
    """Roles to choose from for the series of an exam: "pre", then as many as there can be.

    Examples
    --------
    >>> role_choices(3), role_choices(1)
    (['pre', 'post1', 'post2'], ['pre', 'post1'])
    """
    return ["pre", *(f"post{number}" for number in range(1, max(2, n_series)))]


def why_not_read_as(roles: Mapping[str, str], known: Mapping[str, str]) -> str:
    """Why an exam's series cannot be read with these roles; empty when they can.

    Parameters
    ----------
    roles : mapping of str to str
        Series to role, as chosen now, without the series left out.
    known : mapping of str to str
        The same as the exam was read.
    """
    if not roles:
        return "Choose a role for at least one series"
    twice = sorted(role for role, times in Counter(roles.values()).items() if times > 1)
    if twice:
        return f"Two series are {twice[0]}: choose another role for one of them"
    return "The exam was read with these roles" if dict(roles) == dict(known) else ""


def why_not_map(roles: Collection[str] | None, *, is_running: bool) -> str:
    """Why no enhancement maps can be computed; empty when they can.

    Parameters
    ----------
    roles : collection of str, optional
        Phases of the current exam; None while none is open.
    is_running : bool
        Whether maps are being computed or phases aligned.
    """
    if is_running:
        return "Busy; wait or cancel"
    if roles is None:
        return "Open an exam first"
    if "pre" not in roles or not any(role.startswith("post") for role in roles):
        return "Maps need a pre-contrast and a post-contrast phase"
    return ""


def why_not_align(source: Source | None, *, is_corrected: bool) -> str:
    """Why the phases of an exam that has maps must stay where they are; empty when they may move.

    Parameters
    ----------
    source : Source, optional
    is_corrected : bool
        Whether the current case is open for correction.
    """
    if source is not None and source.is_foreign:
        return "Open the exam in the Open step to align its phases"
    if is_corrected:
        return "The case is being corrected; align the phases before you start correcting"
    return ""


def aligned_words(before: Exam, after: Exam) -> str:
    """Which phases were aligned, and which were left as they were.

    Parameters
    ----------
    before, after : Exam
        After, a phase that was left is the same `Volume`.
    """
    others = [role for role in before.phases if role != fixed_role(before)]
    moved = [role for role in others if after.phases[role] is not before.phases[role]]
    left = [role for role in others if role not in moved]
    if not moved:
        return "No phase is a quarter voxel off: all stay as they were."
    words = f"Aligned: {', '.join(moved)}."
    return words + (f" Less than a quarter voxel off, left as is: {', '.join(left)}." * bool(left))


def phase_time_words(time_s: float) -> str:
    """Minutes and seconds from the first post-contrast phase or the injection.

    Examples
    --------
    >>> phase_time_words(-1371.1), phase_time_words(0), phase_time_words(92.4)
    ('−22:51', '0:00', '+1:32')
    """
    whole = abs(round(time_s))
    sign = "−" if time_s < -0.5 else "+" if whole else ""
    return f"{sign}{whole // 60}:{whole % 60:02d}"
