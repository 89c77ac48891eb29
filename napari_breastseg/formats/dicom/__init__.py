"""DICOM: from a folder of files to the phases of a DCE exam.

`headers` reads what is needed of each file, by itself where it is `plain`, else by pydicom;
`studies` tells whose exam it is, `stacks` orders slices into volumes. Each of them keeps its
`evidence` and its place in the `order` of time; `readings` are the ways to take them for an exam,
of which `phases` takes the one without a contradiction, or asks. `exam` holds this decision, lets
the user change it, and reads the voxels through `pixels`; these have a say too. `privacy` keeps
patient names out of case ids.

No error, warning, case id or reason made here quotes header text or the name of a file or folder:
they may name a patient. Loads no torch, and pydicom only when a file is opened.
"""

from .directory import files_listed_in, is_directory
from .exam import DicomError, DicomExam, PhasesDoubted, Row, finding_exams, reading_dicom
from .headers import Frame, has_dicom_head, is_dicom
from .stacks import Stack

__all__ = [
    "DicomError",
    "DicomExam",
    "Frame",
    "PhasesDoubted",
    "Row",
    "Stack",
    "files_listed_in",
    "finding_exams",
    "has_dicom_head",
    "is_dicom",
    "is_directory",
    "reading_dicom",
]
