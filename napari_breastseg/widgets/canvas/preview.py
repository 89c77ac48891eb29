"""The layer "<case> preview": what a tool would mark, until the button is released."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..state.sources import note_of
from .layers import find_layer, label_colors, placement

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.viewer import Viewer

__all__ = ["PREVIEW_COLOR", "WARNING", "add_preview", "remove_preview"]

PREVIEW_COLOR = "#ffd23f"
WARNING = 2
"""Label of what would be marked but is to be minded."""

WARNING_COLOR = "#ff4040"


def add_preview(viewer: Viewer, mask: Labels) -> None:
    """Add the layer, empty, where a mask lies."""
    viewer.add_labels(
        np.zeros(mask.data.shape, np.uint8),
        name=f"{note_of(mask).get('case_id')} preview",
        opacity=0.7,
        colormap=label_colors({1: PREVIEW_COLOR, WARNING: WARNING_COLOR}),
        metadata={"breastseg": note_of(mask) | {"role": "preview"}},
        **placement(mask),
    )


def remove_preview(viewer: Viewer) -> None:
    """Remove it, wherever the user has put it."""
    while (layer := find_layer(viewer, "preview")) is not None:
        viewer.layers.remove(layer)
