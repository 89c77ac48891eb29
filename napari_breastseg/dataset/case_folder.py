"""Cases from a folder with `images` and `segmentations`, as MAMA-MIA has them.

Makes the table that a CSV file would give. Imports `errors`, `formats`, and of this package
`importing`.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from .. import formats
from ..core.errors import InputError
from .importing import CaseRow, CaseTable

__all__ = ["read_case_folder"]

_EXPERT = "expert"


def read_case_folder(folder: Path) -> CaseTable:
    """Table of the cases under `images`, with the masks of their names under `segmentations`.

    Letter case counts neither in the folders' names nor in the files'. Channels are the phases
    that all cases have. A mask in a folder `expert` goes before one of the same name elsewhere.
    Every case counts as a patient of its own, named by its folder under `images` if that has the
    case's name, else by the case.

    Raises
    ------
    InputError
        If one of the two folders is not there, they hold no images, cases share no phase or name,
        or a case has several masks.
    """
    folder = Path(folder)
    images, segmentations = (_named(folder, name) for name in ("images", "segmentations"))
    cases = [case for case in formats.find_cases(images) if case.dicom is None]
    columns = [_columns(case) for case in cases]
    shared = sorted(set.intersection(*map(set, columns))) if cases else []
    names = [case.case_id.casefold() for case in cases]
    if not shared or len(set(names)) < len(names):
        raise InputError(
            f"Expected cases in {images.name} with different names and a phase that all "
            "of them have",
            "found no phase that every case has"
            if cases and not shared
            else f"found {len(cases)} cases, some with the same name"
            if cases
            else "found no case",
            "List the cases in a CSV file for `dataset import`",
        )
    masks: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(segmentations.rglob("*")):
        if path.is_file() and not path.name.startswith("."):
            masks[formats.case_name(path).casefold()].append(path)
    rows = []
    for number, (case, own) in enumerate(zip(cases, columns, strict=True), start=1):
        above = case.path.parent.name
        patient = above if above.casefold() == case.case_id.casefold() else case.case_id
        mask = _mask(masks.get(case.case_id.casefold(), []), case.case_id)
        chosen = {column: own[column] for column in shared}
        rows.append(CaseRow(number, case.case_id, patient, chosen, mask, ""))
    return CaseTable(tuple(rows), tuple(shared), ())


def _named(folder: Path, name: str) -> Path:
    for path in sorted(folder.iterdir()):
        if path.is_dir() and path.name.casefold() == name:
            return path
    raise InputError(
        f"Expected the folders images and segmentations in {folder.name}",
        f"found no {name}",
        "Choose a folder that has both, or list the cases in a CSV file",
    )


def _columns(case: formats.CaseFiles) -> dict[str, Path]:
    """Files by column of a CSV file: `image` alone, or `image_0000`, ... by phase."""
    if case.roles is None:
        return {"image": case.path}
    files = (channel[0] for channel in case.channels)
    numbers = (0 if role == "pre" else int(role.removeprefix("post")) for role in case.roles)
    return {f"image_{number:04d}": file for number, file in zip(numbers, files, strict=True)}


def _mask(found: list[Path], case_id: str) -> Path | None:
    expert = [path for path in found if path.parent.name.casefold() == _EXPERT]
    chosen = expert or found
    if len(chosen) > 1:
        raise InputError(
            f"Expected one mask of case {case_id} in segmentations",
            f"found {len(chosen)}",
            "Keep the one to train on, or list the cases with their masks in a CSV file",
        )
    return chosen[0] if chosen else None
