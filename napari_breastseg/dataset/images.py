"""The images of a case on disk: one file for each channel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .. import formats
from ..core.errors import InputError
from ..core.volume import Exam, Volume, require_numbers
from .layout import Layout, sha256
from .records import CaseRecord

__all__ = ["read_exam", "write_images"]


def read_exam(layout: Layout, record: CaseRecord) -> Exam:
    """Images of a case by channel role."""
    files = [layout.image(record.case_id, i) for i in range(len(record.channels))]
    found = formats.case_from_files(record.case_id, files, phases=record.channels)
    return Exam(record.case_id, formats.read_exam(found).phases, record.times_s)


def write_images(
    layout: Layout, exam: Exam, channels: Sequence[str], case_id: str
) -> dict[str, str]:
    """Write the channels of a case; the SHA-256 of each file by role.

    Raises
    ------
    InputError
        If a phase is constant or holds values that are not finite.
    """
    digests = {}
    for index, role in enumerate(channels):
        path = layout.image(case_id, index)
        formats.write_volume(path, _storable(exam.phases[role], role, case_id))
        digests[role] = sha256(path)
    return digests


def _storable(volume: Volume, role: str, case_id: str) -> Volume:
    first = volume.data.flat[0]
    if bool((volume.data == first).all()):
        raise InputError(
            f"Expected an image with structure in phase {role} of case {case_id}",
            f"found a constant image (all voxels {first:g})",
            "Choose a slice or series with tissue in it",
        )
    if not np.issubdtype(volume.data.dtype, np.floating):
        return volume
    require_numbers(volume.data, f"{role} of case {case_id}")
    # Double precision doubles the folder and says nothing more about an MR signal.
    is_double = volume.data.dtype == np.float64
    return Volume(volume.data.astype(np.float32), volume.grid) if is_double else volume
