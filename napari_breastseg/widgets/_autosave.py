"""Keeping work in progress: on a timer in a thread, and at once when the window closes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer, Signal
from qtpy.QtWidgets import QWidget

from ..dataset import CaseRecord, Dataset, SecondRead
from ..volume import LabelMap
from . import _fields
from ._jobs import JobRunner, as_job, errors_shown
from ._layers import tumor_layer, volume_of
from ._session import Session, is_same
from ._sources import note_of

if TYPE_CHECKING:
    from napari.viewer import Viewer

__all__ = ["KEEP_EVERY_S", "Keeper"]

KEEP_EVERY_S = 20

PASSING = ("difference", "box", "preview", "scribbles")
"""Roles of layers that come and go while a mask is corrected."""

_Work = tuple[Dataset | SecondRead, CaseRecord, NDArray[Any]]


class Keeper(QObject):
    """Writes the mask being corrected to the dataset's autosave when it has changed."""

    changed = Signal()
    """Something was kept."""

    def __init__(
        self, viewer: Viewer, session: Session, parent: QWidget, accepting: JobRunner
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._session = session
        self._parent = parent
        self.runner = JobRunner(self)
        self._accepting = accepting
        self.kept: NDArray[Any] | None = None
        """Labels as they were last kept."""

        self._waiting: list[Callable[[], object]] = []
        """What goes on once the dataset is not being written to."""

        self._is_accepting = False
        self._disk = threading.Lock()
        """Held while an autosave or an accepted mask is written, by whichever thread."""

        self._numbers = count(1)
        self._newest: dict[tuple[Path, str], int] = {}
        self._accepted: _Work | None = None
        self._timer = QTimer(self)
        self._timer.setInterval(KEEP_EVERY_S * 1000)
        self._timer.timeout.connect(lambda: None if self.is_writing else self.keep())
        self._timer.start()
        self.runner.ended.connect(self._on_keeping_ended)
        accepting.ended.connect(self._on_accepting_ended)
        viewer.layers.events.removing.connect(self._on_removing)

    @property
    def is_writing(self) -> bool:
        """Whether an autosave or an accepted mask is on its way to the disk."""
        return self.runner.is_running or self._is_accepting

    def is_kept(self, labels: NDArray[Any]) -> bool:
        """Whether these labels are what was kept last."""
        return is_same(self.kept, labels)

    def keep(self, then: Callable[[], object] = lambda: None) -> None:
        """Keep work in progress, in a thread, when there is any that is new; then go on.

        While something is being written it waits for that first, and then looks again what is
        new. `then` is not called when the work could not be kept.
        """
        if self.is_writing:
            self._waiting.append(lambda: self.keep(then))
            return
        if (work := self._work()) is None:
            then()
            return
        dataset, record, labels = work
        copied, number = labels.copy(), next(self._numbers)

        def take(_: object) -> None:
            self._note_kept(copied)
            try:
                then()
            finally:
                self._go_on()

        self.runner.start(
            "Keeping your work",
            lambda: as_job(
                "Keeping your work", lambda: self._write((dataset, record, copied), number)
            ),
            on_result=take,
        )

    def keep_now(self) -> None:
        """Keep work in progress at once: its layer or the window is closing."""
        if (work := self._work()) is not None:
            with errors_shown():
                self._write(work, next(self._numbers))
                self._note_kept(work[2].copy())

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
        write: Callable[[], CaseRecord],
        on_result: Callable[[CaseRecord], object],
    ) -> None:
        """Accept a mask once no autosave is running; until it has ended none begins.

        Parameters
        ----------
        dataset, record, labels
            What is accepted; an autosave of the same labels is not written after it.
        write : callable
            Accepts, in the worker's thread.
        on_result : callable
            Takes the newer record, in the window's thread.
        """

        def work() -> CaseRecord:
            with self._disk:
                accepted = write()
                self._accepted = (dataset, record, labels)
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

        self.once_free(start)

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

    def _note_kept(self, labels: NDArray[Any]) -> None:
        self.kept = labels
        self.changed.emit()

    def _on_keeping_ended(self, outcome: str) -> None:
        if outcome != "done":  # else when the result has been taken
            self._go_on()

    def _on_accepting_ended(self, outcome: str) -> None:
        if outcome != "done":
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

    def _write(self, work: _Work, number: int) -> None:
        """Autosave, unless newer work of the case has been kept or the same was accepted."""
        dataset, record, labels = work
        key = (dataset.folder, record.case_id)
        with self._disk:
            if number < self._newest.get(key, 0):
                return
            self._newest[key] = number
            if self._accepted is not None:
                other, its_record, accepted = self._accepted
                its_key = (other.folder, its_record.case_id)
                if key == its_key and is_same(accepted, labels):
                    return
            dataset.autosave(record.case_id, LabelMap(labels, record.grid.grid))

    def _work(self) -> _Work | None:
        """Dataset, record and labels, when the labels are neither accepted nor kept yet."""
        dataset, record = self._session.desk, self._session.record
        layer = tumor_layer(self._viewer, self._session.case_id)
        if dataset is None or record is None or layer is None:
            return None
        labels = volume_of(layer)
        if not self._session.is_unsaved(labels) or self.is_kept(labels):
            return None
        return dataset, record, labels
