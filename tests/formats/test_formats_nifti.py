"""NIfTI in and out, with nibabel's own coordinates as the oracle."""

from __future__ import annotations

import gzip
import os
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import example, given, settings
from hypothesis import strategies as st

from napari_breastseg.core.errors import InputError, StorageError
from napari_breastseg.core.volume import Exam, Grid, LabelMap, Volume
from napari_breastseg.formats import open_exam, read_label_map, write_label_map, write_volume

READABLE = {
    "neurolabusc+dcm_qa/In/Orientation/ax/axasc35/6_ax_asc_35sl.nii": 2,
    "neurolabusc+niivue-images/CT_pitch.nii.gz": 1,
    "neurolabusc+niivue-images/MR_Gd.nii.gz": 1,
    "neurolabusc+niivue-images/fmri_pitch.nii.gz": 1,
    "nipy+nibabel/anatomical.nii": 1,
    "nipy+nibabel/example4d.nii.gz": 2,
    "nipy+nibabel/example_nifti2.nii.gz": 2,
    "nipy+nibabel/reoriented_anat_moved.nii": 1,
    "nipy+nibabel/someones_anatomy.nii.gz": 1,
}
"""Real files and how many phases each holds."""


def rotation(a: float, b: float, c: float) -> np.ndarray:
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    """Oblique, flipped, axis-swapped and anisotropic grids."""
    angle = st.floats(-np.pi, np.pi)
    spacing = draw(st.tuples(*[st.floats(0.2, 8.0)] * 3))
    signs = draw(st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3))
    order = draw(st.permutations([0, 1, 2]))
    columns = rotation(draw(angle), draw(angle), draw(angle))[:, order] * signs * spacing
    affine = np.eye(4)
    affine[:3, :3] = columns
    affine[:3, 3] = draw(st.tuples(*[st.floats(-300, 300)] * 3))
    return Grid(draw(st.tuples(*[st.integers(1, 6)] * 3)), affine)


def ramp(grid: Grid, dtype: str = "int16") -> np.ndarray:
    return np.arange(np.prod(grid.shape)).reshape(grid.shape).astype(dtype)


@pytest.fixture
def oblique_nifti(oblique_grid: Grid, tmp_path: Path) -> Path:
    """An int16 file on the oblique grid, made by nibabel alone."""
    path = tmp_path / "P001.nii.gz"
    affine_xyz = oblique_grid.affine[:, [2, 1, 0, 3]]
    nib.save(nib.Nifti1Image(ramp(oblique_grid).T, affine_xyz), path)
    return path


def assert_same_grid(got: Grid, wanted: Grid) -> None:
    assert got.shape == wanted.shape
    assert (got.has_spacing, got.has_orientation) == (wanted.has_spacing, wanted.has_orientation)
    # NIfTI-1 holds affines in 32 bits.
    np.testing.assert_allclose(got.affine, wanted.affine, rtol=2e-7, atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(
    grid=grids(),
    dtype=st.sampled_from(["int16", "uint8", "uint16", "int32", "float32", "float64"]),
    ending=st.sampled_from([".nii", ".nii.gz", ".NII.GZ"]),
    seed=st.integers(0, 2**31),
)
def test_values_and_affine_survive_a_round_trip(
    grid: Grid, dtype: str, ending: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    data = rng.integers(0, 250, grid.shape).astype(dtype)
    data.flat[0] = 251  # never constant, but for one voxel
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"P001{ending}"
        write_volume(path, Volume(data, grid))
        if data.size == 1:
            with pytest.raises(InputError, match="image with structure"):
                open_exam(path)
            return
        exam = open_exam(path)
        # Read and written again, nothing moves at all.
        again = Path(folder) / "again.nii"
        write_volume(again, exam.phases["post1"])
        np.testing.assert_array_equal(open_exam(again).grid.affine, exam.grid.affine)
    assert exam.phases["post1"].data.dtype == dtype
    np.testing.assert_array_equal(exam.phases["post1"].data, data)
    assert_same_grid(exam.grid, grid)


def corners_of(grid: Grid) -> np.ndarray:
    """(z, y, x, 1) of the eight corners, shape (4, 8)."""
    return np.array(np.meshgrid(*[(0, n - 1) for n in grid.shape], [1])).reshape(4, -1)


def off_voxels(affine_xyz: np.ndarray, grid: Grid) -> float:
    """How far a corner by an affine of (x, y, z) lies from where the grid has it, in voxels."""
    affine = np.asarray(affine_xyz)[:, [2, 1, 0, 3]]
    return float(
        np.abs(np.linalg.inv(grid.affine) @ (affine - grid.affine) @ corners_of(grid)).max()
    )


HALF_TURN = Grid(
    (6, 1, 1),
    [[-0.28220556, 0.01562436, 0.98987165, 0], [-0.00440982, -0.99987793, 0.015468, 0],
     [1.97998499, 0, 0.14112001, 0], [0, 0, 0, 1]],
)  # fmt: skip
"""Close to half a turn, where a quaternion of 32-bit numbers is off by more than 0.01 voxels."""


@settings(max_examples=40, deadline=None)
@given(grid=grids())
@example(grid=HALF_TURN)
def test_every_corner_lies_where_nibabel_and_simpleitk_say(grid: Grid) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "P001.nii"
        write_label_map(path, LabelMap(np.zeros(grid.shape, np.uint8), grid))
        image = nib.load(path)
        by_itk = sitk.ReadImage(str(path))
        read = read_label_map(path).grid
    assert off_voxels(image.affine, read) < 1e-6
    # The affine is held in 32-bit numbers: 3e-5 mm at 300 mm, of voxels from 0.2 mm.
    assert off_voxels(image.affine, grid) < 1e-3
    # The qform, which some tools read first, says the same or is not there.
    qform, code = image.header.get_qform(coded=True)
    assert code == 0 or off_voxels(qform, grid) < 0.01 + 1e-3
    lps = np.eye(4)
    lps[:3, :3] = np.reshape(by_itk.GetDirection(), (3, 3)) * by_itk.GetSpacing()
    lps[:3, 3] = by_itk.GetOrigin()
    assert off_voxels(np.diag([-1, -1, 1, 1]) @ lps, grid) < 0.01


def test_a_rotation_is_in_the_qform_where_it_is_exact_enough(
    tmp_path: Path, oblique_grid: Grid
) -> None:
    for grid, code in ((oblique_grid, 1), (HALF_TURN, 0)):
        write_label_map(tmp_path / "a.nii", LabelMap(np.zeros(grid.shape, np.uint8), grid))
        assert nib.load(tmp_path / "a.nii").header["qform_code"] == code


@pytest.mark.parametrize("name", READABLE)
def test_real_files_open_as_nibabel_reads_them(test_data: Path, name: str) -> None:
    path = test_data / "io_tests" / name
    exam = open_exam(path)
    image = nib.load(path)
    assert len(exam.phases) == READABLE[name]
    assert list(exam.phases) == (["post1"] if READABLE[name] == 1 else ["pre", "post1"])
    values = image.get_fdata().reshape(*image.shape[:3], -1)
    for number, volume in enumerate(exam.phases.values()):
        np.testing.assert_allclose(volume.data, values[..., number].T, rtol=1e-6)
        assert volume.data.dtype.isnative
        assert volume.data.flags.writeable
    np.testing.assert_array_equal(exam.grid.affine, image.affine[:, [2, 1, 0, 3]])
    np.testing.assert_allclose(exam.grid.spacing_mm, image.header.get_zooms()[2::-1], rtol=1e-5)
    # nibabel names the end of each axis: S for head, I for feet.
    ends = "".join(end for _, end in exam.grid.end_letters)
    axcodes = "".join(nib.aff2axcodes(image.affine)[::-1])
    assert ends == axcodes.replace("S", "H").replace("I", "F")


def test_left_and_right_of_a_known_file(test_data: Path) -> None:
    anatomical = open_exam(test_data / "io_tests/nipy+nibabel/anatomical.nii")
    assert anatomical.grid.end_letters == (("F", "H"), ("P", "A"), ("R", "L"))


@pytest.mark.parametrize("name", READABLE)
def test_masks_go_back_onto_the_grid_of_real_exams(
    test_data: Path, name: str, tmp_path: Path
) -> None:
    exam = open_exam(test_data / "io_tests" / name)
    mask = (ramp(exam.grid, "int64") % 3).astype(np.uint8)
    write_label_map(tmp_path / "mask.nii.gz", LabelMap(mask, exam.grid))
    image = nib.load(tmp_path / "mask.nii.gz")
    original = nib.load(test_data / "io_tests" / name)
    assert image.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(np.asarray(image.dataobj), mask.T)
    np.testing.assert_allclose(image.affine, original.affine, rtol=1e-6, atol=1e-5)
    read = read_label_map(tmp_path / "mask.nii.gz", exam=exam)
    np.testing.assert_array_equal(read.data, mask)
    assert read.grid is exam.grid


def test_axes_are_turned_but_never_reoriented(oblique_nifti: Path, oblique_grid: Grid) -> None:
    exam = open_exam(oblique_nifti)
    assert exam.case_id == "P001"
    np.testing.assert_array_equal(exam.phases["post1"].data, ramp(oblique_grid))
    assert_same_grid(exam.grid, oblique_grid)


def test_scaled_integers_become_float32(tmp_path: Path, oblique_grid: Grid) -> None:
    image = nib.Nifti1Image(ramp(oblique_grid).T, np.eye(4))
    image.header.set_slope_inter(0.25, -10)
    nib.save(image, tmp_path / "scaled.nii")
    # nibabel rescales on saving; the factors are put back into the header as a scanner has them.
    raw = bytearray((tmp_path / "scaled.nii").read_bytes())
    raw[112:120] = np.array([0.25, -10], "<f4").tobytes()
    raw[352:] = ramp(oblique_grid, "<i2").tobytes()
    (tmp_path / "scaled.nii").write_bytes(raw)
    data = open_exam(tmp_path / "scaled.nii").phases["post1"].data
    assert data.dtype == np.float32
    np.testing.assert_array_equal(data, ramp(oblique_grid) * np.float32(0.25) - 10)


def test_a_scale_of_one_keeps_integers(tmp_path: Path, oblique_nifti: Path) -> None:
    raw = bytearray(gzip.decompress(oblique_nifti.read_bytes()))
    raw[112:120] = np.array([1, 0], "<f4").tobytes()
    (tmp_path / "one.nii").write_bytes(raw)
    assert open_exam(tmp_path / "one.nii").phases["post1"].data.dtype == np.int16


@pytest.mark.parametrize(("unit", "factor"), [("micron", 1e-3), ("meter", 1e3), ("mm", 1.0)])
def test_units_become_millimetres(tmp_path: Path, unit: str, factor: float) -> None:
    affine = np.diag([*np.array([2, 3, 4]) / factor, 1])
    image = nib.Nifti1Image(np.arange(24, dtype=np.int16).reshape(2, 3, 4), affine)
    image.header.set_xyzt_units(unit)
    nib.save(image, tmp_path / "a.nii")
    spacing = open_exam(tmp_path / "a.nii").grid.spacing_mm
    np.testing.assert_allclose(spacing, [4, 3, 2], rtol=1e-6)


def test_a_unit_no_standard_knows_counts_as_mm(oblique_nifti: Path, oblique_grid: Grid) -> None:
    raw = bytearray(gzip.decompress(oblique_nifti.read_bytes()))
    raw[123] = 0b111
    oblique_nifti.write_bytes(gzip.compress(bytes(raw)))
    assert_same_grid(open_exam(oblique_nifti).grid, oblique_grid)


def test_2d_and_trailing_single_axes_are_volumes(tmp_path: Path) -> None:
    flat = np.arange(12, dtype=np.int16).reshape(3, 4)
    for name, shape in {"flat": (3, 4), "long": (3, 4, 1, 1, 1), "four": (3, 4, 1, 1)}.items():
        nib.save(nib.Nifti1Image(flat.reshape(shape), np.eye(4)), tmp_path / f"{name}.nii")
        exam = open_exam(tmp_path / f"{name}.nii")
        np.testing.assert_array_equal(exam.phases["post1"].data, flat.T[None])


def test_phases_of_a_4d_file_take_the_names_given(tmp_path: Path) -> None:
    data = np.arange(72, dtype=np.int16).reshape(2, 3, 4, 3)
    nib.save(nib.Nifti1Image(data, np.diag([2, 3, 4, 1])), tmp_path / "a.nii")
    assert list(open_exam(tmp_path / "a.nii").phases) == ["pre", "post1", "post2"]
    exam = open_exam(tmp_path / "a.nii", phases=["post1", "pre", "post4"])
    np.testing.assert_array_equal(exam.phases["pre"].data, data[..., 1].T)
    with pytest.raises(
        InputError, match=r"Expected 2 phases for case a: pre, post1; found 3 in a\.nii"
    ):
        open_exam(tmp_path / "a.nii", phases=["pre", "post1"])


@pytest.mark.parametrize("has_spacing", [True, False])
def test_a_grid_without_orientation_stays_without(tmp_path: Path, has_spacing: bool) -> None:
    grid = Grid((2, 3, 4), np.diag([3.0, 0.5, 0.25, 1]), has_orientation=False)
    grid = grid if has_spacing else Grid((2, 3, 4))
    write_volume(tmp_path / "a.nii.gz", Volume(ramp(grid), grid))
    header = nib.load(tmp_path / "a.nii.gz").header
    assert (header["sform_code"], header["qform_code"]) == (0, 0)
    assert header.get_xyzt_units()[0] == ("mm" if has_spacing else "unknown")
    assert_same_grid(open_exam(tmp_path / "a.nii.gz").grid, grid)


def test_a_sheared_grid_is_kept_in_the_sform_alone(tmp_path: Path) -> None:
    grid = Grid((2, 3, 4), [[0, 0.2, 0.7, 1], [0, 0.7, 0, 2], [3, 0.3, 0, 3], [0, 0, 0, 1]])
    write_volume(tmp_path / "a.nii", Volume(ramp(grid), grid))
    assert nib.load(tmp_path / "a.nii").header["qform_code"] == 0
    assert_same_grid(open_exam(tmp_path / "a.nii").grid, grid)


@pytest.mark.parametrize(("shear_mm", "most"), [(0.004, 0.01), (0.02, 0.1)])
def test_masks_on_slightly_sheared_grids_open_in_simpleitk(
    tmp_path: Path, shear_mm: float, most: float
) -> None:
    affine = np.eye(4)
    affine[:3, :3] = rotation(0.2, 0.1, 0.3)[:3, :3] @ np.diag([-0.8, -0.8, 2.0])
    affine[0, 2] += shear_mm
    grid = Grid((8, 24, 20), affine[:, [2, 1, 0, 3]])
    mask = LabelMap((ramp(grid) % 2).astype(np.uint8), grid)
    write_label_map(tmp_path / "a.nii.gz", mask)
    by_itk = sitk.ReadImage(str(tmp_path / "a.nii.gz"))
    assert np.array_equal(sitk.GetArrayFromImage(by_itk), mask.data)
    lps = np.eye(4)
    lps[:3, :3] = np.reshape(by_itk.GetDirection(), (3, 3)) * by_itk.GetSpacing()
    lps[:3, 3] = by_itk.GetOrigin()
    assert off_voxels(np.diag([-1, -1, 1, 1]) @ lps, grid) < most
    # The exact place is in the sform.
    assert off_voxels(nib.load(tmp_path / "a.nii.gz").affine, grid) < 1e-3


def test_an_axis_too_long_for_nifti1_makes_nifti2(tmp_path: Path) -> None:
    grid = Grid((1, 1, 32768), np.diag([3.0, 0.7, 0.1, 1]))
    write_label_map(tmp_path / "a.nii.gz", LabelMap(ramp(grid) % 2, grid))
    assert isinstance(nib.load(tmp_path / "a.nii.gz"), nib.Nifti2Image)
    np.testing.assert_array_equal(read_label_map(tmp_path / "a.nii.gz").data, ramp(grid) % 2)


def test_equal_masks_give_equal_files(tmp_path: Path, sphere_exam: tuple[Exam, LabelMap]) -> None:
    for name in ("a.nii.gz", "b.nii.gz"):
        write_label_map(tmp_path / name, sphere_exam[1])
        os.utime(tmp_path / name, (0, 0))
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()
    assert (tmp_path / "a.nii.gz").read_bytes()[4:8] == b"\0\0\0\0"


@pytest.mark.parametrize(
    ("dtype", "on_disk"),
    [("float16", "float32"), ("bool", "uint8"), ("int64", "uint16"), ("longdouble", "float64")],
)
def test_types_few_readers_know_are_widened(tmp_path: Path, dtype: str, on_disk: str) -> None:
    grid = Grid((3, 20, 30), np.diag([3.0, 0.7, 0.7, 1]))
    write_volume(tmp_path / "a.nii", Volume(ramp(grid, dtype), grid))
    image = nib.load(tmp_path / "a.nii")
    assert image.get_data_dtype() == on_disk
    np.testing.assert_array_equal(image.get_fdata().T, ramp(grid, dtype))


def test_writing_refuses_to_change_values(tmp_path: Path) -> None:
    grid = Grid((1, 2, 2), np.eye(4))
    with pytest.raises(InputError, match="whole numbers that fit uint8; found float32 values"):
        write_volume(tmp_path / "a.nii", Volume(np.full((1, 2, 2), 0.5, np.float32), grid), "uint8")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.nii.gz"
    path.write_bytes(b"old")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gzip.GzipFile.write", full)
    with pytest.raises(StorageError, match="No space left"):
        write_label_map(path, LabelMap(np.zeros((1, 2, 2), np.uint8), Grid((1, 2, 2))))
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.nii.gz"]


@pytest.mark.parametrize("kept", [3, 60, 400, 2000, -4])
@pytest.mark.parametrize("packed", [True, False])
def test_files_cut_short_are_refused(oblique_nifti: Path, kept: int, packed: bool) -> None:
    whole = oblique_nifti.read_bytes()
    path = oblique_nifti if packed else oblique_nifti.with_name("P001.nii")
    path.write_bytes((whole if packed else gzip.decompress(whole))[:kept])
    with pytest.raises(InputError, match=r"P001\.nii.*(damaged|cut short)"):
        open_exam(path)


def test_a_damaged_gzip_body_names_the_file_and_the_cause(oblique_nifti: Path) -> None:
    raw = bytearray(oblique_nifti.read_bytes())
    raw[-8] ^= 0xFF  # the checksum
    oblique_nifti.write_bytes(raw)
    with pytest.raises(
        InputError, match=r"complete NIfTI file, P001\.nii\.gz; found it damaged"
    ) as info:
        open_exam(oblique_nifti)
    assert isinstance(info.value.__cause__, OSError)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_a_header_that_claims_terabytes_allocates_nothing(tmp_path: Path, ending: str) -> None:
    import tracemalloc

    header = nib.Nifti1Header()
    header.set_data_shape((30000, 30000, 3000))
    header.set_data_dtype(np.float64)
    header["vox_offset"] = 352
    header["magic"] = b"n+1"
    raw = header.binaryblock + bytes(4 + 1000)
    path = tmp_path / f"big{ending}"
    path.write_bytes(gzip.compress(raw) if ending.endswith("gz") else raw)
    tracemalloc.start()
    with pytest.raises(InputError, match=r"21,600,000,000,000 bytes of voxels in big\.nii"):
        open_exam(path)
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()


def test_complex_and_color_values_are_refused(tmp_path: Path) -> None:
    rgb = np.zeros((2, 3, 4), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    for data, match in ((rgb, "found colors"), (np.zeros((2, 3, 4), "c8"), "complex numbers")):
        nib.save(nib.Nifti1Image(data, np.eye(4)), tmp_path / "a.nii")
        with pytest.raises(InputError, match=rf"real grey values in a\.nii; .*{match}"):
            open_exam(tmp_path / "a.nii")


def test_more_than_four_axes_are_refused(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(np.zeros((2, 3, 4, 1, 3), "i2"), np.eye(4)), tmp_path / "a.nii")
    with pytest.raises(InputError, match=r"2 to 4 axes.* in a\.nii; found shape 2 x 3 x 4 x 1 x"):
        open_exam(tmp_path / "a.nii")


def test_an_affine_that_cannot_be_inverted_is_refused(oblique_nifti: Path) -> None:
    raw = bytearray(gzip.decompress(oblique_nifti.read_bytes()))
    raw[280:328] = bytes(48)  # srow_x, srow_y, srow_z
    oblique_nifti.write_bytes(gzip.compress(bytes(raw)))
    with pytest.raises(InputError, match=r"invertible 4 x 4 affine.* in P001\.nii\.gz"):
        open_exam(oblique_nifti)
