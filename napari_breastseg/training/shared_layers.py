"""What several processes compute together: whole batches, and batch norm over them.

torch's own SyncBatchNorm runs on GPUs only. Imports torch: load it late.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.autograd import Function

__all__ = ["SharedBatchNorm", "Sum", "Whole"]


class Whole(Function):
    """Shares of all processes joined; the gradient of a share is the sum of what all give it."""

    @staticmethod
    def forward(ctx: Any, share: torch.Tensor) -> torch.Tensor:
        """Concatenate in the order of ranks."""
        parts = [
            torch.empty_like(share, memory_format=torch.contiguous_format)
            for _ in range(dist.get_world_size())
        ]
        dist.all_gather(parts, share.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        """Sum over the processes, and cut out this one's share."""
        total = gradients[0].contiguous().clone()
        dist.all_reduce(total)
        return total.chunk(dist.get_world_size())[dist.get_rank()]


class Sum(Function):
    """Sum over the processes; so is the gradient's."""

    @staticmethod
    def forward(ctx: Any, value: torch.Tensor) -> torch.Tensor:
        """Add up."""
        total = value.contiguous().clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        """Add up."""
        total = gradients[0].contiguous().clone()
        dist.all_reduce(total)
        return total


def _sum(value: torch.Tensor) -> torch.Tensor:
    total: torch.Tensor = Sum.apply(value)  # type: ignore[no-untyped-call]
    return total


class SharedBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch norm whose statistics are those of the shares of all processes.

    References
    ----------
    Ioffe, Szegedy: Batch normalization, ICML 2015, arXiv 1502.03167, algorithm 1.
    """

    def _check_input_dim(self, input: torch.Tensor) -> None:
        """Take 2D and 3D batches alike."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Normalized batch (B, C, ...), in its own memory layout."""
        if not self.training:
            return super().forward(input)
        values = input.to(torch.promote_types(input.dtype, torch.float32))
        axes = [0, *range(2, input.ndim)]
        shape = (1, -1, *[1] * (input.ndim - 2))
        # Shares are of one size, so the mean of means is the mean.
        size = values.numel() // values.shape[1] * dist.get_world_size()
        mean = _sum(values.sum(axes)) / size
        centered = values - mean.reshape(shape)
        variance = _sum((centered**2).sum(axes)) / size
        scale = (variance + self.eps).rsqrt() * self.weight
        with torch.no_grad():
            assert self.running_mean is not None  # for the type checker: this package always tracks
            assert self.running_var is not None
            assert self.num_batches_tracked is not None
            assert self.momentum is not None
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * size / (size - 1), self.momentum)
        normed: torch.Tensor = centered * scale.reshape(shape) + self.bias.reshape(shape)
        return normed.to(input.dtype)
