"""What one step of a training does to the network. Imports torch when called; no Qt."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from .config import TrainConfig
from .loss import segmentation_loss
from .ranks import Ranks

if TYPE_CHECKING:
    import torch

__all__ = ["average_into", "gradient", "more_parts", "unfinite"]


def gradient(
    network: torch.nn.Module,
    batch: tuple[torch.Tensor, torch.Tensor],
    config: TrainConfig,
    device: torch.device,
    layout: torch.memory_format,
    parts: int,
    ranks: Ranks,
) -> float:
    """Loss of a batch, its gradient left in the network's parameters.

    The batch goes through the network in so many parts, one after another.
    """
    import torch

    has_bfloat16 = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    total = 0.0
    for inputs, labels in zip(*(tensor.chunk(parts) for tensor in batch), strict=True):
        with torch.autocast(
            device.type, torch.bfloat16, enabled=config.mixed_precision and has_bfloat16
        ):
            logits = network(inputs.to(device, memory_format=layout))
        loss = segmentation_loss(
            ranks.whole(logits.to(torch.promote_types(logits.dtype, torch.float32))),
            ranks.whole(labels.to(device)),
            dice_over_batch=config.dice_over == "batch",
            correction_weight=config.correction_weight,
        )
        loss = loss * (len(inputs) / len(batch[0]))
        loss.backward()  # type: ignore[no-untyped-call]
        total += float(loss.detach())
    ranks.average_gradients(network)
    return total


def more_parts(parts: int, batch_size: int, device: torch.device) -> int:
    """Parts in which a batch that ran out of memory is tried next: twice as many.

    Raises
    ------
    InputError
        If every part was a single patch already.
    """
    if parts >= batch_size:
        raise InputError(
            "Needed memory for the network and one patch",
            f"the {device.type} device ran out of it",
            "Close what else uses the device, or train with --device cpu",
        )
    return min(2 * parts, batch_size)


def unfinite(loss: float, norm: float, step: int, output: Path) -> InputError:
    """The error that ends a run whose loss or gradient is no number."""
    figure = f"a gradient of {norm}" if math.isfinite(loss) else f"{loss}"
    kept = f"The model before is kept in {output / 'last'}: " if step else ""
    return InputError(
        "Needed a loss and a gradient that are numbers",
        f"got {figure} at step {step + 1}",
        f"{kept}train again with a smaller learning rate, and check the images for extreme values",
    )


def average_into(
    averaged: torch.nn.Module, network: torch.nn.Module, decay: float, step: int
) -> None:
    """Move the running average towards the network; it follows faster in the first steps."""
    import torch

    decay = min(decay, (1 + step) / (10 + step)) if decay else 0.0
    with torch.no_grad():
        current = network.state_dict()
        for key, value in averaged.state_dict().items():
            if value.is_floating_point():
                value.lerp_(current[key], 1.0 - decay)
            else:
                value.copy_(current[key])
