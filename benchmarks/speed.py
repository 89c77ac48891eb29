"""What the program costs beside what it cannot do without: the network, pydicom, numpy.

Writes results/speed.md and results/speed.json. Each figure is a median of ratios of two times
measured one right after the other, since the machine's own speed varies with what else it does.

    python benchmarks/speed.py
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from _common import RESULTS, machine, test_data, today

CASES = 8
"""Small exams of one run."""

SLICES = 3
"""Slices, 448 x 448, of the comparison with MONAI's sliding window."""


def seconds(work: Callable[[], object]) -> float:
    """Wall time of a call, s."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def python(*words: str) -> Callable[[], object]:
    """Another Python that runs these words."""
    return lambda: subprocess.run(
        [sys.executable, *words], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def row(what: str, against: str, reach: str, pairs: list[tuple[float, float]]) -> dict[str, Any]:
    """A row of the table, of pairs (ours, theirs) of seconds."""
    print(what, [round(a / b, 2) for a, b in pairs], file=sys.stderr, flush=True)
    return {
        "what": what,
        "against": against,
        "reach": reach,
        "ratio": round(statistics.median(a / b for a, b in pairs), 2),
        "ratios": [round(a / b, 2) for a, b in pairs],
        "seconds": round(statistics.median(a for a, _ in pairs), 3),
    }


def starting(times: int) -> list[dict[str, Any]]:
    """Help and imports, in times importing numpy."""
    numpy = python("-c", "import numpy")
    rows = []
    for what, words in (
        ("`--help`", ("-m", "napari_breastseg", "--help")),
        ("`predict --help`", ("-m", "napari_breastseg", "predict", "--help")),
        ("`import napari_breastseg`", ("-c", "import napari_breastseg")),
    ):
        python(*words)()
        pairs = [(seconds(python(*words)), seconds(numpy)) for _ in range(times)]
        rows.append(row(what, "importing numpy", "4 at most", pairs))
    return rows


def small_cases(times: int) -> dict[str, Any]:
    """A run of `predict` over slices, the model's loading left out, in times its network alone."""
    from napari_breastseg.cli._segmented import segmenting
    from napari_breastseg.core.progress import drain
    from napari_breastseg.formats import finding_cases, write_label_map
    from napari_breastseg.model.checkpoint import STARTER, load
    from napari_breastseg.predict import passes

    images = sorted((test_data() / "ispy_slices" / "images").rglob("*.png"))[:CASES]
    roles = ["pre", "post1", "post2"]
    model = load(STARTER)
    within = 0.0
    alone = passes.tumor_probability

    def timed(*args: Any) -> Any:
        nonlocal within
        started = time.perf_counter()
        try:
            return alone(*args)
        finally:
            within += time.perf_counter() - started

    how = {"device": "cpu", "threshold": 0.5, "breasts_only": None}

    def run(paths: list[Path], folder: Path) -> None:
        cases = [case for path in paths for case in drain(finding_cases(path, phases=roles))]
        for case, made in segmenting([model], cases, how, uncertainty=False, quiet=True):
            write_label_map(folder / f"{case.case_id}.png", made.prediction.label_map)

    pairs = []
    passes.tumor_probability = timed
    try:
        with tempfile.TemporaryDirectory() as folder:
            run(images[:1], Path(folder))
            for _ in range(times):
                within = 0.0
                whole = seconds(lambda: run(images, Path(folder)))
                pairs.append((whole, within))
    finally:
        passes.tumor_probability = alone
    return row(f"{CASES} slices, 224 x 224", "the network's own time", "1.3 at most", pairs)


def sliding_window(times: int) -> dict[str, Any]:
    """MONAI's sliding window at its defaults in times one pass of ours, same network and slices."""
    import torch
    from monai.inferers import SlidingWindowInferer

    from napari_breastseg.model.checkpoint import STARTER, load
    from napari_breastseg.predict.passes import ONE_VIEW, tumor_probability

    model = load(STARTER)
    spec = model.spec
    channels = len(spec.inputs) * (1 + 2 * spec.context_slices)
    batch = torch.from_numpy(
        np.random.default_rng(0).normal(size=(SLICES, channels, 448, 448)).astype(np.float32)
    )
    theirs = SlidingWindowInferer(spec.patch_size)

    def monai() -> None:
        with torch.no_grad():
            for one in batch:
                theirs(one[None], model.network)

    def ours() -> None:
        for one in batch:
            tumor_probability(model.fast_network, spec, one[None], ONE_VIEW)

    ours()
    monai()
    pairs = [(seconds(monai), seconds(ours)) for _ in range(times)]
    return row(
        "MONAI's SlidingWindowInferer at its defaults, one view",
        "one pass of ours over the same slices",
        "4 at least",
        pairs,
    )


def opening(times: int) -> dict[str, Any]:
    """Opening a DICOM exam in times reading the same files and stacking them."""
    import pydicom

    from napari_breastseg.formats import find_cases, read_exam

    folder = test_data() / "duke_dicom"
    (case,) = find_cases(folder)

    def ours() -> None:
        (found,) = find_cases(folder)
        read_exam(found)

    def bare() -> None:
        np.stack([pydicom.dcmread(path).pixel_array for path in case.files])

    bare()
    pairs = [(seconds(ours), seconds(bare)) for _ in range(times)]
    return row(f"opening {len(case.files)} DICOM files", "pydicom and numpy", "1.2 at most", pairs)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--times", type=int, default=3, help="times that each pair is measured")
    measures: dict[str, Callable[[int], list[dict[str, Any]]]] = {
        "starting": starting,
        "opening": lambda times: [opening(times)],
        "sliding": lambda times: [sliding_window(times)],
        "cases": lambda times: [small_cases(times)],
    }
    parser.add_argument("--only", nargs="+", choices=measures, default=list(measures))
    given = parser.parse_args()
    times = given.times
    load_before = round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None
    rows = [one for name in given.only for one in measures[name](times)]
    result = {
        "date": today(),
        "machine": machine(),
        "threads": os.environ.get("OMP_NUM_THREADS", "all"),
        "load_before": load_before,
        "times": times,
        "rows": rows,
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "speed.json").write_text(json.dumps(result, indent=2) + "\n")
    lines = [
        "# What the program costs",
        "",
        f"{result['date']}, {result['machine']}, load {load_before} when it began; medians of "
        f"{times} ratios, the two times of each measured one after the other "
        "(`benchmarks/speed.py`).",
        "",
        "| what | in times | ratio | reach | seconds |",
        "|---|---|---|---|---|",
        *(
            f"| {one['what']} | {one['against']} | {one['ratio']:.2f} | {one['reach']} "
            f"| {one['seconds']:.2f} |"
            for one in rows
        ),
    ]
    (RESULTS / "speed.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
