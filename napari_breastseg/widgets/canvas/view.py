"""What the reader is looking at: the current slice and the box drawn, in an exam's own voxels.

Uses the viewer's public interface only; no Qt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.errors import InputError
from ...core.region import Region
from ...core.volume import Exam
from ..parts import colors as _colors
from ..state.sources import Source, first_layer, shape_of
from .layers import find_layer, placement

if TYPE_CHECKING:
    from napari.layers import Labels, Shapes
    from napari.viewer import Viewer

__all__ = [
    "add_box",
    "box_region",
    "current_slice",
    "go_to_slice",
    "go_to_tumor",
    "has_box",
    "ready_brush",
    "slice_region",
]


def current_slice(viewer: Viewer, source: Source | None) -> tuple[int, int] | None:
    """Axis (0 z, 1 y, 2 x) and index of the current slice; None in 3D view and for a 2D exam."""
    if source is None or viewer.dims.ndisplay != 2 or viewer.dims.ndim < 3:
        return None
    layer = first_layer(viewer, source)
    if layer is None or layer.ndim < 3:
        return None
    axis = int(viewer.dims.order[-3]) - (viewer.dims.ndim - 3)
    if axis < 0:
        return None
    point = layer.world_to_data(viewer.dims.point)[-3:]
    size = shape_of(layer)[-3:][axis]
    return axis, int(np.clip(round(float(point[axis])), 0, size - 1))


def slice_region(viewer: Viewer, source: Source, exam: Exam) -> Region | None:
    """Region of the current slice; None where the exam has only one."""
    seen = current_slice(viewer, source)
    if seen is None or exam.grid.shape[seen[0]] == 1:
        if viewer.dims.ndisplay == 3:
            raise InputError(
                "Expected a current slice to segment",
                "the viewer shows the exam in 3D",
                "Switch to 2D or segment the whole exam",
            )
        return None
    axis, index = seen
    parts = [slice(0, size) for size in exam.grid.shape]
    parts[axis] = slice(index, index + 1)
    return parts[0], parts[1], parts[2]


def add_box(viewer: Viewer, source: Source) -> Shapes:
    """Layer "<case> box" with the rectangle tool active."""
    layer = find_layer(viewer, "box", source.case_id)
    if layer is None:
        under = first_layer(viewer, source)
        layer = viewer.add_shapes(
            ndim=under.ndim,
            name=f"{source.case_id} box",
            edge_color=_colors.FRAME,
            edge_width=1,
            face_color="transparent",
            metadata={
                "breastseg": {
                    "case_id": source.case_id,
                    "fingerprint": source.fingerprint,
                    "role": "box",
                }
            },
            **placement(under),
        )
    viewer.layers.selection.active = layer
    layer.mode = "add_rectangle"
    return layer


def box_region(viewer: Viewer, source: Source, exam: Exam, slices_beside: int) -> Region:
    """Region of the last rectangle drawn, with some slices on both sides of it.

    Raises
    ------
    InputError
        If no rectangle was drawn.
    """
    layer = find_layer(viewer, "box", source.case_id)
    if layer is None or len(layer.data) == 0:
        raise InputError(
            "Expected a box on the image",
            "none has been drawn",
            "Press 'Draw box' and drag a rectangle around the lesion",
        )
    corners = np.asarray(layer.data[-1])[:, -3:]
    if corners.shape[1] == 2:
        corners = np.column_stack([np.zeros(len(corners)), corners])
    low, high = corners.min(axis=0), corners.max(axis=0)
    parts = []
    for start, stop, size in zip(low, high, exam.grid.shape, strict=True):
        is_flat = stop - start < 1e-6  # the axis the rectangle was drawn across
        beside = slices_beside if is_flat else 0
        first = max(0, int(np.floor(start + 0.5)) - beside)
        last = min(size, int(np.floor(stop + 0.5)) + beside + 1)
        parts.append(slice(first, max(first + 1, last)))
    return parts[0], parts[1], parts[2]


def go_to_tumor(viewer: Viewer, source: Source, labels: Any) -> None:
    """Go to the slice with most tumor unless the current one has some; `labels` is (Z, Y, X)."""
    seen = current_slice(viewer, source)
    if seen is None:
        return
    axis, index = seen
    planes = np.moveaxis(np.asarray(labels), axis, 0)
    if (planes[index] == 1).any():
        return
    # Plane by plane: an array of Booleans as large as the exam holds the window.
    counts = np.array([np.count_nonzero(plane == 1) for plane in planes])
    if counts.any():
        dim = axis + viewer.dims.ndim - 3
        viewer.dims.set_current_step(dim, int(counts.argmax()))


def go_to_slice(viewer: Viewer, source: Source | None, index: int) -> None:
    """Go to a slice along z of an exam, and look along z if another axis was looked along."""
    layer = None if source is None else first_layer(viewer, source)
    if layer is None or layer.ndim < 3:
        return
    viewer.dims.ndisplay = 2
    seen = current_slice(viewer, source)
    if seen is None or seen[0] != 0:
        viewer.dims.order = tuple(range(viewer.dims.ndim))
    viewer.dims.set_current_step(viewer.dims.ndim - 3, index)


def has_box(viewer: Viewer, source: Source) -> bool:
    """Whether a rectangle is drawn."""
    layer = find_layer(viewer, "box", source.case_id)
    return layer is not None and len(layer.data) > 0


def ready_brush(viewer: Viewer, layer: Labels) -> None:
    """Activate the brush: mask selected and visible, label tumor, a suitable brush size."""
    viewer.layers.selection.active = layer
    layer.visible = True
    layer.selected_label = 1
    layer.brush_size = max(2, round(min(layer.data.shape[-2:]) / 50))
    layer.mode = "paint"
