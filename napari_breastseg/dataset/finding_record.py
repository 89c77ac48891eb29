"""What a case record keeps of a model's findings, and what the reader decided about each.

Numbers and fixed words only: no text that could name a patient.
"""

from __future__ import annotations

from dataclasses import MISSING, fields
from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..lesions.evidence import Evidence

__all__ = ["Decision", "FindingRecord"]

_EVIDENCE = frozenset(one.name for one in fields(Evidence))
_ALWAYS_KNOWN = frozenset(one.name for one in fields(Evidence) if one.default is MISSING)

_Figure = Annotated[float, Field(allow_inf_nan=False)]


class Decision(StrEnum):
    """What a reader decided about a finding."""

    KEPT = "kept"
    DROPPED = "dropped"
    NONE = "none"
    """Nothing; the accepted mask alone says whether it stayed."""


class FindingRecord(BaseModel):
    """One finding of the draft that a case was corrected from."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    number: int = Field(ge=1)
    """1 for the most likely lesion."""

    score: float | None = Field(default=None, ge=0, le=1)
    """Probability that it is a lesion, as the model's score said; None without a score."""

    is_shown: bool
    """Whether the draft showed it, or held it back as too weak."""

    volume_ml: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """None where the spacing is not known."""

    center_voxel: tuple[_Figure, _Figure, _Figure]
    """Center of mass (z, y, x)."""

    decision: Decision = Decision.NONE
    share_accepted: float = Field(ge=0, le=1)
    """Share of its voxels in the accepted mask: readers also erase and paint by hand."""

    evidence: dict[str, _Figure | None]
    """Figures by name, as in `lesions.evidence.Evidence`."""

    @model_validator(mode="after")
    def _evidence_is_known(self) -> Self:
        if not set(self.evidence) <= _EVIDENCE:
            raise ValueError("evidence must be named as in lesions.evidence.Evidence")
        if any(self.evidence.get(name) is None for name in _ALWAYS_KNOWN):
            raise ValueError(f"evidence must hold {', '.join(sorted(_ALWAYS_KNOWN))}")
        if min(self.center_voxel) < 0:
            raise ValueError("the center of a finding must lie in the exam")
        return self
