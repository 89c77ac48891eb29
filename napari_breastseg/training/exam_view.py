"""One exam as its learner looks at it: prepared once, and looked at again box by box.

Imports torch when called; no Qt.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..core.progress import Job, Progress
from ..core.region import Region, grown, resampled, tight_box, whole, widened
from ..core.volume import Exam
from ..imaging.preprocessing import prepare, stack_inputs
from ..model.unet import ModelSpec
from ..predict.passes import Views, looks, slices_with_context

if TYPE_CHECKING:
    import torch

__all__ = ["ExamView", "boxes_around"]

FIELD_MM = 25.0
"""What the network sees around a box on every side, where the size of the pixels is known."""

NEAR_MM = 6.0
"""How far from what is marked something new may be drafted; farther off, background that the draft
was sure of is kept."""

PX_PER_MM = 2.0
"""Stands in for the size of pixels that is not known."""

BATCH_PIXELS = 200_000
"""Pixels of one pass: keeps canceling within a fraction of a second."""

_ROUNDED = (4, 8, 8)
"""Bounds of boxes (z, y, x) are multiples of these."""

Compute = Callable[["torch.Tensor"], "torch.Tensor"]


@dataclass(frozen=True, eq=False)
class ExamView:
    """An exam on the working grid of a model."""

    exam: Exam
    spec: ModelSpec
    phases: torch.Tensor
    """Normalized phases (P, Z, Y, X) on the working grid, at half precision."""

    roles: tuple[str, ...]
    views: Views
    """How often, and how, the network looks at it, see `passes.Views`."""

    @classmethod
    def of(cls, exam: Exam, spec: ModelSpec, model_name: str) -> ExamView:
        """An exam, prepared for a model.

        Raises
        ------
        InputError
            If it lacks a phase that the model cannot do without.
        """
        roles = spec.require(exam, model_name)
        prepared = prepare(exam, roles, spacing_mm=spec.spacing_mm, percentiles=spec.percentiles)
        sides = (False, True) if spec.mirrored else (False,)
        views = tuple(product(sides, spec.scales_for(exam)))
        return cls(exam, spec, prepared.phases.half(), prepared.roles, views)

    @property
    def working_shape(self) -> tuple[int, int, int]:
        """Shape (Z, Y, X) of the working grid."""
        z, y, x = self.phases.shape[1:]
        return z, y, x

    def look(
        self, compute: Compute, box: Region, device: torch.device, stage: str, *, each: bool
    ) -> Job[torch.Tensor]:
        """What a network computes in a box.

        Parameters
        ----------
        compute : callable
            Takes a batch (B, C, Y, X), gives (B, N, Y, X).
        box : Region
            On the exam's own grid.
        device : torch.device
        stage : str
            What is being done, in words a user reads.
        each : bool
            Keep what each view gives, one after another along N; else take their mean.

        Yields
        ------
        Progress

        Returns
        -------
        Tensor, shape (N, Z, Y, X)
            The box on the exam's own grid, float32, on the CPU.
        """
        import torch

        known = self.exam.grid.has_spacing
        field = grown(box, self.exam, FIELD_MM) if known else whole(self.exam)
        shapes = self.exam.grid.shape, self.working_shape
        inner = widened(resampled(box, *shapes), self.working_shape, (1, 1, 1))
        _, rows, columns = resampled(field, *shapes)
        # Neighboring slices are channels of a 2.5D network.
        context = self.spec.context_slices
        (deep, _, _) = widened(inner, self.working_shape, (context, 0, 0))
        part = self.phases[:, deep, rows, columns].float()
        inputs = stack_inputs(part, self.roles, self.spec.inputs)
        wanted = list(range(inner[0].start - deep.start, inner[0].stop - deep.start))
        per_batch = max(1, BATCH_PIXELS // (part.shape[2] * part.shape[3]))
        found = []
        for start in range(0, len(wanted), per_batch):
            chosen = wanted[start : start + per_batch]
            batch = slices_with_context(inputs, chosen, context).to(device)
            with torch.no_grad():
                every = list(looks(compute, self.spec, batch, self.views))
                seen = torch.cat(every, 1) if each else torch.stack(every).mean(0)
            cut = (
                slice(inner[1].start - rows.start, inner[1].stop - rows.start),
                slice(inner[2].start - columns.start, inner[2].stop - columns.start),
            )
            found.append(seen[(slice(None), slice(None), *cut)].cpu())
            yield Progress(stage, start + len(chosen), len(wanted))
        together = torch.cat(found).transpose(0, 1)
        return _onto(together, inner, self.working_shape, box, self.exam.grid.shape)

    def near(self, marks: NDArray[np.bool_], limit_mm: float = NEAR_MM) -> NDArray[np.bool_]:
        """Voxels this close to the marks in a box (Z, Y, X); in pixels, twice as many."""
        from scipy.ndimage import distance_transform_edt

        if not marks.any():
            return np.zeros(marks.shape, bool)
        spacing_mm = self.exam.grid.spacing_mm
        sampling = spacing_mm or (1 / PX_PER_MM,) * 3
        is_near: NDArray[np.bool_] = distance_transform_edt(~marks, sampling=sampling) <= limit_mm
        return is_near

    def joined(self, probability: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probability (Z, Y, X) of a box, smoothed through the slices as the spec says."""
        from scipy.ndimage import gaussian_filter1d

        spacing_mm = self.exam.grid.spacing_mm
        if self.spec.through_plane_mm == 0 or spacing_mm is None:
            return probability
        sigma = self.spec.through_plane_mm / spacing_mm[0]
        smooth: NDArray[np.float32] = gaussian_filter1d(probability, sigma, axis=0, mode="nearest")
        return smooth


def _onto(
    array: torch.Tensor,
    at: Region,
    shape: Sequence[int],
    box: Region,
    exam_shape: Sequence[int],
) -> torch.Tensor:
    """Array (N, Z, Y, X) of a part of the working grid, linearly onto a box of the exam's grid."""
    import torch

    parts = zip(at, shape, box, exam_shape, strict=True)
    for axis, (here, working, wanted, own) in enumerate(parts, start=1):
        centers = (torch.arange(wanted.start, wanted.stop) + 0.5) * (working / own) - 0.5
        places = (centers - here.start).clamp(0, array.shape[axis] - 1)
        low = places.floor().long()
        high = (low + 1).clamp(max=array.shape[axis] - 1)
        share = (places - low).reshape([-1 if n == axis else 1 for n in range(4)])
        if not share.any():
            array = array.index_select(axis, low)
        else:
            array = torch.lerp(array.index_select(axis, low), array.index_select(axis, high), share)
    return array


def boxes_around(
    marks: NDArray[np.bool_], exam: Exam, reach_mm: tuple[float, float, float]
) -> list[Region]:
    """Boxes around the connected parts of a mask, widened; those that overlap much are one.

    Parameters
    ----------
    marks : array of bool, shape (Z, Y, X)
    exam : Exam
        Of a size that is known.
    reach_mm : tuple of float
        By how much they are widened along (z, y, x).
    """
    from scipy import ndimage

    tight = tight_box(marks)
    if tight is None:
        return []
    steps = [max(1, round(mm / s)) for mm, s in zip(reach_mm, exam.grid.voxel_size, strict=True)]
    parts, _ = ndimage.label(marks[tight], np.ones((3, 3, 3)))
    boxes = []
    for found in ndimage.find_objects(parts):
        moved = [
            slice(p.start + t.start, p.stop + t.start) for p, t in zip(found, tight, strict=True)
        ]
        wide = widened((moved[0], moved[1], moved[2]), marks.shape, steps)
        boxes.append(_rounded(wide, marks.shape))
    return merged(boxes)


def _rounded(box: Region, shape: tuple[int, ...]) -> Region:
    """A box with bounds that stay when what it was drawn around changes a little."""
    z, y, x = (
        slice(part.start // step * step, min(size, -(-part.stop // step) * step))
        for part, size, step in zip(box, shape, _ROUNDED, strict=True)
    )
    return z, y, x


def merged(boxes: Sequence[Region]) -> list[Region]:
    """Boxes of which two become one where that costs little: no more voxels than both have."""
    left = list(boxes)
    done: list[Region] = []
    while left:
        box = left.pop()
        for number, other in enumerate(left):
            both = _hull(box, other)
            if _size(both) <= _size(box) + _size(other):
                left[number] = both
                break
        else:
            done.append(box)
    return sorted(done, key=lambda box: [part.start for part in box])


def _hull(a: Region, b: Region) -> Region:
    z, y, x = (slice(min(p.start, q.start), max(p.stop, q.stop)) for p, q in zip(a, b, strict=True))
    return z, y, x


def _size(box: Region) -> int:
    return math.prod(int(part.stop - part.start) for part in box)
