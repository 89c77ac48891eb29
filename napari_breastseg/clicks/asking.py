"""Clicks on an exam answered from a script, a command or another plugin. No Qt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InputError
from ..core.progress import Job, Progress, drain
from ..core.volume import Exam, LabelMap
from .lesion import ClickReader, Outline
from .prompts import Click, Prompts

if TYPE_CHECKING:
    from ..model.checkpoint import Checkpoint

__all__ = ["outlined", "segment_at"]

Voxel = tuple[int, int, int]
Mask = NDArray[np.bool_]


def segment_at(
    exam: Exam,
    clicks: Sequence[Voxel],
    *,
    not_lesion: Sequence[Voxel] = (),
    only_enhancing: bool = False,
    mask: LabelMap | None = None,
    model: str | Path | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> LabelMap:
    """The outline of the lesion that clicks mean, through all its slices.

    Parameters
    ----------
    exam : Exam
    clicks : sequence of (z, y, x)
        Voxels in the lesion, counted from 0, its middle first.
    not_lesion : sequence of (z, y, x)
        Voxels beside it, asked after those.
    only_enhancing : bool
        Ask for the tissue that enhances, without a dead core, as volumes of enhancing tumor are
        measured; by default for the outline that a hand would draw.
    mask : LabelMap, optional
        What is marked already, to be mended.
    model : str or Path, optional
        Checkpoint folder of a click network; by default the one that comes with the package.
    on_progress : callable, optional
        Called with each `Progress`.

    Returns
    -------
    LabelMap

    Raises
    ------
    InputError
        If a click lies outside the exam, nothing is found at it, or the mask is not on the exam's
        grid.
    """
    from ..model.checkpoint import CLICKS, load

    if mask is not None:
        mask.require_grid(exam.grid, exam.case_id)
    said = [Click(voxel) for voxel in clicks]
    said += [Click(voxel, is_lesion=False) for voxel in not_lesion]
    begun = None if mask is None else mask.tumor
    checkpoint = load(CLICKS if model is None else Path(model))
    job = outlined(checkpoint, exam, said, begun, only_enhancing=only_enhancing)
    outline = drain(job, on_progress)
    return LabelMap(outline.mask.astype(np.uint8), exam.grid)


def outlined(
    model: Checkpoint,
    exam: Exam,
    clicks: Sequence[Click],
    mask: Mask | None = None,
    *,
    only_enhancing: bool = False,
) -> Job[Outline]:
    """The lesion that clicks mean, one after another, as in the window.

    Parameters
    ----------
    model : Checkpoint
        A click network.
    exam : Exam
    clicks : sequence of Click
        At least one.
    mask : ndarray of bool, shape (Z, Y, X), optional
        What is marked already.
    only_enhancing : bool
        See `segment_at`.

    Yields
    ------
    Progress

    Returns
    -------
    Outline
        Of the last click, with the probabilities of all slices asked.

    Raises
    ------
    InputError
        If there is no click, one lies outside the exam, or nothing is found at one that says
        lesion.
    """
    if not clicks:
        raise InputError("Expected a click", "found none", "Say where the lesion is")
    shape = exam.grid.shape
    for one in clicks:
        if not all(0 <= place < size for place, size in zip(one.voxel, shape, strict=True)):
            raise InputError(
                f"Expected clicks within {exam.grid.describe()}",
                f"found one at slice {one.voxel[0] + 1}, row {one.voxel[1] + 1}, "
                f"column {one.voxel[2] + 1}",
                "Count from 1, and check the order",
            )
    reader = ClickReader(model, exam)
    said: dict[int, Prompts] = {}
    first = Prompts(only_enhancing=only_enhancing)
    asked: dict[int, NDArray[np.float32]] = {}
    outline = Outline(np.zeros(shape, bool) if mask is None else mask, asked)
    for one in clicks:
        z, y, x = one.voxel
        said[z] = said.get(z, first).with_click((y, x), one.is_lesion)
        outline = yield from reader.outline(said, [z], outline.mask)
        asked |= outline.probabilities
        if outline.is_empty:
            raise InputError(
                "Expected a click on something that enhances",
                f"found nothing at slice {z + 1}, row {y + 1}, column {x + 1}",
                "Click in the middle of the lesion, or draw it",
            )
    return Outline(outline.mask, asked)
