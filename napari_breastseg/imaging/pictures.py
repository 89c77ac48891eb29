"""Pictures of slices in radiological orientation, with outlines and orientation letters.

The patient's right is on the left, front or head at the top. Colors are those of Okabe and Ito,
which color-blind people can tell apart. Imports matplotlib inside the functions, and never pyplot,
whose state is global.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.atomic import write_bytes
from ..core.region import tight_box
from ..core.volume import Exam, Grid, Volume

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

__all__ = [
    "PREDICTION_COLOR",
    "Outline",
    "Panel",
    "panel_figure",
    "row_figure",
    "save_picture",
    "shown_role",
    "slice_picture",
]

PREDICTION_COLOR = "#E69F00"
_FRAME_COLOR = "#F0E442"


def shown_role(exam: Exam) -> str:
    """The phase to show first: the first post-contrast phase."""
    return next((role for role in exam.phases if role != "pre"), next(iter(exam.phases)))


@dataclass(frozen=True)
class Outline:
    """A mask (Z, Y, X) to draw as a line, with its color and matplotlib line style."""

    mask: NDArray[np.bool_]
    color: str
    style: str = "solid"


@dataclass(frozen=True)
class Panel:
    """One of several pictures side by side: its title and its outlines."""

    title: str
    outlines: tuple[Outline, ...] = ()


@dataclass(frozen=True)
class _View:
    """How a (Y, X) slice is turned for display, and the letters at its sides."""

    is_transposed: bool
    flips: tuple[int, ...]
    aspect: float
    left: str = ""
    right: str = ""
    top: str = ""
    bottom: str = ""

    def turn(self, array: NDArray[Any]) -> NDArray[Any]:
        return np.flip(array.T if self.is_transposed else array, self.flips)


def slice_picture(
    axes: Axes, image: Volume, z: int, mask: NDArray[np.bool_], color: str = PREDICTION_COLOR
) -> None:
    """Draw the part of a slice around a mask, with its outline and orientation letters.

    Parameters
    ----------
    axes : matplotlib Axes
    image : Volume
    z : int
        The slice.
    mask : array of bool, shape (Y, X)
        What to outline; if empty, the whole slice is shown.
    color : str
        Of the outline.
    """
    view = _view(image.grid)
    slice_ = view.turn(np.asarray(image.data[z], dtype=np.float32))
    shown = view.turn(mask)
    rows, columns = _window(shown, view.aspect)
    low, high = _contrast_limits(slice_[rows, columns])
    axes.imshow(slice_, cmap="gray", vmin=low, vmax=high, aspect=view.aspect)
    _draw_outline(axes, shown, Outline(shown, color))
    axes.set(
        ylim=(rows.stop - 0.5, rows.start - 0.5),
        xlim=(columns.start - 0.5, columns.stop - 0.5),
        xticks=[],
        yticks=[],
    )
    _draw_letters(axes, view)


def panel_figure(image: Volume, z: int, panels: Sequence[Panel], title: str) -> Figure:
    """The same slice once per panel, side by side, framed and enlarged around the outlines.

    Parameters
    ----------
    image : Volume
    z : int
        The slice.
    panels : sequence of Panel
        The first shows the whole slice with a frame around the part that the others enlarge.
    title : str
        Above all panels; "" for none.
    """
    return row_figure([(image, z, panels, title)])


def row_figure(rows: Sequence[tuple[Volume, int, Sequence[Panel], str]]) -> Figure:
    """Rows of panels, one above the other; each row is made as `panel_figure` says.

    Parameters
    ----------
    rows : sequence of (Volume, int, sequence of Panel, str)
        Image, slice, panels and title of each row.
    """
    from matplotlib.figure import Figure

    panel_inches, heights = 3.2, []
    for image, _, _, title in rows:
        view = _view(image.grid)
        shape = view.turn(np.asarray(image.data[0])).shape
        height = shape[0] * view.aspect / shape[1]
        heights.append(panel_inches * min(max(height, 0.4), 2.0) + (0.75 if title else 0.35))
    width = panel_inches * max(len(panels) for _, _, panels, _ in rows)
    figure = Figure(figsize=(width, sum(heights)), layout="constrained", facecolor="white")
    parts = figure.subfigures(len(rows), 1, squeeze=False, height_ratios=heights)[:, 0]
    for part, row in zip(parts, rows, strict=True):
        _draw_panels(part, *row)
    return figure


def _draw_panels(
    figure: SubFigure, image: Volume, z: int, panels: Sequence[Panel], title: str
) -> None:
    from matplotlib.patches import Rectangle

    view = _view(image.grid)
    slice_ = view.turn(np.asarray(image.data[z], dtype=np.float32))
    low, high = _contrast_limits(slice_)
    union = np.zeros(slice_.shape, bool)
    for panel in panels:
        for outline in panel.outlines:
            union |= view.turn(outline.mask[z])
    rows, columns = _window(union, view.aspect)
    is_zoomed = (rows.stop - rows.start, columns.stop - columns.start) != slice_.shape

    if title:
        figure.suptitle(title, fontsize=10, parse_math=False)
    for index, (axes, panel) in enumerate(
        zip(figure.subplots(1, len(panels)), panels, strict=True)
    ):
        axes.imshow(slice_, cmap="gray", vmin=low, vmax=high, aspect=view.aspect)
        for outline in panel.outlines:
            _draw_outline(axes, view.turn(outline.mask[z]), outline)
        if is_zoomed and index == 0:
            corner = (columns.start - 0.5, rows.start - 0.5)
            width, depth = columns.stop - columns.start, rows.stop - rows.start
            axes.add_patch(
                Rectangle(corner, width, depth, fill=False, edgecolor=_FRAME_COLOR, linewidth=1)
            )
            limits = (slice(0, slice_.shape[0]), slice(0, slice_.shape[1]))
        else:
            limits = (rows, columns)
        axes.set(
            ylim=(limits[0].stop - 0.5, limits[0].start - 0.5),
            xlim=(limits[1].start - 0.5, limits[1].stop - 0.5),
            xticks=[],
            yticks=[],
        )
        color = panel.outlines[0].color if panel.outlines else "black"
        axes.set_title(panel.title, fontsize=9, loc="left")
        for spine in axes.spines.values():
            spine.set(color=color, linewidth=2 if panel.outlines else 0.5)
        _draw_letters(axes, view)


def _draw_outline(axes: Axes, mask: NDArray[np.bool_], outline: Outline) -> None:
    from matplotlib.patheffects import withStroke

    if not mask.any():
        return
    padded = np.pad(mask, 1).astype(float)
    x, y = np.arange(padded.shape[1]) - 1, np.arange(padded.shape[0]) - 1
    is_solid = outline.style == "solid"
    lines = axes.contour(
        x,
        y,
        padded,
        levels=[0.5],
        colors=[outline.color],
        linewidths=1.6 if is_solid else 1.2,
        linestyles=outline.style,
    )
    if is_solid:
        lines.set(path_effects=[withStroke(linewidth=2.8, foreground="black", alpha=0.6)])


def _draw_letters(axes: Axes, view: _View) -> None:
    from matplotlib.patheffects import withStroke

    places = (
        (0.02, 0.5, view.left, "left", "center"),
        (0.98, 0.5, view.right, "right", "center"),
        (0.5, 0.98, view.top, "center", "top"),
        (0.5, 0.02, view.bottom, "center", "bottom"),
    )
    for x, y, letter, horizontal, vertical in places:
        axes.text(
            x,
            y,
            letter,
            transform=axes.transAxes,
            color="white",
            fontsize=8,
            ha=horizontal,
            va=vertical,
            path_effects=[withStroke(linewidth=2, foreground="black")],
        )


def _view(grid: Grid) -> _View:
    _, row_size, column_size = grid.voxel_size
    letters = grid.end_letters
    if letters is None:
        return _View(False, (), row_size / column_size)
    rows, columns = letters[1], letters[2]
    # Left and right run across, head and feet run down; front and back take what is free.
    is_transposed = "R" in rows or "H" in columns
    if is_transposed:
        rows, columns = columns, rows
        row_size, column_size = column_size, row_size
    flips = []
    if rows[0] in "PF":
        flips.append(0)
        rows = (rows[1], rows[0])
    if columns[0] in "LP":
        flips.append(1)
        columns = (columns[1], columns[0])
    return _View(is_transposed, tuple(flips), row_size / column_size, columns[0], columns[1], *rows)


def _window(mask: NDArray[np.bool_], aspect: float) -> tuple[slice, slice]:
    """Rows and columns around a mask, square on screen, or the whole slice if the mask is large."""
    whole = (slice(0, mask.shape[0]), slice(0, mask.shape[1]))
    box = tight_box(mask[None])
    if box is None:
        return whole
    _, rows, columns = box
    extent = max((rows.stop - rows.start) * aspect, float(columns.stop - columns.start))
    side = max(extent * 2.5, extent + 40, 64)
    if side > 0.75 * min(mask.shape[0] * aspect, mask.shape[1]):
        return whole
    spans = []
    for used, length, span in (
        (rows, mask.shape[0], round(side / aspect)),
        (columns, mask.shape[1], round(side)),
    ):
        start = (used.start + used.stop - span) // 2
        start = min(max(start, 0), length - span)
        spans.append(slice(start, start + span))
    return (spans[0], spans[1])


def _contrast_limits(slice_: NDArray[np.float32]) -> tuple[float, float]:
    finite = slice_[np.isfinite(slice_)]
    if finite.size == 0:
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(finite, [1, 99.7]))
    return (low, high) if high > low else (float(finite.min()), float(finite.max()) + 1e-6)


_UNTOLD = {
    "pdf": {"CreationDate": None},
    "png": {"Software": None},
    "svg": {"Creator": None, "Date": None},
}


def save_picture(figure: Figure, path: Path, dpi: float = 120) -> None:
    """Write a figure as PNG, PDF or SVG, as the file's ending says.

    Nothing in the file says when it was made.

    Raises
    ------
    StorageError
        When the file cannot be written.
    """
    kind = path.suffix[1:].lower()
    # Not straight to the disk: there a PDF that fails half-way ends in errors of matplotlib's own.
    drawn = io.BytesIO()
    figure.savefig(drawn, format=kind, dpi=dpi, metadata=_UNTOLD[kind])
    write_bytes(path, drawn.getvalue())
