"""What the Open tab decides: how cases are named, what a table of series may ask, what aligns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from ...core.errors import InputError
from ...core.volume import Exam
from ...formats import CaseFiles
from .sources import Source

__all__ = [
    "READING",
    "case_titles",
    "phase_names",
    "phase_rows",
    "phase_time_words",
    "role_choices",
    "spacing_of",
    "why_not_align",
    "why_not_map",
    "why_not_read_as",
]

READING = "Reading; wait or cancel"


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


def phase_rows(exam: Exam | None) -> list[tuple[str, str, str, str]]:
    """Of each phase: role, voxels (z, y, x), spacing in mm, and all of it for a tooltip."""
    rows = []
    for role, volume in () if exam is None else exam.phases.items():
        spacing = volume.grid.spacing_mm
        voxels = " x ".join(map(str, volume.grid.shape))
        millimeters = "unknown" if spacing is None else " x ".join(f"{mm:.3g}" for mm in spacing)
        tip = f"{volume.grid.describe()}, {volume.data.dtype}"
        rows.append((role, voxels, millimeters, tip))
    return rows


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
        return "Open the exam in this tab to align its phases"
    if is_corrected:
        return "The case is being corrected; align the phases before you start correcting"
    return ""


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
