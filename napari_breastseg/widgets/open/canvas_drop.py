"""What is dropped on the canvas opens as in the Open step, without napari's question by what.

napari's own reader takes any file and folder, so that it would ask each time which of the two is
meant. With Alt it still asks, with Shift it still makes a stack.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import QApplication, QWidget

from ... import formats
from ..parts.manners import canvas_of

__all__ = ["CanvasDrop"]


class CanvasDrop(QObject):
    """Takes drops of exams from the part of a window that napari's canvas stands in.

    Parameters
    ----------
    open_one : callable
        Opens an exam by its path, in a job.
    open_many : callable
        Opens several paths at once.
    parent : QObject
    """

    def __init__(
        self,
        open_one: Callable[[Path], object],
        open_many: Callable[[list[Path]], object],
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._open_one = open_one
        self._open_many = open_many
        self._taker: QWidget | None = None

    def follow(self, window: QWidget) -> None:
        """Take the drops on a window's canvas."""
        taker = canvas_of(window)
        while taker is not None and not taker.acceptDrops():
            taker = taker.parentWidget()
        if taker is not None and self._taker is None:
            self._taker = taker
            taker.installEventFilter(self)

    def take_down(self) -> None:
        """Leave drops to napari again."""
        if self._taker is not None:
            self._taker.removeEventFilter(self)
            self._taker = None

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Open what is dropped where all of it holds exams."""
        if watched is not self._taker or event.type() != QEvent.Type.Drop:
            return False
        if QApplication.keyboardModifiers() != Qt.KeyboardModifier.NoModifier:
            return False
        urls = event.mimeData().urls()
        paths = [Path(url.toLocalFile()) for url in urls if url.isLocalFile()]
        if not paths or len(paths) < len(urls) or not all(map(formats.holds_exam, paths)):
            return False
        event.acceptProposedAction()
        if len(paths) == 1:
            self._open_one(paths[0])
        else:
            self._open_many(paths)
        return True
