"""Words beside the mouse pointer while a button is held; Qt's own tooltip goes at every press."""

from __future__ import annotations

from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QCursor
from qtpy.QtWidgets import QLabel

__all__ = ["PointerNote"]

_BESIDE = QPoint(18, 18)
"""From the pointer, in pixels of the screen."""

_STYLE = "background: #202428; color: white; border: 1px solid #808890; padding: 3px;"


class PointerNote:
    """A few lines beside the pointer."""

    def __init__(self) -> None:
        self._label: QLabel | None = None

    @property
    def text(self) -> str:
        """What is shown; empty where nothing is."""
        return "" if self._label is None else str(self._label.text())

    def show(self, text: str) -> None:
        """Show words where the pointer is now."""
        if self._label is None:
            self._label = QLabel(None, Qt.WindowType.ToolTip)
            self._label.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
            self._label.setAttribute(Qt.WidgetAttribute.WA_ShowWithoutActivating)
            self._label.setStyleSheet(_STYLE)
        self._label.setText(text)
        self._label.adjustSize()
        self._label.move(QCursor.pos() + _BESIDE)
        self._label.show()

    def hide(self) -> None:
        """Show nothing."""
        if self._label is not None:
            self._label.close()
            self._label = None  # nothing else owns it: it is gone
