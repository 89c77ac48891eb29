"""`export-seg`: a mask as a DICOM SEG of its exam's study."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..core.errors import InputError
from ._choices import Case, Phases, TumorLabels, label_list, phase_list
from ._console import AsJson, print_json, run, say


def export_seg(
    exam: Annotated[Path, typer.Argument(metavar="EXAM", help="The DICOM exam.")],
    mask: Annotated[Path, typer.Argument(metavar="MASK", help="Its mask, on the exam's grid.")],
    output: Annotated[Path, typer.Option(help="The SEG to write, ending in .dcm.")],
    phase: Annotated[
        str | None,
        typer.Option(
            help="Phase whose images it refers to \\[default: the first post-contrast phase]"
        ),
    ] = None,
    kind: Annotated[
        str,
        typer.Option(
            "--type",
            help="lesion, mass, neoplasm, primary-neoplasm, secondary-neoplasm or carcinoma.",
        ),
    ] = "lesion",
    side: Annotated[
        str | None,
        typer.Option(
            help="right, left, both or none \\[default: from the tumor's position, where clear]"
        ),
    ] = None,
    algorithm: Annotated[
        str, typer.Option(help="How the mask was made: manual, semiautomatic or automatic.")
    ] = "semiautomatic",
    made_with: Annotated[
        str | None,
        typer.Option(
            help="Name and version of the algorithm, as NAME=VERSION \\[default: this one]"
        ),
    ] = None,
    tumor_label: TumorLabels = None,
    phases: Phases = None,
    case: Case = None,
    as_json: AsJson = False,
) -> None:
    """Write a mask as a DICOM SEG, which names the patient as its source does; no other file does.

    SNOMED codes say what it shows, and each frame refers to the image it was drawn on.
    """
    from ..lesions.seg import exporting_seg

    options: dict[str, Any] = {}
    if made_with is not None:
        name, _, version = made_with.partition("=")
        if not (name.strip() and version.strip()):
            raise InputError(
                "Expected the name and the version of the algorithm",
                f"found '{made_with}'",
                "Give both, for example --made-with ward-3=2026.1",
            )
        options["made_with"] = name.strip(), version.strip()
    job = exporting_seg(
        output,
        exam,
        mask,
        phases=phase_list(phases),
        case_id=case,
        side=side,
        role=phase,
        kind=kind,
        tumor=label_list(tumor_label),
        algorithm=algorithm,
        **options,
    )
    written = run(job, quiet=as_json)
    if as_json:
        print_json({"output": str(output), **vars(written)})
        return
    typer.echo(f"Wrote {output}: {written.frames} frames on {written.role} of {written.case_id}")
    if written.side is None and side is None:
        say("The side was left out: it is not clear from the tumor's position. Give it with --side")
