"""Dynamic contrast-enhanced phases: subtraction, projection, enhancement maps, movement.

Pre is the phase before contrast, the first post-contrast phase is "early", the last "late". Maps
are computed where they are asked for, slice by slice. Imports `errors`, `progress` and `volume`;
no torch, no Qt, no files; SimpleITK only inside the function that needs it.

References
----------
Kuhl, Radiology 244, 356-378 (2007): subtraction, percent enhancement.
Hylton et al., Radiology 263, 663-672 (2012): signal enhancement ratio.
Guizar-Sicairos et al., Optics Letters 33, 156-158 (2008): shifts by phase correlation.
Mattes et al., IEEE Trans Med Imaging 22, 120-128 (2003): mutual information.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .errors import InputError
from .progress import Job, Progress
from .volume import Exam, Volume

__all__ = [
    "LazyMap",
    "Shift",
    "align_phases",
    "enhancement_maps",
    "estimate_shifts",
    "fixed_role",
    "percent_enhancement",
    "post_roles",
    "projection",
    "signal_enhancement_ratio",
    "subtraction",
    "tissue_floor",
]

Floats = NDArray[np.float32]

_LARGEST_SER = 5.0
"""Where late enhancement vanishes the ratio means nothing; it is cut off here."""

_FLOOR_SHARE = 0.05
"""Below this share of the exam's bright signal there is air, whose enhancement means nothing."""


def post_roles(exam: Exam) -> tuple[str, ...]:
    """Roles of the post-contrast phases in time order."""
    return tuple(role for role in exam.phases if role.startswith("post") and role[4:].isdigit())


def fixed_role(exam: Exam) -> str:
    """The phase that others are compared with and aligned to: the first after contrast.

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
    """Post less pre, of any shape.

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
    """Rise of the signal over its value before contrast, in %; 0 where that is at most `floor`.

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

    0 where pre is at most `floor` or neither phase enhances by `least_percent`; at most 5.

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
    """Maximum intensity projection along an axis, that axis kept with length 1.

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
    """An array (Z, Y, X) computed slice by slice when it is read, as napari reads its layers.

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
            else:  # steps and lists of indices: taken of the whole axis
                region.append(slice(0, size))
                rest.append(part)
        values: NDArray[Any] = self._compute((region[0], region[1], region[2]))
        chosen: NDArray[Any] = values[tuple(rest)]
        return chosen

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        whole = np.empty(self.shape, self.dtype)
        for z in range(self.shape[0]):  # a slice's temporaries at a time
            whole[z] = self[z]
        return whole if dtype is None else whole.astype(dtype, copy=False)


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
            "Needed a phase before and one after contrast for enhancement maps",
            f"exam {exam.case_id} has {', '.join(exam.phases)}",
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


@dataclass(frozen=True)
class Shift:
    """How far a phase lies from the fixed one."""

    role: str
    fixed: str
    voxels: tuple[float, float, float]
    """The phase's displacement along (z, y, x): where the fixed phase has something at v, this
    one has it at v + voxels."""

    mm: tuple[float, float, float] | None
    """The same in mm; None where spacing is not known."""

    @property
    def is_large(self) -> bool:
        """Whether it is more than one voxel along some axis."""
        return max(map(abs, self.voxels)) > 1.0

    def describe(self) -> str:
        """Phase, distance, and a warning above one voxel.

        Examples
        --------
        >>> Shift("pre", "post1", (0.0, 1.5, 0.0), (0.0, 1.05, 0.0)).describe()
        'pre lies 1.1 mm (1.5 voxels) from post1: align the phases before you trust their maps'
        """
        longest = max(map(abs, self.voxels))
        distance = f"{longest:.1f} voxels"
        if self.mm is not None:
            distance = f"{float(np.linalg.norm(self.mm)):.1f} mm ({distance})"
        text = f"{self.role} lies {distance} from {self.fixed}"
        return text + (": align the phases before you trust their maps" if self.is_large else "")


def estimate_shifts(exam: Exam) -> Job[tuple[Shift, ...]]:
    """Displacement of every phase from the fixed one, to a twentieth of a voxel.

    Edges are compared, not signals: contrast agent changes those, and edges less. The patient is
    taken as moving as a whole; what single parts do is not seen.

    Returns
    -------
    generator of Progress, giving a tuple of Shift
        One for each phase but the fixed one; empty for a single phase.
    """
    fixed = fixed_role(exam)
    others = [role for role in exam.phases if role != fixed]
    yield Progress("Measuring movement", 0, len(others))
    if not others:
        return ()
    grid, shifts = exam.grid, []
    reference = _edges(exam.phases[fixed].data)
    for number, role in enumerate(others, start=1):
        z, y, x = _shift(reference, _edges(exam.phases[role].data))
        dz, dy, dx = grid.voxel_size
        mm = (z * dz, y * dy, x * dx) if grid.has_spacing else None
        shifts.append(Shift(role, fixed, (z, y, x), mm))
        yield Progress("Measuring movement", number, len(others))
    return tuple(shifts)


def _edges(data: NDArray[np.generic]) -> Floats:
    """Strength of edges, faded out at the borders, where a periodic shift would be wrong."""
    from scipy import ndimage

    image = np.sqrt(np.maximum(np.asarray(data, np.float32), 0))
    axes = [axis for axis, size in enumerate(image.shape) if size > 2]
    strength = np.zeros_like(image)
    for axis in axes:
        order = [int(a == axis) for a in range(3)]
        strength += ndimage.gaussian_filter(image, 1.0, order, truncate=3.0) ** 2
    edges: Floats = np.sqrt(strength)
    for axis in axes:
        window = np.hanning(image.shape[axis] + 2)[1:-1].astype(np.float32)
        edges *= window.reshape([-1 if a == axis else 1 for a in range(3)])
    return edges


def _shift(reference: Floats, moved: Floats) -> tuple[float, float, float]:
    from skimage.registration import phase_cross_correlation

    found, _, _ = phase_cross_correlation(reference, moved, upsample_factor=20, normalization=None)
    # What skimage gives brings `moved` back onto the reference.
    z, y, x = (-float(v) + 0.0 for v in found)
    return (z, y, x)


def align_phases(exam: Exam, *, seed: int = 0) -> Job[Exam]:
    """Exam whose phases are aligned to the fixed one by a rigid movement each.

    Mutual information over a sample of the voxels, coarse to fine; linear interpolation. The
    fixed phase keeps its voxels, so a mask drawn on it stays right.

    Parameters
    ----------
    exam : Exam
    seed : int
        Of the voxels that are sampled.

    Returns
    -------
    generator of Progress, giving an Exam
        Moved phases are float32. A phase that cannot be aligned better than it lies is kept as
        it is. Closing the generator between two resolutions stops it.
    """
    fixed = fixed_role(exam)
    others = [role for role in exam.phases if role != fixed]
    levels = _levels(exam.grid.shape)
    steps = len(others) * (len(levels) + 1)
    phases: dict[str, Volume] = dict(exam.phases)
    done = 0
    target = _image(exam.phases[fixed]) if others else None
    for role in others:
        moving = _image(exam.phases[role])
        transform = None
        for shrink in levels:
            yield Progress(f"Aligning {role}", done, steps)
            transform = _register(target, moving, transform, shrink, seed)
            done += 1
        yield Progress(f"Aligning {role}", done, steps)
        phases[role] = Volume(_moved(target, moving, transform, exam.grid.shape), exam.grid)
        done += 1
    yield Progress("Aligning", steps, steps)
    return Exam(exam.case_id, phases, exam.times_s)


def _levels(shape: tuple[int, int, int]) -> tuple[int, ...]:
    """Shrink factors within a slice, coarse to fine; the finest need not be all voxels."""
    finest = 2 if min(shape[1:]) > 200 else 1
    return tuple(n for n in (4, 2, 1) if n >= finest and min(shape[1:]) // n >= 16) or (1,)


def _image(volume: Volume) -> Any:
    """SimpleITK's image in the array's own frame: spacing, no direction."""
    import SimpleITK as sitk

    data = np.ascontiguousarray(volume.data, np.float32)
    z, y, x = volume.grid.voxel_size
    image = sitk.GetImageFromArray(data[0] if len(data) == 1 else data)
    image.SetSpacing((x, y) if len(data) == 1 else (x, y, z))
    return image


def _register(fixed: Any, moving: Any, start: Any, shrink: int, seed: int) -> Any:
    import SimpleITK as sitk

    flat = fixed.GetDimension() == 2
    if start is None:
        center = fixed.TransformContinuousIndexToPhysicalPoint(
            [(n - 1) / 2 for n in fixed.GetSize()]
        )
        start = sitk.Euler2DTransform(center) if flat else sitk.Euler3DTransform(center)
    # Slices are thick: they are shrunk only so far that voxels become about as long as wide.
    spacing = fixed.GetSpacing()
    factors = [shrink, shrink]
    if not flat:
        thick = max(1, round(shrink * spacing[0] / spacing[2]))
        factors.append(min(thick, max(1, fixed.GetSize()[2] // 8)))
    small = [
        sitk.Shrink(sitk.SmoothingRecursiveGaussian(one, 0.5 * shrink * spacing[0]), factors)
        if shrink > 1 and min(one.GetSize()) >= 4
        else one
        for one in (fixed, moving)
    ]
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(48)
    voxels = int(np.prod(small[0].GetSize()))
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetMetricSamplingPercentage(min(1.0, max(0.02, 150_000 / voxels)), seed)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=0.5 * shrink * spacing[0],
        minStep=0.01 * spacing[0],
        numberOfIterations=60,
        gradientMagnitudeTolerance=1e-6,
    )
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetInitialTransform(start, inPlace=False)
    before = method.MetricEvaluate(*small)
    found = method.Execute(*small)
    return found if method.GetMetricValue() <= before else start


def _moved(fixed: Any, moving: Any, transform: Any, shape: tuple[int, int, int]) -> Floats:
    import SimpleITK as sitk

    # Beyond the border the nearest voxel repeats: an empty margin would look like washout.
    resampler = sitk.ResampleImageFilter()
    resampler.SetReferenceImage(fixed)
    resampler.SetTransform(transform)
    resampler.SetInterpolator(sitk.sitkLinear)
    resampler.UseNearestNeighborExtrapolatorOn()
    moved: Floats = sitk.GetArrayFromImage(resampler.Execute(moving)).reshape(shape)
    return moved
