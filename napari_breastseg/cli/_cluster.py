"""`predict --scheduler`: one exam is one task of Dask, in processes here or on other machines.

Dask distributed is the extra `cluster`; it runs a task again whose worker was lost.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import InputError
from ..core.progress import Job, Progress
from ._finishing import Finishing
from ._planning import Planned
from ._results import failed_row
from ._resuming import Resuming
from ._segmented import segmenting, unforeseen

if TYPE_CHECKING:
    from ..model.checkpoint import Checkpoint

__all__ = ["Task", "on_cluster", "require_dask"]

AHEAD = 2
"""Tasks handed out for each that can run: more would hold the headers of all exams at once."""


@dataclass(frozen=True)
class Task:
    """What every task of a run does; it is sent to the workers."""

    model: Path
    """Checkpoint folder, absolute: each worker loads it once."""

    how: dict[str, Any]
    """What `predict` takes."""

    uncertainty: bool
    finishing: Finishing
    resuming: Resuming
    threads: int | None = None
    """Threads of the network in a worker; None: as the worker was started."""

    def __call__(self, one: Planned) -> dict[str, Any]:
        """The row of a case, done or failed."""
        if self.threads is not None:
            import torch

            torch.set_num_threads(self.threads)
        members = _members(self.model, self.uncertainty)
        made = segmenting(members, [one.case], self.how, uncertainty=self.uncertainty, quiet=True)
        try:
            ((_, outcome),) = made
            if isinstance(outcome, InputError):
                raise outcome
            row = self.finishing.row(one, outcome)
            self.resuming.keep(one, row)
        except InputError as error:
            return failed_row(one.case.case_id, one.source, error)
        except Exception as error:
            # Dask would log it with the task's arguments, among them paths that name patients.
            return failed_row(one.case.case_id, one.source, unforeseen(one.case, error))
        return row


@lru_cache(maxsize=1)
def _members(folder: Path, uncertainty: bool) -> Sequence[Checkpoint]:
    from ..model.checkpoint import load
    from ..predict.uncertainty import load_members

    return load_members(folder) if uncertainty else [load(folder)]


def require_dask() -> Any:
    """Module of Dask distributed.

    Raises
    ------
    InputError
        If it is not installed.
    """
    try:
        return import_module("distributed")
    except ImportError:
        raise InputError(
            "Expected Dask distributed, which --scheduler needs",
            "found it is not installed",
            "Run 'pip install napari-breastseg[cluster]', or share the cases out with --part",
        ) from None


def on_cluster(scheduler: str, todo: Sequence[Planned], task: Task) -> Job[list[dict[str, Any]]]:
    """Rows of the cases, in their order.

    Parameters
    ----------
    scheduler : str
        Address of a Dask scheduler, or "local" or "local:N" for N processes here, by default one
        for every two cores.
    todo : sequence of Planned
    task : Task

    Raises
    ------
    InputError
        If Dask is not installed or nothing answers at the address.
    """
    dask = require_dask()
    from dataclasses import replace

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    kind, _, count = scheduler.partition(":")
    cluster = None
    if kind == "local":
        if count and not (count.isdecimal() and int(count) > 0):
            raise InputError(
                "Expected --scheduler local:N with a number of processes",
                f"found '{scheduler}'",
                "Give for example --scheduler local:4",
            )
        workers = int(count) if count else max(1, (cores or 1) // 2)
        task = replace(task, threads=max(1, (cores or 1) // workers))
        cluster = dask.LocalCluster(
            n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None
        )
    try:
        client = dask.Client(cluster if cluster is not None else scheduler, timeout="20s")
    except (OSError, ValueError) as error:
        raise InputError(
            "Expected the address of a Dask scheduler, or local",
            f"found nothing that answers at '{scheduler}'",
            "Give the address that 'dask scheduler' prints, such as tcp://10.0.0.1:8786",
        ) from error
    try:
        return (yield from _rows(dask, client, todo, task))
    finally:
        client.close()
        if cluster is not None:
            cluster.close()


def _rows(dask: Any, client: Any, todo: Sequence[Planned], task: Task) -> Job[list[dict[str, Any]]]:
    rows: dict[int, dict[str, Any]] = {}
    waiting = iter(enumerate(todo))
    numbers: dict[str, int] = {}

    def next_one() -> Any:
        for number, one in waiting:
            future = client.submit(task, one, pure=False)
            numbers[future.key] = number
            return future
        return None

    places = max(1, sum(client.nthreads().values()))
    running = dask.as_completed([f for _ in range(AHEAD * places) if (f := next_one()) is not None])
    for future in running:
        number = numbers.pop(future.key)
        one = todo[number]
        try:
            rows[number] = future.result()
        except Exception as error:  # no model there, or workers lost again and again
            rows[number] = failed_row(one.case.case_id, one.source, unforeseen(one.case, error))
        more = next_one()
        if more is not None:
            running.add(more)
        failed = rows[number]["status"] == "failed"
        message = f"{one.case.case_id}: {rows[number]['error']}" if failed else ""
        yield Progress("Segmenting", len(rows), len(todo), message=message)
    return [rows[number] for number in sorted(rows)]
