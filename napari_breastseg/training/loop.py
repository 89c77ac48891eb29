"""Training a model from scratch or from a checkpoint: one loop to read from top to bottom.

Every step's patches depend on (seed, step) alone and the whole state is one file replaced
atomically, so a run that was killed goes on to the same weights as one that was not (CPU, same
seed). Imports no Qt.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import checkpoint as checkpoints
from ..atomic import storage_errors
from ..checkpoint import Checkpoint, ModelInfo, TrainingRecord
from ..errors import InputError
from ..prediction import choose_device, predict_working
from ..preprocessing import Prepared
from ..progress import Job, Progress
from ..unet import ModelSpec, build, place
from ..volume import IGNORE, TUMOR, Grid
from .batches import BatchMaker, batches_from
from .cases import CaseSource, TrainingCase, load_cases
from .config import TrainConfig, learning_rate
from .loss import segmentation_loss
from .patches import RANGES, Augmentation, PatchSource
from .state import STATE_FILE, RunState

if TYPE_CHECKING:
    import torch

__all__ = ["TrainResult", "train"]

_CACHE = ".tmp-cases-"


@dataclass(frozen=True)
class TrainResult:
    """What a finished training leaves."""

    folder: Path
    """Checkpoint folder with the best weights; ``last/`` in it holds the last ones."""

    info: ModelInfo
    best_step: int
    val_dice: float | None
    """Validation Dice of the best step; None without validation cases."""

    seconds: float


def train(
    cases: Sequence[CaseSource],
    output: Path,
    *,
    base: Checkpoint | None = None,
    spec: ModelSpec | None = None,
    config: TrainConfig | None = None,
    validation: Sequence[CaseSource] = (),
    name: str | None = None,
    datasets: Sequence[str] = (),
    fold: int | None = None,
    resume: bool = False,
) -> Job[TrainResult]:
    """Train a model on annotated cases.

    Parameters
    ----------
    cases : sequence of CaseSource
        What is learned from. Voxels marked `ignore` teach nothing.
    output : Path
        Becomes a checkpoint folder: best weights, ``last/``, history.csv, TensorBoard events.
    base : Checkpoint, optional
        Model to fine-tune; without it the network starts from fresh weights.
    spec : ModelSpec, optional
        Network to train from scratch; taken from `base` when that is given.
    config : TrainConfig, optional
    validation : sequence of CaseSource
        Cases that choose the best step; none of their voxels changes the weights. Without them
        the last step counts as the best.
    name : str, optional
        The model's name; the output folder's by default.
    datasets, fold
        Recorded in model.json.
    resume : bool
        Go on from the state in `output` where an earlier run with the same arguments stopped.

    Yields
    ------
    Progress
        With ``loss`` every step, ``val_dice`` after each validation and ``seconds_left``.

    Returns
    -------
    TrainResult

    Raises
    ------
    InputError
        If there is nothing to learn from, `output` holds another model, or the loss is no
        longer a number (the last good state stays on disk).
    StorageError
        If `output` cannot be written.
    """
    import torch

    config = config or TrainConfig()
    if (base is None) == (spec is None):
        raise ValueError("give either a base checkpoint or a spec")
    spec = base.spec if base is not None else spec
    assert spec is not None  # for the type checker; the line above raised otherwise
    output = Path(output)
    _require_free(output, resume)
    with storage_errors(output):
        output.mkdir(parents=True, exist_ok=True)
    device = choose_device(config.device)

    for leftover in output.glob(f"{_CACHE}*"):  # of a run that was killed
        shutil.rmtree(leftover, ignore_errors=True)
    # Windows keeps mapped files; what cannot be removed now goes with the next run.
    with TemporaryDirectory(dir=output, prefix=_CACHE, ignore_cleanup_errors=True) as cache:
        learned = yield from load_cases(cases, spec, Path(cache), "Reading cases")
        held_out = yield from load_cases(validation, spec, Path(cache), "Reading validation cases")
        source = PatchSource(learned, _patch_shape(spec), config.lesion_fraction)
        _require_cases(learned)
        augmentation = Augmentation(spec.dims, config.augmentation, RANGES[config.variation])

        torch.manual_seed(config.seed)
        network = build(spec)
        if base is not None:
            network.load_state_dict(base.network.state_dict())
        averaged = build(spec)
        averaged.load_state_dict(network.state_dict())
        layout = place(network.train(), device, spec.dims)
        place(averaged, device, spec.dims)
        optimizer = torch.optim.AdamW(
            network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        run = RunState(_fingerprint(config, spec, learned, held_out, base))
        if resume and (output / STATE_FILE).is_file():
            run.restore(output / STATE_FILE, network, averaged, optimizer)
        events = _open_events(output, run.step)
        clock = time.perf_counter() - run.seconds
        resumed_at, resumed_s = run.step, run.seconds

        batches = batches_from(
            BatchMaker(source, augmentation, spec, config), run.step, config.steps, config.loaders
        )
        is_between_steps = True
        try:
            while run.step < config.steps:
                rate = learning_rate(run.step, config)
                for group in optimizer.param_groups:
                    group["lr"] = rate
                torch.manual_seed(hash((config.seed, run.step)) % 2**31)  # dropout
                inputs, labels = next(batches)
                logits = network(inputs.to(device, memory_format=layout))
                loss = segmentation_loss(
                    logits, labels.to(device), dice_over_batch=config.dice_over == "batch"
                )
                optimizer.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                loss_value = float(loss.detach())
                if not math.isfinite(loss_value):
                    raise InputError(
                        "Needed a loss that is a number",
                        f"got {loss_value} at step {run.step + 1}",
                        "The state before is kept: train again with a smaller learning rate, "
                        "and check the images for extreme values",
                    )
                optimizer.step()
                run.step += 1
                _average_into(averaged, network, config.averaging, run.step)
                run.seconds = time.perf_counter() - clock
                metrics = {"loss": loss_value, "learning_rate": rate}
                is_last = run.step == config.steps
                is_between_steps = False
                if held_out and (is_last or run.step % config.validate_every == 0):
                    dice = yield from _mean_dice(averaged, spec, held_out, device)
                    metrics["val_dice"] = dice
                    run.keep_if_best(dice, averaged)
                elif is_last:
                    run.keep_if_best(None, averaged)
                run.note(metrics)
                is_between_steps = True
                for key, value in metrics.items():
                    events.add_scalar(key, value, run.step)
                if is_last or run.step % config.save_every == 0:
                    run.save(output, network, averaged, optimizer)
                steps_left = config.steps - run.step
                pace = (run.seconds - resumed_s) / max(1, run.step - resumed_at)
                metrics["seconds_left"] = pace * steps_left
                yield Progress("Training", run.step, config.steps, metrics)
        except GeneratorExit:
            if is_between_steps:  # else the state written last is the one to go on from
                run.save(output, network, averaged, optimizer)
            raise
        finally:
            batches.close()
            events.close()

    info = ModelInfo(
        name=name or output.resolve().name,
        spec=spec,
        training=TrainingRecord(
            datasets=list(datasets),
            fold=fold,
            training_cases=[case.case_id for case in learned],
            inherited_cases=[] if base is None else sorted(base.info.training.known_cases),
            inherited_patients=[] if base is None else sorted(base.info.training.known_patients),
            validation_cases=[case.case_id for case in held_out],
            patients=sorted({case.patient_id for case in learned}),
            steps=run.step,
            seed=config.seed,
            config=config.model_dump(),
        ),
        parent=None if base is None else base.info.identity,
        licence="not stated" if base is None else base.info.licence,
    )
    last = {"val_dice": run.last_dice, "best_step": run.step}
    checkpoints.save(
        output / "last", averaged.state_dict(), info.model_copy(update={"metrics": last})
    )
    best = {"val_dice": run.best_dice, "best_step": run.best_step}
    written = checkpoints.save(output, run.best_weights, info.model_copy(update={"metrics": best}))
    return TrainResult(output, written, run.best_step, run.best_dice, run.seconds)


def _fingerprint(
    config: TrainConfig,
    spec: ModelSpec,
    learned: Sequence[TrainingCase],
    held_out: Sequence[TrainingCase],
    base: Checkpoint | None,
) -> str:
    parts = {
        "config": config.model_dump(exclude={"device", "save_every", "loaders"}),
        "spec": spec.model_dump(),
        "cases": [[case.case_id, case.digest] for case in learned],
        "validation": [[case.case_id, case.digest] for case in held_out],
        "base": None if base is None else base.info.weights_sha256,
    }
    return json.dumps(parts, sort_keys=True)


def _patch_shape(spec: ModelSpec) -> tuple[int, int, int]:
    if spec.dims == 3:
        z, y, x = spec.patch_size
        return z, y, x
    return 1 + 2 * spec.context_slices, *spec.patch_size  # type: ignore[return-value]


def _average_into(
    averaged: torch.nn.Module, network: torch.nn.Module, decay: float, step: int
) -> None:
    """Move the running average towards the network; it follows faster in the first steps."""
    import torch

    decay = min(decay, (1 + step) / (10 + step)) if decay else 0.0
    with torch.no_grad():
        current = network.state_dict()
        for key, value in averaged.state_dict().items():
            if value.is_floating_point():
                value.lerp_(current[key], 1.0 - decay)
            else:
                value.copy_(current[key])


def _mean_dice(
    network: torch.nn.Module,
    spec: ModelSpec,
    cases: Sequence[TrainingCase],
    device: torch.device,
) -> Job[float]:
    """Mean Dice over cases at threshold 0.5 on the working grid, `ignore` left out."""
    import torch

    scores = []
    for number, case in enumerate(cases):
        phases = torch.from_numpy(np.array(case.phases, np.float32))
        prepared = Prepared(phases, case.roles, Grid(case.labels.shape))
        job = predict_working(network, spec, prepared, device)
        try:
            while True:  # every batch is a chance to cancel
                next(job)
                yield Progress("Validating", number, len(cases))
        except StopIteration as stop:
            tumor = stop.value[0].numpy() >= 0.5
        is_scored = case.labels != IGNORE
        reference = case.labels == TUMOR
        overlap = np.count_nonzero(tumor & reference & is_scored)
        size = np.count_nonzero(tumor & is_scored) + np.count_nonzero(reference & is_scored)
        scores.append(2 * overlap / size if size else 1.0)
    network.train()
    return float(np.mean(scores))


def _open_events(output: Path, step: int) -> Any:
    from torch.utils.tensorboard import SummaryWriter

    with storage_errors(output):
        return SummaryWriter(str(output / "events"), purge_step=step + 1 if step else None)


def _require_free(output: Path, resume: bool) -> None:
    if checkpoints.is_checkpoint(output):
        raise InputError(
            "Needed a new folder for the trained model",
            f"{output} already holds a finished model",
            "Choose another --output, or delete that folder first",
        )
    if not resume and (output / STATE_FILE).is_file():
        raise InputError(
            "Needed a new folder for the trained model",
            f"{output} holds a training that was interrupted",
            "Add --resume to go on with it, or choose another --output",
        )


def _require_cases(cases: Sequence[TrainingCase]) -> None:
    if not any((case.labels == TUMOR).any() for case in cases):
        raise InputError(
            "Needed at least one accepted case with tumor to train on",
            f"got {len(cases)} accepted cases, none with a marked tumor",
            "Correct and accept a case that shows a tumor first",
        )
