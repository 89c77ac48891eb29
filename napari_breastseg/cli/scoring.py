"""`evaluate`: a model against the accepted masks of a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from ._choices import Device, Model, Threshold, load_model, open_dataset
from ._console import AsJson, print_json, print_table, run, say


def evaluate(
    dataset: Annotated[Path, typer.Argument(metavar="DATASET", help="The dataset folder.")],
    model: Model = None,
    split: Annotated[
        Literal["val", "test", "all"],
        typer.Option(help="val: the fold the model held out; test: locked patients; all."),
    ] = "val",
    output: Annotated[
        Path | None, typer.Option(help="Folder for tables, curves and pictures.")
    ] = None,
    threshold: Threshold = 0.5,
    include_trained: Annotated[
        bool,
        typer.Option(
            "--include-trained", help="Also score patients the model was trained on, and mark them."
        ),
    ] = False,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Score a model on accepted cases: Dice, surface distances, volumes, lesions, curves."""
    from ..predict.prediction import predict
    from ..scoring.held_out import evaluate_dataset

    checkpoint = load_model(model)
    result = run(
        evaluate_dataset(
            open_dataset(dataset),
            checkpoint.info,
            lambda exam: predict(checkpoint, exam, device=device, threshold=threshold),
            split=split,
            include_trained=include_trained,
            output=output,
        ),
        quiet=as_json,
    )
    if as_json:
        print_json(result.to_json())
    else:
        print_table(
            ["case", "patient", "Dice", "HD95", "found", "false", ""],
            [
                [
                    row.case_id,
                    row.patient_id,
                    f"{row.dice:.3f}",
                    _distance(row.hd95_mm, row.hd95_px),
                    f"{row.lesions_found}/{row.lesions}",
                    row.false_positives,
                    "trained on" if row.is_trained_on else "",
                ]
                for row in result.cases
            ],
        )
        typer.echo(result.describe())
        if output is not None:
            typer.echo(f"Wrote {output}")
    if result.failed:
        say(f"{len(result.failed)} cases failed: {', '.join(result.failed)}")
        raise typer.Exit(1)


def _distance(mm: float | None, px: float | None) -> str:
    if mm is not None:
        return f"{mm:.1f} mm"
    return "" if px is None else f"{px:.1f} px"
