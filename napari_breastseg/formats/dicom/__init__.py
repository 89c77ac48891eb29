"""DICOM: from a folder of any files to the phases of a DCE exam.

Headers first: `headers` takes what is needed of each file, `stacks` orders slices into volumes,
`phases` decides which of them are phases and why, `exam` holds the decision, lets it be changed
and reads it through `pixels`. `privacy` keeps what names a patient out of case ids.

No error, warning, case id or reason made here quotes a header's text, a file's or a folder's
name: they may name a patient. Loads no torch, and pydicom only when a file is opened.
"""

from .exam import DicomError, DicomExam, Row, finding_exams, reading_dicom
from .headers import Frame, has_dicom_head, is_dicom
from .stacks import Stack

__all__ = [
    "DicomError",
    "DicomExam",
    "Frame",
    "Row",
    "Stack",
    "finding_exams",
    "has_dicom_head",
    "is_dicom",
    "reading_dicom",
]
