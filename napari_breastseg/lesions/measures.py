"""From an exam and its mask to the report of its lesions."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InputError
from ..core.progress import Job, Progress
from ..core.volume import Exam, Grid, LabelMap
from ..imaging.breast_region import Breasts
from .change import kept_ids, order_of
from .findings import SMALLEST_MM, least_voxels
from .kinetics import PE_THRESHOLD_PERCENT, Kinetics, describe_kinetics
from .location import Location, locate
from .records import TOTAL, Lesion, LesionReport, Side
from .shape import measure_shape

if TYPE_CHECKING:
    from .findings import Findings

__all__ = ["measure_lesions"]

_BOTH_BREASTS_MM = 250.0
"""A field of view at least this wide shows both breasts, with the patient in the middle."""


def measure_lesions(
    exam: Exam,
    label_map: LabelMap,
    *,
    breasts: Breasts | None = None,
    findings: Findings | None = None,
    previous: LesionReport | None = None,
    injection_s: float | None = None,
    pe_threshold_percent: float = PE_THRESHOLD_PERCENT,
) -> Job[LesionReport]:
    """Measure every lesion of a mask, and all of them together.

    A lesion is a connected component that is not smaller than a ball of `findings.SMALLEST_MM`;
    what is smaller counts in the total only. Voxels are connected over faces, edges and corners,
    as `scores` counts lesions. `ignore` counts as no tumor.

    Parameters
    ----------
    exam : Exam
        With any of its phases.
    label_map : LabelMap
        1 is tumor, on the exam's grid.
    breasts : Breasts, optional
        As from `find_breasts`. If trusted it gives a lesion's side, quadrant, clock position and
        distance from the nipple, and the share of it outside the breasts. Else the side is that
        of the field of view if this shows both breasts, or that of the patient coordinates.
    findings : Findings, optional
        What a model found in the exam: each lesion gets the score of the finding with which it
        shares most voxels, and the most likely lesion comes first.
    previous : LesionReport, optional
        An earlier report of the case, so that lesions keep their ids.
    injection_s : float, optional
        Time of the injection in seconds after the exam's first phase; by default it is taken from
        the exam's times, if they count from the injection.
    pe_threshold_percent : float
        Early enhancement from which a voxel counts as functional tumor, above 0.

    Returns
    -------
    generator of Progress, giving a LesionReport
        Without tumor it has no lesions and a total of zero.

    Raises
    ------
    InputError
        If the mask or the findings lie on another grid, or the threshold is not a positive number.

    Examples
    --------
    >>> from napari_breastseg.core.progress import drain
    >>> from napari_breastseg.core.volume import Volume
    >>> grid = Grid((4, 9, 9), np.diag([2.0, 1.0, 1.0, 1.0]))
    >>> labels = np.zeros(grid.shape, np.uint8)
    >>> labels[1:3, 2:7, 3:6] = 1
    >>> phases = {"pre": Volume(100 + 0 * labels, grid), "post1": Volume(100 + 80 * labels, grid)}
    >>> report = drain(measure_lesions(Exam("P001", phases), LabelMap(labels, grid)))
    >>> index = report.lesions[0]
    >>> index.id, index.volume_ml, index.kinetics.curve_percent["post1"], index.functional_ml
    ('index', 0.06, 80.0, 0.06)
    """
    label_map.require_grid(exam.grid, exam.case_id)
    if breasts is not None:
        breasts.labels.require_grid(exam.grid, exam.case_id)
        breasts = breasts if breasts.is_trusted else None
    if findings is not None and not findings.grid.matches(exam.grid):
        raise InputError(
            f"Expected findings on the grid of exam {exam.case_id}, {exam.grid.describe()}",
            f"found some on {findings.grid.describe()}",
            "Segment this exam again",
        )
    if not (np.isfinite(pe_threshold_percent) and pe_threshold_percent > 0):
        raise InputError(
            "Expected an enhancement threshold above 0 %",
            f"found {pe_threshold_percent:g}",
            "Use 70, the usual value",
        )
    return _measure(exam, label_map, breasts, findings, previous, injection_s, pe_threshold_percent)


def _measure(
    exam: Exam,
    label_map: LabelMap,
    breasts: Breasts | None,
    findings: Findings | None,
    previous: LesionReport | None,
    injection_s: float | None,
    pe_threshold_percent: float,
) -> Job[LesionReport]:
    from scipy import ndimage

    yield Progress("Finding lesions", 0, 0)
    grid, tumor = exam.grid, label_map.tumor
    found, count, specks = _components(tumor, grid)
    boxes = ndimage.find_objects(found)
    lesions: list[Lesion] = []
    for number, box in enumerate(boxes, start=1):
        yield Progress("Measuring lesions", number - 1, count)
        mask = found[box] == number
        kinetics = describe_kinetics(
            exam,
            mask,
            box,
            injection_s=injection_s,
            pe_threshold_percent=pe_threshold_percent,
        )
        lesion = _lesion(mask, box, grid, breasts, kinetics)
        lesions.append(lesion if findings is None else _matched(lesion, mask, box, findings))
    yield Progress("Measuring lesions", count, count)
    ids = kept_ids(
        found,
        [lesion.center_voxel or (0.0, 0.0, 0.0) for lesion in lesions],
        [lesion.volume_px for lesion in lesions],
        [lesion.side for lesion in lesions],
        previous,
    )
    order = sorted(range(count), key=lambda place: _rank(lesions[place], ids[place]))
    places = np.zeros(count + 1, np.min_scalar_type(max(count, 256)))
    places[[place + 1 for place in order]] = np.arange(1, count + 1)
    named = tuple(replace(lesions[place], id=ids[place]) for place in order)
    kinetics = Kinetics()
    if tumor.any():
        kinetics = describe_kinetics(
            exam, tumor, injection_s=injection_s, pe_threshold_percent=pe_threshold_percent
        )
    outside = [lesion.id for lesion in named if (lesion.outside_share or 0) > 0.5]
    notes = []
    if outside:
        notes.append(f"mostly outside the breast: {', '.join(outside)}")
    if specks:
        notes.append(_specks_words(specks, grid))
    if grid.spacing_mm is None:
        notes.append("pixel size is not known: measures are in pixels")
    return LesionReport(
        case_id=exam.case_id,
        lesions=named,
        total=_total(int(np.count_nonzero(tumor)), named, kinetics, grid),
        pe_threshold_percent=pe_threshold_percent,
        spacing_mm=grid.spacing_mm,
        notes=tuple(notes),
        breasts=() if breasts is None else breasts.sides,
        labels=places[found],
    )


def _components(tumor: NDArray[np.bool_], grid: Grid) -> tuple[NDArray[np.int32], int, int]:
    """Components that are lesions, numbered from 1; how many these are, and the smaller ones."""
    from scipy import ndimage

    found, count = ndimage.label(tumor, np.ones((3, 3, 3), bool))
    sizes = np.bincount(found.ravel(), minlength=count + 1)
    is_lesion = sizes >= least_voxels(grid)
    is_lesion[0] = False
    numbers = np.cumsum(is_lesion, dtype=np.int32) * is_lesion
    listed = int(np.count_nonzero(is_lesion))
    return numbers[found], listed, count - listed


def _matched(
    lesion: Lesion,
    mask: NDArray[np.bool_],
    box: tuple[slice, slice, slice],
    findings: Findings,
) -> Lesion:
    """The lesion with number and score of the finding with which it shares most voxels."""
    shared = np.bincount(findings.labels[box][mask])
    shared[0] = 0
    if not shared.any():
        return lesion
    finding = findings.findings[int(shared.argmax()) - 1]
    return replace(lesion, finding=finding.number, score=finding.score)


def _rank(lesion: Lesion, lesion_id: str) -> tuple[bool, int, int]:
    """Sort key: findings as they are ordered, then the index lesion and the others."""
    return lesion.finding is None, lesion.finding or 0, order_of(lesion_id)


def _specks_words(specks: int, grid: Grid) -> str:
    size = f"{SMALLEST_MM:g} mm" if grid.spacing_mm is not None else f"{least_voxels(grid)} pixels"
    if specks == 1:
        return f"1 mark under {size} is in the total, not in the list"
    return f"{specks:,} marks under {size} are in the total, not in the list"


def _lesion(
    mask: NDArray[np.bool_],
    box: tuple[slice, slice, slice],
    grid: Grid,
    breasts: Breasts | None,
    kinetics: Kinetics,
) -> Lesion:
    shape = measure_shape(mask, grid)
    start = np.array([part.start for part in box])
    places = np.argwhere(mask) + start
    center = places.mean(axis=0)
    xs = places @ grid.affine[0, :3] + grid.affine[0, 3]
    point = grid.affine[:3, :3] @ center + grid.affine[:3, 3]
    voxels = int(np.count_nonzero(mask))
    extent = shape.extent
    lengths = {
        "diameter": extent.longest,
        "perpendicular": extent.perpendicular,
        "diameter_3d": None if grid.shape[0] == 1 else shape.longest_3d,
    }
    unit = "px" if grid.spacing_mm is None else "mm"
    measures: dict[str, Any] = {f"{name}_{unit}": length for name, length in lengths.items()}
    measures[f"surface_{unit}2"] = shape.surface
    inside = None if breasts is None else breasts.labels.data[box][mask]
    where = Location() if breasts is None else locate(breasts, _three(point))
    (y1, x1), (y2, x2) = extent.ends
    _, y0, x0 = (float(s) for s in start)
    return Lesion(
        id="",
        **_sizes(voxels, kinetics.functional_voxels, grid),
        **measures,
        sphericity=shape.sphericity,
        side=where.side or _side(inside, point, (float(xs.min()), float(xs.max())), grid),
        center_mm=_three(point) if grid.has_spacing and grid.has_orientation else None,
        center_voxel=_three(center),
        box=_box(box),
        diameter_z=extent.z + int(start[0]),
        diameter_ends=((y1 + y0, x1 + x0), (y2 + y0, x2 + x0)),
        outside_share=None if inside is None else float(np.mean(inside == 0)),
        quadrant=where.quadrant,
        clock=where.clock,
        nipple_mm=where.nipple_mm,
        kinetics=kinetics,
    )


def _sizes(voxels: int, functional: int | None, grid: Grid) -> dict[str, Any]:
    """Volumes, or the area in a single slice."""
    sizes: dict[str, Any] = {"volume_px": voxels, "functional_px": functional}
    if grid.voxel_ml is None:
        return sizes
    if grid.shape[0] == 1:
        _, y, x = grid.affine[:3, :3].T
        return {**sizes, "area_mm2": voxels * float(np.linalg.norm(np.cross(y, x)))}
    sizes["volume_ml"] = voxels * grid.voxel_ml
    sizes["functional_ml"] = None if functional is None else functional * grid.voxel_ml
    return sizes


def _side(
    inside: NDArray[np.uint8] | None,
    point: NDArray[np.float64],
    across: tuple[float, float],
    grid: Grid,
) -> Side | None:
    """Side of a lesion by the breasts, else by its center; `across` are its ends along RAS x."""
    if not grid.has_orientation:
        return None
    if inside is not None and inside.any():
        return "right" if np.count_nonzero(inside == 1) >= np.count_nonzero(inside == 2) else "left"
    # RAS x rises to the patient's right in NIfTI's and so in this package's convention.
    sizes = np.array(grid.shape) - 1.0
    across_mm = float(np.abs(grid.affine[0, :3]) @ (sizes + 1))
    middle = 0.0
    if grid.has_spacing and across_mm >= _BOTH_BREASTS_MM:
        middle = float(grid.affine[0, :3] @ (sizes / 2) + grid.affine[0, 3])
    if grid.has_spacing and across[0] < middle < across[1]:
        return None  # it lies across the middle: a cropped image may lie anywhere
    return "right" if point[0] >= middle else "left"


def _total(voxels: int, lesions: tuple[Lesion, ...], kinetics: Kinetics, grid: Grid) -> Lesion:
    functional = kinetics.functional_voxels if voxels else 0
    sides = {lesion.side for lesion in lesions}

    def longest(name: str) -> float | None:
        return max((v for one in lesions if (v := getattr(one, name)) is not None), default=None)

    return Lesion(
        id=TOTAL,
        **_sizes(voxels, functional, grid),
        diameter_mm=longest("diameter_mm"),
        diameter_px=longest("diameter_px"),
        diameter_3d_mm=longest("diameter_3d_mm"),
        diameter_3d_px=longest("diameter_3d_px"),
        side=sides.pop() if len(sides) == 1 else None,
        kinetics=kinetics,
    )


def _three(values: NDArray[np.float64]) -> tuple[float, float, float]:
    a, b, c = (float(v) for v in values)
    return (a, b, c)


def _box(
    box: tuple[slice, slice, slice],
) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    z, y, x = ((int(part.start), int(part.stop)) for part in box)
    return (z, y, x)
