"""What lists, numbers and folds need to know of a case: a few fields of its record.

Records in, rows out. Imports `effort`, `records` of this package.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, fields
from typing import Any, NamedTuple

from .effort import Effort, effort
from .records import CaseRecord, FlagReason, PatientRole, Status

__all__ = ["CaseSummary", "efforts", "from_columns", "summary_of", "to_columns"]


class CaseSummary(NamedTuple):
    """A case's record in short; fields of the same name mean the same."""

    case_id: str
    dataset_id: str
    patient_id: str
    entry: int
    fold: int | None
    """Entry and fold of the patient's role."""
    status: Status
    flag_reason: FlagReason | None
    channels: tuple[str, ...]
    n_slices: int
    model: str | None
    """Model that the accepted mask was corrected from, else that of the draft."""
    has_draft: bool
    predicted_dice: float | None
    annotator: str | None
    is_for_second_read: bool
    mask_sha256: str | None
    """SHA-256 of the accepted mask; None without one."""
    n_masks: int
    autosave_after: int | None
    last_order: int
    """Highest number among its accepted masks; 0 without any."""
    renamed_to: str | None
    former_ids: tuple[str, ...]
    costs: tuple[Any, ...] | None
    """Fields of `effort`."""

    @property
    def effort(self) -> Effort | None:
        """What its accepted mask cost; None without one, or where it was imported."""
        return None if self.costs is None else Effort(*self.costs)

    @property
    def role(self) -> PatientRole:
        """The patient's part in training and testing."""
        return PatientRole(entry=self.entry, fold=self.fold)

    @property
    def all_ids(self) -> tuple[str, ...]:
        """Its id, and those that it had before."""
        return (self.case_id, *self.former_ids)

    @property
    def is_accepted(self) -> bool:
        """Whether the folder holds an accepted mask of this case."""
        return self.status is Status.ACCEPTED

    @property
    def is_locked(self) -> bool:
        """Whether the patient is kept for testing."""
        return self.fold is None


def summary_of(record: CaseRecord) -> CaseSummary:
    """The record in short."""
    mask = record.accepted
    masks = (*record.history, *(() if mask is None else (mask,)))
    cost = next(iter(effort([record])), None)
    draft_model = None if record.draft is None else record.draft.model
    return CaseSummary(
        case_id=record.case_id,
        dataset_id=record.dataset_id,
        patient_id=record.patient_id,
        entry=record.role.entry,
        fold=record.role.fold,
        status=record.status,
        flag_reason=record.flag_reason,
        channels=record.channels,
        n_slices=record.grid.shape[0],
        model=draft_model if mask is None else mask.model,
        has_draft=record.draft is not None,
        predicted_dice=record.predicted_dice,
        annotator=record.annotator,
        is_for_second_read=record.is_for_second_read,
        mask_sha256=None if mask is None else mask.sha256,
        n_masks=record.n_masks,
        autosave_after=record.autosave_after,
        last_order=max((one.order or 0 for one in masks), default=0),
        renamed_to=record.renamed_to,
        former_ids=record.former_ids,
        costs=None if cost is None else astuple(cost),
    )


def efforts(summaries: Iterable[CaseSummary]) -> list[Effort]:
    """What each accepted case cost, in the order in which they were accepted."""
    costs = (one.effort for one in summaries)
    return sorted(
        (one for one in costs if one is not None), key=lambda row: (row.order, row.case_id)
    )


def to_columns(summaries: Sequence[CaseSummary]) -> dict[str, list[Any]]:
    """The summaries as JSON values, a list for each field; channels as their place in a list."""
    columns: dict[str, list[Any]] = {
        name: [one[at] for one in summaries] for at, name in enumerate(CaseSummary._fields)
    }
    sets = list(dict.fromkeys(one.channels for one in summaries))
    columns["channels"] = [sets.index(channels) for channels in columns["channels"]]
    none = (None,) * len(fields(Effort))
    columns["costs"] = [value for one in columns["costs"] for value in (one or none)]
    return columns | {"channel_sets": sets}


def from_columns(columns: dict[str, list[Any]]) -> Iterator[CaseSummary]:
    """The summaries again; ValueError, TypeError, KeyError or IndexError when they are none."""
    sets = [tuple(channels) for channels in columns["channel_sets"]]
    n_costs = len(fields(Effort))
    costs = (columns["costs"][start::n_costs] for start in range(n_costs))
    made: dict[str, Iterable[Any]] = {name: columns[name] for name in CaseSummary._fields}
    made["status"] = map(_STATUSES.__getitem__, columns["status"])
    made["flag_reason"] = (None if one is None else FlagReason(one) for one in made["flag_reason"])
    made["channels"] = (sets[one] for one in columns["channels"])
    made["former_ids"] = map(tuple, columns["former_ids"])
    made["costs"] = (None if one[0] is None else one for one in zip(*costs, strict=True))
    return map(CaseSummary._make, zip(*made.values(), strict=True))


_STATUSES = {status.value: status for status in Status}
