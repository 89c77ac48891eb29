"""What the Correct step does to a dataset folder: hold a case, accept it. Runs in a worker; no Qt.

Each function is short and cannot be canceled half way; the dataset's own commits keep the folder
whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from ...core.errors import InputError
from ...core.volume import Exam, LabelMap
from ...dataset import (
    CaseRecord,
    ClickRecord,
    Dataset,
    FindingRecord,
    RedraftRecord,
    Status,
    Workspace,
    enter_exam,
)
from ...imaging.intensity import grey_window
from .drafts import Draft
from .sources import fingerprint

__all__ = [
    "HeldCase",
    "LoadedCase",
    "accept",
    "has_case",
    "hold_case",
    "hold_exam",
    "load",
]

UNKNOWN_MODEL = "unknown"


@dataclass(frozen=True, eq=False)
class HeldCase:
    """A case that is locked for one reader to correct."""

    record: CaseRecord
    exam: Exam
    lock: ExitStack
    on_disk: LabelMap | None
    """What correcting goes on from: accepted or earlier mask, or draft; None without any."""

    recovered: LabelMap | None
    """An autosave that is newer than that; None without one."""

    draft: Draft | None
    workspace: Workspace
    """Where the work is kept: the dataset, or a second read without sight of the first."""

    loaded: LoadedCase | None = None
    """The case as it was read from disk; None for an exam that is shown already."""

    is_own_work: bool = False
    """Whether `recovered` was left by the reader who holds the case now, by closing it."""

    is_changed_outside: bool = False
    """Whether another program changed the accepted mask, which nobody has looked at since."""


@dataclass(frozen=True, eq=False)
class LoadedCase:
    """A case read from disk, to be shown at once when it is opened."""

    record: CaseRecord
    exam: Exam
    limits: tuple[float, float]
    """Its `grey_window`."""

    fingerprint: str
    on_disk: LabelMap | None
    draft: Draft | None


def load(dataset: Dataset, case_id: str, annotator: str) -> LoadedCase:
    """Read a case as `annotator` may see it, with all that showing it needs."""
    workspace = dataset.workspace(case_id, annotator)
    record, exam = workspace.case(case_id), workspace.exam(case_id)
    return LoadedCase(
        record=record,
        exam=exam,
        limits=grey_window(exam),
        fingerprint=fingerprint(exam),
        on_disk=workspace.kept_map(case_id),
        draft=_draft_of(workspace, record),
    )


def has_case(dataset: Dataset, case_id: str) -> bool:
    """Whether a dataset has a case of this id, readable or not."""
    return (dataset.folder / "cases" / f"{case_id}.json").exists()


def hold_exam(
    dataset: Dataset, exam: Exam, *, patient_id: str, annotator: str, draft: Draft | None
) -> HeldCase:
    """Enter an exam into a dataset unless it is there, and hold it for correction.

    Raises
    ------
    InputError
        If the dataset knows the case with another grid, patient or voxels, a channel is missing,
        or somebody else holds the case.
    """
    record = enter_exam(dataset, exam, patient_id=patient_id)
    case_id = record.case_id
    if dataset.workspace(case_id, annotator).is_second_read:
        return hold_case(dataset, case_id, annotator=annotator)
    with ExitStack() as stack:
        stack.enter_context(dataset.lock(case_id, annotator))
        if draft is not None and record.status not in (Status.ACCEPTED, Status.FLAGGED):
            record = dataset.save_draft(case_id, draft.label_map, model=draft.model)
        return HeldCase(
            record=record,
            exam=exam,
            on_disk=dataset.kept_map(case_id),
            recovered=dataset.recover(case_id),
            draft=_draft_of(dataset, record) if draft is None else draft,
            workspace=dataset,
            is_own_work=record.left_by == annotator,
            is_changed_outside=dataset.is_mask_changed(case_id),
            lock=stack.pop_all(),
        )


def hold_case(
    dataset: Dataset, case_id: str, *, annotator: str, loaded: LoadedCase | None = None
) -> HeldCase:
    """Hold a case of a dataset for correction.

    Parameters
    ----------
    dataset : Dataset
    case_id, annotator : str
    loaded : LoadedCase, optional
        The case as it was read ahead; read again when its record has changed since.
    """
    workspace = dataset.workspace(case_id, annotator)
    with ExitStack() as stack:
        stack.enter_context(workspace.lock(case_id, annotator))
        record = workspace.case(case_id)
        is_changed = not workspace.is_second_read and dataset.is_mask_changed(case_id)
        if loaded is None or loaded.record != record or is_changed:
            loaded = load(dataset, case_id, annotator)
        return HeldCase(
            record=record,
            exam=loaded.exam,
            on_disk=loaded.on_disk,
            recovered=workspace.recover(case_id),
            draft=loaded.draft,
            workspace=workspace,
            loaded=loaded,
            is_own_work=record.left_by == annotator,
            is_changed_outside=is_changed,
            lock=stack.pop_all(),
        )


def accept(
    workspace: Workspace,
    case_id: str,
    label_map: LabelMap,
    *,
    reviewed_slices: Sequence[int] | None,
    annotator: str,
    seconds: float,
    draft: Draft | None,
    strokes: int | None = None,
    findings: Sequence[FindingRecord] = (),
    clicks: Sequence[ClickRecord] = (),
    redraft: RedraftRecord | None = None,
) -> CaseRecord:
    """Keep the draft for comparison and accept the mask, with what was decided about findings.

    Raises
    ------
    InputError
        If the mask would replace a first read that `annotator` read second.
    """
    if isinstance(workspace, Dataset) and workspace.reads.is_second_reader(
        workspace.case(case_id), annotator
    ):
        raise InputError(
            f"Expected the first reader of case {case_id} to accept another mask of it",
            f"{annotator} is its second reader",
            "Open the case for your own read, or make a consensus of both",
        )
    if draft is not None and workspace.case(case_id).status is not Status.ACCEPTED:
        workspace.save_draft(case_id, draft.label_map, model=draft.model)
    return workspace.accept(
        case_id,
        label_map,
        reviewed_slices=reviewed_slices,
        annotator=annotator,
        seconds=seconds,
        strokes=strokes,
        findings=findings,
        clicks=clicks,
        redraft=redraft,
    )


def _draft_of(workspace: Workspace, record: CaseRecord) -> Draft | None:
    """The draft that is kept of a case."""
    label_map = workspace.draft(record.case_id)
    if label_map is None:
        return None
    model = record.draft.model if record.draft else UNKNOWN_MODEL
    return Draft(record.case_id, label_map, model)
