"""Drafts for the cases of a dataset that nobody has worked on, each with the Dice expected of it.

The worklist can then show the least certain first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from ..core.errors import InputError, StorageError
from ..core.progress import Job, Progress, relay
from ..dataset import CaseRecord, Dataset, Status
from ..model.checkpoint import Checkpoint
from .uncertainty import predict_uncertain

__all__ = ["Drafting", "draft_cases"]


@dataclass(frozen=True)
class Drafting:
    """Result of drafting."""

    predicted_dice: dict[str, float]
    """Dice expected of each new draft, by case id."""

    failed: dict[str, str]
    """Why a case has no draft, by case id."""


def draft_cases(
    dataset: Dataset, members: Sequence[Checkpoint], *, device: str = "auto"
) -> Job[Drafting]:
    """Draft every case that is new, or has an untouched draft of another model.

    Drafts that learned from the patient's own accepted slices stay.

    Parameters
    ----------
    dataset : Dataset
    members : sequence of Checkpoint
        As in `predict_uncertain`; the first one's mask is the draft.
    device : str
        As in `predict`.

    Yields
    ------
    Progress

    Returns
    -------
    Drafting
        A case that cannot be read, or is open elsewhere, stops no other.

    Raises
    ------
    StorageError
        When the dataset cannot be written.
    """
    model = members[0].info.identity
    waiting = [record for record in dataset.cases() if _wants_draft(record, model)]
    made: dict[str, float] = {}
    failed: dict[str, str] = {}
    for number, record in enumerate(waiting):
        case_id = record.case_id
        yield Progress("Drafting", number, len(waiting))
        try:
            job = predict_uncertain(members, dataset.exam(case_id), device=device)
            answer = yield from relay(job, partial(_as_drafting, number, len(waiting)))
            if not _wants_draft(dataset.case(case_id), model):
                continue  # a reader has started on it meanwhile
            dataset.save_draft(
                case_id,
                answer.prediction.label_map,
                model=model,
                predicted_dice=answer.predicted_dice,
            )
        except StorageError:
            raise
        except InputError as error:
            failed[case_id] = str(error)
            yield Progress("Drafting", number, len(waiting), message=f"{case_id}: {error}")
            continue
        made[case_id] = answer.predicted_dice
    yield Progress("Drafting", len(waiting), len(waiting))
    return Drafting(made, failed)


def _wants_draft(record: CaseRecord, model: str) -> bool:
    if record.status is Status.NEW:
        return True
    draft = record.draft
    if record.status is not Status.DRAFTED or draft is None:
        return False
    if draft.learned_from:  # it knows the patient: better than what a model makes without
        return False
    return draft.model != model or draft.predicted_dice is None


def _as_drafting(done: int, total: int, part: Progress) -> Progress:
    return Progress("Drafting", done, total, message=part.message)
