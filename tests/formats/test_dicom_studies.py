"""Which files are one exam, and which one series, where anonymizers mixed up their UIDs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_files import STUDY, found, levels, voxels, write_series
from pydicom import dcmread

from napari_breastseg import formats
from napari_breastseg.core.errors import InputError


def write_two(folder: Path, *, own: Any) -> Path:
    for n in range(2):
        for t in range(2):
            elements = {
                "AcquisitionTime": f"1{5 * n}{2 * t:02d}00",
                "SeriesInstanceUID": f"{STUDY}.{n}.{t}",
            }
            level = 1000 * (t + 1) + 4000 * n
            write_series(folder / f"v{n}" / str(t), 4 + t, level, **(elements | own(n, t)))
    return folder


@pytest.mark.parametrize(
    "own",
    [
        lambda n, t: {"PatientID": f"P{n}"},
        lambda n, t: {"PatientID": f"P{n}", "StudyInstanceUID": None},
        lambda n, t: {"PatientID": f"P{n}", "SeriesInstanceUID": f"{STUDY}.{t}"},
        lambda n, t: {"PatientID": "P1", "StudyDate": f"2024010{n + 1}"},
        lambda n, t: {"PatientName": f"Doe^{n}"},
        lambda n, t: {"StudyDate": "20240101", "AcquisitionDate": f"20240{n + 1}01"},
        lambda n, t: {"AcquisitionDateTime": f"2024010{n + 1}1{5 * n}{2 * t:02d}00"},
        lambda n, t: {"SeriesDate": f"20240{n + 1}01"},
        lambda n, t: {"ContentDate": f"2024010{n + 1}", "AcquisitionTime": None},
    ],
    ids=[
        *("patients", "no study UID", "series UIDs of a template", "visits", "names"),
        *("days of acquisition", "days and times", "days of the series", "days of content"),
    ],
)
def test_two_patients_or_visits_under_one_study_uid_are_two_exams(tmp_path: Path, own: Any) -> None:
    write_two(tmp_path, own=own)
    cases = formats.find_cases(tmp_path)
    read = sorted(tuple(levels(formats.read_exam(case)).items()) for case in cases)
    assert read == [(("pre", 1), ("post1", 2)), (("pre", 5), ("post1", 6))]
    assert all("name different patients or dates" in case.dicom.warnings[0] for case in cases)


def test_an_image_without_a_day_does_not_join_two_visits(tmp_path: Path) -> None:
    write_two(tmp_path, own=lambda n, t: {"AcquisitionDate": f"20240{n + 1}01"})
    write_series(tmp_path / "v1", 1, 9000, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    cases = formats.find_cases(tmp_path)
    read = sorted(tuple(levels(formats.read_exam(case)).items()) for case in cases)
    assert read == [(("pre", 1), ("post1", 2)), (("pre", 5), ("post1", 6))]


def test_an_exam_that_passes_midnight_is_one(tmp_path: Path) -> None:
    for t, (day, time) in enumerate((("01", "235000"), ("01", "235500"), ("02", "000100"))):
        own = {"AcquisitionDate": f"202401{day}", "AcquisitionTime": time}
        write_series(tmp_path, 4 + t, 1000 * (t + 1), **own)
    assert levels(formats.open_exam(tmp_path)) == {"pre": 1, "post1": 2, "post2": 3}


def test_what_was_computed_on_a_later_day_is_of_the_same_exam(tmp_path: Path) -> None:
    for t in range(2):
        own = {"AcquisitionTime": f"10{t:02d}00", "SeriesDate": "20240101"}
        write_series(tmp_path, 4 + t, 1000 * (t + 1), **own)
    own = {"ImageType": ["DERIVED", "PRIMARY", "M", "SUB"], "SeriesDate": "20240105"}
    write_series(tmp_path, 20, 5000, **own)
    # Contents may be made anew on any day where the day of the series is known.
    write_series(tmp_path, 21, 6000, SeriesDate="20240101", ContentDate="20240301", EchoTime=90)
    (case,) = formats.find_cases(tmp_path)
    assert levels(formats.read_exam(case)) == {"pre": 1, "post1": 2}


def test_files_that_name_nobody_go_with_the_exam_they_lie_beside(tmp_path: Path) -> None:
    write_two(tmp_path, own=lambda n, t: {"PatientID": f"P{n}"})
    write_series(tmp_path / "v1", 9, 7000, AcquisitionTime="150600", PatientID=None)
    cases = formats.find_cases(tmp_path)
    read = sorted(len(formats.read_exam(case).phases) for case in cases)
    assert read == [2, 3]


def test_a_series_uid_per_slice_is_one_series(tmp_path: Path) -> None:
    for t in range(2):
        time = f"10{2 * t:02d}00"
        uid = lambda z, t=t: f"{STUDY}.{t}.{z}"  # noqa: E731
        write_series(tmp_path, 4 + t, 1000 * (t + 1), AcquisitionTime=time, SeriesInstanceUID=uid)
    exam = formats.open_exam(tmp_path)
    assert levels(exam) == {"pre": 1, "post1": 2}
    assert np.array_equal(exam.phases["pre"].data, voxels(4, 1000))
    assert "a series UID of its own; read as one series" in found(tmp_path).warnings[0]


def test_one_uid_for_all_slices_loses_none(tmp_path: Path) -> None:
    write_series(tmp_path, 4, 1000, SOPInstanceUID=f"{STUDY}.8")
    assert formats.open_exam(tmp_path).grid.shape == (4, 6, 5)


def test_one_series_uid_for_all_series_keeps_them_apart(tmp_path: Path) -> None:
    for t in range(3):
        own = {"AcquisitionTime": f"10{2 * t:02d}00", "SeriesInstanceUID": f"{STUDY}.8"}
        write_series(tmp_path, 4 + t, 1000 * (t + 1), **own)
    assert levels(formats.open_exam(tmp_path)) == {"pre": 1, "post1": 2, "post2": 3}


def test_slices_there_twice_under_other_names_count_once(tmp_path: Path) -> None:
    for number, path in enumerate(write_series(tmp_path, 2, 1000)[:3]):
        data = dcmread(path)
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = f"{STUDY}.8.{number}"
        data.save_as(path.with_name(path.name + "_again"))
    assert formats.open_exam(tmp_path).grid.shape == (4, 6, 5)
    assert "3 slices were there twice, with the same pixels" in found(tmp_path).warnings[0]


def test_slices_doubled_with_other_pixels_can_be_chosen(tmp_path: Path) -> None:
    write_series(tmp_path, 2, 1000)
    write_series(tmp_path / "b", 2, 2000, count=1, InstanceNumber=9)
    message = r"found 1 of 5 slices at the position of another one.*--phases post1=2.1"
    with pytest.raises(InputError, match=message):
        formats.open_exam(tmp_path)
    assert np.array_equal(
        formats.open_exam(tmp_path, phases=["post1=2.1"]).phases["post1"].data, voxels(4, 1000)
    )
