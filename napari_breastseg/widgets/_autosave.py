"""Keeping work in progress: on a timer in a thread, and at once when the window closes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer
from qtpy.QtWidgets import QWidget

from ..dataset import CaseRecord, Dataset
from ..volume import LabelMap
from . import _fields
from ._jobs import JobRunner, as_job, errors_shown
from ._layers import tumor_layer, volume_of
from ._session import Session

if TYPE_CHECKING:
    from napari.viewer import Viewer

__all__ = ["KEEP_EVERY_S", "Keeper"]

KEEP_EVERY_S = 20


class Keeper(QObject):
    """Writes the mask being corrected to the dataset's autosave when it has changed."""

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
        self._timer.timeout.connect(self.keep)
        self._timer.start()

    def is_kept(self, labels: NDArray[Any]) -> bool:
        """Whether these labels are what was kept last."""
        return self.kept is not None and np.array_equal(labels, self.kept)

    def keep(self) -> None:
        """Keep work in progress, in a thread, when there is any that is new."""
        if self.runner.is_running or (work := self._work()) is None:
            return
        dataset, record, labels = work
        copied = labels.copy()
        self.runner.start(
            "Keeping your work",
            lambda: as_job("Keeping your work", lambda: _keep(dataset, record, copied)),
            on_result=lambda _: self._note_kept(copied),
        )

    def keep_now(self) -> None:
        """Keep work in progress at once: the case or the window is closing."""
        if (work := self._work()) is not None:
            with errors_shown():
                _keep(*work)
                self._note_kept(work[2].copy())

    def may_leave(self) -> bool:
        """Whether the exam at work may be closed: its changes are kept, or nobody wants them."""
        layer = tumor_layer(self._viewer, self._session.case_id)
        if layer is None:
            return True
        if self._session.record is not None:
            self.keep_now()
            return self._work() is None
        draft = self._session.draft
        is_draft = draft is not None and np.array_equal(draft.label_map.data, volume_of(layer))
        if is_draft or not volume_of(layer).any():
            return True
        return _fields.ask(
            self._parent,
            "Mask not saved",
            f"The mask of {self._session.case_id} is in no dataset and would be lost.",
            "Close it anyway",
            "Stay",
        )

    def _note_kept(self, labels: NDArray[Any]) -> None:
        self.kept = labels

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
