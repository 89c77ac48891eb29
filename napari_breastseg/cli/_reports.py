"""`report` of many exams: a JSON report of each, and one row in a table."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from .. import formats
from ..core.errors import InputError, StorageError
from ._console import Pace, exit_if_failed, note, print_json, print_table, run, say, show_error
from ._planning import Planned, part_of, plan, print_plan, why_of
from ._results import failed_row
from ._resuming import Resuming
from ._segmented import reading_ahead, unforeseen
from ._table import looking, require_writable, table_rows, write_table

if TYPE_CHECKING:
    from ..core.volume import Exam
    from ..lesions import LesionReport

__all__ = ["Measuring", "report_many"]

_NO_MASKS = {".json", ".csv", ".parquet", ".pdf", ".txt"}


@dataclass(frozen=True)
class Measuring:
    """How each exam is measured."""

    phases: list[str] | None
    tumor: frozenset[int] | None
    injection_s: float | None
    pe_threshold_percent: float


def report_many(
    exams: list[Path],
    masks: Path,
    output: Path,
    how: Measuring,
    *,
    part: str | None,
    resume: bool,
    dry_run: bool,
    table: Path | None,
    show_paths: bool,
    as_json: bool,
) -> None:
    """Measure each exam with the mask of its name; write `<case>.report.json` into `output`."""
    if table is not None:
        require_writable(table)
    planned, bad_inputs = plan(
        exams,
        output,
        how.phases,
        False,
        part=part_of(part),
        tables=[] if table is None else [table],
        show_paths=show_paths,
        quiet=as_json,
    )
    by_name = _masks_in(masks)
    todo = [_as_report(one, by_name, output) for one in planned]
    if dry_run:
        alone = [one for one in todo if not one.other_files]
        bad = [*bad_inputs, *((one.case.case_id, _words(one), _no_mask(one)) for one in alone)]
        with_mask = [one for one in todo if one.other_files]
        print_plan(with_mask, bad, as_json=as_json, made="report")
        exit_if_failed(len(bad), len(with_mask) + len(bad), is_part=part is not None)
        return
    resuming = Resuming([], vars(how), wanted=resume, ending=".report.done.json")
    rows: dict[str, dict[str, Any]] = {}
    waiting: list[Planned] = []
    for one in todo:
        try:
            if not one.other_files:
                raise _no_mask(one)
            kept = resuming.kept(one)
        except InputError as error:
            rows[one.case.case_id] = _failed(one, error)
            continue
        if kept is None:
            waiting.append(one)
        else:
            rows[one.case.case_id] = _with_paths(kept, one)
    if rows and resume:
        before = sum(row["status"] == "done" for row in rows.values())
        note(f"{before} of {len(todo)} cases were done before")
    outputs = {one.case.case_id: one for one in waiting}
    pace = Pace(len(waiting))
    reading = reading_ahead([one.case for one in waiting], quiet=as_json)
    for done, (files, exam) in enumerate(reading):
        if not as_json:
            pace.tell(done)
        one = outputs[files.case_id]
        try:
            if isinstance(exam, InputError):
                raise exam
            row = _measured(one, exam, how, quiet=as_json)
            resuming.keep(one, row | {"probability": None})
            rows[one.case.case_id] = _with_paths(row, one)
        except StorageError:
            raise
        except InputError as error:
            rows[one.case.case_id] = _failed(one, error)
        except Exception as error:
            if len(todo) == 1:
                raise
            rows[one.case.case_id] = _failed(one, unforeseen(one.case, error, "measure"))
    results = [rows[one.case.case_id] for one in todo]
    results += [
        {**failed_row(None, source, reason), "input": given} for given, source, reason in bad_inputs
    ]
    if table is not None:
        write_table(table, table_rows(results, None))
    _print(results, as_json=as_json)
    failed = sum(row["status"] == "failed" for row in results)
    if failed:
        say(f"{failed} of {len(results)} failed")
    exit_if_failed(failed, len(results), is_part=part is not None)


def _masks_in(folder: Path) -> dict[str, Path]:
    """Mask files by the folded name of their case."""
    if not folder.is_dir():
        raise InputError(
            "Expected a folder of masks after --masks",
            f"found none at {folder.name}",
            "Give the folder that 'predict --output' wrote; one mask goes with --mask",
        )
    found: dict[str, Path] = {}
    for file in sorted(folder.iterdir()):
        if file.is_file() and file.name[0] != "." and file.suffix.lower() not in _NO_MASKS:
            found.setdefault(formats.case_name(file).casefold(), file)
    return found


def _as_report(one: Planned, masks: dict[str, Path], output: Path) -> Planned:
    name = one.case.case_id
    mask = masks.get(name.casefold())
    file = output / f"{name}.report.json"
    return replace(one, mask=file, other_files=() if mask is None else (mask,))


def _no_mask(one: Planned) -> InputError:
    return InputError(
        f"Expected a mask of case {one.case.case_id} in the folder of --masks",
        "found none of that name",
        "Segment the exam first, or give the mask the case's name",
    )


def _words(one: Planned) -> str:
    return one.source if isinstance(one.source, str) else "; ".join(one.source)


def _measured(one: Planned, exam: Exam, how: Measuring, *, quiet: bool) -> dict[str, Any]:
    """Write the report of a case; its row."""
    from ..lesions.report import lesion_report, write_report

    begin = time.perf_counter()
    mask = formats.read_label_map(one.other_files[0], exam=exam, tumor=how.tumor)
    measuring = lesion_report(
        exam, mask, injection_s=how.injection_s, pe_threshold_percent=how.pe_threshold_percent
    )
    report = run(measuring, quiet=quiet)
    looked = run(looking(exam, report, is_region_trusted=True), quiet=quiet)
    write_report(one.mask, report, exam=exam)
    return {
        "case_id": one.case.case_id,
        "status": "done",
        "source": one.source,
        "phases": list(exam.phases),
        "why": why_of(one.case),
        **looked,
        "findings": _lesions(report),
        "tumor_ml": report.total.volume_ml,
        "seconds": round(time.perf_counter() - begin, 3),
    }


def _lesions(report: LesionReport) -> list[dict[str, Any]]:
    return [
        {
            "finding": one.id,
            "is_shown": True,
            "side": one.side,
            "volume_ml": one.volume_ml,
            "diameter_mm": one.diameter_mm,
            "curve_type": one.kinetics.curve_type,
        }
        for one in report.lesions
    ]


def _with_paths(row: dict[str, Any], one: Planned) -> dict[str, Any]:
    paths = {"source": one.source, "mask": str(one.other_files[0]), "report": str(one.mask)}
    return {key: value for key, value in row.items() if key != "probability"} | paths


def _failed(one: Planned, error: InputError) -> dict[str, Any]:
    show_error(error)
    return failed_row(one.case.case_id, one.source, error)


def _print(results: Sequence[dict[str, Any]], *, as_json: bool) -> None:
    from ..lesions.report import NOT_A_DEVICE

    if as_json:
        print_json({"cases": results, "disclaimer": NOT_A_DEVICE})
        return
    done = [row for row in results if row["status"] == "done"]
    if done:
        print_table(
            ["case", "lesions", "tumor", "flags", "report"],
            [
                [
                    row["case_id"],
                    len(row["findings"]),
                    "" if row["tumor_ml"] is None else f"{row['tumor_ml']:.2f} mL",
                    "; ".join(row["flags"]),
                    row["report"],
                ]
                for row in done
            ],
        )
    typer.echo(f"{len(done)} of {len(results)} measured")
    say(NOT_A_DEVICE)
