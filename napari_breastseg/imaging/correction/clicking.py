"""Tools of a click or a brush stroke: grow a region, keep or drop a lesion, threshold brush."""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...core.errors import InputError
from ...core.region import tight_box
from ...core.volume import BACKGROUND, TUMOR, Grid, LabelMap
from .regions import (
    Box,
    Edit,
    Mask,
    Scope,
    Voxel,
    component_at,
    nearest_tumor,
    region_of,
    spacing_of,
)

__all__ = ["Growth", "Readable", "drop_lesion", "drop_small", "keep_lesion", "threshold_dab"]

REACH = 30.0
"""A region grows at most this far from the click, in mm (pixels), which limits leaks."""


class Readable(Protocol):
    """An array (Z, Y, X), or a map computed on reading."""

    def __getitem__(self, index: Any, /) -> NDArray[Any]:
        """Values of a part."""


class Growth:
    """The region connected to the clicked voxel and about as bright, for any tolerance.

    Parameters
    ----------
    values : array or map, shape (Z, Y, X)
        Enhancement, in which tumor is bright. Read once, around the click.
    grid : Grid
        Where the voxels lie.
    at : tuple of int
        The voxel clicked (z, y, x).
    axis : int, optional
        Grow only within the slice perpendicular to this axis.

    Notes
    -----
    A tolerance of 0.5 sets the threshold half way between the click and its surroundings, as in a
    full width at half maximum; 0 keeps only voxels at least as bright as the click, 1 goes down to
    the surroundings. There is no upper limit: brighter voxels belong to the region. The value of
    the click is the median over its 3 x 3 neighbors, that of the surroundings the median within
    30 mm (pixels) to each side.
    """

    def __init__(self, values: Readable, grid: Grid, at: Voxel, *, axis: int | None = None) -> None:
        spacing = spacing_of(grid)
        reach = [math.ceil(REACH / step) for step in spacing]
        if axis is not None:
            reach[axis] = 0
        z, y, x = (
            slice(max(0, place - more), min(size, place + more + 1))
            for place, more, size in zip(at, reach, grid.shape, strict=True)
        )
        self.box: Box = (z, y, x)
        self._axis = axis
        self._values = np.asarray(values[self.box], np.float32)
        self._at = tuple(place - part.start for place, part in zip(at, self.box, strict=True))
        flat = axis if axis is not None else int(np.argmax(spacing))
        near = tuple(
            slice(place, place + 1) if a == flat else slice(max(0, place - 1), place + 2)
            for a, place in enumerate(self._at)
        )
        self.peak = float(np.median(self._values[near]))
        self.around = float(np.median(self._values))

    def level(self, tolerance: float) -> float:
        """Threshold above which voxels belong to the region, for a tolerance from 0 to 1."""
        return self.peak - tolerance * (self.peak - self.around)

    def mask(self, tolerance: float) -> Mask:
        """The region within `box`: connected over faces, holes in slices filled."""
        from scipy import ndimage

        bright = self._values >= self.level(tolerance)
        bright[self._at] = True
        numbers, _ = ndimage.label(bright)
        grown: Mask = numbers == numbers[self._at]
        found = tight_box(grown)
        assert found is not None  # it holds the click
        axis = 0 if self._axis is None else self._axis
        planes = np.moveaxis(grown[found], axis, 0)
        for plane in planes:
            plane[:] = ndimage.binary_fill_holes(plane)
        return grown

    def edit(self, labels: NDArray[Any], tolerance: float) -> Edit:
        """The edit that adds the region to a mask (Z, Y, X)."""
        wanted = labels[self.box].copy()
        wanted[self.mask(tolerance)] = TUMOR
        return Edit.within(labels, self.box, wanted)


def drop_lesion(label_map: LabelMap, scope: Scope) -> Edit:
    """Remove the lesion at, or nearest to, `scope.at`; with a slice scope only within the slice.

    Raises
    ------
    InputError
        If there is no tumor in the current slice.
    """
    box, mask = _clicked(label_map, scope)
    wanted = label_map.data[box].copy()
    wanted[mask] = BACKGROUND
    return Edit.within(label_map.data, box, wanted)


def drop_small(label_map: LabelMap, least: float) -> Edit:
    """Remove every mark smaller than a volume, from the whole mask.

    Parameters
    ----------
    label_map : LabelMap
    least : float
        Volume in mm3, or number of pixels if the spacing is unknown; a mark of this size stays.
        Voxels that touch over faces, edges or corners are one mark.

    Raises
    ------
    InputError
        If `least` is not above 0.
    """
    from scipy import ndimage

    if not least > 0:
        raise InputError("Expected a size above 0", f"found {least:g}", "Use 10 if in doubt")
    labels = label_map.data
    box = tight_box(np.equal(labels, TUMOR))
    if box is None:
        return Edit.joined([])
    numbers, _ = ndimage.label(labels[box] == TUMOR, np.ones((3, 3, 3), bool))
    sizes = np.bincount(numbers.ravel()) * math.prod(spacing_of(label_map.grid))
    is_small = sizes < least * (1 - 1e-6)
    is_small[0] = False  # what is no tumor
    wanted = labels[box].copy()
    wanted[is_small[numbers]] = BACKGROUND
    return Edit.within(labels, box, wanted)


def keep_lesion(label_map: LabelMap, scope: Scope) -> Edit:
    """Remove all but the lesion at, or nearest to, `scope.at`; with a slice scope only within it.

    Raises
    ------
    InputError
        If there is no tumor in the current slice.
    """
    box, mask = _clicked(label_map, scope)
    labels = label_map.data
    region = region_of(labels.shape, Scope("volume") if scope.kind == "lesion" else scope)
    edits = []
    for z in range(region[0].start, region[0].stop):
        layer = (slice(z, z + 1), region[1], region[2])
        wanted = labels[layer].copy()
        if not wanted.any():
            continue
        wanted[wanted == TUMOR] = BACKGROUND
        if box[0].start <= z < box[0].stop:
            y, x = (
                slice(inner.start - outer.start, inner.stop - outer.start)
                for inner, outer in zip(box[1:], region[1:], strict=True)
            )
            wanted[0, y, x][mask[z - box[0].start]] = TUMOR
        edits.append(Edit.within(labels, layer, wanted))
    return Edit.joined(edits)


def threshold_dab(
    labels: NDArray[Any],
    values: Readable,
    level: float,
    start: tuple[float, float, float],
    stop: tuple[float, float, float],
    radius: float,
    *,
    axis: int = 0,
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> Edit:
    """The voxels along a round brush's stroke that reach a threshold.

    Parameters
    ----------
    labels : array, shape (Z, Y, X)
    values : array or map, shape (Z, Y, X)
        Enhancement; read under the brush only.
    level : float
        Voxels of at least this value are painted.
    start, stop : tuple of float
        Start and end of the stroke in voxels (z, y, x), in one slice perpendicular to `axis`.
    radius : float
        Of the brush, in units of `spacing`.
    axis : int
        The brush is flat along this array axis.
    spacing : tuple of float
        Of the voxels (z, y, x).
    """
    steps = np.asarray(spacing, float)
    a, b = np.asarray(start, float) * steps, np.asarray(stop, float) * steps
    box = []
    for place in range(3):
        if place == axis:
            index = int(np.clip(round(start[axis]), 0, labels.shape[axis] - 1))
            box.append(slice(index, index + 1))
            continue
        low, high = min(a[place], b[place]) - radius, max(a[place], b[place]) + radius
        first = max(0, math.ceil(low / steps[place]))
        end = min(labels.shape[place], math.floor(high / steps[place]) + 1)
        box.append(slice(first, max(first, end)))
    region = (box[0], box[1], box[2])
    if min(part.stop - part.start for part in region) == 0:
        return Edit.joined([])
    places = np.stack(np.meshgrid(*(np.arange(p.start, p.stop) for p in region), indexing="ij"), -1)
    places = places * steps
    way = np.where(np.arange(3) == axis, 0.0, b - a)
    length = float(way @ way)
    from_a = np.where(np.arange(3) == axis, 0.0, places - a)
    along = np.clip(from_a @ way / length, 0, 1) if length else np.zeros(from_a.shape[:-1])
    near = np.square(from_a - along[..., None] * way).sum(-1) <= radius**2
    wanted = labels[region].copy()
    wanted[near & (np.asarray(values[region]) >= level)] = TUMOR
    return Edit.within(labels, region, wanted)


def _clicked(label_map: LabelMap, scope: Scope) -> tuple[Box, Mask]:
    """The clicked lesion, limited to the slice or box of the scope."""
    labels = label_map.data
    at = nearest_tumor(labels, scope)
    region = region_of(labels.shape, Scope("volume") if scope.kind == "lesion" else scope)
    if not all(part.start <= place < part.stop for place, part in zip(at, region, strict=True)):
        raise InputError(
            "Expected a lesion inside the box",
            "found the nearest one outside",
            "Click one in the box",
        )
    inside = labels[region]
    z, y, x = (place - part.start for place, part in zip(at, region, strict=True))
    found = component_at(lambda box: np.equal(inside[box], TUMOR), inside.shape, (z, y, x))
    moved = tuple(
        slice(part.start + outer.start, part.stop + outer.start)
        for part, outer in zip(found.box, region, strict=True)
    )
    return (moved[0], moved[1], moved[2]), found.mask
