"""From headers to stacks: the slices of one series at one time, in order, on a grid.

Slices are ordered by their position along the normal of their plane, never by instance number or
thickness. LPS becomes RAS here.

`highdicom.spatial.get_volume_positions` also orders positions, but says only that a stack is not
regular: a user has to know between which slices one is missing. `highdicom.VolumeGeometry` refuses
a stack whose slices are each shifted a little; here they keep their true step.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...core.errors import InputError
from ...core.volume import Grid
from ..straight import straightened
from .copies import without_copies
from .headers import Frame, Header
from .times import Basis, at_times, first_of_day
from .traits import Traits

__all__ = [
    "LPS_TO_RAS",
    "Stack",
    "affine_of",
    "evenly_stacked",
    "plane_directions",
    "stacks_of",
    "upward",
]

_UNEVEN = 0.05
"""Fraction of the slice distance by which one distance may differ, ..."""
_FEWEST_SLICES = 3
"""So many single files of one series number, at as many positions, are the slices of a series."""
_JITTER = 0.1
"""Positions closer than this fraction of a pixel are one position, seen at several times, ..."""
_JITTER_MM = (0.005, 0.1)
"""... but not less or more than this; slices lie farther apart."""
_ROUNDED_MM = 0.11
"""... or this, if larger (some positions are written with one decimal), but never half of it."""
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])
"""DICOM's axes point to the left and back, ours to the right and front."""


@dataclass(frozen=True, eq=False)
class Stack:
    """What may become a phase: the slices of one series at one time.

    Its `frames` are in the order of the volume's z axis, from index 0.
    """

    handle: str
    """What the user calls it: the series number, with ".2" for the second of several times."""

    series: Hashable = field(repr=False)
    description: str = field(repr=False)
    """The scanner's description; "" if it contains an identifying value. To be shown to someone who
    has the files, not written to outputs."""

    traits: Traits
    frames: tuple[Frame, ...]
    grid: Grid | None = None
    """None if there is a `problem`, and for anything that is not an image."""

    problem: InputError | None = None
    is_uneven: bool = False
    """Whether the problem is one distance between slices; `frames` are in order then."""

    notes: tuple[str, ...] = ()
    doubt: str = ""
    """Why the slices may belong together otherwise: nothing but instance numbers, in no regular
    order, tells apart what lies at one position."""

    untimed: str = ""
    """The same where the instance numbers run on from one time to the next: likely, not sure."""

    side: str = ""
    """"right" or "left" for one of the two stacks of a series that holds one of each breast."""

    @property
    def has_agent(self) -> bool:
        """Whether a header mentions a contrast agent."""
        return any(frame.has_agent for frame in self.frames)

    @property
    def reference(self) -> str:
        """Frame of reference, if all slices that name one have the same."""
        named = {frame.reference for frame in self.frames} - {""}
        return named.pop() if len(named) == 1 else ""

    @property
    def temporal_position(self) -> int | None:
        """Temporal position, if all slices have the same."""
        return _shared(frame.temporal_position for frame in self.frames)

    @property
    def acquisition_number(self) -> int | None:
        """Acquisition number, if all slices have the same."""
        return _shared(frame.acquisition_number for frame in self.frames)

    @property
    def trigger_s(self) -> float | None:
        """Smallest trigger delay of a slice, in seconds."""
        return min((f.trigger_s for f in self.frames if f.trigger_s is not None), default=None)

    @property
    def acquired_s(self) -> float | None:
        """Second of the day at which the first slice was acquired."""
        return first_of_day(f.acquired_s for f in self.frames)

    @property
    def content_s(self) -> float | None:
        """Second of the day at which the image of the first slice was created."""
        return first_of_day(f.content_s for f in self.frames)


def stacks_of(headers: Sequence[Header]) -> list[Stack]:
    """Stacks of a study, by series number and time.

    Parameters
    ----------
    headers : sequence of Header
        All of one study; a file that is not an image gives a stack without frames.
    """
    by_series = _by_series(headers)
    # What was filed under the series of MR images is none of its slices.
    for key, members in by_series.items():
        by_series[key] = [header for header in members if not header.beside] or members
    ordered = sorted(
        by_series.items(), key=lambda item: (item[1][0].number is None, item[1][0].number or 0)
    )
    taken: Counter[str] = Counter()
    stacks: list[Stack] = []
    for key, members in ordered:
        number = members[0].number
        name = str(number) if number is not None else "x"
        taken[name] += 1
        # Two series of one number: 4 and 4b.
        name += "" if taken[name] == 1 else chr(ord("a") + min(taken[name] - 1, 25))
        stacks += _stacks_of_series(name, key, members)
    return stacks


def _by_series(headers: Sequence[Header]) -> dict[Hashable, list[Header]]:
    """Headers of each series: of one UID and number, and of one number where UIDs are per slice.

    Anonymizers may give one UID to all series, or each file a series UID of its own.
    """
    by_series: dict[Hashable, list[Header]] = defaultdict(list)
    for header in headers:
        # Without a UID only the folder holds a series together.
        folder = header.frames[0].file.parent if header.frames else None
        by_series[header.series or folder, header.number].append(header)
    scattered: dict[Hashable, list[Hashable]] = defaultdict(list)
    for key, members in by_series.items():
        first = members[0]
        # A slice that is there twice has two files of its UID.
        at = {h.frames[0].position_mm if len(h.frames) == 1 else None for h in members}
        is_slice = len(members) == len(first.frames) == 1 or (len(at) == 1 and None not in at)
        if is_slice and first.number is not None:
            frame = first.frames[0]
            scattered[first.number, first.description, frame.rows, frame.columns].append(key)
    for keys in scattered.values():
        # Two or more files of a number with the same position are series of a slice each.
        places = [by_series[key][0].frames[0].position_mm for key in keys]
        if len(keys) < _FEWEST_SLICES or len(set(places)) < _FEWEST_SLICES:
            continue
        for key in keys[1:]:
            by_series[keys[0]] += by_series.pop(key)
    return by_series


def _stacks_of_series(name: str, key: Hashable, headers: Sequence[Header]) -> list[Stack]:
    description = headers[0].description
    if any(one.is_in(description) for one in {header.identity for header in headers}):
        description = ""
    kinds: dict[Hashable, list[Frame]] = defaultdict(list)
    seen: set[Hashable] = set()
    copies = 0
    for header in headers:
        for frame in header.frames:
            # All the same but its file; an anonymizer may give one UID to all slices.
            same = replace(frame, file=Path())
            if frame.instance and same in seen:
                copies += 1
                continue
            seen.add(same)
            kinds[frame.traits, frame.rows, frame.columns, _rounded(frame.spacing_mm)].append(frame)
    if not kinds:
        word = "segmentation" if headers[0].is_segmentation else "no image"
        traits = Traits(
            headers[0].modality, word, False, False, "", None, None, None, beside=headers[0].beside
        )
        return [Stack(name, key, description, traits, ())]
    word = "slice was" if copies == 1 else "slices were"
    copied = f"{copies} duplicate {word} ignored"
    notes: tuple[str, ...] = (copied,) if copies else ()
    if len({header.series for header in headers}) > 1:
        notes += ("every slice has a series UID of its own; read as one series by its number",)
    first = Stack(name, key, description, next(iter(kinds))[0], (), notes=notes)  # type: ignore[index]
    stacks = [
        stack
        for frames in kinds.values()
        for stack in _stacks_of_kind(replace(first, traits=frames[0].traits), frames)
    ]
    if len(stacks) == 1:
        return stacks
    return [_renamed(stack, f"{name}.{place}") for place, stack in enumerate(stacks, start=1)]


def _renamed(stack: Stack, handle: str) -> Stack:
    problem = stack.problem
    if problem is not None:
        old, new = f"series {stack.handle}", f"series {handle}"
        problem = InputError(problem.expected.replace(old, new), problem.found, problem.fix)
    return replace(stack, handle=handle, problem=problem)


def _stacks_of_kind(base: Stack, frames: list[Frame]) -> list[Stack]:
    """Stacks of frames of one size and kind: one, or one per time."""
    if base.traits.species == "mosaic":
        return [
            _refused(
                base,
                frames,
                "Expected every slice as an image of its own",
                "found mosaics, all slices tiled in one image",
                "Export it as single slices or multi-frame, or choose another series",
            )
        ]
    if base.traits.is_color:
        return [
            _refused(
                base,
                frames,
                "Expected grey values",
                "found color images",
                "Choose the series they were made from",
            )
        ]
    placed = [frame for frame in frames if frame.position_mm and frame.orientation]
    if not placed:
        return [_without_place(base, frames)]
    if len(placed) < len(frames):
        return [
            _refused(
                base,
                frames,
                "Expected the position of every slice",
                f"found {len(frames) - len(placed)} of {len(frames)} without one",
                "Export the series again, with image position and orientation",
            )
        ]
    planes = np.array([frame.orientation for frame in frames])
    turned = np.abs(planes - planes[0]).max(axis=1) > 0.01
    if turned.any():
        count = len({tuple(np.round(plane, 1) + 0.0) for plane in planes})
        return [
            _refused(
                base,
                frames,
                "Expected slices of one orientation",
                f"found {max(count, 2)} orientations",
                "Choose a series of parallel slices; this one may be a localizer",
            )
        ]
    distances = np.array([frame.position_mm for frame in frames]) @ upward(frames[0])
    places = _numbered(distances, frames[0])
    most = max(Counter(places).values())
    if most == 1:
        return [evenly_stacked(base, [frames[i] for i in np.argsort(distances)])]
    split = at_times(frames, places)
    if split is None or split[1] is not Basis.TIME:
        kept = without_copies(frames, places)
        if len(kept) < len(frames):
            word = "slice was" if len(frames) - len(kept) == 1 else "slices were"
            note = f"{len(frames) - len(kept)} {word} there twice, with the same pixels"
            return _stacks_of_kind(replace(base, notes=(*base.notes, note)), kept)
    if split is None:
        return [
            _refused(
                base,
                frames,
                "Expected one slice at each position",
                f"found {_say_doubled(places)}",
                "Export the series again, or move one file of each such pair to another folder",
            )
        ]
    groups, basis = split
    where = dict(zip(map(id, frames), distances, strict=True))
    if basis is Basis.GUESS:
        base = replace(base, doubt=_say_doubled(places))
    elif basis is Basis.NUMBERS:
        base = replace(base, untimed=_say_doubled(places))
    return [
        evenly_stacked(base, sorted(group, key=lambda f: float(where[id(f)]))) for group in groups
    ]


def _say_doubled(places: Sequence[int]) -> str:
    """What is wrong with slices at one position, as a message says it after "found"."""
    doubled = sum(count - 1 for count in Counter(places).values())
    return (
        f"{doubled} of {len(places)} slices at the position of another one, "
        "with no time to tell them apart"
    )


def _numbered(distances: NDArray[np.float64], frame: Frame) -> list[int]:
    """A number for each distance along the normal, the same for those within a tenth of a pixel."""
    least, most = _JITTER_MM
    near = float(np.clip(_JITTER * min(frame.spacing_mm or (0.0,)), least, most))
    order = np.argsort(distances)
    steps = np.diff(distances[order], prepend=distances[order[0]]) > near
    places = np.empty(len(order), int)
    places[order] = np.cumsum(steps)
    return [int(place) for place in places]


def evenly_stacked(base: Stack, frames: list[Frame]) -> Stack:
    """Stack of frames in order of position; has a problem if they are not evenly stacked."""
    frame = frames[0]
    positions = np.array([f.position_mm for f in frames])
    size = (len(frames), frame.rows, frame.columns)
    if frame.spacing_mm is None:
        return replace(base, frames=tuple(frames), grid=Grid(size))
    step = upward(frame) * (frame.thickness_mm or 1.0)
    if len(frames) > 1:
        step = (positions[-1] - positions[0]) / (len(frames) - 1)
        gaps = np.diff(positions @ upward(frame))
        usual = float(np.median(gaps))
        wide = int(np.argmax(np.abs(gaps - usual)))
        allowed = min(max(_UNEVEN * usual, _ROUNDED_MM), usual / 2)
        if abs(gaps[wide] - usual) > allowed:
            missing = round(float(gaps[wide]) / usual) - 1
            uneven = _refused(
                base,
                frames,
                "Expected evenly spaced slices",
                f"found {gaps[wide]:.4g} mm between slices {wide + 1} and {wide + 2} of "
                f"{len(frames)}, and {usual:.4g} mm between most"
                + (f"; {missing} may be missing there" if missing > 0 else ""),
                "Export or copy the series again, all of its files",
            )
            return replace(uneven, is_uneven=True)
        line = positions[0] + np.arange(len(frames))[:, None] * step
        off_mm = float(np.abs(positions - line).max())
        if off_mm > 0.2 * max(*frame.spacing_mm, usual * _UNEVEN):
            return _refused(
                base,
                frames,
                "Expected slices that lie straight above each other",
                f"found some shifted by {off_mm:.3g} mm",
                "Choose a series of one block of slices",
            )
    # Positions and cosines are rounded in headers; kept as they are, other programs could not
    # read the masks.
    grid = straightened(Grid(size, affine_of(frame, step)))
    return replace(base, frames=tuple(frames), grid=grid)


def _without_place(base: Stack, frames: list[Frame]) -> Stack:
    """Frames without a position: a single slice, or the frames of one file in their own order.

    The patient's sides are unknown.
    """
    if len({frame.file for frame in frames}) > 1:
        return _refused(
            base,
            frames,
            "Expected the position of every slice",
            f"found none in its {len(frames)} slices",
            "Export the series again, with image position and orientation",
        )
    frame = frames[0]
    size = (len(frames), frame.rows, frame.columns)
    if frame.spacing_mm is None or (len(frames) > 1 and frame.thickness_mm is None):
        return replace(base, frames=tuple(frames), grid=Grid(size))
    affine = np.diag([frame.thickness_mm or 1.0, *frame.spacing_mm, 1.0])
    return replace(base, frames=tuple(frames), grid=Grid(size, affine, has_orientation=False))


def _refused(base: Stack, frames: Iterable[Frame], needed: str, came: str, do: str) -> Stack:
    problem = InputError(f"{needed} in series {base.handle}", came, do)
    return replace(base, frames=tuple(frames), problem=problem)


def affine_of(lowest: Frame, step_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Affine from (z, y, x, 1) to RAS mm of a stack whose frames lie one step (LPS) apart.

    Its lowest frame has a spacing, a position and an orientation.
    """
    row, column = plane_directions(lowest)
    between_rows, between_columns = lowest.spacing_mm or (1.0, 1.0)
    position = np.asarray(lowest.position_mm, np.float64)
    columns = [step_mm, column * between_rows, row * between_columns, position]
    affine = np.eye(4)
    affine[:3] = LPS_TO_RAS @ np.column_stack(columns)
    return affine


def plane_directions(frame: Frame) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Unit vectors (LPS) along a row and along a column."""
    cosines = np.asarray(frame.orientation, np.float64)
    row, column = cosines[:3], cosines[3:]
    return row / np.linalg.norm(row), column / np.linalg.norm(column)


def upward(frame: Frame) -> NDArray[np.float64]:
    """Direction (LPS) in which slices are counted: the normal, upwards from the feet if axial."""
    normal = np.cross(*plane_directions(frame))
    is_axial = int(np.argmax(np.abs(normal))) == 2
    return -normal if is_axial and normal[2] < 0 else normal


def _shared(values: Iterable[int | None]) -> int | None:
    found = set(values)
    return found.pop() if len(found) == 1 else None


def _rounded(spacing: tuple[float, float] | None) -> tuple[float, float] | None:
    return None if spacing is None else (round(spacing[0], 4), round(spacing[1], 4))
