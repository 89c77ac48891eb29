"""What people and imports do to a case: enter, draft, autosave, accept, withdraw.

Each is one commit under the case's lock. Imports `errors`, `atomic`, `volume`, `formats`, and of
this package `derived`, `layout`, `masks`, `records`, `store`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from .. import formats
from ..core.atomic import storage_errors
from ..core.errors import InputError
from ..core.version import __version__
from ..core.volume import Exam, LabelMap, Volume
from ..lesions import Lesion
from .derived import LABELS
from .layout import sha256
from .masks import (
    on_grid,
    read_label_map,
    require_labels,
    stage_draft,
    stage_mask,
)
from .records import (
    CaseRecord,
    GridRecord,
    LesionRecord,
    PatientRole,
    Status,
    WorkRecord,
    next_role,
    require_case_id,
    require_pseudonym,
)
from .store import Store

__all__ = [
    "autosave",
    "enter",
    "note_lesions",
    "note_work",
    "replace_mask",
    "save_draft",
    "withdraw",
]

IMPORTED = "imported"
"""Annotator of a mask that an import brought."""


def enter(
    store: Store,
    exam: Exam,
    *,
    case_id: str,
    patient_id: str,
    visit: str | None = None,
    imported_mask: LabelMap | None = None,
    source_sha256: dict[str, str] | None = None,
) -> CaseRecord:
    """Enter a case, accepted at once with `imported_mask`; the caller rebuilds derived files."""
    require_case_id(case_id)
    require_pseudonym(patient_id)
    layout = store.layout
    with store.writing(case_id, "import"):
        _require_unused(store, case_id, patient_id)
        channels = store.channels or tuple(exam.phases)
        _require_channels(store, exam, channels, case_id)
        try:
            image_sha256 = {}
            for index, role in enumerate(channels):
                path = layout.image(case_id, index)
                formats.write_volume(path, _storable(exam.phases[role], role, case_id))
                image_sha256[role] = sha256(path)
            record = CaseRecord(
                case_id=case_id,
                patient_id=patient_id,
                role=PatientRole(entry=1, fold=0),  # settled below, under the folder's lock
                visit=visit,
                channels=channels,
                times_s={role: float(t) for role, t in exam.times_s.items() if role in channels},
                grid=GridRecord.of(exam.grid),
                image_sha256=image_sha256,
                source_sha256=source_sha256 or {},
                software_version=__version__,
            )
            update: dict[str, Any] = {}
            if imported_mask is not None:
                update["status"] = Status.ACCEPTED
                update["accepted"] = stage_mask(
                    store,
                    record,
                    imported_mask,
                    reviewed_slices=None,
                    annotator=IMPORTED,
                    seconds=0.0,
                    is_imported=True,
                )
            with store.locks.folder():
                _require_unused(store, case_id, patient_id)
                if store.channels not in ((), channels):  # another program's case came first
                    _require_channels(store, exam, store.channels, case_id, written=channels)
                roles = {r.patient_id: r.role for r in store.cases()}
                update["role"] = roles.get(patient_id) or next_role(roles.values())
                staged = () if imported_mask is None else ("labelsTr",)
                return store.commit(record.model_copy(update=update), staged=staged)
        except BaseException:
            if not layout.record(case_id).exists():
                for index in range(len(channels)):
                    layout.image(case_id, index).unlink(missing_ok=True)
                layout.pending("labelsTr", case_id).unlink(missing_ok=True)
            raise


def save_draft(
    store: Store,
    case_id: str,
    label_map: LabelMap,
    model: str,
    predicted_dice: float | None = None,
) -> CaseRecord:
    """Keep a model's untouched prediction."""
    with store.writing(case_id, "drafting"):
        record = store.case(case_id)
        _require_not(record, (Status.ACCEPTED, Status.FLAGGED), "a draft")
        draft = stage_draft(store, record, label_map, model, predicted_dice)
        if record.draft is not None and predicted_dice is None:
            same = record.draft.model_copy(update={"software_version": draft.software_version})
            if same == draft.model_copy(update={"predicted_dice": same.predicted_dice}):
                draft = same  # the window saves a draft again when its correction is accepted
        status = Status.DRAFTED if record.status is Status.NEW else record.status
        update = {"draft": draft, "status": status, "goes_on_from": None}
        record = record.model_copy(update=update)
        return store.commit(record, staged=("drafts",))


def autosave(store: Store, case_id: str, label_map: LabelMap) -> CaseRecord:
    """Keep work in progress; an accepted mask stays what it is, and the same again is not kept."""
    with store.writing(case_id, "correcting"):
        record = store.case(case_id)
        _require_not(record, (Status.FLAGGED,), "an autosave")
        label_map = on_grid(label_map, record.grid.grid, case_id)
        require_labels(label_map, LABELS.values(), case_id)
        path = store.layout.autosave(case_id)
        if _is_accepted_as(store, record, label_map):
            with storage_errors(path):
                path.unlink(missing_ok=True)  # nothing is unfinished any more
            return record
        formats.write_label_map(path, label_map)
        if record.status in (Status.NEW, Status.DRAFTED):
            record = store.commit(record.model_copy(update={"status": Status.IN_PROGRESS}))
        return record


def replace_mask(
    store: Store,
    case_id: str,
    label_map: LabelMap,
    *,
    reviewed_slices: Sequence[int] | None,
    annotator: str,
    seconds: float,
    strokes: int | None = None,
    source_sha256: str | None = None,
) -> CaseRecord:
    """Accept a mask, an imported one when `source_sha256` is given; derived files included."""
    layout = store.layout
    with store.writing(case_id, annotator):
        record = store.case(case_id)
        _require_not(record, (Status.FLAGGED,), "an accepted mask")
        if record.work is not None:
            seconds += record.work.seconds
            strokes = None if strokes is None else strokes + record.work.strokes
        accepted = stage_mask(
            store,
            record,
            label_map,
            reviewed_slices=reviewed_slices,
            annotator=annotator,
            seconds=seconds,
            strokes=strokes,
            is_imported=source_sha256 is not None,
        )
        accepted = accepted.model_copy(update={"order": _next_order(store)})
        update: dict[str, Any] = {
            "history": store.archive(record),
            "accepted": accepted,
            "status": Status.ACCEPTED,
            "goes_on_from": None,
            "work": None,
        }
        if source_sha256 is not None:
            update["source_sha256"] = record.source_sha256 | {"mask": source_sha256}
        record = store.commit(record.model_copy(update=update), staged=("labelsTr",))
        store.given[case_id] = accepted.sha256, _digest(label_map)
        store.rebuild()
        with storage_errors(layout.autosave(case_id)):
            layout.autosave(case_id).unlink(missing_ok=True)
        return record


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
        store.rebuild()  # before the mask goes: no list may name a file that is not there
        with storage_errors(label):
            label.unlink(missing_ok=True)
        return record


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
    masks = (m for r in store.cases() for m in (*r.history, r.accepted) if m is not None)
    return 1 + max((mask.order or 0 for mask in masks), default=0)


def _is_accepted_as(store: Store, record: CaseRecord, label_map: LabelMap) -> bool:
    """Whether these labels are the accepted mask, or those that it was made of.

    The two differ in slices nobody looked at: work there is in the labels only, and is kept
    unless it was there when the mask was accepted.
    """
    if record.accepted is None:
        return False
    if store.given.get(record.case_id) == (record.accepted.sha256, _digest(label_map)):
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


def _require_unused(store: Store, case_id: str, patient_id: str) -> None:
    for record in store.cases():
        if record.case_id.lower() == case_id.lower():
            raise InputError(
                f"Expected a case id that dataset {store.name} does not have yet",
                f"found case {record.case_id}",
                "Work on that case, or give the exam another case id",
            )
        if record.patient_id != patient_id and record.patient_id.lower() == patient_id.lower():
            raise InputError(
                f"Expected one spelling of the patient id of case {case_id}",
                f"found one that differs only in letter case from that of case {record.case_id}",
                "Spell both alike, so that one patient never lands in two folds",
            )


def _require_channels(
    store: Store,
    exam: Exam,
    channels: tuple[str, ...],
    case_id: str,
    written: tuple[str, ...] | None = None,
) -> None:
    if any(role not in exam.phases for role in channels) or written not in (None, channels):
        raise InputError(
            f"Expected the channels of dataset {store.name}, {', '.join(channels)}, for every case",
            f"found {', '.join(exam.phases)} in case {case_id}",
            "Add the exam with those phases, or start another dataset for cases like it",
        )


def _storable(volume: Volume, role: str, case_id: str) -> Volume:
    first = volume.data.flat[0]
    if bool((volume.data == first).all()):
        raise InputError(
            f"Expected an image with structure in phase {role} of case {case_id}",
            f"found a constant image (all voxels {first:g})",
            "Choose a slice or series with tissue in it",
        )
    if not np.issubdtype(volume.data.dtype, np.floating):
        return volume
    bad = int(volume.data.size - np.isfinite(volume.data).sum())
    if bad:
        raise InputError(
            f"Expected finite grey values in phase {role} of case {case_id}",
            f"found {bad} voxels that are NaN or infinite",
            "Export the phase again, or replace those voxels with finite values",
        )
    # Double precision doubles the folder and says nothing more about an MR signal.
    is_double = volume.data.dtype == np.float64
    return Volume(volume.data.astype(np.float32), volume.grid) if is_double else volume
