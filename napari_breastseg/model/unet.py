"""The network a `ModelSpec` describes: a U-Net, 2D, 2.5D or 3D.

Imports torch inside `build` only, so that reading a spec stays cheap. No Qt, no I/O.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ..core.volume import Exam
from ..imaging.preprocessing import LAST, LEAST, available_roles, input_phases, is_available
from .bounds import MOST_ACTIVATIONS, MOST_WEIGHTS, require_affordable, unet_weights
from .foreign_monai import MonaiNetwork
from .foreign_nnunet import NnunetNetwork

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["ModelSpec", "build", "folded", "place"]

TUMOR_SHARE = 0.03
"""Share of tumor pixels that an untrained network predicts."""


_Percentile = Annotated[float, Field(ge=0.0, le=100.0)]
_SpacingMm = Annotated[float, Field(ge=0.02, le=100.0)]


class ModelSpec(BaseModel):
    """Everything that decides what a model takes, how it is built and what it gives."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    dims: Literal[2, 3] = 2
    """2: slice by slice; 3: boxes of voxels."""

    context_slices: int = Field(0, ge=0, le=4)
    """Neighboring slices on each side given as further channels (2.5D); needs `dims` 2."""

    inputs: tuple[str, ...] = Field(("post1",), min_length=1, max_length=32)
    """Input channels: phases, or differences such as "post1-pre"; also of "last" and "least", see
    `preprocessing.LAST`."""

    prompts: tuple[str, ...] = Field((), max_length=32)
    """Further input channels that say what a reader clicked, see `clicks.prompts.CHANNELS`; empty
    for a model that segments unasked."""

    missing: Literal["refuse", "zero"] = "refuse"
    """What an exam's missing phase means: refuse, or zeros in the inputs made of it, for a model
    trained with phases left out at random."""

    labels: dict[str, int] = {"background": 0, "tumor": 1}
    """Output classes by name."""

    spacing_mm: tuple[_SpacingMm | None, _SpacingMm, _SpacingMm] | None = None
    """Working spacing (z, y, x) in mm; None works on the exam's own pixels."""

    percentiles: tuple[_Percentile, _Percentile] = (0.5, 99.5)
    """Percentiles of the intensities of all phases that become 0 and 1."""

    features: tuple[Annotated[int, Field(ge=1, le=2048)], ...] = Field(
        (16, 32, 64, 128), min_length=2, max_length=8
    )
    """Channels per level, finest first; every level halves the one before."""

    stem_stride: Literal[1, 2] = 1
    """2: the first level works at half resolution, the output is brought back up."""

    norm: Literal["batch", "instance", "group"] = "batch"
    """Normalization layer. On a CPU batch norm costs half of what instance norm does."""

    through_plane_mm: float = Field(0.0, ge=0.0, le=100.0)
    """Standard deviation, in mm along z, of the Gaussian that smooths the probabilities of a 2D
    model across slices: what only one thin slice shows is seldom a tumor. 0 smooths nothing."""

    mirrored: bool = False
    """Average the probability over the image and its left-right mirror image, in twice the time."""

    scales: tuple[float, ...] = Field((1.0,), min_length=1, max_length=8)
    """Scales at which a slice of unknown pixel size is predicted; the probability is averaged over
    them, as the tumor's size in pixels then says little. For `dims` 2."""

    dropout: float = Field(0.0, ge=0.0, lt=1.0)
    """Probability of dropping a value in every convolution block while training."""

    patch_size: tuple[Annotated[int, Field(ge=1, le=4096)], ...] = (160, 160)
    """Size trained on, and of a tile when predicting: (Y, X), or (Z, Y, X) in 3D."""

    foreign: MonaiNetwork | NnunetNetwork | None = Field(None, discriminator="source")
    """A network of another library, with its own preprocessing: the fields that describe ours then
    have no meaning. None for ours."""

    @model_validator(mode="before")
    @classmethod
    def _forget_hidden_regions(cls, values: Any) -> Any:
        """Earlier versions hid regions under a share of the largest; a score does that now."""
        gone = ("least_share", "least_share_in")
        return (
            {k: v for k, v in values.items() if k not in gone}
            if isinstance(values, dict)
            else values
        )

    @field_validator("labels")
    @classmethod
    def _labels_count_up(cls, labels: dict[str, int]) -> dict[str, int]:
        if len(labels) > 64:
            raise ValueError(f"at most 64 labels are allowed, got {len(labels)}")
        if sorted(labels.values()) != list(range(len(labels))) or labels.get("tumor") != 1:
            raise ValueError(f"labels must count 0, 1, ... with tumor = 1, got {labels}")
        return labels

    @model_validator(mode="after")
    def _fields_agree(self) -> ModelSpec:
        if self.context_slices and self.dims == 3:
            raise ValueError("context_slices is for dims 2; a 3D network sees its neighbors anyway")
        if any(not 0.25 <= scale <= 4 for scale in self.scales):
            raise ValueError(f"scales must lie between 0.25 and 4, got {self.scales}")
        if self.dims == 3 and self.scales != (1.0,):
            raise ValueError(f"scales are for dims 2, got {self.scales}")
        if len(self.patch_size) != self.dims:
            raise ValueError(f"patch_size needs {self.dims} numbers, got {self.patch_size}")
        if not self.percentiles[0] < self.percentiles[1]:
            raise ValueError(f"percentiles must ascend, got {self.percentiles}")
        if self.foreign is None:
            self._require_affordable()
        if self.foreign is None and any(n % self.divisor for n in self.patch_size[-2:]):
            raise ValueError(
                f"patch_size must be a multiple of {self.divisor} in plane, got {self.patch_size}"
            )
        return self

    def _require_affordable(self) -> None:
        """Raise ValueError where the network or one of its tiles would not fit into memory."""
        if unet_weights(self.dims, self.in_channels, self.features) > MOST_WEIGHTS:
            raise ValueError(
                f"features must give at most {MOST_WEIGHTS // 1_000_000} million weights"
            )
        if self.features[0] * math.prod(self.patch_size) > MOST_ACTIVATIONS:
            raise ValueError("patch_size and features are too large together")
        if self.norm == "group" and any(width % 4 for width in self.features):
            raise ValueError(f"group norm needs features in multiples of 4, got {self.features}")

    @property
    def phases(self) -> tuple[str, ...]:
        """Phases an exam must have."""
        return tuple(role for role in input_phases(self.inputs) if role not in (LAST, LEAST))

    @property
    def uses_all_posts(self) -> bool:
        """Whether later post-contrast phases are used, too, where the exam has some."""
        return len(self.phases) < len(input_phases(self.inputs))

    @property
    def title(self) -> str:
        """Kind of network, in words a user reads."""
        kind = "3D" if self.dims == 3 else "2D"
        if self.foreign is not None:
            return f"{kind} {self.foreign.title}"
        if self.context_slices:
            kind = f"2.5D (+-{self.context_slices})"
        return f"{kind} U-Net, {self.norm} norm, channels {self.features}"

    def require(self, exam: Exam, model_name: str) -> tuple[str, ...]:
        """Phases of an exam that the model will use, in the model's order.

        Raises
        ------
        InputError
            If the exam lacks a phase the model cannot do without.
        """
        if self.missing == "refuse":
            exam.require_phases(self.phases, f"model {model_name}")
            return self.phases
        ready_made = [role for role in exam.phases if role.startswith("sub")]
        available = available_roles(exam)
        wanted = (*input_phases(self.inputs), *ready_made)
        used = tuple(role for role in wanted if role in available)
        if not any(is_available(name, used) for name in self.inputs):
            exam.require_phases(input_phases([self.inputs[-1]])[:1], f"model {model_name}")
        return used

    def scales_for(self, exam: Exam) -> tuple[float, ...]:
        """Scales over which the prediction of an exam's slices is averaged."""
        return (1.0,) if exam.grid.has_spacing else self.scales

    @property
    def in_channels(self) -> int:
        """Channels of the network's input."""
        return len(self.inputs) * (1 + 2 * self.context_slices) + len(self.prompts)

    @property
    def divisor(self) -> int:
        """What the sizes of a network input must be a multiple of."""
        return int(2 ** (len(self.features) - 1) * self.stem_stride)


def build(spec: ModelSpec) -> nn.Module:
    """Network of a spec with fresh weights.

    Parameters
    ----------
    spec : ModelSpec

    Returns
    -------
    torch.nn.Module
        Maps (B, in_channels, [Z,] Y, X) to logits (B, classes, [Z,] Y, X); the sizes must be
        multiples of ``spec.divisor`` (the Z of a 3D input too).

    References
    ----------
    Ronneberger, Fischer, Brox: U-Net, MICCAI 2015, doi 10.1007/978-3-319-24574-4_28.
    """
    if spec.foreign is not None:
        require_affordable(spec.foreign.build, spec.foreign.title)
        return spec.foreign.build()
    from torch import nn

    from .blocks import Convolution, Down, TwoConv, UpCat

    shared: dict[str, Any] = {"norm": spec.norm, "dropout": spec.dropout}
    classes = len(spec.labels)

    class UNet(nn.Module):
        """Encoder and decoder joined by skips, with an optional half-resolution stem."""

        def __init__(self) -> None:
            super().__init__()
            widths = spec.features
            entry: nn.Module = nn.Identity()
            first_in = spec.in_channels
            if spec.stem_stride == 2:
                entry = Convolution(
                    spec.dims, first_in, widths[0], norm=spec.norm, kernel=4, stride=2
                )
                first_in = widths[0]
            self.stem = nn.Sequential(entry, TwoConv(spec.dims, first_in, widths[0], **shared))
            self.downs = nn.ModuleList(
                Down(spec.dims, finer, coarser, **shared) for finer, coarser in pairwise(widths)
            )
            self.ups = nn.ModuleList(
                # Sizes are multiples of the divisor: nothing to pad, which costs time even so.
                UpCat(spec.dims, coarser, finer, **shared)
                for coarser, finer in pairwise(reversed(widths))
            )
            kind = nn.Conv2d if spec.dims == 2 else nn.Conv3d
            last = kind(widths[0], classes, 1)
            head = nn.Sequential(OrderedDict(conv=last))
            # Tumor is rare: starting from that belief saves the first hundred steps.
            assert last.bias is not None  # for the type checker
            nn.init.constant_(last.bias[1:], math.log(TUMOR_SHARE))
            self.head = nn.Sequential(head)
            if spec.stem_stride == 2:
                mode = "bilinear" if spec.dims == 2 else "trilinear"
                self.head.append(nn.Upsample(scale_factor=2, mode=mode, align_corners=False))

        def features(self, x: torch.Tensor) -> torch.Tensor:
            """What the head sees, (B, features[0], [Z,] Y, X); half size where the stem halves."""
            skips = [self.stem(x)]
            for down in self.downs:
                skips.append(down(skips[-1]))
            x = skips.pop()
            for up in self.ups:
                x = up(x, skips.pop())
            return x

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.head(self.features(x))
            return logits

    return UNet()


def folded(network: nn.Module) -> nn.Module:
    """Copy of a trained network with each batch norm folded into its convolution.

    Gives the same logits within rounding, in about nine tenths of the time on a CPU.

    References
    ----------
    Jacob et al.: Quantization and training of neural networks for efficient
    integer-arithmetic-only inference, CVPR 2018, doi 10.1109/CVPR.2018.00286, section 3.2.
    """
    from copy import deepcopy

    from torch import nn
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    network = deepcopy(network).eval()
    for block in network.modules():
        conv, norm = getattr(block, "conv", None), getattr(getattr(block, "adn", None), "N", None)
        if isinstance(conv, nn.Conv2d | nn.Conv3d) and isinstance(
            norm, nn.BatchNorm2d | nn.BatchNorm3d
        ):
            block.conv = fuse_conv_bn_eval(conv, norm)
            block.adn.N = nn.Identity()  # type: ignore[union-attr]
    return network


def place(network: nn.Module, device: torch.device, dims: int) -> torch.memory_format:
    """Move a network to a device in the memory layout that is fastest there; gives the layout.

    On a CPU channels-last saves a third of the time of a 2D network.
    """
    import torch

    layout = torch.channels_last if dims == 2 else torch.channels_last_3d
    network.to(device)
    network.to(memory_format=layout)  # type: ignore[call-overload]
    return layout
