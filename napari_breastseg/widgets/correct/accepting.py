"""Accepting a mask in a thread, never while an autosave is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from ...dataset import CaseRecord, Workspace
from ..parts.jobs import JobRunner, as_job
from ..state.session import Session
from ..state.writing import MaskWriter
from .autosave import Autosave

__all__ = ["Accepting"]


class Accepting(QObject):
    """Accepts one mask at a time, with the effort it cost.

    Parameters
    ----------
    session : Session
    writer : MaskWriter
    autosave : Autosave
        Waited for, and held until the mask is accepted.
    runner : JobRunner
    parent : QObject
    """

    begun = Signal(str)
    """With the id of the case whose mask is to be accepted."""

    def __init__(
        self,
        session: Session,
        writer: MaskWriter,
        autosave: Autosave,
        runner: JobRunner,
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._session = session
        self._writer = writer
        self._autosave = autosave
        self._runner = runner
        self._is_accepting = False
        runner.ended.connect(self._on_ended)

    def accept(
        self,
        workspace: Workspace,
        record: CaseRecord,
        labels: NDArray[Any],
        write: Callable[[float, int], CaseRecord],
        on_result: Callable[[CaseRecord], object],
    ) -> None:
        """Accept a mask as soon as no autosave is running.

        Parameters
        ----------
        workspace, record, labels
            What is accepted.
        write : callable
            Accepts the mask, given seconds and strokes, in the worker's thread.
        on_result : callable
            Called with the newer record, in the window's thread.
        """
        title = f"Accepting {record.case_id}"
        self.begun.emit(record.case_id)
        effort = self._writer.take_effort(self._session, workspace, record.case_id)

        def finish(accepted: CaseRecord) -> None:
            try:
                on_result(accepted)
            finally:
                self._end()

        def start() -> None:
            self._is_accepting = self._runner.start(
                title,
                lambda: as_job(title, lambda: self._writer.accept(effort, labels, write)),
                on_result=finish,
            )
            if self._is_accepting:
                self._autosave.hold()
            else:
                self.return_effort()

        self._autosave.when_idle(start)

    def return_effort(self) -> None:
        """Count the effort of masks that were not accepted as work on their cases."""
        self._writer.return_effort(self._session)

    def _on_ended(self, outcome: str) -> None:
        if outcome != "done" and self._is_accepting:
            self.return_effort()
            self._end()

    def _end(self) -> None:
        if self._is_accepting:
            self._is_accepting = False
            self._writer.end_accept()
            self._autosave.release()
