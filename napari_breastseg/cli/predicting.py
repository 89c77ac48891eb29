"""`predict`: exams in, masks out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import formats
from ..core.errors import InputError, StorageError
from ._choices import (
    Device,
    Model,
    Phases,
    Threshold,
    TumorLabels,
    label_list,
    load_model,
    model_folder,
    phase_list,
)
from ._cluster import Task, on_cluster, require_dask
from ._console import (
    AsJson,
    Pace,
    exit_if_failed,
    note,
    print_json,
    print_table,
    run,
    say,
    show_error,
)
from ._finishing import Finishing, behind
from ._planning import Part, Planned, part_of, plan, print_plan
from ._results import ShowPaths, failed_row, write_csv
from ._resuming import Resuming
from ._segmented import (
    Segmented,
    clicking,
    corrected_masks,
    redrafting,
    segmenting,
    slice_numbers,
)
from ._table import require_writable, table_rows, write_table


def predict(
    exams: Annotated[
        list[Path], typer.Argument(metavar="EXAM...", help="Files or folders of exams.")
    ],
    output: Annotated[Path, typer.Option(help="Folder for the masks.")],
    model: Model = None,
    device: Device = "auto",
    threshold: Threshold = 0.5,
    prob: Annotated[
        bool, typer.Option("--prob", help="Also write <case>_prob, the probabilities.")
    ] = False,
    uncertainty: Annotated[
        bool,
        typer.Option(
            "--uncertainty",
            help="Also give the Dice that the model expects for each mask; takes at least twice as "
            "long.",
        ),
    ] = False,
    breasts: Annotated[
        bool | None,
        typer.Option(
            "--breasts/--whole-exam",
            help="Keep only tumor in the breasts (refused where none are found), or segment all; "
            "by default the breasts where they are found beyond doubt.",
            show_default=False,
        ),
    ] = None,
    like: Annotated[
        list[Path] | None,
        typer.Option(
            help="Corrected mask of the exam, or a folder of masks called after the exams: what "
            "was not reviewed is drafted again from it. Single slices of one run count as one "
            "patient's and learn from each other.",
        ),
    ] = None,
    reviewed: Annotated[
        str | None,
        typer.Option(
            help="Slices of the mask of --like that are right, such as 12,14-16, counted from 1 "
            "\\[default: all but what a mask of this program marks as not reviewed]"
        ),
    ] = None,
    click: Annotated[
        list[str] | None,
        typer.Option(
            metavar="Z,Y,X",
            help="Outline the lesion at this slice, row and column, counted from 1, or at x,y,zmm; "
            "may be given several times.",
        ),
    ] = None,
    not_click: Annotated[
        list[str] | None,
        typer.Option(metavar="Z,Y,X", help="What is here is not the lesion."),
    ] = None,
    only_enhancing: Annotated[
        bool,
        typer.Option(
            "--only-enhancing",
            help="With --click: mark the tissue that enhances alone, without a dead core, not the "
            "outline that a hand would draw.",
        ),
    ] = False,
    tumor_label: TumorLabels = None,
    csv: Annotated[
        Path | None, typer.Option(help="CSV file to write too, one row for each finding shown.")
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(
            help="File (.csv or .parquet) for one row a case: phases and why, view, findings and "
            "volume of each breast, what to look at first, model, and what failed.",
            show_default=False,
        ),
    ] = None,
    show_paths: ShowPaths = False,
    phases: Phases = None,
    stack: Annotated[
        bool, typer.Option("--stack", help="Read a folder of slices as one volume.")
    ] = False,
    part: Part = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Skip a case whose mask is there, made from the same files with the same model "
            "and settings; <case>.done.json beside each mask says of what it was made.",
        ),
    ] = False,
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="local|local:N|ADDRESS",
            help="Segment several exams at once with Dask: in N processes here, or on the workers "
            "of a scheduler, which see the same folders. Needs the extra 'cluster'.",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Only list the cases, their phases and why; write nothing."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Segment exams and write one mask per case."""
    from ..model.checkpoint import load
    from ..predict.uncertainty import load_members

    if (resume or part or scheduler) and (like or click):
        raise InputError(
            "Expected --part, --resume and --scheduler without --like and --click",
            "found both",
            "Leave them out: what was corrected or clicked is done in one run, again each time",
        )
    if like and uncertainty:
        raise InputError(
            "Expected --like or --uncertainty",
            "found both",
            "Leave one out: a redraft has no estimate of its own",
        )
    if scheduler is not None:
        require_dask()
        exams, output = [path.absolute() for path in exams], output.absolute()
    planned, bad_inputs = plan(
        exams,
        output,
        phase_list(phases),
        stack,
        part=part_of(part),
        tables=[file for file in (csv, table) if file is not None],
        show_paths=show_paths,
        quiet=as_json,
    )
    if table is not None:
        require_writable(table)
    if dry_run:
        print_plan(planned, bad_inputs, as_json=as_json)
        exit_if_failed(len(bad_inputs), len(planned) + len(bad_inputs), is_part=part is not None)
        return
    members = load_members(model_folder(model)) if uncertainty else [load_model(model)]
    checkpoint = members[0]
    how: dict[str, Any] = {"device": device, "threshold": threshold, "breasts_only": breasts}
    results: list[dict[str, Any]] = []
    settings = {**how, "uncertainty": uncertainty, "prob": prob, "phases": phases, "stack": stack}
    settings["table"] = table is not None
    resuming = Resuming(members, settings, wanted=resume)
    finishing = Finishing(
        prob=prob,
        is_measured=as_json or resume or csv is not None or table is not None,
        is_looked_at=table is not None,
        breasts=breasts,
        quiet=as_json,
    )
    todo: list[Planned] = []
    for one in planned:
        try:
            kept = resuming.kept(one)
        except InputError as error:
            show_error(error)
            kept = failed_row(one.case.case_id, one.source, error)
        if kept is None:
            todo.append(one)
        else:
            results.append(kept)
    before = sum(row["status"] == "done" for row in results)
    if before:
        note(f"{before} of {len(planned)} cases were done before")
    cases = [one.case for one in todo]
    if click or not_click or only_enhancing:
        _require_clickable(cases, click, [like, uncertainty, breasts is not None])
    if click:
        checkpoint = load(checkpoint.clicks)
        made = clicking(
            checkpoint,
            cases[0],
            click,
            not_click or [],
            only_enhancing=only_enhancing,
            quiet=as_json,
        )
    elif like:
        masks = corrected_masks(like, cases)
        _require_kept([one.mask for one in todo], masks)
        numbers = None if reviewed is None else slice_numbers(reviewed)
        made = redrafting(
            checkpoint,
            cases,
            masks,
            how,
            reviewed=numbers,
            tumor=label_list(tumor_label),
            quiet=as_json,
        )
    elif scheduler is not None:
        made = iter(())
        folder = model_folder(model).absolute()
        task = Task(folder, how, uncertainty, finishing, resuming)
        results += run(on_cluster(scheduler, todo, task), quiet=as_json)
    else:
        made = segmenting(members, cases, how, uncertainty=uncertainty, quiet=as_json)
    outputs = {one.case.case_id: one for one in todo}
    pace = Pace(len(todo))
    # Two bars at a time would write over each other.
    how_finished = replace(finishing, quiet=True) if len(todo) > 1 else finishing

    def finish(files: formats.CaseFiles, outcome: Segmented | InputError) -> dict[str, Any]:
        case = outputs[files.case_id]
        try:
            if isinstance(outcome, InputError):
                raise outcome
            row = how_finished.row(case, outcome)
        except StorageError:
            raise
        except InputError as error:
            show_error(error)
            return failed_row(case.case.case_id, case.source, error)
        resuming.keep(case, row)
        return row

    rows = (
        behind(made, finish)
        if len(todo) > 1
        else (finish(files, outcome) for files, outcome in made)
    )
    for finished, row in enumerate(rows, start=1):
        results.append(row)
        if not as_json:
            pace.tell(finished)
    failed = len(bad_inputs) + sum(row["status"] == "failed" for row in results)
    for given, source, reason in bad_inputs:
        results.append({**failed_row(None, source, reason), "input": given})
    if csv is not None:
        write_csv(csv, results)
    if table is not None:
        write_table(table, table_rows(results, checkpoint.info.identity))
    if as_json:
        print_json({"model": checkpoint.info.identity, "cases": results})
    else:
        done = [row for row in results if row["status"] == "done"]
        if done:
            if uncertainty:
                done.sort(key=lambda row: float(row["predicted_dice"]))  # least certain first
            expected_dice = ["expected Dice"] * uncertainty
            site = ["site"] * (checkpoint.general is not None)
            columns = ["case", "phases", "tumor", "findings", *expected_dice, *site, "mask"]
            print_table(
                columns,
                [
                    [
                        row["case_id"],
                        ", ".join(row["phases"]),
                        _tumor_size(row),
                        _findings_words(row),
                        *([f"{row['predicted_dice']:.2f}"] if uncertainty else []),
                        *([f"{row['site_share'] * 100:.0f} %"] if site else []),
                        row["mask"],
                    ]
                    for row in done
                ],
            )
    if failed:
        say(f"{failed} of {len(results)} failed")
    exit_if_failed(failed, len(results), is_part=part is not None)


def _require_clickable(
    cases: list[formats.CaseFiles], click: list[str] | None, others: list[object]
) -> None:
    """Raise InputError where clicks go with nothing, or with what segments unasked."""
    if not click:
        raise InputError(
            "Expected a click on the lesion",
            "found --not-click or --only-enhancing without one",
            "Add --click Z,Y,X",
        )
    if len(cases) != 1:
        raise InputError(
            "Expected one exam to click in",
            f"found {len(cases)}",
            "Run the command once for each exam",
        )
    if any(others):
        raise InputError(
            "Expected --click alone",
            "found it with --like, --uncertainty, --breasts or --whole-exam",
            "Leave them out: the click network answers by itself",
        )


def _require_kept(outputs: list[Path], masks: dict[str, Path]) -> None:
    """Raise InputError if an output would replace a corrected mask."""
    corrected = {mask.resolve() for mask in masks.values()}
    for output in outputs:
        if output.resolve() in corrected:
            raise InputError(
                "Expected an --output folder in which no corrected mask would be overwritten",
                f"found {output}, which --like gives",
                "Choose another --output folder",
            )


def _tumor_size(row: dict[str, Any]) -> str:
    return f"{row['tumor_voxels']} px" if row["tumor_ml"] is None else f"{row['tumor_ml']:.2f} mL"


def _findings_words(row: dict[str, Any]) -> str:
    """Findings shown and held back: "2 (3 weaker)"; nothing where there are none to tell apart."""
    if row["findings"] is None:
        return ""
    shown = sum(one["is_shown"] for one in row["findings"])
    weaker = len(row["findings"]) - shown
    return f"{shown} ({weaker} weaker)" if weaker else f"{shown}"
