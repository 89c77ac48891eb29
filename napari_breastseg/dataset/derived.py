"""The JSON files of a dataset folder that follow from its records: nnU-Net's and MONAI's.

Records in, JSON out; nothing is written here. The text is put together case by case: thousands of
them are written at each acceptance, and `json` takes ten times as long to indent them.
Imports `volume` and `layout` only.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

from ..core.volume import BACKGROUND, IGNORE, TUMOR
from .layout import FILE_ENDING, Layout

__all__ = [
    "LABELS",
    "Split",
    "derived_texts",
    "splits",
    "test_cases",
    "training_cases",
]

LABELS = {"background": BACKGROUND, "tumor": TUMOR, "ignore": IGNORE}
OWN_KEY = "napari_breastseg"
"""Key in dataset.json that tells a folder of ours from any other nnU-Net folder."""


class ListedCase(Protocol):
    """What the lists say of a case: a `CaseRecord`, or a `CaseSummary`."""

    @property
    def case_id(self) -> str: ...

    @property
    def entry(self) -> int: ...

    @property
    def fold(self) -> int | None: ...

    @property
    def channels(self) -> tuple[str, ...]: ...

    @property
    def is_accepted(self) -> bool: ...

    @property
    def is_locked(self) -> bool: ...


_Case = TypeVar("_Case", bound=ListedCase)


@dataclass(frozen=True)
class Split:
    """Case ids to train on and to validate on."""

    train: tuple[str, ...]
    val: tuple[str, ...]


def training_cases(records: Iterable[_Case]) -> list[_Case]:
    """The accepted cases of patients who are not locked."""
    return [record for record in records if record.is_accepted and not record.is_locked]


def test_cases(records: Iterable[_Case]) -> list[_Case]:
    """The accepted cases of locked patients."""
    return [record for record in records if record.is_accepted and record.is_locked]


def splits(records: Sequence[ListedCase]) -> list[Split]:
    """Folds by patient over the accepted, unlocked cases.

    Returns
    -------
    list of Split
        One for each fold that holds an accepted case, in the order of the folds, so that no
        `val` is empty. When one fold holds all cases, a single split that validates on the
        patient who entered last; with a single patient, training and validation are the same
        cases. Empty without accepted cases.
    """
    usable = training_cases(records)
    if not usable:
        return []
    if len({record.fold for record in usable}) > 1:
        return _one_for_each([(record.case_id, record.fold) for record in usable])
    last = max(record.entry for record in usable)
    return _one_for_each([(r.case_id, int(r.entry == last)) for r in usable])[-1:]


def _one_for_each(folds: Iterable[tuple[str, int | None]]) -> list[Split]:
    """A split for each fold, in their order, that trains on the others; on itself if alone."""
    members: dict[int, list[str]] = defaultdict(list)
    for case_id, fold in folds:
        members[fold or 0].append(case_id)
    all_splits = []
    for fold in sorted(members):
        val = frozenset(members[fold])
        train = tuple(case_id for case_id, _ in folds if case_id not in val)
        all_splits.append(Split(train or tuple(members[fold]), tuple(members[fold])))
    return all_splits


def derived_texts(
    folder: Path,
    name: str,
    channels: Sequence[str],
    records: Sequence[ListedCase],
    dataset_id: str = "",
) -> dict[Path, str]:
    """Path and content of every derived file of `folder`.

    dataset.json is as nnU-Net v2 reads it, with our mark.
    """
    layout = Layout(folder)
    all_splits = splits(records)
    return {
        layout.dataset_json: _dataset_text(name, channels, records, dataset_id),
        layout.splits_json: _splits_text(all_splits),
        layout.datalist_json: _datalist_text(records, all_splits),
    }


def _dataset_text(
    name: str,
    channels: Sequence[str],
    records: Sequence[ListedCase],
    dataset_id: str,
) -> str:
    usable = [one for one in records if one.is_accepted and not one.is_locked]
    head = {
        "name": name,
        "channel_names": {str(index): role for index, role in enumerate(channels)},
        "labels": LABELS,
        "numTraining": len(usable),
        "file_ending": FILE_ENDING,
        OWN_KEY: {"format": 1} | ({"id": dataset_id} if dataset_id else {}),
    }
    cases = [_texts(one.case_id, len(one.channels), one.fold).dataset for one in usable]
    text = json.dumps(head, indent=2, allow_nan=False).removesuffix("\n}")
    return f'{text},\n  "dataset": {_listed("{}", cases, 2)}\n}}\n'


def _splits_text(all_splits: Sequence[Split]) -> str:
    texts = []
    for split in all_splits:
        train, val = (_listed("[]", map(_quoted, one), 4) for one in (split.train, split.val))
        texts.append(f'{{\n    "train": {train},\n    "val": {val}\n  }}')
    return _listed("[]", texts, 0) + "\n"


def _datalist_text(records: Sequence[ListedCase], all_splits: Sequence[Split]) -> str:
    # Training and validation are those of the first split: who loads both lists must not
    # validate on what was trained. `fold` lets MONAI's own cross-validation choose otherwise.
    items, locked = {}, []
    for one in records:
        if one.is_accepted:
            items[one.case_id] = _texts(one.case_id, len(one.channels), one.fold).datalist
            if one.is_locked:
                locked.append(items[one.case_id])
    first = all_splits[0] if all_splits else Split((), ())
    labels = [f'"{number}": "{label}"' for label, number in LABELS.items()]
    parts = {
        "labels": _listed("{}", labels, 2),
        "training": _listed("[]", [items[case_id] for case_id in first.train], 2),
        "validation": _listed("[]", [items[case_id] for case_id in first.val], 2),
    }
    if locked:  # MONAI's loader indexes into "test" and fails on an empty list
        parts["test"] = _listed("[]", locked, 2)
    return _listed("{}", [f'"{key}": {text}' for key, text in parts.items()], 0) + "\n"


class _Texts(NamedTuple):
    """A case as JSON in dataset.json and in datalist.json."""

    dataset: str
    datalist: str


@lru_cache(maxsize=1 << 15)
def _texts(name: str, n_channels: int, fold: int | None) -> _Texts:
    paths = [_json(f"imagesTr/{name}_{i:04d}{FILE_ENDING}") for i in range(n_channels)]
    images = _listed("[]", paths, 6)
    label = _json(f"labelsTr/{name}{FILE_ENDING}")
    number = -1 if fold is None else fold
    return _Texts(
        f'{_quoted(name)}: {{\n      "images": {images},\n      "label": {label}\n    }}',
        f'{{\n      "image": {images},\n      "label": {label},\n      "fold": {number}\n    }}',
    )


_json = json.encoder.encode_basestring_ascii
_quoted = lru_cache(maxsize=1 << 15)(_json)


def _listed(brackets: str, items: Iterable[str], indent: int) -> str:
    """JSON items as `json.dumps` with an indent of 2 writes them."""
    pad = "\n" + " " * indent
    text = f",{pad}  ".join(items)
    return f"{brackets[0]}{pad}  {text}{pad}{brackets[1]}" if text else brackets
