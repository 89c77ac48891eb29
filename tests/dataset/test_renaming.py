"""A case gets another id: all that is kept of it moves together, or nothing does."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from napari_breastseg.core.errors import InputError, StorageError
from napari_breastseg.core.volume import Exam, LabelMap
from napari_breastseg.dataset import Dataset, renaming


class Killed(BaseException):
    """The program ends here."""


def shifted(label_map: LabelMap, by: int) -> LabelMap:
    return LabelMap(np.roll(label_map.data, by, axis=2), label_map.grid)


@pytest.fixture
def dataset(tmp_path: Path, sphere_exam: tuple[Exam, LabelMap]) -> Dataset:
    """P001 drafted, accepted twice, read again by CD, who has a second read in progress; P002."""
    exam, truth = sphere_exam
    made = Dataset.create(tmp_path / "set", ["pre", "post1"])
    for case_id in ("P001", "P002"):
        made.add(exam, patient_id=f"patient-{case_id}", case_id=case_id)
    made.save_draft("P001", shifted(truth, 1), model="m@1")
    for by in (2, 3):
        made.accept("P001", shifted(truth, by), reviewed_slices=[4, 5], annotator="AB", seconds=by)
    made.reads.ask("P001")
    second = made.reads.second_read("P001", "CD")
    second.accept("P001", shifted(truth, 4), reviewed_slices=None, annotator="CD", seconds=1)
    second.autosave("P001", shifted(truth, 5))
    made.autosave("P001", shifted(truth, 6))
    return made


def kept(dataset: Dataset, case_id: str) -> dict[str, Any]:
    """All that is kept of a case, whatever it is called."""
    record = dataset.case(case_id)
    reads = dataset.reads.of_case(case_id)
    history = dataset.folder / "history" / case_id
    return {
        "exam": [volume.data.tobytes() for volume in dataset.exam(case_id).phases.values()],
        "accepted": dataset.label_map(case_id).data.tobytes(),
        "draft": dataset.draft(case_id).data.tobytes(),
        "unfinished": dataset.recover(case_id).data.tobytes(),
        "history": {one.name: one.read_bytes() for one in history.iterdir()},
        "reads": [
            (one.reader, one.kind, dataset.reads.label_map(one).data.tobytes()) for one in reads
        ],
        "second": dataset.reads.second_read(case_id, "CD").recover(case_id).data.tobytes(),
        "record": record.model_dump(exclude={"case_id", "former_ids"}),
    }


def files_named(dataset: Dataset, case_id: str) -> list[str]:
    return [
        path.as_posix()
        for path in dataset.folder.rglob(f"*{case_id}*")
        if "locks" not in path.parts
    ]


def test_all_that_is_kept_of_a_case_gets_its_new_id(dataset: Dataset) -> None:
    before = kept(dataset, "P001")
    record = dataset.rename("P001", "K-17")
    assert (record.case_id, record.former_ids) == ("K-17", ("P001",))
    again = Dataset.open(dataset.folder)
    assert [one.case_id for one in again.cases()] == ["K-17", "P002"]
    assert kept(again, "K-17") == before
    assert {one.case_id for one in again.reads.of_case("K-17")} == {"K-17"}
    assert files_named(dataset, "P001") == []
    assert again.check() == []
    assert "K-17" in (dataset.folder / "dataset.json").read_text()
    with pytest.raises(InputError, match="found none called P001"):
        again.case("P001")
    assert again.rename("K-17", "P001").former_ids == ("P001", "K-17")
    assert kept(again, "P001") == before


@pytest.mark.parametrize(
    ("new_id", "match"),
    [
        ("P002", "found case P002"),
        ("p002", "found case P002"),
        ("P001", "found case P001"),
        ("Anna Muster", "found one with other characters"),
        ("", "found an empty one"),
    ],
)
def test_an_id_that_is_taken_or_no_file_name_is_refused(
    dataset: Dataset, new_id: str, match: str
) -> None:
    before = kept(dataset, "P001")
    with pytest.raises(InputError, match=match):
        dataset.rename("P001", new_id)
    assert kept(Dataset.open(dataset.folder), "P001") == before


def test_a_file_that_belongs_to_no_case_is_not_taken_over(dataset: Dataset) -> None:
    (dataset.folder / "labelsTr" / "K-17.nii.gz").write_bytes(b"somebody's")
    with pytest.raises(InputError, match=r"found labelsTr/K-17\.nii\.gz, which belongs to no case"):
        dataset.rename("P001", "K-17")
    assert (dataset.folder / "labelsTr" / "K-17.nii.gz").read_bytes() == b"somebody's"


def test_a_case_that_is_open_keeps_its_id(dataset: Dataset) -> None:
    other = Dataset.open(dataset.folder)
    for opened, workspace, name in (
        (other, dataset, "CD"),
        (dataset, dataset, "AB"),
        (other, dataset.reads.second_read("P001", "CD"), "CD"),
    ):
        with (
            workspace.lock("P001", name),
            pytest.raises(InputError, match=f"found it open by {name}"),
        ):
            opened.rename("P001", "K-17")
    assert dataset.rename("P001", "K-17").case_id == "K-17"


def killed_at(monkeypatch: pytest.MonkeyPatch, step: int) -> Callable[[], int]:
    """End the program before its nth change of the disk; gives how many there were."""
    done = 0

    def counted(act: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **settings: Any) -> Any:
            nonlocal done
            if done == step:
                raise Killed
            done += 1
            return act(*args, **settings)

        return call

    monkeypatch.setattr(renaming, "link_or_copy", counted(renaming.link_or_copy))
    monkeypatch.setattr(renaming, "write_text", counted(renaming.write_text))
    monkeypatch.setattr(renaming, "os", SimpleNamespace(replace=counted(os.replace)))
    monkeypatch.setattr(renaming.Store, "commit", counted(renaming.Store.commit))
    monkeypatch.setattr(renaming.Store, "rebuild", counted(renaming.Store.rebuild))
    monkeypatch.setattr(Path, "unlink", counted(Path.unlink))
    monkeypatch.setattr(renaming, "_undo", lambda *_: None)  # nobody is left to do it
    return lambda: done


def test_a_program_killed_at_any_step_leaves_the_old_case_or_the_new_one(
    dataset: Dataset,
) -> None:
    before, names, step = kept(dataset, "P001"), set(), 0
    while True:
        with pytest.MonkeyPatch.context() as patch:
            count = killed_at(patch, step)
            try:
                dataset.rename("P001", "K-17")
            except Killed:
                is_over = False
            else:
                is_over = count() <= step
        gc.collect()  # a dead program holds no locks
        again = Dataset.open(dataset.folder)
        (name,) = {record.case_id for record in again.cases()} - {"P002"}
        names.add(name)
        assert kept(again, name) == before, step
        assert again.check() == [], step
        assert again.case(name).renamed_to is None
        assert files_named(again, "P001" if name == "K-17" else "K-17") == [], step
        dataset = again
        if is_over:
            break
        if name == "K-17":
            again.rename("K-17", "P001")
        step += 1
    assert names == {"P001", "K-17"}
    assert step > 12


def test_a_full_disk_leaves_the_case_as_it_was(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, calls, real = kept(dataset, "P001"), [], renaming.link_or_copy

    def link(source: Path, target: Path) -> None:
        calls.append(target)
        if len(calls) == 4:
            raise StorageError("Expected room", "found the disk full", "Free some")
        real(source, target)

    monkeypatch.setattr(renaming, "link_or_copy", link)
    with pytest.raises(StorageError, match="found the disk full"):
        dataset.rename("P001", "K-17")
    assert kept(dataset, "P001") == before
    assert files_named(dataset, "K-17") == []
    assert dataset.case("P001").renamed_to is None
