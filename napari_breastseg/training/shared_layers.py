"""What several processes compute together: whole batches, and batch norm over them.

torch's SyncBatchNorm takes GPU tensors only, and `torch.distributed.nn.functional`, whose gathering
passes gradients on, is deprecated. Imports torch: load it late.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.autograd import Function

__all__ = ["SharedBatchNorm", "Whole"]


class Whole(Function):
    """Shares of all processes joined; the gradient of a share is the sum of what all give it."""

    @staticmethod
    def forward(ctx: Any, share: torch.Tensor) -> torch.Tensor:
        """Concatenate in the order of ranks."""
        share = share.contiguous()
        parts = [torch.empty_like(share) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, share)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        """Sum over the processes, and cut out this one's share."""
        total = gradients[0].contiguous().clone()
        dist.all_reduce(total)
        return total.chunk(dist.get_world_size())[dist.get_rank()]


class SharedBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch norm whose statistics are those of the equal shares of all processes.

    References
    ----------
    Ioffe, Szegedy: Batch normalization, ICML 2015, arXiv 1502.03167, algorithm 1.
    Chan, Golub, LeVeque: Algorithms for computing the sample variance, Am Stat 37 (1983), doi
    10.1080/00031305.1983.10483115: the variance of a whole from those of its parts.
    """

    def _check_input_dim(self, input: torch.Tensor) -> None:
        """Take 2D and 3D batches alike."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Normalized batch (B, C, ...), in its own memory layout."""
        if not self.training:
            return super().forward(input)
        values = input.to(torch.promote_types(input.dtype, torch.float32))
        moments = torch.var_mean(values, [0, *range(2, values.ndim)], correction=0)
        every = Whole.apply(torch.stack(moments)[None])  # type: ignore[no-untyped-call]
        variances, means = every.unbind(1)
        mean = means.mean(0)
        variance = variances.mean(0) + means.var(0, correction=0)
        size = values.numel() // values.shape[1] * dist.get_world_size()
        with torch.no_grad():
            # For the type checker: this package's norms always track their statistics.
            assert self.running_mean is not None
            assert self.running_var is not None
            assert self.num_batches_tracked is not None
            assert self.momentum is not None
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * size / (size - 1), self.momentum)
        shape = (1, -1, *[1] * (values.ndim - 2))
        scale = (variance + self.eps).rsqrt() * self.weight
        offset = self.bias - mean * scale
        normed: torch.Tensor = values * scale.reshape(shape) + offset.reshape(shape)
        return normed.to(input.dtype)
