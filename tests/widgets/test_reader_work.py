"""What belongs to the reader in a mask, and what a redraft may change of it."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_breastseg.widgets.state.reader_work import LOOKED_AT_S, ReaderWork, copy_of

SHAPE = (6, 8, 8)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def mask() -> NDArray[np.uint8]:
    labels = np.zeros(SHAPE, np.uint8)
    labels[1:5, 2:5, 2:5] = 1
    return labels


@pytest.fixture
def work(mask: NDArray[np.uint8], clock: Clock) -> ReaderWork:
    return ReaderWork(mask, mask.copy(), clock)


def paint(work: ReaderWork, mask: NDArray[np.uint8], z: int, value: int = 1) -> None:
    mask[z, 5:7, 5:7] = value
    work.note_edit(mask, [z])


def redrafted(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A redraft that wants something else in every voxel."""
    return (1 - mask).astype(np.uint8)


def test_a_slice_is_finished_when_it_is_left_after_painting(work, mask) -> None:
    work.go_to(2)
    paint(work, mask, 2)
    assert not work.finished.any()
    assert work.go_to(3)
    assert np.flatnonzero(work.finished).tolist() == [2]
    assert not work.go_to(4)  # nothing was painted in slice 4
    assert work.learns_from == 1


def test_what_is_painted_along_another_axis_is_the_readers_but_finishes_no_slice(
    work, mask
) -> None:
    work.go_to(None)
    mask[1:5, 5, 5] = 1
    work.note_edit(mask, None)
    assert not work.go_to(2)
    assert not work.finished.any()
    assert work.touched.sum() == 4
    assert not work.edit_to(mask, redrafted(mask)).applied(np.zeros_like(mask))[work.touched].any()


def test_a_redraft_never_changes_touched_voxels_nor_slices_finished_or_being_painted(
    work, mask
) -> None:
    work.go_to(1)
    paint(work, mask, 1)
    work.go_to(2)
    paint(work, mask, 2)  # not left yet
    mask[4, 0, :3] = 1  # by a tool that reached another slice
    work.note_edit(mask, None)
    edit = work.edit_to(mask, redrafted(mask))
    assert set(edit.voxels[0].tolist()) == {0, 3, 4, 5}
    assert not work.touched[edit.voxels].any()
    after = edit.applied(mask)
    assert (after[4, 0, :3] == 1).all()
    np.testing.assert_array_equal(after[3], redrafted(mask)[3])


def test_a_slice_looked_at_stays_and_one_scrolled_past_does_not(work, mask, clock) -> None:
    work.go_to(0)
    clock.now += LOOKED_AT_S  # nothing is corrected yet
    work.go_to(1)
    paint(work, mask, 1)
    work.go_to(3)
    clock.now += LOOKED_AT_S
    work.go_to(4)
    clock.now += 0.3
    work.go_to(5)
    changed = set(work.edit_to(mask, redrafted(mask)).voxels[0].tolist())
    assert changed == {0, 2, 4, 5}
    # Painted after all, it belongs to those that teach.
    work.go_to(3)
    paint(work, mask, 3)
    work.go_to(4)
    assert work.finished[3]


def test_undoing_a_redraft_makes_its_voxels_the_readers(work, mask) -> None:
    edit = work.edit_to(mask, redrafted(mask))
    before = mask.copy()
    mask[:] = edit.applied(mask)
    work.note_redraft(mask, edit, 1)
    assert work.is_redraft_last
    mask[:] = before
    assert work.note_edit(mask, None)
    assert not work.is_redraft_last
    assert work.edit_to(mask, redrafted(mask)).count == 0


def test_slices_given_back_by_undoing_a_redraft_have_not_been_seen(work, mask) -> None:
    before = mask.copy()
    edit = work.edit_to(mask, np.zeros_like(mask))
    mask[:] = edit.applied(mask)
    work.note_redraft(mask, edit, 1)
    mask[:] = before
    work.note_edit(mask, None)
    assert work.own_slices == frozenset()
    paint(work, mask, 3)
    assert work.own_slices == {3}
    mask[2, 2, 2] = 0
    work.note_edit(mask, None)
    mask[2, 2, 2] = 1  # by the reader's own hand, and no redraft's
    work.note_edit(mask, None)
    assert work.own_slices == {2, 3}


def test_a_redraft_undone_after_later_strokes_is_told_from_the_readers_own(work, mask) -> None:
    work.go_to(0)
    before = mask.copy()
    wanted = mask.copy()
    wanted[2:4] = 0
    edit = work.edit_to(mask, wanted)
    mask[:] = edit.applied(mask)
    work.note_redraft(mask, edit, 1)
    redraft = mask.copy()
    work.forget_last()  # a stroke
    paint(work, mask, 1)
    mask[:] = redraft  # is undone
    work.note_edit(mask, None)
    assert not work.is_redraft_undone
    mask[:] = before  # and the redraft, too
    work.note_edit(mask, None)
    assert work.is_redraft_undone
    assert not work.own_slices & {2, 3}
    assert work.to_look_at == frozenset()
    assert work.edit_to(mask, wanted).count == 0  # it does not come again
    mask[:] = redraft  # redo
    work.note_edit(mask, None)
    assert not work.is_redraft_undone
    assert work.to_look_at == {2, 3}
    assert not work.touched[edit.voxels].any()
    mask[:] = before
    work.note_edit(mask, None)
    work.forget_last()  # another stroke: no redo any more
    assert not work.is_redraft_undone


def test_a_better_redraft_takes_the_place_of_the_one_before(work, mask) -> None:
    before = mask.copy()
    first = work.edit_to(mask, redrafted(mask))
    mask[:] = first.applied(mask)
    work.note_redraft(mask, first, 1)
    mask[:] = before  # as undo does
    work.take_redraft_back(mask)
    assert not work.touched.any()
    wanted = before.copy()
    wanted[3, 3, 3] = 0
    second = work.edit_to(mask, wanted)
    mask[:] = second.applied(mask)
    work.note_redraft(mask, second, 1)
    found = work.record(mask, None)
    assert (found.slices, found.voxels, found.voxels_accepted) == (1, 1, 1)


def test_only_the_slices_that_a_redraft_changes_are_copied() -> None:
    mask = np.full((60, 100, 100), 2, np.uint8)  # nothing is reviewed: no slice is empty
    work = ReaderWork(mask, mask.copy(), lambda: 0.0)
    wanted = mask.copy()
    wanted[20:23, 40:50, 40:50] = 1
    edit = work.edit_to(mask, wanted)
    mask[:] = wanted
    tracemalloc.start()
    work.note_redraft(mask, edit, 1)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held < 8 * mask[0].nbytes  # two planes of each
    mask[21] = 0
    found = work.record(mask, {20, 21})
    assert (found.slices, found.voxels, found.voxels_accepted) == (2, 200, 100)


def test_slices_that_a_redraft_changed_are_to_be_looked_at_until_they_are_shown(work, mask) -> None:
    work.go_to(2)
    edit = work.edit_to(mask, redrafted(mask))
    mask[:] = edit.applied(mask)
    work.note_redraft(mask, edit, 1)
    assert work.to_look_at == {0, 1, 3, 4, 5}
    work.go_to(4)
    assert work.to_look_at == {0, 1, 3, 5}


def test_the_record_tells_what_of_a_redraft_was_accepted(work, mask) -> None:
    wanted = mask.copy()
    wanted[2:4, 2:5, 5] = 1
    edit = work.edit_to(mask, wanted)
    assert work.record(mask, None) is None  # nothing was drafted again yet
    mask[:] = edit.applied(mask)
    work.note_redraft(mask, edit, 2)
    work.go_to(3)
    mask[3, 2, 5] = 0
    work.note_edit(mask, [3])
    found = work.record(mask, None)
    assert (found.from_slices, found.slices, found.voxels, found.voxels_accepted) == (2, 2, 6, 5)
    assert work.record(mask, [2]).share_accepted == 1


def test_a_new_draft_in_the_mask_is_not_the_readers_work(work, mask) -> None:
    work.go_to(2)
    paint(work, mask, 2)
    work.go_to(3)
    draft = np.zeros_like(mask)
    draft[2, :4] = 1
    work.note_edit(draft, None, draft=draft)
    assert not work.finished.any()
    assert not work.touched.any()


def test_what_differs_from_the_draft_at_the_start_is_the_readers(mask, clock) -> None:
    draft = mask.copy()
    mask[2, 5, 5] = 1
    work = ReaderWork(mask, draft, clock)
    work.finish([4])
    assert np.argwhere(work.touched).tolist() == [[2, 5, 5]]
    assert work.learns_from == 1
    assert ReaderWork(mask, None, clock).learns_from == 0


def test_a_kept_finding_is_the_readers_though_the_mask_is_the_same(work, mask) -> None:
    box = (slice(1, 5), slice(2, 5), slice(2, 5))
    work.note_decided(box, mask[box] == 1)
    assert work.touched.sum() == 36
    assert not work.touched[work.edit_to(mask, redrafted(mask)).voxels].any()


def test_a_copy_of_a_mask_is_the_mask_and_stays_when_that_is_edited(mask) -> None:
    mask[2, 7, 7] = 2
    before = mask.copy()
    copy = copy_of(mask)
    mask[:] = 1
    np.testing.assert_array_equal(copy, before)
    assert copy.dtype == before.dtype


def test_what_is_learned_from_counts_the_slices_touched_whatever_touched_them(work, mask) -> None:
    def is_counted() -> bool:
        return work.learns_from == int(work.touched.any(axis=(1, 2)).sum())

    work.go_to(5)
    for z in (0, 3, 5):
        paint(work, mask, z)
        assert is_counted()
    mask[4:6, 6:8, 6:8] = 1
    work.note_edit(mask, None)
    assert is_counted()
    decided = np.ones((2, 3, 3), bool)
    work.note_decided((slice(1, 3), slice(2, 5), slice(2, 5)), decided)
    assert is_counted()
    assert work.learns_from == 6
    redraft = np.zeros_like(mask)
    work.note_edit(redraft, None, draft=redraft)
    assert is_counted()
    assert work.learns_from < 6
