"""Accepted cases as BIDS derivatives."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from napari_breastseg import formats
from napari_breastseg.core.errors import InputError
from napari_breastseg.core.progress import drain
from napari_breastseg.core.volume import Exam, LabelMap
from napari_breastseg.dataset import Dataset


@pytest.fixture
def dataset(tmp_path: Path, sphere_exam: tuple[Exam, LabelMap]) -> Dataset:
    """Two cases of one visit of P-1, another visit of it, and one patient without a visit."""
    exam, truth = sphere_exam
    dataset = Dataset.create(tmp_path / "source")
    for case_id, patient, visit in (
        ("a", "P-1", "T1"),
        ("b", "P-1", "T1"),
        ("c", "P-1", "T_2"),
        ("d", "P2", None),
    ):
        dataset.add(exam, patient_id=patient, visit=visit, case_id=case_id)
        dataset.accept(case_id, truth, reviewed_slices=range(8), annotator="a", seconds=1)
    dataset.add(exam, patient_id="P3", case_id="not-accepted")
    return dataset


def test_names_follow_the_specification(dataset: Dataset, tmp_path: Path) -> None:
    made = drain(dataset.export(tmp_path / "out", "bids"))
    files = {str(path.relative_to(made)) for path in made.rglob("*") if path.is_file()}
    assert files == {
        *("dataset_description.json", "participants.tsv"),
        *("dseg.tsv", "dseg.json", "mask.json", "T1w.json"),
        *(
            f"sub-P1/ses-T1/anat/sub-P1_ses-T1_{rest}.nii.gz"
            for run in (1, 2)
            for rest in (
                f"acq-pre_run-{run}_desc-asis_T1w",
                f"acq-post1_run-{run}_desc-asis_T1w",
                f"run-{run}_space-orig_dseg",
                f"run-{run}_space-orig_label-tumor_mask",
            )
        ),
        *(
            f"{folder}/anat/{name}_{rest}.nii.gz"
            for folder, name in (("sub-P1/ses-T2", "sub-P1_ses-T2"), ("sub-P2", "sub-P2"))
            for rest in (
                "acq-pre_desc-asis_T1w",
                "acq-post1_desc-asis_T1w",
                "space-orig_dseg",
                "space-orig_label-tumor_mask",
            )
        ),
    }
    description = json.loads((made / "dataset_description.json").read_text())
    assert description["DatasetType"] == "derivative"
    assert description["GeneratedBy"][0]["Name"] == "napari-breastseg"
    assert (made / "dseg.tsv").read_text().splitlines() == [
        "index\tname\tabbreviation",
        "0\tBackground\tBG",
        "1\tTumor\ttumor",
        "2\tNot reviewed\tignore",
    ]
    people = (made / "participants.tsv").read_text().splitlines()
    assert people[0] == "participant_id\tfold\tis_test"
    assert [line.split("\t")[0] for line in people[1:]] == ["sub-P1", "sub-P2"]


def test_images_and_labels_stay_what_they_are(
    dataset: Dataset, tmp_path: Path, sphere_exam: tuple[Exam, LabelMap]
) -> None:
    exam, truth = sphere_exam
    anat = drain(dataset.export(tmp_path / "out", "bids")) / "sub-P2" / "anat"
    image = formats.open_exam(anat / "sub-P2_acq-post1_desc-asis_T1w.nii.gz")
    assert np.array_equal(image.phases["post1"].data, exam.phases["post1"].data)
    labels = formats.read_label_map(anat / "sub-P2_space-orig_dseg.nii.gz", exam=exam)
    assert np.array_equal(labels.data, dataset.label_map("d").data)
    assert (labels.data == 2).any()
    mask = formats.read_label_map(anat / "sub-P2_space-orig_label-tumor_mask.nii.gz", exam=exam)
    assert np.array_equal(mask.data, labels.tumor)
    assert set(np.unique(mask.data)) == {0, 1}
    assert truth.tumor.any()


def test_patients_that_become_one_are_refused(
    dataset: Dataset, tmp_path: Path, sphere_exam: tuple[Exam, LabelMap]
) -> None:
    exam, truth = sphere_exam
    dataset.add(exam, patient_id="P_1", case_id="e")
    dataset.accept("e", truth, reviewed_slices=None, annotator="a", seconds=1)
    with pytest.raises(InputError, match=r"patient ids that differ in their letters and digits"):
        drain(dataset.export(tmp_path / "out", "bids"))
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_gone_is_said(dataset: Dataset, tmp_path: Path) -> None:
    (dataset.folder / "imagesTr" / "d_0001.nii.gz").unlink()
    with pytest.raises(
        InputError, match=r"d_0001\.nii\.gz in the dataset folder; found no such file"
    ):
        drain(dataset.export(tmp_path / "out", "bids"))
    assert not (tmp_path / "out").exists()
