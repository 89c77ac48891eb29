"""PNG, JPEG and TIFF: slices, stacks, multi-page files, colors as phases."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_breastseg.core.errors import InputError
from napari_breastseg.core.volume import Grid, LabelMap, Volume
from napari_breastseg.formats import (
    case_from_files,
    find_cases,
    open_exam,
    read_exam,
    read_label_map,
    write_label_map,
    write_volume,
)

RNG = np.random.default_rng(7)
GREY = RNG.integers(0, 255, (9, 13), dtype=np.uint8)
GREY16 = RNG.integers(0, 65535, (9, 13), dtype=np.uint16)
COLOR = RNG.integers(0, 255, (9, 13, 3), dtype=np.uint8)


def save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def only_phase(path: Path) -> np.ndarray:
    exam = open_exam(path)
    assert list(exam.phases) == ["post1"]
    return exam.phases["post1"].data


@pytest.mark.parametrize("ending", [".png", ".PNG", ".tif", ".tiff"])
@pytest.mark.parametrize("pixels", [GREY, GREY16], ids=["8 bit", "16 bit"])
def test_a_grey_slice_is_a_volume_of_one(tmp_path: Path, pixels: np.ndarray, ending: str) -> None:
    exam = open_exam(save(tmp_path / f"C01_S1{ending}", pixels))
    assert exam.case_id == "C01_S1"
    data = exam.phases["post1"].data
    assert data.dtype == pixels.dtype
    np.testing.assert_array_equal(data, pixels[None])
    assert exam.grid.spacing_mm is None
    assert exam.grid.end_letters is None


def test_a_jpeg_is_read(tmp_path: Path) -> None:
    smooth = np.add.outer(np.arange(32), np.arange(40)).astype(np.uint8)
    data = only_phase(save(tmp_path / "a.JPG", smooth))
    assert np.abs(data[0].astype(int) - smooth).max() <= 2


@pytest.mark.parametrize("ending", [".png", ".tif"])
@pytest.mark.parametrize("channels", [3, 4])
def test_equal_colors_are_grey(tmp_path: Path, channels: int, ending: str) -> None:
    pixels = np.repeat(GREY[..., None], channels, axis=-1)
    pixels[..., 3:] = 200  # alpha
    np.testing.assert_array_equal(only_phase(save(tmp_path / f"a{ending}", pixels)), GREY[None])


def test_grey_with_alpha_and_one_bit_are_grey(tmp_path: Path) -> None:
    Image.merge("LA", [Image.fromarray(GREY), Image.new("L", (13, 9), 9)]).save(tmp_path / "a.png")
    np.testing.assert_array_equal(only_phase(tmp_path / "a.png"), GREY[None])
    Image.fromarray(GREY > 100).save(tmp_path / "b.png")
    np.testing.assert_array_equal(only_phase(tmp_path / "b.png"), (GREY > 100)[None])


def test_unequal_colors_are_phases_when_named(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", COLOR)
    exam = open_exam(path, phases=("pre", "post1", "post2"))
    for channel, role in enumerate(("pre", "post1", "post2")):
        np.testing.assert_array_equal(exam.phases[role].data, COLOR[None, ..., channel])
    with pytest.raises(InputError, match=r"3 channels that differ.*--phases pre,post1,post2"):
        open_exam(path)
    with pytest.raises(InputError, match=r"Expected 2 phases.*found 3 in a\.png"):
        open_exam(path, phases=("pre", "post1"))


def test_real_color_slices_need_their_phases(test_data: Path) -> None:
    folder = test_data / "ispy_slices" / "images"
    case = find_cases(folder)[0]
    with pytest.raises(InputError, match="--phases"):
        read_exam(case)
    named = find_cases(case.path, phases=["pre", "post1", "post2"], spacing_mm=0.357)[0]
    exam = read_exam(named)
    assert list(exam.phases) == ["pre", "post1", "post2"]
    assert exam.grid.spacing_mm == (1.0, 0.357, 0.357)


def test_real_grey_slices_and_masks_open(test_data: Path) -> None:
    folder = test_data / "clinic_slices"
    cases = find_cases(folder / "images")
    assert [case.case_id for case in cases[:4]] == ["C01_S1", "C01_S2", "C01_S3", "C02_S1"]
    assert len(cases) == 21
    for case in cases:
        exam = read_exam(case)
        mask = read_label_map(folder / "masks" / f"{case.case_id}.png", exam=exam)
        assert exam.grid.shape == (1, 227, 227)
        assert set(np.unique(mask.data)) == {0, 1}
        np.testing.assert_array_equal(
            mask.data[0], np.array(Image.open(folder / "masks" / f"{case.case_id}.png")) // 255
        )


@pytest.mark.parametrize("spacing", [0.7, (0.7,), (0.7, 0.7), (1, 0.7, 0.7)])
def test_a_slice_takes_the_spacing_given(tmp_path: Path, spacing: float) -> None:
    exam = open_exam(save(tmp_path / "a.png", GREY), spacing_mm=spacing)
    assert exam.grid.spacing_mm == (1.0, 0.7, 0.7)
    assert not exam.grid.has_orientation


@pytest.mark.parametrize("spacing", [0, -1.0, (1, 2, 3, 4), (1, float("nan"))])
def test_spacing_must_be_positive(tmp_path: Path, spacing: float) -> None:
    with pytest.raises(InputError, match="spacing in mm"):
        open_exam(save(tmp_path / "a.png", GREY), spacing_mm=spacing)


def test_spacing_that_contradicts_the_file_is_refused(tmp_path: Path, oblique_grid: Grid) -> None:
    data = np.arange(np.prod(oblique_grid.shape), dtype=np.int32).reshape(oblique_grid.shape)
    write_volume(tmp_path / "a.nii", Volume(data, oblique_grid))
    assert open_exam(tmp_path / "a.nii", spacing_mm=0.7).grid.spacing_mm == (3.0, 0.7, 0.7)
    with pytest.raises(InputError, match=r"3 x 0\.7 x 0\.7 mm; found 1 x 0\.5 x 0\.5 mm"):
        open_exam(tmp_path / "a.nii", spacing_mm=0.5)


def test_a_folder_becomes_one_volume_in_natural_order(tmp_path: Path) -> None:
    for number in (10, 9, 1):
        save(tmp_path / "P001" / f"slice{number}.png", np.where(GREY > 9, number, GREY))
    exam = open_exam(tmp_path / "P001", stack=True)
    assert exam.case_id == "P001"
    assert exam.grid.shape == (3, 9, 13)
    np.testing.assert_array_equal(exam.phases["post1"].data.max(axis=(1, 2)), [9, 9, 10])
    assert exam.phases["post1"].data[0].min() == GREY.min() == 0
    assert [c.case_id for c in find_cases(tmp_path)] == ["slice1", "slice9", "slice10"]
    assert [c.path for c in find_cases(tmp_path, stack=True)] == [tmp_path / "P001"]
    with pytest.raises(InputError, match=r"found 3 cases: slice1, slice9, slice10.*--stack"):
        open_exam(tmp_path / "P001")


def test_a_stack_of_colors_is_phases_of_volumes(tmp_path: Path) -> None:
    save(tmp_path / "1.png", COLOR)
    save(tmp_path / "2.png", GREY)
    exam = open_exam(tmp_path, stack=True, phases=["pre", "post1", "post2"])
    np.testing.assert_array_equal(exam.phases["post1"].data, [COLOR[..., 1], GREY])


@pytest.mark.parametrize("odd", [GREY[:5], GREY16], ids=["size", "type"])
def test_a_stack_of_unequal_slices_is_refused(tmp_path: Path, odd: np.ndarray) -> None:
    save(tmp_path / "1.png", GREY)
    save(tmp_path / "2.png", odd)
    with pytest.raises(InputError, match=r"1\.png \(9 x 13 pixels, uint8\); found .* in 2\.png"):
        open_exam(tmp_path, stack=True)


def test_a_multi_page_tiff_is_a_volume(tmp_path: Path) -> None:
    pages = RNG.integers(0, 4000, (5, 9, 13), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", pages)
    np.testing.assert_array_equal(only_phase(tmp_path / "a.tif"), pages)
    tifffile.imwrite(tmp_path / "b.tif", pages, imagej=True)
    np.testing.assert_array_equal(only_phase(tmp_path / "b.tif"), pages)
    images = [Image.fromarray(page) for page in pages]
    images[0].save(tmp_path / "c.tif", save_all=True, append_images=images[1:])
    np.testing.assert_array_equal(only_phase(tmp_path / "c.tif"), pages)


def test_tiff_channels_are_phases_whatever_their_layout(tmp_path: Path) -> None:
    stack = RNG.integers(0, 4000, (4, 2, 9, 13), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "hyper.tif", stack, imagej=True, metadata={"axes": "ZCYX"})
    colors = RNG.integers(0, 255, (4, 9, 13, 3), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "rgb.tif", colors, photometric="rgb")
    planar = np.moveaxis(COLOR, -1, 0)
    tifffile.imwrite(tmp_path / "planar.tif", planar, photometric="rgb", planarconfig="separate")
    exam = open_exam(tmp_path / "hyper.tif", phases=["pre", "post1"])
    np.testing.assert_array_equal(exam.phases["post1"].data, stack[:, 1])
    exam = open_exam(tmp_path / "rgb.tif", phases=["pre", "post1", "post2"])
    np.testing.assert_array_equal(exam.phases["post2"].data, colors[..., 2])
    exam = open_exam(tmp_path / "planar.tif", phases=["pre", "post1", "post2"])
    np.testing.assert_array_equal(exam.phases["post1"].data, planar[1][None])


def test_tiff_pages_of_two_sizes_and_two_extra_axes_are_refused(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(GREY)
        tiff.write(GREY[:4])
    with pytest.raises(InputError, match=r"pages of one size in a\.tif; found 9 x 13, 4 x 13"):
        open_exam(tmp_path / "a.tif")
    hyper = np.zeros((3, 4, 9, 13), np.uint8)
    tifffile.imwrite(tmp_path / "b.tif", hyper, imagej=True, metadata={"axes": "TZYX"})
    with pytest.raises(InputError, match=r"slices \(Z, Y, X\) in b\.tif; found axes TZYX"):
        open_exam(tmp_path / "b.tif")


def test_inverted_and_packed_tiffs_show_the_same_values(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", 255 - GREY, photometric="miniswhite")
    np.testing.assert_array_equal(only_phase(tmp_path / "a.tif"), GREY[None])
    images = [Image.fromarray(GREY), Image.fromarray(GREY // 2)]
    images[0].save(
        tmp_path / "b.tif", save_all=True, append_images=images[1:], compression="tiff_lzw"
    )
    np.testing.assert_array_equal(only_phase(tmp_path / "b.tif"), [GREY, GREY // 2])


def test_a_16_bit_color_png_is_refused_rather_than_halved(tmp_path: Path) -> None:
    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    rows = b"".join(b"\0" + bytes(range(i, i + 12)) for i in range(2))
    (tmp_path / "a.png").write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
    with pytest.raises(InputError, match=r"in a\.png; found 16-bit colors"):
        open_exam(tmp_path / "a.png")


@pytest.mark.parametrize("ending", [".png", ".jpg", ".tif"])
@pytest.mark.parametrize("part", [0.1, 0.6])
def test_slices_cut_short_are_refused(tmp_path: Path, ending: str, part: float) -> None:
    path = save(tmp_path / f"a{ending}", np.tile(GREY, (20, 20)))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    with pytest.raises(InputError, match=rf"a\{ending}.*(damaged|cut short)"):
        open_exam(path)


def test_cmyk_and_giant_pictures_are_refused(tmp_path: Path) -> None:
    Image.new("CMYK", (9, 9)).save(tmp_path / "a.jpg")
    with pytest.raises(InputError, match=r"grey or RGB image in a\.jpg; found CMYK colors"):
        open_exam(tmp_path / "a.jpg")
    Image.new("1", (8200, 8200)).save(tmp_path / "b.png")
    with pytest.raises(InputError, match=r"in b\.png; found 8200 x 8200"):
        open_exam(tmp_path / "b.png")


def test_files_of_several_channels_share_no_set(tmp_path: Path) -> None:
    files = [save(tmp_path / name, COLOR) for name in ("a.png", "b.png")]
    with pytest.raises(InputError, match=r"one phase in each file of case P001; found 3 in a\.png"):
        read_exam(case_from_files("P001", files))


@pytest.mark.parametrize(
    ("pixels", "tumor"),
    [
        (np.array([[0, 255], [255, 0]], np.uint8), [[0, 1], [1, 0]]),
        (np.array([[0, 1], [1, 0]], np.uint8), [[0, 1], [1, 0]]),
        (np.array([[0, 65535], [0, 0]], np.uint16), [[0, 1], [0, 0]]),
        (np.array([[0, 254], [0, 0]], np.uint8), [[0, 1], [0, 0]]),
        (np.array([[255, 255], [255, 255]], np.uint8), [[1, 1], [1, 1]]),
        (np.zeros((2, 2), np.uint8), [[0, 0], [0, 0]]),
        (np.array([[False, True], [False, False]]), [[0, 1], [0, 0]]),
    ],
)
@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_pictures_of_masks(
    tmp_path: Path, pixels: np.ndarray, tumor: list[list[int]], ending: str
) -> None:
    mask = read_label_map(save(tmp_path / f"m{ending}", pixels))
    assert mask.data.dtype == np.uint8
    np.testing.assert_array_equal(mask.data, [tumor])


def test_palette_masks_hold_labels_or_black_and_white(tmp_path: Path) -> None:
    labels = np.array([[0, 1], [1, 0]], np.uint8)
    image = Image.fromarray(labels)
    image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])  # black, red, green
    image.save(tmp_path / "colors.png")
    np.testing.assert_array_equal(read_label_map(tmp_path / "colors.png").data, [labels])
    image = Image.fromarray(labels % 2)
    image.putpalette([255, 255, 255, 0, 0, 0])  # the first is white
    image.save(tmp_path / "grey.png")
    np.testing.assert_array_equal(read_label_map(tmp_path / "grey.png").data, [1 - labels % 2])


@pytest.mark.parametrize("values", [(0, 37, 255), (0, 1, 255), (10, 200)])
def test_pictures_with_other_values_are_no_masks(tmp_path: Path, values: tuple[int, ...]) -> None:
    pixels = np.resize(np.array(values, np.uint8), (3, 4))
    with pytest.raises(InputError, match=r"0 and 255\) in m\.png; found .*as well.*not as JPEG"):
        read_label_map(save(tmp_path / "m.png", pixels))


def test_a_folder_of_slices_is_a_mask_volume(tmp_path: Path) -> None:
    for number in range(12):
        save(tmp_path / "masks" / f"m{number}.png", np.where(number < GREY, 255, 0).astype("u1"))
    mask = read_label_map(tmp_path / "masks")
    np.testing.assert_array_equal(mask.data, [number < GREY for number in range(12)])


def test_masks_are_written_as_pictures(tmp_path: Path) -> None:
    labels = np.array([[[0, 1, 2], [1, 0, 0]]], np.uint8)
    for name in ("m.png", "m.PNG", "m.tif"):
        write_label_map(tmp_path / name, LabelMap(labels, Grid(labels.shape)))
        np.testing.assert_array_equal(
            np.array(Image.open(tmp_path / name)), [[0, 255, 0], [255, 0, 0]]
        )
    volume = LabelMap(np.concatenate([labels, labels % 2]), Grid((2, 2, 3)))
    write_label_map(tmp_path / "v.tiff", volume)
    np.testing.assert_array_equal(read_label_map(tmp_path / "v.tiff").tumor, volume.tumor)
    with pytest.raises(
        InputError, match=r"single slice .* to write v\.png; found 2 x 2 x 3 voxels"
    ):
        write_label_map(tmp_path / "v.png", volume)
    with pytest.raises(InputError, match=r"ends in \.nii\.gz.* found m\.jpg"):
        write_label_map(tmp_path / "m.jpg", volume)


def test_probabilities_survive_a_tiff(tmp_path: Path) -> None:
    data = RNG.random((3, 9, 13), dtype=np.float32)
    write_volume(tmp_path / "p.tif", Volume(data, Grid(data.shape)))
    np.testing.assert_array_equal(only_phase(tmp_path / "p.tif"), data)
