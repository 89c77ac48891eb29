"""Dice plus cross-entropy that leave `ignore` out. Imports torch and MONAI when called."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core.volume import IGNORE
from ..model.monai_switch import import_monai
from .cases import CORRECTED

if TYPE_CHECKING:
    import torch

__all__ = ["segmentation_loss"]


def segmentation_loss(
    logits: torch.Tensor,
    labels: torch.Tensor,
    *,
    dice_over_batch: bool = True,
    correction_weight: float = 1.0,
) -> torch.Tensor:
    """Dice plus cross-entropy over the voxels that are not `ignore`.

    Parameters
    ----------
    logits : Tensor, shape (B, classes, [Z,] Y, X)
    labels : Tensor of int64, shape (B, [Z,] Y, X)
        0, 1, ... and 2 for `ignore`, with the bit `CORRECTED` where the reader changed the draft.
    dice_over_batch : bool
        Pool the batch in the Dice term; else it is the mean of each element's.
    correction_weight : float
        What a corrected voxel counts in the cross-entropy, whose weights are then scaled to a mean
        of 1. The Dice term stays the overlap that is reported.

    Returns
    -------
    Tensor
        A scalar; 0 with a gradient of 0 when every voxel is ignored.

    References
    ----------
    Milletari, Navab, Ahmadi: V-Net, 3DV 2016, doi 10.1109/3DV.2016.79 (Dice loss); over the
    whole batch as in Isensee et al., nnU-Net, Nat Methods 2021, doi 10.1038/s41592-020-01008-z.
    """
    import torch

    import_monai()
    from monai.losses import DiceLoss
    from monai.networks import one_hot
    from torch.nn.functional import cross_entropy

    weight = torch.where(labels & CORRECTED > 0, correction_weight, 1.0)
    labels = labels & ~CORRECTED
    is_scored = (labels != IGNORE)[:, None]
    known = torch.where(labels == IGNORE, 0, labels)
    probability = logits.softmax(1) * is_scored
    target = one_hot(known[:, None], logits.shape[1]) * is_scored
    # MONAI's MaskedDiceLoss masks before its softmax, which gives ignored voxels a probability;
    # masking both sides after the softmax leaves them out.
    dice = DiceLoss(include_background=False, batch=dice_over_batch)(probability, target)
    weight = weight * is_scored[:, 0]
    entropy = (cross_entropy(logits, known, reduction="none") * weight).sum()
    total: torch.Tensor = entropy / weight.sum().clamp(min=1) + dice * is_scored.any()
    return total
