"""The recovery copy of the mask being corrected, which a thread writes while the reader goes on.

No Qt, no napari.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...core.errors import InputError
from ...core.volume import Grid, LabelMap
from ...dataset import CaseRecord, Workspace
from .reader_work import copy_of
from .unfinished import forget_unfinished, keep_unfinished, unfinished_path

__all__ = ["InDataset", "OnThisComputer", "PendingSave", "Place", "RecoveryCopy"]


class Place(Protocol):
    """Where a mask is kept until it is accepted."""

    @property
    def key(self) -> tuple[Path, str]:
        """Folder, and name in it."""

    def write(self, labels: NDArray[Any]) -> None:
        """Keep these labels (Z, Y, X)."""


@dataclass(frozen=True, eq=False)
class OnThisComputer:
    """In the home folder: of an exam that no dataset holds.

    Parameters
    ----------
    mark : callable
        Gives the exam's fingerprint; called in the thread that writes.
    grid : Grid
        The mask's.
    """

    mark: Callable[[], str]
    grid: Grid

    @property
    def key(self) -> tuple[Path, str]:
        """Folder of all unfinished work; which of it is known to `mark` alone."""
        return unfinished_path("").parent, ""

    def write(self, labels: NDArray[Any]) -> None:
        """Keep these labels (Z, Y, X)."""
        keep_unfinished(self.mark(), LabelMap(labels, self.grid))


@dataclass(frozen=True, eq=False)
class InDataset:
    """In the dataset that holds the case, and on this computer while the dataset refuses.

    Parameters
    ----------
    workspace : Workspace
    record : CaseRecord
    mark : callable
        Gives the exam's fingerprint; called in the thread that writes.
    """

    workspace: Workspace
    record: CaseRecord
    mark: Callable[[], str]

    @property
    def key(self) -> tuple[Path, str]:
        """Folder and case id."""
        return self.workspace.folder, self.record.case_id

    def write(self, labels: NDArray[Any]) -> None:
        """Autosave these labels (Z, Y, X).

        Raises
        ------
        InputError
            If the dataset refuses; they are kept on this computer then.
        """
        label_map = LabelMap(labels, self.record.grid.grid)
        try:
            self.workspace.autosave(self.record.case_id, label_map)
        except InputError:
            with suppress(InputError):
                keep_unfinished(self.mark(), label_map)
            raise
        with suppress(InputError):
            forget_unfinished(self.mark())


@dataclass(eq=False)
class PendingSave:
    """An autosave that is not on disk yet: where it goes, and the copy of its mask."""

    place: Place
    labels: NDArray[Any]

    def write(self) -> None:
        """Keep it."""
        self.place.write(self.labels)


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

    @property
    def labels(self) -> NDArray[Any] | None:
        """The copy (Z, Y, X), not to be changed; None where there is none."""
        return self._labels

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

    def update(self, labels: NDArray[Any], place: Place) -> PendingSave | None:
        """Bring the copy up to date, comparing only edited slices.

        Parameters
        ----------
        labels : ndarray, shape (Z, Y, X)
            The mask as it is.
        place : Place
            Where it is autosaved.

        Returns
        -------
        PendingSave or None
            What is to be written; None when the disk has it all.
        """
        slices = range(len(labels)) if self._edited is None else sorted(self._edited)
        is_new = self._labels is None or self._labels.shape != labels.shape
        if self._labels is None or is_new:
            self._labels, self._is_shared, slices = copy_of(labels), False, range(0)
        for z in slices:
            if not np.array_equal(self._labels[z], labels[z]):
                if self._is_shared:
                    self._labels, self._is_shared = copy_of(self._labels), False
                self._labels[z] = labels[z]
                is_new = True
        self._edited = set()
        if is_new:
            self.pending = PendingSave(place, self._labels)
        return self.pending
