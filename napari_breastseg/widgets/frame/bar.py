"""The bar at the dock's foot: what is saved and seen, then Previous, Accept and Next."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from ..parts.fields import button

__all__ = ["ActionBar"]


class ActionBar(QWidget):
    """Stands below every step.

    Parameters
    ----------
    *lines : QWidget
        What stands above the buttons, one below the other.
    seen : QWidget
        How much was seen; *Show next* stands beside it.
    ticks : sequence of QWidget
        In a row.
    buttons : sequence of QWidget
        In a row; the middle one takes the room there is.
    show_next : callable
        Goes to the next slice with tumor that was not seen.
    """

    def __init__(
        self,
        *lines: QWidget,
        seen: QWidget,
        ticks: list[QWidget],
        buttons: list[QWidget],
        show_next: Callable[[], object],
    ) -> None:
        super().__init__()
        self.show_next_button = button(
            "Show next", show_next, "Go to the next slice with tumor not seen yet"
        )
        column = QVBoxLayout(self)
        column.setContentsMargins(4, 2, 4, 2)
        column.setSpacing(3)
        for line in lines:
            column.addWidget(line)
        first = QHBoxLayout()
        first.addWidget(seen, 1)
        first.addWidget(self.show_next_button)
        column.addLayout(first)
        for widgets in (ticks, buttons):
            row = QHBoxLayout()
            for widget in widgets:
                row.addWidget(widget, int(widgets is buttons and widget is buttons[1]))
            column.addLayout(row)
        self.offer_next(is_offered=False)

    def offer_next(self, *, is_offered: bool) -> None:
        """Offer *Show next*, or do not."""
        self.show_next_button.setVisible(is_offered)
