"""PNG, JPEG and TIFF: slices, stacks of slices, and multi-page TIFF, which is a volume.

These files do not say where the patient's right is, nor reliably how large a pixel is (a printing
resolution is not a spacing), so their grids have neither. Pillow and tifffile are loaded only when
a file is read or written.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..core.atomic import atomic_path
from ..core.errors import InputError
from ..core.reading import MOST_PIXELS, Deadline, open_regular, require_room
from ..core.silence import silent
from ..core.volume import Grid, Volume
from .kinds import ending_of
from .nifti import require_phases_fit, stored
from .tiff_pages import open_tiff, require_packed_once

__all__ = ["read_slices", "write_slices"]

_SHRINKS_MOST = 1040
"""Deflate's limit; a TIFF header that claims a larger ratio is wrong."""


def read_slices(files: Sequence[Path], *, is_mask: bool = False) -> list[Volume]:
    """Channels of a slice, of a multi-page TIFF, or of a stack of slices.

    Parameters
    ----------
    files : sequence of Path
        One file, or the slices of a stack in order from index z = 0.
    is_mask : bool
        Whether they are masks, whose shape may be in the alpha channel.

    Returns
    -------
    list of Volume
        One volume if the image is grey or its color channels are equal, else one per channel;
        each (Z, Y, X) without spacing and orientation. An alpha channel of an image is ignored;
        of a mask in one color on a transparent ground it is the mask.

    Raises
    ------
    InputError
        If a file is damaged, the slices of a stack differ in size or type, or alpha and colors of
        a mask say different things.
    """
    pages, n_bytes = [], 0
    deadline = Deadline(files[0].name if len(files) == 1 else "the stack of slices")
    for path in files:
        page = _shape_of(path, *_read_pixels(path)) if is_mask else _read_pixels(path)[0]
        pages.append(page)
        n_bytes += page.nbytes
        require_room(n_bytes, "the stack of slices")
        deadline.check()
    if len(pages) > 1:
        pages = _as_equals(files, pages)
    pixels = np.concatenate(pages) if len(pages) > 1 else pages[0]
    channels = [np.ascontiguousarray(pixels[..., c]) for c in range(pixels.shape[-1])]
    if all(np.array_equal(channels[0], channel) for channel in channels[1:]):
        channels = channels[:1]
    return [Volume(channel, Grid(channel.shape)) for channel in channels]


def write_slices(path: Path, volume: Volume, dtype: DTypeLike | None = None) -> None:
    """Write a volume as PNG (one slice of 8 or 16 bits) or TIFF (a page for each slice).

    Raises
    ------
    InputError
        If the name has another ending, or PNG cannot hold the volume.
    StorageError
        If the file cannot be written.
    """
    data = stored(volume.data, dtype)
    ending = ending_of(path).lower()
    if ending in (".tif", ".tiff"):
        import tifffile

        with atomic_path(path) as temporary:
            tifffile.imwrite(
                temporary, data, photometric="minisblack", compression="zlib", metadata=None
            )
        return
    if ending != ".png":
        raise InputError(
            "Expected a file name that ends in .nii.gz, .nii, .nrrd, .png, .tif or .tiff",
            f"found {path.name}",
            "Choose one of these endings; JPEG would change the values",
        )
    if len(data) != 1 or data.dtype not in (np.uint8, np.uint16):
        raise InputError(
            f"Expected a single slice of 8 or 16 bits to write {path.name}",
            f"found {volume.grid.describe()}, {data.dtype}",
            "Write .nii.gz or .tif instead",
        )
    from PIL import Image

    with atomic_path(path) as temporary:
        Image.fromarray(data[0]).save(temporary, format="PNG")


def _shape_of(path: Path, pixels: NDArray[Any], alpha: NDArray[Any] | None) -> NDArray[Any]:
    """What a mask's picture shows: its colors, or its alpha where all colors are the same."""
    if alpha is None or (alpha.min() == alpha.max() and alpha.max() > 0):
        return pixels
    flat = pixels.reshape(-1, pixels.shape[-1])
    opaque = int(np.iinfo(alpha.dtype).max) if alpha.dtype.kind in "iu" else 1
    is_cut_out = bool(np.isin(alpha, (0, opaque)).all())
    if is_cut_out and alpha.any() and (flat == flat[0]).all():
        return (alpha[..., None] > 0).astype(np.uint8) * np.uint8(255)
    # Colors that are black exactly where they are transparent say the same twice.
    if is_cut_out and np.array_equal(pixels.any(axis=-1), alpha > 0):
        return pixels
    raise InputError(
        f"Expected a mask without transparency, or of one color on a transparent ground, in "
        f"{path.name}",
        "found colors and an alpha channel that say different things",
        "Save it as a grey picture without transparency: 0 background, 255 tumor",
    )


def _as_equals(files: Sequence[Path], pages: list[NDArray[Any]]) -> list[NDArray[Any]]:
    """Pages of a stack, checked for one size and type; grey ones repeated if others are color."""
    first = pages[0]
    for path, page in zip(files, pages, strict=True):
        if len(page) != 1 or page.shape[1:3] != first.shape[1:3] or page.dtype != first.dtype:
            raise InputError(
                f"Expected slices of one size and type for a stack, those of {files[0].name} "
                f"({_say_page(first)})",
                f"found {_say_page(page)} in {path.name}",
                "Keep one series in the folder, or open the slices one by one",
            )
    most = max(page.shape[-1] for page in pages)
    return [np.repeat(page, most, axis=-1) if page.shape[-1] == 1 else page for page in pages]


def _say_page(page: NDArray[Any]) -> str:
    pages = f"{len(page)} pages of " if len(page) > 1 else ""
    return f"{pages}{page.shape[1]} x {page.shape[2]} pixels, {page.dtype}"


def _read_pixels(path: Path) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Array (Z, Y, X, channels) of one file, and its alpha (Z, Y, X) where it has one."""
    with open_regular(path) as file:
        is_tiff = file.read(2) in (b"II", b"MM")
    read = _read_tiff if is_tiff else _read_with_pillow
    try:
        with silent("PIL", "tifffile"):
            pixels, alpha = read(path)
    except InputError:
        raise
    # On a damaged byte both libraries may raise anything: struct.error, KeyError, ...
    except Exception as error:
        raise InputError(
            f"Expected a complete image, {path.name}",
            f"found it damaged or of an unusual kind ({str(error) or type(error).__name__})",
            "Export it again as PNG or uncompressed TIFF",
        ) from error
    if pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8)
    if pixels.dtype.kind not in "iuf":
        raise InputError(
            f"Expected real grey values in {path.name}",
            f"found {pixels.dtype}",
            "Export the magnitude image",
        )
    native = pixels.dtype.newbyteorder("=")
    if native == np.float16:  # few tools support half floats
        native = np.dtype(np.float32)
    return pixels.astype(native, copy=False), alpha


def _read_with_pillow(path: Path) -> tuple[NDArray[Any], NDArray[Any] | None]:
    from PIL import Image

    with Image.open(path) as image:
        _require_sane_size(path, image.width, image.height)
        mode = image.mode
        if image.format == "PNG" and mode not in ("I;16", "I;16B", "I") and _png_bits(path) == 16:
            raise InputError(
                f"Expected a grey PNG, or a color PNG of 8 bits, in {path.name}",
                "found 16-bit colors, which would lose half of their bits here",
                "Save its channels as 16-bit TIFF or as grey PNG files",
            )
        has_alpha = mode in ("LA", "PA", "RGBA") or "transparency" in image.info
        # A palette's, or one color's, transparency becomes an alpha channel here, too.
        is_convertible = mode in ("1", "L", "P", "RGB", "LA", "PA", "RGBA")
        alpha = (
            np.asarray(image.convert("RGBA"))[None, ..., 3]
            if has_alpha and is_convertible
            else None
        )
        if mode in ("P", "PA"):
            return _palette_pixels(image), alpha
        if mode in ("LA", "La"):
            return np.asarray(image)[None, ..., :1], alpha
        if mode in ("RGB", "RGBA", "RGBX", "RGBa"):
            return np.asarray(image)[None, ..., :3], alpha
        if mode in ("1", "L", "I", "I;16", "I;16B", "I;16L", "F"):
            pixels = np.asarray(image)[None, ..., None]
            # Pillow may give a 16-bit PNG as 32-bit numbers.
            is_png = image.format == "PNG" and mode == "I"
            return pixels.astype(np.uint16) if is_png else pixels, alpha
        raise InputError(
            f"Expected a grey or RGB image in {path.name}",
            f"found {mode} colors",
            "Save it as grey or RGB",
        )


def _palette_pixels(image: Any) -> NDArray[Any]:
    """Grey levels or colors of a palette image; its palette numbers if the colors mark labels.

    Label maps saved with a color per label keep the labels as palette numbers 0, 1, 2, ...
    """
    indices = np.asarray(image.convert("P") if image.mode == "PA" else image)
    colors = np.asarray(image.convert("RGB"))
    is_grey = bool((colors == colors[..., :1]).all())
    return indices[None, ..., None] if indices.max() <= 2 and not is_grey else colors[None]


def _png_bits(path: Path) -> int:
    with path.open("rb") as file:
        return file.read(25)[24]  # bit depth, in the header that must come first


def _read_tiff(path: Path) -> tuple[NDArray[Any], NDArray[Any] | None]:
    import tifffile

    with open_tiff(path) as tiff:
        if len(tiff.series) != 1:
            sizes = ", ".join(" x ".join(str(n) for n in series.shape) for series in tiff.series)
            raise InputError(
                f"Expected pages of one size in {path.name}",
                f"found {sizes or 'no page'}",
                "Save the slices of one series only",
            )
        series = tiff.series[0]
        page = series.keyframe
        axes, shape = series.axes, series.shape
        _require_sane_size(path, shape[axes.index("X")], shape[axes.index("Y")])
        needed = math.prod(shape) * series.dtype.itemsize
        size = path.stat().st_size
        is_packed = page.compression != 1
        require_phases_fit(path, math.prod(shape), needed, size if is_packed else None)
        if needed > size * (_SHRINKS_MOST if is_packed else 1):
            raise InputError(
                f"Expected {needed:,} bytes of pixels in {path.name}, as its header says",
                f"found {size:,} bytes",
                "Copy or export it again; this copy is cut short",
            )
        is_rgb = page.photometric == tifffile.PHOTOMETRIC.RGB
        is_inverted = page.photometric == tifffile.PHOTOMETRIC.MINISWHITE
        if is_packed:
            require_packed_once(series.pages, size, path.name)
        pixels = series.asarray()
        alphas = len(page.extrasamples or ())
    if is_inverted and pixels.dtype.kind in "ub":
        pixels = ~pixels
    # Samples (S) are channels, and so is C beside another axis; C alone is Z, since many writers
    # label the pages of a volume that way. One other axis is Z, whatever its name.
    long = [axis for axis, name in enumerate(axes) if name not in "YX" and shape[axis] > 1]
    other = [axis for axis in long if axes[axis] not in "SC"]
    channel_axes = [axis for axis in long if axes[axis] in "SC"]
    if [axes[axis] for axis in long] == ["C"]:
        other, channel_axes = long, []
    if len(other) > 1 or len(channel_axes) > 1:
        raise InputError(
            f"Expected a TIFF of slices (Z, Y, X) in {path.name}",
            f"found axes {axes} with sizes {' x '.join(str(n) for n in shape)}",
            "Save each phase as its own file",
        )
    order = [*other, axes.index("Y"), axes.index("X"), *channel_axes]
    rest = [axis for axis in range(len(shape)) if axis not in order]
    pixels = pixels.transpose(order + rest).reshape([shape[axis] for axis in order])
    pixels = pixels if other else pixels[None]
    pixels = pixels if channel_axes else pixels[..., None]
    alpha = None
    if "S" in [axes[axis] for axis in channel_axes]:  # only samples may hold an alpha
        shown = 3 if is_rgb else max(1, pixels.shape[-1] - alphas)
        alpha = np.asarray(pixels[..., shown]) if pixels.shape[-1] > shown else None
        pixels = pixels[..., :shown]
    return np.asarray(pixels), alpha


def _require_sane_size(path: Path, width: int, height: int) -> None:
    if width * height > MOST_PIXELS:
        raise InputError(
            f"Expected a slice of at most {MOST_PIXELS:,} pixels in {path.name}",
            f"found {width} x {height} in its header",
            "Check that it is an MRI slice, and export it again",
        )
