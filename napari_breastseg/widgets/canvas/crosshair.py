"""The layer "<case> crosshair": where the viewer's point is, in all views."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..parts import colors as _colors
from ..parts.jobs import show_info
from ..state.session import Session
from ..state.sources import first_layer, note_of, shape_of
from .layers import find_layer, placement

if TYPE_CHECKING:
    from napari.viewer import Viewer

__all__ = ["Crosshair"]


class Crosshair:
    """Lines along the axes of the current exam, removed when another exam is chosen.

    Parameters
    ----------
    viewer : napari.Viewer
    session : Session
    """

    def __init__(self, viewer: Viewer, session: Session) -> None:
        self._viewer = viewer
        self._session = session
        session.source_changed.connect(self._leave)
        viewer.dims.events.point.connect(self._move)

    def toggle(self) -> None:
        """Crosshair at the mouse in all views, on or off."""
        if self._layer() is not None:
            self.remove()
            return
        source, viewer = self._session.source, self._viewer
        if source is None or viewer.dims.ndisplay != 2 or viewer.dims.ndim < 3:
            show_info("The crosshair needs a volume of several slices, shown in 2D.")
            return
        under = first_layer(viewer, source)
        for axis in viewer.dims.displayed:
            viewer.dims.set_point(axis, viewer.cursor.position[axis])
        active = viewer.layers.selection.active
        note = {**note_of(under), "role": "crosshair"}
        viewer.add_shapes(
            self._lines(under),
            shape_type="line",
            name=f"{source.case_id} crosshair",
            edge_color=_colors.FRAME,
            edge_width=0.5,
            metadata={"breastseg": note},
            **placement(under),
        )
        viewer.layers.selection.active = active

    def remove(self) -> None:
        """Remove the crosshair."""
        layer = self._layer()
        if layer is not None:
            self._viewer.layers.remove(layer.name)

    def _layer(self) -> Any:
        return find_layer(self._viewer, "crosshair")

    def _leave(self, source: object) -> None:
        self.remove()

    def _move(self, event: object = None) -> None:
        layer, source = self._layer(), self._session.source
        under = None if source is None else first_layer(self._viewer, source)
        if layer is not None and under is not None:
            layer.data = self._lines(under)

    def _lines(self, under: Any) -> list[Any]:
        """Three lines along the axes of a layer, through the viewer's point."""
        size = shape_of(under)[-3:]
        place = np.asarray(under.world_to_data(self._viewer.dims.point))[-3:]
        place = np.clip(np.round(place), 0, np.subtract(size, 1))
        lines = []
        for axis in range(3):
            line = np.stack([place, place])
            line[:, axis] = 0, size[axis] - 1
            lines.append(line)
        return lines
