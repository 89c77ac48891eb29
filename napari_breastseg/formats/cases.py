"""Which files make up which case: names, phase numbers, folders. Opens no image.

Of DICOM files the headers are read, for their names say nothing. Imports `errors`, `progress`,
`folders`, `kinds` and `dicom`.
"""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..core.errors import InputError
from ..core.progress import Job, Progress, drain
from .dicom import DicomError, DicomExam, finding_exams
from .folders import DATASET_JSON, in_order, listed, natural_key, walk
from .kinds import (
    DICOM,
    NIFTI,
    NRRD,
    SLICE,
    ending_of,
    kind_of_name,
    may_be_dicom,
    require_content,
    say_what_was_seen,
    spoken_name,
    stem_of,
)

__all__ = [
    "CaseFiles",
    "case_from_files",
    "case_name",
    "dicom_case",
    "find_cases",
    "finding_cases",
    "holds_exam",
]

# Only 0000 to 0099 is a phase number: "patient_0153" and "scan_2019" are names.
_PHASE = re.compile(r"(?P<case>.+)_(?P<number>00\d\d)")
_IMAGE_FOLDERS = frozenset({"imagesTr", "imagesTs"})
_KNOWN_ROLE = re.compile(r"pre|(post|sub)[1-9]\d*", re.IGNORECASE)


@dataclass(frozen=True)
class CaseFiles:
    """The files of one case, found but not yet opened.

    Examples
    --------
    >>> case = case_from_files("P001", [Path("a.nii"), Path("b.nii")])
    >>> case.roles, [path.name for path in case.files]
    (('pre', 'post1'), ['a.nii', 'b.nii'])
    """

    case_id: str
    """The case's name: the file's without phase suffix and ending, or a stacked folder's."""

    kind: str
    """"nifti", "nrrd", "slice" or "dicom"; a stack of slice files is of kind "slice" too."""

    channels: tuple[tuple[Path, ...], ...]
    """Files of each channel in channel order; more than one file a channel is a stack of slices."""

    roles: tuple[str, ...] | None = None
    """Role of each channel ("pre", "post1", ...); None while the file's content decides it."""

    spacing_mm: tuple[float, float, float] | None = None
    """Spacing (z, y, x) in mm for files that carry none."""

    dicom: DicomExam | None = None
    """What the headers of DICOM files say: series, roles, source files, and what is to be asked."""

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file of the case, in channel order."""
        return tuple(path for files in self.channels for path in files)

    @property
    def path(self) -> Path:
        """Where the case lies: its first file, or the folder of a stack or of DICOM files."""
        if self.dicom is not None:
            return self.dicom.root
        first = self.channels[0]
        return first[0].parent if len(first) > 1 else first[0]

    @property
    def place(self) -> str:
        """Where the case lies, as an output may say it: folders of DICOM may name a patient."""
        return "a DICOM folder" if self.dicom is not None else str(self.path)


def case_name(path: Path) -> str:
    """Name of the case a file belongs to: without phase suffix and ending.

    Slices lose the suffix `_0000` only: `IM_0012.png` is the twelfth slice of an export, while
    `P001_0002.nii.gz` is a phase.

    Examples
    --------
    >>> case_name(Path("images/DUKE_001/duke_001_0002.NII.GZ"))
    'duke_001'
    >>> case_name(Path("IM_0012.png")), case_name(Path("C01_0000.png"))
    ('IM_0012', 'C01')
    """
    stem, number = _split_phase(path)
    if number is not None and (number == 0 or kind_of_name(path) != SLICE):
        return stem
    return stem_of(path)


def case_from_files(
    case_id: str,
    files: Sequence[Path],
    *,
    phases: Sequence[str] | None = None,
    spacing_mm: float | Sequence[float] | None = None,
) -> CaseFiles:
    """Case made of files named one by one, such as by the rows of a table.

    Parameters
    ----------
    case_id : str
        The case's name.
    files : sequence of Path
        One file for each channel, in channel order; a folder is a stack of slices or DICOM. A
        single file or folder may hold several channels (4D NIfTI, RGB slice, DICOM exam).
    phases : sequence of str, optional
        Roles in channel order; by default several files are pre, post1, post2, ...
    spacing_mm : float or sequence of float, optional
        (z, y, x), (y, x), or one in-plane number, in mm; see `find_cases`.

    Raises
    ------
    InputError
        If there is no file, files are of different kinds, or a folder holds no slices.
    """
    channels = tuple(_slices_in(path) if path.is_dir() else (path,) for path in map(Path, files))
    kinds = {DICOM if may_be_dicom(c[0]) else kind_of_name(c[0]) for c in channels}
    if len(kinds) != 1 or None in kinds:
        names = ", ".join(spoken_name(Path(path)) for path in files) or "no file"
        raise InputError(
            f"Expected files of one kind for case {case_id}: NIfTI, NRRD, slices (PNG, "
            "JPEG, TIFF) or DICOM",
            f"found {names}",
            "Convert the files to one kind, for example NIfTI",
        )
    roles = _checked_roles(phases)
    if roles is None and len(channels) > 1:
        roles = tuple(_role(number) for number in range(len(channels)))
    return CaseFiles(case_id, str(kinds.pop()), channels, roles, _checked_spacing(spacing_mm))


def find_cases(
    path: Path,
    *,
    stack: bool = False,
    phases: Sequence[str] | None = None,
    spacing_mm: float | Sequence[float] | None = None,
) -> list[CaseFiles]:
    """Cases in a file or folder, in natural order of their names: `finding_cases`, drained."""
    return drain(finding_cases(path, stack=stack, phases=phases, spacing_mm=spacing_mm))


def finding_cases(
    path: Path,
    *,
    stack: bool = False,
    phases: Sequence[str] | None = None,
    spacing_mm: float | Sequence[float] | None = None,
) -> Job[list[CaseFiles]]:
    """Find the cases in a file or folder.

    Parameters
    ----------
    path : Path
        An image file, or a folder searched to any depth; folders named as masks are (masks,
        labels, labelsTr, segmentations, truth), and a dataset's work folders (drafts, autosave,
        history, locks beside a dataset.json), are passed over, unless given themselves. One file
        of a set `<case>_0000.nii.gz`, `_0001`, ... stands for the whole set.
    stack : bool
        Take the slices of a folder as one volume, in natural order of their names.
    phases : sequence of str, optional
        Roles in channel order, in place of those that names and numbers give. For DICOM each may
        name its series, as in "pre=2", "post1=4".
    spacing_mm : float or sequence of float, optional
        Spacing of files that carry none: (z, y, x), (y, x) or one in-plane number, in mm. The
        last two leave the thickness unknown; it counts as 1 mm, so that mm3 are mm2.

    Yields
    ------
    Progress
        While the headers of DICOM files are read.

    Returns
    -------
    list of CaseFiles
        In natural order of their names, DICOM exams after the others. Two cases of one name are
        both there; `CaseFiles.path` tells them apart.

    Raises
    ------
    InputError
        If nothing readable is there, saying what was seen.

    Notes
    -----
    A set of NIfTI files is taken as one only when its `_0000` is there, as nnU-Net and MAMA-MIA
    have it, or when as many `phases` are named: `patient_0001.nii` beside `patient_0002.nii` are
    two patients. Slices with numbers are one case each, unless `phases` names just as many.

    In `imagesTr` and `imagesTs` of a dataset folder the numbers are channels, whose roles are the
    `channel_names` in its dataset.json, as long as these are phases (pre, post1, sub1, ...).
    """
    path = Path(path)
    roles = _checked_roles(phases)
    spacing = _checked_spacing(spacing_mm)
    exams: list[CaseFiles] = []
    if not path.exists():
        raise InputError(
            "Expected an image file or a folder", f"found nothing at {path}", "Check the path"
        )
    if path.is_dir():
        yield Progress("Looking for exams", 0, 0)
        seen = list(walk(path))
        files = [file for file in seen if kind_of_name(file) is not None]
        of_dicom = [file for file in seen if may_be_dicom(file)]
        if not files and not of_dicom:
            raise say_what_was_seen(seen)
        found = list(_grouped(files, stack=stack, roles=roles))
        try:
            if of_dicom:
                exams = yield from _dicom_cases(path, of_dicom, roles, spacing)
        except DicomError as error:
            if not found:
                raise
            yield Progress("Looking for exams", 0, 0, message=str(error))
    elif (kind := require_content(path)) == DICOM:
        found = []
        exams = yield from _dicom_cases(path, [path], roles, spacing)
    else:
        beside = [file for file in listed(path.parent) if kind_of_name(file) == kind]
        if path not in beside:  # a hidden file, asked for by its name
            beside.append(path)
        family = [file for file in beside if _family(file) == _family(path)]
        found = [case for case in _grouped(family, stack=False, roles=roles) if path in case.files]
    if found and roles is not None and (named := [role for role in roles if "=" in role]):
        raise InputError(
            "Expected roles alone, such as pre,post1, for files that are not DICOM",
            f"found {', '.join(named)}",
            "Name the roles in the order of the files or channels",
        )
    cases = [replace(case, roles=roles or case.roles, spacing_mm=spacing) for case in found]
    cases.sort(key=lambda case: (natural_key(case.case_id), natural_key(str(case.path))))
    return cases + exams


def holds_exam(path: Path) -> str | None:
    """Kind of what a file or folder holds, by its first file that may be read; opens no image.

    Returns
    -------
    str or None
        "dicom" where any file may be DICOM, else "nifti", "nrrd" or "slice"; None for nothing
        readable.
    """
    kinds = set()
    for file in walk(path) if path.is_dir() else [path]:
        if may_be_dicom(file):
            return DICOM
        kinds.add(kind_of_name(file))
    return next((kind for kind in (NIFTI, NRRD, SLICE) if kind in kinds), None)


def _dicom_cases(
    root: Path,
    files: Sequence[Path],
    roles: tuple[str, ...] | None,
    spacing: tuple[float, float, float] | None,
) -> Job[list[CaseFiles]]:
    exams = yield from finding_exams(root, files)
    if roles is not None:
        # An exam that has no such phases is one bad case, and stops no other.
        exams = [exam.named(roles) for exam in exams]
    cases = [dicom_case(exam, spacing) for exam in exams]
    return sorted(cases, key=lambda case: natural_key(case.case_id))


def dicom_case(exam: DicomExam, spacing_mm: tuple[float, float, float] | None = None) -> CaseFiles:
    """Case of a DICOM exam, with the roles it has now."""
    stacks = exam.phases.values()
    channels = tuple(tuple(frame.file for frame in stack.frames) for stack in stacks)
    return CaseFiles(
        exam.case_id,
        DICOM,
        channels or (exam.files,),
        tuple(exam.phases) or None,
        spacing_mm,
        exam,
    )


def _grouped(
    files: Iterable[Path], *, stack: bool, roles: tuple[str, ...] | None
) -> Iterator[CaseFiles]:
    families: dict[tuple[Path, str, str], list[Path]] = defaultdict(list)
    stacks: dict[Path, list[Path]] = defaultdict(list)
    for file in files:
        if stack and kind_of_name(file) == SLICE:
            stacks[file.parent].append(file)
        else:
            families[_family(file)].append(file)
    for folder, slices in stacks.items():
        yield CaseFiles(folder.resolve().name, SLICE, (in_order(slices),))
    channels = {folder: _dataset_channels(folder) for folder in {key[0] for key in families}}
    for (folder, kind, _), family in families.items():
        yield from _cases_of_family(kind, family, roles, channels[folder])


def _cases_of_family(
    kind: str, family: list[Path], roles: tuple[str, ...] | None, channels: dict[int, str]
) -> Iterator[CaseFiles]:
    """Cases among files of one folder whose names differ in phase number and ending at most.

    `channels` are the roles by file number that the folder's dataset names, if it is one's.
    """
    numbered: dict[int, list[Path]] = defaultdict(list)
    for path in family:
        stem, number = _split_phase(path)
        if number is None:
            yield CaseFiles(stem, kind, ((path,),))
        else:
            numbered[number].append(path)
    if any(len(paths) > 1 for paths in numbered.values()):
        # The same number twice: two sets that differ in letter case or ending.
        sets: dict[tuple[str, str], list[Path]] = defaultdict(list)
        for path in family:
            stem, number = _split_phase(path)
            if number is not None:
                sets[stem, ending_of(path)].append(path)
        for paths in sets.values():
            yield from _cases_of_family(kind, paths, roles, channels)
        return
    numbers = sorted(numbered)
    paths = [numbered[number][0] for number in numbers]
    if numbers and channels.keys() >= set(numbers):
        named = tuple(channels[number] for number in numbers)
        yield CaseFiles(_split_phase(paths[0])[0], kind, tuple((path,) for path in paths), named)
        return
    count_named = roles is not None and len(roles) == len(numbers) > 1
    if kind in (NIFTI, NRRD):
        is_set = len(numbers) > 1 and (numbers[0] == 0 or count_named)
        is_suffix = len(numbers) == 1
    else:
        is_set = count_named and numbers == list(range(len(numbers)))
        is_suffix = numbers == [0]
    if is_set:
        found = tuple(_role(number) for number in numbers)
        yield CaseFiles(_split_phase(paths[0])[0], kind, tuple((path,) for path in paths), found)
        return
    for path in paths:
        name = _split_phase(path)[0] if is_suffix else stem_of(path)
        yield CaseFiles(name, kind, ((path,),))


def _dataset_channels(folder: Path) -> dict[int, str]:
    """Phase roles by file number in an image folder of a dataset; empty where nothing says them."""
    folder = Path(os.path.abspath(folder))  # "." has no name
    if folder.name not in _IMAGE_FOLDERS:
        return {}
    try:
        names = json.loads((folder.parent / DATASET_JSON).read_text("utf-8"))["channel_names"]
        channels = {int(number): role.strip().lower() for number, role in names.items()}
    # Anybody's file: absent, no JSON, or JSON of any other shape.
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return {}
    are_phases = all(_KNOWN_ROLE.fullmatch(role) for role in channels.values())
    is_clear = len(set(channels.values())) == len(channels) == len(names)
    return channels if are_phases and is_clear else {}


def _split_phase(path: Path) -> tuple[str, int | None]:
    stem = stem_of(path)
    match = _PHASE.fullmatch(stem)
    return (stem, None) if match is None else (match["case"], int(match["number"]))


def _role(number: int) -> str:
    return f"post{number}" if number else "pre"


def _family(path: Path) -> tuple[Path, str, str]:
    return path.parent, str(kind_of_name(path)), _split_phase(path)[0].casefold()


def _slices_in(folder: Path) -> tuple[Path, ...]:
    slices = in_order(file for file in listed(folder) if kind_of_name(file) == SLICE)
    if not slices:
        slices = tuple(file for file in walk(folder) if may_be_dicom(file))
    if not slices:
        raise say_what_was_seen(listed(folder))
    return slices


def _checked_roles(phases: Sequence[str] | None) -> tuple[str, ...] | None:
    if phases is None:
        return None
    names = [phases] if isinstance(phases, str) else list(phases)
    roles = tuple(
        name.strip().lower() if _KNOWN_ROLE.fullmatch(name.strip()) else name.strip()
        for name in names
    )
    named = [role.partition("=")[0].strip() for role in roles]
    if not roles or "" in named or len(set(named)) != len(named):
        raise InputError(
            "Expected a different name for each phase, such as pre,post1,post2",
            f"found {', '.join(repr(role) for role in roles) or 'none'}",
            "Name the phases in the order of the files or channels",
        )
    return roles


def _checked_spacing(
    spacing_mm: float | Sequence[float] | None,
) -> tuple[float, float, float] | None:
    if spacing_mm is None:
        return None
    numbers = (
        [float(spacing_mm)] * 2
        if isinstance(spacing_mm, int | float)
        else [float(number) for number in spacing_mm]
    )
    if len(numbers) == 1:
        numbers *= 2
    if len(numbers) == 2:
        numbers.insert(0, 1.0)
    if len(numbers) != 3 or not all(0 < number < float("inf") for number in numbers):
        raise InputError(
            "Expected a spacing in mm: one in-plane number, or (z, y, x), all above 0",
            f"found {spacing_mm}",
            "Give the spacing that the scanner's export states",
        )
    z, y, x = numbers
    return z, y, x
