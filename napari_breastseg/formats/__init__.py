"""Read and write images and masks: NIfTI, NRRD, DICOM, PNG, JPEG, TIFF.

The only place where axes are reordered. Loads no torch, and an image library only when a file is
opened.
"""

from .cases import (
    CaseFiles,
    case_from_files,
    case_name,
    dicom_case,
    find_cases,
    finding_cases,
    holds_exam,
    only_case,
)
from .dicom import DicomError, DicomExam, PhasesDoubted
from .dicom_seg import WrittenSeg, read_seg, segments_of, write_seg
from .exams import UnnamedChannelsError, open_exam, read_exam, reading_exam
from .folders import natural_key
from .masks import read_label_map, write_label_map, write_volume
from .phase_read import PhaseRead

__all__ = [
    "CaseFiles",
    "DicomError",
    "DicomExam",
    "PhaseRead",
    "PhasesDoubted",
    "UnnamedChannelsError",
    "WrittenSeg",
    "case_from_files",
    "case_name",
    "dicom_case",
    "find_cases",
    "finding_cases",
    "holds_exam",
    "natural_key",
    "only_case",
    "open_exam",
    "read_exam",
    "read_label_map",
    "read_seg",
    "reading_exam",
    "segments_of",
    "write_label_map",
    "write_seg",
    "write_volume",
]
