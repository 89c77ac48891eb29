"""What every long job yields, and how a caller without a screen drains one.

One job is one generator that yields `Progress` and returns its result. The command line drains
it, the window's worker drives it, and cancelling is closing it. Imports nothing of this package.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from threading import Event
from typing import TypeVar

__all__ = ["Job", "Progress", "drain", "in_thread", "relay"]

T = TypeVar("T")


@dataclass(frozen=True)
class Progress:
    """A long job's state at one moment."""

    stage: str
    """What is being done, in words a user reads: "Segmenting"."""

    done: int
    """Units finished, 0 to `total`."""

    total: int
    """Units in all; 0 while it is not known."""

    metrics: Mapping[str, float] = field(default_factory=dict)
    """Figures of this moment, such as loss and Dice."""

    per_case: Mapping[str, float] = field(default_factory=dict)
    """A figure of each case, such as its Dice, where the stage has one."""

    message: str = ""
    """Something to say aloud once, such as "GPU out of memory, going on with the CPU"."""


Job = Generator[Progress, None, T]


def drain(job: Job[T], on_progress: Callable[[Progress], None] | None = None) -> T:
    """Run a job to its end and give its result.

    Parameters
    ----------
    job : generator of Progress
        The job; its return value is handed on.
    on_progress : callable, optional
        Called with every `Progress` the job yields.

    Examples
    --------
    >>> def count(n):
    ...     for i in range(n):
    ...         yield Progress("Counting", i + 1, n)
    ...     return n
    >>> drain(count(3))
    3
    """
    while True:
        try:
            progress = next(job)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        if on_progress is not None:
            try:
                on_progress(progress)
            except BaseException:
                job.close()
                raise


class _Canceled(Exception):
    """Raised inside work whose job was closed."""


def in_thread(stage: str, work: Callable[[Callable[[], None]], T]) -> Job[T]:
    """Run work that cannot yield, of another library, in a thread of its own.

    Parameters
    ----------
    stage : str
        What is being done.
    work : callable
        Gets a function to call at every step, which counts it, and ends the work when the job was
        closed meanwhile.

    Examples
    --------
    >>> drain(in_thread("Counting", lambda tick: [tick() for _ in range(3)]))
    [None, None, None]
    """
    steps = 0
    is_closed = Event()

    def tick() -> None:
        nonlocal steps
        if is_closed.is_set():
            raise _Canceled
        steps += 1

    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(work, tick)
        try:
            while not wait([result], timeout=0.1).done:
                yield Progress(stage, steps, 0)
        finally:
            is_closed.set()
        return result.result()


def relay(job: Job[T], show: Callable[[Progress], Progress]) -> Job[T]:
    """Drive a job as a part of another one, whose progress is shown instead of its own.

    Parameters
    ----------
    job : generator of Progress
        The part; closed when the whole is.
    show : callable
        Makes the whole's `Progress` of the part's.

    Examples
    --------
    >>> def count(n):
    ...     for i in range(n):
    ...         yield Progress("Counting", i + 1, n)
    ...     return n
    >>> whole = relay(count(2), lambda part: Progress("Adding up", 2 + part.done, 4))
    >>> drain(whole, lambda progress: print(progress.stage, progress.done))
    Adding up 3
    Adding up 4
    2
    """
    try:
        while True:
            try:
                part = next(job)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
            yield show(part)
    finally:
        job.close()
