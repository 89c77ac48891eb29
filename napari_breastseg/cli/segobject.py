"""`export-seg`: a mask as a DICOM SEG of its exam's study."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .. import formats
from ..core.errors import InputError
from ..lesions.report import lesion_side
from ._choices import Phases, phase_list
from ._console import AsJson, print_json, run, say


def export_seg(
    exam: Annotated[Path, typer.Argument(metavar="EXAM", help="The DICOM exam.")],
    mask: Annotated[Path, typer.Argument(metavar="MASK", help="Its mask, on the exam's grid.")],
    output: Annotated[Path, typer.Option(help="The SEG to write, ending in .dcm.")],
    phase: Annotated[
        str | None,
        typer.Option(help="The phase whose images it names \\[default: the first after contrast]"),
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
            help="right, left, both or none \\[default: by the breasts and the tumor, where clear]"
        ),
    ] = None,
    algorithm: Annotated[
        str, typer.Option(help="How the mask came about: manual, semiautomatic or automatic.")
    ] = "semiautomatic",
    made_with: Annotated[
        str | None,
        typer.Option(
            help="Name and version of the algorithm, as NAME=VERSION \\[default: this one]"
        ),
    ] = None,
    phases: Phases = None,
    as_json: AsJson = False,
) -> None:
    """Write a mask as a DICOM SEG; like its source, and as the only output, it names the patient.

    SNOMED codes say what it shows, and each frame names the image it was drawn on.
    """
    cases = run(formats.finding_cases(exam, phases=phase_list(phases)), quiet=as_json)
    found = [case.dicom for case in cases if case.dicom is not None]
    if len(found) != 1:
        raise InputError(
            "Expected one DICOM exam to make a DICOM SEG of",
            f"found {len(found)}" + (", and files that are no DICOM" if not found else ""),
            "Choose the folder of the exam the mask was drawn on",
        )
    (source,) = found
    taken = [*source.files, *([mask] if mask.is_file() else [])]
    if output.exists() and any(output.samefile(file) for file in taken):
        raise InputError(
            "Expected an output apart from the inputs",
            "it is one of them",
            "Choose another file name; nothing was written",
        )
    if source.decision.question is not None:
        raise source.decision.question
    grid = next(iter(source.phases.values())).grid
    label_map = formats.read_label_map(mask, grid=grid, case_id=source.case_id)
    options: dict[str, tuple[str, str]] = {}
    if made_with is not None:
        name, _, version = made_with.partition("=")
        if not (name.strip() and version.strip()):
            raise InputError(
                "Expected name and version of the algorithm",
                "one of them is missing",
                "Give both, for example --made-with ward-3=2026.1",
            )
        options["made_with"] = name.strip(), version.strip()
    told_side = side
    if side is None:
        (case,) = (case for case in cases if case.dicom is source)
        told_side = run(lesion_side(run(formats.reading_exam(case)), label_map), quiet=as_json)
    written = formats.write_seg(
        output,
        label_map,
        source,
        role=phase,
        kind=kind,
        side=told_side,
        algorithm=algorithm,
        **options,
    )
    if as_json:
        print_json({"case_id": source.case_id, "output": str(output), **vars(written)})
        return
    typer.echo(f"Wrote {output}: {written.frames} frames on {written.role} of {source.case_id}")
    if written.side is None and side is None:
        say("The side is left out: the tumor's place does not tell it. Give it with --side")
