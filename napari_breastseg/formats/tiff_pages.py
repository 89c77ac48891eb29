"""What a TIFF file says of its pages, judged before a library follows it.

Pages are a chain that may lead in a circle, and a tag may claim more values than there are bytes.
tifffile is loaded only when a file is opened.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from ..core.errors import InputError
from ..core.reading import open_regular

__all__ = ["open_tiff", "require_packed_once"]

_MOST_PAGES = 20_000
_MOST_TAGS = 4096

_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8}
_BYTES |= {11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Bytes of one value by its type."""


@contextmanager
def open_tiff(path: Path) -> Iterator[Any]:
    """A `tifffile.TiffFile` of one file alone, whose pages are sound.

    Raises
    ------
    InputError
        If its pages lead in a circle, or a tag is larger than the file.
    OSError, ValueError
        If it cannot be opened, or is no TIFF file.
    """
    import tifffile

    with open_regular(path) as file:
        _require_sound_pages(file, path.name)
        # Without these it would open whatever files the metadata or the folder names, too.
        alone = {"_multifile": False, "is_mmstack": False, "is_ndtiff": False}
        with tifffile.TiffFile(file, name=path.name, **alone) as tiff:
            yield tiff


def require_packed_once(pages: Iterable[Any], size: int, name: str) -> None:
    """Raise InputError if pages claim more packed bytes than a file of `size` bytes has.

    Then the same bytes would be unpacked again and again.
    """
    packed = sum(sum(page.databytecounts) for page in pages if page is not None)
    if packed > size:
        raise _damaged(name, f"found {packed:,} bytes of packed pixels in {size:,} bytes")


def _require_sound_pages(file: BinaryIO, name: str) -> None:
    """Raise InputError if following the pages would not end; the file is left at its start."""
    size = os.fstat(file.fileno()).st_size
    file.seek(0)
    head = file.read(16)
    order = "<" if head[:2] == b"II" else ">"
    if len(head) == 16 and struct.unpack_from(order + "H", head, 2) == (43,):
        counted, tag, link = struct.Struct(order + "Q"), struct.Struct(order + "HHQ8x"), "Q"
        (offset,) = struct.unpack_from(order + "Q", head, 8)
    else:
        counted, tag, link = struct.Struct(order + "H"), struct.Struct(order + "HHI4x"), "I"
        (offset,) = struct.unpack_from(order + "I", head.ljust(16, b"\0"), 4)
    seen: set[int] = set()
    while 0 < offset < size:
        if offset in seen or len(seen) == _MOST_PAGES:
            raise _damaged(name, "found that its pages lead in a circle")
        seen.add(offset)
        file.seek(offset)
        n_tags = _number(file, counted)
        if n_tags > _MOST_TAGS:
            raise _damaged(name, f"found a page with {n_tags} tags")
        tags = file.read(n_tags * tag.size)
        for _, kind, count in tag.iter_unpack(tags[: len(tags) // tag.size * tag.size]):
            if _BYTES.get(kind, 1) * count > size:
                raise _damaged(name, "found a tag that is larger than the file")
        offset = _number(file, struct.Struct(order + link))
    file.seek(0)


def _number(file: BinaryIO, form: struct.Struct) -> int:
    """The number that comes next; 0, which ends a chain, where the file ends."""
    data = file.read(form.size)
    return int(form.unpack(data)[0]) if len(data) == form.size else 0


def _damaged(name: str, found: str) -> InputError:
    return InputError(
        f"Expected a TIFF file whose pages follow each other, {name}",
        found,
        "Copy or export it again; this copy is damaged",
    )
