"""A walk over the elements of a plain DICOM file: where each lies, and the bytes of those wanted.

Knows the little-endian encodings and nothing of what elements mean. Loads pydicom late.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from functools import lru_cache
from typing import BinaryIO

__all__ = ["OddError", "Walked", "vr_of", "walked"]

_IMPLICIT, _EXPLICIT = struct.Struct("<HHI"), struct.Struct("<HH2sH")
_LENGTH = struct.Struct("<I")
_SHORT = frozenset(b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())
"""Value representations with a length of two bytes, ..."""
_LONG = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
"""... and of four."""
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFE_E000, 0xFFFE_E00D, 0xFFFE_E0DD
_UNDEFINED = 0xFFFF_FFFF
_PIXELS, _OTHER_PIXELS = 0x7FE0_0010, (0x7FE0_0008, 0x7FE0_0009)

_IMPLICIT_SYNTAX, _EXPLICIT_SYNTAX = b"1.2.840.10008.1.2", b"1.2.840.10008.1.2.1"
_PACKED_SYNTAXES = (b"1.2.840.10008.1.2.4.", b"1.2.840.10008.1.2.5")
"""JPEG and its like, and RLE: headers as in the explicit syntax."""

_BLOCK, _LARGE_BLOCK = 1 << 14, 1 << 20
"""Bytes read at a time, and the most that one sequence may take."""
_MOST_VALUE = 1 << 12
"""A longer value is none that is asked for."""
_DEEPEST = 8


class OddError(Exception):
    """A file is not plain."""


Values = dict[int, tuple[bytes | None, bytes]]
"""Value representation (None if the file names none) and bytes, by tag."""


@dataclass(frozen=True, slots=True)
class Walked:
    """What was found on the way."""

    values: Values = field(repr=False)
    """Elements wanted."""

    pixels: tuple[bytes | None, int, int] | None
    """Value representation, offset and length of the pixels."""

    is_packed: bool
    """Whether these are compressed."""


def walked(file: BinaryIO, n_bytes: int, wanted: frozenset[int]) -> Walked:
    """Elements of a file before its pixels.

    Parameters
    ----------
    file : BinaryIO
        At its beginning.
    n_bytes : int
        Its size.
    wanted : frozenset of int
        Tags of the elements to keep.

    Raises
    ------
    OddError
        If the file is not plain.
    """
    head = file.read(_BLOCK)
    try:
        syntax, place = _syntax(head)
        is_implicit = syntax == _IMPLICIT_SYNTAX
        is_packed = syntax.startswith(_PACKED_SYNTAXES)
        if not (is_implicit or is_packed or syntax == _EXPLICIT_SYNTAX):
            raise OddError
        values, pixels = _walk(file, head, place, n_bytes, is_implicit, wanted)
    except (struct.error, IndexError) as error:
        raise OddError from error
    return Walked(values, pixels, is_packed)


def _syntax(head: bytes) -> tuple[bytes, int]:
    """Transfer syntax that the file's meta information names, and where that ends."""
    if head[128:132] != b"DICM":
        raise OddError
    place, syntax = 132, b""
    while True:
        group, element, vr, length = _EXPLICIT.unpack_from(head, place)
        if group != 2:
            break
        place += 8
        if vr in _LONG:
            (length,) = _LENGTH.unpack_from(head, place)
            place += 4
        elif vr not in _SHORT:
            raise OddError
        if element == 0x0010:
            syntax = head[place : place + length].rstrip(b"\0 ")
        place += length
    return syntax, place


def _walk(
    file: BinaryIO,
    buffer: bytes,
    place: int,
    n_bytes: int,
    is_implicit: bool,
    wanted: frozenset[int],
) -> tuple[Values, tuple[bytes | None, int, int] | None]:
    """Wanted elements and place of the pixels; the buffer is the beginning of the file."""
    values: Values = {}
    start, end, last = 0, len(buffer), 0x0007_FFFF
    vr: bytes | None = None
    if is_implicit and buffer[place + 4 : place + 6].isupper():
        raise OddError  # is explicit, whatever it says
    while start + place < n_bytes:
        if place + 12 > end:
            start += place
            buffer, place = _read_at(file, start, _BLOCK), 0
            end = len(buffer)
        if is_implicit:
            group, element, length = _IMPLICIT.unpack_from(buffer, place)
            at = place + 8
        else:
            group, element, vr, length = _EXPLICIT.unpack_from(buffer, place)
            at = place + 8
            if vr in _LONG:
                (length,) = _LENGTH.unpack_from(buffer, at)
                at += 4
            elif vr not in _SHORT:
                raise OddError
        tag = group << 16 | element
        if tag <= last or tag in _OTHER_PIXELS:
            raise OddError
        last = tag
        if tag == _PIXELS:
            return values, (vr, start + at, length)
        is_wanted = tag in wanted
        if length == _UNDEFINED:
            if is_wanted or not (is_implicit or vr == b"SQ"):
                raise OddError
            try:
                place = _after_sequence(buffer, at, is_implicit)
            except (struct.error, IndexError):
                buffer = _read_at(file, start + place, _LARGE_BLOCK)
                start, at = start + place, at - place
                place, end = _after_sequence(buffer, at, is_implicit), len(buffer)
            continue
        after = at + length
        if start + after > n_bytes:
            raise OddError
        if is_wanted:
            if length > _MOST_VALUE or vr == b"UN" or (length and vr_of(tag) == b"SQ"):
                raise OddError
            if after > end:
                start, at = start + place, at - place
                buffer, after = _read_at(file, start, _BLOCK), at + length
                end = len(buffer)
            values[tag] = (vr, buffer[at:after])
        place = after
    return values, None


def _read_at(file: BinaryIO, start: int, n_bytes: int) -> bytes:
    file.seek(start)
    return file.read(n_bytes)


def _after_sequence(buffer: bytes, place: int, is_implicit: bool, depth: int = 0) -> int:
    """Where a sequence of undefined length ends that begins at a place."""
    if depth > _DEEPEST:
        raise OddError
    while True:
        group, element, length = _IMPLICIT.unpack_from(buffer, place)
        place += 8
        tag = group << 16 | element
        if tag == _SEQUENCE_END and length == 0:
            return place
        if tag != _ITEM:
            raise OddError
        stop = None if length == _UNDEFINED else place + length
        place = _after_item(buffer, place, stop, is_implicit, depth)


def _after_item(buffer: bytes, place: int, stop: int | None, is_implicit: bool, depth: int) -> int:
    """Where an item ends whose elements begin at a place; `stop` if its length is defined."""
    while place != stop:
        group, element, length = _IMPLICIT.unpack_from(buffer, place)
        tag = group << 16 | element
        if tag == _ITEM_END and stop is None and length == 0:
            return place + 8
        if group == 0xFFFE:
            raise OddError
        at, vr = place + 8, buffer[place + 4 : place + 6]
        if not is_implicit:
            if vr in _LONG:
                (length,) = _LENGTH.unpack_from(buffer, at)
                at += 4
            elif vr in _SHORT:
                length >>= 16
            else:
                raise OddError
        if length == _UNDEFINED:
            if not (is_implicit or vr == b"SQ"):
                raise OddError
            place = _after_sequence(buffer, at, is_implicit, depth + 1)
        else:
            place = at + length
        if stop is not None and place > stop:
            raise OddError
    return place


@lru_cache(maxsize=512)
def vr_of(tag: int) -> bytes:
    """Value representation of an element by the standard; empty for a private one."""
    from pydicom.datadict import dictionary_has_tag, dictionary_VR

    return dictionary_VR(tag).encode() if dictionary_has_tag(tag) else b""
