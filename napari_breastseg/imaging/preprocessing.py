"""From an exam's phases to a network's input, and back to the exam's own grid.

Intensities are normalized jointly, with one linear map for all phases of an exam, so that
enhancement between phases is kept. Resampling keeps the outer borders of the field of view, and
undoing it gives exactly the exam's shape.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from ..core.volume import Exam, Grid, LabelMap
from .dce.maps import post_roles
from .intensity import intensity_window

if TYPE_CHECKING:
    import torch

__all__ = [
    "LAST",
    "LEAST",
    "Prepared",
    "SliceSource",
    "available_roles",
    "input_phases",
    "is_available",
    "parse_input",
    "phase_slice",
    "prepare",
    "prepare_labels",
    "resample",
    "slice_source",
    "stack_inputs",
    "working_shape",
]

Spacing = tuple[float, float, float]

LAST, LEAST = "last", "least"
"""Roles of what all post-contrast phases say together, however many there are: the last one, and
the least signal of all of them. A lesion stays bright in every phase; what moved or pulsed does
not. They need two post-contrast phases."""


def available_roles(exam: Exam) -> tuple[str, ...]:
    """Phases of an exam and, from two post-contrast phases on, `LAST` and `LEAST`.

    Examples
    --------
    >>> from napari_breastseg.core.volume import Volume
    >>> volume = Volume(np.zeros((1, 2, 2)), Grid((1, 2, 2)))
    >>> available_roles(Exam("P1", {"pre": volume, "post1": volume, "post2": volume}))
    ('pre', 'post1', 'post2', 'last', 'least')
    """
    together = (LAST, LEAST) if len(post_roles(exam)) > 1 else ()
    return (*exam.phases, *together)


def _phase(exam: Exam, role: str, slices: slice | list[int] = slice(None)) -> NDArray[np.generic]:
    """Signal (Z, Y, X) of one of `available_roles`, in all or some of its slices along z."""
    if role not in (LAST, LEAST):
        return exam.phases[role].data[slices]
    posts = [exam.phases[post].data[slices] for post in post_roles(exam)]
    return posts[-1] if role == LAST else np.asarray(np.minimum.reduce(posts))


def phase_slice(exam: Exam, role: str, z: int) -> NDArray[np.generic]:
    """One slice (Y, X) along z of one of `available_roles`."""
    if role not in (LAST, LEAST):
        return np.asarray(exam.phases[role].data[z])
    posts = [np.asarray(exam.phases[post].data[z]) for post in post_roles(exam)]
    return posts[-1] if role == LAST else np.asarray(np.minimum.reduce(posts))


def parse_input(name: str) -> tuple[str, str | None]:
    """Phase of a network input and, for a difference, the phase that is subtracted.

    Examples
    --------
    >>> parse_input("post1"), parse_input("post1-pre")
    (('post1', None), ('post1', 'pre'))
    """
    minuend, _, subtrahend = name.partition("-")
    return minuend, subtrahend or None


def input_phases(inputs: Sequence[str]) -> tuple[str, ...]:
    """Phases needed for a list of network inputs, each once, in order of first use.

    Examples
    --------
    >>> input_phases(["post1", "post1-pre"])
    ('post1', 'pre')
    """
    phases = [phase for name in inputs for phase in parse_input(name) if phase is not None]
    return tuple(dict.fromkeys(phases))


def is_available(name: str, roles: Collection[str]) -> bool:
    """Whether the available phases suffice for an input; "sub1" may replace post1-pre.

    Examples
    --------
    >>> is_available("post1-pre", ["post1"]), is_available("post1-pre", ["sub1"])
    (False, True)
    """
    return _subtraction(name) in roles or all(phase in roles for phase in input_phases([name]))


def _subtraction(name: str) -> str:
    """Role of a ready-made difference in an exam: sub1 for post1-pre."""
    minuend, subtrahend = parse_input(name)
    return minuend.replace("post", "sub") if subtrahend == "pre" else "no such phase"


def working_shape(grid: Grid, spacing_mm: Sequence[float | None] | None) -> tuple[int, int, int]:
    """Shape (Z, Y, X) of an exam once resampled to a model's spacing.

    Parameters
    ----------
    grid : Grid
        The exam's grid. If its spacing is unknown, nothing is resampled.
    spacing_mm : sequence of 3 float or None
        Target spacing (z, y, x); None keeps an axis.
    """
    if spacing_mm is None or grid.spacing_mm is None:
        return grid.shape
    sizes = [
        n if wanted is None else max(1, round(n * have / wanted))
        for n, have, wanted in zip(grid.shape, grid.spacing_mm, spacing_mm, strict=True)
    ]
    return (sizes[0], sizes[1], sizes[2])


def resample(
    array: torch.Tensor, shape: tuple[int, int, int], *, nearest: bool = False
) -> torch.Tensor:
    """Array resampled to `shape`; the outer borders of the field of view stay in place.

    Parameters
    ----------
    array : Tensor, shape (C, Z, Y, X)
        Grey values or probabilities (linear with antialiasing), or labels with `nearest`.
    shape : tuple of int
        Target shape (Z, Y, X).
    nearest : bool
        Take the nearest voxel instead of interpolating.

    Returns
    -------
    Tensor, shape (C, *shape), float32
    """
    from torch.nn.functional import interpolate

    array = array.float()
    channels, depth, height, width = array.shape
    how: dict[str, object] = (
        {"mode": "nearest-exact"}
        if nearest
        else {"mode": "bilinear", "align_corners": False, "antialias": True}
    )
    if (height, width) != shape[1:]:
        array = interpolate(array, size=shape[1:], **how)  # type: ignore[arg-type]
        height, width = shape[1:]
    if depth != shape[0]:
        columns = array.reshape(1, channels, depth, height * width)
        columns = interpolate(columns, size=(shape[0], height * width), **how)  # type: ignore[arg-type]
        array = columns.reshape(channels, shape[0], height, width)
    return array


@dataclass(frozen=True, eq=False)
class Prepared:
    """The phases of an exam, prepared for a model.

    Parameters
    ----------
    phases : Tensor, shape (P, Z, Y, X), float32
        Jointly normalized phases on the working grid.
    roles : tuple of str
        The phase of each channel.
    grid : Grid
        The exam's own grid, for resampling back.
    """

    phases: torch.Tensor
    roles: tuple[str, ...]
    grid: Grid

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape (Z, Y, X) of the working grid."""
        depth, height, width = self.phases.shape[1:]
        return depth, height, width

    def phases_at(self, slices: Sequence[int]) -> torch.Tensor:
        """Some slices of the phases, (P, n, Y, X)."""
        return self.phases[:, list(slices)]

    def restore(self, array: torch.Tensor) -> torch.Tensor:
        """Array (C, Z, Y, X) of the working grid, back on the exam's grid."""
        return resample(array, self.grid.shape)


@dataclass(frozen=True, eq=False)
class SliceSource:
    """The phases of an exam whose slices stay as they are along z, prepared when asked for.

    A whole exam made ready is several times the exam; a slice at a time is next to nothing.
    """

    exam: Exam
    roles: tuple[str, ...]
    shape: tuple[int, int, int]
    """(Z, Y, X) of the working grid, with the exam's own Z."""

    window: tuple[float, float]
    """Grey values that become 0 and 1."""

    def phases_at(self, slices: Sequence[int]) -> torch.Tensor:
        """Some slices of the phases, (P, n, Y, X), float32, as `prepare` gives them."""
        import torch

        size = (len(slices), *self.shape[1:])
        phases = torch.empty((len(self.roles), *size), dtype=torch.float32)
        for channel, role in enumerate(self.roles):
            array = _phase(self.exam, role, list(slices))
            _normalize(array, role, self.window, phases[channel])
        return phases


def slice_source(
    exam: Exam,
    roles: Sequence[str],
    *,
    spacing_mm: Sequence[float | None] | None = None,
    percentiles: tuple[float, float] = (0.5, 99.5),
) -> SliceSource:
    """As `prepare`, slice by slice when asked for.

    Raises
    ------
    InputError
        If the image is constant.
    ValueError
        If the exam would be resampled along z.
    """
    shape = working_shape(exam.grid, spacing_mm)
    if shape[0] != exam.grid.shape[0]:
        raise ValueError("an exam that is resampled along z has no slices of its own")
    return SliceSource(exam, tuple(roles), shape, _window(exam, tuple(roles), percentiles))


_windows: WeakKeyDictionary[Exam, dict[Hashable, tuple[float, float]]] = WeakKeyDictionary()
"""Windows of exams in memory: finding one takes as long as segmenting a slice."""


def _window(
    exam: Exam, roles: tuple[str, ...], percentiles: tuple[float, float]
) -> tuple[float, float]:
    """Grey values of an exam that become 0 and 1."""
    known = _windows.setdefault(exam, {})
    key = roles, percentiles
    if key not in known:
        arrays = [_phase(exam, role) for role in roles if role != LEAST]
        known[key] = intensity_window(arrays, percentiles)
    return known[key]


def _normalize(
    array: NDArray[np.generic], role: str, window: tuple[float, float], out: torch.Tensor
) -> None:
    """Resample slices of a phase to the size of `out` and bring them to its scale."""
    import torch

    low, high = window
    values = torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))[None]
    # In a subtraction, zero means no enhancement and must stay zero.
    offset = 0.0 if role.startswith("sub") else low
    depth, height, width = out.shape
    # Not in place: without resampling, the tensor still shares the exam's own array.
    torch.sub(resample(values, (depth, height, width))[0], offset, out=out).div_(high - low)


def prepare(
    exam: Exam,
    roles: Sequence[str],
    *,
    spacing_mm: Sequence[float | None] | None = None,
    percentiles: tuple[float, float] = (0.5, 99.5),
) -> Prepared:
    """Phases of an exam, normalized together and resampled.

    Parameters
    ----------
    exam : Exam
        Must hold every role, see `ModelSpec.require`.
    roles : sequence of str
        Which of `available_roles` to prepare.
    spacing_mm : sequence of 3 float or None, optional
        Working spacing (z, y, x); None keeps the exam's.
    percentiles : tuple of float
        Percentiles that become 0 and 1; nothing is clipped.

    Raises
    ------
    InputError
        If the image is constant.
    """
    import torch

    window = _window(exam, tuple(roles), percentiles)
    shape = working_shape(exam.grid, spacing_mm)
    phases = torch.empty((len(roles), *shape), dtype=torch.float32)
    for channel, role in enumerate(roles):
        # One phase at a time: an exam of five phases would otherwise need its size in floats.
        _normalize(_phase(exam, role), role, window, phases[channel])
    return Prepared(phases, tuple(roles), exam.grid)


def prepare_labels(
    label_map: LabelMap, spacing_mm: Sequence[float | None] | None = None
) -> NDArray[np.uint8]:
    """Labels on the working grid, nearest neighbour, shape (Z, Y, X)."""
    shape = working_shape(label_map.grid, spacing_mm)
    if shape == label_map.grid.shape:
        return label_map.data
    import torch

    labels = torch.from_numpy(np.ascontiguousarray(label_map.data))[None]
    resampled: NDArray[np.uint8] = resample(labels, shape, nearest=True)[0].byte().numpy()
    return resampled


def stack_inputs(phases: torch.Tensor, roles: Sequence[str], inputs: Sequence[str]) -> torch.Tensor:
    """Network input channels made of phases: phases as they are, and differences.

    Parameters
    ----------
    phases : Tensor, shape (P, ...)
        Normalized phases, in the order of `roles`.
    roles, inputs : sequence of str
        Available phases, and the model's inputs, such as ("pre", "post1", "post1-pre").

    Returns
    -------
    Tensor, shape (len(inputs), ...)
        Zeros for an input whose phases are missing; `ModelSpec.require` checks beforehand whether
        the model accepts that.
    """
    import torch

    if tuple(inputs) == tuple(roles):
        return phases
    index = {role: i for i, role in enumerate(roles)}
    channels = []
    for name in inputs:
        minuend, subtrahend = parse_input(name)
        if not is_available(name, index):
            channels.append(torch.zeros_like(phases[0]))
        elif minuend not in index or (subtrahend is not None and subtrahend not in index):
            channels.append(phases[index[_subtraction(name)]])
        elif subtrahend is None:
            channels.append(phases[index[minuend]])
        else:
            channels.append(phases[index[minuend]] - phases[index[subtrahend]])
    return torch.stack(channels)
