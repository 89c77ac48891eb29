"""`dataset`: the annotated dataset folder."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import formats
from ..core.errors import InputError, StorageError
from . import reading
from ._choices import (
    Case,
    Device,
    Model,
    Phases,
    TumorLabels,
    label_list,
    model_folder,
    open_dataset,
    phase_list,
)
from ._console import AsJson, exit_if_failed, note, print_json, print_table, run, say, show_error
from ._planning import Part, is_in_part, part_of

app = typer.Typer(help="Create, fill and check a dataset folder.", no_args_is_help=True)
for command in (reading.ask, reading.agreement, reading.consensus):
    app.command()(command)

Folder = Annotated[Path, typer.Argument(metavar="DATASET", help="The dataset folder.")]


@app.command()
def init(
    dataset: Folder,
    channels: Annotated[
        str | None,
        typer.Option(help="Channel roles, such as pre,post1 \\[default: those of the first case]"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Create a new, empty dataset folder."""
    from ..dataset import Dataset

    made = Dataset.create(dataset, phase_list(channels) or ())
    if as_json:
        print_json(made.status())
    else:
        typer.echo(f"Created dataset {made.name} in {made.folder}")


@app.command("import")
def import_(
    csv: Annotated[
        Path,
        typer.Argument(
            metavar="CASES.csv",
            help="Columns case_id, patient_id, image (or image_0000, ...), mask and, if known, "
            "spacing_mm; or a folder with images and segmentations, laid out as in MAMA-MIA; or "
            "an nnU-Net raw folder.",
        ),
    ],
    dataset: Folder,
    tumor_label: TumorLabels = None,
    phases: Annotated[
        str | None,
        typer.Option(
            help="Roles of an nnU-Net folder's channels in order, such as post1,pre, where its "
            "dataset.json leaves it open."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Import images with their masks; run it again to continue after an interruption."""
    from ..dataset import import_csv
    from ..dataset.nnunet_folder import PATIENTS_FILE, is_nnunet_folder

    roles = phase_list(phases)
    job = import_csv(csv, dataset, tumor=label_list(tumor_label), phases=roles)
    result = run(job, quiet=as_json)
    if is_nnunet_folder(csv) and not (csv / PATIENTS_FILE).exists():
        say(
            "note: every case counts as a patient of its own; if some share one, name them in "
            f"{PATIENTS_FILE} (columns case_id, patient_id) and import into a new dataset"
        )
    done = {
        "imported": list(result.imported),
        "updated": list(result.updated),
        "skipped": list(result.skipped),
    }
    failures = [vars(failure) for failure in result.failures]
    if as_json:
        print_json({**done, "failures": failures})
    else:
        typer.echo(", ".join(f"{len(cases)} {word}" for word, cases in done.items()))
    if failures:
        raise typer.Exit(1 if any(done.values()) else 2)


@app.command()
def add(
    dataset: Folder,
    exams: Annotated[list[Path], typer.Argument(metavar="EXAM...", help="Exams to add.")],
    patient_id: Annotated[str, typer.Option(help="Pseudonym of the patient of these exams.")],
    visit: Annotated[str | None, typer.Option(help="The patient's visit, such as T1.")] = None,
    mask: Annotated[
        Path | None, typer.Option(help="Mask of a single exam; accepted as fully reviewed.")
    ] = None,
    tumor_label: TumorLabels = None,
    annotator: Annotated[str, typer.Option(help="Who drew the mask.")] = "unknown",
    phases: Phases = None,
    case_name: Case = None,
    case_id: Annotated[
        str | None,
        typer.Option(help="Name of a single exam as a case \\[default: that of its files]"),
    ] = None,
    stack: Annotated[
        bool, typer.Option("--stack", help="Read a folder of slices as one volume.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Add exams of one patient as new cases; a single exam may come with its mask."""
    cases: list[formats.CaseFiles] = []
    rows: list[dict[str, Any]] = []
    for path in exams:
        try:
            found = run(
                formats.finding_cases(path, phases=phase_list(phases), stack=stack), quiet=as_json
            )
        except InputError as error:
            show_error(error)
            rows.append({"case_id": None, "status": "failed", "error": str(error)})
            continue
        known = {case.files for case in cases}
        cases += [case for case in found if case.files not in known]
    if not cases:
        raise typer.Exit(2)
    if case_name is not None:
        cases = [formats.only_case(cases, exams[0], case_name)]
    if mask is not None and len(cases) != 1:
        raise InputError(
            "Expected a single exam to go with --mask",
            f"found {len(cases)} cases",
            "Add the exams one by one, name one with --case, or list them in a CSV file for "
            "'dataset import'",
        )
    if case_id is not None and len(cases) != 1:
        raise InputError(
            "Expected a single exam to go with --case-id",
            f"found {len(cases)} cases",
            "Add the exams one by one, name one with --case, or list them in a CSV file for "
            "'dataset import'",
        )
    tumor = label_list(tumor_label)
    opened = open_dataset(dataset, may_create=True)
    for case in cases:
        try:
            exam = run(formats.reading_exam(case), quiet=as_json)
            drawn = None
            if mask is not None:
                drawn = formats.read_label_map(mask, exam=exam, tumor=tumor, tell=note)
            record = opened.add(exam, patient_id=patient_id, visit=visit, case_id=case_id)
            if drawn is not None:
                record = opened.accept(
                    record.case_id,
                    drawn,
                    reviewed_slices=drawn.reviewed_slices,
                    annotator=annotator,
                    seconds=0,
                )
        except StorageError:
            raise
        except InputError as error:
            show_error(error)
            called = case_id or case.case_id
            rows.append({"case_id": called, "status": "failed", "error": str(error)})
            continue
        rows.append({"case_id": record.case_id, "status": record.status.value})
    if as_json:
        print_json({"cases": rows})
    else:
        print_table(["case", "status"], [[r["case_id"], r["status"]] for r in rows])
    exit_if_failed(sum(row["status"] == "failed" for row in rows), len(rows))


@app.command()
def check(
    dataset: Folder,
    repair: Annotated[
        bool, typer.Option("--repair", help="Rebuild derived files and remove leftovers.")
    ] = False,
    accept_changed: Annotated[
        str | None,
        typer.Option(
            metavar="READER",
            help="Accept the masks that another program changed in labelsTr, as this reader's.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Find missing, changed and inconsistent files."""
    from ..dataset import Dataset

    opened = Dataset.open(dataset)
    if accept_changed is not None:
        for case_id in opened.accept_changed(accept_changed):
            say(f"Accepted the changed mask of case {case_id}")
    if as_json:
        findings = opened.check(repair=repair)
        print_json({"findings": [vars(finding) for finding in findings]})
    else:
        findings = run(opened.checking(repair=repair), tell=typer.echo)
        counts = Counter(finding.severity.value for finding in findings)
        said = ", ".join(f"{n} {word}{'s' * (n > 1)}" for word, n in sorted(counts.items()))
        typer.echo(said or "No problems found")
    if any(f.severity == "error" and not f.is_repaired for f in findings):
        raise typer.Exit(1)


@app.command()
def status(dataset: Folder, as_json: AsJson = False) -> None:
    """Count cases, patients and folds."""
    from ..dataset import Dataset

    found = Dataset.open(dataset).status()
    if as_json:
        print_json(found)
        return
    cases, patients = found["cases"], found["patients"]
    counts = [f"{n} {word}" for word, n in cases.items() if word != "total" and n]
    folds = ", ".join(f"{s['train']} + {s['val']}" for s in found["splits"])
    print_table(
        ["dataset", str(found["name"])],
        [
            ["channels", ", ".join(found["channels"])],
            ["cases", f"{cases['total']}" + (f" ({', '.join(counts)})" if counts else "")],
            ["patients", f"{patients['total']} ({patients['locked']} locked for testing)"],
            ["folds (train + val)", folds or "none yet"],
            ["test cases", found["test_cases"]],
        ],
    )
    if found["effort"]["by_model"]:
        print_table(
            [
                "draft by",
                "accepted",
                "s per case",
                "strokes",
                "voxels",
                "path",
                "Dice",
                "drafted again",
            ],
            [
                [
                    row["model"] or "no model",
                    row["cases"],
                    f"{row['seconds']:.0f}",
                    _number(row["strokes"]),
                    _number(row["voxels_changed"]),
                    _path(row),
                    _number(row["dice_draft"], 2),
                    _redrafted(row),
                ]
                for row in found["effort"]["by_model"]
            ],
        )
    for text in found["notes"]:
        say(text)


@app.command()
def export(
    dataset: Folder,
    destination: Annotated[Path, typer.Argument(metavar="DEST", help="Folder to create.")],
    format: Annotated[
        str, typer.Option(help="nnunet: an nnU-Net v2 raw folder; bids: BIDS derivatives.")
    ] = "nnunet",
    as_json: AsJson = False,
) -> None:
    """Export accepted cases for other tools; with nnunet, locked patients become test cases."""
    made = run(open_dataset(dataset).export(destination, format), quiet=as_json)
    if as_json:
        print_json({"folder": str(made)})
    else:
        typer.echo(f"Wrote {made}")


@app.command()
def rename(
    dataset: Folder,
    case: Annotated[str, typer.Argument(metavar="CASE", help="The case as it is called.")],
    new_id: Annotated[str, typer.Argument(metavar="NEW", help="Its new id; never a name.")],
    as_json: AsJson = False,
) -> None:
    """Give a case another id; its images, masks, history and reads keep together."""
    record = open_dataset(dataset).rename(case, new_id)
    if as_json:
        print_json({"case_id": record.case_id, "former_ids": record.former_ids})
    else:
        typer.echo(f"Renamed {case} to {record.case_id}")


def _number(value: float | None, digits: int = 0) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _path(row: dict[str, Any]) -> str:
    """Added path length in mm, or in pixels where their size is not known."""
    if row["added_path_mm"] is not None:
        return f"{row['added_path_mm']:.0f} mm"
    return "" if row["added_path_px"] is None else f"{row['added_path_px']:.0f} px"


def _redrafted(row: dict[str, Any]) -> str:
    """Slices drafted again from the reader's corrections, and how much of that was accepted."""
    if not row["slices_redrafted"]:
        return ""
    return f"{row['slices_redrafted']:.0f} slices, {100 * row['redraft_accepted']:.0f} % accepted"


@app.command()
def draft(
    dataset: Folder,
    model: Model = None,
    part: Part = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only list the cases and why; draft nothing.")
    ] = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Skip what this model has drafted; a dataset knows, so it is always so.",
        ),
    ] = False,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Draft the cases not worked on yet, with the Dice that the model expects for each draft.

    What this model has drafted is not drafted again: run again, it goes on where it was.
    """
    from ..predict.drafting import draft_cases, waiting_cases
    from ..predict.uncertainty import load_members

    members = load_members(model_folder(model))
    opened, own_part = open_dataset(dataset), part_of(part)

    def is_wanted(case_id: str) -> bool:
        return own_part is None or is_in_part(case_id, own_part)

    if dry_run:
        waiting = waiting_cases(opened, members[0].info.identity, is_wanted)
        if as_json:
            planned = [
                {"case_id": c, "status": "planned", "why": why} for c, why in waiting.items()
            ]
            print_json({"model": members[0].info.identity, "cases": planned})
        else:
            print_table(["case", "why"], list(waiting.items()))
        return
    result = run(draft_cases(opened, members, device=device, is_wanted=is_wanted), quiet=as_json)
    rows = sorted(result.predicted_dice.items(), key=lambda row: row[1])
    if as_json:
        print_json(
            {
                "model": members[0].info.identity,
                "cases": [{"case_id": c, "predicted_dice": round(d, 4)} for c, d in rows],
                "failed": [{"case_id": c, "error": e} for c, e in result.failed.items()],
            }
        )
    elif rows:
        print_table(["case", "expected Dice"], [[c, f"{d:.2f}"] for c, d in rows])
    else:
        typer.echo("No case is waiting for a draft from this model.")
    if result.failed:
        say(f"{len(result.failed)} cases failed: {', '.join(result.failed)}")
        raise typer.Exit(1)
