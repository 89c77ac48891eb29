"""Which keys a list of cases uses itself, and which it leaves to the dock."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtGui import QKeyEvent

__all__ = ["is_dock_key", "is_enter"]


def is_enter(event: QKeyEvent) -> bool:
    """Whether a key is Enter, alone."""
    is_plain = event.modifiers() in (
        Qt.KeyboardModifier.NoModifier,
        Qt.KeyboardModifier.KeypadModifier,
    )
    return is_plain and event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter)


def is_dock_key(event: QKeyEvent) -> bool:
    """Whether a key may be one of the dock's: Shift with a letter or Enter, or a page key."""
    if event.key() in (Qt.Key.Key_PageDown, Qt.Key.Key_PageUp):
        return True
    is_shift = event.modifiers() == Qt.KeyboardModifier.ShiftModifier
    is_letter = Qt.Key.Key_A <= event.key() <= Qt.Key.Key_Z
    return is_shift and (is_letter or event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter))
