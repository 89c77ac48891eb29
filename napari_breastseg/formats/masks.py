"""Read and write label maps and volumes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..core.errors import InputError
from ..core.volume import IGNORE, TUMOR, Exam, Grid, LabelMap, Volume
from .cases import case_from_files
from .dicom_seg import is_seg, read_seg
from .exams import read_channel
from .kinds import DICOM, NIFTI, NRRD, SLICE, kind_of_name, require_content
from .lattice import placed
from .nifti import write_nifti
from .nrrd import write_nrrd
from .slices import write_slices

__all__ = ["read_label_map", "write_label_map", "write_volume"]

_LABELS = (0, TUMOR, IGNORE)
_WHITE = 128
"""In a picture of two values, an upper value from here on means tumor and is not a label."""


def read_label_map(
    path: Path, *, exam: Exam | None = None, grid: Grid | None = None, case_id: str = ""
) -> LabelMap:
    """Mask from a NIfTI, NRRD, PNG, TIFF or DICOM SEG file, or a folder of slices or of one SEG.

    Parameters
    ----------
    path : Path
        Labels 0, 1, 2; pictures may also be black and white (0 and 255). The frames of a DICOM SEG
        are placed by their position, see `read_seg`.
    exam : Exam, optional
        The exam the mask must lie on.
    grid, case_id : Grid, str, optional
        Instead of `exam`, when its voxels are not loaded: its grid and name.

    Returns
    -------
    LabelMap
        On the exam's grid if one is given, else on the file's. A mask on a part of the exam's
        lattice, or stored with its axes in another order or direction, is placed; see `placed`.

    Raises
    ------
    InputError
        If the file cannot be read, holds several channels or unknown labels, or lies between
        the exam's voxels or outside.
    """
    path = Path(path)
    if exam is not None:
        grid, case_id = exam.grid, exam.case_id
    if path.is_dir():
        case = case_from_files(path.name, [path])
        kind, files = case.kind, case.files
    else:
        kind, files = require_content(path), (path,)
    if kind == DICOM and len(files) == 1 and is_seg(files[0]):
        return read_seg(files[0], grid=grid, case_id=case_id)
    name = "DICOM files" if kind == DICOM else path.name
    channels = read_channel(kind, files)
    if len(channels) != 1:
        raise InputError(
            f"Expected one mask in {name}",
            f"found {len(channels)} different channels or volumes",
            "Save the mask as one grey image: 0 background, 255 tumor, or as one 3D volume",
        )
    label_map = LabelMap(_labels(name, kind, channels[0].data), channels[0].grid)
    if grid is None:
        return label_map
    return placed(label_map, grid, case_id)


def write_label_map(path: Path, label_map: LabelMap) -> None:
    """Write a mask on its own grid, uint8, atomically.

    Parameters
    ----------
    path : Path
        `.nii.gz`, `.nii` and `.nrrd` keep labels and affine. `.png`, `.tif` and `.tiff` become
        pictures: 255 tumor, 0 elsewhere.
    label_map : LabelMap
        The mask; PNG can only hold a single slice.

    Raises
    ------
    InputError
        If the ending is another, or PNG cannot hold the mask.
    StorageError
        If the file cannot be written.
    """
    path = Path(path)
    if kind_of_name(path) == NIFTI:
        write_nifti(path, Volume(label_map.data, label_map.grid))
    elif kind_of_name(path) == NRRD:
        write_nrrd(path, Volume(label_map.data, label_map.grid))
    else:
        white = np.where(label_map.tumor, np.uint8(255), np.uint8(0))
        write_slices(path, Volume(white, label_map.grid))


def write_volume(path: Path, volume: Volume, dtype: DTypeLike | None = None) -> None:
    """Write grey values or probabilities on their own grid, atomically.

    Parameters
    ----------
    path : Path
        `.nii.gz`, `.nii` or `.nrrd`; or `.tif`, `.tiff` and, for a slice of 8 or 16 bits, `.png`,
        which lose the geometry.
    volume : Volume
        Values and their grid.
    dtype : dtype, optional
        Type on disk. By default the array's own; float16 becomes float32, bool uint8, and 64-bit
        integers the smallest type that holds them.

    Raises
    ------
    InputError
        If the ending is another, or the file's type cannot hold the values.
    StorageError
        If the file cannot be written.
    """
    path = Path(path)
    if kind_of_name(path) == NIFTI:
        write_nifti(path, volume, dtype)
    elif kind_of_name(path) == NRRD:
        write_nrrd(path, volume, dtype)
    else:
        write_slices(path, volume, dtype)


def _labels(name: str, kind: str, data: NDArray[Any]) -> NDArray[np.uint8]:
    values = np.unique(data)
    if np.isin(values, _LABELS).all():
        return data.astype(np.uint8)
    if kind == SLICE and len(values) <= 2 and values[-1] >= _WHITE and values[0] in (0, values[-1]):
        white: NDArray[np.bool_] = data == values[-1]
        return white.astype(np.uint8)
    unknown = values[~np.isin(values, _LABELS)]
    named = ", ".join(f"{value:g}" for value in unknown[:6]) + (", ..." if len(unknown) > 6 else "")
    pictures = ", or black and white (0 and 255)" if kind == SLICE else ""
    raise InputError(
        f"Expected a mask of labels 0, 1 and 2{pictures} in {name}",
        f"found {named} as well",
        "Save the mask without smoothing and not as JPEG"
        if kind == SLICE
        else "Map its labels to 0 background, 1 tumor, 2 ignore",
    )
