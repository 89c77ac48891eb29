"""A click carried through an exam: its slice first, then outward from slice to slice.

Imports torch when called; no Qt.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core.overlap import dice
from ..core.progress import Job, Progress
from ..core.volume import Exam
from ..imaging.intensity import intensity_window
from ..imaging.preprocessing import phase_slice
from .answering import Answer, answer_slice
from .prompts import UNKNOWN_MM, Prompts

if TYPE_CHECKING:
    import torch

    from ..model.checkpoint import Checkpoint

__all__ = ["ClickReader", "Outline"]

Mask = NDArray[np.bool_]

LEAST_MM2 = 2.0
"""A lesion ends where less of it than this is found in a slice, or less than one voxel."""

LEAST_SHARE = 0.05
"""So much of its widest slice a lesion is in every other: what goes on from it thinner than this is
a vessel."""

CLOSE_MM = 3.0
"""Parts of a mask this near to each other are one lesion."""

SAME = 0.97
"""Dice from which a slice counts as unchanged: further ones are left as they are."""


@dataclass(frozen=True, eq=False)
class Outline:
    """A mask after a click, and where it changed."""

    mask: Mask
    """Of the whole exam, (Z, Y, X)."""

    probabilities: Mapping[int, NDArray[np.float32]]
    """Of tumor (Y, X), in the slices along z that were asked."""

    is_empty: bool = False
    """Whether the network found nothing at any click: the mask is then as it was."""


class ClickReader:
    """Answers clicks in one exam; holds no more of it than the slices asked last.

    Parameters
    ----------
    model : Checkpoint
        A click network.
    exam : Exam

    Raises
    ------
    InputError
        If the exam lacks what the model needs, or its image is constant.
    """

    def __init__(self, model: Checkpoint, exam: Exam) -> None:
        self.model, self.exam = model, exam
        self.roles = model.spec.require(exam, model.info.name)
        # As `preprocessing.prepare` normalizes a whole exam.
        self._low, self._high = intensity_window(
            [exam.phases[role].data for role in self.roles if role in exam.phases],
            model.spec.percentiles,
        )
        spacing = exam.grid.spacing_mm
        self.pixel_mm = (UNKNOWN_MM, UNKNOWN_MM) if spacing is None else spacing[1:]
        self.phases = lru_cache(8)(self._read)
        """Gives the phases of a slice along z, normalized, (P, Y, X)."""

    def answer(self, z: int, prompts: Prompts, mask: Mask | None = None) -> Answer:
        """What one slice shows, given all that was said of it and its mask (Y, X) so far."""
        return self._ask(z, prompts, mask)

    def outline(
        self,
        said: Mapping[int, Prompts],
        at: Collection[int],
        mask: Mask,
        kept: Collection[int] = (),
    ) -> Job[Outline]:
        """Outline the lesion through all its slices.

        Parameters
        ----------
        said : mapping of int to Prompts
            All that was said of this lesion, by slice.
        at : collection of int
            The slice of the last click, or the slices that a drag passed.
        mask : ndarray of bool, shape (Z, Y, X)
            The mask so far; it is not changed.
        kept : collection of int
            Slices that stay as they are: the reader has corrected them.

        Yields
        ------
        Progress

        Returns
        -------
        Outline
            The slices `at`, then those beside them as far as the lesion goes, or as far as the
            click changes anything. Other slices with prompts of their own are not asked again.
        """
        yield Progress("Outlining the lesion", 0, 0)
        found = mask.copy()
        asked: dict[int, NDArray[np.float32]] = {}
        lesion: dict[int, Mask] = {}
        for z in sorted(at):
            answer = self._ask(z, said[z], mask[z])
            asked[z] = answer.probability
            if not answer.is_empty:
                found[z] = answer.mask
                lesion[z] = _meant(found[z], said[z], self.pixel_mm)
            yield Progress("Outlining the lesion", len(asked), 0)
        if not lesion:
            return Outline(found, asked, is_empty=True)
        widest = max(int(part.sum()) for part in lesion.values())
        for step, end in ((-1, min(lesion)), (1, max(lesion))):
            z, beside, gone = end + step, lesion[end], mask[end] & ~found[end]
            only_enhancing = said[end].only_enhancing
            while 0 <= z < len(mask) and (beside.any() or gone.any()):
                if z in kept or z in said:
                    beside, gone = _overlapping(mask[z], beside, self.pixel_mm), gone & False
                else:
                    least = max(LEAST_MM2 / self._pixel_mm2, LEAST_SHARE * widest)
                    new = self._carried(
                        z, mask[z], beside, gone, least, asked, only_enhancing=only_enhancing
                    )
                    yield Progress("Outlining the lesion", len(asked), 0)
                    if new is None:
                        break
                    found[z] = new
                    beside, gone = _overlapping(new, beside, self.pixel_mm), mask[z] & ~new
                    widest = max(widest, int(beside.sum()))
                z += step
        return Outline(found, asked)

    def _carried(
        self,
        z: int,
        mask: Mask,
        beside: Mask,
        gone: Mask,
        least: float,
        asked: dict[int, NDArray[np.float32]],
        *,
        only_enhancing: bool,
    ) -> Mask | None:
        """A slice's mask (Y, X), given the lesion and what was dropped in the slice before it.

        `least` are the pixels with which the lesion goes on where nothing was marked before. None
        when the lesion has ended and nothing changes. Where both the mask so far and the slice
        before say lesion, a click stands for the reader's, and so where both say that what is
        marked was dropped.
        """
        old = _overlapping(mask, beside, self.pixel_mm)
        prompts = Prompts(only_enhancing=only_enhancing)
        for both, is_lesion in ((old & beside, True), (mask & gone, False)):
            if both.sum() * self._pixel_mm2 >= LEAST_MM2:
                prompts = prompts.with_click(_deepest(both), is_lesion)
        if not beside.any() and not prompts.outside:
            return None
        neighbor = beside if beside.any() else None
        answer = self._ask(z, prompts, mask, neighbor)
        asked[z] = answer.probability
        meant = beside | (mask & gone)
        new, old = (_overlapping(one, meant, self.pixel_mm) for one in (answer.mask, mask))
        new |= _filled_before(new, beside)
        if new.sum() < (least if not old.any() else LEAST_MM2 / self._pixel_mm2):
            new = new & False
        if not (new.any() or old.any()) or (old.any() and dice(old, new) >= SAME):
            return None
        return (mask & ~old) | new

    @property
    def _pixel_mm2(self) -> float:
        return self.pixel_mm[0] * self.pixel_mm[1]

    def _ask(
        self, z: int, prompts: Prompts, mask: Mask | None, neighbor: Mask | None = None
    ) -> Answer:
        phases = self.phases(z)
        return answer_slice(
            self.model,
            phases,
            self.roles,
            prompts,
            mask,
            neighbor=neighbor,
            pixel_mm=self.pixel_mm,
        )

    def _read(self, z: int) -> torch.Tensor:
        """The phases of a slice, normalized, (P, Y, X)."""
        import torch

        found = []
        for role in self.roles:
            values = phase_slice(self.exam, role, z).astype(np.float32)
            offset = 0.0 if role.startswith("sub") else self._low
            found.append(torch.from_numpy((values - offset) / (self._high - self._low)))
        return torch.stack(found)


def _meant(mask: Mask, prompts: Prompts, size: tuple[float, float]) -> Mask:
    """The parts of a slice's mask that its prompts speak of."""
    near = np.zeros_like(mask)
    for y, x in (*prompts.inside, *prompts.outside):
        at = tuple(np.clip(np.round([y, x]).astype(int), 0, np.array(mask.shape) - 1))
        near[at] = True
    if prompts.box is not None:
        y0, x0, y1, x1 = (max(0, round(v)) for v in prompts.box)
        near[y0 : y1 + 1, x0 : x1 + 1] = True
    return _overlapping(mask, near, size)


def _filled_before(mask: Mask, beside: Mask) -> Mask:
    """Holes of a slice's mask that are lesion in the slice before, for their larger part."""
    holes, count = ndimage.label(ndimage.binary_fill_holes(mask) & ~mask)
    shares = ndimage.mean(beside, holes, range(1, count + 1)) if count else []
    found: Mask = np.isin(holes, 1 + np.flatnonzero(np.asarray(shares) >= 0.5))
    return found


def _deepest(mask: Mask) -> tuple[int, int]:
    """The place (y, x) farthest from the borders of a mask that is not empty."""
    deep = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    y, x = np.unravel_index(int(deep.argmax()), deep.shape)
    return int(y), int(x)


def _overlapping(mask: Mask, other: Mask, size: tuple[float, float]) -> Mask:
    """The parts of a mask that touch another, and those close about them."""
    if not (mask.any() and other.any()):
        return np.zeros_like(mask)
    components, _ = ndimage.label(mask, np.ones((3, 3)))
    touched = np.unique(components[other & mask])
    if not touched.any():
        far = ndimage.distance_transform_edt(~other, sampling=size)
        touched = np.unique(components[mask & (far <= CLOSE_MM)])
    found: Mask = np.isin(components, touched[touched > 0])
    if found.any():
        far = ndimage.distance_transform_edt(~found, sampling=size)
        close = np.unique(components[mask & (far <= CLOSE_MM)])
        found = np.isin(components, close[close > 0])
    return found
