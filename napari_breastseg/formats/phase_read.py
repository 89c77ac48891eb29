"""What a reader tells once a phase is read and others are still to come."""

from __future__ import annotations

from dataclasses import dataclass

from ..core.progress import Progress
from ..core.volume import Volume

__all__ = ["PhaseRead"]


@dataclass(frozen=True)
class PhaseRead(Progress):
    """A phase as its files hold it: not yet checked, nor made comparable with the others."""

    volume: Volume | None = None
