"""What never ends is not waited for: pipes, devices, folders of everything, names that lead out."""

from __future__ import annotations

import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as TookTooLong

import numpy as np
import pytest
from dicom_files import write_series

from napari_breastseg import formats
from napari_breastseg.core.errors import InputError
from napari_breastseg.core.progress import drain
from napari_breastseg.core.volume import Grid, LabelMap, Volume
from napari_breastseg.dataset import Dataset, import_csv
from napari_breastseg.model import checkpoint
from napari_breastseg.model.checkpoint import CARD_FILE, STARTER

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")

_WAIT_S = 60


def within_reason(work):
    """What `work` gives, or a failure if it hangs; a pipe would hold it for ever."""
    done = ThreadPoolExecutor(1, thread_name_prefix="fault").submit(work)
    try:
        return done.result(timeout=_WAIT_S)
    except TookTooLong:
        pytest.fail("it hangs")
    finally:
        assert threading.active_count() < 50


def grey(folder, name="P1.nii.gz"):
    path = folder / name
    data = np.random.default_rng(1).integers(0, 200, (4, 8, 9)).astype(np.int16)
    formats.write_volume(path, Volume(data, Grid(data.shape, np.diag([3.0, 0.7, 0.7, 1.0]))))
    return path


@pytest.mark.parametrize("name", ["P1.nii", "P1.nii.gz", "P1.nrrd", "P1.png", "P1.dcm", "DICOMDIR"])
def test_a_pipe_in_place_of_an_image_is_refused(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(InputError):
        within_reason(lambda: formats.open_exam(tmp_path / name))


def test_a_pipe_in_a_folder_is_passed_over(tmp_path):
    grey(tmp_path)
    for name in ("P2.nii.gz", "P3.dcm", "P4"):
        os.mkfifo(tmp_path / name)
    assert [case.case_id for case in within_reason(lambda: formats.find_cases(tmp_path))] == ["P1"]


def test_a_pipe_among_dicom_files_is_passed_over(tmp_path):
    write_series(tmp_path, 1, 100)
    os.mkfifo(tmp_path / "IM999")
    assert within_reason(lambda: formats.open_exam(tmp_path)).grid.shape == (4, 6, 5)


def test_a_pipe_in_place_of_a_mask_or_a_table_is_refused(tmp_path):
    os.mkfifo(tmp_path / "mask.nii.gz")
    with pytest.raises(InputError, match="a pipe or a device"):
        within_reason(lambda: formats.read_label_map(tmp_path / "mask.nii.gz"))
    os.mkfifo(tmp_path / "cases.csv")
    with pytest.raises(InputError, match="a pipe or a device"):
        within_reason(lambda: drain(import_csv(tmp_path / "cases.csv", tmp_path / "D")))


def test_a_pipe_in_place_of_a_dataset_json_is_passed_over(tmp_path):
    (tmp_path / "imagesTr").mkdir()
    (tmp_path / "labelsTr").mkdir()
    image = grey(tmp_path / "imagesTr", "K1_0000.nii.gz")
    mask = LabelMap(np.eye(8, 9, dtype=np.uint8)[None].repeat(4, 0), formats.open_exam(image).grid)
    formats.write_label_map(tmp_path / "labelsTr" / "K1.nii.gz", mask)
    os.mkfifo(tmp_path / "dataset.json")
    assert within_reason(lambda: formats.find_cases(tmp_path / "imagesTr"))
    assert within_reason(lambda: formats.read_label_map(tmp_path / "labelsTr" / "K1.nii.gz"))


def import_row(folder, image):
    (folder / "cases.csv").write_text(f"case_id,patient_id,image,mask\nK1,P1,{image},\n")
    dataset = Dataset.create(folder / "D")
    return within_reason(lambda: drain(dataset.import_csv(folder / "cases.csv")))


def test_a_table_that_names_a_pipe_fails_in_that_row(tmp_path):
    os.mkfifo(tmp_path / "pipe.nii")
    (failure,) = import_row(tmp_path, "pipe.nii").failures
    assert "a pipe or a device in column image" in failure.message


def test_a_table_that_names_a_folder_of_everything_fails_in_that_row(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_breastseg.dataset.layout._MOST_ENTRIES", 20)
    (tmp_path / "all").mkdir()
    for number in range(30):
        (tmp_path / "all" / f"{number}.txt").touch()
    (failure,) = import_row(tmp_path, "all").failures
    assert "Expected a folder with the files of one case" in failure.message


NHDR = """NRRD0004
type: short
dimension: 3
sizes: 9 8 4
encoding: {encoding}
endian: little
{more}
"""


def nhdr(folder, more, encoding="raw"):
    folder.mkdir(exist_ok=True)
    path = folder / "P1.nhdr"
    path.write_text(NHDR.format(more=more, encoding=encoding))
    return path


def test_an_nrrd_header_reads_the_data_beside_it(tmp_path):
    data = np.arange(4 * 8 * 9, dtype="<i2").reshape(4, 8, 9)
    (tmp_path / "P1.raw").write_bytes(data.tobytes())
    exam = formats.open_exam(nhdr(tmp_path, "data file: P1.raw"))
    np.testing.assert_array_equal(exam.phases["post1"].data, data)


@pytest.mark.parametrize("name", ["../outside.raw", "{folder}/outside.raw", "link.raw"])
def test_an_nrrd_header_leads_to_no_file_outside_its_folder(tmp_path, name):
    (tmp_path / "outside.raw").write_bytes(bytes(2 * 4 * 8 * 9))
    inside = tmp_path / "in"
    inside.mkdir()
    (inside / "link.raw").symlink_to(tmp_path / "outside.raw")
    path = nhdr(inside, f"data file: {name.format(folder=tmp_path)}")
    with pytest.raises(InputError, match=r"data file of P1\.nhdr in its folder"):
        formats.open_exam(path)


def test_an_nrrd_data_file_that_is_a_pipe_is_refused(tmp_path):
    os.mkfifo(tmp_path / "P1.raw")
    with pytest.raises(InputError, match="a pipe or a device"):
        within_reason(lambda: formats.open_exam(nhdr(tmp_path, "data file: P1.raw")))


@pytest.mark.parametrize("encoding", ["raw", "gzip"])
def test_an_nrrd_header_that_skips_lines_without_end_is_refused(tmp_path, encoding):
    (tmp_path / "P1.raw").write_bytes(bytes(2 * 4 * 8 * 9))
    path = nhdr(tmp_path, "line skip: 999999999\ndata file: P1.raw", encoding)
    with pytest.raises(InputError, match="lines or bytes to skip"):
        within_reason(lambda: formats.open_exam(path))


def test_a_model_card_that_is_a_link_is_neither_shown_nor_copied(tmp_path):
    (tmp_path / "secret.txt").write_text("a secret")
    model = tmp_path / "model"
    shutil.copytree(STARTER, model)
    (model / CARD_FILE).unlink()
    (model / CARD_FILE).symlink_to(tmp_path / "secret.txt")
    assert checkpoint.load(model).card == ""
    (tmp_path / "copy").mkdir()
    with pytest.raises(InputError, match="a link to another file"):
        checkpoint.copy(model, tmp_path / "copy")


def tiff(folder, name="P1.tif"):
    """A TIFF file of four pages, and where its second and third page begin."""
    path = folder / name
    data = np.random.default_rng(1).integers(0, 200, (4, 8, 9)).astype(np.int16)
    formats.write_volume(path, Volume(data, Grid(data.shape)))
    import tifffile

    with tifffile.TiffFile(path) as file:
        return path, [page.offset for page in file.pages]


@pytest.mark.parametrize("target", [0, 1, 2])
def test_a_tiff_file_whose_pages_lead_in_a_circle_is_refused(tmp_path, target):
    path, pages = tiff(tmp_path)
    content = bytearray(path.read_bytes())
    n_tags = int.from_bytes(content[pages[2] : pages[2] + 2], "little")
    link = pages[2] + 2 + 12 * n_tags
    content[link : link + 4] = pages[target].to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(InputError, match="pages lead in a circle"):
        within_reason(lambda: formats.open_exam(path))


@pytest.mark.parametrize("count", [1 << 20, (1 << 32) - 1])
def test_a_tiff_tag_that_is_larger_than_the_file_is_refused(tmp_path, count):
    path, pages = tiff(tmp_path)
    content = bytearray(path.read_bytes())
    # The count of values is the second half of a tag's head.
    content[pages[1] + 2 + 4 : pages[1] + 2 + 8] = count.to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(InputError, match="a tag that is larger than the file"):
        formats.open_exam(path)


def test_a_tiff_file_that_names_another_one_opens_that_never(tmp_path):
    import tifffile

    for name in ("outside.ome.tif", "in/P1.ome.tif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        data = np.random.default_rng(1).integers(0, 200, (2, 8, 9)).astype(np.int16)
        tifffile.imwrite(tmp_path / name, data, metadata={"axes": "ZYX"})
    path = tmp_path / "in" / "P1.ome.tif"
    with tifffile.TiffFile(path) as file:
        described = file.ome_metadata
    there = '<UUID FileName="../outside.ome.tif">urn:uuid:1</UUID>'
    plane = '<TiffData IFD="0" FirstZ="{}" PlaneCount="1">{}</TiffData>'
    start, end = described.index("<TiffData"), described.index("</Pixels>")
    described = (
        described[:start] + plane.format(0, there) + plane.format(1, there) + described[end:]
    )
    tifffile.imwrite(path, data[:1], description=described, metadata=None)
    opened = []

    def watched(name, *args, **kwargs):
        opened.append(str(name))
        return open(name, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(tifffile.tifffile, "open", watched, raising=False)
        exam = formats.open_exam(path)
    assert opened == []
    np.testing.assert_array_equal(exam.phases["post1"].data, data[:1])
