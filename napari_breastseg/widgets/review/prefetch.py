"""The next case of the worklist, read while the reader works on the current one."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QObject

from ...core.errors import InputError
from ...core.progress import Job, Progress
from ...dataset import Dataset
from ..parts.jobs import JobRunner
from ..state.casework import LoadedCase, load

__all__ = ["Prefetch"]


class Prefetch(QObject):
    """Holds one case at most, so that memory grows by one exam."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.runner = JobRunner(self)
        self._wanted: tuple[str, Callable[[], LoadedCase]] | None = None
        self._loaded: LoadedCase | None = None
        self.runner.ended.connect(self._on_ended)

    def want(self, dataset: Dataset, case_id: str, annotator: str) -> None:
        """Read a case ahead, unless it was."""
        if self._wanted is not None and self._wanted[0] == case_id:
            return
        self._loaded = None
        self._wanted = case_id, lambda: load(dataset, case_id, annotator)
        self._start()

    def forget(self) -> None:
        """Let go of what was read ahead."""
        self._wanted = self._loaded = None
        self.runner.cancel()

    def pop(self, case_id: str) -> LoadedCase | None:
        """The case, if it has been read ahead; it is not kept any longer."""
        loaded, self._loaded = self._loaded, None
        self._wanted = None
        return loaded if loaded is not None and loaded.record.case_id == case_id else None

    def _start(self) -> None:
        if self._wanted is None or self._loaded is not None or self.runner.is_running:
            return
        case_id, read = self._wanted
        self.runner.start(
            f"Reading {case_id} ahead", lambda: _reading(read), on_result=self._on_loaded
        )

    def _on_loaded(self, loaded: LoadedCase | None) -> None:
        wanted = None if self._wanted is None else self._wanted[0]
        if loaded is not None and loaded.record.case_id == wanted:
            self._loaded = loaded
        elif loaded is not None:
            self._start()

    def _on_ended(self, outcome: str) -> None:
        if outcome != "done":
            self._wanted = None


def _reading(read: Callable[[], LoadedCase]) -> Job[LoadedCase | None]:
    yield Progress("Reading ahead", 0, 0)
    try:
        return read()
    except InputError:
        return None  # said when the case is opened
