"""Synthetic DICOM folders: a few small slices with any header, written by pydicom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import (
    ComprehensiveSRStorage,
    DigitalMammographyXRayImageStorageForPresentation,
    EncapsulatedPDFStorage,
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    GrayscaleSoftcopyPresentationStateStorage,
    KeyObjectSelectionDocumentStorage,
    MRImageStorage,
    RawDataStorage,
    SecondaryCaptureImageStorage,
    UltrasoundImageStorage,
    generate_uid,
)

from napari_breastseg import formats
from napari_breastseg.core.volume import IGNORE, Exam, Grid, LabelMap
from napari_breastseg.formats import DicomExam

ROOT = "1.2.826.0.1.3680043.8.498."
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
STUDY = ROOT + "1"
SPACING_MM = (0.75, 0.5)
STEP_MM = 2.0
FRAME_OF_REFERENCE = "1.2.826.0.1.3680043.8.498.77"
NEEDED = {"FrameOfReferenceUID": FRAME_OF_REFERENCE}


def voxels(count: int, level: int, size: tuple[int, int] = (6, 5)) -> np.ndarray:
    """Slices that differ from each other and along both axes, uint16 (count, rows, columns)."""
    z, y, x = np.indices((count, *size))
    return (level + 100 * z + 10 * y + x).astype(np.uint16)


def slice_dataset(pixels: np.ndarray, position: Any, **elements: Any) -> FileDataset:
    """One classic MR slice; `elements` by keyword, None takes one away."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = MRImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(prefix=ROOT)
    data = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    values: dict[str, Any] = {
        "SOPClassUID": MRImageStorage,
        "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "StudyInstanceUID": STUDY,
        "Modality": "MR",
        "ImageType": ["ORIGINAL", "PRIMARY", "M", "ND"],
        "ScanningSequence": "GR",
        "RepetitionTime": 4.1,
        "EchoTime": 1.4,
        "FlipAngle": 12,
        "PixelSpacing": list(SPACING_MM),
        "SliceThickness": 9.0,  # a lie that nothing may believe
        "ImagePositionPatient": list(position),
        "ImageOrientationPatient": list(AXIAL),
        "Rows": pixels.shape[-2],
        "Columns": pixels.shape[-1],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": int(pixels.dtype.kind == "i"),
        "PixelData": pixels.tobytes(),
    }
    for keyword, value in (values | elements).items():
        if value is not None:
            setattr(data, keyword, value)
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    if "PixelData" in data:
        data["PixelData"].VR = "OW"
    return data


def write_series(
    folder: Path, number: int, level: int, *, count: int = 4, size: Any = (6, 5), **elements: Any
) -> list[Path]:
    """A series of parallel slices from the feet up, in files whose order says nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    values = {
        "SeriesInstanceUID": f"{STUDY}.{number}",
        "SeriesNumber": number,
        "SeriesDescription": f"dyn {number}",
    } | elements
    paths = []
    for z, plane in enumerate(voxels(count, level, size)):
        own = {k: v(z) if callable(v) else v for k, v in values.items()}
        place = own.pop("position", (-10.0, -20.0, 30.0 + STEP_MM * z))
        # Names and instance numbers run against the positions.
        path = folder / f"{number}-{(7 * z) % 10}{count - z}"
        with disable_value_validation():  # as scanners do
            data = slice_dataset(plane, place, **({"InstanceNumber": count - z} | own))
            data.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def write_exam(folder: Path, **elements: Any) -> Path:
    """Pre and two posts, each in a folder of its own, given in another order than acquired."""
    agent = {"ContrastBolusAgent": "Gd"}
    for place, number, level, time, more in (
        ("c", 5, 3000, "101500", agent),
        ("a", 9, 1000, "100000", {}),
        ("b/deep", 7, 2000, "101230.5", agent),
    ):
        own = {"AcquisitionTime": time} | more | elements
        write_series(folder / place, number, level, **own)
    return folder


def write_two_breasts(
    folder: Path,
    number: int,
    level: int,
    *,
    first_mm: float = -60.0,
    counts: tuple[int, int] = (5, 4),
    gap_mm: float = 110.0,
    **elements: Any,
) -> list[Path]:
    """A sagittal series of two stacks, 2 mm a slice, from the patient's right to the left.

    `first_mm` is where the first slice lies (LPS), `gap_mm` the distance between the stacks.
    """
    n_right = counts[0]

    def position(z: int) -> tuple[float, float, float]:
        return first_mm + STEP_MM * z + (gap_mm - STEP_MM) * (z >= n_right), -20.0, 30.0

    own = {"ImageOrientationPatient": list(SAGITTAL), "position": position} | elements
    return write_series(folder, number, level, count=sum(counts), **own)


# As archives hand them out: none has a place in the patient, a report has no pixels at all.
NO_PLACE = {"ImagePositionPatient": None, "ImageOrientationPatient": None, "ScanningSequence": None}
NO_PIXELS = NO_PLACE | {"Rows": None, "Columns": None, "PixelData": None, "PixelSpacing": None}
BESIDE: dict[str, dict[str, Any]] = {
    "ultrasound": NO_PLACE
    | {"Modality": "US", "SOPClassUID": UltrasoundImageStorage, "PixelSpacing": None},
    "color ultrasound": NO_PLACE
    | {"Modality": "US", "SOPClassUID": UltrasoundImageStorage, "SamplesPerPixel": 3},
    "mammogram": NO_PLACE
    | {"Modality": "MG", "SOPClassUID": DigitalMammographyXRayImageStorageForPresentation},
    "capture": NO_PLACE | {"Modality": "OT", "SOPClassUID": SecondaryCaptureImageStorage},
    "capture of MR": NO_PLACE | {"SOPClassUID": SecondaryCaptureImageStorage},
    "report": NO_PIXELS | {"Modality": "SR", "SOPClassUID": ComprehensiveSRStorage},
    "PDF": NO_PIXELS | {"Modality": "DOC", "SOPClassUID": EncapsulatedPDFStorage},
    "key images": NO_PIXELS | {"Modality": "KO", "SOPClassUID": KeyObjectSelectionDocumentStorage},
    "display": NO_PIXELS
    | {"Modality": "PR", "SOPClassUID": GrayscaleSoftcopyPresentationStateStorage},
    "raw data": NO_PIXELS | {"SOPClassUID": RawDataStorage},
}
"""Elements of what lies beside MR images in a study's folder."""


def write_beside(folder: Path, kind: str, count: int = 1, **elements: Any) -> list[Path]:
    """Files of a kind of `BESIDE`, in a series of their own."""
    number = 50 + list(BESIDE).index(kind)
    return write_series(folder, number, 500, count=count, **(BESIDE[kind] | elements))


def write_enhanced(path: Path, times: int, count: int = 3) -> np.ndarray:
    """An enhanced multi-frame file of several temporal positions, frames in a mixed order."""
    planes = np.concatenate([voxels(count, 1000 * (t + 1)) for t in range(times)])
    order = np.random.default_rng(0).permutation(len(planes))
    data = slice_dataset(planes[order], (0, 0, 0), NumberOfFrames=len(planes))
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = EnhancedMRImageStorage
    data.SeriesInstanceUID, data.SeriesNumber = f"{STUDY}.1", 1
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        delattr(data, keyword)
    data.EchoPulseSequence = "GRADIENT"
    shared, measures, plane, scale = Dataset(), Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = list(SPACING_MM)
    plane.ImageOrientationPatient = list(AXIAL)
    scale.RescaleSlope, scale.RescaleIntercept, scale.RescaleType = 1, -7, "US"
    shared.PixelMeasuresSequence = [measures]
    shared.PlaneOrientationSequence = [plane]
    shared.PixelValueTransformationSequence = [scale]
    data.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for index in order:
        time, z = divmod(int(index), count)
        frame, content, position = Dataset(), Dataset(), Dataset()
        content.TemporalPositionIndex = time + 1
        content.FrameAcquisitionDateTime = f"20240102{10 + time}0000"
        position.ImagePositionPatient = [-10.0, -20.0, 30.0 + STEP_MM * z]
        frame.FrameContentSequence = [content]
        frame.PlanePositionSequence = [position]
        frames.append(frame)
    data.PerFrameFunctionalGroupsSequence = frames
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
    return planes.reshape(times, count, *planes.shape[1:]).astype(int) - 7


def found(folder: Path, **options: Any) -> DicomExam:
    """What is decided about the one exam in a folder."""
    (case,) = formats.find_cases(folder, **options)
    assert case.dicom is not None
    return case.dicom


def levels(exam: Exam) -> dict[str, int]:
    """Role to the thousands of its voxels, which tell the series of `write_series` apart."""
    return {role: int(volume.data.min()) // 1000 for role, volume in exam.phases.items()}


def lossless_jpeg(pixels: np.ndarray) -> bytes:
    """A 16-bit slice as lossless JPEG (ITU-T T.81 process 14, first predictor)."""
    rows, columns = pixels.shape
    values = pixels.astype(int)
    left = np.zeros_like(values)
    left[:, 1:] = values[:, :-1]
    left[1:, 0] = values[:-1, 0]  # a row begins from the one above, the picture from mid-grey
    left[0, 0] = 1 << 15
    bits = ""
    for difference in ((values - left + (1 << 15)) % (1 << 16) - (1 << 15)).ravel():
        size = int(abs(difference)).bit_length()
        # Every category has the five-bit code of its own number.
        bits += f"{size:05b}"
        coded = difference if difference > 0 else difference + (1 << size) - 1
        bits += f"{int(coded):0{size}b}" if size else ""
    bits += "1" * (-len(bits) % 8)
    scan = bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)).replace(
        b"\xff", b"\xff\0"
    )

    def segment(marker: int, content: bytes) -> bytes:
        return bytes([0xFF, marker]) + (len(content) + 2).to_bytes(2, "big") + content

    counts = bytes([0, 0, 0, 0, 17, *[0] * 11])
    frame = bytes([16]) + rows.to_bytes(2, "big") + columns.to_bytes(2, "big")
    return (
        b"\xff\xd8"
        + segment(0xC3, frame + bytes([1, 1, 0x11, 0]))
        + segment(0xC4, bytes([0]) + counts + bytes(range(17)))
        + segment(0xDA, bytes([1, 1, 0, 1, 0, 0]))
        + scan
        + b"\xff\xd9"
    )


@pytest.fixture
def exam(tmp_path: Path) -> DicomExam:
    return found(write_exam(tmp_path / "P1", **NEEDED))


def grid_of(exam: DicomExam, role: str = "post1") -> Grid:
    grid = exam.phases[role].grid
    assert grid is not None
    return grid


def some_mask(exam: DicomExam) -> LabelMap:
    """Tumor in slices 1 and 2 of 4, different along every axis; slice 3 not looked at."""
    grid = grid_of(exam)
    data = np.zeros(grid.shape, np.uint8)
    data[1, 1:4, 2] = data[2, 3, 1:4] = 1
    data[3] = IGNORE
    return LabelMap(data, grid)
