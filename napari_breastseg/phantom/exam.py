"""Putting a phantom exam together. Imports `volume`, `errors` and the rest of this folder only."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InputError
from ..core.volume import TUMOR, Exam, Grid, LabelMap, Volume
from .acquisition import coil_sensitivity, draw_motions, magnitude
from .anatomy import Anatomy, draw_anatomy
from .config import LesionTruth, PhantomConfig, PhantomExam, Tissue
from .fields import Axes
from .kinetics import blood_uptake, tissue_uptake
from .lesions import Lesion, draw_lesions
from .tissue import GLAND_SIGNAL, paint

__all__ = ["breast_phantom"]


def breast_phantom(seed: int, config: PhantomConfig | None = None, **settings: Any) -> PhantomExam:
    """Draw a synthetic bilateral axial breast DCE exam with known truth.

    The patient lies prone and is shown as radiologists look at axial slices: breasts up, her
    right on the left side of the picture.

    Parameters
    ----------
    seed : int
        From 0. The same seed and settings give the same exam: to the bit on one kind of machine;
        between processors a few gray values differ by 1. The same seed on another grid gives the
        same patient, apart from the lesions.
    config : PhantomConfig, optional
        Its defaults when absent.
    **settings
        Fields of `PhantomConfig` to set, such as ``shape``, ``spacing_mm``, ``lesions``.

    Returns
    -------
    PhantomExam
        The exam, int16, and its truth. Without a lesion the truth is empty.

    Raises
    ------
    InputError
        When a setting is unknown or out of range, or a lesion finds no room.

    Examples
    --------
    >>> phantom = breast_phantom(0, shape=(6, 96, 96), spacing_mm=(5.0, 3.5, 3.5))
    >>> list(phantom.exam.phases)
    ['pre', 'post1', 'post2', 'post3']
    >>> phantom.exam.grid.end_letters
    (('F', 'H'), ('A', 'P'), ('R', 'L'))
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise InputError(
            "Expected a whole number from 0 as the seed", f"found {seed!r}", "Give another seed"
        )
    known = {field.name for field in fields(PhantomConfig)}
    unknown = sorted(set(settings) - known)
    if unknown:
        raise InputError(
            f"Expected settings of the phantom ({', '.join(sorted(known))})",
            f"found {', '.join(unknown)}",
            "Correct the name",
        )
    config = replace(config or PhantomConfig(), **settings)

    # One stream per subject, so that a change in one leaves the others as they are.
    body, texture, coil, moving, noisy, findings, place = np.random.default_rng(seed).spawn(7)
    half_mm = config.field_mm[0] / 2
    middle_mm = config.z_center_mm
    if middle_mm is None:
        middle_mm = float(place.uniform(-60, 55))
    anatomy = draw_anatomy(body, (middle_mm - half_mm - 45, middle_mm + half_mm + 45))
    grid, axes = _place(place, anatomy, config, middle_mm)
    painted = paint(texture, anatomy, axes, config)
    lesions = draw_lesions(findings, anatomy, axes, config)

    lesion_labels = np.zeros(axes.shape, np.uint8)
    truths = _truths(lesions, lesion_labels, grid)
    labels = painted.labels
    labels[lesion_labels > 0] = Tissue.LESION

    sensitivity = coil_sensitivity(coil, anatomy, axes, config.coil_bias)
    motions = draw_motions(moving, config)
    air = None if config.has_air_noise else labels == Tissue.AIR
    phases = {}
    for role, time_s in config.phase_times_s.items():
        signal = painted.plain.copy()
        if time_s > 0:
            signal += np.float32(blood_uptake(time_s)) * painted.blood
            signal += np.float32(tissue_uptake(time_s)) * painted.slow
        for lesion in lesions:
            _mix(signal, lesion, role)
        signal *= sensitivity
        motion = motions[role]
        if motion is not None:
            signal = motion.apply(signal, axes, config.spacing_mm)
        phases[role] = Volume(magnitude(noisy, signal, config.noise * GLAND_SIGNAL, air), grid)
    return PhantomExam(
        exam=Exam(config.case_id, phases, dict(config.phase_times_s)),
        truth=LabelMap(np.where(lesion_labels > 0, np.uint8(TUMOR), np.uint8(0)), grid),
        lesions=truths,
        lesion_labels=LabelMap(lesion_labels, grid),
        anatomy=LabelMap(labels, grid),
        breasts=LabelMap(painted.breasts, grid),
    )


def _place(
    rng: np.random.Generator, anatomy: Anatomy, config: PhantomConfig, middle_mm: float
) -> tuple[Grid, Axes]:
    """The exam's grid: nipples a little below the upper edge, the patient in the middle."""
    (nz, ny, nx), (sz, sy, sx) = config.shape, config.spacing_mm
    top = max(nipple[1] for nipple in anatomy.nipples_mm) + float(rng.uniform(14, 30))
    top = max(top, (0.36 + float(rng.uniform(-0.03, 0.03))) * config.field_mm[1])
    top = min(top, config.field_mm[1] - 75)  # a short field keeps the chest wall in view
    aside = float(rng.uniform(-6, 6)) if config.field_mm[2] > 300 else 0.0
    head = middle_mm + (np.arange(nz, dtype=np.float64) - (nz - 1) / 2) * sz
    front = top - np.arange(ny, dtype=np.float64) * sy
    left = aside + (np.arange(nx, dtype=np.float64) - (nx - 1) / 2) * sx
    # RAS: x to the patient's right in the array's terms is minus left.
    affine = np.array(
        [[0, 0, -sx, -left[0]], [0, -sy, 0, front[0]], [sz, 0, 0, head[0]], [0, 0, 0, 1.0]]
    )
    return Grid(config.shape, affine), Axes(head, front, left, sz)


def _clip(lesion: Lesion, slices: int) -> tuple[tuple[slice, slice, slice], slice]:
    """A lesion's box within the exam, and the slices of its own arrays that lie in it."""
    z, y, x = lesion.box
    low, high = max(z.start, 0), min(z.stop, slices)
    return (slice(low, high), y, x), slice(low - z.start, high - z.start)


def _mix(signal: NDArray[np.float32], lesion: Lesion, role: str) -> None:
    box, own = _clip(lesion, signal.shape[0])
    share = lesion.share[own]
    value = lesion.plain[own] * (1 + np.float32(lesion.curve[role]) * lesion.gain[own])
    part = signal[box]
    part += share * (value - part)


def _truths(
    lesions: list[Lesion], labels: NDArray[np.uint8], grid: Grid
) -> tuple[LesionTruth, ...]:
    truths: list[LesionTruth] = []
    for lesion in lesions:
        box, own = _clip(lesion, labels.shape[0])
        mask = lesion.mask[own]
        if not mask.any():
            continue
        number = len(truths) + 1
        labels[box][mask] = number
        voxels = np.argwhere(mask) + [b.start for b in box]
        points = voxels @ grid.affine[:3, :3].T + grid.affine[:3, 3]
        low, high = voxels.min(0), voxels.max(0) + 1
        is_cut = bool(lesion.mask.sum() > mask.sum())
        voxel_ml = grid.voxel_ml or 0.0
        truths.append(
            LesionTruth(
                id=number,
                kind=lesion.spec.kind,
                side=lesion.side,
                kinetic_type=lesion.spec.kinetic_type,
                volume_ml=float(len(voxels) * voxel_ml),
                analytic_volume_ml=lesion.spec.volume_ml if lesion.is_ellipsoid else None,
                center_mm=tuple(float(c) for c in points.mean(0)),  # type: ignore[arg-type]
                longest_diameter_mm=_longest_mm(points),
                box=(
                    slice(int(low[0]), int(high[0])),
                    slice(int(low[1]), int(high[1])),
                    slice(int(low[2]), int(high[2])),
                ),
                enhancement=dict(lesion.curve),
                is_cut=is_cut,
            )
        )
    return tuple(truths)


def _longest_mm(points: NDArray[np.float64]) -> float:
    """Largest distance of two points: only those farthest along some direction can be the ends."""
    from scipy.spatial.distance import pdist

    if len(points) < 2:
        return 0.0
    if len(points) > 400:
        ways = np.random.default_rng(0).standard_normal((600, 3))
        reach = points @ ways.T
        points = points[np.unique(np.concatenate([reach.argmax(0), reach.argmin(0)]))]
    return float(pdist(points).max())
