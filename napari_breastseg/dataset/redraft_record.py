"""What a case record keeps of drafting the rest of an exam again from the reader's own corrections.

Numbers only.
"""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["RedraftRecord"]


class RedraftRecord(BaseModel):
    """How much of an accepted mask was drafted again, and how much of that the reader left."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    from_slices: int = Field(ge=1)
    """Corrected slices that the last redraft learned from."""

    slices: int = Field(ge=0)
    """Reviewed slices in which a redraft changed the mask."""

    voxels: int = Field(ge=0)
    """Voxels of these slices that redrafts changed."""

    voxels_accepted: int = Field(ge=0)
    """How many of these voxels were accepted as redrafted."""

    @model_validator(mode="after")
    def _no_more_accepted_than_changed(self) -> Self:
        if self.voxels_accepted > self.voxels or (self.voxels > 0) != (self.slices > 0):
            raise ValueError("voxels accepted must be among the voxels redrafted")
        return self

    @property
    def share_accepted(self) -> float | None:
        """Share of the redrafted voxels that were accepted unchanged; None without any."""
        return self.voxels_accepted / self.voxels if self.voxels else None

    @classmethod
    def of(
        cls,
        before: NDArray[np.uint8],
        redrafted: NDArray[np.uint8],
        mask: NDArray[np.uint8],
        reviewed: NDArray[np.bool_],
        from_slices: int,
    ) -> RedraftRecord:
        """What became of redrafts.

        Parameters
        ----------
        before, redrafted : ndarray, shape (Z, Y, X)
            Labels before the first and after the last redraft, where they were redrafted;
            elsewhere equal.
        mask : ndarray, shape (Z, Y, X)
            What is accepted.
        reviewed : ndarray of bool, shape (Z,)
            Slices whose voxels count.
        from_slices : int

        Examples
        --------
        >>> before, mask = np.zeros((2, 1, 4), np.uint8), np.zeros((2, 1, 4), np.uint8)
        >>> redrafted = np.ones((2, 1, 4), np.uint8)
        >>> mask[0, 0, :3] = 1
        >>> found = RedraftRecord.of(before, redrafted, mask, np.array([True, False]), 2)
        >>> found.slices, found.voxels, found.share_accepted
        (1, 4, 0.75)
        """
        slices = voxels = accepted = 0
        for z in np.flatnonzero(reviewed):
            is_changed = redrafted[z] != before[z]
            count = int(np.count_nonzero(is_changed))
            slices += count > 0
            voxels += count
            accepted += int(np.count_nonzero(mask[z][is_changed] == redrafted[z][is_changed]))
        return cls(from_slices=from_slices, slices=slices, voxels=voxels, voxels_accepted=accepted)
