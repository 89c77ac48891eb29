"""Plain DICOM files, read without pydicom, say what pydicom says; odd ones are left to it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_files import levels, slice_dataset, voxels, write_enhanced, write_exam
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from napari_breastseg import formats
from napari_breastseg.core.errors import InputError
from napari_breastseg.formats.dicom import headers, pixels
from napari_breastseg.formats.dicom.headers import Frame, Header, HeaderReader
from napari_breastseg.formats.dicom.plain import plane_of
from napari_breastseg.formats.dicom.stacks import stacks_of
from napari_breastseg.formats.dicom.walk import OddError


def odd(*_: Any) -> Any:
    raise OddError


def by_pydicom(path: Path) -> Header | None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(headers, "plain_header", odd)
        return HeaderReader().read(path)


def values_of(frame: Frame, header: Header) -> Any:
    """Plane and scales of a frame as decoded by pydicom; None if it cannot be."""
    stack = replace(stacks_of([header])[0], frames=(frame,))
    try:
        ((plane, *scales),) = pixels._decoded(stack, [frame], 0)
    except InputError:
        return None
    return plane, scales


def require_same(path: Path, reader: HeaderReader) -> bool:
    """Compare both ways; whether the pixels need no pydicom."""
    found = reader.read(path)
    assert found == by_pydicom(path)
    if found is None or len(found.frames) != 1 or (plain := found.frames[0].pixels) is None:
        return False
    decoded = values_of(found.frames[0], found)
    assert decoded is not None
    plane = plane_of(path, plain, None)
    assert plane is not None
    assert plane.dtype == decoded[0].dtype
    assert np.array_equal(plane, decoded[0])
    np.testing.assert_equal([plain.slope, plain.intercept, plain.scale_slope], decoded[1])
    return True


def private(data: Dataset) -> None:
    data.add_new(0x0029_0010, "LO", "SIEMENS CSA HEADER")
    data.add_new(0x0029_1010, "OB", bytes(70_000))


def scaled_by_philips(data: Dataset) -> None:
    data.add_new(0x2005_0010, "LO", "Philips MR Imaging DD 001")
    data.add_new(0x2005_100E, "FL", 0.0125)


def nested(data: Dataset) -> None:
    inner = Dataset()
    inner.ReferencedSOPInstanceUID = "1.2.3"
    outer = Dataset()
    outer.PurposeOfReferenceCodeSequence = Sequence([inner, Dataset()])
    outer["PurposeOfReferenceCodeSequence"].is_undefined_length = True
    outer.is_undefined_length_sequence_item = True
    data.ReferencedImageSequence = Sequence([outer, inner])
    data["ReferencedImageSequence"].is_undefined_length = True


def unused_bits(data: Dataset) -> None:
    data.BitsStored, data.HighBit = 12, 11


def inverted(data: Dataset) -> None:
    data.PhotometricInterpretation = "MONOCHROME1"


def signed(data: Dataset) -> None:
    data.PixelRepresentation, data.PhotometricInterpretation = 1, "MONOCHROME1"


def spoken(data: Dataset) -> None:
    data.SpecificCharacterSet = ["", "ISO 2022 IR 87"]
    data.PatientName = "Yamada^Tarou"
    data.PatientID, data.OtherPatientIDs = "0815 ", ["A1", "B2"]


def wordy(data: Dataset) -> None:
    data.ImageType = ["DERIVED", "SECONDARY", "SUB"]
    data.RescaleSlope, data.RescaleIntercept = "2.5", " -1e1 "
    data.TriggerTime, data.TemporalPositionIdentifier = "12.5", "3"
    data.EchoTime, data.SliceThickness = "", None


def empty(data: Dataset) -> None:
    for keyword in ("RescaleSlope", "AcquisitionTime", "PatientName", "InstanceNumber"):
        setattr(data, keyword, None)


PLAIN = (lambda _: None, private, nested, unused_bits, inverted, signed, spoken, wordy, empty)


@pytest.fixture
def plane() -> Any:
    return voxels(1, 60_000)[0]


def write(path: Path, plane: Any, change: Any, syntax: str, **elements: Any) -> Path:
    with disable_value_validation():
        data = slice_dataset(plane, (-10.5, 20.25, 3e1), **elements)
        data.AcquisitionTime, data.InstanceNumber = "101500.25", 7
        change(data)
        data.file_meta.TransferSyntaxUID = syntax
        data.save_as(path, enforce_file_format=True)
    return path


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
@pytest.mark.parametrize("change", PLAIN)
def test_a_plain_file_says_what_pydicom_says(
    tmp_path: Path, plane: Any, change: Any, syntax: str
) -> None:
    assert require_same(write(tmp_path / "a", plane, change, syntax), HeaderReader())


def test_the_scale_slope_of_philips_is_read_where_its_type_is_known(
    tmp_path: Path, plane: Any
) -> None:
    path = tmp_path / "a"
    write(path, plane, scaled_by_philips, ExplicitVRLittleEndian)
    assert require_same(path, HeaderReader())
    write(path, plane, scaled_by_philips, ImplicitVRLittleEndian)
    assert not require_same(path, HeaderReader())


@pytest.mark.parametrize(
    "elements",
    [
        {"NumberOfFrames": 2},
        {"SamplesPerPixel": 3},
        {"BitsAllocated": 8},
        {"HighBit": 14, "BitsStored": 12},
        {"PhotometricInterpretation": "PALETTE COLOR"},
        {"PixelData": bytes(10)},
        {"ContrastBolusAgentSequence": Sequence([Dataset()])},
    ],
)
def test_pixels_out_of_the_ordinary_are_left_to_pydicom(
    tmp_path: Path, plane: Any, elements: dict[str, Any]
) -> None:
    path = write(tmp_path / "a", plane, lambda _: None, ExplicitVRLittleEndian, **elements)
    assert not require_same(path, HeaderReader())


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
def test_damaged_files_are_read_as_pydicom_reads_them(
    tmp_path: Path, plane: Any, syntax: str
) -> None:
    whole = write(tmp_path / "a", plane, nested, syntax).read_bytes()
    chance, reader = np.random.default_rng(5), HeaderReader()
    n_plain = 0
    for number in range(240):
        damaged = bytearray(whole)
        if number % 4 == 0:
            del damaged[chance.integers(140, len(whole)) :]
        for at in chance.integers(132, len(whole), 1 + number % 3):
            damaged[at : at + 1] = bytes([chance.integers(256)])
        path = tmp_path / str(number)
        path.write_bytes(damaged)
        n_plain += require_same(path, reader)
    assert 20 < n_plain < 240


def test_slices_of_a_series_share_what_is_the_same_and_nothing_else(tmp_path: Path) -> None:
    reader = HeaderReader()
    files = sorted(file for file in write_exam(tmp_path / "exam").rglob("*") if file.is_file())
    seen = [reader.read(file) for file in files]
    assert seen == [by_pydicom(file) for file in files]
    assert len({header.frames[0].instance for header in seen if header}) == len(files)


def test_frames_of_one_file_are_left_to_pydicom(tmp_path: Path) -> None:
    path = tmp_path / "many"
    write_enhanced(path, times=2)
    header = HeaderReader().read(path)
    assert header is not None
    assert len(header.frames) > 1
    assert header == by_pydicom(path)


def test_a_file_that_changed_since_its_header_was_read_is_read_anew(
    tmp_path: Path, plane: Any
) -> None:
    path = write(tmp_path / "a", plane, lambda _: None, ExplicitVRLittleEndian)
    header = HeaderReader().read(path)
    assert header is not None
    assert (plain := header.frames[0].pixels) is not None
    os.utime(path, ns=(0, 0))
    assert plane_of(path, plain, None) is None
    path.unlink()
    assert plane_of(path, plain, None) is None


def real_files(folder: Path) -> Iterator[Path]:
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    yield from files[:: max(1, len(files) // 40)]


@pytest.mark.parametrize("name", ["duke_dicom", "whole_exams", "io_tests"])
def test_real_files_say_what_pydicom_says(test_data: Path, name: str) -> None:
    reader = HeaderReader()
    n_plain = sum(require_same(path, reader) for path in real_files(test_data / name))
    assert n_plain >= {"duke_dicom": 30, "whole_exams": 15, "io_tests": 0}[name]


def test_a_plain_exam_is_opened_without_pydicoms_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_exam(tmp_path / "exam")
    for module in (headers, pixels):
        monkeypatch.setattr(module, "read_dataset", lambda *_, **__: pytest.fail("read twice"))
    assert levels(formats.open_exam(folder)) == {"pre": 1, "post1": 2, "post2": 3}


def test_an_exam_is_the_same_with_and_without_pydicom(tmp_path: Path) -> None:
    folder = write_exam(tmp_path / "exam", RescaleSlope="2", RescaleIntercept="-5")
    plain = formats.open_exam(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(headers, "plain_header", odd)
        other = formats.open_exam(folder)
    assert plain.times_s == other.times_s
    for role, volume in plain.phases.items():
        assert volume.data.dtype == other.phases[role].data.dtype
        assert np.array_equal(volume.data, other.phases[role].data)
