"""What a reader's correction of a draft cost, from the records: is the loop paying?

Arrays and records in, figures out. Imports `records` of this package.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, median

import numpy as np
from numpy.typing import NDArray

from .records import CaseRecord

__all__ = ["Effort", "ModelEffort", "added_path_px", "effort", "effort_by_model"]


@dataclass(frozen=True)
class Effort:
    """What one accepted case cost, from the draft of one model."""

    case_id: str
    order: int
    """Place among the accepted cases of the folder, from 1."""
    model: str | None
    """Model whose draft was corrected; None when there was no draft."""
    seconds: float
    """Active work; a pause counts as a minute at most."""
    strokes: int | None
    voxels_changed: int | None
    added_path_px: int | None
    added_path_mm: float | None
    """None where pixel size is not known."""
    dice_draft: float | None
    findings_kept: int | None = None
    """Findings of the model that the reader kept; None where there were none to decide about."""
    findings_dropped: int | None = None
    slices_redrafted: int | None = None
    """Slices that were drafted again from the reader's own corrections; None where none could."""
    redraft_accepted: float | None = None
    """Share of the voxels changed by that which were accepted so; None where none changed."""


@dataclass(frozen=True)
class ModelEffort:
    """What the cases of one model cost: medians, and the mean Dice of its drafts."""

    model: str | None
    cases: int
    seconds: float
    strokes: float | None
    voxels_changed: float | None
    added_path_px: float | None
    added_path_mm: float | None
    dice_draft: float | None
    findings_kept: float | None
    findings_dropped: float | None
    slices_redrafted: float | None
    redraft_accepted: float | None


def added_path_px(draft: NDArray[np.bool_], accepted: NDArray[np.bool_]) -> int:
    """Added path length: contour pixels of the accepted mask that the draft's contour lacks.

    A contour is drawn in each slice along Z: the pixels of a mask with one of their four neighbors
    outside it. Times the pixel size it is the length a reader had to draw.

    Parameters
    ----------
    draft, accepted : array of bool, shape (Z, Y, X)

    References
    ----------
    Vaassen et al. Evaluation of measures for assessing time-saving of automatic organ-at-risk
    segmentation in radiotherapy. Physics and Imaging in Radiation Oncology 13, 1-6 (2020).

    Examples
    --------
    >>> accepted = np.zeros((1, 6, 6), bool)
    >>> accepted[0, 1:5, 1:5] = True
    >>> added_path_px(np.zeros_like(accepted), accepted), added_path_px(accepted, accepted)
    (12, 0)
    """
    count = 0
    for drafted, wanted in zip(draft, accepted, strict=True):
        if wanted.any():
            count += int(np.count_nonzero(_contour(wanted) & ~_contour(drafted)))
    return count


def _contour(plane: NDArray[np.bool_]) -> NDArray[np.bool_]:
    from scipy import ndimage

    edge: NDArray[np.bool_] = plane & ~ndimage.binary_erosion(plane)
    return edge


def effort(records: Iterable[CaseRecord]) -> list[Effort]:
    """What each accepted case cost, in the order in which they were accepted.

    Imported masks cost nothing here and are left out. A case that was reopened counts all the work
    from drafts of the model that its accepted mask comes from.
    """
    rows = []
    for record in records:
        mask = record.accepted
        if mask is None or mask.is_imported:
            continue
        sittings = [
            m for m in (*record.history, mask) if m.model == mask.model and not m.is_imported
        ]
        strokes = [m.strokes for m in sittings]
        spacing, path = record.grid.grid.spacing_mm, mask.added_path_px
        pixel_mm = None if spacing is None else math.sqrt(spacing[1] * spacing[2])
        rows.append(
            Effort(
                case_id=record.case_id,
                order=mask.order or 0,
                model=mask.model,
                seconds=sum(m.seconds_spent for m in sittings),
                strokes=None if None in strokes else sum(s or 0 for s in strokes),
                voxels_changed=mask.voxels_changed,
                added_path_px=path,
                added_path_mm=None if path is None or pixel_mm is None else path * pixel_mm,
                dice_draft=mask.dice_draft,
                findings_kept=mask.findings_kept,
                findings_dropped=mask.findings_dropped,
                slices_redrafted=None if mask.redraft is None else mask.redraft.slices,
                redraft_accepted=None if mask.redraft is None else mask.redraft.share_accepted,
            )
        )
    return sorted(rows, key=lambda row: (row.order, row.case_id))


def effort_by_model(rows: Sequence[Effort]) -> list[ModelEffort]:
    """Typical cost of a case for each model, in the order in which the models were first used."""
    found = []
    for model in dict.fromkeys(row.model for row in rows):
        own = [row for row in rows if row.model == model]
        dice = _known(row.dice_draft for row in own)
        found.append(
            ModelEffort(
                model=model,
                cases=len(own),
                seconds=median(row.seconds for row in own),
                strokes=_median(row.strokes for row in own),
                voxels_changed=_median(row.voxels_changed for row in own),
                added_path_px=_median(row.added_path_px for row in own),
                added_path_mm=_median(row.added_path_mm for row in own),
                dice_draft=fmean(dice) if dice else None,
                findings_kept=_median(row.findings_kept for row in own),
                findings_dropped=_median(row.findings_dropped for row in own),
                slices_redrafted=_median(row.slices_redrafted for row in own),
                redraft_accepted=_median(row.redraft_accepted for row in own),
            )
        )
    return found


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _median(values: Iterable[float | None]) -> float | None:
    known = _known(values)
    return median(known) if known else None
