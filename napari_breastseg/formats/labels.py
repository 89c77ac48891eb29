"""What the labels of a mask mean: told by who wrote it, by who opens it, or a question.

Only 0 and 1 mean the same to every program. A 2 is `ignore` in our own masks, the second lesion in
ITK-SNAP and 3D Slicer, and anything in an nnU-Net dataset, whose dataset.json says what. Our masks
say in their header what their 2 is. Reads no image.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InputError
from ..core.reading import read_json
from ..core.volume import IGNORE, TUMOR

__all__ = [
    "OWN",
    "OWN_MARK",
    "Meaning",
    "label_map_data",
    "labels_named_in",
    "meaning_in_folder",
    "whole_numbers",
]

OWN_MARK = "breastseg: 0 background, 1 tumor, 2 not reviewed"
"""Written into the header of our masks that hold `ignore`."""

_NEAR = 1e-3
"""How far a value may lie off a whole number, as scaling a header's slope leaves it."""
_MOST_LABELS = 20
"""More values than these are no labels but grey values or a smoothed mask."""
_TUMOR_WORDS = ("tumor", "tumour", "lesion", "cancer", "carcinoma", "malign", "neoplasm", "mass")
_OTHER_WORDS = (
    *("background", "breast", "fgt", "fibroglandular", "gland", "vessel", "heart", "node", "lymph"),
    *("skin", "chest", "muscle", "implant", "fat", "cyst", "clip", "nipple", "body"),
)


@dataclass(frozen=True)
class Meaning:
    """Which labels are tumor and which were not reviewed; every other known one is background."""

    tumor: frozenset[int]
    ignore: frozenset[int] = frozenset()
    known: frozenset[int] | None = None
    """Labels there may be; None when any others are background."""


OWN = Meaning(frozenset({TUMOR}), frozenset({IGNORE}), frozenset({0, TUMOR, IGNORE}))
"""Labels as this program writes them."""


def whole_numbers(data: NDArray[Any]) -> NDArray[Any]:
    """The array with values within a thousandth of a whole number made whole.

    Examples
    --------
    >>> whole_numbers(np.array([0.0, 0.9999999, 0.5]))
    array([0. , 1. , 0.5])
    """
    if data.dtype.kind != "f":
        return data
    rounded = np.rint(data)
    with np.errstate(invalid="ignore"):  # infinite values stay
        is_near = np.abs(data - rounded) <= _NEAR
    return rounded if is_near.all() else np.where(is_near, rounded, data)


def meaning_in_folder(mask: Path) -> Meaning | None:
    """What dataset.json says of a mask in `labelsTr` or `labelsTs` of an nnU-Net dataset.

    Returns
    -------
    Meaning or None
        None where the mask lies in no such folder, or the names leave it open which is tumor.
    """
    if not mask.parent.name.startswith("labels"):
        return None
    try:
        value = read_json(mask.parent.parent / "dataset.json")
        labels = value.get("labels") if isinstance(value, dict) else None
        return labels_named_in(labels) if isinstance(labels, dict) else None
    # The file may be missing, not JSON, or JSON of any other shape.
    except (OSError, ValueError, TypeError):
        return None


def labels_named_in(labels: dict[str, Any]) -> Meaning | None:
    """Meaning of nnU-Net's label names; None where they leave it open which is tumor.

    Examples
    --------
    >>> sorted(labels_named_in({"background": 0, "breast": 1, "tumor": 2}).tumor)
    [2]
    >>> labels_named_in({"background": 0, "index": 1, "satellite": 2}) is None
    True
    """
    if all(str(key).isdigit() for key in labels):  # MONAI and nnU-Net v1 have number: name
        labels = {str(name): int(number) for number, name in labels.items()}
    if not all(isinstance(number, int) for number in labels.values()):
        return None  # regions, each of several labels
    kept = {name.casefold(): number for name, number in labels.items() if number != 0}
    ignore = {number for name, number in kept.items() if name == "ignore"}
    kept = {name: number for name, number in kept.items() if number not in ignore}
    tumor = {n for name, n in kept.items() if any(word in name for word in _TUMOR_WORDS)}
    other = {n for name, n in kept.items() if any(word in name for word in _OTHER_WORDS)}
    if not tumor and len(kept) == 1 and not other:
        tumor = set(kept.values())
    if not tumor or tumor & other or tumor | other != set(kept.values()):
        return None
    known = frozenset({0, *labels.values()})
    return Meaning(frozenset(tumor), frozenset(ignore), known)


def label_map_data(
    data: NDArray[Any],
    name: str,
    *,
    tumor: Collection[int] | None = None,
    recorded: Meaning | None = None,
    is_picture: bool = False,
) -> NDArray[np.uint8]:
    """0 background, 1 tumor, 2 ignore, from the labels of a file.

    Parameters
    ----------
    data : ndarray
        Values as they are in the file.
    name : str
        The file's name, for messages.
    tumor : collection of int, optional
        Labels that are tumor, by the person who opens the mask; every other is background.
    recorded : Meaning, optional
        What is on record of the labels; counts when nobody said otherwise.
    is_picture : bool
        Whether black and white (0 and 255) will do too.

    Raises
    ------
    InputError
        If it is not known which of the labels are tumor, or the values are no labels.
    """
    data = whole_numbers(data)
    values = np.unique(data)
    if tumor is not None:
        return _as_told(data, values, frozenset(tumor), name)
    if recorded is not None:
        if recorded.known is None or np.isin(values, list(recorded.known)).all():
            return _as_meant(data, recorded)
        raise _other_values(name, values, recorded.known)
    if np.isin(values, (0, TUMOR)).all():
        return data.astype(np.uint8)
    if is_picture and len(values) <= 2 and values[-1] >= 128 and values[0] in (0, values[-1]):
        white: NDArray[np.bool_] = data == values[-1]
        return white.astype(np.uint8)
    if _are_labels(values) and not (is_picture and values[-1] >= 128):
        raise _question(name, data, values)
    raise _no_labels(name, values, is_picture)


def _as_meant(data: NDArray[Any], meaning: Meaning) -> NDArray[np.uint8]:
    result = np.zeros(data.shape, np.uint8)
    result[np.isin(data, list(meaning.tumor))] = TUMOR
    if meaning.ignore:
        result[np.isin(data, list(meaning.ignore))] = IGNORE
    return result


def _as_told(
    data: NDArray[Any], values: NDArray[Any], tumor: frozenset[int], name: str
) -> NDArray[np.uint8]:
    if not _are_labels(values):
        raise _no_labels(name, values, is_picture=False)
    if values.any() and not np.isin(values, list(tumor)).any():
        raise InputError(
            f"Expected label {_listed(sorted(tumor), 'or')} in {name}, as was said to be tumor",
            f"found only {_counted(data, values)}",
            "Name the labels that are tumor in this mask",
        )
    return _as_meant(data, Meaning(tumor))


def _are_labels(values: NDArray[Any]) -> bool:
    """Whether these are few whole numbers from 0 to 65535."""
    return bool(
        len(values) <= _MOST_LABELS
        and np.isfinite(values).all()
        and values[0] >= 0
        and values[-1] <= 65535
        and np.array_equal(values, np.rint(values))
    )


def _question(name: str, data: NDArray[Any], values: NDArray[Any]) -> InputError:
    labels = [int(value) for value in values if value]
    each = ",".join(map(str, labels))
    fix = (
        f"Say that it is tumor, if so, with --tumor-label {each}"
        if len(labels) == 1
        else f"Say which are tumor: --tumor-label {labels[-1]}, the others being background, or "
        f"--tumor-label {each} if each is a lesion"
    )
    return InputError(
        f"Expected a mask of 0 background and 1 tumor in {name}, or a word on which of its labels "
        "are tumor",
        f"found {_counted(data, values)}",
        fix,
    )


def _other_values(name: str, values: NDArray[Any], known: frozenset[int]) -> InputError:
    other = [value for value in values if value not in known]
    return InputError(
        f"Expected labels {_listed(sorted(known), 'and')} in {name}, as its record says",
        f"found {', '.join(f'{value:g}' for value in other[:6])} as well",
        "Correct its labels: whoever changed it used others",
    )


def _no_labels(name: str, values: NDArray[Any], is_picture: bool) -> InputError:
    unknown = values[~np.isin(values, (0, TUMOR))]
    named = ", ".join(f"{value:g}" for value in unknown[:6]) + (", ..." if len(unknown) > 6 else "")
    pictures = ", or black and white (0 and 255)" if is_picture else ""
    return InputError(
        f"Expected a mask of labels 0 and 1{pictures} in {name}",
        f"found {named} as well",
        "Save the mask without smoothing and not as JPEG"
        if is_picture
        else "Save the mask without smoothing: 0 background, 1 tumor",
    )


def _counted(data: NDArray[Any], values: NDArray[Any]) -> str:
    """The labels with their voxels: "label 1 (64 voxels) and label 2 (9 voxels)"."""
    parts = [
        f"label {value:g} ({int((data == value).sum()):,} voxels)" for value in values if value
    ]
    if len(parts) > 6:
        parts = [*parts[:5], f"{len(parts) - 5} more"]
    return _listed(parts, "and")


def _listed(parts: Collection[object], word: str) -> str:
    *most, last = map(str, parts)
    return f"{', '.join(most)} {word} {last}" if most else last
