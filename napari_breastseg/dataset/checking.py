"""What is wrong with a dataset folder, and what state it is in.

Reads everything, changes only what follows from the records. Imports `errors`, `volume`, `formats`,
and of this package `derived`, `effort`, `layout`, `masks`, `reads`, `records`, `store`.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from .. import formats
from ..core.errors import InputError
from ..core.volume import BACKGROUND, TUMOR
from .derived import LABELS, splits, test_cases, training_cases
from .effort import effort, effort_by_model
from .layout import FILE_ENDING, sha256
from .masks import CHANGED_FIX, on_grid, require_labels, unfinished_path
from .read_files import read_findings
from .records import FOLDS, CaseRecord, Status
from .store import Store
from .unreadable import Unreadable

__all__ = ["Finding", "Severity", "check", "status", "store_notes"]

ENOUGH_LOCKED = 5
"""Locked patients below which a model cannot be judged."""
_LEFTOVER_S = 3600.0
"""Age at which a temporary file belongs to nobody any more."""


class Severity(StrEnum):
    """How much a finding matters."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong."""

    severity: Severity
    what: str
    """Short name for programs: missing_file, hash_mismatch, grid_mismatch, bad_labels, ..."""
    case_id: str | None
    message: str
    is_repaired: bool = False


def check(store: Store, repair: bool) -> list[Finding]:
    """Everything wrong with the folder, errors first; see `Dataset.check`."""
    findings = list(_leftover_findings(store, repair))
    records, unreadable = store.read_all()
    for one in unreadable:
        findings.append(_error("unreadable_record", one.case_id, f"its record was {one.reason}"))
    for record in records:
        findings.extend(_case_findings(store, record))
    findings.extend(_orphan_findings(store, records, unreadable))
    findings.extend(_patient_findings(store, records))
    if not unreadable:
        stale = list(store.stale())
        if repair and stale:
            store.rebuild()
        for path in stale:
            message = (
                f"{path.name} is not what the records say; `dataset check --repair` rebuilds it"
            )
            findings.append(Finding(Severity.WARNING, "stale_derived", None, message, repair))
    return sorted(
        findings, key=lambda f: (f.severity is not Severity.ERROR, f.case_id or "", f.what)
    )


def _case_findings(store: Store, record: CaseRecord) -> Iterator[Finding]:
    layout, case_id = store.layout, record.case_id
    if record.channels != store.channels:
        yield _error(
            "channel_mismatch",
            case_id,
            f"it has channels {', '.join(record.channels)}, "
            f"the dataset {', '.join(store.channels)}",
        )
    for index, role in enumerate(record.channels):
        path = layout.image(case_id, index)
        yield from _file_findings(path, record.image_sha256.get(role), record, "the image " + role)
        if path.exists():
            yield from _image_findings(path, record, role)
    expected: list[tuple[Path, str, str, tuple[int, ...]]] = []
    if record.accepted is not None:
        expected.append(
            (
                layout.label(case_id),
                record.accepted.sha256,
                "the accepted mask",
                tuple(LABELS.values()),
            )
        )
    if record.draft is not None:
        expected.append(
            (layout.draft(case_id), record.draft.sha256, "the draft", (BACKGROUND, TUMOR))
        )
    for mask in record.history:
        if mask.history_file is not None:
            path = layout.history(case_id) / mask.history_file
            expected.append((path, mask.sha256, "an earlier mask", tuple(LABELS.values())))
    for path, digest, what, allowed in expected:
        yield from _file_findings(path, digest, record, what)
        if path.exists():
            yield from _mask_findings(path, record, what, allowed)
    for short_name, message in read_findings(store, record):
        finding = _error(short_name, case_id, message)
        is_orphan = short_name == "orphan_file"
        yield replace(finding, severity=Severity.WARNING) if is_orphan else finding


def _file_findings(
    path: Path, digest: str | None, record: CaseRecord, what: str
) -> Iterator[Finding]:
    if not path.exists():
        yield _error(
            "missing_file", record.case_id, f"{what} is missing ({path.parent.name}/{path.name})"
        )
    elif sha256(path) != digest:
        yield _error(
            "hash_mismatch",
            record.case_id,
            f"{what} is not the file that was recorded; another program changed it"
            + (f". {CHANGED_FIX}" if path.parent.name == "labelsTr" else ""),
        )


def _image_findings(path: Path, record: CaseRecord, role: str) -> Iterator[Finding]:
    try:
        exam = formats.read_exam(formats.case_from_files(record.case_id, [path], phases=[role]))
    except InputError as error:
        yield _error("unreadable_file", record.case_id, str(error))
        return
    if not exam.grid.matches(record.grid.grid):
        yield _error(
            "grid_mismatch",
            record.case_id,
            f"the image {role} has {exam.grid.describe()}, "
            f"its record {record.grid.grid.describe()}",
        )


def _mask_findings(
    path: Path, record: CaseRecord, what: str, allowed: tuple[int, ...]
) -> Iterator[Finding]:
    try:
        label_map = formats.read_label_map(path, is_own=True)
    except InputError as error:
        yield _error("unreadable_file", record.case_id, f"{what}: {error}")
        return
    try:
        on_grid(label_map, record.grid.grid, record.case_id)
    except InputError as error:
        yield _error("grid_mismatch", record.case_id, f"{what}: {error}")
    try:
        require_labels(label_map, allowed, record.case_id)
    except InputError as error:
        yield _error("bad_labels", record.case_id, f"{what}: {error}")


def _orphan_findings(
    store: Store, records: list[CaseRecord], unreadable: list[Unreadable]
) -> Iterator[Finding]:
    layout, folder = store.layout, store.layout.folder
    known: set[Path] = set()
    for record in records:
        known.update(layout.image(record.case_id, index) for index in range(len(record.channels)))
        known.add(layout.autosave(record.case_id))
        if record.accepted is not None:
            known.add(layout.label(record.case_id))
        if record.draft is not None:
            known.add(layout.draft(record.case_id))
        known.update(
            layout.history(record.case_id) / (m.history_file or "") for m in record.history
        )
    for part in ("imagesTr", "labelsTr", "drafts", "autosave", "history"):
        for path in sorted((folder / part).rglob(f"*{FILE_ENDING}")):
            if path in known or path.name.startswith(".tmp-"):
                continue
            if any(
                path.name.startswith(one.case_id) or path.parent.name == one.case_id
                for one in unreadable
            ):
                continue
            where = path.relative_to(folder).as_posix()
            message = f"{where} belongs to no record: left by an interruption, or put there"
            yield Finding(Severity.WARNING, "orphan_file", None, message)


def _patient_findings(store: Store, records: list[CaseRecord]) -> Iterator[Finding]:
    roles: dict[str, Any] = {}
    for record in records:
        first = roles.setdefault(record.patient_id, record)
        if first.role != record.role:
            yield _error(
                "patient_in_two_roles",
                record.case_id,
                f"its patient has another role in case {first.case_id}; a role is for good",
            )
    try:
        listed = json.loads(store.layout.splits_json.read_text("utf-8"))
        pairs = [(set(entry["train"]), set(entry["val"])) for entry in listed]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return  # missing or damaged: reported as stale
    patient_of = {record.case_id: record.patient_id for record in records}
    is_single = len({record.patient_id for record in training_cases(records)}) == 1
    for fold, (train, val) in enumerate(pairs):
        shared = {patient_of.get(c) for c in train} & {patient_of.get(c) for c in val} - {None}
        if shared and not is_single:
            cases = sorted(c for c in train | val if patient_of.get(c) in shared)
            yield _error(
                "patient_in_train_and_val",
                None,
                f"fold {fold} trains and validates on patients of {', '.join(cases)}",
            )


def _leftover_findings(store: Store, repair: bool) -> Iterator[Finding]:
    folder = store.layout.folder
    for path in sorted(folder.rglob(".tmp-*")):
        try:
            is_old = time.time() - path.stat().st_mtime > _LEFTOVER_S
        except OSError:
            continue  # just finished by its writer
        if repair and is_old and path.is_file():
            path.unlink(missing_ok=True)
        where = path.relative_to(folder).as_posix()
        message = f"{where} is a temporary file, of a write going on or cut off"
        yield Finding(Severity.WARNING, "temporary_file", None, message, repair and is_old)


def _error(what: str, case_id: str | None, message: str) -> Finding:
    return Finding(
        Severity.ERROR, what, case_id, f"Case {case_id}: {message}" if case_id else message
    )


def store_notes(store: Store) -> list[str]:
    """What to know before a dataset is used: cases left out, masks another program changed."""
    records, left_out = store.read_all()
    notes = [f"{one.describe()}." for one in left_out]
    changed = [record.case_id for record in records if store.is_mask_changed(record)]
    notes += [
        f"Another program changed the mask of case {case_id}. {CHANGED_FIX}." for case_id in changed
    ]
    return notes


def status(store: Store) -> dict[str, Any]:
    """Counts, folds, locks and what to know, ready for JSON; see `Dataset.status`."""
    records = store.cases()
    all_splits = splits(records)
    roles = {record.patient_id: record.role for record in records}
    locked_patients = sum(role.is_locked for role in roles.values())
    testable = len({record.patient_id for record in test_cases(records)})
    trainable = {record.patient_id for record in training_cases(records)}
    costs = effort(records)
    locks = []
    for record in records:
        note = store.locks.holder(record.case_id)
        if note is not None:
            locks.append({"case_id": record.case_id, "owner": note.owner, "since": note.since})
    notes = store_notes(store)
    if len(trainable) == 1:
        notes.append("Only one patient to train on: training and validation use the same cases.")
    if testable < ENOUGH_LOCKED:
        notes.append(
            f"{testable} locked patients with accepted cases; below {ENOUGH_LOCKED} "
            "a model cannot be judged; it becomes the default only without the check."
        )
    by_status = Counter(record.status.value for record in records)
    reasons = Counter(r.flag_reason.value for r in records if r.flag_reason is not None)
    return {
        "folder": str(store.layout.folder),
        "name": store.name,
        "channels": list(store.channels),
        "left_out": {one.case_id: one.reason for one in store.left_out()},
        "cases": {"total": len(records)} | {s.value: by_status[s.value] for s in Status},
        "flag_reasons": dict(reasons),
        "patients": {
            "total": len(roles),
            "locked": locked_patients,
            "folds": [sum(role.fold == fold for role in roles.values()) for fold in range(FOLDS)],
        },
        "splits": [{"train": len(split.train), "val": len(split.val)} for split in all_splits],
        "test_cases": len(test_cases(records)),
        "autosaved": [r.case_id for r in records if unfinished_path(store, r) is not None],
        "locks": locks,
        "effort": {
            "by_model": [asdict(row) for row in effort_by_model(costs)],
            "cases": [asdict(row) for row in costs],
        },
        "notes": notes,
    }
