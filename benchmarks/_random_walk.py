"""A mask redrawn near marks "in" and "out" by a random walk, to hold the click network against.

The program had it as a tool, "Scribble in / out", until the smart click did better on every set.

References
----------
Grady, IEEE Transactions on Pattern Analysis and Machine Intelligence 28, 1768-1783 (2006).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import block_reduce
from skimage.segmentation import random_walker

from napari_breastseg.core.region import tight_box, widened

__all__ = ["IN", "OUT", "walked"]

Mask = NDArray[np.bool_]

IN, OUT = 1, 2
REACH_MM = 8.0
"""How far from a mark the mask is open to change; farther off it says what is in and what out."""

MOST_OPEN = 60_000
"""Voxels that are decided in time; with more of them the walk runs on a coarser grid."""


def walked(
    mask: Mask,
    values: NDArray[np.float32],
    marks: NDArray[np.uint8],
    spacing_mm: tuple[float, float, float],
) -> Mask:
    """The mask (Z, Y, X) with each voxel near the marks on the side its walk reaches first.

    Marks in one slice change that slice only. The mask as it was where nothing is marked, or where
    nothing within reach is in, or out.
    """
    drawn = tight_box(marks > 0)
    if drawn is None:
        return mask
    more = [math.ceil(REACH_MM / step) + 1 for step in spacing_mm]
    if drawn[0].stop - drawn[0].start == 1:
        more[0] = 0
    box = widened(drawn, mask.shape, more)
    own = marks[box]
    seeds = np.where(mask[box], IN, OUT).astype(np.int32)
    seeds[ndimage.distance_transform_edt(own == 0, sampling=spacing_mm) <= REACH_MM] = 0
    seeds[own > 0] = own[own > 0]
    if not ((seeds == IN).any() and (seeds == OUT).any()):
        return mask
    found = mask.copy()
    found[box] = _sides(values[box], seeds, spacing_mm) == IN
    return found


def _sides(
    values: NDArray[np.float32], seeds: NDArray[np.int32], spacing_mm: tuple[float, float, float]
) -> NDArray[np.int32]:
    """The seed that the walk from each voxel reaches first."""
    # Coarser within slices: across them voxels are wide already.
    step = max(1, math.ceil(math.sqrt(np.count_nonzero(seeds == 0) / MOST_OPEN)))
    blocks = (1, step, step)
    coarse = block_reduce(seeds, blocks, np.max)
    image = block_reduce(values, blocks, np.mean, cval=float(np.median(values)))
    image = (image - image.mean()) / max(float(image.std()), 1e-6)
    thick = [axis for axis, size in enumerate(image.shape) if size > 1]
    sides = random_walker(
        image.squeeze(),
        coarse.squeeze(),
        beta=60.0,
        prob_tol=np.inf,  # which of two is likelier counts, not how likely it is
        spacing=[spacing_mm[axis] * blocks[axis] for axis in thick],
    ).reshape(image.shape)
    z, y, x = seeds.shape
    sides = sides.repeat(step, axis=1).repeat(step, axis=2)[:z, :y, :x]
    decided: NDArray[np.int32] = np.where(seeds > 0, seeds, sides)
    return decided
