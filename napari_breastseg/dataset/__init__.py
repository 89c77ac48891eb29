"""The annotated dataset folder: cases, status, provenance, splits.

    from napari_breastseg.dataset import Dataset

A case enters by `new_case`, lives in `lifecycle`, is read again by others in `reads`; `Cases` and
`SecondRead` are the two workspaces of its readers, and `Dataset` is the folder as a whole.
"""

from .checking import Finding, Severity
from .derived import LABELS, Split
from .effort import Effort, ModelEffort, effort, effort_by_model
from .entering import enter_exam
from .finding_record import Decision, FindingRecord
from .folder import Dataset, import_csv
from .importing import ImportFailure, ImportResult
from .locking import LockNote
from .reads import Reads
from .records import (
    AcceptedMask,
    CaseRecord,
    ClickRecord,
    DraftRecord,
    FlagReason,
    GridRecord,
    PatientRole,
    ReadKind,
    ReadRecord,
    Status,
)
from .redraft_record import RedraftRecord
from .second_read import SecondRead
from .summaries import CaseSummary
from .worklist import Order, WorklistRow, arranged
from .workspace import Workspace

__all__ = [
    "LABELS",
    "AcceptedMask",
    "CaseRecord",
    "CaseSummary",
    "ClickRecord",
    "Dataset",
    "Decision",
    "DraftRecord",
    "Effort",
    "Finding",
    "FindingRecord",
    "FlagReason",
    "GridRecord",
    "ImportFailure",
    "ImportResult",
    "LockNote",
    "ModelEffort",
    "Order",
    "PatientRole",
    "ReadKind",
    "ReadRecord",
    "Reads",
    "RedraftRecord",
    "SecondRead",
    "Severity",
    "Split",
    "Status",
    "WorklistRow",
    "Workspace",
    "arranged",
    "effort",
    "effort_by_model",
    "enter_exam",
    "import_csv",
]
