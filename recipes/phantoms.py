"""The phantom set of the starter model: what windows around tumors cannot teach.

Each synthetic patient is a slab of four whole axial slices with skin, glands, vessels, nodes,
chest wall, heart and liver, which must stay unmarked. Every second one has no lesion at all.

Real tumors pasted into phantoms were tried and left out: the network learned to see the seam, and
missed tumors of real whole slices.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from napari_breastseg import formats
from napari_breastseg.errors import InputError
from napari_breastseg.phantom import LesionSpec, PhantomExam, breast_phantom
from napari_breastseg.volume import Exam, LabelMap

SLICES = 4
KINDS = ("round", "irregular", "spiculated", "rim", "nonmass")


@dataclass(frozen=True)
class PhantomSlab:
    """Four slices of a synthetic patient, kept as files."""

    case_id: str
    patient_id: str
    folder: Path

    def exam(self) -> Exam:
        """Pre and first post-contrast phase."""
        return formats.open_exam(self.folder / f"{self.case_id}_0000.nii.gz")

    def label_map(self) -> LabelMap:
        """Where the lesions enhance."""
        return formats.read_label_map(self.folder / "truth" / f"{self.case_id}.nii.gz")


def make_phantom(number: int, folder: Path, group: str) -> PhantomSlab:
    """Draw one slab, or take the one that is there.

    Parameters
    ----------
    number : int
        Seed of the patient; the odd ones have no lesion.
    folder : Path
        Where the files are kept.
    group : str
        Name under which training draws it: groups are drawn as often as real patients.
    """
    case_id = f"PHANTOM_{number:04d}"
    slab = PhantomSlab(case_id, group, folder)
    truth = folder / "truth" / f"{case_id}.nii.gz"
    if truth.is_file():
        return slab
    rng = np.random.default_rng((7, number))
    phantom = _draw(number, rng, case_id)
    for channel, volume in enumerate(phantom.exam.phases.values()):
        formats.write_volume(folder / f"{case_id}_{channel:04d}.nii.gz", volume)
    formats.write_label_map(truth, enhancing(phantom.exam, phantom.truth))
    return slab


def _draw(number: int, rng: np.random.Generator, case_id: str) -> PhantomExam:
    has_lesions = number % 2 == 0
    lesions = tuple(
        LesionSpec(
            str(rng.choice(KINDS)),  # type: ignore[arg-type]
            float(np.exp(rng.uniform(np.log(0.15), np.log(25.0)))),
            str(rng.choice(("I", "II", "III"))),  # type: ignore[arg-type]
        )
        for _ in range(int(rng.choice((1, 1, 2))) if has_lesions else 0)
    )
    spacing = float(rng.uniform(0.68, 0.9))
    settings = {
        "shape": (SLICES, 448, 448),
        "spacing_mm": (3.0, spacing, spacing),
        # Slabs without a lesion lie anywhere from the liver to the armpits.
        "z_center_mm": None if has_lesions else float(rng.uniform(-90, 90)),
        "phases": ("pre", "post1"),
        "times_s": (0.0, float(rng.uniform(60, 150))),
        # Glands as bright as tumors would teach to miss tumors where only a post phase is there.
        "bpe": float(rng.uniform(0, 0.5)),
        "noise": float(np.exp(rng.uniform(np.log(0.03), np.log(0.25)))),
        "motion_mm": float(rng.uniform(0, 2.5)),
        "fat_suppression_failure": float(rng.uniform(0, 0.6)),
        "coil_bias": float(rng.uniform(0.05, 0.4)),
        "has_air_noise": bool(rng.random() < 0.7),
        "case_id": case_id,
    }
    try:
        return breast_phantom(number, lesions=lesions, **settings)
    except InputError:  # a large lesion found no room in a small breast
        return breast_phantom(number, lesions=1, **settings)


def enhancing(exam: Exam, truth: LabelMap) -> LabelMap:
    """Truth without what does not enhance: the target of the real slices is enhancement, too."""
    pre, post = (np.asarray(exam.phases[role].data, np.float32) for role in ("pre", "post1"))
    smooth = ndimage.uniform_filter
    rise = smooth(post - pre, (1, 3, 3)) / np.maximum(smooth(pre, (1, 3, 3)), 1.0)
    return LabelMap((truth.tumor & (rise > 0.3)).astype(np.uint8), truth.grid)
