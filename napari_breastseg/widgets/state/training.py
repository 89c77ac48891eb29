"""What the Train step decides: what a training is to do, whether it may start, and its words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ...dataset import CaseSummary

if TYPE_CHECKING:
    from ...training import TrainResult

__all__ = ["Learnable", "TrainingOrder", "result_words", "run_name", "why_not_train"]


@dataclass(frozen=True)
class TrainingOrder:
    """What a training was asked to do; asked for again after a cancel, it is resumed."""

    dataset: Path
    base: Path | None
    """Checkpoint folder to start from, None for from scratch."""

    steps: int | None
    """Optimizer steps, None for as many as suit the amount of data."""

    fold: int | None
    """Fold held out to choose the best step, None to train on every case."""

    seed: int
    device: str
    output: Path = Path()

    def resuming(self, interrupted: TrainingOrder | None) -> TrainingOrder | None:
        """The interrupted training, if this order asks for the same again."""
        if interrupted is None or replace(self, output=interrupted.output) != interrupted:
            return None
        return interrupted


@dataclass(frozen=True)
class Learnable:
    """What of a dataset a training can learn from."""

    n_cases: int
    """Accepted cases of patients who are not locked for testing."""

    n_patients: int
    n_locked: int
    """Accepted cases that are locked for testing."""

    @classmethod
    def of(cls, records: Iterable[CaseSummary]) -> Learnable:
        """Count the accepted cases of a dataset."""
        accepted = [record for record in records if record.is_accepted]
        usable = [record for record in accepted if not record.is_locked]
        patients = {record.patient_id for record in usable}
        return cls(len(usable), len(patients), len(accepted) - len(usable))

    def describe(self) -> str:
        """The counts in words.

        Examples
        --------
        >>> Learnable(12, 3, 2).describe(), Learnable(1, 1, 0).describe()
        ('12 accepted cases of 3 patients; 2 locked for testing', '1 accepted case of 1 patient')
        """
        cases = "1 accepted case" if self.n_cases == 1 else f"{self.n_cases:,} accepted cases"
        patients = "1 patient" if self.n_patients == 1 else f"{self.n_patients:,} patients"
        locked = f"; {self.n_locked:,} locked for testing" if self.n_locked else ""
        return f"{cases} of {patients}{locked}"


def why_not_train(learnable: Learnable | None, *, is_running: bool, problem: str = "") -> str:
    """Why no training can start now; empty when one can.

    Parameters
    ----------
    learnable : Learnable, optional
        None while no dataset is open.
    is_running : bool
        Whether a training is under way.
    problem : str
        What is wrong with the model to start from.
    """
    if is_running:
        return "Training; wait or cancel"
    if learnable is None:
        return "Open a dataset folder first"
    if not learnable.n_cases:
        return "Accept a case in the Correct step first"
    return problem


def run_name(typed: str, dataset_name: str, now: datetime) -> str:
    """Name of a training: the one typed in, else dataset and time.

    Examples
    --------
    >>> run_name(" ", "Dataset501_Breast", datetime(2026, 3, 9, 14, 5))
    'Dataset501_Breast-20260309-1405'
    """
    return typed.strip() or f"{dataset_name}-{now:%Y%m%d-%H%M}"


def result_words(result: TrainResult, took: str) -> str:
    """What came of a training, and what it brought on patients it did not learn from.

    Parameters
    ----------
    result : TrainResult
    took : str
        How long it took, in words.
    """
    own = ""
    if result.val_dice is not None and result.info.training.is_validated_on_its_own:
        own = f", Dice {result.val_dice:.3f} on the cases it learned from"
    return f"{result.info.name}: best at step {result.best_step}{own}, {took}. {result.gain}"
