"""Codes for what a segment shows.

References
----------
DICOM PS3.16: CID 7150 (categories), CID 7151 (types), CID 244 (laterality); SNOMED CT.
"""

from __future__ import annotations

__all__ = ["BREAST", "CATEGORY", "LESION_VALUES", "SIDES", "TYPES", "Coded"]

Coded = tuple[str, str]
"""Code value and meaning in SNOMED CT."""

CATEGORY: Coded = ("49755003", "Morphologically Abnormal Structure")
BREAST: Coded = ("76752008", "Breast")

TYPES: dict[str, Coded] = {
    "lesion": ("52988006", "Lesion"),
    "mass": ("4147007", "Mass"),
    "neoplasm": ("108369006", "Neoplasm"),
    "primary-neoplasm": ("372087000", "Neoplasm, Primary"),
    "secondary-neoplasm": ("14799000", "Neoplasm, Secondary"),
    "carcinoma": ("1187425009", "Carcinoma"),
}
"""What a mask may show."""

SIDES: dict[str, Coded] = {
    "right": ("24028007", "Right"),
    "left": ("7771000", "Left"),
    "both": ("51440002", "Right and left"),
}

LESION_VALUES = frozenset(
    {value for value, _ in TYPES.values()}
    # The same in older codes (SNOMED RT), and primary malignant neoplasm in both.
    | {"86049000", "M-01100", "M-03000", "M-8FFFF", "M-80001", "M-80003", "M-80006"}
)
"""Types that mark a segment as a lesion when a SEG is read."""
