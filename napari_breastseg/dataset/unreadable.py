"""A case whose record cannot be read: why, and what can be told of its patient all the same.

Such a case is left out; the others stay in use. Imports `records` and `version` only.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from ..core.version import __version__
from .records import CaseRecord, PatientRole

__all__ = ["Unreadable", "unreadable"]

_VERSION = re.compile(r"\d+(\.\d+)*[\w.+-]*")


@dataclass(frozen=True)
class Unreadable:
    """A case that is left out because its record cannot be read."""

    case_id: str
    reason: str
    """How it was found, as in "damaged"."""
    patient_id: str | None = None
    """The patient's pseudonym; None where it cannot be told."""
    role: PatientRole | None = None
    """The patient's role, which later cases of the patient must get as well."""

    def describe(self) -> str:
        """One sentence, with what to do."""
        return (
            f"Case {self.case_id} is left out: its record was found {self.reason}. Restore it from "
            "a backup, update napari-breastseg, or move it away"
        )


def unreadable(case_id: str, content: bytes | None) -> Unreadable:
    """Why the record of a case cannot be used.

    Parameters
    ----------
    case_id : str
    content : bytes or None
        What is in the file; None where that could not be read either.
    """
    if content is None:
        return Unreadable(case_id, "closed to you by the system's permissions")
    try:
        value: Any = json.loads(content)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        return Unreadable(case_id, "damaged")
    patient, role = value.get("patient_id"), None
    try:
        role = PatientRole.model_validate(value.get("role"))
    except ValueError:
        patient = None
    if value.get("case_id") != case_id:
        return Unreadable(case_id, "to be that of another case")
    version = str(value.get("software_version"))
    is_newer = value.get("format") != 1 or bool(value.keys() - CaseRecord.model_fields.keys())
    is_newer |= bool(_VERSION.fullmatch(version)) and version != __version__
    reason = "damaged"
    if is_newer:
        named = f" ({version})" if _VERSION.fullmatch(version) and version != __version__ else ""
        reason = f"written by another version of napari-breastseg{named}"
    return Unreadable(case_id, reason, patient if isinstance(patient, str) else None, role)
