"""A click network whose answers are known: it marks what enhances."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from napari_breastseg.clicks.prompts import CHANNELS, SIDE
from napari_breastseg.model.checkpoint import Checkpoint, ModelInfo
from napari_breastseg.model.unet import ModelSpec

INPUTS = ("pre", "post1", "post1-pre")


class Bright(nn.Module):
    """Marks what enhances, but nothing about a click that says it is no lesion."""

    def forward(self, x: Any) -> Any:
        level = x[:, 2] - 0.4
        said_not = nn.functional.max_pool2d(x[:, len(INPUTS) + 1], 127, stride=1, padding=63)
        return torch.stack([torch.zeros_like(level), 12 * (level - 2 * (said_not > 0.1))], 1)


def bright_network() -> Checkpoint:
    """It as a checkpoint."""
    spec = ModelSpec(inputs=INPUTS, missing="zero", prompts=CHANNELS, patch_size=(SIDE, SIDE))
    return Checkpoint(ModelInfo(name="bright", spec=spec), Bright())
