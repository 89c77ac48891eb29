"""The slice that the reader looks at, as planes to be drawn beside the canvas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..parts import colors as _colors
from ..state.session import Session
from ..state.sources import first_layer, grid_noted
from .display import Display
from .layers import plane_names, tumor_layer
from .planes import LEVELS, Plane, hung, plane_order

if TYPE_CHECKING:
    from napari.viewer import Viewer

__all__ = ["Present"]


class Present:
    """Where the reader is in the current exam: slice, point, camera, mask.

    Parameters
    ----------
    viewer : napari.Viewer
    session : Session
    display : Display
    """

    def __init__(self, viewer: Viewer, session: Session, display: Display) -> None:
        self._viewer = viewer
        self._session = session
        self._display = display
        self.has_pointer = False
        """Whether the mouse was ever over the canvas: napari begins with it at the origin."""

    @property
    def shown(self) -> Any:
        """The image on the canvas, or the exam's first; None without an exam."""
        source = self._session.source
        if source is None:
            return None
        picture = self._display.picture
        return first_layer(self._viewer, source) if picture is None else picture

    @property
    def mask(self) -> Any:
        """The mask, where it is seen."""
        layer = tumor_layer(self._viewer, self._session.case_id)
        return layer if layer is not None and layer.visible else None

    def order(self, layer: Any) -> tuple[int, int, int]:
        """Array axes (of Z, Y, X) through, down and across the canvas."""
        before = self._viewer.dims.ndim - layer.ndim
        axes = [int(axis) - before for axis in self._viewer.dims.order[-min(3, layer.ndim) :]]
        if layer.ndim == 2:
            axes = [0, *(axis + 1 for axis in axes)]
        return (axes[0], axes[1], axes[2]) if sorted(axes) == [0, 1, 2] else (0, 1, 2)

    def voxel(self, layer: Any) -> NDArray[np.float64]:
        """The viewer's point in a layer's own voxels (Z, Y, X)."""
        return _of_three(layer.world_to_data(self._viewer.dims.point))

    def camera_voxel(self, layer: Any) -> NDArray[np.float64]:
        """The middle of the canvas in a layer's own voxels (Z, Y, X)."""
        point = list(self._viewer.dims.point)
        down, across = self._viewer.dims.order[-2:]
        point[down], point[across] = self._viewer.scene.camera.center[-2:]
        return _of_three(layer.world_to_data(point))

    def size(self, layer: Any, order: tuple[int, int, int]) -> tuple[float, float]:
        """Height and width of a voxel on the screen, mm, or pixels without a known spacing."""
        scale = [1.0, *np.abs(layer.scale).tolist()][-3:]
        return scale[order[1]], scale[order[2]]

    def fitted(self, layer: Any) -> tuple[float, float]:
        """Height and width of the slice on the canvas, mm, or pixels."""
        order = self.order(layer)
        shape, size = _volume(layer).shape, self.size(layer, order)
        return shape[order[1]] * size[0], shape[order[2]] * size[1]

    def zoom(self, layer: Any) -> float:
        """How much larger the canvas shows the slice than if it filled it."""
        return float(self._viewer.scene.camera.zoom) / self._filling(layer)

    def zoom_to(self, layer: Any, zoom: float) -> None:
        """Let the canvas show the slice so much larger than if it filled it."""
        self._viewer.scene.camera.zoom = zoom * self._filling(layer)

    def _filling(self, layer: Any) -> float:
        height, width = self.fitted(layer)
        rows, columns = self._viewer.canvas.size
        return min(rows / height, columns / width)

    def beside(self, layer: Any, caption: str) -> Plane:
        """Another image of the exam, at the slice and place that the canvas shows."""
        order, voxel, center = self.order(layer), self.voxel(layer), self.camera_voxel(layer)
        return self._plane(
            layer,
            order,
            index=round(float(voxel[order[0]])),
            center=(float(center[order[1]]), float(center[order[2]])),
            zoom=self.zoom(layer),
            pointer=self._pointer_on(layer, order),
            caption=caption,
        )

    def across(
        self, layer: Any, through: int, zoom: float, center: tuple[float, float] | None
    ) -> Plane:
        """Another plane of the image on the canvas, through the viewer's point.

        Parameters
        ----------
        layer : Image
        through : int
            Array axis along which its slices follow each other.
        zoom : float
        center : tuple of float, optional
            Row and column in the middle; the middle of the slice when not given.
        """
        grid = grid_noted(layer)
        order, voxel, shape = plane_order(grid, through), self.voxel(layer), _volume(layer).shape
        names = None if grid is None else plane_names(grid)
        name = "" if names is None else names[through]
        index = round(float(np.clip(voxel[through], 0, shape[through] - 1)))
        rows, columns = shape[order[1]], shape[order[2]]
        return self._plane(
            layer,
            order,
            index=index,
            center=((rows - 1) / 2, (columns - 1) / 2) if center is None else center,
            zoom=0.98 * zoom,
            cross=(float(voxel[order[1]]), float(voxel[order[2]])),
            caption=f"{name}   slice {index + 1}/{shape[through]}".strip(),
        )

    def go_to(self, layer: Any, voxel: NDArray[np.float64]) -> None:
        """Move the viewer's point to a voxel (Z, Y, X) of a layer."""
        world = layer.data_to_world(voxel[-layer.ndim :])
        first = self._viewer.dims.ndim - layer.ndim
        self._viewer.dims.set_point(range(first, first + layer.ndim), world)

    def scroll_on(self, steps: int) -> None:
        """Go on by slices on the canvas."""
        if self.shown is not None:
            self.scroll(self.order(self.shown)[0], steps)

    def scroll(self, through: int, steps: int) -> None:
        """Move the viewer's point by slices along an array axis (of Z, Y, X)."""
        layer, axis = self.shown, through + self._viewer.dims.ndim - 3
        if layer is not None and layer.ndim == 3 and axis >= 0:
            here = self._viewer.dims.current_step[axis]
            self._viewer.dims.set_current_step(axis, here + steps)

    def pan(self, down_mm: float, across_mm: float) -> None:
        """Move what the canvas shows."""
        camera = self._viewer.scene.camera
        depth, y, x = camera.center
        camera.center = (depth, y - down_mm, x - across_mm)

    def zoom_by(self, factor: float) -> None:
        """Enlarge what the canvas shows."""
        self._viewer.scene.camera.zoom *= factor

    def pointer(self, layer: Any) -> NDArray[np.float64] | None:
        """The voxel (Z, Y, X) under the mouse; None while it is not over the canvas."""
        if not (self.has_pointer and self._viewer.mouse_over_canvas):
            return None
        return _of_three(layer.world_to_data(self._viewer.cursor.position))

    def _pointer_on(self, layer: Any, order: tuple[int, int, int]) -> tuple[float, float] | None:
        at = self.pointer(layer)
        return None if at is None else (float(at[order[1]]), float(at[order[2]]))

    def _plane(self, layer: Any, order: tuple[int, int, int], *, index: int, **where: Any) -> Plane:
        volume, mask = _volume(layer), self.mask
        size, (is_flipped, letters) = self.size(layer, order), hung(grid_noted(layer), order)
        fitted = volume.shape[order[1]] * size[0], volume.shape[order[2]] * size[1]
        marks: dict[str, Any] = {}
        if mask is not None and _volume(mask).shape == volume.shape:
            opacity = 0.0 if mask.contour else float(mask.opacity)
            marks = {"mask": _volume(mask), "mask_color": _colors.TUMOR, "opacity": opacity}
        low, high = (float(limit) for limit in layer.contrast_limits)
        return Plane(
            volume,
            order,
            index,
            size,
            is_flipped,
            letters,
            (low, high),
            _table(layer),
            fitted=fitted,
            **where,
            **marks,
        )


def _volume(layer: Any) -> Any:
    return layer.data if layer.ndim == 3 else np.asarray(layer.data)[None]


def _of_three(place: Any) -> NDArray[np.float64]:
    return np.array([0.0, *np.asarray(place, float)])[-3:]


def _table(layer: Any) -> NDArray[np.uint8]:
    """Colors of a layer's levels."""
    levels = np.linspace(0, 1, LEVELS) ** float(layer.gamma)
    colors = np.asarray(layer.colormap.map(levels))
    if getattr(layer.colormap, "low_color", None) is not None:
        colors[0] = layer.colormap.low_color
    return np.round(255 * colors).astype(np.uint8)
