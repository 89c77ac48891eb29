"""Revert to the draft, and update the draft while keeping corrections."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...core.volume import TUMOR, LabelMap
from .regions import (
    Box,
    Edit,
    Mask,
    Scope,
    component_at,
    nearest_tumor,
    region_of,
)

__all__ = ["merge_prediction", "revert", "spare_findings"]

_MOSTLY = 0.5
"""A finding that would lose more than this share of its voxels is taken away, not trimmed."""


def revert(label_map: LabelMap, draft: LabelMap, scope: Scope) -> Edit:
    """Restore the model's draft within a scope.

    Parameters
    ----------
    label_map, draft : LabelMap
        On one grid.
    scope : Scope
        The kind "lesion" means the connected component of draft and mask together, so that a
        lesion is restored even if all of it was erased.

    Raises
    ------
    InputError
        If the draft lies on another grid, or neither has a lesion in the current slice.
    """
    draft.require_grid(label_map.grid, "")
    labels, drafted = label_map.data, draft.data
    if scope.kind != "lesion":
        box = region_of(labels.shape, scope)
        edits = []
        for z in range(box[0].start, box[0].stop):
            layer = (slice(z, z + 1), box[1], box[2])
            edits.append(Edit.within(labels, layer, drafted[layer]))
        return Edit.joined(edits)

    def either(box: Box) -> Mask:
        mask: Mask = (labels[box] == TUMOR) | (drafted[box] == TUMOR)
        return mask

    in_sight = either(region_of(labels.shape, replace(scope, kind="slice")))
    here = None if scope.at is None else _with(scope.at, scope.axis, 0)
    found = nearest_tumor(in_sight, Scope("lesion", scope.axis, 0, here))
    at = _with(found, scope.axis, scope.index)
    part = component_at(either, labels.shape, at)
    wanted = labels[part.box].copy()
    wanted[part.mask] = drafted[part.box][part.mask]
    return Edit.within(labels, part.box, wanted)


def merge_prediction(
    labels: NDArray[Any], draft: NDArray[Any], predicted: NDArray[Any], box: Box
) -> tuple[Edit, Edit]:
    """Take over a newer prediction inside a box and keep corrections.

    Parameters
    ----------
    labels, draft, predicted : array, shape (Z, Y, X)
        The current mask, its draft, and the newer prediction.
    box : tuple of slice
        Nothing outside it changes.

    Returns
    -------
    edit, redraft : Edit
        For the mask and for the draft. Where the mask equals the draft, both take the prediction.
        Where it was corrected, neither changes, so that it still counts as a correction.

    Examples
    --------
    >>> draft = np.array([[[1, 1, 0, 0]]], np.uint8)
    >>> labels = np.array([[[1, 0, 0, 1]]], np.uint8)
    >>> predicted = np.array([[[0, 1, 1, 0]]], np.uint8)
    >>> box = (slice(0, 1), slice(0, 1), slice(0, 4))
    >>> edit, redraft = merge_prediction(labels, draft, predicted, box)
    >>> edit.applied(labels)[0, 0].tolist(), redraft.applied(draft)[0, 0].tolist()
    ([0, 0, 1, 1], [0, 1, 1, 0])
    """
    is_corrected = labels[box] != draft[box]
    wanted = np.where(is_corrected, labels[box], predicted[box])
    redrafted = np.where(is_corrected, draft[box], predicted[box])
    return Edit.within(labels, box, wanted), Edit.within(draft, box, redrafted)


def _with(voxel: tuple[int, int, int], axis: int, index: int) -> tuple[int, int, int]:
    z, y, x = (index if place == axis else int(value) for place, value in enumerate(voxel))
    return z, y, x


def spare_findings(
    labels: NDArray[np.uint8], touched: NDArray[np.bool_], redrafted: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], int]:
    """Keep findings that a redraft would take away though the reader removed nothing as large.

    A model that learned that a small mark is no tumor may unlearn a large lesion that looks like
    it. What is smaller than something that the reader removed may go: that is what was taught.
    Sizes are compared in the slice where each is largest, as readers erase slice by slice.

    Parameters
    ----------
    labels : ndarray, shape (Z, Y, X)
        The mask as it is.
    touched : ndarray of bool, shape (Z, Y, X)
        Voxels that the reader decided on.
    redrafted : ndarray, shape (Z, Y, X)
        The mask as a model that learned from the reader drafts it.

    Returns
    -------
    ndarray, int
        `redrafted` with such findings as they are in `labels`, and how many there are. A finding
        that the reader touched is never one of them.
    """
    is_tumor = labels == TUMOR
    box = _bounds(is_tumor)
    if box is None:
        return redrafted, 0
    parts, count = ndimage.label(is_tumor[box], np.ones((3, 3, 3)))
    numbers = np.arange(count + 1)
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    left = np.bincount(parts[redrafted[box] == TUMOR], minlength=count + 1)
    is_corrected = np.isin(numbers, parts[ndimage.binary_dilation(touched[box])])
    is_taken = (left < (1 - _MOSTLY) * sizes) & ~is_corrected
    removed = touched & ~is_tumor
    erased = max((int(np.count_nonzero(plane)) for plane in removed), default=0)
    spared = [
        part
        for part in numbers[1:][is_taken[1:]]
        if (parts == part).sum(axis=(1, 2)).max() > erased
    ]
    if not spared:
        return redrafted, 0
    kept = redrafted.copy()
    kept[box][np.isin(parts, spared)] = TUMOR
    return kept, len(spared)


def _bounds(mask: Mask) -> Box | None:
    """The smallest box that holds a mask; None where it is empty."""
    if not mask.any():
        return None
    sides = [np.flatnonzero(mask.any(axis=others)) for others in ((1, 2), (0, 2), (0, 1))]
    z, y, x = (slice(int(side[0]), int(side[-1]) + 1) for side in sides)
    return z, y, x
