"""How to train: `TrainConfig` and its learning-rate schedule. Imports pydantic only."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["TrainConfig", "learning_rate"]


class TrainConfig(BaseModel):
    """How to train; what to train is the model spec's business."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    steps: int = Field(260, ge=1)
    """Optimizer steps."""

    batch_size: int = Field(8, ge=1)
    """Patches a step."""

    learning_rate: float = Field(6e-3, gt=0)
    """Highest learning rate of the schedule."""

    schedule: Literal["one-cycle", "cosine"] = "one-cycle"
    """one-cycle: up for a quarter of the steps, then down; cosine: from the top down."""

    weight_decay: float = Field(1e-2, ge=0)
    """AdamW's decay."""

    lesion_fraction: float = Field(0.6, ge=0, le=1)
    """Share of patches placed on a tumor."""

    phase_dropout: float = Field(0.5, ge=0, le=1)
    """Share of patches shown with phases left out, for a spec whose `missing` is "zero"."""

    augmentation: float = Field(1.0, ge=0, le=2)
    """Strength of the random variations; 0 switches them off."""

    variation: Literal["usual", "plain", "wide", "wide, any size"] = "usual"
    """usual: what one scanner's exams differ by; plain: the same, but a tumor stays as bright as it
    is against its surroundings; wide: any scanner and any orientation of the
    array, for a target defined by enhancement; "wide, any size": pixels of unknown size, too."""

    dice_over: Literal["batch", "patch"] = "batch"
    """Whether the Dice loss pools all patches of a step, or is a mean over patches, in which
    small tumors count as much as large ones."""

    averaging: float = Field(0.95, ge=0, lt=1)
    """Decay of the running average of the weights, which is what gets saved; 0 for none."""

    validate_every: int = Field(100, ge=1)
    """Steps between validations."""

    save_every: int = Field(50, ge=1)
    """Steps between writes of the state that --resume reads."""

    seed: int = Field(0, ge=0)
    """Decides initial weights, patches and their variation."""

    device: str = "auto"
    """auto, cpu, cuda or mps."""

    loaders: int = Field(1, ge=1)
    """Processes that make patches, for a GPU that would wait for them; 1 is a thread of this
    process. The patches are the same."""

    replay: float = Field(0.0, ge=0, lt=1)
    """Share of each step's patches that comes from synthetic exams, see `replay`."""

    norm_statistics: Literal["batch", "base"] = "batch"
    """batch: batch norms use and learn the statistics of each step; base: they keep those of the
    model that is fine-tuned, which a few exams would only make worse."""

    encoder_rate: float = Field(1.0, ge=0, le=1)
    """Learning rate of the encoder, relative to the decoder's; 0 freezes it."""

    base_share: float = Field(0.0, ge=0, lt=1)
    """What is saved is the average of the base model's weights and the trained ones, with this
    share of the base: the larger, the less is forgotten and the less is learned."""

    keeps_base: bool = False
    """Keep the base model beside the trained one in the checkpoint, and choose their share exam by
    exam, see `model.site`. For 2D networks."""

    correction_weight: float = Field(2.0, ge=1)
    """How often a voxel that the reader changed in the draft counts in the cross-entropy; a voxel
    left as it was, or of a case without a draft, counts once. Measured differences between 1, 2 and
    5 are those of chance (benchmarks/results/correction_weight.md)."""

    mixed_precision: bool = True
    """On a CUDA card that has it, compute the network in bfloat16; elsewhere without effect."""

    @property
    def replayed_patches(self) -> int:
        """Patches of each step that come from synthetic exams."""
        return round(self.replay * self.batch_size)


def learning_rate(step: int, config: TrainConfig) -> float:
    """Learning rate of a step, counted from 0.

    Examples
    --------
    >>> config = TrainConfig(steps=100, learning_rate=1.0)
    >>> round(learning_rate(25, config), 3), learning_rate(99, config) < 0.01
    (1.0, True)
    """
    rise = 0.25 * config.steps if config.schedule == "one-cycle" else 0.0
    if step < rise:
        return config.learning_rate * (0.04 + 0.96 * 0.5 * (1 - math.cos(math.pi * step / rise)))
    done = (step - rise) / max(1.0, config.steps - rise)
    return config.learning_rate * (0.001 + 0.999 * 0.5 * (1 + math.cos(math.pi * done)))
