"""How tissues take up contrast over time: signal factors per phase.

Imports `config` only.

References
----------
Kuhl CK et al., "Dynamic breast MR imaging: are signal intensity time course data useful for
differential diagnosis of enhancing lesions?", Radiology 211, 101-110 (1999): types I to III. The
limits of 10 % between early and late phases are those of the BI-RADS lexicon's delayed phase as
commonly computed.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .config import KineticType

__all__ = ["PLATEAU_LIMIT", "blood_uptake", "draw_lesion_curve", "tissue_uptake"]

PLATEAU_LIMIT = 0.10
"""Relative change of the signal from the first to the last post-contrast phase that is still
a plateau."""

# Drawn well inside the limits, so that voxels shared with fat do not change a lesion's type.
_LATE_CHANGE: Mapping[KineticType, tuple[float, float]] = {
    "I": (0.18, 0.40),
    "II": (-0.04, 0.04),
    "III": (-0.35, -0.18),
}


def blood_uptake(time_s: float) -> float:
    """Enhancement of blood relative to its peak: within seconds, then slowly falling.

    Examples
    --------
    >>> blood_uptake(0.0)
    0.0
    >>> blood_uptake(90.0) > blood_uptake(300.0) > 0.6
    True
    """
    t = max(time_s, 0.0)
    return float((1 - np.exp(-t / 20)) * (0.7 + 0.3 * np.exp(-t / 150)))


def tissue_uptake(time_s: float) -> float:
    """Enhancement of slow tissue (gland, skin, muscle) relative to that at 90 s: persistent.

    Examples
    --------
    >>> tissue_uptake(90.0)
    1.0
    >>> tissue_uptake(300.0) > 1.5
    True
    """
    t = max(time_s, 0.0)
    return float((1 - np.exp(-t / 140)) / (1 - np.exp(-90 / 140)))


def draw_lesion_curve(
    rng: np.random.Generator, kinetic_type: KineticType, times_s: Mapping[str, float]
) -> dict[str, float]:
    """Relative enhancement of a lesion per phase, 0 before contrast.

    Parameters
    ----------
    kinetic_type : {"I", "II", "III"}
        Persistent, plateau, washout between the first and the last post-contrast phase, as far
        as there are two.
    times_s : mapping of str to float
        Role to seconds from the injection.
    """
    early = rng.uniform(0.9, 2.2) * (0.8 if kinetic_type == "I" else 1.0)
    change = rng.uniform(*_LATE_CHANGE[kinetic_type])
    pace_s = rng.uniform(80, 250)
    posts = [time for time in times_s.values() if time > 0]
    first, last = (min(posts), max(posts)) if posts else (0.0, 0.0)
    curve = {}
    for role, time in times_s.items():
        if time <= 0:
            curve[role] = 0.0
            continue
        late = 0.0
        if last > first:
            late = (1 - np.exp(-(time - first) / pace_s)) / (1 - np.exp(-(last - first) / pace_s))
        # The first post-contrast phase of a very early exam catches the lesion filling up.
        filled = 1 - np.exp(-first / 30)
        curve[role] = float((1 + early * filled) * (1 + change * late) - 1)
    return curve
