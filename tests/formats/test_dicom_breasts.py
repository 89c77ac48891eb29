"""A sagittal series of two stacks, one of each breast, is two exams."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_files import (
    AXIAL,
    SPACING_MM,
    STEP_MM,
    found,
    levels,
    voxels,
    write_exam,
    write_series,
    write_two_breasts,
)

from napari_breastseg import formats
from napari_breastseg.core.errors import InputError


def write_dynamic(folder: Path, **elements: Any) -> Path:
    """Pre and two posts of two breasts, a series each."""
    for number, time, more in (
        (2, "100000", {}),
        (3, "101200", {"ContrastBolusAgent": "Gd"}),
        (4, "101330", {"ContrastBolusAgent": "Gd"}),
    ):
        write_two_breasts(folder, number, 1000 * number, AcquisitionTime=time, **(more | elements))
    return folder


def test_each_breast_is_an_exam_with_all_phases_on_its_own_grid(tmp_path: Path) -> None:
    left, right = formats.find_cases(write_dynamic(tmp_path / "P1"))
    assert (left.case_id, right.case_id) == ("P1_left", "P1_right")
    exams = formats.read_exam(right), formats.read_exam(left)
    for exam, count, x_mm in zip(exams, (5, 4), (60.0, -58.0), strict=True):
        assert levels(exam) == {"pre": 2, "post1": 3, "post2": 4}
        assert exam.times_s == {"pre": -720.0, "post1": 0.0, "post2": 90.0}
        assert exam.grid.shape == (count, 6, 5)
        assert exam.grid.spacing_mm == (STEP_MM, *SPACING_MM)
        # The patient's right is x > 0 of RAS; the last slice is the one farthest to the right.
        xs = [float((exam.grid.affine @ (z, 2, 2, 1))[0]) for z in reversed(range(count))]
        assert xs == pytest.approx([x_mm - STEP_MM * z for z in range(count)])
    written = voxels(9, 3000)
    assert np.array_equal(exams[0].phases["post1"].data[::-1], written[:5])
    assert np.array_equal(exams[1].phases["post1"].data[::-1], written[5:])


def test_it_is_told_and_one_can_be_named(tmp_path: Path) -> None:
    folder = write_dynamic(tmp_path / "P1")
    for case in formats.find_cases(folder):
        told = [p.message for p in formats.reading_exam(case) if p.message]
        assert told == [
            f"{case.case_id}: opened as two exams, P1_right and P1_left: series 2, 3, 4 hold a "
            "stack of slices of each breast"
        ]
    message = r"one exam in the folder; found 2 cases: P1_left, P1_right. Choose.*--case P1_left"
    with pytest.raises(InputError, match=message):
        formats.open_exam(folder)
    assert formats.open_exam(folder, case_id="P1_right").grid.shape == (5, 6, 5)
    with pytest.raises(InputError, match=r"one exam called P2 in the folder; found 2 cases"):
        formats.open_exam(folder, case_id="P2")
    write_series(tmp_path / "P3", 2, 1000)
    with pytest.raises(InputError, match=r"exam called P2 in the folder; found 1 case: P3. Choose"):
        formats.open_exam(tmp_path / "P3", case_id="P2")


def test_slices_that_run_from_left_to_right_keep_their_sides(tmp_path: Path) -> None:
    mirrored = [0.0, -1.0, 0.0, 0.0, 0.0, -1.0]
    write_two_breasts(tmp_path / "P1", 2, 1000, ImageOrientationPatient=mirrored)
    assert formats.open_exam(tmp_path / "P1", case_id="P1_right").grid.shape == (5, 6, 5)


def test_time_points_of_one_series_are_split_too(tmp_path: Path) -> None:
    for time in (1, 0):
        write_two_breasts(
            tmp_path / "P1" / str(time), 4, 1000 * (time + 1), TemporalPositionIdentifier=time + 1
        )
    for case in formats.find_cases(tmp_path / "P1"):
        assert levels(formats.read_exam(case)) == {"pre": 1, "post1": 2}
        assert case.dicom is not None
        assert [row.handle for row in case.dicom.rows] == ["4.1", "4.2"]


def test_roles_can_be_named_for_both(tmp_path: Path) -> None:
    for number in (2, 3):
        write_two_breasts(tmp_path / "P1", number, 1000 * number, AcquisitionTime="100000")
    cases = formats.find_cases(tmp_path / "P1")
    assert len(cases) == 2
    for case in cases:
        with pytest.raises(InputError, match="some acquired at the same time"):
            formats.read_exam(case)
    cases = formats.find_cases(tmp_path / "P1", phases=["pre=3", "post1=2"])
    assert [levels(formats.read_exam(case)) for case in cases] == [{"pre": 3, "post1": 2}] * 2


@pytest.mark.parametrize(
    "elements",
    [
        {"gap_mm": 2 * STEP_MM},
        {"gap_mm": 3 * STEP_MM},
        {"first_mm": 20.0, "gap_mm": 30.0},
        {"first_mm": -40.0, "gap_mm": 1.5 * STEP_MM},
        {"ImageOrientationPatient": list(AXIAL), "first_mm": 0.0, "axial": True},
        {"counts": (7, 2)},
    ],
    ids=["one missing", "two missing", "one breast", "uneven", "axial", "two slices"],
)
def test_what_is_rather_a_gap_stays_refused(tmp_path: Path, elements: dict[str, Any]) -> None:
    if elements.pop("axial", False):
        elements["position"] = lambda z: (0.0, 0.0, 2.0 * z + 100.0 * (z > 4))
    write_two_breasts(tmp_path, 2, 1000, **elements)
    with pytest.raises(InputError, match="evenly spaced slices in series 2"):
        formats.open_exam(tmp_path)


def test_a_second_gap_stays_refused(tmp_path: Path) -> None:
    place = lambda z: (-60.0 + 2 * z + 4 * (z > 2) + 110 * (z > 5), 0.0, 0.0)  # noqa: E731
    write_two_breasts(tmp_path, 2, 1000, position=place, counts=(6, 6))
    with pytest.raises(InputError, match="evenly spaced slices in series 2"):
        formats.open_exam(tmp_path)


@pytest.mark.parametrize("steps", [0.3, 1.5, 2.5])
def test_two_stacks_that_meet_at_the_midline_are_two_breasts(tmp_path: Path, steps: float) -> None:
    write_two_breasts(tmp_path / "P1", 2, 1000, first_mm=-9.0, gap_mm=steps * STEP_MM)
    assert formats.open_exam(tmp_path / "P1", case_id="P1_right").grid.shape == (5, 6, 5)
    assert formats.open_exam(tmp_path / "P1", case_id="P1_left").grid.shape == (4, 6, 5)


def test_two_stacks_on_one_side_of_the_scanner_far_apart_are_two_breasts(tmp_path: Path) -> None:
    write_two_breasts(tmp_path / "P1", 2, 1000, first_mm=5.0)
    assert formats.open_exam(tmp_path / "P1", case_id="P1_left").grid.shape == (4, 6, 5)


def test_a_series_of_two_stacks_beside_an_axial_dynamic_makes_no_second_exam(
    tmp_path: Path,
) -> None:
    write_exam(tmp_path / "P1")
    write_two_breasts(tmp_path / "P1", 30, 8000, AcquisitionTime="103000")
    assert levels(formats.open_exam(tmp_path / "P1")) == {"pre": 1, "post1": 2, "post2": 3}
    assert "Series 30 is left out" in found(tmp_path / "P1").left_out[0]


def test_other_series_are_listed_with_both(tmp_path: Path) -> None:
    write_dynamic(tmp_path / "P1")
    write_series(tmp_path / "P1", 20, 8000, ScanningSequence="SE", EchoTime=90)
    for case in formats.find_cases(tmp_path / "P1"):
        assert case.dicom is not None
        assert [row.handle for row in case.dicom.rows] == ["2", "3", "4", "20"]
