"""How a phantom patient is laid on an exam's array: axial, sagittal and coronal slices.

The patient is drawn on body axes (head rising, front falling, left rising); each view is a
transposed and flipped copy of that. Imports `volume`, `config`, `fields`, `anatomy` only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ..core.volume import Grid
from .anatomy import BREAST_BASE_MM, Anatomy, BreastShape
from .config import PhantomConfig, View
from .fields import BODY_BOX_MM, Axes

__all__ = ["Layout", "anatomy_box_mm", "body_spacing_mm", "slice_range_mm"]

Scalar = TypeVar("Scalar", bound=np.generic)

# Body axis of each array axis, and whether it runs the other way.
_ORDER: dict[View, tuple[tuple[int, bool], ...]] = {
    "axial": ((0, False), (1, False), (2, False)),  # feet to head; front to back; right to left
    "sagittal": ((2, False), (0, True), (1, False)),  # right to left; head to feet; front to back
    "coronal": ((1, False), (0, True), (2, False)),  # front to back; head to feet; right to left
}

MARGIN_MM = 45.0
"""How far beyond the slices the anatomy is drawn, for lesions that a slab cuts."""


def slice_range_mm(
    rng: np.random.Generator, breasts: tuple[BreastShape, ...], config: PhantomConfig
) -> tuple[float, float]:
    """Lowest and highest position of the exam's slices along the body axis that they stack on.

    Parameters
    ----------
    rng : Generator
        Draws the place of an exam that may lie anywhere in the breasts.
    breasts : tuple of BreastShape
        Right, left.
    """
    shift, half = config.z_center_mm, config.field_mm[0] / 2
    wanted = [b for b in breasts if config.breasts in ("both", b.side)]
    if config.view == "axial":
        middle = float(rng.uniform(-60, 55)) if shift is None else shift
    elif config.view == "sagittal":
        if shift is None:
            breast = wanted[int(rng.integers(len(wanted)))]
            middle = breast.left_mm + float(rng.uniform(-0.85, 0.85)) * breast.half_width_mm
        else:
            middle = float(np.mean([b.left_mm for b in wanted])) + shift
    else:
        tip = max(b.tip_mm for b in wanted)
        if shift is None:
            middle = float(rng.uniform(BREAST_BASE_MM + 5, min(b.tip_mm for b in wanted) - 12))
        else:
            # A thick exam begins before the nipples, and then holds the chest.
            middle = min((tip + BREAST_BASE_MM) / 2, tip + float(rng.uniform(10, 22)) - half)
            middle += shift
    return middle - half, middle + half


@dataclass(frozen=True, eq=False)
class Layout:
    """An exam's grid, and the body positions of its voxels.

    Parameters
    ----------
    grid : Grid
        Of the exam's own array (z, y, x).
    axes : Axes
        Of the body's array (head, front, left).
    view : View
    """

    grid: Grid
    axes: Axes
    view: View

    @classmethod
    def place(
        cls,
        rng: np.random.Generator,
        anatomy: Anatomy,
        config: PhantomConfig,
        slices_mm: tuple[float, float],
    ) -> Layout:
        """Lay the patient: nipples a little inside the front edge, the breasts in the middle."""
        order = _ORDER[config.view]
        count, step, field = {}, {}, {}
        for (body_axis, _), n, s in zip(order, config.shape, config.spacing_mm, strict=True):
            count[body_axis], step[body_axis], field[body_axis] = n, s, n * s
        middle = sum(slices_mm) / 2
        wanted = [b for b in anatomy.breasts if config.breasts in ("both", b.side)]
        across = float(np.mean([b.left_mm for b in wanted])) if len(wanted) == 1 else 0.0
        top = max(nipple[1] for nipple in anatomy.nipples_mm) + float(rng.uniform(14, 30))
        top = max(top, (0.36 + float(rng.uniform(-0.03, 0.03))) * field[1])
        top = min(top, field[1] - 75)  # a short field keeps the chest wall in view
        aside = float(rng.uniform(-6, 6)) if field[2] > 300 else 0.0
        center_head = float(rng.uniform(-12, 20)) if config.view != "axial" else middle
        if config.view == "coronal":
            top = slices_mm[1] - step[1] / 2
        left_middle = middle if config.view == "sagittal" else across + aside
        head = center_head + (np.arange(count[0], dtype=np.float64) - (count[0] - 1) / 2) * step[0]
        front = top - np.arange(count[1], dtype=np.float64) * step[1]
        left = left_middle + (np.arange(count[2], dtype=np.float64) - (count[2] - 1) / 2) * step[2]
        axes = Axes(head, front, left, config.spacing_mm[0], order[0][0])

        # Body axes to RAS mm: right is minus left.
        affine = np.eye(4)
        affine[:3, :3] = 0
        for array_axis, (body_axis, is_flipped) in enumerate(order):
            row = (2, 1, 0)[body_axis]
            positions = (head, front, left)[body_axis]
            sign = -1 if (body_axis == 1) != is_flipped else 1
            to_ras = -1 if body_axis == 2 else 1
            affine[row, array_axis] = to_ras * sign * step[body_axis]
            affine[row, 3] = to_ras * positions[-1 if is_flipped else 0]
        return cls(Grid(config.shape, affine), axes, config.view)

    def to_array(self, body: NDArray[Scalar]) -> NDArray[Scalar]:
        """A body array, shape (head, front, left), as the exam's array, shape (Z, Y, X)."""
        order = _ORDER[self.view]
        turned = np.transpose(body, [body_axis for body_axis, _ in order])
        flips = tuple(slice(None, None, -1 if is_flipped else 1) for _, is_flipped in order)
        return np.ascontiguousarray(turned[flips])

    def to_indices(self, body: NDArray[np.intp]) -> NDArray[np.intp]:
        """Indices into a body array as indices into the exam's array, shape (N, 3)."""
        columns = [
            self.axes.shape[body_axis] - 1 - body[:, body_axis]
            if is_flipped
            else body[:, body_axis]
            for body_axis, is_flipped in _ORDER[self.view]
        ]
        return np.stack(columns, axis=1)


def anatomy_box_mm(
    config: PhantomConfig, slices_mm: tuple[float, float]
) -> tuple[tuple[float, float], ...]:
    """Extent (head, front, left) in which the patient must be drawn for these slices."""
    box = list(BODY_BOX_MM)
    body_axis = _ORDER[config.view][0][0]
    box[body_axis] = (slices_mm[0] - MARGIN_MM, slices_mm[1] + MARGIN_MM)
    return tuple(box)


def body_spacing_mm(config: PhantomConfig) -> tuple[float, float, float]:
    """Voxel spacing along (head, front, left)."""
    step = {axis: s for (axis, _), s in zip(_ORDER[config.view], config.spacing_mm, strict=True)}
    return (step[0], step[1], step[2])
