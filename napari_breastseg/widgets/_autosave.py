"""Keeping work in progress: on a timer in a thread, and at once when the window closes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer, Signal
from qtpy.QtWidgets import QWidget

from ..dataset import CaseRecord, Dataset
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


class Keeper(QObject):
    """Writes the mask being corrected to the dataset's autosave when it has changed."""

    changed = Signal()
    """Something was kept."""

    def __init__(self, viewer: Viewer, session: Session, parent: QWidget) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._session = session
        self._parent = parent
        self.runner = JobRunner(self)
        self.kept: NDArray[Any] | None = None
        """Labels as they were last kept."""

        self._timer = QTimer(self)
        self._timer.setInterval(KEEP_EVERY_S * 1000)
        self._timer.timeout.connect(lambda: self.keep())
        self._timer.start()
        viewer.layers.events.removing.connect(self._on_removing)

    def is_kept(self, labels: NDArray[Any]) -> bool:
        """Whether these labels are what was kept last."""
        return is_same(self.kept, labels)

    def keep(self, then: Callable[[], object] = lambda: None) -> None:
        """Keep work in progress, in a thread, when there is any that is new; then go on.

        `then` is not called when the work could not be kept.
        """
        if (work := self._work()) is None:
            then()
            return
        if self.runner.is_running:
            return
        dataset, record, labels = work
        copied = labels.copy()

        def go_on(_: object) -> None:
            self._note_kept(copied)
            then()

        self.runner.start(
            "Keeping your work",
            lambda: as_job("Keeping your work", lambda: _keep(dataset, record, copied)),
            on_result=go_on,
        )

    def keep_now(self) -> None:
        """Keep work in progress at once: the window is closing."""
        if (work := self._work()) is not None:
            with errors_shown():
                _keep(*work)
                self._note_kept(work[2].copy())

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
        if note_of(self._viewer.layers[event.index]).get("role") not in ("difference", "box"):
            self.keep_now()

    def _note_kept(self, labels: NDArray[Any]) -> None:
        self.kept = labels
        self.changed.emit()

    def _work(self) -> tuple[Dataset, CaseRecord, NDArray[Any]] | None:
        """Dataset, record and labels, when the labels are neither accepted nor kept yet."""
        dataset, record = self._session.dataset, self._session.record
        layer = tumor_layer(self._viewer, self._session.case_id)
        if dataset is None or record is None or layer is None:
            return None
        labels = volume_of(layer)
        if not self._session.is_unsaved(labels) or self.is_kept(labels):
            return None
        return dataset, record, labels


def _keep(dataset: Dataset, record: CaseRecord, labels: NDArray[Any]) -> None:
    dataset.autosave(record.case_id, LabelMap(labels, record.grid.grid))
