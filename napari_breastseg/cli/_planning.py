"""The cases of a run, or of one part of it, and the files that they will become."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import formats
from ..core.errors import InputError
from ._console import print_json, print_table, run, say, show_error
from ._results import source_of

__all__ = ["Part", "Planned", "is_in_part", "part_of", "plan", "print_plan"]

Part = Annotated[
    str | None,
    typer.Option(
        metavar="I/N",
        help="Only part I of N, counted from 1, for N runs side by side. A case's name alone "
        "decides its part; several EXAMs are told apart by the names of their files or folders, "
        "without opening those of other parts.",
        show_default=False,
    ),
]

BadInput = tuple[str, str, InputError]
"""An EXAM that could not be read, as given; what stands for it in an output; and why."""

PICTURE_ENDINGS = {".png", ".jpg", ".jpeg"}


@dataclass(frozen=True)
class Planned:
    """A case of the run and the files it will become."""

    case: formats.CaseFiles
    source: str | list[str]
    mask: Path
    probability: Path
    other_files: tuple[Path, ...] = ()
    """What is read beside the exam."""


def part_of(text: str | None) -> tuple[int, int] | None:
    """Number of a part, from 1, and of all parts.

    Examples
    --------
    >>> part_of("3/8")
    (3, 8)

    Raises
    ------
    InputError
        If it is no such pair.
    """
    if text is None:
        return None
    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise InputError(
            "Expected --part I/N with I from 1 to N",
            f"found '{text}'",
            "Give for example --part 1/8 to the first of eight runs",
        )
    return int(number), int(count)


def is_in_part(name: str, part: tuple[int, int]) -> bool:
    """Whether a case belongs to a part: its name alone decides, on every machine alike.

    Examples
    --------
    >>> [is_in_part("P001", (number, 3)) for number in (1, 2, 3)]
    [False, False, True]
    """
    number, count = part
    digest = hashlib.sha256(name.casefold().encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") % count == number - 1


def _name_of(path: Path) -> str:
    path = path.absolute()
    return path.name if path.is_dir() else formats.case_name(path)


def _require_told_by_name(path: Path, cases: Sequence[formats.CaseFiles]) -> None:
    """Raise InputError if two parts could write one file, as a folder's name says not its cases."""
    name = _name_of(path).casefold()
    for case in cases:
        has_own_name = case.dicom is not None and case.dicom.names_patient  # a keyed pseudonym
        if case.case_id.casefold() != name and not has_own_name:
            raise InputError(
                "Expected EXAMs called after their cases, to share them out with --part",
                f"found case '{case.case_id}' in an EXAM of another name",
                "Give one folder that holds all exams as the only EXAM",
            )


def plan(
    exams: list[Path],
    output: Path,
    phases: list[str] | None,
    stack: bool,
    *,
    part: tuple[int, int] | None,
    tables: Sequence[Path],
    show_paths: bool,
    quiet: bool,
) -> tuple[list[Planned], list[tuple[str, str, InputError]]]:
    """Cases with the files they will become; refused where an output is an input or comes twice."""
    planned: dict[str, Planned] = {}
    bad_inputs: list[tuple[str, str, InputError]] = []
    inputs: set[Path] = set()
    for number, path in enumerate(exams, start=1):
        if part is not None and len(exams) > 1 and not is_in_part(_name_of(path), part):
            continue  # without opening it: each of N parts would read the headers of all
        try:
            cases = run(formats.finding_cases(path, phases=phases, stack=stack), quiet=quiet)
        except formats.DicomError as error:
            say(f"EXAM {number} of {len(exams)}:")  # its name may be a patient's
            show_error(error)
            argument = f"EXAM {number}"
            bad_inputs.append((argument, str(path.resolve()) if show_paths else argument, error))
            continue
        except InputError as error:
            show_error(error)
            bad_inputs.append((str(path), str(path.resolve()), error))
            continue
        if part is not None and len(exams) > 1:
            _require_told_by_name(path, cases)
        for case in cases:
            if part is not None and len(exams) == 1 and not is_in_part(case.case_id, part):
                continue
            inputs |= {file.resolve() for file in case.files}
            is_picture = len(case.files) == 1 and case.files[0].suffix.lower() in PICTURE_ENDINGS
            planned_case = Planned(
                case,
                source_of(case, f"EXAM {number}", show_paths=show_paths),
                output / (case.case_id + (".png" if is_picture else ".nii.gz")),
                output / f"{case.case_id}_prob.{'tif' if is_picture else 'nii.gz'}",
            )
            # Letter case is folded: "p1" and "P1" are one file on macOS and Windows.
            key = case.case_id.casefold()
            if key in planned and planned[key].case.files == case.files:
                continue  # two phases of one set were named
            if key in planned:
                raise InputError(
                    "Expected a different name for every case",
                    f"found '{case.case_id}' twice: from {planned[key].case.place} and from "
                    f"{case.place}",
                    "Give the exams in separate runs with different --output folders",
                )
            planned[key] = planned_case
    for planned_case in planned.values():
        for file in (planned_case.mask, planned_case.probability):
            if file.resolve() in inputs:
                raise InputError(
                    "Expected an --output folder in which no exam would be overwritten",
                    f"found {file}, which is one of the exams",
                    "Choose another --output folder",
                )
    if any(file.resolve() in inputs for file in tables):
        raise InputError(
            "Expected a --csv or --table file other than the exams",
            "found one of them",
            "Choose another file name",
        )
    return list(planned.values()), bad_inputs


def print_plan(
    planned: Sequence[Planned], bad: Sequence[BadInput], *, as_json: bool, made: str = "mask"
) -> None:
    """List the cases with their phases and why, what is `made` of each, and what is not to do."""
    rows: list[dict[str, Any]] = [
        {
            "case_id": one.case.case_id,
            "status": "planned",
            "source": one.source,
            "phases": phases_of(one.case),
            "why": why_of(one.case),
            made: str(one.mask),
        }
        for one in planned
    ]
    rows += [
        {"case_id": None, "status": "failed", "source": source, "error": str(error)}
        for _, source, error in bad
    ]
    if as_json:
        print_json({"cases": rows})
        return
    print_table(
        ["case", "phases", "why", made],
        [
            [
                row["case_id"],
                ", ".join(row["phases"] or ["as its content says"]),
                row["why"],
                row[made],
            ]
            for row in rows
            if row["status"] == "planned"
        ],
    )


def phases_of(case: formats.CaseFiles) -> list[str] | None:
    """Phases of a case; None where the file's content decides them."""
    if case.dicom is not None:
        return [row.role for row in case.dicom.rows if row.role is not None]
    return None if case.roles is None else list(case.roles)


def why_of(case: formats.CaseFiles) -> str:
    """Why these are its phases, in words; of DICOM series, why each."""
    if case.question is not None:
        return str(case.question)
    if case.dicom is not None:
        return "; ".join(
            f"series {row.handle}: {row.why}" for row in case.dicom.rows if row.role is not None
        )
    if case.roles is None:
        return "the file's content decides"
    return "named by the user or the dataset" if case.is_named else "by the files' numbers"
