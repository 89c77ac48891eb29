"""Kills a real window at random moments and looks what is left; writes results/kill_window.md.

A window of its own process opens a case, paints and erases with real mouse strokes, and accepts by
a click, over and over. It tells when a stroke, an autosave or an accept begins and ends, and is
killed (SIGKILL) inside one of them. The next window opens the case, answers what it is asked by
"Continue with them", and what it then shows is compared with what had been painted; before that
every file of the dataset folder is read. It fails when strokes older than 5 s are lost, an
accepted mask is gone, or a file is torn.

    xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/kill_window.py
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import queue
import random
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import _reliability
import numpy as np
from _common import RESULTS, machine, today

from napari_breastseg.core.volume import Exam, Grid, LabelMap, Volume
from napari_breastseg.dataset import Dataset

CASE = "P001"
SHAPE = (64, 256, 256)
PHASES = {"painting": "painted", "saving": "saved", "accepting": "accepted"}
MOST_LOST_S = 5.0
START_S = 180.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20, help="those that hit their phase")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=RESULTS / "kill_window.md")
    parser.add_argument("--window", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.window is not None:
        work_in_window(args.window, args.seed)
        return 0
    with tempfile.TemporaryDirectory(prefix="breastseg-kill-") as scratch:
        deaths = kill_again_and_again(Path(scratch), args.kills, args.seed)
    text = table(deaths)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(text)
    if args.output.parent == RESULTS:
        _reliability.note(
            "kill_window",
            "python benchmarks/kill_window.py",
            [
                _reliability.Row(
                    f"a window killed while {aim}, no more lost than the last seconds",
                    sum(death.aim == aim for death in deaths),
                    sum(death.aim == aim and bool(death.problems) for death in deaths),
                )
                for aim in PHASES
            ],
        )
    print(text)
    return 0 if all(not death.problems for death in deaths) else 1


# The one that kills


@dataclass
class Death:
    """One kill and what was left."""

    aim: str
    is_inside: bool
    was_saving: bool
    strokes: int
    accepted: int
    lost_strokes: int = 0
    lost_s: float = 0.0
    is_offered: bool = False
    problems: list[str] = field(default_factory=list)


@dataclass
class Life:
    """What a window told until it was killed."""

    lines: list[dict[str, Any]]
    killed: float = 0.0

    def of(self, *says: str) -> list[dict[str, Any]]:
        """Lines of these kinds, in order."""
        return [line for line in self.lines if line["say"] in says]

    def is_inside(self, phase: str) -> bool:
        """Whether the phase had begun and not ended when the window died."""
        told = [line["say"] for line in self.of(phase, PHASES[phase])]
        return bool(told) and told[-1] == phase


def kill_again_and_again(scratch: Path, kills: int, seed: int) -> list[Death]:
    rng = random.Random(seed)
    make_dataset(scratch / "set")
    aims = [list(PHASES)[i % 3] for i in range(kills)]
    rng.shuffle(aims)
    durations = {"painting": 0.4, "saving": 0.1, "accepting": 0.15}
    deaths: list[Death] = []
    before: Life | None = None
    tries = 0
    while True:
        tries += 1
        window = Window(scratch, seed + tries)
        opened = window.wait_for("opened")
        if before is not None:
            judge(deaths[-1], before, opened, scratch)
            print(json.dumps(deaths[-1].__dict__), flush=True)
        hits = sum(death.is_inside for death in deaths)
        if hits == kills or tries > 3 * kills:
            window.kill()
            return deaths
        aim = aims[hits]
        for _ in range(rng.randint(1, 4)):
            window.wait_for(aim)
        time.sleep(rng.random() * durations[aim])
        life = window.kill()
        durations[aim] = duration(life, aim) or durations[aim]
        death = Death(
            aim,
            life.is_inside(aim),
            life.is_inside("saving"),
            len(life.of("painted")),
            len(life.of("accepted")),
        )
        death.problems += torn_files(scratch / "set")
        deaths.append(death)
        before = life


class Window:
    """A window's process and what it tells."""

    def __init__(self, scratch: Path, seed: int) -> None:
        environment = os.environ | {
            "NAPARI_CONFIG": str(scratch / "napari.yaml"),
            "BREASTSEG_HOME": str(scratch / "home"),
        }
        command = [sys.executable, __file__, "--window", str(scratch), "--seed", str(seed)]
        self._process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self._queue: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._life = Life([])
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{") and line.endswith("}\n"):
                self._queue.put(json.loads(line))
        self._queue.put(None)

    def wait_for(self, say: str) -> dict[str, Any]:
        """The next line of a kind."""
        while True:
            line = self._queue.get(timeout=START_S)
            if line is None:
                raise SystemExit("the window ended by itself")
            self._life.lines.append(line)
            if line["say"] == say:
                return line

    def kill(self) -> Life:
        """Kill it and give all it told."""
        self._life.killed = time.monotonic()
        self._process.kill()
        self._process.wait()
        self._reader.join()
        while (line := self._queue.get()) is not None:
            self._life.lines.append(line)
        return self._life


def make_dataset(folder: Path) -> None:
    grid = Grid(SHAPE, np.diag([2.0, 1.0, 1.0, 1.0]))
    rng = np.random.default_rng(0)
    image = rng.integers(80, 160, SHAPE, dtype=np.int16)
    draft = np.zeros(SHAPE, np.uint8)
    draft[20:40, 100:140, 100:140] = 1
    dataset = Dataset.open_or_create(folder)
    dataset.add(Exam(CASE, {"post1": Volume(image, grid)}), patient_id="A")
    dataset.save_draft(CASE, LabelMap(draft, grid), model="none")


def duration(life: Life, phase: str) -> float | None:
    """Median seconds of a phase, None where none ended."""
    begun = [line["t"] for line in life.of(phase)]
    ended = [line["t"] for line in life.of(PHASES[phase])]
    spans = [end - begin for begin, end in zip(begun, ended, strict=False)]
    return float(np.median(spans)) if spans else None


def torn_files(folder: Path) -> list[str]:
    """Files of a dataset that cannot be read to their end, or that `check` finds an error in."""
    import nibabel

    problems = []
    for path in sorted(folder.rglob("*")):
        if path.name.startswith(".") or not path.is_file():
            continue
        try:
            if path.name.endswith(".nii.gz"):
                np.asarray(nibabel.load(path).dataobj)
            elif path.suffix == ".json":
                json.loads(path.read_text("utf-8"))
        except Exception as error:  # any of many kinds: the file is torn
            problems.append(f"{path.relative_to(folder)} is torn: {type(error).__name__}")
    findings = Dataset.open(folder).check()
    return problems + [one.message for one in findings if one.severity == "error"]


def judge(death: Death, life: Life, opened: dict[str, Any], scratch: Path) -> None:
    """Compare what the next window shows with what had been painted before the kill."""
    states = [(life.of("opened")[0], None), *((line, line["z"]) for line in life.of("painted"))]
    masks = [np.load(scratch / line["state"]) for line, _ in states]
    under_way = life.of("painting")[-1:] if life.is_inside("painting") else []
    places = [z for _, z in states[1:]] + [line["z"] for line in under_way]
    begun = [line["t"] for line in life.of("painting")]
    shown = np.load(scratch / opened["state"])
    death.is_offered = bool(opened["is_offered"])
    found = None
    for k in reversed(range(len(masks))):
        changed = set(np.unique(np.nonzero(masks[k] != shown)[0]).tolist())
        if not changed or (k < len(places) and changed == {places[k]}):
            found = k
            break
    if found is None:
        death.problems.append("the mask shown is none that had been painted")
        return
    death.lost_strokes = len(masks) - 1 - found
    if death.lost_strokes:
        death.lost_s = round(life.killed - begun[found], 2)
    if death.lost_s > MOST_LOST_S:
        death.problems.append(f"strokes of {death.lost_s:.1f} s were lost")
    # The digests of masks in all lives so far that the window had been told were accepted.
    journal = scratch / "accepted.txt"
    with journal.open("a") as file:
        file.writelines(line["digest"] + "\n" for line in life.of("accepted"))
    wanted = set(journal.read_text().split())
    folder = scratch / "set"
    files = [*(folder / "labelsTr").glob("*.nii.gz"), *(folder / "history").rglob("*.nii.gz")]
    missing = wanted - {digest(read(path)) for path in files if not path.name.startswith(".")}
    if missing:
        death.problems.append(f"{len(missing)} accepted masks are gone")


def read(path: Path) -> Any:
    from napari_breastseg import formats

    return formats.read_label_map(path).data


def digest(labels: Any) -> str:
    return hashlib.sha256(np.ascontiguousarray(labels, np.uint8).data).hexdigest()


def table(deaths: list[Death]) -> str:
    inside = {aim: sum(d.is_inside and d.aim == aim for d in deaths) for aim in PHASES}
    worst = max((death.lost_s for death in deaths), default=0.0)
    bad = sum(bool(death.problems) for death in deaths)
    shape = " x ".join(map(str, SHAPE))
    rows = [
        f"| {number} | {death.aim if death.is_inside else 'between'} | "
        f"{'yes' if death.was_saving else 'no'} | {death.strokes} | {death.accepted} | "
        f"{'yes' if death.is_offered else 'no'} | {death.lost_strokes} | {death.lost_s:.2f} | "
        f"{'; '.join(death.problems) or 'none'} |"
        for number, death in enumerate(deaths, start=1)
    ]
    counts = ", ".join(f"{count} {aim}" for aim, count in inside.items())
    head = (
        "# A window killed at random moments",
        "",
        f"{today()}, {machine()}; a case of {shape} voxels. Made by "
        "`python benchmarks/kill_window.py`,",
        "which says what is done and compared.",
        "",
        f"{len(deaths)} kills, inside: {counts}. Most that was lost: {worst:.2f} s of strokes "
        f"(aim {MOST_LOST_S:g}). Kills with a problem: {bad}.",
        "",
        "| kill | inside | autosave on its way | strokes | accepts | work offered | strokes lost | "
        "seconds lost | problems |",
        "|---|---|---|---|---|---|---|---|---|",
    )
    return "\n".join((*head, *rows)) + "\n"


# The one that is killed


def work_in_window(scratch: Path, seed: int) -> None:
    """Open the case and work on it until killed."""
    import napari
    from _strokes import canvas_place, drag
    from qtpy.QtCore import Qt, QTimer
    from qtpy.QtTest import QTest
    from qtpy.QtWidgets import QPushButton

    from napari_breastseg.widgets.canvas.layers import tumor_layer
    from napari_breastseg.widgets.state.settings import remember

    rng = random.Random(seed)
    states = scratch / f"states-{seed}"
    states.mkdir()
    tell_when_called(Dataset, "autosave", "saving")
    tell_when_called(Dataset, "accept", "accepting")
    remember("tour", "seen")
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1300, 850)
    _, dock = viewer.window.add_plugin_dock_widget("napari-breastseg", "Breast MRI")
    panel = dock.correct_panel
    answered: list[str] = []

    def answer() -> None:
        for button in dock.findChildren(QPushButton):
            if button.isVisible() and button.text() == "Continue with them":
                answered.append(button.text())
                QTest.mouseClick(button, Qt.MouseButton.LeftButton)

    answering = QTimer()
    answering.timeout.connect(answer)
    answering.start(100)

    def wait() -> None:
        QTest.qWait(200)
        while panel.runner.is_running:
            QTest.qWait(20)
        QTest.qWait(100)

    def keep_state() -> str:
        path = states / f"{time.monotonic_ns()}.npy"
        np.save(path, tumor_layer(viewer, CASE).data)
        return str(path.relative_to(scratch))

    dock.show_tab("Correct")
    panel.annotator.setText("AB")
    panel.folder.setValue(scratch / "set")
    panel.open_dataset()
    wait()
    panel.dataset_box.open_case()
    wait()
    assert dock.session.record is not None
    answering.stop()
    tell("opened", state=keep_state(), is_offered=bool(answered))
    layer = tumor_layer(viewer, CASE)
    layer.brush_size = 12
    panel.rest.setChecked(True)
    until_accept = rng.randint(2, 5)
    while True:
        z, y, x = rng.randrange(SHAPE[0]), rng.randrange(60, 190), rng.randrange(60, 150)
        viewer.dims.set_current_step(0, z)
        layer.mode = rng.choice(("paint", "paint", "erase"))
        QTest.qWait(rng.randrange(40, 300))
        path = [canvas_place(viewer, layer, (z, y + k, x + 5 * k)) for k in range(10)]
        tell("painting", z=z)
        drag(viewer, path)
        tell("painted", z=z, state=keep_state())
        until_accept -= 1
        if until_accept == 0:
            QTest.mouseClick(panel.accept_box.accept_button, Qt.MouseButton.LeftButton)
            until_accept = rng.randint(3, 7)


def tell(say: str, **more: Any) -> None:
    """One line on standard output, in one write: two threads tell."""
    line = json.dumps({"say": say, "t": time.monotonic(), **more}) + "\n"
    os.write(1, line.encode())


def tell_when_called(owner: type, name: str, phase: str) -> None:
    """Tell when a method that takes a label map begins and when it has ended."""
    method = getattr(owner, name)

    def told(self: Any, case_id: str, label_map: LabelMap, **rest: Any) -> Any:
        its = digest(label_map.data)
        tell(phase, digest=its)
        result = method(self, case_id, label_map, **rest)
        tell(PHASES[phase], digest=its)
        return result

    setattr(owner, name, told)


if __name__ == "__main__":
    sys.exit(main())
