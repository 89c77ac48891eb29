"""Which files belong together, by their names: phase numbers, endings, dataset folders.

Opens no image.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import InputError, printable
from ..core.reading import read_json
from .dicom import DicomExam
from .folders import DATASET_JSON, in_order
from .kinds import NIFTI, NRRD, SLICE, ending_of, kind_of_name, stem_of

__all__ = ["KNOWN_ROLE", "CaseFiles", "case_name", "family_of", "grouped", "role_of"]

KNOWN_ROLE = re.compile(r"pre|(post|sub)[1-9]\d*", re.IGNORECASE)
"""Roles that are written in lower case, whatever the user's letters."""

# Only 0000 to 0099 is a phase number: "patient_0153" and "scan_2019" are names.
_PHASE = re.compile(r"(?P<case>.+)_(?P<number>00\d\d)")
_IMAGE_FOLDERS = frozenset({"imagesTr", "imagesTs"})


@dataclass(frozen=True)
class CaseFiles:
    """The files of one case, not opened yet.

    Examples
    --------
    >>> from napari_breastseg.formats import case_from_files
    >>> case = case_from_files("P001", [Path("a.nii"), Path("b.nii")])
    >>> case.roles, [path.name for path in case.files]
    (('pre', 'post1'), ['a.nii', 'b.nii'])
    """

    case_id: str
    """The case's name: the file's without phase suffix and ending, or a stacked folder's."""

    kind: str
    """"nifti", "nrrd", "slice" or "dicom"; a stack of slice files is of kind "slice" too."""

    channels: tuple[tuple[Path, ...], ...]
    """Files of each channel, in channel order; several files in a channel are a stack of slices."""

    roles: tuple[str, ...] | None = None
    """Role of each channel ("pre", "post1", ...); None if the file's content decides it."""

    spacing_mm: tuple[float, float, float] | None = None
    """Spacing (z, y, x) in mm for files that do not have one."""

    dicom: DicomExam | None = None
    """What the DICOM headers say: series, roles, source files, and what to ask the user."""

    is_named: bool = False
    """Whether the user, or a dataset's own names, said which role each channel has."""

    question: InputError | None = None
    """What to ask before it can be read: a dataset's own names of its channels leave it open which
    phase each is."""

    def __post_init__(self) -> None:
        # File systems allow line breaks and escape codes in names; terminals obey them.
        object.__setattr__(self, "case_id", printable(self.case_id))

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file of the case, in channel order."""
        return tuple(path for files in self.channels for path in files)

    @property
    def path(self) -> Path:
        """Location of the case: its first file, or the folder of a stack or of DICOM files."""
        if self.dicom is not None:
            return self.dicom.root
        first = self.channels[0]
        return first[0].parent if len(first) > 1 else first[0]

    @property
    def sources(self) -> tuple[Path, ...]:
        """Absolute paths it is read from: its files, or the folder of a stack or of DICOM files.

        They may name a patient: see `DicomExam.names_patient`.
        """
        if self.dicom is not None:
            return (self.dicom.folder.resolve(),)
        paths = (files[0].parent if len(files) > 1 else files[0] for files in self.channels)
        return tuple(dict.fromkeys(path.resolve() for path in paths))

    @property
    def place(self) -> str:
        """Location as an output may show it: a DICOM folder may be named after a patient."""
        return "a DICOM folder" if self.dicom is not None else str(self.path)


def case_name(path: Path) -> str:
    """Name of the case a file belongs to: its name without phase suffix and ending.

    Slices lose only the suffix `_0000`: `IM_0012.png` is the twelfth slice of an export, while
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
        return printable(stem)
    return printable(stem_of(path))


def grouped(
    files: Iterable[Path], *, stack: bool, roles: tuple[str, ...] | None
) -> Iterator[CaseFiles]:
    """Cases among image files that are not DICOM.

    Parameters
    ----------
    files : iterable of Path
    stack : bool
        Read the slices of a folder as one volume.
    roles : tuple of str or None
        The roles that the user named; their number decides whether numbered files are one case.
    """
    families: dict[tuple[Path, str, str], list[Path]] = defaultdict(list)
    stacks: dict[Path, list[Path]] = defaultdict(list)
    for file in files:
        if stack and kind_of_name(file) == SLICE:
            stacks[file.parent].append(file)
        else:
            families[family_of(file)].append(file)
    for folder, slices in stacks.items():
        yield CaseFiles(folder.resolve().name, SLICE, (in_order(slices),))
    channels = {folder: _dataset_channels(folder) for folder in {key[0] for key in families}}
    for (folder, kind, _), family in families.items():
        yield from _cases_of_family(kind, family, roles, channels[folder])


def _cases_of_family(
    kind: str, family: list[Path], roles: tuple[str, ...] | None, channels: _Channels
) -> Iterator[CaseFiles]:
    """Cases among files of one folder whose names differ only in phase number and ending.

    `channels` are those that the dataset.json names, if the folder is a dataset's.
    """
    numbered: dict[int, list[Path]] = defaultdict(list)
    for path in family:
        stem, number = _split_phase(path)
        if number is None:
            yield CaseFiles(stem, kind, ((path,),))
        else:
            numbered[number].append(path)
    if any(len(paths) > 1 for paths in numbered.values()):
        # The same number twice: two sets whose names differ in letter case or ending.
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
    if numbers and channels.roles.keys() >= set(numbers):
        named = tuple(channels.roles[number] for number in numbers)
        files = tuple((path,) for path in paths)
        yield CaseFiles(_split_phase(paths[0])[0], kind, files, named, is_named=True)
        return
    count_named = roles is not None and len(roles) == len(numbers) > 1
    if kind in (NIFTI, NRRD):
        is_set = len(numbers) > 1 and (numbers[0] == 0 or count_named)
        is_suffix = len(numbers) == 1
    else:
        is_set = count_named and numbers == list(range(len(numbers)))
        is_suffix = numbers == [0]
    if is_set:
        found = tuple(role_of(number) for number in numbers)
        case_id = _split_phase(paths[0])[0]
        asked = _which_phases(case_id, numbers, channels.names) if channels.names else None
        yield CaseFiles(case_id, kind, tuple((path,) for path in paths), found, question=asked)
        return
    for path in paths:
        name = _split_phase(path)[0] if is_suffix else stem_of(path)
        yield CaseFiles(name, kind, ((path,),))


@dataclass(frozen=True)
class _Channels:
    """What a dataset.json says of the channels in an image folder."""

    roles: dict[int, str]
    """Role by file number, if every name says one; else empty."""

    names: dict[int, str]
    """The names themselves."""


def _dataset_channels(folder: Path) -> _Channels:
    """Channels of an image folder of a dataset; empty if it does not name them."""
    folder = Path(os.path.abspath(folder))  # "." has no name
    if folder.name not in _IMAGE_FOLDERS:
        return _Channels({}, {})
    try:
        given = read_json(folder.parent / DATASET_JSON)["channel_names"]
        names = {int(number): name.strip() for number, name in given.items()}
    # The file may be missing, not JSON, or JSON of any other shape.
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return _Channels({}, {})
    roles = {number: _role_in(name) for number, name in names.items()}
    is_clear = len(set(roles.values())) == len(roles) == len(given) and "" not in roles.values()
    return _Channels(roles if is_clear else {}, names)


def _role_in(name: str) -> str:
    """Role that a channel's name says, as "DCE_post2" does; "" if it says none.

    Examples
    --------
    >>> [_role_in(name) for name in ("Post1", "DCE_pre", "T1 post-contrast 2", "T2", "pre post")]
    ['post1', 'pre', 'post2', '', '']
    """
    if KNOWN_ROLE.fullmatch(name):
        return name.lower()
    words = re.findall(r"[a-z]+|[0-9]+", re.sub(r"t[12]w?|[23]d", " ", name.lower()))
    says = [word for word in words if word in ("pre", "post", "precontrast", "postcontrast")]
    numbers = [int(word) for word in words if word.isdigit()]
    if len(says) != 1 or len(numbers) > 1:
        return ""
    if says[0].startswith("pre"):
        return "" if numbers else "pre"
    number = numbers[0] if numbers else 1
    return f"post{number}" if number else ""


def _which_phases(case_id: str, numbers: Sequence[int], names: dict[int, str]) -> InputError:
    named = ", ".join(f"{number} = {names.get(number, 'no name')[:40]}" for number in numbers)
    return InputError(
        f"Expected the phase of each channel of case {case_id} in the channel_names of its dataset",
        f"found {named}",
        "Name the phases in the order of the channels, such as --phases "
        + ",".join(role_of(place) for place in range(len(numbers))),
    )


def _split_phase(path: Path) -> tuple[str, int | None]:
    stem = stem_of(path)
    match = _PHASE.fullmatch(stem)
    return (stem, None) if match is None else (match["case"], int(match["number"]))


def role_of(number: int) -> str:
    """Role of a phase number: 0 is "pre", 1 is "post1"."""
    return f"post{number}" if number else "pre"


def family_of(path: Path) -> tuple[Path, str, str]:
    """What files of one case share: folder, kind, and name without phase number and ending."""
    return path.parent, str(kind_of_name(path)), _split_phase(path)[0].casefold()
