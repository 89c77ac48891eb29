"""Case ids of DICOM folders that name no patient.

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
from contextlib import suppress
from pathlib import Path

from ...core.errors import StorageError
from ...core.home import home_folder
from .identity import Identity

__all__ = ["case_id_of", "patient_pseudonym"]

KEY_FILE = "pseudonym.key"
_KEY_BYTES = 32


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


def patient_pseudonym(patient: str) -> str:
    """Pseudonym of a patient, the same for all of the patient's exams opened on this computer.

    Parameters
    ----------
    patient : str
        What the headers call the patient; only its keyed hash is used.

    Returns
    -------
    str
        "P-" and eight hexadecimal digits.

    Raises
    ------
    StorageError
        If the key cannot be stored.
    """
    secret = f"patient {patient}".encode("utf-8", "replace")
    return f"P-{hmac.new(_key(), secret, hashlib.sha256).hexdigest()[:8]}"


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
