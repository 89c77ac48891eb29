"""Displacement between phases, and rigid alignment. Loads SimpleITK late.

References
----------
Guizar-Sicairos et al., Optics Letters 33, 156-158 (2008): shifts by phase correlation.
Mattes et al., IEEE Trans Med Imaging 22, 120-128 (2003): mutual information.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.progress import Job, Progress
from ...core.volume import Exam, Volume
from .maps import fixed_role

__all__ = ["LEFT_VOXELS", "Shift", "align_phases", "estimate_shifts"]

Floats = NDArray[np.float32]

LEFT_VOXELS = 0.25
"""A phase is not resampled to move it by less than this: it would be blurred for nothing."""


@dataclass(frozen=True)
class Shift:
    """Displacement of a phase from the fixed one."""

    role: str
    fixed: str
    voxels: tuple[float, float, float]
    """The phase's displacement along (z, y, x): where the fixed phase has something at v, this
    one has it at v + voxels."""

    mm: tuple[float, float, float] | None
    """The same in mm; None if the spacing is not known."""

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

    Edges are compared rather than signals, since contrast changes edges less. Only movement of the
    patient as a whole is measured, not of single parts.

    Returns
    -------
    generator of Progress, giving a tuple of Shift
        One per phase except the fixed one; empty for a single phase.
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
    """Edge strength, faded out at the borders, since the shift is computed as periodic."""
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
    # The shift from skimage brings `moved` back onto the reference.
    z, y, x = (-float(v) + 0.0 for v in found)
    return (z, y, x)


def align_phases(exam: Exam, *, seed: int = 0) -> Job[Exam]:
    """Exam with each phase rigidly aligned to the fixed one.

    Mutual information over a sample of the voxels, coarse to fine; linear interpolation. The
    fixed phase is not changed, so a mask drawn on it stays valid.

    Parameters
    ----------
    exam : Exam
    seed : int
        Of the sampling of voxels.

    Returns
    -------
    generator of Progress, giving an Exam
        A phase that would move by less than `LEFT_VOXELS` stays as it is, the same `Volume`.
        Moved phases keep their data type; whole numbers are rounded. Closing the generator stops
        it between two resolutions.
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
        if _moves_by(target, transform) >= LEFT_VOXELS:
            moved = _moved(target, moving, transform, exam.grid.shape)
            phases[role] = Volume(_like(exam.phases[role].data.dtype, moved), exam.grid)
        done += 1
    yield Progress("Aligning", steps, steps)
    return Exam(exam.case_id, phases, exam.times_s)


def _moves_by(fixed: Any, transform: Any) -> float:
    """The farthest, in voxels along an axis, that it moves the middle half of the image.

    At its corners: a turn moves them and leaves the center.
    """
    sizes = np.array(fixed.GetSize(), float)
    spacing = np.array(fixed.GetSpacing())
    farthest = 0.0
    for corner in np.ndindex(*(2,) * len(sizes)):
        index = (sizes - 1) * (0.25 + 0.5 * np.array(corner))
        point = np.array(fixed.TransformContinuousIndexToPhysicalPoint(index.tolist()))
        offset = np.array(transform.TransformPoint(point.tolist())) - point
        farthest = max(farthest, float(np.abs(offset / spacing).max()))
    return farthest


def _like(dtype: np.dtype[Any], moved: Floats) -> NDArray[np.generic]:
    """Signal as the phase held it: floats in place of whole numbers make an exam twice as large."""
    if dtype.kind not in "iu":
        return moved
    limits = np.iinfo(dtype)
    return np.asarray(np.rint(moved, out=moved).clip(limits.min, limits.max).astype(dtype))


def _levels(shape: tuple[int, int, int]) -> tuple[int, ...]:
    """Shrink factors within a slice, coarse to fine; the finest may be above 1."""
    finest = 2 if min(shape[1:]) > 200 else 1
    return tuple(n for n in (4, 2, 1) if n >= finest and min(shape[1:]) // n >= 16) or (1,)


def _image(volume: Volume) -> Any:
    """SimpleITK image in the array's own frame, with spacing but without direction."""
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
    # Slices are thick: they are shrunk only until voxels are about isotropic.
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
    share = min(1.0, max(0.02, 150_000 / voxels))
    method.SetMetricSamplingPercentage(share, seed + 1)  # to SimpleITK 0 is the clock
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

    # The nearest voxel is repeated beyond the border: an empty margin would look like washout.
    resampler = sitk.ResampleImageFilter()
    resampler.SetReferenceImage(fixed)
    resampler.SetTransform(transform)
    resampler.SetInterpolator(sitk.sitkLinear)
    resampler.UseNearestNeighborExtrapolatorOn()
    moved: Floats = sitk.GetArrayFromImage(resampler.Execute(moving)).reshape(shape)
    return moved
