"""Training a click network: each example is a sitting of a few clicks with a simulated reader.

What the network is shown: squares around lesions of any size on the screen, with all the phases or
fewer, beginning from nothing, from a draft, from a mask half done, from the mask of the slice
before, or from a box. After each answer the reader clicks on its largest error; the last answer is
what is learned from. Half of the readers draw outlines as hands do, the others mark nothing but
what enhances, and the network is told which. Imports torch when called; no Qt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..imaging.preprocessing import is_available, stack_inputs
from .prompts import UNKNOWN_MM, Place, Prompts, Square, drawn, look_at
from .simulated import altered, as_drawn, box_around, click_on_largest_error

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ..model.unet import ModelSpec

__all__ = ["SIDES", "Example", "ExampleSlice", "begin", "example", "next_click", "sitting"]

SIDES = {64: 0.25, 96: 0.5, 128: 0.25}
"""Pixels along each side of a batch's examples, and how often: lesions are seen coarse or fine."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class ExampleSlice:
    """One slice to learn from, with everything that can be known beforehand."""

    patient: str
    phases: torch.Tensor
    """Normalized phases, (P, Y, X)."""

    roles: tuple[str, ...]
    truth: torch.Tensor
    """Share of tumor, (H, W), over the same field, maybe finer than the phases."""

    draft: torch.Tensor | None = None
    """A model's probability, (h, w), over the same field."""

    neighbor: torch.Tensor | None = None
    """Truth of the slice before or after, (H, W)."""

    pixel_mm: float = UNKNOWN_MM
    """Of the phases."""

    is_drawn: bool = False
    """Whether the truth is an outline that a hand drew, not all that enhances."""

    said: tuple[tuple[Place, bool], ...] = ()
    """Places (y, x) that readers said are lesion, or are not: clicks, findings kept and dropped."""


@dataclass
class Example:
    """A square of a slice, and how far the reader has come with it."""

    inputs: torch.Tensor
    """The phases as the network takes them, (C, side, side)."""

    truth: Mask
    prompts: Prompts
    """In pixels of the square."""

    mask: Mask
    neighbor: Mask | None = None

    def channels(self) -> torch.Tensor:
        """Input of the network, (C + 6, side, side)."""
        import torch

        side = len(self.mask)
        whole = Square(((side - 1) / 2, (side - 1) / 2), (side, side), side=side)
        said = drawn(whole, self.prompts, self.mask, self.neighbor)
        return torch.cat([self.inputs, said])


_FEWER = (("pre", "post1"), ("post1",), ("sub1",))
_FEWER_SHARES = (0.35, 0.5, 0.15)


def example(
    slices: Sequence[ExampleSlice], spec: ModelSpec, rng: np.random.Generator, side: int = 96
) -> Example:
    """A varied square of one of a patient's slices, of `side` pixels, and the first thing said."""
    import torch

    one = slices[int(rng.integers(len(slices)))]
    shape = (int(one.phases.shape[1]), int(one.phases.shape[2]))
    square = _square(one, shape, rng, side)
    seen = look_at(one.phases, square, shape)
    truth = look_at(one.truth[None], square, shape)[0].numpy() >= 0.5
    only_enhancing = not one.is_drawn and bool(rng.random() < 0.5)
    if not (only_enhancing or one.is_drawn):
        truth = as_drawn(truth)
    roles, phases = one.roles, _varied(seen, rng)
    inputs = stack_inputs(phases, roles, spec.inputs)
    if rng.random() < 0.45:
        fewer = _FEWER[int(rng.choice(len(_FEWER), p=_FEWER_SHARES))]
        kept = torch.tensor([is_available(name, fewer) for name in spec.inputs])
        if inputs[kept].any():
            inputs = inputs * kept[:, None, None]
    prompts = Prompts(only_enhancing=only_enhancing)
    made = Example(inputs, truth, prompts, np.zeros((side, side), bool))
    begin(made, one, square, shape, rng)
    return made


def _square(
    one: ExampleSlice, shape: tuple[int, int], rng: np.random.Generator, pixels: int
) -> Square:
    places = np.argwhere(one.truth.numpy() >= 0.5).astype(float)
    if len(places):
        places = (places + 0.5) * np.array(shape) / np.array(one.truth.shape) - 0.5
        if rng.random() < 0.7:
            low, high = places.min(0), places.max(0)
        else:  # a part of it: a lesion of several parts is clicked one by one
            near = np.linalg.norm(places - places[rng.integers(len(places))], axis=1)
            close = places[near < 12 / one.pixel_mm]
            low, high = close.min(0), close.max(0)
        size = float((high - low).max()) + 2.0
        middle = (low + high) / 2
    else:
        size = float(np.exp(rng.uniform(np.log(6), np.log(50)))) / one.pixel_mm
        middle = np.array([rng.uniform(0, n) for n in shape])
        inside = one.draft if one.draft is not None and one.draft.max() > 0.3 else None
        if inside is not None and rng.random() < 0.6:  # where it might be taken for one
            likely = np.argwhere(inside.numpy() > 0.3)
            middle = likely[rng.integers(len(likely))] * np.array(shape) / np.array(inside.shape)
    if rng.random() < 0.65:
        side = size * float(np.exp(rng.uniform(np.log(1.4), np.log(3.2))))
    else:  # not yet known how large it is
        side = float(rng.uniform(55, 110)) / one.pixel_mm
    side = float(np.clip(side, 18 / one.pixel_mm, 150 / one.pixel_mm))
    middle = middle + rng.normal(0, 0.1, 2) * max(side - size, 0.2 * side)
    stretch = float(np.exp(rng.normal(0, 0.08)))
    return Square(
        (float(middle[0]), float(middle[1])),
        (side * stretch, side / stretch),
        float(rng.uniform(-0.5, 0.5)),
        (bool(rng.random() < 0.5), bool(rng.random() < 0.5)),
        pixels,
    )


def _varied(phases: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Other scanners, coils and windows: one change for all phases of an exam."""
    import torch
    from torch.nn.functional import avg_pool2d

    phases = phases.clone()
    if rng.random() < 0.2:
        blurred = avg_pool2d(phases[None], 3, stride=1, padding=1, count_include_pad=False)[0]
        share = float(rng.uniform(0, 1))
        phases = share * blurred + (1 - share) * phases
    if rng.random() < 0.3:
        gamma = float(rng.uniform(0.85, 1.2))
        phases = phases.clamp(min=0) ** gamma
    if rng.random() < 0.4:  # the coil's sensitivity falls off
        along = torch.linspace(-1, 1, phases.shape[-1])
        a, b = (float(v) for v in rng.normal(0, 0.15, 2))
        phases = phases * (1 + a * along[:, None] + b * along[None, :])
    if rng.random() < 0.7:
        phases = phases * float(rng.uniform(0.55, 2.0))
    if rng.random() < 0.3:
        phases = phases + float(rng.uniform(-0.05, 0.05))
    if rng.random() < 0.3:
        noise = rng.normal(0, rng.uniform(0, 0.04), phases.shape).astype(np.float32)
        phases = phases + torch.from_numpy(noise)
    return phases


def begin(
    made: Example,
    one: ExampleSlice,
    square: Square,
    shape: tuple[int, int],
    rng: np.random.Generator,
) -> None:
    """What the reader begins with, and the first thing that is said."""
    how = rng.choice(
        ["nothing", "draft", "half done", "neighbor", "box"], p=[0.38, 0.28, 0.12, 0.14, 0.08]
    )
    truth = made.truth
    if how == "draft" and one.draft is not None:
        probability = look_at(one.draft[None], square, shape)[0].numpy()
        made.mask = probability > rng.uniform(0.15, 0.85)
        if rng.random() < 0.35:
            made.mask = made.mask | altered(truth, rng)
    elif how in ("draft", "half done"):
        made.mask = altered(truth, rng)
    elif how == "neighbor":
        made.neighbor = _beside(made, one, square, shape, rng)
        if rng.random() < 0.7:  # as it is carried from slice to slice, without a click
            return
    elif how == "box" and truth.any():
        y0, x0, y1, x1 = box_around(truth, rng)
        made.prompts = replace(made.prompts, box=(float(y0), float(x0), float(y1), float(x1)))
        return
    if not made.mask.any() and rng.random() < 0.06:  # a click that means nothing
        place = tuple(int(v) for v in rng.integers(0, len(truth), 2))
        made.prompts = made.prompts.with_click(place, bool(rng.random() < 0.5))  # type: ignore[arg-type]
        return
    if not _repeated(made, one, square, rng):
        next_click(made, rng)
    if rng.random() < 0.1 and made.prompts.inside:
        _scribble(made, rng)


def _repeated(made: Example, one: ExampleSlice, square: Square, rng: np.random.Generator) -> bool:
    """Say again what a reader said, every other time; False where nobody did, or said otherwise."""
    if not one.said or rng.random() < 0.5:
        return False
    place, is_lesion = one.said[int(rng.integers(len(one.said)))]
    y, x = np.round(square.to_square([place])[0]).astype(int)
    is_seen = 0 <= y < len(made.truth) and 0 <= x < len(made.truth)
    if not is_seen or made.truth[y, x] != is_lesion:
        return False
    made.prompts = made.prompts.with_click((float(y), float(x)), is_lesion)
    return True


def _beside(
    made: Example,
    one: ExampleSlice,
    square: Square,
    shape: tuple[int, int],
    rng: np.random.Generator,
) -> Mask:
    """The mask of the slice before: real where there is one, else the truth, changed."""
    if one.neighbor is not None and rng.random() < 0.8:
        found: Mask = look_at(one.neighbor[None], square, shape)[0].numpy() >= 0.5
        if found.any():
            is_whole = made.prompts.only_enhancing or one.is_drawn
            return found if is_whole else as_drawn(found)
    return altered(made.truth, rng)


def _scribble(made: Example, rng: np.random.Generator) -> None:
    start = made.prompts.inside[0]
    inside = np.argwhere(made.truth)
    if not len(inside):
        return
    end = inside[rng.integers(len(inside))]
    points = [
        (float(y), float(x))
        for y, x in np.linspace(start, end, 2 + int(np.hypot(*(end - np.array(start))) / 3))
        if made.truth[round(y), round(x)]
    ]
    made.prompts = replace(made.prompts, inside=(*made.prompts.inside, *points))


def next_click(made: Example, rng: np.random.Generator) -> None:
    """One more click on the largest error of the mask so far; none when nothing is wrong."""
    found = click_on_largest_error(made.mask, made.truth, rng)
    if found is not None:
        place, is_lesion = found
        made.prompts = made.prompts.with_click(place, is_lesion)


def sitting(
    network: nn.Module, examples: Sequence[Example], clicks: int, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch as it stands after so many further clicks on the network's own answers.

    Parameters
    ----------
    network : torch.nn.Module
        In evaluation mode.
    examples : sequence of Example
        Changed in place.
    clicks : int
    rng : numpy.random.Generator

    Returns
    -------
    inputs : Tensor, shape (B, C, side, side)
    truth : Tensor of int64, shape (B, side, side)
    """
    import torch

    for _ in range(clicks):
        with torch.inference_mode():
            logits = network(
                torch.stack([made.channels() for made in examples]).contiguous(
                    memory_format=torch.channels_last
                )
            )
        masks: Any = (logits[:, 1] > logits[:, 0]).numpy()
        for made, mask in zip(examples, masks, strict=True):
            made.mask = mask
            next_click(made, rng)
    inputs = torch.stack([made.channels() for made in examples])
    truth = torch.from_numpy(np.stack([made.truth for made in examples]).astype(np.int64))
    return inputs, truth
