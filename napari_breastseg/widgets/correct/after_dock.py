"""Keeps the work on a mask after the dock was closed: the reader may go on painting in napari."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject
from qtpy.QtWidgets import QWidget

from ..parts.window_end import WindowEnd
from ..state.session import Session
from ..state.sources import Source
from ..state.writing import MaskWriter
from .autosave import Autosave

if TYPE_CHECKING:
    from napari.viewer import Viewer

__all__ = ["AfterDock"]


class AfterDock(QObject):
    """Keeps an exam's mask on this computer until the window closes or a dock takes over.

    Parameters
    ----------
    viewer : napari.Viewer
    source : Source
        The exam that was current.
    window : QWidget
        Owns it.
    """

    def __init__(self, viewer: Viewer, source: Source, window: QWidget) -> None:
        super().__init__(window)
        self._session = Session()
        self._autosave = Autosave(viewer, self._session, MaskWriter(), self)
        self._end = WindowEnd(self)
        self._end.asked.connect(self._autosave.save_now)
        self._end.over.connect(self._stop)
        self._end.watch(window)
        self._session.source = source

    @staticmethod
    def hand_over(window: QWidget, autosave: Autosave) -> None:
        """Let a new dock's autosave go on with what was kept since the last dock was closed."""
        for kept in window.findChildren(AfterDock):
            kept._autosave.save_now()
            if kept._autosave.has_own_work:
                autosave.take_over()
            kept._stop()

    def _stop(self) -> None:
        self._end.stop()
        self._autosave.runner.abandon()
        self._session.source = None
        self.setParent(None)
        self.deleteLater()
