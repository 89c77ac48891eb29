"""What the reader has done to the mask of the current case, and what the rest was drafted to.

Tells which slices the reader finished, which voxels are the reader's own, and what a redraft may
change. Arrays in, edits out; no Qt, no napari, no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ...core.region import Region
from ...core.volume import TUMOR
from ...dataset import RedraftRecord
from ...imaging.correction import Edit
from .redraft_steps import RedraftPlanes, RedraftSteps, slices_of_edit

__all__ = ["LOOKED_AT_S", "ReaderWork", "copy_of"]

LOOKED_AT_S = 2.0
"""A slice that the reader looked at for so long and left as it was is not changed behind the
reader's back; one that was only scrolled past is, and one looked at before the first slice was
corrected, when the exam was being got to know."""

T = TypeVar("T", bound=np.generic)


def copy_of(mask: NDArray[T]) -> NDArray[T]:
    """A copy of a mask (Z, Y, X), whose empty slices are not written.

    A fresh array of zeros costs nothing until it is written; a whole mask that is copied as it is
    holds the window for a tenth of a second.
    """
    copy = np.zeros(mask.shape, mask.dtype)
    for own, plane in zip(copy, mask, strict=True):
        if plane.any():
            own[:] = plane
    return copy


class ReaderWork:
    """Follows one mask while it is corrected.

    Parameters
    ----------
    labels : ndarray, shape (Z, Y, X)
        The mask as correcting begins; it is copied.
    draft : ndarray, shape (Z, Y, X), optional
        What it was drafted as: voxels that differ were changed in an earlier sitting. Without a
        draft all that is marked is the reader's.
    clock : callable
        Seconds that only rise.
    """

    def __init__(
        self,
        labels: NDArray[np.uint8],
        draft: NDArray[np.uint8] | None,
        clock: Callable[[], float],
    ) -> None:
        self._clock = clock
        self._labels = copy_of(labels.astype(np.uint8, copy=False))
        self.touched: NDArray[np.bool_] = np.zeros(labels.shape, bool)
        """Voxels that the reader painted, erased, kept or dropped."""

        self._taken_back: NDArray[np.bool_] = np.zeros(labels.shape, bool)
        """Touched by nothing but taking a redraft back, which says nothing of having seen them."""

        self._has_draft = draft is not None
        self._is_touched = [False] * len(labels)
        if draft is not None and draft.shape == labels.shape:
            for z, (plane, drafted) in enumerate(zip(labels, draft, strict=True)):
                if not np.array_equal(plane, drafted):
                    np.not_equal(plane, drafted, out=self.touched[z])
                    self._is_touched[z] = True
        self._own = [self._has_own_tumor(z) for z in range(len(labels))]
        self.finished: NDArray[np.bool_] = np.zeros(len(labels), bool)
        """Slices that the reader corrected and left: all of such a slice is right."""

        self._unfinished: set[int] = set()
        self._looked_at: set[int] = set()
        self._at: int | None = None
        self._since = clock()
        self._redrafts = RedraftPlanes()
        self._learned_from = 0
        self._steps = RedraftSteps()
        self.to_look_at: frozenset[int] = frozenset()
        """Slices that a redraft changed and the reader has not seen since."""

    @property
    def learns_from(self) -> int:
        """Slices that were finished; before the first, those with voxels the reader decided on."""
        finished = int(np.count_nonzero(self.finished))
        return finished or sum(self._is_touched)

    @property
    def own_slices(self) -> frozenset[int]:
        """Slices along z with tumor that the reader marked, by whichever tool: they are reviewed.

        What a model marked, in a draft or a redraft, does not count.
        """
        return frozenset(z for z, has_own in enumerate(self._own) if has_own)

    def _has_own_tumor(self, z: int) -> bool:
        if self._has_draft and not self._is_touched[z]:
            return False
        is_tumor = self._labels[z] == TUMOR
        is_own = self.touched[z] & ~self._taken_back[z]
        return bool((is_tumor & is_own if self._has_draft else is_tumor).any())

    @property
    def is_redraft_last(self) -> bool:
        """Whether the last change of the mask was a redraft: it may be replaced by a better one."""
        return self._steps.last is not None

    @property
    def is_redraft_undone(self) -> bool:
        """Whether the newest redraft was taken back by undo."""
        return self._steps.is_undone

    def note_edit(
        self,
        labels: NDArray[np.uint8],
        slices: Iterable[int] | None,
        *,
        draft: NDArray[np.uint8] | None = None,
    ) -> bool:
        """Note what the reader changed; whether anything was.

        Parameters
        ----------
        labels : ndarray, shape (Z, Y, X)
            The mask as it is now.
        slices : iterable of int, optional
            Where it was edited; anywhere when not given, as by undo, which finishes no slice.
        draft : ndarray, shape (Z, Y, X), optional
            A new draft that was put into the mask just now; what became equal to it is nobody's
            work.
        """
        is_changed = False
        for z in range(len(labels)) if slices is None else slices:
            if np.array_equal(labels[z], self._labels[z]):
                continue
            is_changed, differs = True, labels[z] != self._labels[z]
            self._labels[z] = labels[z]
            self._taken_back[z][differs] = False
            if draft is None:
                self.touched[z] |= differs
            else:
                self.touched[z][differs] = (labels[z] != draft[z])[differs]
                self.finished[z] = False
            self._follow(z)
            if z == self._at and slices is not None and draft is None:
                self._unfinished.add(z)
                self._looked_at.discard(z)
        if is_changed:
            self._steps.note_change()
            if slices is None and draft is None:
                self._follow_redrafts()
        return is_changed

    def _follow_redrafts(self) -> None:
        """Tell what an undo gave back, or a redo took, of redrafts from what is the reader's."""
        taken, given = self._steps.follow(self._labels)
        for edit, is_back in [(edit, True) for edit in taken] + [(edit, False) for edit in given]:
            self._taken_back[edit.voxels] = is_back  # nobody has seen it for that
            self.touched[edit.voxels] &= is_back
            slices = slices_of_edit(edit)
            for z in slices:
                self._follow(z)
            if not is_back:
                self.to_look_at |= slices - {self._at}
        if taken:
            self.to_look_at &= self._steps.slices()

    def note_decided(self, box: Region, inside: NDArray[np.bool_]) -> None:
        """Note that the reader decided about a finding, though it stays as it is in the mask."""
        self.touched[box][inside] = True
        self._taken_back[box][inside] = False
        for z in range(*box[0].indices(len(self._own))):
            self._follow(z)

    def _follow(self, z: int) -> None:
        """Note what a slice holds now: to look through all of them holds the window."""
        self._is_touched[z] = bool(self.touched[z].any())
        self._own[z] = self._has_own_tumor(z)

    def go_to(self, index: int | None) -> bool:
        """Note the slice along z that is shown now; whether the one left was corrected.

        Parameters
        ----------
        index : int, optional
            None where the reader looks along another axis: what is painted then belongs to the
            reader, but no slice along z is finished by it.
        """
        left, now = self._at, self._clock()
        if left == index:
            return False
        stayed_s, self._at, self._since = now - self._since, index, now
        if index is not None:
            self.to_look_at -= {index}
        if left is None:
            return False
        if left in self._unfinished:
            self._unfinished.discard(left)
            self.finished[left] = True
            return True
        if stayed_s >= LOOKED_AT_S and self.finished.any():
            self._looked_at.add(left)
        return False

    def finish(self, slices: Iterable[int] | None) -> None:
        """Note that slices along z, or all of them, were accepted as they are."""
        self.finished[slice(None) if slices is None else list(slices)] = True

    def forget_last(self) -> None:
        """Note another undo step: the last redraft is not the last step any longer."""
        self._steps.note_step()

    # What was drafted again

    def edit_to(self, labels: NDArray[np.uint8], redrafted: NDArray[np.uint8]) -> Edit:
        """What a redraft may change of the mask.

        Nothing that the reader touched; nothing in slices that were finished, looked at, or are
        being painted.

        Parameters
        ----------
        labels, redrafted : ndarray, shape (Z, Y, X)
            The mask as it is now, and as it is drafted again.
        """
        edits = []
        for z in range(len(labels)):
            if self.finished[z] or z in self._unfinished or z in self._looked_at:
                continue
            plane, wanted = labels[z], redrafted[z]
            if np.array_equal(plane, wanted):
                continue
            changes = plane != wanted
            if self._is_touched[z]:
                changes &= ~self.touched[z]
            y, x = np.nonzero(changes)
            where = np.full(len(y), z, np.intp), y, x
            edits.append(Edit(where, plane[y, x], wanted[y, x].astype(np.uint8)))
        return Edit.joined(edits)

    def note_redraft(self, labels: NDArray[np.uint8], edit: Edit, learned_from: int) -> None:
        """Note an edit of `edit_to` that was made: `labels` (Z, Y, X) is the mask after it."""
        if not edit.count:
            return
        self._redrafts.put(self._labels, edit)
        self._learned_from = learned_from
        self._steps.add(edit)
        slices = slices_of_edit(edit)
        for z in slices:
            self._labels[z] = labels[z]
        self.to_look_at |= slices - {self._at}
        if self._at in slices:
            self._since = self._clock()

    def take_redraft_back(self, labels: NDArray[np.uint8]) -> None:
        """Note that the last redraft was undone, to make room for a better one."""
        last = self._steps.last
        assert last is not None  # asked by `is_redraft_last`
        self._redrafts.take_back(last)
        for z in slices_of_edit(last):
            self._labels[z] = labels[z]
        self._steps.drop_last()

    def record(
        self, labels: NDArray[np.uint8], reviewed: Iterable[int] | None
    ) -> RedraftRecord | None:
        """What became of redrafts in a mask that is accepted, as `RedraftPlanes.record`."""
        return self._redrafts.record(labels, reviewed, self._learned_from)

    @staticmethod
    def tumor_voxels(labels: NDArray[np.uint8]) -> int:
        """Voxels of a mask (Z, Y, X) that are tumor."""
        return sum(int(np.count_nonzero(plane == TUMOR)) for plane in labels)
