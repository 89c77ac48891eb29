"""How far from what was marked an exam is drafted again. Imports no torch, no Qt."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..core.region import Region
from ..core.volume import TUMOR
from .corrections import Corrections

__all__ = ["joined_to", "within_reach"]

BESIDE_MM = 2.0
"""By how much a lesion that the draft missed may be wider in other slices than in those corrected,
far from these; chosen on synthetic exams."""

Mask = NDArray[np.bool_]


def within_reach(
    found: NDArray[np.float32],
    drafted: NDArray[np.float32],
    corrections: Corrections,
    box: Region,
    near: Callable[..., Mask],
) -> NDArray[np.float32]:
    """Tumor probability of a box, without what lies too far from anything marked.

    A lesion that the reader corrected may grow a little on all sides. If the draft had missed it,
    so that it is marked in corrected slices alone, it may also go on above and below them: thin
    bridges lead from many a lesion to vessels and glands beside it. Where the reader corrected
    nothing, slices of another lesion may teach that this is none, but not that it is larger:
    there the first draft counts twice as much as what was learned.

    Parameters
    ----------
    found : array of float32, shape (Z, Y, X)
        What was learned makes of the box.
    drafted : array of float32, shape (Z, Y, X)
        The first draft of it.
    corrections : Corrections
        Of the whole exam.
    box : tuple of slice
    near : callable
        `ExamView.near`: gives the voxels close to those of a mask.
    """
    from scipy import ndimage

    # Of the box alone: whole exams are large.
    tumor: Mask = np.equal(corrections.labels[box], TUMOR)
    reviewed = np.broadcast_to(corrections.reviewed[box[0], None, None], tumor.shape)
    is_kept = corrections.touched[box] | reviewed
    lesions, count = ndimage.label(tumor, np.ones((3, 3, 3)))

    def having(marks: Mask) -> Mask:
        """Lesions of which some voxels are among these."""
        has = np.zeros(count + 1, bool)
        has[lesions[marks & tumor]] = True
        of_those: Mask = has[lesions]
        return of_those

    corrected = having(is_kept)
    missed_by_draft = corrected & ~having(~reviewed)
    reach = near(corrected) | near(missed_by_draft.any(0, keepdims=True), BESIDE_MM)
    left_alone = np.where(near(tumor & ~corrected), np.minimum(found, (found + 2 * drafted) / 3), 0)
    return np.where(reach, found, left_alone).astype(np.float32)


def joined_to(is_tumor: Mask, before: Mask) -> Mask:
    """Parts of a mask (Z, Y, X) that hang together with what was marked before."""
    from scipy import ndimage

    parts, count = ndimage.label(is_tumor, np.ones((3, 3, 3)))
    touching = np.zeros(count + 1, bool)
    touching[np.unique(parts[before])] = True
    touching[0] = False
    kept: Mask = touching[parts]
    return kept
