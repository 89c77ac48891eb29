"""Findings and lesions as rows of one list, and what the reader decides about each.

Plain values in and out; no Qt, no napari. A decision that changes the mask is an `Edit`, which the
window makes as one undo step. Undo and redo tell only that something changed: whether a decision
was taken back is seen from its voxels.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from ...core.volume import BACKGROUND, TUMOR
from ...dataset import Decision, FindingRecord
from ...imaging.correction import Edit
from ...lesions import Kinetics, Lesion, LesionReport
from ...lesions.findings import Findings, evidence_json

__all__ = [
    "Choices",
    "Decision",
    "Key",
    "Row",
    "is_marked",
    "rows_of",
    "total_now",
    "why_no_choice",
]

Key = int | str
"""Number of a finding, or the id of a lesion that is none, such as one that the reader drew."""

_PAINTED_BESIDE = 12
"""How many voxels beside a lesion what was painted onto it since goes with it."""


_IS_BACK = 0.5
"""Share of what was dropped that is in the mask again when the decision no longer holds."""


@dataclass(frozen=True, eq=False)
class Row:
    """A row of the list: a lesion of the mask, or a finding that is not in it."""

    key: Key
    lesion: Lesion
    inside: NDArray[np.bool_]
    """Its voxels, in the lesion's box (z, y, x)."""

    @property
    def box(self) -> tuple[slice, slice, slice]:
        """Where `inside` lies in the exam."""
        assert self.lesion.box is not None  # rows are made of measured lesions
        z, y, x = (slice(*ends) for ends in self.lesion.box)
        return z, y, x


def rows_of(
    report: LesionReport,
    *,
    weaker: LesionReport | None = None,
    earlier: Iterable[Row] = (),
    decided: Mapping[Key, Decision] | None = None,
) -> list[Row]:
    """Rows of a list, the most likely lesion first.

    Parameters
    ----------
    report : LesionReport
        Of the mask.
    weaker : LesionReport, optional
        Of findings that a model held back, where they are to be listed.
    earlier : iterable of Row
        The list so far: what was dropped stays in it.
    decided : mapping, optional
        Decisions by key.
    """
    rows = {row.key: row for row in _rows(report)}
    for row in earlier:
        if (decided or {}).get(row.key) is Decision.DROPPED:
            rows.setdefault(row.key, row)
    for row in () if weaker is None else _rows(weaker):
        lesion = replace(row.lesion, id=f"finding {row.lesion.finding}")
        rows.setdefault(row.key, replace(row, lesion=lesion))
    unknown = 1 + max((row.lesion.finding or 0 for row in rows.values()), default=0)
    return sorted(rows.values(), key=lambda row: row.lesion.finding or unknown)


def _rows(report: LesionReport) -> list[Row]:
    assert report.labels is not None  # it was measured here
    rows: dict[Key, Row] = {}
    for value, lesion in enumerate(report.lesions, start=1):
        # Of a finding that fell apart only the first part is the finding.
        key: Key = lesion.id if lesion.finding in (None, *rows) else lesion.finding or lesion.id
        row = Row(key, lesion, np.zeros(0, bool))
        rows[key] = replace(row, inside=report.labels[row.box] == value)
    return list(rows.values())


def is_marked(row: Row, mask: NDArray[Any]) -> bool:
    """Whether any of a row's voxels is tumor in a mask (Z, Y, X)."""
    return bool((mask[row.box][row.inside] == TUMOR).any())


def total_now(report: LesionReport, rows: Sequence[Row], marked: Sequence[Row]) -> Lesion:
    """All lesions together after decisions: what is in the mask now, without measuring it again.

    Parameters
    ----------
    report : LesionReport
        Of the mask as it was measured.
    rows, marked : sequence of Row
        The list, and what of it is in the mask now.
    """
    measured = {lesion.id for lesion in report.lesions}
    if {row.lesion.id for row in marked} == measured:
        return report.total
    voxels = sum(row.lesion.volume_px for row in marked)
    voxels += report.total.volume_px - sum(one.volume_px for one in report.lesions)
    share = voxels / max(report.total.volume_px, 1)
    example = next(iter((*report.lesions, *(row.lesion for row in rows))))
    ml = None if example.volume_ml is None else example.volume_ml / example.volume_px * voxels

    def longest(name: str) -> float | None:
        lengths = [getattr(row.lesion, name) for row in marked]
        return max((length for length in lengths if length is not None), default=None)

    area = report.total.area_mm2
    sides = {row.lesion.side for row in marked}
    return replace(
        report.total,
        volume_px=voxels,
        volume_ml=ml,
        area_mm2=None if area is None else area * share,
        functional_px=None,
        functional_ml=None,
        diameter_mm=longest("diameter_mm"),
        diameter_px=longest("diameter_px"),
        side=sides.pop() if len(sides) == 1 else None,
        kinetics=Kinetics(),
    )


def why_no_choice(*, has_list: bool, has_row: bool, has_mask: bool, is_busy: bool) -> str:
    """Why no finding can be kept or dropped; empty when one can."""
    if not has_mask:
        return "Segment the exam or start correcting first: there is no mask yet"
    if not has_list:
        return "Being measured; wait a moment" if is_busy else "Measure the lesions first"
    return "" if has_row else "Select a row of the list first"


@dataclass(frozen=True, eq=False)
class _Step:
    """A decision that changed the mask."""

    before: Decision
    after: Decision
    edit: Edit


@dataclass(eq=False)
class _Steps:
    done: list[_Step] = field(default_factory=list)
    undone: list[_Step] = field(default_factory=list)


class Choices:
    """Which findings of the current exam were kept and dropped."""

    changed = Signal()

    def __init__(self) -> None:
        self._exam: object = None
        self._findings: Findings | None = None
        self._decided: dict[Key, Decision] = {}
        self._steps: dict[Key, _Steps] = {}

    @property
    def decided(self) -> Mapping[Key, Decision]:
        """Decisions by key; what is not there is not decided."""
        return self._decided

    @property
    def findings(self) -> Findings | None:
        """The findings that are decided about; None where a draft came without."""
        return self._findings

    def of(self, key: Key) -> Decision:
        """What was decided about a row."""
        return self._decided.get(key, Decision.NONE)

    def follow(self, exam: object, findings: Findings | None) -> None:
        """Start anew with another exam, or with other findings of the same one."""
        is_other = exam != self._exam
        if not is_other and (findings is None or findings is self._findings):
            return
        self._start(exam, findings)

    def forget(self) -> None:
        """Forget findings and decisions: the draft must not be known any longer."""
        self._start(self._exam, None)

    def _start(self, exam: object, findings: Findings | None) -> None:
        self._exam, self._findings = exam, findings
        self._decided, self._steps = {}, {}
        self.changed.emit()

    def keep(self, row: Row, mask: NDArray[Any]) -> Edit:
        """Keep a row, or take that back if it is kept; the edit of the mask (Z, Y, X).

        What is not in the mask is painted; what is stays as it is.
        """
        if self.of(row.key) is Decision.KEPT:
            return self._take_back(row, mask)
        wanted = mask[row.box].copy()
        if not is_marked(row, mask):
            wanted[row.inside] = TUMOR
        return self._decide(row, Decision.KEPT, Edit.within(mask, row.box, wanted))

    def drop(self, row: Row, mask: NDArray[Any], rows: Iterable[Row]) -> Edit:
        """Drop a row, or take that back if it is dropped; the edit of the mask (Z, Y, X).

        Its voxels are cleared, and what was painted onto it since, but no other row's.
        """
        if self.of(row.key) is Decision.DROPPED:
            return self._take_back(row, mask)
        return self._decide(row, Decision.DROPPED, _cleared(row, mask, rows))

    def follow_mask(self, mask: NDArray[Any]) -> tuple[Edit, ...]:
        """Notice decisions that undo or redo took back or made again; their edits."""
        edits = []
        for key, steps in self._steps.items():
            if steps.done and _fits(steps.done[-1].edit, mask):
                step = steps.done.pop()
                steps.undone.append(step)
                self._decided[key] = step.before
                edits.append(_inverse(step.edit))
            elif steps.undone and _fits(_inverse(steps.undone[-1].edit), mask):
                step = steps.undone.pop()
                steps.done.append(step)
                self._decided[key] = step.after
                edits.append(step.edit)
        if edits:
            self.changed.emit()
        return tuple(edits)

    def settle(self, rows: Iterable[Row], mask: NDArray[Any]) -> None:
        """Forget decisions that the mask contradicts, as after the draft has been put back.

        Parameters
        ----------
        rows : iterable of Row
        mask : ndarray, shape (Z, Y, X)
            As it is now.
        """
        for row in rows:
            share = float((mask[row.box][row.inside] == TUMOR).mean())
            decision = self.of(row.key)
            if (decision is Decision.DROPPED and share > _IS_BACK) or (
                decision is Decision.KEPT and share == 0
            ):
                del self._decided[row.key]
                self._steps.pop(row.key, None)

    def records(self, mask: NDArray[Any]) -> tuple[FindingRecord, ...]:
        """What a case record keeps: each finding, its decision, its share in the mask (Z, Y, X)."""
        if self._findings is None:
            return ()
        labels = self._findings.labels
        return tuple(
            FindingRecord(
                number=one.number,
                score=one.score,
                is_shown=one.is_shown,
                volume_ml=one.volume_ml,
                center_voxel=one.center_voxel,
                decision=self.of(one.number),
                share_accepted=float(
                    (mask[one.box][labels[one.box] == one.number] == TUMOR).mean()
                ),
                evidence=dict(evidence_json(one.evidence)),
            )
            for one in self._findings.findings
        )

    def _take_back(self, row: Row, mask: NDArray[Any]) -> Edit:
        steps = self._steps.get(row.key)
        nothing = Edit.joined(())
        if steps is None or not steps.done or steps.done[-1].after is not self.of(row.key):
            return self._decide(row, Decision.NONE, nothing)
        voxels, before = steps.done[-1].edit.voxels, steps.done[-1].edit.before
        differs = mask[voxels] != before
        z, y, x = (index[differs] for index in voxels)
        edit = Edit((z, y, x), mask[z, y, x].astype(np.uint8), before[differs])
        return self._decide(row, Decision.NONE, edit)

    def _decide(self, row: Row, decision: Decision, edit: Edit) -> Edit:
        if edit.count:
            steps = self._steps.setdefault(row.key, _Steps())
            steps.done.append(_Step(self.of(row.key), decision, edit))
            steps.undone.clear()
        self._decided[row.key] = decision
        self.changed.emit()
        return edit


def _cleared(row: Row, mask: NDArray[Any], rows: Iterable[Row]) -> Edit:
    from scipy import ndimage

    z, y, x = (
        slice(max(0, part.start - _PAINTED_BESIDE), min(size, part.stop + _PAINTED_BESIDE))
        for part, size in zip(row.box, mask.shape, strict=True)
    )
    box = (z, y, x)
    now = mask[box]
    is_own = _in_box(row, box, now.shape)
    candidates = now == TUMOR
    for other in rows:
        if other.key != row.key:
            candidates &= ~_in_box(other, box, now.shape) | is_own
    parts, count = ndimage.label(candidates, np.ones((3, 3, 3)))
    goes = np.zeros(count + 1, bool)
    goes[parts[is_own]] = True
    goes[0] = False
    return Edit.within(mask, box, np.where(goes[parts], BACKGROUND, now))


def _in_box(row: Row, box: tuple[slice, slice, slice], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """A row's voxels in another box."""
    found = np.zeros(shape, bool)
    here, there = [], []
    for own, wide in zip(row.box, box, strict=True):
        start, stop = max(own.start, wide.start), min(own.stop, wide.stop)
        if start >= stop:
            return found
        here.append(slice(start - wide.start, stop - wide.start))
        there.append(slice(start - own.start, stop - own.start))
    found[tuple(here)] = row.inside[tuple(there)]
    return found


def _inverse(edit: Edit) -> Edit:
    return Edit(edit.voxels, edit.after, edit.before)


def _fits(edit: Edit, mask: NDArray[Any]) -> bool:
    """`Edit.fits`, fast where already the first voxel differs, as after most strokes."""
    z, y, x = (index[0] for index in edit.voxels)
    return bool(mask[z, y, x] == edit.before[0]) and edit.fits(mask)
