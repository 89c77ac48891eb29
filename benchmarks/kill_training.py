"""Trainings killed at random moments: does each go on to the weights of one that was not?

    python benchmarks/kill_training.py

A small network learns real slices: once without interruption, then as often as asked with SIGKILL
after a random step and a random moment more, so that steps, validations and writes are cut off in
their midst. Every killed run is resumed to its end; its best and its last weights must equal the
uninterrupted ones to the last bit. Needs the test data folder (BREASTSEG_TEST_DATA) and POSIX.
"""

from __future__ import annotations

import argparse
import csv
import multiprocessing
import os
import random
import shutil
import signal
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from _common import RESULTS, machine, test_data, today

STEPS = 24
SAVE_EVERY = 2
VALIDATE_EVERY = 6


def trained(dataset_folder: Path, output: Path, steps_done: Connection | None = None) -> float:
    """Train to the end, going on from the state there; tell each step through the pipe."""
    from napari_breastseg.dataset import Dataset
    from napari_breastseg.model.unet import ModelSpec
    from napari_breastseg.training import DatasetCase, TrainConfig, train

    dataset = Dataset.open(dataset_folder)
    cases = [DatasetCase(dataset, r.case_id, r.patient_id) for r in dataset.cases()]
    config = TrainConfig(
        steps=STEPS,
        batch_size=2,
        save_every=SAVE_EVERY,
        validate_every=VALIDATE_EVERY,
        device="cpu",
        seed=7,
    )
    spec = ModelSpec(features=(4, 8, 16), patch_size=(96, 96))
    job = train(cases[:6], output, spec=spec, config=config, validation=cases[6:8], resume=True)
    while True:
        try:
            progress = next(job)
        except StopIteration as stop:
            return float(stop.value.seconds)
        if steps_done is not None:
            steps_done.send(progress.done if progress.stage == "Training" else 0)


def killed(context: Any, dataset: Path, output: Path, step: int, delay_s: float) -> int:
    """Start a training, kill it so many seconds after a step, and give the last step it told."""
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=trained, args=(dataset, output, sender))
    process.start()
    sender.close()
    last = 0
    try:
        while last < step or step == 0:
            last = max(last, receiver.recv())
            if step == 0:
                break
        time.sleep(delay_s)
        os.kill(process.pid, signal.SIGKILL)
    except EOFError:
        pass
    process.join()
    while receiver.poll():
        try:
            last = max(last, receiver.recv())
        except EOFError:
            break
    return last if process.exitcode == -signal.SIGKILL else STEPS + 1


def same(one: Path, other: Path) -> bool:
    """Whether two finished trainings have the same weights and history."""
    from safetensors.torch import load_file

    for part in ("", "last"):
        a, b = (load_file(folder / part / "weights.safetensors") for folder in (one, other))
        if list(a) != list(b) or not all(bool((a[key] == b[key]).all()) for key in a):
            return False
    tables = []
    for folder in (one, other):
        rows = list(csv.DictReader((folder / "history.csv").read_text().splitlines()))
        tables.append([{k: v for k, v in row.items() if k != "seconds"} for row in rows])
    return tables[0] == tables[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path("benchmark-work/kill-training"))
    parser.add_argument("--kills", type=int, default=50)
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # before torch is loaded; threads do not outlive a fork

    import torch
    from monai.losses import DiceLoss
    from torch.utils.tensorboard import SummaryWriter

    from napari_breastseg import training
    from napari_breastseg.core.atomic import write_json, write_text
    from napari_breastseg.core.progress import drain
    from napari_breastseg.dataset import import_csv
    from napari_breastseg.training.state import STATE_FILE

    # Loaded once and handed on to the forks, which would otherwise spend most of the time on it.
    assert all((torch, DiceLoss, SummaryWriter, training))
    work = arguments.work.resolve()
    shutil.rmtree(work, ignore_errors=True)
    dataset = work / "dataset"
    drain(import_csv(test_data() / "clinic_slices" / "cases.csv", dataset))
    context = multiprocessing.get_context("fork")

    def in_a_fork(output: Path) -> None:
        process = context.Process(target=trained, args=(dataset, output))
        process.start()
        process.join()
        if process.exitcode:
            raise SystemExit(f"{output} ended with {process.exitcode}")

    started = time.perf_counter()
    whole = work / "whole"
    in_a_fork(whole)
    pace_s = (time.perf_counter() - started) / STEPS
    chance = random.Random(0)
    rows = []
    while len(rows) < arguments.kills:
        output = work / f"killed-{len(rows):02d}"
        last = killed(context, dataset, output, chance.randrange(STEPS), chance.random() * pace_s)
        if last > STEPS:  # it was done before the signal came: no kill
            shutil.rmtree(output)
            continue
        torn = sum(path.is_file() for path in output.rglob(".tmp-*")) if output.is_dir() else 0
        is_saved = (output / STATE_FILE).is_file()
        in_a_fork(output)
        row = {"killed_after_step": last, "had_state": is_saved, "torn_files": torn}
        rows.append(row | {"is_equal": same(whole, output)})
        print(len(rows), rows[-1], flush=True)
        shutil.rmtree(output)
    seconds = time.perf_counter() - started
    equal = sum(row["is_equal"] for row in rows)
    steps = [int(row["killed_after_step"]) for row in rows]
    lines = [
        "# Trainings killed at random moments",
        "",
        f"{today()}, {machine()}, one core, {seconds:.0f} s. "
        "Command: `python benchmarks/kill_training.py`.",
        "",
        f"{STEPS} steps on 6 real slices, 2 held out, state written every {SAVE_EVERY} steps, "
        f"validated every {VALIDATE_EVERY}; SIGKILL after a random step and a random moment more, "
        "then resumed once. Equal: best weights, last weights and history, to the last bit.",
        "",
        "| kills | after steps | before any state was written | with a torn file left | "
        "equal to the uninterrupted run |",
        "|---|---|---|---|---|",
        f"| {len(rows)} | {min(steps)} to {max(steps)}, {len(set(steps))} different | "
        f"{sum(not row['had_state'] for row in rows)} | "
        f"{sum(row['torn_files'] > 0 for row in rows)} | {equal} |",
        "",
    ]
    write_text(RESULTS / "kill_training.md", "\n".join(lines))
    write_json(RESULTS / "kill_training.json", {"date": today(), "rows": rows})
    print("\n".join(lines))
    if equal < len(rows):
        raise SystemExit(f"{len(rows) - equal} differ")


if __name__ == "__main__":
    main()
