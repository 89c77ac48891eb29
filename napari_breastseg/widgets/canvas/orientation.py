"""How an exam is oriented on the screen: the patient's right on the left, anterior up, head up.

Data and layer scales stay as they are. The viewer's axis order and camera turn the image, so that
a stroke lands where it is drawn. Letters at the edges name the directions.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ...core.volume import Grid
from ..state.sources import grid_noted

if TYPE_CHECKING:
    from napari.viewer import Viewer

__all__ = [
    "UNKNOWN",
    "ScreenOrientation",
    "radiological_order",
    "screen_orientation",
    "show_radiologically",
]

_FIRST = "RAH"
"""Letters at the left and upper edges of an image, as radiologists hang it."""
_THICK = 1.5
"""From this ratio of spacings on, slices are shown as they were acquired."""
_DEFAULT = ("towards", "down", "right")
_EDGES = {
    "breastseg_left": "middle_left",
    "breastseg_right": "middle_right",
    "breastseg_top": "top_center",
    "breastseg_bottom": "bottom_center",
}
UNKNOWN = "left/right unknown"
"""In place of the letters."""


@dataclass(frozen=True)
class ScreenOrientation:
    """Orientation of an exam on the screen."""

    depth: Literal["towards", "away"]
    vertical: Literal["up", "down"]
    horizontal: Literal["left", "right"]
    """Where the displayed axes point to, in the terms of napari's camera."""

    letters: tuple[str, str, str, str]
    """At the left, right, upper and lower edge."""


def radiological_order(grid: Grid) -> tuple[int, int, int]:
    """Array axes in display order: through the slices, down the image, across the image.

    Axial, unless the slices are thicker along another axis or there is only one slice: then the
    acquired plane, as a reformatted image would be striped.

    Examples
    --------
    >>> affine = [[0, 0, -1, 0], [0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]]
    >>> radiological_order(Grid((9, 8, 7), affine))
    (0, 1, 2)
    """
    ends = grid.end_letters
    if ends is None:
        return (0, 1, 2)
    axis_of = {frozenset(pair): axis for axis, pair in enumerate(ends)}
    head = axis_of[frozenset("HF")]
    through = head
    thickest = int(np.argmax(grid.voxel_size))
    if 1 in grid.shape:
        through = grid.shape.index(1)
    elif grid.voxel_size[thickest] > _THICK * grid.voxel_size[head]:
        through = thickest
    in_plane = [axis for axis in range(3) if axis != through]
    vertical = head if head in in_plane else axis_of[frozenset("AP")]
    across = next(axis for axis in in_plane if axis != vertical)
    return (through, vertical, across)


def screen_orientation(grid: Grid, order: tuple[int, int, int]) -> ScreenOrientation | None:
    """Orientation of an exam whose array axes are displayed in `order`.

    Parameters
    ----------
    grid : Grid
    order : tuple of int
        Array axes: depth, vertical, horizontal.

    Returns
    -------
    ScreenOrientation or None
        None when the grid's orientation is not known.

    Examples
    --------
    A NIfTI array as stored, with axes pointing to head, anterior and left: shown with its rows
    upside down, so that anterior is up.

    >>> affine = [[0, 0, -1, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]]
    >>> view = screen_orientation(Grid((9, 8, 7), affine), (0, 1, 2))
    >>> view.vertical, view.horizontal, view.letters
    ('up', 'right', ('R', 'L', 'A', 'P'))
    """
    ends = grid.end_letters
    if ends is None:
        return None
    depth, vertical, across = order
    rises_down = ends[vertical][0] in _FIRST
    rises_right = ends[across][0] in _FIRST
    left, right = ends[across] if rises_right else ends[across][::-1]
    top, bottom = ends[vertical] if rises_down else ends[vertical][::-1]
    # In 3D the patient must not be mirrored: right x up has to point at the viewer.
    columns = grid.affine[:3, [across, vertical, depth]]
    columns = columns * [1 if rises_right else -1, -1 if rises_down else 1, 1]
    return ScreenOrientation(
        depth="towards" if np.linalg.det(columns) > 0 else "away",
        vertical="down" if rises_down else "up",
        horizontal="right" if rises_right else "left",
        letters=(left, right, top, bottom),
    )


_followers: weakref.WeakKeyDictionary[Any, _Follower] = weakref.WeakKeyDictionary()


def show_radiologically(viewer: Viewer) -> None:
    """Show all exams of a viewer in radiological orientation, however they are added."""
    viewer = getattr(viewer, "__wrapped__", viewer)
    if viewer not in _followers:
        _followers[viewer] = _Follower(viewer)


class _Follower:
    """Turns the camera and writes the letters when exam, axis order or display change."""

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = weakref.ref(viewer)  # a strong one would keep the viewer for ever
        self._grid: Grid | None = None
        viewer.layers.events.inserted.connect(self._refresh)
        viewer.layers.events.removed.connect(self._refresh)
        viewer.layers.selection.events.active.connect(self._refresh)
        viewer.dims.events.order.connect(self._show)
        viewer.dims.events.ndisplay.connect(self._show)
        self._refresh()

    def _refresh(self, event: object = None) -> None:
        viewer = self._viewer()
        if viewer is None:
            return
        grid = self._find(viewer)
        if grid is self._grid:
            return
        is_new = grid is not None and (self._grid is None or not grid.matches(self._grid))
        self._grid = grid
        if is_new and grid is not None and viewer.dims.ndim >= 3:
            before = viewer.dims.ndim - 3
            order = (*range(before), *(before + axis for axis in radiological_order(grid)))
            if viewer.dims.order != order:
                viewer.dims.order = order
                viewer.reset_view()
        self._show()

    def _find(self, viewer: Viewer) -> Grid | None:
        grids = [grid for layer in viewer.layers if (grid := grid_noted(layer)) is not None]
        active = (
            None
            if viewer.layers.selection.active is None
            else grid_noted(viewer.layers.selection.active)
        )
        if active is not None:
            return active
        if any(grid is self._grid for grid in grids):
            return self._grid
        return grids[-1] if grids else None

    def _show(self, event: object = None) -> None:
        viewer = self._viewer()
        if viewer is None:
            return
        grid = self._grid
        before = viewer.dims.ndim - 3
        view = None
        if grid is not None and before >= 0:
            order = tuple(axis - before for axis in viewer.dims.order[-3:])
            if sorted(order) == [0, 1, 2]:
                view = screen_orientation(grid, order)
        camera = viewer.scene.camera
        wanted = _DEFAULT if view is None else (view.depth, view.vertical, view.horizontal)
        if tuple(str(part) for part in camera.orientation) != wanted:
            camera.orientation = wanted
        if view is not None and viewer.dims.ndisplay == 2:
            letters = view.letters
        else:
            letters = ("", "", "", UNKNOWN if grid is not None and view is None else "")
        _write_letters(viewer, letters)


def _write_letters(viewer: Viewer, letters: tuple[str, str, str, str]) -> None:
    from napari.components.overlays import TextOverlay

    overlays = viewer.canvas.overlays
    for (name, position), text in zip(_EDGES.items(), letters, strict=True):
        if name not in overlays:
            if not text:
                continue
            overlays[name] = TextOverlay(position=position, font_size=14, box=False)
        overlay = overlays[name]
        overlay.font_size = 14 if len(text) == 1 else 9
        if text:
            overlay.text = text
        overlay.visible = bool(text)
