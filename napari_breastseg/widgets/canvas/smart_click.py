"""The mouse tool that says what is lesion: a click, a scribble, a box; with Shift, what is not."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...clicks.prompts import Prompts
from ...imaging.correction import Edit
from ..parts.jobs import show_info
from .layers import find_layer, volume_of
from .mouse_tools import MouseTool, Stroke, Voxel, voxel_of
from .preview import add_preview, hide_preview

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.viewer import Viewer

__all__ = ["SmartClick"]


_STEP = 2.0
"""Pixels between two points of a scribble."""

_STILL = 3.0
"""A drag shorter than this, in pixels, and within a slice, is a click."""

_NO_BOX = (
    "A box is drawn within an original slice: roll the view back (Ctrl-E). In this view, drag "
    "without Ctrl to scribble."
)


class SmartClick(MouseTool):
    """Tells what is clicked while the button is down, and when it is released.

    The layer "<case> preview" shows the answer until then.

    Parameters
    ----------
    viewer : napari.Viewer
    show : callable
        Called with the slice along z under the pointer and its prompts while the button is down.
    take : callable
        Called with the prompts of each slice along z on release: a drag in a view across the slices
        speaks of all that it passes.
    axis : callable
        Array axis one looks along: a box is drawn within a slice along z.
    """

    def __init__(
        self,
        viewer: Viewer,
        show: Callable[[int, Prompts], object],
        take: Callable[[dict[int, Prompts]], object],
        axis: Callable[[], int],
    ) -> None:
        super().__init__()
        self._viewer = viewer
        self._ask = show
        self._take = take
        self._axis = axis
        self._shown: set[int] = set()
        self._is_down = False

    def start(self, layer: Labels) -> None:
        """Show the preview."""
        add_preview(self._viewer, layer)

    def stop(self) -> None:
        """Hide the preview."""
        self._is_down = False
        hide_preview(self._viewer)

    def stroke(
        self, layer: Labels, voxel: Voxel, event: Any, made: Callable[[Edit], object]
    ) -> Stroke:
        """Follow the mouse; the tool's owner makes the edit."""
        is_lesion, is_box = "Shift" not in event.modifiers, "Control" in event.modifiers
        path = [voxel]
        is_across = self._axis() != 0
        self._is_down = True
        said = _said(path, is_lesion=is_lesion, is_box=False)
        self._ask(voxel[0], said[voxel[0]])
        yield
        while event.type == "mouse_move":
            now = voxel_of(layer, event.position)
            if now is not None and now != path[-1]:
                path.append(now)
                said = _said(path, is_lesion=is_lesion, is_box=is_box)
                if not (is_box and is_across):
                    z = now[0] if now[0] in said else voxel[0]  # a box has one slice
                    self._ask(z, said[z])
            yield
        self._is_down = False
        self.hide()
        if is_box and is_across and _is_drag(path):
            show_info(_NO_BOX)
        else:
            self._take(said)

    def show(self, z: int, mask: NDArray[np.bool_]) -> None:
        """Show what a slice's mask (Y, X) would be, while the button is down."""
        layer = find_layer(self._viewer, "preview")
        if layer is None or not self._is_down:
            return
        volume_of(layer)[z] = mask
        self._shown.add(z)
        layer.refresh()

    def hide(self) -> None:
        """Show nothing any more."""
        layer, shown, self._shown = find_layer(self._viewer, "preview"), self._shown, set()
        if layer is not None and shown:  # the user may have removed it
            volume_of(layer)[list(shown)] = 0
            layer.refresh()


def _is_drag(path: list[Voxel]) -> bool:
    """Whether a path is longer than a hand moves at a click."""
    extent = np.ptp(np.array(path), axis=0)
    return bool(extent[0] or np.linalg.norm(extent[1:]) >= _STILL)


def _said(path: list[Voxel], *, is_lesion: bool, is_box: bool) -> dict[int, Prompts]:
    """What a drag through these voxels says of each slice along z that it passes."""
    places = np.array(path, float)
    (_, y0, x0), (_, y1, x1) = places.min(0), places.max(0)
    if is_box and min(y1 - y0, x1 - x0) >= _STILL:
        return {path[0][0]: Prompts(box=(float(y0), float(x0), float(y1), float(x1)))}
    points = [places[0]]
    if _is_drag(path):
        for start, end in pairwise(places):
            way = end - start
            count = int(np.ceil(max(abs(way[0]), np.linalg.norm(way[1:]) / _STEP)))
            points += [start + way * n / count for n in range(1, count + 1)]
    said: dict[int, Prompts] = {}
    for z, y, x in points:
        at = round(float(z))
        said[at] = said.get(at, Prompts()).with_click((float(y), float(x)), is_lesion)
    return said
