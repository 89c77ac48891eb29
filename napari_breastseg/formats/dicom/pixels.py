"""The voxels of a stack: decoded, rescaled and in order. Loads pydicom late."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import InputError
from ...core.progress import Job, Progress
from ...core.reading import MOST_VOXELS, Deadline, require_room
from ...core.volume import Volume
from .elements import quiet, read_dataset
from .headers import Frame, rescale_of, scale_slope_of
from .plain import plane_of
from .stacks import Stack

__all__ = ["Scales", "comparable", "reading_stack"]

_MOST_INTERCEPT = 1e6
"""Larger ones leave no digits for the signal, and are no scanner's."""

_TOLD_EVERY = 8
"""Slices between two reports of progress: showing every slice would slow down reading."""


@dataclass(frozen=True, eq=False)
class Scales:
    """How the stored numbers of a phase's slices became values, slice by slice."""

    slopes: NDArray[np.float64]
    """Rescale slopes, applied."""

    scale_slopes: NDArray[np.float64]
    """Philips: stored numbers per signal, which its rescale slope does not undo; nan elsewhere."""


def comparable(phases: Mapping[str, tuple[Volume, Scales]]) -> tuple[dict[str, Volume], str]:
    """Phases on one scale of signal, and what to tell the user; "" if nothing.

    Philips scales every series to fill its numbers. Values as DICOM defines them are for display;
    the signal is the value over rescale slope times scale slope.

    References
    ----------
    Chenevert TL et al., Errors in quantitative image analysis due to platform-dependent image
    scaling, Transl Oncol 2014;7:65-71.
    """
    volumes = {role: volume for role, (volume, _) in phases.items()}
    scales = [scale for _, scale in phases.values()]
    slopes = {round(float(slope), 6) for scale in scales for slope in scale.slopes}
    per_signal = {round(float(s), 6) for scale in scales for s in scale.scale_slopes}
    if len(phases) < 2 or (len(slopes) == 1 and (len(per_signal) == 1 or np.nan in per_signal)):
        return volumes, ""
    if all(np.isfinite(scale.scale_slopes).all() for scale in scales):
        for role, (volume, scale) in phases.items():
            parts = (scale.slopes * scale.scale_slopes)[:, None, None]
            data = (volume.data.astype(np.float64) / parts).astype(np.float32)
            volumes[role] = Volume(data, volume.grid)
        return volumes, "phases of different scale slopes were brought to one scale of signal"
    per_phase = [np.unique(scale.slopes.round(6)).tolist() for scale in scales]
    if any(one != per_phase[0] for one in per_phase):
        return volumes, (
            "phases have different rescale slopes; if the scanner scaled each to fill its numbers, "
            "their brightness cannot be compared"
        )
    return volumes, ""


def reading_stack(stack: Stack, stage: str) -> Job[tuple[Volume, Scales]]:
    """Read the voxels of a stack.

    Parameters
    ----------
    stack : Stack
        A stack with a grid.
    stage : str
        Text of the progress.

    Yields
    ------
    Progress
        After every few slices.

    Returns
    -------
    Volume, Scales
        (Z, Y, X): the stored integers plus intercept if the rescale slope is 1, else float32.

    Raises
    ------
    InputError
        If the stack has a problem, or a file is damaged.
    """
    if stack.problem is not None:
        raise stack.problem
    if stack.grid is None:
        raise InputError(
            "Expected an image series for a phase",
            f"found series {stack.handle}, which holds no image",
            "Choose another series",
        )
    shape = stack.grid.shape
    if math.prod(shape) > MOST_VOXELS:
        raise InputError(
            f"Expected at most {MOST_VOXELS:,} voxels in series {stack.handle}",
            f"found {stack.grid.describe()}",
            "Choose another series; no MRI exam has as many",
        )
    require_room(math.prod(shape) * 4, f"series {stack.handle}")
    deadline = Deadline(f"series {stack.handle}")
    data: NDArray[Any] | None = None
    intercepts = np.zeros(len(stack.frames))
    slopes, per_signal = np.ones(len(stack.frames)), np.full(len(stack.frames), np.nan)
    total, told, done = len(stack.frames), 0, 0
    for _, members in groupby(stack.frames, key=lambda frame: frame.file):
        into = None if data is None else data[done]
        for plane, slope, intercept, scale in _planes(stack, list(members), done, into):
            if not (abs(intercept) <= _MOST_INTERCEPT and abs(slope) <= _MOST_INTERCEPT):
                raise InputError(
                    f"Expected a rescale slope and intercept of an MR image in series "
                    f"{stack.handle}",
                    f"found {slope:.3g} and {intercept:.3g}",
                    "Export the series again; these numbers would hide its signal",
                )
            slopes[done], per_signal[done] = slope, scale
            if slope != 1:
                plane = plane * np.float32(slope) + np.float32(intercept)
            else:
                intercepts[done] = intercept
            if data is None:
                data = np.empty(stack.grid.shape, plane.dtype)
            elif data.dtype != plane.dtype:
                data = data.astype(np.result_type(data, plane))
            if plane is not into:  # else it was read there
                data[done] = plane
            done += 1
        deadline.check()
        if done - told >= _TOLD_EVERY or done == total:
            yield Progress(stage, done, total)
            told = done
    assert data is not None
    return Volume(_shifted(data, intercepts), stack.grid), Scales(slopes, per_signal)


def _planes(
    stack: Stack, frames: Sequence[Frame], done: int, into: NDArray[Any] | None
) -> Iterator[tuple[NDArray[Any], float, float, float]]:
    """Slices of one file, (Y, X) each, with rescale slope and intercept, and scale slope.

    The only slice of a plain file is read right into the memory given.
    """
    plain = frames[0].pixels
    if plain is not None and len(frames) == 1:
        plane = plane_of(frames[0].file, plain, into)
        if plane is not None:
            yield plane, plain.slope, plain.intercept, plain.scale_slope
            return
    yield from _decoded(stack, frames, done)


def _decoded(
    stack: Stack, frames: Sequence[Frame], done: int
) -> Iterator[tuple[NDArray[Any], float, float, float]]:
    """Slices of one file, decoded by pydicom."""
    from pydicom.pixels import iter_pixels

    from . import jpeg  # noqa: F401  registers its decoder

    first = frames[0]
    planes: list[NDArray[Any]] = []
    with quiet():
        try:
            data = read_dataset(first.file)
            _require_syntax(data)
            wanted = [frame.index for frame in frames]
            is_inverted = str(data.get("PhotometricInterpretation")).strip() == "MONOCHROME1"
            top = (1 << int(data.get("BitsStored") or 16)) - 1
            is_signed = bool(data.get("PixelRepresentation"))
            for plane in iter_pixels(data, indices=wanted, raw=True):
                if is_inverted:  # high values are dark; signed numbers are mirrored about -1/2
                    plane = ~plane if is_signed else plane.dtype.type(top) - plane
                planes.append(plane.astype(plane.dtype.newbyteorder("="), copy=False))
            scales = [
                (*rescale_of(data, frame.index), scale_slope_of(data, frame.index))
                for frame in frames
            ]
        # A damaged byte or a missing decoder may raise anything, and may quote the header.
        except Exception:
            planes, scales = [], []
    size = (first.rows, first.columns)
    if len(planes) != len(frames) or any(plane.shape != size for plane in planes):
        raise InputError(
            f"Expected all slices of series {stack.handle} to be readable",
            f"found slice {done + 1} of {len(stack.frames)} cut short, damaged or "
            "compressed in an unsupported way",
            "Copy or export the series again, or say which series to read instead: "
            "--phases pre=2,post1=4",
        )
    for plane, (slope, intercept, scale) in zip(planes, scales, strict=True):
        yield plane, slope, intercept, scale


def _require_syntax(data: Any) -> None:
    """Name the transfer syntax of a file that lost its group 0002, as its bytes show it."""
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    meta = getattr(data, "file_meta", None)
    if meta is not None and "TransferSyntaxUID" in meta:
        return
    is_implicit, is_little = data.original_encoding
    data.file_meta = meta = FileMetaDataset() if meta is None else meta
    explicit = ExplicitVRLittleEndian if is_little else ExplicitVRBigEndian
    # Packed pixels could be of any kind; reading them as plain ones fails, as it should.
    meta.TransferSyntaxUID = ImplicitVRLittleEndian if is_implicit else explicit


def _shifted(data: NDArray[Any], intercepts: NDArray[np.float64]) -> NDArray[Any]:
    """Voxels with each slice's intercept added; integers stay integers."""
    if not intercepts.any():
        return data
    offsets = intercepts[:, None, None]
    if data.dtype.kind == "f" or (intercepts % 1).any():
        return data.astype(np.float32) + offsets.astype(np.float32)
    shifted = data.astype(np.int32) + offsets.astype(np.int32)
    fits = shifted.min() >= -(1 << 15) and shifted.max() < 1 << 15
    return shifted.astype(np.int16) if fits else shifted
