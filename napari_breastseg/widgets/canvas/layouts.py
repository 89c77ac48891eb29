"""Layouts: axial alone, with the two other planes below it, or the phases side by side.

The pictures around the canvas are drawn by Qt from the arrays of its layers. No layer and no
canvas is made for them: both take a second each, and again as long to remove.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QMainWindow, QWidget

from ..parts.jobs import show_info
from ..state.session import Session
from ..state.sources import key_of, note_of
from .display import Display
from .exam_pictures import ExamPictures
from .neighbors import Cell, Neighbors, arranged
from .present import Present
from .slice_picture import SlicePicture

if TYPE_CHECKING:
    from napari.viewer import Viewer

__all__ = ["Layouts"]

MOST_PHASES = 4
_PLANES: tuple[Cell, ...] = ((0, 0, 1, 2), (1, 0, 1, 1), (1, 1, 1, 1))
_LOOKS = ("visible", "contrast_limits", "colormap", "gamma", "opacity", "contour", "set_data")
"""Events of a layer that change how it is drawn; those that it does not have are left out."""


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
        self.present = Present(viewer, session, display)
        self._made = ExamPictures(viewer, session, display, self.present)
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
        for event in (camera.center, camera.zoom):
            event.connect(self._follow)
        viewer.cursor.events.position.connect(self._follow_pointer)

    def add_to(self, window: QWidget) -> None:
        """Take the window whose canvas gets neighbors."""
        if isinstance(window, QMainWindow):
            self._window = window

    def show_axial(self) -> None:
        """Layout: one view."""
        self._leave()

    def show_orthogonal(self) -> None:
        """Layout: axial and the two other planes."""
        pictures = self._made.other_planes()
        if not pictures:
            self._leave()
            show_info("This layout needs a volume of several slices.")
            return
        self._show(pictures, _PLANES)

    def show_phases(self) -> None:
        """Layout: up to four phases side by side."""
        pictures = self._made.other_phases()
        if not pictures:
            self._leave()
            show_info("This layout needs an exam of several phases.")
            return
        self._show(pictures, arranged(1 + len(pictures), self.room, self._shape()))

    def show_beside(self, picture: SlicePicture) -> None:
        """Show a picture of something else beside the canvas."""
        self._show([picture], arranged(2, self.room, self._shape()))

    @property
    def room(self) -> tuple[int, int]:
        """Height and width of the canvas and its neighbors together."""
        around = self._around()
        return (1, 1) if around is None else around.room

    def _shape(self) -> tuple[float, float]:
        layer = self.present.shown
        return (1.0, 1.0) if layer is None else self.present.fitted(layer)

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
        for event in (camera.center, camera.zoom):
            event.disconnect(self._follow)
        self._viewer.cursor.events.position.disconnect(self._follow_pointer)

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
        layer = self.present.shown
        zoom = None if layer is None else self.present.zoom(layer)
        yield
        if layer is not None and zoom is not None:
            self.present.zoom_to(layer, zoom)

    # What is followed

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

    def _follow_pointer(self, event: object = None) -> None:
        self.present.has_pointer = True
        self._follow()

    def _follow(self, event: object = None) -> None:
        for picture in self.pictures:
            picture.follow()


def _remove(pictures: Sequence[SlicePicture]) -> None:
    for picture in pictures:
        picture.deleteLater()
