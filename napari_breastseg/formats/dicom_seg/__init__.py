"""DICOM SEG: masks that name the images they were drawn on.

`reading` places the frames of a SEG by their position; `writing` makes one with highdicom. As in
`dicom`, no error quotes a header's text, a file's or a folder's name. Loads no torch, and pydicom
and highdicom only when a file is read or written.
"""

from .codes import SIDES, TYPES
from .reading import Segment, is_seg, read_seg, segments_of
from .writing import WrittenSeg, write_seg

__all__ = [
    "SIDES",
    "TYPES",
    "Segment",
    "WrittenSeg",
    "is_seg",
    "read_seg",
    "segments_of",
    "write_seg",
]
