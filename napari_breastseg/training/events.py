"""Figures of a run as TensorBoard events, where TensorBoard is installed. No Qt."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..core.atomic import storage_errors

__all__ = ["EventLog"]


class EventLog:
    """Events in ``<output>/events``; a full disk is a StorageError as everywhere.

    Parameters
    ----------
    output : Path
        Folder of the run.
    step : int
        Step the run goes on from; events of later steps are forgotten.
    is_written : bool
        False keeps quiet: of several processes one writes.
    """

    def __init__(self, output: Path, step: int, *, is_written: bool = True) -> None:
        self._folder = output / "events"
        self._writer: Any = None
        self.problem = ""
        """Why no events are written; empty where they are, or are not wanted."""
        if not is_written:
            return
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            self.problem = (
                "Loss and Dice are written to history.csv only; for TensorBoard events "
                "install it with: pip install tensorboard"
            )
            return
        with storage_errors(self._folder):
            self._writer = SummaryWriter(str(self._folder), purge_step=step + 1 if step else None)

    def add(self, metrics: Mapping[str, float], step: int) -> None:
        """Add the figures of a step."""
        if self._writer is not None:
            with storage_errors(self._folder):
                for key, value in metrics.items():
                    self._writer.add_scalar(key, value, step)

    def close(self) -> None:
        """End the file; a full disk was reported before, so what it does not take is dropped."""
        if self._writer is not None:
            with suppress(OSError):
                self._writer.close()
