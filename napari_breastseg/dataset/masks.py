"""The masks of a dataset folder: read on the case's grid, checked, staged with their provenance.

Imports `errors`, `volume`, `formats`, and of this package `derived`, `effort`, `layout`, `records`,
`store`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .. import formats
from ..core.errors import InputError
from ..core.overlap import dice
from ..core.version import __version__
from ..core.volume import BACKGROUND, IGNORE, TUMOR, Grid, LabelMap
from .derived import LABELS
from .effort import added_path_px
from .layout import sha256
from .records import AcceptedMask, CaseRecord, DraftRecord
from .store import Store

__all__ = [
    "on_grid",
    "read_draft",
    "read_label_map",
    "require_labels",
    "stage_draft",
    "stage_mask",
    "with_ignore",
]


def read_label_map(path: Path, record: CaseRecord) -> LabelMap:
    """Label map at `path`, on the recorded grid of its case."""
    return on_grid(formats.read_label_map(path), record.grid.grid, record.case_id)


def read_draft(store: Store, record: CaseRecord) -> LabelMap | None:
    """The model's untouched prediction of a case, None when there is none."""
    if record.draft is None:
        return None
    return read_label_map(store.layout.draft(record.case_id), record)


def on_grid(label_map: LabelMap, grid: Grid, case_id: str) -> LabelMap:
    """The label map with exactly `grid`; InputError when it does not lie on it."""
    label_map.require_grid(grid, case_id)
    return replace(label_map, grid=grid)


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


def stage_draft(
    store: Store,
    record: CaseRecord,
    label_map: LabelMap,
    model: str,
    predicted_dice: float | None = None,
) -> DraftRecord:
    """Write a draft where `Store.commit` finds it; what the record is to say of it."""
    label_map = on_grid(label_map, record.grid.grid, record.case_id)
    require_labels(label_map, (BACKGROUND, TUMOR), record.case_id)
    path = store.layout.pending("drafts", record.case_id)
    formats.write_label_map(path, label_map)
    return DraftRecord(
        sha256=sha256(path),
        model=model,
        predicted_dice=predicted_dice,
        software_version=__version__,
    )


def stage_mask(
    store: Store,
    record: CaseRecord,
    label_map: LabelMap,
    *,
    reviewed_slices: Sequence[int] | None,
    annotator: str,
    seconds: float,
    strokes: int | None = None,
    is_imported: bool,
) -> AcceptedMask:
    """Write an accepted mask where `Store.commit` finds it; what the record is to say of it."""
    label_map = on_grid(label_map, record.grid.grid, record.case_id)
    require_labels(label_map, LABELS.values(), record.case_id)
    data, slices = with_ignore(label_map, reviewed_slices, record.case_id)
    draft = read_draft(store, record)
    voxels_changed, agreement, path_px = (
        (None,) * 3 if draft is None else _draft_agreement(draft, data)
    )
    path = store.layout.pending("labelsTr", record.case_id)
    formats.write_label_map(path, LabelMap(data, label_map.grid))
    return AcceptedMask(
        sha256=sha256(path),
        annotator=annotator,
        seconds_spent=float(seconds),
        reviewed_slices=slices,
        tumor_voxels=int((data == TUMOR).sum()),
        model=None if record.draft is None else record.draft.model,
        voxels_changed=voxels_changed,
        dice_draft=agreement,
        strokes=strokes,
        added_path_px=path_px,
        is_imported=is_imported,
        software_version=__version__,
    )


def with_ignore(
    label_map: LabelMap, reviewed_slices: Sequence[int] | None, case_id: str
) -> tuple[NDArray[np.uint8], tuple[int, ...] | None]:
    """Labels (Z, Y, X) with slices nobody looked at as `ignore`; those looked at, None for all.

    Raises
    ------
    InputError
        When no slice was looked at, or one is not there.
    """
    depth = label_map.data.shape[0]
    reviewed = sorted(set(range(depth) if reviewed_slices is None else reviewed_slices))
    if not reviewed or reviewed[0] < 0 or reviewed[-1] >= depth:
        raise InputError(
            f"Expected indices of reviewed slices of case {case_id} from 0 to "
            f"{depth - 1}, at least one",
            f"found {', '.join(map(str, reviewed[:12])) or 'none'}",
            "Mark the slices that were reviewed",
        )
    data = np.full_like(label_map.data, IGNORE)
    for index in reviewed:
        # A slice wholly `ignore` is one nobody had looked at; now somebody has.
        plane = label_map.data[index]
        data[index] = BACKGROUND if (plane == IGNORE).all() else plane
    return data, None if len(reviewed) == depth else tuple(int(index) for index in reviewed)


def _draft_agreement(draft: LabelMap, data: NDArray[np.uint8]) -> tuple[int, float, int]:
    """Voxels that differ, Dice, added path in pixels, where the mask is not `ignore`."""
    is_scored = data != IGNORE
    drafted, accepted = draft.tumor & is_scored, data == TUMOR
    changed = int((drafted != accepted).sum())
    return changed, dice(drafted, accepted), added_path_px(drafted, accepted)
