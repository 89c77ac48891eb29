"""Putting a phantom exam together. Imports `volume`, `errors` and the rest of this folder only."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InputError
from ..core.volume import TUMOR, Exam, LabelMap, Volume
from .acquisition import Ghosts, coil_sensitivity, draw_motions, magnitude
from .anatomy import draw_anatomy, draw_breasts
from .config import LesionTruth, PhantomConfig, PhantomExam, Tissue
from .confounders import clip_signal, draw_confounders
from .kinetics import blood_uptake, tissue_uptake
from .lesions import Lesion, draw_lesions
from .tissue import GLAND_SIGNAL, paint
from .views import Layout, anatomy_box_mm, body_spacing_mm, slice_range_mm

__all__ = ["breast_phantom"]


def breast_phantom(seed: int, config: PhantomConfig | None = None, **settings: Any) -> PhantomExam:
    """Draw a synthetic breast DCE exam with known truth.

    The patient lies prone and is shown as radiologists look at axial slices: breasts up, her
    right on the left side of the picture; or as sagittal or coronal slices, head up.

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
    streams = np.random.default_rng(seed).spawn(10)
    body, texture, coil, moving, noisy, findings, place, confusing, breathing, beating = streams
    shapes = draw_breasts(body)
    slices_mm = slice_range_mm(place, shapes, config)
    anatomy = draw_anatomy(body, shapes, anatomy_box_mm(config, slices_mm))
    layout = Layout.place(place, anatomy, config, slices_mm)
    grid, axes, spacing_mm = layout.grid, layout.axes, body_spacing_mm(config)
    confounders = draw_confounders(confusing, anatomy, axes, config)
    painted = paint(texture, anatomy, confounders, axes, config)
    lesions = draw_lesions(findings, anatomy, axes, config)

    lesion_labels = np.zeros(axes.shape, np.uint8)
    truths = _truths(lesions, lesion_labels, layout)
    labels = painted.labels
    labels[lesion_labels > 0] = Tissue.LESION

    sensitivity = coil_sensitivity(coil, anatomy, axes, config.coil_bias)
    motions = draw_motions(moving, breathing, config)
    clips = clip_signal(confounders.clips, confounders.clip_rim_mm, axes)
    pulsing = np.isin(labels, (Tissue.HEART, Tissue.GREAT_VESSEL))
    ghosts = Ghosts(beating, pulsing, axes, config) if config.heart_ghosts else None
    air = None if config.has_air_noise else labels == Tissue.AIR
    phases = {}
    for role, time_s in config.phase_times_s.items():
        signal = painted.plain.copy()
        if time_s > 0:
            signal += np.float32(blood_uptake(time_s)) * painted.blood
            signal += np.float32(tissue_uptake(time_s)) * painted.slow
        for lesion in lesions:
            _mix(signal, lesion, role, axes.slice_axis)
        if clips is not None:
            signal *= clips
        signal *= sensitivity
        if ghosts is not None and time_s > 0:
            signal = ghosts.add(signal)
        motion = motions[role]
        if motion is not None:
            signal = motion.apply(signal, axes, spacing_mm)
        gray = magnitude(noisy, signal, config.noise * GLAND_SIGNAL, air)
        phases[role] = Volume(layout.to_array(gray), grid)
    lesion_labels, labels, breasts = (
        layout.to_array(m) for m in (lesion_labels, labels, painted.breasts)
    )
    return PhantomExam(
        exam=Exam(config.case_id, phases, dict(config.phase_times_s)),
        truth=LabelMap(np.where(lesion_labels > 0, np.uint8(TUMOR), np.uint8(0)), grid),
        lesions=truths,
        lesion_labels=LabelMap(lesion_labels, grid),
        anatomy=LabelMap(labels, grid),
        breasts=LabelMap(breasts, grid),
    )


def _clip(
    lesion: Lesion, shape: tuple[int, ...], axis: int
) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """A lesion's box within the exam, and the part of its own arrays that lies in it."""
    box, own = list(lesion.box), [slice(None)] * 3
    low, high = max(box[axis].start, 0), min(box[axis].stop, shape[axis])
    own[axis] = slice(low - box[axis].start, high - box[axis].start)
    box[axis] = slice(low, high)
    return tuple(box), tuple(own)


def _mix(signal: NDArray[np.float32], lesion: Lesion, role: str, axis: int) -> None:
    box, own = _clip(lesion, signal.shape, axis)
    share = lesion.share[own]
    value = lesion.plain[own] * (1 + np.float32(lesion.curve[role]) * lesion.gain[own])
    part = signal[box]
    part += share * (value - part)


def _truths(
    lesions: list[Lesion], labels: NDArray[np.uint8], layout: Layout
) -> tuple[LesionTruth, ...]:
    truths: list[LesionTruth] = []
    grid = layout.grid
    for lesion in lesions:
        box, own = _clip(lesion, labels.shape, layout.axes.slice_axis)
        mask = lesion.mask[own]
        if not mask.any():
            continue
        number = len(truths) + 1
        labels[box][mask] = number
        voxels = layout.to_indices(np.argwhere(mask) + [b.start for b in box])
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
