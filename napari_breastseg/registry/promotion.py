"""From a trained model to the default one: registered, judged, promoted; and when to train again.

What command line and window share. No Qt; torch is loaded when models are judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..core.atomic import storage_errors
from ..core.errors import InputError
from ..core.home import home_folder
from ..core.progress import Job, Progress
from ..dataset import Dataset
from ..model import checkpoint
from ..model.checkpoint import STARTER, read_info
from .folder import RegistryEntry
from .gate import judge
from .judgment import GateRule, Judgment
from .models import Registry

__all__ = ["Promotion", "lone_training", "new_cases", "promote", "registered"]


@dataclass(frozen=True)
class Promotion:
    """What came of asking for a model's promotion."""

    entry: RegistryEntry
    judgment: Judgment

    def describe(self) -> str:
        """The judgment, and whether the model is the default model now."""
        if self.entry.is_promoted:
            how = "" if self.judgment.passes else ", set without passing the check"
            end = f"{self.entry.name} is now the default model{how}."
        else:
            end = f"{self.entry.name} is registered, but is not the default model."
        return f"{self.judgment.describe()}\n{end}"


def registered(
    registry: Registry, folder: Path, name: str | None = None, *, by: str | None = None
) -> RegistryEntry:
    """Entry of a checkpoint's weights, registering them, as `name`, when they are not."""
    digest = read_info(folder).weights_sha256
    known = {entry.weights_sha256: entry for entry in registry.list()}
    return known.get(digest) or registry.register(folder, name, by=by)


def promote(
    registry: Registry,
    name: str,
    datasets: Sequence[Dataset],
    *,
    rule: GateRule | None = None,
    device: str = "auto",
    force: bool = False,
    by: str | None = None,
) -> Job[Promotion]:
    """Judge a registered model against the default model, and promote it if it passes.

    Parameters
    ----------
    registry : Registry
    name : str
        A registered model.
    datasets : sequence of Dataset
        Their locked patients judge.
    rule, device
        As in `judge`.
    force : bool
        Promote whatever the judgment says; the log then says so.
    by : str, optional
        Who asks; the name of the account when not given.

    Yields
    ------
    Progress

    Returns
    -------
    Promotion

    Raises
    ------
    InputError
        If there is no such model, it is the default already, or it can segment none of the cases.
    """
    yield Progress("Loading the models", 0, 0)
    folder = registry.folder / name
    used = registry.promoted() or STARTER
    if folder == used:
        raise InputError(
            "Expected a model that is not the default model yet",
            f"found {name}, which is",
            "Choose another, or go back to the one before it with 'models rollback'",
        )
    if not folder.is_dir():
        registry.resolve(name)  # says which names there are
    candidate, reference = checkpoint.load(folder), checkpoint.load(used)
    judgment = yield from judge(candidate, reference, datasets, rule=rule, device=device)
    return Promotion(registry.promote(name, judgment=judgment, force=force, by=by), judgment)


def new_cases(registry: Registry, datasets: Sequence[Dataset]) -> list[str]:
    """Ids of the accepted, unlocked cases that no registered model of their dataset has read.

    Models that were not promoted count: the same cases would make the same model again.
    """
    records = [read_info(entry.path).training for entry in registry.list() if not entry.problem]
    found = []
    locked = {r.patient_id for dataset in datasets for r in dataset.summaries() if r.is_locked}
    for dataset in datasets:
        read = {case for training in records for case in training.read_of(dataset.id, dataset.name)}
        found += [
            record.case_id
            for record in dataset.summaries()
            if record.is_accepted
            and record.patient_id not in locked
            and read.isdisjoint(record.all_ids)
        ]
    return found


@contextmanager
def lone_training(home: Path | None = None) -> Iterator[bool]:
    """Whether this is the only training that began by itself; held until the block ends.

    Parameters
    ----------
    home : Path, optional
        Where settings and models live; `home_folder` when not given.
    """
    from filelock import FileLock, Timeout

    folder = (home_folder() if home is None else home) / "trainings"
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()
