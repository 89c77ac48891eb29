"""Train the starter model: I-SPY windows for real tumors, phantoms for all that is no tumor.

    python recipes/train_starter.py --output starter-work

Made for two CPU cores; takes a GPU where there is one. Interrupted, the same command goes on.
When it is done, `--install` copies the weights in half precision into the package.
"""

from __future__ import annotations

import argparse
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ispy import read_slices

from napari_breastseg import checkpoint, formats
from napari_breastseg.errors import InputError
from napari_breastseg.phantom import LesionSpec, breast_phantom
from napari_breastseg.training import TrainConfig, train
from napari_breastseg.unet import ModelSpec
from napari_breastseg.volume import Exam, LabelMap

PACKAGE = Path(checkpoint.__file__).parent
STARTER = PACKAGE / "weights" / "starter"

SPEC = ModelSpec(
    inputs=("pre", "post1", "post1-pre"),
    missing="zero",
    features=(16, 32, 64, 128, 128),
    stem_stride=2,
    spacing_mm=(None, 0.714, 0.714),
    patch_size=(192, 192),
)
CONFIG = TrainConfig(
    steps=4000,
    batch_size=8,
    learning_rate=6e-3,
    lesion_fraction=0.6,
    averaging=0.99,
    validate_every=250,
    save_every=100,
)
PHANTOMS = 140
"""Patients in the phantom set, about as many as real ones; four slices each."""


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


def make_phantom(number: int, folder: Path) -> PhantomSlab:
    """Draw one slab, or take the one that is there."""
    case_id = f"PHANTOM_{number:04d}"
    slab = PhantomSlab(case_id, case_id, folder)
    truth = folder / "truth" / f"{case_id}.nii.gz"
    if truth.is_file():
        return slab
    rng = np.random.default_rng((7, number))
    kinds = ("round", "irregular", "spiculated", "rim", "nonmass")
    # A third has no lesion at all: heart, vessels and bright glands must stay unmarked.
    lesions = tuple(
        LesionSpec(
            str(rng.choice(kinds)),  # type: ignore[arg-type]
            float(np.exp(rng.uniform(np.log(0.15), np.log(25.0)))),
            str(rng.choice(("I", "II", "III"))),  # type: ignore[arg-type]
        )
        for _ in range(int(rng.choice((0, 1, 1, 2))))
    )
    settings = {
        "shape": (4, 448, 448),
        "spacing_mm": (3.0, 0.76, 0.76),
        "z_center_mm": None,
        "phases": ("pre", "post1"),
        "times_s": (0.0, float(rng.uniform(60, 150))),
        "bpe": float(rng.uniform(0, 0.9)),
        "noise": float(rng.uniform(0.03, 0.12)),
        "motion_mm": float(rng.uniform(0, 1.5)),
        "fat_suppression_failure": float(rng.uniform(0, 0.6)),
        "coil_bias": float(rng.uniform(0.05, 0.4)),
        "has_air_noise": bool(rng.random() < 0.7),
        "case_id": case_id,
    }
    try:
        phantom = breast_phantom(number, lesions=lesions, **settings)
    except InputError:  # a large lesion found no room in a small breast
        phantom = breast_phantom(number, lesions=1, **settings)
    for channel, volume in enumerate(phantom.exam.phases.values()):
        formats.write_volume(folder / f"{case_id}_{channel:04d}.nii.gz", volume)
    formats.write_label_map(truth, enhancing(phantom.exam, phantom.truth))
    return slab


def enhancing(exam: Exam, truth: LabelMap) -> LabelMap:
    """Truth without what does not enhance: the target of the real slices is enhancement, too."""
    from scipy.ndimage import uniform_filter

    pre, post = (np.asarray(exam.phases[role].data, np.float32) for role in ("pre", "post1"))
    rise = uniform_filter(post - pre, (1, 3, 3)) / np.maximum(uniform_filter(pre, (1, 3, 3)), 1.0)
    return LabelMap((truth.tumor & (rise > 0.3)).astype(np.uint8), truth.grid)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("starter-work"))
    parser.add_argument("--steps", type=int, default=CONFIG.steps)
    parser.add_argument("--phantoms", type=int, default=PHANTOMS)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--install", action="store_true", help="copy the result into the package")
    arguments = parser.parse_args()
    work = arguments.output
    if arguments.install:
        install(work / "model")
        return
    root = Path(__file__).resolve().parent.parent
    data = Path(os.environ.get("BREASTSEG_TEST_DATA", root.parent / "shared" / "data"))
    if not (data / "ispy_slices").is_dir():
        sys.exit(f"Needed the folder ispy_slices in {data}. Set BREASTSEG_TEST_DATA.")
    slices = read_slices(data / "ispy_slices")
    with ProcessPoolExecutor(2) as pool:
        count = arguments.phantoms
        slabs = list(pool.map(make_phantom, range(count), [work / "phantoms"] * count))
    print(
        f"{len(slices['train'])} I-SPY slices and {len(slabs)} phantoms to learn from", flush=True
    )
    config = CONFIG.model_copy(update={"steps": arguments.steps, "device": arguments.device})
    job = train(
        [*slices["train"], *slabs],
        work / "model",
        spec=SPEC,
        config=config,
        validation=slices["validation"],
        name="starter",
        datasets=["ispy_slices", "phantoms"],
        resume=True,
    )
    for progress in job:
        if "val_dice" in progress.metrics or progress.done % 50 == 0:
            figures = "  ".join(f"{k} {v:.4g}" for k, v in progress.metrics.items())
            print(f"{progress.stage} {progress.done}/{progress.total}  {figures}", flush=True)


def install(model: Path) -> None:
    """Put the weights, in half precision, where the package looks for its starter."""
    trained = checkpoint.load(model)
    info = trained.info.model_copy(
        update={"licence": "CC BY 4.0, see MODEL_CARD.md for the attribution of the training data"}
    )
    written = checkpoint.save(STARTER, trained.network.state_dict(), info, half=True)
    size = (STARTER / checkpoint.WEIGHTS_FILE).stat().st_size
    print(f"Installed {written.identity}, {size / 1e6:.1f} MB, in {STARTER}")


if __name__ == "__main__":
    main()
