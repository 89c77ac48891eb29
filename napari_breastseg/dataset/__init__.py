"""The annotated dataset folder: cases, status, provenance, splits.

    from napari_breastseg.dataset import Dataset

What each part may import stands at its head; none imports Qt, napari or torch.
"""

from .checking import Finding, Severity
from .derived import LABELS, Split
from .effort import Effort, ModelEffort, effort, effort_by_model
from .entering import enter_exam
from .folder import Dataset, import_csv
from .importing import ImportFailure, ImportResult
from .locking import LockNote
from .reads import Reads, SecondRead
from .records import (
    AcceptedMask,
    CaseRecord,
    DraftRecord,
    FlagReason,
    GridRecord,
    PatientRole,
    ReadKind,
    ReadRecord,
    Status,
)
from .worklist import Order, WorklistRow, arranged

__all__ = [
    "LABELS",
    "AcceptedMask",
    "CaseRecord",
    "Dataset",
    "DraftRecord",
    "Effort",
    "Finding",
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
    "SecondRead",
    "Severity",
    "Split",
    "Status",
    "WorklistRow",
    "arranged",
    "effort",
    "effort_by_model",
    "enter_exam",
    "import_csv",
]
