"""The I-SPY slices as cases: 80 mm windows with a target derived from enhancement.

Data: I-SPY 1 (doi 10.7937/K9/TCIA.2016.HdHpgJLK, CC BY 3.0) and I-SPY 2 / ACRIN-6698
(doi 10.7937/TCIA.D8Z0-9T85, 10.7937/TCIA.KK02-6D95, CC BY 4.0), through BreastDCEDL
(doi 10.1038/s41597-026-06589-6), as windows of 224 x 224 pixels of 0.357 mm, pre, early and late
post-contrast in red, green and blue. They were interpolated from about 0.7 mm, so they are
brought back to 112 x 112 here.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_breastseg.core.volume import Exam, Grid, LabelMap, Volume

TEST_PATIENTS = 40
VALIDATION_PATIENTS = 12
SPLIT_SEED = 20261122


@dataclass(frozen=True)
class IspySlice:
    """One slice of one patient, read when asked."""

    case_id: str
    patient_id: str
    file: Path
    box: tuple[int, int, int, int]
    area_mm2: float
    mm_per_px: float
    is_late: bool = False
    """Whether the exam's post1 is the late phase: the same tumor at another time after contrast."""

    roles: tuple[str, ...] = ("pre", "post1", "post2")
    """Phases the exam has; post2 is the late one."""

    smooth_px: float = 0.0
    """Standard deviation, in pixels of the file, of the Gaussian that smooths the enhancement
    before the target is derived from it: single noisy pixels then make no holes and crumbs."""

    is_halved: bool = True
    """Else the 224 x 224 pixels of the file, said to be of unknown size."""

    def _read(self) -> NDArray[np.float32]:
        return iio.imread(self.file)[..., :3].astype(np.float32)

    def _at_size(self, array: NDArray[np.float32]) -> NDArray[np.float32]:
        return _halve(array) if self.is_halved else array

    @property
    def grid(self) -> Grid:
        """112 x 112 pixels of 0.714 mm; which side is which is not known."""
        if not self.is_halved:
            return Grid((1, 224, 224))
        size = 2 * self.mm_per_px
        affine = np.diag([1.0, size, size, 1.0])
        return Grid((1, 112, 112), affine, has_orientation=False)

    def exam(self) -> Exam:
        """Pre, early and late phase, or what `roles` leaves of them."""
        picture = self._at_size(self._read())
        phases = {"pre": picture[..., 0], "post1": picture[..., 1], "post2": picture[..., 2]}
        if self.is_late:
            phases = {"pre": phases["pre"], "post1": phases["post2"]}
        chosen = [role for role in self.roles if role in phases]
        return Exam(self.case_id, {r: Volume(phases[r][None], self.grid) for r in chosen})

    def label_map(self) -> LabelMap:
        """The brightest pixels of post minus pre in the tumor's box, as many as its area."""
        picture = self._read()
        x, y, width, height = self.box
        enhancement = picture[..., 1] - picture[..., 0]
        if self.smooth_px:
            enhancement = ndimage.gaussian_filter(enhancement, self.smooth_px)
        inside = enhancement[y : y + height, x : x + width]
        count = min(round(self.area_mm2 / self.mm_per_px**2), inside.size)
        target = np.zeros(enhancement.shape, np.float32)
        if count:
            level = np.partition(inside.ravel(), -count)[-count]
            target[y : y + height, x : x + width] = inside >= level
        return LabelMap((self._at_size(target) >= 0.5).astype(np.uint8)[None], self.grid)


def read_slices(folder: Path) -> dict[str, list[IspySlice]]:
    """All slices, in three lists of patients: train, validation, test."""
    with (folder / "slices.csv").open(newline="") as table:
        slices = [
            IspySlice(
                row["case_id"],
                row["patient_id"],
                folder / row["image"],
                tuple(int(float(row[f"bbox_{key}"])) for key in "xywh"),  # type: ignore[arg-type]
                float(row["tumor_area_mm2"]),
                float(row["mm_per_px"]),
            )
            for row in csv.DictReader(table)
        ]
    patients = sorted({one.patient_id for one in slices})
    np.random.default_rng(SPLIT_SEED).shuffle(patients)
    chosen = {
        "test": set(patients[:TEST_PATIENTS]),
        "validation": set(patients[TEST_PATIENTS : TEST_PATIENTS + VALIDATION_PATIENTS]),
        "train": set(patients[TEST_PATIENTS + VALIDATION_PATIENTS :]),
    }
    return {
        name: [one for one in slices if one.patient_id in members]
        for name, members in chosen.items()
    }


def smoothed(slices: Sequence[IspySlice]) -> list[IspySlice]:
    """The slices with fuller targets, to learn from: on 72 validation slices Dice 0.96 with the
    plain ones, 11 components a slice instead of 15.
    """
    return [replace(one, smooth_px=1.0) for one in slices]


def late(slices: Sequence[IspySlice]) -> list[IspySlice]:
    """Every second slice once more, with the late phase."""
    return [replace(one, case_id=f"{one.case_id}_late", is_late=True) for one in list(slices)[::2]]


def post_only(slices: Sequence[IspySlice]) -> list[IspySlice]:
    """The slices once more, with nothing but the post-contrast phase."""
    return [replace(one, case_id=f"{one.case_id}_post", roles=("post1",)) for one in slices]


def enlarged(slices: Sequence[IspySlice]) -> list[IspySlice]:
    """The slices with pixels half as large, of a size that is not told."""
    return [replace(one, case_id=f"{one.case_id}_enlarged", is_halved=False) for one in slices]


def _halve(array: NDArray[np.float32]) -> NDArray[np.float32]:
    height, width = array.shape[0] // 2, array.shape[1] // 2
    blocks = array.reshape(height, 2, width, 2, *array.shape[2:])
    halved: NDArray[np.float32] = blocks.mean((1, 3))
    return halved
