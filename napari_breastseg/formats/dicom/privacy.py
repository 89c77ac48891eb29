"""Identifying header values, and case ids of DICOM folders without them.

A folder's name is its case id unless it contains an identifying value from the headers. Then a
keyed hash takes its place, the same for the same study in any folder. The key never leaves
``BREASTSEG_HOME``.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import unicodedata
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...core.errors import StorageError
from ...core.home import home_folder

__all__ = ["IDENTITY_KEYWORDS", "Identity", "case_id_of", "identity_of"]

IDENTITY_KEYWORDS = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientBirthName",
    "PatientMotherBirthName",
    "OtherPatientNames",
    "OtherPatientIDs",
    "OtherPatientIDsSequence",
    "AccessionNumber",
    "StudyDate",
    "SeriesDate",
    "AcquisitionDate",
    "ContentDate",
)
"""Elements whose values identify a patient or an examination."""

KEY_FILE = "pseudonym.key"
_KEY_BYTES = 32
_UID = re.compile(r"\d+(\.\d+){4,}")
_NO_NAMES = frozenset(
    {"anon", "anonymous", "anonymized", "breast", "case", "dicom", "dummy", "exam", "mr", "mri"}
    | {"name", "patient", "phantom", "test"}
)
"""Words used instead of a name in anonymized data; they identify nobody."""
_SUBSTRING_FROM = 4
"""Values this long count anywhere within a name, shorter ones only as whole words."""


@dataclass(frozen=True)
class Identity:
    """Header values that identify a patient or an examination; compared, never shown."""

    words: frozenset[str] = field(default=frozenset(), repr=False)
    """Letters and digits only, in lower case."""

    def __or__(self, other: Identity) -> Identity:
        """Both together."""
        return Identity(self.words | other.words)

    def is_in(self, text: str) -> bool:
        """Whether a text contains one of the values, or a UID.

        Examples
        --------
        >>> jane = Identity(frozenset({"jane", "doe", "4711"}))
        >>> jane.is_in("MRI of JaneD"), jane.is_in("does it work"), jane.is_in("doe_2")
        (True, False, True)
        """
        parts = set(_split(text))
        whole = _squeezed(text)
        return bool(_UID.search(text)) or any(
            word in whole if len(word) >= _SUBSTRING_FROM else word in parts for word in self.words
        )


def identity_of(data: Any) -> Identity:
    """Identifying values of a data set."""
    words: set[str] = set()
    for keyword in IDENTITY_KEYWORDS:
        try:
            value = data.get(keyword)
        # A damaged element may raise anything.
        except Exception:
            continue
        for text in _texts(value):
            if keyword.endswith("Date"):
                words |= _dates(text)
                continue
            words |= {_squeezed(text)}
            if "Name" in keyword:
                # The parts of a name; single letters, such as initials, would match everywhere.
                parts = {part for part in _split(text) if len(part) > 1}
                words |= {part for part in parts - _NO_NAMES if not part.isdigit()}
    return Identity(frozenset(words - {""}))


def case_id_of(name: str, identity: Identity, secret: str) -> str:
    """Case id for a folder or file of a name.

    Parameters
    ----------
    name : str
        Name of the folder, or of the file without its ending.
    identity : Identity
        Values that must not appear in the id.
    secret : str
        What distinguishes the exam, such as its study UID; only its keyed hash is used.

    Returns
    -------
    str
        The name, with characters other than letters, digits, "_", "-" and "." replaced by "_"; or
        "exam-" and ten hexadecimal digits.

    Raises
    ------
    StorageError
        If a key is needed and cannot be stored.
    """
    cleaned = re.sub(r"\.{2,}", ".", re.sub(r"[^A-Za-z0-9._-]+", "_", name)).strip("._-")[:80]
    if cleaned.strip("._-") and not identity.is_in(name) and not identity.is_in(cleaned):
        return cleaned.strip("._-")
    digest = hmac.new(_key(), secret.encode("utf-8", "replace"), hashlib.sha256).hexdigest()
    return f"exam-{digest[:10]}"


def _key() -> bytes:
    path = home_folder() / KEY_FILE
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            _create(path)
        key = path.read_bytes()
    except OSError as error:
        raise StorageError(
            "Expected BREASTSEG_HOME to be writable, to keep the pseudonym key",
            f"found the system error '{error.strerror or type(error).__name__}'",
            "Set BREASTSEG_HOME to a folder you may write to",
        ) from None
    if len(key) < _KEY_BYTES:
        raise StorageError(
            f"Expected a pseudonym key of {_KEY_BYTES} bytes in BREASTSEG_HOME",
            f"found {len(key)} bytes in {KEY_FILE}",
            f"Restore {KEY_FILE} from a backup; deleting it gives every exam a new pseudonym",
        )
    return key


def _create(path: Path) -> None:
    """Create a new key, complete as soon as its name exists; never replaces another."""
    key = secrets.token_bytes(_KEY_BYTES)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        _write_new(temporary, key)
        os.link(temporary, path)  # unlike a rename, this fails if a key exists
    except FileExistsError:
        raise
    except OSError:  # a disk without hard links
        _write_new(path, key)
    finally:
        temporary.unlink(missing_ok=True)


def _write_new(path: Path, key: bytes) -> None:
    handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(key)
        file.flush()
        os.fsync(file.fileno())


def _texts(value: Any) -> Iterable[str]:
    if value is None:
        return []
    if isinstance(value, str):
        return [value]
    if hasattr(value, "family_name"):  # a person's name of pydicom
        return [str(value)]
    try:
        items = list(value)
    except TypeError:
        return [str(value)]
    # Items of a sequence hold further patient ids.
    return [str(item.get("PatientID", "") if hasattr(item, "get") else item) for item in items]


def _dates(text: str) -> set[str]:
    """A date (YYYYMMDD) in the usual orders of day, month and year, without separators."""
    digits = _squeezed(text)
    if len(digits) != 8 or not digits.isdigit():
        return {digits}
    year, month, day = digits[:4], digits[4:6], digits[6:]
    short = year[2:]
    return {
        *(digits, day + month + year, month + day + year),
        *(short + month + day, day + month + short, month + day + short),
    }


def _split(text: str) -> list[str]:
    return [part for part in re.split(r"[\W_]+", _plain(text)) if part]


def _squeezed(text: str) -> str:
    return re.sub(r"[\W_]+", "", _plain(text))


def _plain(text: str) -> str:
    """In lower case, without accents."""
    return re.sub("[\u0300-\u036f]", "", unicodedata.normalize("NFKD", text.casefold()))
