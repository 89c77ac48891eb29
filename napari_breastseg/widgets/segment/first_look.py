"""What the model has seen so far, marked faintly: the slice on the screen first, then outward."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...core.volume import TUMOR
from ...predict.passes import SlicesSeen
from ..canvas.layers import find_layer, label_colors, placement_of_grid, placement_on
from ..canvas.view import current_slice
from ..parts import colors as _colors
from ..state.sources import Source, first_layer, grid_noted, is_open, shape_of

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.viewer import Viewer

__all__ = ["FirstLook"]

ROLE = "first look"
_OPACITY = 0.3
"""Fainter than a draft: findings are sorted out once the whole exam was seen."""


class FirstLook:
    """The layer "<case> first look", from the first slice seen until the draft is there.

    Parameters
    ----------
    viewer : napari.Viewer
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer

    def show(self, source: Source, seen: SlicesSeen, threshold: float) -> None:
        """Mark what reaches the threshold in the slices seen."""
        if not is_open(self._viewer, source):
            return
        layer = find_layer(self._viewer, ROLE, source.case_id) or self._add(source)
        layer.data[list(seen.slices)] = np.where(seen.probability >= threshold, TUMOR, 0)
        in_sight = current_slice(self._viewer, source)
        if in_sight is None or in_sight[0] != 0 or in_sight[1] in seen.slices:
            layer.refresh(thumbnail=False)

    def take_down(self) -> None:
        """Remove the layer, whoever's it is."""
        while (layer := find_layer(self._viewer, ROLE)) is not None:
            self._viewer.layers.remove(layer)

    def _add(self, source: Source) -> Labels:
        """An empty layer; the reader stays at the layer that is active."""
        under = first_layer(self._viewer, source)
        grid = grid_noted(under)
        if source.is_foreign or grid is None:
            where = placement_on(under, 3)
        else:
            where = placement_of_grid(grid)
        selection = self._viewer.layers.selection
        active = selection.active
        with selection.events.active.blocker():
            layer = self._viewer.add_labels(
                np.zeros(shape_of(under)[-3:], np.uint8),
                name=f"{source.case_id} first look",
                opacity=_OPACITY,
                colormap=label_colors({TUMOR: _colors.TUMOR}),
                metadata={
                    "breastseg": {
                        "case_id": source.case_id,
                        "fingerprint": source.fingerprint,
                        "role": ROLE,
                    }
                },
                **where,
            )
            selection.active = active
        layer.editable = False
        return layer
