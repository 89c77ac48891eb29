"""What the fault bench found, and its table in docs/reliability.md.

    python benchmarks/_reliability.py        writes the table from what was kept before

A script of the bench tells its rows with `note`, which keeps them in
`benchmarks/results/reliability/<piece>.json` and writes the table anew, between the two marks in
docs/reliability.md; whatever else stands there is left alone. One piece's file holds

    {"command": "python benchmarks/damaged_files.py",     how to run it again
     "date": "2026-11-29", "machine": "2 cores of ...", "load": 2.1,
     "rows": [{"what": "NIfTI files with damaged bytes",  told as a table says it
               "tried": 10000, "failed": 0,               failed: lost, hung or ended otherwise
               "worst_s": 0.4, "worst_mb": 120.0,         null where nobody measured
               "note": "all killed at random moments"}]}  may be absent
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from _common import RESULTS, machine, today

FOLDER = RESULTS / "reliability"
PAGE = RESULTS.parent.parent / "docs" / "reliability.md"
START, END = "<!-- the table of the fault bench -->", "<!-- its end -->"


@dataclass(frozen=True)
class Row:
    """What was tried of one kind, and what came of it."""

    what: str
    tried: int
    failed: int
    worst_s: float | None = None
    worst_mb: float | None = None
    note: str = ""


def note(piece: str, command: str, rows: Sequence[Row]) -> None:
    """Keep a piece's rows in place of its earlier ones, and write the table."""
    told = {
        "command": command,
        "date": today(),
        "machine": machine(),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "rows": [asdict(row) for row in rows],
    }
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / f"{piece}.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    write_table()


def write_table() -> None:
    """Put the table of all pieces between the marks of the page."""
    lines = [
        "| what is tried | tries | failures | longest, s | most memory, MB | when, by what |",
        "|---|---|---|---|---|---|",
    ]
    machines: set[str] = set()
    for path in sorted(FOLDER.glob("*.json")):
        piece = json.loads(path.read_text(encoding="utf-8"))
        machines.add(piece["machine"])
        for row in piece["rows"]:
            more = f" ({row['note']})" if row.get("note") else ""
            lines.append(
                f"| {row['what']}{more} | {row['tried']:,} | {row['failed']:,} "
                f"| {_number(row.get('worst_s'), 1)} | {_number(row.get('worst_mb'), 0)} "
                f"| {piece['date']}, `{piece['command']}` |"
            )
    lines += ["", f"Measured on {'; '.join(sorted(machines)) or 'nothing yet'}."]
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(START)
    _, _, after = rest.partition(END)
    table = "\n".join(lines)
    PAGE.write_text(f"{before}{START}\n\n{table}\n\n{END}{after}", encoding="utf-8")


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:,.{digits}f}"


if __name__ == "__main__":
    write_table()
