"""What commands say of each case: a row for `--json`, a line for `--csv`.

The row of a segmented case is made here and nowhere else.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import formats
from ..core.atomic import write_text
from ..core.errors import InputError

if TYPE_CHECKING:
    from ..lesions import LesionReport
    from ..lesions.findings import Findings
    from ..predict.prediction import Prediction

__all__ = [
    "CSV_COLUMNS",
    "ShowPaths",
    "done_row",
    "failed_row",
    "finding_rows",
    "source_of",
    "write_csv",
]

ShowPaths = Annotated[
    bool,
    typer.Option(
        "--show-paths", help="Give the path of every exam, even where it names the patient."
    ),
]

FINDING_COLUMNS = (
    *("finding", "is_shown", "score", "side", "quadrant", "clock", "nipple_mm", "volume_ml"),
    *("diameter_mm", "curve_type", "center_voxel", "center_mm"),
)
"""What is said of each finding."""

CSV_COLUMNS = (
    *("case_id", "status", "source", "mask", "probability", "phases", "times_s", "series"),
    *("threshold", "breasts_only", "tumor_voxels", "tumor_ml"),
    *FINDING_COLUMNS,
    *("predicted_dice", "site_share", "spacing_mm", "device", "seconds", "notes", "error"),
)
"""Columns of `predict --csv`, in order: what is said of a case, and of one of its findings."""


def source_of(
    case: formats.CaseFiles, argument: str, *, show_paths: bool = False
) -> str | list[str]:
    """Where a case was read from: its folder or file; a list of files where there are several.

    Parameters
    ----------
    case : CaseFiles
    argument : str
        What stands for a path that names the patient, such as "EXAM 2": the user has the path.
    show_paths : bool
        Give such a path nevertheless.

    Returns
    -------
    str or list of str
        Absolute, without symbolic links.
    """
    if case.dicom is not None and case.dicom.names_patient and not show_paths:
        return argument
    paths = [str(path) for path in case.sources]
    return paths[0] if len(paths) == 1 else paths


def done_row(
    case: formats.CaseFiles,
    prediction: Prediction,
    *,
    source: str | list[str],
    mask: Path,
    probability: Path | None,
    times_s: Any,
    report: LesionReport | None = None,
) -> dict[str, Any]:
    """The row of a segmented case; the report of its mask says where its findings lie."""
    grid = prediction.label_map.grid
    voxels = int(prediction.label_map.tumor.sum())
    findings = prediction.findings
    return {
        "case_id": case.case_id,
        "status": "done",
        "source": source,
        "mask": str(mask),
        "probability": None if probability is None else str(probability),
        "phases": list(prediction.phases),
        "times_s": [times_s.get(phase) for phase in prediction.phases],
        **_decision(case, prediction),
        "threshold": prediction.threshold,
        "tumor_voxels": voxels,
        "findings": None if findings is None else finding_rows(findings, report),
        "tumor_ml": None
        if grid.voxel_ml is None or grid.shape[0] == 1
        else round(voxels * grid.voxel_ml, 4),
        "spacing_mm": grid.spacing_mm,
        "device": prediction.device,
        "seconds": round(prediction.seconds, 3),
        "breasts_only": prediction.breasts is not None,
        "site_share": prediction.site_share,
    }


def failed_row(case_id: str | None, source: str | list[str], error: InputError) -> dict[str, Any]:
    """The row of a case, or of an EXAM without one, that could not be segmented."""
    return {"case_id": case_id, "status": "failed", "source": source, "error": str(error)}


def finding_rows(findings: Findings, report: LesionReport | None) -> list[dict[str, Any]]:
    """What is known of each finding, the most likely lesion first.

    Parameters
    ----------
    findings : Findings
    report : LesionReport or None
        Of the findings shown, each of which it names by its number; without it their place,
        diameter and curve are not told.
    """
    lesions = () if report is None else report.lesions
    measured = {one.finding: one for one in lesions if one.finding is not None}
    rows = []
    for one in findings.findings:
        lesion = measured.get(one.number)
        row = dict.fromkeys(FINDING_COLUMNS) | {
            "finding": one.number,
            "is_shown": one.is_shown,
            "score": None if one.score is None else round(one.score, 4),
            "volume_ml": None if one.volume_ml is None else round(one.volume_ml, 4),
            "center_voxel": [round(c, 1) for c in one.center_voxel],
        }
        if lesion is not None and one.is_shown:
            row |= {
                "side": lesion.side,
                "quadrant": lesion.quadrant,
                "clock": lesion.clock,
                "nipple_mm": None if lesion.nipple_mm is None else round(lesion.nipple_mm, 1),
                "diameter_mm": None if lesion.diameter_mm is None else round(lesion.diameter_mm, 1),
                "curve_type": lesion.kinetics.curve_type,
                "center_mm": None
                if lesion.center_mm is None
                else [round(c, 1) for c in lesion.center_mm],
            }
        rows.append(row)
    return rows


def write_csv(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows to a CSV file of `CSV_COLUMNS`; several values in one cell are divided by "; ".

    A case has a line for each finding shown, and one without a finding if there is none.

    Raises
    ------
    StorageError
        If the file cannot be written.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, CSV_COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        shown = [one for one in row.get("findings") or () if one["is_shown"]]
        for one in shown or [{}]:
            line = {**row, **one}
            writer.writerow({key: _cell(line.get(key)) for key in CSV_COLUMNS})
    write_text(path, text.getvalue())


def _cell(value: Any) -> Any:
    if not isinstance(value, list | tuple):
        return value
    return "; ".join("" if one is None else str(one) for one in value)


def _decision(case: formats.CaseFiles, prediction: Prediction) -> dict[str, Any]:
    """For DICOM: the series of each phase, what every series was taken for, what was left out."""
    if case.dicom is None:
        return {"notes": []}
    phases = case.dicom.phases
    return {
        "series": [phases[phase].handle for phase in prediction.phases],
        "found": [
            {"series": row.handle, "role": row.role, "time_s": row.time_s, "why": row.why}
            for row in case.dicom.rows
        ],
        "notes": [*case.dicom.warnings, *case.dicom.left_out],
    }
