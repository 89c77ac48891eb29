"""Images and masks to and from files: NIfTI, PNG, JPEG, TIFF.

The only place where axes are reordered. Loads no torch, and an image library only when a file
is opened. Imports `errors`, `atomic` and `volume`.
"""

from .cases import CaseFiles, case_from_files, case_name, find_cases, natural_key
from .exams import UnnamedChannelsError, open_exam, read_exam
from .masks import read_label_map, write_label_map, write_volume

__all__ = [
    "CaseFiles",
    "UnnamedChannelsError",
    "case_from_files",
    "case_name",
    "find_cases",
    "natural_key",
    "open_exam",
    "read_exam",
    "read_label_map",
    "write_label_map",
    "write_volume",
]
