"""Revert to the draft, and update the draft while keeping corrections."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

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

__all__ = ["merge_prediction", "revert"]


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
