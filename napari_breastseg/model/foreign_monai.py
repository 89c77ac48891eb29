"""A network of a MONAI bundle: its class, its preprocessing, and how it is run.

Everything is data: a class named in a fixed list, literal arguments, transforms of a fixed list. No
expression of a bundle's configuration is ever evaluated. Imports torch and MONAI when built or run.
"""

from __future__ import annotations

import math
from contextlib import redirect_stdout
from io import StringIO
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from ..core.errors import InputError
from ..core.progress import Job, in_thread
from ..core.volume import Exam
from .bounds import MOST_VOXELS, require_plain
from .monai_switch import import_monai, metadata_tracked

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["TRANSFORMS", "MonaiNetwork", "NetworkName"]

NetworkName = Literal[
    "AttentionUnet",
    "BasicUNet",
    "BasicUNetPlusPlus",
    "DynUNet",
    "SegResNet",
    "SwinUNETR",
    "UNETR",
    "UNet",
    "VNet",
]
"""Classes of monai.networks.nets whose arguments are plain values."""

RESHAPING = ("Orientationd", "Spacingd", "CropForegroundd")
"""Transforms that are undone on the result."""

PLACING = ("Orientationd", "Spacingd")
"""Transforms that need to know where voxels lie."""

TRANSFORMS = (
    *PLACING,
    "CropForegroundd",
    "NormalizeIntensityd",
    "ScaleIntensityd",
    "ScaleIntensityRanged",
    "ScaleIntensityRangePercentilesd",
)
"""Transforms of monai.transforms that are run as a bundle asks for them."""


class MonaiNetwork(BaseModel):
    """A network of monai.networks.nets with the preprocessing it was trained with."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    source: Literal["monai"] = "monai"
    name: NetworkName
    """Class in monai.networks.nets."""

    arguments: dict[str, JsonValue]
    """Its literal arguments."""

    preprocessing: tuple[tuple[str, dict[str, JsonValue]], ...] = Field((), max_length=32)
    """Names of MONAI's dictionary transforms, each with its literal arguments, in order."""

    roi_size: tuple[Annotated[int, Field(ge=-1, le=1024)], ...] | None = Field(None, max_length=3)
    """Tile of the sliding window, in voxels along (x, y[, z]); None shows the image whole."""

    overlap: float = Field(0.25, ge=0, le=0.9)
    """Share by which tiles overlap."""

    output: Literal["softmax", "sigmoid"] = "softmax"
    """What makes probabilities of the network's output."""

    tumor_channel: int = Field(1, ge=0, lt=64)
    """Output channel of the tumor."""

    @model_validator(mode="after")
    def _is_bounded(self) -> Self:
        require_plain(self.arguments)
        # Positions within a window are made for real, and number its voxels squared.
        windows = self.arguments.get("window_size")
        if any(not isinstance(n, int) or n > 16 for n in _listed(windows)):
            raise ValueError("window_size must hold whole numbers up to 16")
        if self.roi_size is not None and math.prod(self.roi_size) > MOST_VOXELS:
            raise ValueError(f"roi_size must hold at most {MOST_VOXELS} voxels")
        for name, how in self.preprocessing:
            # Any other transform might write a file, or read one.
            if name not in TRANSFORMS:
                raise ValueError(f"preprocessing must be by {', '.join(TRANSFORMS)}, got {name}")
            require_plain(how)
            if name == "Spacingd" and not all(
                isinstance(mm, int | float) and (mm < 0 or 0.02 <= mm <= 100)
                for mm in _listed(how.get("pixdim"))
            ):
                raise ValueError("pixdim must lie between 0.02 and 100 mm")
        return self

    @property
    def title(self) -> str:
        """What a person reads."""
        return f"MONAI {self.name}"

    def build(self) -> nn.Module:
        """The network with fresh weights."""
        import_monai()
        from monai.networks import nets

        try:
            with redirect_stdout(StringIO()):  # MONAI 1.5.0 prints, where --json is promised
                network: nn.Module = getattr(nets, self.name)(**self.arguments)
        except InputError:
            raise
        # A class of another library fails on odd arguments in whatever way it happens to.
        except Exception as error:
            raise InputError(
                f"Expected arguments that make a {self.title}",
                "found ones that fail "
                f"({' '.join(str(error).split())[:200] or type(error).__name__})",
                "Compare network_def with the class in the installed MONAI version",
            ) from error
        return network

    def probability(
        self,
        network: nn.Module,
        exam: Exam,
        roles: tuple[str, ...],
        dims: int,
        device: torch.device,
        mirror: bool,
    ) -> Job[NDArray[np.float32]]:
        """Tumor probability (Z, Y, X) on the exam's grid; canceled between two tiles."""
        if exam.grid.spacing_mm is None and any(name in PLACING for name, _ in self.preprocessing):
            raise InputError(
                "Expected known voxel size and orientation, because the model resamples to its own",
                f"found exam {exam.case_id} without them",
                "Open the exam from DICOM, NIfTI or NRRD, or give its pixel size",
            )
        network.to(device).eval()
        # MONAI's arrays are (C, X, Y, Z).
        phases = np.stack([np.asarray(exam.phases[role].data, np.float32) for role in roles])
        phases = np.ascontiguousarray(phases.transpose(0, 3, 2, 1))

        def work(tick: Any) -> NDArray[np.float32]:
            hook = network.register_forward_pre_hook(lambda *_: tick())
            try:
                if dims == 3:
                    # Columns in the order of MONAI's axes, x first.
                    affine = exam.grid.affine[:, [2, 1, 0, 3]]
                    return self._of_array(network, phases, affine, device, mirror)
                slices = (phases[..., z] for z in range(phases.shape[-1]))
                done = [self._of_array(network, one, np.eye(4), device, mirror) for one in slices]
                return np.stack(done, axis=0)
            finally:
                hook.remove()

        return (yield from in_thread("Segmenting", work))

    def _of_array(
        self,
        network: nn.Module,
        phases: NDArray[np.float32],
        affine: NDArray[np.float64],
        device: torch.device,
        mirror: bool,
    ) -> NDArray[np.float32]:
        """Probability of an array (C, X, Y[, Z]), its axes reversed: ([Z,] Y, X)."""
        import torch

        import_monai()
        from monai import transforms
        from monai.data.meta_tensor import MetaTensor
        from monai.inferers import SimpleInferer, SlidingWindowInferer

        chain = transforms.Compose(
            [getattr(transforms, name)(keys="image", **how) for name, how in self.preprocessing]
        )
        with metadata_tracked(True):
            image = chain({"image": MetaTensor(phases, affine=affine)})["image"]
        inferer: Any = SimpleInferer()
        if self.roi_size is not None:
            inferer = SlidingWindowInferer(
                self.roi_size, overlap=self.overlap, mode="gaussian", progress=False
            )
        with torch.no_grad():
            batch = image.as_tensor()[None].to(device)
            tumor = self._tumor(inferer(batch, network))
            if mirror:
                tumor = (tumor + self._tumor(inferer(batch.flip(2), network)).flip(2)) / 2
        if not any(name in RESHAPING for name, _ in self.preprocessing):
            return np.asarray(tumor[0].cpu(), np.float32).transpose()
        back = transforms.Invertd(
            "tumor", chain, orig_keys="image", nearest_interp=False, to_tensor=True
        )
        with metadata_tracked(True):
            made = MetaTensor(
                tumor.cpu(), meta=image.meta, applied_operations=image.applied_operations
            )
            restored = back({"image": image, "tumor": made})["tumor"][0]
        values: NDArray[np.float32] = np.asarray(restored, np.float32)
        return values.transpose()

    def _tumor(self, output: Any) -> torch.Tensor:
        # Networks with deep supervision give a list, the full resolution first.
        logits: torch.Tensor = output[0] if isinstance(output, list | tuple) else output
        probability = logits.float().softmax(1) if self.output == "softmax" else logits.sigmoid()
        return probability[0, self.tumor_channel : self.tumor_channel + 1]


def _listed(value: JsonValue) -> list[JsonValue]:
    """One value or several as a list; None as an empty one."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
