"""Single values of a DICOM data set, read defensively: anything invalid counts as missing.

Loads no pydicom.
"""

from __future__ import annotations

import logging
import math
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any

__all__ = ["clock_of", "day_of", "number_of", "numbers_of", "quiet", "text_of", "words_of"]


@contextmanager
def quiet() -> Iterator[None]:
    """Silence warnings and logs of pydicom and, once imported, highdicom: they quote headers."""
    # Their modules log under their own names; a filter on the package's logger does not reach them.
    names = [n for n in logging.root.manager.loggerDict if n.startswith(("pydicom", "highdicom"))]
    loggers = [logging.getLogger(name) for name in names]
    silence = logging.Filter()
    silence.filter = lambda record: False  # type: ignore[method-assign]
    for logger in loggers:
        logger.addFilter(silence)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger in loggers:
            logger.removeFilter(silence)


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
