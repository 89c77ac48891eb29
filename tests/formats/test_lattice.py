"""Masks that lie on an exam's voxels, however they are stored, are placed; others are refused."""

from __future__ import annotations

import itertools
from pathlib import Path

import nrrd
import numpy as np
import pytest
import SimpleITK as sitk

from napari_breastseg import formats
from napari_breastseg.core.errors import InputError
from napari_breastseg.core.volume import Exam, Grid, LabelMap, Volume
from napari_breastseg.formats.lattice import placed

TURNS = [
    (order, signs)
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]


@pytest.fixture
def exam(oblique_grid: Grid) -> Exam:
    ramp = np.indices(oblique_grid.shape).sum(axis=0).astype(np.int16)
    return Exam("P001", {"post1": Volume(ramp, oblique_grid)})


@pytest.fixture
def mask(exam: Exam) -> LabelMap:
    """Different along every axis and direction."""
    data = np.zeros(exam.grid.shape, np.uint8)
    data[2:5, 10:20, 5:9] = 1
    data[6, 30:34, 20:36] = 1
    return LabelMap(data, exam.grid)


def turned(mask: LabelMap, order: tuple[int, ...], signs: tuple[int, ...]) -> LabelMap:
    """The same voxels in the same places, axes in another order and direction."""
    affine = np.array(mask.grid.affine)
    for axis, sign in enumerate(signs):
        if sign < 0:
            affine[:, 3] += affine[:, axis] * (mask.grid.shape[axis] - 1)
            affine[:, axis] *= -1
    data = np.flip(mask.data, [axis for axis, sign in enumerate(signs) if sign < 0])
    data = data.transpose(order)
    return LabelMap(data, Grid(data.shape, affine[:, [*order, 3]]))


@pytest.mark.parametrize(("order", "signs"), TURNS)
def test_axes_in_any_order_and_direction(
    mask: LabelMap, order: tuple[int, ...], signs: tuple[int, ...]
) -> None:
    got = placed(turned(mask, order, signs), mask.grid)
    assert np.array_equal(got.data, mask.data)
    assert got.grid is mask.grid


@pytest.mark.parametrize("letters", ["RAS", "LPS", "LAS", "RSA", "PSR", "ASL", "SRP"])
def test_masks_turned_by_simpleitk_come_back_voxel_by_voxel(
    tmp_path: Path, mask: LabelMap, letters: str
) -> None:
    path = tmp_path / "mask.nii.gz"
    formats.write_label_map(path, mask)
    sitk.WriteImage(sitk.DICOMOrient(sitk.ReadImage(str(path)), letters), str(path))
    got = formats.read_label_map(path, grid=mask.grid)
    assert np.array_equal(got.data, mask.data)


def test_a_mask_cropped_by_slicer_is_placed(tmp_path: Path, exam: Exam, mask: LabelMap) -> None:
    part = mask.data[2:7, 10:34, 5:36]
    affine = np.array(exam.grid.affine)
    lps = np.diag([-1.0, -1.0, 1.0])
    header = {
        "space": "left-posterior-superior",
        "space directions": (lps @ affine[:3, 2::-1]).T,
        "space origin": lps @ (affine @ (2, 10, 5, 1))[:3],
        "kinds": ["domain"] * 3,
    }
    nrrd.write(str(tmp_path / "Segmentation.seg.nrrd"), part.T, header)
    told: list[str] = []
    got = formats.read_label_map(tmp_path / "Segmentation.seg.nrrd", exam=exam, tell=told.append)
    assert np.array_equal(got.data, mask.data)
    assert told == [
        "the mask Segmentation.seg.nrrd covers slices 3 to 7 of 12 and 16 % of the exam; it was "
        "placed there, the rest is background"
    ]


def test_a_mask_on_other_axes_is_told_and_one_on_the_exams_grid_is_not(
    tmp_path: Path, exam: Exam, mask: LabelMap
) -> None:
    told: list[str] = []
    for one in (mask, turned(mask, (2, 0, 1), (1, -1, 1))):
        formats.write_label_map(tmp_path / "mask.nii.gz", one)
        formats.read_label_map(tmp_path / "mask.nii.gz", exam=exam, tell=told.append)
    assert len(told) == 1
    assert "stored on other axes, or with a margin; it was placed by its position" in told[0]


def test_a_mask_with_a_margin_is_cut_and_one_outside_refused(mask: LabelMap) -> None:
    affine = np.array(mask.grid.affine)
    affine[:, 3] -= affine[:, :3] @ (1, 2, 3)
    wide = np.pad(mask.data, ((1, 2), (2, 1), (3, 0)))
    got = placed(LabelMap(wide, Grid(wide.shape, affine)), mask.grid)
    assert np.array_equal(got.data, mask.data)
    wide[0, 0, 0] = 1
    with pytest.raises(InputError, match=r"mask within exam P1, .*; found 1 of its 185 labeled"):
        placed(LabelMap(wide, Grid(wide.shape, affine)), mask.grid, "P1")


@pytest.mark.parametrize(("voxels", "is_same"), [(0.08, True), (0.2, False), (0.5, False)])
def test_voxels_between_voxels_are_refused(mask: LabelMap, voxels: float, is_same: bool) -> None:
    part = turned(mask, (0, 1, 2), (1, -1, 1))
    affine = np.array(part.grid.affine)
    affine[:, 3] += affine[:, 2] * voxels
    moved = LabelMap(part.data[1:], Grid((part.grid.shape[0] - 1, *part.grid.shape[1:]), affine))
    if is_same:
        assert placed(moved, mask.grid).data.sum() == mask.data[1:].sum()
        return
    with pytest.raises(InputError, match=r"a mask on the grid of exam P1"):
        placed(moved, mask.grid, "P1")


def test_another_spacing_is_refused(mask: LabelMap) -> None:
    coarse = LabelMap(
        mask.data[:, ::2], Grid((12, 24, 40), mask.grid.affine @ np.diag([1, 2, 1, 1]))
    )
    with pytest.raises(InputError, match=r"found one of 12 x 24 x 40 voxels of 3 x 1.4 x 0.7"):
        placed(coarse, mask.grid)


def test_phases_a_hundredth_of_a_mm_apart_are_one_exam_and_told(
    tmp_path: Path, exam: Exam, mask: LabelMap
) -> None:
    data = exam.phases["post1"].data
    affine = np.array(exam.grid.affine)
    affine[0, 3] += 0.01
    moved = Grid(exam.grid.shape, affine)
    formats.write_volume(tmp_path / "P1_0000.nii.gz", Volume(data, exam.grid))
    formats.write_volume(tmp_path / "P1_0001.nii.gz", Volume(2 * data, moved))
    formats.write_label_map(tmp_path / "mask.nii.gz", LabelMap(mask.data, moved))
    (case,) = formats.find_cases(tmp_path / "P1_0000.nii.gz")
    told = [progress.message for progress in formats.reading_exam(case) if progress.message]
    assert told == ["P1: post1 lies 0.014 voxels off pre; taken for one grid"]
    read = formats.read_label_map(tmp_path / "mask.nii.gz", exam=formats.read_exam(case))
    assert np.array_equal(read.data, mask.data)
    assert read.grid.off_voxels(exam.grid) < 1e-5
