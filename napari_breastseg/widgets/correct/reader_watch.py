"""Follows the reader through one mask: strokes, slices left, findings decided; puts redrafts in.

A redraft is an edit of the mask that is not the reader's: it counts as no stroke, and what it
changed is to be reviewed again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer, Signal

from ...core.volume import TUMOR, Grid
from ..canvas.layers import apply_edit, grid_of, tumor_layer, volume_of
from ..canvas.view import current_slice
from ..state.edits import EditWatch
from ..state.exam_learning import Told
from ..state.findings import Decision
from ..state.reader_work import ReaderWork
from ..state.session import Draft, Session

if TYPE_CHECKING:
    from napari.viewer import Viewer

__all__ = ["ReaderWatch"]

_EDITS_GATHERED_MS = 60


class ReaderWatch(QObject):
    """Knows what the reader did to the mask of the case that is held.

    Parameters
    ----------
    viewer : napari.Viewer
    session : Session
    parent : QObject
    """

    corrected = Signal()
    """A slice that was corrected has been left, or a finding was kept or dropped."""

    redraft_undone = Signal(bool)
    """The newest redraft was taken back by undo (True), or put back by redo (False)."""

    begun = Signal()
    """The mask was edited for the first time."""

    def __init__(self, viewer: Viewer, session: Session, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._session = session
        self._watch: EditWatch | None = None
        self._decided: frozenset[tuple[object, Decision]] = frozenset()
        self._is_draft_new = self._is_own_edit = self._has_begun = False
        self.work: ReaderWork | None = None
        """None while no case is held."""

        self.draft: Draft | None = None
        """The draft that the reader sees."""

        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(_EDITS_GATHERED_MS)
        self._soon.timeout.connect(self.follow)
        viewer.dims.events.current_step.connect(self._on_step)
        viewer.dims.events.order.connect(self._on_step)
        viewer.dims.events.ndisplay.connect(self._on_step)
        session.drafts.changed.connect(self._on_draft)
        session.choices.changed.connect(self._on_choices)

    @property
    def to_look_at(self) -> frozenset[int]:
        """Slices along z that a redraft changed and the reader has not seen since."""
        return frozenset() if self.work is None else self.work.to_look_at

    @property
    def labels(self) -> NDArray[np.uint8]:
        """The mask (Z, Y, X) as it is; a view."""
        assert self._watch is not None  # asked only while there is work
        return volume_of(self._watch.layer)

    @property
    def grid(self) -> Grid:
        """The mask's."""
        assert self._watch is not None
        return grid_of(self._watch.layer)

    @property
    def is_stroke_under_way(self) -> bool:
        """Whether the reader is drawing: an edit now would become a part of the stroke."""
        return self._watch is not None and self._watch.is_stroke_under_way

    def begin(self) -> None:
        """Follow the mask of the case that is held now."""
        self.stop()
        session, record = self._session, self._session.record
        layer = tumor_layer(self._viewer, session.case_id)
        if record is None or layer is None:
            return
        self.draft = self._draft_seen()
        kept = record.kept_mask
        self.work = ReaderWork(
            volume_of(layer),
            None if self.draft is None else self.draft.label_map.data,
            session.clock,
        )
        if kept is not None:
            self.work.finish(kept.reviewed_slices)
        self._watch = EditWatch(self._viewer, layer, self._on_edit, self._on_undo_step)
        session.note_marked(self.work.own_slices)
        self._on_step()

    def stop(self) -> None:
        """Follow no mask any longer."""
        if self._watch is not None:
            self._watch.stop()
        self._soon.stop()
        self._watch = self.work = None
        self._has_begun = False
        self._is_draft_new = False

    def follow(self, *, is_whole: bool = False) -> None:
        """Note what was edited since the last time, and also what may still be drawn if asked."""
        self._soon.stop()
        work, watch = self.work, self._watch
        if work is None or watch is None or (watch.is_stroke_under_way and not is_whole):
            return
        slices = watch.pop_edited()
        if slices == ():
            return
        draft = self.draft if self._is_draft_new else None
        was_undone = work.is_redraft_undone
        work.note_edit(self.labels, slices, draft=None if draft is None else draft.label_map.data)
        self._session.note_marked(work.own_slices)
        if work.is_redraft_undone != was_undone:
            self.redraft_undone.emit(not was_undone)

    def put(self, redrafted: NDArray[np.uint8], learned_from: int) -> Told | None:
        """Put a redraft (Z, Y, X) into the mask as one undo step, in place of one just before it.

        Returns what it did; None while no case is held.
        """
        self.follow()
        work, watch = self.work, self._watch
        if work is None or watch is None:
            return None
        self._is_own_edit = True
        try:
            if work.is_redraft_last:
                watch.layer.undo()
                work.take_redraft_back(self.labels)
            edit = work.edit_to(self.labels, redrafted)
            before = work.tumor_voxels(self.labels)
            apply_edit(watch.layer, edit)
            work.note_redraft(self.labels, edit, learned_from)
        finally:
            watch.pop_edited()
            self._is_own_edit = False
        if edit.count:
            self._session.uncount_stroke()
            self._session.unmark_reviewed(edit.voxels)
        gained = np.count_nonzero(edit.after == TUMOR) - np.count_nonzero(edit.before == TUMOR)
        return Told(len(np.unique(edit.voxels[0])), learned_from, before, before + int(gained))

    def _draft_seen(self) -> Draft | None:
        return None if self._session.drafts.is_hidden else self._session.draft

    def _on_draft(self) -> None:
        draft = self._draft_seen()
        if draft is not self.draft:
            self.follow()
            self.draft, self._is_draft_new = draft, draft is not None
            QTimer.singleShot(0, self._end_new_draft)  # by then it is in the mask, or will not be

    def _end_new_draft(self) -> None:
        self.follow()
        self._is_draft_new = False

    def _on_undo_step(self) -> None:
        if self.work is not None and not self._is_own_edit:
            self.work.forget_last()

    def _on_edit(self, is_under_way: bool) -> None:
        if self._is_own_edit:
            return
        if not is_under_way:
            self._soon.start()
        if not self._has_begun:
            self._has_begun = True
            self.begun.emit()

    def _on_step(self, event: object = None) -> None:
        if self.work is None:
            return
        self.follow()
        seen = current_slice(self._viewer, self._session.source)
        if self.work.go_to(seen[1] if seen is not None and seen[0] == 0 else None):
            self.corrected.emit()

    def _on_choices(self) -> None:
        """Learn from a finding that was kept or dropped."""
        findings, choices = self._session.choices.findings, self._session.choices
        decided = frozenset(
            (key, decision)
            for key, decision in choices.decided.items()
            if decision is not Decision.NONE
        )
        is_new, self._decided = bool(decided - self._decided), decided
        if self.work is None or findings is None or not is_new:
            return
        for one in findings.findings:
            if (one.number, Decision.KEPT) in decided:
                self.work.note_decided(one.box, findings.labels[one.box] == one.number)
        self._session.note_marked(self.work.own_slices)
        # The decision is told before its edit is made.
        QTimer.singleShot(0, self.corrected.emit)
