"""Passes of an exam through a network: batches of slices, tiles, mirrored and scaled views.

2D and 2.5D models see whole slices; large slices and 3D models go tile by tile with Gaussian
weights.

The tiles of a volume are MONAI's `dense_patch_slices` with its `compute_importance_map`, as in its
`sliding_window_inference`, which cannot report progress or stop between two tiles. The parts of its
`PatchInferer` could, but `AvgMerger` takes no weights: seams would show between tiles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..core.progress import Job, Progress
from ..core.region import Region
from ..core.volume import TUMOR
from ..imaging.preprocessing import Prepared, SliceSource, stack_inputs
from ..model.monai_switch import import_monai
from ..model.unet import place

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ..model.unet import ModelSpec

__all__ = [
    "ONE_VIEW",
    "SlicesSeen",
    "Views",
    "batch_of",
    "looks",
    "predict_working",
    "seen_slices",
    "slices_with_context",
    "tumor_probability",
]


@dataclass(frozen=True)
class SlicesSeen(Progress):
    """Some slices' probability, before findings are sorted out of the whole."""

    slices: tuple[int, ...] = ()
    """Along z."""

    probability: Any = None
    """Tumor probability (slice, Y, X): a Tensor on the working grid, an array on the exam's."""


Views = tuple[tuple[bool, float], ...]
"""Views of an image whose predictions are averaged: (whether mirrored, scale)."""

ONE_VIEW: Views = ((False, 1.0),)

MAX_SLICE_SIDE = 768
"""Largest side, in pixels, of a slice that a 2D model sees in one piece."""

BATCH_PIXELS, GPU_BATCH_PIXELS = 300_000, 4_000_000
"""Pixels of one pass through a 2D network: bounds memory, keeps Cancel within a second. On a CPU
four slices of 448 x 448 in one pass take a fifth longer than one after another."""


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

    region = region or _everything(prepared)
    total = torch.zeros((1, *prepared.shape))
    if spec.dims == 2:
        job = seen_slices(network, spec, prepared, device, region=region, field=field, views=views)
        for progress in job:
            if isinstance(progress, SlicesSeen):
                total[0, list(progress.slices)] = progress.probability
            yield Progress("Segmenting", progress.done, progress.total)
        return total
    inputs = stack_inputs(prepared.phases, prepared.roles, spec.inputs)
    with _answering(network, device, spec.dims):
        yield from _boxes(network, spec, inputs, device, region, views, total)
    outside = torch.ones(prepared.shape, dtype=torch.bool)
    outside[region] = False
    total[:, outside] = 0
    return total


def seen_slices(
    network: nn.Module,
    spec: ModelSpec,
    prepared: Prepared | SliceSource,
    device: torch.device,
    *,
    region: Region | None = None,
    field: Region | None = None,
    views: Views = ONE_VIEW,
    first: int | None = None,
) -> Iterator[Progress]:
    """What a 2D network says of each slice that a region touches, as soon as it says it.

    Parameters
    ----------
    network, spec, device, region, field, views
        As for `predict_working`.
    prepared : Prepared or SliceSource
    first : int, optional
        The slice along z that is seen first, then outward; from the lowest up by default.

    Yields
    ------
    Progress
        `SlicesSeen` with Tensors (n, Y, X) on the CPU, whole slices of the working grid.
    """
    import torch

    region = region or _everything(prepared)
    _, *in_plane = field or _everything(prepared)
    indices = list(range(*region[0].indices(prepared.shape[0])))
    if first is not None:
        indices.sort(key=lambda z: abs(z - first))
    shown = (slice(None), slice(None), *in_plane)
    height, width = (
        len(range(*part.indices(n))) for part, n in zip(in_plane, prepared.shape[1:], strict=True)
    )
    pixels = BATCH_PIXELS if device.type == "cpu" else GPU_BATCH_PIXELS
    per_batch = max(1, pixels // (height * width))
    yield Progress("Segmenting", 0, len(indices))
    with _answering(network, device, spec.dims):
        for start in range(0, len(indices), per_batch):
            chosen = indices[start : start + per_batch]
            batch = batch_of(prepared, spec, chosen)[shown].to(device)
            if max(height, width) <= MAX_SLICE_SIDE:
                tumor = tumor_probability(network, spec, batch, views)
            else:
                tumor = _tiled(network, spec, batch, (MAX_SLICE_SIDE, MAX_SLICE_SIDE), views)
            seen = torch.zeros((len(chosen), *prepared.shape[1:]))
            seen[shown[1:]] = tumor.cpu()
            kept = torch.zeros_like(seen)
            kept[(slice(None), *region[1:])] = seen[(slice(None), *region[1:])]
            yield SlicesSeen(
                "Segmenting",
                start + len(chosen),
                len(indices),
                slices=tuple(chosen),
                probability=kept,
            )


def _everything(prepared: Prepared | SliceSource) -> Region:
    depth, height, width = prepared.shape
    return slice(0, depth), slice(0, height), slice(0, width)


@contextmanager
def _answering(network: nn.Module, device: torch.device, dims: int) -> Iterator[None]:
    """The network on its device, ready to predict with; afterwards it learns again if it did."""
    was_training = network.training
    place(network.eval(), device, dims)
    try:
        yield
    finally:
        network.train(was_training)


def batch_of(
    prepared: Prepared | SliceSource, spec: ModelSpec, chosen: Sequence[int]
) -> torch.Tensor:
    """Network inputs of some slices, (n, channels, Y, X), of no more slices than they need."""
    wanted = _neighbors(chosen, spec.context_slices, prepared.shape[0])
    needed = sorted({z for row in wanted for z in row})
    inputs = stack_inputs(prepared.phases_at(needed), prepared.roles, spec.inputs)
    place_of = {z: place for place, z in enumerate(needed)}
    return _gathered(inputs, [[place_of[z] for z in row] for row in wanted])


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
    return _gathered(inputs, _neighbors(indices, context, inputs.shape[1]))


def _neighbors(indices: Sequence[int], context: int, depth: int) -> list[list[int]]:
    """Each slice with its neighbors on both sides, lowest first."""
    offsets = range(-context, context + 1)
    return [[min(max(z + offset, 0), depth - 1) for offset in offsets] for z in indices]


def _gathered(inputs: torch.Tensor, wanted: list[list[int]]) -> torch.Tensor:
    import torch

    stacked = inputs[:, torch.tensor(wanted)]  # (C, B, offsets, Y, X)
    batch, channels = len(wanted), inputs.shape[0] * len(wanted[0])
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

    import_monai()
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
        summed[tile] += tumor_probability(network, spec, batch, views)[0].cpu() * weights
        weight_sum[tile] += weights
        yield Progress("Segmenting", done, len(tiles))
    kept = tuple(slice(0, n) for n in part.shape[1:])
    total[0][grown] = (summed / weight_sum)[kept]


def _tiled(
    network: nn.Module, spec: ModelSpec, batch: torch.Tensor, tile: tuple[int, int], views: Views
) -> torch.Tensor:
    import_monai()
    from monai.inferers import sliding_window_inference

    result: torch.Tensor = sliding_window_inference(
        batch,
        tile,
        sw_batch_size=1,
        predictor=lambda x: tumor_probability(network, spec, x, views)[:, None],
        overlap=0.25,
        mode="gaussian",
    )
    return result[:, 0]


def tumor_probability(
    network: nn.Module, spec: ModelSpec, batch: torch.Tensor, views: Views
) -> torch.Tensor:
    """Tumor probability (B, [Z,] Y, X) of a batch of any size: the mean over the views."""
    import torch

    def tumor(seen: torch.Tensor) -> torch.Tensor:
        probability: torch.Tensor = network(seen).float().softmax(1)[:, TUMOR : TUMOR + 1]
        return probability

    with torch.no_grad():
        every = looks(tumor, spec, batch, views)
        total = next(every)
        for one in every:
            total = total + one
        return total[:, 0] / len(views)


def looks(
    compute: Callable[[torch.Tensor], torch.Tensor],
    spec: ModelSpec,
    batch: torch.Tensor,
    views: Views,
) -> Iterator[torch.Tensor]:
    """What is computed of each view of a batch of any size, back in the batch's own place.

    Parameters
    ----------
    compute : callable
        Takes a batch whose sizes the network bears, and gives (B, N, [Z,] Y, X) of the same sizes.
    spec : ModelSpec
    batch : Tensor, shape (B, C, [Z,] Y, X)
    views : Views

    Yields
    ------
    Tensor, shape (B, N, [Z,] Y, X)
        Of one view after another.
    """
    from torch.nn.functional import interpolate

    for is_mirrored, scale in views:
        seen = batch.flip(-1) if is_mirrored else batch
        if scale != 1:
            size = [max(1, round(n * scale)) for n in batch.shape[2:]]
            seen = interpolate(seen, size=size, mode="bilinear")
        found = _padded(compute, spec, seen)
        if scale != 1:
            found = interpolate(found, size=batch.shape[2:], mode="bilinear")
        yield found.flip(-1) if is_mirrored else found


def _padded(
    compute: Callable[[torch.Tensor], torch.Tensor], spec: ModelSpec, batch: torch.Tensor
) -> torch.Tensor:
    """What is computed of a batch padded to a size the network takes, cut back to its own."""
    import torch
    from torch.nn.functional import pad

    sizes = batch.shape[2:]
    missing = [-n % spec.divisor for n in sizes]
    padding = [n for m in reversed(missing) for n in (0, m)]
    kept = (slice(None), slice(None), *(slice(0, n) for n in sizes))
    padded = pad(batch, padding)
    if spec.dims == 2:
        padded = padded.contiguous(memory_format=torch.channels_last)
    return compute(padded)[kept]


def _grow(part: slice, size: int, wanted: int) -> slice:
    missing = max(0, wanted - (part.stop - part.start))
    start = max(0, part.start - missing // 2)
    stop = min(size, max(part.stop, start + max(wanted, part.stop - part.start)))
    return slice(max(0, min(start, stop - wanted)), stop)
