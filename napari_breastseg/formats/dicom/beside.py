"""What lies beside the MR images of a study: ultrasound, reports, secondary captures, ...

Named by modality or class and counted by file. Loads no pydicom.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

__all__ = ["OPENS_ALONE", "SECONDARY_CAPTURE", "beside_kind", "beside_name", "beside_words"]

SECONDARY_CAPTURE = "secondary capture"
OPENS_ALONE = frozenset({"CT image"})
"""Kinds that are left out beside MR but opened where there is no MR: slices with a position."""

_IMAGES = {
    "CT": "CT image",
    "US": "ultrasound image",
    "IVUS": "ultrasound image",
    "MG": "mammogram",
    "CR": "X-ray image",
    "DX": "X-ray image",
    "RF": "X-ray image",
    "RG": "X-ray image",
    "XA": "X-ray image",
    "PT": "PET image",
    "NM": "nuclear medicine image",
    "SC": SECONDARY_CAPTURE,
    "OT": SECONDARY_CAPTURE,
    "RTDOSE": "radiotherapy dose",
    "RTIMAGE": "radiotherapy image",
}
_DOCUMENTS = {
    "SR": "report",
    "DOC": "report",
    "SEG": "segmentation",
    "KO": "list of key images",
    "PR": "display setting",
    "RTPLAN": "radiotherapy plan",
    "RTSTRUCT": "set of radiotherapy outlines",
    "REG": "registration",
    "RWV": "list of units of values",
}
_CLASSES = (
    (r"88\.59", "list of key images"),
    (r"88\.\d+|104\.\d+", "report"),
    (r"11\.\d+", "display setting"),
)
"""Classes of files without an image, below the root of all storage classes."""
_ROOT = r"1\.2\.840\.10008\.5\.1\.4\.1\.1\."
_CAPTURES = re.compile(_ROOT + r"7(\.\d+)?")
_PLURALS = {
    "list of key images": "lists of key images",
    "set of radiotherapy outlines": "sets of radiotherapy outlines",
    "list of units of values": "lists of units of values",
}


def beside_kind(sop_class: str, modality: str, *, has_image: bool, has_place: bool) -> str:
    """What a file is that is no MR image; "" for an MR image, and an image of unknown modality.

    Parameters
    ----------
    sop_class : str
        Its SOP class UID.
    modality : str
        In upper case.
    has_image : bool
        Whether it holds pixels, other than those of a segmentation.
    has_place : bool
        Whether the position of its pixels in the patient is known.

    Examples
    --------
    >>> beside_kind("1.2.840.10008.5.1.4.1.1.6.1", "US", has_image=True, has_place=False)
    'ultrasound image'
    >>> beside_kind("1.2.840.10008.5.1.4.1.1.104.1", "DOC", has_image=False, has_place=False)
    'report'
    """
    if has_image:
        if modality not in ("MR", ""):
            return _IMAGES.get(modality, "other image")
        # A screenshot keeps the modality of what it shows; slices converted by other software,
        # which are of this class too, keep their positions.
        return SECONDARY_CAPTURE if _CAPTURES.fullmatch(sop_class) and not has_place else ""
    by_class = (kind for below, kind in _CLASSES if re.fullmatch(_ROOT + f"({below})", sop_class))
    return _DOCUMENTS.get(modality) or next(by_class, "other file")


def beside_name(name: str) -> str:
    """Kind of a file that is not DICOM, by the ending of its name."""
    return "report" if name.lower().endswith(".pdf") else "picture"


def beside_words(kinds: Iterable[str]) -> str:
    """Kinds with their numbers, most frequent first.

    Examples
    --------
    >>> beside_words(["report", *["ultrasound image"] * 12])
    '12 ultrasound images, 1 report'
    """
    return ", ".join(
        f"{count} {kind if count == 1 else _PLURALS.get(kind, kind + 's')}"
        for kind, count in Counter(kinds).most_common()
    )
