"""What every long job yields, and how a caller without a screen drains one.

One job is one generator that yields `Progress` and returns its result. The command line drains
it, the window's worker drives it, and cancelling is closing it. Imports nothing of this package.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

__all__ = ["Job", "Progress", "drain"]

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
