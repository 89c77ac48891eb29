"""The mask of the window as a DICOM SEG of the exam it was drawn on. No Qt."""

from __future__ import annotations

from pathlib import Path

from ...core.progress import Job, Progress
from ...core.volume import Exam, LabelMap
from ...formats import DicomExam, write_seg
from ...lesions.report import lesion_side

__all__ = ["write_seg_of"]


def write_seg_of(
    path: Path, exam: Exam, label_map: LabelMap, dicom: DicomExam, *, model: str | None
) -> Job[str]:
    """Write a SEG whose side is that of the lesions, and say what was written.

    Parameters
    ----------
    path : Path
        Ends in `.dcm`.
    exam : Exam
        As shown; its breasts tell the side.
    label_map : LabelMap
        The mask, on the exam's grid.
    dicom : DicomExam
        Where the exam's slices came from.
    model : str or None
        Name and weights hash of the model that made the draft; None for a mask drawn by hand.

    Returns
    -------
    str
        What was written, for the reader.
    """
    side = yield from lesion_side(exam, label_map)
    yield Progress("Writing the DICOM SEG", 0, 0)
    if model is None:
        written = write_seg(path, label_map, dicom, side=side, algorithm="manual")
    else:
        name, _, version = model.partition("@")
        made_with = (name, version or "unknown")
        written = write_seg(path, label_map, dicom, side=side, made_with=made_with)
    where = "side not told" if written.side is None else f"{written.side} breast"
    return f"Wrote {path.name}: {written.frames} frames on {written.role}, {where}"
