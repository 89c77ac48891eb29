"""Drafts for the cases of a dataset that nobody has worked on, each with the Dice expected of it.

The worklist can then show the least certain first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from ..core.errors import InputError, StorageError
from ..core.progress import Job, Progress, relay
from ..dataset import CaseRecord, Dataset, Status
from ..model.checkpoint import Checkpoint
from .uncertainty import predict_uncertain

__all__ = ["Drafting", "draft_cases", "waiting_cases"]


@dataclass(frozen=True)
class Drafting:
    """Result of drafting."""

    predicted_dice: dict[str, float]
    """Dice expected of each new draft, by case id."""

    failed: dict[str, str]
    """Why a case has no draft, by case id."""


def waiting_cases(
    dataset: Dataset, model: str, is_wanted: Callable[[str], bool] = lambda _: True
) -> dict[str, str]:
    """Why each case of the dataset is to be drafted that is, by case id.

    Parameters
    ----------
    dataset : Dataset
    model : str
        Name of the model that drafts.
    is_wanted : callable
        Whether a case of this id is asked for.
    """
    reasons = {
        record.case_id: _why_draft(record, model)
        for record in dataset.cases()
        if is_wanted(record.case_id)
    }
    return {case_id: why for case_id, why in reasons.items() if why is not None}


def draft_cases(
    dataset: Dataset,
    members: Sequence[Checkpoint],
    *,
    device: str = "auto",
    is_wanted: Callable[[str], bool] = lambda _: True,
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
    is_wanted : callable
        Whether a case of this id is asked for.

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
    waiting = list(waiting_cases(dataset, model, is_wanted))
    made: dict[str, float] = {}
    failed: dict[str, str] = {}
    for number, case_id in enumerate(waiting):
        yield Progress("Drafting", number, len(waiting))
        try:
            job = predict_uncertain(members, dataset.exam(case_id), device=device)
            answer = yield from relay(job, partial(_as_drafting, number, len(waiting)))
            if _why_draft(dataset.case(case_id), model) is None:
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


def _why_draft(record: CaseRecord, model: str) -> str | None:
    """Why a case is to be drafted; None where it is not."""
    if record.status is Status.NEW:
        return "it has no draft"
    draft = record.draft
    if record.status is not Status.DRAFTED or draft is None:
        return None
    if draft.learned_from:  # it knows the patient: better than what a model makes without
        return None
    if draft.model != model:
        return f"its draft is of {draft.model}"
    return "nothing is expected of its draft" if draft.predicted_dice is None else None


def _as_drafting(done: int, total: int, part: Progress) -> Progress:
    return Progress("Drafting", done, total, message=part.message)
