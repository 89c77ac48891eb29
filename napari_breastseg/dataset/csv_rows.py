"""Rows of a CSV file, whatever program wrote it.

Imports `errors`, `reading`.
"""

from __future__ import annotations

import csv
from pathlib import Path

from ..core.errors import InputError
from ..core.reading import read_bounded

__all__ = ["read_rows"]

_MOST_BYTES = 1 << 27
"""Bytes of a table; a row has some hundred."""

Row = dict[str, str]


def read_rows(path: Path) -> tuple[dict[str, str], list[tuple[int, Row]]]:
    """Names of the columns, and the rows with the number of their line, from 1 for the first.

    Returns
    -------
    columns : dict
        Name by its lower-case letters without spaces around.
    rows : list
        Cells by those lower-case names, without spaces around; "" where a row ends early.

    Raises
    ------
    InputError
        If it cannot be read, is not UTF-8, or no table of short cells.
    """
    try:
        text = read_bounded(path, _MOST_BYTES).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = (
            f"could not be read ({error.strerror})"
            if isinstance(error, OSError)
            else "is not UTF-8 text"
        )
        raise InputError(
            "Expected a CSV file of cases",
            f"found that {path.name} {reason}",
            "Save the table as CSV (UTF-8)",
        ) from error
    lines = text.splitlines()
    first = lines[0] if lines else ""
    # Spreadsheets in many languages write semicolons.
    table = csv.DictReader(lines, delimiter=max(",;\t", key=first.count))
    rows: list[tuple[int, Row]] = []
    try:
        columns = {name.strip().lower(): name for name in (table.fieldnames or []) if name}
        for line in table:
            cells = {key: (line.get(name) or "").strip() for key, name in columns.items()}
            rows.append((table.line_num, cells))
    except csv.Error as error:
        raise InputError(
            f"Expected a table of short cells in {path.name}",
            f"found one that cannot be read near line {table.line_num} ({error})",
            "Save the table as CSV (UTF-8)",
        ) from error
    return columns, rows
