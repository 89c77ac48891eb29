"""What an exam looks like to a model, and how much of a site's own model suits it.

Imports torch when called; no Qt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..imaging.preprocessing import Prepared, SliceSource
from ..model.unet import place
from .passes import batch_of

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ..model.checkpoint import Checkpoint
    from ..model.unet import ModelSpec

__all__ = ["can_be_likened", "exam_features", "site_share", "slices_looked_at"]

LOOKED_AT = 6
"""Slices of an exam that are looked at, evenly spaced: each shows how a scanner's images look."""

LARGEST_SIDE = 512
"""Pixels of a slice's middle that are looked at, in each direction."""


def can_be_likened(spec: ModelSpec) -> bool:
    """Whether exams can be compared with a site's: for 2D and 2.5D networks of this package."""
    return spec.dims == 2 and spec.foreign is None


def slices_looked_at(depth: int) -> list[int]:
    """The slices along z of an exam of so many that are looked at.

    Of an exam that is only these, all of them.
    """
    count = min(depth, LOOKED_AT)
    return [int((n + 0.5) * depth / count) for n in range(count)]


def exam_features(
    network: nn.Module, spec: ModelSpec, prepared: Prepared | SliceSource, device: torch.device
) -> NDArray[np.float32]:
    """What the encoder of a network sees in an exam: each channel's mean at every level.

    Which phases are there, how bright and sharp they are, and what part of the body they show
    all move these means.

    Parameters
    ----------
    network : Module
        In evaluation mode, of the architecture that `spec` describes.
    spec : ModelSpec
        2D, see `can_be_likened`.
    prepared : Prepared or SliceSource
    device : torch.device

    Returns
    -------
    array, shape (features,), float32
        As many as the encoder's levels have channels in all.
    """
    import torch
    from torch.nn.functional import pad

    chosen = slices_looked_at(prepared.shape[0])
    middle = [
        slice(max(0, (n - LARGEST_SIDE) // 2), max(0, (n - LARGEST_SIDE) // 2) + LARGEST_SIDE)
        for n in prepared.shape[1:]
    ]
    layout = place(network, device, spec.dims)
    total: torch.Tensor | None = None
    for z in chosen:
        batch = batch_of(prepared, spec, [z])[(slice(None), slice(None), *middle)]
        height, width = batch.shape[2:]
        batch = pad(batch, (0, -width % spec.divisor, 0, -height % spec.divisor))
        with torch.no_grad():
            seen = network.stem(batch.to(device, memory_format=layout))  # type: ignore[operator]
            means = [seen.mean((2, 3))]
            for down in network.downs:  # type: ignore[union-attr]
                seen = down(seen)
                means.append(seen.mean((2, 3)))
        features = torch.cat(means, 1)[0].float().cpu()
        total = features if total is None else total + features
    assert total is not None  # for the type checker: an exam has slices
    array: NDArray[np.float32] = (total / len(chosen)).numpy()
    return array


def site_share(
    checkpoint: Checkpoint, prepared: Prepared | SliceSource, device: torch.device
) -> float | None:
    """Share of the site's network that suits an exam, 0 to 1; None for a model of one network.

    Parameters
    ----------
    checkpoint : Checkpoint
    prepared : Prepared or SliceSource
        The exam as the checkpoint's spec wants it.
    device : torch.device
    """
    site, general = checkpoint.info.site, checkpoint.general
    if site is None or general is None:
        return None
    features = exam_features(general, checkpoint.spec, prepared, device)
    return site.share(features, prepared.roles)
