"""From an exam's phases to a network's input, and back to the exam's own grid.

Intensities are normalized jointly, with one linear map for all phases of an exam, so that
enhancement between phases is kept. Resampling keeps the outer borders of the field of view, and
undoing it gives exactly the exam's shape.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

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
    "available_roles",
    "input_phases",
    "is_available",
    "parse_input",
    "phase_slice",
    "prepare",
    "prepare_labels",
    "resample",
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

    def restore(self, array: torch.Tensor) -> torch.Tensor:
        """Array (C, Z, Y, X) of the working grid, back on the exam's grid."""
        return resample(array, self.grid.shape)


def prepare(
    exam: Exam,
    roles: Sequence[str],
    *,
    spacing_mm: Sequence[float | None] | None = None,
    percentiles: tuple[float, float] = (0.5, 99.5),
    slices: Sequence[int] | None = None,
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
    slices : sequence of int, optional
        The slices along z to prepare, where nothing is resampled along z; all by default. They
        come out as in the whole exam, in a fraction of the time.

    Raises
    ------
    InputError
        If the image is constant.
    """
    import torch

    low, high = intensity_window(
        [_phase(exam, role) for role in roles if role != LEAST], percentiles
    )
    shape, grid = working_shape(exam.grid, spacing_mm), exam.grid
    part: slice | list[int] = slice(None)
    if slices is not None:
        part = list(slices)
        shape = (len(part), *shape[1:])
        grid = replace(grid, shape=(len(part), *grid.shape[1:]))
    phases = torch.empty((len(roles), *shape), dtype=torch.float32)
    for channel, role in enumerate(roles):
        # One phase at a time: an exam of five phases would otherwise need its size in floats.
        array = _phase(exam, role, part)
        values = torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))[None]
        # In a subtraction, zero means no enhancement and must stay zero.
        offset = 0.0 if role.startswith("sub") else low
        # Not in place: without resampling, the tensor still shares the exam's own array.
        torch.sub(resample(values, shape)[0], offset, out=phases[channel]).div_(high - low)
    return Prepared(phases, tuple(roles), grid)


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
