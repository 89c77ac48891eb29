"""How long a training will take, worked out in a thread while the Train step is on show."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QObject, QTimer, Signal

from ...core.errors import InputError
from ...core.progress import Job, Progress
from ...dataset import Dataset
from ..parts.jobs import JobRunner
from ..state.training import TrainingOrder

__all__ = ["Expecting"]

_SETTLES_MS = 400


class Expecting(QObject):
    """Works out what was asked for last; the same is not asked twice.

    Parameters
    ----------
    parent : QObject
    """

    known = Signal(str)
    """Cases, patients, steps and time, in words; empty while they are not known."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.runner = JobRunner(self)
        self.work_out: Callable[[Dataset, TrainingOrder], Job[str]] = _work_out
        """Called in the worker's thread."""

        self._wanted: tuple[Dataset, TrainingOrder, int] | None = None
        self._done: object = None
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(_SETTLES_MS)
        self._soon.timeout.connect(self._start)
        self.runner.ended.connect(lambda _: self._soon.start())

    def ask(self, dataset: Dataset, order: TrainingOrder, accepted: int) -> None:
        """Work out how long a training takes on a dataset with so many accepted cases."""
        wanted = dataset, order, accepted
        if self._wanted is None or self._wanted[1:] != wanted[1:]:
            self._wanted = wanted
            self.known.emit("")
            self._soon.start()

    def pause(self) -> None:
        """Work out nothing beside a training, which needs the processor; what was told stays."""
        self._wanted = self._done = None
        self._soon.stop()
        self.runner.cancel()

    def forget(self) -> None:
        """Nothing is asked any longer."""
        self.pause()
        self.known.emit("")

    def _start(self) -> None:
        wanted = self._wanted
        if wanted is None or wanted is self._done or self.runner.is_running:
            return
        self._done = wanted
        dataset, order, _ = wanted

        def tell(words: str) -> None:
            if wanted is self._wanted:
                self.known.emit(words)

        self.runner.start("Timing", lambda: self.work_out(dataset, order), on_result=tell)


def _work_out(dataset: Dataset, order: TrainingOrder) -> Job[str]:
    """In the worker's thread: torch is loaded here, and one patch is learned from."""
    yield Progress("Timing", 0, 0)
    from ...model import checkpoint
    from ...training import expected

    try:
        base = None if order.base is None else checkpoint.load(order.base)
        found = expected(
            [dataset], base=base, fold=order.fold, steps=order.steps, device=order.device
        )
    except InputError:  # the training itself will say what is wrong
        return ""
    return found.describe()
