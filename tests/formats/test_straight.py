"""Grids get the right angles that rounding in headers took from them, and no others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from dicom_files import write_series

from napari_breastseg import formats
from napari_breastseg.core.volume import Grid, LabelMap
from napari_breastseg.formats.straight import is_straight, straightened

ORIENTATIONS = {
    "axial": ((1, 0, 0), (0, 1, 0)),
    "axial, turned over": ((-1, 0, 0), (0, -1, 0)),
    "sagittal": ((0, 1, 0), (0, 0, -1)),
    "coronal": ((1, 0, 0), (0, 0, -1)),
    "axial, tilted": ((0.9689, 0.0, 0.2474), (0.0245, 0.9951, -0.0959)),
    "sagittal, tilted": ((0.0998, 0.995, 0.0), (-0.0499, 0.005, -0.9987)),
    "oblique": ((0.8138, 0.4698, -0.3420), (-0.5438, 0.8232, -0.1632)),
}
"""Directions (LPS) along a row and along a column."""


@pytest.mark.parametrize(("cosine_digits", "position_digits"), [(6, 3), (3, 3), (6, 1)])
@pytest.mark.parametrize("name", ORIENTATIONS)
def test_a_mask_lies_in_simpleitk_where_it_lies_here(
    tmp_path: Path, name: str, cosine_digits: int, position_digits: int
) -> None:
    row, column = map(np.array, ORIENTATIONS[name])
    row = row / np.linalg.norm(row)
    column = column - row * (row @ column)
    column = column / np.linalg.norm(column)
    normal = np.cross(row, column)
    write_series(
        tmp_path / "exam",
        2,
        1000,
        count=9,
        size=(24, 20),
        ImageOrientationPatient=[round(float(v), cosine_digits) for v in (*row, *column)],
        position=lambda z: [
            round(float(v), position_digits) for v in (-80.3, -70.7, 30.1) + normal * 2.0 * z
        ],
    )
    grid = formats.open_exam(tmp_path / "exam").grid
    mask = LabelMap((np.indices(grid.shape).sum(axis=0) % 3 == 0).astype(np.uint8), grid)
    formats.write_label_map(tmp_path / "mask.nii.gz", mask)
    by_itk = sitk.ReadImage(str(tmp_path / "mask.nii.gz"))
    assert np.array_equal(sitk.GetArrayFromImage(by_itk), mask.data)
    for index in ((0, 0, 0), (8, 23, 19), (8, 0, 19), (3, 11, 7)):
        x, y, z = by_itk.TransformIndexToPhysicalPoint([index[2], index[1], index[0]])
        at = np.linalg.inv(grid.affine) @ (-x, -y, z, 1)
        assert np.abs(at[:3] - index).max() < 1e-3
        # The header's place of that voxel, within the rounding of its numbers.
        true = (-80.3, -70.7, 30.1) + normal * 2.0 * (
            index[0] if grid.affine[:3, 0] @ (normal * (-1, -1, 1)) > 0 else 8 - index[0]
        )
        true = true + column * 0.75 * index[1] + row * 0.5 * index[2]
        assert np.abs(true - (x, y, z)).max() < 2 * 10.0**-position_digits + 0.02


def test_a_grid_with_right_angles_stays_the_same(oblique_grid: Grid) -> None:
    assert straightened(oblique_grid) is oblique_grid


def test_shear_that_no_rounding_makes_is_kept() -> None:
    affine = np.diag([2.0, 0.8, 0.8, 1.0])
    affine[2, 0] = 0.02  # 0.4 mm over 20 slices, half a pixel
    grid = Grid((20, 256, 256), affine)
    assert straightened(grid) is grid
    assert not is_straight(grid.affine)
