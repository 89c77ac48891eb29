"""What is changed in napari's own window: found when it is there, and left as it was."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer
from qtpy.QtWidgets import QWidget

if TYPE_CHECKING:
    from napari.viewer import Viewer

__all__ = ["WindowPart"]


class WindowPart(QObject):
    """Changes widgets of napari in a window, and again when napari has made them anew.

    Parameters
    ----------
    viewer : napari.Viewer
    parent : QObject
    events : iterable
        Of the viewer: after them the widgets may be others.
    """

    def __init__(self, viewer: Viewer, parent: QObject, events: Iterable[Any]) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._window: QWidget | None = None
        self._soon = QTimer(self, singleShot=True, interval=0)  # when napari has made them
        self._soon.timeout.connect(self._change)
        for event in events:
            event.connect(self._on_event)

    def add_to(self, window: QWidget) -> None:
        """Change the widgets of a window."""
        self._window = window
        self._change()

    def take_down(self) -> None:
        """Leave them as napari made them."""
        self._soon.stop()
        self._restore()
        self._window = None

    def _change(self) -> None:
        raise NotImplementedError

    def _restore(self) -> None:
        raise NotImplementedError

    def _found(self, kind: str) -> list[Any]:
        """Widgets of a class of napari, which has no public name."""
        if self._window is None:
            return []
        found = self._window.findChildren(QWidget)
        return [widget for widget in found if type(widget).__name__ == kind]

    def _on_event(self, event: object = None) -> None:
        if self._window is not None:
            self._soon.start()
