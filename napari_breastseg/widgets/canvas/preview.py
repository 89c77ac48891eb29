"""The layer "<case> preview": what a tool would mark, until the button is released.

It is hidden between two tools, not removed: napari collects garbage at each removal of a layer,
which holds the window for a third of a second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..state.sources import note_of
from .layers import find_layer, label_colors, placement

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.viewer import Viewer

__all__ = ["PREVIEW_COLOR", "WARNING", "add_preview", "hide_preview"]

PREVIEW_COLOR = "#ffd23f"
WARNING = 2
"""Label of what would be marked but is to be minded."""

WARNING_COLOR = "#ff4040"


def add_preview(viewer: Viewer, mask: Labels) -> None:
    """Show the layer, empty, where a mask lies."""
    layer = find_layer(viewer, "preview")
    if layer is not None and _lies_on(layer, mask):
        if (top := len(viewer.layers) - 1) != (place := viewer.layers.index(layer)):
            viewer.layers.move(place, top + 1)
        layer.visible = True
        return
    while layer is not None:
        viewer.layers.remove(layer)
        layer = find_layer(viewer, "preview")
    viewer.add_labels(
        np.zeros(mask.data.shape, np.uint8),
        name=f"{note_of(mask).get('case_id')} preview",
        opacity=0.7,
        colormap=label_colors({1: PREVIEW_COLOR, WARNING: WARNING_COLOR}),
        metadata={"breastseg": note_of(mask) | {"role": "preview"}},
        **placement(mask),
    )


def hide_preview(viewer: Viewer) -> None:
    """Hide it, empty."""
    layer = find_layer(viewer, "preview")
    if layer is not None:  # the user may have removed it
        if layer.data.any():
            layer.data[...] = 0
        layer.visible = False


def _lies_on(layer: Labels, mask: Labels) -> bool:
    notes = note_of(layer), note_of(mask)
    is_same = all(notes[0].get(name) == notes[1].get(name) for name in ("case_id", "fingerprint"))
    return is_same and layer.data.shape == mask.data.shape
