"""The few blocks of the U-Net, with the names and weights of MONAI's, which take seconds to import.

A network of these loads what one of `monai.networks.blocks.Convolution` and of
`monai.networks.nets.basic_unet` wrote, starts from the same fresh weights under the same seed, and
gives the same logits. Imports torch: to be imported late.
"""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["Convolution", "Down", "TwoConv", "UpCat"]

_CONVOLUTIONS = {2: nn.Conv2d, 3: nn.Conv3d}
_UPWARD = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
_POOLS = {2: nn.MaxPool2d, 3: nn.MaxPool3d}
_BATCH_NORMS = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
_INSTANCE_NORMS = {2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}

_GROUPS = 4
_SLOPE = 0.1


def _norm(dims: int, kind: str, width: int) -> nn.Module:
    if kind == "instance":
        return _INSTANCE_NORMS[dims](width, affine=True)
    return nn.GroupNorm(_GROUPS, width) if kind == "group" else _BATCH_NORMS[dims](width)


class Convolution(nn.Sequential):
    """A convolution, its normalization, dropout where a probability is given, and LeakyReLU."""

    def __init__(
        self,
        dims: int,
        before: int,
        after: int,
        *,
        norm: str,
        dropout: float | None = None,
        kernel: int = 3,
        stride: int = 1,
    ) -> None:
        super().__init__()
        self.conv = _CONVOLUTIONS[dims](before, after, kernel, stride, padding=1, bias=False)
        self.adn = nn.Sequential()
        self.adn.add_module("N", _norm(dims, norm, after))
        if dropout is not None:
            self.adn.add_module("D", nn.Dropout(dropout))
        self.adn.add_module("A", nn.LeakyReLU(_SLOPE, inplace=True))


class TwoConv(nn.Sequential):
    """Two convolutions, one after the other."""

    def __init__(self, dims: int, before: int, after: int, *, norm: str, dropout: float) -> None:
        super().__init__()
        self.conv_0 = Convolution(dims, before, after, norm=norm, dropout=dropout)
        self.conv_1 = Convolution(dims, after, after, norm=norm, dropout=dropout)


class Down(nn.Sequential):
    """To half the size, and two convolutions."""

    def __init__(self, dims: int, before: int, after: int, *, norm: str, dropout: float) -> None:
        super().__init__()
        self.max_pooling = _POOLS[dims](2)
        self.convs = TwoConv(dims, before, after, norm=norm, dropout=dropout)


class UpCat(nn.Module):
    """To twice the size, joined with what the encoder saw at that size, and two convolutions."""

    def __init__(self, dims: int, before: int, after: int, *, norm: str, dropout: float) -> None:
        super().__init__()
        self.upsample = nn.Sequential()
        self.upsample.add_module("deconv", _UPWARD[dims](before, before // 2, 2, 2))
        joined = after + before // 2
        self.convs = TwoConv(dims, joined, after, norm=norm, dropout=dropout)

    def forward(self, x: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        """Coarse features, and the encoder's of twice their size."""
        made: torch.Tensor = self.convs(torch.cat([seen, self.upsample(x)], dim=1))
        return made
