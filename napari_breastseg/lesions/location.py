"""Where a lesion lies in its breast: side, quadrant, clock position, distance from the nipple."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..imaging.breast_region import MARGIN_MM, Breasts, Side

__all__ = ["CENTRAL_MM", "Location", "Quadrant", "clock_position", "locate"]

Quadrant = Literal["upper outer", "upper inner", "lower outer", "lower inner", "central"]

CENTRAL_MM = 20.0
"""A lesion this near to the line from the nipple straight to the back lies behind the areola, which
is 40 mm or less across: it is central and in no quadrant."""


@dataclass(frozen=True)
class Location:
    """Where a lesion lies; None is what is not known."""

    side: Side | None = None
    """The patient's side."""

    quadrant: Quadrant | None = None
    """None also outside the breasts."""

    clock: int | None = None
    """1 to 12, the breast as the examiner sees it from the front; None for a central lesion, which
    has no direction, and outside the breasts."""

    nipple_mm: float | None = None
    """Distance of the center from the nipple in three dimensions, mm."""

    skin_mm: float | None = None
    """Depth of the center below the nearest skin, mm."""

    wall_mm: float | None = None
    """Distance of the center in front of the chest wall, mm; negative behind it."""


def locate(breasts: Breasts, center_mm: tuple[float, float, float]) -> Location:
    """Location of a lesion's center.

    Parameters
    ----------
    breasts : Breasts
        As `find_breasts` gives.
    center_mm : tuple of float
        RAS mm.

    Returns
    -------
    Location
        Nothing but None where the region is not trusted, or on a side whose breast is not seen.

    References
    ----------
    American College of Radiology, BI-RADS Atlas, 5th edition (2013), location of lesions.
    """
    if not breasts.is_trusted:
        return Location()
    voxel = np.linalg.solve(breasts.labels.grid.affine, (*center_mm, 1.0))[None, :3]
    side = breasts.side_at(voxel)
    if side is None:
        return Location()
    nipple = np.array(breasts.nipples_mm[side])
    way = np.array(center_mm) - nipple
    quadrant, clock = None, None
    if breasts.away_mm(voxel)[0] <= MARGIN_MM:
        quadrant, clock = _quadrant(way, side), clock_position(way)
    return Location(
        side=side,
        quadrant=quadrant,
        clock=None if quadrant == "central" else clock,
        nipple_mm=float(np.linalg.norm(way)),
        skin_mm=float(breasts.skin_mm(voxel)[0]),
        wall_mm=float(breasts.wall_mm(voxel)[0]),
    )


def clock_position(from_nipple_mm: NDArray[np.float64]) -> int:
    """Hour at which the examiner sees a place around the nipple.

    Parameters
    ----------
    from_nipple_mm : array, shape (3,)
        Vector from the nipple, RAS mm.

    Examples
    --------
    The patient's left is on the examiner's right, at three o'clock: there lies the outer part of
    the left breast, and the inner part of the right one.

    >>> clock_position(np.array([-30.0, -20.0, 0.0]))
    3
    """
    right, _, up = from_nipple_mm
    hour = round(float(np.degrees(np.arctan2(-right, up))) / 30) % 12
    return hour or 12


def _quadrant(way: NDArray[np.float64], side: Side) -> Quadrant:
    right, _, up = (float(v) for v in way)
    if np.hypot(right, up) <= CENTRAL_MM:
        return "central"
    is_outer = (right > 0) == (side == "right")
    if up > 0:
        return "upper outer" if is_outer else "upper inner"
    return "lower outer" if is_outer else "lower inner"
