"""Enhancement of a lesion over time: curve, peak, slope, SER, type, functional tumor volume.

Times count from the injection if it is known, else from the first post-contrast phase; never from
the pre-contrast phase, which may have been acquired at any time before the injection.

References
----------
Kuhl et al., Radiology 211, 101-110 (1999): curve types I persistent, II plateau, III washout.
ACR BI-RADS Atlas, 5th edition (2013), MRI: the delayed phase, with limits of 10 %.
Hylton et al., Radiology 263, 663-672 (2012): signal enhancement ratio, functional tumor volume.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import ClassVar, Literal, cast

import numpy as np
from numpy.typing import NDArray

from ..core.volume import Exam
from ..imaging.dce import post_roles

__all__ = [
    "CURVE_LIMIT",
    "PE_THRESHOLD_PERCENT",
    "CurveType",
    "Kinetics",
    "curve_type_name",
    "describe_kinetics",
]

CURVE_LIMIT = 0.10
"""Largest signal change from the first to the last post-contrast phase that is still a plateau."""

PE_THRESHOLD_PERCENT = 70.0
"""Early enhancement from which a voxel counts as functional tumor."""

_ROUNDING = 1e-9
"""A change of exactly 10 % is a plateau in spite of rounding."""

CurveType = Literal["I", "II", "III"]

_TYPES: tuple[CurveType, ...] = ("I", "II", "III")


@dataclass(frozen=True)
class Kinetics:
    """Enhancement of a lesion over time; None where phases or times are missing."""

    __pydantic_config__: ClassVar = {"allow_inf_nan": False}

    curve_percent: Mapping[str, float] = field(default_factory=dict)
    """Enhancement of the lesion's mean signal over its pre-contrast mean, in %, by role."""

    times_s: Mapping[str, float] = field(default_factory=dict)
    """Seconds from the injection by role, or from the first post-contrast phase if the time of the
    injection is not known (then without `pre`); phases of unknown time are left out."""

    time_zero: Literal["injection", "post1", "unknown"] = "unknown"
    """Zero of `times_s`; "post1" is the first post-contrast phase."""

    peak_percent: float | None = None
    """Highest value of the curve after contrast."""

    initial_slope_percent_per_min: float | None = None
    """Slope of the curve from the injection to the first post-contrast phase or, if the time of the
    injection is not known, from the first to the second post-contrast phase."""

    ser: float | None = None
    """Signal enhancement ratio: early over late enhancement of the mean signal; needs two posts."""

    late_change: float | None = None
    """Change of the mean signal from the first to the last post-contrast phase, relative."""

    curve_type: CurveType | None = None
    """Type of the mean curve: "I" persistent, "II" plateau, "III" washout; needs two posts."""

    type_shares: Mapping[str, float] = field(default_factory=dict)
    """Share of each curve type among voxels whose early enhancement reaches the threshold."""

    functional_voxels: int | None = None
    """Voxels whose early enhancement reaches the threshold."""

    notes: tuple[str, ...] = ()
    """What could not be measured, and why."""


def describe_kinetics(
    exam: Exam,
    mask: NDArray[np.bool_],
    box: tuple[slice, ...] = (slice(None),) * 3,
    *,
    injection_s: float | None = None,
    pe_threshold_percent: float = PE_THRESHOLD_PERCENT,
) -> Kinetics:
    """Enhancement of a lesion; "early" is the first and "late" the last post-contrast phase.

    Parameters
    ----------
    exam : Exam
        Without a pre-contrast phase only the change between post-contrast phases is given.
    mask : array of bool, shape (Z, Y, X)
        The lesion's voxels, in the exam's array or in its `box`.
    box : tuple of slice
        Position of `mask` in the exam's array.
    injection_s : float, optional
        Time of the injection in seconds after the exam's first phase; by default it is taken from
        the exam's times, if they count from the injection.
    pe_threshold_percent : float
        Early enhancement from which a voxel counts as functional tumor.

    Returns
    -------
    Kinetics
        With the reasons, in `notes`, for what is None.
    """
    posts = post_roles(exam)
    if not posts:
        return Kinetics(notes=("no post-contrast phase: no enhancement",))
    notes: list[str] = []
    roles = [role for role in ("pre", *posts) if role in exam.phases]
    signals = {
        role: exam.phases[role].data[box][mask].astype(np.float64, copy=False) for role in roles
    }
    means = {role: float(values.mean()) for role, values in signals.items()}
    first, last = posts[0], posts[-1]
    curve: dict[str, float] = {}
    enhancing: NDArray[np.bool_] | None = None
    if "pre" not in means:
        notes.append("no pre-contrast phase: enhancement is not known")
    elif means["pre"] <= 0:
        notes.append("no signal before contrast: enhancement is not known")
    else:
        curve = {role: 100 * (mean / means["pre"] - 1) for role, mean in means.items()}
        # Multiplied, not divided: voxels may have no signal before contrast.
        limit = (1 + pe_threshold_percent / 100) * signals["pre"]
        enhancing = (signals["pre"] > 0) & (signals[first] >= limit)
    late_change = curve_type = ser = None
    shares: dict[str, float] = {}
    if len(posts) < 2:
        notes.append("only one post-contrast phase: no curve type and no SER, which need two")
    elif means[first] > 0:
        late_change = means[last] / means[first] - 1
        curve_type = _type_of(late_change)
        if curve and means[last] != means["pre"]:
            ser = (means[first] - means["pre"]) / (means[last] - means["pre"])
        if enhancing is not None and enhancing.any():
            shares = _type_shares(signals[first][enhancing], signals[last][enhancing])
    times_s, zero = _times(exam, roles, first, injection_s)
    slope = _slope(curve, times_s, zero, posts)
    if zero == "unknown":
        notes.append("times of the phases are not known: no slope")
    elif zero == "post1":
        notes.append(
            "time of the injection is not known: times count from the first post-contrast phase"
            + ("" if slope is not None or not curve else ", and no slope can be given")
        )
    return Kinetics(
        curve_percent=curve,
        times_s=times_s,
        time_zero=zero,
        peak_percent=max(curve[role] for role in posts) if curve else None,
        initial_slope_percent_per_min=slope,
        ser=ser,
        late_change=late_change,
        curve_type=curve_type,
        type_shares=shares,
        functional_voxels=None if enhancing is None else int(np.count_nonzero(enhancing)),
        notes=tuple(notes),
    )


def _type_of(change: float) -> CurveType:
    limit = CURVE_LIMIT + _ROUNDING
    return "I" if change > limit else "III" if change < -limit else "II"


def _type_shares(early: NDArray[np.float64], late: NDArray[np.float64]) -> dict[str, float]:
    limit = CURVE_LIMIT + _ROUNDING
    rising = int(np.count_nonzero(late > (1 + limit) * early))
    falling = int(np.count_nonzero(late < (1 - limit) * early))
    counts = (rising, early.size - rising - falling, falling)
    return {name: count / early.size for name, count in zip(_TYPES, counts, strict=True)}


def _times(
    exam: Exam, roles: list[str], first: str, injection_s: float | None
) -> tuple[dict[str, float], Literal["injection", "post1", "unknown"]]:
    known = {role: float(exam.times_s[role]) for role in roles if role in exam.times_s}
    if first not in known:
        return {}, "unknown"
    if injection_s is not None:
        zero = min(float(time) for time in exam.times_s.values()) + injection_s
    elif known[first] != 0:
        zero = 0.0  # the exam's own times count from the injection
    else:
        return {role: round(time, 3) for role, time in known.items() if role != "pre"}, "post1"
    # Relative times are in seconds; a millisecond is as exact as any header.
    return {role: round(time - zero, 3) for role, time in known.items()}, "injection"


def _slope(
    curve: Mapping[str, float], times_s: Mapping[str, float], zero: str, posts: tuple[str, ...]
) -> float | None:
    """Slope per minute; never from pre, which may be long before the injection."""
    if not curve or zero == "unknown":
        return None
    if zero == "injection":
        minutes = times_s[posts[0]] / 60
        return curve[posts[0]] / minutes if minutes > 0 else None
    for one, other in pairwise(posts[:2]):
        minutes = (times_s[other] - times_s[one]) / 60 if other in times_s else 0.0
        if minutes > 0:
            return (curve[other] - curve[one]) / minutes
    return None


def curve_type_name(curve_type: str | None) -> str:
    """A curve type as written in a report.

    Examples
    --------
    >>> curve_type_name("III"), curve_type_name(None)
    ('III washout', '')
    """
    words = {"I": "I persistent", "II": "II plateau", "III": "III washout"}
    return words.get(cast(str, curve_type), "")
