"""The accepted cases of a dataset as BIDS derivatives.

    dataset_description.json  dseg.tsv  dseg.json  mask.json  T1w.json  participants.tsv
    sub-<patient>/[ses-<visit>/]anat/
        sub-..[_ses-..]_acq-<phase>[_run-..]_desc-asis_T1w.nii.gz    a phase as it was imported
        sub-..[_ses-..][_run-..]_space-orig_dseg.nii.gz              background, tumor, not reviewed
        sub-..[_ses-..][_run-..]_space-orig_label-tumor_mask.nii.gz  tumor alone

Imports `errors`, `atomic`, `progress`, `formats`, `volume`, and of this package `layout`,
`records`, `store`.

References
----------
Brain Imaging Data Structure, "Derivatives": common data types, imaging data types (masks,
discrete segmentations); entity order of the appendix "Entities".
"""

from __future__ import annotations

import re
import shutil
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from .. import formats
from ..core.atomic import write_json, write_text
from ..core.errors import InputError
from ..core.progress import Job, Progress
from ..core.version import __version__
from ..core.volume import BACKGROUND, IGNORE, TUMOR, LabelMap
from .records import CaseRecord
from .store import Store

__all__ = ["writing_bids"]

_VERSION = "1.4.0"  # the first with derivatives
_LABELS = ((BACKGROUND, "Background", "BG"), (TUMOR, "Tumor", "tumor"))
_NOT_REVIEWED = (IGNORE, "Not reviewed", "ignore")


def writing_bids(store: Store, records: Sequence[CaseRecord], folder: Path) -> Job[None]:
    """Write accepted cases as BIDS derivatives into a folder that is there and empty.

    Yields
    ------
    Progress
        One per case.

    Raises
    ------
    InputError
        If two patients or visits become one, since BIDS labels hold letters and digits only; or
        a file of the dataset is gone.
    """
    patients = _labels({record.patient_id for record in records}, "patient ids")
    visits = _labels({record.visit for record in records if record.visit}, "visit names")
    places: dict[tuple[str, str | None], list[CaseRecord]] = defaultdict(list)
    for record in records:
        places[record.patient_id, record.visit].append(record)
    done = 0
    for (patient, visit), members in places.items():
        where = [f"sub-{patients[patient]}", *([f"ses-{visits[visit]}"] if visit else [])]
        anat = folder.joinpath(*where, "anat")
        anat.mkdir(parents=True)
        for run, record in enumerate(members, start=1):
            numbered = f"_run-{run}" if len(members) > 1 else ""
            for number, role in enumerate(record.channels):
                acquired = f"{'_'.join(where)}_acq-{_plain(role)}{numbered}"
                image = store.layout.image(record.case_id, number)
                _copy(image, anat / f"{acquired}_desc-asis_T1w.nii.gz")
            name = f"{'_'.join(where)}{numbered}_space-orig"
            label = store.layout.label(record.case_id)
            _copy(label, anat / f"{name}_dseg.nii.gz")
            read = formats.read_label_map(label, is_own=True)
            tumor = LabelMap(read.tumor.astype(np.uint8), read.grid)
            formats.write_label_map(anat / f"{name}_label-tumor_mask.nii.gz", tumor)
            done += 1
            yield Progress("Exporting", done, len(records))
    _write_root(store, records, folder, patients)


def _write_root(
    store: Store, records: Sequence[CaseRecord], folder: Path, patients: dict[str, str]
) -> None:
    maker = {"Name": "napari-breastseg", "Version": __version__}
    description = {
        "Name": store.name,
        "BIDSVersion": _VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [maker],
    }
    write_json(folder / "dataset_description.json", description)
    write_json(folder / "dseg.json", {"SpatialReference": "orig"})
    write_json(folder / "mask.json", {"SpatialReference": "orig", "Type": "Lesion"})
    asis = "the phase as it was imported, on its own grid"
    about = {"SpatialReference": "orig", "SkullStripped": False, "Description": asis}
    write_json(folder / "T1w.json", about)
    header = ("index", "name", "abbreviation")
    _write_table(folder / "dseg.tsv", header, [*_LABELS, _NOT_REVIEWED])
    roles = {record.patient_id: record.role for record in records}
    rows = [
        (f"sub-{patients[patient]}", "n/a" if role.fold is None else role.fold, role.is_locked)
        for patient, role in sorted(roles.items())
    ]
    _write_table(folder / "participants.tsv", ("participant_id", "fold", "is_test"), rows)


def _write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    lines = ["\t".join(map(str, row)) for row in (header, *rows)]
    write_text(path, "\n".join(lines) + "\n")


def _labels(names: Iterable[str], what: str) -> dict[str, str]:
    """Name to BIDS label: its letters and digits."""
    labels = {name: _plain(name) for name in names}
    if len({label.casefold() for label in labels.values()}) < len(labels) or "" in labels.values():
        raise InputError(
            f"Expected {what} that differ in their letters and digits, all that a BIDS "
            "label may hold",
            "found some that do not differ, or hold neither",
            "Export with --format nnunet, or import the cases under other names",
        )
    return labels


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]", "", name)


def _copy(source: Path, target: Path) -> None:
    if not source.exists():
        raise InputError(
            f"Expected {source.name} in the dataset folder",
            "found no such file",
            "Run `dataset check`, and restore the file from a backup",
        )
    shutil.copyfile(source, target)
