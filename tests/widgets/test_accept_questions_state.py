"""What is asked before a mask is accepted."""

from __future__ import annotations

import numpy as np
import pytest

from napari_breastseg.widgets.state.accept_questions import question_before_accept

LABELS = np.zeros((6, 4, 4), np.uint8)
LABELS[1:5, :2, :2] = 1


def test_nothing_is_asked_when_all_tumor_was_seen_or_the_reader_said_so() -> None:
    assert question_before_accept(LABELS, [1, 2, 3, 4], voxel_ml=0.5) is None
    assert question_before_accept(LABELS, None, voxel_ml=0.5) is None
    assert question_before_accept(np.zeros_like(LABELS), None, voxel_ml=0.5) is None


def test_tumor_not_seen_is_counted_with_its_volume() -> None:
    asked = question_before_accept(LABELS, [1, 3], voxel_ml=0.5)
    assert asked is not None
    assert asked.text.startswith("2 slices with tumor were not seen: slices 3 and 5, 4.00 of 8.00")
    assert (asked.unseen, asked.yes, asked.no) == ((2, 4), "Accept anyway", "Show them")


def test_voxels_are_told_where_no_spacing_is_known() -> None:
    asked = question_before_accept(LABELS, [1, 2, 3], voxel_ml=None)
    assert asked is not None
    assert "1 slice with tumor was not seen: slice 5, 4 of 16 px" in asked.text


@pytest.mark.parametrize("reviewed", [[], [0, 1, 2, 3, 4, 5]])
def test_an_empty_mask_is_called_clear_by_the_reader_only(reviewed: list[int]) -> None:
    asked = question_before_accept(np.zeros_like(LABELS), reviewed, voxel_ml=0.5)
    assert asked is not None
    assert asked.unseen == ()
    assert asked.yes == "No tumor in this exam"


def test_slices_to_be_left_out_count_as_no_tumor() -> None:
    left_out = np.where(LABELS == 1, 2, 0).astype(np.uint8)
    asked = question_before_accept(left_out, [0], voxel_ml=0.5)
    assert asked is not None
    assert asked.yes == "No tumor in this exam"
