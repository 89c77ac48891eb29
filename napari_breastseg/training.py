"""Training a model from scratch or from a checkpoint: one loop to read from top to bottom.

Every step's patches depend on (seed, step) alone and the whole state is one file replaced
atomically, so a run that was killed goes on to the same weights as one that was not (CPU, same
seed). Imports no Qt.
"""

from __future__ import annotations

import csv
import io
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from . import checkpoint as checkpoints
from .atomic import atomic_path, storage_errors, write_text
from .augmentation import Augmentation, PatchSource, TrainingCase, make_batch
from .checkpoint import Checkpoint, ModelInfo, TrainingRecord
from .errors import InputError
from .prediction import choose_device, predict_working
from .preprocessing import Prepared, prepare, prepare_labels
from .progress import Job, Progress
from .unet import ModelSpec, build
from .volume import IGNORE, TUMOR, Exam, LabelMap

if TYPE_CHECKING:
    import torch

__all__ = ["CaseSource", "TrainConfig", "TrainResult", "train"]

STATE_FILE = "training_state.safetensors"
HISTORY_FILE = "history.csv"
HISTORY_COLUMNS = ("step", "loss", "learning_rate", "val_dice", "seconds")


class CaseSource(Protocol):
    """Where an annotated case comes from: a dataset folder gives these."""

    case_id: str
    patient_id: str

    def exam(self) -> Exam:
        """The case's phases."""

    def label_map(self) -> LabelMap:
        """The accepted mask, with `ignore` where nobody looked."""


class TrainConfig(BaseModel):
    """How to train; what to train is the model spec's business."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(600, ge=1)
    """Optimizer steps."""

    batch_size: int = Field(8, ge=1)
    """Patches a step."""

    learning_rate: float = Field(4e-3, gt=0)
    """Highest learning rate of the schedule."""

    schedule: Literal["one-cycle", "cosine"] = "one-cycle"
    """one-cycle: up for a quarter of the steps, then down; cosine: from the top down."""

    weight_decay: float = Field(1e-2, ge=0)
    """AdamW's decay."""

    lesion_fraction: float = Field(0.6, ge=0, le=1)
    """Share of patches placed on a tumor."""

    augmentation: float = Field(1.0, ge=0, le=2)
    """Strength of the random variations; 0 switches them off."""

    averaging: float = Field(0.99, ge=0, lt=1)
    """Decay of the running average of the weights, which is what gets saved; 0 for none."""

    validate_every: int = Field(100, ge=1)
    """Steps between validations."""

    save_every: int = Field(50, ge=1)
    """Steps between writes of the state that --resume reads."""

    seed: int = Field(0, ge=0)
    """Decides initial weights, patches and their variation."""

    device: str = "auto"
    """auto, cpu, cuda or mps."""


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

    with TemporaryDirectory(dir=output, prefix=".tmp-cases-") as cache:
        learned = yield from _load_cases(cases, spec, Path(cache), "Reading cases")
        held_out = yield from _load_cases(validation, spec, Path(cache), "Reading validation cases")
        source = PatchSource(learned, _patch_shape(spec), config.lesion_fraction)
        _require_cases(learned)
        augmentation = Augmentation(spec.dims, config.augmentation)

        torch.manual_seed(config.seed)
        network = build(spec)
        if base is not None:
            network.load_state_dict(base.network.state_dict())
        averaged = build(spec)
        averaged.load_state_dict(network.state_dict())
        layout = torch.channels_last if spec.dims == 2 else torch.channels_last_3d
        network.to(device, memory_format=layout).train()
        averaged.to(device, memory_format=layout)
        optimizer = torch.optim.AdamW(
            network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        run = _Run(_fingerprint(config, spec, cases, base))
        if resume and (output / STATE_FILE).is_file():
            run.restore(output / STATE_FILE, network, averaged, optimizer)
        events = _open_events(output, run.step)
        clock = time.perf_counter() - run.seconds
        resumed_at, resumed_s = run.step, run.seconds
        try:
            while run.step < config.steps:
                rate = learning_rate(run.step, config)
                for group in optimizer.param_groups:
                    group["lr"] = rate
                torch.manual_seed(hash((config.seed, run.step)) % 2**31)  # dropout
                inputs, labels = make_batch(
                    source, augmentation, spec,
                    size=config.batch_size, seed=config.seed, step=run.step,
                )
                logits = network(inputs.to(device, memory_format=layout))
                loss = segmentation_loss(logits, labels.to(device))
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
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
                if held_out and (is_last or run.step % config.validate_every == 0):
                    dice = _mean_dice(averaged, spec, held_out, device)
                    metrics["val_dice"] = dice
                    run.keep_if_best(dice, averaged)
                elif is_last:
                    run.keep_if_best(None, averaged)
                run.note(metrics)
                for key, value in metrics.items():
                    events.add_scalar(key, value, run.step)
                if is_last or run.step % config.save_every == 0:
                    run.save(output, network, averaged, optimizer)
                steps_left = config.steps - run.step
                pace = (run.seconds - resumed_s) / max(1, run.step - resumed_at)
                metrics["seconds_left"] = pace * steps_left
                yield Progress("Training", run.step, config.steps, metrics)
        except GeneratorExit:
            run.save(output, network, averaged, optimizer)
            raise
        finally:
            events.close()

    info = ModelInfo(
        name=name or output.resolve().name,
        spec=spec,
        training=TrainingRecord(
            datasets=list(datasets),
            fold=fold,
            training_cases=[case.case_id for case in learned],
            validation_cases=[case.case_id for case in held_out],
            patients=sorted({case.patient_id for case in learned}),
            steps=run.step,
            seed=config.seed,
            config=config.model_dump(),  # type: ignore[call-arg]
        ),
        parent=None if base is None else base.info.identity,
        licence="not stated" if base is None else base.info.licence,
    )
    last = info.model_copy(update={"metrics": {"val_dice": run.last_dice, "best_step": run.step}})
    checkpoints.save(output / "last", averaged.state_dict(), last)
    best = info.model_copy(update={"metrics": {"val_dice": run.best_dice, "best_step": run.best_step}})
    written = checkpoints.save(output, run.best_weights, best)
    return TrainResult(output, written, run.best_step, run.best_dice, run.seconds)


def learning_rate(step: int, config: TrainConfig) -> float:
    """Learning rate of a step, counted from 0.

    Examples
    --------
    >>> config = TrainConfig(steps=100, learning_rate=1.0)
    >>> round(learning_rate(25, config), 3), learning_rate(99, config) < 0.01
    (1.0, True)
    """
    rise = 0.25 * config.steps if config.schedule == "one-cycle" else 0.0
    if step < rise:
        return config.learning_rate * (0.04 + 0.96 * 0.5 * (1 - math.cos(math.pi * step / rise)))
    done = (step - rise) / max(1.0, config.steps - rise)
    return config.learning_rate * (0.001 + 0.999 * 0.5 * (1 + math.cos(math.pi * done)))


def segmentation_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Dice plus cross-entropy over the voxels that are not `ignore`.

    Parameters
    ----------
    logits : Tensor, shape (B, classes, [Z,] Y, X)
    labels : Tensor of int64, shape (B, [Z,] Y, X)
        0, 1, ... and 2 for `ignore`.

    Returns
    -------
    Tensor
        A scalar; 0 with a gradient of 0 when every voxel is ignored.

    References
    ----------
    Milletari, Navab, Ahmadi: V-Net, 3DV 2016, doi 10.1109/3DV.2016.79 (Dice loss), over the
    whole batch as in Isensee et al., nnU-Net, Nat Methods 2021, doi 10.1038/s41592-020-01008-z.
    """
    import torch
    from monai.losses import DiceLoss
    from monai.networks import one_hot
    from torch.nn.functional import cross_entropy

    is_scored = (labels != IGNORE)[:, None]
    known = torch.where(labels == IGNORE, 0, labels)
    probability = logits.softmax(1) * is_scored
    target = one_hot(known[:, None], logits.shape[1]) * is_scored
    # MONAI's MaskedDiceLoss masks before its softmax, which gives ignored voxels a probability;
    # masking both sides after the softmax leaves them out.
    dice = DiceLoss(include_background=False, batch=True)(probability, target)
    summed = cross_entropy(
        logits, torch.where(labels == IGNORE, -100, labels), ignore_index=-100, reduction="sum"
    )
    total: torch.Tensor = summed / is_scored.sum().clamp(min=1) + dice * is_scored.any()
    return total


class _Run:
    """The state of a run: what one file holds and --resume reads."""

    def __init__(self, fingerprint: str) -> None:
        self.fingerprint = fingerprint
        self.step = 0
        self.seconds = 0.0
        self.best_dice: float | None = None
        self.last_dice: float | None = None
        self.best_step = 0
        self.best_weights: dict[str, torch.Tensor] = {}
        self.history: list[dict[str, float]] = []

    def keep_if_best(self, dice: float | None, network: torch.nn.Module) -> None:
        self.last_dice = dice
        if dice is None or self.best_dice is None or dice >= self.best_dice:
            self.best_dice, self.best_step = dice, self.step
            self.best_weights = {k: v.detach().cpu().clone() for k, v in network.state_dict().items()}

    def note(self, metrics: Mapping[str, float]) -> None:
        self.history.append({"step": self.step, **metrics, "seconds": round(self.seconds, 2)})

    def save(
        self,
        output: Path,
        network: torch.nn.Module,
        averaged: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
    ) -> None:
        from safetensors.torch import save_file

        tensors: dict[str, torch.Tensor] = {}
        for prefix, values in (
            ("network", network.state_dict()),
            ("averaged", averaged.state_dict()),
            ("best", self.best_weights),
        ):
            tensors |= {f"{prefix}.{key}": value for key, value in values.items()}
        for index, slots in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{slot}": value for slot, value in slots.items()}
        plain = {
            "fingerprint": self.fingerprint,
            "step": self.step,
            "seconds": self.seconds,
            "best_dice": self.best_dice,
            "last_dice": self.last_dice,
            "best_step": self.best_step,
            "history": self.history,
        }
        stored = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
        with atomic_path(output / STATE_FILE) as temporary, storage_errors(output / STATE_FILE):
            save_file(stored, temporary, metadata={"run": json.dumps(plain)})
        table = io.StringIO()
        writer = csv.DictWriter(table, HISTORY_COLUMNS, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.history)
        write_text(output / HISTORY_FILE, table.getvalue())

    def restore(
        self,
        path: Path,
        network: torch.nn.Module,
        averaged: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
    ) -> None:
        from safetensors import safe_open

        with safe_open(path, framework="pt") as stored:
            plain = json.loads(stored.metadata()["run"])
            tensors = {key: stored.get_tensor(key) for key in stored.keys()}
        if plain.pop("fingerprint") != self.fingerprint:
            raise InputError(
                f"Needed the same data, model and settings to resume the training in {path.parent}",
                "they differ from those it was started with",
                "Repeat the first command with --resume added, or choose a new --output",
            )
        for key, value in plain.items():
            setattr(self, key, value)
        groups: dict[str, dict[str, torch.Tensor]] = {"network": {}, "averaged": {}, "best": {}}
        slots: dict[int, dict[str, torch.Tensor]] = {}
        for key, tensor in tensors.items():
            prefix, _, rest = key.partition(".")
            if prefix == "optimizer":
                index, slot = rest.split(".")
                slots.setdefault(int(index), {})[slot] = tensor
            else:
                groups[prefix][rest] = tensor
        network.load_state_dict(groups["network"])
        averaged.load_state_dict(groups["averaged"])
        self.best_weights = groups["best"]
        state = optimizer.state_dict()
        optimizer.load_state_dict({"state": slots, "param_groups": state["param_groups"]})


def _fingerprint(
    config: TrainConfig, spec: ModelSpec, cases: Sequence[CaseSource], base: Checkpoint | None
) -> str:
    parts = {
        "config": config.model_dump(exclude={"device", "save_every"}),
        "spec": spec.model_dump(),
        "cases": [case.case_id for case in cases],
        "base": None if base is None else base.info.weights_sha256,
    }
    return json.dumps(parts, sort_keys=True)


def _load_cases(
    cases: Sequence[CaseSource], spec: ModelSpec, cache: Path, stage: str
) -> Job[list[TrainingCase]]:
    """Prepared cases as memory maps, so that a hundred exams need no hundred exams of memory."""
    loaded = []
    for number, case in enumerate(cases):
        yield Progress(stage, number, len(cases))
        prepared = prepare(
            case.exam(), spec.phases, spacing_mm=spec.spacing_mm, percentiles=spec.percentiles
        )
        labels = prepare_labels(case.label_map(), spec.spacing_mm)
        arrays = []
        for kind, array in (
            ("phases", prepared.phases.numpy().astype(np.float16)),
            ("labels", labels),
        ):
            path = cache / f"{stage.replace(' ', '-')}-{number}-{kind}.npy"
            with storage_errors(path):
                np.save(path, array)
            arrays.append(np.load(path, mmap_mode="r"))
        loaded.append(TrainingCase(case.case_id, case.patient_id, *arrays))
    return loaded


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
) -> float:
    """Mean Dice over cases at threshold 0.5 on the working grid, `ignore` left out."""
    import torch

    from .progress import drain
    from .volume import Grid

    scores = []
    for case in cases:
        phases = torch.from_numpy(np.array(case.phases, np.float32))
        prepared = Prepared(phases, spec.phases, Grid(case.labels.shape))
        tumor = drain(predict_working(network, spec, prepared, device))[0].numpy() >= 0.5
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
