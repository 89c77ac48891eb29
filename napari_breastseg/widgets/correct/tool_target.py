"""What a correction tool works on: the exam, the axis looked along, the lesion meant."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ...core.errors import InputError
from ...core.volume import Exam
from ...imaging.correction import Scope
from ..canvas.layers import tumor_layer
from ..canvas.mouse_tools import voxel_of
from ..canvas.view import box_region, current_slice
from ..state.session import Session
from ..state.sources import Source, exam_of
from .tool_settings import ToolSettings

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.viewer import Viewer

__all__ = ["ToolTarget"]

Voxel = tuple[int, int, int]


class ToolTarget:
    """Reads viewer, session and settings at the moment a tool is used.

    Parameters
    ----------
    viewer : napari.Viewer
    session : Session
    settings : ToolSettings
    """

    def __init__(self, viewer: Viewer, session: Session, settings: ToolSettings) -> None:
        self._viewer = viewer
        self._session = session
        self._settings = settings
        self._pressed: Voxel | None = None
        self._map: tuple[Source, str, Any] | None = None
        viewer.mouse_drag_callbacks.append(self._note_press)

    def forget(self) -> None:
        """Forget the last click and map: another exam is shown."""
        self._pressed = self._map = None

    def put_down(self) -> None:
        """Let go of the viewer's callbacks."""
        if self._note_press in self._viewer.mouse_drag_callbacks:
            self._viewer.mouse_drag_callbacks.remove(self._note_press)

    @property
    def source(self) -> Source:
        """The current exam, which there must be."""
        source = self._session.source
        assert source is not None  # no tool is used without
        return source

    @property
    def exam(self) -> Exam:
        """The current exam as its layers are now."""
        return exam_of(self._viewer, self.source, self._session.roles)

    @property
    def axis(self) -> int:
        """Array axis one looks along."""
        return (current_slice(self._viewer, self._session.source) or (0, 0))[0]

    @property
    def grow_axis(self) -> int | None:
        """Array axis within a slice of which a click grows; None for all three dimensions."""
        return self.axis if self._settings.kind == "slice" else None

    def voxel(self, layer: Labels, *, by_key: bool) -> Voxel | None:
        """The voxel meant: under the mouse for a key, last clicked on for a button."""
        return voxel_of(layer, self._viewer.cursor.position) if by_key else self._pressed

    def scope(self, at: Voxel | None) -> Scope:
        """The scope set, of the current slice or the lesion at a voxel."""
        kind = self._settings.kind
        if self._viewer.dims.ndisplay == 3 and kind != "volume":
            raise InputError(
                "Expected a 2D view", "the viewer shows the exam in 3D", "Switch to 2D"
            )
        axis, index = current_slice(self._viewer, self.source) or (0, 0)
        box = None
        if kind == "box":
            box = box_region(self._viewer, self.source, self.exam, self._settings.beside.value())
        if at is not None:
            z, y, x = (index if place == axis else value for place, value in enumerate(at))
            at = (z, y, x)
        return Scope(kind, axis, index, at, box)

    def map(self, name: str, make: Callable[[Exam], Any]) -> Any:
        """A map of the current exam; the last one is kept."""
        if self._map is None or self._map[:2] != (self.source, name):
            self._map = (self.source, name, make(self.exam))
        return self._map[2]

    def _note_press(self, viewer: object, event: Any) -> None:
        layer = tumor_layer(self._viewer, self._session.case_id)
        if layer is not None and len(event.dims_displayed) == 2:
            self._pressed = voxel_of(layer, event.position) or self._pressed
