"""What the labels of a mask mean: on record, said by the person who opens it, or asked."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from napari_breastseg.core.errors import InputError
from napari_breastseg.core.volume import IGNORE, Grid, LabelMap, Volume
from napari_breastseg.formats import read_label_map, write_label_map, write_volume
from napari_breastseg.formats.labels import labels_named_in

GRID = Grid((4, 6, 5), np.diag([2.0, 0.8, 0.7, 1.0]))
LESIONS = np.zeros(GRID.shape, np.uint8)
LESIONS[1, 1:3, 1:3] = 1
LESIONS[2, 3:5, 2:5] = 2


def save(path: Path, data: np.ndarray) -> Path:
    write_volume(path, Volume(data, GRID))
    return path


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".tif"])
def test_two_labels_of_another_program_are_a_question(tmp_path: Path, ending: str) -> None:
    path = save(tmp_path / f"m{ending}", LESIONS)
    with pytest.raises(
        InputError,
        match=r"0 background and 1 tumor in m\..*; found label 1 \(4 voxels\) and label 2 "
        r"\(6 voxels\)\. Say which are tumor: --tumor-label 2, .* or --tumor-label 1,2 if each",
    ):
        read_label_map(path)


@pytest.mark.parametrize(
    ("tumor", "voxels"), [({1}, LESIONS == 1), ({2}, LESIONS == 2), ({1, 2}, LESIONS > 0)]
)
def test_labels_said_to_be_tumor_are_one_tumor_and_the_others_background(
    tmp_path: Path, tumor: set[int], voxels: np.ndarray
) -> None:
    read = read_label_map(save(tmp_path / "m.nii.gz", LESIONS), tumor=tumor)
    np.testing.assert_array_equal(read.data, voxels.astype(np.uint8))


@pytest.mark.parametrize("labels", [(0, 2), (0, 3), (0, 1, 3), (0, 255), (0, 1, 2, 5, 7), (0, 300)])
def test_any_label_but_1_is_a_question_that_names_it(
    tmp_path: Path, labels: tuple[int, ...]
) -> None:
    data = np.resize(np.array(labels, np.int16), GRID.shape)
    with pytest.raises(InputError, match=rf"label {labels[-1]} \(\d+ voxels\)"):
        read_label_map(save(tmp_path / "m.nii", data))
    read = read_label_map(tmp_path / "m.nii", tumor={labels[-1]})
    np.testing.assert_array_equal(read.tumor, data == labels[-1])


def test_a_label_that_is_not_there_is_no_tumor(tmp_path: Path) -> None:
    path = save(tmp_path / "m.nii", LESIONS)
    with pytest.raises(InputError, match=r"label 4 in m\.nii, as was said .*found only label 1 "):
        read_label_map(path, tumor={4})
    assert not read_label_map(save(tmp_path / "e.nii", 0 * LESIONS), tumor={4}).data.any()


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".nrrd"])
def test_our_masks_say_what_their_2_means_wherever_they_are_copied(
    tmp_path: Path, ending: str
) -> None:
    write_label_map(tmp_path / f"m{ending}", LabelMap(LESIONS, GRID))
    shutil.copy(tmp_path / f"m{ending}", tmp_path / f"other{ending}")
    read = read_label_map(tmp_path / f"other{ending}")
    np.testing.assert_array_equal(read.data, LESIONS)


def test_a_mask_of_ours_without_ignore_says_nothing(tmp_path: Path) -> None:
    write_label_map(tmp_path / "m.nii", LabelMap(LESIONS % 2, GRID))
    assert bytes(nib.load(tmp_path / "m.nii").header["descrip"].tobytes()).strip(b"\0") == b""


@pytest.mark.parametrize(
    ("labels", "tumor", "ignore"),
    [
        ({"background": 0, "tumor": 1, "ignore": 2}, [1], [2]),
        ({"background": 0, "breast": 1, "Tumour": 2}, [2], []),
        ({"background": 0, "mass": 1, "non-mass lesion": 2, "ignore": 3}, [1, 2], [3]),
        ({"0": "background", "1": "lesion"}, [1], []),
        ({"background": 0, "target": 1}, [1], []),
    ],
)
def test_names_in_a_dataset_json_say_which_label_is_tumor(
    labels: dict[str, object], tumor: list[int], ignore: list[int]
) -> None:
    meaning = labels_named_in(labels)
    assert meaning is not None
    assert (sorted(meaning.tumor), sorted(meaning.ignore)) == (tumor, ignore)


@pytest.mark.parametrize(
    "labels",
    [
        {"background": 0, "index": 1, "satellite": 2},
        {"background": 0, "breast": 1},
        {"background": 0, "tumor": 1, "necrosis": 2},
        {"background": 0, "whole tumor": [1, 2], "core": [2]},
    ],
)
def test_names_that_leave_it_open_are_a_question(labels: dict[str, object]) -> None:
    assert labels_named_in(labels) is None


def test_a_mask_in_an_nnunet_folder_is_read_as_its_dataset_json_says(tmp_path: Path) -> None:
    names = {"background": 0, "tumor": 2, "breast": 1, "ignore": 3}
    (tmp_path / "labelsTr").mkdir()
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": names}))
    data = LESIONS.copy()
    data[3] = 3
    path = save(tmp_path / "labelsTr" / "m.nii.gz", data)
    read = read_label_map(path)
    np.testing.assert_array_equal(read.tumor, data == 2)
    np.testing.assert_array_equal(read.data == IGNORE, data == 3)
    assert read.reviewed_slices == (0, 1, 2)
    save(path, data + 1)
    with pytest.raises(
        InputError, match=r"0, 1, 2 and 3 in m\.nii\.gz, as its record .* found 4 as"
    ):
        read_label_map(path)


@pytest.mark.parametrize("one", [0.9999999, 1.0000001, 0.9996])
def test_a_label_a_hair_off_a_whole_number_is_that_number(tmp_path: Path, one: float) -> None:
    data = np.where(LESIONS == 1, one, 0.0)
    read = read_label_map(save(tmp_path / "m.nii", data))
    np.testing.assert_array_equal(read.tumor, LESIONS == 1)


def test_a_scaled_header_leaves_labels_what_they_were(tmp_path: Path) -> None:
    image = nib.Nifti1Image((LESIONS == 1).astype(np.int16).T * 3, np.diag([0.7, 0.8, 2.0, 1.0]))
    image.header.set_slope_inter(1 / 3, 0)
    nib.save(image, tmp_path / "m.nii")
    np.testing.assert_array_equal(read_label_map(tmp_path / "m.nii").tumor, LESIONS == 1)


@pytest.mark.parametrize("value", [0.5, 0.99, 1.4, np.nan, np.inf, -1.0])
def test_other_numbers_are_no_labels(tmp_path: Path, value: float) -> None:
    data = np.where(LESIONS == 2, value, (LESIONS == 1).astype(float))
    with pytest.raises(InputError, match=rf"found {value:g} as well.*without smoothing"):
        read_label_map(save(tmp_path / "m.nii", data))


# Pictures


INSIDE = (np.mgrid[:32, :30][0] - 15) ** 2 + (np.mgrid[:32, :30][1] - 12) ** 2 < 40
ALPHA = np.where(INSIDE, 255, 0).astype(np.uint8)


def colored(level: int, alpha: np.ndarray) -> Image.Image:
    return Image.fromarray(np.dstack([np.full((*alpha.shape, 3), level, np.uint8), alpha]), "RGBA")


@pytest.mark.parametrize("level", [0, 90, 255])
def test_a_mask_in_the_alpha_channel_is_its_shape(tmp_path: Path, level: int) -> None:
    colored(level, ALPHA).save(tmp_path / "rgba.png")
    colored(level, ALPHA).convert("LA").save(tmp_path / "la.png")
    colored(level, ALPHA).save(tmp_path / "rgba.tif")
    palette = Image.fromarray(INSIDE.astype(np.uint8), "P")
    palette.putpalette([level] * 6)
    palette.save(tmp_path / "palette.png", transparency=b"\x00\xff")
    for path in sorted(tmp_path.iterdir()):
        read = read_label_map(path)
        assert read.tumor.sum() == INSIDE.sum(), path.name
        np.testing.assert_array_equal(read.tumor[0], INSIDE)


def test_an_opaque_picture_or_one_cut_out_of_black_is_read_by_its_colors(tmp_path: Path) -> None:
    grey = np.where(INSIDE, 255, 0).astype(np.uint8)
    for name, alpha in (("opaque", np.full_like(ALPHA, 255)), ("cut", ALPHA)):
        Image.fromarray(np.dstack([grey, alpha]), "LA").save(tmp_path / f"{name}.png")
        np.testing.assert_array_equal(read_label_map(tmp_path / f"{name}.png").tumor[0], INSIDE)


@pytest.mark.parametrize("case", ["soft", "elsewhere", "nothing seen"])
def test_alpha_and_colors_that_say_different_things_are_refused(tmp_path: Path, case: str) -> None:
    grey = np.where(INSIDE, 255, 0).astype(np.uint8)
    alpha = {
        "soft": np.where(INSIDE, 200, 0).astype(np.uint8),
        "elsewhere": ALPHA[::-1, ::-1],
        "nothing seen": np.zeros_like(ALPHA),
    }[case]
    Image.fromarray(np.dstack([grey, np.ascontiguousarray(alpha)]), "LA").save(tmp_path / "m.png")
    with pytest.raises(InputError, match=r"without transparency, .* in m\.png; found colors and"):
        read_label_map(tmp_path / "m.png")


def test_an_image_with_alpha_is_still_an_image(tmp_path: Path) -> None:
    from napari_breastseg.formats import open_exam

    grey = (np.arange(INSIDE.size) % 200).astype(np.uint8).reshape(INSIDE.shape)
    Image.fromarray(np.dstack([grey, ALPHA]), "LA").save(tmp_path / "P1.png")
    np.testing.assert_array_equal(open_exam(tmp_path / "P1.png").phases["post1"].data[0], grey)
