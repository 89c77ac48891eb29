"""Plain DICOM files: little endian, one grey frame, nothing odd. Nearly all of an exam are plain.

Their headers are walked over in one go, a tenth of pydicom's time, and their pixels are read from
where they lie, without a copy. What a plain file says must be what pydicom says of it. Whatever is
out of the ordinary raises `OddError`, and the file is left to pydicom. Loads pydicom late.
"""

from __future__ import annotations

import math
import os
import re
import struct
import sys
from collections.abc import Collection, Hashable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ...core.errors import InputError
from ...core.reading import open_regular
from .walk import Walked, vr_of, walked

__all__ = ["Known", "PlainHeader", "PlainPixels", "plain_header", "plane_of"]

_CHARACTERS, _SCALE_SLOPE = 0x0008_0005, 0x2005_100E

_PIXEL_KEYWORDS = (
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "NumberOfFrames",
    "RescaleSlope",
    "RescaleIntercept",
)
_OF_SLICE = (
    "SOPInstanceUID",
    "InstanceNumber",
    "AcquisitionNumber",
    "ImagePositionPatient",
    "TemporalPositionIdentifier",
    "TemporalPositionTimeOffset",
    "TriggerTime",
    "AcquisitionTime",
    "ContentTime",
)
"""What usually differs from slice to slice of a series."""

Known = dict[Hashable, Any]
"""Values that earlier files had, too, by their bytes."""
_MOST_KNOWN = 4096


@dataclass(frozen=True, slots=True)
class PlainPixels:
    """Where the pixels of a plain file lie, and what its numbers mean."""

    offset: int
    state: tuple[int, int]
    """Size, and time of the last change in ns, of the file whose header was read."""

    size: tuple[int, int]
    """Rows, columns."""

    is_signed: bool
    bits_stored: int
    is_inverted: bool
    slope: float
    intercept: float
    scale_slope: float
    """Philips: stored numbers per signal; nan if the file has none."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the numbers."""
        return np.dtype(np.int16 if self.is_signed else np.uint16)


@dataclass(frozen=True, slots=True)
class PlainHeader:
    """Wanted elements of a plain file; `get` answers as pydicom's data set does."""

    walked: Walked = field(repr=False)
    state: tuple[int, int]
    """Size of the file, and time of its last change in ns."""

    known: Known = field(repr=False)

    def get(self, keyword: str, default: Any = None) -> Any:
        """Value of an element, decoded by pydicom."""
        tag = _tag_of(keyword)
        found = self.walked.values.get(tag)
        if found is None:
            return default
        vr, value = found
        key = (tag, found, self.walked.values.get(_CHARACTERS))
        if key not in self.known:
            name = vr_of(tag) if vr is None else vr
            if (simple := _simple(name, value)) is not None:
                return simple
            if len(self.known) > _MOST_KNOWN:
                self.known.clear()
            self.known[key] = self._decoded(tag, vr, value)
        return self.known[key]

    @property
    def shared(self) -> Hashable:
        """All that does not usually differ from slice to slice of a series."""
        own = _own_tags()
        return tuple([pair for pair in self.walked.values.items() if pair[0] not in own])

    def plain_pixels(self, rows: int, columns: int) -> PlainPixels | None:
        """Where its pixels lie; None if they need pydicom."""
        if self.walked.pixels is None or self.walked.is_packed or sys.byteorder != "little":
            return None
        vr, offset, n_bytes = self.walked.pixels
        one = {keyword: self.get(keyword) for keyword in _PIXEL_KEYWORDS}
        stored, is_signed = one["BitsStored"], one["PixelRepresentation"]
        photometric = str(one["PhotometricInterpretation"]).strip()
        if not (
            vr in (None, b"OW")
            and n_bytes == 2 * rows * columns
            and offset + n_bytes <= self.state[0]
            and 0 < rows < 1 << 16
            and 0 < columns < 1 << 16
            and one["BitsAllocated"] == 16
            and one["SamplesPerPixel"] == 1
            and isinstance(stored, int)
            and 1 <= stored <= 16
            and one["HighBit"] in (None, stored - 1)
            and is_signed in (0, 1)
            and photometric in ("MONOCHROME1", "MONOCHROME2")
            and one["NumberOfFrames"] in (None, 1)
        ):
            return None
        slope, intercept = _one_number(one["RescaleSlope"]), _one_number(one["RescaleIntercept"])
        scale_slope = self._scale_slope()
        if slope is None or intercept is None or scale_slope is None:
            return None
        return PlainPixels(
            offset,
            self.state,
            (rows, columns),
            bool(is_signed),
            stored,
            photometric == "MONOCHROME1",
            slope or 1.0,
            intercept,
            scale_slope,
        )

    def _scale_slope(self) -> float | None:
        if _SCALE_SLOPE not in self.walked.values:
            return math.nan
        vr, value = self.walked.values[_SCALE_SLOPE]
        if vr != b"FL" or len(value) != 4:
            return None
        slope = float(struct.unpack("<f", value)[0])
        return slope if slope > 0 and math.isfinite(slope) else math.nan

    def _decoded(self, tag: int, vr: bytes | None, value: bytes) -> Any:
        from pydicom.charset import convert_encodings, default_encoding
        from pydicom.dataelem import RawDataElement, convert_raw_data_element, empty_value_for_VR
        from pydicom.tag import BaseTag

        from .elements import quiet

        encoding: Any = default_encoding
        if tag != _CHARACTERS and _CHARACTERS in self.walked.values:
            encoding = convert_encodings(self.get("SpecificCharacterSet"))
        name = None if vr is None else vr.decode()
        raw = RawDataElement(
            BaseTag(tag),
            name,
            len(value),
            value or empty_value_for_VR(name, raw=True),
            0,
            vr is None,
            True,
        )
        with quiet():
            return convert_raw_data_element(raw, encoding=encoding).value


def plain_header(file: BinaryIO, wanted: Collection[str], known: Known) -> PlainHeader:
    """Header of an open plain file.

    Parameters
    ----------
    file : BinaryIO
        At its beginning.
    wanted : collection of str
        Keywords of the elements to keep.
    known : Known
        Of the files read before.

    Raises
    ------
    OddError
        If the file is not plain.
    """
    seen = os.fstat(file.fileno())
    way = walked(file, seen.st_size, _tags(tuple(wanted)))
    return PlainHeader(way, (seen.st_size, seen.st_mtime_ns), known)


def plane_of(path: Any, pixels: PlainPixels, into: NDArray[Any] | None) -> NDArray[Any] | None:
    """Pixels of a plain file, (Y, X); None if it has changed since, or cannot be read.

    Parameters
    ----------
    path : Path
    pixels : PlainPixels
    into : ndarray, shape (Y, X), optional
        Memory to read them into, used if its type is theirs.
    """
    plane = into
    if plane is None or plane.dtype != pixels.dtype:
        plane = np.empty(pixels.size, pixels.dtype)
    if plane.shape != pixels.size:
        return None
    try:
        with open_regular(path) as file:
            seen = os.fstat(file.fileno())
            if (seen.st_size, seen.st_mtime_ns) != pixels.state:
                return None
            file.seek(pixels.offset)
            if file.readinto(plane.data.cast("B")) != plane.nbytes:  # type: ignore[attr-defined]
                return None
    except (OSError, InputError):
        return None
    if unused := 16 - pixels.bits_stored:  # they may hold anything
        np.left_shift(plane, unused, out=plane)
        np.right_shift(plane, unused, out=plane)
    if pixels.is_inverted:  # high values are dark; signed numbers are mirrored about -1/2
        if pixels.is_signed:
            np.invert(plane, out=plane)
        else:
            np.subtract(plane.dtype.type((1 << pixels.bits_stored) - 1), plane, out=plane)
    return plane


def _one_number(value: Any) -> float | None:
    """A number of an element; 0 if it has none, None where it needs a second look."""
    if value is None:
        return 0.0
    if not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


@lru_cache(maxsize=256)
def _tag_of(keyword: str) -> int:
    from pydicom.datadict import tag_for_keyword

    tag = tag_for_keyword(keyword)
    return -1 if tag is None else int(tag)


@lru_cache(maxsize=1)
def _own_tags() -> frozenset[int]:
    return frozenset(map(_tag_of, _OF_SLICE))


@lru_cache(maxsize=4)
def _tags(wanted: tuple[str, ...]) -> frozenset[int]:
    keywords = {*wanted, *_PIXEL_KEYWORDS, "SpecificCharacterSet"}
    return frozenset({*map(_tag_of, keywords), _SCALE_SLOPE})


_PLAIN_WORD = re.compile(rb"[!-\[\]-~]([ -\[\]-~]*[!-\[\]-~])?")
_PLAIN_NUMBERS = re.compile(rb"[-+0-9.eE]+( *\\ *[-+0-9.eE]+)*")


def _simple(vr: bytes, value: bytes) -> Any:
    """A value that needs no pydicom to be understood, as it usually is; else None."""
    if vr in (b"UI", b"TM"):
        word = value.rstrip(b"\0 ")
        return word.decode() if _PLAIN_WORD.fullmatch(word) else None
    if vr in (b"DS", b"IS"):
        numbers = value.strip(b" ")
        if not _PLAIN_NUMBERS.fullmatch(numbers):
            return None
        kind = float if vr == b"DS" else int
        try:
            found = [kind(part) for part in numbers.split(b"\\")]
        except ValueError:
            return None
        return found[0] if len(found) == 1 else found
    return None
