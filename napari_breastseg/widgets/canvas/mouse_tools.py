"""The tool that the mouse holds on the canvas: growing, the threshold brush, or one for clicks.

One at a time is active. Meanwhile the mask's own mode is pan and zoom, the mouse does not pan, and
choosing any of napari's own tools puts this one down.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from ...imaging.correction import Edit
from .layers import volume_of

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.viewer import Viewer

__all__ = ["MouseTool", "MouseTools", "Stroke", "Voxel", "place_of", "voxel_of"]

Voxel = tuple[int, int, int]
Stroke = Iterator[None]
"""From press to release: goes on with each move of the mouse, as napari's callbacks do."""


class MouseTool:
    """A tool that acts on a click; base of those that do more.

    Parameters
    ----------
    click : callable
        What a click does, given the voxel.
    """

    cursor = "cross"

    def __init__(self, click: Callable[[Voxel], object] = lambda voxel: None) -> None:
        self._click = click

    def start(self, layer: Labels) -> None:
        """Prepare for work on a mask."""

    def stop(self) -> None:
        """Clean up, also in the middle of a stroke."""

    def stroke(
        self, layer: Labels, voxel: Voxel, event: Any, made: Callable[[Edit], object]
    ) -> Stroke:
        """Act on a press at a voxel of the mask; `made` is told of the edit, if there is one."""
        self._click(voxel)
        yield from ()

    def wheel(self, event: Any) -> None:
        """Act on the wheel, or leave it to napari."""


class MouseTools(QObject):
    """The active tool, and what the mouse does with it.

    Parameters
    ----------
    viewer : napari.Viewer
    parent : QObject
    """

    changed = Signal()
    """Another tool is active, or none."""

    edited = Signal(object)
    """An `Edit` has been made in the mask."""

    def __init__(self, viewer: Viewer, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._layer: Labels | None = None
        self._tool = MouseTool()
        self.name = ""
        """The active tool; empty when none is."""

    def pick_up(self, name: str, tool: MouseTool, layer: Labels) -> None:
        """Make a tool active for a mask, in place of the one before."""
        self.put_down()
        self._viewer.layers.selection.active = layer
        layer.visible = True
        layer.mode = "pan_zoom"
        layer.mouse_pan = False
        layer.cursor = tool.cursor
        tool.start(layer)
        # Only now: one that could not start is not in hand.
        self.name, self._tool, self._layer = name, tool, layer
        self._viewer.layers.selection.active = layer
        layer.events.mode.connect(self._on_mode)
        self._viewer.mouse_drag_callbacks.append(self._drag)
        self._viewer.mouse_wheel_callbacks.append(self._wheel)
        self.changed.emit()

    def put_down(self) -> None:
        """Put the tool down; the mouse pans again."""
        if not self.name:
            return
        layer, self._layer, self.name = self._layer, None, ""
        self._viewer.mouse_drag_callbacks.remove(self._drag)
        self._viewer.mouse_wheel_callbacks.remove(self._wheel)
        if layer is not None:
            layer.events.mode.disconnect(self._on_mode)
            layer.mouse_pan = layer.mode == "pan_zoom"
            if layer.mode == "pan_zoom":
                layer.cursor = "standard"
        self._tool.stop()
        self._tool = MouseTool()
        self.changed.emit()

    def _on_mode(self, event: object = None) -> None:
        self.put_down()

    def _drag(self, viewer: object, event: Any) -> Stroke:
        layer = self._layer
        if layer is None or event.button != 1 or len(event.dims_displayed) != 2:
            return
        voxel = voxel_of(layer, event.position)
        if voxel is not None:
            yield from self._tool.stroke(layer, voxel, event, self.edited.emit)

    def _wheel(self, viewer: object, event: Any) -> None:
        self._tool.wheel(event)


def voxel_of(layer: Labels, position: Any) -> Voxel | None:
    """The voxel (z, y, x) of a mask at a world position; None outside the mask."""
    z, y, x = (round(place) for place in place_of(layer, position))
    shape = volume_of(layer).shape
    is_inside = all(0 <= i < size for i, size in zip((z, y, x), shape, strict=True))
    return (z, y, x) if is_inside else None


def place_of(layer: Labels, position: Any) -> tuple[float, float, float]:
    """A world position in voxels (z, y, x) of a mask."""
    places = [float(place) for place in layer.world_to_data(position)][-layer.ndim :]
    z, y, x = [0.0] * (3 - len(places)) + places
    return z, y, x
