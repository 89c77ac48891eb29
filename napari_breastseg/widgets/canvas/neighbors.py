"""Pictures beside and below the canvas, in the middle of the window: they and it share its room."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtWidgets import QBoxLayout, QGridLayout, QMainWindow, QWidget

__all__ = ["Cell", "Neighbors", "arranged"]

Cell = tuple[int, int, int, int]
"""Row, column, and how many rows and columns it takes."""

_ARRANGEMENTS: dict[int, tuple[tuple[Cell, ...], ...]] = {
    2: (((0, 0, 1, 1), (0, 1, 1, 1)), ((0, 0, 1, 1), (1, 0, 1, 1))),
    3: (
        ((0, 0, 2, 1), (0, 1, 1, 1), (1, 1, 1, 1)),
        ((0, 0, 1, 2), (1, 0, 1, 1), (1, 1, 1, 1)),
        tuple((0, n, 1, 1) for n in range(3)),
        tuple((n, 0, 1, 1) for n in range(3)),
    ),
    4: (
        ((0, 0, 1, 1), (0, 1, 1, 1), (1, 0, 1, 1), (1, 1, 1, 1)),
        tuple((0, n, 1, 1) for n in range(4)),
        tuple((n, 0, 1, 1) for n in range(4)),
    ),
}


def arranged(n: int, room: tuple[int, int], shape: tuple[float, float]) -> tuple[Cell, ...]:
    """Cells for the canvas, first, and its neighbors: the smallest picture is as large as can be.

    Parameters
    ----------
    n : int
        Pictures, 2 to 4, with the canvas's own.
    room : tuple of int
        Height and width of all.
    shape : tuple of float
        Height and width of what they show.

    Examples
    --------
    >>> arranged(2, (600, 700), (300, 300))
    ((0, 0, 1, 1), (0, 1, 1, 1))
    >>> arranged(2, (600, 700), (150, 400))  # wide pictures stand one above the other
    ((0, 0, 1, 1), (1, 0, 1, 1))
    """

    def smallest(cells: tuple[Cell, ...]) -> float:
        rows = max(row + height for row, _, height, _ in cells)
        columns = max(column + width for _, column, _, width in cells)
        return min(
            min(room[0] / rows * height / shape[0], room[1] / columns * width / shape[1])
            for _, _, height, width in cells
        )

    return max(_ARRANGEMENTS[n], key=smallest)


class Neighbors:
    """Puts widgets around the canvas of a window, and takes them away.

    napari's part of the window keeps its parent: only layouts are nested, so the canvas and what
    it has drawn stay as they are.

    Parameters
    ----------
    window : QMainWindow
    """

    def __init__(self, window: QMainWindow) -> None:
        self._row: QBoxLayout = window.centralWidget().layout()
        self._main: QWidget = self._row.itemAt(0).widget()
        self._grid = QGridLayout()
        self._grid.setSpacing(3)
        self._row.removeWidget(self._main)
        self._row.insertLayout(0, self._grid)
        self._grid.addWidget(self._main, 0, 0)
        self._shown: tuple[QWidget, ...] = ()

    @property
    def room(self) -> tuple[int, int]:
        """Height and width of all."""
        middle = self._row.parentWidget()
        return middle.height(), middle.width()

    def show(self, widgets: Sequence[QWidget], cells: Sequence[Cell]) -> None:
        """Show widgets, instead of those shown before.

        Parameters
        ----------
        widgets : sequence of QWidget
        cells : sequence of Cell
            Of the canvas, and of each widget.
        """
        middle = self._row.parentWidget()
        middle.setUpdatesEnabled(False)  # the canvas is drawn once, in its new size
        self._empty()
        self._shown = tuple(widgets)
        for widget, cell in zip((self._main, *widgets), cells, strict=True):
            self._grid.addWidget(widget, *cell)
            widget.show()
        for row, column, height, width in cells:
            for n in range(row, row + height):
                self._grid.setRowStretch(n, 1)
            for n in range(column, column + width):
                self._grid.setColumnStretch(n, 1)
        self._row.activate()  # the canvas has its new size when this returns
        middle.setUpdatesEnabled(True)

    def clear(self) -> None:
        """Let the canvas have all the room."""
        self._empty()
        self._row.activate()

    def _empty(self) -> None:
        for widget in self._shown:
            widget.hide()
            self._grid.removeWidget(widget)
        self._shown = ()
        self._grid.addWidget(self._main, 0, 0)
        for n in range(4):
            self._grid.setRowStretch(n, 0)
            self._grid.setColumnStretch(n, 0)

    def take_down(self) -> None:
        """Leave the window as napari made it."""
        for widget in self._shown:
            widget.hide()
            widget.deleteLater()
        self._shown = ()
        self._grid.removeWidget(self._main)
        self._row.removeItem(self._grid)
        self._row.insertWidget(0, self._main)
        self._grid.deleteLater()
