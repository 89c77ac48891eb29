"""What a run needs before its first step: a folder, cases with tumor, and patches of them.

No Qt.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp

from ..core.atomic import storage_errors
from ..core.errors import InputError
from ..core.progress import Job
from ..core.volume import TUMOR
from ..model import checkpoint as checkpoints
from ..model.checkpoint import Checkpoint
from ..model.unet import ModelSpec
from .cases import TrainingCase, load_cases
from .config import TrainConfig
from .patches import MixedSource, PatchSource
from .ranks import Ranks
from .replay import PhantomCase, replay_cases
from .state import STATE_FILE

__all__ = [
    "alone_in",
    "cases_folder",
    "drawn_count",
    "drawn_phantoms",
    "fingerprint",
    "is_running_in",
    "patches",
    "require_free",
    "require_trainable",
    "require_tumor",
]

_CACHE = ".tmp-cases-"
LOCK_FILE = ".training.lock"

LIKENED_PATCHES = 48
"""Patches whose phantoms, twelve of two slices, show how different exams are."""


@contextmanager
def alone_in(output: Path, ranks: Ranks) -> Iterator[None]:
    """Hold `output` for this training; one training at a time may write into a folder.

    Raises
    ------
    InputError
        If another training, in this program or another, writes into it.
    """
    from filelock import FileLock, Timeout

    if not ranks.is_first:
        yield
        return
    path = output / LOCK_FILE
    lock = FileLock(path)
    with storage_errors(output):
        try:
            lock.acquire(timeout=0)
        except Timeout:  # an OSError
            raise InputError(
                "Expected an output folder that no other training writes into",
                f"found one running in {output}",
                "Choose another --output, or wait until it has ended",
            ) from None
    try:
        yield
    finally:
        with suppress(OSError):  # left behind it holds nobody up
            path.unlink(missing_ok=True)
        lock.release()


def is_running_in(output: Path) -> bool:
    """Whether a training, in this program or another, writes into a folder now."""
    from filelock import FileLock, Timeout

    path = output / LOCK_FILE
    if not path.exists():
        return False
    try:
        with FileLock(path).acquire(timeout=0):
            return False
    except (Timeout, OSError):
        return True


@contextmanager
def cases_folder(output: Path, ranks: Ranks) -> Iterator[Path]:
    """A temporary folder in `output`; those of runs that were killed are removed."""
    if ranks.is_first:
        # Nobody else writes here, see `alone_in`.
        for leftover in output.glob(".tmp-*"):
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink(missing_ok=True)
    ranks.wait()
    with storage_errors(output):
        folder = Path(mkdtemp(dir=output, prefix=_CACHE))
    try:
        yield folder
    finally:
        # Windows keeps mapped files; what cannot be removed in the end goes with the next run.
        shutil.rmtree(folder, ignore_errors=True)


def fingerprint(
    config: TrainConfig,
    spec: ModelSpec,
    learned: Sequence[TrainingCase],
    held_out: Sequence[TrainingCase],
    base: Checkpoint | None,
) -> str:
    """What has to be the same for a run to be resumed; device and pace may change."""
    parts = {
        "config": config.model_dump(exclude={"device", "save_every", "loaders", "mixed_precision"}),
        "spec": spec.model_dump(),
        "cases": [[case.case_id, case.digest] for case in learned],
        "validation": [[case.case_id, case.digest] for case in held_out],
        "base": None if base is None else base.info.weights_sha256,
    }
    return json.dumps(parts, sort_keys=True)


def drawn_phantoms(
    spec: ModelSpec, config: TrainConfig, cache: Path
) -> Job[Sequence[TrainingCase]]:
    """Synthetic exams to replay, and to tell other exams from the site's; none a model cannot use.

    Parameters
    ----------
    spec : ModelSpec
    config : TrainConfig
    cache : Path
        Folder for their arrays.
    """
    phantoms = _phantoms(spec, config)
    if not phantoms:
        return []
    return (yield from load_cases(phantoms, spec, cache, "Drawing synthetic exams"))


def drawn_count(spec: ModelSpec, config: TrainConfig) -> int:
    """Slices of synthetic exams that a run draws."""
    return sum(phantom.slices for phantom in _phantoms(spec, config))


def _phantoms(spec: ModelSpec, config: TrainConfig) -> Sequence[PhantomCase]:
    replayed = config.replayed_patches * config.steps
    return replay_cases(spec, max(replayed, LIKENED_PATCHES * config.keeps_base))


def patches(
    learned: Sequence[TrainingCase],
    phantoms: Sequence[TrainingCase],
    spec: ModelSpec,
    config: TrainConfig,
) -> PatchSource | MixedSource:
    """Where patches come from: the cases, and phantoms for the share that is replayed."""
    shape = _patch_shape(spec)
    source = PatchSource(learned, shape, config.lesion_fraction)
    if not (phantoms and config.replayed_patches):
        return source
    replay = PatchSource(phantoms, shape, config.lesion_fraction)
    return MixedSource(source, replay, config.batch_size - config.replayed_patches)


def _patch_shape(spec: ModelSpec) -> tuple[int, int, int]:
    if spec.dims == 3:
        z, y, x = spec.patch_size
        return z, y, x
    return 1 + 2 * spec.context_slices, *spec.patch_size  # type: ignore[return-value]


def require_trainable(spec: ModelSpec) -> None:
    """Raise InputError for a network of other software, or one that answers clicks."""
    if spec.prompts:
        raise InputError(
            "Expected a model that segments unasked to train",
            "found one that answers clicks",
            "Start from the starter; recipes/train_clicks.py trains the click network",
        )
    if spec.foreign is not None:
        raise InputError(
            "Expected a model of napari-breastseg to train",
            f"found {spec.title}, made with other software and trained there",
            "Start from the starter or from scratch; `dataset export` writes what nnU-Net takes",
        )


def require_free(output: Path, resume: bool) -> None:
    """Raise InputError if a folder holds a model, or a run that is not to be resumed."""
    if checkpoints.is_checkpoint(output):
        raise InputError(
            "Expected a new folder for the trained model",
            f"found a finished model in {output}",
            "Choose another --output, or delete that folder first",
        )
    if not resume and (output / STATE_FILE).is_file():
        raise InputError(
            "Expected a new folder for the trained model",
            f"found an interrupted training in {output}",
            "Add --resume to continue it, or choose another --output",
        )


def require_tumor(cases: Sequence[TrainingCase]) -> None:
    """Raise InputError unless a case shows a tumor."""
    if not any((case.labels == TUMOR).any() for case in cases):
        raise InputError(
            "Expected at least one accepted case with tumor to train on",
            f"found {len(cases)} accepted cases, none with a marked tumor",
            "First correct and accept a case that shows a tumor",
        )
