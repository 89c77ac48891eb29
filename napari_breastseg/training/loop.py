"""Training a model from scratch or from a checkpoint: one loop to read from top to bottom.

Every step's patches depend on (seed, step) alone and the whole state is one file replaced
atomically, so a run that was killed goes on to the same weights as one that was not, within
rounding and on one kind of machine. Imports no Qt.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.atomic import storage_errors
from ..core.progress import Job, Progress
from ..lesions.finding_score import FindingScore
from ..model import checkpoint as checkpoints
from ..model.card import model_card
from ..model.checkpoint import Checkpoint, ModelInfo, TrainingRecord
from ..model.unet import ModelSpec
from ..predict.devices import choose_device
from .augmentation import RANGES, Augmentation
from .batches import BatchMaker, batches_from
from .cases import CaseSource, TrainingCase, load_cases
from .clicks import ClickTuning
from .config import TrainConfig
from .events import EventLog
from .learner import Learner
from .likening import site_of
from .preparing import (
    alone_in,
    cases_folder,
    drawn_phantoms,
    fingerprint,
    patches,
    require_free,
    require_trainable,
    require_tumor,
)
from .ranks import joined
from .state import STATE_FILE, RunState
from .steps import unfinite
from .validating import Validation, mean, validated, validation_of

__all__ = ["TrainResult", "train"]


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

    dice_before: float | None = None
    """Validation Dice before the first step, of the model that was fine-tuned."""

    clicks: ClickTuning | None = None
    """What became of the click network; None where it was not fine-tuned."""

    @property
    def gain(self) -> str:
        """What the training brought on patients it did not learn from, in a sentence or two."""
        clicks = "" if self.clicks is None else f" {self.clicks.describe()}"
        return f"{self._gain}{clicks}"

    @property
    def _gain(self) -> str:
        training = self.info.training
        if self.val_dice is None or training.is_validated_on_its_own:
            return "No patient was kept apart, so what it brought for other patients is not known."
        count = len(training.validation_cases)
        where = f"On {count} case{'' if count == 1 else 's'} of patients it did not learn from"
        if self.dice_before is None:
            return f"{where}, the mean Dice is {self.val_dice:.2f}."
        return (
            f"{where}, the mean Dice went from {self.dice_before:.2f} to {self.val_dice:.2f} "
            f"({self.val_dice - self.dice_before:+.2f})."
        )


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
    dataset_cases: Mapping[str, list[str]] | None = None,
    fold: int | None = None,
    resume: bool = False,
    finding_score: FindingScore | None = None,
    beside: Callable[[], Job[ClickTuning | None]] | None = None,
) -> Job[TrainResult]:
    """Train a model on annotated cases.

    Parameters
    ----------
    cases : sequence of CaseSource
        What is learned from. Voxels marked `ignore` teach nothing.
    output : Path
        Becomes a checkpoint folder: best weights, ``last/``, history.csv, and TensorBoard
        events where TensorBoard is installed.
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
    datasets, dataset_cases, fold
        Recorded in model.json.
    resume : bool
        Go on from the state in `output` where an earlier run with the same arguments stopped.
    finding_score : FindingScore, optional
        What orders the model's findings; by default the base's.
    beside : callable, optional
        Gives the job that makes the click network that goes with the model. It runs after the last
        step and before the model is written, so that a run killed in it goes on, too.

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
        memory than there is, or training diverged (``last/`` then holds the model of the step
        before, and the state before stays on disk).
    StorageError
        If `output` cannot be written.

    Notes
    -----
    When a step runs out of memory, its patches are learned from in two parts, then four, whose
    gradients are summed: a step stays a step, only its batch norms see fewer patches at a time.
    Under torchrun several processes share every step, see `ranks`.
    """
    config = config or TrainConfig()
    if (base is None) == (spec is None):
        raise ValueError("give either a base checkpoint or a spec")
    spec = base.spec if base is not None else spec
    assert spec is not None  # for the type checker; the line above raised otherwise
    require_trainable(spec)
    score = None if base is None else base.info.finding_score
    score = score if finding_score is None else finding_score.model_dump(mode="json")
    output = Path(output)
    require_free(output, resume)
    with storage_errors(output):
        output.mkdir(parents=True, exist_ok=True)
    device = choose_device(config.device)

    with joined(device) as ranks, alone_in(output, ranks), cases_folder(output, ranks) as cache:
        ranks.require_shares(config.batch_size)
        learned = yield from load_cases(cases, spec, cache, "Reading cases")
        held_out = yield from load_cases(validation, spec, cache, "Reading validation cases")
        require_tumor(learned)
        phantoms = yield from drawn_phantoms(spec, config, cache)
        source = patches(learned, phantoms, spec, config)
        site = None
        if base is not None and config.keeps_base:
            site = yield from site_of(base, learned, phantoms, device)
        tests = yield from validation_of(held_out, spec, base, site, device, ranks)

        learner = Learner(spec, config, base, device, ranks)
        run = RunState(fingerprint(config, spec, learned, held_out, base))
        if resume and (output / STATE_FILE).is_file():
            run.restore(output / STATE_FILE, learner.network, learner.averaged, learner.optimizer)

        def describe(dice: float | None, step: int) -> ModelInfo:
            """What model.json says of the weights that had this Dice at this step."""
            return ModelInfo(
                name=name or output.resolve().name,
                spec=spec,
                finding_score=score,
                site=site,
                training=_record(
                    learned, held_out, base, config, run.step, datasets, dataset_cases, fold
                ),
                parent=None if base is None else base.info.identity,
                licence="not stated" if base is None else base.info.licence,
                metrics={"val_dice": dice, "best_step": step},
            )

        augmentation = Augmentation(spec.dims, config.augmentation, RANGES[config.variation])
        maker = BatchMaker(source, augmentation, spec, config, ranks)
        with (
            closing(batches_from(maker, run.step, config.steps, config.loaders)) as batches,
            closing(EventLog(output, run.step, is_written=ranks.is_first)) as events,
        ):
            if events.problem:
                yield Progress("Training", run.step, config.steps, message=events.problem)
            yield from _steps(learner, run, batches, tests, output, events, describe)

        clicks = None
        if beside is not None and ranks.is_first:
            clicks = yield from beside()
        written = describe(run.best_dice, run.best_step)
        if ranks.is_first:
            learner.save_last(output, describe(run.last_dice, run.step))
            written = checkpoints.save(
                output,
                run.best_weights,
                written,
                general=learner.general_weights,
                card=lambda info: model_card(info, "" if base is None else base.card),
            )
    return TrainResult(
        output, written, run.best_step, run.best_dice, run.seconds, run.dice_before, clicks
    )


def _steps(
    learner: Learner,
    run: RunState,
    batches: Iterator[Any],
    tests: Validation,
    output: Path,
    events: EventLog,
    describe: Callable[[float | None, int], ModelInfo],
) -> Job[None]:
    """The steps of a run, from the one it stands at to the last; its state is kept on disk."""
    config, ranks = learner.config, learner.ranks
    clock = time.perf_counter() - run.seconds
    resumed_at, resumed_s = run.step, run.seconds

    def save() -> None:
        if ranks.is_first:
            run.save(output, learner.network, learner.averaged, learner.optimizer)

    held_out = tests.cases
    is_between_steps = True
    try:
        if learner.is_fine_tuning and held_out and not run.history:
            before = yield from tests.of_base()
            run.note({"val_dice": mean(before)})
            events.add({"val_dice": mean(before)}, 0)
            yield validated(Progress("Training", 0, config.steps), held_out, before)
        while run.step < config.steps:
            rate = learner.set_rate(run.step)
            loss, norm = yield from learner.look_at(next(batches), run)
            if not (math.isfinite(loss) and math.isfinite(norm)):
                if run.step and ranks.is_first:
                    learner.save_last(output, describe(run.last_dice, run.step))
                raise unfinite(loss, norm, run.step, output)
            is_between_steps = False
            run.step += 1
            learner.step(run.step)
            run.seconds = time.perf_counter() - clock
            metrics = {"loss": loss, "learning_rate": rate}
            is_last = run.step == config.steps
            after: list[float] = []
            if held_out and (is_last or run.step % config.validate_every == 0):
                after = yield from tests.of(learner)
                metrics["val_dice"] = mean(after)
                run.keep_if_best(mean(after), learner.kept())
            elif is_last:
                run.keep_if_best(None, learner.kept())
            run.note(metrics)
            is_between_steps = True
            events.add(metrics, run.step)
            if is_last or run.step % config.save_every == 0:
                save()
            pace = (run.seconds - resumed_s) / max(1, run.step - resumed_at)
            metrics["seconds_left"] = pace * (config.steps - run.step)
            yield validated(Progress("Training", run.step, config.steps, metrics), held_out, after)
    except GeneratorExit:
        # In mid-step the state written last is the one to go on from.
        if is_between_steps:
            save()
        raise


def _record(
    learned: Sequence[TrainingCase],
    held_out: Sequence[TrainingCase],
    base: Checkpoint | None,
    config: TrainConfig,
    steps: int,
    datasets: Sequence[str],
    dataset_cases: Mapping[str, list[str]] | None,
    fold: int | None,
) -> TrainingRecord:
    """What a model learned from, and how."""
    before = None if base is None else base.info.training
    return TrainingRecord(
        datasets=list(datasets),
        dataset_cases=dict(dataset_cases or {}),
        fold=fold,
        training_cases=[case.case_id for case in learned],
        inherited_cases=[] if before is None else sorted(before.known_cases),
        inherited_patients=[] if before is None else sorted(before.known_patients),
        validation_cases=[case.case_id for case in held_out],
        patients=sorted({case.patient_id for case in learned}),
        steps=steps,
        seed=config.seed,
        config=config.model_dump(),
    )
