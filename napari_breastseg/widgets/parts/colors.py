"""Colors of marks on grey pictures, told apart by color-blind readers too, and of charts.

References
----------
Okabe and Ito, Color Universal Design (2008): the palette.
"""

from __future__ import annotations

__all__ = [
    "ADDED",
    "CHART",
    "CHART_OTHER",
    "DONE",
    "ERROR",
    "FRAME",
    "IGNORED",
    "NOT_IN_MASK",
    "REMOVED",
    "TUMOR",
    "WORSE",
]

TUMOR = "#d55e00"
"""Vermilion: the mask."""

ADDED = "#f0e442"
"""Yellow: what a correction added to the draft."""

REMOVED = "#56b4e9"
"""Sky blue: what a correction took from the draft."""

FRAME = "#0072b2"
"""Blue: boxes, frames, the crosshair."""

IGNORED = "#80808060"
"""Grey, half transparent: not reviewed."""

NOT_IN_MASK = "#808080"
"""Grey that shows on dark and light: rows of findings that are not in the mask."""

CHART = "#4aa3df"
"""Blue: the curve or dots that a chart is about."""

CHART_OTHER = "#e8833a"
"""Orange: a second curve beside it, or a median."""

WORSE = "#d64545"
"""Red: a case that got worse."""

DONE = "#009e73"
"""Bluish green: what is done."""

ERROR = "#d55e00"
"""Vermilion: what could not be done."""
