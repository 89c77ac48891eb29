"""Measuring the lesions of the mask and exporting it: what may be done, and the job. No Qt."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.progress import Job, Progress
from ...core.volume import Exam, LabelMap
from ...dataset import Dataset, Workspace
from ...formats import WrittenSeg
from ...imaging.breast_region import Breasts
from ...lesions import Change, LesionReport, compare_visits
from ...lesions.findings import Findings
from ...lesions.report import lesion_report, read_report, write_report

__all__ = [
    "MeasureSettings",
    "Measured",
    "measuring",
    "measuring_weaker",
    "origin_of_mask",
    "seg_text",
    "why_no_measure",
    "why_no_seg",
]


@dataclass(frozen=True)
class MeasureSettings:
    """How lesions are measured, and where the report goes."""

    pe_threshold_percent: float
    """Early enhancement above which a voxel counts as functional tumor."""

    prior: Path | None = None
    """Report (.json) of the prior visit to compare with."""

    output: Path | None = None
    """Report to write; none when not given."""

    breasts: Breasts | None = None
    """The exam's breasts, where they were found before."""


@dataclass(frozen=True)
class Measured:
    """The lesions of a mask, and what changed since the prior visit."""

    report: LesionReport
    changes: tuple[Change, ...] = ()


def measuring(
    exam: Exam,
    label_map: LabelMap,
    settings: MeasureSettings,
    *,
    findings: Findings | None = None,
    previous: LesionReport | None = None,
    workspace: Workspace | None = None,
) -> Job[Measured]:
    """Measure the lesions of a mask.

    Parameters
    ----------
    exam : Exam
    label_map : LabelMap
        The mask, on the exam's grid.
    settings : MeasureSettings
    findings : Findings, optional
        What the model found, for the scores.
    previous : LesionReport, optional
        What was measured before of the same exam: lesions keep their ids from it.
    workspace : Workspace, optional
        Where the case is kept. A dataset's record gives ids and takes them; a second reader's
        lesions do not go into the case's record.
    """
    dataset = workspace if isinstance(workspace, Dataset) else None
    before = None if settings.prior is None else read_report(settings.prior)
    if previous is None and dataset is not None:
        previous = dataset.lesions(exam.case_id)
    report = yield from lesion_report(
        exam,
        label_map,
        breasts=settings.breasts,
        findings=findings,
        previous=previous,
        pe_threshold_percent=settings.pe_threshold_percent,
    )
    if dataset is not None:
        dataset.note_lesions(exam.case_id, report.lesions)
    changes: tuple[Change, ...] = ()
    if before is not None:
        changes = compare_visits((*before.lesions, before.total), (*report.lesions, report.total))
    if settings.output is not None:
        yield Progress("Writing the report", 0, 0)
        write_report(settings.output, report, exam=exam, changes=changes)
    return Measured(report, changes)


def measuring_weaker(
    exam: Exam, findings: Findings, settings: MeasureSettings
) -> Job[LesionReport]:
    """Measure the findings that a model held back."""
    numbers = tuple(one.number for one in findings.weaker)
    report = yield from lesion_report(
        exam,
        findings.mask(numbers),
        breasts=settings.breasts,
        findings=findings,
        pe_threshold_percent=settings.pe_threshold_percent,
    )
    return report


def why_no_measure(*, is_busy: bool, has_exam: bool, has_mask: bool) -> str:
    """Why lesions cannot be measured; empty when they can."""
    if is_busy:
        return "Busy; wait or cancel"
    if not has_exam:
        return "Open an exam first"
    if not has_mask:
        return "Segment the exam or start correcting first: there is no mask yet"
    return ""


def why_no_seg(why_no_measure: str, *, is_dicom: bool) -> str:
    """Why the mask cannot be exported as a DICOM SEG; empty when it can.

    Examples
    --------
    >>> why_no_seg("", is_dicom=True), why_no_seg("Open an exam first", is_dicom=False)
    ('', 'Open an exam first')
    """
    if why_no_measure or is_dicom:
        return why_no_measure
    return "The exam was not opened from DICOM here; a SEG refers to the images it was drawn on"


def origin_of_mask(model: str | None) -> dict[str, Any]:
    """How a mask was made, as `lesions.seg.exporting_seg` takes it.

    Parameters
    ----------
    model : str, optional
        Name and weights hash of the model that made the draft; None for a mask drawn by hand.

    Examples
    --------
    >>> origin_of_mask(None), origin_of_mask("starter@0123")
    ({'algorithm': 'manual'}, {'made_with': ('starter', '0123')})
    """
    if model is None:
        return {"algorithm": "manual"}
    name, _, version = model.partition("@")
    return {"made_with": (name, version or "unknown")}


def seg_text(path: Path, written: WrittenSeg) -> str:
    """What was written, in a sentence."""
    side = "side not known" if written.side is None else f"{written.side} breast"
    return f"Wrote {path.name}: {written.frames} frames on {written.role}, {side}"
