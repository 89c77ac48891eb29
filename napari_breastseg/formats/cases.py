"""Find the cases in a file or folder. Opens no image.

Names tell which files belong together (`grouping`); of DICOM files the headers are read, as their
names say nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from ..core.errors import InputError
from ..core.progress import Job, Progress, drain
from .dicom import DicomError, DicomExam, files_listed_in, finding_exams, is_directory
from .folders import in_order, listed, natural_key, walk
from .grouping import KNOWN_ROLE, CaseFiles, case_name, family_of, grouped, role_of
from .kinds import (
    DICOM,
    NIFTI,
    NRRD,
    SLICE,
    came_with_dicom,
    kind_of_name,
    may_be_dicom,
    packed_among,
    require_content,
    say_what_was_seen,
    spoken_name,
)

__all__ = [
    "CaseFiles",
    "case_from_files",
    "case_name",
    "dicom_case",
    "find_cases",
    "finding_cases",
    "holds_exam",
    "only_case",
]


def case_from_files(
    case_id: str,
    files: Sequence[Path],
    *,
    phases: Sequence[str] | None = None,
    spacing_mm: float | Sequence[float] | None = None,
) -> CaseFiles:
    """Case made of files given one by one, as in the rows of a table.

    Parameters
    ----------
    case_id : str
        The case's name.
    files : sequence of Path
        One file per channel, in channel order; a folder is a stack of slices or DICOM files. A
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
    for path in (channel[0] for channel in channels):
        if kind_of_name(path) is None and path.is_file() and not may_be_dicom(path):
            require_content(path)  # says what it is instead
    kinds = {DICOM if may_be_dicom(c[0]) else kind_of_name(c[0]) for c in channels}
    if len(kinds) != 1 or None in kinds:
        names = ", ".join(spoken_name(Path(path)) for path in files) or "no file"
        raise InputError(
            f"Expected files of one kind for case {case_id}: NIfTI, NRRD, slices (PNG, "
            "JPEG, TIFF) or DICOM",
            f"found {names}",
            "Convert the files to one kind, for example NIfTI",
        )
    roles = named = _checked_roles(phases)
    if roles is None and len(channels) > 1:
        roles = tuple(role_of(number) for number in range(len(channels)))
    spacing = _checked_spacing(spacing_mm)
    return CaseFiles(
        case_id, str(kinds.pop()), channels, roles, spacing, is_named=named is not None
    )


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
        An image file, or a folder that is searched to any depth. Folders with the usual names for
        masks (masks, labels, labelsTr, segmentations, truth) and a dataset's work folders (drafts,
        autosave, history, locks beside a dataset.json) are skipped, unless given themselves. A
        DICOMDIR stands for the files it lists. One
        file of a set `<case>_0000.nii.gz`, `_0001`, ... stands for the whole set.
    stack : bool
        Read the slices of a folder as one volume, in natural order of their names.
    phases : sequence of str, optional
        Roles in channel order, instead of those that names and numbers give. For DICOM, each may
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
        In natural order of their names, DICOM exams last. Two cases may have the same name;
        `CaseFiles.path` tells them apart.

    Raises
    ------
    InputError
        If there is nothing readable; it says what was found.

    Notes
    -----
    Numbered NIfTI files are one case only when `_0000` is among them, as in nnU-Net and MAMA-MIA,
    or when `phases` names as many: `patient_0001.nii` and `patient_0002.nii` are two patients.
    Numbered slices are one case each, unless `phases` names exactly as many.

    In `imagesTr` and `imagesTs` of a dataset folder the numbers are channels. Their roles are the
    `channel_names` of dataset.json (pre, post1, sub1, "DCE post 2", ...); where these name no
    phases the case has a `question`.
    """
    path = Path(path)
    roles = _checked_roles(phases)
    spacing = _checked_spacing(spacing_mm)
    exams: list[CaseFiles] = []
    if not path.exists():
        raise InputError(
            "Expected an image file or a folder",
            f"found nothing at {Path(*path.parts[-2:])}",
            "Check the path",
        )
    if path.is_dir():
        yield Progress("Looking for exams", 0, 0)
        seen = list(walk(path))
        files = [file for file in seen if kind_of_name(file) is not None]
        of_dicom = [file for file in seen if may_be_dicom(file)]
        if not files and not of_dicom:
            raise say_what_was_seen(seen)
        others = came_with_dicom(seen, of_dicom)
        if packed := packed_among(seen):
            message = f"left closed: {packed}; unpack them to open what they hold"
            yield Progress("Looking for exams", 0, 0, message=message)
        try:
            if of_dicom:
                exams = yield from _dicom_cases(path, of_dicom, roles, spacing, others)
                files = [file for file in files if file not in others]
        except DicomError as error:
            if not files:
                raise
            yield Progress("Looking for exams", 0, 0, message=str(error))
        found = list(grouped(files, stack=stack, roles=roles))
    elif is_directory(path):
        found = []
        listed_files = files_listed_in(path) or list(filter(may_be_dicom, walk(path.parent)))
        exams = yield from _dicom_cases(path.parent, listed_files, roles, spacing)
    elif (kind := require_content(path)) == DICOM:
        found = []
        exams = yield from _dicom_cases(path, [path], roles, spacing)
    else:
        beside = [file for file in listed(path.parent) if kind_of_name(file) == kind]
        if path not in beside:  # a hidden file, asked for by its name
            beside.append(path)
        family = [file for file in beside if family_of(file) == family_of(path)]
        found = [case for case in grouped(family, stack=False, roles=roles) if path in case.files]
    if found and roles is not None and (named := [role for role in roles if "=" in role]):
        raise InputError(
            "Expected roles alone, such as pre,post1, for files that are not DICOM",
            f"found {', '.join(named)}",
            "Name the roles in the order of the files or channels",
        )
    cases = [
        replace(
            case,
            roles=roles or case.roles,
            spacing_mm=spacing,
            is_named=bool(roles) or case.is_named,
            question=None if roles else case.question,
        )
        for case in found
    ]
    cases.sort(key=lambda case: (natural_key(case.case_id), natural_key(str(case.path))))
    return cases + exams


def only_case(cases: Sequence[CaseFiles], path: Path, case_id: str | None = None) -> CaseFiles:
    """The only case found in a file or folder, or the one of a name.

    Raises
    ------
    InputError
        If there are several, or none of that name; it names them.
    """
    named = [case for case in cases if case_id in (None, case.case_id)]
    if len(named) == 1:
        return named[0]
    place = "the folder" if any(case.dicom for case in cases) else path.name
    names = ", ".join(case.case_id for case in cases[:5]) + (", ..." if len(cases) > 5 else "")
    raise InputError(
        f"Expected one exam{f' called {case_id}' if case_id is not None else ''} in {place}",
        f"found {len(cases)} case{'' if len(cases) == 1 else 's'}: {names}",
        f"Choose one of them by its name (--case {cases[0].case_id}), or open a folder of slices "
        "as one volume (--stack)",
    )


def holds_exam(path: Path) -> str | None:
    """Kind of image that a file or folder holds, by names and first bytes; opens no image.

    Returns
    -------
    str or None
        "dicom" if any file may be DICOM, else "nifti", "nrrd" or "slice"; None if nothing is
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
    others: Collection[Path] = (),
) -> Job[list[CaseFiles]]:
    exams = yield from finding_exams(root, files, others=sorted(others))
    if roles is not None:
        # An exam without these phases is one bad case and does not stop the others.
        exams = [exam.named(roles) for exam in exams]
    cases = [dicom_case(exam, spacing) for exam in exams]
    return sorted(cases, key=lambda case: natural_key(case.case_id))


def dicom_case(exam: DicomExam, spacing_mm: tuple[float, float, float] | None = None) -> CaseFiles:
    """Case of a DICOM exam, with its current roles."""
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
        name.strip().lower() if KNOWN_ROLE.fullmatch(name.strip()) else name.strip()
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
