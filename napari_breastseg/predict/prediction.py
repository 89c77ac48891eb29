"""From an exam and a checkpoint to a tumor probability and a label map on the exam's own grid.

2D and 2.5D models see whole slices, large slices and 3D models go tile by tile with Gaussian
weights. Imports no Qt and no file formats; writes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InputError
from ..core.progress import Job, Progress
from ..core.region import Region, checked, grown, resampled, smallest, whole
from ..core.volume import TUMOR, Exam, LabelMap, Volume
from ..imaging.breast_region import near_breasts
from ..imaging.preprocessing import Prepared, prepare, stack_inputs
from ..model.checkpoint import Checkpoint
from ..model.unet import folded, place
from .thresholding import marked

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ..model.unet import ModelSpec

__all__ = [
    "Prediction",
    "choose_device",
    "is_out_of_memory",
    "predict",
    "predict_working",
]

Views = tuple[tuple[bool, float], ...]
"""How an image is looked at, each time: whether mirrored, and at what size against its own."""

ONE_VIEW: Views = ((False, 1.0),)

MAX_SLICE_SIDE = 768
"""Largest side, in pixels, of a slice that a 2D model sees in one piece."""

BREASTS_FIELD_MM = 30.0
"""How much around the breasts a 2D model is shown when they alone are segmented: a bright
spot on the chest wall should still be seen to lie there."""

BATCH_PIXELS = 1_000_000
"""Pixels of one pass through a 2D network: bounds memory, keeps Cancel within a second."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a model makes of an exam."""

    probability: Volume
    """Tumor probability, float32 (Z, Y, X), on the exam's grid; 0 outside the region."""

    label_map: LabelMap
    """Probability at or above the threshold, without the findings left out."""

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

    least_share: float = 0.0
    """Smallest share of the largest finding that is marked, as the model's spec says."""

    findings_left_out: int = 0
    """Findings above the threshold that are smaller than that."""

    def at_threshold(self, threshold: float) -> LabelMap:
        """Label map at another threshold, without running the network again."""
        return marked(self.probability, threshold, self.least_share)[0]


def choose_device(name: str = "auto") -> torch.device:
    """Device of a name: auto, cpu, cuda or mps.

    Raises
    ------
    InputError
        If the device asked for is not there.
    """
    import torch

    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        name = next(device for device, is_there in available.items() if is_there)
    if not available.get(name.partition(":")[0], False):
        there = ", ".join(device for device, is_there in available.items() if is_there)
        raise InputError(
            f"Expected the device '{name}'",
            f"found {there} on this machine",
            "Use --device auto, or see what 'doctor' says about the GPU",
        )
    return torch.device(name)


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether a device had too little memory; only NVIDIA's error has a class of its own."""
    text = str(error).lower()
    return "out of memory" in text or "can't allocate memory" in text


def predict(
    checkpoint: Checkpoint,
    exam: Exam,
    *,
    device: str = "auto",
    threshold: float = 0.5,
    region: Region | None = None,
    mirror: bool = False,
    breasts_only: bool = False,
) -> Job[Prediction]:
    """Segment an exam, its breasts, a slice of it or a box.

    Parameters
    ----------
    checkpoint : Checkpoint
        The model.
    exam : Exam
        Must hold the phases the model needs.
    device : str
        auto, cpu, cuda or mps. When a GPU runs out of memory the work starts again on the CPU,
        and a `Progress.message` says so.
    threshold : float
        Probability from which a voxel is tumor, above 0 and up to 1.
    region : tuple of slice, optional
        Voxels (z, y, x) to segment; elsewhere the probability is 0.
    mirror : bool
        Average over the left-right mirrored image too, as some specs ask anyway: twice the time,
        slightly surer. A spec may ask for several sizes as well.
    breasts_only : bool
        Mark nothing farther from the breasts than `breast_region.MARGIN_MM`, and leave what lies
        well away from them out of the work.

    Yields
    ------
    Progress

    Returns
    -------
    Prediction

    Raises
    ------
    InputError
        If a phase is missing, the region is outside the exam, the threshold is no probability, or
        the breasts are asked for and cannot be found.
    """
    import torch

    if not 0.0 < threshold <= 1.0:
        raise InputError(
            "Expected a threshold above 0 and up to 1",
            f"found {threshold:g}",
            "Use 0.5 if in doubt",
        )
    roles = checkpoint.spec.require(exam, checkpoint.info.name)
    started = time.perf_counter()
    box = checked(region, exam)
    is_whole = box == whole(exam)
    target = choose_device(device)
    near, field = None, whole(exam)
    if breasts_only:
        yield Progress("Finding the breasts", 0, 0)
        near = near_breasts(exam)
        box = smallest(near, box)
        field = grown(box, exam, BREASTS_FIELD_MM)
    yield Progress("Preparing", 0, 0)
    spec = checkpoint.spec
    sides = (False, True) if mirror or spec.mirrored else (False,)
    views = tuple(product(sides, spec.scales_for(exam)))
    run = _native if spec.foreign is None else _foreign
    try:
        whole_exam = yield from run(checkpoint, exam, roles, box, field, target, views)
    except RuntimeError as error:
        if target.type == "cpu" or not is_out_of_memory(error):
            raise
        torch.cuda.empty_cache()
        message = f"The {target.type} device ran out of memory; going on with the CPU"
        yield Progress("Segmenting", 0, 0, message=message)
        target = torch.device("cpu")
        whole_exam = yield from run(checkpoint, exam, roles, box, field, target, views)
    probability = np.zeros(exam.grid.shape, np.float32)
    probability[box] = whole_exam[box].clip(0.0, 1.0)
    if near is not None:
        probability[~near] = 0
    volume = Volume(probability, exam.grid)
    # A box or a slice of an exam does not show which of its findings is the largest.
    is_kind = (exam.grid.shape[0] == 1) == (spec.least_share_in == "slices")
    share = spec.least_share if is_kind and is_whole else 0.0
    label_map, left_out = marked(volume, threshold, share)
    if left_out:
        message = (
            f"{left_out} findings under {share:.0%} of the largest left out: no exam of the last "
            f"training of {checkpoint.info.name} has such"
        )
        yield Progress("Segmenting", 0, 0, message=message)
    return Prediction(
        probability=volume,
        label_map=label_map,
        threshold=threshold,
        phases=roles,
        device=target.type,
        model=checkpoint.info.identity,
        seconds=time.perf_counter() - started,
        least_share=share,
        findings_left_out=left_out,
    )


def _native(
    checkpoint: Checkpoint,
    exam: Exam,
    roles: tuple[str, ...],
    box: Region,
    field: Region,
    device: torch.device,
    views: Views,
) -> Job[NDArray[np.float32]]:
    """Tumor probability (Z, Y, X) of this package's own network."""
    spec = checkpoint.spec
    prepared = prepare(exam, roles, spacing_mm=spec.spacing_mm, percentiles=spec.percentiles)
    grids = prepared.grid.shape, prepared.phases.shape[1:]
    working = resampled(box, *grids)
    network = folded(checkpoint.network)
    tumor = yield from predict_working(
        network,
        spec,
        prepared,
        device,
        region=working,
        field=resampled(field, *grids),
        views=views,
    )
    _join_slices(tumor, spec, prepared, working[0])
    restored: NDArray[np.float32] = prepared.restore(tumor)[0].numpy()
    return restored


def _foreign(
    checkpoint: Checkpoint,
    exam: Exam,
    roles: tuple[str, ...],
    box: Region,
    field: Region,
    device: torch.device,
    views: Views,
) -> Job[NDArray[np.float32]]:
    """Tumor probability (Z, Y, X) of another library's network, which always sees the whole."""
    spec = checkpoint.spec
    assert spec.foreign is not None  # for the type checker; `predict` chose by it
    probability = yield from spec.foreign.probability(
        checkpoint.network, exam, roles, spec.dims, device, any(side for side, _ in views)
    )
    return probability


def predict_working(
    network: nn.Module,
    spec: ModelSpec,
    prepared: Prepared,
    device: torch.device,
    *,
    region: Region | None = None,
    field: Region | None = None,
    views: Views = ONE_VIEW,
) -> Job[torch.Tensor]:
    """Tumor probability on the working grid, Tensor (1, Z, Y, X) on the CPU, 0 outside `region`.

    A 2D network sees `field` of each slice that the region touches; by default all of it, as a box
    alone would hide from it what its surroundings are.
    """
    import torch

    shape = prepared.phases.shape[1:]
    everything = (slice(0, shape[0]), slice(0, shape[1]), slice(0, shape[2]))
    region = region or everything
    _, *in_plane = field or everything
    total = torch.zeros((1, *shape))
    was_training = network.training
    place(network.eval(), device, spec.dims)
    inputs = stack_inputs(prepared.phases, prepared.roles, spec.inputs)
    try:
        if spec.dims == 2:
            shown = (slice(None), slice(None), *in_plane)
            yield from _slice_batches(
                network, spec, inputs[shown], device, region[0], views, total[shown]
            )
        else:
            yield from _boxes(network, spec, inputs, device, region, views, total)
    finally:
        network.train(was_training)
    outside = torch.ones(shape, dtype=torch.bool)
    outside[region] = False
    total[:, outside] = 0
    return total


def _slice_batches(
    network: nn.Module,
    spec: ModelSpec,
    inputs: torch.Tensor,
    device: torch.device,
    slices: slice,
    views: Views,
    total: torch.Tensor,
) -> Iterator[Progress]:
    height, width = inputs.shape[2:]
    indices = list(range(*slices.indices(inputs.shape[1])))
    per_batch = max(1, BATCH_PIXELS // (height * width))
    yield Progress("Segmenting", 0, len(indices))
    for start in range(0, len(indices), per_batch):
        chosen = indices[start : start + per_batch]
        batch = slices_with_context(inputs, chosen, spec.context_slices).to(device)
        if max(height, width) <= MAX_SLICE_SIDE:
            tumor = _probability(network, spec, batch, views)
        else:
            tumor = _tiled(network, spec, batch, (MAX_SLICE_SIDE, MAX_SLICE_SIDE), views)
        total[0, chosen] = tumor.cpu()
        yield Progress("Segmenting", start + len(chosen), len(indices))


def slices_with_context(inputs: torch.Tensor, indices: Sequence[int], context: int) -> torch.Tensor:
    """Batch of slices, each with its neighbors as channels.

    Parameters
    ----------
    inputs : Tensor, shape (C, Z, Y, X)
    indices : sequence of int
        Slices wanted.
    context : int
        Neighbors on each side; beyond the ends the last slice is repeated.

    Returns
    -------
    Tensor, shape (len(indices), C * (1 + 2 * context), Y, X)
        Channels of the lowest neighbor first.
    """
    import torch

    depth = inputs.shape[1]
    offsets = range(-context, context + 1)
    wanted = [[min(max(z + offset, 0), depth - 1) for offset in offsets] for z in indices]
    stacked = inputs[:, torch.tensor(wanted)]  # (C, B, offsets, Y, X)
    batch, channels = len(indices), inputs.shape[0] * len(offsets)
    return stacked.permute(1, 2, 0, 3, 4).reshape(batch, channels, *inputs.shape[2:])


def _boxes(
    network: nn.Module,
    spec: ModelSpec,
    inputs: torch.Tensor,
    device: torch.device,
    region: Region,
    views: Views,
    total: torch.Tensor,
) -> Iterator[Progress]:
    import torch
    from monai.data.utils import compute_importance_map, dense_patch_slices
    from torch.nn.functional import pad

    # Grow the region to at least one patch where the volume allows it.
    grown = tuple(
        _grow(part, size, wanted)
        for part, size, wanted in zip(region, inputs.shape[1:], spec.patch_size, strict=True)
    )
    part = inputs[(slice(None), *grown)]
    missing = [
        max(0, want - have) for want, have in zip(spec.patch_size, part.shape[1:], strict=True)
    ]
    padded = pad(part, [n for m in reversed(missing) for n in (0, m)])
    steps = [max(1, n // 2) for n in spec.patch_size]
    tiles = dense_patch_slices(padded.shape[1:], spec.patch_size, steps)
    weights = compute_importance_map(spec.patch_size, mode="gaussian", sigma_scale=0.125)
    summed = torch.zeros(padded.shape[1:])
    weight_sum = torch.zeros(padded.shape[1:])
    yield Progress("Segmenting", 0, len(tiles))
    for done, tile in enumerate(tiles, start=1):
        batch = padded[(slice(None), *tile)][None].to(device)
        summed[tile] += _probability(network, spec, batch, views)[0].cpu() * weights
        weight_sum[tile] += weights
        yield Progress("Segmenting", done, len(tiles))
    kept = tuple(slice(0, n) for n in part.shape[1:])
    total[0][grown] = (summed / weight_sum)[kept]


def _tiled(
    network: nn.Module, spec: ModelSpec, batch: torch.Tensor, tile: tuple[int, int], views: Views
) -> torch.Tensor:
    from monai.inferers import sliding_window_inference

    result: torch.Tensor = sliding_window_inference(
        batch,
        tile,
        sw_batch_size=1,
        predictor=lambda x: _probability(network, spec, x, views)[:, None],
        overlap=0.25,
        mode="gaussian",
    )
    return result[:, 0]


def _probability(
    network: nn.Module, spec: ModelSpec, batch: torch.Tensor, views: Views
) -> torch.Tensor:
    """Tumor probability (B, [Z,] Y, X) of a batch of any size: the mean over the views."""
    import torch
    from torch.nn.functional import interpolate

    def look(is_mirrored: bool, scale: float) -> torch.Tensor:
        seen = batch.flip(-1) if is_mirrored else batch
        if scale != 1:
            size = [max(1, round(n * scale)) for n in batch.shape[2:]]
            seen = interpolate(seen, size=size, mode="bilinear")
        tumor = _padded_probability(network, spec, seen)
        if scale != 1:
            tumor = interpolate(tumor, size=batch.shape[2:], mode="bilinear")
        return tumor.flip(-1) if is_mirrored else tumor

    with torch.no_grad():
        total = look(*views[0])
        for view in views[1:]:
            total = total + look(*view)
        return total[:, 0] / len(views)


def _padded_probability(network: nn.Module, spec: ModelSpec, batch: torch.Tensor) -> torch.Tensor:
    """Tumor probability (B, 1, [Z,] Y, X): padded to a size the network takes, and cut back."""
    import torch
    from torch.nn.functional import pad

    sizes = batch.shape[2:]
    missing = [-n % spec.divisor for n in sizes]
    padding = [n for m in reversed(missing) for n in (0, m)]
    kept = (slice(None), slice(None), *(slice(0, n) for n in sizes))
    padded = pad(batch, padding)
    if spec.dims == 2:
        padded = padded.contiguous(memory_format=torch.channels_last)
    tumor: torch.Tensor = network(padded).float().softmax(1)[:, TUMOR : TUMOR + 1]
    return tumor[kept]


def _join_slices(tumor: torch.Tensor, spec: ModelSpec, prepared: Prepared, slices: slice) -> None:
    """Smooth the probability along z over the slices segmented, as the spec says."""
    from scipy.ndimage import gaussian_filter1d

    spacing_mm = prepared.grid.spacing_mm
    if spec.through_plane_mm == 0 or spacing_mm is None:
        return
    working_mm = spacing_mm[0] * prepared.grid.shape[0] / tumor.shape[1]
    part = tumor[0, slices].numpy()
    gaussian_filter1d(part, spec.through_plane_mm / working_mm, axis=0, mode="nearest", output=part)


def _grow(part: slice, size: int, wanted: int) -> slice:
    missing = max(0, wanted - (part.stop - part.start))
    start = max(0, part.start - missing // 2)
    stop = min(size, max(part.stop, start + max(wanted, part.stop - part.start)))
    return slice(max(0, min(start, stop - wanted)), stop)
