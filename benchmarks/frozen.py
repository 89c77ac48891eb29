"""How long the window is frozen in a session on a big exam, and by whom.

Writes results/frozen.md and results/frozen.json.

A real window opens a synthetic exam of five phases, 160 x 448 x 448 voxels each, from its files;
the brush is taken into a new dataset folder, strokes are drawn with real mouse events, layouts are
switched, slices scrolled, a slice is segmented, lesions are measured and the mask is accepted. The
window's thread marks the time every few milliseconds; while it does not, another thread looks at
its stack. A block is longer than 50 ms. It is "ours" where the innermost frame of this package or
of napari is this package's, or where this package computed something itself; "napari" where the
package, or Qt, had called napari; "torch" where a library was being imported.

    xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/frozen.py
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

SCRATCH = Path(tempfile.mkdtemp(prefix="breastseg-frozen-"))
os.environ["NAPARI_CONFIG"] = str(SCRATCH / "napari.yaml")
os.environ["BREASTSEG_HOME"] = str(SCRATCH / "home")

import napari  # noqa: E402
import numpy as np  # noqa: E402
from _common import RESULTS, machine, today  # noqa: E402
from _strokes import canvas_place, drag  # noqa: E402
from qtpy.QtCore import Qt, QTimer  # noqa: E402
from qtpy.QtTest import QTest  # noqa: E402

from napari_breastseg import formats  # noqa: E402
from napari_breastseg.core.volume import Grid, Volume  # noqa: E402
from napari_breastseg.widgets.canvas.layers import tumor_layer  # noqa: E402

SHAPE = (160, 448, 448)
PHASES = 5
CASE = "BIG"
BLOCK_S, LOOK_S, BEAT_MS = 0.05, 0.01, 5
LISTED_S = 0.1
SHOWN_STACK = 4


class Watchdog:
    """Logs when the window's thread handles no events, and what it does instead."""

    def __init__(self) -> None:
        self._thread_id = threading.get_ident()
        self._beat = time.perf_counter()
        self._is_over = threading.Event()
        self.step = ""
        self.blocks: list[dict[str, Any]] = []
        self._timer = QTimer(interval=BEAT_MS, timerType=Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._mark)
        self._timer.start()
        self._looker = threading.Thread(target=self._look, daemon=True)
        self._looker.start()

    def stop(self) -> None:
        """Look no longer."""
        self._timer.stop()
        self._is_over.set()
        self._looker.join()

    def _mark(self) -> None:
        self._beat = time.perf_counter()

    def _look(self) -> None:
        stacks: list[traceback.StackSummary] = []
        began, step = self._beat, self.step
        while not self._is_over.wait(LOOK_S):
            beat, now = self._beat, time.perf_counter()
            if beat != began:
                if stacks and beat - began > BLOCK_S:
                    self.blocks.append(block(step, beat - began, stacks))
                stacks, began, step = [], beat, self.step
            elif now - beat > BLOCK_S:
                step = step if stacks else self.step  # set just before it was held
                frame = sys._current_frames().get(self._thread_id)
                if frame is not None:
                    stacks.append(traceback.extract_stack(frame))


def block(step: str, seconds: float, stacks: list[traceback.StackSummary]) -> dict[str, Any]:
    """What held the window: whose it was most of the time, and where."""
    owners = Counter(owner_of(stack) for stack in stacks)
    owner = owners.most_common(1)[0][0]
    places = Counter(place_of(stack) for stack in stacks if owner_of(stack) == owner)
    return {
        "step": step,
        "seconds": round(seconds, 3),
        "whose": owner,
        "where": places.most_common(1)[0][0],
        "samples": len(stacks),
    }


def owner_of(stack: traceback.StackSummary) -> str:
    """Whose frame holds the window: "ours", "napari", "import" or "Qt"."""
    if any("importlib" in frame.filename for frame in stack):
        return "import"
    for frame in reversed(stack):
        if "napari_breastseg" in frame.filename:
            return "ours"
        if any(f"/{name}/" in frame.filename for name in ("napari", "vispy", "psygnal")):
            return "napari"
    return "Qt"


def place_of(stack: traceback.StackSummary) -> str:
    """The innermost frames of this package, and the one at the very end."""
    ours = [frame for frame in stack if "napari_breastseg" in frame.filename][-SHOWN_STACK:]
    named = [f"{Path(frame.filename).stem}.{frame.name}:{frame.lineno}" for frame in ours]
    last = stack[-1]
    end = f"{Path(last.filename).stem}.{last.name}"
    return " > ".join([*named, end])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=RESULTS / "frozen")
    parser.add_argument("--slices", type=int, default=SHAPE[0], help="fewer to try it out")
    args = parser.parse_args()
    folder = write_exam((args.slices, *SHAPE[1:]))
    load_before = os.getloadavg()[0]
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1300, 850)
    _, dock = viewer.window.add_plugin_dock_widget("napari-breastseg", "Breast MRI")
    QTest.qWait(2000)
    watchdog = Watchdog()
    took: dict[str, dict[str, float]] = {}
    for name, act, is_usable in session(viewer, dock, folder):
        watchdog.step = name
        began = time.perf_counter()
        act()
        usable = wait_for(is_usable)
        wait_for(lambda: not is_busy(dock))
        took[name] = {
            "usable_s": round(usable - began, 2),
            "done_s": round(time.perf_counter() - began, 2),
        }
        QTest.qWait(300)
        print(name, took[name], flush=True)
        write(args.output, report(args.slices, load_before, took, watchdog))
    watchdog.stop()
    print(args.output.with_suffix(".md").read_text())
    viewer.close()
    return 0


def report(
    n_slices: int, load_before: float, took: dict[str, Any], watchdog: Watchdog
) -> dict[str, Any]:
    """All figures so far."""
    return {
        "date": today(),
        "machine": machine(),
        "shape": [n_slices, *SHAPE[1:]],
        "phases": PHASES,
        "load_before": round(load_before, 2),
        "load_after": round(os.getloadavg()[0], 2),
        "steps": took,
        "blocks": sorted(watchdog.blocks, key=lambda one: -one["seconds"]),
    }


def write(output: Path, result: dict[str, Any]) -> None:
    """Keep the figures, as data and as a page."""
    output.with_suffix(".json").write_text(json.dumps(result, indent=2) + "\n")
    output.with_suffix(".md").write_text(table(result))


def write_exam(shape: tuple[int, int, int]) -> Path:
    """Five phases of noise with two bright balls, in files."""
    folder = SCRATCH / "exam"
    folder.mkdir()
    axial = [[0, 0, -0.8, 0], [0, -0.8, 0, 0], [1.1, 0, 0, 0], [0, 0, 0, 1]]
    grid = Grid(shape, np.array(axial))
    rng = np.random.default_rng(0)
    z, y, x = np.ogrid[: shape[0], : shape[1], : shape[2]]
    pre = rng.integers(80, 160, shape, dtype=np.int16)
    for number, enhancement in enumerate((0, 200, 240, 220, 200)):
        data = pre + rng.integers(0, 12, shape, dtype=np.int16)
        for center, radius in (((shape[0] // 2, 200, 120), 9), ((shape[0] // 2 + 12, 240, 330), 5)):
            ball = (z - center[0]) ** 2 + (y - center[1]) ** 2 + (x - center[2]) ** 2 < radius**2
            data[ball] += np.int16(enhancement)
        formats.write_volume(folder / f"{CASE}_{number:04d}.nii.gz", Volume(data, grid))
    return folder


def session(
    viewer: Any, dock: Any, folder: Path
) -> list[tuple[str, Callable[[], object], Callable[[], bool]]]:
    """Steps of a reader's session: what is done, and when the reader can go on."""
    correct = dock.correct_panel

    def mask() -> Any:
        return tumor_layer(viewer, CASE)

    def open_dataset() -> None:
        correct.folder.setValue(SCRATCH / "set")
        correct.open_dataset()

    def start() -> None:
        correct.patient.setText("A")
        correct.annotator.setText("AB")
        dock.take_brush()

    def paint() -> None:
        z = viewer.dims.current_step[0]
        for row in range(190, 215, 5):
            drag(
                viewer,
                [canvas_place(viewer, mask(), (z, row, column)) for column in range(110, 135, 3)],
            )
            QTest.qWait(100)

    def scroll() -> None:
        for _ in range(20):
            viewer.dims.set_current_step(0, viewer.dims.current_step[0] + 1)
            QTest.qWait(30)
        viewer.dims.set_current_step(0, viewer.dims.current_step[0] - 20)

    def accept() -> None:
        correct.rest.setChecked(True)
        dock.accept()

    def now() -> bool:
        return True

    return [
        (
            "Open five phases",
            lambda: dock.open_panel.open_dropped(folder),
            lambda: any(layer.visible for layer in viewer.layers),
        ),
        ("Open a new dataset folder", open_dataset, lambda: dock.session.dataset is not None),
        (
            "Segment the slice in sight",
            lambda: dock.segment_panel.run("slice"),
            lambda: not dock.segment_panel.runner.is_running,
        ),
        ("Start correcting", start, lambda: mask() is not None and mask().mode == "paint"),
        ("Paint five strokes", paint, now),
        ("Scroll 20 slices", scroll, now),
        ("Three directions (F3)", dock.layouts.show_orthogonal, now),
        ("All phases (F4)", dock.layouts.show_phases, now),
        ("Three directions again", dock.layouts.show_orthogonal, now),
        ("All phases again", dock.layouts.show_phases, now),
        ("One view (F2)", dock.layouts.show_axial, now),
        (
            "Go to the next lesion (F8)",
            dock.next_lesion,
            lambda: not correct.lesions.runner.is_running,
        ),
        ("Accept", accept, now),
    ]


def is_busy(dock: Any) -> bool:
    autosave = dock.correct_panel.autosave
    return autosave.is_writing or any(runner.is_running for runner in dock._runners())


def wait_for(is_so: Callable[[], bool], most_s: float = 300.0) -> float:
    """When it became so; the time runs out silently, and the table shows it."""
    until = time.perf_counter() + most_s
    while not is_so() and time.perf_counter() < until:
        QTest.qWait(10)
    return time.perf_counter()


def table(result: dict[str, Any]) -> str:
    """The figures as a page."""
    lines = [
        "# How long the window is frozen",
        "",
        f"`python benchmarks/frozen.py`, {result['date']}, {result['machine']}; load average "
        f"{result['load_before']} before, {result['load_after']} after. "
        f"{result['phases']} phases of {' x '.join(map(str, result['shape']))} voxels.",
        "",
        "| step | usable after, s | all done after, s | blocks over 50 ms | longest, ms | "
        "longest of ours, ms |",
        "|---|---|---|---|---|---|",
    ]
    for name, took in result["steps"].items():
        blocks = [one for one in result["blocks"] if one["step"] == name]
        longest = max((one["seconds"] for one in blocks), default=0.0)
        ours = max((one["seconds"] for one in blocks if one["whose"] == "ours"), default=0.0)
        lines.append(
            f"| {name} | {took['usable_s']} | {took['done_s']} | {len(blocks)} | "
            f"{1000 * longest:.0f} | {1000 * ours:.0f} |"
        )
    lines += ["", f"Blocks over {1000 * LISTED_S:.0f} ms, the longest first:", ""]
    lines += ["| step | ms | whose | where |", "|---|---|---|---|"]
    lines += [
        f"| {one['step']} | {1000 * one['seconds']:.0f} | {one['whose']} | `{one['where']}` |"
        for one in result["blocks"]
        if one["seconds"] >= LISTED_S
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
