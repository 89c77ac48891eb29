"""Read and write label maps and volumes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from ..core.errors import InputError
from ..core.volume import IGNORE, Exam, Grid, LabelMap, Volume
from .cases import case_from_files
from .dicom_seg import is_seg, read_seg
from .exams import read_channel
from .kinds import DICOM, NIFTI, NRRD, SLICE, kind_of_name, require_content
from .labels import OWN, OWN_MARK, Meaning, label_map_data, meaning_in_folder
from .lattice import placed, placement
from .nifti import nifti_description, write_nifti
from .nrrd import nrrd_content, write_nrrd
from .slices import write_slices

__all__ = ["read_label_map", "write_label_map", "write_volume"]


def read_label_map(
    path: Path,
    *,
    exam: Exam | None = None,
    grid: Grid | None = None,
    case_id: str = "",
    tumor: Collection[int] | None = None,
    is_own: bool = False,
    tell: Callable[[str], None] | None = None,
) -> LabelMap:
    """Mask from a NIfTI, NRRD, PNG, TIFF or DICOM SEG file, or a folder of slices or of one SEG.

    Parameters
    ----------
    path : Path
        Labels 0 and 1; pictures may also be black and white (0 and 255). What other labels mean
        must be on record: in a header this program wrote, or in the dataset.json beside the
        file's folder. The frames of a DICOM SEG are placed by their position, see `read_seg`.
    exam : Exam, optional
        The exam the mask must lie on.
    grid, case_id : Grid, str, optional
        Instead of `exam`, when its voxels are not loaded: its grid and name.
    tumor : collection of int, optional
        Labels (of a DICOM SEG: segments) that are tumor; all others are background.
    is_own : bool
        Whether this program wrote the file, so that 2 is `ignore`.
    tell : callable, optional
        Takes a sentence about a mask that covers a part of the exam, or lies on other axes.

    Returns
    -------
    LabelMap
        On the exam's grid if one is given, else on the file's. A mask on a part of the exam's
        lattice, or stored with its axes in another order or direction, is placed; see `placed`.

    Raises
    ------
    InputError
        If the file cannot be read, holds several channels, it is not known which labels are tumor,
        or it lies between the exam's voxels or outside.
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
        return read_seg(files[0], grid=grid, case_id=case_id, segments=tumor)
    name = "DICOM files" if kind == DICOM else path.name
    channels = read_channel(kind, files, is_mask=True)
    if len(channels) != 1:
        raise InputError(
            f"Expected one mask in {name}",
            f"found {len(channels)} different channels or volumes",
            "Save the mask as one grey image: 0 background, 255 tumor, or as one 3D volume",
        )
    recorded = OWN if is_own else _recorded(kind, files)
    data = label_map_data(
        channels[0].data, name, tumor=tumor, recorded=recorded, is_picture=kind == SLICE
    )
    label_map = LabelMap(data, channels[0].grid)
    if grid is None:
        return label_map
    on_exam = placed(label_map, grid, case_id)
    if tell is not None and (how := placement(label_map.grid, grid)):
        tell(f"the mask {name} {how}")
    return on_exam


def write_label_map(path: Path, label_map: LabelMap) -> None:
    """Write a mask on its own grid, uint8, atomically.

    Parameters
    ----------
    path : Path
        `.nii.gz`, `.nii` and `.nrrd` keep labels and affine, and say what 2 means. `.png`,
        `.tif` and `.tiff` become pictures: 255 tumor, 0 elsewhere.
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
    # Only where there is something to tell apart: other masks stay the files they always were.
    mark = OWN_MARK if (label_map.data == IGNORE).any() else ""
    if kind_of_name(path) == NIFTI:
        write_nifti(path, Volume(label_map.data, label_map.grid), description=mark)
    elif kind_of_name(path) == NRRD:
        write_nrrd(path, Volume(label_map.data, label_map.grid), content=mark)
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


def _recorded(kind: str, files: Sequence[Path]) -> Meaning | None:
    """What is on record of a file's labels: in its header, or in the dataset it belongs to."""
    if len(files) != 1:
        return None
    if kind == NIFTI and nifti_description(files[0]) == OWN_MARK:
        return OWN
    if kind == NRRD and nrrd_content(files[0]) == OWN_MARK:
        return OWN
    return meaning_in_folder(files[0])
