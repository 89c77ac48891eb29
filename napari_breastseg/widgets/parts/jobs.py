"""Engine jobs in a thread of the window: progress, cancel, errors a user can read.

A job is a generator (see `core.progress`). It runs and is closed in the worker's thread, so that
saving its state after a cancel does not block the window. No torch, no layers here.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from napari.qt.threading import create_worker
from napari.utils.notifications import (
    ErrorNotification,
    Notification,
    NotificationSeverity,
    notification_manager,
)
from napari.viewer import current_viewer
from qtpy.QtCore import QObject, Qt, Signal

from ...core.errors import InputError
from ...core.progress import Job, Progress
from .notices import notices_in_sight

__all__ = ["JobError", "JobRunner", "as_job", "errors_shown", "message_of", "show", "show_info"]

T = TypeVar("T")

_WINDOW_WORDS = (
    ("name the phases with --phases", "name the phases in the Open step"),
    ("for example --phases pre,post1,post2", "for example pre,post1,post2, in the Open step"),
    ("(--stack)", "(tick 'One volume' in the Open step)"),
    ("Use --device auto", "Choose the device auto"),
    (
        "Repeat the first command with --resume added, or choose a new --output",
        "Bring the dataset back to what it was; or press Forget and train anew",
    ),
    ("another --output", "another name"),
)
_SERIES = re.compile(r": --phases \w+=[\w.]*\w(,\w+=[\w.]*\w)*")
_FLAG = re.compile(r"--([a-z-]+)")


class JobError(InputError):
    """A job that failed inside a library."""


def message_of(error: BaseException) -> str:
    """The three-part text of an error, in the window's words instead of the command line's."""
    text = str(error) or type(error).__name__
    for on_the_command_line, in_the_window in _WINDOW_WORDS:
        text = text.replace(on_the_command_line, in_the_window)
    text = _SERIES.sub(" in the Open step's table of series", text)
    return _FLAG.sub(r"\1", text)


def show_info(text: str) -> None:
    """Tell something in the dock, or by napari where no dock is in sight."""
    _tell(text, NotificationSeverity.INFO)


def _tell(text: str, severity: NotificationSeverity) -> None:
    place = notices_in_sight()
    if place is not None:  # napari would print it on the terminal, whatever its severity
        place.tell(text, is_error=severity == NotificationSeverity.ERROR)
    else:
        notification_manager.dispatch(Notification(text, severity))


def show(error: BaseException) -> None:
    """Show an error in the dock; an unexpected one as napari does, with its traceback."""
    if isinstance(error, InputError):
        _tell(message_of(error), NotificationSeverity.ERROR)
    else:
        notification_manager.dispatch(ErrorNotification(error))


@contextmanager
def errors_shown() -> Iterator[None]:
    """Show the input errors that the block raises, and go on."""
    try:
        yield
    except InputError as error:
        show(error)


def as_job(stage: str, work: Callable[[], T]) -> Job[T]:
    """A short function as a job, which cannot be canceled half way."""
    yield Progress(stage, 0, 0)
    return work()


class JobRunner(QObject):
    """Runs one job at a time and reports its progress."""

    started = Signal(str)
    progressed = Signal(object)
    canceling = Signal()
    ended = Signal(str)
    """With "done", "canceled" or "failed", once the thread is free again."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._run: _Run | None = None

    @property
    def is_running(self) -> bool:
        """Whether a job has not ended yet; a canceled one may still be saving its state."""
        return self._run is not None

    def start(
        self,
        title: str,
        make_job: Callable[[], Job[T]],
        *,
        on_result: Callable[[T], object],
        on_progress: Callable[[Progress], object] | None = None,
    ) -> bool:
        """Start a job; False, with a message to the user, while another one runs.

        Parameters
        ----------
        title : str
            What the job does, such as "Segmenting".
        make_job : callable
            Gives the job; called in the worker's thread.
        on_result, on_progress : callable
            Called in the window's thread. After a cancel only the result of a job that had already
            finished is delivered. The result comes when the thread is free, so that `on_result` may
            start the next job.
        """
        if self._run is not None:
            show_info(f"{self._run.title} is still running; wait for it or cancel it first.")
            return False
        run = self._run = _Run(self, title, make_job, on_result, on_progress)
        worker = create_worker(run.pump, _start_thread=False, _ignore_errors=True)
        run.listed = _listing_of(worker)
        worker.yielded.connect(run.take_progress)
        worker.returned.connect(run.take_result)
        worker.errored.connect(run.take_error)
        worker.finished.connect(run.finish)
        worker.aborted.connect(run.close, Qt.ConnectionType.DirectConnection)
        self.started.emit(title)
        worker.start()
        return True

    def cancel(self) -> None:
        """Ask the job to stop at its next step; its result is dropped."""
        if self._run is not None and not self._run.cancel_asked.is_set():
            self._run.cancel_asked.set()
            self.canceling.emit()

    def abandon(self) -> None:
        """Cancel and ignore whatever it still reports: the window is closing."""
        if self._run is not None:
            self._run.cancel_asked.set()
            self._run.let_go()
            self._run = None

    def _free(self, run: _Run) -> None:
        if self._run is run:
            self._run = None


class _Run:
    """One job on its way through a worker.

    A worker keeps what its signals are connected to, and napari's task list keeps every worker for
    good: `finish` lets go of exam, result and panel, and takes the worker off the list.
    """

    def __init__(
        self,
        runner: JobRunner,
        title: str,
        make_job: Callable[[], Job[Any]],
        on_result: Callable[[Any], object],
        on_progress: Callable[[Progress], object] | None,
    ) -> None:
        self.title = title
        self.cancel_asked = threading.Event()
        self._runner: JobRunner | None = runner
        self._on_result: Callable[[Any], object] | None = on_result
        self._on_progress = on_progress
        self._generator: Any = _drive(title, make_job, self.cancel_asked)
        self._outcome = "canceled"
        self._result: Any = None
        self.listed: tuple[dict[Any, Any], Any] | None = None
        """Where napari lists the worker, and under which key."""

    def pump(self) -> Generator[Progress, None, Any]:
        """What the worker steps through."""
        return (yield from self._generator)

    def take_progress(self, progress: Progress) -> None:
        if self._runner is None or self.cancel_asked.is_set():
            return
        self._runner.progressed.emit(progress)
        if progress.message:
            show_info(progress.message)
        if self._on_progress is not None:
            self._on_progress(progress)

    def take_result(self, result: Any) -> None:
        # A job that could not be cut short has done its work, cancel or not.
        if result is not _CANCELED:
            self._outcome, self._result = "done", result

    def take_error(self, error: BaseException) -> None:
        self._outcome = "failed"
        show(error)

    def finish(self) -> None:
        runner, on_result, result = self._runner, self._on_result, self._result
        self.let_go()
        if self.listed is not None:
            tasks, key = self.listed
            tasks.pop(key, None)
            self.listed = None
        self._generator = None
        if runner is None or on_result is None:
            return
        runner._free(self)
        runner.ended.emit(self._outcome)
        if self._outcome == "done":
            with errors_shown():
                on_result(result)

    def let_go(self) -> None:
        """Drop the references to runner, result and callbacks."""
        self._runner = self._on_result = self._on_progress = self._result = None

    def close(self) -> None:
        """Close the job in the worker's thread after napari's own cancel, as at the window's end.

        The worker would leave it hanging, its `finally` run whenever it is freed. Nobody is left
        to read an error here.
        """
        self.cancel_asked.set()
        with suppress(Exception):
            self._generator.close()


_CANCELED = object()


def _listing_of(worker: Any) -> tuple[dict[Any, Any], Any] | None:
    """Napari's list of tasks, and the worker's key in it; None where napari has none."""
    window = getattr(current_viewer(), "window", None)
    tasks = getattr(getattr(window, "_task_status_manager", None), "_tasks", {})
    for key in reversed(tasks):  # it was the last to be listed
        if getattr(tasks[key]._cancel_callback, "__self__", None) is worker:
            return tasks, key
    return None


def _drive(
    title: str, make_job: Callable[[], Job[Any]], cancel_asked: threading.Event
) -> Generator[Progress, None, Any]:
    """Step a job until it ends or is canceled; it is closed here, in the worker's thread."""
    job = make_job()
    try:
        while not cancel_asked.is_set():
            try:
                progress = next(job)
            except StopIteration as stop:
                return stop.value
            yield progress
        return _CANCELED
    except RuntimeError as error:
        # superqt takes a RuntimeError for a deleted Qt object and never reports it; torch raises
        # them for wrong shapes and full memory.
        raise JobError(
            f"{title} could not be finished",
            str(error).strip().splitlines()[0][:200] if str(error).strip() else repr(error),
            "Try the device 'cpu', a smaller region or another model; if it happens again, report "
            "it with this text",
        ) from error
    finally:
        job.close()
