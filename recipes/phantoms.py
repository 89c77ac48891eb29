"""The phantom set of the starter model: what windows around tumors cannot teach.

Each synthetic patient is a slab of four whole slices in any view, with skin, glands, vessels,
nodes, chest wall, heart and liver, which must stay unmarked. Every second one has no lesion.

Real tumors pasted into phantoms were tried and left out: the network learned to see the seam, and
missed tumors of real whole slices.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from napari_breastseg import formats
from napari_breastseg.core.volume import Exam, LabelMap
from napari_breastseg.training.replay import draw_phantom, enhancing

SLICES = 4


@dataclass(frozen=True)
class PhantomSlab:
    """Four slices of a synthetic patient, kept as files."""

    case_id: str
    patient_id: str
    folder: Path

    def exam(self) -> Exam:
        """Its phases."""
        return formats.open_exam(self.folder / f"{self.case_id}_0000.nii.gz")

    def label_map(self) -> LabelMap:
        """Where the lesions enhance."""
        return formats.read_label_map(self.folder / "truth" / f"{self.case_id}.nii.gz")


def make_phantom(number: int, folder: Path, group: str, posts: int = 1) -> PhantomSlab:
    """Draw one slab, or take the one that is there.

    Parameters
    ----------
    number : int
        Seed of the patient; the odd ones have no lesion.
    folder : Path
        Where the files are kept.
    group : str
        Name under which training draws it: groups are drawn as often as real patients.
    posts : int
        Post-contrast phases; with more than one, every third slab has one only.
    """
    case_id = f"PHANTOM_{number:04d}"
    slab = PhantomSlab(case_id, group, folder)
    truth = folder / "truth" / f"{case_id}.nii.gz"
    if truth.is_file():
        return slab
    phantom = draw_phantom(number, case_id, slices=SLICES, posts=posts if number % 3 else 1)
    for channel, volume in enumerate(phantom.exam.phases.values()):
        formats.write_volume(folder / f"{case_id}_{channel:04d}.nii.gz", volume)
    formats.write_label_map(truth, enhancing(phantom.exam, phantom.truth))
    return slab
