"""The list of keys, and menus for actions without a button.

Both are read from the dock's KEYS and the docstrings of its actions: there is no second list.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QDialog,
    QFormLayout,
    QLabel,
    QLineEdit,
    QMenu,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from .fields import scrolled

__all__ = [
    "MOUSE_ONLY",
    "ShortcutSheet",
    "action_of",
    "flat_button",
    "key_words",
    "menu_button",
    "title_of",
]

MOUSE_ONLY = ("layouts.", "prior.", "display.", "curve.")
"""Actions without a button in a step; the View menu shows them."""


def action_of(dock: Any, action: str) -> Callable[[], object]:
    """The function of an action, such as "segment" or "display.next_picture"."""
    found: Callable[[], object] = attrgetter(action)(dock)
    return found


def title_of(dock: Any, action: str) -> str:
    """What an action does, in a line: the first one of its docstring."""
    return (action_of(dock, action).__doc__ or action).strip().splitlines()[0].rstrip(".")


def key_words(key: str) -> str:
    """A key as printed on a keyboard.

    Examples
    --------
    >>> key_words("Shift-Enter"), key_words("W"), key_words("Shift-Up")
    ('Shift + Enter', 'W', 'Shift + ↑')
    """
    arrows = {"Up": "↑", "Down": "↓", "Left": "←", "Right": "→"}
    return " + ".join(arrows.get(part, part) for part in key.split("-"))


class ShortcutSheet(QDialog):
    """All keys of the dock and what they do; typing filters them."""

    def __init__(self, dock: QWidget, keys: Mapping[str, str]) -> None:
        super().__init__(dock)
        self.setWindowTitle("Breast MRI: keyboard shortcuts")
        self.setModal(False)
        self.search = QLineEdit()
        self.search.setPlaceholderText("Search")
        self.search.setClearButtonEnabled(True)
        self.search.textChanged.connect(self._narrow)
        page = QWidget()
        self._form = QFormLayout(page)
        self._form.setHorizontalSpacing(24)
        self._form.setVerticalSpacing(4)
        self.rows: list[tuple[QLabel, QLabel]] = []
        for key, action in keys.items():
            name, what = QLabel(key_words(key)), QLabel(title_of(dock, action))
            name.setStyleSheet("QLabel { font-weight: bold; }")
            self._form.addRow(name, what)
            self.rows.append((name, what))
        column = QVBoxLayout(self)
        column.addWidget(self.search)
        column.addWidget(scrolled(page), 1)
        column.addWidget(QLabel("napari's own keys: Ctrl + Alt + /"))
        self.resize(max(440, page.sizeHint().width() + 60), min(720, page.sizeHint().height() + 90))

    def _narrow(self, text: str) -> None:
        for name, what in self.rows:
            is_wanted = text.lower() in f"{name.text()} {what.text()}".lower()
            name.setVisible(is_wanted)
            what.setVisible(is_wanted)


def flat_button(title: str, tooltip: str) -> QToolButton:
    """A button of words alone."""
    button = QToolButton()
    button.setText(title)
    button.setToolTip(tooltip)
    button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextOnly)
    # The style's own arrow would cover the text.
    button.setStyleSheet(
        "QToolButton { padding: 3px 6px; } QToolButton::menu-indicator { image: none; }"
    )
    return button


def menu_button(
    title: str, tooltip: str, rows: Mapping[str, tuple[str, Callable[[], object]]]
) -> QToolButton:
    """A button that opens a menu.

    Parameters
    ----------
    title, tooltip : str
    rows : mapping of str to (str, callable)
        Text of each entry to its key, "" for none, and its function.
    """
    button = flat_button(title, tooltip)
    button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
    menu = QMenu(button)
    for words, (key, act) in rows.items():
        # Qt shows what follows a tab as the key; the key itself is the viewer's.
        entry = menu.addAction(f"{words}\t{key_words(key)}" if key else words)
        entry.triggered.connect(lambda _=False, act=act: act())
    button.setMenu(menu)
    return button
