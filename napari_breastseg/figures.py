"""Pictures of cases and curves, as PNG files.

Slices are turned the way radiologists look at them (the patient's right on the left, front or head
at the top) and carry the letters of their sides. Colors are those of Okabe and Ito, which people
with color-blindness tell apart. Imports matplotlib inside the functions and never pyplot, whose
state is global. Imports `atomic`, `scores` and `volume`; no torch, no Qt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .atomic import atomic_path
from .scores import Curves, Reliability
from .volume import Grid, LabelMap, Volume

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "case_picture",
    "curves_picture",
    "key_slice",
    "loop_picture",
    "reliability_picture",
    "slice_picture",
]

REFERENCE_COLOR = "#56B4E9"
PREDICTION_COLOR = "#E69F00"
CORRECTED_COLOR = "#CC79A7"
_FRAME_COLOR = "#F0E442"
_LONGEST_NAME = 64


@dataclass(frozen=True)
class _Outline:
    mask: NDArray[np.bool_]
    color: str
    style: str = "solid"


@dataclass(frozen=True)
class _Panel:
    title: str
    outlines: tuple[_Outline, ...] = ()


@dataclass(frozen=True)
class _View:
    """How a (Y, X) slice is turned for the eye, and what stands at its sides."""

    is_transposed: bool
    flips: tuple[int, ...]
    aspect: float
    left: str = ""
    right: str = ""
    top: str = ""
    bottom: str = ""

    def turn(self, array: NDArray[Any]) -> NDArray[Any]:
        return np.flip(array.T if self.is_transposed else array, self.flips)


def key_slice(reference: NDArray[np.bool_], prediction: NDArray[np.bool_]) -> int:
    """Index of the slice that shows a case best.

    Parameters
    ----------
    reference, prediction : array of bool, shape (Z, Y, X)
        Masks.

    Returns
    -------
    int
        The slice with the largest reference, else with the largest prediction, else the middle.

    Examples
    --------
    >>> empty = np.zeros((5, 4, 4), bool)
    >>> key_slice(empty, empty)
    2
    """
    for mask in (reference, prediction):
        areas = np.count_nonzero(mask, axis=(1, 2))
        if areas.any():
            return int(np.argmax(areas))
    return int(reference.shape[0] // 2)


def case_picture(
    path: Path,
    image: Volume,
    reference: LabelMap,
    prediction: NDArray[np.bool_],
    *,
    case_id: str,
    dice: float,
    remark: str = "",
) -> None:
    """Write image | reference | prediction of a case's most telling slice.

    The first panel shows the whole slice and frames what the others enlarge; the third repeats
    the reference as a dashed line.

    Parameters
    ----------
    path : Path
        The PNG file to write.
    image : Volume
        The phase to show.
    reference : LabelMap
        The truth.
    prediction : array of bool, shape (Z, Y, X)
        Tumor as predicted.
    case_id : str
        For the title; a long one is shortened in its middle.
    dice : float
        For the title.
    remark : str
        Something the reader has to know of the score, such as "trained on".

    Raises
    ------
    StorageError
        When the file cannot be written.
    """
    truth = reference.tumor
    z = key_slice(truth, prediction)
    where = f", slice {z + 1} of {len(truth)}" if len(truth) > 1 else ""
    marked = (_Outline(prediction, PREDICTION_COLOR), _Outline(truth, REFERENCE_COLOR, "dashed"))
    panels = (
        _Panel("Image"),
        _Panel("Reference", (_Outline(truth, REFERENCE_COLOR),)),
        _Panel("Prediction", marked),
    )
    title = f"{_shortened(case_id)}\nDice {dice:.3f}{where}" + (f" ({remark})" if remark else "")
    _save(_panel_figure(image, z, panels, title), path)


def loop_picture(
    path: Path, image: Volume, reference: LabelMap, draft: LabelMap, corrected: LabelMap
) -> None:
    """Write image | reference | draft | corrected of the slice with the largest reference.

    Parameters
    ----------
    path : Path
        The PNG file to write.
    image : Volume
        The phase to show.
    reference, draft, corrected : LabelMap
        The truth, the model's untouched prediction, and what the reader made of it.

    Raises
    ------
    StorageError
        When the file cannot be written.
    """
    truth = reference.tumor
    z = key_slice(truth, draft.tumor)
    dashed = _Outline(truth, REFERENCE_COLOR, "dashed")
    panels = (
        _Panel("Image"),
        _Panel("Reference", (_Outline(truth, REFERENCE_COLOR),)),
        _Panel(
            f"Draft, Dice {_dice(draft, reference):.3f}",
            (_Outline(draft.tumor, PREDICTION_COLOR), dashed),
        ),
        _Panel(
            f"Corrected, Dice {_dice(corrected, reference):.3f}",
            (_Outline(corrected.tumor, CORRECTED_COLOR), dashed),
        ),
    )
    title = f"Slice {z + 1} of {len(truth)}" if len(truth) > 1 else ""
    _save(_panel_figure(image, z, panels, title), path)


def curves_picture(path: Path, curves: Curves) -> None:
    """Write the ROC and the precision-recall curve, side by side, with their areas.

    Parameters
    ----------
    path : Path
        The PNG file to write.
    curves : Curves
        What to draw.

    Raises
    ------
    StorageError
        When the file cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 5.0), layout="constrained", facecolor="white")
    roc, precision_recall = figure.subplots(1, 2)
    # A million points draw no finer line than two thousand.
    steps = np.unique(np.linspace(0, curves.sensitivity.size - 1, 2000).astype(int))
    rate, sensitivity = curves.false_positive_rate[steps], curves.sensitivity[steps]
    roc.plot(rate, sensitivity, color="#0072B2", linewidth=1.8)
    roc.plot([0, 1], [0, 1], color="0.6", linewidth=1, linestyle="dashed")
    roc.set(xlabel="False positive rate (1 - specificity)", ylabel="Sensitivity")
    roc.set_title(f"ROC, area {curves.roc_auc:.4f}")
    precision_recall.plot(
        sensitivity, curves.precision[steps], color="#0072B2", linewidth=1.8, drawstyle="steps-pre"
    )
    precision_recall.axhline(curves.prevalence, color="0.6", linewidth=1, linestyle="dashed")
    precision_recall.set(xlabel="Recall (sensitivity)", ylabel="Precision")
    precision_recall.set_title(f"Precision-recall, area {curves.pr_auc:.4f}")
    for axes in (roc, precision_recall):
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), box_aspect=1)
        axes.grid(color="0.9")
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle("All scored pixels together; dashed: guessing", fontsize=9, color="0.35")
    _save(figure, path)


def reliability_picture(path: Path, reliabilities: Mapping[str, Reliability]) -> None:
    """Write how often pixels are tumor against how probable the model finds it.

    Parameters
    ----------
    path : Path
        The PNG file to write.
    reliabilities : mapping of str to Reliability
        One line each, by the name it has in the legend; "" for none.

    Raises
    ------
    StorageError
        When the file cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.0, 5.0), layout="constrained", facecolor="white")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="0.6", linewidth=1, linestyle="dashed")
    colors = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
    for place, (name, found) in enumerate(reliabilities.items()):
        label = f"{name + ': ' if name else ''}mean distance {found.expected_error:.3f}"
        color = colors[place % len(colors)]
        axes.plot(
            found.probability, found.observed, color=color, marker="o", linewidth=1.8, label=label
        )
    axes.set(xlabel="Predicted tumor probability", ylabel="Share of pixels that are tumor")
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), box_aspect=1)
    axes.grid(color="0.9")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    axes.set_title("Reliability, all scored pixels; dashed: as often as predicted", fontsize=9)
    _save(figure, path)


def slice_picture(
    axes: Axes, image: Volume, z: int, mask: NDArray[np.bool_], color: str = PREDICTION_COLOR
) -> None:
    """Draw the part of a slice around a mask with its outline and the letters of its sides.

    Parameters
    ----------
    axes : matplotlib Axes
    image : Volume
    z : int
        The slice.
    mask : array of bool, shape (Y, X)
        What to outline; without any the whole slice is shown.
    color : str
        Of the outline.
    """
    view = _view(image.grid)
    slice_ = view.turn(np.asarray(image.data[z], dtype=np.float32))
    shown = view.turn(mask)
    rows, columns = _window(shown, view.aspect)
    low, high = _contrast_limits(slice_[rows, columns])
    axes.imshow(slice_, cmap="gray", vmin=low, vmax=high, aspect=view.aspect)
    _draw_outline(axes, shown, _Outline(shown, color))
    axes.set(
        ylim=(rows.stop - 0.5, rows.start - 0.5),
        xlim=(columns.start - 0.5, columns.stop - 0.5),
        xticks=[],
        yticks=[],
    )
    _draw_letters(axes, view)


def _panel_figure(image: Volume, z: int, panels: Sequence[_Panel], title: str) -> Figure:
    from matplotlib.figure import Figure
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

    height = slice_.shape[0] * view.aspect / slice_.shape[1]
    panel_inches = 3.2
    size = (
        panel_inches * len(panels),
        panel_inches * min(max(height, 0.4), 2.0) + (0.75 if title else 0.35),
    )
    figure = Figure(figsize=size, layout="constrained", facecolor="white")
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
    return figure


def _draw_outline(axes: Axes, mask: NDArray[np.bool_], outline: _Outline) -> None:
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
    """Rows and columns around a mask, square to the eye, or the whole slice when it is large."""
    whole = (slice(0, mask.shape[0]), slice(0, mask.shape[1]))
    if not mask.any():
        return whole
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    extent = max((np.ptp(rows) + 1) * aspect, float(np.ptp(columns) + 1))
    side = max(extent * 2.5, extent + 40, 64)
    if side > 0.75 * min(mask.shape[0] * aspect, mask.shape[1]):
        return whole
    spans = []
    for used, length, span in (
        (rows, mask.shape[0], round(side / aspect)),
        (columns, mask.shape[1], round(side)),
    ):
        start = int((used[0] + used[-1] + 1 - span) // 2)
        start = min(max(start, 0), length - span)
        spans.append(slice(start, start + span))
    return (spans[0], spans[1])


def _contrast_limits(slice_: NDArray[np.float32]) -> tuple[float, float]:
    finite = slice_[np.isfinite(slice_)]
    if finite.size == 0:
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(finite, [1, 99.7]))
    return (low, high) if high > low else (float(finite.min()), float(finite.max()) + 1e-6)


def _dice(mask: LabelMap, reference: LabelMap) -> float:
    scored = reference.is_scored
    marked, truth = mask.tumor & scored, reference.tumor
    total = int(np.count_nonzero(marked)) + int(np.count_nonzero(truth))
    return 2 * int(np.count_nonzero(marked & truth)) / total if total else 1.0


def _shortened(name: str) -> str:
    """A name that fits in a title, without characters the font lacks."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    known = get_font(findfont(FontProperties())).get_charmap()
    name = "".join(letter if ord(letter) in known else "?" for letter in name)
    if len(name) <= _LONGEST_NAME:
        return name
    half = _LONGEST_NAME // 2 - 1
    return f"{name[:half]}...{name[-half:]}"


def _save(figure: Figure, path: Path) -> None:
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120, metadata={"Software": None})
