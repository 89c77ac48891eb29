"""napari's layer list without what we lay over the image for a moment: previews, frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject

from ..state.sources import note_of
from .window_part import WindowPart

if TYPE_CHECKING:
    from napari.viewer import Viewer

__all__ = ["LayerRows"]

_LIST = "QtLayerList"
_PASSING = ("preview", "lesion")
"""Roles of layers that come and go with a view or a tool."""


class LayerRows(WindowPart):
    """Hides their rows; the layers stay in the viewer.

    Parameters
    ----------
    viewer : napari.Viewer
    parent : QObject
    """

    def __init__(self, viewer: Viewer, parent: QObject) -> None:
        events = viewer.layers.events
        super().__init__(viewer, parent, (events.inserted, events.reordered))

    def _restore(self) -> None:
        for rows in self._found(_LIST):
            for row in range(rows.model().rowCount()):
                rows.setRowHidden(row, False)

    def _change(self) -> None:
        layers = list(reversed(self._viewer.layers))  # the last one stands above
        for rows in self._found(_LIST):
            if rows.model().rowCount() == len(layers):
                for row, layer in enumerate(layers):
                    rows.setRowHidden(row, note_of(layer).get("role") in _PASSING)
