"""A few bytes that claim to be gigabytes are refused by what they claim, not unpacked first."""

from __future__ import annotations

import gzip
import json
import tracemalloc
import zlib

import numpy as np
import pytest
import tifffile

from napari_breastseg import formats
from napari_breastseg.core import reading
from napari_breastseg.core.errors import InputError
from napari_breastseg.core.volume import Grid, Volume
from napari_breastseg.formats.dicom.elements import read_dataset
from napari_breastseg.formats.dicom.headers import read_header
from napari_breastseg.model.importing import import_model

MB = 1 << 20


def refused(path, match, most=64 * MB):
    """Reading a file is refused, in little memory."""
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=match):
            formats.open_exam(path)
        assert tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()


def nifti_header(shape):
    from nibabel.nifti1 import Nifti1Header

    header = Nifti1Header()
    header.set_data_shape(shape)
    header.set_data_dtype(np.int16)
    header["magic"] = b"n+1"
    header["vox_offset"] = 352
    return header.binaryblock + bytes(4)


@pytest.fixture
def small_is_nothing(monkeypatch):
    """Shrinking counts for small files, too, so that tests need no large ones."""
    monkeypatch.setattr(reading, "_SMALL", MB)


@pytest.mark.parametrize("shape", [(512, 512, 4, 40), (3000, 3000, 3000)])
def test_a_nifti_bomb(tmp_path, small_is_nothing, shape):
    path = tmp_path / "P1.nii.gz"
    path.write_bytes(gzip.compress(nifti_header(shape) + bytes(100 * MB)))
    refused(path, "would unpack to|bytes of voxels")


def test_a_budget_is_said_and_raised_by_a_setting(tmp_path, monkeypatch):
    data = np.random.default_rng(1).integers(0, 200, (4, 64, 64)).astype(np.int16)
    path = tmp_path / "P1.nii.gz"
    formats.write_volume(path, Volume(data, Grid(data.shape)))
    monkeypatch.setenv(reading.READ_GB, "0.00001")
    with pytest.raises(InputError, match=r"at most 1e-05 GB .* set BREASTSEG_READ_GB"):
        formats.open_exam(path)
    monkeypatch.setenv(reading.READ_GB, "much")
    with pytest.raises(InputError, match="number above 0 in the environment variable"):
        formats.open_exam(path)
    monkeypatch.delenv(reading.READ_GB)
    monkeypatch.setenv(reading.READ_SECONDS, "1e-9")
    with pytest.raises(InputError, match="BREASTSEG_READ_SECONDS"):
        formats.open_exam(path)
    monkeypatch.delenv(reading.READ_SECONDS)
    assert formats.open_exam(path).grid.shape == (4, 64, 64)


NRRD = "NRRD0004\ntype: uchar\ndimension: 3\nsizes: {}\nencoding: {}\n\n"


@pytest.mark.parametrize("encoding", ["gzip", "bzip2"])
def test_an_nrrd_bomb_is_unpacked_as_far_as_its_header_says(tmp_path, encoding):
    import bz2

    pack = gzip.compress if encoding == "gzip" else bz2.compress
    path = tmp_path / "P1.nrrd"
    path.write_bytes(NRRD.format("4 4 4", encoding).encode() + pack(bytes(200 * MB)))
    refused(path, "65? or more|64 bytes of voxels")


@pytest.mark.parametrize("encoding", ["gzip", "bzip2", "raw"])
def test_whole_nrrd_files_are_read_in_every_encoding(tmp_path, encoding):
    import bz2

    pack = {"gzip": gzip.compress, "bzip2": bz2.compress, "raw": bytes}[encoding]
    data = np.random.default_rng(1).integers(0, 200, (4, 8, 9)).astype(np.uint8)
    path = tmp_path / "P1.nrrd"
    path.write_bytes(NRRD.format("9 8 4", encoding).encode() + pack(data.tobytes()))
    np.testing.assert_array_equal(formats.open_exam(path).phases["post1"].data, data)


def test_a_gzipped_nrrd_with_a_wrong_checksum_is_refused(tmp_path):
    packed = bytearray(gzip.compress(np.random.default_rng(1).bytes(64)))
    packed[-6] ^= 1
    path = tmp_path / "P1.nrrd"
    path.write_bytes(NRRD.format("4 4 4", "gzip").encode() + packed)
    with pytest.raises(InputError, match="damaged"):
        formats.open_exam(path)


def test_a_tiff_bomb(tmp_path, small_is_nothing):
    path = tmp_path / "P1.tif"
    tifffile.imwrite(
        path, np.zeros((30, 4096, 4096), np.uint8), compression="zlib", photometric="minisblack"
    )
    refused(path, "would unpack to")


def deflated(path, n_bytes):
    """A deflated DICOM file whose data set unpacks to so many bytes and more."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import DeflatedExplicitVRLittleEndian, MRImageStorage, generate_uid

    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = MRImageStorage
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = generate_uid()
    data.Modality = "MR"
    data.Rows, data.Columns = 8, 8
    data.PixelData = bytes(n_bytes)
    data["PixelData"].VR = "OW"
    data.save_as(path, enforce_file_format=True)
    return path


def test_a_deflated_dicom_bomb(tmp_path, small_is_nothing):
    assert read_header(deflated(tmp_path / "small.dcm", 128)) is not None
    path = deflated(tmp_path / "P1.dcm", 60 * MB)
    with pytest.raises(ValueError, match="far more than an image"):
        read_dataset(path)
    refused(path, "Expected", most=40 * MB)


@pytest.mark.parametrize(("count", "size"), [(20_000, 30_000), (100_000, 110_000)])
def test_a_dicom_file_that_claims_more_frames_than_it_can_hold(tmp_path, count, size):
    from pydicom import dcmread
    from pydicom.uid import ExplicitVRLittleEndian

    path = deflated(tmp_path / "P1.dcm", size)
    data = dcmread(path)
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.NumberOfFrames = count
    data.Rows = data.Columns = 256
    data.BitsAllocated = 16
    data.save_as(path)
    assert read_header(path) is None


def bundle(folder, config, ending):
    (folder / "configs").mkdir(parents=True)
    (folder / "configs" / "metadata.json").write_text("{}")
    text = config if isinstance(config, str) else json.dumps(config)
    (folder / "configs" / f"inference.{ending}").write_text(text)
    return folder


def test_references_that_stand_for_more_and_more_are_refused(tmp_path):
    config = {"network_def": "@a0"}
    config |= {f"a{n}": [f"@a{n + 1}"] * 10 for n in range(8)}
    config["a8"] = 1
    with pytest.raises(InputError, match="stands for more than"):
        import_model(bundle(tmp_path / "b", config, "json"), tmp_path / "made")


def test_yaml_aliases_that_stand_for_more_and_more_are_refused(tmp_path):
    lines = ["a0: &a0 [1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    lines += ["network_def: {_target_: BasicUNet, features: *a9}"]
    with pytest.raises(InputError, match="stands for more than"):
        import_model(bundle(tmp_path / "b", "\n".join(lines), "yaml"), tmp_path / "made")


def test_a_preprocessing_that_refers_to_itself_is_refused(tmp_path):
    config = {"network_def": {"_target_": "BasicUNet"}, "preprocessing": "@preprocessing"}
    with pytest.raises(InputError, match="refers to itself"):
        import_model(bundle(tmp_path / "b", config, "json"), tmp_path / "made")


def test_what_shrinks_much_and_is_small_is_read(tmp_path):
    # An empty mask of a large exam shrinks a thousandfold, and is no bomb.
    data = np.zeros((60, 256, 256), np.uint8)
    path = tmp_path / "mask.nii.gz"
    formats.write_volume(path, Volume(data, Grid(data.shape)))
    assert path.stat().st_size * 200 < data.size
    assert not formats.read_label_map(path).tumor.any()
    assert zlib.crc32(data) == zlib.crc32(formats.read_label_map(path).data)
