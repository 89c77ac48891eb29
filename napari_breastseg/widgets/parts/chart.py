"""A small chart of a panel: matplotlib in the theme's colors, values on hover, saved as a picture.

matplotlib draws into an image, which is painted here: its own Qt canvas would swallow the wheel
over a panel that scrolls. pyplot, which keeps every figure and chooses a toolkit, is never used.
Importing matplotlib takes half a second, so a thread does it when the first chart is seen.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from napari.qt.threading import create_worker
from qtpy.QtCore import QEvent, QPointF, Qt, QTimer
from qtpy.QtGui import QContextMenuEvent, QImage, QMouseEvent, QPainter, QPaintEvent
from qtpy.QtWidgets import QFileDialog, QMenu, QSizePolicy, QToolTip, QWidget

from ...imaging.pictures import save_picture
from .jobs import show, show_info

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["SMALL", "Chart", "Inks", "label_ends"]

SMALL = 8
"""Text size in points."""

_DPI, _SAVED_DPI = 96, 300
_REDRAW_S = 0.4
"""Least time between two drawings of 20 ms each: a training on a GPU yields far more often."""

_LOADING_MS = 50
_NEAR_PX = 12.0
_FORMATS = "PNG picture (*.png);;SVG drawing (*.svg);;PDF page (*.pdf)"


class Inks(NamedTuple):
    """Colors of text, scales and background, as matplotlib takes them."""

    text: Any
    faint: Any
    background: Any


_PAPER = Inks(text="black", faint="#00000046", background="white")


class Chart(QWidget):
    """Base of the charts: a subclass keeps values, plots them in `plot` and calls `redraw`.

    Parameters
    ----------
    name : str
        What is shown, as a file name.
    height : int
        In pixels.
    margins : tuple of int
        Pixels left, above, right and below the axes.
    """

    def __init__(self, name: str, height: int, margins: tuple[int, int, int, int]) -> None:
        super().__init__()
        self._name = name
        self._margins = margins
        self._spots: list[tuple[Any, Sequence[str]]] = []  # pixels from the lower left, and texts
        self._image: QImage | None = None
        self._drawn_for: object = None
        self._drawn_at = 0.0
        self.rest_s = _REDRAW_S
        """Least time between two drawings."""

        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._draw_again)
        self.setFixedHeight(height)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setMouseTracking(True)
        self.setToolTip("Point at a mark to read its value; right-click to save the chart")

    def plot(self, axes: Axes, inks: Inks) -> None:
        """Plot the values; `tell` the points that have something to say."""
        raise NotImplementedError

    def tell(
        self, axes: Axes, x: Sequence[float], y: Sequence[float], texts: Sequence[str]
    ) -> None:
        """Show a text when the mouse is at a point, NaN being none; the axes have their limits."""
        if len(x):
            self._spots.append((axes.transData.transform(np.column_stack([x, y])), texts))

    def redraw(self) -> None:
        """Draw soon, unless nobody can see it or it was drawn a moment ago."""
        if not self._timer.isActive():
            wait = self._drawn_at + self.rest_s - time.monotonic()
            self._timer.start(max(0, round(1000 * wait)))

    def save(self, path: Path) -> None:
        """Write the chart as a picture in a thread, black on white, in the format of the ending."""
        figure = self._figure(_PAPER)
        worker = create_worker(_write, figure, path, _start_thread=False, _ignore_errors=True)
        worker.returned.connect(show_info)
        worker.errored.connect(show)
        worker.start()
        self._draw_again()  # the points told were the picture's

    def text_at(self, place: QPointF) -> str:
        """What the nearest point has to say, "" where none is near a place in this widget."""
        ratio = self.devicePixelRatioF()
        at = np.array([place.x(), self.height() - place.y()]) * ratio
        nearest, text = _NEAR_PX * ratio, ""
        for places, texts in self._spots:
            distances = np.nan_to_num(np.hypot(*(places - at).T), nan=np.inf)
            index = int(distances.argmin())
            if distances[index] < nearest:
                nearest, text = float(distances[index]), texts[index]
        return text

    def event(self, event: QEvent) -> bool:
        """Leave the tooltip of a point in place when the mouse rests on it."""
        if event.type() == QEvent.Type.ToolTip and self.text_at(QPointF(event.pos())):
            return True
        return bool(super().event(event))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Show the value of the point under the mouse."""
        place = event.pos()
        QToolTip.showText(self.mapToGlobal(place), self.text_at(QPointF(place)), self)

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        """Offer to save the chart."""
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.addAction("Save as a picture…").triggered.connect(lambda: self._ask_and_save())
        menu.popup(event.globalPos())

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the chart, drawn anew where values, size or theme have changed."""
        if _matplotlib().is_alive():
            self._timer.start(_LOADING_MS)
            return
        palette, ratio = self.palette(), self.devicePixelRatioF()
        text = palette.windowText().color().getRgbF()
        inks = Inks(text, (*text[:3], 0.27), palette.window().color().getRgbF())
        wanted = (self.width(), self.height(), ratio, inks)
        if self._drawn_for != wanted:
            canvas: Any = self._figure(inks, ratio).canvas
            canvas.draw()
            pixels = np.asarray(canvas.buffer_rgba())
            height, width = pixels.shape[:2]
            image = QImage(pixels.data, width, height, QImage.Format.Format_RGBA8888).copy()
            image.setDevicePixelRatio(ratio)
            self._image, self._drawn_for, self._drawn_at = image, wanted, time.monotonic()
        painter = QPainter(self)
        painter.drawImage(0, 0, self._image)
        painter.end()

    def _draw_again(self) -> None:
        self._drawn_for = None
        self.update()

    def _figure(self, inks: Inks, ratio: float = 1.0) -> Figure:
        """The chart as a figure of this widget's size."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        left, top, right, bottom = self._margins
        width, height = max(self.width(), left + right + 20), self.height()
        inner = (width - left - right) / width, (height - top - bottom) / height
        figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI * ratio)
        FigureCanvasAgg(figure)
        figure.patch.set_visible(inks is _PAPER)
        axes = figure.add_axes((left / width, bottom / height, *inner), facecolor="none")
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0, pad=4, labelsize=SMALL, colors=inks.text)
        axes.grid(axis="y", color=inks.faint, clip_on=False)
        self._spots.clear()
        self.plot(axes, inks)
        return figure

    def _ask_and_save(self) -> None:
        start = str(Path.cwd() / f"{self._name}.png")
        chosen, kind = QFileDialog.getSaveFileName(self, "Save the chart", start, _FORMATS)
        if not chosen:
            return
        path = Path(chosen)
        if path.suffix.lower() not in (".png", ".svg", ".pdf"):
            path = path.with_name(path.name + kind[kind.index(".") : kind.index(")")])
        self.save(path)


def label_ends(axes: Axes, first: str, last: str) -> None:
    """Label both ends of the x axis, within its length."""
    axes.set_xticks(axes.get_xlim(), [first, last])
    start, end = axes.get_xticklabels()
    start.set_horizontalalignment("left")
    end.set_horizontalalignment("right")


def _write(figure: Figure, path: Path) -> str:
    save_picture(figure, path, _SAVED_DPI)
    return f"Chart saved as {path.name}."


@cache
def _matplotlib() -> threading.Thread:
    """The thread that imports matplotlib, started by the first chart that is painted."""

    def load() -> None:
        import matplotlib.backends.backend_agg
        import matplotlib.figure  # noqa: F401

    thread = threading.Thread(target=load, name="matplotlib", daemon=True)
    thread.start()
    return thread
