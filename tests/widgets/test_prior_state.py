"""A prior exam: which may be shown, what is said of it, and where it lies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_breastseg import formats
from napari_breastseg.core.progress import drain
from napari_breastseg.core.volume import Exam, Grid, LabelMap, Volume
from napari_breastseg.dataset import Dataset
from napari_breastseg.widgets.state.prior import (
    Link,
    reading_case,
    reading_visit,
    tumor_ml,
    visits_beside,
)

AXIAL = np.array([[0, 0, -1.0, 40], [0, -1, 0, 30], [3, 0, 0, -12], [0, 0, 0, 1]])
"""Slices towards the head; rows to the back, columns to the left."""
SAGITTAL = np.array([[2.0, 0, 0, -40], [0, 0, 1, -14], [0, 0.5, 0, -12], [0, 0, 0, 1]])
"""Slices from left to right; rows to the head, columns to the front."""


def exam_on(case_id: str, grid: Grid) -> Exam:
    data = np.random.default_rng(0).normal(100, 9, grid.shape).astype(np.float32)
    return Exam(case_id, {"post1": Volume(data, grid)})


@pytest.fixture
def folder(tmp_path: Path) -> Dataset:
    """Three visits of one patient, two of them accepted, and another patient."""
    dataset = Dataset.create(tmp_path / "set", ["post1"])
    grid = Grid((9, 40, 50), AXIAL)
    for case_id, patient, visit in (
        ("C", "P1", "T2"),
        ("A", "P1", "T10"),
        ("B", "P1", "T1"),
        ("D", "P2", "T1"),
    ):
        dataset.add(exam_on(case_id, grid), patient_id=patient, visit=visit)
    tumor = np.zeros(grid.shape, np.uint8)
    tumor[3:5, 10:20, 10:20] = 1
    for case_id in "AB":
        with dataset.lock(case_id, "AB"):
            dataset.accept(
                case_id, LabelMap(tumor, grid), reviewed_slices=None, annotator="AB", seconds=1
            )
    return dataset


def test_other_visits_of_the_patient_are_offered_in_their_order(folder: Dataset) -> None:
    visits = visits_beside(folder, "C", "P1")
    assert [one.words for one in visits] == ["T1: B, accepted", "T10: A, accepted"]
    assert [one.title for one in visits] == ["PRIOR  T1", "LATER  T10"]
    assert visits_beside(folder, "D", "P2") == []


def test_a_visit_comes_with_its_accepted_mask_unless_it_is_read_blind(folder: Dataset) -> None:
    first, last = visits_beside(folder, "C", "P1")
    prior = drain(reading_visit(folder, first, "XY"))
    assert prior.mask is not None
    assert tumor_ml(prior.mask.data, prior.mask.grid) == pytest.approx(200 * 3 / 1000)
    assert prior.picture("post2")[0] == "post1"
    folder.reads.ask("A")
    assert drain(reading_visit(folder, last, "XY")).mask is None
    assert drain(reading_visit(folder, last, "AB")).mask is not None
    unread = next(one for one in visits_beside(folder, "B", "P1") if one.case_id == "C")
    assert drain(reading_visit(folder, unread, "AB")).mask is None


def test_a_file_says_nothing_of_its_patient(tmp_path: Path) -> None:
    volume = exam_on("X", Grid((9, 40, 50), AXIAL)).phases["post1"]
    formats.write_volume(tmp_path / "X_0000.nii.gz", volume)
    (case,) = formats.find_cases(tmp_path / "X_0000.nii.gz")
    prior = drain(reading_case(case))
    assert prior.title == "PRIOR  from a file"
    assert prior.patient == ""


def test_places_are_linked_by_position_whatever_the_acquisition() -> None:
    now, prior = Grid((9, 40, 50), AXIAL), Grid((40, 60, 50), SAGITTAL)
    link = Link(now, prior)
    voxel = np.array([4.0, 22.0, 31.0])
    there = link.voxel(voxel)
    assert np.allclose(prior.affine @ [*there, 1], now.affine @ [*voxel, 1])
    # Along the canvas's slices the prior's rows run: feet to head in both
    assert link.order((0, 1, 2)) == (1, 2, 0)
    assert link.words(1) == "linked by position"
    link.shift[1] += 4
    assert np.allclose(link.voxel(voxel) - there, (0, 4, 0))
    assert link.words(1) == "linked by position, +2 mm"


def test_an_exam_taken_elsewhere_on_the_table_is_linked_by_its_middle() -> None:
    now = Grid((9, 40, 50), AXIAL)
    moved = AXIAL.copy()
    moved[:3, 3] += (3, 2, 200)  # 200 mm towards the head
    link = Link(now, Grid((9, 40, 50), moved))
    middle = link.voxel(np.array([4.0, 19.5, 24.5]))
    assert middle[0] == pytest.approx(4)
    assert middle[1] == pytest.approx(19.5 + 2)  # in plane by position still
    assert link.words(0) == "linked by the middle"
    assert link.words(1) == "linked by position"


def test_slices_without_spacing_are_linked_by_their_share() -> None:
    link = Link(Grid((1, 100, 200)), Grid((1, 50, 100)))
    assert np.allclose(link.voxel(np.array([0.0, 49.5, 99.5])), (0, 24.5, 49.5))
    assert np.allclose(link.voxel(np.array([0.0, 59.5, 99.5])), (0, 29.5, 49.5))
