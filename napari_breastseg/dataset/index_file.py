"""`.index.json`: what was read from the records last, so that few of them are read again.

Never needed and never trusted over the records: each row goes with the time, size and place on the
disk of the file it was made from, and counts while these are the same. It lies in the dataset
folder, so that it moves, and goes, with it and serves every reader; hidden, because it is no part
of what is kept. A missing, damaged or foreign one only costs the time to read the records.
Imports `atomic`, `version` and of this package `layout`, `summaries`.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ..core.atomic import write_bytes
from ..core.reading import read_bounded
from ..core.version import __version__
from .summaries import CaseSummary, from_columns, to_columns

__all__ = ["Known", "Stamp", "read_index", "stamp_of", "write_index"]

_FORMAT = f"1/{__version__}/{','.join(CaseSummary._fields)}"
_MOST_BYTES = 1 << 28
_SETTLED_NS = 2_000_000_000
"""Age of a file below which a second change might leave its time as it is: clocks of file systems
tick every few milliseconds, some every two seconds."""


Stamp = tuple[int, int, int, int]
"""Of a file: time of the last write and of the last change to the file or its name (which no
program can set at will), ns; size, bytes; place on the disk. Whoever writes or replaces the file
changes it."""


class Known(NamedTuple):
    """What is known of the files of one dataset folder."""

    summaries: dict[str, tuple[Stamp, CaseSummary]]
    """By case, with the stamp of the record."""
    digests: dict[str, tuple[Stamp, str]]
    """SHA-256 of the accepted mask's file by case, with the file's stamp."""


def stamp_of(path: str | Path) -> Stamp:
    """Stamp of a file as it is now."""
    stat = os.stat(path)
    return stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino


def read_index(path: Path) -> Known:
    """What an index knows; nothing where it is missing, damaged or of another version."""
    try:
        head, _, body = read_bounded(path, _MOST_BYTES).partition(b"\n")
        if json.loads(head) == _head(body):
            value = json.loads(body)
            stamps = _stamps(value["records"].pop("stamp"))
            summaries = from_columns(value["records"])
            masks = value["masks"]
            return Known(
                {one.case_id: (stamp, one) for stamp, one in zip(stamps, summaries, strict=True)},
                dict(
                    zip(
                        masks["case_id"],
                        zip(_stamps(masks["stamp"]), masks["sha256"], strict=True),
                        strict=True,
                    )
                ),
            )
    except (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        pass
    return Known({}, {})


def _stamps(numbers: list[int]) -> Iterator[Stamp]:
    return zip(*(numbers[start::4] for start in range(4)), strict=True)


def write_index(path: Path, known: Known) -> None:
    """Keep what is known of files that have been as they are for a while."""
    latest = time.time_ns() - _SETTLED_NS

    def is_settled(stamp: Stamp) -> bool:
        return max(stamp[:2]) < latest

    records = [one for one in known.summaries.values() if is_settled(one[0])]
    masks = [(case, *one) for case, one in known.digests.items() if is_settled(one[0])]
    # By columns: a list for each case would keep Python's collector of garbage busy on reading.
    value = {
        "records": to_columns([one for _, one in records])
        | {"stamp": [number for stamp, _ in records for number in stamp]},
        "masks": {
            "case_id": [case for case, _, _ in masks],
            "stamp": [number for _, stamp, _ in masks for number in stamp],
            "sha256": [digest for _, _, digest in masks],
        },
    }
    body = json.dumps(value, allow_nan=False, separators=(",", ":")).encode()
    write_bytes(path, json.dumps(_head(body)).encode() + b"\n" + body)


def _head(body: bytes) -> dict[str, Any]:
    # The hash tells what a disk or a hand damaged; with the stamps alone it might pass for truth.
    return {"format": _FORMAT, "sha256": hashlib.sha256(body).hexdigest()}
