"""From the files of a case to an `Exam`: roles, spacing, and the checks every image must pass.

A new format gets an entry in `READERS`: a function from a channel's files to its volumes. `dicom`
reads DICOM exams.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from ..core.errors import InputError
from ..core.progress import Job, Progress, drain
from ..core.volume import Exam, Grid, Volume, require_numbers
from .cases import CaseFiles, find_cases, only_case
from .dicom import finding_exams, reading_dicom
from .grouping import role_of
from .kinds import DICOM, NIFTI, NRRD, SLICE, require_content
from .nifti import read_nifti
from .nrrd import read_nrrd
from .phase_read import PhaseRead
from .rise import Doubt, doubt_of
from .slices import read_slices

__all__ = ["UnnamedChannelsError", "open_exam", "read_channel", "read_exam", "reading_exam"]


_VOXEL_MM = (0.001, 100.0)
"""Smallest and largest side of a voxel of a body; a slab may be thick."""
_MOST_SIGNAL = 1e12
"""Larger values come of a wrong type or byte order."""
_BODY_MM = 2500.0
"""Longest side of an image of a body."""
_TOLD_VOXELS = 0.01
"""From here on a phase that lies off the first one is told; below is rounding."""


class UnnamedChannelsError(InputError):
    """A slice with different channels whose phases have not been named.

    Parameters
    ----------
    needed, came, do : str
        As for `InputError`.
    count : int
        How many channels the slice has.
    """

    def __init__(self, needed: str, came: str, do: str, *, count: int) -> None:
        super().__init__(needed, came, do)
        self.count = count


def _read_nifti_file(files: Sequence[Path]) -> list[Volume]:
    return [volume for path in files for volume in read_nifti(path)]


def _read_nrrd_file(files: Sequence[Path]) -> list[Volume]:
    return [volume for path in files for volume in read_nrrd(path)]


def _read_dicom_files(files: Sequence[Path]) -> list[Volume]:
    exams = drain(finding_exams(files[0].parent, files))
    if len(exams) != 1:
        raise InputError(
            "Expected DICOM files of one exam",
            f"found files of {len(exams)} exams",
            "Keep the files of each exam in a separate folder",
        )
    return list(drain(reading_dicom(exams[0])).phases.values())


READERS: dict[str, Callable[[Sequence[Path]], list[Volume]]] = {
    NIFTI: _read_nifti_file,
    NRRD: _read_nrrd_file,
    SLICE: read_slices,
    DICOM: _read_dicom_files,
}
"""Reader of one channel's files, by the kind of the case."""


def open_exam(
    path: str | Path,
    *,
    phases: Sequence[str] | None = None,
    stack: bool = False,
    spacing_mm: float | Sequence[float] | None = None,
    case_id: str | None = None,
) -> Exam:
    """The only exam in a file or folder; parameters as for `find_cases`.

    Parameters
    ----------
    case_id : str, optional
        The one to open where there are several.

    Raises
    ------
    InputError
        If there are several cases (it names them), none of that name, or it cannot be read.
    """
    cases = find_cases(Path(path), stack=stack, phases=phases, spacing_mm=spacing_mm)
    return read_exam(only_case(cases, Path(path), case_id))


def read_exam(case: CaseFiles) -> Exam:
    """Read all phases of a case: `reading_exam`, drained."""
    return drain(reading_exam(case))


def reading_exam(case: CaseFiles) -> Job[Exam]:
    """Read all phases of a case.

    Parameters
    ----------
    case : CaseFiles
        From `find_cases` or `case_from_files`.

    Yields
    ------
    Progress
        As `PhaseRead` where a phase is read.

    Returns
    -------
    Exam
        Arrays (Z, Y, X): float32 if the header scales integers, else the file's own type. Roles
        are `case.roles`; without them one phase is post1, several are pre, post1, ...

    Raises
    ------
    InputError
        If a file is damaged, phases do not match the given names or lie on different grids, or an
        image is constant or has values that are not finite.
    UnnamedChannelsError
        An `InputError`: if the channels of a slice differ and `case.roles` is None.
    """
    times_s: Mapping[str, float] = {}
    if case.dicom is not None:
        exam = yield from reading_dicom(case.dicom)
        volumes, times_s = list(exam.phases.values()), exam.times_s
        roles = tuple(exam.phases)
    else:
        yield Progress("Reading", 0, 0)
        volumes = yield from _volumes(case)
        roles = _roles(case, len(volumes))
    for role, volume in zip(roles, volumes, strict=True):
        _require_picture(case.case_id, role, volume)
    if (spacing_mm := case.spacing_mm) is not None:
        volumes = [Volume(v.data, _with_spacing(case, v.grid, spacing_mm)) for v in volumes]
    for role, volume in zip(roles, volumes, strict=True):
        _require_body_size(case.case_id, role, volume.grid)
    exam = Exam(case.case_id, dict(zip(roles, volumes, strict=True)), times_s)
    for role, volume in exam.phases.items():
        off = exam.grid.off_voxels(volume.grid)
        if off >= _TOLD_VOXELS:
            first = next(iter(exam.phases))
            told = f"{case.case_id}: {role} lies {off:.2g} voxels off {first}; taken for one grid"
            yield Progress("Reading", 0, 0, message=told)
    if case.dicom is None and (doubt := doubt_of(exam.phases)) is not None:
        if not case.is_named:
            _ask_order(exam, doubt)
        yield Progress("Reading", 0, 0, message=f"{case.case_id}: {doubt.text}")
    return exam


def _volumes(case: CaseFiles) -> Job[list[Volume]]:
    volumes: list[Volume] = []
    for number, files in enumerate(case.channels, start=1):
        channel = read_channel(case.kind, files)
        if len(case.channels) > 1 and len(channel) > 1:
            raise InputError(
                f"Expected one phase in each file of case {case.case_id}",
                f"found {len(channel)} in {'one' if case.kind == DICOM else files[0].name}",
                "Open that file by itself, or save its phases one by one",
            )
        volumes += channel
        yield PhaseRead("Reading", number, len(case.channels), volume=channel[0])
    return volumes


def read_channel(kind: str, files: Sequence[Path], *, is_mask: bool = False) -> list[Volume]:
    """Volumes in the files of one channel, after checking that content and names agree."""
    for path in files:
        require_content(path)
    if kind == SLICE:
        return read_slices(files, is_mask=is_mask)
    return READERS[kind](files)


def _roles(case: CaseFiles, count: int) -> tuple[str, ...]:
    if case.question is not None:
        raise case.question
    if case.roles is None:
        if count > 1 and case.kind == SLICE:
            raise UnnamedChannelsError(
                f"Expected a grey image, or a name for each channel, in {case.path.name}",
                f"found {count} channels that differ",
                "Say which phase each channel holds, for red, green, blue for example "
                "--phases pre,post1,post2, or save the image as grey",
                count=count,
            )
        return ("post1",) if count == 1 else ("pre", *(f"post{n}" for n in range(1, count)))
    if len(case.roles) != count:
        is_file = len(case.channels) == 1
        raise InputError(
            f"Expected {len(case.roles)} phases for case {case.case_id}: {', '.join(case.roles)}",
            f"found {count} in {'it' if case.kind == DICOM else case.path.name}"
            if is_file
            else f"found {count} files",
            "Name as many phases as there are, in the order of the files or channels",
        )
    return case.roles


def _require_picture(case_id: str, role: str, volume: Volume) -> None:
    data = volume.data
    require_numbers(data, f"{role} of case {case_id}")
    largest = max(abs(float(data.min())), abs(float(data.max())))
    if largest > _MOST_SIGNAL:
        raise InputError(
            f"Expected grey values of an MR image in {role} of case {case_id}",
            f"found values up to {largest:.3g}",
            "Look whether its numbers were read with the right type and byte order, and export it "
            "again",
        )
    if (data == data.flat[0]).all():
        raise InputError(
            f"Expected an image with structure in {role} of case {case_id}",
            f"found a constant image (all {data.size:,} voxels {data.flat[0]:g})",
            "Choose a slice or series with tissue in it, or export it again",
        )


def _ask_order(exam: Exam, doubt: Doubt) -> None:
    """Ask which phase is which where another order of the same files fits clearly better."""
    roles = tuple(exam.phases)
    if doubt.order == roles or set(doubt.order) != set(roles):
        return
    fitting = {old: role_of(place) for place, old in enumerate(doubt.order)}
    raise InputError(
        f"Expected heart, vessels and gland of {exam.case_id} to become brighter from pre to "
        "post1 and not before",
        f"found {doubt.text}",
        "Name the phases in the order of the files, most likely --phases "
        f"{','.join(fitting[role] for role in roles)}, or --phases {','.join(roles)} if the order "
        "is right",
    )


def _require_body_size(case_id: str, role: str, grid: Grid) -> None:
    """Refuse what no scanner makes: lengths in micrometers or meters that a header calls mm."""
    if not grid.has_spacing:
        return
    least, most = _VOXEL_MM
    whole = max(n * size for n, size in zip(grid.shape, grid.voxel_size, strict=True))
    if whole > _BODY_MM or not all(least <= size <= most for size in grid.voxel_size):
        raise InputError(
            f"Expected voxels and an image of the size of a body in {role} of case {case_id}",
            f"found {grid.describe()}",
            "Look whether its header gives lengths in micrometers or meters and calls them mm, and "
            "convert it again with the right unit",
        )


def _with_spacing(case: CaseFiles, grid: Grid, spacing_mm: tuple[float, float, float]) -> Grid:
    if not grid.has_spacing:
        return Grid(grid.shape, np.diag([*spacing_mm, 1.0]), has_orientation=False)
    # A thickness of 1 stands for an unknown one, so only the in-plane numbers can disagree.
    if not np.allclose(grid.voxel_size[1:], spacing_mm[1:], rtol=0.01):
        raise InputError(
            f"Expected the spacing of case {case.case_id} to agree with its file, "
            f"{grid.describe()}",
            f"found {' x '.join(f'{s:g}' for s in spacing_mm)} mm",
            "Leave spacing_mm empty for files that carry their own",
        )
    return grid
