"""A clean nnU-Net v2 raw folder, or BIDS derivatives, from the accepted cases of a dataset.

Imports `errors`, `atomic`, `progress`, and of this package `bids`, `derived`, `layout`, `store`.
"""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from pathlib import Path

from ..core.atomic import (
    move_in_place,
    storage_errors,
    temporary_folder,
    write_json,
    write_text,
)
from ..core.errors import InputError
from ..core.progress import Job, Progress
from .bids import writing_bids
from .derived import LABELS, splits, test_cases, training_cases
from .layout import FILE_ENDING
from .nnunet_folder import PATIENTS_FILE
from .records import CaseRecord
from .store import Store

__all__ = ["FORMATS", "export"]

FORMATS = ("nnunet", "bids")

_WORK = ".tmp-export-"
_LEFTOVER_S = 86_400.0


def export(store: Store, dest: Path, format: str) -> Job[Path]:
    """Copy the accepted cases to `dest`; see `Dataset.export`."""
    if format not in FORMATS:
        raise InputError(
            f"Expected one of the export formats {', '.join(FORMATS)}",
            f"found {format}",
            "Choose one of them",
        )
    source = store.layout.folder.resolve()
    target = dest.resolve()
    if target == source or source in target.parents or target in source.parents:
        raise InputError(
            "Expected an export folder apart from the dataset folder",
            f"found {dest}, which is the dataset folder, lies in it or holds it",
            "Choose a new folder, such as Dataset501_BreastTumor under nnUNet_raw",
        )
    if dest.exists() and (not dest.is_dir() or any(dest.iterdir())):
        raise InputError(
            "Expected a new or empty folder to export to",
            f"found files in {dest}",
            "Choose another folder; nothing was changed",
        )
    # A mask that another program changed was accepted by nobody.
    records = [record for record in store.cases() if not store.is_mask_changed(record)]
    training, testing = training_cases(records), test_cases(records)
    if not training and not (format == "bids" and testing):
        raise InputError(
            "Expected accepted cases of patients who are not locked for testing",
            f"found none in dataset {store.name}",
            "Accept or import cases first",
        )
    with storage_errors(dest):
        dest.parent.mkdir(parents=True, exist_ok=True)
        _sweep(dest.parent)
        # Beside the target, so that the last step is a rename and no half export is ever seen.
        work = temporary_folder(dest.parent, _WORK)
        try:
            if format == "bids":
                yield from writing_bids(store, [*training, *testing], work)
            else:
                yield from _writing_nnunet(store, training, testing, work)
            if dest.exists():
                dest.rmdir()
            move_in_place(work, dest)
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)
            raise
    return dest


def _sweep(folder: Path) -> None:
    """Remove what killed exports left beside their targets more than a day ago."""
    for left in folder.glob(f"{_WORK}*"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > _LEFTOVER_S:
                shutil.rmtree(left)


def _writing_nnunet(
    store: Store, training: list[CaseRecord], testing: list[CaseRecord], work: Path
) -> Job[None]:
    for index, record in enumerate((*training, *testing), start=1):
        part = "Ts" if record.is_locked else "Tr"
        for number in range(len(record.channels)):
            image = store.layout.image(record.case_id, number)
            _copy(image, work / f"images{part}" / image.name)
        label = store.layout.label(record.case_id)
        _copy(label, work / f"labels{part}" / label.name)
        yield Progress("Exporting", index, len(training) + len(testing))
    write_json(
        work / "splits_final.json",
        [{"train": list(s.train), "val": list(s.val)} for s in splits(training)],
    )
    # nnU-Net passes it by; imported again, no patient is then in two folds.
    lines = [f"{record.case_id},{_quoted(record.patient_id)}" for record in (*training, *testing)]
    write_text(work / PATIENTS_FILE, "\n".join(["case_id,patient_id", *lines]) + "\n")
    write_json(
        work / "dataset.json",
        {
            "name": store.name,
            "channel_names": {str(i): role for i, role in enumerate(store.channels)},
            "labels": LABELS,
            "numTraining": len(training),
            "file_ending": FILE_ENDING,
        },
    )


def _quoted(text: str) -> str:
    doubled = text.replace('"', '""')
    return f'"{doubled}"'


def _copy(source: Path, target: Path) -> None:
    if not source.exists():
        raise InputError(
            f"Expected {source.name} in the dataset folder",
            "found no such file",
            "Run `dataset check`, and restore the file from a backup",
        )
    target.parent.mkdir(exist_ok=True)
    shutil.copyfile(source, target)
