"""`evaluate`: a model against the accepted masks of a dataset."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ..core.errors import InputError
from ..dataset import Dataset
from ._choices import Device, Model, load_model
from ._console import AsJson, print_json, print_table, run, say

if TYPE_CHECKING:
    from ..model.checkpoint import TrainingRecord


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
    threshold: Annotated[
        float, typer.Option(help="Probability from which a voxel is tumor.")
    ] = 0.5,
    include_trained: Annotated[
        bool,
        typer.Option(
            "--include-trained", help="Score patients the model learned from, too, and mark them."
        ),
    ] = False,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Score a model on accepted cases: Dice, surface distances, volumes, lesions, curves."""
    from ..predict.prediction import predict
    from ..scoring.evaluation import evaluate as evaluate_cases

    opened = Dataset.open(dataset)
    checkpoint = load_model(model)
    training = checkpoint.info.training
    case_ids = _chosen(opened, split, training)
    patient_of = {record.case_id: record.patient_id for record in opened.cases()}
    trained_on = training.learned_from(patient_of.items()).intersection(case_ids)
    if trained_on and not include_trained:
        raise InputError(
            f"Expected cases of patients that {checkpoint.info.name} and the models it was "
            "made from "
            "never learned from",
            f"{len(trained_on)} of {len(case_ids)} cases were trained on",
            "Use --split test, or --split val with a model that held them out; "
            "--include-trained scores them all the same and marks them",
        )
    result = run(
        evaluate_cases(
            [
                (
                    case_id,
                    patient_of[case_id],
                    partial(opened.exam, case_id),
                    partial(opened.label_map, case_id),
                )
                for case_id in case_ids
            ],
            lambda exam: predict(checkpoint, exam, device=device, threshold=threshold),
            output=output,
            trained_on=trained_on,
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


def _chosen(dataset: Dataset, split: str, training: TrainingRecord) -> tuple[str, ...]:
    if split == "all":
        return tuple(record.case_id for record in dataset.cases() if record.is_accepted)
    if split == "val":
        accepted = {record.case_id for record in dataset.cases() if record.is_accepted}
        held_out = [case for case in training.validation_cases if case in accepted]
        # The fold's number can mean other patients once more have entered; the names cannot.
        if held_out and dataset.name in training.datasets:
            return tuple(held_out)
        return dataset.split(training.fold or 0).val
    locked = dataset.locked()
    if not locked:
        raise InputError(
            "Expected accepted cases of patients locked for testing",
            f"dataset {dataset.name} has none; the tenth patient is the first to be locked",
            "Use --split val, or accept cases of more patients",
        )
    return locked


def _distance(mm: float | None, px: float | None) -> str:
    if mm is not None:
        return f"{mm:.1f} mm"
    return "" if px is None else f"{px:.1f} px"
