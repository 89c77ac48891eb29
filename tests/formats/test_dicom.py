"""DICOM folders become exams: phases in order of time, roles, reasons, questions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_files import (
    SPACING_MM,
    STEP_MM,
    found,
    levels,
    voxels,
    write_enhanced,
    write_exam,
    write_series,
)
from pydicom import dcmread

from napari_breastseg import formats
from napari_breastseg.core.errors import InputError
from napari_breastseg.formats import DicomExam


def why(exam: DicomExam, handle: str) -> str:
    return next(row.why for row in exam.rows if row.handle == handle)


# Order in time


def test_phases_come_in_order_of_acquisition_whatever_files_and_folders_are_called(
    tmp_path: Path,
) -> None:
    exam = formats.open_exam(write_exam(tmp_path / "ward 3"))
    assert exam.case_id == "ward_3"
    assert levels(exam) == {"pre": 1, "post1": 2, "post2": 3}
    assert exam.times_s == {"pre": -750.5, "post1": 0.0, "post2": 149.5}
    assert exam.phases["pre"].data.dtype == np.uint16
    assert np.array_equal(exam.phases["post2"].data, voxels(4, 3000))


def test_the_source_slices_of_each_phase_are_known_from_z_0(tmp_path: Path) -> None:
    exam = found(write_exam(tmp_path / "exam"))
    for role, volume in formats.open_exam(tmp_path / "exam").phases.items():
        sources = exam.phases[role].frames
        pixels = [dcmread(frame.file).pixel_array for frame in sources]
        assert np.array_equal(pixels, volume.data)
        heights = [dcmread(frame.file).ImagePositionPatient[2] for frame in sources]
        assert heights == sorted(heights)


@pytest.mark.parametrize(
    ("first", "second", "basis"),
    [
        (
            {"TemporalPositionIdentifier": 1, "AcquisitionTime": None},
            {"TemporalPositionIdentifier": 2, "AcquisitionTime": None},
            "temporal position",
        ),
        ({"TriggerTime": 0.0}, {"TriggerTime": 60_000.0}, "trigger time"),
        ({"AcquisitionTime": "235810"}, {"AcquisitionTime": "000130"}, "acquisition time"),
        ({"ContentTime": "235959.9"}, {"ContentTime": "000110"}, "content time"),
        ({}, {}, "series number, as there is no time"),
    ],
    ids=["temporal position", "trigger", "acquisition over midnight", "content", "series number"],
)
def test_each_kind_of_time_orders_series(
    tmp_path: Path, first: dict[str, Any], second: dict[str, Any], basis: str
) -> None:
    numbers = (3, 8) if basis.startswith("series number") else (8, 3)
    write_series(tmp_path / "x", numbers[0], 1000, **first)
    write_series(tmp_path / "y", numbers[1], 2000, **second)
    assert levels(formats.open_exam(tmp_path)) == {"pre": 1, "post1": 2}
    assert why(found(tmp_path), str(numbers[0])) == f"{basis}: earliest"


def test_a_visit_over_midnight_has_rising_times(tmp_path: Path) -> None:
    write_series(tmp_path, 1, 1000, AcquisitionTime="235800")
    write_series(tmp_path, 2, 2000, AcquisitionTime="000100", ContrastBolusAgent="Gd")
    write_series(tmp_path, 3, 3000, AcquisitionTime="000230", ContrastBolusAgent="Gd")
    exam = formats.open_exam(tmp_path)
    assert levels(exam) == {"pre": 1, "post1": 2, "post2": 3}
    assert exam.times_s == {"pre": -180.0, "post1": 0.0, "post2": 90.0}


def test_times_count_from_the_injection_where_it_is_known(tmp_path: Path) -> None:
    given = {"ContrastBolusAgent": "Gd", "ContrastBolusStartTime": "101000"}
    write_series(tmp_path, 1, 1000, AcquisitionTime="100500")
    write_series(tmp_path, 2, 2000, AcquisitionTime="101020", **given)
    assert formats.open_exam(tmp_path).times_s == {"pre": -300.0, "post1": 20.0}


@pytest.mark.parametrize(
    "times",
    [
        {"TemporalPositionIdentifier": (1, 2, 3)},
        {"TriggerTime": (0.0, 61_000.0, 122_000.0)},
        {"AcquisitionTime": ("235900", "000001", "000102")},
        {"ContentTime": ("100000", "100101", "100202")},
    ],
    ids=lambda times: next(iter(times)),
)
def test_one_series_of_several_times_is_split(tmp_path: Path, times: dict[str, Any]) -> None:
    (keyword, values), *_ = times.items()
    same = {} if keyword == "AcquisitionTime" else {"AcquisitionTime": "100000"}
    for place in (1, 0, 2):
        elements = same | {keyword: values[place]}
        write_series(tmp_path / str(place), 4, 1000 * (place + 1), **elements)
    exam = found(tmp_path)
    assert [row.handle for row in exam.rows] == ["4.1", "4.2", "4.3"]
    assert levels(formats.open_exam(tmp_path)) == {"pre": 1, "post1": 2, "post2": 3}
    if keyword in ("TriggerTime", "AcquisitionTime"):
        assert exam.times_s == {"pre": -61.0, "post1": 0.0, "post2": 61.0}
    else:  # the time at which a picture was made is not when it was acquired
        assert exam.times_s == {}


def test_slices_acquired_one_after_the_other_are_split_into_times(tmp_path: Path) -> None:
    for place in (1, 0):
        write_series(
            tmp_path / str(place),
            4,
            1000 * (place + 1),
            AcquisitionTime=lambda z, place=place: f"10{place:02d}{10 * z:02d}",
        )
    assert levels(formats.open_exam(tmp_path)) == {"pre": 1, "post1": 2}


def test_an_enhanced_multi_frame_file_is_split_and_ordered(tmp_path: Path) -> None:
    expected = write_enhanced(tmp_path / "scan" / "IM_1", times=3)
    exam = formats.open_exam(tmp_path / "scan")
    assert list(exam.phases) == ["pre", "post1", "post2"]
    for volume, truth in zip(exam.phases.values(), expected, strict=True):
        assert np.array_equal(volume.data, truth)
        assert volume.data.dtype == np.int16
    assert exam.grid.spacing_mm == (STEP_MM, *SPACING_MM)
    assert exam.times_s == {"pre": -3600.0, "post1": 0.0, "post2": 3600.0}
    assert formats.open_exam(tmp_path / "scan" / "IM_1").case_id == "IM_1"


# Roles, reasons, questions


def test_series_that_are_no_phase_are_left_out_with_a_reason(tmp_path: Path) -> None:
    write_exam(tmp_path)
    others: dict[int, dict[str, Any]] = {
        20: {"ScanningSequence": "SE", "EchoTime": 12},
        21: {"ScanningSequence": "SE", "EchoTime": 90},
        22: {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]},
        23: {"ImageType": ["DERIVED", "PRIMARY", "M", "SUB"]},
        24: {"SeriesDescription": "dyn_sub_1"},
        25: {"ScanningSequence": "EP"},
        26: {"FlipAngle": 30},
        27: {"PixelSpacing": [1.5, 1.5]},
        28: {"Modality": "CT"},
        29: {"ImageType": ["ORIGINAL", "PRIMARY", "M", "DIXON", "F"]},
        30: {"ImageType": ["DERIVED", "PRIMARY", "M"]},
        31: {"RepetitionTime": 5.2},
        32: {"EchoTime": 2.8},
    }
    for number, elements in others.items():
        write_series(tmp_path / "more", number, 9000, AcquisitionTime="110000", **elements)
    reasons = {
        "20": "a spin echo (T1 weighted)",
        "21": "a spin echo (T2 weighted)",
        "22": "a localizer",
        "23": "a subtraction",
        "24": "a subtraction",
        "25": "echo planar",
        "26": "another flip angle than the dynamic series: 30 degrees, not 12",
        "27": "another grid than the dynamic series: 4 x 6 x 5 voxels of 2 x 1.5 x 1.5 mm",
        "28": "CT, not MR",
        "29": "a Dixon fat image",
        "30": "derived from other images",
        "31": "another repetition time than the dynamic series: 5.2 ms, not 4.1",
        "32": "another echo time than the dynamic series: 2.8 ms, not 1.4",
    }
    exam = found(tmp_path)
    assert list(exam.phases) == ["pre", "post1", "post2"]
    assert [row.role for row in exam.rows[3:]] == [None] * len(reasons)
    for handle, reason in reasons.items():
        assert why(exam, handle).startswith(reason)


def test_times_that_differ_by_less_than_a_tenth_are_of_one_dynamic_series(tmp_path: Path) -> None:
    write_exam(tmp_path)
    write_series(
        tmp_path / "more",
        31,
        9000,
        AcquisitionTime="110000",
        ContrastBolusAgent="Gd",
        RepetitionTime=4.4,
        EchoTime=1.5,
    )
    assert found(tmp_path).phases["post3"].handle == "31"


def test_roles_can_be_chosen_by_series(tmp_path: Path) -> None:
    write_exam(tmp_path)
    write_series(tmp_path, 20, 8000, ScanningSequence="SE")
    chosen = formats.open_exam(tmp_path, phases=["pre=9", "post1=20"])
    assert levels(chosen) == {"pre": 1, "post1": 8}
    named = formats.open_exam(tmp_path, phases=["pre", "post2", "post3"])
    assert levels(named) == {"pre": 1, "post2": 2, "post3": 3}
    rows = {row.handle: row for row in found(tmp_path, phases=["pre=9", "post1=20"]).rows}
    assert (rows["20"].why, rows["7"].why) == ("chosen", "left out by choice")


@pytest.mark.parametrize(
    ("phases", "message"),
    [
        (["pre", "post1"], r"Expected 2 phases.*found 3: pre = series 9, post1 = series 7"),
        (
            ["pre=9", "post1=4"],
            r"a different role for each .* 5, 7, 9; found series 4\. .*--phases pre=2,post1=4",
        ),
        (["pre=9", "post1=9"], r"a series number for each phase.*found 2 phases and 1 series"),
        (["pre=9", "post1"], r"a series number for each phase"),
    ],
)
def test_roles_that_do_not_fit_are_refused(tmp_path: Path, phases: list[str], message: str) -> None:
    write_exam(tmp_path / "exam")
    with pytest.raises(InputError, match=message):
        formats.open_exam(tmp_path / "exam", phases=phases)


def test_series_numbers_are_refused_for_other_files(tmp_path: Path, sphere_exam: Any) -> None:
    formats.write_volume(tmp_path / "a.nii.gz", sphere_exam[0].phases["pre"])
    with pytest.raises(InputError, match=r"roles alone.*files that are not DICOM; found pre=2"):
        formats.find_cases(tmp_path / "a.nii.gz", phases=["pre=2"])


@pytest.mark.parametrize(
    ("series", "message"),
    [
        (
            [{"AcquisitionTime": "100000"}, {"AcquisitionTime": "100100"}, {"agent": "100500"}],
            r"one phase before contrast; found several before the contrast agent: series 1, "
            r"series 2.*most likely --phases pre=2,post1=3",
        ),
        (
            [{"agent": "100000"}, {"AcquisitionTime": "100100"}, {"agent": "100500"}],
            r"one phase before contrast; found contrast agents that come and go",
        ),
        (
            [{"AcquisitionTime": "100000"}, {"agent": "100500"}, {"agent": "100500"}],
            r"clear order of time; found some acquired at the same time: series 1, series 2, ser",
        ),
        (
            [{"ContentTime": "100000"}, {"ContentTime": "100000"}],
            r"clear order of time; found some made at the same time",
        ),
        (
            [{"AcquisitionTime": "100000"}, {}],
            r"clear order of time; found only some with a time",
        ),
        (
            [
                {"AcquisitionTime": "100000", "TemporalPositionIdentifier": 2},
                {"AcquisitionTime": "100500", "TemporalPositionIdentifier": 1},
            ],
            r"found temporal position and acquisition time in conflict",
        ),
        (
            [{"AcquisitionTime": "100000"}, {"AcquisitionTime": "100500", "FlipAngle": 30}],
            r"one dynamic series; found 2 that could be it: series 1, series 2",
        ),
        (
            [{"ScanningSequence": "SE"}, {"ScanningSequence": "SE", "FlipAngle": 90}],
            r"Expected a dynamic \(DCE\) series; found none that looks like one: series 1, "
            r"series 2.*most likely --phases post1=1",
        ),
    ],
)
def test_two_equal_readings_are_a_question(
    tmp_path: Path, series: list[dict[str, Any]], message: str
) -> None:
    for number, elements in enumerate(series, start=1):
        if agent := elements.pop("agent", None):
            elements |= {"AcquisitionTime": agent, "ContrastBolusAgent": "Gd"}
        write_series(tmp_path, number, 1000 * number, **elements)
    exam = found(tmp_path)
    assert not exam.phases
    with pytest.raises(InputError, match=message):
        formats.open_exam(tmp_path)
    answered = formats.open_exam(tmp_path, phases=["pre=2", "post1=1"])
    assert levels(answered) == {"pre": 2, "post1": 1}


def test_a_lone_series_is_post1(tmp_path: Path) -> None:
    write_series(tmp_path, 3, 1000)
    assert list(formats.open_exam(tmp_path).phases) == ["post1"]
