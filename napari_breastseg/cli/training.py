"""`train`: a dataset folder in, a checkpoint folder out."""

from __future__ import annotations

import os
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core.errors import InputError
from ..core.home import new_training_folder
from ._choices import Device, load_model, open_dataset
from ._console import AsJson, print_json, run

if TYPE_CHECKING:
    from ..dataset import Dataset


def train(
    context: typer.Context,
    datasets: Annotated[
        list[Path], typer.Argument(metavar="DATASET...", help="Dataset folders to train on.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            help="Checkpoint folder to create \\[default: a new one under BREASTSEG_HOME]"
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Model to start from, or 'scratch' \\[default: the default model]",
            metavar="M|scratch",
        ),
    ] = None,
    fold: Annotated[
        str, typer.Option(help="Fold held out to pick the best step, or 'none'.")
    ] = "0",
    seed: Annotated[int, typer.Option(min=0, help="Seed of patches and initial weights.")] = 0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue an interrupted training.")
    ] = False,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Optimizer steps \\[default: automatic]")
    ] = None,
    device: Device = "auto",
    base_share: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=0.99,
            help="Fine-tuning: fixed share of the base model in the final weights; 0 adapts most "
            "and forgets most \\[default: both are kept, their share is chosen exam by exam]",
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the model \\[default: that of the output folder]")
    ] = None,
    if_new: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Train only if at least N accepted cases are new to every registered model and no "
            "other such training is running, then register the model: for a nightly job.",
        ),
    ] = None,
    promote: Annotated[
        bool,
        typer.Option(
            "--promote",
            help="Register the model, check it on the locked patients, and set it as default if it "
            "passes; exit code 1 if it does not.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train on the accepted cases; patients locked for testing are never used."""
    from ..registry.models import Registry
    from ..registry.promotion import new_cases, registered
    from ..registry.promotion import promote as promote_judged
    from ..training import expected, train_dataset
    from ..training.ranks import rank_of_environment

    is_first = rank_of_environment() == 0  # of the processes that torchrun started, one speaks
    opened = [open_dataset(folder) for folder in datasets]
    if if_new is not None and (reason := _why_not_due(context, opened, if_new)):
        if as_json:
            print_json({"folder": None, "not_trained": reason})
        else:
            typer.echo(f"{_now()} {_names(opened)}: not trained, {reason}")
        return
    new = new_cases(Registry(), opened)
    if (promote or if_new is not None) and not resume and (called := name or _folder_name(output)):
        Registry().require_free(called)
    base = None if model == "scratch" else load_model(model)
    how: dict[str, Any] = {
        "base": base,
        "fold": _fold(fold),
        "steps": steps,
        "device": device,
        "base_share": base_share,
    }
    wait = expected(opened, **how)
    if is_first and not as_json:
        typer.echo(f"Training on {wait.describe()}", err=True)
    result = run(
        train_dataset(
            opened,
            output or _new_folder(opened, name, resume),
            seed=seed,
            resume=resume,
            name=name,
            **how,
        ),
        quiet=as_json or not is_first,
    )
    if not is_first:
        return
    entry = promotion = None
    if promote or if_new is not None:
        entry = registered(Registry(), result.folder, name)
    if promote and entry is not None and not entry.is_promoted:
        job = promote_judged(Registry(), entry.name, opened, device=device)
        promotion = run(job, quiet=as_json)
    judgment = None if promotion is None else promotion.judgment.model_dump(mode="json")
    if as_json:
        print_json(
            {
                "folder": str(result.folder),
                "best_step": result.best_step,
                "val_dice": result.val_dice,
                "dice_before": result.dice_before,
                "gain": result.gain,
                "clicks": None if result.clicks is None else asdict(result.clicks),
                "seconds": round(result.seconds, 1),
                "expected_seconds": round(wait.seconds, 1),
                "model": result.info.for_display(),
                "registered": None if entry is None else entry.name,
                "promoted": None if promotion is None else promotion.entry.is_promoted,
                "judgment": judgment,
            }
        )
    else:
        dice = "no validation cases" if result.val_dice is None else f"Dice {result.val_dice:.3f}"
        line = f"Wrote {result.folder}: step {result.best_step}, {dice}, {result.seconds:.0f} s"
        if if_new is not None:
            line = f"{_now()} {_names(opened)}: {len(new)} new cases. {line}"
        line += f". {result.gain}"
        if promotion is not None:
            line += " " + promotion.describe().replace("\n", " ")
        typer.echo(line)
    if promotion is not None and not promotion.entry.is_promoted:
        raise typer.Exit(1)


def _why_not_due(context: typer.Context, datasets: list[Dataset], wanted: int) -> str:
    """Why a nightly training has to wait; else the lock is held until the command ends."""
    from ..registry.models import Registry
    from ..registry.promotion import lone_training, new_cases

    if "TORCHELASTIC_RUN_ID" in os.environ:
        raise InputError(
            "Expected a single process for --if-new",
            "found several processes, started by torchrun",
            "Leave out --if-new, or start the command without torchrun",
        )
    if not context.with_resource(lone_training()):
        return "another automatic training is running"
    count = len(new_cases(Registry(), datasets))
    return f"{count} new cases, {wanted} are needed" if count < wanted else ""


def _new_folder(datasets: list[Dataset], name: str | None, resume: bool) -> Path:
    if resume:
        raise InputError(
            "Expected --resume together with the --output folder of the interrupted training",
            "found no --output",
            "Add --output with the folder that the interrupted training wrote to",
        )
    if "TORCHELASTIC_RUN_ID" in os.environ:  # whose processes might choose different ones
        raise InputError(
            "Expected an --output folder for training in several processes",
            "found no --output",
            "Add --output with the folder that becomes the checkpoint",
        )
    return new_training_folder(name or f"{datasets[0].name}-{datetime.now():%Y%m%d-%H%M}")


def _folder_name(output: Path | None) -> str | None:
    return None if output is None else output.resolve().name


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _names(datasets: list[Dataset]) -> str:
    return ", ".join(dataset.name for dataset in datasets)


def _fold(text: str) -> int | None:
    if text == "none":
        return None
    if text.isdigit():
        return int(text)
    raise InputError("Expected a fold number from 0, or none", f"found '{text}'", "Use --fold 0")
