"""`report`: the lesions of an exam's mask, their sizes and enhancement."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .. import formats
from ..core.errors import InputError
from ._choices import Case, Phases, TumorLabels, label_list, phase_list
from ._console import AsJson, note, print_json, print_table, run, say
from ._planning import Part
from ._reports import Measuring, report_many
from ._results import ShowPaths, source_of

if TYPE_CHECKING:
    from ..lesions import Change


_PE_PERCENT = 70.0
"""`lesions.PE_THRESHOLD_PERCENT`, known before the lesions' room is loaded."""


def report(
    exams: Annotated[
        list[Path],
        typer.Argument(metavar="EXAM...", help="File or folder of one exam; several with --masks."),
    ],
    mask: Annotated[Path | None, typer.Option(help="Its mask: 1 is tumor.")] = None,
    masks: Annotated[
        Path | None,
        typer.Option(
            help="For many exams, instead of --mask: folder of masks called after the cases, as "
            "predict writes them.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="File to write: .csv, .json or .pdf (one page); with --masks a folder for "
            "<case>.report.json.",
        ),
    ] = None,
    prior: Annotated[
        Path | None,
        typer.Option(help="Report of the patient's prior visit (.json), to show what changed."),
    ] = None,
    tumor_label: TumorLabels = None,
    phases: Phases = None,
    case: Case = None,
    show_paths: ShowPaths = False,
    injection: Annotated[
        float | None,
        typer.Option(help="Seconds from the first phase to the injection, where known."),
    ] = None,
    pe_threshold: Annotated[
        float, typer.Option(help="Lowest early enhancement, in %, of functional tumor.")
    ] = _PE_PERCENT,
    table: Annotated[
        Path | None,
        typer.Option(help="With --masks: file (.csv or .parquet) for one row a case."),
    ] = None,
    part: Part = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="With --masks: skip a case whose report is there, made from the same exam, mask "
            "and settings.",
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="With --masks: only list the cases and their phases.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Measure each lesion: volume, diameters, side, enhancement curve and its type."""
    _require_one_way(mask, masks, output, exams, [table, part, resume, dry_run], [prior, case])
    if masks is not None and output is not None:
        how = Measuring(phase_list(phases), label_list(tumor_label), injection, pe_threshold)
        report_many(
            exams,
            masks,
            output,
            how,
            part=part,
            resume=resume,
            dry_run=dry_run,
            table=table,
            show_paths=show_paths,
            as_json=as_json,
        )
        return
    exam, mask = exams[0], Path(mask or "")
    from ..lesions import compare_visits
    from ..lesions.report import (
        NOT_A_DEVICE,
        change_words,
        lesion_report,
        lesion_words,
        read_report,
        report_json,
        require_ending,
        write_report,
    )

    if output is not None:
        require_ending(output)
        _require_no_input(output, exam, mask, prior)
    before = None if prior is None else read_report(prior)
    found = formats.only_case(formats.find_cases(exam, phases=phase_list(phases)), exam, case)
    opened = formats.read_exam(found)
    label_map = formats.read_label_map(mask, exam=opened, tumor=label_list(tumor_label), tell=note)
    result = run(
        lesion_report(opened, label_map, injection_s=injection, pe_threshold_percent=pe_threshold),
        quiet=as_json,
    )
    changes: tuple[Change, ...] = ()
    if before is not None:
        changes = compare_visits((*before.lesions, before.total), (*result.lesions, result.total))
    if output is not None:
        write_report(output, result, exam=opened, changes=changes)
    if as_json:
        source = source_of(found, "EXAM", show_paths=show_paths)
        print_json({"source": source, **report_json(result, changes)})
        return
    rows = [lesion_words(lesion) for lesion in (*result.lesions, result.total)]
    columns = [name for name in rows[0] if any(row[name] for row in rows)]
    print_table(columns, [[row[name] for name in columns] for row in rows])
    for change in changes:
        typer.echo(f"Since the prior visit: {change_words(change)}")
    for sentence in result.nothing_found:
        typer.echo(sentence)
    for text in dict.fromkeys((*result.notes, *result.total.kinetics.notes)):
        note(text)
    if output is not None:
        typer.echo(f"Wrote {output}")
    say(NOT_A_DEVICE)


def _require_one_way(
    mask: Path | None,
    masks: Path | None,
    output: Path | None,
    exams: list[Path],
    of_many: list[object],
    of_one: list[object],
) -> None:
    """Raise InputError where options of one exam and of many go together."""
    if (mask is None) == (masks is None):
        raise InputError(
            "Expected --mask of one exam, or --masks of many",
            "found both" if mask is not None else "found neither",
            "Give the mask's file, or the folder of masks",
        )
    if masks is None and (len(exams) > 1 or any(of_many)):
        raise InputError(
            "Expected one EXAM with --mask, without --table, --part, --resume and --dry-run",
            "found several exams, or one of these options",
            "Give --masks FOLDER and --output FOLDER for many exams",
        )
    if masks is not None and (output is None or any(of_one)):
        raise InputError(
            "Expected --output FOLDER with --masks, without --prior and --case",
            "found no folder" if output is None else "found one of these options",
            "Report on an exam with its prior visit alone, with --mask",
        )


def _require_no_input(output: Path, *inputs: Path | None) -> None:
    if output.resolve() in {path.resolve() for path in inputs if path is not None}:
        raise InputError(
            "Expected an --output file other than the inputs",
            f"found {output.name}, which is one of them",
            "Choose another --output",
        )
