"""Cases from an nnU-Net raw folder, such as an export of ours, with what its dataset.json says.

Makes the table that a CSV file would give. Imports `errors`, `formats`, and of this package
`importing`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .. import formats
from ..core.errors import InputError
from .csv_rows import read_rows
from .importing import CaseRow, CaseTable

__all__ = ["PATIENTS_FILE", "is_nnunet_folder", "read_nnunet_folder"]

PATIENTS_FILE = "patients.csv"
"""Names the patient of each case; nnU-Net itself knows cases only."""


def is_nnunet_folder(folder: Path) -> bool:
    """Whether a folder has a dataset.json and images to train on."""
    return (folder / "dataset.json").is_file() and (folder / "imagesTr").is_dir()


def read_nnunet_folder(folder: Path, phases: Sequence[str] | None = None) -> CaseTable:
    """Table of the cases in `imagesTr`, and of those in `imagesTs` that have a mask in `labelsTs`.

    Parameters
    ----------
    folder : Path
        Its dataset.json says by name which channel is which phase, and which label is tumor.
    phases : sequence of str, optional
        Roles of the channels in order, where those names leave it open.

    Returns
    -------
    CaseTable
        Patients are those of `patients.csv` (columns case_id, patient_id), if there is one; else
        every case counts as a patient of its own.

    Raises
    ------
    InputError
        If there is no case, a name leaves open which phase a channel is, cases have different
        phases, or `patients.csv` lacks one of them.
    """
    folder = Path(folder)
    found: list[tuple[formats.CaseFiles, Path | None]] = []
    for images, labels in (("imagesTr", "labelsTr"), ("imagesTs", "labelsTs")):
        is_test = images == "imagesTs"  # often without masks, and then nothing to learn from
        if is_test and not ((folder / images).is_dir() and (folder / labels).is_dir()):
            continue
        masks = {
            formats.case_name(path): path
            for path in sorted((folder / labels).glob("*"))
            if path.is_file() and not path.name.startswith(".")
        }
        for case in formats.find_cases(folder / images, phases=phases):
            if not is_test or case.case_id in masks:
                found.append((case, masks.get(case.case_id)))
    asked = next((case.question for case, _ in found if case.question is not None), None)
    if asked is not None and phases is None:
        raise asked
    roles = {case.roles for case, _ in found}
    if len(roles) != 1:
        raise InputError(
            f"Expected cases with the same channels in {folder.name}",
            f"found {len(roles)} different sets of channels" if roles else "found no case",
            "List the cases in a CSV file for `dataset import`",
        )
    named = roles.pop()
    patients = _patients(folder, [case.case_id for case, _ in found])
    rows = [
        CaseRow(
            number,
            case.case_id,
            patients.get(case.case_id, case.case_id),
            {f"image_{place:04d}": files[0] for place, files in enumerate(case.channels)},
            mask,
            "",
        )
        for number, (case, mask) in enumerate(found, start=1)
    ]
    return CaseTable(tuple(rows), tuple(rows[0].images), (), named_roles=named)


def _patients(folder: Path, case_ids: Sequence[str]) -> dict[str, str]:
    path = folder / PATIENTS_FILE
    if not path.is_file():
        return {}
    _, rows = read_rows(path)
    patients = {cells.get("case_id", ""): cells.get("patient_id", "") for _, cells in rows}
    missing = [case_id for case_id in case_ids if not patients.get(case_id)]
    if missing:
        raise InputError(
            f"Expected the patient of every case in {PATIENTS_FILE}, in columns case_id and "
            "patient_id",
            f"found none for {len(missing)} of {len(case_ids)} cases",
            "Add them, so that no patient is both learned from and tested on",
        )
    return patients
