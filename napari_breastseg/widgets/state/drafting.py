"""What the Draft step decides: may a model run, would its draft replace work, what is shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ...core.errors import InputError
from ...core.region import Region
from ...core.volume import TUMOR, LabelMap
from ...lesions.findings import Findings
from ...model.checkpoint import read_info
from .reader_work import copy_of
from .session import Draft, is_same
from .sources import Source

__all__ = [
    "HIDDEN",
    "PRELIMINARY",
    "Cut",
    "Part",
    "ShownDraft",
    "cut_for",
    "draft_words",
    "needed_phases",
    "phase_layers",
    "why_not_segment",
    "with_region",
    "would_replace_work",
]

Part = Literal["breasts", "whole", "slice", "box"]
"""What of an exam is segmented."""

PRELIMINARY = "Preliminary: what is marked faintly is sorted out once the whole exam was seen."
"""Said while slice after slice is segmented."""

HIDDEN = "The draft is ready, but hidden until you ask for it (F9)."
"""Said of a draft that the reader chose not to see yet; its size would tell what it says."""


@dataclass(frozen=True, eq=False)
class ShownDraft:
    """A prediction as it was put into the viewer: what another threshold starts from."""

    source: Source
    draft: Draft
    region: Region | None
    """The part of the exam that was predicted, None for all of it."""

    labels: NDArray[np.uint8]
    """The whole mask (Z, Y, X) as it was put into the viewer."""

    threshold: float
    took: str
    """How long the prediction took and on which device, in words."""

    is_undo_step: bool = False
    """Whether the last undo step of the mask is another threshold of this prediction."""


class Cut(Enum):
    """What a new threshold does to the mask in the viewer."""

    NOTHING = "nothing"
    AT_ONCE = "at once"
    AFTER_ASKING = "after asking"
    """The mask was edited since the draft was put there."""


def cut_for(shown: ShownDraft | None, mask: NDArray[np.generic] | None, threshold: float) -> Cut:
    """What the draft that was shown last does at another threshold.

    Parameters
    ----------
    shown : ShownDraft, optional
    mask : ndarray, shape (Z, Y, X), optional
        The mask as it is now; None while it must not change.
    threshold : float
        Probability, 0 to 1.
    """
    if shown is None or mask is None or threshold == shown.threshold:
        return Cut.NOTHING
    return Cut.AT_ONCE if is_same(mask, shown.labels) else Cut.AFTER_ASKING


def would_replace_work(
    mask: NDArray[np.generic],
    region: Region | None,
    *,
    draft: Draft | None,
    saved: NDArray[np.uint8] | None,
) -> bool:
    """Whether a new draft of a region would replace a reader's work that is not accepted.

    Parameters
    ----------
    mask : ndarray, shape (Z, Y, X)
        The mask in the viewer.
    region : Region, optional
        Where the new draft goes; everywhere when not given.
    draft : Draft, optional
        The draft that was there before; a mask equal to it holds no work.
    saved : ndarray, shape (Z, Y, X), optional
        The mask as it is on disk; equal to it, it can be had again.
    """
    part = region or ...
    labels = mask[part]
    if saved is not None and is_same(labels, saved[part]):
        return False
    if draft is not None:
        return not is_same(labels, draft.label_map.data[part])
    return bool((labels == TUMOR).any())


def with_region(
    mask: NDArray[np.generic] | None, predicted: NDArray[np.uint8], region: Region | None
) -> NDArray[np.uint8]:
    """The whole mask (Z, Y, X): the prediction in the region, the mask as it was elsewhere."""
    if region is None or mask is None or mask.shape != predicted.shape:
        return copy_of(predicted)
    merged: NDArray[np.uint8] = copy_of(mask.astype(np.uint8, copy=False))
    merged[region] = predicted[region]
    return merged


def why_not_segment(
    *,
    is_running: bool,
    has_exam: bool,
    has_model: bool,
    problem: str = "",
    layers: Mapping[str, str | None] | None = None,
) -> str:
    """Why the current exam cannot be segmented now; empty when it can.

    Parameters
    ----------
    is_running : bool
        Whether a prediction is under way.
    has_exam, has_model : bool
    problem : str
        What is wrong with the chosen model.
    layers : mapping of str to str, optional
        Layer of each phase the user was asked for, None where none is chosen yet.
    """
    if is_running:
        return "Segmenting; wait or cancel"
    if not has_exam:
        return "Open an exam first"
    if not has_model:
        return "Choose a model first, or train one in the Train step"
    if problem:
        return problem
    missing = [phase for phase, name in (layers or {}).items() if name is None]
    return f"Choose the layer of phase {' and '.join(missing)}" if missing else ""


def needed_phases(model: Path | None) -> tuple[str, ...]:
    """Phases a model takes; none for no model or one that cannot be read."""
    if model is None:
        return ()
    try:
        return read_info(model).spec.phases
    except InputError:
        return ()


def phase_layers(
    source: Source, phases: tuple[str, ...], chosen: Mapping[str, str] | None
) -> dict[str, str | None]:
    """Key of each phase's layer, as far as it is known, for a layer of another reader.

    Parameters
    ----------
    source : Source
        A foreign one; its own layer is taken for the last phase unless the user said otherwise.
    phases : tuple of str
    chosen : mapping of str to str, optional
        Phase to the layer's key, as the user chose before.
    """
    known: dict[str, str | None] = {phase: (chosen or {}).get(phase) for phase in phases}
    if phases and known[phases[-1]] is None:
        known[phases[-1]] = source.layers["post1"]
    return known


def draft_words(
    label_map: LabelMap, threshold: float, took: str, findings: Findings | None = None
) -> str:
    """A draft in a sentence: what it shows and holds back, its threshold, how long it took.

    Parameters
    ----------
    label_map : LabelMap
    threshold : float
    took : str
    findings : Findings, optional
        Those of the whole exam.
    """
    weaker = 0 if findings is None else len(findings.weaker)
    weaker_words = "1 weaker {} is" if weaker == 1 else f"{weaker:,} weaker {{}}s are"
    is_tumor = label_map.tumor
    voxels = int(np.count_nonzero(is_tumor))
    if not voxels:
        held = f"; {weaker_words.format('finding')} held back" if weaker else ""
        return f"No tumor found at threshold {threshold:g} ({took}){held}."
    voxel_ml = label_map.grid.voxel_ml
    ml = 0.0 if voxel_ml is None else voxels * voxel_ml
    size = f"{voxels:,} px" if voxel_ml is None else f"{ml:.1f} mL" if ml >= 1 else f"{ml:.2f} mL"
    if findings is not None:
        shown = int(np.count_nonzero(np.unique(findings.labels[is_tumor])))
        size = f"{shown:,} {'finding' if shown == 1 else 'findings'}, {size}"
    held = f"; {weaker_words.format('one')} held back" if weaker else ""
    return f"Draft: {size} at threshold {threshold:g} ({took}){held}."
