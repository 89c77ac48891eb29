"""Trainings that were cut off, noted so that the window offers them when it next starts. No Qt.

One small file beside the training's folder says what it was asked to do; a training that ends
takes it away.
"""

from __future__ import annotations

import csv
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from ...core.atomic import storage_errors, write_json
from ...core.errors import StorageError
from ...core.home import home_folder
from ...core.reading import read_json
from ...model.checkpoint import is_checkpoint
from ...training.preparing import is_running_in
from ...training.state import HISTORY_FILE, STATE_FILE
from .training import TrainingOrder

__all__ = ["Interrupted", "forget_training", "has_state", "interrupted_trainings", "note_training"]

_ENDING = ".order.json"


@dataclass(frozen=True)
class Interrupted:
    """A training that was cut off, and how far it had come."""

    order: TrainingOrder
    step: int
    """Steps that are kept; it goes on from there."""

    @property
    def words(self) -> str:
        """Name of the training, dataset and steps, in a line."""
        order = self.order
        steps = "before its first steps were kept" if not self.step else f"at step {self.step:,}"
        return f"{order.output.name}: stopped {steps}, on {order.dataset.name}"


def note_training(order: TrainingOrder) -> None:
    """Note what a training that starts is to do; without a note it cannot be offered again."""
    values = {
        name: value.as_posix() if isinstance(value, Path) else value
        for name, value in asdict(order).items()
    }
    with suppress(StorageError):
        write_json(_note(order.output), values)


def forget_training(output: Path) -> None:
    """Offer a training no more; its folder stays.

    Raises
    ------
    StorageError
        If the note cannot be removed.
    """
    path = _note(output)
    with storage_errors(path):
        path.unlink(missing_ok=True)


def has_state(output: Path) -> bool:
    """Whether a training kept a state to go on from."""
    return (output / STATE_FILE).is_file()


def interrupted_trainings() -> list[Interrupted]:
    """Trainings that were cut off, the latest first; neither finished ones nor those that run."""
    found = []
    with suppress(OSError):
        notes = list((home_folder() / "trainings").glob(f"*{_ENDING}"))
        for path in sorted(notes, key=lambda one: one.stat().st_mtime, reverse=True):
            order = _order(path)
            if order is None or is_checkpoint(order.output) or is_running_in(order.output):
                continue
            found.append(Interrupted(order, _step(order.output)))
    return found


def _note(output: Path) -> Path:
    return home_folder() / "trainings" / f"{output.name}{_ENDING}"


def _order(path: Path) -> TrainingOrder | None:
    """What a note says; None where it says nothing that can be used."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        values = read_json(path)
        base = values.pop("base")
        return TrainingOrder(
            dataset=Path(values.pop("dataset")),
            base=None if base is None else Path(base),
            output=Path(values.pop("output")),
            **values,
        )
    return None


def _step(output: Path) -> int:
    with suppress(OSError, ValueError, KeyError), (output / HISTORY_FILE).open(newline="") as file:
        return max((int(row["step"]) for row in csv.DictReader(file)), default=0)
    return 0
