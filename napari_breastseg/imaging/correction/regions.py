"""What a tool works on (lesion, slice, box or volume) and the edit that it returns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...core.errors import InputError
from ...core.region import Region, tight_box
from ...core.volume import BACKGROUND, TUMOR, Grid, LabelMap

__all__ = [
    "Box",
    "Edit",
    "Part",
    "Scope",
    "component_at",
    "nearest_tumor",
    "parts",
    "spacing_of",
    "unit_of",
    "with_mask",
]

Box = Region

Mask = NDArray[np.bool_]
Voxel = tuple[int, int, int]

_FIRST_REACH = 24
"""Voxels to each side in which the lesion at a voxel is searched first."""

_BLOCK = 8
"""Tumor in blocks of so many voxels that do not touch is processed separately."""


@dataclass(frozen=True, eq=False)
class Edit:
    """Voxels to change, as one undo step."""

    voxels: tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]
    """Indices (z, y, x) of the voxels that change."""

    before: NDArray[np.uint8]
    """Their labels when the tool ran."""

    after: NDArray[np.uint8]
    """Their new labels."""

    @property
    def count(self) -> int:
        """Number of voxels that change."""
        return int(self.before.size)

    def fits(self, labels: NDArray[np.generic]) -> bool:
        """Whether the voxels still have the labels they had when the tool ran."""
        return bool(np.array_equal(labels[self.voxels], self.before))

    def applied(self, labels: NDArray[Any]) -> NDArray[Any]:
        """A copy of `labels` (Z, Y, X) with the edit applied."""
        edited = labels.copy()
        edited[self.voxels] = self.after
        return edited

    @classmethod
    def within(cls, labels: NDArray[Any], box: Box, wanted: NDArray[Any]) -> Edit:
        """The edit that turns ``labels[box]`` into `wanted`.

        Examples
        --------
        >>> labels = np.zeros((1, 3, 3), np.uint8)
        >>> edit = Edit.within(labels, (slice(0, 1), slice(1, 3), slice(0, 2)), np.eye(2)[None])
        >>> edit.count, edit.applied(labels)[0].tolist()
        (2, [[0, 0, 0], [1, 0, 0], [0, 1, 0]])
        """
        now = labels[box]
        inside = np.nonzero(now != wanted)
        z, y, x = (index + (part.start or 0) for index, part in zip(inside, box, strict=True))
        return cls((z, y, x), now[inside].astype(np.uint8), wanted[inside].astype(np.uint8))

    @classmethod
    def joined(cls, edits: Iterable[Edit]) -> Edit:
        """Several edits as one; they should change different voxels, else the last one counts."""
        found = [edit for edit in edits if edit.count]
        if not found:
            nothing = np.empty(0, np.intp)
            return cls((nothing, nothing, nothing), np.empty(0, np.uint8), np.empty(0, np.uint8))
        z, y, x = (np.concatenate([edit.voxels[axis] for edit in found]) for axis in range(3))
        before = np.concatenate([edit.before for edit in found])
        return cls((z, y, x), before, np.concatenate([edit.after for edit in found]))


@dataclass(frozen=True)
class Scope:
    """What a tool works on: a lesion, slice, box or the volume."""

    kind: Literal["lesion", "slice", "box", "volume"]
    axis: int = 0
    """Array axis perpendicular to the slices: 0 z, 1 y, 2 x."""

    index: int = 0
    """The current slice, along `axis`."""

    at: Voxel | None = None
    """A voxel (z, y, x) that selects the lesion there, or the nearest one in its slice."""

    box: Box | None = None
    """The box, for the kind "box"."""

    @property
    def flat_axis(self) -> int | None:
        """The axis along which the scope is a single slice; None in 3D."""
        return self.axis if self.kind == "slice" else None


@dataclass(frozen=True, eq=False)
class Part:
    """Part of the tumor that is processed separately."""

    box: Box
    """The smallest box that contains it."""

    mask: Mask
    """The tumor in it."""


def unit_of(grid: Grid) -> str:
    """Unit of distances: "mm", or "px" if the spacing is unknown."""
    return "px" if grid.spacing_mm is None else "mm"


def spacing_of(grid: Grid) -> tuple[float, float, float]:
    """Voxel spacing (z, y, x) in mm; 1 pixel each if unknown."""
    return grid.spacing_mm or (1.0, 1.0, 1.0)


def parts(label_map: LabelMap, scope: Scope) -> Iterator[Part]:
    """The tumor within a scope, in parts that do not touch; empty without tumor.

    Raises
    ------
    InputError
        If there is no lesion in the current slice, or the box is missing.
    """
    labels = label_map.data
    if scope.kind == "lesion":
        at = nearest_tumor(labels, scope)
        yield component_at(lambda box: np.equal(labels[box], TUMOR), labels.shape, at)
        return
    region = region_of(labels.shape, scope)
    tumor = np.equal(labels[region], TUMOR)
    found = tight_box(tumor)
    if found is None:
        return
    region, tumor = _inside(region, found), tumor[found]
    if scope.kind == "slice":
        yield Part(region, tumor)
        return
    yield from _clusters(region, tumor)


def region_of(shape: tuple[int, ...], scope: Scope) -> Box:
    """The voxels of a scope of the kind slice, box or volume."""
    sizes = [slice(0, size) for size in shape]
    if scope.kind == "slice":
        sizes[scope.axis] = slice(scope.index, scope.index + 1)
    elif scope.kind == "box":
        if scope.box is None:
            raise InputError(
                "Expected a box to work in",
                "found none",
                "Draw a box, or choose another tool scope",
            )
        sizes = [
            slice(*part.indices(size)[:2]) for part, size in zip(scope.box, shape, strict=True)
        ]
    return sizes[0], sizes[1], sizes[2]


def nearest_tumor(labels: NDArray[Any], scope: Scope) -> Voxel:
    """The tumor voxel at, or nearest to, `scope.at` in the current slice (distance in voxels).

    Raises
    ------
    InputError
        If there is no tumor in that slice.
    """
    plane = np.take(labels, scope.index, axis=scope.axis) == TUMOR
    places = np.argwhere(plane)
    if not len(places):
        raise InputError(
            "Expected a lesion in the current slice",
            "found no tumor in it",
            "Go to a slice with a lesion",
        )
    at = scope.at or tuple(size // 2 for size in labels.shape)
    wanted = np.delete(np.asarray(at, float), scope.axis)
    found = places[np.square(places - wanted).sum(axis=1).argmin()]
    z, y, x = np.insert(found, scope.axis, scope.index).tolist()
    return z, y, x


def component_at(mask_in: Callable[[Box], Mask], shape: tuple[int, ...], at: Voxel) -> Part:
    """The component, connected over faces, edges and corners, that contains a voxel.

    Parameters
    ----------
    mask_in : callable
        Gives the mask inside a box; called with larger boxes until the component fits.
    shape : tuple of int
        Of the whole array (Z, Y, X).
    at : tuple of int
        A voxel of the component.
    """
    from scipy import ndimage

    reach = _FIRST_REACH
    while True:
        box = _around(at, reach, shape)
        local = tuple(place - part.start for place, part in zip(at, box, strict=True))
        found, _ = ndimage.label(mask_in(box), np.ones((3, 3, 3), bool))
        mask: Mask = found == found[local]
        tight = tight_box(mask)
        assert tight is not None  # it holds `at`
        is_cut = any(
            (inner.start == 0 and outer.start > 0)
            or (inner.stop == outer.stop - outer.start and outer.stop < size)
            for inner, outer, size in zip(tight, box, shape, strict=True)
        )
        if not is_cut:
            return Part(_inside(box, tight), mask[tight])
        reach *= 2


def placed(part: Part, box: Box) -> Mask:
    """A part's mask in a larger box."""
    mask = np.zeros([b.stop - b.start for b in box], bool)
    inner = tuple(
        slice(p.start - b.start, p.stop - b.start) for p, b in zip(part.box, box, strict=True)
    )
    mask[inner] = part.mask
    return mask


def with_mask(labels: NDArray[Any], box: Box, old: Mask, new: Mask) -> Edit:
    """The edit that replaces the tumor `old` by `new` in a box; other tumor stays."""
    wanted = labels[box].copy()
    wanted[old] = BACKGROUND
    wanted[new] = TUMOR
    return Edit.within(labels, box, wanted)


def _inside(outer: Box, inner: Box) -> Box:
    """A box given relative to another one, in indices of the array."""
    z, y, x = (
        slice(o.start + i.start, o.start + i.stop) for o, i in zip(outer, inner, strict=True)
    )
    return z, y, x


def _around(at: Voxel, reach: int, shape: tuple[int, ...]) -> Box:
    z, y, x = (
        slice(max(0, place - reach), min(size, place + reach + 1))
        for place, size in zip(at, shape, strict=True)
    )
    return z, y, x


def _clusters(region: Box, tumor: Mask) -> Iterator[Part]:
    from scipy import ndimage

    # Components of coarse blocks: few, even if the tumor has many specks.
    sizes = [-(-n // _BLOCK) for n in tumor.shape]
    padded = np.zeros([n * _BLOCK for n in sizes], bool)
    padded[tuple(slice(0, n) for n in tumor.shape)] = tumor
    z, y, x = sizes
    blocks = padded.reshape(z, _BLOCK, y, _BLOCK, x, _BLOCK).any(axis=(1, 3, 5))
    numbers, _ = ndimage.label(blocks, np.ones((3, 3, 3), bool))
    for number, coarse in enumerate(ndimage.find_objects(numbers), start=1):
        box = tuple(
            slice(part.start * _BLOCK, min(part.stop * _BLOCK, size))
            for part, size in zip(coarse, tumor.shape, strict=True)
        )
        own = numbers[coarse] == number
        for axis in range(3):
            own = own.repeat(_BLOCK, axis=axis)
        mask = tumor[box] & own[tuple(slice(0, b.stop - b.start) for b in box)]
        tight = tight_box(mask)
        assert tight is not None  # every block holds tumor
        yield Part(_inside(_inside(region, (box[0], box[1], box[2])), tight), mask[tight])
