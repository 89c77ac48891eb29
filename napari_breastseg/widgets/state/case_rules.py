"""Decisions about the case being corrected: may it start, what does Accept write, what is lost.

Plain values in, plain values or sentences out; no Qt, no napari. A sentence that says why something
cannot be done is empty when it can.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import InputError
from ...core.volume import BACKGROUND, IGNORE, TUMOR, LabelMap
from ...dataset import CaseRecord
from .casework import HeldCase
from .drafts import Draft
from .session import is_same

__all__ = [
    "BUSY",
    "NO_READER",
    "REST",
    "START_FIRST",
    "accepted_text",
    "has_recovered_work",
    "require_own_labels",
    "reviewed_labels",
    "reviewed_text",
    "saved_text",
    "starting_mask",
    "unreviewed_tumor",
    "why_no_accept",
    "why_no_start",
    "would_be_lost",
]

BUSY = "Busy; wait a moment"
REST = "The rest is reviewed"
NO_READER = "Type your initials (Reader)"
START_FIRST = "Press 'Start correcting' first"

_LIKE_A_NAME = re.compile(r"\s|\d{4}-\d{2}-\d{2}")


def why_no_start(
    *,
    is_busy: bool,
    has_exam: bool,
    is_known: bool,
    patient_id: str,
    reader: str,
) -> str:
    """Why correcting the current exam cannot start.

    Parameters
    ----------
    is_busy, has_exam : bool
    is_known : bool
        Whether the dataset has the case already, and with it its patient.
    patient_id, reader : str
        As typed.
    """
    if is_busy:
        return BUSY
    if not has_exam:
        return "Open an exam first"
    if not is_known and not patient_id.strip():
        return "Type the patient's id (a pseudonym)"
    if not is_known and _LIKE_A_NAME.search(patient_id.strip()):
        return "An id with spaces or a date may identify the patient: use one such as P017"
    if not reader.strip():
        return NO_READER
    return ""


def why_no_accept(
    *,
    is_busy: bool,
    is_held: bool,
    has_mask: bool,
    unfinished: str,
    is_rest_reviewed: bool,
    has_reviewed: bool,
    axis: int,
) -> str:
    """Why the mask cannot be accepted.

    Parameters
    ----------
    is_busy, is_held, has_mask : bool
    unfinished : str
        What a tool has still to do to the mask, as a sentence; empty when nothing.
    is_rest_reviewed : bool
        Whether the reader confirmed that all slices are reviewed.
    has_reviewed : bool
        Whether any slice along z was.
    axis : int
        Array axis the reader looks along.
    """
    if is_busy:
        return BUSY
    if not is_held:
        return START_FIRST
    if not has_mask:
        return "The mask layer was removed; open the case again"
    if unfinished:
        return unfinished
    if not is_rest_reviewed and not has_reviewed:
        if axis != 0:
            return f"Review every slice in this direction, or tick '{REST}'"
        return "Review a slice first"
    return ""


def would_be_lost(labels: NDArray[Any] | None, draft: Draft | None) -> bool:
    """Whether closing an exam that no dataset holds loses a mask; a draft can be made again.

    Examples
    --------
    >>> would_be_lost(None, None), would_be_lost(np.ones((1, 2, 2)), None)
    (False, True)
    """
    if labels is None or not labels.any():
        return False
    return draft is None or not is_same(draft.label_map.data, labels)


def starting_mask(held: HeldCase, *, is_draft_hidden: bool) -> LabelMap:
    """What correcting starts from: accepted or earlier mask, or draft; empty if that is hidden."""
    is_hidden = is_draft_hidden and held.draft is not None and held.record.kept_mask is None
    if held.on_disk is None or is_hidden:
        grid = held.exam.grid
        return LabelMap(np.zeros(grid.shape, np.uint8), grid)
    return held.on_disk


def require_own_labels(labels: NDArray[Any], saved: NDArray[Any] | None) -> None:
    """Raise if a mask holds a label that is neither tumor nor background and was not there before.

    A script or plugin may write any number into a layer. Of what it means only the reader knows: a
    2 that the dataset did not have is no "not reviewed".

    Parameters
    ----------
    labels : ndarray, shape (Z, Y, X)
    saved : ndarray, shape (Z, Y, X), optional
        As the mask was when it was opened or accepted last.

    Raises
    ------
    InputError
    """
    if labels.min() >= BACKGROUND and labels.max() <= TUMOR:
        return  # nearly always: no arrays of Booleans as large as the exam
    is_other = (labels > TUMOR) | (labels < BACKGROUND)
    if saved is not None and is_other.any():
        is_other &= labels != saved
    if not is_other.any():
        return
    found = " and ".join(f"label {label}" for label in np.unique(labels[is_other]))
    slices = np.flatnonzero(is_other.any(axis=(1, 2))) + 1
    count = np.count_nonzero(is_other)
    counted = "1 voxel" if count == 1 else f"{count:,} voxels"
    where = f"slice {slices[0]}" if len(slices) == 1 else f"slices {slices[0]} to {slices[-1]}"
    raise InputError(
        "Expected tumor and background only in the mask",
        f"found {found} in {counted} ({where})",
        "Paint over them as tumor, or erase them",
    )


def reviewed_labels(
    labels: NDArray[np.uint8], before: Collection[int] | None, now: Collection[int] | None
) -> NDArray[np.uint8]:
    """Labels to accept: beside what was painted, a slice that was not reviewed is background now.

    Parameters
    ----------
    labels : ndarray, shape (Z, Y, X)
    before, now : collection of int, optional
        Slices along z that were reviewed in the mask that correcting went on from, and are in this
        one; None for all.
    """
    if before is None:
        return labels
    settled = labels.copy()
    for z in set(range(len(labels)) if now is None else now).difference(before):
        settled[z][settled[z] == IGNORE] = BACKGROUND
    return settled


def has_recovered_work(held: HeldCase, labels: NDArray[Any]) -> bool:
    """Whether there is an autosave that was never accepted and is not the mask shown already."""
    return held.recovered is not None and not np.array_equal(held.recovered.data, labels)


def unreviewed_tumor(
    tumor_slices: Collection[int], reviewed: Collection[int] | None
) -> tuple[int, ...]:
    """Slices along z with tumor that were not reviewed; `reviewed` is None where all were.

    Examples
    --------
    >>> unreviewed_tumor([3, 4, 5], [4]), unreviewed_tumor([3, 4], None)
    ((3, 5), ())
    """
    return () if reviewed is None else tuple(sorted(set(tumor_slices).difference(reviewed)))


def reviewed_text(
    shape: Sequence[int],
    reviewed: Collection[int],
    tumor_slices: Collection[int],
    *,
    axis: int = 0,
    along_axis: int = 0,
) -> str:
    """How much of a case is reviewed, in a sentence.

    Parameters
    ----------
    shape : sequence of int
        Voxels along (z, y, x).
    reviewed, tumor_slices : collection of int
        Slices along z that were reviewed, and that hold tumor.
    axis, along_axis : int
        Array axis the reader looks along, and how many slices along it were seen.

    Examples
    --------
    >>> reviewed_text((4, 9, 9), [0, 1], [1, 2])
    'Reviewed 2 of 4 slices; 1 with tumor is not reviewed.'
    """
    depth = shape[0]
    if axis != 0 and len(reviewed) < depth:
        return f"Reviewed {along_axis} of {shape[axis]} slices in this direction."
    text = f"Reviewed {len(reviewed)} of {depth} slices"
    unseen = len(unreviewed_tumor(tumor_slices, reviewed))
    if unseen:
        return f"{text}; {unseen} with tumor {'is' if unseen == 1 else 'are'} not reviewed."
    return f"{text}."


def saved_text(
    *,
    has_mask: bool,
    record: CaseRecord | None,
    is_changed: bool,
    is_behind: bool,
    is_refused: bool,
    saved_within_s: float,
    saved_at: str = "",
) -> str:
    """Where the mask stands, in a sentence; empty without one.

    Parameters
    ----------
    has_mask : bool
    record : CaseRecord, optional
        Of the case held; None while none is.
    is_changed : bool
        Whether the mask differs from what was opened or accepted last.
    is_behind : bool
        Whether the last autosave lacks an edit.
    is_refused : bool
        Whether the disk refused the last autosave.
    saved_within_s : float
        How soon an edit is autosaved.
    saved_at : str
        Time of day of the last autosave; empty where it is not known.
    """
    if not has_mask:
        return ""
    if is_refused:
        where = "" if record is None else "in the dataset; kept on this computer meanwhile"
        return f"NOT SAVED {where}".rstrip() + ". It is tried again."
    if record is None:
        return "In no dataset yet. What you paint is kept on this computer."
    if not is_changed:
        return "Accepted; no changes since." if record.is_accepted else "No changes yet."
    if not is_behind:
        when = f" at {saved_at}" if saved_at else ""
        return f"Changes autosaved{when}, not accepted yet."
    return f"Unsaved changes; autosave within {saved_within_s} s."


def accepted_text(record: CaseRecord, labels: NDArray[np.uint8]) -> str:
    """What was accepted, in a sentence; and a second one where tumor was not reviewed."""
    mask = record.accepted
    assert mask is not None
    depth = record.grid.shape[0]
    seen = depth if mask.reviewed_slices is None else len(mask.reviewed_slices)
    voxel_ml = record.grid.grid.voxel_ml
    size = f"{mask.tumor_voxels:,} px"
    if voxel_ml is not None:
        size = f"{mask.tumor_voxels * voxel_ml:.2f} mL"
    found = f"tumor {size}" if mask.tumor_voxels else "no tumor"
    text = f"Accepted {record.case_id}: {found}, {seen} of {depth} slices reviewed."
    tumor_slices = np.flatnonzero((labels == TUMOR).any(axis=(1, 2))).tolist()
    if unseen := len(unreviewed_tumor(tumor_slices, mask.reviewed_slices)):
        slices = "1 slice with tumor was" if unseen == 1 else f"{unseen} slices with tumor were"
        text += f" {slices} not reviewed and {'is' if unseen == 1 else 'are'} left out of training."
    return text
