"""A dataset folder of thousands of cases: accepting, opening, listing, checking.

    python benchmarks/many_cases.py [--cases 100 1500 10000] [--keep FOLDER]

Tiny synthetic cases, four of five accepted, their files hard-linked. Each figure is of a process of
its own, as a reader or a cluster's job would see it; files lie in the system's cache. Some two
minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from _common import RESULTS, machine, today

from napari_breastseg.core.atomic import write_json, write_text
from napari_breastseg.core.volume import Exam, Grid, LabelMap, Volume
from napari_breastseg.dataset import Dataset

GRID = Grid((8, 48, 48), [[0, 0, -0.8, 0], [0, -0.8, 0, 0], [1.1, 0, 0, 0], [0, 0, 0, 1]])
AIM_MS = 50
ACCEPTED = 24
"""Cases accepted for the median."""

ROWS = (
    ("accept_ms", "accept, median, ms"),
    ("accept_p95_ms", "accept, 95 of 100, ms"),
    ("accept_cpu_ms", "accept, the processor's own time, ms"),
    ("write_ms", "writing and syncing the same files one by one, ms"),
    ("next_ms", "next case of the list, record and mask, ms"),
    ("first_open_ms", "open, nothing known yet, ms"),
    ("open_ms", "open again, ms"),
    ("open_cpu_ms", "open again, the processor's own time, ms"),
    ("list_ms", "list, after opening, ms"),
    ("again_ms", "list again, ms"),
    ("status_ms", "status, after opening, ms"),
    ("check_first_ms", "check: first case looked at, ms"),
    ("check_s", "check: all, s"),
    ("check_mib", "check: memory, MiB above opening"),
)


def main() -> int:
    """Measure, print, keep; the exit code says whether accepting met its aim."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", nargs="+", type=int, default=[100, 1500, 10000])
    parser.add_argument("--keep", type=Path, help="where the folders are made, and left")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--what", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(MEASURES[given.what](given.measure)))
        return 0
    load = os.getloadavg()[0]
    scratch = given.keep or Path(tempfile.mkdtemp(prefix="breastseg-many-"))
    columns = []
    try:
        for number in given.cases:
            folder = scratch / f"Dataset501_Many{number}"
            if not folder.exists():
                make(folder, number)
            columns.append({"cases": number} | measured(folder))
            print(columns[-1], file=sys.stderr)
    finally:
        if given.keep is None:
            shutil.rmtree(scratch)
    text = table(columns, load)
    print(text)
    is_whole = given.cases == parser.get_default("cases")
    if is_whole:
        write_text(RESULTS / "many_cases.md", text)
        write_json(
            RESULTS / "many_cases.json",
            {"date": today(), "machine": machine(), "load": load, "columns": columns},
        )
    return 0 if columns[-1]["accept_ms"] <= AIM_MS else 1


def table(columns: list[dict[str, Any]], load: float) -> str:
    """What was measured, as Markdown."""
    names = [f"{column['cases']:,} cases" for column in columns]
    lines = [
        "# Thousands of cases in one folder",
        "",
        f"{today()}, {machine()}, Python {platform.python_version()}; "
        f"`python benchmarks/many_cases.py`. Other work on the machine: load average {load:.1f} "
        "at the start.",
        "",
        f"Tiny cases ({' x '.join(map(str, GRID.shape))} voxels, one phase), so that what is "
        "measured is the folder's own. Each line is a process of its own; files lie in the "
        f"system's cache. Aim for accepting: {AIM_MS} ms.",
        "",
        "| | " + " | ".join(names) + " | growth |",
        "|---" * (len(columns) + 2) + "|",
    ]
    for key, title in ROWS:
        values = [column[key] for column in columns]
        shown = (f"{value:.3g}" if value < 1000 else f"{value:,.0f}" for value in values)
        lines.append(f"| {title} | {' | '.join(shown)} | {growth(columns, key)} |")
    lines += [
        "",
        "Growth: the power of the number of cases with which the figure grew between the two last "
        "columns; 1 is in proportion.",
    ]
    return "\n".join(lines) + "\n"


def growth(columns: list[dict[str, Any]], key: str) -> str:
    """Exponent of the growth between the two last columns."""
    if len(columns) < 2 or min(columns[-2][key], columns[-1][key]) <= 0:
        return ""
    ratio = columns[-1][key] / columns[-2][key]
    return f"{math.log(ratio) / math.log(columns[-1]['cases'] / columns[-2]['cases']):.2f}"


def make(folder: Path, number: int) -> None:
    """A dataset folder of `number` cases; every fifth one is drafted, the others accepted."""
    rng = np.random.default_rng(0)
    dataset = Dataset.create(folder, ["post1"])
    data = rng.integers(0, 900, GRID.shape, np.int16)
    dataset.add(Exam("C00001", {"post1": Volume(data, GRID)}), patient_id="patient-1")
    dataset.save_draft("C00001", mask(0), model="m@1")
    dataset.accept("C00001", mask(1), reviewed_slices=None, annotator="AB", seconds=60)
    record = json.loads((folder / "cases" / "C00001.json").read_text())
    free = 0
    for place in range(2, number + 1):
        name = f"C{place:05d}"
        is_locked = place >= 10 and place % 5 == 0
        fold = None if is_locked else (free + 1) % 5
        free += not is_locked
        own = record | {
            "case_id": name,
            "patient_id": f"patient-{place}",
            "role": {"entry": place, "fold": fold},
            "accepted": record["accepted"] | {"order": place},
        }
        if place % 5 == 1:
            own |= {"accepted": None, "status": "drafted"}
        (folder / "cases" / f"{name}.json").write_text(json.dumps(own, indent=2) + "\n")
        os.link(folder / "imagesTr/C00001_0000.nii.gz", folder / f"imagesTr/{name}_0000.nii.gz")
        os.link(folder / "drafts/C00001.nii.gz", folder / f"drafts/{name}.nii.gz")
        if own["accepted"]:
            os.link(folder / "labelsTr/C00001.nii.gz", folder / f"labelsTr/{name}.nii.gz")
    Dataset.open(folder).rebuild()
    (folder / ".index.json").unlink(missing_ok=True)


def mask(step: int) -> LabelMap:
    """A lesion, at another place for each step."""
    data = np.zeros(GRID.shape, np.uint8)
    at = 2 + step % 30
    data[2:5, 10:20, at : at + 10] = 1
    return LabelMap(data, GRID)


def measured(folder: Path) -> dict[str, float]:
    """All figures of one folder."""
    (folder / ".index.json").unlink(missing_ok=True)
    found: dict[str, float] = {}
    for what in MEASURES:
        command = [sys.executable, __file__, "--measure", str(folder), "--what", what]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found |= json.loads(done.stdout)
    return found


def _ms(act: Callable[[], object]) -> float:
    start = time.perf_counter()
    act()
    return 1000 * (time.perf_counter() - start)


def _first_open(folder: Path) -> dict[str, float]:
    return {"first_open_ms": _ms(lambda: Dataset.open(folder))}


def _open(folder: Path) -> dict[str, float]:
    opened: list[Dataset] = []
    busy = time.process_time()
    found = {"open_ms": _ms(lambda: opened.append(Dataset.open(folder)))}
    found["open_cpu_ms"] = 1000 * (time.process_time() - busy)
    found["list_ms"] = _ms(lambda: opened[0].worklist("AB"))
    found["again_ms"] = _ms(lambda: opened[0].worklist("AB"))
    return found


def _status(folder: Path) -> dict[str, float]:
    dataset = Dataset.open(folder)
    return {"status_ms": _ms(dataset.status)}


def _check(folder: Path) -> dict[str, float]:
    dataset = Dataset.open(folder)
    before, start, first = _peak_mib(), time.perf_counter(), 0.0
    for _ in dataset.checking():
        first = first or time.perf_counter()
    return {
        "check_first_ms": 1000 * (first - start),
        "check_s": time.perf_counter() - start,
        "check_mib": _peak_mib() - before,
    }


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _accept(folder: Path) -> dict[str, float]:
    dataset = Dataset.open(folder)
    rows = dataset.worklist("AB")
    open_cases = [row.case_id for row in rows if row.status != "accepted"]
    names = (open_cases + [row.case_id for row in rows])[: ACCEPTED + 2]
    accepted, worked, followed, written = [], [], [], []
    for step, name in enumerate(names):
        new = mask(step + int(time.time()))
        keep = {"reviewed_slices": None, "annotator": "AB", "seconds": 1.0}
        busy = time.process_time()
        accepted.append(_ms(lambda: dataset.accept(name, new, **keep)))  # noqa: B023
        worked.append(1000 * (time.process_time() - busy))
        written.append(_ms(lambda: _write_same(folder, name)))  # noqa: B023
        followed.append(_ms(lambda: (dataset.case(name), dataset.working_map(name))))  # noqa: B023
    accepted = sorted(accepted[2:])  # the first ones load libraries
    return {
        "accept_ms": statistics.median(accepted),
        "accept_p95_ms": accepted[int(0.95 * (len(accepted) - 1))],
        "accept_cpu_ms": statistics.median(worked[2:]),
        "write_ms": statistics.median(written[2:]),
        "next_ms": statistics.median(followed[2:]),
    }


def _write_same(folder: Path, name: str) -> None:
    """Write and sync what accepting a case leaves: mask, record and the three lists."""
    own = [f"labelsTr/{name}.nii.gz", f"cases/{name}.json"]
    for number, one in enumerate([*own, "dataset.json", "splits_final.json", "datalist.json"]):
        copy = folder.parent / f"{folder.name}.{number}"
        with open(copy, "wb") as stream:
            stream.write((folder / one).read_bytes())
            stream.flush()
            os.fsync(stream.fileno())
        copy.unlink()


MEASURES: dict[str, Callable[[Path], dict[str, float]]] = {
    "first_open": _first_open,
    "open": _open,
    "status": _status,
    "check": _check,
    "accept": _accept,
}

if __name__ == "__main__":
    sys.exit(main())
