"""The place under the mouse in napari's status bar, counted from 1 as everywhere else.

napari says where the mouse is in mm from a corner of the exam, or counts voxels from 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..state.sources import note_of

if TYPE_CHECKING:
    from napari.viewer import Viewer

__all__ = ["StatusNumbers"]


class StatusNumbers:
    """Says "slice 15, row 108, column 132: 245" of layers of an exam; others keep napari's words.

    Parameters
    ----------
    viewer : napari.Viewer
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._is_own = False
        # After napari's own listener, which would write its words over these.
        viewer.events.status.connect(self._on_status, position="last")

    def take_down(self) -> None:
        """Leave the status bar to napari."""
        self._viewer.events.status.disconnect(self._on_status)

    def _on_status(self, event: Any) -> None:
        layer, status = self._viewer.layers.selection.active, self._viewer.status
        if self._is_own or layer is None or not isinstance(status, dict):
            return
        if note_of(layer).get("case_id") and (words := self._place(layer)) and "value" in status:
            value = status["value"]
            self._is_own = True
            try:
                self._viewer.status = {**status, "coordinates": f"{words}: {value}".strip(": ")}
            finally:
                self._is_own = False

    def _place(self, layer: Any) -> str:
        """Where the mouse is in a layer's voxels; empty outside of them, in 3D, and on shapes."""
        from napari.layers import Image, Labels

        dims = self._viewer.dims
        if dims.ndisplay != 2 or dims.ndim != layer.ndim or not isinstance(layer, Image | Labels):
            return ""
        at = np.round(layer.world_to_data(self._viewer.cursor.position)).astype(int)
        if (at < 0).any() or (at >= layer.data.shape[: layer.ndim]).any():
            return ""
        order = dims.order
        row, column = (at[axis] + 1 for axis in order[-2:])
        place = f"row {row}, column {column}"
        return f"slice {at[order[0]] + 1}, {place}" if len(order) > 2 else place
