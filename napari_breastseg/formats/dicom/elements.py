"""Single values of a DICOM data set, read defensively: anything invalid counts as missing.

Loads pydicom late.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any, BinaryIO

from ...core.reading import most_unpacked, open_regular
from ...core.silence import silent

__all__ = [
    "clock_of",
    "day_of",
    "number_of",
    "numbers_of",
    "quiet",
    "read_dataset",
    "text_of",
    "words_of",
]


@contextmanager
def quiet() -> Iterator[None]:
    """Silence warnings and logs of pydicom and highdicom: they quote headers."""
    import pydicom  # noqa: F401  # it sets its logger's level as it is imported

    with silent("pydicom", "highdicom"):
        yield


_DEFLATED = b"1.2.840.10008.1.2.1.99"
_CHUNK = 1 << 24


def read_dataset(path: Path, **options: Any) -> Any:
    """Data set of a DICOM file, as `pydicom.dcmread` gives it; see there for the options.

    Raises
    ------
    InputError
        If it is no regular file.
    ValueError
        If it unpacks to far more than an image could.
    Exception
        Whatever pydicom raises on a damaged byte.
    """
    from pydicom import dcmread

    with open_regular(path) as file:
        _require_inflatable(file)
        file.seek(0)
        return dcmread(file, force=True, **options)


def _require_inflatable(file: BinaryIO) -> None:
    """Raise ValueError where a deflated data set would fill the memory; pydicom unpacks all."""
    head = file.read(4096)
    if _DEFLATED not in head:
        return
    # The group length of the meta information says where the packed part begins.
    start = 144 + int.from_bytes(head[140:144], "little")
    packed = file.seek(0, 2) - start
    file.seek(start)
    stream, n_bytes = zlib.decompressobj(-zlib.MAX_WBITS), 0
    most = most_unpacked(max(packed, 0))
    waiting = file.read(_CHUNK)
    while waiting and not stream.eof:
        n_bytes += len(stream.decompress(waiting, _CHUNK))
        if n_bytes > most:
            raise ValueError("it unpacks to far more than an image could")
        waiting = stream.unconsumed_tail or file.read(_CHUNK)


def text_of(data: Any, keyword: str) -> str:
    """A value as stripped text; "" if missing."""
    try:
        value = data.get(keyword)
    except Exception:
        return ""
    return "" if value is None else str(value).strip()


def words_of(data: Any, keyword: str) -> tuple[str, ...]:
    """The values of an element, in upper case."""
    try:
        value = data.get(keyword)
    except Exception:
        return ()
    if value is None:
        return ()
    values = [value] if isinstance(value, str) else list(value)
    return tuple(str(word).strip().upper() for word in values)


def numbers_of(data: Any, keyword: str, count: int) -> tuple[float, ...] | None:
    """Exactly `count` finite numbers; None if the element holds anything else."""
    try:
        numbers = tuple(float(number) for number in data.get(keyword) or ())
    except Exception:
        return None
    return numbers if len(numbers) == count and all(map(math.isfinite, numbers)) else None


def number_of(data: Any, keyword: str) -> float | None:
    """The first number of an element; None if it has none."""
    try:
        value = data.get(keyword)
        # A scanner may write one number per echo.
        is_list = hasattr(value, "__getitem__") and not isinstance(value, str)
        number = float(value[0] if is_list else value)
    except Exception:
        return None
    return number if math.isfinite(number) else None


_CLOCK = re.compile(r"(\d{2}):?(\d{2})?:?(\d{2}(?:\.\d*)?)?")


def clock_of(data: Any, keyword: str) -> float | None:
    """Second of the day of a time, or of a date and time (``...DateTime``)."""
    text = text_of(data, keyword)
    if keyword.endswith("DateTime"):
        text = text[8:]
    match = _CLOCK.match(text)
    if match is None:
        return None
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    if hours > 23 or minutes > 59 or seconds > 60:
        return None
    return hours * 3600 + minutes * 60 + seconds


def day_of(data: Any, keyword: str) -> int | None:
    """Day of a date, or of a date and time, counted from year 1; None if it is none."""
    match = re.match(r"(\d{4})[.-]?(\d{2})[.-]?(\d{2})", text_of(data, keyword))
    if match is None:
        return None
    try:
        return date(*map(int, match.groups())).toordinal()
    except ValueError:
        return None
