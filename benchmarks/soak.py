"""Hundreds of exams in one window: does memory stay flat, and is anything left of a closed case?

    xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/soak.py

One window opens an exam, segments it, takes it into a dataset, corrects it with a real mouse
stroke, accepts every third and closes the case, over and over; 500 exams take some 30 minutes.
Every 20 exams what the process holds is counted: memory, after freed memory was given back to the
system, threads, files, layers, viewers, widgets, timers. It fails where memory grows by more than
5 % from the 20th exam to the last, or a count grows. Until the 100th what is kept of the cases
seen last fills up (100 small pictures of the list, 60 of them drawn, 10 MB that Qt keeps), so the
growth since then is told, too. Writes results/soak.md and results/soak.json, the latter as it goes.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import _reliability
import numpy as np
from _common import RESULTS, machine, today

SHAPE = (8, 64, 64)
WARM_UP = 20
FULL = 100
"""Exams until what is kept of the cases seen last, 100 small pictures for one, is all there."""
MOST_GROWTH = 0.05
COUNTS = ("threads", "files", "layers", "viewers", "widgets", "timers", "exams", "label_maps")
"""What may not grow. Exams and label maps are those of this program that are still held."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--every", type=int, default=20, help="exams between two measurements")
    parser.add_argument("--types", action="store_true", help="print which objects grow in number")
    args = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory(prefix="breastseg-soak-") as scratch:
        place = Path(scratch)
        os.environ["BREASTSEG_HOME"] = str(place / "home")
        os.environ["NAPARI_CONFIG"] = str(place / "napari.yaml")
        rows = soak(place, args.count, args.every, print_types=args.types)
    problems = grown(rows)
    text = table(rows, problems)
    (RESULTS / "soak.md").write_text(text)
    what = "exams opened, segmented, corrected, closed in one window"
    most_mb = max(row["rss_mb"] for row in rows)
    note = f"memory {growth(rows, WARM_UP)} after {WARM_UP}, {growth(rows, FULL)} after {FULL}"
    row = _reliability.Row(what, args.count, len(problems), worst_mb=most_mb, note=note)
    _reliability.note("soak", "python benchmarks/soak.py", [row])
    print(text)
    return 1 if problems else 0


def soak(place: Path, count: int, every: int, *, print_types: bool = False) -> list[dict[str, Any]]:
    """What was measured after the first exam, and then after every so many."""
    from napari_breastseg.core.atomic import write_json
    from napari_breastseg.widgets.state.settings import remember

    remember("tour", "seen")
    remember("learns_from_exam", "no")
    reader = Reader(place)
    # napari collects garbage at each removal of a layer; let it pass over what was there before.
    gc.collect()
    gc.freeze()
    rows: list[dict[str, Any]] = []
    kinds: Counter[str] = Counter()
    began = time.perf_counter()
    for number in range(1, count + 1):
        reader.read_one(number)
        if number == 1 or number % every == 0:
            minutes = round((time.perf_counter() - began) / 60, 1)
            rows.append({"number": number, "minutes": minutes, **reader.measure()})
            write_json(RESULTS / "soak.json", {"date": today(), "machine": machine(), "rows": rows})
            print(rows[-1], flush=True)
            if print_types:
                now = Counter(type(one).__qualname__ for one in gc.get_objects())
                print((now - kinds).most_common(25), flush=True)
                kinds = now
    reader.close()
    return rows


class Reader:
    """One window, and what a reader does in it."""

    def __init__(self, place: Path) -> None:
        import napari

        from napari_breastseg.model import checkpoint
        from napari_breastseg.model.unet import ModelSpec, build

        self._place = place
        self._rng = np.random.default_rng(0)
        spec = ModelSpec(inputs=("pre", "post1"), features=(4, 8), patch_size=(32, 32))
        info = checkpoint.ModelInfo(name="tiny", spec=spec)
        checkpoint.save(place / "model", build(spec).state_dict(), info)
        self.viewer = napari.Viewer(show=True)
        self.viewer.window.resize(1280, 800)
        _, self.dock = self.viewer.window.add_plugin_dock_widget("napari-breastseg", "Breast MRI")
        self.dock.segment_panel.model.value = place / "model"
        self.dock.segment_panel.device.value = "cpu"
        self.dock.correct_panel.annotator.setText("AB")
        self.dock.correct_panel.folder.setValue(place / "set")
        self.dock.correct_panel.open_dataset()
        self.settle()

    def settle(self) -> None:
        """Wait until no job runs and nothing is being written."""
        from qtpy.QtTest import QTest

        from napari_breastseg.widgets.dock import runners_of

        autosave = self.dock.correct_panel.autosave
        for _ in range(3):
            QTest.qWait(30)
            while autosave.is_writing or any(r.is_running for r in runners_of(self.dock)):
                QTest.qWait(10)

    def read_one(self, number: int) -> None:
        """Open an exam, segment, correct, accept every third, close the case."""
        case_id = f"E{number:04d}"
        path = self._write_exam(case_id)
        dock, correct = self.dock, self.dock.correct_panel
        dock.open_panel.path.setValue(path)
        dock.open_panel.open()
        self.settle()
        assert dock.session.case_id == case_id
        dock.segment()
        self.settle()
        correct.patient.setText(f"P{number:04d}")
        dock.take_brush()
        self.settle()
        assert dock.session.record.case_id == case_id
        self._paint(case_id)
        if number % 3 == 0:
            correct.accept_box.rest.setChecked(True)
            dock.accept()
            self.settle()
            assert dock.session.dataset.case(case_id).status == "accepted"
        dock.close_case()
        self.settle()
        for file in self._place.glob(f"{case_id}*"):
            file.unlink()

    def _write_exam(self, case_id: str) -> Path:
        from napari_breastseg import formats
        from napari_breastseg.core.volume import Grid, Volume

        grid = Grid(SHAPE, [[0, 0, -1, 0], [0, -1, 0, 0], [3, 0, 0, 0], [0, 0, 0, 1]])
        pre = self._rng.integers(80, 120, SHAPE).astype(np.int16)
        post = pre + 10
        y, x = self._rng.integers(15, 45, 2)
        post[2:6, y : y + 8, x : x + 8] += 150
        for phase, voxels in enumerate((pre, post)):
            path = self._place / f"{case_id}_{phase:04d}.nii.gz"
            formats.write_volume(path, Volume(voxels, grid))
        return self._place / f"{case_id}_0000.nii.gz"

    def _paint(self, case_id: str) -> None:
        from _strokes import canvas_place, drag

        from napari_breastseg.widgets.canvas.layers import tumor_layer

        layer = tumor_layer(self.viewer, case_id)
        self.viewer.dims.set_current_step(0, 3)
        layer.mode, layer.brush_size = "paint", 5
        before = layer.data.copy()
        drag(self.viewer, [canvas_place(self.viewer, layer, (3, 8, 8 + 4 * k)) for k in range(6)])
        layer.mode = "erase"
        drag(self.viewer, [canvas_place(self.viewer, layer, (3, 9, 8 + 4 * k)) for k in range(3)])
        assert not np.array_equal(layer.data, before) or before.all()

    def measure(self) -> dict[str, Any]:
        """What the process holds, without what is only waiting to be freed."""
        from napari.layers import Layer
        from qtpy.QtCore import QTimer
        from qtpy.QtTest import QTest
        from qtpy.QtWidgets import QApplication

        from napari_breastseg.core.volume import Exam, LabelMap

        self.dock.review_panel.walk.prefetch.forget()  # the list's next case, read ahead
        # A thread may be about to let go of the last exam.
        for _ in range(50):
            gc.collect()
            if not any(type(one) is Exam for one in gc.get_objects()):
                break
            QTest.qWait(100)
        trim_memory()
        found: Counter[str] = Counter()
        for one in gc.get_objects():
            kind = type(one)
            if kind.__name__ == "Viewer":
                found["viewers"] += 1
            elif kind is Exam:
                found["exams"] += 1
            elif kind is LabelMap:
                found["label_maps"] += 1
            elif kind is QTimer:
                found["timers"] += 1
            elif isinstance(one, Layer):
                found["layers"] += 1
        return {
            "rss_mb": round(resident_mb(), 1),
            "threads": threads(),
            "files": len(os.listdir("/proc/self/fd")) if sys.platform.startswith("linux") else 0,
            "widgets": len(QApplication.allWidgets()),
            **{
                name: found[name] for name in ("layers", "viewers", "timers", "exams", "label_maps")
            },
        }

    def close(self) -> None:
        """Close the window."""
        self.viewer.close()


def threads() -> int:
    """Threads of the process, those of libraries too."""
    tasks = Path("/proc/self/task")
    return len(list(tasks.iterdir())) if tasks.is_dir() else threading.active_count()


def trim_memory() -> None:
    """Let the allocator give back what was freed, where it can."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def resident_mb() -> float:
    """Memory of this process, in MB; on Linux, else the most it ever had."""
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(one for one in status.read_text().splitlines() if one.startswith("VmRSS"))
        return int(line.split()[1]) / 1000
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def row_of(rows: list[dict[str, Any]], exams: int) -> dict[str, Any]:
    """What was measured after so many exams."""
    return next((row for row in rows if row["number"] >= exams), rows[0])


def growth(rows: list[dict[str, Any]], since: int) -> str:
    """By how much memory grew since an exam, in words."""
    return f"{rows[-1]['rss_mb'] / row_of(rows, since)['rss_mb'] - 1:+.1%}"


def grown(rows: list[dict[str, Any]]) -> list[str]:
    """What grew from the end of the warm-up to the last exam."""
    warm, last = row_of(rows, WARM_UP), rows[-1]
    problems = []
    if last["rss_mb"] > (1 + MOST_GROWTH) * warm["rss_mb"]:
        problems.append("memory grew by more than is allowed")
    for name in COUNTS:
        if last[name] > warm[name]:
            problems.append(f"{name.replace('_', ' ')}: {warm[name]} became {last[name]}")
    return problems


def table(rows: list[dict[str, Any]], problems: list[str]) -> str:
    """The results as Markdown."""
    shape = " x ".join(map(str, SHAPE))
    head = [
        "# Hundreds of exams in one window",
        "",
        f"{today()}, {machine()}, load {os.getloadavg()[0]:.1f}; exams of {shape} voxels, two",
        "phases, each opened, segmented, corrected with the mouse, every third accepted, closed.",
        "Made by `python benchmarks/soak.py`, which says what is counted.",
        "",
        f"From exam {WARM_UP} to exam {rows[-1]['number']}: "
        f"{'; '.join(problems) or 'nothing is left'}; memory {growth(rows, WARM_UP)} (aim: at most "
        f"{MOST_GROWTH:.0%}), {growth(rows, FULL)} since exam {FULL}.",
        "",
        "| exams | minutes | memory, MB | threads | files | layers | viewers | widgets | timers | "
        "exams held | masks held |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    keys = ("number", "minutes", "rss_mb", *COUNTS)
    lines = [f"| {' | '.join(str(row[key]) for key in keys)} |" for row in rows]
    return "\n".join([*head, *lines, ""])


if __name__ == "__main__":
    sys.exit(main())
