"""Subtraction, projection, percent enhancement and signal enhancement ratio.

Maps are computed when they are read, slice by slice.

References
----------
Kuhl, Radiology 244, 356-378 (2007): subtraction, percent enhancement.
Hylton et al., Radiology 263, 663-672 (2012): signal enhancement ratio.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ...core.errors import InputError
from ...core.volume import Exam

__all__ = [
    "LazyMap",
    "enhancement_maps",
    "fixed_role",
    "percent_enhancement",
    "post_roles",
    "projection",
    "signal_enhancement_ratio",
    "subtraction",
    "tissue_floor",
    "where_enhancing",
]

Floats = NDArray[np.float32]

_LARGEST_SER = 5.0
"""The ratio is limited to this, as it means nothing where late enhancement vanishes."""

_FLOOR_SHARE = 0.05
"""Signal below this fraction of the exam's bright signal is air, without meaningful enhancement."""


def post_roles(exam: Exam) -> tuple[str, ...]:
    """Roles of the post-contrast phases in order of time."""
    return tuple(role for role in exam.phases if role.startswith("post") and role[4:].isdigit())


def fixed_role(exam: Exam) -> str:
    """The phase that others are compared with and aligned to: the first post-contrast phase.

    Masks are drawn on it, so it must not move.
    """
    return next(iter(post_roles(exam)), next(iter(exam.phases)))


def tissue_floor(exam: Exam) -> float:
    """Signal below which pre-contrast voxels count as air."""
    data = exam.phases["pre"].data
    step = max(1, round((data.size / 1e6) ** (1 / 3)))
    sample = np.asarray(data[:, ::step, ::step], np.float32)
    return _FLOOR_SHARE * float(np.percentile(sample, 99))


def subtraction(pre: NDArray[np.generic], post: NDArray[np.generic]) -> Floats:
    """Post minus pre, of any shape.

    Examples
    --------
    >>> subtraction(np.array([100, 200], np.uint16), np.array([180, 190], np.uint16))
    array([ 80., -10.], dtype=float32)
    """
    difference: Floats = np.asarray(post, np.float32) - np.asarray(pre, np.float32)
    return difference


def percent_enhancement(
    pre: NDArray[np.generic], post: NDArray[np.generic], floor: float = 0.0
) -> Floats:
    """Signal increase relative to the pre-contrast signal, in %; 0 where that is at most `floor`.

    Examples
    --------
    >>> percent_enhancement(np.array([100, 200, 1]), np.array([170, 190, 9]), floor=5)
    array([70., -5.,  0.], dtype=float32)
    """
    before = np.asarray(pre, np.float32)
    rise = 100 * subtraction(pre, post)
    enhancement: Floats = np.zeros_like(rise)
    np.divide(rise, before, out=enhancement, where=before > max(floor, 0.0))
    return enhancement


def signal_enhancement_ratio(
    pre: NDArray[np.generic],
    early: NDArray[np.generic],
    late: NDArray[np.generic],
    floor: float = 0.0,
    least_percent: float = 20.0,
) -> Floats:
    """Early over late enhancement: above 1.1 washout, about 1 plateau, below 0.9 persistent.

    0 where pre is at most `floor` or neither phase enhances by `least_percent`; limited to 5.

    Examples
    --------
    >>> pre = np.array([100.0, 100.0, 100.0])
    >>> signal_enhancement_ratio(pre, pre + [90, 60, 1], pre + [60, 120, 1])
    array([1.5, 0.5, 0. ], dtype=float32)
    """
    before = np.asarray(pre, np.float32)
    first, last = subtraction(pre, early), subtraction(pre, late)
    needed = before * np.float32(least_percent / 100)
    enhances = (before > max(floor, 0.0)) & ((first >= needed) | (last >= needed)) & (first > 0)
    ratio: Floats = np.zeros_like(first)
    np.divide(first, last, out=ratio, where=enhances & (last > first / _LARGEST_SER))
    ratio[enhances & (last <= first / _LARGEST_SER)] = _LARGEST_SER
    return ratio


def projection(volume: NDArray[np.generic] | LazyMap, axis: int = 0) -> NDArray[Any]:
    """Maximum intensity projection along an axis, which is kept with length 1.

    Parameters
    ----------
    volume : array or LazyMap, shape (Z, Y, X)
        A map is computed one slice at a time.
    axis : int
        0 projects along z.
    """
    if axis != 0:
        flat: NDArray[Any] = np.max(np.asarray(volume), axis=axis, keepdims=True)
        return flat
    highest = np.array(volume[0])
    for z in range(1, volume.shape[0]):
        np.maximum(highest, volume[z], out=highest)
    return highest[None]


class LazyMap:
    """An array (Z, Y, X) computed when it is read, slice by slice, as napari reads its layers.

    Parameters
    ----------
    shape : tuple of int
    compute : callable
        Gives the values of an index into (Z, Y, X), made of slices.
    dtype : dtype, optional
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        compute: Callable[[tuple[slice, slice, slice]], NDArray[Any]],
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.shape = shape
        self.dtype = np.dtype(dtype)
        self.ndim = 3
        self._compute = compute

    @property
    def size(self) -> int:
        """Number of voxels."""
        return int(np.prod(self.shape))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> NDArray[Any]:
        parts = index if isinstance(index, tuple) else (index,)
        if Ellipsis in [p for p in parts if p is Ellipsis]:
            at = next(i for i, p in enumerate(parts) if p is Ellipsis)
            fill = (slice(None),) * (3 - len(parts) + 1)
            parts = (*parts[:at], *fill, *parts[at + 1 :])
        parts = (*parts, *(slice(None),) * (3 - len(parts)))
        region: list[slice] = []
        rest: list[Any] = []
        for part, size in zip(parts, self.shape, strict=True):
            if isinstance(part, slice) and part.step in (None, 1):
                region.append(slice(*part.indices(size)[:2]))
                rest.append(slice(None))
            elif isinstance(part, int | np.integer):
                start = int(part) + (size if part < 0 else 0)
                if not 0 <= start < size:
                    raise IndexError(f"index {part} is out of range for size {size}")
                region.append(slice(start, start + 1))
                rest.append(0)
            else:  # steps and lists of indices: applied to the whole axis
                region.append(slice(0, size))
                rest.append(part)
        values: NDArray[Any] = self._compute((region[0], region[1], region[2]))
        chosen: NDArray[Any] = values[tuple(rest)]
        return chosen

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        whole = np.empty(self.shape, self.dtype)
        for z in range(self.shape[0]):  # slice by slice, to keep temporaries small
            whole[z] = self[z]
        return whole if dtype is None else whole.astype(dtype, copy=False)


def where_enhancing(values: LazyMap, rise: LazyMap, least: float) -> LazyMap:
    """A map where the signal rises by at least `least`; 0 elsewhere, in noise above all.

    Parameters
    ----------
    values, rise : LazyMap, shape (Z, Y, X)
        The map, and post minus pre.
    least : float
        In units of the signal.

    Examples
    --------
    >>> percent = LazyMap((1, 1, 2), lambda part: np.array([[[80, 90]]], np.float32)[part])
    >>> rise = LazyMap((1, 1, 2), lambda part: np.array([[[40, 3]]], np.float32)[part])
    >>> where_enhancing(percent, rise, 10)[0]
    array([[80.,  0.]], dtype=float32)
    """

    def compute(part: tuple[slice, slice, slice]) -> NDArray[Any]:
        return np.where(rise[part] >= least, values[part], np.float32(0))

    return LazyMap(values.shape, compute)


def enhancement_maps(exam: Exam) -> dict[str, LazyMap]:
    """Maps of an exam by name, in order: sub1, sub2, ..., PE1, PE2, ..., SER.

    Returns
    -------
    dict of str to LazyMap
        All of the exam's shape, float32; PE in %. SER needs two post-contrast phases.

    Raises
    ------
    InputError
        If there is no pre or no post-contrast phase.
    """
    posts = post_roles(exam)
    if "pre" not in exam.phases or not posts:
        raise InputError(
            "Expected a pre-contrast and a post-contrast phase for enhancement maps",
            f"found {', '.join(exam.phases)} in exam {exam.case_id}",
            "Open the exam with its phase pre, or name the phases with --phases",
        )
    floor = tissue_floor(exam)
    data = {role: exam.phases[role].data for role in ("pre", *posts)}
    shape = exam.grid.shape

    def made(formula: Callable[..., Floats], *roles: str, **settings: float) -> LazyMap:
        return LazyMap(shape, lambda part: formula(*(data[r][part] for r in roles), **settings))

    maps = {role.replace("post", "sub"): made(subtraction, "pre", role) for role in posts}
    for role in posts:
        name = role.replace("post", "PE")
        maps[name] = made(percent_enhancement, "pre", role, floor=floor)
    if len(posts) > 1:
        maps["SER"] = made(signal_enhancement_ratio, "pre", posts[0], posts[-1], floor=floor)
    return maps
