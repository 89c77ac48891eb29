"""Both readers' outlines of a case read twice, for its picture in the List, and how they agree."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...dataset import Dataset, ReadKind, WorklistRow

__all__ = ["OTHER", "OUTLINE", "ReadOutlines", "draw_outline", "read_outlines"]

OUTLINE, OTHER = (255, 90, 54), (86, 180, 233)
"""Colors of the tumor layer and first reader, and of the second reader."""


@dataclass(frozen=True, eq=False)
class ReadOutlines:
    """Two readers' outlines of one case."""

    first: NDArray[np.bool_]
    second: NDArray[np.bool_]
    """Tumor, both (Z, Y, X)."""

    names: tuple[str, str]
    dice: float
    """Where both looked."""
    others: int = 0
    """Further second readers, whose outlines are not among the two."""

    @property
    def words(self) -> str:
        """Who, and how well they agree."""
        more = f" (+{self.others})" if self.others else ""
        return f"{self.names[0]} – {self.names[1]}: Dice {self.dice:.2f}{more}"


def read_outlines(dataset: Dataset, row: WorklistRow) -> ReadOutlines | None:
    """The first reader's outline and a second one; None before there are both.

    None, too, for whoever is still to read the case without seeing the first outline.

    Raises
    ------
    InputError
        When a read cannot be read.
    """
    if row.is_blinded or not row.is_for_second_read:
        return None
    reads = dataset.reads.of_case(row.case_id)
    first = [read for read in reads if read.kind is ReadKind.FIRST]
    second = [read for read in reads if read.kind is ReadKind.SECOND]
    if not first or not second:
        return None
    from ...scoring.agreement import compare

    pair = first[0], second[0]
    one, other = (dataset.reads.label_map(read) for read in pair)
    found = compare(row.case_id, row.patient_id, pair[0], one, pair[1], other)
    names = pair[0].reader, pair[1].reader
    return ReadOutlines(one.tumor, other.tumor, names, found.dice, len(second) - 1)


def draw_outline(
    colors: NDArray[np.uint8], marked: NDArray[np.bool_], color: tuple[int, int, int]
) -> None:
    """Draw the border of a mask (Y, X) into a picture (Y, X, 3)."""
    colors[marked & ~ndimage.binary_erosion(marked)] = color
