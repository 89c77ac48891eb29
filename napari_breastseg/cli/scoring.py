"""`evaluate`: a model against the accepted masks of a dataset."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import typer

from ..dataset import Dataset
from ..errors import InputError
from ..volume import Exam, LabelMap
from ._choices import Device, Model, load_model
from ._console import AsJson, print_json, print_table, run, say


class _Cases:
    """Cases read one at a time, with a length for the progress bar."""

    def __init__(self, dataset: Dataset, case_ids: tuple[str, ...]) -> None:
        self.dataset = dataset
        self.case_ids = case_ids

    def __len__(self) -> int:
        return len(self.case_ids)

    def __iter__(self) -> Iterator[tuple[str, str, Exam, LabelMap]]:
        for case_id in self.case_ids:
            patient_id = self.dataset.case(case_id).patient_id
            yield case_id, patient_id, self.dataset.exam(case_id), self.dataset.label_map(case_id)


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
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Score a model on accepted cases: Dice, surface distances, volumes, lesions, curves."""
    from ..evaluation import evaluate as evaluate_cases
    from ..prediction import predict

    opened = Dataset.open(dataset)
    checkpoint = load_model(model)
    training = checkpoint.info.training
    case_ids = _chosen(opened, split, training.fold or 0)
    known = sorted(set(case_ids) & set(training.training_cases))
    if known and opened.name in training.datasets:
        say(
            f"{len(known)} of {len(case_ids)} cases were trained on: these scores flatter the model"
        )
    result = run(
        evaluate_cases(
            _Cases(opened, case_ids),
            lambda exam: predict(checkpoint, exam, device=device, threshold=threshold),
            output=output,
        ),
        quiet=as_json,
    )
    if as_json:
        print_json(result.to_json())
    else:
        print_table(
            ["case", "patient", "Dice", "HD95", "found", "false"],
            [
                [
                    row.case_id,
                    row.patient_id,
                    f"{row.dice:.3f}",
                    _distance(row.hd95_mm, row.hd95_px),
                    f"{row.lesions_found}/{row.lesions}",
                    row.false_positives,
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


def _chosen(dataset: Dataset, split: str, fold: int) -> tuple[str, ...]:
    if split == "all":
        return tuple(record.case_id for record in dataset.cases() if record.is_accepted)
    if split == "val":
        return dataset.split(fold).val
    locked = dataset.locked()
    if not locked:
        raise InputError(
            "Needed accepted cases of patients locked for testing",
            f"dataset {dataset.name} has none; the tenth patient is the first to be locked",
            "Use --split val, or accept cases of more patients",
        )
    return locked


def _distance(mm: float | None, px: float | None) -> str:
    if mm is not None:
        return f"{mm:.1f} mm"
    return "" if px is None else f"{px:.1f} px"
