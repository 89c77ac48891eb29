"""Fill, smooth, grow and shrink."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ...core.errors import InputError
from ...core.region import widened
from ...core.volume import LabelMap
from .regions import (
    Edit,
    Mask,
    Scope,
    parts,
    placed,
    spacing_of,
    unit_of,
    with_mask,
)

__all__ = ["fill_holes", "grow", "smooth"]


def fill_holes(label_map: LabelMap, scope: Scope) -> Edit:
    """Fill holes in the tumor, slice by slice along the scope's axis.

    A cavity is closed in every slice it passes through; a ring in one slice is filled even if it is
    open in the slice above, as it appears to a reader.

    Examples
    --------
    >>> labels = np.zeros((1, 5, 5), np.uint8)
    >>> labels[0, 1:4, 1:4] = 1
    >>> labels[0, 2, 2] = 0
    >>> from napari_breastseg.core.volume import Grid
    >>> fill_holes(LabelMap(labels, Grid((1, 5, 5))), Scope("slice")).count
    1
    """
    from scipy import ndimage

    edits = []
    for part in parts(label_map, scope):
        planes = np.moveaxis(part.mask, scope.axis, 0)
        filled = np.stack([ndimage.binary_fill_holes(plane) for plane in planes])
        new = np.moveaxis(filled, 0, scope.axis)
        edits.append(with_mask(label_map.data, part.box, part.mask, new))
    return Edit.joined(edits)


def smooth(label_map: LabelMap, scope: Scope, distance: float) -> Edit:
    """Smooth the outline over a distance, keeping the volume of each part.

    Parameters
    ----------
    label_map : LabelMap
    scope : Scope
        A slice is smoothed within itself.
    distance : float
        Standard deviation of the Gaussian in mm, or pixels if the spacing is unknown; above 0.

    Notes
    -----
    The mask is blurred and thresholded so that its number of voxels stays the same: with a
    threshold of one half, a small lesion would shrink each time and a thin one vanish.
    """
    from scipy import ndimage

    _require_distance(distance)
    spacing = _flat_spacing(label_map, scope)
    edits = []
    for part in parts(label_map, scope):
        box = widened(part.box, label_map.data.shape, _steps(spacing, 3 * distance))
        old = placed(part, box)
        sigma = [0.0 if math.isinf(step) else distance / step for step in spacing]
        blurred = ndimage.gaussian_filter(old.astype(np.float32), sigma, mode="nearest")
        count = int(np.count_nonzero(old))
        level = np.partition(blurred, -count, axis=None)[-count]
        edits.append(with_mask(label_map.data, box, old, blurred >= max(level, 1e-3)))
    return Edit.joined(edits)


def grow(label_map: LabelMap, scope: Scope, distance: float) -> Edit:
    """Grow the tumor by a distance, or shrink it by a negative one.

    Parameters
    ----------
    label_map : LabelMap
    scope : Scope
        A slice grows within itself.
    distance : float
        In mm, or pixels if the spacing is unknown; not 0. Measured between voxel centers: less
        than the spacing changes nothing along that axis.

    Raises
    ------
    InputError
        If the distance is 0 or not finite, or smaller than a voxel along every axis.
    """
    if distance == 0:
        raise InputError("Expected a distance to grow or shrink by", "found 0", "Give 1 or -1")
    _require_distance(abs(distance))
    spacing = _flat_spacing(label_map, scope)
    if abs(distance) < min(spacing):
        unit = unit_of(label_map.grid)
        raise InputError(
            f"Expected a distance of at least one voxel, {min(spacing):.2g} {unit}",
            f"found {abs(distance):.2g} {unit}",
            "Give a larger one",
        )
    edits = []
    for part in parts(label_map, scope):
        margin = _steps(spacing, distance if distance > 0 else 0.0)
        box = widened(part.box, label_map.data.shape, margin)
        old = placed(part, box)
        edits.append(with_mask(label_map.data, box, old, _moved(old, distance, spacing)))
    return Edit.joined(edits)


def _moved(mask: Mask, distance: float, spacing: NDArray[np.float64]) -> Mask:
    from scipy import ndimage

    flat = tuple(0 if math.isinf(step) else slice(None) for step in spacing)
    steps = [step for step in spacing if not math.isinf(step)]
    inner = mask[flat]
    # Distances are measured to the nearest voxel of the other kind, center to center.
    if distance > 0:
        moved = ndimage.distance_transform_edt(~inner, sampling=steps) <= distance + 1e-6
    elif inner.all():  # there is no outside
        moved = inner
    else:
        far = ndimage.distance_transform_edt(inner, sampling=steps)
        moved = far > -distance + 1e-6
    result: Mask = moved.reshape(mask.shape)
    return result


def _flat_spacing(label_map: LabelMap, scope: Scope) -> NDArray[np.float64]:
    """Spacing, infinite along the axis of a single slice."""
    spacing = np.array(spacing_of(label_map.grid))
    if scope.flat_axis is not None:
        spacing[scope.flat_axis] = np.inf
    elif label_map.data.shape[0] == 1:
        spacing[0] = np.inf
    return spacing


def _steps(spacing: NDArray[np.float64], distance: float) -> list[int]:
    """Voxels that a distance spans along each axis, plus one."""
    return [0 if math.isinf(step) else math.ceil(distance / step) + 1 for step in spacing]


def _require_distance(distance: float) -> None:
    if not (math.isfinite(distance) and distance > 0):
        raise InputError("Expected a distance above 0", f"found {distance:g}", "Use 1 if in doubt")
