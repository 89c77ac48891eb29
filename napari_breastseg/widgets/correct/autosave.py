"""Autosave: soon after each edit, in a thread; at once when the window closes.

Into the dataset that holds the case; before one does, or while it refuses, on this computer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer, Signal

from ...dataset import CaseRecord
from ..canvas.layers import tumor_layer, volume_of
from ..parts.jobs import JobRunner, as_job, errors_shown
from ..state.edits import EditWatch, SliceStates
from ..state.recovery import PendingSave, RecoveryCopy
from ..state.session import Session
from ..state.sources import note_of
from ..state.writing import MaskWriter
from .mask_places import Places

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.viewer import Viewer

__all__ = ["SAVED_WITHIN_S", "SAVE_AFTER_S", "Autosave"]

SAVED_WITHIN_S = 5
"""What is promised: after this long an edit is on disk."""

SAVE_AFTER_S = 1.5
"""How soon after an edit it is written; the rest of the promise is for the writing."""

RETRY_S = 20.0
"""How soon it is tried again where the disk refused, so that nobody is told every second."""

PATIENCE_S = 1.0
"""How long it waits for a stroke to end: only then is it known which slices were touched."""

_SOON_MS = 200

PASSING = ("difference", "box", "preview", "crosshair", "first look")
"""Roles of layers that come and go while a mask is corrected."""


class Autosave(QObject):
    """Follows the mask being corrected and writes it to the dataset's autosave when it changed.

    Parameters
    ----------
    viewer : napari.Viewer
    session : Session
    writer : MaskWriter
        Shared with whatever else writes masks.
    parent : QObject
    """

    saved = Signal()
    """Everything is on disk, or was already."""

    refused = Signal()
    """The disk refused; it is tried again."""

    edited = Signal()
    """The mask that is watched was edited."""

    def __init__(
        self, viewer: Viewer, session: Session, writer: MaskWriter, parent: QObject
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._session = session
        self._writer = writer
        self.runner = JobRunner(self)
        self.slices = SliceStates()
        """Of the mask that is watched, as of the last `follow_edits`."""

        self._copy = RecoveryCopy()
        self._places = Places(viewer, session)
        self.has_own_work = False
        """Whether the current mask was edited while no dataset held it."""

        self._watch: EditWatch | None = None
        self._waiting: list[Callable[[], object]] = []
        self._is_held = False
        self.is_refused = False
        """Whether the disk refused the last autosave."""

        self._pause_s = SAVE_AFTER_S
        self._waited_ms = 0
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._on_time)
        self.runner.ended.connect(self._on_ended)
        session.record_changed.connect(self._on_record)
        session.source_changed.connect(self._follow_unheld)
        viewer.layers.events.inserted.connect(self._on_inserted)
        viewer.layers.events.removing.connect(self._on_removing)

    @property
    def is_writing(self) -> bool:
        """Whether an autosave or an accepted mask is being written."""
        return self.runner.is_running or self._is_held

    @property
    def is_behind(self) -> bool:
        """Whether there are edits that are not on disk yet, as of the last `follow_edits`."""
        return self._copy.is_behind

    @property
    def last_labels(self) -> NDArray[Any] | None:
        """The current case's mask (Z, Y, X) as it was when it was last looked at; None before."""
        return self._copy.labels

    def watch(self, layer: Labels) -> None:
        """Autosave what is done to this mask from now on."""
        if self._watch is not None and self._watch.layer == layer:
            return
        self._stop_watching()
        self._copy.note_edited(None)
        self._watch = EditWatch(self._viewer, layer, self._on_edit, self._session.count_stroke)

    def note_saved(self, labels: NDArray[Any]) -> None:
        """Note that these labels (Z, Y, X) of the current case are on disk."""
        self._copy.note_saved(labels)
        if self._watch is not None:
            self.slices.update(volume_of(self._watch.layer), self._session.saved)

    def follow_edits(self) -> None:
        """Bring `slices` up to date where the mask was edited since the last time."""
        if self._watch is None:
            return
        edited = self._watch.pop_edited()
        self.slices.update(volume_of(self._watch.layer), self._session.saved, edited)
        self._copy.note_edited(edited)

    def save(self, then: Callable[[], object] = lambda: None) -> None:
        """Autosave in a thread if anything is new; then go on.

        While something is being written it waits for that, and then looks again for what is new.
        `then` is not called when the mask could not be written.
        """
        if self.is_writing:
            self._waiting.append(lambda: self.save(then))
            return
        self._copy.note_edited(None)  # before a mask is left, all of it is compared
        self._save(then)

    def _save(self, then: Callable[[], object]) -> None:
        if (pending := self._update_copy()) is None:
            self.saved.emit()
            then()
            return

        def go_on(_: object) -> None:
            self.saved.emit()
            try:
                then()
            finally:
                self._call_waiting()

        self.runner.start(
            "Autosaving",
            lambda: as_job("Autosaving", lambda: self._writer.autosave(self._copy, pending)),
            on_result=go_on,
        )

    def save_now(self) -> None:
        """Autosave at once, in this thread: the mask's layer or the window is closing."""
        with errors_shown():
            # What a thread is writing must be written before its copy changes.
            with self._writer.disk:
                self._copy.note_edited(None)
                pending = self._update_copy()
            if pending is not None:
                self._writer.autosave(self._copy, pending)
                self.saved.emit()

    def close_case(self) -> None:
        """Autosave at once and release the case."""
        self.save_now()
        self._session.leave_case()

    def take_over(self) -> None:
        """Count the current mask as edited, though not in sight of this dock."""
        self.has_own_work = True

    def when_idle(self, then: Callable[[], object]) -> None:
        """Call `then` as soon as nothing is being written; nothing is saved for it."""
        if self.is_writing:
            self._waiting.append(lambda: self.when_idle(then))
        else:
            then()

    def hold(self) -> None:
        """Start no autosave until `release`: a mask is being accepted."""
        self._is_held = True

    def release(self) -> None:
        """Autosave again, and do what has waited."""
        if self._is_held:
            self._is_held = False
            self._call_waiting()

    def _update_copy(self) -> PendingSave | None:
        """What is to be written of the current case; None when nothing is new."""
        layer = tumor_layer(self._viewer, self._session.case_id)
        place = None if layer is None else self._places.of(layer, is_edited=self.has_own_work)
        if layer is None or place is None:
            if self._session.record is None:
                self._copy.forget()
            return None
        self.follow_edits()
        if self._watch is None or self._watch.layer != layer:
            self._copy.note_edited(None)
        return self._copy.update(volume_of(layer), place)

    def _stop_watching(self) -> None:
        if self._watch is not None:
            self._watch.stop()
            self._watch = None

    def _call_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for then in waiting:
            with errors_shown():
                then()

    def _on_removing(self, event: Any) -> None:
        # Closing a viewer takes its layers away before its window is closed.
        if note_of(self._viewer.layers[event.index]).get("role") not in PASSING:
            self.save_now()

    def _on_record(self, record: CaseRecord | None) -> None:
        if record is None:
            self._follow_unheld()

    def _on_inserted(self, event: Any) -> None:
        note = note_of(event.value)
        is_own = note.get("role") == "tumor" and note.get("case_id") == self._session.case_id
        if self._session.record is None and is_own:
            self._follow_unheld()
            self._on_edit(is_under_way=False)

    def _follow_unheld(self, event: object = None) -> None:
        """Keep the current exam's mask from the first stroke on, though no dataset holds it."""
        if self._session.record is not None:
            return
        self._stop_watching()
        self._copy.forget()
        self.has_own_work = self.is_refused = False
        layer = tumor_layer(self._viewer, self._session.case_id)
        if layer is not None:
            self.watch(layer)

    def _on_edit(self, is_under_way: bool) -> None:
        self.has_own_work |= self._session.record is None
        if not self._timer.isActive():
            self._timer.start(round(self._pause_s * 1000))
        if not is_under_way:
            self.edited.emit()

    def _on_time(self) -> None:
        is_drawing = self._watch is not None and self._watch.is_stroke_under_way
        if is_drawing and self._waited_ms < PATIENCE_S * 1000:
            self._waited_ms += _SOON_MS
        elif not self.is_writing:
            self._waited_ms = 0
            self._save(lambda: None)
            return
        self._timer.start(_SOON_MS)

    def _on_ended(self, outcome: str) -> None:
        self._pause_s = SAVE_AFTER_S if outcome == "done" else RETRY_S
        self.is_refused = outcome != "done"
        if outcome != "done":  # else when the result has been taken
            self.refused.emit()
            self._timer.start(round(self._pause_s * 1000))
            self._call_waiting()
