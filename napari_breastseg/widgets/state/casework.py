"""What Correct does to a dataset folder: begin, reopen, accept. Runs in a worker; no Qt.

Each function is short and cannot be canceled half way; the dataset's own commits keep the folder
whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from ...core.errors import InputError
from ...core.volume import Exam, LabelMap
from ...dataset import CaseRecord, Dataset, SecondRead, Status, enter_exam
from ...imaging.intensity import grey_window
from .session import Draft
from .sources import fingerprint

__all__ = [
    "HeldCase",
    "Loaded",
    "accept",
    "begin",
    "load",
    "reopen",
    "workspace_of",
]

IMPORTED_MODEL = "unknown"


@dataclass(frozen=True, eq=False)
class HeldCase:
    """A case that is now held for correction."""

    record: CaseRecord
    exam: Exam
    lock: ExitStack
    on_disk: LabelMap | None
    """What the dataset would go on with: accepted or earlier mask, or draft; None without any."""

    recovered: LabelMap | None
    """Work in progress that is newer than that; None when there is none."""

    draft: Draft | None
    workspace: Dataset | SecondRead
    """Where the work is kept: the dataset, or a second read that must not see the first."""

    limits: tuple[float, float] | None = None
    mark: str | None = None


@dataclass(frozen=True, eq=False)
class Loaded:
    """A case read from the disk, to be shown at once when it is opened."""

    record: CaseRecord
    exam: Exam
    limits: tuple[float, float]
    """Its `grey_window`."""

    mark: str
    """Its `fingerprint`."""

    kept: LabelMap | None
    draft: Draft | None


def workspace_of(dataset: Dataset, record: CaseRecord, annotator: str) -> Dataset | SecondRead:
    """Where `annotator` works on a case: in the dataset, or blind to the first read."""
    if dataset.reads.is_blinded(record, annotator):
        return dataset.reads.second(record.case_id, annotator)
    return dataset


def load(dataset: Dataset, case_id: str, annotator: str) -> Loaded:
    """Read a case as `annotator` may see it, with all that showing it needs."""
    workspace = workspace_of(dataset, dataset.case(case_id), annotator)
    record, exam = workspace.case(case_id), workspace.exam(case_id)
    kept, draft = workspace.draft(case_id), None
    if kept is not None:
        draft = Draft(case_id, kept, record.draft.model if record.draft else IMPORTED_MODEL)
    return Loaded(
        record, exam, grey_window(exam), fingerprint(exam), workspace.kept_map(case_id), draft
    )


def begin(
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
    return _hold(dataset, record, exam, annotator, draft)


def reopen(
    dataset: Dataset, case_id: str, *, annotator: str, loaded: Loaded | None = None
) -> HeldCase:
    """Hold a case of a dataset for correction; read it unless it was, and is as it was then."""
    workspace = workspace_of(dataset, dataset.case(case_id), annotator)
    with ExitStack() as stack:
        stack.enter_context(workspace.lock(case_id, annotator))
        record = workspace.case(case_id)
        if loaded is None or loaded.record != record:
            loaded = load(dataset, case_id, annotator)
        return HeldCase(
            record=record,
            exam=loaded.exam,
            lock=stack.pop_all(),
            on_disk=loaded.kept,
            recovered=workspace.recover(case_id),
            draft=loaded.draft,
            workspace=workspace,
            limits=loaded.limits,
            mark=loaded.mark,
        )


def accept(
    dataset: Dataset | SecondRead,
    case_id: str,
    label_map: LabelMap,
    *,
    reviewed_slices: Sequence[int] | None,
    annotator: str,
    seconds: float,
    draft: Draft | None,
    strokes: int | None = None,
) -> CaseRecord:
    """Keep the draft for comparison and accept the mask.

    Raises
    ------
    InputError
        If the mask would take the place of a first read that `annotator` read second.
    """
    if isinstance(dataset, Dataset) and dataset.reads.is_second_reader(
        dataset.case(case_id), annotator
    ):
        raise InputError(
            f"Expected the first reader of case {case_id} to accept another mask of it",
            f"it is {annotator}'s for a second read",
            "Open the case to read it, or make a consensus of what was read",
        )
    if draft is not None and dataset.case(case_id).status is not Status.ACCEPTED:
        dataset.save_draft(case_id, draft.label_map, model=draft.model)
    return dataset.accept(
        case_id,
        label_map,
        reviewed_slices=reviewed_slices,
        annotator=annotator,
        seconds=seconds,
        strokes=strokes,
    )


def _hold(
    dataset: Dataset, record: CaseRecord, exam: Exam, annotator: str, draft: Draft | None
) -> HeldCase:
    case_id = record.case_id
    if isinstance(workspace_of(dataset, record, annotator), SecondRead):
        return reopen(dataset, case_id, annotator=annotator)
    with ExitStack() as stack:
        stack.enter_context(dataset.lock(case_id, annotator))
        if draft is not None and record.status not in (Status.ACCEPTED, Status.FLAGGED):
            record = dataset.save_draft(case_id, draft.label_map, model=draft.model)
        if draft is None and (kept := dataset.draft(case_id)) is not None:
            draft = Draft(case_id, kept, record.draft.model if record.draft else IMPORTED_MODEL)
        on_disk = dataset.kept_map(case_id)
        recovered = dataset.recover(case_id)
        return HeldCase(record, exam, stack.pop_all(), on_disk, recovered, draft, dataset)
