"""What a mask on its way tells: what is known, what is kept, what changed."""

from __future__ import annotations

import numpy as np
import pytest

from napari_breastseg.core.errors import InputError
from napari_breastseg.core.volume import Grid, LabelMap
from napari_breastseg.training.corrections import Corrections, changed_slices


def three_slices() -> Corrections:
    """Slice 1 reviewed, one voxel touched in slice 2, slice 3 only drafted."""
    labels = np.zeros((3, 2, 2), np.uint8)
    labels[:, 0, 0] = 1
    touched = np.zeros(labels.shape, bool)
    touched[1, 1, 1] = True
    return Corrections(labels, touched, np.array([True, False, False]))


def test_a_reviewed_slice_teaches_its_unmarked_tissue_too() -> None:
    assert three_slices().known().tolist() == [
        [[1, 0], [0, 0]],
        [[2, 2], [2, 0]],
        [[2, 2], [2, 2]],
    ]


def test_touched_voxels_and_reviewed_slices_are_kept() -> None:
    assert three_slices().is_kept().sum((1, 2)).tolist() == [4, 1, 0]


def test_slices_not_reviewed_in_a_mask_on_disk_teach_nothing() -> None:
    labels = np.array([[[0, 1]], [[2, 2]], [[0, 2]]], np.uint8)
    corrections = Corrections.of_mask(LabelMap(labels, Grid((3, 1, 2))))
    assert corrections.reviewed.tolist() == [True, False, False]
    assert corrections.known().tolist() == labels.tolist()
    assert corrections.tumor.sum() == 1


def test_what_nobody_reviewed_stands_as_it_was_drafted() -> None:
    grid = Grid((2, 1, 2))
    mask, draft = np.array([[[0, 1]], [[2, 2]]], np.uint8), np.ones((2, 1, 2), np.uint8)
    corrections = Corrections.of_mask(LabelMap(mask, grid), LabelMap(draft, grid))
    assert corrections.labels.tolist() == [[[0, 1]], [[1, 1]]]


def test_reviewed_slices_may_be_named() -> None:
    mask = LabelMap(np.zeros((3, 1, 1), np.uint8), Grid((3, 1, 1)))
    assert Corrections.of_mask(mask, reviewed=[1]).reviewed.tolist() == [False, True, False]
    with pytest.raises(InputError, match="Expected reviewed slices from 1 to 3; found slice 4"):
        Corrections.of_mask(mask, reviewed=[3])


def test_arrays_of_different_masks_are_refused() -> None:
    labels = np.zeros((3, 2, 2), np.uint8)
    with pytest.raises(InputError, match=r"slices reviewed of a mask of \(3, 2, 2\)"):
        Corrections(labels, labels.astype(bool), np.zeros(2, bool))


def test_slices_that_changed_are_named() -> None:
    before = np.zeros((4, 2, 2), bool)
    after = before.copy()
    after[[1, 3], 0, 1] = True
    assert changed_slices(before, after) == (1, 3)
