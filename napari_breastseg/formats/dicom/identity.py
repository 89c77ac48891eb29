"""Values in DICOM headers that identify a patient, and whether a name of a file holds one.

A name is found with its parts in any order, in any letter case and spelling (Müller, Mueller,
MULLER), with initials for first names; an id with or without its leading zeros; a date in any
order. Values are compared and never shown.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import permutations
from typing import Any

__all__ = ["IDENTITY_KEYWORDS", "Identity", "identity_of"]

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

_UID = re.compile(r"\d+(\.\d+){4,}")
_NO_NAMES = frozenset(
    {"anon", "anonymous", "anonymized", "breast", "case", "dicom", "dummy", "exam", "mr", "mri"}
    | {"name", "patient", "phantom", "test"}
)
"""Words used instead of a name in anonymized data; they identify nobody."""
_GENERIC = _NO_NAMES | {"dce", "scan", "series", "study", "visit", "pre", "post", "left", "right"}
"""Words in names of folders that are no part of a patient's name."""
_ANYWHERE_FROM = 4
"""Values this long count anywhere within a name, shorter ones only as whole words."""
_JOINED_FROM = 6
"""As `_ANYWHERE_FROM`, for parts of a name written as one word in another order."""
_MOST_PARTS = 6
_DIGITS_FROM = 2
"""A number that is an id counts without its leading zeros if this many digits are left."""
_DIGITS_WITHIN_FROM = 4
"""As `_DIGITS_FROM`, for a number that is a part of an id."""
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_LETTERS = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i"}
)
_CAMEL = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[^\W\d_]+")


@dataclass(frozen=True)
class Identity:
    """Header values that identify a patient or an examination; compared, never shown."""

    words: frozenset[str] = field(default=frozenset(), repr=False)
    """Letters and digits only, in lower case."""

    whole_words: frozenset[str] = field(default=frozenset(), repr=False)
    """The same, but found between other words only."""

    numbers: frozenset[str] = field(default=frozenset(), repr=False)
    """Digits of ids without leading zeros."""

    dates: frozenset[tuple[int, int, int]] = field(default=frozenset(), repr=False)
    """(year, month, day)."""

    def __or__(self, other: Identity) -> Identity:
        """Both together."""
        return Identity(
            self.words | other.words,
            self.whole_words | other.whole_words,
            self.numbers | other.numbers,
            self.dates | other.dates,
        )

    @property
    def only_dates(self) -> Identity:
        """The dates alone: what still identifies where names and ids are pseudonyms."""
        return Identity(dates=self.dates)

    def is_in(self, text: str) -> bool:
        """Whether a text contains one of the values, or a UID.

        Examples
        --------
        >>> jane = Identity(frozenset({"jane", "doe", "4711"}))
        >>> jane.is_in("MRI of JaneD"), jane.is_in("does it work"), jane.is_in("doe_2")
        (True, False, True)
        """
        if _UID.search(text):
            return True
        single = _single_words(text)
        joined = _squeezed(text)
        letters = _squeezed(" ".join(w for w in _camel_words(text) if w not in _GENERIC))
        return (
            any(
                _is_found(word, single, letters if word.isalpha() else joined)
                for word in self.words
            )
            or any(_spelled(word) in single for word in self.whole_words)
            or not self.numbers.isdisjoint(_numbers(text))
            or any(_is_dated(text, joined, date) for date in self.dates)
        )


def identity_of(data: Any) -> Identity:
    """Identifying values of a data set."""
    words: set[str] = set()
    whole: set[str] = set()
    numbers: set[str] = set()
    dates: set[tuple[int, int, int]] = set()
    for keyword in IDENTITY_KEYWORDS:
        try:
            value = data.get(keyword)
        # A damaged element may raise anything.
        except Exception:
            continue
        for text in _texts(value):
            if keyword.endswith("Date"):
                digits = _squeezed(text)
                if len(digits) == 8 and digits.isdigit():
                    dates.add((int(digits[:4]), int(digits[4:6]), int(digits[6:])))
                else:
                    words.add(digits)
                continue
            if "Name" in keyword:
                for group in text.split("="):  # in other scripts
                    anywhere, between = _name_words(group)
                    words |= anywhere
                    whole |= between
            else:
                words.add(_squeezed(text))
                numbers |= _id_numbers(text)
    return Identity(
        frozenset(words - {""} - _NO_NAMES),
        frozenset(whole),
        frozenset(numbers),
        frozenset(dates),
    )


@lru_cache(maxsize=256)  # every slice of an exam has the same
def _name_words(name: str) -> tuple[frozenset[str], frozenset[str]]:
    """The parts of a name, and parts joined in any order: found anywhere, or as whole words."""
    # Single letters, such as initials, would match everywhere.
    split = [part for part in _split(name) if part not in _NO_NAMES and not part.isdigit()]
    parts = list(dict.fromkeys(part for part in split if len(part) > 1))[:_MOST_PARTS]
    joined = {"".join(some) for n in (2, 3) for some in permutations(parts, n)}
    if len(split) > 1:
        joined.add("".join(split))
    initials = {part[0] for part in split}
    with_initial = {word for part in parts for one in initials for word in (one + part, part + one)}
    long = {word for word in joined if len(word) >= _JOINED_FROM}
    return frozenset({*parts, *long}), frozenset({*(joined - long), *with_initial})


def _id_numbers(text: str) -> set[str]:
    """Runs of digits in an id, without leading zeros, that are no year."""
    squeezed = _squeezed(text)
    found = set()
    for run in re.findall(r"\d+", squeezed):
        number = run.lstrip("0")
        is_all = run == squeezed
        is_year = len(number) == 4 and number[:2] in ("19", "20")
        if len(number) >= (_DIGITS_FROM if is_all else _DIGITS_WITHIN_FROM) and (
            is_all or not is_year
        ):
            found.add(number)
    return found


def _is_found(word: str, single: set[str], joined: str) -> bool:
    spelled = _spelled(word)
    if len(word) >= _ANYWHERE_FROM:
        return spelled in _spelled(joined) or spelled in single
    return spelled in single


def _single_words(text: str) -> set[str]:
    """The words of a text as they are divided by other characters, by digits and by capitals."""
    found = set(_split(text))
    found |= {run for word in found for run in re.findall(r"[^\W\d_]+|\d+", word)}
    found |= set(_camel_words(text))
    for word in tuple(found):  # "leemri"
        for generic in _GENERIC:
            found |= {word.removeprefix(generic), word.removesuffix(generic)}
    return {_spelled(word) for word in found if word}


def _camel_words(text: str) -> Iterator[str]:
    """Words in lower case, and numbers; a capital begins a new word, as in KimAnhNg."""
    plain = _without_accents(text)
    for token in re.findall(r"[^\W\d_]+|\d+", plain):
        yield from (word.casefold() for word in _CAMEL.findall(token) or [token])


def _numbers(text: str) -> set[str]:
    return {run.lstrip("0") for run in re.findall(r"\d+", _plain(text))} | {
        _squeezed(text).lstrip("0")
    }


def _is_dated(text: str, joined: str, date: tuple[int, int, int]) -> bool:
    """Whether a text holds a date in one of the usual orders, with or without separators."""
    year, month, day = date
    y, m, d = f"{year:04d}", f"{month:02d}", f"{day:02d}"
    short = y[2:]
    run_together = {y + m + d, d + m + y, m + d + y, short + m + d, d + m + short, m + d + short}
    if any(one in joined for one in run_together):
        return True
    tokens = [_as_number(token) for token in re.findall(r"[^\W\d_]+|\d+", _plain(text))]
    orders = {
        (*rest[:at], one, *rest[at:])
        for one in (year, year % 100)
        for rest in ((month, day), (day, month))
        for at in (0, 2)
    }
    return any(tuple(tokens[at : at + 3]) in orders for at in range(len(tokens) - 2))


def _as_number(token: str) -> int | None:
    if token.isdecimal():
        return int(token) if len(token) <= 4 else None
    return _MONTHS.index(token[:3]) + 1 if token[:3] in _MONTHS else None


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


def _split(text: str) -> list[str]:
    return [part for part in re.split(r"[\W_]+", _plain(text)) if part]


def _squeezed(text: str) -> str:
    return re.sub(r"[\W_]+", "", _plain(text))


def _spelled(word: str) -> str:
    """One spelling of umlauts and their like, whichever way they are written out."""
    for pair, letter in (("ae", "a"), ("oe", "o"), ("ue", "u"), ("aa", "a"), ("ss", "s")):
        word = word.replace(pair, letter)
    return word


def _plain(text: str) -> str:
    """In lower case, without accents."""
    return _without_accents(text.casefold())


def _without_accents(text: str) -> str:
    return re.sub("[\u0300-\u036f]", "", unicodedata.normalize("NFKD", text)).translate(_LETTERS)
