"""Patient roles given once, and the lists that nnU-Net and MONAI train by."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_breastseg.core.errors import InputError
from napari_breastseg.core.volume import Exam, Grid, LabelMap, Volume
from napari_breastseg.dataset import (
    AcceptedMask,
    CaseRecord,
    Dataset,
    GridRecord,
    PatientRole,
    Status,
)
from napari_breastseg.dataset.derived import derived_texts, splits, training_cases
from napari_breastseg.dataset.records import next_role

GRID = GridRecord.of(Grid((1, 8, 8)))
MASK = AcceptedMask(
    sha256="0",
    annotator="a",
    seconds_spent=0,
    reviewed_slices=None,
    tumor_voxels=0,
    model=None,
    voxels_changed=None,
    dice_draft=None,
    software_version="0",
)


def records_of(entries: list[tuple[int, bool]]) -> list[CaseRecord]:
    """One case per (patient, is accepted), patients entering in the order given."""
    roles: dict[int, PatientRole] = {}
    records = []
    for number, (patient, is_accepted) in enumerate(entries):
        role = roles.setdefault(patient, next_role(roles.values()))
        records.append(
            CaseRecord(
                case_id=f"C{number}",
                patient_id=f"p{patient}",
                role=role,
                status=Status.ACCEPTED if is_accepted else Status.NEW,
                accepted=MASK if is_accepted else None,
                channels=("post1",),
                grid=GRID,
                image_sha256={},
                software_version="0",
            )
        )
    return records


ENTRIES = st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=80)


@given(ENTRIES)
def test_a_role_stays_when_others_enter(entries: list[tuple[int, bool]]) -> None:
    all_roles = {record.case_id: record.role for record in records_of(entries)}
    for count in range(len(entries)):
        for record in records_of(entries[:count]):
            assert record.role == all_roles[record.case_id]


@given(st.integers(0, 200))
def test_folds_are_balanced_and_every_fifth_from_the_tenth_is_locked(count: int) -> None:
    roles: list[PatientRole] = []
    for _ in range(count):
        roles.append(next_role(roles))
    assert [role.entry for role in roles if role.is_locked] == list(range(10, count + 1, 5))
    sizes = [sum(role.fold == fold for role in roles) for fold in range(5)]
    assert max(sizes) - min(sizes) <= 1


@given(ENTRIES)
def test_no_patient_is_in_two_lists_and_no_validation_is_empty(
    entries: list[tuple[int, bool]],
) -> None:
    records = records_of(entries)
    patient_of = {record.case_id: record.patient_id for record in records}
    usable = {record.case_id for record in records if record.is_accepted and not record.is_locked}
    patients = {patient_of[case_id] for case_id in usable}
    all_splits = splits(records)
    assert bool(all_splits) == bool(usable)
    for split in all_splits:
        assert split.val
        assert split.train
        assert set(split.train) | set(split.val) == usable
        if len(patients) > 1:
            assert not {patient_of[c] for c in split.train} & {patient_of[c] for c in split.val}
        else:
            assert split.train == split.val
    if len(all_splits) > 1:
        assert sorted(case_id for split in all_splits for case_id in split.val) == sorted(usable)


@given(ENTRIES)
def test_every_list_names_the_accepted_unlocked_cases_and_no_other(
    entries: list[tuple[int, bool]],
) -> None:
    records = records_of(entries)
    usable = {record.case_id for record in training_cases(records)}
    values = {
        path.name: json.loads(text)
        for path, text in derived_texts(Path("d"), "d", ["post1"], records).items()
    }
    head, datalist = values["dataset.json"], values["datalist.json"]
    assert set(head["dataset"]) == usable
    assert head["numTraining"] == len(usable)
    named = lambda key: {item["label"][9:-7] for item in datalist.get(key, [])}  # noqa: E731
    assert named("training") | named("validation") == usable
    locked = {r.case_id for r in records if r.is_accepted and r.is_locked}
    assert named("test") == locked
    assert ("test" in datalist) == bool(locked)


@given(ENTRIES, st.sampled_from(["", "4f"]))
def test_lists_are_spelled_as_json_indents_them(
    entries: list[tuple[int, bool]], dataset_id: str
) -> None:
    records = records_of(entries)
    for text in derived_texts(Path("d"), 'd "1"', ["post1"], records, dataset_id).values():
        assert json.dumps(json.loads(text), indent=2) + "\n" == text


def test_a_removed_record_gives_no_entry_twice() -> None:
    roles: list[PatientRole] = []
    for _ in range(11):
        roles.append(next_role(roles))
    del roles[3]
    assert next_role(roles).entry == 12
    assert next_role(roles).fold == 3


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Eleven patients with one accepted case each; the tenth is locked."""
    dataset = Dataset.create(tmp_path / "d", ["post1"])
    grid = Grid((1, 8, 8))
    exam = Exam("x", {"post1": Volume(np.arange(64, dtype=np.uint8).reshape(1, 8, 8), grid)})
    for number in range(1, 12):
        name = f"C{number:02d}"
        dataset.add(exam, patient_id=f"p{number}", case_id=name)
        mask = LabelMap(np.zeros((1, 8, 8), np.uint8), grid)
        dataset.accept(name, mask, reviewed_slices=None, annotator="a", seconds=1)
    return dataset


def test_the_tenth_patient_is_locked_out_of_every_list(dataset: Dataset) -> None:
    assert dataset.locked() == ("C10",)
    for name in ("dataset.json", "splits_final.json"):
        assert "C10" not in (dataset.folder / name).read_text()
    datalist = json.loads((dataset.folder / "datalist.json").read_text())
    assert [item["label"] for item in datalist["test"]] == ["labelsTr/C10.nii.gz"]
    assert all("C10" not in str(datalist[key]) for key in ("training", "validation"))


def test_splits_on_disk_are_the_splits_of_the_dataset(dataset: Dataset) -> None:
    on_disk = json.loads((dataset.folder / "splits_final.json").read_text())
    assert [(tuple(s["train"]), tuple(s["val"])) for s in on_disk] == [
        (s.train, s.val) for s in dataset.splits()
    ]
    assert dataset.split(0).val == ("C01", "C06")
    assert dataset.split(4).val == ("C05", "C11")


def test_a_second_visit_goes_where_the_first_went(dataset: Dataset) -> None:
    record = dataset.add(dataset.exam("C10"), patient_id="p10", case_id="C10_T2", visit="T2")
    assert (record.is_locked, record.visit) == (True, "T2")
    assert (
        dataset.add(dataset.exam("C03"), patient_id="p3", case_id="C03_T2").role
        == dataset.case("C03").role
    )


def test_only_folds_with_accepted_cases_are_listed(dataset: Dataset) -> None:
    for number in (2, 7, 9):
        dataset.reopen(f"C{number:02d}")
    assert [split.val for split in dataset.splits()] == [
        ("C01", "C06"),
        ("C03", "C08"),
        ("C04",),
        ("C05", "C11"),
    ]
    with pytest.raises(InputError, match="Expected a fold from 0 to 3; found fold 4"):
        dataset.split(4)


def test_patients_of_one_fold_are_still_kept_apart(dataset: Dataset) -> None:
    for number in (2, 3, 4, 5, 7, 8, 9, 11):
        dataset.reopen(f"C{number:02d}")
    assert [(s.train, s.val) for s in dataset.splits()] == [(("C01",), ("C06",))]


def test_a_single_patient_trains_and_validates_on_the_same_cases_and_is_told(
    dataset: Dataset,
) -> None:
    for number in range(2, 12):
        dataset.reopen(f"C{number:02d}")
    assert [(s.train, s.val) for s in dataset.splits()] == [(("C01",), ("C01",))]
    assert any("Only one patient" in note for note in dataset.status()["notes"])
    assert dataset.check() == []


def test_a_split_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match="Expected accepted cases to train on; found none in dataset empty"
    ):
        Dataset.create(tmp_path / "empty").split(0)


def test_status_counts_cases_patients_and_folds(dataset: Dataset) -> None:
    dataset.flag("C02", "implant")
    status = dataset.status()
    json.dumps(status)
    assert status["cases"] == {
        "total": 11,
        "new": 0,
        "drafted": 0,
        "in_progress": 0,
        "accepted": 10,
        "flagged": 1,
    }
    assert status["patients"] == {"total": 11, "locked": 1, "folds": [2, 2, 2, 2, 2]}
    assert status["test_cases"] == 1
    assert any(note.startswith("1 locked patients") for note in status["notes"])
