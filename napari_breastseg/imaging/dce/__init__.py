"""Dynamic contrast-enhanced phases: enhancement maps, movement between phases, alignment.

"pre" is the pre-contrast phase; the first post-contrast phase is "early", the last "late".
"""

from .maps import (
    LazyMap,
    enhancement_maps,
    fixed_role,
    percent_enhancement,
    post_roles,
    projection,
    signal_enhancement_ratio,
    subtraction,
    tissue_floor,
    where_enhancing,
)
from .motion import Shift, align_phases, estimate_shifts

__all__ = [
    "LazyMap",
    "Shift",
    "align_phases",
    "enhancement_maps",
    "estimate_shifts",
    "fixed_role",
    "percent_enhancement",
    "post_roles",
    "projection",
    "signal_enhancement_ratio",
    "subtraction",
    "tissue_floor",
    "where_enhancing",
]
