"""What was accepted stays, what was drawn stays: unreadable records, autosaves, changed masks."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import imageio.v3 as iio
import nibabel as nib
import numpy as np
import pytest

from napari_breastseg.core.errors import InputError
from napari_breastseg.core.progress import drain
from napari_breastseg.core.volume import Exam, LabelMap
from napari_breastseg.dataset import Dataset, Status, import_csv
from napari_breastseg.training.splitting import split_by_patient


@pytest.fixture
def dataset(tmp_path: Path, sphere_exam: tuple[Exam, LabelMap]) -> Dataset:
    """Three accepted cases of three patients."""
    exam, truth = sphere_exam
    dataset = Dataset.create(tmp_path / "data", ["pre", "post1"])
    for n in (1, 2, 3):
        dataset.add(exam, patient_id=f"patient-{n}", case_id=f"P{n}")
        accept(dataset, f"P{n}", truth)
    return dataset


def accept(dataset: Dataset, case_id: str, label_map: LabelMap) -> None:
    dataset.accept(case_id, label_map, reviewed_slices=None, annotator="AB", seconds=1)


def shifted(label_map: LabelMap, by: int = 2) -> LabelMap:
    return replace(label_map, data=np.roll(label_map.data, by, axis=2))


def damage(dataset: Dataset, case_id: str, text: str = "{") -> None:
    (dataset.folder / "cases" / f"{case_id}.json").write_text(text)


def rewrite(dataset: Dataset, case_id: str, **values: object) -> None:
    path = dataset.folder / "cases" / f"{case_id}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


# A record that cannot be read


def test_a_damaged_record_leaves_out_its_case_and_no_other(dataset: Dataset, sphere_exam) -> None:
    damage(dataset, "P2")
    opened = Dataset.open(dataset.folder)
    assert [record.case_id for record in opened.cases()] == ["P1", "P3"]
    assert [row.case_id for row in opened.worklist()] == ["P1", "P3"]
    accept(opened, "P1", shifted(sphere_exam[1]))
    assert len(opened.case("P1").history) == 1
    assert opened.status()["left_out"] == {"P2": "damaged"}
    assert "Case P2 is left out: its record was found damaged. Restore it" in opened.notes()[0]
    with pytest.raises(InputError, match=r"record of case P2 .*; found it damaged\. Restore it"):
        opened.exam("P2")


def test_a_newer_record_says_so_and_its_patient_keeps_the_role(
    dataset: Dataset, sphere_exam
) -> None:
    rewrite(dataset, "P2", software_version="9.1", prior_visit={"case": "P0"})
    opened = Dataset.open(dataset.folder)
    with pytest.raises(InputError, match=r"found it written by another version .* \(9\.1\)"):
        opened.case("P2")
    fold = json.loads((dataset.folder / "cases" / "P2.json").read_text())["role"]
    record = opened.add(sphere_exam[0], patient_id="patient-2", case_id="P2b")
    assert record.role.model_dump() == fold


def test_new_patients_get_no_entry_that_a_damaged_record_may_hold(
    dataset: Dataset, sphere_exam
) -> None:
    last = dataset.case("P3").role.entry
    damage(dataset, "P3")
    record = Dataset.open(dataset.folder).add(sphere_exam[0], patient_id="new", case_id="P4")
    assert record.role.entry > last


def test_a_case_whose_record_is_damaged_is_not_entered_again(dataset: Dataset, sphere_exam) -> None:
    damage(dataset, "P2")
    with pytest.raises(InputError, match=r"found a record of case p2 that cannot be read"):
        Dataset.open(dataset.folder).add(sphere_exam[0], patient_id="x", case_id="p2")


def test_a_record_put_back_is_in_use_again(dataset: Dataset) -> None:
    path = dataset.folder / "cases" / "P2.json"
    whole = path.read_text()
    damage(dataset, "P2", whole[:100])
    assert len(dataset.cases()) == 2
    path.write_text(whole)
    assert len(dataset.cases()) == 3
    assert dataset.notes() == []


# An autosave, and which is newer


def test_an_autosave_is_newer_by_its_counter_whatever_copying_did_to_file_times(
    dataset: Dataset, sphere_exam, tmp_path: Path
) -> None:
    work = shifted(sphere_exam[1])
    dataset.autosave("P1", work)
    os.utime(dataset.folder / "autosave" / "P1.nii.gz", (1, 1))
    shutil.copytree(dataset.folder, tmp_path / "copy")
    for folder in (dataset.folder, tmp_path / "copy"):
        recovered = Dataset.open(folder).recover("P1")
        assert recovered is not None
        np.testing.assert_array_equal(recovered.data, work.data)


@pytest.mark.parametrize("is_reopened", [False, True])
def test_an_autosave_from_before_the_mask_is_never_offered(
    dataset: Dataset, sphere_exam, is_reopened: bool
) -> None:
    path = dataset.folder / "autosave" / "P1.nii.gz"
    dataset.autosave("P1", shifted(sphere_exam[1]))
    old = path.read_bytes()
    accept(dataset, "P1", shifted(sphere_exam[1], 4))
    path.write_bytes(old)  # as if the power had failed before it was removed
    if is_reopened:
        dataset.reopen("P1")
    opened = Dataset.open(dataset.folder)
    assert opened.recover("P1") is None
    assert opened.status()["autosaved"] == []
    kept = opened.working_map("P1")
    assert kept is not None
    np.testing.assert_array_equal(kept.data, shifted(sphere_exam[1], 4).data)
    newer = shifted(sphere_exam[1], 6)
    opened.autosave("P1", newer)
    recovered = opened.recover("P1")
    assert recovered is not None
    np.testing.assert_array_equal(recovered.data, newer.data)


def test_an_autosave_kept_by_an_earlier_version_is_offered(dataset: Dataset, sphere_exam) -> None:
    dataset.reopen("P1")
    dataset.autosave("P1", shifted(sphere_exam[1]))
    record = json.loads((dataset.folder / "cases" / "P1.json").read_text())
    del record["autosave_after"]
    damage(dataset, "P1", json.dumps(record))
    assert Dataset.open(dataset.folder).recover("P1") is not None


def test_work_left_by_closing_a_case_is_its_readers_and_after_a_crash_nobodys(
    dataset: Dataset, sphere_exam
) -> None:
    with dataset.lock("P1", "AB"):
        dataset.autosave("P1", shifted(sphere_exam[1]))
        assert dataset.case("P1").left_by is None  # as a crash would leave it
    assert dataset.case("P1").left_by == "AB"
    with dataset.lock("P1", "CD"):
        pass  # looked at, and nothing done
    assert dataset.case("P1").left_by == "AB"
    with dataset.lock("P1", "CD"):
        dataset.autosave("P1", shifted(sphere_exam[1], 3))
    assert dataset.case("P1").left_by == "CD"
    accept(dataset, "P1", shifted(sphere_exam[1], 3))
    assert dataset.case("P1").left_by is None


def test_importing_again_keeps_a_readers_unfinished_work(tmp_path: Path) -> None:
    image = np.resize(np.arange(200, dtype=np.uint8), (24, 20))
    mask = np.zeros((24, 20), np.uint8)
    mask[5:9, 5:9] = 255
    iio.imwrite(tmp_path / "i.png", image)
    iio.imwrite(tmp_path / "m.png", mask)
    (tmp_path / "cases.csv").write_text("case_id,patient_id,image,mask\nA,P,i.png,m.png\n")
    drain(import_csv(tmp_path / "cases.csv", tmp_path / "data"))
    dataset = Dataset.open(tmp_path / "data")
    drawn = LabelMap((mask[None] > 0).astype(np.uint8), dataset.exam("A").grid)
    dataset.autosave("A", shifted(drawn, 3))
    mask[9:12, 5:9] = 255
    iio.imwrite(tmp_path / "m.png", mask)
    result = drain(dataset.import_csv(tmp_path / "cases.csv"))
    assert result.updated == ()
    assert "no unfinished work on case A, to replace its imported mask; found a reader's work" in (
        result.failures[0].message
    )
    recovered = dataset.recover("A")
    assert recovered is not None
    np.testing.assert_array_equal(recovered.data, shifted(drawn, 3).data)
    assert dataset.case("A").accepted.tumor_voxels == 16


# A mask that another program changed


def edit_outside(dataset: Dataset, case_id: str) -> np.ndarray:
    """Paint into an accepted mask as another program does; its voxels (Z, Y, X) afterwards."""
    path = dataset.folder / "labelsTr" / f"{case_id}.nii.gz"
    image = nib.load(path)
    data = np.asarray(image.dataobj).astype(np.uint8)
    data[:3, :3, :] = 1
    nib.save(nib.Nifti1Image(data, image.affine), path)
    return data.T


def test_a_mask_changed_by_another_program_is_told_and_not_learned_from(
    dataset: Dataset, tmp_path: Path
) -> None:
    edit_outside(dataset, "P2")
    opened = Dataset.open(dataset.folder)
    assert opened.notes() == [
        "Another program changed the mask of case P2. Open the case in the Correct step, look at "
        "the mask and accept it, or restore the file; until then nothing is learned from it."
    ]
    learned, held_out = split_by_patient([opened], 0)
    assert {case.case_id for case in (*learned, *held_out)} == {"P1", "P3"}
    with pytest.raises(InputError, match=r"mask of case P2 as it was accepted; found that another"):
        opened.label_map("P2")
    exported = drain(opened.export(tmp_path / "out"))
    assert sorted(p.name for p in (exported / "labelsTr").iterdir()) == ["P1.nii.gz", "P3.nii.gz"]


def test_where_all_masks_were_changed_nothing_is_trained(dataset: Dataset) -> None:
    for case_id in ("P1", "P2", "P3"):
        edit_outside(dataset, case_id)
    with pytest.raises(InputError, match="another program changed the masks of all of them"):
        split_by_patient([dataset], 0)


def test_a_changed_mask_is_shown_to_a_reader_and_accepted_as_it_is(dataset: Dataset) -> None:
    data = edit_outside(dataset, "P2")
    shown = dataset.kept_map("P2")
    assert shown is not None
    np.testing.assert_array_equal(shown.data, data)
    accept(dataset, "P2", shown)
    assert dataset.changed_masks() == frozenset()
    np.testing.assert_array_equal(dataset.label_map("P2").data, data)
    assert [mask.is_changed_outside for mask in dataset.case("P2").history] == [True]
    assert dataset.check() == []


def test_changed_masks_are_accepted_in_one_go_on_demand(dataset: Dataset) -> None:
    data = edit_outside(dataset, "P2")
    assert dataset.accept_changed("CD") == ["P2"]
    record = dataset.case("P2")
    assert (record.status, record.annotator) == (Status.ACCEPTED, "CD")
    np.testing.assert_array_equal(dataset.label_map("P2").data, data)
    assert dataset.accept_changed("CD") == []
    assert dataset.check() == []


def test_a_mask_rewritten_without_a_change_counts_as_changed_and_one_restored_does_not(
    dataset: Dataset,
) -> None:
    path = dataset.folder / "labelsTr" / "P2.nii.gz"
    whole = path.read_bytes()
    edit_outside(dataset, "P2")
    assert dataset.changed_masks() == {"P2"}
    path.write_bytes(whole)
    assert dataset.changed_masks() == frozenset()


# Which dataset it is


def test_a_dataset_keeps_its_id_in_a_copy_and_shares_it_with_no_other(
    dataset: Dataset, tmp_path: Path
) -> None:
    shutil.copytree(dataset.folder, tmp_path / "copy")
    assert Dataset.open(tmp_path / "copy").id == Dataset.open(dataset.folder).id == dataset.id
    (tmp_path / "elsewhere").mkdir()
    other = Dataset.create(tmp_path / "elsewhere" / "data", ["pre", "post1"])
    assert other.name == dataset.name
    assert other.id != dataset.id


def test_the_id_comes_back_with_a_lost_dataset_json(dataset: Dataset) -> None:
    (dataset.folder / "dataset.json").unlink()
    assert Dataset.open(dataset.folder).id == dataset.id
    assert json.loads((dataset.folder / "dataset.json").read_text())["napari_breastseg"]["id"]


def test_a_folder_made_before_there_were_ids_opens_unchanged_with_an_id_of_its_own(
    dataset: Dataset, sphere_exam
) -> None:
    head = json.loads((dataset.folder / "dataset.json").read_text())
    del head["napari_breastseg"]["id"]
    text = json.dumps(head, indent=2) + "\n"
    (dataset.folder / "dataset.json").write_text(text)
    opened = Dataset.open(dataset.folder)
    assert (dataset.folder / "dataset.json").read_text() == text
    assert opened.id == Dataset.open(dataset.folder).id != dataset.id
    before = opened.id
    opened.add(sphere_exam[0], patient_id="later", case_id="P9")
    assert Dataset.open(dataset.folder).id == before
