"""The recovery copy of the mask being corrected, which a thread writes while the reader goes on.

No Qt, no napari.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.volume import LabelMap
from ...dataset import CaseRecord, Workspace

__all__ = ["PendingSave", "RecoveryCopy"]

_NO_LABEL = 255


@dataclass(eq=False)
class PendingSave:
    """An autosave that is not on disk yet: the case, and the copy of its mask."""

    workspace: Workspace
    record: CaseRecord
    labels: NDArray[Any]

    @property
    def key(self) -> tuple[Path, str]:
        """Folder and case id."""
        return self.workspace.folder, self.record.case_id

    def write(self) -> None:
        """Autosave it."""
        label_map = LabelMap(self.labels, self.record.grid.grid)
        self.workspace.autosave(self.record.case_id, label_map)


class RecoveryCopy:
    """One copy of the mask, brought up to date slice by slice before each autosave."""

    def __init__(self) -> None:
        self._labels: NDArray[Any] | None = None
        self._is_shared = True  # somebody else relies on that array: copy it before it changes
        self._edited: set[int] | None = set()
        self.pending: PendingSave | None = None
        """What is on its way to the disk, or was refused there."""

    @property
    def is_behind(self) -> bool:
        """Whether there were edits since the copy was last brought up to date."""
        return self._edited is None or bool(self._edited)

    def note_saved(self, labels: NDArray[Any]) -> None:
        """Note that these labels (Z, Y, X) are on disk; the array is not changed."""
        self._labels, self._is_shared = labels, True
        self._edited = self.pending = None

    def note_edited(self, slices: Iterable[int] | None) -> None:
        """Note edits of these slices along z; None when it could be any of them."""
        if slices is None or self._edited is None:
            self._edited = None
        else:
            self._edited |= set(slices)

    def forget(self) -> None:
        """Drop the copy: its case was left."""
        self._labels = self.pending = None

    def update(
        self, labels: NDArray[Any], workspace: Workspace, record: CaseRecord
    ) -> PendingSave | None:
        """Bring the copy up to date, comparing only edited slices.

        Parameters
        ----------
        labels : ndarray, shape (Z, Y, X)
            The mask as it is.
        workspace, record
            Where it is autosaved.

        Returns
        -------
        PendingSave or None
            What is to be written; None when the disk has it all.
        """
        slices = range(len(labels)) if self._edited is None else sorted(self._edited)
        if self._labels is None or self._labels.shape != labels.shape:
            self._labels, self._is_shared = np.full(labels.shape, _NO_LABEL, labels.dtype), False
            slices = range(len(labels))
        is_new = False
        for z in slices:
            if not np.array_equal(self._labels[z], labels[z]):
                if self._is_shared:
                    self._labels, self._is_shared = self._labels.copy(), False
                self._labels[z] = labels[z]
                is_new = True
        self._edited = set()
        if is_new:
            self.pending = PendingSave(workspace, record, self._labels)
        return self.pending
