"""Read and write NRRD; axes change here from (X, Y, Z) to (Z, Y, X).

As in `nifti`, arrays are transposed and the affine's columns with them; nothing is reoriented.
pynrrd reads the headers, and is loaded only when a file is read or written.

References
----------
Definition of the NRRD file format, https://teem.sourceforge.net/nrrd/format.html
"""

from __future__ import annotations

import bz2
import math
import os
import warnings
import zlib
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..core.atomic import atomic_path
from ..core.errors import InputError
from ..core.reading import Deadline, open_regular, require_room
from ..core.volume import Grid, Volume
from .nifti import require_phases_fit, stored

__all__ = ["nrrd_content", "read_nrrd", "write_nrrd"]

_TO_RAS = {
    "right-anterior-superior": (1, 1, 1),
    "ras": (1, 1, 1),
    "left-anterior-superior": (-1, 1, 1),
    "las": (-1, 1, 1),
    "left-posterior-superior": (-1, -1, 1),
    "lps": (-1, -1, 1),
}
_UNIT_MM = {
    **dict.fromkeys(("um", "\u00b5m", "\u03bcm", "micron", "micrometer", "micrometre"), 0.001),
    **dict.fromkeys(("mm", "millimeter", "millimetre"), 1.0),
    **dict.fromkeys(("cm", "centimeter", "centimetre"), 10.0),
    **dict.fromkeys(("m", "meter", "metre"), 1000.0),
}
_IN_SPACE = frozenset({"domain", "space"})
_UNPACKERS: dict[str, Callable[[], Any]] = {
    **dict.fromkeys(("gzip", "gz"), lambda: zlib.decompressobj(zlib.MAX_WBITS | 16)),
    **dict.fromkeys(("bzip2", "bz2"), bz2.BZ2Decompressor),
}
_DATA_FILE = ("datafile", "data file")
_MOST_SKIPPED = 1 << 16
_CHUNK = 1 << 24
_SHRINKS_MOST = 1040
"""Deflate's limit; a header that claims a larger ratio is wrong."""


def read_nrrd(path: Path) -> list[Volume]:
    """Phases of an NRRD file: one for 2 or 3 axes, as many as the list axis of four.

    Parameters
    ----------
    path : Path
        A `.nrrd` file, or a `.nhdr` header beside its data. The axis that is not spatial, wherever
        it is, holds the phases. Spaces RAS, LAS and LPS give an orientation; without a space,
        `spacings` give a spacing.

    Returns
    -------
    list of Volume
        Each (Z, Y, X), in the file's own type.

    Raises
    ------
    InputError
        If the file is damaged, does not hold real grey values, or has more than one axis that is
        not spatial.
    """
    import nrrd

    try:
        with warnings.catch_warnings(), open_regular(path) as file:
            warnings.simplefilter("ignore")
            header = nrrd.read_header(file)
            sizes = [int(size) for size in header["sizes"]]
            _require_sane(path, header, sizes)
            data = _read_voxels(path, header, file, sizes)
            directions = header.get("space directions")
            axes = _axes(header, directions, len(sizes))
    except InputError:
        raise
    # pynrrd raises its own errors, zlib's, numpy's and those of a dict without the key.
    except Exception as error:
        raise InputError(
            f"Expected a complete NRRD file, {path.name}",
            f"found it damaged or of an unusual kind ({type(error).__name__})",
            "Export it again, or save it as NIfTI (.nii.gz)",
        ) from error
    if data.dtype.kind not in "iuf" or data.ndim != len(sizes):
        raise InputError(
            f"Expected real grey values in {path.name}",
            f"found {data.dtype}",
            "Export the image as grey values",
        )
    other = [axis for axis in range(len(sizes)) if axis not in axes]
    phases = [axis for axis in other if sizes[axis] > 1]
    if not 2 <= len(axes) <= 3 or len(phases) > 1:
        raise InputError(
            f"Expected two or three axes in space, and at most one other, in {path.name}",
            f"found sizes {' x '.join(map(str, sizes))}, {len(axes)} of them in space",
            "Save each phase as a 3D file",
        )
    data = data.transpose([*phases, *reversed(axes), *(a for a in other if a not in phases)])
    data = data.reshape([*(sizes[a] for a in phases), *(sizes[a] for a in reversed(axes))])
    data = data.astype(data.dtype.newbyteorder("="), copy=False)
    if len(axes) == 2:
        data = np.expand_dims(data, -3)
    if not phases:
        data = data[None]
    grid = _grid_of(path, header, directions, axes, data.shape[1:])
    return [Volume(np.ascontiguousarray(volume), grid) for volume in data]


def nrrd_content(path: Path) -> str:
    """What an NRRD file's header says about its content."""
    import nrrd

    with warnings.catch_warnings(), open_regular(path) as file:
        warnings.simplefilter("ignore")
        return str(nrrd.read_header(file).get("content", ""))


def write_nrrd(
    path: Path, volume: Volume, dtype: DTypeLike | None = None, *, content: str = ""
) -> None:
    """Write a volume with its grid's directions in space RAS, gzip-compressed, atomically.

    Parameters
    ----------
    path : Path
        Ends in `.nrrd`.
    volume : Volume
        Array (Z, Y, X) and its grid.
    dtype : dtype, optional
        Type on disk; by default the array's own.
    content : str
        A word on what it holds, for the header.

    Raises
    ------
    InputError
        If the name has another ending, or `dtype` is an integer type and the values do not fit.
    StorageError
        If the file cannot be written.
    """
    import nrrd

    if path.suffix.lower() != ".nrrd":
        raise InputError(
            "Expected a file name that ends in .nrrd",
            f"found {path.name}",
            "Choose .nrrd: header and data are written as one file",
        )
    grid = volume.grid
    header: dict[str, Any] = {"encoding": "gzip", "kinds": ["domain"] * 3}
    if grid.has_orientation and grid.has_spacing:
        header["space"] = "right-anterior-superior"
        header["space directions"] = grid.affine[:3, 2::-1].T
        header["space origin"] = grid.affine[:3, 3]
    elif grid.has_spacing:
        header["spacings"] = list(grid.voxel_size[::-1])
        header["units"] = ["mm"] * 3
    if content:
        header["content"] = content
    data = stored(volume.data, dtype)
    with atomic_path(path) as temporary:
        nrrd.write(str(temporary), data.T, header, index_order="F", compression_level=1)


def _read_voxels(path: Path, header: Any, file: BinaryIO, sizes: list[int]) -> NDArray[Any]:
    """Array in the file's order of axes, the fastest first.

    Packed data are unpacked here: pynrrd would unpack whatever comes, however much it is, and
    follow a data file wherever its name leads.
    """
    import nrrd
    from nrrd.reader import _determine_datatype

    dtype: np.dtype[Any] = np.dtype(_determine_datatype(header))
    needed = math.prod(sizes) * dtype.itemsize
    lines = int(header.get("lineskip", header.get("line skip", 0)))
    skipped = int(header.get("byteskip", header.get("byte skip", 0)))
    name = header.get("datafile", header.get("data file"))
    if not 0 <= lines <= _MOST_SKIPPED or not -1 <= skipped <= _MOST_SKIPPED:
        raise InputError(
            f"Expected at most {_MOST_SKIPPED} lines or bytes to skip in {path.name}",
            f"found {lines} lines and {skipped} bytes",
            "Export it again, as one .nrrd file",
        )
    with open_regular(_beside(path, name)) if name is not None else nullcontext(file) as source:
        packed = os.fstat(source.fileno()).st_size
        unpacker = _UNPACKERS.get(str(header["encoding"]).lower())
        require_phases_fit(
            path, math.prod(sorted(sizes)[-3:]), needed, None if unpacker is None else packed
        )
        if unpacker is None:
            require_room(packed, path.name)
            own = {key: value for key, value in header.items() if key not in _DATA_FILE}
            data: NDArray[Any] = nrrd.read_data(own, source, str(path), index_order="F")
            return data
        for _ in range(lines):
            source.readline()
        # -1: the data are the last bytes, whatever comes before them.
        before = _MOST_SKIPPED if skipped == -1 else skipped
        raw = _unpacked(path, source, unpacker(), needed + before)
    raw = raw[-needed:] if skipped == -1 else raw[skipped:]
    if len(raw) != needed:
        raise InputError(
            f"Expected {needed:,} bytes of voxels in {path.name}, as its header says",
            f"found {len(raw):,}" + ("" if len(raw) < needed else " or more"),
            "Copy or export it again; this copy is damaged or cut short",
        )
    return np.frombuffer(raw, dtype).reshape(sizes, order="F")


def _beside(path: Path, name: object) -> Path:
    """The data file of a header: a file in the header's own folder, or below it."""
    folder = path.parent.resolve()
    found = (folder / str(name)).resolve()
    if not found.is_relative_to(folder):
        raise InputError(
            f"Expected the data file of {path.name} in its folder",
            "found that its name leads elsewhere",
            "Put both files into one folder, and give the data file's name alone",
        )
    return found


def _unpacked(path: Path, source: BinaryIO, stream: Any, most: int) -> bytearray:
    """What comes out of packed data, up to one byte more than `most`."""
    raw, deadline, waiting = bytearray(), Deadline(path.name), b""
    while len(raw) <= most and not stream.eof:
        deadline.check()
        if not waiting and getattr(stream, "needs_input", True):
            waiting = source.read(_CHUNK)
            if not waiting:
                break
        raw += stream.decompress(waiting, min(_CHUNK, most + 1 - len(raw)))
        # bz2 keeps what it has not unpacked yet, zlib hands it back.
        waiting = getattr(stream, "unconsumed_tail", b"")
    return raw


def _require_sane(path: Path, header: Any, sizes: list[int]) -> None:
    kinds = [str(kind).lower() for kind in header.get("kinds") or []]
    odd = [kind for kind in kinds if "color" in kind or "complex" in kind or "matrix" in kind]
    if odd:
        raise InputError(
            f"Expected real grey values in {path.name}",
            f"found an axis of kind {odd[0]}",
            "Export the grey image, each phase as a file of its own",
        )
    is_inside = "data file" not in header and "datafile" not in header
    most = path.stat().st_size * _SHRINKS_MOST
    if min(sizes, default=0) < 1 or (is_inside and math.prod(sizes) > most):
        raise InputError(
            f"Expected as many voxels in {path.name} as its header says",
            f"found sizes {' x '.join(map(str, sizes)) or 'not given'} in the header and "
            f"{path.stat().st_size:,} bytes in the file",
            "Copy or export it again; this copy is cut short",
        )


def _axes(header: Any, directions: Any, count: int) -> list[int]:
    """The spatial axes, fastest first."""
    if directions is not None:
        rows = [np.atleast_1d(np.asarray(row, np.float64)) for row in directions]
        return [axis for axis, row in enumerate(rows) if np.isfinite(row).all()]
    kinds = [str(kind).lower() for kind in header.get("kinds") or []]
    if any(kind in _IN_SPACE for kind in kinds):
        return [axis for axis, kind in enumerate(kinds) if kind in _IN_SPACE]
    return list(range(min(count, 3)))  # phases last, as in NIfTI


def _grid_of(
    path: Path, header: Any, directions: Any, axes: list[int], shape: tuple[int, ...]
) -> Grid:
    space = str(header.get("space", "")).lower()
    size = (shape[0], shape[1], shape[2])
    affine = np.eye(4)
    try:
        if directions is not None:
            scale = _in_mm(next(iter(header.get("space units") or ["mm"])))
            columns = np.array([np.asarray(directions[axis], np.float64) for axis in axes]).T
            if columns.shape == (3, 3) and space in _TO_RAS:
                to_ras = np.diag(_TO_RAS[space]) * scale
                origin = np.asarray(header.get("space origin", np.zeros(3)), np.float64)
                affine[:3, :3] = to_ras @ columns[:, ::-1]
                affine[:3, 3] = to_ras @ np.nan_to_num(origin)
                return Grid(size, affine)
            lengths = np.linalg.norm(columns, axis=0)[::-1] * scale
        else:
            spacings = np.asarray(header.get("spacings", np.full(max(axes) + 1, np.nan)), float)
            units = list(header.get("units") or [])[: len(spacings)]
            spacings[: len(units)] *= [_in_mm(unit) for unit in units]
            lengths = spacings[axes][::-1]
        if not np.isfinite(lengths).all():
            return Grid(size)
        affine[:3, :3] = np.diag([1.0, *lengths][-3:])
        return Grid(size, affine, has_orientation=False)
    except InputError as error:
        raise InputError(f"{error.expected} in {path.name}", error.found, error.fix) from error
    except (LookupError, TypeError, ValueError) as error:
        raise InputError(
            f"Expected a spacing and a direction for each axis in {path.name}",
            "found others in its header",
            "Export it again",
        ) from error


def _in_mm(unit: object) -> float:
    """Millimeters in a header's unit of length; a unit that is not known counts as mm.

    What then has no size of a body is refused where the exam is read.
    """
    word = str(unit).strip('" ').lower()
    return _UNIT_MM.get(word, _UNIT_MM.get(word.removesuffix("s"), 1.0))
