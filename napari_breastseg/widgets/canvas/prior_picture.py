"""A prior exam as a picture: at the place that the canvas shows, the same way round.

It is never a layer, so that nobody can draw in it or segment it, and a bar says what it is.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from ...core.volume import Grid
from ..parts import colors as _colors
from ..state.opening import phase_time_words
from ..state.prior import Link, PriorExam, change_of_volume, tumor_ml
from ..state.sources import grid_noted, note_of, plain_grid, shape_of
from .planes import Plane, grey_table, hung
from .present import Present
from .slice_picture import SlicePicture

__all__ = ["PriorPicture"]


class PriorPicture:
    """Draws a prior exam, and keeps how it is linked to the current one.

    Parameters
    ----------
    prior : PriorExam
    present : Present
    """

    def __init__(self, prior: PriorExam, present: Present) -> None:
        self._prior = prior
        self._present = present
        self._limits = prior.limits
        self._now = _grid(present)
        self._link = Link(self._now, prior.exam.grid)
        mask = prior.mask
        self._then_ml = None if mask is None else tumor_ml(mask.data, mask.grid)
        self.words = ""
        """Volume now and then."""

    def compare(self, labels: NDArray[np.uint8] | None) -> None:
        """Take the current exam's mask (Z, Y, X), to say how the volume changed."""
        now_ml = None if labels is None else tumor_ml(labels, self._now)
        self.words = change_of_volume(now_ml, self._then_ml)

    def picture(self) -> SlicePicture:
        """A picture that follows the canvas."""
        picture = SlicePicture(self._look)
        picture.setToolTip(
            "The wheel scrolls both exams; with Alt the prior alone, which stays linked so.\n"
            "Drag to shift it in the slice; drag with the right button for window and level."
        )
        picture.zoomed.connect(self._present.zoom_by)
        picture.dragged.connect(partial(self._shift, picture))
        picture.scrolled.connect(partial(self._scroll, picture))
        picture.windowed.connect(partial(self._window, picture))
        return picture

    def _look(self) -> Plane | None:
        prior, link, layer = self._prior, self._link, self._present.shown
        if layer is None:
            return None
        present, grid = self._present, prior.exam.grid
        now = present.order(layer)
        order = link.order(now)
        voxel, center = link.voxel(present.voxel(layer)), link.voxel(present.camera_voxel(layer))
        role, volume = prior.picture(str(note_of(layer).get("role") or ""))
        through, index, count = order[0], round(float(voxel[order[0]])), grid.shape[order[0]]
        is_blank = not 0 <= index < count
        is_flipped, letters = hung(grid, order)
        time_s = prior.exam.times_s.get(role)
        what = role if time_s is None else f"{role} {phase_time_words(time_s)}"
        place = "outside of the prior's slices" if is_blank else f"slice {index + 1}/{count}"
        lines = [f"{what}   {place}", link.words(through), self.words]
        pointer = present.pointer(layer)
        there = None if pointer is None else link.voxel(pointer)
        return Plane(
            volume.data,
            order,
            index,
            (grid.voxel_size[order[1]], grid.voxel_size[order[2]]),
            is_flipped,
            letters,
            self._limits,
            grey_table(),
            center=(float(center[order[1]]), float(center[order[2]])),
            fitted=present.fitted(layer),
            zoom=present.zoom(layer),
            mask=None if prior.mask is None else prior.mask.data,
            mask_color=_colors.REMOVED,
            pointer=None if there is None else (float(there[order[1]]), float(there[order[2]])),
            caption="\n".join(line for line in lines if line),
            title=prior.title,
            is_blank=is_blank,
        )

    def _scroll(self, picture: SlicePicture, steps: int, is_alone: bool) -> None:
        if not is_alone:
            self._present.scroll_on(steps)
        elif picture.plane is not None:
            self._link.shift[picture.plane.order[0]] += steps
            picture.renew()

    def _shift(self, picture: SlicePicture, down: float, across: float) -> None:
        """Move the prior with the mouse: what is under it then lies under another place."""
        plane = picture.plane
        if plane is not None:
            self._link.shift[list(plane.order[1:])] -= down / plane.size[0], across / plane.size[1]
            picture.follow()

    def _window(self, picture: SlicePicture, right: int, down: int) -> None:
        low, high = self._limits
        center, half = (low + high) / 2, (high - low) / 2
        center += 0.004 * down * (high - low)
        half *= 1.01**right
        self._limits = center - half, center + half
        picture.renew()


def _grid(present: Present) -> Grid:
    """The current exam's grid."""
    layer = present.shown
    grid = grid_noted(layer)
    if grid is not None:
        return grid
    return plain_grid((1, *shape_of(layer))[-3:], tuple(layer.scale), layer.units)
