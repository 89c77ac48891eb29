"""The JSON files of a dataset folder that follow from its records: nnU-Net's and MONAI's.

Records in, JSON values out; nothing is written here. Imports `errors`, `volume`, `records` and
`layout` only.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.volume import BACKGROUND, IGNORE, TUMOR
from .layout import FILE_ENDING, Layout
from .records import FOLDS, CaseRecord

__all__ = [
    "LABELS",
    "Split",
    "dataset_json",
    "derived_texts",
    "splits",
    "test_cases",
    "training_cases",
]

LABELS = {"background": BACKGROUND, "tumor": TUMOR, "ignore": IGNORE}
OWN_KEY = "napari_breastseg"
"""Key in dataset.json that tells a folder of ours from any other nnU-Net folder."""


@dataclass(frozen=True)
class Split:
    """Case ids to train on and to validate on."""

    train: tuple[str, ...]
    val: tuple[str, ...]


def training_cases(records: Sequence[CaseRecord]) -> list[CaseRecord]:
    """The accepted cases of patients who are not locked."""
    return [record for record in records if record.is_accepted and not record.is_locked]


def test_cases(records: Sequence[CaseRecord]) -> list[CaseRecord]:
    """The accepted cases of locked patients."""
    return [record for record in records if record.is_accepted and record.is_locked]


def splits(records: Sequence[CaseRecord]) -> list[Split]:
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
    folds = [fold for fold in range(FOLDS) if any(r.role.fold == fold for r in usable)]
    if len(folds) > 1:
        return [
            Split(
                tuple(r.case_id for r in usable if r.role.fold != fold),
                tuple(r.case_id for r in usable if r.role.fold == fold),
            )
            for fold in folds
        ]
    last = max(record.role.entry for record in usable)
    val = tuple(r.case_id for r in usable if r.role.entry == last)
    train = tuple(r.case_id for r in usable if r.role.entry != last)
    return [Split(train or val, val)]


def dataset_json(
    name: str, channels: Sequence[str], records: Sequence[CaseRecord], dataset_id: str = ""
) -> dict[str, Any]:
    """The content of dataset.json as nnU-Net v2 reads it, with our mark."""
    usable = training_cases(records)
    return {
        "name": name,
        "channel_names": {str(index): role for index, role in enumerate(channels)},
        "labels": LABELS,
        "numTraining": len(usable),
        "file_ending": FILE_ENDING,
        OWN_KEY: {"format": 1} | ({"id": dataset_id} if dataset_id else {}),
        "dataset": {
            record.case_id: {"images": _image_paths(record), "label": _label_path(record)}
            for record in usable
        },
    }


def derived_texts(
    folder: Path,
    name: str,
    channels: Sequence[str],
    records: Sequence[CaseRecord],
    dataset_id: str = "",
) -> dict[Path, str]:
    """Path and content of every derived file of `folder`."""
    layout = Layout(folder)
    all_splits = splits(records)
    values = {
        layout.dataset_json: dataset_json(name, channels, records, dataset_id),
        layout.splits_json: [{"train": list(s.train), "val": list(s.val)} for s in all_splits],
        layout.datalist_json: _datalist(records, all_splits),
    }
    return {
        path: json.dumps(value, indent=2, allow_nan=False) + "\n" for path, value in values.items()
    }


def _datalist(records: Sequence[CaseRecord], all_splits: Sequence[Split]) -> dict[str, Any]:
    # Training and validation are those of the first split: who loads both lists must not
    # validate on what was trained. `fold` lets MONAI's own cross-validation choose otherwise.
    items = {
        record.case_id: {
            "image": _image_paths(record),
            "label": _label_path(record),
            "fold": -1 if record.role.fold is None else record.role.fold,
        }
        for record in records
        if record.is_accepted
    }
    first = all_splits[0] if all_splits else Split((), ())
    value: dict[str, Any] = {
        "labels": {str(number): label for label, number in LABELS.items()},
        "training": [items[case_id] for case_id in first.train],
        "validation": [items[case_id] for case_id in first.val],
    }
    # MONAI's loader indexes into "test" and fails on an empty list.
    locked = [items[record.case_id] for record in test_cases(records)]
    return value | ({"test": locked} if locked else {})


def _image_paths(record: CaseRecord) -> list[str]:
    return [f"imagesTr/{record.case_id}_{i:04d}{FILE_ENDING}" for i in range(len(record.channels))]


def _label_path(record: CaseRecord) -> str:
    return f"labelsTr/{record.case_id}{FILE_ENDING}"
