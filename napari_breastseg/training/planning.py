"""From dataset folders to a training run: which cases, which network, how many steps.

Imports no Qt.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ..core.errors import InputError
from ..core.progress import Job
from ..dataset import Dataset
from ..model.checkpoint import Checkpoint, load
from ..model.unet import ModelSpec
from ..predict.prediction import score_of
from .cases import DatasetCase
from .clicks import ClickTuning, can_tune_clicks, click_steps, tune_clicks
from .config import TrainConfig
from .decisions import learned_score
from .likening import can_keep_base
from .loop import TrainResult, train
from .splitting import split_by_patient

__all__ = ["plan_config", "plan_config_for", "plan_spec", "train_dataset"]

SCRATCH_STEPS = 260
"""Steps from fresh weights: what tens of slices need."""

SCRATCH_FEATURES = (8, 24, 48, 96, 160, 160)
"""Channels per level when starting fresh: few at full resolution, where most of the time goes."""

SCRATCH_SCALES = (1.0, 0.9, 0.8)
"""Scales over which the prediction of slices of unknown pixel size is averaged."""

SCRATCH_PERCENTILES = (0.5, 99.95)
"""Percentiles that become 0 and 1. Bright lesions, glands and the heart fill up to some percent of
a slice; an upper percentile above all of them lets the same tissue have the same value."""

LARGEST_PATCH = 256
"""Largest side of a training patch, in pixels."""

REPLAY = 0.25
"""Share of each step from synthetic exams: heart, muscle and skin beside a few real cases."""

FIXED_BASE_SHARE = 0.65
"""Share of the base in a model that cannot keep it beside. What is lost elsewhere grows about with
the square of what is moved, what is gained here less than in proportion."""

FIXED_ENCODER_RATE = 0.3

SITE_BASE_SHARE = 0.35
"""Share of the base in the site's own network, where the base is kept beside. On other patients of
two sites made for the purpose, one was served best by none of it, the other by half
(benchmarks/results/fine_tuning_settings_tried.md)."""

FINE_TUNE_STEPS = (30, 200)
"""Fewest and most steps from a trained model; 15 times the root of the number of cases between."""


def train_dataset(
    datasets: Sequence[Dataset],
    output: Path,
    *,
    base: Checkpoint | None,
    fold: int | None = 0,
    steps: int | None = None,
    seed: int = 0,
    device: str = "auto",
    resume: bool = False,
    name: str | None = None,
    base_share: float | None = None,
) -> Job[TrainResult]:
    """Train on the accepted cases of dataset folders; locked patients are never read.

    When a model is fine-tuned and patients are held out, its click network is fine-tuned, too.

    Parameters
    ----------
    datasets : sequence of Dataset
        At least one. Case ids may repeat between them.
    output : Path
        Becomes the checkpoint folder.
    base : Checkpoint or None
        Model to fine-tune; None starts from fresh weights.
    fold : int or None
        Fold held out to choose the best step; None trains on every unlocked case.
    steps : int, optional
        Optimizer steps; by default what suits starting fresh or fine-tuning.
    seed, device, resume, name
        As in `train`.
    base_share : float, optional
        When fine-tuning, fixed share of the base model in the result, 0 to below 1. By default
        the base is kept beside the trained model, and their share is chosen exam by exam.

    Returns
    -------
    TrainResult

    Raises
    ------
    InputError
        If a dataset has no accepted case, no such fold, or lacks a phase the model needs.
    """
    learned, held_out = split_by_patient(datasets, fold)
    spec = None
    if base is None:
        spec = plan_spec(datasets)
    else:
        for dataset in datasets:
            _require_channels(dataset, base)
    score = None if base is None else score_of(base.info)
    config = plan_config_for(
        base, cases=len(learned), steps=steps, seed=seed, device=device, base_share=base_share
    )
    beside = None
    if base is not None and can_tune_clicks(base, learned, held_out):
        beside = partial(
            _tuning_clicks, base, learned, held_out, output, click_steps(config.steps), seed
        )
    return (
        yield from train(
            learned,
            output,
            base=base,
            spec=spec,
            config=config,
            validation=held_out,
            name=name,
            datasets=[dataset.name for dataset in datasets],
            dataset_cases=_by_dataset([*learned, *held_out]),
            fold=fold,
            resume=resume,
            finding_score=None if score is None else learned_score(score, learned),
            beside=beside,
        )
    )


def _tuning_clicks(
    base: Checkpoint,
    learned: list[DatasetCase],
    held_out: list[DatasetCase],
    output: Path,
    steps: int,
    seed: int,
) -> Job[ClickTuning | None]:
    """Fine-tune the click network of a model."""
    clicks = load(base.clicks)
    return (yield from tune_clicks(learned, held_out, clicks, output, steps=steps, seed=seed))


def _by_dataset(cases: Sequence[DatasetCase]) -> dict[str, list[str]]:
    """Ids of cases by the id of their dataset; a name may be that of two datasets."""
    found: dict[str, list[str]] = {}
    for case in cases:
        of_dataset = found.setdefault(case.dataset.id, [])
        if case.case_id not in of_dataset:
            of_dataset.append(case.case_id)
    return found


def plan_config_for(
    base: Checkpoint | None,
    *,
    cases: int,
    steps: int | None = None,
    seed: int = 0,
    device: str = "auto",
    base_share: float | None = None,
) -> TrainConfig:
    """Settings that suit this many cases and this model to start from; None starts fresh."""
    return plan_config(
        is_fine_tuning=base is not None,
        cases=cases,
        steps=steps,
        seed=seed,
        device=device,
        base_share=base_share,
        keeps_base=base is not None and can_keep_base(base.spec),
    )


def plan_config(
    *,
    is_fine_tuning: bool,
    cases: int,
    steps: int | None = None,
    seed: int = 0,
    device: str = "auto",
    base_share: float | None = None,
    keeps_base: bool = True,
) -> TrainConfig:
    """Settings that suit training from scratch or fine-tuning on this many cases.

    A fine-tuned model keeps its base beside, for exams unlike those it is trained on, unless
    `base_share` gives a fixed share of it, or the network cannot (`keeps_base`).

    Examples
    --------
    >>> [plan_config(is_fine_tuning=True, cases=n).steps for n in (2, 8, 50)]
    [30, 42, 106]
    """
    if is_fine_tuning:
        keeps_base = keeps_base and base_share is None
        if base_share is None:
            base_share = SITE_BASE_SHARE if keeps_base else FIXED_BASE_SHARE
        steps = steps or round(min(max(15 * cases**0.5, FINE_TUNE_STEPS[0]), FINE_TUNE_STEPS[1]))
        return TrainConfig(
            steps=steps,
            batch_size=4,
            learning_rate=1e-3,
            # A model that knows tumors learns the reader's outline from the true gray values.
            variation="plain",
            dice_over="patch",
            replay=REPLAY,
            averaging=0.9,
            # A site's images have statistics of their own: what is learned with them suits its
            # other patients best, and the base that is kept beside suits everybody else.
            norm_statistics="batch" if keeps_base else "base",
            encoder_rate=1.0 if keeps_base else FIXED_ENCODER_RATE,
            keeps_base=keeps_base,
            base_share=base_share,
            seed=seed,
            device=device,
            validate_every=max(1, -(-steps // 2)),
        )
    steps = steps or SCRATCH_STEPS
    return TrainConfig(
        steps=steps,
        dice_over="patch",
        replay=REPLAY,
        seed=seed,
        device=device,
        validate_every=max(1, min(50, steps // 2)),
    )


def plan_spec(datasets: Sequence[Dataset]) -> ModelSpec:
    """Network for training from scratch: 2D, on the channels all datasets share.

    A patch is a whole slice where it fits: where in the body a bright spot lies tells tumor from
    heart. Where the pixel size is unknown, predictions are averaged over several scales.

    Raises
    ------
    InputError
        If the datasets have no channel in common.
    """
    shared = [
        channel
        for channel in datasets[0].channels
        if all(channel in dataset.channels for dataset in datasets)
    ]
    if not shared:
        raise InputError(
            "Expected datasets with a channel in common",
            "found "
            + "; ".join(f"{', '.join(d.channels) or 'none'} in {d.name}" for d in datasets),
            "Train on datasets with the same phases",
        )
    stride = 2 ** (len(SCRATCH_FEATURES) - 1)
    side = max(max(case.grid.shape[1:]) for dataset in datasets for case in dataset.cases())
    patch = stride * max(2, min(round(side / stride), LARGEST_PATCH // stride))
    return ModelSpec(
        inputs=tuple(shared),
        features=SCRATCH_FEATURES,
        percentiles=SCRATCH_PERCENTILES,
        mirrored=True,
        scales=SCRATCH_SCALES,
        patch_size=(patch, patch),
    )


def _require_channels(dataset: Dataset, base: Checkpoint) -> None:
    missing = [phase for phase in base.spec.phases if phase not in dataset.channels]
    if missing and base.spec.missing == "refuse":
        raise InputError(
            f"Expected phase {' and '.join(missing)} for model {base.info.name}",
            f"found {', '.join(dataset.channels)} in dataset {dataset.name}",
            "Choose a model made for these phases, or train from scratch",
        )
