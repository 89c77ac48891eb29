"""Jobs that run beside the reader's work and must not be noticed. Imports torch when called."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar

from ...core.progress import Job, Progress, relay

__all__ = ["beside_the_window"]

T = TypeVar("T")


def beside_the_window(make_job: Callable[[], Job[T]]) -> Job[T]:
    """A job with a processor core left to the window, and without its messages.

    Parameters
    ----------
    make_job : callable
        Gives the job.
    """
    with _a_core_left_free():
        return (yield from relay(make_job(), _without_message))


def _without_message(progress: Progress) -> Progress:
    return replace(progress, message="")


@contextmanager
def _a_core_left_free() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(max(1, before - 1))
    try:
        yield
    finally:
        torch.set_num_threads(before)
