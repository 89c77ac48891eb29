"""Opening a case for correction: read it, lock it, show it, and put the brush in hand."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer, Signal
from qtpy.QtWidgets import QWidget

from ...core.volume import Exam, LabelMap
from ...dataset import Dataset
from ..canvas.layers import (
    edit_labels,
    remove_hidden,
    show_exam,
    show_labels,
    tumor_layer,
    volume_of,
)
from ..canvas.view import go_to_tumor, ready_brush
from ..parts import fields as _fields
from ..parts.fields import draw_now
from ..parts.jobs import JobRunner, as_job, show_info
from ..state.case_rules import has_recovered_work, starting_mask, would_be_lost
from ..state.casework import HeldCase, LoadedCase, has_case, hold_case, hold_exam
from ..state.session import Draft, Session
from ..state.sources import Source, exam_of, note_of, sources
from .autosave import Autosave

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.viewer import Viewer

__all__ = ["CaseOpening"]


class CaseOpening(QObject):
    """Leads from the current exam, or a case of the dataset, to a case held for correction.

    Parameters
    ----------
    viewer : napari.Viewer
    session : Session
    runner : JobRunner
        The Correct step's.
    autosave : Autosave
    parent : QWidget
        The Correct step, over which questions are asked.
    """

    closed = Signal()
    """The current case was saved, given back and taken off the canvas."""

    held = Signal()
    """A case is held, its mask shown and the brush in hand."""

    def __init__(
        self,
        viewer: Viewer,
        session: Session,
        runner: JobRunner,
        autosave: Autosave,
        parent: QWidget,
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._session = session
        self._runner = runner
        self._autosave = autosave
        self._parent = parent
        self._lock = ExitStack()
        self._has_brush = False  # taken before the dataset holds the case
        runner.ended.connect(self._on_ended)

    def start(self, dataset: Dataset, source: Source, *, patient_id: str, reader: str) -> None:
        """Enter the current exam into the dataset unless it is there, and hold it.

        Of a new case the phases are written, which takes long: the brush is in hand meanwhile, and
        what is painted is kept on this computer until the dataset holds the case.
        """
        exam = exam_of(self._viewer, source, self._session.roles)
        draft = self._session.draft
        title = "Writing the exam into the dataset"
        if is_new := not has_case(dataset, source.case_id):
            self._session.prepare_case(exam.grid.shape)
            self._show_early_mask(exam, source, draft)
        self._has_brush = is_new
        self._runner.start(
            title,
            lambda: as_job(
                title,
                lambda: hold_exam(
                    dataset, exam, patient_id=patient_id, annotator=reader, draft=draft
                ),
            ),
            on_result=lambda held: self._hold(held, source),
        )

    def _show_early_mask(self, exam: Exam, source: Source, draft: Draft | None) -> None:
        is_seen = draft is not None and not self._session.drafts.is_hidden
        if tumor_layer(self._viewer, source.case_id) is None:
            empty = LabelMap(np.zeros(exam.grid.shape, np.uint8), exam.grid)
            show_labels(
                self._viewer, source, draft.label_map if draft is not None and is_seen else empty
            )
        self.ready_brush()

    def open(
        self, dataset: Dataset, case_id: str, *, reader: str, loaded: LoadedCase | None = None
    ) -> None:
        """Open a case of the dataset, at once where it was read ahead, and hold it."""
        self.leave(lambda: self._read(dataset, case_id, reader, loaded))

    def leave(self, then: Callable[[], object]) -> None:
        """Call `then` once the current exam may be closed: saved, or given up by the reader."""
        if self._session.record is not None or not self._autosave.is_refused:
            self._autosave.save(then)
            return
        layer = tumor_layer(self._viewer, self._session.case_id)
        labels = None if layer is None else volume_of(layer)
        if not would_be_lost(labels, self._session.draft) or _fields.ask(
            self._parent,
            "Mask not saved",
            f"The mask of {self._session.case_id} could be saved nowhere and would be lost.",
            "Close without saving",
            "Stay",
        ):
            then()

    def close(self) -> None:
        """Save the current case, give it back and take it off the canvas."""
        if self._session.source is not None:
            self.leave(self._close)

    def _close(self) -> None:
        case_id = self._session.case_id
        self._autosave.close_case()
        for layer in list(self._viewer.layers):  # the phases first: no mask stays without its exam
            if case_id is not None and note_of(layer).get("case_id") == case_id:
                self._viewer.layers.remove(layer.name)
        self.closed.emit()

    def ready_brush(self) -> None:
        """Put the brush in hand for the mask of the current case."""
        layer, source = tumor_layer(self._viewer, self._session.case_id), self._session.source
        if layer is None and source is not None and self._session.record is not None:
            # It was removed from the layer list: it was saved before it went.
            labels = self._autosave.last_labels
            labels = self._session.saved if labels is None else labels
            if labels is not None:
                grid = self._session.record.grid.grid
                layer = show_labels(self._viewer, source, LabelMap(labels, grid))
                QTimer.singleShot(0, self.held.emit)  # all follow the new layer
        if layer is not None:
            ready_brush(self._viewer, layer)
            self._autosave.watch(layer)

    def _read(self, dataset: Dataset, case_id: str, reader: str, loaded: LoadedCase | None) -> None:
        own = self._session.record
        if own is not None and own.case_id == case_id:
            self._autosave.close_case()  # its lock is needed to open it again
        title = f"Opening {case_id}"
        self._runner.start(
            title,
            lambda: as_job(
                title, lambda: hold_case(dataset, case_id, annotator=reader, loaded=loaded)
            ),
            on_result=self._show,
        )

    def _show(self, held: HeldCase) -> None:
        """Show the exam first; its mask is prepared meanwhile, and shown after it."""
        self._autosave.close_case()  # with what was painted while this one was read
        source = self._session.source
        leaving = None if source is None or source.is_foreign else source.case_id
        case_id, loaded = held.record.case_id, held.loaded
        assert loaded is not None  # it was read from disk
        with ExitStack() as lock:  # released should anything below fail
            lock.push(held.lock)
            show_exam(
                self._viewer,
                held.exam,
                instead_of=leaving,
                limits=loaded.limits,
                mark=loaded.fingerprint,
                keeps_masks=True,
                draw=lambda: draw_now(self._parent),
            )
            source = next(s for s in sources(self._viewer) if s.case_id == case_id)
            self._session.source = source
            self._lock = lock.pop_all()
        self._runner.start(
            f"Opening {case_id}",
            lambda: as_job("Preparing the mask", lambda: self._starting_mask(held)),
            on_result=lambda labels: self._show_mask(held, source, labels),
        )

    def _on_ended(self, outcome: str) -> None:
        if outcome != "done":
            self._lock.close()  # the case was being opened, and will not be
            if self._has_brush:
                self._session.leave_case()
            self._has_brush = False

    def _show_mask(self, held: HeldCase, source: Source, labels: LabelMap) -> None:
        remove_hidden(self._viewer)
        if source.is_same_exam(self._session.source):
            show_labels(self._viewer, source, labels)
        self._hold(held, source)

    def _hold(self, held: HeldCase, source: Source) -> None:
        session = self._session
        if not source.is_same_exam(session.source):  # another one was opened meanwhile
            held.lock.close()
            return
        if held.workspace.is_second_read and held.draft is None:
            session.drafts.forget()
        start = self._starting_mask(held)
        is_newer = self._autosave.has_own_work and held.loaded is None
        layer = self._mask_layer(held, source, start)
        session.enter_case(held.record, held.lock.pop_all(), start.data, held.workspace)
        if held.draft is not None:
            session.drafts.keep(held.draft)
        if held.is_changed_outside:
            show_info(
                f"Another program changed the mask of {held.record.case_id} since it was accepted. "
                "Review its slices and accept it; until then nothing is learned from it."
            )
        elif (kept := held.record.kept_mask) is not None:
            every, reviewed = range(len(start.data)), kept.reviewed_slices
            session.mark_reviewed(every if reviewed is None else reviewed)
        self._autosave.note_saved(self._recover(held, layer, start, is_newer=is_newer))
        self._autosave.save()  # what was painted before the dataset held the case
        if session.is_second_read:
            show_info(f"Second read of {held.record.case_id}: the first read stays hidden.")
        if not self._has_brush:  # else the reader is painting, and stays there
            self.ready_brush()
            go_to_tumor(self._viewer, source, volume_of(layer))
        self._has_brush = False
        self.held.emit()

    def _mask_layer(self, held: HeldCase, source: Source, start: LabelMap) -> Labels:
        layer = tumor_layer(self._viewer, source.case_id)
        if layer is not None and held.workspace.is_second_read:
            # Neither a mask seen before nor what undo would bring back is this reader's own.
            self._viewer.layers.remove(layer.name)
            layer = None
        return show_labels(self._viewer, source, start) if layer is None else layer

    def _recover(
        self, held: HeldCase, layer: Labels, start: LabelMap, *, is_newer: bool
    ) -> NDArray[Any]:
        """Offer recovered work; gives the labels that are on disk."""
        recovered = held.recovered
        if recovered is None:
            return start.data
        # What was painted before the dataset held the case is newer than what it kept.
        if not is_newer and has_recovered_work(held, volume_of(layer)):
            case_id, left_by = held.record.case_id, held.record.left_by
            if held.is_own_work:
                edit_labels(layer, recovered.data)
                show_info(
                    f"Your unfinished work on {case_id} goes on. "
                    "Ctrl+Z goes back to the mask without it."
                )
                return recovered.data
            # Until it is answered nothing is written over that work, were the window closed now.
            self._autosave.note_saved(volume_of(layer))
            if not _fields.ask(
                self._parent,
                "Recovered work found" if left_by is None else f"Unfinished work of {left_by}",
                f"Case {case_id} has autosaved changes that were never accepted.\n"
                "Continue with them? (Ctrl+Z goes back to the mask as it is now.)",
                "Continue with them",
                "Leave them",
            ):
                return start.data  # what was declined stays on disk until there is new work
            edit_labels(layer, recovered.data)
            return start.data  # it is written again: from now on it is this reader's
        return recovered.data

    def _starting_mask(self, held: HeldCase) -> LabelMap:
        return starting_mask(held, is_draft_hidden=self._session.drafts.is_hidden)
