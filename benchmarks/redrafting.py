"""How long the window takes to draft an exam again from corrections, and what it blocks meanwhile.

Writes results/redrafting.md and results/redrafting.json.

A real window holds an exam of 160 x 512 x 512 voxels for correction: noise with a lesion of 18 mL,
and a draft of it that is too small. In slices of its lesion a stroke is drawn with the mouse and
the slice is left: by that the rest of the exam is drafted again, first from features, then by a
copy of the network that learned. Times are those of the clock, from leaving the slice until the
redraft is in the mask. A timer of 2 ms in the window's thread tells how long nothing else could
happen there: while redrafts are computed beside the window, when they are put into the mask, and in
a last round with learning switched off.

    xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/redrafting.py
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
from _common import RESULTS, machine, today
from _strokes import canvas_place, drag
from numpy.typing import NDArray
from painting import open_ours, wait
from qtpy.QtCore import QTimer
from qtpy.QtTest import QTest

from napari_breastseg.core.atomic import write_json, write_text
from napari_breastseg.core.volume import Exam, Grid, LabelMap, Volume
from napari_breastseg.model import checkpoint
from napari_breastseg.predict.thresholding import ProbabilitySteps
from napari_breastseg.widgets.state.session import Draft

SHAPE = (160, 512, 512)
MOST_S = {"features": 0.5, "adapted": 10.0}
MOST_HELD_MS = 100
TICK_MS = 2

Moment = tuple[float, float]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    exam, draft, lesion = synthetic_lesion()
    window = opened(exam, draft)
    slices = np.flatnonzero(lesion.any((1, 2)))
    places = np.linspace(0, len(slices) - 1, args.rounds + 3).round().astype(int)[1:-1]
    section = window.dock.correct_panel.learning
    rounds = []
    for number, z in enumerate(slices[places].tolist()):
        section.switch.setChecked(number < args.rounds)  # the last one shows what napari takes
        wait(window.dock)
        rounds.append(corrected(window, z, lesion[z]))
        print(json.dumps(rounds[-1]), section.line.text(), flush=True)
    result = {
        "date": today(),
        "machine": machine(),
        "load": os.getloadavg()[0],
        "shape": list(SHAPE),
        "without": rounds[-1],
        "rounds": rounds[:-1],
    }
    write_json(RESULTS / "redrafting.json", result)
    write_text(RESULTS / "redrafting.md", table(result))
    print(table(result))
    window.viewer.close()
    return 0


def synthetic_lesion() -> tuple[Exam, LabelMap, NDArray[np.bool_]]:
    """Noise of an exam's size, an enhancing lesion of 18 mL, and a draft that is too small."""
    affine = np.array([[0, 0, -0.8, 0], [0, -0.8, 0, 0], [1.1, 0, 0, 0], [0, 0, 0, 1]])
    grid = Grid(SHAPE, affine)  # axial slices
    rng = np.random.default_rng(1)
    pre = rng.integers(80, 160, SHAPE, dtype=np.int16)
    z, y, x = np.ogrid[tuple(slice(0, n) for n in SHAPE)]
    squared = ((z - 80) / 15) ** 2 + ((y - 250) / 20) ** 2 + ((x - 250) / 20) ** 2
    lesion = squared <= 1
    post = pre + np.int16(20) + np.int16(200) * lesion
    exam = Exam("P001", {"pre": Volume(pre, grid), "post1": Volume(post, grid)})
    return exam, LabelMap((squared <= 0.6).astype(np.uint8), grid), lesion


def opened(exam: Exam, mask: LabelMap) -> SimpleNamespace:
    """The window with the exam held for correction, its draft as the Draft step leaves it."""
    window = open_ours(exam, mask)
    probability = Volume(np.where(mask.tumor, np.float32(0.95), np.float32(0.01)), exam.grid)
    steps = ProbabilitySteps.of(probability)
    identity = checkpoint.read_info(checkpoint.STARTER).identity
    window.dock.session.drafts.keep(Draft(exam.case_id, mask, identity, probability=steps))
    window.dock.session.model = checkpoint.STARTER
    window.dock.correct_panel.learning.begin()
    wait(window.dock)
    return window


def corrected(window: SimpleNamespace, z: int, tumor: Any) -> dict[str, Any]:
    """Draw a stroke in a slice, leave it, and wait until nothing is drafted any longer."""
    viewer, section = window.viewer, window.dock.correct_panel.learning
    viewer.dims.set_current_step(0, z)
    QTest.qWait(400)
    ys, xs = np.nonzero(tumor)
    y, x = int(np.median(ys)), int(xs.min())  # drawn from without, so that it changes the mask
    path = [canvas_place(viewer, window.layer, (z, y, x - 20 + 5 * k)) for k in range(8)]
    drag(viewer, path)
    QTest.qWait(400)
    taken: dict[str, float] = {}
    puts: list[tuple[Moment, Moment]] = []
    put = section.watch.put

    def timed_put(*arguments: Any) -> Any:
        stage, began = section._stage, now()
        told = put(*arguments)
        puts.append((began, now()))
        taken[stage or ""] = round(puts[-1][1][0] - left, 3)
        return told

    section.watch.put = timed_put
    try:
        with ticking() as ticks:
            left = time.perf_counter()
            viewer.dims.set_current_step(0, z + 1)
            QTest.qWait(400)
            stepped = time.perf_counter()
            wait(window.dock)
            QTest.qWait(400)
    finally:
        section.watch.put = put
    gaps = list(itertools.pairwise(ticks))
    at_put = [gap for gap in gaps if any(gap[0] < end and began < gap[1] for began, end in puts)]
    others = [gap for gap in gaps if gap not in at_put]
    parts = {
        "changing the slice": [gap for gap in others if gap[1][0] <= stepped],
        "while it is drafted": [gap for gap in others if gap[1][0] > stepped],
        "putting it in, with what napari draws": at_put,
        "putting it in alone": puts,
    }
    return {
        "slice": z,
        "seconds": taken,
        "held_ms": {
            part: [
                round(1000 * max((b[n] - a[n] for a, b in of_part), default=0.0), 1) for n in (0, 1)
            ]
            for part, of_part in parts.items()
        },
    }


def now() -> Moment:
    """The clock, and the processor's time of this thread."""
    return time.perf_counter(), time.thread_time()


@contextmanager
def ticking() -> Iterator[list[Moment]]:
    """Moments at which the window's thread was free."""
    ticks = [now()]
    timer = QTimer()
    timer.timeout.connect(lambda: ticks.append(now()))
    timer.start(TICK_MS)
    try:
        yield ticks
    finally:
        timer.stop()


def table(result: dict[str, Any]) -> str:
    rounds = result["rounds"]
    shape = " x ".join(map(str, result["shape"]))
    lines = [
        "# Drafting an exam again while its reader works",
        "",
        f"{result['date']}, {result['machine']}, software rendering; {shape} voxels, {len(rounds)} "
        f"corrected slices, load of the machine {result['load']:.1f}.",
        "Made by `python benchmarks/redrafting.py`, which says what is counted.",
        "",
        "| after leaving a corrected slice | median | longest | aim |",
        "|---|---|---|---|",
    ]
    for stage, words in (("features", "drafted at once"), ("adapted", "drafted by the copy")):
        seconds = [one["seconds"][stage] for one in rounds if stage in one["seconds"]]
        if seconds:
            lines.append(
                f"| {words} | {np.median(seconds):.2f} s | {max(seconds):.2f} s "
                f"| {MOST_S[stage]:g} s |"
            )
    lines += [
        "",
        "Longest time that the window's thread was held: by the clock, and what of it the thread "
        "itself worked, as other programs and the worker take their share of the clock.",
        "",
        "| | without learning: clock | worked | learning: clock, median | longest | worked, median "
        "| longest | aim |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for part, (held, plain) in result["without"]["held_ms"].items():
        clock, worked = zip(*(one["held_ms"][part] for one in rounds), strict=True)
        aim = "" if part.startswith("changing") else f"{MOST_HELD_MS} ms"
        lines.append(
            f"| {part} | {held:.0f} ms | {plain:.0f} ms "
            f"| {np.median(clock):.0f} ms | {max(clock):.0f} ms "
            f"| {np.median(worked):.0f} ms | {max(worked):.0f} ms | {aim} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
