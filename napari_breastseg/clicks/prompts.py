"""What a click network sees: a square around the lesion, its phases, and what the reader said.

Places are (y, x) in pixels of a slice; pixel n covers n - 0.5 to n + 0.5. No Qt, no I/O.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

__all__ = [
    "CHANNELS",
    "SIDE",
    "UNKNOWN_MM",
    "Click",
    "Place",
    "Prompts",
    "Square",
    "drawn",
    "look_at",
    "put_back",
]

SIDE = 128
"""Pixels along each side of a square, if not said otherwise."""

CHANNELS = ("in", "out", "mask", "neighbor", "box", "enhancing")
"""Channels beside the phases: clicks on the lesion, clicks beside it, the mask so far, the mask of
the slice before or after, a box around the lesion, and 1 everywhere when only what enhances is
asked for, not the outline that a hand would draw."""

UNKNOWN_MM = 0.714
"""What a pixel of unknown size is taken for: that of the windows most of what it knows is from."""

_SPREAD = 2.0
"""Standard deviation, in pixels of the square, of the spot that a click is drawn as."""

Place = tuple[float, float]


@dataclass(frozen=True)
class Click:
    """A voxel (z, y, x) of an exam, counted from 0, and what it is said to be."""

    voxel: tuple[int, int, int]
    is_lesion: bool = True


@dataclass(frozen=True)
class Prompts:
    """What a reader said of one slice.

    Parameters
    ----------
    inside, outside : tuple of (y, x)
        Places clicked as lesion and as not lesion, in pixels of the slice; the points of a
        scribble are many clicks.
    box : (y0, x0, y1, x1), optional
        A box around the lesion, its borders in pixels.
    only_enhancing : bool
        Ask for the tissue that enhances, without a dead core and the gaps between, as volumes of
        enhancing tumor are measured; else for the outline that a hand would draw.
    """

    inside: tuple[Place, ...] = ()
    outside: tuple[Place, ...] = ()
    box: tuple[float, float, float, float] | None = None
    only_enhancing: bool = False

    def with_click(self, place: Place, is_lesion: bool) -> Prompts:
        """These prompts and one more click."""
        if is_lesion:
            return replace(self, inside=(*self.inside, place))
        return replace(self, outside=(*self.outside, place))

    @property
    def extent(self) -> tuple[float, float, float, float] | None:
        """Smallest (y0, x0, y1, x1) around what is said to be lesion; None when nothing is."""
        places = list(self.inside)
        if self.box is not None:
            places += [(self.box[0], self.box[1]), (self.box[2], self.box[3])]
        if not places:
            return None
        low, high = np.min(places, axis=0), np.max(places, axis=0)
        return float(low[0]), float(low[1]), float(high[0]), float(high[1])


@dataclass(frozen=True)
class Square:
    """The part of a slice that the network sees, as a turned, scaled and mirrored square.

    Parameters
    ----------
    center : (y, x)
        In pixels of the slice.
    pixels : (float, float)
        Pixels of the slice along a side, down and across.
    turn : float
        Radians by which it is turned.
    flips : (bool, bool)
        Whether it is mirrored, down and across.
    side : int
        Pixels along each of its own sides.
    """

    center: Place
    pixels: tuple[float, float]
    turn: float = 0.0
    flips: tuple[bool, bool] = (False, False)
    side: int = SIDE
    matrix: NDArray[np.float64] = field(init=False, repr=False, compare=False)
    """(2, 2): from the square's -1 to 1 to pixels of the slice, relative to the center."""

    def __post_init__(self) -> None:
        half = np.array(self.pixels) / 2 * np.where(self.flips, -1, 1)
        cos, sin = np.cos(self.turn), np.sin(self.turn)
        matrix = np.array([[cos, -sin], [sin, cos]]) @ np.diag(half)
        object.__setattr__(self, "matrix", matrix)

    def to_square(self, places: Sequence[Place]) -> NDArray[np.float64]:
        """Places of the slice as pixels (y, x) of the square, shape (N, 2)."""
        relative = np.asarray(places, float).reshape(-1, 2) - self.center
        return (relative @ np.linalg.inv(self.matrix).T + 1) * self.side / 2 - 0.5

    def to_slice(self, places: Sequence[Place] | NDArray[np.float64]) -> NDArray[np.float64]:
        """Pixels (y, x) of the square as places of the slice, shape (N, 2)."""
        unit = (np.asarray(places, float).reshape(-1, 2) + 0.5) * 2 / self.side - 1
        moved: NDArray[np.float64] = unit @ self.matrix.T + self.center
        return moved


def look_at(image: torch.Tensor, square: Square, shape: tuple[int, int]) -> torch.Tensor:
    """What of an image lies in a square; zeros beyond its borders.

    Parameters
    ----------
    image : Tensor, shape (C, H, W)
        May be finer or coarser than the slice; it covers the same field.
    square : Square
    shape : (int, int)
        Pixels (Y, X) of the slice that the square counts in.

    Returns
    -------
    Tensor, shape (C, side, side), float32
        Each pixel the mean of four places: a large square of fine pixels leaves nothing out.
    """
    import torch
    from torch.nn.functional import affine_grid, avg_pool2d, grid_sample

    sizes = np.array(shape, float)
    # grid_sample counts x before y, and -1 to 1 over the image.
    matrix = (square.matrix / (sizes[:, None] / 2))[::-1, ::-1]
    offset = ((np.array(square.center) + 0.5) * 2 / sizes - 1)[::-1]
    theta = torch.from_numpy(np.column_stack([matrix, offset]).astype(np.float32))[None]
    grid = affine_grid(theta, [1, 1, 2 * square.side, 2 * square.side], align_corners=False)
    seen = grid_sample(image[None].float(), grid, align_corners=False)
    return avg_pool2d(seen, 2)[0]


def put_back(answer: torch.Tensor, square: Square, shape: tuple[int, int]) -> torch.Tensor:
    """An answer (side, side) on the pixels of its slice, shape (H, W); 0 outside the square."""
    import torch
    from torch.nn.functional import affine_grid, grid_sample

    back = np.linalg.inv(square.matrix)
    sizes = np.array(shape, float)
    matrix = (back * (sizes / 2))[::-1, ::-1]
    offset = (back @ (sizes / 2 - 0.5 - np.array(square.center)))[::-1]
    theta = torch.from_numpy(np.column_stack([matrix, offset]).astype(np.float32))[None]
    grid = affine_grid(theta, [1, 1, *shape], align_corners=False)
    return grid_sample(answer[None, None].float(), grid, align_corners=False)[0, 0]


def drawn(
    square: Square,
    prompts: Prompts,
    mask: NDArray[np.bool_] | torch.Tensor | None = None,
    neighbor: NDArray[np.bool_] | torch.Tensor | None = None,
) -> torch.Tensor:
    """The channels `CHANNELS`, shape (6, side, side); masks as they are seen in the square."""
    import torch

    channels = torch.zeros((len(CHANNELS), square.side, square.side))
    for channel, places in enumerate((prompts.inside, prompts.outside)):
        if places:
            channels[channel] = torch.from_numpy(_spots(square.to_square(places), square.side))
    for channel, seen in ((2, mask), (3, neighbor)):
        if seen is not None:
            channels[channel] = torch.as_tensor(seen).float()
    if prompts.box is not None:
        y0, x0, y1, x1 = prompts.box
        corners = square.to_square([(y0, x0), (y0, x1), (y1, x0), (y1, x1)])
        low, high = np.round(corners.min(0)), np.round(corners.max(0)) + 1
        top, left = np.clip(low, 0, square.side).astype(int)
        bottom, right = np.clip(high, 0, square.side).astype(int)
        channels[4, top:bottom, left:right] = 1.0
    if prompts.only_enhancing:
        channels[5] = 1.0
    return channels


def _spots(places: NDArray[np.float64], side: int) -> NDArray[np.float32]:
    along = np.arange(side)
    near_y = (along - places[:, :1]) ** 2
    near_x = (along - places[:, 1:]) ** 2
    far = (near_y[:, :, None] + near_x[:, None, :]).min(0)
    spots: NDArray[np.float32] = np.exp(-far / (2 * _SPREAD**2)).astype(np.float32)
    return spots
