"""The mouse tool that says what is lesion: a click, a scribble, a box; with Shift, what is not."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...clicks.prompts import Prompts
from ...imaging.correction import Edit
from .layers import find_layer, volume_of
from .mouse_tools import MouseTool, Stroke, Voxel, voxel_of
from .preview import add_preview, remove_preview

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.viewer import Viewer

__all__ = ["SmartClick"]


_STEP = 2.0
"""Pixels between two points of a scribble."""

_STILL = 3.0
"""A drag shorter than this, in pixels, is a click."""


class SmartClick(MouseTool):
    """Tells what is clicked while the button is down, and when it is released.

    The layer "<case> preview" shows the answer until then.

    Parameters
    ----------
    viewer : napari.Viewer
    show : callable
        Called with the slice along z and its prompts while the button is down.
    take : callable
        Called with the same on release.
    axis : callable
        Array axis one looks along: only across slices along z a drag is more than a click.
    """

    def __init__(
        self,
        viewer: Viewer,
        show: Callable[[int, Prompts], object],
        take: Callable[[int, Prompts], object],
        axis: Callable[[], int],
    ) -> None:
        super().__init__()
        self._viewer = viewer
        self._ask = show
        self._take = take
        self._axis = axis
        self._shown: int | None = None
        self._is_down = False

    def start(self, layer: Labels) -> None:
        """Add the preview."""
        add_preview(self._viewer, layer)

    def stop(self) -> None:
        """Remove the preview."""
        self._is_down = False
        remove_preview(self._viewer)

    def stroke(
        self, layer: Labels, voxel: Voxel, event: Any, made: Callable[[Edit], object]
    ) -> Stroke:
        """Follow the mouse; the tool's owner makes the edit."""
        is_lesion, is_box = "Shift" not in event.modifiers, "Control" in event.modifiers
        path = [voxel]
        self._is_down = True
        self._ask(voxel[0], _prompts(path, is_lesion=is_lesion, is_box=False))
        yield
        while event.type == "mouse_move":
            now = voxel_of(layer, event.position)
            if now is not None and now != path[-1] and self._axis() == 0:
                path.append(now)
                self._ask(voxel[0], _prompts(path, is_lesion=is_lesion, is_box=is_box))
            yield
        self._is_down = False
        self.hide()
        self._take(voxel[0], _prompts(path, is_lesion=is_lesion, is_box=is_box))

    def show(self, z: int, mask: NDArray[np.bool_]) -> None:
        """Show what a slice's mask (Y, X) would be, while the button is down."""
        layer = find_layer(self._viewer, "preview")
        if layer is None or not self._is_down:
            return
        volume_of(layer)[z] = mask
        self._shown = z
        layer.refresh()

    def hide(self) -> None:
        """Show nothing any more."""
        layer, z, self._shown = find_layer(self._viewer, "preview"), self._shown, None
        if layer is not None and z is not None:  # the user may have removed it
            volume_of(layer)[z] = 0
            layer.refresh()


def _prompts(path: list[Voxel], *, is_lesion: bool, is_box: bool) -> Prompts:
    """What a drag through these voxels of a slice says."""
    places = np.array([voxel[1:] for voxel in path], float)
    low, high = places.min(0), places.max(0)
    if is_box and (high - low).min() >= _STILL:
        return Prompts(box=(float(low[0]), float(low[1]), float(high[0]), float(high[1])))
    points = [places[0]]
    if np.linalg.norm(high - low) >= _STILL:
        for start, end in pairwise(places):
            count = int(np.ceil(np.linalg.norm(end - start) / _STEP))
            points += [start + (end - start) * n / count for n in range(1, count + 1)]
    said = tuple((float(y), float(x)) for y, x in points)
    return Prompts(inside=said) if is_lesion else Prompts(outside=said)
