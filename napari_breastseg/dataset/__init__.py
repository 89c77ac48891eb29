"""The annotated dataset folder: cases, status, provenance, splits.

    from napari_breastseg.dataset import Dataset

What each part may import stands at its head; none imports Qt, napari or torch.
"""

from .checking import Finding, Severity
from .derived import LABELS, Split
from .folder import Dataset, import_csv
from .importing import ImportFailure, ImportResult
from .locking import LockNote
from .records import (
    AcceptedMask,
    CaseRecord,
    DraftRecord,
    FlagReason,
    GridRecord,
    PatientRole,
    Status,
)

__all__ = [
    "LABELS",
    "AcceptedMask",
    "CaseRecord",
    "Dataset",
    "DraftRecord",
    "Finding",
    "FlagReason",
    "GridRecord",
    "ImportFailure",
    "ImportResult",
    "LockNote",
    "PatientRole",
    "Severity",
    "Split",
    "Status",
    "import_csv",
]
