"""The bar at the dock's foot: what is saved and seen, then Previous, Accept and Next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from ..canvas.view import current_slice, go_to_slice
from ..parts.fields import button
from ..state.session import Session

if TYPE_CHECKING:
    from napari.viewer import Viewer

__all__ = ["ActionBar"]


class ActionBar(QWidget):
    """Stands below every step.

    Parameters
    ----------
    viewer : napari.Viewer
    session : Session
    unseen : callable
        Gives the slices along z with tumor that were not seen.
    line : QWidget
        What stands above the buttons.
    seen : QWidget
        How much was seen; *Show next* stands beside it.
    ticks : sequence of QWidget
        In a row.
    buttons : sequence of QWidget
        In a row; the middle one takes the room there is.
    """

    def __init__(
        self,
        viewer: Viewer,
        session: Session,
        unseen: Callable[[], Sequence[int]],
        *,
        line: QWidget,
        seen: QWidget,
        ticks: Sequence[QWidget],
        buttons: Sequence[QWidget],
    ) -> None:
        super().__init__()
        self._viewer = viewer
        self._session = session
        self._unseen = unseen
        self.show_next_button = button(
            "Show next", self.show_next, "Go to the next slice with tumor not seen yet"
        )
        column = QVBoxLayout(self)
        column.setContentsMargins(4, 2, 4, 2)
        column.setSpacing(3)
        column.addWidget(line)
        first, options, walk = QHBoxLayout(), QHBoxLayout(), QHBoxLayout()
        first.addWidget(seen, 1)
        first.addWidget(self.show_next_button)
        for tick in ticks:
            options.addWidget(tick)
        for place, one in enumerate(buttons):
            walk.addWidget(one, int(place == len(buttons) // 2))
        for row in (first, options, walk):
            column.addLayout(row)
        self.refresh()

    def show_next(self) -> None:
        """Go to the next slice with tumor that was not seen, after the last one the first."""
        unseen = self._unseen()
        seen = current_slice(self._viewer, self._session.source)
        if unseen:
            here = seen[1] if seen is not None and seen[0] == 0 else -1
            after = [z for z in unseen if z > here]
            go_to_slice(self._viewer, self._session.source, (after or unseen)[0])

    def refresh(self) -> None:
        """Offer *Show next* where there is one."""
        self.show_next_button.setVisible(bool(self._unseen()))
