"""A study's folder holds more than MR: the rest is left out, counted, and stops nothing."""

from __future__ import annotations

from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from dicom_files import BESIDE, ROOT, STUDY, found, levels, write_beside, write_exam, write_series

from napari_breastseg import formats
from napari_breastseg.core.errors import InputError

OTHER_STUDY = ROOT + "2"


@pytest.mark.parametrize("place", [".", "US", "../P1/b/deep"], ids=["same", "subfolder", "deep"])
@pytest.mark.parametrize("study", [STUDY, OTHER_STUDY, None], ids=["same", "other", "no study"])
def test_what_is_not_mr_is_left_out_wherever_it_lies(
    tmp_path: Path, place: str, study: str | None
) -> None:
    folder = write_exam(tmp_path / "P1")
    write_beside(folder / place, "ultrasound", 12, StudyInstanceUID=study)
    write_beside(folder / place, "report", StudyInstanceUID=study)
    exam = formats.open_exam(folder)
    assert (exam.case_id, levels(exam)) == ("P1", {"pre": 1, "post1": 2, "post2": 3})
    assert found(folder).warnings == ("left out: 12 ultrasound images, 1 report",)


WORDS = {
    "ultrasound": "1 ultrasound image",
    "color ultrasound": "1 ultrasound image",
    "mammogram": "1 mammogram",
    "capture": "1 secondary capture",
    "capture of MR": "1 secondary capture",
    "report": "1 report",
    "PDF": "1 report",
    "key images": "1 list of key images",
    "display": "1 display setting",
    "raw data": "1 other file",
}


@pytest.mark.parametrize("kind", BESIDE)
def test_each_kind_is_named_beside_mr_and_refused_alone(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "P1"
    (one,) = write_beside(folder, kind)
    for path in (folder, one):
        with pytest.raises(formats.DicomError, match=r"Expected MR images.*Choose the folder"):
            formats.open_exam(path)
    write_series(folder, 1, 1000)
    assert levels(formats.open_exam(folder)) == {"post1": 1}
    assert found(folder).warnings == (f"left out: {WORDS[kind]}",)


@pytest.mark.parametrize("kind", ["ultrasound", "capture of MR", "report"])
def test_what_is_filed_under_the_series_of_the_mr_is_none_of_its_slices(
    tmp_path: Path, kind: str
) -> None:
    series = {"SeriesInstanceUID": f"{STUDY}.1", "SeriesNumber": 1}
    write_beside(tmp_path, kind, 2, **series)
    write_series(tmp_path, 1, 1000)
    assert [row.handle for row in found(tmp_path).rows] == ["1"]
    assert formats.open_exam(tmp_path).grid.shape == (4, 6, 5)


def test_each_patient_is_told_what_lies_with_them(tmp_path: Path) -> None:
    for number in (1, 2):
        folder = write_exam(tmp_path / f"P{number}" / "mr", StudyInstanceUID=f"{STUDY}.{number}")
        write_beside(
            folder.parent / "us", "ultrasound", number, StudyInstanceUID=f"{STUDY}.{number}9"
        )
    write_beside(tmp_path / "cd", "PDF", StudyInstanceUID=OTHER_STUDY)
    cases = formats.find_cases(tmp_path)
    assert [case.case_id for case in cases] == ["P1", "P2"]
    assert [case.dicom.warnings for case in cases if case.dicom] == [
        ("left out: 1 ultrasound image, 1 report",),
        ("left out: 2 ultrasound images, 1 report",),
    ]


def test_ct_opens_where_there_is_no_mr(tmp_path: Path) -> None:
    write_series(tmp_path, 3, 2000, Modality="CT", StudyInstanceUID=OTHER_STUDY)
    assert levels(formats.open_exam(tmp_path)) == {"post1": 2}
    assert found(tmp_path).warnings == ()
    write_series(tmp_path, 1, 1000)
    assert levels(formats.open_exam(tmp_path)) == {"post1": 1}
    assert found(tmp_path).warnings == ("left out: 4 CT images",)


def test_slices_with_a_place_are_no_screenshots_whatever_their_class(tmp_path: Path) -> None:
    write_series(tmp_path, 1, 1000, SOPClassUID=BESIDE["capture"]["SOPClassUID"])
    assert formats.open_exam(tmp_path).grid.shape == (4, 6, 5)


def test_an_unreadable_mr_series_is_the_reason_not_the_screenshot_beside_it(tmp_path: Path) -> None:
    write_beside(tmp_path, "color ultrasound")
    write_series(tmp_path, 60, 1000, position=lambda z: (0.0, 0.0, (0.0, 2.0, 6.0, 8.0)[z]))
    with pytest.raises(InputError, match="evenly spaced slices in series 60"):
        formats.open_exam(tmp_path)


@pytest.mark.parametrize(
    ("modality", "words"),
    [
        ("RTSTRUCT", "4 sets of radiotherapy outlines"),
        ("RTPLAN", "4 radiotherapy plans"),
        ("REG", "4 registrations"),
        ("RWV", "4 lists of units of values"),
    ],
)
def test_what_has_no_pixels_is_named(tmp_path: Path, modality: str, words: str) -> None:
    write_series(tmp_path, 9, 500, **(BESIDE["raw data"] | {"Modality": modality}))
    with pytest.raises(InputError, match=f"found {words}, and no MR image"):
        formats.open_exam(tmp_path)


def test_reports_beside_nifti_stop_nothing(tmp_path: Path) -> None:
    volume = formats.open_exam(write_exam(tmp_path / "dicom")).phases["pre"]
    formats.write_volume(tmp_path / "mixed" / "a.nii.gz", volume)
    write_beside(tmp_path / "mixed", "report")
    assert np.array_equal(formats.open_exam(tmp_path / "mixed").phases["post1"].data, volume.data)


def test_no_value_of_a_header_but_a_known_modality_is_said(tmp_path: Path) -> None:
    write_series(tmp_path, 1, 1000)
    write_series(tmp_path, 2, 1000, count=2, Modality="ZEBROWSKA")
    write_beside(tmp_path, "report", Modality="ZEBROWSKA", SOPClassUID="1.2.3")
    assert found(tmp_path).warnings == ("left out: 2 other images, 1 other file",)
    assert all("zebrowska" not in row.why.lower() for row in found(tmp_path).rows)


@pytest.mark.parametrize("is_disk", [False, True], ids=["beside slices", "on a disk"])
def test_pictures_and_papers_that_came_with_dicom_are_no_exams(
    tmp_path: Path, is_disk: bool
) -> None:
    folder = tmp_path / "P1"
    write_series(folder / "MR" if is_disk else folder, 1, 1000)
    if is_disk:
        (folder / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    (folder / "viewer").mkdir()
    iio.imwrite(folder / "viewer" / "logo.png", np.zeros((4, 4, 3), np.uint8))
    (folder / "key.JPG").write_bytes(b"whatever")
    (folder / "letter.pdf").write_bytes(b"%PDF")
    assert levels(formats.open_exam(folder, phases=["post1=1"])) == {"post1": 1}
    assert found(folder).warnings == ("left out: 2 pictures, 1 report",)


def test_pictures_elsewhere_are_exams_as_before(tmp_path: Path) -> None:
    write_series(tmp_path / "dicom", 1, 1000)
    (tmp_path / "slices").mkdir()
    iio.imwrite(tmp_path / "slices" / "a.png", np.eye(4, dtype=np.uint8))
    write_series(tmp_path / "mixed", 1, 1000, count=1)
    iio.imwrite(tmp_path / "mixed" / "b.png", np.eye(4, dtype=np.uint8))
    names = [case.case_id for case in formats.find_cases(tmp_path)]
    assert names[:2] == ["a", "b"]
    write_beside(tmp_path / "reports", "report", 3)
    iio.imwrite(tmp_path / "reports" / "c.png", np.eye(4, dtype=np.uint8))
    assert [case.case_id for case in formats.find_cases(tmp_path / "reports")] == ["c"]
