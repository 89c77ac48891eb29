"""What is tried under a failing file layer: each action, and what must hold afterwards."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import signal
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from fault_layer import KILLED, KINDS, Layer

from napari_breastseg import formats
from napari_breastseg.core.errors import InputError
from napari_breastseg.core.progress import drain
from napari_breastseg.core.volume import Exam, Grid, LabelMap, Volume
from napari_breastseg.dataset import Dataset, Severity

GRID = Grid((4, 8, 9), np.diag([3.0, 0.7, 0.7, 1.0]))
_LONGEST_S = 120

State = dict[str, Any]
"""What a user sees, by the name of each thing that changes as one."""


@dataclass(frozen=True)
class Action:
    """An action, and how what it did is seen."""

    name: str
    prepare: Callable[[Path], None]
    """Makes what is there before, in an empty folder."""
    act: Callable[[Path], None]
    state: Callable[[Path], State]
    check: Callable[[Path], list[str]]
    """What is wrong with the folder, in words."""
    again: Callable[[Path], None] | None = None
    """The second try, where it differs from the first."""


@dataclass(frozen=True)
class Trial:
    """What came of one action under one fault."""

    kind: str
    at: int
    where: str
    ended: str
    """"done", "refused", "killed" or "broke"."""
    problems: tuple[str, ...]


def trials(
    action: Action, work: Path, chosen: Callable[[str, int], Iterable[int]]
) -> Iterator[Trial]:
    """Try an action with faults of each kind, at the chosen ones of so many changes on disk."""
    before_folder, after_folder = work / "before", work / "after"
    before_folder.mkdir(parents=True)
    action.prepare(before_folder)
    shutil.copytree(before_folder, after_folder)
    with Layer(after_folder) as layer:
        action.act(after_folder)
    before, after = action.state(before_folder), action.state(after_folder)
    assert before != after, action.name
    assert action.check(after_folder) == [], action.name
    for kind in KINDS:
        for at in chosen(kind, len(layer.done)):
            folder = work / "trial"
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(before_folder, folder)
            ended, message = _in_a_child(action, folder, kind, at)
            problems = tuple(_problems(action, folder, before, after, ended, message))
            yield Trial(kind, at, layer.done[at], ended, problems)


def _in_a_child(action: Action, folder: Path, kind: str, at: int) -> tuple[str, str]:
    """Act in a process of its own; how that ended, and what was said."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        signal.alarm(_LONGEST_S)
        told = ["done", ""]
        try:
            with Layer(folder, kind, at):
                action.act(folder)
        except InputError as error:
            told = ["refused", str(error)]
        except BaseException:
            told = ["broke", traceback.format_exc()]
        os.write(writing, json.dumps(told).encode()[:60_000])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code == KILLED:
        return "killed", ""
    if code != 0 or not said:
        return "broke", f"it ended with {code}"
    ended, message = json.loads(said)
    return ended, message


def _problems(
    action: Action, folder: Path, before: State, after: State, ended: str, message: str
) -> Iterator[str]:
    if ended == "broke":
        yield message
    try:
        yield from action.check(folder)
        seen = action.state(folder)
    except Exception:
        yield "afterwards: " + traceback.format_exc()
        return
    for name in seen.keys() | before.keys() | after.keys():
        if seen.get(name) not in (before.get(name), after.get(name)):
            yield f"{name} is {seen.get(name)}, neither {before.get(name)} nor {after.get(name)}"
    if ended == "done" and seen != after:
        yield f"it said nothing, and left {seen} instead of {after}"
    if "unchanged" in message and seen != before:
        yield f"it changed something and said: {message}"
    if "is kept" in message:
        told = [name for name in after if f"record of case {name};" in message] or list(after)
        if any(seen.get(name) != after[name] for name in told):
            yield f"it kept nothing and said: {message}"
    if seen != after:
        try:
            (action.again or action.act)(folder)
        except Exception:
            yield "the second try: " + traceback.format_exc()
            return
        yield from (f"after the second try: {one}" for one in action.check(folder))
        if (seen := action.state(folder)) != after:
            yield f"the second try left {seen} instead of {after}"


def digest(data: np.ndarray | None) -> str:
    return "" if data is None else hashlib.sha256(np.ascontiguousarray(data)).hexdigest()[:8]


# ---- a dataset folder


def mask(x: int = 3) -> LabelMap:
    data = np.zeros(GRID.shape, np.uint8)
    data[1, 2, x] = 1
    return LabelMap(data, GRID)


def exam(name: str, seed: int = 1) -> Exam:
    data = np.random.default_rng(seed).integers(0, 200, GRID.shape).astype(np.int16)
    return Exam(name, {"post1": Volume(data, GRID)})


def accept(dataset: Dataset, case_id: str, x: int) -> None:
    dataset.accept(case_id, mask(x), reviewed_slices=None, annotator="AB", seconds=1.0)


def prepare_dataset(root: Path) -> None:
    """K1 accepted twice, K2 drafted and painted on, K3 accepted; a table of three more."""
    dataset = Dataset.create(root / "D")
    for name in ("K1", "K2", "K3"):
        dataset.add(exam(name), case_id=name, patient_id=f"patient-{name}")
        dataset.save_draft(name, mask(2), model="first")
    for x in (3, 4):
        accept(dataset, "K1", x)
    dataset.autosave("K2", mask(5))
    accept(dataset, "K3", 3)
    rows = []
    for number in (4, 5):
        name = f"K{number}"
        formats.write_volume(root / f"{name}.nii.gz", exam(name, number).phases["post1"])
        formats.write_label_map(root / f"{name}_mask.nii.gz", mask(number))
        rows.append([name, f"patient-{name}", f"{name}.nii.gz", f"{name}_mask.nii.gz"])
    with (root / "cases.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["case_id", "patient_id", "image", "mask"], *rows])


def dataset_state(root: Path) -> State:
    dataset = Dataset.open(root / "D")
    state: State = {}
    for record in dataset.cases():
        kept = [(m.sha256[:8], m.order) for m in record.history if m.history_file]
        state[record.case_id] = (
            str(record.status),
            record.role.fold,
            digest(dataset.label_map(record.case_id).data) if record.is_accepted else "",
            record.accepted and record.accepted.order,
            tuple(kept),
            record.draft and (record.draft.model, digest(dataset.draft(record.case_id).data)),
        )
    return state


def dataset_check(root: Path) -> list[str]:
    """Nothing wrong but leftovers, no number twice, and every accepted mask still there."""
    dataset = Dataset.open(root / "D")
    problems = [
        f"{finding.what}: {finding.message}"
        for finding in dataset.check()
        if finding.severity is Severity.ERROR
        or finding.what not in ("orphan_file", "temporary_file")
    ]
    orders = []
    kept = set()
    for record in dataset.cases():
        masks = [one for one in (*record.history, record.accepted) if one is not None]
        orders += [one.order for one in masks]
        kept |= {(record.case_id, one.sha256) for one in masks}
        if dataset.last_lock(record.case_id) and dataset.lock_holder(record.case_id):
            problems.append(f"{record.case_id} is locked by a program that is gone")
    orders = [order for order in orders if order is not None]  # imported masks have none
    if len(set(orders)) < len(orders):
        problems.append(f"numbers given twice: {orders}")
    with Dataset.open(root / "D").lock("K1", "after"):
        pass
    known = json.loads((root / "accepted.json").read_text()) if _has_noted(root) else []
    problems += [f"the accepted mask {one} is gone" for one in known if tuple(one) not in kept]
    work = dataset.recover("K2")
    if dataset.case("K2").accepted is None and work is None:
        problems.append("the unfinished work on K2 is gone")
    return problems


def _has_noted(root: Path) -> bool:
    """Whether the masks accepted at first are noted; noted now where they are not."""
    path = root / "accepted.json"
    if not path.exists():
        records = Dataset.open(root / "D").cases()
        masks = [(r.case_id, m.sha256) for r in records for m in (*r.history, r.accepted) if m]
        path.write_text(json.dumps(masks))
    return True


def on_dataset(name: str, do: Callable[[Dataset, Path], Any]) -> Action:
    def prepare(root: Path) -> None:
        prepare_dataset(root)
        _has_noted(root)

    def act(root: Path) -> None:
        do(Dataset.open(root / "D"), root)

    return Action(name, prepare, act, dataset_state, dataset_check)


def _files(folder: Path) -> State:
    """Every file below a folder, and what is in it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.exists() else []
    return {
        "the export": tuple(
            (path.relative_to(folder).as_posix(), hashlib.sha256(path.read_bytes()).hexdigest())
            for path in files
        )
    }


def exporting(form: str) -> Action:
    act = on_dataset("", lambda dataset, root: drain(dataset.export(root / "out", form)))
    state = lambda root: _files(root / "out")  # noqa: E731
    return Action(f"export {form}", act.prepare, act.act, state, dataset_check)


def _import(dataset: Dataset, root: Path) -> None:
    result = drain(dataset.import_csv(root / "cases.csv"))
    if result.failures:
        raise InputError("Expected all rows", result.failures[0].message, "Import again")


DATASET_ACTIONS = [
    on_dataset("accept", lambda dataset, root: accept(dataset, "K2", 6)),
    on_dataset("accept again", lambda dataset, root: accept(dataset, "K1", 6)),
    on_dataset("add", lambda d, root: d.add(exam("K9", 9), case_id="K9", patient_id="patient-9")),
    on_dataset("import", _import),
    on_dataset("draft", lambda d, root: d.save_draft("K2", mask(6), model="second")),
    on_dataset("reopen", lambda dataset, root: dataset.reopen("K1")),
    on_dataset("undo accept", lambda dataset, root: dataset.undo_accept("K1")),
    on_dataset("flag", lambda dataset, root: dataset.flag("K3", "motion")),
    exporting("nnunet"),
    exporting("bids"),
]


def _autosave_state(root: Path) -> State:
    dataset = Dataset.open(root / "D")
    work = {name: dataset.recover(name) for name in ("K1", "K2")}
    return {name: digest(None if one is None else one.data) for name, one in work.items()}


def _autosave(x: int, name: str) -> Action:
    made = on_dataset("", lambda dataset, root: dataset.autosave(name, mask(x)))
    return Action(f"autosave {name}", made.prepare, made.act, _autosave_state, dataset_check)


def _create(root: Path) -> None:
    Dataset.create(root / "new", channels=("post1",))


def _create_or_open(root: Path) -> None:
    try:
        _create(root)
    except InputError:
        Dataset.open(root / "new")


def _is_there(root: Path) -> State:
    try:
        return {"the dataset": len(Dataset.open(root / "new").cases()) == 0}
    except InputError:
        return {"the dataset": False}


DATASET_ACTIONS += [
    _autosave(7, "K2"),
    _autosave(7, "K1"),
    Action("create", lambda root: None, _create, _is_there, lambda root: [], _create_or_open),
]


# ---- files of their own


def one_file(name: str, write: Callable[[Path, int], None]) -> Action:
    """An action that writes one file in place of an older one."""

    def state(root: Path) -> State:
        return {name: hashlib.sha256((root / name).read_bytes()).hexdigest()}

    return Action(
        name,
        lambda root: write(root / name, 2),
        lambda root: write(root / name, 5),
        state,
        lambda root: [],
    )


def _report(path: Path, x: int) -> None:
    from napari_breastseg.lesions.report import lesion_report, write_report

    data = mask(x).data.copy()
    data[1:3, 2:6, 1:x] = 1
    write_report(path, drain(lesion_report(exam("K1"), LabelMap(data, GRID))))


def _image(path: Path, x: int) -> None:
    formats.write_volume(path, exam("K", x).phases["post1"])


def _slice(path: Path, x: int) -> None:
    slices = exam("K", x).phases["post1"].data[:1].astype(np.uint8)
    formats.write_volume(path, Volume(slices, Grid((1, *slices.shape[1:]))))


def _image_state(root: Path) -> State:
    # The time it was written is in the file.
    return {"image": digest(formats.open_exam(root / "image.nrrd").phases["post1"].data)}


FILE_ACTIONS = [
    one_file("mask.nii.gz", lambda path, x: formats.write_label_map(path, mask(x))),
    replace(one_file("image.nrrd", _image), state=_image_state),
    one_file("slice.png", _slice),
    one_file("mask.tif", lambda path, x: formats.write_label_map(path, mask(x))),
    one_file("report.json", _report),
    one_file("report.csv", _report),
    one_file("report.pdf", _report),
]
