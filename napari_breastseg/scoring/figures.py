"""Pictures of cases and curves, as PNG files.

Slices are turned the way radiologists look at them (the patient's right on the left, front or head
at the top) and carry the letters of their sides. Colors are those of Okabe and Ito, which people
with color-blindness tell apart. Imports matplotlib inside the functions and never pyplot, whose
state is global. Imports `atomic`, `scores` and `volume`; no torch, no Qt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..core.overlap import dice
from ..core.volume import LabelMap, Volume
from ..imaging.pictures import (
    PREDICTION_COLOR,
    Outline,
    Panel,
    panel_figure,
    row_figure,
    save_picture,
)
from .curves import Curves, Reliability

__all__ = [
    "case_picture",
    "curves_picture",
    "key_slice",
    "learning_picture",
    "reliability_picture",
]

_LONGEST_NAME = 64
_BESIDE = 8
"""Pixels around a lesion in which outlines are drawn where only that lesion is shown."""

REFERENCE_COLOR = "#56B4E9"
CORRECTED_COLOR = "#CC79A7"


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
    marked = (Outline(prediction, PREDICTION_COLOR), Outline(truth, REFERENCE_COLOR, "dashed"))
    panels = (
        Panel("Image"),
        Panel("Reference", (Outline(truth, REFERENCE_COLOR),)),
        Panel("Prediction", marked),
    )
    title = f"{_shortened(case_id)}\nDice {dice:.3f}{where}" + (f" ({remark})" if remark else "")
    save_picture(panel_figure(image, z, panels, title), path)


def learning_picture(
    path: Path,
    corrected: tuple[Volume, LabelMap, LabelMap, LabelMap, Sequence[int]],
    other: tuple[Volume, LabelMap, LabelMap, LabelMap],
) -> None:
    """Write image | reference | before | after of an exam that learned, and of another patient.

    Parameters
    ----------
    path : Path
        The PNG file to write.
    corrected : tuple
        Image to show, reference, draft, the exam drafted again, and the slices, from 0, that the
        reader corrected: the largest lesion is shown, in the largest of the other slices.
    other : tuple
        Image of a patient who was not learned from, reference, and the masks of the model before
        and after training.

    Raises
    ------
    StorageError
        When the file cannot be written.
    """
    image, reference, draft, redraft, slices = corrected
    others = reference.tumor.copy()
    others[list(slices)] = False
    own = ", ".join(str(z + 1) for z in slices)
    rows = [
        _before_and_after(
            (image, reference, draft, redraft),
            key_slice(others, draft.tumor),
            ("Draft", "Drafted again"),
            f"An exam in which the reader corrected slices {own}",
        ),
        _before_and_after(
            other,
            key_slice(other[1].tumor, other[2].tumor),
            ("Before training", "After training"),
            "Another patient",
        ),
    ]
    save_picture(row_figure(rows), path)


def _before_and_after(
    masks: tuple[Volume, LabelMap, LabelMap, LabelMap], z: int, names: tuple[str, str], title: str
) -> tuple[Volume, int, Sequence[Panel], str]:
    from skimage.measure import label, regionprops

    image, reference, *made = masks
    truth = reference.tumor
    near = np.ones(truth.shape, bool)
    if parts := regionprops(label(truth[z])):  # enlarge the largest lesion only
        top, left, bottom, right = max(parts, key=lambda part: part.area).bbox
        near[:] = False
        near[
            :, max(0, top - _BESIDE) : bottom + _BESIDE, max(0, left - _BESIDE) : right + _BESIDE
        ] = True
    dashed = Outline(truth & near, REFERENCE_COLOR, "dashed")
    panels = [Panel("Image"), Panel("Reference", (Outline(truth & near, REFERENCE_COLOR),))]
    colors = (PREDICTION_COLOR, CORRECTED_COLOR)
    for mask, name, color in zip(made, names, colors, strict=True):
        score = dice(mask.tumor[z], truth[z])
        outlines = (Outline(mask.tumor & near, color), dashed)
        panels.append(Panel(f"{name}, Dice here {score:.3f}", outlines))
    return image, z, panels, f"{title}: slice {z + 1} of {len(truth)}"


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
    figure.suptitle("All scored pixels pooled; dashed: chance", fontsize=9, color="0.35")
    save_picture(figure, path)


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
    save_picture(figure, path)


def _shortened(name: str) -> str:
    """A name that fits in a title, without characters the font lacks."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    known = get_font(findfont(FontProperties())).get_charmap()
    name = "".join(letter if ord(letter) in known else "?" for letter in name)
    if len(name) <= _LONGEST_NAME:
        return name
    half = _LONGEST_NAME // 2 - 1
    return f"{name[:half]}...{name[-half:]}"
