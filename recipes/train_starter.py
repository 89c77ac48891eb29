"""Train the starter model: I-SPY windows for real tumors, phantoms for everything else.

    python recipes/train_starter.py --output starter-work

Made for two CPU cores; takes a GPU where there is one. Interrupted, the same command goes on.
When it is done, `--install` copies the weights in half precision into the package.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import torch
from ispy import IspySlice, enlarged, late, post_only, read_slices, smoothed
from phantoms import PhantomSlab, make_phantom

from napari_breastseg.core.atomic import write_text
from napari_breastseg.core.progress import Job
from napari_breastseg.model import checkpoint
from napari_breastseg.model.unet import ModelSpec, build
from napari_breastseg.training import TrainConfig, TrainResult, train

SPEC = ModelSpec(
    inputs=("pre", "post1", "post1-pre"),
    missing="zero",
    features=(12, 24, 48, 96, 160, 256),
    spacing_mm=(None, 0.714, 0.714),
    patch_size=(192, 192),
)
CONFIG = TrainConfig(
    steps=2200,
    batch_size=24,
    learning_rate=3e-3,
    lesion_fraction=0.6,
    averaging=0.998,
    variation="wide",
    dice_over="patch",
    validate_every=250,
    save_every=100,
)
SECOND = CONFIG.model_copy(
    update={
        "steps": 600,
        "batch_size": 16,
        "learning_rate": 1e-3,
        "averaging": 0.99,
        "variation": "wide, any size",
        "validate_every": 100,
    }
)
"""After CONFIG: slices of unknown pixel size, such as bare PNG files, may show tumors twice as
large in pixels. Learned from the start, that costs accuracy on known sizes."""

INPUTS = ("pre", "post1", "post1-pre", "last-post1", "least-pre")
THIRD = CONFIG.model_copy(
    update={
        "steps": 1100,
        "batch_size": 16,
        "learning_rate": 1e-3,
        "phase_dropout": 0.4,
        "base_share": 0.5,
        "validate_every": 275,
    }
)
"""After SECOND, the second edition: all post-contrast phases, smoother targets, and patients drawn
in every view, with one breast or both, as examples and as counterexamples of whole exams. Trained
alone it marks less of whole synthetic exams and loses on the windows (validation Dice with all
phases, pre and post, post only: 0.763, 0.768, 0.689; the first edition 0.778, 0.778, 0.715); the
average of both (0.774, 0.777, 0.705) keeps most of either.

A fourth stage of 1,200 steps with 480 other synthetic patients was tried and left out: averaged
with the first edition it reaches 0.773, 0.776, 0.707, and on 18 further synthetic exams the same 12
of 15 lesions become candidates."""

THIRD_PATCH = (160, 160)

THROUGH_PLANE_MM = 2.0
"""How far the slices of a volume speak for each other when the model is used."""

SCALES = (1.0, 0.8, 0.6)
"""Scales over which the prediction of slices of unknown pixel size is averaged."""

PHANTOMS, THIRD_PHANTOMS = 180, 420
"""Slabs in the phantom set; four slices each."""

PHANTOM_SHARE, THIRD_PHANTOM_SHARE = 0.15, 0.4
"""Share of the patches that comes from phantoms."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("starter-work"))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--loaders", type=int, default=1, help="processes that make patches")
    parser.add_argument(
        "--from-edition", type=Path, help="checkpoint of the first edition: the third stage alone"
    )
    parser.add_argument("--install", action="store_true", help="copy the result into the package")
    arguments = parser.parse_args()
    work = arguments.output
    if arguments.install:
        install(work / "third" / "last")
        keep_curves(work)
        return
    root = Path(__file__).resolve().parent.parent
    data = Path(os.environ.get("BREASTSEG_TEST_DATA", root.parent / "shared" / "data"))
    if not (data / "ispy_slices").is_dir():
        sys.exit(f"Expected the folder ispy_slices in {data}. Set BREASTSEG_TEST_DATA.")
    slices = read_slices(data / "ispy_slices")
    how = {"device": arguments.device, "loaders": arguments.loaders}
    first_edition = arguments.from_edition or work / "model"
    if not checkpoint.is_checkpoint(first_edition):
        train_first_edition(slices, work, how)
    edition = widened(checkpoint.load(first_edition))
    real = twice(smoothed(slices["train"]))
    validation = [*slices["validation"], *post_only(slices["validation"])]
    slabs = draw_phantoms(real, work / "phantoms-2", THIRD_PHANTOMS, THIRD_PHANTOM_SHARE, posts=3)
    stage(work / "third", edition, THIRD, [*real, *slabs], validation, how)


def train_first_edition(
    slices: Mapping[str, Sequence[IspySlice]], work: Path, how: Mapping[str, object]
) -> None:
    """The first two stages, on pre and the first post-contrast phase; the model is in `work`."""
    two = ("pre", "post1")
    real = twice([replace(one, roles=two) for one in slices["train"]])
    cases: list[IspySlice | PhantomSlab] = [
        *real,
        *draw_phantoms(real, work / "phantoms", PHANTOMS, PHANTOM_SHARE, posts=1),
    ]
    pairs = [replace(one, roles=two) for one in slices["validation"]]
    single = post_only(slices["validation"])
    validation = [*pairs, *single, *enlarged(single)]
    if not checkpoint.is_checkpoint(work / "first"):
        stage(work / "first", SPEC, CONFIG, cases, validation, how)
    stage(work / "model", checkpoint.load(work / "first"), SECOND, cases, validation, how)


def stage(
    folder: Path,
    begin: checkpoint.Checkpoint | ModelSpec,
    config: TrainConfig,
    cases: Sequence[IspySlice | PhantomSlab],
    validation: Sequence[IspySlice],
    how: Mapping[str, object],
) -> None:
    """Train from a model, or from nothing, into a folder; interrupted, go on there."""
    print(f"{folder.name}: {len(cases)} slices and slabs to learn from", flush=True)
    follow(
        train(
            cases,
            folder,
            spec=begin if isinstance(begin, ModelSpec) else None,
            base=None if isinstance(begin, ModelSpec) else begin,
            config=config.model_copy(update=dict(how)),
            validation=validation,
            name="starter",
            datasets=["ispy_slices", "phantoms"],
            resume=True,
        )
    )


def twice(slices: Sequence[IspySlice]) -> list[IspySlice]:
    """The slices, and every second one with the late phase."""
    return [*slices, *late(slices)]


def draw_phantoms(
    real: Sequence[IspySlice], folder: Path, count: int, share: float, *, posts: int
) -> list[PhantomSlab]:
    """Slabs in as many groups as make this share of the patients drawn."""
    patients = len({one.patient_id for one in real})
    groups = max(1, round(patients * share / (1 - share)))
    names = [f"phantoms {number % groups}" for number in range(count)]
    with ProcessPoolExecutor() as pool:
        return list(pool.map(make_phantom, range(count), [folder] * count, names, [posts] * count))


def widened(base: checkpoint.Checkpoint) -> checkpoint.Checkpoint:
    """A model that takes `INPUTS`, and says of those it knew what it said before."""
    spec = base.spec.model_copy(update={"inputs": INPUTS, "patch_size": THIRD_PATCH})
    network = build(spec)
    weights = dict(base.network.state_dict())
    (first,) = (name for name in weights if name.startswith("stem") and "conv_0.conv.w" in name)
    wider = torch.zeros_like(network.state_dict()[first])
    wider[:, : weights[first].shape[1]] = weights[first]
    network.load_state_dict({**weights, first: wider})
    return replace(base, network=network, info=base.info.model_copy(update={"spec": spec}))


def follow(job: Job[TrainResult]) -> None:
    """Print every 50th step and every validation."""
    for progress in job:
        if "val_dice" in progress.metrics or (progress.metrics and progress.done % 50 == 0):
            figures = "  ".join(f"{k} {v:.4g}" for k, v in progress.metrics.items())
            print(f"{progress.stage} {progress.done}/{progress.total}  {figures}", flush=True)


def install(model: Path) -> None:
    """Put the weights, in half precision, where the package looks for its starter.

    The last weights are used, not those of the best validation: twelve patients tell steps apart
    only roughly, and the learning rate comes down to the end.
    """
    trained = checkpoint.load(model)
    looks = {"through_plane_mm": THROUGH_PLANE_MM, "scales": SCALES}
    info = trained.info.model_copy(
        update={
            "spec": trained.spec.model_copy(update=looks),
            "licence": "CC BY 4.0, see MODEL_CARD.md for the attribution of the training data",
        }
    )
    written = checkpoint.save(checkpoint.STARTER, trained.network.state_dict(), info, half=True)
    size = (checkpoint.STARTER / checkpoint.WEIGHTS_FILE).stat().st_size
    print(f"Installed {written.identity}, {size / 1e6:.1f} MB, in {checkpoint.STARTER}")


def keep_curves(work: Path) -> None:
    """All stages' histories and their picture, beside this script."""
    import csv

    from matplotlib.figure import Figure

    folder = Path(__file__).resolve().parent / "starter"
    folder.mkdir(exist_ok=True)
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    for axes, stage, title in zip(
        figure.subplots(1, 3),
        ("first", "model", "third"),
        ("first stage", "second stage", "third stage"),
        strict=True,
    ):
        text = (work / stage / "history.csv").read_text()
        write_text(folder / f"{title.replace(' ', '-')}.csv", text)
        rows = list(csv.DictReader(text.splitlines()))
        losses = [float(row["loss"]) for row in rows if row["loss"]]
        smooth = [sum(losses[max(0, n - 49) : n + 1]) / min(n + 1, 50) for n in range(len(losses))]
        axes.plot(smooth, color="#999999", label="loss, mean of 50 steps")
        scored = [(int(r["step"]), float(r["val_dice"])) for r in rows if r["val_dice"]]
        axes.plot(*zip(*scored, strict=True), color="#0072b2", marker="o", label="validation Dice")
        axes.set(title=title, xlabel="step", ylim=(0, 1.5))
        axes.legend(frameon=False)
    figure.savefig(folder / "curves.png", dpi=100)


if __name__ == "__main__":
    main()
