"""Make the synthetic exam in `sample_data/`, with its truth and the README beside it.

Run it from the repository: ``python recipes/make_sample.py``. One kind of machine makes the
same files again; between processors a few gray values differ by one step.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from napari_breastseg.core.atomic import write_json, write_text
from napari_breastseg.core.volume import Volume
from napari_breastseg.formats import write_label_map, write_volume
from napari_breastseg.phantom import LesionSpec, PhantomExam, breast_phantom

SEED = 12
CASE_ID = "SAMPLE_001"
GRAY_STEP = 4
"""Gray values are multiples of this: the noise is larger, and the files become smaller."""
LIMIT_BYTES = 6_000_000

README = """# The sample exam

`{case}` is a synthetic bilateral axial breast DCE-MRI exam, not of a real person: T1-weighted with
fat suppression, {shape} voxels of {spacing} mm, int16. Its breasts, chest and heart, its
{lesions} lesions and its noise were drawn by the program from seed {seed}; it may be used and
shared as freely as the program itself.

| file | what |
|---|---|
| `{case}_0000.nii.gz` | before contrast |
{posts}
| `truth/{case}.nii.gz` | tumor mask: 1 where at least half of a voxel is lesion |
| `truth/{case}.json` | the lesions: kind, side, volume, diameter, kinetic type; times |

Made by `python recipes/make_sample.py`, which makes the same exam again.

The sample shows how the program works. It says nothing about how well a model works on patients.
"""


def draw_sample() -> PhantomExam:
    """The sample exam: an irregular washout lesion, and a small one in the other breast."""
    return breast_phantom(
        SEED,
        case_id=CASE_ID,
        shape=(36, 224, 224),
        spacing_mm=(3.5, 1.5, 1.5),
        phases=("pre", "post1", "post2", "post3"),
        times_s=(0.0, 90.0, 200.0, 310.0),
        lesions=(
            LesionSpec("irregular", 3.0, "III", "left"),
            LesionSpec("spiculated", 0.4, "II", "right"),
        ),
        density=0.14,
        bpe=0.2,
        noise=0.05,
        has_air_noise=False,
        motion_mm=0.4,
    )


def write_sample(folder: Path) -> int:
    """Write the sample into a folder; the bytes of all its files come back."""
    phantom = draw_sample()
    exam = phantom.exam
    paths = []
    for number, volume in enumerate(exam.phases.values()):
        rounded = (np.rint(volume.data / GRAY_STEP) * GRAY_STEP).astype(np.int16)
        paths.append(folder / f"{CASE_ID}_{number:04d}.nii.gz")
        write_volume(paths[-1], Volume(rounded, exam.grid))
    # In a folder of its own: a mask beside the phases would be taken for one of them.
    paths.append(folder / "truth" / f"{CASE_ID}.nii.gz")
    write_label_map(paths[-1], phantom.truth)
    paths.append(folder / "truth" / f"{CASE_ID}.json")
    lesions = [
        {
            "id": lesion.id,
            "kind": lesion.kind,
            "side": lesion.side,
            "kinetic_type": lesion.kinetic_type,
            "volume_ml": round(lesion.volume_ml, 4),
            "longest_diameter_mm": round(lesion.longest_diameter_mm, 2),
            "center_mm": [round(c, 2) for c in lesion.center_mm],
            "enhancement": {role: round(e, 4) for role, e in lesion.enhancement.items()},
        }
        for lesion in phantom.lesions
    ]
    truth = {"case_id": CASE_ID, "seed": SEED, "times_s": dict(exam.times_s), "lesions": lesions}
    write_json(paths[-1], json.loads(json.dumps(truth)))
    posts = "\n".join(
        f"| `{CASE_ID}_{number:04d}.nii.gz` | {role}, {exam.times_s[role]:g} s |"
        for number, role in enumerate(exam.phases)
        if number
    )
    paths.append(folder / "README.md")
    write_text(
        paths[-1],
        README.format(
            case=CASE_ID,
            shape=" x ".join(map(str, exam.grid.shape)),
            spacing=" x ".join(f"{s:g}" for s in exam.grid.spacing_mm or ()),
            lesions=len(lesions),
            seed=SEED,
            posts=posts,
        ),
    )
    return sum(path.stat().st_size for path in paths)


def main() -> None:
    """Write the sample and say how large it is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--output",
        type=Path,
        default=Path(__file__).resolve().parent.parent / "sample_data",
        help="folder to write into",
    )
    folder: Path = parser.parse_args().output
    size = write_sample(folder)
    print(f"{folder}: {size / 1e6:.2f} MB")
    if size > LIMIT_BYTES:
        raise SystemExit(f"The sample must stay below {LIMIT_BYTES / 1e6:g} MB")


if __name__ == "__main__":
    main()
