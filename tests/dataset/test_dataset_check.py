"""What `check` finds, and what `export` leaves behind."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_breastseg import formats
from napari_breastseg.core.errors import InputError
from napari_breastseg.core.progress import drain
from napari_breastseg.core.volume import Exam, Grid, LabelMap
from napari_breastseg.dataset import Dataset, Severity


@pytest.fixture
def dataset(tmp_path: Path, sphere_exam: tuple[Exam, LabelMap]) -> Dataset:
    """Three patients, two visits of the first; all accepted but the last, which is drafted."""
    exam, truth = sphere_exam
    dataset = Dataset.create(tmp_path / "source")
    for case_id, patient in (("P001", "a"), ("P001_T2", "a"), ("P002", "b"), ("P003", "c")):
        dataset.add(exam, patient_id=patient, case_id=case_id)
        dataset.save_draft(case_id, truth, model="starter")
        if case_id != "P003":
            dataset.accept(case_id, truth, reviewed_slices=None, annotator="a", seconds=1)
    dataset.accept("P001", truth, reviewed_slices=range(8), annotator="b", seconds=1)
    return dataset


def found(dataset: Dataset) -> set[tuple[str, str | None]]:
    return {(finding.what, finding.case_id) for finding in dataset.check()}


def test_a_sound_dataset_has_no_findings(dataset: Dataset) -> None:
    assert dataset.check() == []


@pytest.mark.parametrize(
    ("path", "case_id"),
    [
        ("imagesTr/P002_0001.nii.gz", "P002"),
        ("labelsTr/P001.nii.gz", "P001"),
        ("drafts/P003.nii.gz", "P003"),
    ],
)
def test_missing_and_changed_files_are_found(dataset: Dataset, path: str, case_id: str) -> None:
    file = dataset.folder / path
    content = file.read_bytes()
    file.unlink()
    assert found(dataset) == {("missing_file", case_id)}
    file.write_bytes(content[: len(content) // 2])
    assert found(dataset) == {("hash_mismatch", case_id), ("unreadable_file", case_id)}
    assert all(finding.severity is Severity.ERROR for finding in dataset.check())


def test_a_lost_earlier_mask_is_found(dataset: Dataset) -> None:
    next((dataset.folder / "history" / "P001").iterdir()).unlink()
    assert found(dataset) == {("missing_file", "P001")}


def test_a_mask_or_image_on_another_grid_is_found(dataset: Dataset, sphere_exam) -> None:
    exam, truth = sphere_exam
    affine = np.array(exam.grid.affine)
    affine[0, 3] += 5.0
    elsewhere = Grid(exam.grid.shape, affine)
    formats.write_label_map(
        dataset.folder / "labelsTr" / "P002.nii.gz", replace(truth, grid=elsewhere)
    )
    volume = replace(exam.phases["pre"], grid=elsewhere)
    formats.write_volume(dataset.folder / "imagesTr" / "P003_0000.nii.gz", volume)
    assert found(dataset) >= {("grid_mismatch", "P002"), ("grid_mismatch", "P003")}
    assert any("at another position" in finding.message for finding in dataset.check())


def test_labels_outside_the_three_are_found(dataset: Dataset, sphere_exam) -> None:
    truth = sphere_exam[1]
    path = dataset.folder / "labelsTr" / "P002.nii.gz"
    formats.write_label_map(path, replace(truth, data=truth.data * 7))
    findings = [f.message for f in dataset.check() if f.case_id == "P002"]
    assert any(
        "labels 0, 1 and 2" in message or "found labels 0, 7" in message for message in findings
    )


def test_stale_lists_are_found_and_repaired(dataset: Dataset) -> None:
    (dataset.folder / "splits_final.json").write_text("[]\n")
    (dataset.folder / "datalist.json").unlink()
    assert found(dataset) == {("stale_derived", None)}
    assert all(finding.is_repaired for finding in dataset.check(repair=True))
    assert dataset.check() == []


def test_a_patient_in_train_and_val_is_found(dataset: Dataset) -> None:
    path = dataset.folder / "splits_final.json"
    path.write_text(json.dumps([{"train": ["P001", "P002"], "val": ["P001_T2"]}]))
    messages = [f.message for f in dataset.check() if f.what == "patient_in_train_and_val"]
    assert messages == ["fold 0 trains and validates on patients of P001, P001_T2"]


def test_a_patient_with_two_roles_is_found(dataset: Dataset) -> None:
    path = dataset.folder / "cases" / "P001_T2.json"
    record = json.loads(path.read_text())
    record["role"] = {"entry": 2, "fold": 1}
    path.write_text(json.dumps(record))
    assert ("patient_in_two_roles", "P001_T2") in found(dataset)


def test_orphans_and_leftovers_are_found_and_only_old_leftovers_removed(dataset: Dataset) -> None:
    folder = dataset.folder
    (folder / "imagesTr" / "P009_0000.nii.gz").write_bytes(b"x")
    for name, age_s in (("old", 7200), ("young", 0)):
        leftover = folder / "labelsTr" / f".tmp-{name}.nii.gz"
        leftover.write_bytes(b"x")
        stamp = leftover.stat().st_mtime - age_s
        os.utime(leftover, (stamp, stamp))
    assert found(dataset) == {("orphan_file", None), ("temporary_file", None)}
    assert all(finding.severity is Severity.WARNING for finding in dataset.check(repair=True))
    assert [path.name for path in (folder / "labelsTr").glob(".tmp-*")] == [".tmp-young.nii.gz"]
    assert (folder / "imagesTr" / "P009_0000.nii.gz").exists()


def test_an_export_is_a_plain_nnunet_folder(dataset: Dataset, tmp_path: Path) -> None:
    seen: list[int] = []
    dest = drain(
        dataset.export(tmp_path / "raw" / "Dataset501_Breast"), lambda p: seen.append(p.done)
    )
    files = sorted(path.relative_to(dest).as_posix() for path in dest.rglob("*") if path.is_file())
    cases = ("P001", "P001_T2", "P002")
    expected = [
        f"imagesTr/{case_id}_000{channel}.nii.gz" for case_id in cases for channel in (0, 1)
    ]
    expected += [f"labelsTr/{case_id}.nii.gz" for case_id in cases]
    assert files == sorted([*expected, "dataset.json", "patients.csv", "splits_final.json"])
    assert seen == [1, 2, 3]
    head = json.loads((dest / "dataset.json").read_text())
    assert set(head) == {"name", "channel_names", "labels", "numTraining", "file_ending"}
    assert head["numTraining"] == 3
    assert [path.name for path in dest.parent.iterdir()] == [dest.name]


def test_locked_cases_are_exported_for_testing(
    dataset: Dataset, tmp_path: Path, sphere_exam
) -> None:
    exam, truth = sphere_exam
    for number in range(4, 11):
        dataset.add(exam, patient_id=f"p{number}", case_id=f"P{number:03d}")
    dataset.accept("P010", truth, reviewed_slices=None, annotator="a", seconds=1)
    dest = drain(dataset.export(tmp_path / "Dataset501_Breast"))
    assert sorted(path.name for path in (dest / "imagesTs").iterdir()) == [
        "P010_0000.nii.gz",
        "P010_0001.nii.gz",
    ]
    assert [path.name for path in (dest / "labelsTs").iterdir()] == ["P010.nii.gz"]
    assert not (dest / "imagesTr" / "P010_0000.nii.gz").exists()


@pytest.mark.parametrize(
    ("place", "match"),
    [
        (lambda folder: folder, "is the dataset folder"),
        (lambda folder: folder / "export", "lies in it"),
        (lambda folder: folder / ".." / folder.name, "is the dataset folder"),
        (lambda folder: folder.parent, "or holds it"),
        (lambda folder: folder.parent / "full", "found files in"),
    ],
)
def test_an_export_over_something_is_refused(
    dataset: Dataset, place: Callable[[Path], Path], match: str
) -> None:
    (dataset.folder.parent / "full").mkdir()
    (dataset.folder.parent / "full" / "thesis.docx").write_text("x")
    before = sorted(dataset.folder.parent.rglob("*"))
    with pytest.raises(InputError, match=match):
        drain(dataset.export(place(dataset.folder)))
    assert sorted(dataset.folder.parent.rglob("*")) == before


def test_a_cancelled_or_failed_export_leaves_nothing(dataset: Dataset, tmp_path: Path) -> None:
    job = dataset.export(tmp_path / "raw")
    next(job)
    job.close()
    assert [path.name for path in tmp_path.iterdir()] == ["source"]
    (dataset.folder / "labelsTr" / "P002.nii.gz").unlink()
    with pytest.raises(
        InputError, match=r"Expected P002.nii.gz in the dataset folder; found no such file"
    ):
        drain(dataset.export(tmp_path / "raw"))
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_an_export_of_nothing_or_in_another_format_is_refused(
    dataset: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="export formats nnunet, bids; found coco"):
        drain(dataset.export(tmp_path / "raw", format="coco"))
    with pytest.raises(InputError, match="not locked for testing; found none in dataset empty"):
        drain(Dataset.create(tmp_path / "empty").export(tmp_path / "raw"))


def test_a_read_only_dataset_can_be_read(dataset: Dataset, sphere_exam) -> None:
    (dataset.folder / "splits_final.json").write_text("[]")
    parts = [dataset.folder, *(path for path in dataset.folder.rglob("*") if path.is_dir())]
    for part in parts:
        part.chmod(0o555)
    try:
        if os.access(dataset.folder, os.W_OK):
            pytest.skip("needs a user whom permissions bind")
        opened = Dataset.open(dataset.folder)
        assert opened.label_map("P002").tumor.any()
        with pytest.raises(InputError, match="Permission denied"):
            opened.accept("P002", sphere_exam[1], reviewed_slices=None, annotator="a", seconds=1)
    finally:
        for part in parts:
            part.chmod(0o755)
