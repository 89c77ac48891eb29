"""Which slices an edit touched, so that a stroke costs one slice and not an exam.

napari reports where a stroke or a programmed edit went, but of undo and redo only that something
changed. Knows the events of a Labels layer and the viewer's dims; no Qt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...core.volume import TUMOR

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.viewer import Viewer

__all__ = ["EditWatch", "SliceStates", "slices_of"]


class EditWatch:
    """Watches one Labels layer and reports edits, but not scrolling.

    Parameters
    ----------
    viewer : napari.Viewer
    layer : napari.layers.Labels
    on_edit : callable
        Called after each edit, with whether its stroke is still being drawn.
    on_step : callable, optional
        Called once for each undo step, before `on_edit`.
    """

    def __init__(
        self,
        viewer: Viewer,
        layer: Labels,
        on_edit: Callable[[bool], object],
        on_step: Callable[[], object] = lambda: None,
    ) -> None:
        self._viewer = viewer
        self.layer = layer
        self._on_edit = on_edit
        self._on_step = on_step
        self._touched: set[int] | None = set()
        self.is_stroke_under_way = False
        """Whether voxels were drawn since the last whole edit."""

        self._place = self._now()
        layer.events.paint.connect(self._on_paint)
        layer.events.set_data.connect(self._on_set_data)
        layer.events.labels_update.connect(self._on_stroke)

    def pop_edited(self) -> tuple[int, ...] | None:
        """Slices along z edited since the last call; None when it could be any of them."""
        if self.is_stroke_under_way:  # where it went is told at its end
            self._touched = None
        touched, self._touched = self._touched, set()
        self.is_stroke_under_way = False
        return None if touched is None else tuple(sorted(touched))

    def stop(self) -> None:
        """Stop watching the layer."""
        self.layer.events.paint.disconnect(self._on_paint)
        self.layer.events.set_data.disconnect(self._on_set_data)
        self.layer.events.labels_update.disconnect(self._on_stroke)

    def _on_paint(self, event: Any) -> None:
        slices = slices_of(event.value, self.layer.ndim)
        if slices is None:
            self._touched = None
        elif self._touched is not None:
            self._touched |= slices
        self.is_stroke_under_way = False
        self._on_step()
        self._on_edit(False)

    def _on_stroke(self, event: object = None) -> None:
        # Its slices come with `paint`, when the button is released.
        self.is_stroke_under_way = True
        self._on_edit(True)

    def _on_set_data(self, event: object = None) -> None:
        # Undo and redo emit this alone, and so does every step from slice to slice.
        place = self._now()
        if place != self._place:
            self._place = place
            return
        self._touched = None
        self._on_edit(False)

    def _now(self) -> tuple[Any, ...]:
        dims = self._viewer.dims
        return tuple(dims.point), tuple(dims.order), dims.ndisplay


def slices_of(item: Iterable[Any], ndim: int) -> set[int] | None:
    """Slices along z that an undo step of a Labels layer touches; None when that is not clear.

    Parameters
    ----------
    item : iterable of tuple
        As napari's `paint` event brings it. First in each tuple stands where: a slice or an array
        of indices per axis.
    ndim : int
        Axes of the layer; one of two axes is one slice.

    Examples
    --------
    >>> z, y, x = np.array([4, 4, 7]), np.array([1, 2, 3]), np.array([5, 5, 5])
    >>> slices_of([((z, y, x), 0, 1), ((slice(2, 3), slice(0, 9), slice(0, 9)), None, 0, 1)], 3)
    {2, 4, 7}
    """
    if ndim < 3:
        return {0}
    found: set[int] = set()
    for atom in item:
        try:
            along_z = atom[0][ndim - 3]
        except (TypeError, IndexError):
            return None
        if isinstance(along_z, slice):
            if along_z.start is None or along_z.stop is None:
                return None
            found |= set(range(along_z.start, along_z.stop))
        else:
            found |= set(np.unique(along_z).tolist())
    return found


class SliceStates:
    """Of each slice of a mask: whether it holds tumor, and whether it differs from the disk's."""

    def __init__(self) -> None:
        self.has_tumor: NDArray[np.bool_] = np.zeros(0, bool)
        self.is_unsaved: NDArray[np.bool_] = np.zeros(0, bool)

    def update(
        self,
        labels: NDArray[Any],
        saved: NDArray[Any] | None,
        slices: Iterable[int] | None = None,
    ) -> None:
        """Compare again.

        Parameters
        ----------
        labels : ndarray, shape (Z, Y, X)
            The mask as it is.
        saved : ndarray, shape (Z, Y, X), optional
            As it is on disk.
        slices : iterable of int, optional
            Where it was edited; all when not given.
        """
        if slices is None or len(self.has_tumor) != len(labels):
            slices = range(len(labels))
            self.has_tumor = np.zeros(len(labels), bool)
            self.is_unsaved = np.zeros(len(labels), bool)
        for z in slices:
            # Slice by slice: an array of Booleans as large as the exam is slow to make.
            self.has_tumor[z] = labels[z].any() and (labels[z] == TUMOR).any()
            self.is_unsaved[z] = saved is not None and not (
                saved.shape == labels.shape and np.array_equal(labels[z], saved[z])
            )
