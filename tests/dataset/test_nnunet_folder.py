"""nnU-Net raw folders, ours and those of others, imported with what their dataset.json says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_breastseg import formats
from napari_breastseg.core.errors import InputError
from napari_breastseg.core.progress import drain
from napari_breastseg.core.volume import IGNORE, TUMOR, Exam, LabelMap, Volume
from napari_breastseg.dataset import Dataset, import_csv

CHANNELS = {"0": "DCE_post", "1": "DCE_pre"}
LABELS = {"background": 0, "tumor": 1}


def raw_folder(
    folder: Path,
    sphere_exam: tuple[Exam, LabelMap],
    channels: dict[str, str] = CHANNELS,
    labels: dict[str, int] = LABELS,
) -> Path:
    """Two cases of another program, post-contrast images first."""
    exam, truth = sphere_exam
    for n in range(2):
        for number, role in enumerate(("post1", "pre")):
            path = folder / "imagesTr" / f"BR_{n}_{number:04d}.nii.gz"
            formats.write_volume(path, exam.phases[role])
        mask = Volume(truth.data * np.uint8(labels.get("tumor", 1)), truth.grid)
        formats.write_volume(folder / "labelsTr" / f"BR_{n}.nii.gz", mask)
    head = {"channel_names": channels, "labels": labels, "numTraining": 2, "file_ending": ".nii.gz"}
    (folder / "dataset.json").write_text(json.dumps(head))
    return folder


def test_channels_and_labels_are_those_their_names_say(tmp_path: Path, sphere_exam) -> None:
    labels = {"background": 0, "breast": 1, "tumor": 2}
    folder = raw_folder(tmp_path / "Dataset007_B", sphere_exam, labels=labels)
    result = drain(import_csv(folder, tmp_path / "data"))
    assert result.imported == ("BR_0", "BR_1")
    assert not result.failures
    dataset = Dataset.open(tmp_path / "data")
    exam, truth = sphere_exam
    for role in ("pre", "post1"):
        np.testing.assert_array_equal(
            dataset.exam("BR_0").phases[role].data, exam.phases[role].data
        )
    np.testing.assert_array_equal(dataset.label_map("BR_1").tumor, truth.tumor)
    assert [record.patient_id for record in dataset.cases()] == ["BR_0", "BR_1"]


def test_channel_names_that_leave_it_open_are_asked_about(tmp_path: Path, sphere_exam) -> None:
    names = {"0": "MRI_A", "1": "MRI_B"}
    folder = raw_folder(tmp_path / "raw", sphere_exam, channels=names)
    with pytest.raises(InputError, match=r"found 0 = MRI_A, 1 = MRI_B.*--phases"):
        drain(import_csv(folder, tmp_path / "data"))
    assert not (tmp_path / "data").exists()
    result = drain(import_csv(folder, tmp_path / "data", phases=["post1", "pre"]))
    assert result.imported == ("BR_0", "BR_1")
    phases = Dataset.open(tmp_path / "data").exam("BR_0").phases
    np.testing.assert_array_equal(phases["pre"].data, sphere_exam[0].phases["pre"].data)


def test_labels_that_leave_it_open_are_asked_about(tmp_path: Path, sphere_exam) -> None:
    labels = {"background": 0, "index": 1, "satellite": 2}
    folder = raw_folder(tmp_path / "raw", sphere_exam, labels=labels)
    data = sphere_exam[1].data.copy()
    data[0, 0, 0] = 2
    for n in range(2):
        mask = Volume(data, sphere_exam[1].grid)
        formats.write_volume(folder / "labelsTr" / f"BR_{n}.nii.gz", mask)
    result = drain(import_csv(folder, tmp_path / "data"))
    assert ["--tumor-label 1,2" in failure.message for failure in result.failures] == [True, True]
    result = drain(import_csv(folder, tmp_path / "data", tumor={1, 2}))
    assert result.imported == ("BR_0", "BR_1")


def test_an_export_comes_back_with_its_patients_and_what_was_not_reviewed(
    tmp_path: Path, sphere_exam
) -> None:
    exam, truth = sphere_exam
    dataset = Dataset.create(tmp_path / "ours", ["pre", "post1"])
    depth = exam.grid.shape[0]
    for case_id, patient in (("A", "P1"), ("B", "P1"), ("C", "P, 2")):
        dataset.add(exam, patient_id=patient, case_id=case_id)
        dataset.accept(case_id, truth, reviewed_slices=range(2, depth), annotator="x", seconds=1)
    raw = drain(dataset.export(tmp_path / "raw"))
    result = drain(import_csv(raw, tmp_path / "back"))
    assert not result.failures
    back = Dataset.open(tmp_path / "back")
    assert [(r.case_id, r.patient_id) for r in back.cases()] == [
        ("A", "P1"),
        ("B", "P1"),
        ("C", "P, 2"),
    ]
    assert back.case("A").accepted.reviewed_slices == tuple(range(2, depth))
    np.testing.assert_array_equal(back.label_map("C").data, dataset.label_map("C").data)
    assert (back.label_map("C").data == IGNORE).any()
    assert (back.label_map("C").data == TUMOR).any()
    assert back.channels == ("pre", "post1")
    assert drain(back.import_csv(raw)).skipped == ("A", "B", "C")
    (raw / "patients.csv").write_text("case_id,patient_id\nA,P1\n")
    with pytest.raises(InputError, match=r"patients\.csv.*; found none for 2 of 3 cases"):
        drain(import_csv(raw, tmp_path / "again"))


def test_test_cases_come_along_where_they_have_a_mask(tmp_path: Path, sphere_exam) -> None:
    folder = raw_folder(tmp_path / "raw", sphere_exam)
    exam, truth = sphere_exam
    for name in ("T1", "T2"):
        for number, role in enumerate(("post1", "pre")):
            path = folder / "imagesTs" / f"{name}_{number:04d}.nii.gz"
            formats.write_volume(path, exam.phases[role])
    formats.write_label_map(folder / "labelsTs" / "T1.nii.gz", replace(truth))
    result = drain(import_csv(folder, tmp_path / "data"))
    assert result.imported == ("BR_0", "BR_1", "T1")


def test_phases_go_with_an_nnunet_folder_only(tmp_path: Path) -> None:
    (tmp_path / "cases.csv").write_text("case_id,patient_id,image,mask\n")
    with pytest.raises(InputError, match=r"nnU-Net folder to go with --phases; found cases\.csv"):
        drain(import_csv(tmp_path / "cases.csv", tmp_path / "data", phases=["pre"]))
