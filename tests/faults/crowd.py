"""Several programs at work on one dataset folder and one registry, killed at random moments.

Each program notes what it was told is done; afterwards nothing of that may be missing.
"""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import random
import signal
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from fault_actions import GRID, exam
from fault_models import _checkpoint

from napari_breastseg import formats
from napari_breastseg.core.errors import InputError
from napari_breastseg.core.progress import drain
from napari_breastseg.core.volume import LabelMap
from napari_breastseg.dataset import Dataset, Severity
from napari_breastseg.registry.models import Registry

CASES = tuple(f"K{number}" for number in range(8))
MODELS = ("a", "b")


@dataclass
class Told:
    """What came of a crowd."""

    operations: Counter[str] = field(default_factory=Counter)
    """By name and how they ended, such as "accept done"."""
    kills: int = 0
    kills_at_work: int = 0
    """Of these, in the midst of an operation."""
    worst_s: float = 0.0
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)


def prepare(root: Path, *, from_another_host: bool = False) -> None:
    """A folder of cases, a registry of models; where asked, with the locks of a lost computer."""
    dataset = Dataset.create(root / "D")
    for number, name in enumerate(CASES):
        dataset.add(exam(name, number), case_id=name, patient_id=f"patient-{name}")
    registry = Registry(root / "home")
    for seed, name in enumerate(MODELS):
        registry.register(_checkpoint(root / "made" / name, seed), name)
    if from_another_host:
        locks = root / "D" / "locks"
        (locks / "cases").mkdir(parents=True, exist_ok=True)
        (locks / "folder.lock").write_text("")
        note = {"owner": "CD", "since": "2026-01-01T00:00:00+00:00", "host": "ward-7", "pid": 4711}
        for name in CASES:
            (locks / "cases" / f"{name}.lock").write_text("")
            (locks / "cases" / f"{name}.owner.json").write_text(json.dumps(note))


def run_crowd(root: Path, programs: int, operations: int, kills: int, seed: int = 1) -> Told:
    """Let programs work until so many operations were done and so many of them were killed."""
    context = multiprocessing.get_context("fork")
    chance, told = random.Random(seed), Told()
    (root / "notes").mkdir()
    started = time.monotonic()
    working: list[Any] = []
    begun = 0
    every = max(1, operations // (kills + 1))
    while True:
        for process in [one for one in working if not one.is_alive()]:
            process.join()
            working.remove(process)
            if process.exitcode != -signal.SIGKILL:
                told.problems.append(f"a program ended by itself with {process.exitcode}")
                kills = told.kills  # and no further one is started
        done = _count(root)
        if told.problems or (done >= operations and told.kills >= kills):
            break
        while len(working) < programs:
            process = context.Process(target=_work, args=(root, begun, seed), daemon=True)
            process.start()
            working.append(process)
            begun += 1
        if told.kills < kills and done >= every * (told.kills + 1):
            time.sleep(chance.uniform(0, 0.03))
            chosen = chance.choice(working)
            os.kill(chosen.pid, signal.SIGKILL)
            chosen.join()  # or the last one killed might still seem at work below
            told.kills += 1
        time.sleep(0.005)
    (root / "stop").touch()
    for process in working:
        process.join(60)
        if process.exitcode != 0:
            told.problems.append(f"a program did not end: {process.exitcode}")
    told.seconds = time.monotonic() - started
    _judge(root, told)
    return told


def _count(root: Path) -> int:
    notes = (root / "notes").glob("*.jsonl")
    return sum(path.read_bytes().count(b'"ended"') for path in notes)


def _work(root: Path, number: int, seed: int) -> None:
    """One program: operations at random until it is stopped or killed."""
    chance = random.Random(f"{seed}/{number}")
    os.environ["BREASTSEG_HOME"] = str(root / "home")
    with (root / "notes" / f"{number}.jsonl").open("a") as notes:

        def note(**values: Any) -> None:
            notes.write(json.dumps(values) + "\n")
            notes.flush()

        dataset, registry = Dataset.open(root / "D"), Registry(root / "home")
        count = 0
        while not (root / "stop").exists():
            count += 1
            name = chance.choice(
                ("accept",) * 4
                + ("promote",) * 2
                + (
                    "add",
                    "reopen",
                    "draft",
                    "import",
                    "autosave",
                    "open",
                    "undo accept",
                    "rollback",
                )
            )
            note(begins=name)
            at = time.monotonic()
            try:
                what = _operate(name, dataset, registry, root, f"{number}-{count}", chance)
                ended = "done"
            except InputError as error:
                what, ended = {"said": str(error)}, "refused"
            except BaseException:
                what, ended = {"said": traceback.format_exc()}, "broke"
            note(name=name, ended=ended, seconds=time.monotonic() - at, **what)
            if name == "open":
                dataset = Dataset.open(root / "D")


def _operate(
    name: str, dataset: Dataset, registry: Registry, root: Path, tag: str, chance: random.Random
) -> dict[str, Any]:
    case_id = chance.choice(CASES)
    data = np.zeros(GRID.shape, np.uint8)
    data.flat[chance.sample(range(data.size), 20)] = 1
    label_map = LabelMap(data, GRID)
    match name:
        case "accept":
            record = dataset.accept(
                case_id, label_map, reviewed_slices=None, annotator="AB", seconds=1.0
            )
            assert record.accepted is not None
            return {"case": case_id, "mask": record.accepted.sha256, "order": record.accepted.order}
        case "reopen":
            dataset.reopen(case_id)
        case "undo accept":
            dataset.undo_accept(case_id)
        case "draft":
            dataset.save_draft(case_id, label_map, model="m")
        case "autosave":
            dataset.autosave(case_id, label_map)
        case "add":
            dataset.add(exam(f"A{tag}", 1), case_id=f"A{tag}", patient_id=f"patient-{tag}")
            return {"added": f"A{tag}"}
        case "import":
            folder = root / "tables" / tag
            image = folder / "image.nii.gz"
            formats.write_volume(image, exam("x", 2).phases["post1"])
            formats.write_label_map(folder / "mask.nii.gz", label_map)
            with (folder / "cases.csv").open("w", newline="") as file:
                rows = [f"I{tag}", f"patient-{tag}", "image.nii.gz", "mask.nii.gz"]
                csv.writer(file).writerows([["case_id", "patient_id", "image", "mask"], rows])
            result = drain(dataset.import_csv(folder / "cases.csv"))
            if result.failures:
                raise InputError("Expected a row", result.failures[0].message, "Import again")
            return {"added": f"I{tag}"}
        case "promote":
            registry.promote(chance.choice(MODELS), force=True, by=tag)
        case "rollback":
            registry.rollback(by=tag)
            return {"by": tag}
    return {}


def _judge(root: Path, told: Told) -> None:
    """What is missing of what programs were told is done."""
    notes: list[dict[str, Any]] = []
    for path in (root / "notes").glob("*.jsonl"):
        lines = [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]
        told.kills_at_work += bool(lines) and "begins" in lines[-1]
        notes += [line for line in lines if "ended" in line]
    for one in notes:
        told.operations[f"{one['name']} {one['ended']}"] += 1
        told.worst_s = max(told.worst_s, one["seconds"])
        if one["ended"] == "broke":
            told.problems.append(one["said"])
    done = [one for one in notes if one["ended"] == "done"]
    dataset = Dataset.open(root / "D")
    harmless = ("orphan_file", "temporary_file")
    told.problems += [
        f"{finding.what}: {finding.message}"
        for finding in dataset.check()
        if finding.severity is Severity.ERROR or finding.what not in harmless
    ]
    records = {record.case_id: record for record in dataset.cases()}
    masks = {
        name: [one for one in (*record.history, record.accepted) if one is not None]
        for name, record in records.items()
    }
    for one in done:
        if "mask" in one and one["mask"] not in {kept.sha256 for kept in masks[one["case"]]}:
            told.problems.append(f"a mask accepted of {one['case']} is gone")
        if "added" in one and one["added"] not in records:
            told.problems.append(f"case {one['added']} is gone")
    orders = [one.order for kept in masks.values() for one in kept if one.order is not None]
    if twice := [order for order, n in Counter(orders).items() if n > 1]:
        told.problems.append(f"numbers given twice: {twice}")
    for name in CASES:
        if dataset.lock_holder(name) is not None:
            told.problems.append(f"{name} is locked by nobody")
        with dataset.lock(name, "after"):
            pass
    _judge_registry(root, done, told)


def _judge_registry(root: Path, done: list[dict[str, Any]], told: Told) -> None:
    registry = Registry(root / "home")
    told.problems += [f"{one.name}: {one.problem}" for one in registry.list() if one.problem]
    if len(registry.list()) != len(MODELS):
        told.problems.append("a model is gone")
    registry.promote(MODELS[0], force=True, by="after")
    if registry.promoted() != registry.folder / MODELS[0]:
        told.problems.append("the default model is another than the one promoted last")
    logged = {event["by"] for event in registry.log()}
    # Whoever promotes the default model changes nothing, and then nothing is logged.
    asked = {one["by"] for one in done if one["name"] == "rollback"}
    if lost := asked - logged:
        told.problems.append(f"the log lost {len(lost)} changes")
