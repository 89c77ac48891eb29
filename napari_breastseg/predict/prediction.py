"""From an exam and a checkpoint to a tumor probability and a label map on the exam's own grid.

Writes nothing; knows no file formats.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InputError
from ..core.progress import Job, Progress, relay
from ..core.region import Region, checked, grown, resampled, smallest, whole
from ..core.volume import Exam, Grid, LabelMap, Volume, require_numbers
from ..imaging.breast_region import Breasts, find_breasts
from ..imaging.preprocessing import (
    Prepared,
    SliceSource,
    prepare,
    resample,
    slice_source,
    working_shape,
)
from ..lesions.finding_score import FindingScore
from ..lesions.findings import Findings, find
from ..model.checkpoint import STARTER, Checkpoint, ModelInfo, read_info
from .devices import choose_device, is_out_of_memory
from .likeness import site_share
from .passes import SlicesSeen, Views, predict_working, seen_slices
from .thresholding import marked

if TYPE_CHECKING:
    import torch

    from ..model.unet import ModelSpec

__all__ = ["Prediction", "predict", "score_of"]

BREASTS_FIELD_MM = 30.0
"""What a 2D model sees around the breasts when only they are segmented: it should still
recognize that a bright spot lies on the chest wall."""


SCORED_FIELD_MM = 40.0
"""Findings are held back only where the field of view reaches this far in every direction."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a model makes of an exam."""

    probability: Volume
    """Tumor probability, float32 (Z, Y, X), on the exam's grid; 0 outside the region."""

    label_map: LabelMap
    """The findings that are shown; without findings the probability at or above the threshold."""

    threshold: float
    """The threshold used, 0 to 1."""

    phases: tuple[str, ...]
    """Phases the model used, in its own order."""

    device: str
    """Where the network ran in the end: cpu, cuda or mps."""

    model: str
    """Name and weights hash of the model."""

    seconds: float
    """Wall time, reading excluded."""

    findings: Findings | None = None
    """What was found, the most likely lesion first; None for a box, a single slice, and where the
    size of the voxels is not known."""

    breasts: Breasts | None = None
    """The breasts that it was restricted to; None where the whole exam was segmented."""

    site_share: float | None = None
    """Share of the site's own model in what segmented the exam, 0 to 1; the rest is the general
    model. None for a model that holds no two."""

    def at_threshold(self, threshold: float) -> LabelMap:
        """Label map at another threshold, without running the network again."""
        return (
            self.label_map
            if threshold == self.threshold
            else marked(self.probability, threshold, self.findings)
        )


def predict(
    checkpoint: Checkpoint,
    exam: Exam,
    *,
    device: str = "auto",
    threshold: float = 0.5,
    region: Region | None = None,
    mirror: bool = False,
    breasts_only: bool | None = None,
    first: int | None = None,
) -> Job[Prediction]:
    """Segment an exam, its breasts, a slice of it or a box.

    Parameters
    ----------
    checkpoint : Checkpoint
        The model.
    exam : Exam
        Must hold the phases the model needs.
    device : str
        auto, cpu, cuda or mps. When a GPU runs out of memory, prediction starts again on the CPU,
        and a `Progress.message` says so.
    threshold : float
        Probability from which a voxel is tumor, above 0 and up to 1.
    region : tuple of slice, optional
        Voxels (z, y, x) to segment; elsewhere the probability is 0.
    mirror : bool
        Average over the image and its left-right mirror image, which takes twice the time and is
        slightly more reliable. Some specs always do so, and average over several scales.
    breasts_only : bool, optional
        Mark nothing farther from the breasts than `breast_region.MARGIN_MM`, and skip what is
        well away from them. By default so for whole exams. Where the breasts are not outlined
        reliably, a `Progress.message` says why, and nothing is left out.
    first : int, optional
        The slice along z that a 2D network sees before anything else is done, then outward.

    Yields
    ------
    Progress
        With `first`, what is seen of the slices, as `passes.SlicesSeen` on the exam's grid.

    Returns
    -------
    Prediction

    Raises
    ------
    InputError
        If a phase is missing or holds what is no number, the region is outside the exam, the
        threshold is not a probability, or the breasts are wanted and were not found.
    """
    import torch

    if not 0.0 < threshold <= 1.0:
        raise InputError(
            "Expected a threshold above 0 and up to 1",
            f"found {threshold:g}",
            "Use 0.5 if in doubt",
        )
    for role, volume in exam.phases.items():
        require_numbers(volume.data, f"{role} of case {exam.case_id}")
    if checkpoint.spec.prompts:
        raise InputError(
            "Expected a model that segments unasked",
            f"found {checkpoint.info.name}, which answers clicks",
            "Choose another model, or say where to look with --click",
        )
    roles = checkpoint.spec.require(exam, checkpoint.info.name)
    started = time.perf_counter()
    box = checked(region, exam)
    is_whole = box == whole(exam)
    target = choose_device(device)
    spec = checkpoint.spec
    sides = (False, True) if mirror or spec.mirrored else (False,)
    views = tuple(product(sides, spec.scales_for(exam)))
    if first is not None and (spec.foreign is not None or not _sees_slices(spec, exam)):
        first = None
    if first is not None and box[0].start <= first < box[0].stop:
        with _memory_to_spare(target):
            yield from _first_look(checkpoint, exam, roles, box, first, target, views)
    breasts, is_restricted = yield from _breasts(exam, is_whole, breasts_only)
    near, field = None, whole(exam)
    if breasts is not None and is_restricted:
        near = breasts.near()
        box = smallest(near, box)
        field = grown(box, exam, BREASTS_FIELD_MM)
    yield Progress("Preparing", 0, 0)

    def run(target: torch.device) -> Job[tuple[NDArray[np.float32], float | None]]:
        if spec.foreign is not None:
            return _foreign(checkpoint, exam, roles, box, field, target, views)
        job = _native(checkpoint, exam, roles, box, field, target, views, first)
        return relay(job, lambda progress: _kept_to(progress, box, near))

    try:
        whole_exam, share = yield from run(target)
    except RuntimeError as error:
        if target.type == "cpu" or not is_out_of_memory(error):
            raise
        torch.cuda.empty_cache()
        message = f"The {target.type} device ran out of memory; continuing on the CPU"
        yield Progress("Segmenting", 0, 0, message=message)
        target = torch.device("cpu")
        whole_exam, share = yield from run(target)
    volume = Volume(_kept_in(whole_exam, box, near), exam.grid)
    del whole_exam
    findings = None
    if is_whole and exam.grid.shape[0] > 1 and exam.grid.has_spacing:
        findings = yield from find(
            volume,
            exam,
            threshold=threshold,
            breasts=breasts if breasts is not None and breasts.is_trusted else None,
            score=score_of(checkpoint.info) if _shows_breasts(exam, breasts) else None,
        )
    return Prediction(
        probability=volume,
        label_map=_marked_in(volume, threshold, box) if findings is None else findings.mask(),
        threshold=threshold,
        phases=roles,
        device=target.type,
        model=checkpoint.info.identity,
        seconds=time.perf_counter() - started,
        findings=findings,
        breasts=breasts if is_restricted else None,
        site_share=share,
    )


def _marked_in(probability: Volume, threshold: float, box: Region) -> LabelMap:
    """Label map of a probability that is 0 outside a box, which is all that is looked at."""
    part = Volume(probability.data[box], Grid(probability.data[box].shape))
    data = np.zeros(probability.data.shape, np.uint8)
    data[box] = marked(part, threshold).data
    return LabelMap(data, probability.grid)


def _kept_in(
    probability: NDArray[np.float32], box: Region, near: NDArray[np.bool_] | None
) -> NDArray[np.float32]:
    """A probability (Z, Y, X) from 0 to 1, and 0 where nothing is marked.

    That of all slices is changed in place. Of a few, the rest is never touched: memory that was
    only asked for costs nothing, and a slice is to be there while the reader scrolls.
    """
    depth = len(probability)
    kept = probability
    if (box[0].start, box[0].stop) != (0, depth):
        kept = np.zeros(probability.shape, np.float32)
        kept[box] = probability[box]
    for z in range(box[0].start, box[0].stop):
        plane, part = kept[z], kept[z][box[1:]].clip(0.0, 1.0)
        plane[:] = 0
        plane[box[1:]] = part
        if near is not None:
            plane[~near[z]] = 0
    return kept


def _first_look(
    checkpoint: Checkpoint,
    exam: Exam,
    roles: tuple[str, ...],
    box: Region,
    z: int,
    device: torch.device,
    views: Views,
) -> Job[None]:
    """One slice, seen before the breasts are looked for and the whole exam is made ready."""
    one = slice(z, z + 1), *box[1:]
    job = _native(checkpoint, exam, roles, one, whole(exam), device, views)
    # What is said aloud is said when the whole is segmented.
    seen, _ = yield from relay(job, lambda part: Progress("First look", 0, 0))
    probability = seen[z : z + 1].clip(0.0, 1.0)
    yield SlicesSeen("First look", 0, 0, slices=(z,), probability=probability)


@contextmanager
def _memory_to_spare(device: torch.device) -> Iterator[None]:
    """Go on without a first look where the memory is full: the whole is segmented elsewhere."""
    try:
        yield
    except RuntimeError as error:
        if device.type == "cpu" or not is_out_of_memory(error):
            raise


def _kept_to(progress: Progress, box: Region, near: NDArray[np.bool_] | None) -> Progress:
    """Slices seen, without what is not to be marked."""
    if not isinstance(progress, SlicesSeen):
        return progress
    kept = np.zeros_like(progress.probability)
    part = (slice(None), *box[1:])
    kept[part] = progress.probability[part]
    if near is not None:
        kept[~near[list(progress.slices)]] = 0
    return replace(progress, probability=kept)


def _breasts(
    exam: Exam, is_whole: bool, breasts_only: bool | None
) -> Job[tuple[Breasts | None, bool]]:
    """The breasts, where they are needed and can be found, and whether to keep to them."""
    if breasts_only is None and (not is_whole or exam.grid.shape[0] == 1):
        return None, False
    yield Progress("Finding the breasts", 0, 0)
    try:
        breasts = find_breasts(exam)
    except InputError as error:
        if breasts_only:
            raise
        if breasts_only is None and exam.grid.has_spacing:
            message = f"The whole exam is segmented: {error.found}"
            yield Progress("Finding the breasts", 0, 0, message=message)
        return None, False
    if breasts_only is not False and not breasts.is_trusted:
        message = f"The whole exam is segmented: {'; '.join(breasts.doubts)}"
        yield Progress("Finding the breasts", 0, 0, message=message)
        return breasts, False
    return breasts, breasts_only is not False


def _shows_breasts(exam: Exam, breasts: Breasts | None) -> bool:
    """Whether an exam is one that the score of findings was made for: no window, no thin slab."""
    sides = zip(exam.grid.shape, exam.grid.voxel_size, strict=True)
    return breasts is not None and min(n * step for n, step in sides) >= SCORED_FIELD_MM


def score_of(info: ModelInfo) -> FindingScore | None:
    """What orders the findings of a model: its own score, else the starter's.

    Raises
    ------
    InputError
        If it is damaged.
    """
    value = info.finding_score
    if value is None:
        value = read_info(STARTER).finding_score
    return None if value is None else FindingScore.read(value, info.name)


def _native(
    checkpoint: Checkpoint,
    exam: Exam,
    roles: tuple[str, ...],
    box: Region,
    field: Region,
    device: torch.device,
    views: Views,
    first: int | None = None,
) -> Job[tuple[NDArray[np.float32], float | None]]:
    """Tumor probability (Z, Y, X) of this package's own network, and the site's share in it."""
    spec = checkpoint.spec
    how: dict[str, Any] = {"spacing_mm": spec.spacing_mm, "percentiles": spec.percentiles}
    if _sees_slices(spec, exam):
        source = slice_source(exam, roles, **how)
        checkpoint, share = yield from _suited(checkpoint, source, exam.case_id, device)
        job = _by_slices(checkpoint, exam, source, box, field, device, views, first)
        return (yield from job), share
    prepared = prepare(exam, roles, **how)
    checkpoint, share = yield from _suited(checkpoint, prepared, exam.case_id, device)
    grids = exam.grid.shape, prepared.shape
    working = resampled(box, *grids)
    tumor = yield from predict_working(
        checkpoint.fast_network,
        spec,
        prepared,
        device,
        region=working,
        field=resampled(field, *grids),
        views=views,
    )
    _join_slices(tumor[0].numpy(), spec, exam, working[0])
    restored: NDArray[np.float32] = prepared.restore(tumor)[0].numpy()
    return restored, share


def _suited(
    checkpoint: Checkpoint, prepared: Prepared | SliceSource, case_id: str, device: torch.device
) -> Job[tuple[Checkpoint, float | None]]:
    """The mixture of a checkpoint's two networks that suits an exam, and the site's share in it."""
    share = site_share(checkpoint, prepared, device)
    if share is None:
        return checkpoint, None
    if share < 1:
        message = (
            f"Site {share * 100:.0f} %, general model {(1 - share) * 100:.0f} %: "
            f"{case_id} is less like the exams that the model was fine-tuned on"
        )
        yield Progress("Segmenting", 0, 0, message=message)
    return checkpoint.at(share), share


def _by_slices(
    checkpoint: Checkpoint,
    exam: Exam,
    source: SliceSource,
    box: Region,
    field: Region,
    device: torch.device,
    views: Views,
    first: int | None,
) -> Job[NDArray[np.float32]]:
    """Tumor probability (Z, Y, X), each slice made ready, seen and brought back by itself."""
    grids = exam.grid.shape, source.shape
    made = np.zeros(exam.grid.shape, np.float32)
    for progress in seen_slices(
        checkpoint.fast_network,
        checkpoint.spec,
        source,
        device,
        region=resampled(box, *grids),
        field=resampled(field, *grids),
        views=views,
        first=first,
    ):
        if not isinstance(progress, SlicesSeen):
            yield progress
            continue
        slices = list(progress.slices)
        size = (len(slices), *exam.grid.shape[1:])
        seen = resample(progress.probability[None], size)[0].numpy()
        made[slices] = seen
        if first is None:
            yield Progress(progress.stage, progress.done, progress.total)
        else:
            yield replace(progress, probability=seen)
    _join_slices(made, checkpoint.spec, exam, box[0])
    return made


def _sees_slices(spec: ModelSpec, exam: Exam) -> bool:
    """Whether a network sees the exam's own slices, one by one."""
    return spec.dims == 2 and working_shape(exam.grid, spec.spacing_mm)[0] == exam.grid.shape[0]


def _foreign(
    checkpoint: Checkpoint,
    exam: Exam,
    roles: tuple[str, ...],
    box: Region,
    field: Region,
    device: torch.device,
    views: Views,
) -> Job[tuple[NDArray[np.float32], float | None]]:
    """Tumor probability (Z, Y, X) of another library's network, which always sees the whole."""
    spec = checkpoint.spec
    assert spec.foreign is not None  # for the type checker; `predict` chose by it
    probability = yield from spec.foreign.probability(
        checkpoint.network, exam, roles, spec.dims, device, any(side for side, _ in views)
    )
    return probability, None


def _join_slices(tumor: NDArray[np.float32], spec: ModelSpec, exam: Exam, slices: slice) -> None:
    """Smooth a probability (Z, Y, X) along z over the slices segmented, as the spec says."""
    from scipy.ndimage import gaussian_filter1d

    spacing_mm = exam.grid.spacing_mm
    if spec.through_plane_mm == 0 or spacing_mm is None:
        return
    working_mm = spacing_mm[0] * exam.grid.shape[0] / len(tumor)
    part = tumor[slices]
    gaussian_filter1d(part, spec.through_plane_mm / working_mm, axis=0, mode="nearest", output=part)
