"""napari's layer list without what we lay over the image for a moment: previews, frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer
from qtpy.QtWidgets import QListView, QWidget

from ..state.sources import note_of

if TYPE_CHECKING:
    from napari.viewer import Viewer

__all__ = ["LayerRows"]

_PASSING = ("preview", "lesion")
"""Roles of layers that come and go with a view or a tool."""


class LayerRows(QObject):
    """Hides their rows; the layers stay in the viewer.

    Parameters
    ----------
    viewer : napari.Viewer
    parent : QObject
    """

    def __init__(self, viewer: Viewer, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._window: QWidget | None = None
        self._soon = QTimer(self, singleShot=True, interval=0)  # when the list has its new rows
        self._soon.timeout.connect(self._hide)
        for event in (viewer.layers.events.inserted, viewer.layers.events.reordered):
            event.connect(self._on_layers)

    def add_to(self, window: QWidget) -> None:
        """Take the layer list of a window."""
        self._window = window
        self._hide()

    def take_down(self) -> None:
        """Show all rows again."""
        self._soon.stop()
        for rows in self._lists():
            for row in range(rows.model().rowCount()):
                rows.setRowHidden(row, False)
        self._window = None

    def _on_layers(self, event: object = None) -> None:
        if self._window is not None:
            self._soon.start()

    def _hide(self) -> None:
        layers = list(reversed(self._viewer.layers))  # the last one stands above
        for rows in self._lists():
            if rows.model().rowCount() == len(layers):
                for row, layer in enumerate(layers):
                    rows.setRowHidden(row, note_of(layer).get("role") in _PASSING)

    def _lists(self) -> list[QListView]:
        if self._window is None:
            return []
        found = self._window.findChildren(QListView)
        return [one for one in found if type(one).__name__ == "QtLayerList"]
