"""A simulated reader: where it clicks, what it leaves half done, how it misses.

A click goes to the middle of the largest error, on the lesion where lesion is missing and beside
it where too much is marked, with a hand's jitter. Knows NumPy only.

References
----------
Sofiiuk, Petrov, Konushin: Reviving iterative training with mask guidance for interactive
segmentation, 2021, arXiv 2102.06583 (clicks from a model's own errors while it learns).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["altered", "as_drawn", "box_around", "click_on_largest_error"]

Mask = NDArray[np.bool_]
_ALL = np.ones((3, 3), bool)


def click_on_largest_error(
    mask: Mask, truth: Mask, rng: np.random.Generator | None = None, *, jitter: float = 0.35
) -> tuple[tuple[int, int], bool] | None:
    """Place (y, x) of a reader's next click, and whether it says lesion.

    Parameters
    ----------
    mask, truth : ndarray of bool, shape (Y, X)
    rng : numpy.random.Generator, optional
        Moves the click; without it the click is in the very middle.
    jitter : float
        Standard deviation of the hand's aim, as a share of the distance from the error's middle to
        its border.

    Returns
    -------
    tuple or None
        None when nothing is wrong.
    """
    best: tuple[float, tuple[int, int], bool] | None = None
    for error, is_lesion in ((truth & ~mask, True), (mask & ~truth, False)):
        components, count = ndimage.label(error, _ALL)
        if not count:
            continue
        sizes = np.bincount(components.ravel())[1:]
        largest = components == 1 + int(sizes.argmax())
        if best is not None and sizes.max() <= best[0]:
            continue
        deep = ndimage.distance_transform_edt(np.pad(largest, 1))[1:-1, 1:-1]
        y, x = np.unravel_index(int(deep.argmax()), deep.shape)
        if rng is not None:
            moved = np.round(np.array([y, x]) + rng.normal(0, jitter * deep[y, x], 2))
            moved = moved.astype(int)
            moved = np.clip(moved, 0, np.array(mask.shape) - 1)
            if error[tuple(moved)]:
                y, x = moved
        best = (float(sizes.max()), (int(y), int(x)), is_lesion)
    return None if best is None else (best[1], best[2])


def altered(truth: Mask, rng: np.random.Generator) -> Mask:
    """A mask as a reader or a model may leave it: too large, too small, cut, moved, with more."""
    mask = truth.copy()
    deepest = ndimage.distance_transform_edt(np.pad(truth, 1)).max() if truth.any() else 0.0
    kind = rng.choice(["grown", "shrunk", "cut", "moved", "rough"])
    if kind == "grown":
        mask = ndimage.distance_transform_edt(~truth) <= rng.uniform(1, 2 + deepest)
    elif kind == "shrunk":
        mask = ndimage.distance_transform_edt(truth) > rng.uniform(0, 0.9) * deepest
    elif kind == "cut" and truth.any():
        middle = np.argwhere(truth)[rng.integers(int(truth.sum()))]
        way = rng.normal(size=2)
        y, x = np.indices(truth.shape)
        mask = truth & ((y - middle[0]) * way[0] + (x - middle[1]) * way[1] < 0)
    elif kind == "moved":
        mask = ndimage.shift(truth, rng.normal(0, 1 + deepest / 2, 2), order=0)
    else:
        noise = ndimage.gaussian_filter(rng.standard_normal(truth.shape), 3)
        inside = ndimage.distance_transform_edt(truth) - ndimage.distance_transform_edt(~truth)
        mask = inside + noise / noise.std() * rng.uniform(0.5, 1 + deepest / 2) > 0
    if rng.random() < 0.4:  # something else is marked, too
        y, x = rng.integers(0, truth.shape[0], 2)
        far = np.hypot(*(np.indices(truth.shape) - np.array([y, x])[:, None, None]))
        mask = mask | (far < rng.uniform(2, 10))
    return np.asarray(mask, bool)


def as_drawn(mask: Mask) -> Mask:
    """The outline (Y, X) that a hand would draw around what enhances: smooth, filled, no crumbs."""
    filled = ndimage.binary_fill_holes(mask)
    width = 0.06 * float(np.sqrt(filled.sum()))
    smooth = ndimage.gaussian_filter(filled.astype(np.float32), width) > 0.45
    parts, _ = ndimage.label(smooth)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    found: Mask = smooth & (sizes >= max(1, 0.1 * sizes.max()))[parts]
    return found


def box_around(truth: Mask, rng: np.random.Generator | None = None) -> tuple[int, int, int, int]:
    """(y0, x0, y1, x1) of a box drawn around a mask that is not empty, its borders included."""
    places = np.argwhere(truth)
    low, high = places.min(0).astype(float), places.max(0).astype(float)
    if rng is not None:
        loose = 0.08 * (high - low + 4)
        low, high = low - np.abs(rng.normal(0, loose)), high + np.abs(rng.normal(0, loose))
    y0, x0, y1, x1 = (int(v) for v in np.round([*low, *high]))
    return y0, x0, y1, x1
