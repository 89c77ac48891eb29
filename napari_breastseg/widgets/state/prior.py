"""Another exam of the same patient, to be shown beside the current one: which, and where.

No Qt, no napari.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...core.progress import Job, Progress
from ...core.volume import Exam, Grid, LabelMap, Volume
from ...dataset import CaseRecord, Dataset
from ...formats import CaseFiles, natural_key, reading_exam
from ...imaging.intensity import grey_window
from ...imaging.pictures import shown_role

__all__ = [
    "Link",
    "PriorExam",
    "Visit",
    "change_of_volume",
    "reading_case",
    "reading_visit",
    "tumor_ml",
    "visits_beside",
]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Visit:
    """Another case of the patient in the dataset."""

    case_id: str
    visit: str | None
    title: str
    """What stands on its picture: never anything that identifies."""

    words: str
    """Its line in the menu."""


@dataclass(frozen=True, eq=False)
class PriorExam:
    """An exam to be shown beside the current one."""

    exam: Exam
    title: str
    limits: tuple[float, float]
    mask: LabelMap | None = None
    """Its accepted mask, where there is one that may be seen."""

    patient: str = ""
    """The pseudonym of its DICOM patient; "" where that is not known."""

    def picture(self, role: str) -> tuple[str, Volume]:
        """The phase of a role, with its name; else the phase that is shown first."""
        name = role if role in self.exam.phases else shown_role(self.exam)
        return name, self.exam.phases[name]


def visits_beside(dataset: Dataset, case_id: str | None, patient_id: str) -> list[Visit]:
    """Other cases of a patient, in the order of their visits, as far as those are known.

    Parameters
    ----------
    dataset : Dataset
    case_id : str, optional
        The current case.
    patient_id : str
    """
    known = [one.case_id for one in dataset.known_summaries() if one.patient_id == patient_id]
    records = [dataset.case(name) for name in known]
    here = next((one.visit for one in records if one.case_id == case_id), None)
    others = [one for one in records if one.case_id != case_id]
    return [
        Visit(one.case_id, one.visit, _title(one.visit, here), _line(one))
        for one in sorted(others, key=lambda one: (natural_key(one.visit or ""), one.case_id))
    ]


def _title(visit: str | None, here: str | None) -> str:
    """Prior, unless the names of the visits say that it came later.

    Examples
    --------
    >>> _title("T1", "T2"), _title("T10", "T2"), _title(None, "T2")
    ('PRIOR  T1', 'LATER  T10', 'PRIOR')
    """
    is_later = visit is not None and here is not None and natural_key(visit) > natural_key(here)
    return f"{'LATER' if is_later else 'PRIOR'}  {visit or ''}".strip()


def _line(record: CaseRecord) -> str:
    named = f"{record.visit}: {record.case_id}" if record.visit else record.case_id
    return f"{named}, accepted" if record.is_accepted else named


def reading_visit(dataset: Dataset, visit: Visit, reader: str) -> Job[PriorExam]:
    """Read a visit of the dataset, with its accepted mask unless this reader must not see it."""
    yield Progress("Reading the prior exam", 0, 0)
    record, exam = dataset.case(visit.case_id), dataset.exam(visit.case_id)
    is_seen = record.is_accepted and not dataset.reads.is_blinded(record, reader)
    mask = dataset.label_map(visit.case_id) if is_seen else None
    return PriorExam(exam, visit.title, grey_window(exam), mask)


def reading_case(case: CaseFiles) -> Job[PriorExam]:
    """Read an exam from its files."""
    exam = yield from reading_exam(case)
    patient = "" if case.dicom is None else case.dicom.patient_pseudonym
    return PriorExam(exam, "PRIOR  from a file", grey_window(exam), patient=patient)


class Link:
    """Which voxel of a prior exam lies where a voxel of the current one does.

    By the positions that the scanner wrote, as far as both are known; along an axis on which the
    middle of the current exam lies in the outer half of the prior, by the middle of both. The
    reader may shift it: nobody lies in the coil twice alike.

    Parameters
    ----------
    now, prior : Grid
    """

    def __init__(self, now: Grid, prior: Grid) -> None:
        self.now, self.prior = now, prior
        known = now.end_letters is not None and prior.end_letters is not None
        self.is_by_position = known and now.has_spacing and prior.has_spacing
        self._axes = _axes_alike(now, prior)
        middle = (np.array(now.shape) - 1) / 2
        if self.is_by_position:
            self._to_prior: Floats = np.linalg.inv(prior.affine) @ now.affine
        else:
            self._to_prior = np.eye(4)
            for axis, of_prior in enumerate(self._axes):
                ratio = prior.shape[of_prior] / now.shape[axis]
                if now.has_spacing and prior.has_spacing:
                    ratio = now.voxel_size[axis] / prior.voxel_size[of_prior]
                self._to_prior[of_prior, :] = 0
                self._to_prior[of_prior, axis] = ratio
        off = (np.array(prior.shape) - 1) / 2 - (self._to_prior @ [*middle, 1])[:3]
        is_far = np.abs(off) > np.array(prior.shape) / 4
        self._matched = np.where(is_far | (not self.is_by_position), off, 0.0)
        self.shift: Floats = np.zeros(3)
        """What the reader shifted it by, in voxels of the prior (Z, Y, X)."""

    def order(self, order: tuple[int, int, int]) -> tuple[int, int, int]:
        """The prior's array axes that run as these of the current exam do."""
        return self._axes[order[0]], self._axes[order[1]], self._axes[order[2]]

    def voxel(self, voxel: Floats) -> Floats:
        """The prior's voxel (Z, Y, X) for one of the current exam."""
        there: Floats = (self._to_prior @ [*voxel, 1])[:3] + self._matched + self.shift
        return there

    def words(self, through: int) -> str:
        """How the slices along an axis of the prior are linked.

        Examples
        --------
        >>> grid = Grid((9, 8, 7), [[0, 0, -1, 0], [0, -1, 0, 0], [3, 0, 0, 0], [0, 0, 0, 1]])
        >>> link = Link(grid, grid)
        >>> link.words(0)
        'linked by position'
        >>> link.shift[0] = -2
        >>> link.words(0)
        'linked by position, -6 mm'
        """
        is_by_middle = not self.is_by_position or self._matched[through] != 0
        told = f"linked by {'the middle' if is_by_middle else 'position'}"
        if not self.shift[through]:
            return told
        size = self.shift[through] * self.prior.voxel_size[through]
        return f"{told}, {size:+.0f} {'mm' if self.prior.has_spacing else 'px'}"


def _axes_alike(now: Grid, prior: Grid) -> tuple[int, int, int]:
    """For each array axis of one grid, the axis of the other that runs the same way."""
    mine, other = now.end_letters, prior.end_letters
    if mine is None or other is None:
        return (0, 1, 2)
    axis_of: Mapping[frozenset[str], int] = {frozenset(e): axis for axis, e in enumerate(other)}
    z, y, x = (axis_of[frozenset(ends)] for ends in mine)
    return z, y, x


def tumor_ml(labels: NDArray[np.uint8], grid: Grid) -> float | None:
    """Volume of a mask (Z, Y, X) in mL; None where the spacing is unknown."""
    if grid.voxel_ml is None:
        return None
    # Slice by slice: an array of Booleans as large as the exam holds the window.
    return grid.voxel_ml * sum(int(np.count_nonzero(plane == 1)) for plane in labels)


def change_of_volume(now_ml: float | None, then_ml: float | None) -> str:
    """Volume now and then, and the change.

    Examples
    --------
    >>> change_of_volume(3.5, 5.1)
    '3.5 mL, was 5.1 mL, -31 %'
    >>> change_of_volume(0.42, 0.0)
    '0.42 mL, was 0.00 mL'
    >>> change_of_volume(None, 5.1), change_of_volume(3.5, None)
    ('was 5.1 mL', '')
    """
    if then_ml is None:
        return ""
    if now_ml is None:
        return f"was {_ml(then_ml)}"
    change = f", {100 * (now_ml - then_ml) / then_ml:+.0f} %" if then_ml > 0 else ""
    return f"{_ml(now_ml)}, was {_ml(then_ml)}{change}"


def _ml(volume_ml: float) -> str:
    return f"{volume_ml:.1f} mL" if volume_ml >= 1 else f"{volume_ml:.2f} mL"
