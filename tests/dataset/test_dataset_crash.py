"""A program that dies between any two writes leaves the state before or the state after."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from napari_breastseg.core.volume import Exam, LabelMap
from napari_breastseg.dataset import Dataset, Severity

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="crashes are made by fork")

# Runs one action in children of its own, the n-th of which dies before its n-th change on disk,
# until a child comes through; each child works on a copy of the folder, `crash-<n>`.
PROGRAM = """
import os, pathlib, shutil, sys
import numpy as np
from napari_breastseg.dataset import Dataset
from napari_breastseg.core.volume import LabelMap

source, action = pathlib.Path(sys.argv[1]), sys.argv[2]

def act(dataset):
    exam, old = dataset.exam("P001"), dataset.working_map("P001")
    new = LabelMap(np.roll(old.data, 2, axis=2), old.grid)
    match action:
        case "accept":
            dataset.accept("P001", new, reviewed_slices=None, annotator="b", seconds=1)
        case "reopen":
            dataset.reopen("P001")
        case "draft":
            dataset.save_draft("P002", new, model="second")
        case "add":
            dataset.add(exam, patient_id="c", case_id="P003")
        case "autosave":
            dataset.autosave("P002", new)

def dying_at(number):
    left = [number]
    for owner, name in ((os, "replace"), (os, "link"), (pathlib.Path, "unlink")):
        def change(*args, real=getattr(owner, name), **kwargs):
            left[0] -= 1
            if left[0] == 0:
                os._exit(9)
            return real(*args, **kwargs)
        setattr(owner, name, change)

for number in range(1, 100):
    folder = source.parent / f"crash-{number}"
    shutil.copytree(source, folder)
    child = os.fork()
    if child == 0:
        dataset = Dataset.open(folder)
        dying_at(number)
        act(dataset)
        os._exit(0)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0:
        break
"""


@pytest.fixture
def dataset(tmp_path: Path, sphere_exam: tuple[Exam, LabelMap]) -> Dataset:
    """P001 accepted, P002 drafted."""
    exam, truth = sphere_exam
    dataset = Dataset.create(tmp_path / "source")
    dataset.add(exam, patient_id="a")
    dataset.accept("P001", truth, reviewed_slices=None, annotator="a", seconds=1)
    dataset.add(exam, patient_id="b", case_id="P002")
    dataset.save_draft("P002", truth, model="first")
    return dataset


def crashed(dataset: Dataset, action: str) -> list[Dataset]:
    """Datasets opened after a crash at each step of `action`, the last one without a crash."""
    subprocess.run([sys.executable, "-c", PROGRAM, str(dataset.folder), action], check=True)
    folders = sorted(dataset.folder.parent.glob("crash-*"), key=lambda path: int(path.name[6:]))
    return [Dataset.open(folder) for folder in folders]


@pytest.mark.parametrize("action", ["accept", "reopen", "draft", "add", "autosave"])
def test_a_crash_at_any_write_is_healed_on_opening(
    dataset: Dataset, sphere_exam, action: str
) -> None:
    old = sphere_exam[1].data
    new = np.roll(old, 2, axis=2)
    opened = crashed(dataset, action)
    assert len(opened) > 2
    states = []
    for after in opened:
        findings = after.check()
        assert [f for f in findings if f.severity is Severity.ERROR] == []
        assert {f.what for f in findings} <= {"orphan_file", "temporary_file"}
        states.append(state(after, old, new))
    # Before and after, and once only from the one to the other.
    assert states[0] == state(dataset, old, new)
    assert states[-1] != states[0]
    assert len([1 for a, b in pairwise(states) if a != b]) == 1


def state(dataset: Dataset, old: np.ndarray, new: np.ndarray) -> tuple[object, ...]:
    """What a user would see of the dataset; that nothing accepted is lost is asserted here."""
    record = dataset.case("P001")
    current = dataset.label_map("P001").data if record.is_accepted else None
    kept = [dataset.folder / "history" / "P001" / str(m.history_file) for m in record.history]
    assert all(path.exists() for path in kept)
    assert record.is_accepted or kept
    if current is not None and not kept:
        np.testing.assert_array_equal(current, old)
    draft = dataset.draft("P002")
    assert draft is not None
    return (
        [(r.case_id, r.status, r.role.fold) for r in dataset.cases()],
        current is not None and bool((current == new).all()),
        bool((draft.data == new).all()),
        dataset.case("P002").draft.model,
    )


def test_work_whose_acceptance_was_cut_off_is_recovered(dataset: Dataset, sphere_exam) -> None:
    new = np.roll(sphere_exam[1].data, 2, axis=2)
    not_committed = [d for d in crashed(dataset, "accept") if not d.case("P001").history]
    recovered = [d.recover("P001") for d in not_committed]
    # From the moment the work is in a file of the folder, it is there at each later step.
    kept = [label_map for label_map in recovered if label_map is not None]
    assert len(kept) >= 2
    assert recovered[-len(kept) :] == kept
    for label_map in kept:
        np.testing.assert_array_equal(label_map.data, new)


def test_an_old_mask_is_on_the_disk_in_the_history_before_it_is_replaced(
    dataset: Dataset, sphere_exam, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[object] = []
    fsync, replace = os.fsync, os.replace

    def seen_fsync(descriptor: int) -> None:
        steps.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    def seen_replace(source: Path, target: Path) -> None:
        if Path(target).parent == dataset.folder / "labelsTr":
            steps.append("replaced")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", seen_fsync)
    monkeypatch.setattr(os, "replace", seen_replace)
    dataset.accept("P001", sphere_exam[1], reviewed_slices=None, annotator="b", seconds=1)
    before = steps[: steps.index("replaced")]
    history = dataset.folder / "history"
    assert {history.stat().st_ino, (history / "P001").stat().st_ino} <= set(before)


def test_a_dataset_folder_can_be_moved_and_copied(dataset: Dataset, tmp_path: Path) -> None:
    shutil.copytree(dataset.folder, tmp_path / "copy")
    dataset.folder.rename(tmp_path / "moved")
    for name in ("copy", "moved"):
        assert Dataset.open(tmp_path / name).check() == []
