"""What a brush stroke costs in the dock's window against a bare viewer's.

Writes results/painting.md and results/painting.json.

Two real windows of one process hold the same exam of 160 x 512 x 512 voxels: one with napari
alone, one with the dock, a case held for correction and all its listeners on. Strokes alternate
between them, the same places in both, and every pair counts once. A stroke's cost is the time of
the window's thread, from the press of the button until nothing is left to do after its release;
autosaves that fall into it are counted, what their thread does is not, nor what other programs do.
Memory is the process's: what it grows by from the dock's first stroke to six quiet seconds after
the last, less what it grew by with as many strokes in the bare viewer, from its first one on.

    xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/painting.py
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

SCRATCH = Path(tempfile.mkdtemp(prefix="breastseg-painting-"))
os.environ["NAPARI_CONFIG"] = str(SCRATCH / "napari.yaml")
os.environ["BREASTSEG_HOME"] = str(SCRATCH / "home")

import napari  # noqa: E402
import numpy as np  # noqa: E402
from _common import RESULTS, machine, today  # noqa: E402
from _strokes import canvas_place, drag  # noqa: E402
from qtpy.QtTest import QTest  # noqa: E402
from qtpy.QtWidgets import QWidget  # noqa: E402

from napari_breastseg.core.volume import Exam, Grid, LabelMap, Volume  # noqa: E402
from napari_breastseg.widgets.canvas.layers import show_exam, show_labels, tumor_layer  # noqa: E402
from napari_breastseg.widgets.state.session import Draft  # noqa: E402

SHAPE = (160, 512, 512)
AFTER_MS = 150
"""After the release: longer than the dock gathers events before it looks at an edit."""

MOST_RATIO = 1.05
MOST_MASKS = 1.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--output", type=Path, default=RESULTS / "painting")
    args = parser.parse_args()
    exam, draft = synthetic_exam()
    mine, bare = open_ours(exam, draft), open_bare(exam, draft)
    rng = np.random.default_rng(0)
    for window in (bare, mine):  # first strokes compile shaders
        before = memory_mib()
        for _ in range(3):
            stroke(window, 80, 256, 256)
        if window is bare:
            bare_grew = memory_of_strokes(bare, rng, args.pairs, before)
    costs: dict[str, list[float]] = {"bare": [], "ours": []}
    for pair in range(args.pairs):
        z, y, x = rng.integers(60, 100), rng.integers(160, 350), rng.integers(160, 350)
        order = [("bare", bare), ("ours", mine)]
        for name, window in order if pair % 2 else order[::-1]:
            costs[name].append(stroke(window, z, y, x))
        print(f"{pair + 1:3}  bare {costs['bare'][-1]:6.1f} ms  ours {costs['ours'][-1]:6.1f} ms")
    QTest.qWait(6000)
    gc.collect()
    result = summary(costs, memory_mib() - before, bare_grew)
    result["is_kept"] = bool(
        np.array_equal(mine.dataset.recover(exam.case_id).data, mine.layer.data)
    )
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.with_suffix(".json").write_text(json.dumps(result, indent=2) + "\n")
    args.output.with_suffix(".md").write_text(table(result))
    print(table(result))
    mine.viewer.close()
    bare.viewer.close()
    return 0 if result["is_within"] else 1


def synthetic_exam() -> tuple[Exam, LabelMap]:
    """Noise of an exam's size and a draft with one lesion."""
    grid = Grid(SHAPE, np.diag([1.0, 0.7, 0.7, 1.0]))
    rng = np.random.default_rng(1)
    pre = rng.integers(80, 160, SHAPE, dtype=np.int16)
    draft = np.zeros(SHAPE, np.uint8)
    draft[70:90, 230:270, 230:270] = 1
    return (
        Exam("P001", {"pre": Volume(pre, grid), "post1": Volume(pre + 20, grid)}),
        LabelMap(draft, grid),
    )


def open_bare(exam: Exam, draft: LabelMap) -> SimpleNamespace:
    """Napari alone, its canvas as large as beside the dock."""
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1300, 850)
    room = QWidget()
    room.setMinimumWidth(360)
    viewer.window.add_dock_widget(room, area="right", name="room")
    scale = exam.grid.spacing_mm
    for role, volume in exam.phases.items():
        viewer.add_image(volume.data, name=role, scale=scale, visible=role == "post1")
    layer = viewer.add_labels(draft.data.copy(), name="tumor", scale=scale, opacity=0.5)
    layer.selected_label, layer.brush_size, layer.mode = 1, 10, "paint"
    QTest.qWait(1000)
    return SimpleNamespace(viewer=viewer, layer=layer)


def open_ours(exam: Exam, draft: LabelMap) -> SimpleNamespace:
    """The dock with a case held, the changes to the draft not shown."""
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1300, 850)
    _, dock = viewer.window.add_plugin_dock_widget("napari-breastseg", "Breast MRI")
    show_exam(viewer, exam)
    show_labels(viewer, dock.session.source, draft)
    dock.session.drafts.keep(Draft(exam.case_id, draft, "none"))
    panel = dock.correct_panel
    panel.folder.setValue(SCRATCH / "set")
    panel.open_dataset()
    wait(dock)
    panel.patient.setText("A")
    panel.annotator.setText("AB")
    dock.take_brush()
    wait(dock)
    layer = tumor_layer(viewer, exam.case_id)
    layer.brush_size = 10
    QTest.qWait(1000)
    return SimpleNamespace(viewer=viewer, layer=layer, dock=dock, dataset=dock.session.dataset)


def wait(dock: Any) -> None:
    QTest.qWait(200)
    while any(runner.is_running for runner in dock._runners()):
        QTest.qWait(50)
    QTest.qWait(200)


def stroke(window: SimpleNamespace, z: int, y: int, x: int) -> float:
    """Milliseconds of the window's thread for one stroke of ten moves, and what follows it."""
    viewer = window.viewer
    viewer.dims.set_current_step(0, int(z))
    QTest.qWait(300)
    path = [
        canvas_place(viewer, window.layer, (int(z), int(y) + 2 * k, int(x) + 4 * k))
        for k in range(11)
    ]
    started = time.thread_time()
    drag(viewer, path)
    QTest.qWait(AFTER_MS)
    return (time.thread_time() - started) * 1000


def memory_mib() -> float:
    """Resident memory of this process in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def memory_of_strokes(
    window: SimpleNamespace, rng: np.random.Generator, strokes: int, before: float
) -> float:
    """MiB by which a bare viewer grows from its first stroke to as many as are measured."""
    for _ in range(strokes):
        stroke(window, rng.integers(60, 100), rng.integers(160, 350), rng.integers(160, 350))
    gc.collect()
    return memory_mib() - before


def summary(costs: dict[str, list[float]], grew: float, bare_grew: float) -> dict[str, Any]:
    ratios = np.array(costs["ours"]) / np.array(costs["bare"])
    rng = np.random.default_rng(0)
    medians = np.median(rng.choice(ratios, (2000, len(ratios))), axis=1)
    mask_mib = float(np.prod(SHAPE)) / 2**20
    masks = (grew - bare_grew) / mask_mib
    ratio = float(np.median(ratios))
    return {
        "date": today(),
        "machine": machine(),
        "shape": list(SHAPE),
        "pairs": len(ratios),
        "bare_ms": {"median": float(np.median(costs["bare"])), "all": costs["bare"]},
        "ours_ms": {"median": float(np.median(costs["ours"])), "all": costs["ours"]},
        "ratio": {
            "median": ratio,
            "ci95": np.percentile(medians, [2.5, 97.5]).tolist(),
            "of_sums": sum(costs["ours"]) / sum(costs["bare"]),
        },
        "memory": {
            "mask_mib": mask_mib,
            "grew_mib": grew,
            "bare_grew_mib": bare_grew,
            "masks": masks,
        },
        "is_within": ratio <= MOST_RATIO and masks <= MOST_MASKS,
    }


def table(result: dict[str, Any]) -> str:
    ratio, memory = result["ratio"], result["memory"]
    bare, ours = result["bare_ms"], result["ours_ms"]
    low, high = ratio["ci95"]
    shape = " x ".join(map(str, result["shape"]))
    kept = "exactly" if result["is_kept"] else "NOT"
    lines = (
        "# What a stroke costs",
        "",
        f"{result['date']}, {result['machine']}, software rendering; {shape} voxels, "
        f"{result['pairs']} pairs of strokes.",
        "Made by `python benchmarks/painting.py`, which says what is counted.",
        "",
        "| | bare viewer | with the dock | ratio | aim |",
        "|---|---|---|---|---|",
        f"| window's thread per stroke, median | {bare['median']:.1f} ms | {ours['median']:.1f} ms "
        f"| {ratio['median']:.3f} (95 % {low:.3f} to {high:.3f}) | {MOST_RATIO} |",
        f"| all strokes together | {sum(bare['all']):.0f} ms | {sum(ours['all']):.0f} ms "
        f"| {ratio['of_sums']:.3f} | |",
        f"| memory grown while painting | {memory['bare_grew_mib']:.1f} MiB "
        f"| {memory['grew_mib']:.1f} MiB | {memory['masks']:.2f} masks more | {MOST_MASKS:g} |",
        "",
        f"One mask is {memory['mask_mib']:.0f} MiB. After six quiet seconds the disk held {kept} "
        "what was painted.",
    )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
