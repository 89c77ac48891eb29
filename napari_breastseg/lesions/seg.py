"""Write a mask as a DICOM SEG of its exam, with the side of its lesions."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from .. import formats
from ..core.errors import InputError
from ..core.progress import Job, Progress
from ..core.volume import Exam, LabelMap
from ..formats import DicomExam, WrittenSeg
from .report import lesion_side

__all__ = ["exporting_seg"]


def exporting_seg(
    output: Path,
    source: Path | DicomExam,
    mask: Path | LabelMap,
    *,
    exam: Exam | None = None,
    phases: list[str] | None = None,
    case_id: str | None = None,
    side: str | None = None,
    tumor: Collection[int] | None = None,
    **options: Any,
) -> Job[WrittenSeg]:
    """Write a mask as a DICOM SEG of its exam's study.

    Parameters
    ----------
    output : Path
        The SEG to write; ends in `.dcm`.
    source : Path or DicomExam
        The DICOM exam, or its folder.
    mask : Path or LabelMap
        On the exam's grid.
    exam : Exam, optional
        The exam's voxels, if already read; used to find the breasts and so the side.
    phases : list of str, optional
        Roles, as for `formats.find_cases`; for a folder.
    case_id : str, optional
        The exam to take where the folder holds several.
    side : {"right", "left", "both", "none"}, optional
        By default the breast in which the tumor lies.
    tumor : collection of int, optional
        Labels of a mask file that are tumor; see `formats.read_label_map`.
    **options
        As for `formats.write_seg`.

    Yields
    ------
    Progress

    Returns
    -------
    WrittenSeg
        Its `side` is None if the tumor's position does not show it.

    Raises
    ------
    InputError, StorageError
        If the folder does not contain exactly one DICOM exam with known phases, `output` is one of
        the inputs, or as from `formats.read_label_map` and `formats.write_seg`.
    """
    if not isinstance(source, DicomExam):
        source = yield from _dicom_exam(source, phases, case_id)
    taken = [*source.files, *([mask] if isinstance(mask, Path) and mask.is_file() else [])]
    if output.exists() and any(output.samefile(file) for file in taken):
        raise InputError(
            "Expected an --output file other than the inputs",
            "found one of them",
            "Choose another file name; nothing was written",
        )
    if source.decision.question is not None:
        raise source.decision.question
    if not isinstance(mask, LabelMap):
        grid = next(iter(source.phases.values())).grid
        told: list[str] = []
        mask = formats.read_label_map(
            mask, grid=grid, case_id=source.case_id, tumor=tumor, tell=told.append
        )
        for text in told:
            yield Progress("Reading the mask", 0, 0, message=text)
    if side is None:
        if exam is None:
            exam = yield from formats.reading_exam(formats.dicom_case(source))
        side = yield from lesion_side(exam, mask)
    yield Progress("Writing the DICOM SEG", 0, 0)
    return formats.write_seg(output, mask, source, side=side, **options)


def _dicom_exam(folder: Path, phases: list[str] | None, case_id: str | None) -> Job[DicomExam]:
    cases = yield from formats.finding_cases(folder, phases=phases)
    found = [case.dicom for case in cases if case.dicom is not None]
    named = [exam for exam in found if case_id in (None, exam.case_id)]
    if len(named) != 1:
        names = ", ".join(exam.case_id for exam in found[:5])
        raise InputError(
            "Expected one DICOM exam to make a DICOM SEG from",
            f"found {len(found)}: {names}" if found else "found no DICOM files",
            "Choose the folder of the exam the mask was drawn on"
            + (f", or name the exam (--case {found[0].case_id})" if found else ""),
        )
    return named[0]
