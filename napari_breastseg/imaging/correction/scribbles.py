"""Scribbles "in" and "out", applied to the mask by a random walk in the image around them.

References
----------
Grady, IEEE Transactions on Pattern Analysis and Machine Intelligence 28, 1768-1783 (2006).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import InputError
from ...core.region import tight_box, widened
from ...core.volume import BACKGROUND, TUMOR, LabelMap
from .clicking import Readable
from .regions import Edit, Mask, spacing_of

__all__ = ["IN", "OUT", "apply_scribbles"]

IN, OUT = 1, 2
"""Values of a scribble: this is tumor, this is none."""

REACH = 8.0
"""How far from a scribble the mask is open to change, in mm (pixels)."""

_MOST_OPEN = 60_000
"""Voxels a random walk decides in time; with more of them it runs on a coarser grid."""

_BETA = 60.0


def apply_scribbles(
    label_map: LabelMap,
    values: Readable,
    marks: NDArray[Any],
    *,
    axis: int = 0,
    reach: float = REACH,
) -> Edit:
    """Redraw the mask near scribbles: each voxel joins the side its random walk reaches first.

    Parameters
    ----------
    label_map : LabelMap
    values : array or map, shape (Z, Y, X)
        The image in which edges are looked for; read near the scribbles only.
    marks : array, shape (Z, Y, X)
        1 in, 2 out, 0 elsewhere.
    axis : int
        Array axis the reader looks along. Scribbles in one slice change that slice only.
    reach : float
        The mask farther than this from every scribble stays as it is and, like the scribbles,
        marks what is in and what is out. In mm, or pixels where spacing is unknown.

    Raises
    ------
    InputError
        If nothing is scribbled, or nothing within reach says what is in, or what is out.
    """
    drawn = tight_box(marks > 0)
    if drawn is None:
        raise InputError(
            "Expected scribbles", "found none", "Draw over what is tumor, or over what is not"
        )
    spacing = spacing_of(label_map.grid)
    more = [math.ceil(reach / step) + 1 for step in spacing]
    if drawn[axis].stop - drawn[axis].start == 1:
        more[axis] = 0
    box = widened(drawn, label_map.data.shape, more)
    now = label_map.data[box]
    own = marks[box]
    seeds = np.where(now == TUMOR, IN, OUT).astype(np.int32)
    seeds[_near(own > 0, reach, spacing)] = 0
    seeds[own == IN] = IN
    seeds[own == OUT] = OUT
    for kind, word in ((IN, "in"), (OUT, "out")):
        if not (seeds == kind).any():
            raise InputError(
                "Expected both tumor and background near the scribbles",
                f"found nothing that is {word}",
                f"Draw a scribble '{word}' too",
            )
    is_in = _walked(np.asarray(values[box], np.float32), seeds, spacing)
    wanted = now.copy()
    wanted[(now == TUMOR) & ~is_in] = BACKGROUND
    wanted[is_in] = TUMOR
    return Edit.within(label_map.data, box, wanted)


def _near(marks: Mask, reach: float, spacing: tuple[float, float, float]) -> Mask:
    from scipy import ndimage

    near: Mask = ndimage.distance_transform_edt(~marks, sampling=spacing) <= reach
    return near


def _walked(
    values: NDArray[np.float32], seeds: NDArray[np.int32], spacing: tuple[float, float, float]
) -> Mask:
    """Whether the walk from each voxel ends in what is in."""
    from skimage.measure import block_reduce
    from skimage.segmentation import random_walker

    if not (seeds == 0).any():
        decided: Mask = seeds == IN
        return decided
    step = math.ceil(math.sqrt(np.count_nonzero(seeds == 0) / _MOST_OPEN))
    # Coarser within slices: across them voxels are wide already.
    blocks = (1, max(1, step), max(1, step))
    coarse = block_reduce(seeds, blocks, np.max)
    image = block_reduce(values, blocks, np.mean, cval=float(np.median(values)))
    image = (image - image.mean()) / max(float(image.std()), 1e-6)
    thick = [axis for axis, size in enumerate(image.shape) if size > 1]
    walked = random_walker(
        image.squeeze(),
        coarse.squeeze(),
        beta=_BETA,
        prob_tol=np.inf,  # which of two is likelier counts, not how likely it is
        spacing=[spacing[axis] * blocks[axis] for axis in thick],
    ).reshape(image.shape)
    for axis in (1, 2):
        walked = walked.repeat(blocks[axis], axis=axis)
    z, y, x = seeds.shape
    is_in: Mask = np.where(seeds > 0, seeds, walked[:z, :y, :x]) == IN
    return is_in
