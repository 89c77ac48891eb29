"""Drafts and masks that are about to be kept, written where `Store.commit` finds them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .. import formats
from ..core.errors import InputError
from ..core.overlap import dice
from ..core.version import __version__
from ..core.volume import BACKGROUND, IGNORE, TUMOR, LabelMap
from .effort import added_path_px
from .finding_record import Decision, FindingRecord
from .identifiers import require_word
from .layout import sha256
from .masks import checked, on_grid, read_draft, require_labels
from .records import AcceptedMask, CaseRecord, ClickRecord, DraftRecord
from .redraft_record import RedraftRecord
from .store import Store

__all__ = ["Review", "stage_draft", "stage_mask", "with_ignore"]


@dataclass(frozen=True)
class Review:
    """Who accepts a mask, over which slices, after how much work.

    Raises
    ------
    InputError
        If the annotator is not a short name, or the time is not a number from 0.
    """

    annotator: str
    reviewed_slices: Sequence[int] | None = None
    """Indices along Z of the slices reviewed; None when all were."""
    seconds: float = 0.0
    """Time spent on the case in this sitting."""
    strokes: int | None = None
    """Edits made in this sitting, one per undo step; None where nobody counted."""
    findings: tuple[FindingRecord, ...] = ()
    """What the model found and what was decided about each; empty where that is not known."""
    clicks: tuple[ClickRecord, ...] = ()
    """What was said by smart clicks."""
    redraft: RedraftRecord | None = None
    """What was drafted again from the reader's own corrections; None where nothing was."""

    def __post_init__(self) -> None:
        require_word(self.annotator, "an annotator")
        if not (math.isfinite(self.seconds) and self.seconds >= 0):
            raise InputError(
                "Expected the time spent on a case in seconds, 0 or more",
                f"found {self.seconds}",
                "Give the time in seconds",
            )


def stage_draft(
    store: Store,
    record: CaseRecord,
    label_map: LabelMap,
    model: str,
    predicted_dice: float | None = None,
    learned_from: tuple[str, ...] = (),
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
        learned_from=learned_from,
        software_version=__version__,
    )


def stage_mask(
    store: Store,
    record: CaseRecord,
    label_map: LabelMap,
    review: Review,
    *,
    is_imported: bool = False,
) -> AcceptedMask:
    """Write an accepted mask where `Store.commit` finds it; what the record is to say of it."""
    label_map = checked(label_map, record)
    data, slices = with_ignore(label_map, review.reviewed_slices, record.case_id)
    draft = read_draft(store, record)
    voxels_changed, agreement, path_px = (
        (None,) * 3 if draft is None else _draft_agreement(draft, data)
    )
    path = store.layout.pending("labelsTr", record.case_id)
    formats.write_label_map(path, LabelMap(data, label_map.grid))
    return AcceptedMask(
        sha256=sha256(path),
        annotator=review.annotator,
        seconds_spent=float(review.seconds),
        reviewed_slices=slices,
        tumor_voxels=int((data == TUMOR).sum()),
        model=None if record.draft is None else record.draft.model,
        voxels_changed=voxels_changed,
        dice_draft=agreement,
        strokes=review.strokes,
        added_path_px=path_px,
        findings_kept=_decided(review, Decision.KEPT),
        findings_dropped=_decided(review, Decision.DROPPED),
        redraft=review.redraft,
        is_imported=is_imported,
        software_version=__version__,
    )


def _decided(review: Review, decision: Decision) -> int | None:
    """How many findings were decided about in this way; None where none are known."""
    if not review.findings:
        return None
    return sum(one.decision is decision for one in review.findings)


def with_ignore(
    label_map: LabelMap, reviewed_slices: Sequence[int] | None, case_id: str
) -> tuple[NDArray[np.uint8], tuple[int, ...] | None]:
    """Labels (Z, Y, X) with slices not reviewed as `ignore`; those reviewed, None for all.

    Raises
    ------
    InputError
        When no slice was reviewed, or one is not there.
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
        # A slice that is wholly `ignore` was not reviewed before; now it was.
        plane = label_map.data[index]
        data[index] = BACKGROUND if (plane == IGNORE).all() else plane
    return data, None if len(reviewed) == depth else tuple(int(index) for index in reviewed)


def _draft_agreement(draft: LabelMap, data: NDArray[np.uint8]) -> tuple[int, float, int]:
    """Voxels that differ, Dice, added path in pixels, where the mask is not `ignore`."""
    is_scored = data != IGNORE
    drafted, accepted = draft.tumor & is_scored, data == TUMOR
    changed = int((drafted != accepted).sum())
    return changed, dice(drafted, accepted), added_path_px(drafted, accepted)
