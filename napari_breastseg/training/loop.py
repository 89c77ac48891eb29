"""Training a model from scratch or from a checkpoint: one loop to read from top to bottom.

Every step's patches depend on (seed, step) alone and the whole state is one file replaced
atomically, so a run that was killed goes on to the same weights as one that was not, within
rounding and on one kind of machine. Imports no Qt.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from ..core.atomic import storage_errors, write_text
from ..core.errors import InputError
from ..core.progress import Job, Progress
from ..core.volume import TUMOR
from ..model import checkpoint as checkpoints
from ..model.card import model_card
from ..model.checkpoint import CARD_FILE, Checkpoint, ModelInfo, TrainingRecord
from ..model.unet import ModelSpec, build, place
from ..predict.prediction import choose_device, is_out_of_memory
from .batches import BatchMaker, batches_from
from .cases import CaseSource, TrainingCase, least_share, load_cases
from .config import TrainConfig, learning_rate
from .events import EventLog
from .patches import RANGES, Augmentation, MixedSource, PatchSource
from .ranks import Ranks, joined
from .replay import replay_cases
from .state import STATE_FILE, RunState
from .steps import (
    average_into,
    gradient,
    keep_norm_statistics,
    mixed,
    more_parts,
    rate_groups,
    unfinite,
)
from .validating import dice_of_cases, mean, validated

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
        With ``loss`` every step, ``seconds_left``, and after each validation ``val_dice`` and the
        Dice of each case; of a base model these come first, as step 0.

    Returns
    -------
    TrainResult

    Raises
    ------
    InputError
        If there is nothing to learn from, `output` holds another model, a single patch needs more
        memory than there is, or the loss is no longer a number (``last/`` then holds the model
        before, and the state before stays on disk).
    StorageError
        If `output` cannot be written.

    Notes
    -----
    When a step runs out of memory, its patches are learned from in two parts, then four, whose
    gradients are summed: a step stays a step, only its batch norms see fewer patches at a time.
    Under torchrun several processes share every step, see `ranks`.
    """
    import torch

    config = config or TrainConfig()
    if (base is None) == (spec is None):
        raise ValueError("give either a base checkpoint or a spec")
    spec = base.spec if base is not None else spec
    assert spec is not None  # for the type checker; the line above raised otherwise
    if spec.foreign is not None:
        raise InputError(
            "Expected a model of napari-breastseg to train",
            f"found {spec.title}, made with other software and trained there",
            "Start from the starter or from scratch; `dataset export` writes what nnU-Net takes",
        )
    output = Path(output)
    _require_free(output, resume)
    with storage_errors(output):
        output.mkdir(parents=True, exist_ok=True)
    device = choose_device(config.device)

    with joined(device) as ranks, _cases_folder(output, ranks) as cache:
        ranks.require_shares(config.batch_size)
        learned = yield from load_cases(cases, spec, cache, "Reading cases")
        held_out = yield from load_cases(validation, spec, cache, "Reading validation cases")
        _require_cases(learned)
        source = yield from _patches(learned, spec, config, cache)
        augmentation = Augmentation(spec.dims, config.augmentation, RANGES[config.variation])

        torch.manual_seed(config.seed)
        network = ranks.with_shared_norms(build(spec))
        if base is not None:
            network.load_state_dict(base.network.state_dict())
        averaged = build(spec)
        averaged.load_state_dict(network.state_dict())
        layout = place(network.train(), device, spec.dims)
        place(averaged, device, spec.dims)
        if base is not None and config.norm_statistics == "base":
            keep_norm_statistics(network)
        optimizer = torch.optim.AdamW(
            rate_groups(network, config.encoder_rate), weight_decay=config.weight_decay
        )

        def kept() -> torch.nn.Module:
            """The model as it would be saved now."""
            return averaged if base is None else mixed(averaged, base.network, config.base_share)

        run = RunState(_fingerprint(config, spec, learned, held_out, base))
        if resume and (output / STATE_FILE).is_file():
            run.restore(output / STATE_FILE, network, averaged, optimizer)
        events = EventLog(output, run.step, is_written=ranks.is_first)
        clock = time.perf_counter() - run.seconds
        resumed_at, resumed_s = run.step, run.seconds

        def describe(dice: float | None, step: int) -> ModelInfo:
            return ModelInfo(
                name=name or output.resolve().name,
                spec=spec.model_copy(update=least_share(learned)),
                training=TrainingRecord(
                    datasets=list(datasets),
                    fold=fold,
                    training_cases=[case.case_id for case in learned],
                    inherited_cases=[] if base is None else sorted(base.info.training.known_cases),
                    inherited_patients=[]
                    if base is None
                    else sorted(base.info.training.known_patients),
                    validation_cases=[case.case_id for case in held_out],
                    patients=sorted({case.patient_id for case in learned}),
                    steps=run.step,
                    seed=config.seed,
                    config=config.model_dump(),
                ),
                parent=None if base is None else base.info.identity,
                licence="not stated" if base is None else base.info.licence,
                metrics={"val_dice": dice, "best_step": step},
            )

        maker = BatchMaker(source, augmentation, spec, config, ranks)
        batches = batches_from(maker, run.step, config.steps, config.loaders)
        is_between_steps = True
        try:
            if base is not None and held_out and not run.history:
                before = yield from dice_of_cases(kept(), spec, held_out, device, ranks)
                run.note({"val_dice": mean(before)})
                events.add({"val_dice": mean(before)}, 0)
                yield validated(Progress("Training", 0, config.steps), held_out, before)
            while run.step < config.steps:
                rate = learning_rate(run.step, config)
                for group in optimizer.param_groups:
                    group["lr"] = rate * group["relative_rate"]
                batch = next(batches)
                while True:
                    torch.manual_seed(hash((config.seed, run.step, ranks.rank)) % 2**31)  # dropout
                    optimizer.zero_grad(set_to_none=True)
                    try:
                        loss = gradient(network, batch, config, device, layout, run.parts, ranks)
                        break
                    except RuntimeError as error:
                        if not is_out_of_memory(error) or ranks.count > 1:
                            raise
                    # Only after the handler is the failed step's memory free to be given back.
                    optimizer.zero_grad(set_to_none=True)
                    torch.cuda.empty_cache()
                    run.parts = more_parts(run.parts, config.batch_size, device)
                    message = (
                        f"The {device.type} device ran out of memory; from step {run.step + 1} on "
                        f"the {config.batch_size} patches of a step go in {run.parts} parts"
                    )
                    yield Progress("Training", run.step, config.steps, message=message)
                norm = float(torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0))
                if not (math.isfinite(loss) and math.isfinite(norm)):
                    if run.step and ranks.is_first:
                        info = describe(run.last_dice, run.step)
                        checkpoints.save(output / "last", kept().state_dict(), info)
                    raise unfinite(loss, norm, run.step, output)
                optimizer.step()
                run.step += 1
                average_into(averaged, network, config.averaging, run.step)
                run.seconds = time.perf_counter() - clock
                metrics = {"loss": loss, "learning_rate": rate}
                is_last = run.step == config.steps
                is_between_steps = False
                after: list[float] = []
                if held_out and (is_last or run.step % config.validate_every == 0):
                    after = yield from dice_of_cases(kept(), spec, held_out, device, ranks)
                    metrics["val_dice"] = mean(after)
                    run.keep_if_best(mean(after), kept())
                elif is_last:
                    run.keep_if_best(None, kept())
                run.note(metrics)
                is_between_steps = True
                events.add(metrics, run.step)
                if ranks.is_first and (is_last or run.step % config.save_every == 0):
                    run.save(output, network, averaged, optimizer)
                steps_left = config.steps - run.step
                pace = (run.seconds - resumed_s) / max(1, run.step - resumed_at)
                metrics["seconds_left"] = pace * steps_left
                progress = Progress("Training", run.step, config.steps, metrics)
                yield validated(progress, held_out, after)
        except GeneratorExit:
            # In mid-step the state written last is the one to go on from.
            if is_between_steps and ranks.is_first:
                run.save(output, network, averaged, optimizer)
            raise
        finally:
            batches.close()
            events.close()

        written = describe(run.best_dice, run.best_step)
        if ranks.is_first:
            info = describe(run.last_dice, run.step)
            checkpoints.save(output / "last", kept().state_dict(), info)
            written = checkpoints.save(output, run.best_weights, written)
            card = model_card(written, "" if base is None else base.card)
            write_text(output / CARD_FILE, card)
    return TrainResult(output, written, run.best_step, run.best_dice, run.seconds)


@contextmanager
def _cases_folder(output: Path, ranks: Ranks) -> Iterator[Path]:
    """A temporary folder in `output`; those of runs that were killed are removed."""
    if ranks.is_first:
        for leftover in output.glob(f"{_CACHE}*"):
            shutil.rmtree(leftover, ignore_errors=True)
    ranks.wait()
    with storage_errors(output):
        # Windows keeps mapped files; what cannot be removed in the end goes with the next run.
        folder = TemporaryDirectory(dir=output, prefix=_CACHE, ignore_cleanup_errors=True)
    with folder as cache:
        yield Path(cache)


def _fingerprint(
    config: TrainConfig,
    spec: ModelSpec,
    learned: Sequence[TrainingCase],
    held_out: Sequence[TrainingCase],
    base: Checkpoint | None,
) -> str:
    parts = {
        "config": config.model_dump(exclude={"device", "save_every", "loaders", "mixed_precision"}),
        "spec": spec.model_dump(),
        "cases": [[case.case_id, case.digest] for case in learned],
        "validation": [[case.case_id, case.digest] for case in held_out],
        "base": None if base is None else base.info.weights_sha256,
    }
    return json.dumps(parts, sort_keys=True)


def _patches(
    learned: Sequence[TrainingCase], spec: ModelSpec, config: TrainConfig, cache: Path
) -> Job[PatchSource | MixedSource]:
    """Where patches come from: the cases, and phantoms for the share that is replayed."""
    shape = _patch_shape(spec)
    source = PatchSource(learned, shape, config.lesion_fraction)
    replayed = round(config.replay * config.batch_size)
    phantoms = replay_cases(spec, replayed * config.steps)
    if not phantoms:
        return source
    drawn = yield from load_cases(phantoms, spec, cache, "Drawing synthetic exams")
    replay = PatchSource(drawn, shape, config.lesion_fraction)
    return MixedSource(source, replay, config.batch_size - replayed)


def _patch_shape(spec: ModelSpec) -> tuple[int, int, int]:
    if spec.dims == 3:
        z, y, x = spec.patch_size
        return z, y, x
    return 1 + 2 * spec.context_slices, *spec.patch_size  # type: ignore[return-value]


def _require_free(output: Path, resume: bool) -> None:
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


def _require_cases(cases: Sequence[TrainingCase]) -> None:
    if not any((case.labels == TUMOR).any() for case in cases):
        raise InputError(
            "Expected at least one accepted case with tumor to train on",
            f"found {len(cases)} accepted cases, none with a marked tumor",
            "First correct and accept a case that shows a tumor",
        )
