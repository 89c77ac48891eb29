"""How far a redraft may go from what was marked before it."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import distance_transform_edt

from napari_breastseg.training.corrections import Corrections
from napari_breastseg.training.exam_reach import joined_to, within_reach

BOX = (slice(0, 20), slice(0, 30), slice(0, 30))
LESION = np.s_[8:13, 10:15, 10:15]


def near(marks: np.ndarray, limit_mm: float = 4.0) -> np.ndarray:
    """Voxels of 1 mm."""
    return distance_transform_edt(~marks) <= limit_mm if marks.any() else marks


def corrections(mask: np.ndarray, reviewed: list[int]) -> Corrections:
    is_reviewed = np.zeros(20, bool)
    is_reviewed[reviewed] = True
    return Corrections(mask.astype(np.uint8), np.zeros(mask.shape, bool), is_reviewed)


def redrafted(mask: np.ndarray, reviewed: list[int], drafted: float) -> np.ndarray:
    """Where there is tumor, after a network that finds it everywhere."""
    everywhere = np.full(mask.shape, 0.9, np.float32)
    before = np.full(mask.shape, drafted, np.float32)
    return within_reach(everywhere, before, corrections(mask, reviewed), BOX, near) >= 0.5


def test_a_lesion_that_was_drafted_grows_a_little_on_all_sides() -> None:
    mask = np.zeros((20, 30, 30), bool)
    mask[LESION] = True
    grown = redrafted(mask, [10], drafted=0.0)
    assert grown[4, 12, 12]
    assert grown[16, 12, 12]
    assert grown[10, 12, 18]
    assert not grown[:4].any()
    assert not grown[17:].any()
    assert not grown[10, 12, 19:].any()


def test_a_lesion_that_the_draft_missed_goes_on_above_and_below_corrected_slices() -> None:
    mask = np.zeros((20, 30, 30), bool)
    mask[10, 10:15, 10:15] = True
    grown = redrafted(mask, [10], drafted=0.0)
    assert grown[:, 12, 12].all()
    assert grown[0, 12, 16]
    assert not grown[0, 12, 17:].any()
    assert grown[10, 12, 18]  # closer to the slice as much as any lesion
    assert not grown[:, 12, 19:].any()


def test_what_the_reader_left_alone_grows_only_where_the_draft_was_nearly_sure() -> None:
    mask = np.zeros((20, 30, 30), bool)
    mask[LESION] = True
    mask[10, 25, 25] = True
    lone = np.s_[11:, 24:27, 24:27]
    assert not redrafted(mask, [8], drafted=0.25)[lone].any()
    assert redrafted(mask, [8], drafted=0.4)[lone].any()
    # It goes where what was learned says so, however sure the draft was.
    nothing, sure = np.zeros(mask.shape, np.float32), np.ones(mask.shape, np.float32)
    assert not within_reach(nothing, sure, corrections(mask, [8]), BOX, near).any()


def test_what_hangs_together_with_nothing_marked_before_is_left_out() -> None:
    before = np.zeros((3, 6, 6), bool)
    before[1, 1, 1] = True
    again = np.zeros_like(before)
    again[1, 1:3, 1] = again[2, 3, 2] = again[0, 5, 5] = True
    kept = joined_to(again, before)
    assert kept.sum() == 3
    assert not kept[0].any()
