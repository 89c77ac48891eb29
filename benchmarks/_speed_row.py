"""A row of the table of speed.py: ratios of two times measured one right after the other."""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["AT_LEAST", "AT_MOST", "figure", "load", "row", "seconds"]

AT_MOST, AT_LEAST = "at most", "at least"


def seconds(work: Callable[[], object]) -> float:
    """Wall time of a call, s."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def load() -> float | None:
    """What else the machine does."""
    return round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None


def row(
    what: str, against: str, reach: str, pairs: Sequence[tuple[float, float]], note: str = ""
) -> dict[str, Any]:
    """A row of pairs (dividend, divisor) of seconds."""
    ratios = [round(a / b, 2) for a, b in pairs]
    ours = [b for _, b in pairs] if AT_LEAST in reach else [a for a, _ in pairs]
    return figure(
        what,
        against,
        reach,
        round(statistics.median(ratios), 2),
        ratios=ratios,
        seconds=round(statistics.median(ours), 3),
        note=note,
    )


def figure(what: str, against: str, reach: str, ratio: float, **more: Any) -> dict[str, Any]:
    """A row of one figure."""
    print(f"{what}: {ratio} ({reach})", more, file=sys.stderr, flush=True)
    return {"what": what, "against": against, "reach": reach, "ratio": ratio} | more
