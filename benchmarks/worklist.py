"""The worklist: how soon the next exam is in sight, and how thousands of cases feel.

    xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/worklist.py [--quick]

Synthetic exams of 160 x 448 x 448 with two phases, in a real window with all listeners. "In sight"
is the moment at which the canvas has drawn the next exam's first phase, from the key press on.
A minute or two on two cores.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

SCRATCH = Path(tempfile.mkdtemp(prefix="breastseg-worklist-"))
os.environ["NAPARI_CONFIG"] = str(SCRATCH / "napari.yaml")
os.environ["BREASTSEG_HOME"] = str(SCRATCH / "home")

import napari  # noqa: E402
import numpy as np  # noqa: E402
from _common import RESULTS, machine, today  # noqa: E402
from qtpy.QtCore import Qt  # noqa: E402
from qtpy.QtTest import QTest  # noqa: E402
from qtpy.QtWidgets import QApplication  # noqa: E402

from napari_breastseg.core.atomic import write_json, write_text  # noqa: E402
from napari_breastseg.core.volume import Exam, Grid, LabelMap, Volume  # noqa: E402
from napari_breastseg.dataset import Dataset, Order, Status, WorklistRow  # noqa: E402
from napari_breastseg.widgets.review.table import WorklistModel  # noqa: E402

SHAPE, QUICK_SHAPE = (160, 448, 448), (40, 160, 160)
AIM_S = 0.3


def main() -> int:
    """Measure, print, keep; the exit code says whether the aim was met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small exams, nothing is kept")
    quick = parser.parse_args().quick
    shape = QUICK_SHAPE if quick else SHAPE
    load = os.getloadavg()[0]
    walked = walking(shape, cases=6)
    listed = [listing(number) for number in (200, 5000)]
    lines = [
        "# The worklist",
        "",
        f"{today()}, {machine()}; `python benchmarks/worklist.py`, software drawing (Xvfb). "
        f"Other work on the machine: load average {load:.1f} at the start.",
        "",
        f"Exams of {' x '.join(map(str, shape))} voxels, two phases, a drafted mask; "
        f"{len(walked)} steps.",
        "",
        "| from the key press | median, ms | longest, ms |",
        "|---|---|---|",
    ]
    for name, title in (
        ("first_s", f"next exam's first phase drawn (aim {AIM_S * 1000:.0f})"),
        ("first_cpu_s", "the window's thread at work until then"),
        ("ready_s", "brush in hand, mask shown"),
        ("held_s", "longest time the window was held"),
    ):
        values = [1000 * step[name] for step in walked]
        lines.append(f"| {title} | {statistics.median(values):.0f} | {max(values):.0f} |")
    lines += ["", "| rows | new rows, ms | sort, ms | search, ms |", "|---|---|---|---|"]
    lines += [
        f"| {row['rows']:,} | {row['set_ms']:.0f} | {row['sort_ms']:.0f} | {row['search_ms']:.0f} |"
        for row in listed
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    if not quick:
        write_text(RESULTS / "worklist.md", text)
        write_json(
            RESULTS / "worklist.json",
            {"date": today(), "machine": machine(), "steps": walked, "lists": listed},
        )
    return 0 if statistics.median(step["first_s"] for step in walked) <= AIM_S else 1


def walking(shape: tuple[int, int, int], cases: int) -> list[dict[str, float]]:
    """Seconds from PageDown to the next exam's picture, and to its mask, for each step."""
    dataset = _dataset(shape, cases)
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1300, 850)
    _, dock = viewer.window.add_plugin_dock_widget("napari-breastseg", "Breast MRI")
    dock.correct_panel.annotator.setText("AB")
    dock.correct_panel.folder.setValue(dataset.folder)
    dock.correct_panel.open_dataset()
    _wait(dock)
    dock.show_tab("Review")
    dock.review_panel.walk.go(1)
    canvas = viewer.window._qt_viewer.canvas
    steps = []
    for number in range(1, cases):
        _wait(dock)
        before = dock.session.case_id
        wanted = dock.review_panel.walk.prefetch._loaded.exam.phases["post1"].data
        drawn: list[tuple[float, float]] = []

        def note(event: object, wanted: object = wanted, drawn: list = drawn) -> None:
            if any(layer.data is wanted for layer in viewer.layers):
                drawn.append((time.perf_counter(), time.thread_time()))

        canvas._scene_canvas.events.draw.connect(note, position="last")
        begin = last = time.perf_counter()
        cpu = time.thread_time()
        QTest.keyClick(canvas.native, Qt.Key.Key_PageDown)
        held = time.perf_counter() - begin
        ready = 0.0
        while not (drawn and ready) and time.perf_counter() - begin < 30:
            start = time.perf_counter()
            QApplication.processEvents()
            last = time.perf_counter()
            held = max(held, last - start)
            if dock.session.record is not None and dock.session.case_id != before and not ready:
                ready = last
            time.sleep(0.001)
        canvas._scene_canvas.events.draw.disconnect(note)
        first_s, first_cpu_s = drawn[0][0] - begin, drawn[0][1] - cpu
        steps.append(
            {
                "first_s": first_s,
                "first_cpu_s": first_cpu_s,
                "ready_s": ready - begin,
                "held_s": held,
            }
        )
        assert dock.session.case_id == f"P{number + 1:03d}", dock.session.case_id
    dock.shut_down()
    viewer.close()
    return steps


def listing(number: int) -> dict[str, float]:
    """Milliseconds a list of so many rows takes for what a reader does with it."""
    rows = [
        WorklistRow(
            case_id=f"P{i:05d}",
            status=list(Status)[i % 4],
            flag_reason=None,
            model="m@1",
            predicted_dice=(i * 37 % 100) / 100,
            changed_s=float(i),
            reader=None,
            is_for_second_read=False,
            is_blinded=False,
            n_slices=160,
        )
        for i in range(number)
    ]
    from qtpy.QtWidgets import QTableView

    model = WorklistModel()
    choice = {"statuses": None, "only_second_reads": False, "order": Order.ENTERED, "seed": 0}
    model.choose(text="", **choice)
    view = QTableView()
    view.setModel(model)
    view.show()

    def timed(act: object) -> float:
        start = time.perf_counter()
        act()  # type: ignore[operator]
        QApplication.processEvents()
        return 1000 * (time.perf_counter() - start)

    found = {
        "rows": number,
        "set_ms": timed(lambda: model.set_rows(rows)),
        "sort_ms": timed(lambda: model.sort(2)),
        "search_ms": timed(lambda: model.choose(text="p001 drafted", **choice)),
    }
    view.close()
    return found


def _dataset(shape: tuple[int, int, int], cases: int) -> Dataset:
    rng = np.random.default_rng(0)
    grid = Grid(shape, [[0, 0, -0.8, 0], [0, -0.8, 0, 0], [1.1, 0, 0, 0], [0, 0, 0, 1]])
    dataset = Dataset.create(SCRATCH / "Dataset501_BreastTumor", ["pre", "post1"])
    labels = np.zeros(shape, np.uint8)
    z, y, x = (size // 2 for size in shape)
    labels[z - 6 : z + 6, y - 15 : y + 15, x - 15 : x + 15] = 1
    for number in range(1, cases + 1):
        pre = rng.integers(0, 900, shape, np.int16)
        post = pre + rng.integers(0, 90, shape, np.int16)
        phases = {"pre": Volume(pre, grid), "post1": Volume(post, grid)}
        dataset.add(Exam(f"P{number:03d}", phases), patient_id=f"patient-{number}")
        dataset.save_draft(f"P{number:03d}", LabelMap(labels, grid), model="m@1")
    return dataset


def _wait(dock: object) -> None:
    """Until the case is open and the next one has been read ahead."""
    QTest.qWait(400)
    while any(runner.is_running for runner in dock._runners()):  # type: ignore[attr-defined]
        QTest.qWait(50)
    QTest.qWait(400)
    while any(runner.is_running for runner in dock._runners()):  # type: ignore[attr-defined]
        QTest.qWait(50)


if __name__ == "__main__":
    sys.exit(main())
