"""`evaluate`: a model against the accepted masks of a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ..core.errors import InputError
from ._choices import Device, Model, Threshold, load_model, open_dataset
from ._console import AsJson, note, print_json, print_table, run, say
from ._planning import Part, is_in_part, part_of
from ._resuming import made_by, made_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..dataset import Dataset
    from ..scoring.scores import CaseScores


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
    part: Part = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Take the scores in --output that follow from the same image, mask, model and "
            "settings. After the parts of --part: what is said of all cases together.",
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only list the cases; predict and write nothing.")
    ] = False,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Score a model on accepted cases: Dice, surface distances, volumes, lesions, curves."""
    from ..predict.prediction import predict
    from ..scoring.evaluation import scoring_cases
    from ..scoring.held_out import cases_to_score, evaluate_dataset
    from ..scoring.kept_scores import KeptScores

    own_part = part_of(part)
    if (own_part or resume) and output is None:
        raise InputError(
            "Expected --output with --part and --resume",
            "found none",
            "Give the folder that all parts share: each keeps the scores of its cases there",
        )
    checkpoint = load_model(model)
    opened = open_dataset(dataset)
    which: dict[str, Any] = {"split": split, "include_trained": include_trained}
    how = made_by([checkpoint], {"device": device, "threshold": threshold})
    kept = None
    if output is not None and (own_part or resume):
        kept = KeptScores(
            output / "cases", lambda case_id: _made_of(opened, case_id, how), reads=resume
        )
    predicting: Any = lambda exam: predict(  # noqa: E731
        checkpoint, exam, device=device, threshold=threshold
    )
    if own_part is None and not dry_run:
        evaluating = evaluate_dataset(
            opened, checkpoint.info, predicting, **which, output=output, kept=kept
        )
        result = run(evaluating, quiet=as_json)
        if as_json:
            print_json(result.to_json())
        else:
            _print_scores(result.cases)
            typer.echo(result.describe())
            if output is not None:
                typer.echo(f"Wrote {output}")
        _exit_if(result.failed)
        return
    cases, trained_on = cases_to_score(opened, checkpoint.info, **which)
    if own_part is not None:
        cases = [case for case in cases if is_in_part(case[0], own_part)]
    if dry_run:
        before = {case[0] for case in cases if kept is not None and kept.get(case[0]) is not None}
        _print_cases([case[:2] for case in cases], before, as_json=as_json)
        return
    scored = run(
        scoring_cases(cases, predicting, output=output, trained_on=trained_on, kept=kept),
        quiet=as_json,
    )
    if as_json:
        failed = [{"case_id": c, "error": e} for c, e in scored.failed.items()]
        print_json({"cases": [vars(row) for row in scored.rows.values()], "failed": failed})
    else:
        _print_scores(scored.rows.values())
        note(f"this is part {part}; the same command with --resume and without --part sums up")
    _exit_if(scored.failed)


def _made_of(dataset: Dataset, case_id: str, how: str) -> str:
    """What the scores of a case follow from."""
    from ..dataset.layout import Layout

    record, layout = dataset.case(case_id), Layout(dataset.folder)
    images = [layout.image(case_id, number) for number in range(len(record.channels))]
    try:
        return made_of(how, [*images, layout.label(case_id)], [record.channels])
    except OSError:
        return ""  # scoring it says what is missing


def _print_cases(cases: Iterable[tuple[str, str]], before: set[str], *, as_json: bool) -> None:
    rows = [
        {
            "case_id": case_id,
            "patient_id": patient_id,
            "status": "done before" if case_id in before else "planned",
        }
        for case_id, patient_id in cases
    ]
    if as_json:
        print_json({"cases": rows})
    else:
        print_table(["case", "patient", ""], [list(row.values()) for row in rows])


def _print_scores(rows: Iterable[CaseScores]) -> None:
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
            for row in rows
        ],
    )


def _exit_if(failed: Iterable[str]) -> None:
    names = list(failed)
    if names:
        say(f"{len(names)} cases failed: {', '.join(names)}")
        raise typer.Exit(1)


def _distance(mm: float | None, px: float | None) -> str:
    if mm is not None:
        return f"{mm:.1f} mm"
    return "" if px is None else f"{px:.1f} px"
