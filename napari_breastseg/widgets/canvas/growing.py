"""The mouse tool that grows a lesion from a click: hold to see it, turn the wheel, release."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, Signal

from ...imaging.correction import Edit, Growth
from .layers import apply_edit, find_layer, grid_of, volume_of
from .mouse_tools import MouseTool, Stroke, Voxel
from .preview import add_preview, remove_preview

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.viewer import Viewer

__all__ = ["Growing", "Tolerance"]

_STEP = 0.05


class Tolerance(QObject):
    """How much dimmer than the click a voxel may be, as `Growth` takes it: a field, or the wheel.

    At half way down vessels between two lesions would be included, hence 0.4.
    """

    changed = Signal(float)

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.value = 0.4

    def set(self, value: float) -> None:
        """Set it, within 0 to 1."""
        self.value = float(np.clip(round(value, 2), 0.0, 1.0))
        self.changed.emit(self.value)


class Growing(MouseTool):
    """Grows what enhances around a click.

    The layer "<case> preview" shows what would grow, until the button is released.

    Parameters
    ----------
    viewer : napari.Viewer
    tolerance : Tolerance
    values : map, shape (Z, Y, X)
        Enhancement.
    axis : callable
        Asked at every press: the axis of the slice to stay within, None for all directions.
    """

    def __init__(
        self,
        viewer: Viewer,
        tolerance: Tolerance,
        values: Any,
        axis: Callable[[], int | None],
    ) -> None:
        super().__init__()
        self._viewer = viewer
        self._tolerance = tolerance
        self._values = values
        self._axis = axis
        self._growth: Growth | None = None

    def start(self, layer: Labels) -> None:
        """Add the preview."""
        add_preview(self._viewer, layer)
        self._tolerance.changed.connect(self._show)

    def stop(self) -> None:
        """Remove the preview."""
        self._growth = None
        self._tolerance.changed.disconnect(self._show)
        remove_preview(self._viewer)

    def stroke(
        self, layer: Labels, voxel: Voxel, event: Any, made: Callable[[Edit], object]
    ) -> Stroke:
        """Show what grows while the button is down; keep it on release."""
        self._growth = Growth(self._values, grid_of(layer), voxel, axis=self._axis())
        self._show()
        yield
        while event.type == "mouse_move":
            yield
        growth, self._growth = self._growth, None
        if growth is None:  # put down meanwhile
            return
        self._fill(growth, 0)
        edit = growth.edit(volume_of(layer), self._tolerance.value)
        apply_edit(layer, edit)
        made(edit)

    def wheel(self, event: Any) -> None:
        """More or less tolerance while the button is down."""
        if self._growth is None:
            return
        turned = float(np.sum(event.delta))
        if turned:
            self._tolerance.set(self._tolerance.value + np.sign(turned) * _STEP)
        event.handled = True  # the slice stays as it is

    def _show(self, value: object = None) -> None:
        if self._growth is not None:
            self._fill(self._growth, self._growth.mask(self._tolerance.value))

    def _fill(self, growth: Growth, labels: Any) -> None:
        layer = find_layer(self._viewer, "preview")
        if layer is not None:  # the user may have removed it
            volume_of(layer)[growth.box] = labels
            layer.refresh()
