"""How well a model expects its own mask to fit: several predictions, and one number per case.

The exam and its mirror image are predicted with the model's best weights and, where its folder has
them, with its last. The mask is the plain prediction; the number is the Dice expected of it, so
that the cases with the lowest can be corrected first. It ranks cases; as a Dice it is too high on
images unlike those the model was trained on.

References
----------
Wang et al. Aleatoric uncertainty estimation with test-time augmentation for medical image
segmentation with convolutional neural networks. Neurocomputing 338, 34-45 (2019).
Roy et al. Bayesian QuickNAT: model uncertainty in deep whole-brain segmentation for structure-wise
quality control. NeuroImage 195, 11-22 (2019).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.overlap import dice
from ..core.progress import Job, Progress
from ..core.volume import Exam, Volume
from ..model import checkpoint
from ..model.checkpoint import Checkpoint, is_checkpoint, read_info
from .prediction import Prediction, predict

__all__ = ["UncertainPrediction", "load_members", "predict_uncertain", "predicted_dice"]

LEFT_RIGHT = 2
"""The array axis that is mirrored: the one `predict` mirrors, and training too."""


@dataclass(frozen=True, eq=False)
class UncertainPrediction:
    """A prediction with what its model expects of it."""

    prediction: Prediction
    """The plain prediction of the first model."""

    predicted_dice: float
    """Dice expected of its mask, 0 to 1; see `predicted_dice`."""

    mean_probability: Volume
    """Mean over all answers, float32 (Z, Y, X)."""

    answers: int
    """How many there were."""


def load_members(folder: Path) -> list[Checkpoint]:
    """A checkpoint and, where training left other weights in ``last/``, those.

    Parameters
    ----------
    folder : Path
        A checkpoint folder.

    Raises
    ------
    InputError
        As `checkpoint.load`.
    """
    members = [checkpoint.load(folder)]
    last = Path(folder) / "last"
    digest = members[0].info.weights_sha256
    if is_checkpoint(last) and read_info(last).weights_sha256 != digest:
        members.append(checkpoint.load(last))
    return members


def predict_uncertain(
    members: Sequence[Checkpoint],
    exam: Exam,
    *,
    device: str = "auto",
    threshold: float = 0.5,
    breasts_only: bool | None = None,
) -> Job[UncertainPrediction]:
    """Segment an exam and tell how well the mask is expected to fit.

    Parameters
    ----------
    members : sequence of Checkpoint
        The model whose mask it is first, then others that answer too; each answers twice: one
        model takes twice as long as `predict` does.
    exam : Exam
    device, threshold, breasts_only
        As in `predict`.

    Yields
    ------
    Progress

    Returns
    -------
    UncertainPrediction

    Raises
    ------
    InputError
        As `predict`.
    """
    how: dict[str, Any] = {"device": device, "threshold": threshold, "breasts_only": breasts_only}
    prediction = yield from predict(members[0], exam, **how)
    mask = prediction.label_map.tumor
    # A model that looks at the mirror image anyway gives the mean of its two answers.
    is_mean = members[0].spec.mirrored
    total = np.array(prediction.probability.data, np.float32) * (not is_mean)
    mirrored = Exam(
        exam.case_id,
        {
            role: Volume(np.flip(volume.data, LEFT_RIGHT), volume.grid)
            for role, volume in exam.phases.items()
        },
    )
    agreements: list[float] = []
    for number, member in enumerate(members):
        for asked in (exam, mirrored):
            if number == 0 and asked is exam and not is_mean:
                continue  # that is the prediction itself
            yield Progress("Estimating uncertainty", len(agreements) + 1, 2 * len(members))
            answer = yield from predict(_looking_once(member), asked, **how)
            probability, tumor = np.asarray(answer.probability.data), answer.label_map.tumor
            if asked is mirrored:
                probability, tumor = (np.flip(a, LEFT_RIGHT) for a in (probability, tumor))
            total += probability
            agreements.append(dice(mask, tumor))
    answers = len(agreements) + (not is_mean)
    mean = total / answers
    return UncertainPrediction(
        prediction=prediction,
        predicted_dice=predicted_dice(mask, mean, agreements),
        mean_probability=Volume(mean, exam.grid),
        answers=answers,
    )


def predicted_dice(
    mask: NDArray[np.bool_], mean_probability: NDArray[np.floating], agreements: Sequence[float]
) -> float:
    """Dice to expect of a mask, 0 to 1.

    The Dice of the mask against the mean probability as a soft mask, times the mean Dice of the
    mask against the other answers' masks. The first alone ranks nearly as well; the second
    brings the number closer to the true Dice.

    Parameters
    ----------
    mask : array of bool, shape (Z, Y, X)
        The mask that is judged.
    mean_probability : array, shape (Z, Y, X)
        Mean over the answers.
    agreements : sequence of float
        Dice of the mask against each other answer's mask.

    Returns
    -------
    float
        For an empty mask the first factor is the chance that there is nothing to find: 1 less
        the highest mean probability.

    Examples
    --------
    >>> mask = np.array([[[True, True, False]]])
    >>> round(predicted_dice(mask, np.array([[[0.9, 0.7, 0.2]]]), [1.0, 0.8]), 3)
    0.758
    >>> round(predicted_dice(mask & False, np.array([[[0.1, 0.2, 0.0]]]), [1.0]), 3)
    0.8
    """
    if mask.any():
        overlap = float(mean_probability[mask].sum(dtype=np.float64))
        size = float(np.count_nonzero(mask)) + float(mean_probability.sum(dtype=np.float64))
        soft = 2 * overlap / size
    else:
        soft = 1.0 - float(mean_probability.max())
    agreement = float(np.mean(agreements)) if len(agreements) else 1.0
    return min(max(soft * agreement, 0.0), 1.0)


def _looking_once(model: Checkpoint) -> Checkpoint:
    """The model without its own mirrored prediction."""
    if not model.spec.mirrored:
        return model
    spec = model.spec.model_copy(update={"mirrored": False})
    return replace(model, info=model.info.model_copy(update={"spec": spec}))
