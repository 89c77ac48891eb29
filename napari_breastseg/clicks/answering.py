"""A click network asked on one slice: first at usual sizes, then as large as fits the lesion.

Imports torch when called; no Qt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..imaging.preprocessing import stack_inputs
from .prompts import UNKNOWN_MM, Prompts, Square, drawn, look_at, put_back

if TYPE_CHECKING:
    import torch

    from ..model.checkpoint import Checkpoint

__all__ = ["Answer", "answer_slice"]

Mask = NDArray[np.bool_]

FIRST_LOOKS = ((75.0, 64), (112.5, 64))
"""Sides in mm, and pixels along them, of the squares whose answers are averaged while it is not
known how large the lesion is. Few pixels are kindest to pictures twice as fine as they are told."""

LEAST_MM, MOST_MM = 22.0, 150.0
"""Smallest and largest side of a square."""

LOOKS = ((1.5, 64), (2.5, 128))
"""The same once it is known: sides as multiples of the lesion's extent, and pixels along them."""

GAP_MM = 15.0
"""Marks no farther than this from each other are one lesion: tumors come in many parts."""

NOTHING_MM = 3.0
"""With nothing marked this near to a click on lesion, there is nothing there."""

LEAST_SIGNAL = 0.06
"""Where all that is marked at a click is darker than this, on the scale of the exam's gray window,
nothing enhances, whatever the network makes of the click."""

TOUCH_MM = 1.0
"""What lies this near to a click is as the click says, whatever the network makes of it."""


@dataclass(frozen=True, eq=False)
class Answer:
    """What a network makes of the prompts on one slice."""

    mask: Mask
    """The whole slice's, (Y, X): as it was outside the square, and new inside it."""

    probability: NDArray[np.float32]
    """Of tumor, (Y, X); 0 outside the square."""

    square: Square
    """Where it looked last."""

    is_empty: bool = False
    """Whether nothing is found about the last click that says lesion, nor in the box."""


def answer_slice(
    model: Checkpoint,
    phases: torch.Tensor,
    roles: Sequence[str],
    prompts: Prompts,
    mask: Mask | None = None,
    *,
    neighbor: Mask | None = None,
    pixel_mm: float | tuple[float, float] = UNKNOWN_MM,
) -> Answer:
    """Ask the network what is lesion on a slice.

    Parameters
    ----------
    model : Checkpoint
        With the prompts `CHANNELS`.
    phases : Tensor, shape (P, Y, X)
        Normalized, see `preprocessing.prepare`, on the slice's own pixels.
    roles : sequence of str
        The phase of each channel.
    prompts : Prompts
        All that was said of this slice so far.
    mask : ndarray of bool, shape (Y, X), optional
        The mask so far; None or empty where nothing is marked.
    neighbor : ndarray of bool, shape (Y, X), optional
        The lesion in the slice before or after.
    pixel_mm : float or (float, float)
        Size of a pixel, down and across; `UNKNOWN_MM` where it is not known.

    Returns
    -------
    Answer
    """
    size = np.broadcast_to(np.asarray(pixel_mm, float), 2)
    shape = (int(phases.shape[1]), int(phases.shape[2]))
    before = np.zeros(shape, bool) if mask is None else mask
    asking = partial(_ask, model, phases, roles, prompts, before, neighbor)
    marked = before if neighbor is None else neighbor
    if not marked.any() and prompts.box is None:
        marked = asking(_first_squares(prompts, before, size)).mask
    extent = _extent(prompts, marked, size)
    answer = asking([_fitted(extent, size, margin, side) for margin, side in LOOKS])
    if prompts.inside or prompts.box is not None:  # other lesions in the square are not asked for
        kept = before | _group(answer.mask, _places(prompts), size)
        answer = replace(answer, mask=answer.mask & kept)
    elif neighbor is None:  # that something is no lesion adds none elsewhere
        answer = replace(answer, mask=answer.mask & before)
    return _as_said(answer, prompts, size, _signal(phases, roles))


def _ask(
    model: Checkpoint,
    phases: torch.Tensor,
    roles: Sequence[str],
    prompts: Prompts,
    before: Mask,
    neighbor: Mask | None,
    squares: Sequence[Square],
) -> Answer:
    """The mean of what the network makes of several squares."""
    import torch

    shape = before.shape
    shown: list[Mask] = [before, np.zeros_like(before) if neighbor is None else neighbor]
    layers = [phases, *(torch.from_numpy(one[None].astype(np.float32)) for one in shown)]
    image = torch.cat([layer.float() for layer in layers])
    total, looks = torch.zeros(shape), torch.zeros(shape)
    for square in squares:
        seen = look_at(image, square, shape)
        inputs = stack_inputs(seen[:-2], roles, model.spec.inputs)
        beside = None if neighbor is None else seen[-1] >= 0.5
        said = drawn(square, prompts, seen[-2] >= 0.5, beside)[: len(model.spec.prompts)]
        with torch.inference_mode():
            tumor = model.fast_network(torch.cat([inputs, said])[None]).softmax(1)[0, 1]
            inside = put_back(torch.ones_like(tumor), square, shape) > 0.5
            total += put_back(tumor, square, shape) * inside
            looks += inside
    probability = (total / looks.clamp(min=1)).numpy()
    mask = np.where(looks.numpy() > 0, probability > 0.5, before)
    return Answer(mask, probability, squares[-1])


def _first_squares(prompts: Prompts, before: Mask, size: NDArray[np.float64]) -> list[Square]:
    """Where to look while it is not known how large the lesion is."""
    places = prompts.inside or prompts.outside
    middle = np.mean(places, axis=0) if places else (np.array(before.shape) - 1) / 2
    center = (float(middle[0]), float(middle[1]))
    return [
        Square(center, (side_mm / float(size[0]), side_mm / float(size[1])), side=side)
        for side_mm, side in FIRST_LOOKS
    ]


def _extent(
    prompts: Prompts, marked: Mask, size: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lowest and highest (y, x) of the lesion that is meant; of the slice where nothing is."""
    said = _places(prompts)
    corners = [np.asarray(said, float)] if said else []
    places = np.argwhere(_group(marked, said, size) if said else marked)
    if len(places):
        corners.append(places.astype(float))
    if not corners:
        return np.zeros(2), np.array(marked.shape) - 1.0
    together = np.concatenate(corners)
    return together.min(0), together.max(0)


def _places(prompts: Prompts) -> list[tuple[float, float]]:
    """All places that prompts name; of a box its corners and middle."""
    places = [*prompts.inside, *prompts.outside]
    if prompts.box is not None:
        y0, x0, y1, x1 = prompts.box
        places += [(y0, x0), ((y0 + y1) / 2, (x0 + x1) / 2), (y1, x1)]
    return places


def _group(mask: Mask, said: Sequence[tuple[float, float]], size: NDArray[np.float64]) -> Mask:
    """The parts of a mask that places mean: those at them, and what lies within a gap of these."""
    widths = [2 * round(GAP_MM / 2 / float(step)) + 1 for step in size]
    grown = ndimage.maximum_filter(mask | _spots_of(mask, said), widths)
    groups, _ = ndimage.label(grown, np.ones((3, 3)))
    meant = np.unique(groups[_spots_of(mask, said)])
    found: Mask = mask & np.isin(groups, meant[meant > 0])
    return found


def _fitted(
    extent: tuple[NDArray[np.float64], NDArray[np.float64]],
    size: NDArray[np.float64],
    margin: float,
    side: int,
) -> Square:
    """The square that fits a lesion, with a margin around it."""
    low, high = extent
    side_mm = float(np.clip(margin * ((high - low + 1) * size).max(), LEAST_MM, MOST_MM))
    middle = (low + high) / 2
    pixels = (side_mm / float(size[0]), side_mm / float(size[1]))
    return Square((float(middle[0]), float(middle[1])), pixels, side=side)


def _signal(phases: torch.Tensor, roles: Sequence[str]) -> NDArray[np.float32]:
    """What a lesion is bright in, (Y, X): enhancement where it is known, else the image."""
    index = {role: n for n, role in enumerate(roles)}
    if "sub1" in index:
        shown = phases[index["sub1"]]
    elif "pre" in index and "post1" in index:
        shown = phases[index["post1"]] - phases[index["pre"]]
    else:
        shown = phases[index.get("post1", len(roles) - 1)]
    bright: NDArray[np.float32] = shown.float().numpy()
    return bright


def _as_said(
    answer: Answer, prompts: Prompts, size: NDArray[np.float64], signal: NDArray[np.float32]
) -> Answer:
    mask = answer.mask | _enclosed(answer.mask, _spots_of(answer.mask, prompts.inside))
    is_empty = _finds_nothing(mask, prompts, size, signal)
    y, x = np.ogrid[: mask.shape[0], : mask.shape[1]]
    for places, is_lesion in ((prompts.inside, True), (prompts.outside, False)):
        for place in places:
            far = np.hypot((y - place[0]) * size[0], (x - place[1]) * size[1])
            mask[(far <= TOUCH_MM) | (far == far.min())] = is_lesion
    return Answer(mask, answer.probability, answer.square, is_empty)


def _enclosed(mask: Mask, wanted: Mask) -> Mask:
    """Holes of a mask (Y, X) that hold something wanted, such as a click on a dead core."""
    holes, _ = ndimage.label(ndimage.binary_fill_holes(mask) & ~mask)
    chosen = np.unique(holes[wanted])
    found: Mask = np.isin(holes, chosen[chosen > 0])
    return found


def _spots_of(mask: Mask, places: Sequence[tuple[float, float]]) -> Mask:
    spots = np.zeros_like(mask)
    for place in places:
        at = np.clip(np.round(place).astype(int), 0, np.array(mask.shape) - 1)
        spots[tuple(at)] = True
    return spots


def _finds_nothing(
    mask: Mask, prompts: Prompts, size: NDArray[np.float64], signal: NDArray[np.float32]
) -> bool:
    if prompts.box is not None:
        y0, x0, y1, x1 = (max(0, round(edge)) for edge in prompts.box)
        return not mask[y0 : y1 + 1, x0 : x1 + 1].any()
    if not prompts.inside:
        return False
    y, x = np.ogrid[: mask.shape[0], : mask.shape[1]]
    place = prompts.inside[-1]
    near = np.hypot((y - place[0]) * size[0], (x - place[1]) * size[1]) <= NOTHING_MM
    parts, _ = ndimage.label(mask)
    touched = np.unique(parts[near & mask])
    return not touched.size or float(signal[np.isin(parts, touched)].max()) < LEAST_SIGNAL
