"""From the body's front and the chest wall to the breasts, their nipples, and why to doubt them.

Arrays are coarse and run (feet to head, front to back, right to left); see `body_axes`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .chest_wall import ChestWall

__all__ = [
    "LEFT",
    "RIGHT",
    "SIDES",
    "Side",
    "breast_labels",
    "nipple_place",
    "shape_doubts",
    "sides_seen",
]

Side = Literal["right", "left"]

RIGHT, LEFT = 1, 2
"""Values of the region's label map: the patient's sides."""

SIDES: Mapping[Side, int] = MappingProxyType({"right": RIGHT, "left": LEFT})

Floats = NDArray[np.float32]
Steps = tuple[float, float, float]

_BACK_MM = 27.0
"""How far behind the notch a breast reaches at the sides."""

_LEAST_THICKNESS_MM = 14.0
"""Skin and fat thinner than this over the chest are not a breast."""

_STRIP_MM = 11.0
"""Half the width of the strip over the breastbone between the breasts."""

_HALF_HEIGHT_MM, _HALF_WIDTH_MM = 108.0, 90.0
"""A breast reaches no farther up or down, or to a side, from its middle."""

_ABOVE, _LEAST_HEIGHT_MM = 1.35, 60.0
"""A breast reaches so many times as far up from its middle as it stands out by half of its most
downwards; at least so far."""

_TOPS_APART_MM = 12.0
"""By so much one breast may reach farther towards the head than the other."""

_SLIVER_ML = 5.0
"""Less tissue than this on one side is no breast."""

_LEAST_FORWARD_MM = 10.0
"""A breast stands out from the skin over the breastbone by this much or more."""

_LEAST_ML, _MOST_ML = 50.0, 3500.0
"""Volumes of a breast that are plausible, mL."""

_MOST_RATIO = 5.0
_LEAST_EVIDENCE = 0.02
_MOST_CUT = 0.3
"""Most of the columns in which the body may reach the field's front edge."""

_LEAST_FIELD_MM = 40.0


def breast_labels(
    body: NDArray[np.bool_],
    front: Floats,
    notch: Floats,
    wall: ChestWall,
    across_mm: NDArray[np.float64],
    steps: Steps,
) -> NDArray[np.uint8]:
    """The tissue in front of the wall where it is thick enough to be a breast, by side.

    Parameters
    ----------
    body : array of bool, shape (Z, Y, X)
        What is not air.
    front : array, shape (Z, X)
        Depth of the body's front, mm.
    notch : array, shape (Z,)
        Depth of the skin over the breastbone, mm.
    wall : ChestWall
    across_mm : array, shape (X,)
        Distance of each column from the midline, negative on the patient's right.
    steps : tuple of float
        Voxel size (z, y, x) in mm.

    Returns
    -------
    array of uint8, shape (Z, Y, X)
        0 elsewhere, 1 right, 2 left.
    """
    from scipy import ndimage

    dz, dy, dx = steps
    is_left = across_mm >= 0
    back = notch[:, None] + _BACK_MM + np.maximum(wall.shift_mm[:, is_left.astype(int)], 0)
    behind = np.minimum(wall.depth_mm, back)
    thickness = ndimage.gaussian_filter(behind - front, (6.0 / dz, 6.0 / dx), mode="nearest")
    may_be = (thickness > _LEAST_THICKNESS_MM) & (np.abs(across_mm) > _STRIP_MM)
    may_be &= _is_around(notch[:, None] - front, is_left, dz, dx)
    depth_mm = (np.arange(body.shape[1], dtype=np.float32) + 0.5) * dy
    is_breast = body & may_be[:, None, :] & (depth_mm[:, None] < behind[:, None, :])
    return np.asarray(is_breast * np.where(is_left, LEFT, RIGHT), np.uint8)


def _is_around(
    stands_out: Floats, is_left: NDArray[np.bool_], dz: float, dx: float
) -> NDArray[np.bool_]:
    """Columns that may belong to the breast of their side, by their distance from its middle.

    What stands out of the chest farther away is the axilla, the shoulder or the belly. Both breasts
    end at about the same height towards the head.
    """
    sides = [is_side for is_side in (~is_left, is_left) if stands_out[:, is_side].size]
    middles = [_middle_mm(stands_out[:, is_side], dz, dx) for is_side in sides]
    above = [
        _height_above_mm(stands_out[:, is_side].max(axis=1), middle[0], dz)
        for is_side, middle in zip(sides, middles, strict=True)
    ]
    most = float(stands_out.max(initial=0))
    tops = [
        middle[0] + height
        for is_side, middle, height in zip(sides, middles, above, strict=True)
        if stands_out[:, is_side].max() > 0.4 * most
    ]
    z = np.arange(stands_out.shape[0])[:, None] * dz
    may_be = np.ones(stands_out.shape, bool)
    for is_side, (height, aside), reach in zip(sides, middles, above, strict=True):
        top_mm = min(height + reach, min(tops, default=np.inf) + _TOPS_APART_MM)
        up = z - height
        up = up / np.where(up > 0, max(top_mm - height, _LEAST_HEIGHT_MM), _HALF_HEIGHT_MM)
        across = np.arange(np.count_nonzero(is_side))[None] * dx - aside
        may_be[:, is_side] = up**2 + (across / _HALF_WIDTH_MM) ** 2 < 1
    return may_be


def _middle_mm(stands_out: Floats, dz: float, dx: float) -> tuple[float, float]:
    """Middle (z, x) in mm of what stands out most."""
    weights = np.maximum(stands_out - 0.5 * stands_out.max(initial=0), 0)
    if not weights.any():
        weights = np.ones_like(stands_out)
    z, x = (np.average(places, weights=weights) for places in np.indices(stands_out.shape))
    return float(z) * dz, float(x) * dx


def _height_above_mm(profile: Floats, middle_mm: float, dz: float) -> float:
    """How far a breast reaches from its middle towards the head, judged by how far it reaches down.

    Below it the front falls back to the chest; above it goes over into the shoulder.

    Parameters
    ----------
    profile : array, shape (Z,)
        How far each slice stands out, mm.
    middle_mm : float
        Height of the breast's middle.
    dz : float
        Slice distance in mm.
    """
    below = profile[: int(middle_mm / dz) + 1][::-1]
    is_out = below < 0.5 * profile.max()
    if not is_out.any():
        return _HALF_HEIGHT_MM
    down_mm = float(is_out.argmax()) * dz
    return float(np.clip(_ABOVE * down_mm, _LEAST_HEIGHT_MM, _HALF_HEIGHT_MM))


def sides_seen(
    labels: NDArray[np.uint8], stands_out: Floats, shows_both: bool, steps: Steps
) -> tuple[Side, ...]:
    """Sides on which there is a breast, not just thick skin or a sliver of the other breast.

    Parameters
    ----------
    labels : array, shape (Z, Y, X)
        As `breast_labels` gives.
    stands_out : array, shape (Z, X)
        How far the front lies before the skin over the breastbone, mm.
    shows_both : bool
        Whether the field of view is wide enough for both breasts.
    steps : tuple of float
        Voxel size (z, y, x) in mm.
    """
    volumes = _volumes_ml(labels, steps)
    # Of one breast the field may take in a part of the other: it belongs to the region, no more.
    least = max(_SLIVER_ML, (0.02 if shows_both else 0.35) * max(volumes.values()))
    return tuple(
        side
        for side, value in SIDES.items()
        if volumes[side] > least
        and stands_out[(labels == value).any(axis=1)].max() > _LEAST_FORWARD_MM
    )


def _volumes_ml(labels: NDArray[np.uint8], steps: Steps) -> dict[Side, float]:
    voxel_ml = float(np.prod(steps)) / 1000
    return {side: np.count_nonzero(labels == value) * voxel_ml for side, value in SIDES.items()}


def nipple_place(
    front: Floats, mask: NDArray[np.bool_], steps: Steps
) -> tuple[float, float, float]:
    """Place (z, y, x), in voxels, of the skin of one breast that lies farthest to the front."""
    from scipy import ndimage

    dz, dy, dx = steps
    size = [max(1, 2 * round(5 / step) + 1) for step in (dz, dx)]  # noise is narrower
    smooth = ndimage.median_filter(front, size, mode="nearest")
    smooth = ndimage.gaussian_filter(smooth, (2.5 / dz, 2.5 / dx), mode="nearest")
    smooth = np.where(mask.any(axis=1), smooth, np.inf)
    z, x = np.unravel_index(int(smooth.argmin()), smooth.shape)
    return float(z), float(smooth[z, x]) / dy - 0.5, float(x)


def shape_doubts(
    labels: NDArray[np.uint8],
    seen: Sequence[Side],
    wall: ChestWall,
    body: NDArray[np.bool_],
    steps: Steps,
) -> list[str]:
    """Why the region is not plausible, in plain sentences; empty if it is.

    Parameters
    ----------
    labels : array, shape (Z, Y, X)
        As `breast_labels` gives.
    seen : sequence of Side
        As `sides_seen` gives.
    wall : ChestWall
    body : array of bool, shape (Z, Y, X)
        What is not air.
    steps : tuple of float
        Voxel size (z, y, x) in mm.
    """
    doubts = []
    least_mm = min(count * step for count, step in zip(labels.shape, steps, strict=True))
    if least_mm < _LEAST_FIELD_MM:
        doubts.append(f"the field of view is only {least_mm:.0f} mm in one direction")
    volumes = _volumes_ml(labels, steps)
    for side in seen:
        if not _LEAST_ML <= volumes[side] <= _MOST_ML:
            doubts.append(f"the {side} breast seems to hold {volumes[side]:.0f} mL")
    if len(seen) == 2 and max(volumes.values()) > _MOST_RATIO * min(volumes.values()):
        doubts.append("the breasts seem to be of very unlike size")
    columns = (labels > 0).any(axis=1)
    # The wall may lie behind a coronal field of view: then there is nothing to see of it.
    is_inside = wall.depth_mm[columns] < (body.shape[1] - 2) * steps[1]
    is_seen = float(wall.evidence[columns][is_inside].sum()) >= _LEAST_EVIDENCE * is_inside.sum()
    if is_inside.mean() > 0.5 and not is_seen:
        doubts.append("the chest wall does not stand out from the breast")
    if float(body[:, 0].any(axis=0).mean()) > _MOST_CUT:
        doubts.append("the front of the breasts is not in the field of view")
    return doubts
