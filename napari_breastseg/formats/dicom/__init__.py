"""DICOM: from a folder of files to the phases of a DCE exam.

`headers` reads what is needed of each file, `stacks` orders slices into volumes, `phases` decides
which of them are phases and why, `exam` holds this decision, lets the user change it, and reads the
voxels through `pixels`. `privacy` keeps patient names out of case ids.

No error, warning, case id or reason made here quotes header text or the name of a file or folder:
they may name a patient. Loads no torch, and pydicom only when a file is opened.
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
