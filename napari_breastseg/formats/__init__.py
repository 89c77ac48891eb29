"""Read and write images and masks: NIfTI, NRRD, DICOM, PNG, JPEG, TIFF.

The only place where axes are reordered. Loads no torch, and an image library only when a file is
opened. Its own modules are loaded when they are used, too: a command's help needs none of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

_PLACES = {
    "cases": (
        "CaseFiles",
        "case_from_files",
        "case_name",
        "dicom_case",
        "find_cases",
        "finding_cases",
        "holds_exam",
        "only_case",
    ),
    "dicom": ("DicomError", "DicomExam", "PhasesDoubted"),
    "dicom_seg": ("WrittenSeg", "read_seg", "segments_of", "write_seg"),
    "exams": ("UnnamedChannelsError", "open_exam", "read_exam", "reading_exam"),
    "folders": ("natural_key",),
    "masks": ("read_label_map", "write_label_map", "write_volume"),
    "phase_read": ("PhaseRead",),
}
_MODULE_OF = {name: module for module, names in _PLACES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
