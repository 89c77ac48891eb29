"""Matching of lesions: within a case as its mask changes, and from visit to visit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .records import INDEX, TOTAL, Lesion, LesionReport, Side

__all__ = ["VISIT_REACH_MM", "Change", "compare_visits", "kept_ids"]

VISIT_REACH_MM = 40.0
"""Lesions of two visits with centers farther apart are not matched: a breast lies differently in
the coil each time, but not by half its width."""


@dataclass(frozen=True)
class Change:
    """Change of a lesion since the prior visit."""

    id: str
    """Id at this visit; for a lesion that is gone, at the prior one."""

    prior_id: str | None
    """None for a new lesion."""

    status: str
    """"followed", "new" or "gone"."""

    volume_ml: float | None = None
    """Volume now minus volume before; None if either is not known."""

    volume_relative: float | None = None
    diameter_mm: float | None = None
    diameter_relative: float | None = None
    functional_ml: float | None = None
    functional_relative: float | None = None
    moved_mm: float | None = None
    """Distance between both centers, to help the reader judge whether it is the same lesion."""


def compare_visits(prior: Sequence[Lesion], now: Sequence[Lesion]) -> tuple[Change, ...]:
    """Change of each lesion from one visit of a patient to the next.

    Parameters
    ----------
    prior, now : sequence of Lesion
        The lesions of both visits; "total" is compared with "total" if both have one.

    Returns
    -------
    tuple of Change
        In the order of `now`, followed by lesions that are gone. Lesions match if they are on the
        same side and nearest to each other, at most `VISIT_REACH_MM` apart; without positions,
        if they have the same id.
    """
    before = [lesion for lesion in prior if lesion.id != TOTAL]
    after = [lesion for lesion in now if lesion.id != TOTAL]
    far = VISIT_REACH_MM * 1e3
    cost = np.array([[_distance_mm(a, b, far) for b in after] for a in before])
    partner = _assign(cost.reshape(len(before), len(after)), VISIT_REACH_MM)
    of_now = {b: a for a, b in partner.items()}
    changes = [
        _new(lesion) if place not in of_now else _followed(before[of_now[place]], lesion)
        for place, lesion in enumerate(after)
    ]
    changes += [
        Change(lesion.id, lesion.id, "gone")
        for place, lesion in enumerate(before)
        if place not in partner
    ]
    totals = [next((one for one in visit if one.id == TOTAL), None) for visit in (prior, now)]
    if totals[0] is not None and totals[1] is not None:
        changes.append(_followed(totals[0], totals[1]))
    return tuple(changes)


def kept_ids(
    labels: NDArray[np.integer[Any]],
    centers_voxel: Sequence[tuple[float, float, float]],
    sizes: Sequence[int],
    sides: Sequence[Side | None],
    previous: LesionReport | None,
) -> list[str]:
    """An id for each component: its earlier id, else the next free one, largest first.

    Parameters
    ----------
    labels : array, shape (Z, Y, X)
        Components, 1 to N.
    centers_voxel : sequence of (z, y, x)
    sizes : sequence of int
        Voxels of each component.
    sides : sequence of {"right", "left"} or None
        The patient's side of each.
    previous : LesionReport, optional
        An earlier measurement of the case. A component matches the lesion with which it shares
        most voxels; if that report has no voxels, the nearest whose box contains it.

    Returns
    -------
    list of str
        "index", "satellite 1", ..., in the other breast "left 2" or "right 2"; the number of a
        lesion that is gone is not used again.
    """
    ids: dict[int, str] = {}
    earlier = () if previous is None else previous.lesions
    if previous is not None and earlier and sizes:
        if previous.labels is not None and previous.labels.shape == labels.shape:
            cost = _missed(previous.labels, labels, len(earlier), len(sizes))
        else:
            cost = np.array(
                [[_from_box(one, center) for center in centers_voxel] for one in earlier]
            )
        for old, new in _assign(cost, 0.999).items():
            ids[new] = earlier[old].id
    number = max((order_of(one.id) for one in earlier), default=0)
    # The index lesion's side now; that of an earlier report if it is gone.
    index_side = next((one.side for one in earlier if one.id == INDEX), None)
    index_side = next((sides[n] for n, name in ids.items() if name == INDEX), index_side)
    has_index = any(one.id == INDEX for one in earlier)
    for place in sorted(range(len(sizes)), key=lambda n: -sizes[n]):
        if place in ids:
            continue
        if not has_index:
            ids[place], has_index, index_side = INDEX, True, sides[place]
        else:
            number += 1
            side = sides[place]
            is_other = side is not None and index_side is not None and side != index_side
            ids[place] = f"{side if is_other else 'satellite'} {number}"
    return [ids[place] for place in range(len(sizes))]


def order_of(lesion_id: str) -> int:
    """Sort key of an id: the index lesion, then the others by number."""
    return 0 if lesion_id == INDEX else int(lesion_id.split()[-1])


def _assign(cost: NDArray[np.float64], limit: float) -> dict[int, int]:
    """Pairs of least total cost, none above the limit."""
    from scipy.optimize import linear_sum_assignment

    if cost.size == 0:
        return {}
    # Above the limit all costs are equal, so that no such pair displaces a near one.
    rows, columns = linear_sum_assignment(np.minimum(cost, 2 * limit + 1))
    return {
        int(row): int(column)
        for row, column in zip(rows, columns, strict=True)
        if cost[row, column] <= limit
    }


def _missed(
    old: NDArray[np.integer[Any]], new: NDArray[np.integer[Any]], n_old: int, n_new: int
) -> NDArray[np.float64]:
    """One minus the overlap of each pair over the smaller of both."""
    both = (old > 0) & (new > 0)
    pairs = np.zeros((n_old + 1, n_new + 1))
    np.add.at(pairs, (old[both], new[both]), 1)
    sizes_old = np.bincount(old.ravel(), minlength=n_old + 1)[1 : n_old + 1]
    sizes_new = np.bincount(new.ravel(), minlength=n_new + 1)[1 : n_new + 1]
    smaller = np.minimum(np.maximum(sizes_old, 1)[:, None], sizes_new[None])
    larger = np.maximum(sizes_old[:, None], sizes_new[None])
    # If a lesion splits, the piece with more of it keeps its id.
    missed: NDArray[np.float64] = 1 - 0.5 * pairs[1:, 1:] * (1 / smaller + 1 / larger)
    return missed


def _from_box(lesion: Lesion, center: tuple[float, float, float]) -> float:
    """Distance of a center from a lesion's, over half its box and a voxel; at most 1 inside."""
    if lesion.box is None or lesion.center_voxel is None:
        return float("inf")
    half = [max(1.0, (stop - start) / 2 + 1) for start, stop in lesion.box]
    away = zip(center, lesion.center_voxel, half, strict=True)
    return float(np.sqrt(sum(((a - b) / h) ** 2 for a, b, h in away)))


def _distance_mm(one: Lesion, other: Lesion, far: float) -> float:
    if one.side != other.side:
        return far
    if one.center_mm is None or other.center_mm is None:
        return 0.0 if one.id == other.id else far
    return float(np.linalg.norm(np.subtract(one.center_mm, other.center_mm)))


def _new(lesion: Lesion) -> Change:
    return Change(lesion.id, None, "new")


def _followed(before: Lesion, now: Lesion) -> Change:
    def both(name: str) -> tuple[float | None, float | None]:
        old, new = getattr(before, name), getattr(now, name)
        if old is None or new is None:
            return None, None
        return new - old, (new - old) / old if old else None

    volume, diameter, functional = map(both, ("volume_ml", "diameter_mm", "functional_ml"))
    moved = None
    if before.center_mm is not None and now.center_mm is not None and now.id != TOTAL:
        moved = float(np.linalg.norm(np.subtract(now.center_mm, before.center_mm)))
    return Change(now.id, before.id, "followed", *volume, *diameter, *functional, moved)
