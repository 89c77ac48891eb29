"""Drafts, the models' untouched masks: the one of the current exam, and whether it is hidden.

No Qt, no napari, no torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from psygnal import Signal

from ...core.region import Region
from ...core.volume import LabelMap
from ...imaging.breast_region import Breasts
from ...lesions.findings import Findings
from ...predict.thresholding import ProbabilitySteps
from .sources import Source

__all__ = ["Draft", "Drafts"]


@dataclass(frozen=True, eq=False)
class Draft:
    """A model's untouched prediction of a case, kept for comparison."""

    case_id: str
    label_map: LabelMap
    model: str
    """Name and weights hash of the model that made it."""

    probability: ProbabilitySteps | None = None
    """What it was cut from, where this window made it; of the last region only."""

    findings: Findings | None = None
    """What the model found in the whole exam, where this window made it."""

    breasts: Breasts | None = None
    """The breasts of the exam, where the model was restricted to them."""

    def updated(self, region: Region, newer: Draft) -> Draft:
        """The same draft with the voxels of `region` replaced by those of a newer one.

        What was found in the whole exam stays as it was.
        """
        data = self.label_map.data.copy()
        data[region] = newer.label_map.data[region]
        label_map = LabelMap(data, self.label_map.grid)
        return replace(self, label_map=label_map, model=newer.model, probability=newer.probability)


class Drafts:
    """The draft of the current exam, hidden until the reader asks for it where that is wanted.

    Parameters
    ----------
    clock : callable
        Seconds that only rise.
    """

    changed = Signal()
    """There is another draft or none, or it is hidden or shown now."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._source: Source | None = None
        self._kept: tuple[tuple[str, str], Draft] | None = None
        self._hides = False
        self._opened_at = clock()
        self.revealed_after_s: float | None = None
        """Seconds from opening the exam until the reader asked for its draft; None before."""

    @property
    def current(self) -> Draft | None:
        """Draft of the current exam."""
        return self._of(self._source)

    @property
    def hides(self) -> bool:
        """Whether drafts are hidden until the reader asks for them."""
        return self._hides

    @hides.setter
    def hides(self, value: bool) -> None:
        if value != self._hides:
            self._hides = value
            self.changed.emit()

    @property
    def is_hidden(self) -> bool:
        """Whether a draft of the current exam would be hidden, should there be one."""
        return self._hides and self.revealed_after_s is None

    def reveal(self) -> None:
        """Stop hiding the draft of the current exam, and note when that was."""
        if self.is_hidden:
            self.revealed_after_s = self._clock() - self._opened_at
            self.changed.emit()

    def keep(
        self, draft: Draft, region: Region | None = None, *, source: Source | None = None
    ) -> None:
        """Keep a draft of its case; with a region, only that part of an earlier one is replaced.

        It is the draft of `source`, or of the current exam when none is given.
        """
        source = self._source if source is None else source
        if source is None or source.case_id != draft.case_id:
            return
        earlier = self._of(source)
        if (
            earlier is not None
            and region is not None
            and earlier.label_map.grid.matches(draft.label_map.grid)
        ):
            draft = earlier.updated(region, draft)
        # One draft at a time: those of other exams come back from the dataset.
        self._kept = (_key(source), draft)
        self.changed.emit()

    def forget(self) -> None:
        """Drop the draft: a second reader must not see one."""
        self._kept = None
        self.changed.emit()

    def follow(self, source: Source | None, *, is_same_exam: bool) -> None:
        """Note which exam is the current one; another one's draft is hidden again."""
        self._source = source
        if not is_same_exam:
            self._opened_at, self.revealed_after_s = self._clock(), None

    def _of(self, source: Source | None) -> Draft | None:
        if source is None or self._kept is None or self._kept[0] != _key(source):
            return None
        return self._kept[1]


def _key(source: Source) -> tuple[str, str]:
    return source.case_id, source.fingerprint
