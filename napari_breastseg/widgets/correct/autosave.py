"""Keeping work in progress: soon after each edit, in a thread; at once when the window closes.

One copy of the mask is kept up to date slice by slice; it is what the thread writes, so that the
reader can go on painting.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer, Signal
from qtpy.QtWidgets import QWidget

from ...core.errors import InputError
from ...core.volume import LabelMap
from ...dataset import CaseRecord, Dataset, SecondRead
from ..canvas.layers import tumor_layer, volume_of
from ..parts import fields as _fields
from ..parts.jobs import JobRunner, as_job, errors_shown
from ..state.edits import EditWatch, SliceStates
from ..state.session import Session, is_same
from ..state.sources import note_of

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.viewer import Viewer

__all__ = ["KEEP_EVERY_S", "KEPT_WITHIN_S", "Keeper"]

KEPT_WITHIN_S = 5
"""What is promised: after this long an edit is on the disk."""

KEEP_EVERY_S = 1.5
"""How soon after an edit it is written; the rest of the promise is for the writing."""

RETRY_S = 20.0
"""How soon it is tried again where the disk refused, so that nobody is told every second."""

PATIENCE_S = 1.0
"""How long a stroke that is being drawn is waited for: what it touched is known at its end."""

_SOON_MS = 200

PASSING = ("difference", "box", "preview", "scribbles", "crosshair", "mirror")
"""Roles of layers that come and go while a mask is corrected."""

_NO_LABEL = 255


@dataclass(eq=False)
class _Work:
    """A case and the recovery copy of its mask."""

    dataset: Dataset | SecondRead
    record: CaseRecord
    copy: NDArray[Any]

    @property
    def key(self) -> tuple[Path, str]:
        return self.dataset.folder, self.record.case_id


@dataclass(eq=False)
class _Cost:
    """What the reader did for a mask that is on its way to being accepted."""

    dataset: Dataset | SecondRead
    case_id: str
    seconds: float
    strokes: int


class Keeper(QObject):
    """Writes the mask being corrected to the dataset's autosave when it has changed."""

    changed = Signal()
    """Something was kept."""

    edited = Signal()
    """The mask that is watched was edited."""

    def __init__(
        self, viewer: Viewer, session: Session, parent: QWidget, accepting: JobRunner
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._session = session
        self._parent = parent
        self.runner = JobRunner(self)
        self._accepting = accepting
        self.states = SliceStates()
        """Of the mask that is watched, as of the last `look`."""

        self._kept: NDArray[Any] | None = None
        """Labels as they were last kept; left alone while a thread writes them."""

        self._is_kept_shared = True
        """Whether somebody else relies on that array; it is copied before it changes then."""

        self._unwritten: _Work | None = None
        """What is on its way to the disk, or was refused there."""

        self._since: set[int] | None = set()
        """Slices edited since; None when it could be any of them."""

        self._watch: EditWatch | None = None
        self._waiting: list[Callable[[], object]] = []
        """What goes on once the dataset is not being written to."""

        self._is_accepting = False
        self._disk = threading.Lock()
        """Held while an autosave or an accepted mask is written, by whichever thread."""

        self._accepted: tuple[tuple[Path, str], NDArray[Any]] | None = None
        self._owed: list[_Cost] = []
        """Work that is counted neither in the session nor on the disk yet."""

        self._pause_s = KEEP_EVERY_S
        self._waited_ms = 0
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._on_time)
        self.runner.ended.connect(self._on_keeping_ended)
        accepting.ended.connect(self._on_accepting_ended)
        session.record_changed.connect(self._take_record)
        viewer.layers.events.removing.connect(self._on_removing)

    @property
    def is_writing(self) -> bool:
        """Whether an autosave or an accepted mask is on its way to the disk."""
        return self.runner.is_running or self._is_accepting

    @property
    def is_behind(self) -> bool:
        """Whether there are edits that are not on the disk yet, as of the last `look`."""
        return self._since is None or bool(self._since)

    def watch(self, layer: Labels) -> None:
        """Keep what is done to this mask from now on."""
        if self._watch is not None and self._watch.layer == layer:
            return
        self._unwatch()
        self._since = None
        self._watch = EditWatch(self._viewer, layer, self._on_edit, self._session.count_stroke)

    def note_kept(self, labels: NDArray[Any]) -> None:
        """Note that these labels (Z, Y, X) of the case at work are on the disk."""
        self._kept, self._is_kept_shared = labels, True
        self._unwritten, self._since = None, None
        if self._watch is not None:
            self.states.look(volume_of(self._watch.layer), self._session.saved)

    def look(self) -> None:
        """Look at the slices edited since the last time."""
        watch = self._watch
        if watch is None:
            return
        touched = watch.take()
        self.states.look(volume_of(watch.layer), self._session.saved, touched)
        if touched is None or self._since is None:
            self._since = None
        else:
            self._since |= set(touched)

    def keep(self, then: Callable[[], object] = lambda: None) -> None:
        """Keep work in progress, in a thread, when there is any that is new; then go on.

        While something is being written it waits for that first, and then looks again what is
        new. `then` is not called when the work could not be kept.
        """
        if self.is_writing:
            self._waiting.append(lambda: self.keep(then))
            return
        self._since = None  # where work is left behind all of it is compared
        self._keep(then)

    def _keep(self, then: Callable[[], object]) -> None:
        if (work := self._work()) is None:
            self.changed.emit()
            then()
            return

        def take(_: object) -> None:
            self.changed.emit()
            try:
                then()
            finally:
                self._go_on()

        self.runner.start(
            "Keeping your work",
            lambda: as_job("Keeping your work", lambda: self._write(work)),
            on_result=take,
        )

    def keep_now(self) -> None:
        """Keep work in progress at once: its layer or the window is closing."""
        with errors_shown():
            # What a thread is writing must be written before its copy changes.
            with self._disk:
                self._since = None
                work = self._work()
            if work is not None:
                self._write(work)
                self.changed.emit()

    def close_case(self) -> None:
        """Keep work in progress at once and give the case back."""
        self.keep_now()
        self._session.leave_case()

    def once_free(self, then: Callable[[], object]) -> None:
        """Call `then` as soon as nothing is being written; nothing is kept for it."""
        if self.is_writing:
            self._waiting.append(lambda: self.once_free(then))
        else:
            then()

    def accept(
        self,
        dataset: Dataset | SecondRead,
        record: CaseRecord,
        labels: NDArray[Any],
        write: Callable[[float, int], CaseRecord],
        on_result: Callable[[CaseRecord], object],
    ) -> None:
        """Accept a mask once no autosave is running; until it has ended none begins.

        What the session has counted goes with the mask, and is counted again should it not be
        accepted: whoever leaves the case or closes the window meanwhile counts nothing twice.

        Parameters
        ----------
        dataset, record, labels
            What is accepted; an autosave of the same labels is not written after it.
        write : callable
            Accepts a mask of so many seconds and strokes, in the worker's thread.
        on_result : callable
            Takes the newer record, in the window's thread.
        """
        session = self._session
        cost = _Cost(dataset, record.case_id, session.effort.seconds, session.effort.strokes)
        session.effort.deduct(cost.seconds, cost.strokes)
        self._owed.append(cost)  # without `_disk`: an autosave may hold it for long

        def work() -> CaseRecord:
            with self._disk:
                is_owed = cost in self._owed
                accepted = write(*((cost.seconds, cost.strokes) if is_owed else (0.0, 0)))
                if is_owed:
                    self._owed.remove(cost)
                self._accepted = ((dataset.folder, record.case_id), labels)
                return accepted

        def take(accepted: CaseRecord) -> None:
            try:
                on_result(accepted)
            finally:
                self._end_accepting()

        def start() -> None:
            title = f"Accepting {record.case_id}"
            self._is_accepting = self._accepting.start(
                title, lambda: as_job(title, work), on_result=take
            )
            if not self._is_accepting:
                self.count_again()

        self.once_free(start)

    def count_again(self) -> None:
        """Count the work for masks that were not accepted as work on their cases."""
        with self._disk:
            owed, self._owed = self._owed, []
        record = self._session.record
        for cost in owed:
            if record is not None and record.case_id == cost.case_id:
                self._session.effort.add(cost.seconds, cost.strokes)
            else:
                with suppress(InputError):  # as when a case is left
                    cost.dataset.note_work(cost.case_id, seconds=cost.seconds, strokes=cost.strokes)

    def leave(self, then: Callable[[], object]) -> None:
        """Call `then` once the exam at work may be closed: kept, or wanted by nobody."""
        layer = tumor_layer(self._viewer, self._session.case_id)
        if self._session.record is not None:
            self.keep(then)
            return
        labels = None if layer is None else volume_of(layer)
        draft = self._session.draft
        is_draft = draft is not None and is_same(draft.label_map.data, labels)
        is_wanted = labels is not None and labels.any() and not is_draft
        if not is_wanted or _fields.ask(
            self._parent,
            "Mask not saved",
            f"The mask of {self._session.case_id} is in no dataset and would be lost.",
            "Close it anyway",
            "Stay",
        ):
            then()

    def _on_removing(self, event: Any) -> None:
        # Closing a viewer takes its layers away before its window is closed.
        if note_of(self._viewer.layers[event.index]).get("role") not in PASSING:
            self.keep_now()

    def _take_record(self, record: CaseRecord | None) -> None:
        if record is None:
            self._unwatch()
            self._kept = self._unwritten = None

    def _unwatch(self) -> None:
        if self._watch is not None:
            self._watch.stop()
            self._watch = None

    def _on_edit(self, is_under_way: bool) -> None:
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
            self._keep(lambda: None)
            return
        self._timer.start(_SOON_MS)

    def _on_keeping_ended(self, outcome: str) -> None:
        self._pause_s = KEEP_EVERY_S if outcome == "done" else RETRY_S
        if outcome != "done":  # else when the result has been taken
            self._timer.start(round(self._pause_s * 1000))
            self._go_on()

    def _on_accepting_ended(self, outcome: str) -> None:
        if outcome != "done" and self._is_accepting:
            self.count_again()
            self._end_accepting()

    def _end_accepting(self) -> None:
        if self._is_accepting:
            self._is_accepting, self._accepted = False, None
            self._go_on()

    def _go_on(self) -> None:
        waiting, self._waiting = self._waiting, []
        for then in waiting:
            with errors_shown():
                then()

    def _write(self, work: _Work) -> None:
        """Autosave the copy, unless that was done or the same was accepted meanwhile."""
        with self._disk:
            if self._unwritten is not work:
                return
            key, accepted = self._accepted or (None, None)
            if key != work.key or not is_same(accepted, work.copy):
                labels = LabelMap(work.copy, work.record.grid.grid)
                work.dataset.autosave(work.record.case_id, labels)
            self._unwritten = None

    def _work(self) -> _Work | None:
        """What to write, its copy brought up to date; None when nothing of it is new."""
        dataset, record = self._session.workspace, self._session.record
        layer = tumor_layer(self._viewer, self._session.case_id)
        if dataset is None or record is None or layer is None:
            return None
        self.look()
        labels = volume_of(layer)
        is_watched = self._watch is not None and self._watch.layer == layer
        slices = (
            sorted(self._since) if self._since is not None and is_watched else range(len(labels))
        )
        if self._kept is None or self._kept.shape != labels.shape:
            self._kept, self._is_kept_shared = np.full(labels.shape, _NO_LABEL, labels.dtype), False
        is_new = False
        for z in slices:
            if not np.array_equal(self._kept[z], labels[z]):
                if self._is_kept_shared:
                    self._kept, self._is_kept_shared = self._kept.copy(), False
                self._kept[z] = labels[z]
                is_new = True
        self._since = set()
        if is_new:
            self._unwritten = _Work(dataset, record, self._kept)
        return self._unwritten
