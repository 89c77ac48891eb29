"""Synthetic breast DCE exams in any view with known truth.

`breast_phantom(seed)` draws a patient from one seed: skin, fat, fibroglandular tissue, vessels,
nipples, chest wall, heart and great vessels, lesions, and what a scanner makes of them.
Imports `errors` and `volume` only; no Qt, no torch.
"""

from .config import (
    KineticType,
    LesionKind,
    LesionSpec,
    LesionTruth,
    PhantomConfig,
    PhantomExam,
    Side,
    Tissue,
    View,
)
from .exam import breast_phantom

__all__ = [
    "KineticType",
    "LesionKind",
    "LesionSpec",
    "LesionTruth",
    "PhantomConfig",
    "PhantomExam",
    "Side",
    "Tissue",
    "View",
    "breast_phantom",
]
