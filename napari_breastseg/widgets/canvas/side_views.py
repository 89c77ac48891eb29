"""The two other planes of an exam, each in a small viewer below the main one.

The small viewers share the arrays of the main one and follow its point, and it follows theirs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QTimer
from qtpy.QtWidgets import QHBoxLayout, QWidget

from ...core.volume import Grid
from ..state.session import Session
from ..state.sources import note_of
from .layers import placement
from .orientation import radiological_order, show_radiologically

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.viewer import Viewer

__all__ = ["SideViews"]

_IMAGE_LOOKS = ("visible", "contrast_limits", "colormap", "opacity", "gamma")
_MASK_LOOKS = ("visible", "opacity", "contour")


class SideViews(QWidget):
    """Two small canvases that show the planes the main one does not."""

    def __init__(self, viewer: Viewer, session: Session, grid: Grid) -> None:
        from napari.components import ViewerModel
        from napari.qt import QtViewer

        super().__init__()
        self._viewer = viewer
        self._session = session
        self._models: list[ViewerModel] = []
        self._canvases: list[Any] = []
        self._followed: list[tuple[Any, Any]] = []
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        through, vertical, across = radiological_order(grid)
        for order in ((vertical, through, across), (across, through, vertical)):
            model = ViewerModel()
            model.theme = viewer.theme
            show_radiologically(model)
            self._fill(model)
            model.dims.order = order
            model.reset_view()
            model.dims.events.point.connect(self._follow_side)
            model.mouse_drag_callbacks.append(self._on_press)
            canvas = QtViewer(model)
            canvas.setMinimumHeight(180)
            self._models.append(model)
            self._canvases.append(canvas)
            row.addWidget(canvas)
        viewer.dims.events.point.connect(self._follow_main)
        self._follow_main()

    def showEvent(self, event: QEvent) -> None:
        """Fit the images once the canvases have their size."""
        super().showEvent(event)
        QTimer.singleShot(0, self._fit)

    def close_views(self) -> None:
        """Close both viewers."""
        self._viewer.dims.events.point.disconnect(self._follow_main)
        for emitter, slot in self._followed:
            emitter.disconnect(slot)
        self._followed.clear()
        for canvas in self._canvases:
            canvas.close()
        self._models.clear()
        self._canvases.clear()

    def refresh_masks(self) -> None:
        """Refresh the masks."""
        for model in self._models:
            for layer in model.layers:
                if note_of(layer).get("role") == "tumor":
                    layer.refresh()

    def _fit(self) -> None:
        for model in self._models:
            model.reset_view()

    def _fill(self, model: ViewerModel) -> None:
        """Add the layers of the current exam to a small viewer; arrays are shared."""
        case_id = self._session.case_id
        for layer in self._viewer.layers:
            note = note_of(layer)
            if note.get("case_id") != case_id or layer.ndim != 3:
                continue
            shared = {"name": layer.name, "metadata": layer.metadata, **placement(layer)}
            if note.get("role") == "tumor":
                mine = model.add_labels(layer.data, colormap=layer.colormap, **shared)
                mine.editable = False
                self._copy_looks(layer, mine, _MASK_LOOKS)
            elif layer.__class__.__name__ == "Image":
                mine = model.add_image(layer.data, contrast_limits=layer.contrast_limits, **shared)
                self._copy_looks(layer, mine, _IMAGE_LOOKS)

    def _copy_looks(self, layer: Any, mine: Any, looks: tuple[str, ...]) -> None:
        for look in looks:

            def copy(event: object = None, look: str = look) -> None:
                setattr(mine, look, getattr(layer, look))

            copy()
            emitter = getattr(layer.events, look)
            emitter.connect(copy)
            self._followed.append((emitter, copy))

    def _follow_main(self, event: object = None) -> None:
        for model in self._models:
            if model.dims.point != self._viewer.dims.point:
                model.dims.point = self._viewer.dims.point

    def _follow_side(self, event: Any) -> None:
        point = event.source.point
        if self._models and point != self._viewer.dims.point:
            self._viewer.dims.set_point(range(len(point)), point)

    def _on_press(self, model: Any, event: Any) -> None:
        """Move all views to the point clicked."""
        if event.button == 1:
            self._viewer.dims.set_point(range(len(event.position)), event.position)
