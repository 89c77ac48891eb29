"""`predict --click`: a lesion outlined where it is clicked, in voxels or in mm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_breastseg import formats
from napari_breastseg.core.home import sample_folder
from napari_breastseg.core.overlap import dice

SAMPLE = sample_folder() / "SAMPLE_001_0000.nii.gz"
VOXEL = (13, 84, 183)
"""In the larger lesion of the sample, counted from 0."""


@pytest.fixture(scope="module")
def lesion() -> np.ndarray:
    from scipy import ndimage

    truth = formats.read_label_map(sample_folder() / "truth" / "SAMPLE_001.nii.gz").tumor
    parts, _ = ndimage.label(truth, np.ones((3, 3, 3)))
    return parts == parts[VOXEL]


def test_a_click_in_voxels_or_mm_outlines_that_lesion_alone(
    run: Any, tmp_path: Path, lesion: np.ndarray
) -> None:
    voxel = ",".join(str(place + 1) for place in VOXEL)
    code, out, _ = run("predict", SAMPLE, "--click", voxel, "--output", tmp_path / "a", "--json")
    (row,) = json.loads(out)["cases"]
    assert (code, row["status"], row["clicks"]) == (0, "done", 1)
    assert json.loads(out)["model"].startswith("clicks@")
    mask = formats.read_label_map(tmp_path / "a" / "SAMPLE_001.nii.gz").tumor
    assert dice(mask, lesion) > 0.85
    place = formats.open_exam(SAMPLE).grid.affine @ (*VOXEL, 1.0)
    in_mm = ",".join(f"{v:.2f}" for v in place[:3]) + "mm"
    run("predict", SAMPLE, f"--click={in_mm}", "--output", tmp_path / "b", "--prob")
    same = formats.read_label_map(tmp_path / "b" / "SAMPLE_001.nii.gz").tumor
    assert dice(mask, same) > 0.99
    assert (tmp_path / "b" / "SAMPLE_001_prob.nii.gz").is_file()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--not-click", "1,2,3"], "Found --not-click or --only-enhancing without one"),
        (["--only-enhancing"], "Found --not-click or --only-enhancing without one"),
        (["--click", "here"], "Found 'here'"),
        (["--click", "99,1,1"], "Found one at slice 99, row 1, column 1"),
        (["--click", "1,1,1"], "Found nothing at slice 1, row 1, column 1"),
        (["--click", "14,85,184", "--breasts"], "Expected --click alone"),
    ],
)
def test_what_cannot_be_asked_is_said(
    run: Any, tmp_path: Path, options: list[str], words: str
) -> None:
    code, _, err = run("predict", SAMPLE, *options, "--output", tmp_path)
    assert code != 0
    assert words in " ".join(err.split())
    assert not list(tmp_path.glob("*.nii.gz"))
