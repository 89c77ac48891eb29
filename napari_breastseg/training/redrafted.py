"""A redraft as a prediction: with the findings that are in its mask, and those still held back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..core.progress import Job
from ..core.volume import Exam, Volume
from ..lesions.findings import find
from ..model.checkpoint import Checkpoint
from ..predict.prediction import Prediction, score_of
from .corrections import Redraft

__all__ = ["redrafted_prediction"]


def redrafted_prediction(
    checkpoint: Checkpoint, exam: Exam, draft: Prediction, redraft: Redraft
) -> Job[Prediction]:
    """What a redraft makes of an exam, as `predict` gives it.

    Parameters
    ----------
    checkpoint : Checkpoint
        The model of the draft, whose score orders the findings.
    exam : Exam
    draft : Prediction
        What the redraft started from.
    redraft : Redraft

    Yields
    ------
    Progress

    Returns
    -------
    Prediction
        Its mask is the redraft's. Findings in it are shown whatever their score; what the draft
        held back stays so, and can be asked for.
    """
    prediction = replace(
        draft,
        probability=redraft.probability,
        label_map=redraft.label_map,
        seconds=draft.seconds + redraft.seconds,
    )
    if draft.findings is None:
        return prediction
    tumor = redraft.label_map.tumor
    held_back = np.zeros(len(draft.findings.findings) + 1, bool)
    held_back[[one.number for one in draft.findings.weaker]] = True
    values = np.array(redraft.probability.data, np.float32)
    is_candidate = tumor | held_back[draft.findings.labels]
    least = np.float32(draft.threshold)
    # What a reader marked or left out counts, whatever the network thinks of it.
    values[is_candidate] = np.maximum(values[is_candidate], least)
    values[~is_candidate] = np.minimum(values[~is_candidate], 0.5 * least)
    findings = yield from find(
        Volume(values, exam.grid),
        exam,
        threshold=draft.threshold,
        breasts=draft.breasts,
        score=None if not _is_scored(draft) else score_of(checkpoint.info),
    )
    in_mask = set(np.unique(findings.labels[tumor]).tolist())
    shown = tuple(replace(one, is_shown=one.number in in_mask) for one in findings.findings)
    return replace(prediction, findings=replace(findings, findings=shown))


def _is_scored(draft: Prediction) -> bool:
    return draft.findings is not None and any(
        one.score is not None for one in draft.findings.findings
    )
