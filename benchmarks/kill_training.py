"""Trainings killed at random moments: does each go on to what one that was not killed gives?

    python benchmarks/kill_training.py

What `train` does, with small networks on synthetic exams: a model is trained, the click network
that goes with it is fine-tuned, the model is registered and promoted. Once without interruption,
then as often as asked with SIGKILL a random moment after a random sign of life, so that reading,
steps, validations, writes, fine-tuning and registering are cut off in their midst. After each kill
all that lies there as a model is loaded: it must load, or be refused in words. Then the command
runs again to its end: models, click network, history and what is registered must equal the
uninterrupted run's, to the last bit. Some 8 minutes for 50 kills on a quiet machine; needs POSIX.
"""

from __future__ import annotations

import argparse
import csv
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import _reliability
import numpy as np
from _common import RESULTS, machine, today

STEPS, CLICK_STEPS = 16, 12
SAVE_EVERY, VALIDATE_EVERY = 2, 4
NAME = "site"
SHAPE = (3, 96, 96)
PHASES = ("training", "tuning the smart click", "registering")
SHARES = (0.6, 0.24, 0.16)
"""Of the kills, for each phase."""

Tell = Callable[[str], object]


def make_dataset(folder: Path) -> None:
    """Five patients with a ball that enhances; the reader draws wide around it."""
    from napari_breastseg.core.volume import Exam, Grid, LabelMap, Volume
    from napari_breastseg.dataset import Dataset

    grid = Grid(SHAPE, np.diag([3.0, 0.8, 0.8, 1.0]))
    dataset = Dataset.create(folder, ["pre", "post1"])
    for number in range(5):
        rng = np.random.default_rng(number)
        _, y, x = np.indices(SHAPE)
        far = np.hypot(y - rng.uniform(35, 60), x - rng.uniform(35, 60))
        radius = rng.uniform(6, 11)
        pre = rng.normal(100, 4, SHAPE)
        post = pre + 120 * (far < radius) + rng.normal(0, 4, SHAPE)
        images = (Volume(data.astype(np.float32), grid) for data in (pre, post))
        exam = Exam(f"C{number}", dict(zip(("pre", "post1"), images, strict=True)))
        dataset.add(exam, patient_id=f"P{number}")
        mask = LabelMap((far < 1.3 * radius).astype(np.uint8), grid)
        dataset.accept(exam.case_id, mask, reviewed_slices=None, annotator="AB", seconds=1)


def make_clicks(folder: Path) -> None:
    """A small click network that has learned nothing."""
    import torch

    from napari_breastseg.clicks.prompts import CHANNELS, SIDE
    from napari_breastseg.model import checkpoint
    from napari_breastseg.model.unet import ModelSpec, build

    torch.manual_seed(3)
    inputs = ("pre", "post1", "post1-pre")
    spec = ModelSpec(
        inputs=inputs, missing="zero", prompts=CHANNELS, patch_size=(SIDE, SIDE), features=(4, 8)
    )
    info = checkpoint.ModelInfo(name="clicks", spec=spec)
    checkpoint.save(folder, build(spec).state_dict(), info)


def whole_job(place: Path, output: Path, home: Path, tell: Tell) -> None:
    """Train, fine-tune the click network, register: from where an earlier call got to."""
    from napari_breastseg.core.progress import Job
    from napari_breastseg.dataset import Dataset
    from napari_breastseg.model import checkpoint
    from napari_breastseg.model.unet import ModelSpec
    from napari_breastseg.registry.models import Registry
    from napari_breastseg.training import DatasetCase, TrainConfig, clicks, train
    from napari_breastseg.training.clicks import ClickTuning

    dataset = Dataset.open(place / "set")
    cases = [DatasetCase(dataset, r.case_id, r.patient_id) for r in dataset.cases()]
    config = TrainConfig(
        steps=STEPS,
        batch_size=2,
        save_every=SAVE_EVERY,
        validate_every=VALIDATE_EVERY,
        device="cpu",
        seed=7,
    )
    spec = ModelSpec(inputs=("pre", "post1"), features=(4, 8, 16), patch_size=(96, 96))
    clicks.RATE, clicks.BASE_SHARE = 3e-2, 0.0  # it has to get better in few steps to be kept

    def beside() -> Job[ClickTuning | None]:
        base = checkpoint.load(place / "clicks")
        return clicks.tune_clicks(
            cases[:3], cases[3:], base, output, steps=CLICK_STEPS, seed=config.seed
        )

    if not checkpoint.is_checkpoint(output):
        job = train(
            cases[:3],
            output,
            spec=spec,
            config=config,
            validation=cases[3:],
            resume=True,
            beside=beside,
        )
        for progress in job:
            tell(PHASES["smart click" in progress.stage])
    registry = Registry(home)
    tell(PHASES[2])
    if NAME not in [entry.name for entry in registry.list()]:
        registry.register(output, NAME)
    tell(PHASES[2])
    if registry.promoted() is None:
        registry.promote(NAME, force=True)
    tell("done")


def child(place: Path, output: Path, home: Path, pipe: Connection) -> None:
    whole_job(place, output, home, lambda phase: pipe.send((phase, time.perf_counter())))


def run(context: Any, place: Path, output: Path, home: Path) -> list[tuple[str, float]]:
    """Run it to its end; what it told, and when."""
    return killed(context, place, output, home, None, 0.0)[0]


def killed(
    context: Any, place: Path, output: Path, home: Path, after: int | None, delay_s: float
) -> tuple[list[tuple[str, float]], bool]:
    """Run it, killed so many seconds after it has told so often; what it told, if it was killed."""
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=child, args=(place, output, home, sender))
    process.start()
    sender.close()
    told: list[tuple[str, float]] = []
    try:
        while after is None or len(told) < after:
            told.append(receiver.recv())
        time.sleep(delay_s)
        os.kill(process.pid, signal.SIGKILL)
    except EOFError:
        pass
    process.join()
    try:
        while receiver.poll():
            told.append(receiver.recv())
    except EOFError:
        pass
    if process.exitcode not in (0, -signal.SIGKILL):
        raise SystemExit(f"{output} ended with {process.exitcode}")
    return told, process.exitcode != 0


def problems_after(output: Path, home: Path) -> tuple[list[str], int]:
    """What of the models that lie there neither loads nor is refused in words; how many load."""
    from napari_breastseg.core.errors import InputError
    from napari_breastseg.model import checkpoint
    from napari_breastseg.registry.models import Registry

    problems, loaded = [], 0
    try:
        entries = Registry(home).list()
        problems += [f"registered, but {one.problem}" for one in entries if one.problem]
    except Exception as error:
        problems.append(f"the registry cannot be read: {error!r}")
    folders = {path.parent for place in (output, home) for path in place.rglob("*.safetensors")}
    for folder in folders:
        if not checkpoint.is_checkpoint(folder):
            continue
        try:
            checkpoint.load(folder)
            loaded += 1
        except InputError:
            pass
        except Exception as error:
            problems.append(f"{folder.name} cannot be loaded: {error!r}")
    return problems, loaded


def different_weights(one: Path, other: Path, parts: tuple[str, ...]) -> list[str]:
    """Which checkpoints in two folders do not have the same weights, to the last bit."""
    from safetensors.torch import load_file

    found = []
    for part in parts:
        files = [folder / part / "weights.safetensors" for folder in (one, other)]
        a, b = (load_file(file) if file.is_file() else {} for file in files)
        if not a or list(a) != list(b) or not all(bool((a[key] == b[key]).all()) for key in a):
            found.append(f"weights of {part or 'the model'} in {other.name}")
    return found


def history(folder: Path) -> list[dict[str, str]]:
    """What a run noted of its steps, without how long they took."""
    rows = csv.DictReader((folder / "history.csv").read_text().splitlines())
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


def registered(output: Path, home: Path) -> list[str]:
    """What is not as it should be after a model was registered and promoted."""
    from napari_breastseg.registry.models import Registry

    registry = Registry(home)
    names = [entry.name for entry in registry.list()]
    promoted = registry.promoted()
    # Whoever writes next logs what a killed program had no time to log.
    registry.register(output, "another")
    done = [(event["action"], event["name"]) for event in registry.log()]
    problems = [] if names == [NAME] else [f"registered: {names}"]
    if promoted is None or promoted.name != NAME:
        problems.append("not the default model")
    if done != [("register", NAME), ("promote", NAME), ("register", "another")]:
        problems.append(f"the log says {done}")
    leftovers = [path.name for path in registry.folder.glob(".tmp-*")]
    return problems + [f"left behind: {name}" for name in leftovers]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=RESULTS / "kill_training.md")
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # before torch is loaded; threads do not outlive a fork

    import torch
    from monai.losses import DiceLoss
    from torch.utils.tensorboard import SummaryWriter

    from napari_breastseg import training
    from napari_breastseg.core.atomic import write_json, write_text

    # Loaded once and handed on to the forks, which would otherwise spend most of the time on it.
    assert all((torch, DiceLoss, SummaryWriter, training))
    torch.set_num_threads(1)
    context = multiprocessing.get_context("fork")
    began = time.perf_counter()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="breastseg-kill-training-") as scratch:
        place = Path(scratch)
        for make, name in ((make_dataset, "set"), (make_clicks, "clicks")):
            process = context.Process(target=make, args=(place / name,))
            process.start()
            process.join()
        told = run(context, place, place / "whole" / "model", place / "whole" / "home")
        chance = random.Random(args.seed)
        aims = [
            phase
            for phase, share in zip(PHASES, SHARES, strict=True)
            for _ in range(round(share * args.kills))
        ]
        while len(rows) < len(aims):
            aim = aims[len(rows)]
            places = [n for n, (phase, _) in enumerate(told[:-1]) if phase == aim]
            after = chance.choice(places)
            gap_s = told[after + 1][1] - told[after][1]
            rows.append(one_kill(context, place, len(rows), after + 1, chance.random() * gap_s))
            if not rows[-1].pop("was_killed"):  # it was done before the signal came
                rows.pop()
                continue
            print(len(rows), rows[-1], flush=True)
    text = table(rows, time.perf_counter() - began)
    write_text(args.output, text)
    write_json(args.output.with_suffix(".json"), {"date": today(), "rows": rows})
    if args.output.parent == RESULTS:
        _reliability.note(
            "kill_training",
            "python benchmarks/kill_training.py",
            [
                _reliability.Row(
                    f"a training killed while {phase}, resumed, equal to one that was not",
                    sum(row["phase"] == phase for row in rows),
                    sum(row["phase"] == phase and bool(row["problems"]) for row in rows),
                )
                for phase in PHASES
            ],
        )
    print(text)
    return 1 if any(row["problems"] for row in rows) else 0


def one_kill(context: Any, place: Path, number: int, after: int, delay_s: float) -> dict[str, Any]:
    """Kill a run, look at what lies there, run it again to its end, compare."""
    folder = place / f"killed-{number:02d}"
    output, home = folder / "model", folder / "home"
    told, was_killed = killed(context, place, output, home, after, delay_s)
    row: dict[str, Any] = {"phase": told[-1][0], "told": len(told), "was_killed": was_killed}
    if was_killed:
        row["torn_files"] = sum(path.is_file() for path in folder.rglob(".tmp-*"))
        problems, row["models_loaded"] = problems_after(output, home)
        run(context, place, output, home)
        whole, kept = place / "whole" / "model", Path("models", NAME)
        problems += different_weights(whole, output, ("", "last", "clicks"))
        problems += different_weights(place / "whole" / "home" / kept, home / kept, ("", "clicks"))
        if history(whole) != history(output):
            problems.append("another history")
        row["problems"] = problems + registered(output, home)
    remove(folder)
    return row


def remove(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder)


def table(rows: list[dict[str, Any]], seconds: float) -> str:
    """The results as Markdown."""
    count = Counter(row["phase"] for row in rows)
    lines = [
        "# Trainings killed at random moments",
        "",
        f"{today()}, {machine()}, one core, load {os.getloadavg()[0]:.1f}, {seconds:.0f} s.",
        "Made by `python benchmarks/kill_training.py`, which says what is done and compared.",
        "",
        f"{STEPS} steps of a small model, state written every {SAVE_EVERY}, validated every "
        f"{VALIDATE_EVERY}; {CLICK_STEPS} of its click network; then it is registered and made the",
        "default model.",
        "",
        "| killed while | kills | with a torn file left | models that lay there and loaded | "
        "equal to the uninterrupted run | problems |",
        "|---|---|---|---|---|---|",
    ]
    for phase in (*PHASES, "done"):
        own = [row for row in rows if row["phase"] == phase]
        if not own:
            continue
        found = sorted({problem for row in own for problem in row["problems"]})
        lines.append(
            f"| {'just done' if phase == 'done' else phase} | {count[phase]} | "
            f"{sum(row['torn_files'] > 0 for row in own)} | "
            f"{sum(row['models_loaded'] for row in own)} | "
            f"{sum(not row['problems'] for row in own)} | {'; '.join(found) or 'none'} |"
        )
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    sys.exit(main())
