"""The layer "<case> scribbles": marks inside and outside the tumor, until they are applied."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from ...imaging.correction import IN, OUT
from ..state.session import Session
from ..state.sources import note_of
from .layers import find_layer, keep_brush_to, label_colors, placement, volume_of

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.viewer import Viewer

__all__ = ["IN_COLOR", "OUT_COLOR", "ScribbleLayer"]

IN_COLOR, OUT_COLOR = "#f0e442", "#56b4e9"


class ScribbleLayer(QObject):
    """Adds the layer with the brush active, switches between in and out, removes it."""

    changed = Signal()

    def __init__(self, viewer: Viewer, session: Session) -> None:
        super().__init__()
        self._viewer = viewer
        self._session = session

    @property
    def layer(self) -> Labels | None:
        """The layer of the current exam, None while nothing is scribbled."""
        case_id = self._session.case_id
        return None if case_id is None else find_layer(self._viewer, "scribbles", case_id)

    @property
    def button_text(self) -> str:
        """The button's text: what is being drawn."""
        layer = self.layer
        if layer is None:
            return "Scribble in / out"
        return "Scribbling in" if layer.selected_label == IN else "Scribbling out"

    def start_or_switch(self, mask: Labels) -> None:
        """Start drawing what is inside the tumor; switch to outside and back on later calls."""
        layer = self.layer
        if layer is None:
            layer = self._viewer.add_labels(
                np.zeros(mask.data.shape, np.uint8),
                name=f"{note_of(mask).get('case_id')} scribbles",
                opacity=0.9,
                colormap=label_colors({IN: IN_COLOR, OUT: OUT_COLOR}),
                metadata={"breastseg": note_of(mask) | {"role": "scribbles"}},
                **placement(mask),
            )
            keep_brush_to(layer, IN, OUT)
            layer.selected_label = IN
            layer.brush_size = max(2, mask.brush_size // 3)
        elif self._viewer.layers.selection.active == layer:
            layer.selected_label = OUT if layer.selected_label == IN else IN
        self._viewer.layers.selection.active = layer
        layer.mode = "paint"
        self.changed.emit()

    def marks(self) -> NDArray[np.uint8]:
        """A copy of what is drawn (Z, Y, X): 1 in, 2 out."""
        layer: Any = self.layer
        marks: NDArray[np.uint8] = volume_of(layer).astype(np.uint8)
        return marks

    def remove(self, mask: Labels) -> None:
        """Remove the layer and return to the brush on the mask."""
        layer = self.layer
        if layer is not None:
            self._viewer.layers.remove(layer.name)
        self._viewer.layers.selection.active = mask
        mask.mode = "paint"
        self.changed.emit()
