"""What one step of a training does to the network. Imports torch when called; no Qt."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import InputError
from ..model.mixing import move_towards
from .config import TrainConfig
from .loss import segmentation_loss
from .ranks import Ranks

if TYPE_CHECKING:
    import torch

__all__ = [
    "average_into",
    "gradient",
    "has_bfloat16",
    "keep_norm_statistics",
    "more_parts",
    "rate_groups",
    "unfinite",
]


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

    The batch goes through the network in `parts` parts, one after another.
    """
    import torch

    is_mixed = config.mixed_precision and has_bfloat16(device)
    total = 0.0
    for inputs, labels in zip(*(tensor.chunk(parts) for tensor in batch), strict=True):
        with torch.autocast(device.type, torch.bfloat16, enabled=is_mixed):
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


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device computes in bfloat16 faster than in float32: CUDA cards since 2020."""
    import torch

    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def more_parts(parts: int, batch_size: int, device: torch.device) -> int:
    """Parts in which a batch that ran out of memory is tried next: twice as many.

    Raises
    ------
    InputError
        If every part was a single patch already.
    """
    if parts >= batch_size:
        raise InputError(
            "Expected enough memory for the network and one patch",
            f"found the {device.type} device out of memory",
            "Close other programs that use the device, or train with --device cpu",
        )
    return min(2 * parts, batch_size)


def unfinite(loss: float, norm: float, step: int, output: Path) -> InputError:
    """The error that ends a run whose loss or gradient is NaN or infinite."""
    value, what = (norm, "gradient") if math.isfinite(loss) else (loss, "loss")
    figure = f"{'NaN' if math.isnan(value) else 'infinite'} {what}"
    kept = f"The model before that step is in {output / 'last'}: " if step else ""
    return InputError(
        "Expected a finite loss and a finite gradient",
        f"found that training diverged at step {step + 1} ({figure})",
        f"{kept}train again with a smaller learning rate, and check the images for extreme values",
    )


def average_into(
    averaged: torch.nn.Module, network: torch.nn.Module, decay: float, step: int
) -> None:
    """Move the running average towards the network; it follows faster in the first steps."""
    decay = min(decay, (1 + step) / (10 + step)) if decay else 0.0
    move_towards(averaged, network, 1.0 - decay)


def rate_groups(network: torch.nn.Module, encoder_rate: float) -> list[dict[str, object]]:
    """Parameters of encoder and decoder, each with ``relative_rate``, for an optimizer.

    An encoder of rate 0 is left out altogether: weight decay would move it, too.
    """
    encoder: list[torch.nn.Parameter] = []
    decoder: list[torch.nn.Parameter] = []
    for name, parameter in network.named_parameters():
        (encoder if name.startswith(("stem.", "downs.")) else decoder).append(parameter)
    for parameter in encoder:
        parameter.requires_grad_(encoder_rate > 0)
    groups: list[dict[str, object]] = [{"params": decoder, "relative_rate": 1.0}]
    if encoder_rate > 0:
        groups.append({"params": encoder, "relative_rate": encoder_rate})
    return groups


def keep_norm_statistics(network: torch.nn.Module) -> None:
    """Let every batch norm use the statistics it has, and learn none."""
    from torch import nn

    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
