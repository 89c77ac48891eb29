"""The mouse tool that paints only voxels above a level, with the size of napari's brush."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ...imaging.correction import Edit, threshold_dab
from .layers import grid_of, volume_of
from .mouse_tools import MouseTool, Stroke, Voxel, place_of

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.viewer import Viewer

__all__ = ["ThresholdBrush"]


class ThresholdBrush(MouseTool):
    """Paints what exceeds a level; a stroke is one undo step.

    Parameters
    ----------
    viewer : napari.Viewer
    values : map, shape (Z, Y, X)
        Enhancement in %, or brightness.
    axis, level : callable
        Asked at every press: the axis through the slices, and the level, in the values' unit.
    """

    cursor = "circle"

    def __init__(
        self,
        viewer: Viewer,
        values: Any,
        axis: Callable[[], int],
        level: Callable[[], float],
    ) -> None:
        super().__init__()
        self._viewer = viewer
        self._values = values
        self._axis = axis
        self._level = level

    def start(self, layer: Labels) -> None:
        """Show the brush's size; from here on napari's own setter follows it."""
        layer.cursor_size = layer.brush_size * abs(float(layer.scale[self._across]))

    def stroke(
        self, layer: Labels, voxel: Voxel, event: Any, made: Callable[[Edit], object]
    ) -> Stroke:
        """Paint along the stroke."""
        axis, level = self._axis(), self._level()
        spacing = grid_of(layer).spacing_mm or (1.0, 1.0, 1.0)
        radius = layer.brush_size / 2 * spacing[self._across]
        edits = []
        last = place_of(layer, event.position)
        with layer.block_history():
            while True:
                place = place_of(layer, event.position)
                edit = threshold_dab(
                    volume_of(layer),
                    self._values,
                    level,
                    last,
                    place,
                    radius,
                    axis=axis,
                    spacing=spacing,
                )
                if edit.count:
                    layer.data_setitem(edit.voxels[-layer.ndim :], edit.after)
                    edits.append(edit)
                last = place
                yield
                if event.type != "mouse_move":
                    break
        made(Edit.joined(edits))

    @property
    def _across(self) -> int:
        """Axis across the image, counted from the last."""
        return int(self._viewer.dims.displayed[-1]) - self._viewer.dims.ndim
