"""How patches are varied: MONAI's random transforms, and lesions made fainter or brighter.

A variation depends on its seed alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.volume import TUMOR
from ..model.monai_switch import import_monai
from .cases import CORRECTED

if TYPE_CHECKING:
    import torch

__all__ = ["RANGES", "USUAL", "Augmentation", "Ranges"]


@dataclass(frozen=True)
class Ranges:
    """How far random variation goes; changes are relative, (lowest, highest)."""

    flipped_axes: tuple[int, ...] = (-1,)
    """Axes mirrored in half of the patches: -1 left-right, -2 front-back."""

    rotation_deg: float = 15.0
    """Largest turn in plane."""

    zoom: tuple[float, float] = (-0.15, 0.2)
    """Change of the pixel size."""

    elastic_share: float = 0.25
    """Share of patches bent."""

    bias: float = 0.05
    """Size of the smooth shading's coefficients."""

    gamma: tuple[float, float] = (-0.2, 0.3)
    """Change of the exponent of the gray values."""

    gain: tuple[float, float] = (-0.15, 0.15)
    """Change of brightness."""

    gain_share: float = 0.5
    """Share of patches whose brightness is changed."""

    lesion_fainter: float = 0.3
    """How much fainter a tumor may become against its surroundings."""


USUAL = Ranges()

WIDE = Ranges(
    flipped_axes=(-1, -2),
    rotation_deg=20.0,
    zoom=(-0.25, 0.3),
    elastic_share=0.1,
    bias=0.08,
    # Where the target is a level of enhancement, changing how gray values relate to each other
    # would change what is tumor.
    gamma=(-0.1, 0.1),
    gain=(-0.5, 1.2),
    gain_share=0.7,
    lesion_fainter=0.0,
)
"""Any scanner and array orientation, for a target defined by enhancement."""

RANGES = {
    "usual": USUAL,
    "plain": replace(USUAL, lesion_fainter=0.0),
    "wide": WIDE,
    "wide, any size": replace(WIDE, zoom=(-0.55, 0.35)),
}
"""By the name `TrainConfig.variation` has for them."""


class Augmentation:
    """MONAI's random transforms for patches of phases and labels.

    Parameters
    ----------
    dims : int
        2 or 3.
    strength : float
        0 leaves patches as they are, 1 is the usual amount.
    ranges : Ranges, optional
        How far each variation goes at strength 1.
    """

    def __init__(self, dims: int, strength: float = 1.0, ranges: Ranges = USUAL) -> None:
        import_monai()
        from monai.transforms import (
            Compose,
            Rand2DElasticd,
            Rand3DElasticd,
            RandAdjustContrastd,
            RandAffined,
            RandBiasFieldd,
            RandFlipd,
            RandGaussianNoised,
            RandGaussianSmoothd,
            RandScaleIntensityd,
            RandShiftIntensityd,
        )

        self.strength = strength
        self.fainter = ranges.lesion_fainter
        if strength <= 0:
            self._compose: Any = None
            return
        both, image = ("image", "label"), ("image",)
        modes = {"mode": ("bilinear", "nearest"), "padding_mode": "border"}
        turn = np.deg2rad(ranges.rotation_deg) * strength
        rotate = turn if dims == 2 else (np.deg2rad(8.0) * strength,) * 2 + (turn,)
        gamma, zoom, gain = (
            tuple(change * strength for change in changes)
            for changes in (ranges.gamma, ranges.zoom, ranges.gain)
        )
        flips = [
            RandFlipd(both, prob=0.5, spatial_axis=dims + axis) for axis in ranges.flipped_axes
        ]
        elastic: Any
        if dims == 2:
            elastic = Rand2DElasticd(
                both,
                spacing=(24, 24),
                magnitude_range=(1.0, 4.0 * strength),
                prob=ranges.elastic_share,
                **modes,
            )
        else:
            elastic = Rand3DElasticd(
                both,
                sigma_range=(5, 7),
                magnitude_range=(20, 100 * strength),
                prob=0.6 * ranges.elastic_share,
                **modes,
            )
        self._compose = Compose(
            [
                *flips,
                RandAffined(
                    both,
                    prob=0.7,
                    rotate_range=rotate,
                    scale_range=(zoom,) * dims if dims == 2 else ((0.0, 0.0), zoom, zoom),
                    shear_range=(0.05 * strength,) * 2 if dims == 2 else None,
                    **modes,
                ),
                elastic,
                RandBiasFieldd(
                    image, degree=3, coeff_range=(0.0, ranges.bias * strength), prob=0.3
                ),
                RandAdjustContrastd(image, prob=0.3, gamma=(1 + gamma[0], 1 + gamma[1])),
                RandScaleIntensityd(image, factors=gain, prob=ranges.gain_share),
                RandShiftIntensityd(image, offsets=0.05 * strength, prob=0.3),
                RandGaussianSmoothd(image, sigma_x=(0.3, 1.0), sigma_y=(0.3, 1.0), prob=0.15),
                RandGaussianNoised(image, prob=0.25, std=0.03 * strength),
            ]
        )

    def __call__(
        self, phases: NDArray[np.float32], labels: NDArray[np.uint8], seed: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Varied phases (P, ...) and labels (...) of one patch; the same seed, the same patch."""
        import torch

        image = torch.from_numpy(phases)
        label = torch.from_numpy(labels)[None].float()
        if self._compose is None:
            return image, label[0].long()
        self._compose.set_random_state(seed=seed)
        image = _vary_lesion_contrast(
            image, label, self.strength * self.fainter, np.random.default_rng(seed)
        )
        varied = self._compose({"image": image, "label": label})
        return (
            torch.as_tensor(varied["image"]).float(),
            torch.as_tensor(varied["label"])[0].round().long(),
        )


def _vary_lesion_contrast(
    image: torch.Tensor, label: torch.Tensor, fainter: float, rng: np.random.Generator
) -> torch.Tensor:
    """Tumor made fainter or brighter against its surroundings, with a soft border.

    In a few patients every tumor may be brighter than every gland; elsewhere it is not.
    """
    from torch.nn.functional import avg_pool2d, avg_pool3d

    tumor = (label.byte() & ~CORRECTED == TUMOR).float()
    if fainter == 0 or rng.random() > 0.5 or not tumor.any():
        return image
    factor = float(rng.uniform(1 - fainter, 1 + fainter / 3))
    pool = avg_pool2d if tumor.ndim == 3 else avg_pool3d
    soft = pool(tumor[None], 3, stride=1, padding=1)[0]
    return image * (1 + (factor - 1) * soft)
