"""The mouse tool that grows a lesion from a click: hold to see it, turn the wheel, release."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from ...core.volume import TUMOR
from ...imaging.correction import Edit, Growth
from ..state.grown import Grown, may_grow_to
from .layers import apply_edit, find_layer, grid_of, volume_of
from .mouse_tools import MouseTool, Stroke, Voxel
from .pointer_note import PointerNote
from .preview import WARNING, add_preview, hide_preview

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
        self.note = PointerNote()
        self._layer: Labels | None = None
        self._grown: Grown | None = None
        self._voxel: Voxel = (0, 0, 0)
        self._first = 0
        self._is_stopped = self._is_told_to = False

    def start(self, layer: Labels) -> None:
        """Show the preview."""
        add_preview(self._viewer, layer)
        self._tolerance.changed.connect(self._show)

    def stop(self) -> None:
        """Hide the preview."""
        self._growth = self._layer = None
        self.note.hide()
        self._tolerance.changed.disconnect(self._show)
        hide_preview(self._viewer)

    def stroke(
        self, layer: Labels, voxel: Voxel, event: Any, made: Callable[[Edit], object]
    ) -> Stroke:
        """Show what grows while the button is down; keep it on release."""
        self._growth = Growth(self._values, grid_of(layer), voxel, axis=self._axis())
        self._layer, self._voxel = layer, voxel
        self._is_stopped = self._is_told_to = False
        self._first = int(np.count_nonzero(self._growth.mask(self._tolerance.value)))
        self._show()
        yield
        while event.type == "mouse_move":
            self._say()
            yield
        growth, self._growth = self._growth, None
        self.note.hide()
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
            wanted = float(np.clip(self._tolerance.value + np.sign(turned) * _STEP, 0.0, 1.0))
            self._is_told_to |= self._is_stopped and turned > 0
            voxels = int(np.count_nonzero(self._growth.mask(wanted)))
            is_free = turned < 0 or may_grow_to(voxels, self._first, is_told_to=self._is_told_to)
            self._is_stopped = not is_free
            if is_free:
                self._tolerance.set(wanted)
            else:
                self._say()
        event.handled = True  # the slice stays as it is

    def _show(self, value: object = None) -> None:
        if self._growth is not None:
            mask = self._growth.mask(self._tolerance.value)
            self._grown = self._look_at(mask)
            self._fill(self._growth, np.where(mask, WARNING if self._grown.is_joining else 1, 0))
            self._say()

    def _look_at(self, mask: NDArray[np.bool_]) -> Grown:
        assert self._growth is not None  # shown only while the button is down
        assert self._layer is not None
        z, y, x = (at - part.start for at, part in zip(self._voxel, self._growth.box, strict=True))
        return Grown.of(mask, volume_of(self._layer)[self._growth.box] == TUMOR, (z, y, x))

    def _say(self) -> None:
        """Write beside the pointer what would be marked, slices out of sight included."""
        if self._layer is not None and self._grown is not None:
            words = self._grown.words(grid_of(self._layer).voxel_ml, is_stopped=self._is_stopped)
            self.note.show(words)

    def _fill(self, growth: Growth, labels: Any) -> None:
        layer = find_layer(self._viewer, "preview")
        if layer is not None:  # the user may have removed it
            volume_of(layer)[growth.box] = labels
            layer.refresh()
