"""Label map to DICOM SEG, with references to the source images of each frame.

A SEG belongs to the patient's study, so its patient and study modules are those of its source. It
is the only file of this package that names the patient. highdicom builds the object from headers
without these modules, so that none of its messages can quote them; they are added last. Loads
pydicom and highdicom late.

References
----------
DICOM PS3.3: A.51 Segmentation IOD. C. P. Bridge et al. (2022), Highdicom: a Python library for
standardized encoding of image annotations, J Digit Imaging 35, 1719-1737.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.atomic import atomic_path
from ...core.errors import InputError, StorageError
from ...core.version import __version__
from ...core.volume import Grid, LabelMap
from ..dicom import DicomExam, Stack
from ..dicom.elements import quiet, read_dataset, text_of
from .codes import BREAST, CATEGORY, SIDES, TYPES, Coded

__all__ = ["ALGORITHMS", "WrittenSeg", "write_seg"]

ALGORITHMS = ("manual", "semiautomatic", "automatic")
"""How a mask was made, in DICOM's terms."""

_MAKER = "napari-breastseg"
_SERIES_NUMBER = 900
_WIDE_MM = 250.0
"""A field of view at least this wide shows both breasts."""
_MIDDLE_MM = 20.0
"""A voxel this close to its middle may belong to either breast."""

# What highdicom needs of a source image; nothing here identifies the patient.
_KEPT = (
    *("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Modality"),
    *("FrameOfReferenceUID", "PositionReferenceIndicator", "ImageType", "Rows", "Columns"),
    *("NumberOfFrames", "PixelSpacing", "SliceThickness", "SpacingBetweenSlices"),
    *("ImagePositionPatient", "ImageOrientationPatient", "Manufacturer"),
    *("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
)
_ASKED_FOR = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber"),
    *("StudyID", "StudyDate", "StudyTime", "ReferringPhysicianName"),
)

# By these an archive files the SEG with its images. What else the headers say of the patient, such
# as history, allergies, comments and other ids, is not repeated.
_CARRIED = (
    *("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex"),
    *("StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "StudyDescription"),
    *("AccessionNumber", "ReferringPhysicianName"),
)
_DEIDENTIFIED = (
    *("PatientIdentityRemoved", "DeidentificationMethod", "DeidentificationMethodCodeSequence"),
)
"""Carried, too, where a file says that its patient was given a pseudonym."""


@dataclass(frozen=True)
class WrittenSeg:
    """What was written into a SEG."""

    case_id: str
    role: str
    """The phase whose images it refers to."""

    frames: int
    voxels: int
    side: str | None
    """"right", "left" or "both"; None if not stated."""


def write_seg(
    path: Path,
    label_map: LabelMap,
    exam: DicomExam,
    *,
    role: str | None = None,
    kind: str = "lesion",
    side: str | None = None,
    algorithm: str = "semiautomatic",
    made_with: tuple[str, str] = (_MAKER, __version__),
) -> WrittenSeg:
    """Write the tumor of a label map as a binary DICOM SEG of one segment, atomically.

    Parameters
    ----------
    path : Path
        Ends in `.dcm`.
    label_map : LabelMap
        On the grid of the exam; only tumor is written, not `ignore`.
    exam : DicomExam
        The exam the mask was drawn on.
    role : str, optional
        The phase whose images the SEG refers to: by default the first post-contrast phase.
    kind : str
        One of `TYPES`.
    side : {"right", "left", "both", "none"}, optional
        Laterality of the breast. By default derived from the tumor's position in a field of view
        of both breasts, and not stated if that is not clear.
    algorithm : {"manual", "semiautomatic", "automatic"}
        How the mask was made.
    made_with : (str, str)
        Name and version of the algorithm; not written for a manual mask.

    Returns
    -------
    WrittenSeg

    Raises
    ------
    InputError
        If the mask is empty or not on the exam's grid, an option is unknown, or the exam's headers
        lack what a SEG needs.
    StorageError
        If the file cannot be written.
    """
    path = Path(path)
    _require_choice("type", kind, tuple(TYPES))
    _require_choice("side", side or "none", (*SIDES, "none"))
    _require_choice("algorithm", algorithm, ALGORITHMS)
    if path.suffix.lower() != ".dcm":
        raise InputError(
            "Expected a file name that ends in .dcm for a DICOM SEG",
            f"found {path.suffix or 'no ending'}",
            "Choose a name such as tumor.dcm",
        )
    role, stack = _phase(exam, role)
    grid = stack.grid
    if grid is None or not (grid.has_orientation and grid.has_spacing):
        raise InputError(
            f"Expected position and orientation in the headers of {role} of exam {exam.case_id}",
            "found none",
            "Write the mask as NIfTI; a DICOM SEG needs both",
        )
    label_map.require_grid(grid, exam.case_id)
    tumor = label_map.tumor
    if not tumor.any():
        raise InputError(
            f"Expected a mask with tumor for the DICOM SEG of exam {exam.case_id}",
            "found an empty mask",
            "Save the mask as NIfTI; a DICOM SEG cannot be empty",
        )
    chosen = side_of(tumor, grid) if side is None else (None if side == "none" else side)
    sources = _sources(stack, exam.case_id)
    import highdicom  # noqa: F401  # its loggers must exist to be silenced

    try:
        with quiet():
            bare = [_anonymous(source, stack, grid) for source in sources]
            seg = _segmentation(bare, tumor, kind, chosen, algorithm, made_with)
            if "NumberOfFrames" in bare[0]:
                _number_as_in_file(seg, stack)
            _file_with(seg, sources[0])
            with atomic_path(path) as temporary:
                seg.save_as(temporary, enforce_file_format=True)
    except StorageError:
        raise
    # highdicom and pydicom may raise anything, and quote the headers.
    except Exception as error:
        raise InputError(
            f"Expected headers of {role} of exam {exam.case_id} that a DICOM SEG can be made from",
            f"found them incomplete or not as the standard has them ({type(error).__name__})",
            "Export the exam again from the archive, or write the mask as NIfTI",
        ) from None
    return WrittenSeg(exam.case_id, role, int(seg.NumberOfFrames), int(tumor.sum()), chosen)


def side_of(tumor: NDArray[np.bool_], grid: Grid) -> str | None:
    """Side of a tumor in a field of view of both breasts; None if that is not clear.

    Parameters
    ----------
    tumor : array of bool, shape (Z, Y, X)
        The mask.
    grid : Grid
        The mask's grid.

    Returns
    -------
    {"right", "left", "both"} or None
        None if the field of view is narrower than 250 mm, or the tumor within 20 mm of its middle.
    """
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in grid.shape], [1])).reshape(4, -1)
    ends = (grid.affine @ corners)[0]
    if ends.max() - ends.min() < _WIDE_MM:
        return None
    voxels = np.argwhere(tumor)
    off = voxels @ grid.affine[0, :3] + grid.affine[0, 3] - (ends.max() + ends.min()) / 2
    is_right, is_left = bool((off > _MIDDLE_MM).any()), bool((off < -_MIDDLE_MM).any())
    if is_right and is_left:
        return "both"
    return "right" if is_right else "left" if is_left else None


def _require_choice(what: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise InputError(
            f"Expected one of {', '.join(known)} for the {what} of a DICOM SEG",
            f"found {value}",
            "Choose one of them",
        )


def _phase(exam: DicomExam, role: str | None) -> tuple[str, Stack]:
    if exam.decision.question is not None:
        raise exam.decision.question
    phases = exam.phases
    if role is None:
        role = next((name for name in phases if name != "pre"), next(iter(phases)))
    if role not in phases:
        raise InputError(
            f"Expected a phase of exam {exam.case_id}: {', '.join(phases)}",
            f"found {role}",
            "Choose one of them",
        )
    return role, phases[role]


def _sources(stack: Stack, case_id: str) -> list[Any]:
    """Headers of the source files, slice by slice; a single one for frames of one file."""
    files = list(dict.fromkeys(frame.file for frame in stack.frames))
    is_multi_frame = len(files) < len(stack.frames)
    sources: list[Any] = []
    with quiet():
        try:
            sources = [read_dataset(file, stop_before_pixels=True) for file in files]
        # On a damaged byte pydicom may raise anything.
        except Exception:
            sources = []
    needed = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")
    lacking = [word for word in needed if not all(source.get(word) for source in sources)]
    if not sources or lacking or (is_multi_frame and len(files) > 1):
        came = f"some without {lacking[0]}" if lacking else "some that could not be read"
        raise InputError(
            f"Expected the source images of exam {case_id} with what a DICOM SEG refers to",
            "found them spread over several multi-frame files"
            if sources and not lacking
            else f"found {came}",
            "Export the exam again from the archive, or write the mask as NIfTI",
        )
    return sources


def _segmentation(
    sources: Sequence[Any],
    tumor: NDArray[np.bool_],
    kind: str,
    side: str | None,
    algorithm: str,
    made_with: tuple[str, str],
) -> Any:
    import highdicom as hd
    from pydicom.sr.codedict import codes

    name = TYPES[kind][1]

    how: dict[str, Any] = {"algorithm_type": algorithm.upper()}
    if algorithm != "manual":
        how["algorithm_identification"] = hd.AlgorithmIdentificationSequence(
            name=made_with[0],
            version=made_with[1],
            family=codes.cid7162.ArtificialIntelligence,
        )
    description = hd.seg.SegmentDescription(
        segment_number=1,
        segment_label=name,
        segmented_property_category=_concept(CATEGORY),
        segmented_property_type=_concept(TYPES[kind]),
        anatomic_regions=[_concept(BREAST)],
        **how,
    )
    if side is not None:
        region = description.AnatomicRegionSequence[0]
        region.AnatomicRegionModifierSequence = [_concept(SIDES[side])]
    return hd.seg.Segmentation(
        source_images=sources,
        pixel_array=tumor.astype(np.uint8),
        segmentation_type="BINARY",
        segment_descriptions=[description],
        series_instance_uid=hd.UID(),
        series_number=_SERIES_NUMBER,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer=_MAKER,
        manufacturer_model_name=_MAKER,
        software_versions=__version__,
        device_serial_number="0",
        content_label="TUMOR",
        content_description=f"{name} of the breast",
        series_description=f"{name} segmentation",
        specific_character_set="ISO_IR 192",
    )


def _concept(code: Coded) -> Any:
    from highdicom.sr import CodedConcept

    value, meaning = code
    return CodedConcept(value=value, scheme_designator="SCT", meaning=meaning)


def _anonymous(source: Any, stack: Stack, grid: Grid) -> Any:
    """The header of a source image without patient, visit and institution.

    Only the stack's frames of a multi-frame file are kept, in their order: others may lie at the
    same positions at other times.
    """
    from pydicom import Dataset

    bare = Dataset()
    for keyword in _KEPT:
        if keyword in source:
            bare[keyword] = source[keyword]
    for keyword in _ASKED_FOR:
        setattr(bare, keyword, None)
    if "NumberOfFrames" in bare:
        items = bare.PerFrameFunctionalGroupsSequence
        bare.PerFrameFunctionalGroupsSequence = [items[frame.index] for frame in stack.frames]
        bare.NumberOfFrames = len(stack.frames)
    elif not bare.get("SliceThickness"):
        bare.SliceThickness = f"{grid.voxel_size[0]:.6g}"
    return bare


def _file_with(seg: Any, source: Any) -> None:
    """Put a SEG into the patient's study that its source belongs to."""
    is_deidentified = text_of(source, "PatientIdentityRemoved").upper() == "YES"
    for keyword in (*_CARRIED, *(_DEIDENTIFIED if is_deidentified else ())):
        if keyword in source:
            seg[keyword] = source[keyword]


def _number_as_in_file(seg: Any, stack: Stack) -> None:
    """Let each frame refer to the number of its source frame in the source file."""
    for item in seg.PerFrameFunctionalGroupsSequence:
        for derivation in item.get("DerivationImageSequence", []):
            for image in derivation.SourceImageSequence:
                number = int(image.ReferencedFrameNumber)
                image.ReferencedFrameNumber = stack.frames[number - 1].index + 1
