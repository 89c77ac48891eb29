"""What is wrong with a dataset folder, and what state it is in.

Reads everything, changes only what follows from the records. Imports `errors`, `volume`, `formats`,
and of this package `derived`, `effort`, `layout`, `masks`, `reads`, `records`, `store`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from .. import formats
from ..core.errors import InputError
from ..core.progress import Job, Progress
from ..core.reading import read_json
from ..core.volume import BACKGROUND, TUMOR
from .derived import LABELS, splits, test_cases, training_cases
from .effort import effort_by_model
from .layout import FILE_ENDING, sha256
from .masks import CHANGED_FIX, on_grid, require_labels, unfinished_cases
from .read_files import read_findings
from .records import FOLDS, CaseRecord, Status
from .store import Store
from .summaries import CaseSummary, efforts
from .unreadable import Unreadable

__all__ = ["Checked", "Finding", "Severity", "checking", "known_notes", "status", "store_notes"]

ENOUGH_LOCKED = 5
"""Locked patients below which a model cannot be judged."""
_OTHER_PARTS = 3
"""Parts of the folder that are no case."""
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


@dataclass(frozen=True)
class Checked(Progress):
    """What was looked at, and what is wrong with it."""

    findings: tuple[Finding, ...] = ()


def checking(store: Store, repair: bool) -> Job[list[Finding]]:
    """Look at everything in the folder, a case at a time; see `Dataset.checking`."""
    found: list[Finding] = []
    total = store.catalog.n_files + _OTHER_PARTS
    for done, findings in enumerate(_parts(store, repair), start=1):
        found += findings
        message = "\n".join(map(_line, findings))
        yield Checked("Checking", done, max(done, total), message=message, findings=tuple(findings))
    return sorted(found, key=lambda f: (f.severity is not Severity.ERROR, f.case_id or "", f.what))


def _parts(store: Store, repair: bool) -> Iterator[list[Finding]]:
    """Findings of the folder's parts, each looked at when it is asked for; no record is kept."""
    history: set[str] = set()
    repairs_lists = repair
    for record, is_index_wrong in store.catalog.reading_again():
        if isinstance(record, Unreadable):
            why = f"its record was {record.reason}"
            yield [_error("unreadable_record", record.case_id, why)]
            continue
        findings = list(_case_findings(store, record))
        if is_index_wrong:
            findings.append(_wrong_index(store, record.case_id))
            repairs_lists = True  # opening may have made the lists by what the index said
        yield findings
        history.update(f"{record.case_id}/{mask.history_file}" for mask in record.history)
    cases, left_out = store.summaries(), store.left_out()
    yield list(_leftover_findings(store, repair))
    yield list(_orphan_findings(store, cases, left_out, history))
    yield [*_patient_findings(store, cases), *_stale_findings(store, left_out, repairs_lists)]


def _wrong_index(store: Store, case_id: str) -> Finding:
    message = (
        f"Case {case_id}: {store.layout.index.name} said other things of it than its record; it "
        "was removed and is made anew"
    )
    return Finding(Severity.WARNING, "wrong_index", case_id, message, is_repaired=True)


def _line(finding: Finding) -> str:
    repaired = " (repaired)" if finding.is_repaired else ""
    return f"{finding.severity.value:8} {finding.message}{repaired}"


def _stale_findings(store: Store, left_out: list[Unreadable], repair: bool) -> Iterator[Finding]:
    if left_out:
        return
    stale = list(store.stale())
    if repair and stale:
        store.rebuild()
    for path in stale:
        message = f"{path.name} is not what the records say; `dataset check --repair` rebuilds it"
        yield Finding(Severity.WARNING, "stale_derived", None, message, repair)


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
    store: Store, cases: list[CaseSummary], left_out: list[Unreadable], history: set[str]
) -> Iterator[Finding]:
    folder, drafted = store.layout.folder, {one.case_id for one in cases if one.has_draft}
    images = {
        store.layout.image(one.case_id, index).name
        for one in cases
        for index in range(len(one.channels))
    }
    accepted = {one.case_id for one in cases if one.mask_sha256 is not None}
    named = {
        "imagesTr": images,
        "labelsTr": {case_id + FILE_ENDING for case_id in accepted},
        "drafts": {case_id + FILE_ENDING for case_id in drafted},
        "autosave": {one.case_id + FILE_ENDING for one in cases},
        "history": history,
    }
    for part, known in named.items():
        for path in sorted((folder / part).rglob(f"*{FILE_ENDING}")):
            name = path.relative_to(folder / part).as_posix()
            if name in known or path.name.startswith(".tmp-"):
                continue
            if any(
                path.name.startswith(one.case_id) or path.parent.name == one.case_id
                for one in left_out
            ):
                continue
            message = f"{part}/{name} belongs to no record: left by an interruption, or put there"
            yield Finding(Severity.WARNING, "orphan_file", None, message)


def _patient_findings(store: Store, records: list[CaseSummary]) -> Iterator[Finding]:
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
        listed = read_json(store.layout.splits_json)
        pairs = [(set(entry["train"]), set(entry["val"])) for entry in listed]
    except (OSError, ValueError, TypeError, KeyError):
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
    return _notes(store.left_out(), store.changed_masks())


def known_notes(store: Store) -> list[str]:
    """`store_notes` as it was when the folder was looked at last."""
    return _notes(store.catalog.known_left_out, store.catalog.known_changes())


def _notes(left_out: list[Unreadable], changed: list[str]) -> list[str]:
    notes = [f"{one.describe()}." for one in left_out]
    notes += [
        f"Another program changed the mask of case {case_id}. {CHANGED_FIX}." for case_id in changed
    ]
    return notes


def status(store: Store) -> dict[str, Any]:
    """Counts, folds, locks and what to know, ready for JSON; see `Dataset.status`."""
    with store.catalog.read_once():
        return _status(store)


def _status(store: Store) -> dict[str, Any]:
    records = store.summaries()
    all_splits = splits(records)
    roles = {record.patient_id: record.role for record in records}
    locked_patients = sum(role.is_locked for role in roles.values())
    testable = len({record.patient_id for record in test_cases(records)})
    trainable = {record.patient_id for record in training_cases(records)}
    costs = efforts(records)
    holders = store.locks.holders()
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
        "autosaved": unfinished_cases(store),
        "locks": [
            {"case_id": one.case_id, "owner": note.owner, "since": note.since}
            for one in records
            if (note := holders.get(one.case_id)) is not None
        ],
        "effort": {
            "by_model": [dict(vars(row)) for row in effort_by_model(costs)],
            "cases": [dict(vars(row)) for row in costs],
        },
        "notes": notes,
    }
