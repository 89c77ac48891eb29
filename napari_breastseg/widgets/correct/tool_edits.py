"""Making the edits that tools find: in a thread where it takes long, as one undo step, or not."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from ...core.volume import LabelMap
from ...imaging.correction import Edit, Scope
from ..canvas.layers import apply_edit, grid_of, tumor_layer, volume_of
from ..parts.jobs import JobRunner, as_job, show_info
from ..state.session import Session

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.viewer import Viewer

__all__ = ["ToolEdits"]


class ToolEdits(QObject):
    """Runs what finds an edit, and makes the edit if the mask is still the same.

    Parameters
    ----------
    viewer : napari.Viewer
    session : Session
    parent : QObject
    """

    edited = Signal(object)
    """An `Edit` has been made in the mask, as one undo step."""

    def __init__(self, viewer: Viewer, session: Session, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._session = session
        self.runner = JobRunner(self)

    def make(
        self,
        title: str,
        layer: Labels,
        scope: Scope | None,
        find: Callable[[LabelMap], Edit],
        then: Callable[[], object] = lambda: None,
    ) -> None:
        """Find an edit, in a thread unless it stays within a slice, and make it.

        Parameters
        ----------
        title : str
            What is being done, such as "Smoothing".
        layer : napari.layers.Labels
        scope : Scope or None
            Where the edit stays; None where it can be anywhere.
        find : callable
            Gives the edit of a mask.
        then : callable
            Called once the edit is made.
        """
        labels, grid = volume_of(layer), grid_of(layer)
        if scope is not None and (grid.shape[0] == 1 or scope.kind == "slice"):
            if self.apply(layer, find(LabelMap(labels, grid))):
                then()
            return
        copied = labels.copy()
        self.runner.start(
            title,
            lambda: as_job(title, lambda: find(LabelMap(copied, grid))),
            on_result=lambda edit: self.apply(layer, edit) and then(),
        )

    def apply(self, layer: Labels, edit: Edit) -> bool:
        """Make an edit as one undo step; whether it still could be made."""
        if layer != tumor_layer(self._viewer, self._session.case_id):
            show_info("The case was closed meanwhile; nothing was changed.")
            return False
        if not edit.fits(volume_of(layer)):
            show_info("The mask was changed meanwhile; nothing was done. Try again.")
            return False
        if not edit.count:
            show_info("There was nothing to change.")
        apply_edit(layer, edit)
        self.edited.emit(edit)
        return True
