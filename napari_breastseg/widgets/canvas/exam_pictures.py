"""The current exam's other planes and other phases, as pictures beside the canvas."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..parts.jobs import errors_shown
from ..state.opening import phase_time_words
from ..state.session import Session
from ..state.sources import first_layer, grid_noted, key_of, layer_of, note_of
from .display import Display
from .maps import subtraction_map
from .planes import Plane, grey_table
from .present import Present
from .slice_picture import SlicePicture

if TYPE_CHECKING:
    from napari.viewer import Viewer

__all__ = ["ExamPictures"]

Look = Callable[[], Plane | None]

MOST_PHASES = 4


@dataclass
class _Enlarged:
    """How much larger a plane is drawn than fits, and the row and column in its middle."""

    zoom: float = 1.0
    center: tuple[float, float] | None = None


class ExamPictures:
    """Makes the pictures; each looks at the viewer anew whenever it is drawn.

    Parameters
    ----------
    viewer : napari.Viewer
    session : Session
    display : Display
    present : Present
    """

    def __init__(
        self, viewer: Viewer, session: Session, display: Display, present: Present
    ) -> None:
        self._viewer = viewer
        self._session = session
        self._display = display
        self._present = present

    def other_planes(self) -> list[SlicePicture]:
        """The planes that the canvas does not show; none of an exam of a single slice."""
        source = self._session.source
        layer = None if source is None else first_layer(self._viewer, source)
        grid = None if layer is None or layer.ndim != 3 else grid_noted(layer)
        if grid is None or 1 in grid.shape:
            return []
        through = self._present.order(layer)[0]
        return [self._plane_across(axis) for axis in range(3) if axis != through]

    def other_phases(self) -> list[SlicePicture]:
        """Up to three images that the canvas does not show; none where there is but one."""
        phases = [one for one in self._display.phases() if one.ndim in (2, 3)]
        looks = [self._look_of(key_of(one)) for one in phases]
        with errors_shown():
            if (subtraction := self._look_of_subtraction()) is not None:
                looks.append(subtraction)
        if len(looks) > MOST_PHASES:  # pre, first and last post-contrast, subtraction
            looks = [*looks[:2], *looks[-2:]]
        if self._display.picture is None and phases:
            self._display.show_picture(phases[min(1, len(phases) - 1)])
        return [self._phase(place, looks) for place in range(len(looks) - 1)]

    def _plane_across(self, through: int) -> SlicePicture:
        """A picture of the image on the canvas along another axis; it is zoomed by itself."""
        present, at = self._present, _Enlarged()

        def look() -> Plane | None:
            layer = present.shown
            return None if layer is None else present.across(layer, through, at.zoom, at.center)

        def place(row: float, column: float) -> None:
            layer, plane = present.shown, picture.plane
            if layer is not None and plane is not None:
                voxel = present.voxel(layer)
                voxel[list(plane.order[1:])] = row, column
                present.go_to(layer, voxel)

        def zoom(factor: float) -> None:
            if picture.plane is not None:
                at.zoom = max(1.0, at.zoom * factor)
                at.center = picture.plane.cross if at.zoom > 1 else None
                picture.follow()

        picture = SlicePicture(look)
        picture.placed.connect(place)
        picture.zoomed.connect(zoom)
        picture.scrolled.connect(lambda steps, _: present.scroll(through, steps))
        picture.windowed.connect(self._display.drag_window)
        return picture

    def _phase(self, place: int, looks: Sequence[Look]) -> SlicePicture:
        """A picture of one of several images: those that are not on the canvas, in their order."""

        def look() -> Plane | None:
            planes = [plane for look in looks if (plane := look()) is not None]
            return planes[place] if place < len(planes) else None

        picture = SlicePicture(look)
        picture.dragged.connect(self._present.pan)
        picture.zoomed.connect(self._present.zoom_by)
        picture.scrolled.connect(lambda steps, _: self._present.scroll_on(steps))
        picture.windowed.connect(self._display.drag_window)
        return picture

    def _look_of(self, key: str) -> Look:
        """How a phase looks; None while it is on the canvas, or gone."""

        def look() -> Plane | None:
            layer, on_canvas = layer_of(self._viewer, key), self._display.picture
            if layer is None or (on_canvas is not None and key_of(on_canvas) == key):
                return None
            return self._present.beside(layer, _caption(layer))

        return look

    def _look_of_subtraction(self) -> Look | None:
        """How the subtraction looks; no layer is made of it, which would take a second."""
        source = self._session.source
        if source is None:
            return None
        found = subtraction_map(self._viewer, source, self._session.roles)
        if found is None:
            return None
        values, limits, _ = found
        under = key_of(self._display.phases()[0])

        def look() -> Plane | None:
            on_canvas, layer = self._display.picture, layer_of(self._viewer, under)
            if layer is None or (on_canvas is not None and note_of(on_canvas).get("map") == "sub1"):
                return None
            plane = self._present.beside(layer, "sub1")
            return replace(plane, data=values, limits=limits, table=grey_table())

        return look


def _caption(layer: Any) -> str:
    """The phase and its time, or the map."""
    note = note_of(layer)
    name = str(note.get("role") or note.get("map") or layer.name)
    time_s = note.get("time_s")
    return name if time_s is None else f"{name} {phase_time_words(time_s)}"
