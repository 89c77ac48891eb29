"""What kind of image a frame is: its species, sequence and timing, as far as headers tell.

Loads pydicom late.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from .elements import number_of, text_of, words_of

__all__ = ["Traits", "traits_of"]


@dataclass(frozen=True, slots=True)
class Traits:
    """The kind of image a frame is, as needed to decide whether it can be a DCE phase."""

    modality: str
    species: str
    """Special kind by image type, or else by description: "subtraction", ...; "" for a plain
    image."""

    is_worded: bool
    """Whether only the description, written by people, tells the species."""

    is_derived: bool
    sequence: str
    """"gradient echo", "spin echo", "echo planar", or "" if the header does not say."""

    repetition_ms: float | None
    echo_ms: float | None
    flip_deg: float | None
    is_color: bool = False
    beside: str = ""
    """What it is if it is no MR image, such as "mammogram"; see `beside_kind`."""


# Image types, and words in descriptions, of images that are not phases of a dynamic series.
_SPECIES_OF_TYPE = {
    "mosaic": {"MOSAIC"},
    "localizer": {"LOCALIZER", "SCOUT"},
    "subtraction": {"SUB", "SUBTRACT", "SUBTRACTION"},
    "projection or reformat": {
        *("MIP", "MINIP", "MPR", "CSA MIP", "CSA MPR", "PROJECTION IMAGE", "REFORMATTED", "MIN IP")
    },
    "diffusion": {"DIFFUSION", "ADC", "TRACEW", "DWI"},
    "computed map": {"T1 MAP", "T2 MAP", "PERFUSION", "MAP", "B0 MAP", "FIELD_MAP", "PE", "WASHIN"},
    "phase image": {"P", "PHASE", "PHASE MAP", "PHASE_MAP", "B0"},
    "real or imaginary part": {"R", "I", "REAL", "IMAGINARY"},
    "Dixon fat image": {"F", "FAT", "FAT_FRACTION"},
    "Dixon opposed-phase image": {"OP", "OPP", "OPP_PHASE", "OUT_PHASE", "OUTPHASE"},
    "Dixon in-phase image": {"IP", "IN_PHASE", "INPHASE"},
}
_SPECIES_OF_WORDS = {
    "localizer": re.compile(r"\b(loc|localiser|localizer|scout|survey)\b"),
    "subtraction": re.compile(r"\b(sub|subs|subtract\w*)\d*\b"),
    "projection or reformat": re.compile(r"\b(mip|mpr)\b"),
    "diffusion": re.compile(r"\b(dwi|adc|diff)\b"),
}


def traits_of(data: Any, groups: Any) -> Traits:
    """Kind of image of a frame; `groups` as `headers.groups_of` gives it."""
    types = words_of(groups("MRImageFrameTypeSequence"), "FrameType") or words_of(data, "ImageType")
    # The first two words are ORIGINAL or DERIVED, PRIMARY or SECONDARY.
    found = [name for name, words in _SPECIES_OF_TYPE.items() if words & set(types[2:])]
    words = re.sub(r"[_\W]+", " ", text_of(data, "SeriesDescription").lower())
    if number_of(groups("MRDiffusionSequence"), "DiffusionBValue"):
        found.append("diffusion")
    is_worded = not found
    found += [name for name, pattern in _SPECIES_OF_WORDS.items() if pattern.search(words)]
    timing = groups("MRTimingAndRelatedParametersSequence")
    echo = groups("MREchoSequence")
    echo_ms = number_of(echo, "EffectiveEchoTime" if echo is not data else "EchoTime")
    return Traits(
        modality=text_of(data, "Modality").upper(),
        species=found[0] if found else "",
        is_worded=is_worded and bool(found),
        is_derived="DERIVED" in types[:1],
        sequence=_sequence(data),
        repetition_ms=_rounded(number_of(timing, "RepetitionTime")),
        echo_ms=_rounded(echo_ms),
        flip_deg=_rounded(number_of(timing, "FlipAngle")),
        is_color=(number_of(data, "SamplesPerPixel") or 1) > 1,
    )


def _sequence(data: Any) -> str:
    scanning = words_of(data, "ScanningSequence")
    pulse = text_of(data, "EchoPulseSequence").upper()
    names = text_of(data, "PulseSequenceName") + " " + text_of(data, "SequenceName")
    is_planar = text_of(data, "EchoPlanarPulseSequence").upper() == "YES"
    if "EP" in scanning or is_planar or re.search(r"(^|[\s*])ep_?", names.lower()):
        return "echo planar"
    if "GR" in scanning or pulse == "GRADIENT":
        return "gradient echo"
    if "SE" in scanning or pulse in ("SPIN", "BOTH"):
        return "spin echo"
    return ""


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 2)
