"""When a window is asked to close, and when it does: between the two napari may ask, and stay."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, QTimer, Signal
from qtpy.QtWidgets import QWidget

__all__ = ["WindowEnd"]


class WindowEnd(QObject):
    """Watches for the end of a window.

    Parameters
    ----------
    parent : QObject
    """

    asked = Signal()
    """The window is about to be closed, unless the user stays."""

    over = Signal()
    """The window was closed."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._window: QWidget | None = None
        self._is_closing = False
        self._stayed = QTimer(self, singleShot=True, interval=0)
        self._stayed.timeout.connect(self._on_stayed)

    def watch(self, window: QWidget) -> None:
        """Watch a window from now on."""
        self._window = window
        window.installEventFilter(self)

    def stop(self) -> None:
        """Watch no longer."""
        if self._window is not None:
            self._window.removeEventFilter(self)
            self._window = None

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Tell of the end; no event is kept from the window."""
        kind = event.type()
        if kind == QEvent.Type.Close:
            self.asked.emit()
            if self._window is not None and self._window.isHidden():
                self.over.emit()  # nothing more will be told
            else:
                self._is_closing = True
                self._stayed.start()
        elif kind == QEvent.Type.Hide and self._is_closing:
            self.over.emit()
        return False

    def _on_stayed(self) -> None:
        self._is_closing = False
