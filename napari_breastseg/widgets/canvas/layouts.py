"""Layouts: axial alone, with the two other planes below it, or the phases side by side.

The pictures around the canvas are drawn by Qt from the arrays of its layers. No layer and no
canvas is made for them: both take a second each, and again as long to remove.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QMainWindow, QWidget

from ...core.volume import Grid
from ..parts.jobs import errors_shown, show_info
from ..state.opening import phase_time_words
from ..state.session import Session
from ..state.sources import first_layer, grid_noted, key_of, layer_of, note_of
from .display import Display
from .maps import subtraction_map
from .neighbors import Cell, Neighbors, arranged
from .planes import Plane, grey_table
from .present import Present
from .slice_picture import SlicePicture

if TYPE_CHECKING:
    from napari.viewer import Viewer

__all__ = ["Layouts"]

Look = Callable[[], Plane | None]

MOST_PHASES = 4
_PLANES: tuple[Cell, ...] = ((0, 0, 1, 2), (1, 0, 1, 1), (1, 1, 1, 1))
_LOOKS = ("visible", "contrast_limits", "colormap", "gamma", "opacity", "contour", "set_data")
"""Events of a layer that change how it is drawn; those that it does not have are left out."""


@dataclass
class _Enlarged:
    """How much larger a plane is drawn than fits, and the row and column in its middle."""

    zoom: float = 1.0
    center: tuple[float, float] | None = None


class Layouts:
    """Three layouts of an exam, each with a key and an entry in the View menu.

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
        self._present = Present(viewer, session, display)
        self._window: QMainWindow | None = None
        self._neighbors: Neighbors | None = None
        self._followed: set[str] = set()
        self.pictures: tuple[SlicePicture, ...] = ()
        """What stands around the canvas now."""

        session.source_changed.connect(self._leave)
        dims, camera = viewer.dims.events, viewer.scene.camera.events
        for event in (dims.point, dims.order, viewer.layers.events.inserted):
            event.connect(self._renew)
        viewer.layers.events.removed.connect(self._renew)
        for event in (camera.center, camera.zoom, viewer.cursor.events.position):
            event.connect(self._follow)

    def add_to(self, window: QWidget) -> None:
        """Take the window whose canvas gets neighbors."""
        if isinstance(window, QMainWindow):
            self._window = window

    def show_axial(self) -> None:
        """Layout: one view."""
        self._leave()

    def show_orthogonal(self) -> None:
        """Layout: axial and the two other planes."""
        source, grid = self._session.source, self._grid()
        if source is None or grid is None or 1 in grid.shape:
            self._leave()
            show_info("This layout needs a volume of several slices.")
            return
        through = self._present.order(first_layer(self._viewer, source))[0]
        pictures = [self._plane_across(axis) for axis in range(3) if axis != through]
        self._show(pictures, _PLANES)

    def show_phases(self) -> None:
        """Layout: up to four phases side by side."""
        phases = [one for one in self._display.phases() if one.ndim in (2, 3)]
        looks = [self._look_of(key_of(one)) for one in phases]
        with errors_shown():
            if (subtraction := self._look_of_subtraction()) is not None:
                looks.append(subtraction)
        if len(looks) > MOST_PHASES:  # pre, first and last post-contrast, subtraction
            looks = [*looks[:2], *looks[-2:]]
        if len(looks) < 2:
            self._leave()
            show_info("This layout needs an exam of several phases.")
            return
        if self._display.picture is None:
            self._display.show_picture(phases[min(1, len(phases) - 1)])
        self._show(
            [self._phase(place, looks) for place in range(len(looks) - 1)],
            arranged(len(looks), self.room, self._present.fitted(phases[0])),
        )

    def show_beside(self, picture: SlicePicture, shape: tuple[float, float]) -> None:
        """Show another picture beside the canvas, of slices of a height and width."""
        self._show([picture], arranged(2, self.room, shape))

    @property
    def room(self) -> tuple[int, int]:
        """Height and width of the canvas and its neighbors together."""
        around = self._around()
        return (1, 1) if around is None else around.room

    def refresh_masks(self) -> None:
        """Draw the masks again after an edit."""
        self._renew()

    def take_down(self) -> None:
        """Give the window back as it was: it, or the dock, is closing."""
        if self._neighbors is not None:
            self._neighbors.take_down()
        self._neighbors, self._window, self.pictures = None, None, ()
        dims, camera = self._viewer.dims.events, self._viewer.scene.camera.events
        layers = self._viewer.layers.events
        for event in (dims.point, dims.order, layers.inserted, layers.removed):
            event.disconnect(self._renew)
        for event in (camera.center, camera.zoom, self._viewer.cursor.events.position):
            event.disconnect(self._follow)

    def _around(self) -> Neighbors | None:
        if self._neighbors is None and self._window is not None:
            self._neighbors = Neighbors(self._window)
        return self._neighbors

    def _show(self, pictures: Sequence[SlicePicture], cells: Sequence[Cell]) -> None:
        around = self._around()
        if around is None:
            return
        with self._view_kept():
            leaving, self.pictures = self.pictures, tuple(pictures)
            self._follow_layers()
            around.show(pictures, cells)
            _remove(leaving)

    def _leave(self, event: object = None) -> None:
        if self.pictures:
            assert self._neighbors is not None  # it shows them
            with self._view_kept():
                leaving, self.pictures = self.pictures, ()
                self._neighbors.clear()
                _remove(leaving)

    @contextmanager
    def _view_kept(self) -> Iterator[None]:
        """Show as much of the slice as before, though the canvas gets another size."""
        layer = self._shown()
        zoom = None if layer is None else self._present.zoom(layer)
        yield
        if layer is not None and zoom is not None:
            self._present.zoom_to(layer, zoom)

    # The two other planes

    def _plane_across(self, through: int) -> SlicePicture:
        """A picture of the image on the canvas along another axis; it is zoomed by itself."""
        present, at = self._present, _Enlarged()

        def look() -> Plane | None:
            layer = self._shown()
            return None if layer is None else present.across(layer, through, at.zoom, at.center)

        def place(row: float, column: float) -> None:
            layer, plane = self._shown(), picture.plane
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
        picture.scrolled.connect(lambda steps, _: self._scroll(through, steps))
        picture.windowed.connect(self._display.drag_window)
        return picture

    # Phases

    def _phase(self, place: int, looks: Sequence[Look]) -> SlicePicture:
        """A picture of one of several images: those that are not on the canvas, in their order."""

        def look() -> Plane | None:
            planes = [plane for look in looks if (plane := look()) is not None]
            return planes[place] if place < len(planes) else None

        picture = SlicePicture(look)
        picture.dragged.connect(self._present.pan)
        picture.zoomed.connect(self._present.zoom_by)
        picture.scrolled.connect(lambda steps, _: self.scroll(steps))
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
        assert source is not None  # its phases were found
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

    def scroll(self, steps: int) -> None:
        """Go on by slices on the canvas."""
        layer = self._shown()
        if layer is not None:
            self._scroll(self._present.order(layer)[0], steps)

    def _scroll(self, through: int, steps: int) -> None:
        layer = self._shown()
        if layer is not None:
            self._present.scroll(layer, through, steps)

    # What is followed

    def _shown(self) -> Any:
        """The image on the canvas, or the exam's first."""
        source = self._session.source
        if source is None:
            return None
        picture = self._display.picture
        return first_layer(self._viewer, source) if picture is None else picture

    def _follow_layers(self) -> None:
        for layer in self._viewer.layers:
            if note_of(layer) and key_of(layer) not in self._followed:
                self._followed.add(key_of(layer))
                for name in _LOOKS:
                    if (emitter := getattr(layer.events, name, None)) is not None:
                        emitter.connect(self._renew)

    def _renew(self, event: object = None) -> None:
        if self.pictures:
            self._follow_layers()
        for picture in self.pictures:
            picture.renew()

    def _follow(self, event: object = None) -> None:
        for picture in self.pictures:
            picture.follow()

    def _grid(self) -> Grid | None:
        source = self._session.source
        if source is None:
            return None
        layer = first_layer(self._viewer, source)
        return grid_noted(layer) if layer.ndim == 3 else None


def _remove(pictures: Sequence[SlicePicture]) -> None:
    for picture in pictures:
        picture.deleteLater()


def _caption(layer: Any) -> str:
    """The phase and its time, or the map."""
    note = note_of(layer)
    name = str(note.get("role") or note.get("map") or layer.name)
    time_s = note.get("time_s")
    return name if time_s is None else f"{name} {phase_time_words(time_s)}"
