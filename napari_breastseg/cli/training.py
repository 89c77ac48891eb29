"""`train`: a dataset folder in, a checkpoint folder out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..dataset import Dataset
from ..errors import InputError
from ._choices import Device, load_model
from ._console import AsJson, print_json, run


def train(
    datasets: Annotated[
        list[Path], typer.Argument(metavar="DATASET...", help="Dataset folders to learn from.")
    ],
    output: Annotated[Path, typer.Option(help="Becomes the checkpoint folder.")],
    model: Annotated[
        str | None,
        typer.Option(
            help="Model to start from, or 'scratch' [default: promoted, else starter]",
            metavar="M|scratch",
        ),
    ] = None,
    fold: Annotated[
        str, typer.Option(help="Fold held out to choose the best step, or 'none'.")
    ] = "0",
    seed: Annotated[int, typer.Option(min=0, help="Decides patches and fresh weights.")] = 0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a training that was interrupted.")
    ] = False,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Optimizer steps [default: suits the data]")
    ] = None,
    device: Device = "auto",
    base_share: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=0.99,
            help="Fine-tuning: share of the weights that stays the base model's [default: 0.5]; "
            "0 learns most and forgets most",
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="The model's name [default: the output folder's]")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train on the accepted cases; patients locked for testing are never read."""
    from ..training import train_dataset
    from ..training.ranks import rank_of_environment

    is_first = rank_of_environment() == 0  # of the processes that torchrun started, one speaks
    opened = [Dataset.open(folder) for folder in datasets]
    base = None if model == "scratch" else load_model(model)
    result = run(
        train_dataset(
            opened,
            output,
            base=base,
            fold=_fold(fold),
            steps=steps,
            seed=seed,
            device=device,
            resume=resume,
            name=name,
            base_share=base_share,
        ),
        quiet=as_json or not is_first,
    )
    if not is_first:
        return
    if as_json:
        print_json(
            {
                "folder": str(result.folder),
                "best_step": result.best_step,
                "val_dice": result.val_dice,
                "seconds": round(result.seconds, 1),
                "model": result.info.model_dump(mode="json"),
            }
        )
        return
    dice = "no validation cases" if result.val_dice is None else f"Dice {result.val_dice:.3f}"
    typer.echo(f"Wrote {result.folder}: step {result.best_step}, {dice}, {result.seconds:.0f} s")


def _fold(text: str) -> int | None:
    if text == "none":
        return None
    if text.isdigit():
        return int(text)
    raise InputError("Needed a fold: a number from 0, or none", f"got '{text}'", "Use --fold 0")
