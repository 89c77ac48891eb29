"""What may become a case id, a patient id or another short name in a dataset folder."""

from __future__ import annotations

import re

from ..core.errors import InputError

__all__ = ["require_case_id", "require_pseudonym", "require_word"]

_CASE_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
_DEVICE_NAMES = {"con", "prn", "aux", "nul"} | {
    f"{p}{n}" for p in ("com", "lpt") for n in range(1, 10)
}


def require_case_id(case_id: str) -> str:
    """Give `case_id` back if it may become a file name on every system.

    Raises
    ------
    InputError
        Without quoting the value, which might be a person's name.
    """
    reason = None
    if not case_id:
        reason = "found an empty one"
    elif len(case_id) > 100:
        reason = f"found one of {len(case_id)} characters"
    elif not _CASE_ID.fullmatch(case_id):
        reason = "found one with other characters"
    elif case_id.endswith(".") or ".." in case_id or case_id.split(".")[0].lower() in _DEVICE_NAMES:
        reason = "found one that is not a file name on every system"
    if reason:
        raise InputError(
            "Expected a case id of letters, digits, '_', '-' and single dots, 100 at most",
            reason,
            "Rename the case; an id must not hold a patient's name",
        )
    return case_id


def require_pseudonym(patient_id: str) -> str:
    """Give `patient_id` back if it can be a pseudonym.

    Raises
    ------
    InputError
        If it is empty, too long, unprintable or written as DICOM writes a person's name.
    """
    return _require_printable(
        patient_id, "a patient id", "Give each patient a pseudonym such as P017"
    )


def require_word(value: str, what: str) -> str:
    """Give `value` (an annotator, a model, a visit) back if it is one short printable line.

    Raises
    ------
    InputError
        If it is empty, longer than 100 characters or holds line breaks.
    """
    return _require_printable(value, what, "Give a short name")


def _require_printable(value: str, what: str, do: str) -> str:
    if (
        not value.strip()
        or value != value.strip()
        or len(value) > 100
        or not value.isprintable()
        or "^" in value
    ):
        raise InputError(
            f"Expected {what} of 1 to 100 printable characters, without '^' and without "
            "spaces at its ends",
            f"found {len(value)} characters"
            + (", some of them not allowed" if value.strip() else ", all blank"),
            do,
        )
    return value
