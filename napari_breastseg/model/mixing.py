"""Networks between two others of one architecture. Imports torch when called; no Qt."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

__all__ = ["mixed", "move_towards"]


def mixed(trained: nn.Module, base: nn.Module, base_share: float) -> nn.Module:
    """Network whose weights are the average of two, with this share of the second.

    References
    ----------
    Wortsman et al.: Robust fine-tuning of zero-shot models, CVPR 2022,
    doi 10.1109/CVPR52688.2022.00780.
    """
    if base_share == 0:
        return trained
    from copy import deepcopy

    between = deepcopy(trained)
    move_towards(between, base, base_share)
    return between


def move_towards(network: nn.Module, other: nn.Module, share: float) -> None:
    """Move a network's weights and statistics so much of the way towards another's, 0 to 1."""
    import torch

    with torch.no_grad():
        there = other.state_dict()
        for key, value in network.state_dict().items():
            wanted = there[key].to(value.device)
            if value.is_floating_point():
                value.lerp_(wanted, share)
            else:
                value.copy_(wanted)
