"""`--table`: one row for each case of many, with what to look at first.

A row names no patient: a path that would is replaced as in every other output.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.atomic import atomic_path, write_text
from ..core.errors import InputError
from ..core.progress import Job

if TYPE_CHECKING:
    from ..core.volume import Exam, Grid
    from ..lesions import LesionReport

__all__ = ["TABLE_COLUMNS", "looking", "require_writable", "table_rows", "view_of", "write_table"]

TABLE_COLUMNS = (
    *("input", "case_id", "status", "phases", "why", "view", "sides", "findings", "weaker"),
    *("right_ml", "left_ml", "tumor_ml", "flags", "model", "seconds", "mask", "error"),
)
"""Columns of a table, in order. Volumes are of the findings shown."""

_NUMBERS = {"findings", "weaker", "right_ml", "left_ml", "tumor_ml", "seconds"}


def require_writable(path: Path) -> None:
    """Raise InputError, before work starts, if a table of this name cannot be written here."""
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise InputError(
            "Expected a table called .csv or .parquet",
            f"found {path.name}",
            "Give for example --table cases.csv",
        )
    if path.suffix.lower() == ".parquet":
        try:
            import_module("pyarrow")
        except ImportError:
            raise InputError(
                "Expected pyarrow, which writes Parquet files",
                "found it is not installed",
                "Run 'pip install pyarrow', or give a file called .csv",
            ) from None


def view_of(grid: Grid) -> str | None:
    """Axial, coronal or sagittal, whichever the slices are nearest to; None if not known."""
    if not grid.has_orientation:
        return None
    import numpy as np

    across = np.abs(np.cross(grid.affine[:3, 1], grid.affine[:3, 2]))
    return ("sagittal", "coronal", "axial")[int(across.argmax())]


def looking(
    exam: Exam, report: LesionReport | None, *, is_region_trusted: bool
) -> Job[dict[str, Any]]:
    """What a row says beside the results: view, sides, and flags.

    Parameters
    ----------
    exam : Exam
    report : LesionReport or None
    is_region_trusted : bool
        Whether the breasts were found, where they were looked for.
    """
    from ..imaging.dce.motion import estimate_shifts

    flags = []
    if "pre" not in exam.phases:
        flags.append("no pre")
    if not is_region_trusted:
        flags.append("region not trusted")
    if len(exam.phases) > 1 and exam.grid.has_spacing and exam.grid.shape[0] > 1:
        shifts = yield from estimate_shifts(exam)
        if any(shift.is_large for shift in shifts):
            flags.append("motion")
    return {
        "view": view_of(exam.grid),
        "sides": list(report.breasts) if report is not None else [],
        "flags": flags,
    }


def table_rows(results: Sequence[Mapping[str, Any]], model: str | None) -> list[dict[str, Any]]:
    """Rows of `TABLE_COLUMNS` of the rows of a run."""
    rows = []
    for one in results:
        row: dict[str, Any] = {key: one.get(key) for key in TABLE_COLUMNS}
        row |= {"input": one["source"], "model": model, "findings": None}
        found = one.get("findings")
        if found is not None:
            shown = [finding for finding in found if finding["is_shown"]]
            row |= {"findings": len(shown), "weaker": len(found) - len(shown)}
            for side in ("right", "left"):
                volumes = [f["volume_ml"] for f in shown if f["side"] == side]
                is_seen = side in (one.get("sides") or ()) or volumes
                row[f"{side}_ml"] = round(sum(v or 0.0 for v in volumes), 4) if is_seen else None
        rows.append(
            {key: value if key in _NUMBERS else _words(value) for key, value in row.items()}
        )
    return rows


def write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows to a CSV or Parquet file, which replaces one of that name.

    Raises
    ------
    InputError
        If it is neither, or pyarrow is not installed.
    StorageError
        If the file cannot be written.
    """
    require_writable(path)
    if path.suffix.lower() == ".csv":
        text = io.StringIO()
        writer = csv.DictWriter(text, TABLE_COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(path, text.getvalue())
        return
    arrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    # A column has one type however few rows have a value, so that the tables of parts fit together.
    types = {
        key: arrow.int64()
        if key in ("findings", "weaker")
        else arrow.float64()
        if key in _NUMBERS
        else arrow.string()
        for key in TABLE_COLUMNS
    }
    table = arrow.table(
        {key: arrow.array([row[key] for row in rows], kind) for key, kind in types.items()}
    )
    with atomic_path(path) as temporary:
        parquet.write_table(table, temporary)


def _words(value: Any) -> str | None:
    """One cell of words; several are divided by "; ". A cell never starts a formula."""
    if value is None:
        return None
    text = "; ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    text = " ".join(text.split())
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text
