"""Tools that are used on the canvas: grow from a click, keep, drop, threshold brush.

One at a time is active. Meanwhile the mask's own mode is pan and zoom, the mouse does not pan, and
choosing any of napari's own tools puts this one down.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, Signal

from ...imaging.correction import Edit, Growth, threshold_dab
from ..state.sources import note_of
from .layers import apply_edit, find_layer, grid_of, label_colors, placement, volume_of

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.viewer import Viewer

__all__ = ["GROW", "PREVIEW_COLOR", "THRESHOLD", "MouseTools", "voxel_of"]

GROW, THRESHOLD = "grow", "threshold"
PREVIEW_COLOR = "#ffd23f"
TOLERANCE_STEP = 0.05

Voxel = tuple[int, int, int]


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

    toleranceChanged = Signal(float)

    def __init__(self, viewer: Viewer, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._layer: Labels | None = None
        self._growth: Growth | None = None
        self._preview = _GrowthPreview(viewer)
        self.name = ""
        """The active tool; empty when none is."""

        self.tolerance = 0.4
        """As `Growth` takes it. At 0.5 vessels between two lesions are included."""

        self._act: Callable[[Voxel], object] = lambda voxel: None
        self._values: Any = None
        self._axis: Callable[[], int] = lambda: 0
        self._grow_axis: Callable[[], int | None] = lambda: None
        self._level: Callable[[], float] = lambda: 0.0

    def pick_up(
        self,
        name: str,
        layer: Labels,
        *,
        act: Callable[[Voxel], object] = lambda voxel: None,
        values: Any = None,
        axis: Callable[[], int] = lambda: 0,
        grow_axis: Callable[[], int | None] = lambda: None,
        level: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """Make a tool active, in place of the one before.

        Parameters
        ----------
        name : str
            GROW, THRESHOLD, or anything else for one that acts on a click.
        layer : napari.layers.Labels
            The mask.
        act : callable
            What a click does, given the voxel.
        values : map, shape (Z, Y, X)
            Enhancement, for GROW and THRESHOLD.
        axis, grow_axis, level : callable
            Asked at every press: the axis through the slices, that axis if growing stays within
            one slice, and the level of the threshold brush.
        """
        self.put_down()
        self.name, self._layer = name, layer
        self._act, self._values = act, values
        self._axis, self._grow_axis, self._level = axis, grow_axis, level
        if name == GROW:
            self._preview.add(layer)
        self._viewer.layers.selection.active = layer
        layer.visible = True
        layer.mode = "pan_zoom"
        layer.mouse_pan = False
        layer.cursor = "circle" if name == THRESHOLD else "cross"
        if name == THRESHOLD:  # from here on napari's own setter follows the brush
            layer.cursor_size = layer.brush_size * self._pixel(layer)
        layer.events.mode.connect(self._on_mode)
        self._viewer.mouse_drag_callbacks.append(self._drag)
        self._viewer.mouse_wheel_callbacks.append(self._wheel)
        self.changed.emit()

    def put_down(self) -> None:
        """Put the tool down; the mouse pans again."""
        if not self.name:
            return
        layer, self._layer, self.name, self._growth = self._layer, None, "", None
        self._values = None
        self._viewer.mouse_drag_callbacks.remove(self._drag)
        self._viewer.mouse_wheel_callbacks.remove(self._wheel)
        if layer is not None:
            layer.events.mode.disconnect(self._on_mode)
            layer.mouse_pan = layer.mode == "pan_zoom"
            if layer.mode == "pan_zoom":
                layer.cursor = "standard"
        self._preview.remove()
        self.changed.emit()

    def set_tolerance(self, tolerance: float) -> None:
        """Set how much dimmer than the click a voxel may be, and show what grows then."""
        self.tolerance = float(np.clip(round(tolerance, 2), 0.0, 1.0))
        if self._growth is not None:
            self._preview.show(self._growth, self.tolerance)
        self.toleranceChanged.emit(self.tolerance)

    # The mouse

    def _pixel(self, layer: Labels) -> float:
        """Size of a pixel across the picture: mm, or 1 where it is not known."""
        across = int(self._viewer.dims.displayed[-1]) - self._viewer.dims.ndim
        return float(abs(layer.scale[across]))

    def _on_mode(self, event: object = None) -> None:
        self.put_down()

    def _drag(self, viewer: object, event: Any) -> Iterator[None]:
        layer = self._layer
        if layer is None or event.button != 1 or len(event.dims_displayed) != 2:
            return
        if (voxel := voxel_of(layer, event.position)) is None:
            return
        if self.name == THRESHOLD:
            yield from self._brush(layer, event)
        elif self.name == GROW:
            yield from self._grow(layer, voxel, event)
        else:
            self._act(voxel)

    def _grow(self, layer: Labels, voxel: Voxel, event: Any) -> Iterator[None]:
        """Press to see what grows, turn the wheel to change it, release to keep it."""
        grid = grid_of(layer)
        self._growth = Growth(self._values, grid, voxel, axis=self._grow_axis())
        self._preview.show(self._growth, self.tolerance)
        yield
        while event.type == "mouse_move":
            yield
        growth, self._growth = self._growth, None
        if growth is None:  # put down meanwhile
            return
        self._preview.clear(growth)
        edit = growth.edit(volume_of(layer), self.tolerance)
        apply_edit(layer, edit)
        self.edited.emit(edit)

    def _brush(self, layer: Labels, event: Any) -> Iterator[None]:
        """Paint what exceeds the level; the whole stroke is one undo step."""
        axis, level = self._axis(), self._level()
        grid = grid_of(layer)
        spacing = grid.spacing_mm or (1.0, 1.0, 1.0)
        across = int(self._viewer.dims.displayed[-1]) - self._viewer.dims.ndim
        radius = layer.brush_size / 2 * spacing[across]
        edits = []
        last = _place(layer, event.position)
        with layer.block_history():
            while True:
                place = _place(layer, event.position)
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
        self.edited.emit(Edit.joined(edits))

    def _wheel(self, viewer: object, event: Any) -> None:
        if self._growth is None:
            return
        turned = float(np.sum(event.delta))
        if turned:
            self.set_tolerance(self.tolerance + np.sign(turned) * TOLERANCE_STEP)
        event.handled = True  # the picture stays as it is


class _GrowthPreview:
    """The layer "<case> preview": what would grow from the click, until the button is released."""

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer

    def add(self, mask: Labels) -> None:
        self._viewer.add_labels(
            np.zeros(mask.data.shape, np.uint8),
            name=f"{note_of(mask).get('case_id')} preview",
            opacity=0.7,
            colormap=label_colors({1: PREVIEW_COLOR}),
            metadata={"breastseg": note_of(mask) | {"role": "preview"}},
            **placement(mask),
        )

    def show(self, growth: Growth, tolerance: float) -> None:
        self._fill(growth, growth.mask(tolerance))

    def clear(self, growth: Growth) -> None:
        self._fill(growth, 0)

    def remove(self) -> None:
        while (layer := find_layer(self._viewer, "preview")) is not None:
            self._viewer.layers.remove(layer.name)

    def _fill(self, growth: Growth, labels: Any) -> None:
        layer = find_layer(self._viewer, "preview")
        if layer is not None:  # the user may have removed it
            volume_of(layer)[growth.box] = labels
            layer.refresh()


def voxel_of(layer: Labels, position: Any) -> Voxel | None:
    """The voxel (z, y, x) of a mask at a world position; None outside the mask."""
    z, y, x = (round(place) for place in _place(layer, position))
    shape = volume_of(layer).shape
    is_inside = all(0 <= i < size for i, size in zip((z, y, x), shape, strict=True))
    return (z, y, x) if is_inside else None


def _place(layer: Labels, position: Any) -> tuple[float, float, float]:
    places = [float(place) for place in layer.world_to_data(position)][-layer.ndim :]
    z, y, x = [0.0] * (3 - len(places)) + places
    return z, y, x
