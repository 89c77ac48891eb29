"""What a dataset folder remembers of each case, as pydantic records; patient roles.

`cases/<case>.json` holds one `CaseRecord`; every other JSON file of the folder follows from
these. No date and no identity value has a field here.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    model_validator,
)

from ..core.volume import Grid
from .finding_record import FindingRecord
from .identifiers import require_case_id
from .redraft_record import RedraftRecord

__all__ = [
    "AcceptedMask",
    "CaseRecord",
    "ClickRecord",
    "DraftRecord",
    "FlagReason",
    "GridRecord",
    "PatientRole",
    "ReadKind",
    "ReadRecord",
    "Status",
    "WorkRecord",
    "next_role",
]

_FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
_CaseId = Annotated[str, AfterValidator(require_case_id)]

FOLDS = 5
FIRST_LOCKED_ENTRY = 10
LOCKED_EVERY = 5


class Status(StrEnum):
    """How far the work on a case has come."""

    NEW = "new"
    DRAFTED = "drafted"
    IN_PROGRESS = "in_progress"
    ACCEPTED = "accepted"
    FLAGGED = "flagged"


class FlagReason(StrEnum):
    """Why a case is set aside: a fixed list, because free text could name a patient."""

    MOTION = "motion"
    ARTIFACT = "artifact"
    LOW_QUALITY = "low_quality"
    MISSING_PHASE = "missing_phase"
    WRONG_BODY_PART = "wrong_body_part"
    INCOMPLETE_COVERAGE = "incomplete_coverage"
    PRIOR_SURGERY = "prior_surgery"
    IMPLANT = "implant"
    UNCERTAIN_TUMOR = "uncertain_tumor"
    DUPLICATE = "duplicate"
    SECOND_READER = "second_reader"
    OTHER = "other"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class PatientRole(_Record):
    """A patient's part in training and testing, given once and kept."""

    entry: int = Field(ge=1)
    """1 for the first patient that entered the folder, 2 for the second, and so on."""

    fold: int | None = Field(ge=0, lt=FOLDS)
    """Validation fold, 0 to 4; None for a patient locked for testing."""

    @property
    def is_locked(self) -> bool:
        """Whether the patient is kept for testing and in no training or validation list."""
        return self.fold is None


class GridRecord(_Record):
    """A `Grid` as JSON."""

    shape: tuple[int, int, int]
    affine: tuple[tuple[float, float, float, float], ...]
    has_spacing: bool
    has_orientation: bool

    @classmethod
    def of(cls, grid: Grid) -> GridRecord:
        """Record of `grid`."""
        return cls(
            shape=grid.shape,
            affine=tuple((float(z), float(y), float(x), float(t)) for z, y, x, t in grid.affine),
            has_spacing=grid.has_spacing,
            has_orientation=grid.has_orientation,
        )

    @property
    def grid(self) -> Grid:
        """The grid that was recorded."""
        return Grid(self.shape, self.affine, self.has_spacing, self.has_orientation)  # type: ignore[arg-type]


class ClickRecord(_Record):
    """A place that a reader clicked with the smart click."""

    voxel: tuple[NonNegativeInt, NonNegativeInt, NonNegativeInt]
    """(z, y, x), counted from 0."""
    is_lesion: bool
    """Whether it said that there is lesion, or that there is none."""


class DraftRecord(_Record):
    """The model's untouched prediction of a case."""

    sha256: str
    model: str
    """Name of the model that made it."""
    predicted_dice: float | None = Field(default=None, ge=0, le=1)
    """Dice the model expects of it; None where nothing was expected."""
    learned_from: tuple[str, ...] = ()
    """Accepted cases of the same patient that the model learned from for this draft alone."""
    software_version: str


class WorkRecord(_Record):
    """Work done on a case in earlier sittings and not yet accepted."""

    seconds: float = Field(ge=0)
    strokes: int = Field(ge=0)


class AcceptedMask(_Record):
    """A mask somebody accepted, and how it came to be."""

    sha256: str
    annotator: str
    seconds_spent: float = Field(ge=0)
    reviewed_slices: tuple[int, ...] | None
    """Indices along Z of the reviewed slices; None when all were reviewed."""
    tumor_voxels: int
    model: str | None
    """Model whose draft it was corrected from; None without a draft."""
    voxels_changed: int | None
    """Voxels of the reviewed slices where draft and mask differ; None without a draft."""
    dice_draft: float | None
    """Dice of the draft against the mask over the reviewed slices, 1 when both are empty."""
    strokes: int | None = None
    """Edits made, one per undo step; None where nobody counted."""
    added_path_px: int | None = None
    """Contour pixels of the mask that the draft's contour lacks; see `effort.added_path_px`."""
    order: int | None = None
    """1 for the first mask accepted in this folder, 2 for the next, and so on; no date is kept."""
    findings_kept: int | None = Field(default=None, ge=0)
    """Findings of the model that the reader kept; None where there were none to decide about."""
    findings_dropped: int | None = Field(default=None, ge=0)
    redraft: RedraftRecord | None = None
    """What drafting the rest again from the reader's corrections gave; None where it was not."""
    is_imported: bool = False
    is_changed_outside: bool = False
    """Whether another program had changed the file by the time it moved into the history."""
    software_version: str
    history_file: _FileName | None = None
    """File name under `history/<case>/` once a later decision has replaced this mask."""


class ReadKind(StrEnum):
    """How an outline kept for comparing readers came about."""

    FIRST = "first"
    """The accepted mask at the time a second read was asked for."""
    SECOND = "second"
    """Drawn without seeing the first."""
    MODEL = "model"
    """The draft that the first read was corrected from."""


class ReadRecord(_Record):
    """One reader's outline of a case, kept beside others for comparison."""

    format: Literal[1] = 1
    case_id: str
    reader: str
    """The annotator; of a draft, the model."""
    kind: ReadKind
    sha256: str
    seconds_spent: float | None = None
    strokes: int | None = None
    reviewed_slices: tuple[int, ...] | None = None
    """Indices along Z of the reviewed slices; None when all were reviewed."""
    tumor_voxels: int
    model: str | None = None
    """Model whose draft the reader corrected; None when the reader began with nothing."""
    software_version: str


class LesionRecord(_Record):
    """What tells a lesion of a case again: its id stays whatever becomes of the mask."""

    id: str
    """"index", "satellite 1", ...; in the other breast "left 2" or "right 2"."""
    voxels: int
    center_voxel: tuple[float, float, float]
    """(z, y, x) when last measured."""
    box: tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
    """First and one past the last voxel along z, y, x."""


class CaseRecord(_Record):
    """One case of a dataset folder: the content of `cases/<case>.json`."""

    format: Literal[1] = 1
    case_id: str
    dataset_id: str = ""
    """Id of the dataset it entered, so that a lost dataset.json comes back with it."""
    patient_id: str
    """A pseudonym, never a name."""
    role: PatientRole
    visit: str | None = None
    status: Status = Status.NEW
    flag_reason: FlagReason | None = None
    channels: tuple[str, ...]
    """Roles of the image files in the order of their numbers."""
    times_s: dict[str, float] = {}
    """Seconds from the first phase by role, where known."""
    grid: GridRecord
    image_sha256: dict[str, str]
    """SHA-256 of the image files by role."""
    draft: DraftRecord | None = None
    accepted: AcceptedMask | None = None
    history: tuple[AcceptedMask, ...] = ()
    """Earlier accepted masks, oldest first."""
    goes_on_from: _FileName | None = None
    """File name of the earlier mask that a reopened case goes on from; None: from its draft."""
    autosave_after: int | None = None
    """How many masks of the case had been accepted when unfinished work was last kept; None where
    none was, or a version before this counter kept it."""
    renamed_to: _CaseId | None = None
    """The id that it is about to get, or has got already where its file is called so."""
    former_ids: tuple[_CaseId, ...] = ()
    """Ids that it had before, oldest first: models made then know it by them."""
    left_by: str | None = None
    """Who closed the case with unfinished work in it; None where nobody did, as after a crash."""
    work: WorkRecord | None = None
    """What was done since the last accepted mask, in sittings that have ended."""
    lesions: tuple[LesionRecord, ...] = ()
    """Its lesions as last measured."""
    findings: tuple[FindingRecord, ...] = ()
    """What the model found, and what the reader decided about each when the mask was accepted."""
    clicks: tuple[ClickRecord, ...] = ()
    """What the reader said by smart clicks, as far as the accepted mask says the same."""
    is_for_second_read: bool = False
    """Whether a second reader is to outline it without seeing the first outline."""
    source_sha256: dict[str, str] = {}
    """SHA-256 of the files an import read, by role and "mask"."""
    software_version: str

    @model_validator(mode="after")
    def _places_lie_in_the_exam(self) -> Self:
        # A name from elsewhere would make another case's mask this one's.
        if self.goes_on_from is not None and self.goes_on_from not in {
            mask.history_file for mask in self.history
        }:
            raise ValueError("goes_on_from must name an earlier mask of the case")
        if self.renamed_to is not None and not self.former_ids:
            raise ValueError("a case that is being renamed must have its former id")
        numbers = [one.number for one in self.findings]
        if len(set(numbers)) < len(numbers):
            raise ValueError("findings must have different numbers")
        for one in self.findings:
            if any(at > size for at, size in zip(one.center_voxel, self.grid.shape, strict=True)):
                raise ValueError(f"finding {one.number} must lie in the exam")
        for click in self.clicks:
            if any(at >= size for at, size in zip(click.voxel, self.grid.shape, strict=True)):
                raise ValueError("clicks must lie in the exam")
        return self

    @property
    def entry(self) -> int:
        """1 for a case of the first patient that entered the folder, and so on."""
        return self.role.entry

    @property
    def fold(self) -> int | None:
        """Validation fold, 0 to 4; None for a patient locked for testing."""
        return self.role.fold

    @property
    def is_accepted(self) -> bool:
        """Whether the folder holds an accepted mask of this case."""
        return self.status is Status.ACCEPTED

    @property
    def all_ids(self) -> tuple[str, ...]:
        """Its id, and those that it had before."""
        return (self.case_id, *self.former_ids)

    @property
    def n_masks(self) -> int:
        """How many masks of the case have been accepted so far."""
        return len(self.history) + (self.accepted is not None)

    @property
    def is_locked(self) -> bool:
        """Whether the patient is kept for testing."""
        return self.role.is_locked

    @property
    def predicted_dice(self) -> float | None:
        """Dice that the model expects of its draft, None where it expects nothing."""
        return None if self.draft is None else self.draft.predicted_dice

    @property
    def kept_mask(self) -> AcceptedMask | None:
        """The mask that correcting goes on from: the accepted one, or that of a reopened case."""
        if self.accepted is not None or self.goes_on_from is None:
            return self.accepted
        return next((m for m in self.history if m.history_file == self.goes_on_from), None)

    @property
    def annotator(self) -> str | None:
        """Who accepted a mask of the case last, None when nobody has."""
        if self.accepted is not None:
            return self.accepted.annotator
        return self.history[-1].annotator if self.history else None


def next_role(roles: Iterable[PatientRole], unknown: int = 0) -> PatientRole:
    """Role of a patient who enters now.

    Parameters
    ----------
    roles : iterable of PatientRole
        One for each patient already in the folder.
    unknown : int
        Patients that may have entered as well, whose roles cannot be read: their entries are not
        given again.

    Returns
    -------
    PatientRole
        Locked for the 10th, 15th, 20th, ... patient; else the fold with the fewest patients,
        the lowest of them.

    Examples
    --------
    >>> roles = []
    >>> for _ in range(11):
    ...     roles.append(next_role(roles))
    >>> [role.fold for role in roles]
    [0, 1, 2, 3, 4, 0, 1, 2, 3, None, 4]
    """
    roles = list(roles)
    # The highest entry, not the count: a removed record must not make an entry come twice.
    entry = max((role.entry for role in roles), default=0) + 1 + unknown
    if entry >= FIRST_LOCKED_ENTRY and (entry - FIRST_LOCKED_ENTRY) % LOCKED_EVERY == 0:
        return PatientRole(entry=entry, fold=None)
    sizes = [sum(role.fold == fold for role in roles) for fold in range(FOLDS)]
    return PatientRole(entry=entry, fold=sizes.index(min(sizes)))
