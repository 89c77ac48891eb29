"""Where a reader's work on a case is kept: what correcting needs, whoever the reader is."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from ..core.volume import Exam, LabelMap
from .finding_record import FindingRecord
from .records import CaseRecord, ClickRecord
from .redraft_record import RedraftRecord

__all__ = ["Workspace"]


class Workspace(Protocol):
    """A `Dataset`, or a `SecondRead` of one of its cases that must not show the first read."""

    @property
    def folder(self) -> Path:
        """Folder where the work is kept; another one for each workspace."""

    @property
    def name(self) -> str:
        """The dataset's name."""

    @property
    def is_second_read(self) -> bool:
        """Whether it hides the first read, and what is accepted is a second read."""

    def case(self, case_id: str) -> CaseRecord:
        """Record of the case, as this reader may see it."""

    def exam(self, case_id: str) -> Exam:
        """Images of the case by channel role."""

    def label_map(self, case_id: str) -> LabelMap:
        """What was accepted here; InputError when nothing was."""

    def draft(self, case_id: str) -> LabelMap | None:
        """The model's untouched prediction, None when there is none or it must not be seen."""

    def kept_map(self, case_id: str) -> LabelMap | None:
        """Where correcting starts, apart from unfinished work; None for an empty mask."""

    def recover(self, case_id: str) -> LabelMap | None:
        """Unfinished work, newer than what was accepted last; None when there is none."""

    def lock(self, case_id: str, owner: str) -> AbstractContextManager[None]:
        """Hold the case while it is open; InputError when somebody else does."""

    def save_draft(self, case_id: str, label_map: LabelMap, *, model: str) -> CaseRecord:
        """Keep which model's draft the correction starts from."""

    def autosave(self, case_id: str, label_map: LabelMap) -> None:
        """Keep unfinished work, for `recover`."""

    def note_work(self, case_id: str, *, seconds: float, strokes: int) -> CaseRecord:
        """Keep what a sitting cost that ended without an accepted mask."""

    def accept(
        self,
        case_id: str,
        label_map: LabelMap,
        *,
        reviewed_slices: Sequence[int] | None,
        annotator: str,
        seconds: float,
        strokes: int | None = None,
        findings: Sequence[FindingRecord] = (),
        clicks: Sequence[ClickRecord] = (),
        redraft: RedraftRecord | None = None,
    ) -> CaseRecord:
        """Accept a mask, with `ignore` in the slices that were not reviewed."""
