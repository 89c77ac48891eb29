"""Layouts: axial alone, with the two other planes below it, or the phases side by side.

Side by side is napari's grid, in which each phase lies under its own view of the mask.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QMainWindow

from ...core.volume import Grid
from ..parts import colors as _colors
from ..parts.jobs import show_info
from ..state.session import Session
from ..state.sources import first_layer, grid_noted, key_of, layer_of, note_of, shape_of
from .display import Display
from .layers import placement, tumor_layer
from .side_views import SideViews

if TYPE_CHECKING:
    from napari.viewer import Viewer

__all__ = ["Layouts"]

MOST_PHASES = 4


class Layouts:
    """Three layouts of an exam, each with a key and an entry in the View menu.

    Parameters
    ----------
    viewer : napari.Viewer
    session : Session
    display : Display
    """

    def __init__(self, viewer: Viewer, session: Session, display: Display) -> None:
        self._viewer = viewer
        self._session = session
        self._display = display
        self._side_views: SideViews | None = None
        self._before_grid: dict[str, bool] | None = None
        """Which layers were seen, in their order, before the phases stood side by side."""

        session.source_changed.connect(self._leave)

    def show_axial(self) -> None:
        """Layout: one view."""
        self._leave()

    def show_orthogonal(self) -> None:
        """Layout: axial and the two other planes."""
        self._leave()
        source, grid = self._session.source, self._grid()
        if source is None or grid is None or 1 in grid.shape:
            show_info("This layout needs a volume of several slices.")
            return
        views = SideViews(self._viewer, self._session, grid)
        self._side_views = views
        added = self._viewer.window.add_dock_widget(views, name="Other planes", area="bottom")
        window = added.parent()
        if isinstance(window, QMainWindow):
            # Below the canvas only: below napari's own lists it would make the window taller.
            for corner, side in (("BottomLeft", "Left"), ("BottomRight", "Right")):
                window.setCorner(
                    getattr(Qt.Corner, f"{corner}Corner"),
                    getattr(Qt.DockWidgetArea, f"{side}DockWidgetArea"),
                )

    def show_phases(self) -> None:
        """Layout: up to four phases side by side."""
        self._leave()
        pictures = self._display.pictures()
        if len(pictures) > MOST_PHASES:  # pre, first and last post-contrast, subtraction
            pictures = [*pictures[:2], *pictures[-2:]]
        if len(pictures) < 2:
            show_info("This layout needs an exam of several phases.")
            return
        viewer, layers = self._viewer, self._viewer.layers
        mask = tumor_layer(viewer, self._session.case_id)
        active = layers.selection.active
        self._before_grid = {key_of(layer): layer.visible for layer in layers}
        for layer in layers:
            layer.visible = layer in pictures or (mask is not None and layer == mask)
        cells = []
        for picture in pictures:
            cells.append(picture)
            if mask is not None:
                # One cell holds the mask itself; the brush works there.
                is_first_post = picture == pictures[min(1, len(pictures) - 1)]
                cells.append(mask if is_first_post else self._mirror(mask, picture))
            cells.append(self._caption(picture))
        for place, layer in enumerate(cells):
            layers.move(_index(layers, layer), place)
        layers.selection.active = active
        grid = viewer.canvas.grid
        grid.stride, grid.shape = len(cells) // len(pictures), (-1, -1)
        grid.enabled = True
        viewer.reset_view()

    def refresh_masks(self) -> None:
        """Refresh the copies of the mask after an edit."""
        if self._side_views is not None:
            self._side_views.refresh_masks()
        if self._before_grid is not None:
            for layer in self._mirrors():
                layer.refresh()

    def take_down(self) -> None:
        """Close the layout: the window is closing."""
        self._leave()

    def _leave(self, event: object = None) -> None:
        if self._side_views is not None:
            views, self._side_views = self._side_views, None
            views.close_views()
            self._viewer.window.remove_dock_widget(views)
            views.deleteLater()
        if self._before_grid is not None:
            was_visible, self._before_grid = self._before_grid, None
            layers = self._viewer.layers
            self._viewer.canvas.grid.enabled = False
            self._viewer.canvas.grid.stride = 1
            for layer in self._mirrors():
                layers.remove(layer.name)
            found = [layer_of(self._viewer, key) for key in was_visible]
            for place, layer in enumerate(layer for layer in found if layer is not None):
                layers.move(_index(layers, layer), place)
                layer.visible = was_visible[key_of(layer)]
            self._viewer.reset_view()

    def _mirror(self, mask: Any, picture: Any) -> Any:
        """Another layer of the mask's array, to lie on a phase."""
        name = f"{mask.name} on {self._role(picture)}"
        layer = self._viewer.add_labels(
            mask.data,
            name=name,
            opacity=mask.opacity,
            colormap=mask.colormap,
            metadata={"breastseg": {**note_of(mask), "role": "mirror"}},
            **placement(mask),
        )
        layer.contour = mask.contour
        layer.editable = False
        return layer

    def _caption(self, under: Any) -> Any:
        """The phase's name in the upper left corner of its image, in every slice."""
        order = [axis - (self._viewer.dims.ndim - under.ndim) for axis in self._viewer.dims.order]
        vertical, horizontal = (str(part) for part in self._viewer.scene.camera.orientation[1:])
        shape = shape_of(under)
        places = np.zeros((shape[order[-3]] if under.ndim > 2 else 1, under.ndim))
        if under.ndim > 2:
            places[:, order[-3]] = np.arange(len(places))
        for axis, is_upside_down in ((-2, vertical == "up"), (-1, horizontal == "left")):
            size = shape[order[axis]]
            places[:, order[axis]] = size - 1 if is_upside_down else 0
        layer = self._viewer.add_points(
            places,
            size=0.01,
            name=f"{under.name} caption",
            features={"phase": [self._role(under)] * len(places)},
            text={
                "string": "{phase}",
                "anchor": "upper_left",
                "color": _colors.FRAME,
                "size": 11,
            },
            metadata={"breastseg": {**note_of(under), "role": "mirror"}},
            **placement(under),
        )
        return layer

    def _role(self, picture: Any) -> str:
        note = note_of(picture)
        return str(note.get("role") or note.get("map") or picture.name)

    def _mirrors(self) -> list[Any]:
        return [one for one in self._viewer.layers if note_of(one).get("role") == "mirror"]

    def _grid(self) -> Grid | None:
        source = self._session.source
        if source is None:
            return None
        layer = first_layer(self._viewer, source)
        return grid_noted(layer) if layer.ndim == 3 else None


def _index(layers: Any, layer: Any) -> int:
    """Where a layer stands in the list; it may be hidden behind a proxy of napari's."""
    return next(place for place, one in enumerate(layers) if one == layer)
