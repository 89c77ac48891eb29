"""The masks of a case on disk: the accepted one, the draft, the autosave, the earlier ones."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from .. import formats
from ..core.errors import InputError
from ..core.volume import Grid, LabelMap
from .derived import LABELS
from .layout import FILE_ENDING
from .records import CaseRecord
from .store import Store
from .summaries import CaseSummary

__all__ = [
    "CHANGED_FIX",
    "checked",
    "on_grid",
    "read_accepted",
    "read_draft",
    "read_kept",
    "read_label_map",
    "read_unfinished",
    "require_labels",
    "unfinished_cases",
    "unfinished_path",
]

CHANGED_FIX = (
    "Open the case in the Correct step, look at the mask and accept it, or restore the file; until "
    "then nothing is learned from it"
)


def read_label_map(path: Path, record: CaseRecord) -> LabelMap:
    """Label map at `path`, on the recorded grid of its case."""
    return on_grid(formats.read_label_map(path, is_own=True), record.grid.grid, record.case_id)


def read_accepted(store: Store, record: CaseRecord) -> LabelMap:
    """Accepted mask of a case.

    Raises
    ------
    InputError
        When the case is not accepted, or the file is not what was accepted.
    """
    if not record.is_accepted:
        raise InputError(
            f"Expected an accepted mask of case {record.case_id}",
            f"found status '{record.status.value}'",
            "Accept the case first, or choose an accepted one",
        )
    if store.is_mask_changed(record):
        raise InputError(
            f"Expected the mask of case {record.case_id} as it was accepted",
            "found that another program changed its file since",
            CHANGED_FIX,
        )
    return read_label_map(store.layout.label(record.case_id), record)


def unfinished_path(store: Store, record: CaseRecord | CaseSummary) -> Path | None:
    """Autosave of a case if it is newer than the mask accepted last, else None."""
    path = store.layout.autosave(record.case_id)
    if not path.exists():
        return None
    if record.autosave_after is not None:
        return path if record.autosave_after >= record.n_masks else None
    # Kept by an earlier version, without a counter: the files' times are all there is.
    label = store.layout.label(record.case_id)
    is_older = label.exists() and path.stat().st_mtime_ns <= label.stat().st_mtime_ns
    return None if record.is_accepted and is_older else path


def unfinished_cases(store: Store) -> list[str]:
    """Cases with an `unfinished_path`."""
    try:
        kept = frozenset(os.listdir(store.layout.autosave("").parent))
    except OSError:
        return []
    return [
        one.case_id
        for one in store.summaries()
        if one.case_id + FILE_ENDING in kept and unfinished_path(store, store.case(one.case_id))
    ]


def read_unfinished(store: Store, record: CaseRecord) -> LabelMap | None:
    """Autosave of a case if it is newer than the mask accepted last, else None."""
    path = unfinished_path(store, record)
    return None if path is None else read_label_map(path, record)


def read_kept(store: Store, record: CaseRecord) -> LabelMap | None:
    """The accepted mask, else the one a reopened case goes on from, else the draft, or None.

    A mask that another program changed is given as it is now, for a reader to look at.
    """
    if record.is_accepted:
        return read_label_map(store.layout.label(record.case_id), record)
    earlier = record.goes_on_from
    if earlier is None and record.draft is None and record.history:
        earlier = record.history[-1].history_file
    if earlier is not None:
        return read_label_map(store.layout.history(record.case_id) / earlier, record)
    return read_draft(store, record)


def read_draft(store: Store, record: CaseRecord) -> LabelMap | None:
    """The model's untouched prediction of a case, None when there is none."""
    if record.draft is None:
        return None
    return read_label_map(store.layout.draft(record.case_id), record)


def on_grid(label_map: LabelMap, grid: Grid, case_id: str) -> LabelMap:
    """The label map with exactly `grid`; InputError when it does not lie on it."""
    label_map.require_grid(grid, case_id)
    return replace(label_map, grid=grid)


def checked(label_map: LabelMap, record: CaseRecord) -> LabelMap:
    """The label map on exactly the case's grid; InputError for another grid or other labels."""
    label_map = on_grid(label_map, record.grid.grid, record.case_id)
    require_labels(label_map, LABELS.values(), record.case_id)
    return label_map


def require_labels(label_map: LabelMap, allowed: Iterable[int], case_id: str) -> None:
    """Raise unless every value of a label map is one of `allowed`.

    Raises
    ------
    InputError
        With the values that were found.
    """
    allowed = sorted(allowed)
    # Slice by slice: counting widens each voxel to eight bytes.
    counts = sum(np.bincount(plane.ravel(), minlength=256) for plane in label_map.data)
    found = np.flatnonzero(counts)
    if not np.isin(found, allowed).all():
        names = {value: name for name, value in LABELS.items()}
        values = ", ".join(map(str, found[:12])) + (" and more" if len(found) > 12 else "")
        raise InputError(
            f"Expected a mask of case {case_id} with labels "
            + ", ".join(f"{value} {names[value]}" for value in allowed),
            f"found labels {values}",
            "Save the mask again with tumor as 1 and everything else as 0",
        )
