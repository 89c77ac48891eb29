"""Which files make which case, and what is refused at the door."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_breastseg.core.errors import InputError
from napari_breastseg.core.volume import Exam, Grid, LabelMap, Volume
from napari_breastseg.formats import (
    case_from_files,
    case_name,
    find_cases,
    natural_key,
    open_exam,
    read_exam,
    read_label_map,
    write_label_map,
    write_volume,
)

GRID = Grid((2, 3, 4), [[0, 0, -0.7, 9], [0, -0.7, 0, 8], [3, 0, 0, 7], [0, 0, 0, 1]])


def nifti(path: Path, value: int = 0, grid: Grid = GRID) -> Path:
    data = np.arange(np.prod(grid.shape), dtype=np.int16).reshape(grid.shape) + value
    write_volume(path, Volume(data, grid))
    return path


def png(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4)).save(path)
    return path


def first_values(exam: Exam) -> dict[str, int]:
    return {role: int(volume.data.flat[0]) for role, volume in exam.phases.items()}


@pytest.mark.parametrize(
    ("name", "case"),
    [
        ("P001.nii.gz", "P001"),
        ("P001_0000.nii.gz", "P001"),
        ("DUKE_001_0005.NII.GZ", "DUKE_001"),
        ("duke.001_0001.nii", "duke.001"),
        ("patient_0153.nii.gz", "patient_0153"),
        ("scan_2019.nii", "scan_2019"),
        ("_0000.nii", "_0000"),
        ("C01_S1.png", "C01_S1"),
        ("C01_0000.PNG", "C01"),
        ("IM_0012.tiff", "IM_0012"),
    ],
)
def test_case_names(name: str, case: str) -> None:
    assert case_name(Path("folder") / name) == case


def test_natural_order() -> None:
    names = ["s10", "S2", "s1b", "s1", "a", "10", "9"]
    assert sorted(names, key=natural_key) == ["9", "10", "a", "s1", "s1b", "S2", "s10"]


def test_a_single_image_is_post1(tmp_path: Path) -> None:
    for name in ("a.nii", "b_0000.nii.gz", "c_0001.nii", "d_0000.png"):
        path = (png if name.endswith("png") else nifti)(tmp_path / name)
        exam = open_exam(path)
        assert (exam.case_id, list(exam.phases)) == (name[0], ["post1"])


@pytest.mark.parametrize("number", [0, 1, 2])
def test_one_file_of_a_set_stands_for_the_set(tmp_path: Path, number: int) -> None:
    names = ["P001_0000.nii.gz", "p001_0001.NII.GZ", "P001_0002.nii"]
    for value, name in enumerate(names):
        nifti(tmp_path / name, value * 100)
    nifti(tmp_path / "P0010_0000.nii.gz")  # another case
    exam = open_exam(tmp_path / names[number])
    assert exam.case_id == "P001"
    assert first_values(exam) == {"pre": 0, "post1": 100, "post2": 200}


def test_roles_of_a_set_follow_the_numbers(tmp_path: Path) -> None:
    for number in (0, 3, 11):
        nifti(tmp_path / f"P001_{number:04}.nii", number)
    assert first_values(open_exam(tmp_path)) == {"pre": 0, "post3": 3, "post11": 11}


def test_phases_are_named_in_channel_order(tmp_path: Path) -> None:
    for number in (0, 1):
        nifti(tmp_path / f"P001_{number:04}.nii", number)
    exam = open_exam(tmp_path, phases=["post1 ", "PRE"])
    assert first_values(exam) == {"pre": 1, "post1": 0}
    with pytest.raises(InputError, match=r"Expected 3 phases for case P001.*found 2 files"):
        open_exam(tmp_path, phases=["pre", "post1", "post2"])
    for names in (["pre", "pre"], ["pre", ""], []):
        with pytest.raises(InputError, match="a different name for each phase"):
            open_exam(tmp_path, phases=names)


def test_numbered_patients_are_no_phases(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        nifti(tmp_path / f"patient_{number:04}.nii.gz")
    found = find_cases(tmp_path)
    assert [case.case_id for case in found] == ["patient_0001", "patient_0002", "patient_0003"]
    # As many names as files say that they are phases after all.
    (case,) = find_cases(tmp_path, phases=["post1", "post2", "post3"])
    assert (case.case_id, case.roles) == ("patient", ("post1", "post2", "post3"))


def test_numbered_slices_are_one_case_each_unless_phases_are_named(tmp_path: Path) -> None:
    for number in (0, 1):
        png(tmp_path / f"IM_{number:04}.png")
    assert [case.case_id for case in find_cases(tmp_path)] == ["IM_0000", "IM_0001"]
    assert find_cases(tmp_path / "IM_0000.png")[0].case_id == "IM_0000"
    (case,) = find_cases(tmp_path, phases=["pre", "post1"])
    assert list(read_exam(case).phases) == ["pre", "post1"]


def dataset_folder(folder: Path, head: object) -> Path:
    """A folder as nnU-Net has it, described by `head`; text is written as it is."""
    (folder / "imagesTr").mkdir(parents=True)
    text = head if isinstance(head, str) else json.dumps(head)
    (folder / "dataset.json").write_text(text)
    return folder


def test_roles_in_a_dataset_folder_are_those_it_names(tmp_path: Path, monkeypatch) -> None:
    names = {"1": "post2", "0": "Post1", "2": "sub1", "10": "pre"}
    folder = dataset_folder(tmp_path / "dataset", {"channel_names": names})
    for number in (0, 1, 2, 10):
        nifti(folder / "imagesTr" / f"P001_{number:04}.nii.gz", number)
    nifti(folder / "imagesTr" / "P002_0000.nii.gz", 7)
    nifti(folder / "imagesTs" / "patient_0001_0001.nii.gz", 8)
    wanted = {
        "P001": {"post1": 0, "post2": 1, "sub1": 2, "pre": 10},
        "P002": {"post1": 7},
        "patient_0001": {"post2": 8},
    }
    found = find_cases(folder)
    assert {case.case_id: first_values(read_exam(case)) for case in found} == wanted
    one = open_exam(folder / "imagesTr" / "P001_0001.nii.gz")
    assert first_values(one) == wanted["P001"]
    monkeypatch.chdir(folder / "imagesTr")
    assert [case.roles for case in find_cases(Path("."))] == [tuple(wanted["P001"]), ("post1",)]


def test_slices_of_a_dataset_are_phases_by_its_channel_names(tmp_path: Path) -> None:
    folder = dataset_folder(tmp_path, {"channel_names": {"0": "pre", "1": "post2"}})
    for number in (0, 1):
        png(folder / "imagesTr" / f"C01_{number:04}.png")
    (case,) = find_cases(folder)
    assert (case.case_id, case.roles) == ("C01", ("pre", "post2"))


def test_named_phases_win_over_those_of_a_dataset(tmp_path: Path) -> None:
    folder = dataset_folder(tmp_path, {"channel_names": {"0": "post1", "1": "post2"}})
    for number in (0, 1):
        nifti(folder / "imagesTr" / f"P001_{number:04}.nii.gz", number)
    exam = open_exam(folder, phases=["pre", "post5"])
    assert first_values(exam) == {"pre": 0, "post5": 1}


@pytest.mark.parametrize(
    "head",
    [
        '{"channel_names": {"0": "po',
        "[" * 100_000,
        [],
        {"modality": {"0": "MR"}},
        {"channel_names": ["post1", "post2"]},
        {"channel_names": {"first": "post1", "1": "post2"}},
        {"channel_names": {"0": 5, "1": None}},
    ],
)
def test_a_dataset_that_names_no_phase_of_a_file_leaves_its_number(
    tmp_path: Path, head: object
) -> None:
    folder = dataset_folder(tmp_path, head)
    for number in (0, 1):
        nifti(folder / "imagesTr" / f"P001_{number:04}.nii.gz", number)
    assert first_values(open_exam(folder)) == {"pre": 0, "post1": 1}


@pytest.mark.parametrize(
    ("names", "roles"),
    [
        ({"0": "DCE_post", "1": "DCE_pre"}, {"pre": 1, "post1": 0}),
        ({"0": "T1 pre-contrast", "1": "T1 post-contrast 3"}, {"pre": 0, "post3": 1}),
        ({"0": "T1", "1": "post2"}, None),
        ({"0": "T1", "1": "T2"}, None),
        ({"0": "post1", "1": "post1"}, None),
        ({"0": "post1"}, None),
    ],
)
def test_channels_of_a_foreign_dataset_are_what_their_names_say_or_asked(
    tmp_path: Path, names: dict[str, str], roles: dict[str, int] | None
) -> None:
    folder = dataset_folder(tmp_path, {"channel_names": names})
    for number in (0, 1):
        nifti(folder / "imagesTr" / f"P001_{number:04}.nii.gz", number)
    if roles is not None:
        assert first_values(open_exam(folder)) == roles
        return
    with pytest.raises(InputError, match=r"phase of each channel of case P001.*found 0 = .*--phas"):
        open_exam(folder)
    assert first_values(open_exam(folder, phases=["post1", "pre"])) == {"pre": 1, "post1": 0}


def test_channel_names_say_nothing_of_other_folders(tmp_path: Path) -> None:
    folder = dataset_folder(tmp_path, {"channel_names": {"0": "post1", "1": "post2"}})
    for number in (0, 1):
        nifti(folder / "images" / f"P001_{number:04}.nii.gz", number)
    assert first_values(open_exam(folder)) == {"pre": 0, "post1": 1}


def test_work_folders_are_passed_over_beside_a_dataset_json_only(tmp_path: Path) -> None:
    folder = dataset_folder(tmp_path / "dataset", {})
    nifti(folder / "imagesTr" / "P001_0000.nii.gz")
    for name in ("drafts", "autosave/pending/drafts", "history/P001", "locks", "labelsTr"):
        nifti(folder / name / "P001.nii.gz")
        nifti(tmp_path / "plain" / name / "P001.nii.gz")
    assert [case.path.parent.name for case in find_cases(folder)] == ["imagesTr"]
    assert len(find_cases(tmp_path / "plain")) == 4
    assert len(find_cases(folder / "drafts")) == 1


def test_a_folder_gives_all_its_cases_at_any_depth(tmp_path: Path) -> None:
    for patient in ("DUKE_010", "DUKE_009", "ispy_1"):
        for number in (0, 1):
            nifti(tmp_path / "images" / patient / f"{patient.lower()}_{number:04}.nii.gz")
    png(tmp_path / "slices" / "duke_9.png")
    for ignored in (".hidden.nii", "._duke_009_0000.nii.gz", ".cache/a.nii", "__MACOSX/b.nii"):
        nifti(tmp_path / ignored)
    (tmp_path / "info.csv").write_text("a,b")
    found = find_cases(tmp_path)
    assert [case.case_id for case in found] == ["duke_009", "duke_9", "duke_010", "ispy_1"]
    assert [len(case.files) for case in found if case.kind == "nifti"] == [2, 2, 2]
    # A hidden file is opened all the same when it is asked for by its name.
    assert open_exam(tmp_path / ".hidden.nii").case_id == ".hidden"


def test_cases_of_one_name_are_all_listed_with_their_place(tmp_path: Path) -> None:
    paths = {nifti(tmp_path / name) for name in ("a/P1.nii", "b/P1.nii", "b/P1.nii.gz")}
    paths.add(png(tmp_path / "b/P1.png"))
    found = find_cases(tmp_path)
    assert [case.case_id for case in found] == ["P1"] * 4
    assert {case.path for case in found} == paths


def test_one_number_twice_is_two_sets(tmp_path: Path) -> None:
    for ending in (".nii", ".nii.gz"):
        for number in (0, 1):
            nifti(tmp_path / f"P1_{number:04}{ending}", number)
    found = find_cases(tmp_path)
    assert [(case.case_id, case.roles) for case in found] == [("P1", ("pre", "post1"))] * 2
    assert [first_values(read_exam(case)) for case in found] == [{"pre": 0, "post1": 1}] * 2


def test_linked_folders_are_followed_once(tmp_path: Path) -> None:
    nifti(tmp_path / "far" / "P1.nii")
    (tmp_path / "near").mkdir()
    (tmp_path / "near" / "link").symlink_to(tmp_path / "far")
    (tmp_path / "far" / "loop").symlink_to(tmp_path / "far")
    assert [case.case_id for case in find_cases(tmp_path / "near")] == ["P1"]


def test_a_case_can_be_made_of_named_files(tmp_path: Path) -> None:
    files = [nifti(tmp_path / name, value) for name, value in (("x.nii", 5), ("y.nii.gz", 6))]
    exam = read_exam(case_from_files("P001", files))
    assert (exam.case_id, first_values(exam)) == ("P001", {"pre": 5, "post1": 6})
    exam = read_exam(case_from_files("P001", files, phases=["post2", "post1"]))
    assert first_values(exam) == {"post1": 6, "post2": 5}
    png(tmp_path / "slices" / "1.png")
    png(tmp_path / "slices" / "2.png")
    assert read_exam(case_from_files("P1", [tmp_path / "slices"])).grid.shape == (2, 3, 4)
    with pytest.raises(InputError, match=r"files of one kind for case P1.*; found x\.nii, slices"):
        case_from_files("P1", [files[0], tmp_path / "slices"])


def test_phases_on_two_grids_are_refused(tmp_path: Path) -> None:
    nifti(tmp_path / "P1_0000.nii")
    nifti(tmp_path / "P1_0001.nii", grid=Grid((2, 3, 5), GRID.affine))
    with pytest.raises(
        InputError, match=r"phases of exam P1 on the grid of pre.*2 x 3 x 4.*2 x 3 x 5"
    ):
        open_exam(tmp_path)


def test_a_folder_without_images_says_what_it_holds(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found an empty folder"):
        find_cases(tmp_path)
    for name in ("a.txt", "b.TXT", "c.csv", "README"):
        (tmp_path / name).write_text("text")
    with pytest.raises(InputError, match=r"found 2 \.txt, 1 without ending, 1 \.csv and nothing"):
        find_cases(tmp_path)
    with pytest.raises(InputError, match=r"found 2 \.txt"):
        read_label_map(tmp_path)
    with pytest.raises(InputError, match=r"found nothing at .*missing"):
        find_cases(tmp_path / "missing")


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("a.nii", b"", r"a\.nii is empty \(0 bytes\)"),
        ("a.nii.gz", b"not gzip at all", r"a\.nii\.gz begins like no image format"),
        ("a.nii", b"x" * 1000, r"a\.nii begins like no image format"),
        ("a.png", b"<html>not found</html>", r"a\.png begins like no image format"),
        ("a.txt", b"hello", r"a\.txt is a file of another kind.*Choose an image file"),
        ("a.dcm", b"\0" * 128 + b"DICM", r"readable headers; found one file, without"),
        ("IM0001", b"\0" * 128 + b"DICM", r"readable headers; found one file, without"),
        ("a.nrrd", b"NRRD0005\n", r"complete NRRD file, a\.nrrd; found it damaged"),
        ("a.mha", b"ObjectType = Image", r"a\.mha is a MetaImage file. Convert it to NIfTI"),
    ],
)
def test_files_that_are_no_images_are_refused(
    tmp_path: Path, name: str, content: bytes, match: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=match):
        open_exam(tmp_path / name)


def test_names_that_lie_about_the_content_are_refused(tmp_path: Path) -> None:
    plain, packed = nifti(tmp_path / "a.nii"), nifti(tmp_path / "b.nii.gz")
    picture = png(tmp_path / "c.png")
    for source, name, match in (
        (plain, "x.nii.gz", r"found it not gzip-compressed.*end in \.nii\."),
        (packed, "x.nii", r"found it gzip-compressed.*end in \.nii\.gz"),
        (picture, "x.nii.gz", r"found that it holds PNG.*end in \.png"),
        (packed, "x.png", r"found that it holds NIfTI.*end in \.nii\.gz"),
        (picture, "x.dat", r"found that it holds PNG.*end in \.png"),
    ):
        (tmp_path / name).write_bytes(source.read_bytes())
        with pytest.raises(InputError, match=match):
            open_exam(tmp_path / name)


def test_a_jpeg_named_png_is_read_all_the_same(tmp_path: Path) -> None:
    Image.fromarray(np.arange(99, dtype=np.uint8).reshape(9, 11)).save(tmp_path / "a.jpg")
    (tmp_path / "a.jpg").rename(tmp_path / "a.png")
    assert open_exam(tmp_path / "a.png").grid.shape == (1, 9, 11)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused_with_their_count(
    tmp_path: Path, bad: float
) -> None:
    data = np.arange(24, dtype=np.float32).reshape(GRID.shape)
    data[0, :2, 1] = bad
    write_volume(tmp_path / "P1.nii.gz", Volume(data, GRID))
    with pytest.raises(
        InputError, match="in post1 of case P1; found 2 of 24 voxels NaN or infinite"
    ):
        open_exam(tmp_path / "P1.nii.gz")
    with pytest.raises(InputError, match=r"labels 0 and 1 in P1\.nii.gz"):
        read_label_map(tmp_path / "P1.nii.gz")


def test_constant_images_are_refused(tmp_path: Path) -> None:
    write_volume(tmp_path / "P1_0000.nii", Volume(np.full(GRID.shape, 7), GRID))
    nifti(tmp_path / "P1_0001.nii")
    with pytest.raises(
        InputError,
        match=r"with structure in pre of case P1; found a constant image \(all 24 voxels 7",
    ):
        open_exam(tmp_path)


@pytest.mark.parametrize("scale", [1000.0, 0.001])
def test_sizes_no_body_has_are_refused_and_stop_no_other(tmp_path: Path, scale: float) -> None:
    data = np.arange(8 * 24 * 20, dtype=np.int16).reshape(8, 24, 20)
    for name, factor in (("a", scale), ("b", 1.0)):
        grid = Grid(data.shape, np.diag([2.0 * factor, 0.8 * factor, 0.8 * factor, 1.0]))
        write_volume(tmp_path / f"{name}.nii", Volume(data, grid))
    bad, good = find_cases(tmp_path)
    with pytest.raises(InputError, match=r"size of a body in post1 of case a; found 8 x 24 x 20"):
        read_exam(bad)
    assert read_exam(good).grid.spacing_mm == (2.0, 0.8, 0.8)


def test_masks_on_another_grid_are_refused_with_both_grids(
    tmp_path: Path, sphere_exam: tuple[Exam, LabelMap]
) -> None:
    exam, truth = sphere_exam
    write_label_map(tmp_path / "truth.nii.gz", truth)
    read = read_label_map(tmp_path / "truth.nii.gz", exam=exam)
    np.testing.assert_array_equal(read.data, truth.data)
    cut = Grid((11, 48, 40), truth.grid.affine @ np.diag([1.1, 1, 1, 1]))
    write_label_map(tmp_path / "cut.nii.gz", LabelMap(truth.data[:-1], cut))
    both = (
        r"12 x 48 x 40 voxels of 3 x 0\.7 x 0\.7 mm; found one of 11 x 48 x 40 voxels of 3\.3 x 0"
    )
    with pytest.raises(InputError, match=f"grid of exam P001, {both}"):
        read_label_map(tmp_path / "cut.nii.gz", exam=exam)
    moved = Grid(truth.grid.shape, truth.grid.affine + np.eye(4, k=3))
    write_label_map(tmp_path / "moved.nii.gz", LabelMap(truth.data, moved))
    with pytest.raises(InputError, match="at another position"):
        read_label_map(tmp_path / "moved.nii.gz", exam=exam)


def test_a_mask_without_geometry_takes_the_grid_of_its_exam(
    tmp_path: Path, sphere_exam: tuple[Exam, LabelMap]
) -> None:
    exam, truth = sphere_exam
    write_label_map(tmp_path / "truth.tif", truth)
    read = read_label_map(tmp_path / "truth.tif", exam=exam)
    np.testing.assert_array_equal(read.data, truth.data)
    assert read.grid is exam.grid


def test_a_mask_of_several_volumes_is_refused(test_data: Path) -> None:
    with pytest.raises(InputError, match=r"one mask in example4d\.nii\.gz; found 2 different"):
        read_label_map(test_data / "io_tests/nipy+nibabel/example4d.nii.gz")


def test_importing_formats_loads_no_heavy_library() -> None:
    code = (
        "import sys, napari_breastseg.formats;"
        "print(*sorted({'torch', 'monai', 'nibabel', 'PIL', 'tifffile'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == ""
