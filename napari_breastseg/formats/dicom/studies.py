"""Which files are one exam: of one study, patient and date; their folders, and what lies beside.

No name of a file or folder is said here: it may name a patient.
"""

from __future__ import annotations

import itertools
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from ...core.errors import InputError
from .beside import OPENS_ALONE, beside_words
from .headers import DAY_S, Header

__all__ = ["DicomError", "File", "by_visit", "folders_of", "told_with", "with_images"]

File = tuple[Header, Path]
_Owner = tuple[str, str, str]
"""Patient, date of the study and visit by day; "" where a file does not say."""
_PAUSE_S = 3 * 3600.0
"""Images of two days are of one visit only if they follow each other within this."""


class DicomError(InputError):
    """DICOM files without an exam; their folder is not named, as that may name a patient."""


def by_visit(files: Sequence[File]) -> dict[str, list[File]]:
    """Files of each exam, by a key that holds its study UID.

    Anonymizers may give one study UID, or none, to several patients or visits; the patient and
    the date of the study must agree within an exam, and the days of acquisition.
    """
    studies: dict[str, list[File]] = defaultdict(list)
    for header, path in files:
        studies[header.study].append((header, path))
    visits: dict[str, list[File]] = {}
    for study, members in studies.items():
        parts = _visits(members)
        for number, part in enumerate(parts, start=1):
            visits[f"{study} {number}".strip() if len(parts) > 1 else study] = part
    return visits


def _visits(members: list[File]) -> list[list[File]]:
    """Files of one study UID, apart where their images name other patients, dates or days."""
    visit = _visits_by_day([header for header, _ in members])

    def owner_of(header: Header) -> _Owner:
        return _plain(header.patient), header.date, visit.get(id(header), "")

    owners = {owner_of(header) for header, _ in members if header.frames and not header.beside}
    if all(len({owner[part] for owner in owners} - {""}) < 2 for part in range(3)):
        return [members]
    whole = sorted(
        owner for owner in owners if not any(_fits(owner, o) and o != owner for o in owners)
    )
    parts: dict[_Owner, list[File]] = {owner: [] for owner in whole}
    open_: list[File] = []
    for file in members:
        own = owner_of(file[0])
        fitting = [owner for owner in parts if _fits(own, owner)]
        if len(fitting) == 1:
            parts[fitting[0]].append(file)
        else:
            open_.append(file)
    for file in open_:  # goes with what lies nearest
        nearest = max(
            (part for part in parts.values() if part),
            key=lambda part: max(
                len(os.path.commonpath([file[1].parent, path.parent])) for _, path in part
            ),
            default=None,
        )
        if nearest is not None:
            nearest.append(file)
    return [part for part in parts.values() if part]


def _visits_by_day(headers: Sequence[Header]) -> dict[int, str]:
    """Number of the visit of each original image, by id; empty if all were acquired in one.

    The day of the acquisition counts; where some do not name it that of the series too, and then
    of the content. Days of one visit may differ if it passed midnight; images computed later have
    days of their own.
    """
    images = [
        header
        for header in headers
        if header.frames and not header.beside and not header.frames[0].traits.is_derived
    ]
    for which in range(3):
        dated = [(h, day) for h in images if (day := h.days[which]) is not None]
        ordered = sorted((day * DAY_S + _second_of_day(h), day, id(h)) for h, day in dated)
        visit, numbers = 1, {key: "1" for _, _, key in ordered[:1]}
        for (before_s, before, _), (after_s, after, key) in itertools.pairwise(ordered):
            visit += after_s - before_s > _PAUSE_S and after != before
            numbers[key] = str(visit)
        if visit > 1:
            return numbers
        if len(dated) == len(images):
            return {}
    return {}


def _second_of_day(header: Header) -> float:
    """When an image was acquired, else made; midday if it has no time."""
    frame = header.frames[0]
    known = (time for time in (frame.acquired_s, frame.content_s) if time is not None)
    return next(known, DAY_S / 2)


def _plain(patient: str) -> str:
    return patient.lstrip("0") or patient


def _fits(owner: _Owner, whole: _Owner) -> bool:
    """Whether a patient, a date and a visit are those of another file, as far as they are given."""
    return all(not one or one == other for one, other in zip(owner, whole, strict=True))


def with_images(studies: Mapping[str, Sequence[Header]]) -> list[str]:
    """Studies with MR images; without any, those with what opens alone.

    Raises
    ------
    DicomError
        If there are none.
    """
    for kinds in (frozenset({""}), OPENS_ALONE):
        found = [
            study
            for study, headers in studies.items()
            if any(header.frames and header.beside in kinds for header in headers)
        ]
        if found:
            return found
    kept = [header.beside or "other file" for of in studies.values() for header in of]
    raise DicomError(
        "Expected MR images of an exam",
        "found a segmentation (SEG), not an image"
        if set(kept) == {"segmentation"}
        else f"found {beside_words(kept)}, and no MR image",
        "Choose the folder of the MR exam",
    )


def told_with(
    root: Path, left: Sequence[tuple[str, Path, str]], places: Mapping[str, Sequence[Path]]
) -> dict[str, list[str]]:
    """Kinds of the files left out, by the study they are told with.

    That is their own study, or else the exams nearest to them in the tree of folders: ultrasound
    and mammograms are studies of their own.

    Parameters
    ----------
    left : sequence of tuple
        Study, file and kind of what is left out.
    places : mapping
        Files of each study that is an exam.
    """
    around = {study: _folders_around(root, files) for study, files in places.items()}
    kinds: dict[str, list[str]] = {study: [] for study in places}
    for study, file, kind in left:
        nearest = [study]
        if study not in kinds:
            folders = (file.parent, *file.parent.parents)
            shared = ([one for one in places if folder in around[one]] for folder in folders)
            nearest = next((exams for exams in shared if exams), [])
        for one in nearest:
            kinds[one].append(kind)
    return kinds


def _folders_around(root: Path, files: Sequence[Path]) -> set[Path]:
    """Folders at any height in which some of the files lie, up to the root."""
    around: set[Path] = set()
    for folder in {file.parent for file in files}:
        for above in (folder, *folder.parents):
            around.add(above)
            if above == root:
                break
    return around


def folders_of(root: Path, places: Mapping[str, Sequence[Path]]) -> dict[str, tuple[str, Path]]:
    """A name and a folder for each study: the root's, or its own folder's if there are several."""
    whole = root.resolve()
    name = whole.name if root.is_dir() else whole.stem
    if len(places) == 1:
        return dict.fromkeys(places, (name, root))
    owners: dict[Path, set[str]] = defaultdict(set)
    for study, files in places.items():
        for folder in _folders_around(root, files):
            owners[folder].add(study)
    folders: dict[str, tuple[str, Path]] = {}
    for number, (study, files) in enumerate(places.items(), start=1):
        top = Path(os.path.commonpath([file.parent for file in files]))
        while top != root and top.parent != root and owners[top.parent] == {study}:
            top = top.parent
        is_own = top != root and owners[top] == {study}
        inner = "_".join(top.relative_to(root).parts) or name
        folders[study] = (inner if is_own else f"{inner}_{number}", top)
    return folders
