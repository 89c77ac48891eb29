"""Accept in the Correct step: which slices are reviewed, what is saved, and writing the mask."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QVBoxLayout, QWidget

from ...core.errors import InputError
from ...core.volume import LabelMap
from ...dataset import CaseRecord, RedraftRecord
from ..canvas.copies import Copies
from ..canvas.layers import edit_labels, tumor_layer, volume_of
from ..canvas.view import current_slice
from ..parts.fields import button, note, set_ready
from ..parts.job_bar import JobBar
from ..parts.jobs import JobRunner, errors_shown, show_info
from ..state.case_rules import (
    BUSY,
    REST,
    START_FIRST,
    accepted_text,
    require_own_labels,
    reviewed_labels,
    reviewed_text,
    saved_text,
    unreviewed_tumor,
    why_no_accept,
)
from ..state.casework import accept
from ..state.session import Session
from .accepting import Accepting
from .autosave import SAVED_WITHIN_S, Autosave
from .confirming import Confirmed, confirmed, settle_copy

if TYPE_CHECKING:
    from napari.viewer import Viewer

__all__ = ["AcceptBox"]


class AcceptBox(QWidget):
    """Slices reviewed, Accept, and where the mask stands.

    Parameters
    ----------
    viewer : napari.Viewer
    session : Session
    runner : JobRunner
        The Correct step's.
    autosave : Autosave
    accepting : Accepting
    required_reader : callable
        Gives the reader's initials, or raises when there are none.
    unfinished : callable
        Says what a tool has still to do to the mask; empty when nothing.
    follow : callable
        Notes what the reader marked since the last time.
    redrafts : callable
        Gives what became of redrafts in a mask of which these slices were reviewed.
    """

    cleared = Signal()
    """The mask was emptied."""

    unseen_changed = Signal()
    """Other slices with tumor are not seen yet."""

    accepted = Signal(object)
    """A mask was accepted: its newer `CaseRecord`."""

    def __init__(
        self,
        viewer: Viewer,
        session: Session,
        runner: JobRunner,
        autosave: Autosave,
        accepting: Accepting,
        *,
        required_reader: Callable[[], str],
        unfinished: Callable[[], str],
        follow: Callable[[], object],
        redrafts: Callable[[NDArray[np.uint8], Sequence[int] | None], RedraftRecord | None],
    ) -> None:
        super().__init__()
        self._viewer = viewer
        self._session = session
        self._runner = runner
        self._autosave = autosave
        self._accepting = accepting
        self._required_reader = required_reader
        self._unfinished = unfinished
        self._follow = follow
        self._redrafts = redrafts
        self._is_rest_of_clear = False
        self.copies = Copies(viewer, session, self)
        self.reviewed_line = note()
        self.rest = QCheckBox(REST)
        self.rest.setProperty(
            "help",
            "Slices that were not reviewed are left out of training, unless you confirm that you "
            "reviewed them (Shift-R)",
        )
        self.rest.toggled.connect(lambda _: self.show_reviewed())
        self.clear_button = button(
            "No tumor in this exam",
            self.mark_clear,
            "Empty the mask and count all slices as reviewed",
            "Ctrl-Shift-K",
        )
        self.accept_button = button(
            "Accept", self.accept, "Write the mask into the dataset", "Shift-Enter"
        )
        self.accept_button.setStyleSheet("QPushButton { font-weight: bold; }")
        self.saved_line = note()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(JobBar(runner))
        column.addWidget(self.saved_line)
        self._saved_at = ""
        autosave.saved.connect(self._on_saved)
        autosave.refused.connect(self.show_saved)
        session.reviewed_changed.connect(self.show_reviewed)
        session.record_changed.connect(self._on_record)
        self.show_reviewed()

    @property
    def tumor_slices(self) -> tuple[int, ...]:
        """Slices along z that hold tumor, as of the last edit that was followed."""
        return tuple(np.flatnonzero(self._autosave.slices.has_tumor).tolist())

    @property
    def unseen(self) -> tuple[int, ...]:
        """Slices along z with tumor that were not reviewed."""
        is_all = self._session.record is None or self.rest.isChecked()
        reviewed = None if is_all else self._session.reviewed
        return unreviewed_tumor(self.tumor_slices, reviewed)

    def mark_clear(self) -> None:
        """Empty the mask, as one undo step, and count the whole exam as reviewed."""
        layer = tumor_layer(self._viewer, self._session.case_id)
        if layer is not None and self._session.record is not None:
            edit_labels(layer, np.zeros(volume_of(layer).shape, layer.data.dtype))
            self.cleared.emit()  # follows the edit: the mask is known to be empty from here on
            self._is_rest_of_clear = not self.rest.isChecked()
            self.rest.setChecked(True)

    def accept(self) -> None:
        """Write the mask as it is now into the dataset."""
        with errors_shown():
            session = self._session
            if why_not := self.why_no_accept():
                raise InputError("Expected a case to accept", why_not, "Then accept")
            workspace, record, draft = session.workspace, session.record, session.draft
            layer = tumor_layer(self._viewer, session.case_id)
            assert workspace is not None  # `why_no_accept` said so
            assert record is not None
            assert layer is not None
            reader = self._required_reader()
            session.effort.touch()
            settle_copy(self, self.copies, layer.name)
            labels = volume_of(layer).copy()
            require_own_labels(labels, session.saved)
            self._follow()
            reviewed = None if self.rest.isChecked() else session.reviewed
            voxel_ml = record.grid.grid.voxel_ml
            said = confirmed(self, self._viewer, session.source, labels, reviewed, voxel_ml)
            if said is Confirmed.NOT:
                return
            if said is Confirmed.CLEAR:
                self._is_rest_of_clear = True
                self.rest.setChecked(True)
            reviewed = None if self.rest.isChecked() else session.reviewed
            before = None if record.kept_mask is None else record.kept_mask.reviewed_slices
            label_map = LabelMap(reviewed_labels(labels, before, reviewed), record.grid.grid)
            findings = () if draft is None else session.choices.records(labels)
            clicks = session.effort.clicks_in(labels)
            redraft = self._redrafts(labels, reviewed)
            self._accepting.accept(
                workspace,
                record,
                labels,
                lambda seconds, strokes: accept(
                    workspace,
                    record.case_id,
                    label_map,
                    reviewed_slices=reviewed,
                    annotator=reader,
                    seconds=seconds,
                    strokes=strokes,
                    draft=draft,
                    findings=findings,
                    clicks=clicks,
                    redraft=redraft,
                ),
                on_result=lambda accepted: self._on_accepted(accepted, labels),
            )

    def why_no_accept(self) -> str:
        """Why the mask cannot be accepted; empty when it can."""
        return why_no_accept(
            is_busy=self._runner.is_running,
            is_held=self._session.record is not None,
            has_mask=tumor_layer(self._viewer, self._session.case_id) is not None,
            unfinished=self._unfinished(),
            is_rest_reviewed=self.rest.isChecked(),
            has_reviewed=bool(self._session.reviewed),
            axis=self._axis(),
        )

    def refresh(self) -> None:
        """Bring buttons and lines up to date."""
        busy = BUSY if self._runner.is_running else ""
        not_started = "" if self._session.record is not None else START_FIRST
        set_ready(self.accept_button, self.why_no_accept())
        set_ready(self.clear_button, busy or not_started)
        set_ready(self.rest, not_started)
        self.show_saved()

    def show_reviewed(self) -> None:
        """Show how many slices are reviewed."""
        record, axis = self._session.record, self._axis()
        if self._is_rest_of_clear and self.tumor_slices:  # undone, or drawn in after all
            self._is_rest_of_clear = False
            self.rest.setChecked(False)
        self.reviewed_line.setVisible(record is not None)
        if record is None:
            self.unseen_changed.emit()
            return
        self.reviewed_line.setText(
            reviewed_text(
                record.grid.shape,
                self._session.reviewed,
                self.tumor_slices,
                axis=axis,
                along_axis=len(self._session.reviewed_along(axis)),
            )
        )
        self.unseen_changed.emit()
        set_ready(self.accept_button, self.why_no_accept())

    def show_saved(self) -> None:
        """Show what is on disk."""
        self.saved_line.setText(
            saved_text(
                has_mask=tumor_layer(self._viewer, self._session.case_id) is not None,
                record=self._session.record,
                is_changed=bool(self._autosave.slices.is_unsaved.any()),
                is_behind=self._autosave.is_behind,
                is_refused=self._autosave.is_refused,
                saved_within_s=SAVED_WITHIN_S,
                saved_at=self._saved_at,
            )
        )
        self.saved_line.setVisible(bool(self.saved_line.text()))

    def _on_saved(self) -> None:
        self._saved_at = time.strftime("%H:%M")
        self.show_saved()

    def _on_accepted(self, record: CaseRecord, labels: NDArray[np.uint8]) -> None:
        session = self._session
        if session.record is not None and session.record.case_id == record.case_id:
            session.saved = labels
            self._autosave.note_saved(labels)
            if (kept := record.kept_mask) is not None and kept.reviewed_slices is None:
                session.mark_reviewed(range(len(labels)))
            session.update_record(record)
        self.accepted.emit(record)
        show_info(accepted_text(record, labels))

    def _on_record(self, record: CaseRecord | None) -> None:
        if record is None:
            self._saved_at = ""
            self._is_rest_of_clear = False
            self.rest.setChecked(False)

    def _axis(self) -> int:
        """Array axis the reader looks along."""
        seen = current_slice(self._viewer, self._session.source)
        return 0 if seen is None else seen[0]
