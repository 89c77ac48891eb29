"""The layer "<case> lesion": a frame around one lesion and its longest diameter. No Qt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...lesions import Lesion
from ..parts import colors as _colors
from ..state.sources import note_of
from .layers import find_layer, placement

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.viewer import Viewer

__all__ = ["frame_lesion", "go_to_lesion", "remove_frame"]

_MARGIN_PX = 2


def go_to_lesion(viewer: Viewer, mask: Labels, lesion: Lesion) -> None:
    """Go to the slice of a lesion's longest diameter, its center in the middle of the canvas."""
    if lesion.center_voxel is None or lesion.diameter_z is None:
        return
    center = np.array([lesion.diameter_z, *lesion.center_voxel[1:]])[-mask.ndim :]
    world = np.asarray(mask.data_to_world(center))
    dims = viewer.dims
    first = dims.ndim - mask.ndim
    dims.set_point(range(first, dims.ndim), [float(value) for value in world])
    place = [float(world[axis - first]) for axis in dims.displayed if axis >= first]
    viewer.scene.camera.center = (*(0.0,) * (3 - len(place)), *place)


def frame_lesion(viewer: Viewer, mask: Labels, lesion: Lesion) -> None:
    """Frame a lesion in each of its slices, and draw its longest diameter."""
    if lesion.box is None or lesion.diameter_ends is None:
        remove_frame(viewer)
        return
    active = viewer.layers.selection.active
    (z0, z1), (y0, y1), (x0, x1) = lesion.box
    top, bottom = y0 - _MARGIN_PX, y1 - 1 + _MARGIN_PX
    left, right = x0 - _MARGIN_PX, x1 - 1 + _MARGIN_PX
    corners = [(top, left), (top, right), (bottom, right), (bottom, left)]
    frames = [np.array([(z, *corner) for corner in corners], float) for z in range(z0, z1)]
    line = np.array([(lesion.diameter_z, *end) for end in lesion.diameter_ends], float)
    shapes = [shape[:, -mask.ndim :] for shape in (*frames, line)]
    look: dict[str, Any] = {
        "shape_type": ["rectangle"] * len(frames) + ["line"],
        "edge_color": _colors.FRAME,
        "edge_width": 0.7,
        "face_color": "transparent",
    }
    case_id = note_of(mask).get("case_id")
    layer = find_layer(viewer, "lesion", case_id)
    if layer is not None and layer.ndim == mask.ndim:
        # Other shapes in the same layer come in a fraction of the time of another layer.
        layer.selected_data = set(range(layer.nshapes))
        layer.remove_selected()
        layer.add(shapes, **look)
        layer.selected_data = set()
        return
    remove_frame(viewer)
    viewer.add_shapes(
        shapes,
        **look,
        name=f"{case_id} lesion",
        metadata={"breastseg": {**note_of(mask), "role": "lesion"}},
        **placement(mask),
    )
    viewer.layers.selection.active = active  # the brush stays in hand


def remove_frame(viewer: Viewer) -> None:
    """Take the frame away."""
    for layer in list(viewer.layers):
        if note_of(layer).get("role") == "lesion":
            viewer.layers.remove(layer.name)
