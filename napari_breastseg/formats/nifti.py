"""Read and write NIfTI-1 and NIfTI-2; axes change here from (X, Y, Z) to (Z, Y, X).

Arrays are transposed and the affine's columns swapped with them; nothing is reoriented.
nibabel reads the headers, and is loaded only when a file is read or written. The voxels' bytes are
read here: `nibabel.volumeutils.array_from_file` needs 1.6 times the memory for a compressed file,
does not verify the gzip checksum, and shows the full path of a file that is cut short.

A grid without orientation is written with both transform codes 0, one without spacing also with
pixdim 1 and unknown units, so that neither appears when the file is read again.

References
----------
NIfTI-1 and NIfTI-2 data formats, https://nifti.nimh.nih.gov
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..core.atomic import atomic_path
from ..core.errors import InputError
from ..core.reading import MOST_VOXELS, Deadline, most_unpacked, open_regular, require_room
from ..core.volume import SAME_VOXELS, Grid, Volume
from .straight import is_straight, nearest_straight

__all__ = ["nifti_description", "read_nifti", "require_phases_fit", "stored", "write_nifti"]

_Header = Any  # nibabel's Nifti1Header or Nifti2Header, which are untyped

_SWAP = [2, 1, 0, 3]  # (x, y, z, 1) to (z, y, x, 1) and back
_UNIT_MM = {1: 1000.0, 2: 1.0, 3: 0.001}
"""Millimeters per unit of length in the header; other codes count as mm."""
_NIFTI1_LONGEST = 32767
_CHUNK = 1 << 24
_DEFLATE_MOST = 1040  # deflate compresses 1032 to 1 at most; a header that claims more is wrong
_QFORM_VOXELS = 0.01
"""Largest distance in voxels between a grid corner placed by the qform and by the affine.

A qform stores a rotation as three 32-bit numbers. Near half a turn, as in an axial exam rotated a
little in its plane, rounding them moves a far corner by up to half a voxel; and a qform cannot
represent shear; but ITK reads no sheared sform without one, so that there one that is the same
grid by our tolerance stands beside it."""


def read_nifti(path: Path) -> list[Volume]:
    """Phases of a NIfTI file: one if it is 2D or 3D, one per entry of the fourth axis if 4D.

    Parameters
    ----------
    path : Path
        A `.nii` or `.nii.gz` file.

    Returns
    -------
    list of Volume
        Each (Z, Y, X): float32 if the header scales integers, else the file's own type.

    Raises
    ------
    InputError
        If the file is damaged, is shorter than its header says, holds complex or color values, or
        has an affine that cannot be inverted.
    """
    from nibabel.spatialimages import HeaderDataError
    from nibabel.volumeutils import apply_read_scaling
    from nibabel.wrapstruct import WrapStructError

    try:
        with _opened(path) as stream:
            header = _read_header(stream.read(540))
            shape = _require_shape(path, header)
            dtype = _require_dtype(path, header)
            raw = _read_voxels(path, stream, int(header["vox_offset"]), shape, dtype)
        affine = header.get_best_affine()
        slope, intercept = header.get_slope_inter()
    except (
        HeaderDataError,
        WrapStructError,
        OSError,
        EOFError,
        zlib.error,
        ValueError,
        OverflowError,
    ) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"Expected a complete NIfTI file, {path.name}",
            f"found it damaged ({error})",
            "Export it again",
        ) from error

    data: NDArray[Any] = np.frombuffer(raw, dtype).reshape(shape, order="F")
    data = data.astype(dtype.newbyteorder("="), copy=False)
    if data.dtype.itemsize > 8:  # long double, which few tools know
        data = data.astype(np.float64)
    if slope is not None and (slope, intercept) != (1.0, 0.0):
        with np.errstate(over="ignore"):  # infinite values get their own error later
            data = apply_read_scaling(data, np.float32(slope), np.float32(intercept))
            data = data.astype(np.float32, copy=False)
    grid = _grid_of(path, header, affine, shape[2::-1])
    return [Volume(data[..., phase].T, grid) for phase in range(shape[3])]


def nifti_description(path: Path) -> str:
    """What a NIfTI file's header says about it in words, up to 80 characters."""
    with _opened(path) as stream:
        header = _read_header(stream.read(540))
    return bytes(header["descrip"].tobytes()).rstrip(b"\0 ").decode("latin-1")


def write_nifti(
    path: Path, volume: Volume, dtype: DTypeLike | None = None, *, description: str = ""
) -> None:
    """Write a volume with its grid's affine; NIfTI-2 where an axis is too long for NIfTI-1.

    Equal volumes give equal files: the gzip header carries neither time nor name.

    Parameters
    ----------
    path : Path
        Ends in `.nii` or `.nii.gz`; replaced atomically.
    volume : Volume
        Array (Z, Y, X) and its grid.
    dtype : dtype, optional
        Type on disk; by default the array's own, or the nearest that most readers support.
    description : str
        Up to 80 characters for the header.

    Raises
    ------
    InputError
        If `dtype` is an integer type and the values are not whole numbers that fit.
    StorageError
        If the file cannot be written.
    """
    from nibabel.fileholders import FileHolder
    from nibabel.nifti1 import Nifti1Image
    from nibabel.nifti2 import Nifti2Image

    data = stored(volume.data, dtype)
    grid = volume.grid
    image_class: Any = Nifti2Image if max(grid.shape) > _NIFTI1_LONGEST else Nifti1Image
    if grid.has_orientation and grid.has_spacing:
        affine = grid.affine[:, _SWAP]
        image = image_class(data.T, affine, dtype=data.dtype)
        header = image.header
        header.set_sform(affine, code=1)
        header.set_qform(nearest_straight(affine, data.T.shape), code=1, strip_shears=True)
        most = _QFORM_VOXELS if is_straight(affine) else SAME_VOXELS
        if _off_voxels(header.get_qform(), affine, data.T.shape) > most:
            header["qform_code"] = 0  # readers then use the sform, which is exact
        header.set_xyzt_units("mm")
    else:
        image = image_class(data.T, None, dtype=data.dtype)
        header = image.header
        header.set_zooms(grid.voxel_size[::-1] if grid.has_spacing else (1.0, 1.0, 1.0))
        header.set_xyzt_units("mm" if grid.has_spacing else "unknown")

    header["descrip"] = description.encode("ascii")
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        if not path.name.lower().endswith(".gz"):
            image.to_file_map({"image": FileHolder(fileobj=file)})
            return
        with gzip.GzipFile("", "wb", compresslevel=1, fileobj=file, mtime=0) as packed:
            image.to_file_map({"image": FileHolder(fileobj=cast(Any, packed))})


def stored(data: NDArray[Any], dtype: DTypeLike | None) -> NDArray[Any]:
    """The array in a type that image files support; values unchanged except for float rounding.

    Raises
    ------
    InputError
        If whole numbers are asked for and the values are not, or do not fit.
    """
    if dtype is None:
        wanted = np.dtype({"?": "u1", "e": "f4", "g": "f8"}.get(data.dtype.char, data.dtype))
        if data.dtype.kind in "iu" and data.dtype.itemsize == 8:
            # Half of the viewers cannot read 64-bit integers.
            wanted = np.result_type(np.min_scalar_type(data.min()), np.min_scalar_type(data.max()))
            wanted = np.dtype(np.float64) if wanted.itemsize == 8 else wanted
        dtype = wanted
    target = np.dtype(dtype).newbyteorder("=")
    with np.errstate(invalid="ignore", over="ignore"):
        out = np.ascontiguousarray(data.astype(target, copy=False))
    if target.kind in "iu" and not np.array_equal(out, data):
        raise InputError(
            f"Expected whole numbers that fit {target}",
            f"found {data.dtype} values from {data.min():g} to {data.max():g}",
            "Write them as float32",
        )
    return out


def _off_voxels(
    one: NDArray[np.float64], other: NDArray[np.float64], shape: tuple[int, ...]
) -> float:
    """Largest distance along an axis between both positions of a corner, in voxels of the other."""
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape], [1])).reshape(4, -1)
    return float(np.abs(np.linalg.inv(other) @ (one - other) @ corners).max())


def _opened(path: Path) -> BinaryIO:
    is_gzip = path.name.lower().endswith(".gz")
    file = open_regular(path)
    if not is_gzip:
        return file
    packed: Any = gzip.GzipFile(fileobj=file)
    packed.myfileobj = file  # closed along with it
    return cast(BinaryIO, packed)


def require_phases_fit(path: Path, voxels: int, n_bytes: int, packed: int | None) -> None:
    """Refuse a header that promises more than a body needs, before anything is unpacked.

    Parameters
    ----------
    path : Path
        For its name.
    voxels : int
        Of one phase.
    n_bytes : int
        Of all phases, unpacked.
    packed : int or None
        Bytes of the packed file; None where it is not packed.
    """
    if voxels > MOST_VOXELS:
        raise InputError(
            f"Expected at most {MOST_VOXELS:,} voxels for a phase in {path.name}",
            f"found {voxels:,} in its header",
            "Check that it is an MRI exam, and export it again",
        )
    require_room(n_bytes, path.name)
    if packed is not None and n_bytes > most_unpacked(packed):
        raise InputError(
            f"Expected an image in {path.name}, which shrinks to a hundredth at best",
            f"found {packed:,} bytes that would unpack to {n_bytes:,}",
            "Check what it is, and export it again",
        )


def _read_header(block: bytes) -> _Header:
    from nibabel.nifti1 import Nifti1Header
    from nibabel.nifti2 import Nifti2Header

    if block[4:8] == b"n+2\0":
        return cast(Any, Nifti2Header)(block)
    return cast(Any, Nifti1Header)(block[:348])


def _require_shape(path: Path, header: _Header) -> tuple[int, int, int, int]:
    """Sizes (X, Y, Z, phases) of a file of 2 to 4 axes."""
    shape = tuple(int(n) for n in header.get_data_shape())
    while len(shape) > 4 and shape[-1] == 1:
        shape = shape[:-1]
    if not 2 <= len(shape) <= 4 or min(shape) < 1:
        raise InputError(
            f"Expected 2 to 4 axes, none of them empty, in {path.name}",
            f"found shape {' x '.join(str(n) for n in shape) or 'not given'}",
            "Save each phase as a 3D file, or all of them along the fourth axis",
        )
    x, y, z, phases = (*shape, 1, 1)[:4]
    return x, y, z, phases


def _require_dtype(path: Path, header: _Header) -> np.dtype[Any]:
    dtype: np.dtype[Any] = header.get_data_dtype()
    if dtype.kind not in "iuf":
        kind = "complex numbers" if dtype.kind == "c" else "colors"
        raise InputError(
            f"Expected real grey values in {path.name}",
            f"found {kind}",
            "Export the magnitude image" if dtype.kind == "c" else "Export it as grey values",
        )
    return dtype


def _read_voxels(
    path: Path, stream: BinaryIO, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> bytearray:
    """Bytes of all voxels; allocates nothing if the header claims more than the file can hold."""
    voxels, needed = math.prod(shape[:3]), math.prod(shape) * dtype.itemsize
    is_gzip = isinstance(stream, gzip.GzipFile)
    size = path.stat().st_size
    most = size * _DEFLATE_MOST if is_gzip else size
    deadline = Deadline(path.name)
    raw = bytearray()
    if offset + needed <= most:
        require_phases_fit(path, voxels, offset + needed, size if is_gzip else None)
        stream.seek(offset)
        while len(raw) < needed:
            deadline.check()
            chunk = stream.read(min(_CHUNK, needed - len(raw)))
            if not chunk:
                break
            raw += chunk
        if is_gzip and len(raw) == needed:
            stream.read(1)  # gzip verifies its checksum at the end of the stream
    if len(raw) < needed:
        raise InputError(
            f"Expected {needed:,} bytes of voxels in {path.name}, as its header says",
            f"found {size:,} bytes{' compressed' if is_gzip else ''}",
            "Copy or export it again; this copy is cut short",
        )
    return raw


def _grid_of(
    path: Path, header: _Header, affine: NDArray[np.float64], shape: tuple[int, ...]
) -> Grid:
    unit = int(header["xyzt_units"]) & 7  # the upper bits are the unit of time
    scale = _UNIT_MM.get(unit, 1.0)
    has_orientation = bool(header["sform_code"] > 0 or header["qform_code"] > 0)
    has_spacing = True
    if has_orientation:
        affine = np.array(affine, dtype=np.float64)[:, _SWAP]
        affine[:3] *= scale
    else:
        # nibabel would invent left and right here; the file gives only the pixel sizes.
        zooms = [float(zoom) for zoom in header.get_zooms()[:3]]
        x, y, z = zooms + [1.0] * (3 - len(zooms))
        has_spacing = unit in _UNIT_MM or (x, y, z) != (1.0, 1.0, 1.0)
        affine = np.diag([z * scale, y * scale, x * scale, 1.0])
    try:
        return Grid(cast(tuple[int, int, int], shape), affine, has_spacing, has_orientation)
    except InputError as error:
        raise InputError(f"{error.expected} in {path.name}", error.found, error.fix) from error
