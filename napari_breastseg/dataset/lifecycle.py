"""What is done to a case between its entry and its accepted mask, and which status allows it.

Drafted, autosaved, accepted, flagged, reopened: each is one commit under the case's lock.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import numpy as np

from .. import formats
from ..core.atomic import storage_errors
from ..core.errors import InputError
from ..core.volume import LabelMap
from ..lesions import Lesion
from .masks import checked, read_label_map, unfinished_path
from .records import CaseRecord, FlagReason, LesionRecord, Status, WorkRecord
from .staging import Review, stage_draft, stage_mask
from .store import Store, after_commit, write_record

__all__ = [
    "accept",
    "accept_changed",
    "autosave",
    "flag",
    "note_lesions",
    "note_work",
    "reopen",
    "require_no_unfinished",
    "save_draft",
    "sitting",
    "undo_accept",
    "withdraw",
]


def save_draft(
    store: Store,
    case_id: str,
    label_map: LabelMap,
    model: str,
    predicted_dice: float | None = None,
    learned_from: tuple[str, ...] = (),
) -> CaseRecord:
    """Keep a model's untouched prediction."""
    with store.writing(case_id, "drafting"):
        record = store.case(case_id)
        _require_not(record, (Status.ACCEPTED, Status.FLAGGED), "a draft")
        draft = stage_draft(store, record, label_map, model, predicted_dice, learned_from)
        if record.draft is not None and predicted_dice is None:
            same = record.draft.model_copy(update={"software_version": draft.software_version})
            known = {"predicted_dice": same.predicted_dice, "learned_from": same.learned_from}
            if same == draft.model_copy(update=known):
                draft = same  # the window saves a draft again when its correction is accepted
        status = Status.DRAFTED if record.status is Status.NEW else record.status
        update: dict[str, Any] = {"draft": draft, "status": status, "goes_on_from": None}
        if record.draft is None or record.draft.sha256 != draft.sha256:
            update["findings"] = ()  # they were those of another draft
        record = record.model_copy(update=update)
        return store.commit(record, staged=("drafts",))


def autosave(store: Store, case_id: str, label_map: LabelMap) -> CaseRecord:
    """Keep work in progress; an accepted mask stays what it is, and the same again is not kept."""
    with store.writing(case_id, "correcting"):
        record = store.case(case_id)
        _require_not(record, (Status.FLAGGED,), "an autosave")
        label_map = checked(label_map, record)
        path = store.layout.autosave(case_id)
        if _is_accepted_as(store, record, label_map):
            with storage_errors(path):
                path.unlink(missing_ok=True)  # nothing is unfinished any more
            return record
        update: dict[str, Any] = {"autosave_after": record.n_masks, "left_by": None}
        if record.status in (Status.NEW, Status.DRAFTED):
            update["status"] = Status.IN_PROGRESS
        if any(getattr(record, name) != value for name, value in update.items()):
            if unfinished_path(store, record) is None:  # left from before a mask was accepted
                with storage_errors(path):
                    path.unlink(missing_ok=True)
            record = write_record(store, record.model_copy(update=update))
        formats.write_label_map(path, label_map)
        return record


def accept(
    store: Store,
    case_id: str,
    label_map: LabelMap,
    review: Review,
    *,
    source_sha256: str | None = None,
) -> CaseRecord:
    """Accept a mask, an imported one when `source_sha256` is given; derived files included."""
    layout = store.layout
    with store.writing(case_id, review.annotator):
        record = store.case(case_id)
        _require_not(record, (Status.FLAGGED,), "an accepted mask")
        if (done := record.work) is not None:
            strokes = None if review.strokes is None else review.strokes + done.strokes
            review = replace(review, seconds=review.seconds + done.seconds, strokes=strokes)
        accepted = stage_mask(
            store, record, label_map, review, is_imported=source_sha256 is not None
        )
        update: dict[str, Any] = {
            "history": store.archive(record),
            "status": Status.ACCEPTED,
            "goes_on_from": None,
            "work": None,
            "left_by": None,
            "autosave_after": record.n_masks,  # whatever was autosaved until now is older
        }
        if review.findings:
            update["findings"] = review.findings
        if review.clicks:
            update["clicks"] = review.clicks
        if source_sha256 is not None:
            update["source_sha256"] = record.source_sha256 | {"mask": source_sha256}
        with store.writing_lists():  # two programs at once would give one number twice
            accepted = accepted.model_copy(update={"order": _next_order(store)})
            update["accepted"] = accepted
            record = store.commit(record.model_copy(update=update), staged=("labelsTr",))
            store.accepted_labels[case_id] = accepted.sha256, _digest(label_map)
            with after_commit(case_id):
                store.rebuild()
        with after_commit(case_id):
            layout.autosave(case_id).unlink(missing_ok=True)
        return record


def accept_changed(store: Store, case_id: str, annotator: str) -> CaseRecord:
    """Accept the mask of a case that another program changed, over the slices reviewed before."""
    record = store.case(case_id)
    require_no_unfinished(store, record, "to accept a changed mask of it")
    changed = read_label_map(store.layout.label(case_id), record)
    reviewed = None if record.accepted is None else record.accepted.reviewed_slices
    return accept(store, case_id, changed, Review(annotator, reviewed))


def require_no_unfinished(store: Store, record: CaseRecord, what: str) -> None:
    """Raise InputError where `what` would throw a reader's unfinished work away."""
    if unfinished_path(store, record) is not None:
        raise InputError(
            f"Expected no unfinished work on case {record.case_id}, {what}",
            "found a reader's work that was never accepted",
            "Open the case in the Correct step and accept that work or take it back; nothing was "
            "changed",
        )


def flag(store: Store, case_id: str, reason: FlagReason | str) -> CaseRecord:
    """Set a case aside; an accepted mask moves into its history."""
    try:
        reason = FlagReason(reason)
    except ValueError:
        raise InputError(
            f"Expected one of these reasons: {', '.join(FlagReason)}",
            "found another text",
            "Choose the closest one; free text could name a patient and is not kept",
        ) from None
    update = {"status": Status.FLAGGED, "flag_reason": reason}
    return withdraw(store, case_id, update, "flagging")


def reopen(store: Store, case_id: str) -> CaseRecord:
    """Take up an accepted or flagged case again; an accepted mask moves into its history."""
    store.case(case_id)
    with store.writing(case_id, "reopening"):
        record = store.case(case_id)
        if record.status not in (Status.ACCEPTED, Status.FLAGGED):
            raise InputError(
                f"Expected case {case_id} to be accepted or flagged to reopen it",
                f"found status '{record.status.value}'",
                "Continue with the case as it is",
            )
        update = {"status": Status.IN_PROGRESS, "flag_reason": None}
        return withdraw(store, case_id, update, "reopening")


def undo_accept(store: Store, case_id: str) -> CaseRecord:
    """Take the last acceptance of a case back; its mask moves into the history."""
    store.case(case_id)
    with store.writing(case_id, "undoing"):
        record = store.case(case_id)
        if record.accepted is None:
            raise InputError(
                f"Expected case {case_id} to be accepted to undo that",
                f"found status '{record.status.value}'",
                "Continue with the case as it is",
            )
        update: dict[str, Any] = {"status": Status.IN_PROGRESS}
        if record.history and record.history[-1].history_file:
            update["goes_on_from"] = record.history[-1].history_file
        return withdraw(store, case_id, update, "undoing")


def withdraw(store: Store, case_id: str, update: dict[str, Any], owner: str) -> CaseRecord:
    """Take a case out of the accepted ones; its mask moves into the history."""
    label = store.layout.label(case_id)
    with store.writing(case_id, owner):
        record = store.case(case_id)
        history = store.archive(record)
        if record.accepted is not None:
            update = {"goes_on_from": history[-1].history_file} | update
        update = update | {"history": history, "accepted": None}
        record = store.commit(record.model_copy(update=update))
        with after_commit(case_id):
            store.rebuild()  # before the mask goes: no list may name a file that is not there
            label.unlink(missing_ok=True)
        return record


@contextmanager
def sitting(store: Store, case_id: str, owner: str) -> Iterator[None]:
    """Hold a case while it is open; work left unfinished in it is noted as its owner's.

    A program that ends in between notes nothing: that work is found, not left.
    """
    with store.locks.case(case_id, owner):
        before = _autosaved_at(store, case_id)
        try:
            yield
        finally:
            if _autosaved_at(store, case_id) != before:
                with suppress(InputError, OSError):  # it must not keep anybody in the case
                    _note_left(store, case_id, owner)


def _note_left(store: Store, case_id: str, owner: str) -> None:
    with store.writing(case_id, owner):
        record = store.case(case_id)
        if record.left_by != owner and unfinished_path(store, record) is not None:
            store.commit(record.model_copy(update={"left_by": owner}))


def _autosaved_at(store: Store, case_id: str) -> int:
    """When the autosave of a case was written, in nanoseconds since 1970; 0 without one."""
    with suppress(OSError):
        return store.layout.autosave(case_id).stat().st_mtime_ns
    return 0


def note_work(store: Store, case_id: str, seconds: float, strokes: int) -> CaseRecord:
    """Add a sitting that ended without an accepted mask to what the case has cost."""
    with store.writing(case_id, "correcting"):
        record = store.case(case_id)
        before = record.work or WorkRecord(seconds=0, strokes=0)
        work = WorkRecord(seconds=before.seconds + seconds, strokes=before.strokes + strokes)
        return store.commit(record.model_copy(update={"work": work}))


def note_lesions(store: Store, case_id: str, lesions: Sequence[Lesion]) -> CaseRecord:
    """Keep which lesion of a case has which id, for the next time they are measured."""
    known = tuple(
        LesionRecord(id=one.id, voxels=one.volume_px, center_voxel=one.center_voxel, box=one.box)
        for one in lesions
        if one.center_voxel is not None and one.box is not None
    )
    with store.writing(case_id, "measuring"):
        record = store.case(case_id)
        if record.lesions == known:
            return record
        return store.commit(record.model_copy(update={"lesions": known}))


def _next_order(store: Store) -> int:
    return 1 + max((one.last_order for one in store.summaries()), default=0)


def _is_accepted_as(store: Store, record: CaseRecord, label_map: LabelMap) -> bool:
    """Whether these labels are the accepted mask, or those that it was made of.

    The two differ in slices that were not reviewed: work there is in the labels only, and is kept
    unless it was there when the mask was accepted.
    """
    if record.accepted is None:
        return False
    if store.accepted_labels.get(record.case_id) == (record.accepted.sha256, _digest(label_map)):
        return True
    with suppress(InputError, OSError):  # a damaged mask must not stop work from being kept
        accepted = read_label_map(store.layout.label(record.case_id), record)
        return np.array_equal(accepted.data, label_map.data)
    return False


def _digest(label_map: LabelMap) -> str:
    return hashlib.sha256(np.ascontiguousarray(label_map.data).data).hexdigest()


def _require_not(record: CaseRecord, statuses: tuple[Status, ...], what: str) -> None:
    if record.status in statuses:
        raise InputError(
            f"Expected case {record.case_id} to be open for {what}",
            f"found status '{record.status.value}'",
            "Reopen the case first",
        )
