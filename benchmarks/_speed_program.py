"""Rows of speed.py about the program around the network: starting, opening, cases, memory."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from _common import test_data
from _speed_row import AT_MOST, figure, row, seconds

__all__ = ["cases", "cold", "growth", "memory", "opening", "scrolling", "starting"]

SCROLLS = 200
GROWTH = (1, 4, 16)
SMALLEST = 8
"""Slices, and exams, of the smallest run of the growth."""


def python(*words: str) -> Callable[[], object]:
    """Another Python that runs these words."""
    return lambda: subprocess.run(
        [sys.executable, *words], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def starting(times: int) -> Iterator[dict[str, Any]]:
    """Help and imports, in times importing numpy."""
    numpy = python("-c", "import numpy")
    for what, words in (
        ("`--help`", ("-m", "napari_breastseg", "--help")),
        ("`predict --help`", ("-m", "napari_breastseg", "predict", "--help")),
        ("`train --help`", ("-m", "napari_breastseg", "train", "--help")),
        ("`import napari_breastseg`, all that napari does at its start", ("-c", _AT_START)),
    ):
        python(*words)()
        pairs = [(seconds(python(*words)), seconds(numpy)) for _ in range(max(5, times))]
        yield row(what, "importing numpy", f"4 {AT_MOST}", pairs)


_AT_START = "import napari_breastseg"


def opening(times: int) -> Iterator[dict[str, Any]]:
    """Opening a DICOM exam, and its first phase, in times reading the files and stacking them."""
    import pydicom

    from napari_breastseg.formats import PhaseRead, find_cases, reading_exam

    folder = test_data() / "duke_dicom"
    (case,) = find_cases(folder)

    def ours() -> tuple[float, float]:
        started, first = time.perf_counter(), 0.0
        (found,) = find_cases(folder)
        job = reading_exam(found)
        for progress in job:
            if isinstance(progress, PhaseRead) and not first:
                first = time.perf_counter() - started
        return first, time.perf_counter() - started

    def bare() -> None:
        np.stack([pydicom.dcmread(path).pixel_array for path in case.files])

    bare()
    ours()
    measured = [(*ours(), seconds(bare)) for _ in range(max(5, times))]
    n_files, against = len(case.files), "pydicom and numpy"
    yield row(
        f"opening {n_files} DICOM files",
        against,
        f"1.2 {AT_MOST}",
        [(b, c) for _, b, c in measured],
    )
    yield row(
        f"first picture of {n_files} DICOM files",
        against,
        f"0.3 {AT_MOST}",
        [(a, c) for a, _, c in measured],
    )


def cases(times: int, count: int) -> Iterator[dict[str, Any]]:
    """A run of `predict` over slices, the model's loading left out, in times its network alone."""
    from napari_breastseg.cli._segmented import segmenting
    from napari_breastseg.core.progress import drain
    from napari_breastseg.formats import finding_cases, write_label_map
    from napari_breastseg.model.checkpoint import STARTER, load
    from napari_breastseg.predict import passes

    images = sorted((test_data() / "ispy_slices" / "images").rglob("*.png"))[:count]
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
        found = [case for path in paths for case in drain(finding_cases(path, phases=roles))]
        for case, made in segmenting([model], found, how, uncertainty=False, quiet=True):
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
    yield row(
        f"{len(images)} slices of 224 x 224, file to file",
        "the network's own time",
        f"1.3 {AT_MOST}",
        pairs,
    )


def scrolling(times: int) -> Iterator[dict[str, Any]]:
    """Segmenting the slice on the screen as the window's worker does, model and exam in memory."""
    from napari_breastseg.core.progress import drain
    from napari_breastseg.formats import open_exam
    from napari_breastseg.model.checkpoint import STARTER, load
    from napari_breastseg.predict.prediction import predict

    exam, model = open_exam(test_data() / "duke_dicom"), load(STARTER)
    depth, height, width = exam.grid.shape

    def show(z: int) -> None:
        box = slice(z, z + 1), slice(0, height), slice(0, width)
        drain(predict(model, exam, device="cpu", region=box))

    show(0)
    spent = sorted(seconds(lambda z=z: show(z % depth)) for z in range(SCROLLS))  # type: ignore[misc]
    p95 = round(1000 * spent[int(0.95 * SCROLLS)])
    yield figure(
        f"slice on the screen, {height} x {width}, p95 of {SCROLLS} scrolls",
        "ms",
        f"150 {AT_MOST}",
        p95,
        median_ms=round(1000 * spent[SCROLLS // 2]),
    )


_COLD = """
import sys, time
started = time.perf_counter()
from threading import Thread
from napari_breastseg.widgets.segment.warm_up import _import_all
warm = Thread(target=_import_all)
warm.start()
from napari_breastseg.formats import open_exam
exam = open_exam(sys.argv[1])
opened = time.perf_counter() - started
warm.join()
from napari_breastseg.model.checkpoint import STARTER, load
from napari_breastseg.predict.passes import SlicesSeen
from napari_breastseg.predict.prediction import predict
for progress in predict(load(STARTER), exam, device="cpu", first=exam.grid.shape[0] // 2):
    if isinstance(progress, SlicesSeen):
        break
print(opened, time.perf_counter() - started)
"""


def cold(times: int) -> Iterator[dict[str, Any]]:
    """A new process opens an exam and segments its first slice; the window itself left out."""
    folder = str(test_data() / "duke_dicom")
    spent = []
    for _ in range(max(2, times)):
        done = subprocess.run(
            [sys.executable, "-c", _COLD, folder], check=True, capture_output=True, text=True
        )
        spent.append(tuple(map(float, done.stdout.split()[-2:])))
    opened, first = sorted(spent, key=lambda one: one[1])[len(spent) // 2]
    yield figure(
        "new process: exam opened, model loaded, first slice's mask",
        "s",
        f"5 {AT_MOST}",
        round(first, 2),
        opened_s=round(opened, 2),
    )


_MEMORY = """
import json, resource, sys, time
import numpy as np
from napari_breastseg.core.progress import drain
from napari_breastseg.core.volume import Exam, Grid, Volume
from napari_breastseg.model.checkpoint import STARTER, load
from napari_breastseg.predict.prediction import predict

def kb():
    return int(open("/proc/self/statm").read().split()[1]) * 4

def exam(slices):
    rng = np.random.default_rng(0)
    grid = Grid((slices, 448, 448), np.diag([1.1, 0.714, 0.714, 1.0]))
    y, x = np.mgrid[:448, :448]
    body = ((y - 200) ** 2 + (x - 224) ** 2 < 180**2) * 800
    phases = {}
    for role, rise in (("pre", 0), ("post1", 200)):
        data = np.empty(grid.shape, np.uint16)
        for plane in data:
            plane[:] = body + rise * (body > 0) + rng.integers(0, 60, body.shape)
        phases[role] = Volume(data, grid)
    return Exam("phantom", phases)

model = load(STARTER)
one = exam(2)
drain(predict(model, one, device="cpu"))
base = kb()
whole = exam(int(sys.argv[1]))
n_bytes = sum(volume.data.nbytes for volume in whole.phases.values())
started = time.perf_counter()
drain(predict(model, whole, device="cpu", breasts_only=False))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
spent = time.perf_counter() - started
print(json.dumps({"peak": (peak - base) * 1024, "exam": n_bytes, "seconds": spent}))
"""


def memory(times: int) -> Iterator[dict[str, Any]]:
    """Memory of `predict` above imports and model, in times the bytes of the exam."""
    done = subprocess.run(
        [sys.executable, "-c", _MEMORY, "160"], check=True, capture_output=True, text=True
    )
    found = json.loads(done.stdout.splitlines()[-1])
    yield figure(
        "memory of `predict`, 160 x 448 x 448 x 2, imports and model left out",
        "the exam's bytes, itself among them",
        f"2.5 {AT_MOST}",
        round(found["peak"] / found["exam"], 2),
        megabytes=round(found["peak"] / 1e6),
        exam_megabytes=round(found["exam"] / 1e6),
        seconds=round(found["seconds"], 1),
    )


def growth(times: int) -> Iterator[dict[str, Any]]:
    """Time per slice of larger exams, and per exam of larger runs, in times the smallest."""
    from napari_breastseg.core.progress import drain
    from napari_breastseg.core.volume import Exam, Volume
    from napari_breastseg.formats import find_cases, open_exam, read_exam
    from napari_breastseg.model.checkpoint import STARTER, load
    from napari_breastseg.predict.prediction import predict

    model, duke = load(STARTER), open_exam(test_data() / "duke_dicom")

    def part(count: int) -> Exam:
        # The middle of a quarter's width: seconds, not minutes.
        grid = duke.grid
        start = (grid.shape[0] - count) // 2
        phases = {}
        for role, volume in duke.phases.items():
            data = np.ascontiguousarray(volume.data[start : start + count, :224, :224])
            phases[role] = Volume(data, type(grid)(data.shape, grid.affine))
        return Exam("part", phases)

    drain(predict(model, part(2), device="cpu", breasts_only=False))
    per_slice = []
    for factor in GROWTH:
        exam = part(SMALLEST * factor)
        spent = seconds(lambda exam=exam: drain(predict(model, exam, breasts_only=False)))  # type: ignore[misc]
        per_slice.append(spent / (SMALLEST * factor))
    yield _grown("slices", per_slice, "predict, a slice of an exam")

    images = sorted((test_data() / "ispy_slices" / "images").rglob("*.png"))

    def run(count: int) -> None:
        for path in images[:count]:
            (case,) = find_cases(path, phases=["pre", "post1", "post2"])
            drain(predict(model, read_exam(case), device="cpu"))

    run(1)
    per_exam = [seconds(lambda n=n: run(SMALLEST * n)) / (SMALLEST * n) for n in GROWTH]  # type: ignore[misc]
    yield _grown("exams", per_exam, "predict, an exam of a run")


def _grown(unit: str, each: list[float], what: str) -> dict[str, Any]:
    counts = " / ".join(str(SMALLEST * factor) for factor in GROWTH)
    return figure(
        f"{what}: time each at {counts} {unit}",
        f"the time each at {SMALLEST}",
        f"1.1 {AT_MOST}",
        round(max(each) / each[0], 2),
        milliseconds=[round(1000 * one) for one in each],
    )
