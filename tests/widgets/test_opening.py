"""What the Open step decides, without a window and without files."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from napari_breastseg.core.errors import InputError
from napari_breastseg.core.volume import Exam, Grid, Volume
from napari_breastseg.widgets.state.opening import (
    aligned_words,
    case_titles,
    grid_words,
    keep_recent_exam,
    recent_exams,
    spacing_of,
    why_not_align,
    why_not_map,
    why_not_read_as,
)
from napari_breastseg.widgets.state.settings import remember
from napari_breastseg.widgets.state.sources import Source

SOURCE = Source("P001", "P001", {"pre": "P001 pre", "post1": "P001 post1"})


def case(case_id: str, path: str, dicom: Any = None) -> Any:
    return SimpleNamespace(case_id=case_id, path=Path(path), dicom=dicom)


def test_two_cases_of_one_name_say_their_folders() -> None:
    cases = [case("scan", "one/scan.nii"), case("scan", "two/scan.nii"), case("other", "two/o.nii")]
    assert case_titles(cases) == ["scan (one)", "scan (two)", "other"]


def test_a_dicom_folder_s_name_is_never_said() -> None:
    cases = [case("exam-1", "Smith Jane/a", dicom=object())] * 2
    assert case_titles(cases) == ["exam-1", "exam-1"]


def test_a_pixel_size_is_one_number_in_mm() -> None:
    assert spacing_of("") is None
    assert spacing_of(" 0.35 ") == spacing_of("0.35mm") == 0.35
    with pytest.raises(InputError, match="in mm as one number; found '0"):
        spacing_of("0.7 x 0.7")


def test_voxels_and_spacing_are_one_line_and_unknown_spacing_is_said() -> None:
    known = Grid((4, 20, 24), np.diag([3.0, 0.75, 0.75, 1.0]))
    data = np.zeros((4, 20, 24), np.float32)
    exam = Exam("P001", {"pre": Volume(data, known), "post1": Volume(data, known)})
    assert grid_words(exam) == "4 x 20 x 24 voxels of 3 x 0.75 x 0.75 mm"
    bare = Exam("PNG", {"post1": Volume(data, Grid((4, 20, 24)))})
    assert grid_words(bare) == "4 x 20 x 24 voxels of unknown size"
    assert grid_words(None) == ""


def test_the_exams_opened_last_are_offered_once_each_and_gone_ones_are_not(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.nii.gz" for number in range(6)]
    for path in paths:
        path.touch()
        keep_recent_exam(path.name[0], path)
    keep_recent_exam("3", paths[3])
    assert [case_id for case_id, _ in recent_exams()] == ["3", "5", "4", "2"]
    paths[5].unlink()
    assert [path for _, path in recent_exams()] == [paths[3], paths[4], paths[2]]
    remember("recent_exams", "not a list")
    assert recent_exams() == []


def test_series_are_read_with_roles_that_are_new_and_given_once() -> None:
    known = {"9": "pre", "7": "post1"}
    assert why_not_read_as({"9": "pre"}, known) == ""
    assert why_not_read_as({"7": "pre", "9": "post1"}, known) == ""
    assert why_not_read_as({}, known) == "Choose a role for at least one series"
    assert why_not_read_as(dict(known), known) == "The exam was read with these roles"
    twice = {"9": "pre", "7": "post1", "5": "post1"}
    assert why_not_read_as(twice, known).startswith("Two series are post1")


def test_maps_need_phases_before_and_after_contrast() -> None:
    assert why_not_map(["pre", "post2"], is_running=False) == ""
    assert why_not_map(["pre", "post1"], is_running=True) == "Busy; wait or cancel"
    assert why_not_map(None, is_running=False) == "Open an exam first"
    for roles in (["pre"], ["post1", "post2"], []):
        assert "pre-contrast and a post-contrast" in why_not_map(roles, is_running=False)


def test_phases_move_only_in_an_exam_opened_here_that_nobody_corrects() -> None:
    assert why_not_align(SOURCE, is_corrected=False) == ""
    assert "is being corrected" in why_not_align(SOURCE, is_corrected=True)
    foreign = Source("scan", "scan", {"pre": "a", "post1": "b"}, is_foreign=True)
    assert why_not_align(foreign, is_corrected=False).startswith("Open the exam in the Open step")


def test_what_was_aligned_and_what_was_left_is_said() -> None:
    one, other = (Volume(np.zeros((1, 2, 2)), Grid((1, 2, 2))) for _ in range(2))
    before = Exam("P1", dict.fromkeys(("pre", "post1", "post2"), one))
    assert aligned_words(before, before) == (
        "No phase is a quarter voxel off: all stay as they were."
    )
    some = Exam("P1", {**before.phases, "pre": other})
    assert aligned_words(before, some) == (
        "Aligned: pre. Less than a quarter voxel off, left as is: post2."
    )
    every = Exam("P1", {**some.phases, "post2": other})
    assert aligned_words(before, every) == "Aligned: pre, post2."
