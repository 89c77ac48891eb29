"""One outline from several readers' outlines: STAPLE or the majority. Never accepted by itself.

Imports `errors`, `volume` and `dataset`; SimpleITK is loaded when it is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InputError
from ..core.region import tight_box, widened
from ..core.volume import LabelMap
from ..dataset import CaseRecord, Dataset, ReadKind

__all__ = ["Method", "consensus", "propose_consensus"]

_MARGIN = 5
"""Voxels around all marks that STAPLE looks at: its prior is the share of tumor among them."""


class Method(StrEnum):
    """How several outlines become one."""

    STAPLE = "staple"
    """Weighs each reader by how well the reader agrees with the estimated truth."""
    MAJORITY = "majority"
    """Voxels that more than half of the readers marked; needs three."""


def consensus(reads: Sequence[LabelMap], method: Method, case_id: str) -> LabelMap:
    """The outline that several readers' outlines stand for, 0 and 1.

    Where not all readers looked, the votes of those who did decide; half of them are enough, for
    the result is a draft that somebody looks at again.

    Parameters
    ----------
    reads : sequence of LabelMap
        Two or more on one grid, with `ignore` where a reader did not look.
    method : Method
    case_id : str
        For the message.

    Raises
    ------
    InputError
        With fewer readers than the method needs.

    References
    ----------
    Warfield, Zou, Wells. Simultaneous truth and performance level estimation (STAPLE). IEEE
    Transactions on Medical Imaging 23(7), 903-921 (2004).
    """
    least = 3 if method is Method.MAJORITY else 2
    if len(reads) < least:
        raise InputError(
            f"Expected {least} readers of case {case_id} for a consensus by {method.value}",
            f"found {len(reads)}",
            "Let another reader outline it"
            + (", or use STAPLE" if least == 3 and len(reads) == 2 else ""),
        )
    marks = np.stack([read.tumor for read in reads])
    looked = np.stack([read.is_scored for read in reads])
    votes, voters = marks.sum(axis=0, dtype=np.int16), looked.sum(axis=0, dtype=np.int16)
    by_all = voters == len(reads)
    out = (2 * votes >= voters) & (votes > 0)
    if method is Method.MAJORITY:
        out[by_all] = (2 * votes > voters)[by_all]
    else:
        found = tight_box(votes > 0)
        if found is not None:
            box = widened(found, votes.shape, (_MARGIN,) * 3)
            inner = by_all[box]
            out[box][inner] = (_staple([mark[box] & inner for mark in marks]) >= 0.5)[inner]
    return LabelMap(out.astype(np.uint8), reads[0].grid)


def propose_consensus(dataset: Dataset, case_id: str, method: Method) -> CaseRecord:
    """Make the readers' consensus the case's new draft, for somebody to look at and accept.

    An accepted case is reopened: it counts as accepted again when the consensus has been. The
    reads stay, and so does the accepted mask, in the history.

    Raises
    ------
    InputError
        With fewer readers than the method needs; nothing is changed then.
    """
    reads = dataset.reads
    own = [read for read in reads.of_case(case_id) if read.kind is not ReadKind.MODEL]
    made = consensus([reads.label_map(read) for read in own], method, case_id)
    return reads.adopt_consensus(
        case_id, made, f"consensus by {method.value} of {len(own)} readers"
    )


def _staple(marks: Sequence[NDArray[np.bool_]]) -> NDArray[np.float64]:
    """Probability of tumor, (Z, Y, X)."""
    import SimpleITK as sitk

    if all(np.array_equal(mark, marks[0]) for mark in marks):
        return marks[0].astype(np.float64)  # the estimate is not defined without disagreement
    images = [sitk.GetImageFromArray(mark.astype(np.uint8)) for mark in marks]
    return np.asarray(sitk.GetArrayFromImage(sitk.STAPLE(images, 1.0)), np.float64)
