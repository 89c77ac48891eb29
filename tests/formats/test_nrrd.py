"""NRRD in and out: spaces, axes, phases, damaged headers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import nrrd as pynrrd
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_breastseg import formats
from napari_breastseg.core.errors import InputError
from napari_breastseg.core.volume import Exam, Grid, LabelMap, Volume
from napari_breastseg.formats.nrrd import read_nrrd, write_nrrd


def array(*sizes: int, dtype: Any = np.int16) -> np.ndarray:
    return np.arange(np.prod(sizes)).reshape(sizes, order="F").astype(dtype)


def write(path: Path, data: np.ndarray, **header: Any) -> Path:
    """File of an array in (X, Y, Z) order."""
    pynrrd.write(str(path), data, {k.replace("_", " "): v for k, v in header.items()})
    return path


@settings(max_examples=25, deadline=None)
@given(
    turns=st.tuples(*[st.floats(-3, 3)] * 3),
    spacing=st.tuples(*[st.floats(0.3, 5)] * 3),
    flips=st.tuples(*[st.sampled_from([-1, 1])] * 3),
    dtype=st.sampled_from([np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64]),
)
def test_oblique_flipped_and_anisotropic_volumes_come_back(
    tmp_path_factory: pytest.TempPathFactory, turns: Any, spacing: Any, flips: Any, dtype: Any
) -> None:
    from scipy.spatial.transform import Rotation

    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", turns).as_matrix() * spacing * flips
    affine[:3, 3] = (91.5, -42.25, 63.125)
    volume = Volume(array(4, 3, 2, dtype=dtype), Grid((4, 3, 2), affine))
    path = tmp_path_factory.mktemp("n") / "a.nrrd"
    write_nrrd(path, volume)
    (read,) = read_nrrd(path)
    assert read.data.dtype == dtype
    assert np.array_equal(read.data, volume.data)
    assert np.array_equal(read.grid.affine, volume.grid.affine)


@pytest.mark.parametrize(
    ("space", "signs"),
    [
        ("right-anterior-superior", (1, 1, 1)),
        ("RAS", (1, 1, 1)),
        ("left-anterior-superior", (-1, 1, 1)),
        ("left-posterior-superior", (-1, -1, 1)),
        ("LPS", (-1, -1, 1)),
    ],
)
def test_spaces_become_ras(tmp_path: Path, space: str, signs: Any) -> None:
    directions = np.array([[0.7, 0, 0.1], [0, 0.8, 0], [-0.4, 0, 3.0]])  # rows x, y, z
    data = array(2, 3, 4)
    header = {"space_directions": directions, "space_origin": [10.0, 20.0, 30.0]}
    (read,) = read_nrrd(write(tmp_path / "a.nrrd", data, space=space, **header))
    assert np.array_equal(read.data, data.T)
    for x, y, z in ((0, 0, 0), (1, 2, 3)):
        there = np.array([10, 20, 30]) + np.array([x, y, z]) @ directions
        assert np.allclose((read.grid.affine @ (z, y, x, 1))[:3], there * signs)


@pytest.mark.parametrize(
    ("unit", "mm"),
    [
        *((unit, 0.001) for unit in ("um", "micron", "microns", "micrometers", "Micrometre")),
        *(("mm", 1.0), ("millimeters", 1.0), ("cm", 10.0), ("m", 1000.0)),
    ],
)
def test_units_become_millimetres(tmp_path: Path, unit: str, mm: float) -> None:
    sizes, origin = np.array([0.5, 0.6, 2.0]) / mm, np.array([1.0, 2.0, 3.0]) / mm
    in_space: Any = {"space_directions": np.diag(sizes), "space_origin": origin}
    in_space |= {"space": "RAS", "space_units": [unit] * 3}
    path = write(tmp_path / "a.nrrd", array(2, 3, 4), **in_space)
    (placed,) = read_nrrd(path)
    assert np.allclose(placed.grid.affine[:3, 3], [1.0, 2.0, 3.0])
    path = write(tmp_path / "b.nrrd", array(2, 3, 4), spacings=list(sizes), units=[unit] * 3)
    (spaced,) = read_nrrd(path)
    for volume in (placed, spaced):
        assert np.allclose(volume.grid.voxel_size, [2.0, 0.6, 0.5])


@pytest.mark.parametrize("axis", [0, 3])
def test_phases_stand_on_the_axis_that_is_not_in_space(tmp_path: Path, axis: int) -> None:
    data = np.moveaxis(array(2, 3, 4, 5), 3, axis)  # five phases
    directions: list[Any] = [[1.0, 0, 0], [0, 2.0, 0], [0, 0, 3.0]]
    directions.insert(axis, [np.nan] * 3)
    kinds = ["domain"] * 3
    kinds.insert(axis, "list")
    write(
        tmp_path / "a.nrrd",
        data,
        space="RAS",
        kinds=kinds,
        space_directions=directions,
        space_origin=[0.0, 0, 0],
    )
    exam = formats.open_exam(tmp_path / "a.nrrd")
    assert list(exam.phases) == ["pre", "post1", "post2", "post3", "post4"]
    assert exam.grid.spacing_mm == (3.0, 2.0, 1.0)
    for number, volume in enumerate(exam.phases.values()):
        assert np.array_equal(volume.data, np.moveaxis(data, axis, 3)[..., number].T)


def test_without_a_space_there_is_no_orientation(tmp_path: Path) -> None:
    spaced = write(tmp_path / "a.nrrd", array(2, 3, 4), spacings=[0.5, 0.6, 2.0])
    (read,) = read_nrrd(spaced)
    assert read.grid.spacing_mm == (2.0, 0.6, 0.5)
    assert not read.grid.has_orientation
    (bare,) = read_nrrd(write(tmp_path / "b.nrrd", array(2, 3, 4)))
    assert bare.grid.spacing_mm is None
    (flat,) = read_nrrd(write(tmp_path / "c.nrrd", array(5, 6), spacings=[0.5, 0.6]))
    assert flat.grid.shape == (1, 6, 5)
    for grid in (read.grid, bare.grid):
        write_nrrd(tmp_path / "d.nrrd", Volume(array(4, 3, 2), grid))
        (again,) = read_nrrd(tmp_path / "d.nrrd")
        assert again.grid.spacing_mm == grid.spacing_mm
        assert not again.grid.has_orientation


def test_a_mask_keeps_grid_and_labels_and_opens_beside_nifti(
    tmp_path: Path, sphere_exam: tuple[Exam, LabelMap]
) -> None:
    exam, truth = sphere_exam
    formats.write_label_map(tmp_path / "m.nrrd", truth)
    read = formats.read_label_map(tmp_path / "m.nrrd", exam=exam)
    assert np.array_equal(read.data, truth.data)
    formats.write_volume(tmp_path / "P1_0000.nrrd", exam.phases["pre"])
    formats.write_volume(tmp_path / "P1_0001.nrrd", exam.phases["post1"])
    opened = formats.open_exam(tmp_path / "P1_0001.nrrd")
    assert list(opened.phases) == ["pre", "post1"]
    formats.write_volume(tmp_path / "x.nii.gz", exam.phases["pre"])
    affine = nib.load(tmp_path / "x.nii.gz").affine[:, [2, 1, 0, 3]]
    assert np.allclose(opened.grid.affine, affine)


def test_a_detached_header_is_read_with_its_data(tmp_path: Path) -> None:
    pynrrd.write(str(tmp_path / "a.nhdr"), array(2, 3, 4), detached_header=True)
    (read,) = read_nrrd(tmp_path / "a.nhdr")
    assert np.array_equal(read.data, array(2, 3, 4).T)


HEAD = "NRRD0004\ntype: short\ndimension: 3\nendian: little\nencoding: raw\n"


@pytest.mark.parametrize(
    ("header", "match"),
    [
        ("NRRD0004\n", r"complete NRRD file, a\.nrrd; found it damaged"),
        ("NRRD0009\ntype: short\n\n", r"complete NRRD file, a\.nrrd; found it damaged"),
        (HEAD + "sizes: 2 3 4\n\n", r"complete NRRD file, a\.nrrd; found it damaged"),
        (HEAD + "sizes: 9000 9000 9000\n\n", r"as many voxels in.*9000 x 9000 x 9"),
        (HEAD + "sizes: 0 3 4\n\n", r"as many voxels in.*0 x 3 x 4"),
        (
            HEAD + "sizes: 3 2 2\nkinds: RGB-color domain domain\n\n" + "x" * 24,
            r"real grey values in a\.nrrd; found an axis of kind rgb-color",
        ),
        (
            HEAD + "sizes: 2 2 2\nspace: LPS\n"
            "space directions: (0,0,0) (0,1,0) (0,0,1)\nspace origin: (0,0,0)\n\n" + "x" * 16,
            r"invertible 4 x 4 affine.*in a\.nrrd",
        ),
        (
            HEAD.replace("3\n", "5\n") + "sizes: 2 2 2 2 2\n\n" + "x" * 64,
            r"two or three axes in space, and at most one other.*2 x 2 x 2 x 2 x 2, 3 of them",
        ),
        (
            HEAD.replace("short", "block") + "sizes: 2 2 2\nblock size: 4\n\n" + "x" * 32,
            r"a\.nrrd; found",
        ),
    ],
)
def test_bad_headers_are_refused(tmp_path: Path, header: str, match: str) -> None:
    (tmp_path / "a.nrrd").write_bytes(header.encode())
    with pytest.raises(InputError, match=match):
        formats.open_exam(tmp_path / "a.nrrd")


def test_only_whole_nrrd_is_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"ends in \.nrrd; found a\.nhdr"):
        formats.write_volume(tmp_path / "a.nhdr", Volume(array(2, 3, 4), Grid((2, 3, 4))))


def test_real_nrrd_files_are_read_where_they_lie(test_data: Path) -> None:
    folder = test_data / "io_tests/QIICR+dcmqi/data/segmentations"
    files = sorted(folder.rglob("*.nrrd"))
    assert len(files) >= 13
    for path in files:
        array, header = pynrrd.read(str(path), index_order="C")
        (read,) = read_nrrd(path)
        assert np.array_equal(read.data, array)
        x, y, z = header["space origin"]
        assert np.allclose(read.grid.affine[:3, 3], (-x, -y, z))
        assert read.grid.end_letters == (("F", "H"), ("A", "P"), ("R", "L"))
