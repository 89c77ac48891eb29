"""The phantom keeps what it promises: one seed one exam, volumes, curves, places and labels."""

from __future__ import annotations

import hashlib
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_breastseg.core.errors import InputError
from napari_breastseg.formats import find_cases, open_exam, read_label_map
from napari_breastseg.phantom import (
    LesionSpec,
    PhantomConfig,
    PhantomExam,
    Tissue,
    breast_phantom,
)
from napari_breastseg.phantom.kinetics import PLATEAU_LIMIT

REPOSITORY = Path(__file__).resolve().parents[2]

SMALL: dict[str, Any] = {"shape": (10, 128, 128), "spacing_mm": (4.0, 2.5, 2.5)}
"""Coarse, quick exams for what does not depend on fine voxels."""

CLEAN: dict[str, Any] = {"noise": 0.0, "motion_mm": 0.0, "coil_bias": 0.0}

DIGEST = """
import hashlib
from napari_breastseg.phantom import breast_phantom
phantom = breast_phantom(11, shape=(4, 96, 96), spacing_mm=(5.0, 3.5, 3.5), lesions=2)
digest = hashlib.sha256()
for volume in (*phantom.exam.phases.values(), phantom.truth, phantom.anatomy, phantom.breasts):
    digest.update(volume.data.tobytes())
print(digest.hexdigest())
"""


def digest(phantom: PhantomExam) -> str:
    """SHA-256 of all that a phantom holds."""
    sha = hashlib.sha256()
    maps = (phantom.truth, phantom.lesion_labels, phantom.anatomy, phantom.breasts)
    for volume in (*phantom.exam.phases.values(), *maps):
        sha.update(volume.data.tobytes())
    sha.update(repr(phantom.lesions).encode())
    return sha.hexdigest()


@pytest.fixture(scope="module")
def clean_exam() -> PhantomExam:
    """A whole exam without noise or motion: one lesion of each curve, each of another shape."""
    return breast_phantom(
        3,
        shape=(48, 192, 192),
        spacing_mm=(3.0, 1.75, 1.75),
        times_s=(0.0, 75.0, 190.0, 330.0),
        lesions=(
            LesionSpec("round", 6.0, "I", "right"),
            LesionSpec("irregular", 4.0, "II", "left"),
            LesionSpec("spiculated", 2.0, "III", "right"),
            LesionSpec("rim", 8.0, "III", "left"),
            LesionSpec("nonmass", 3.0, "I", "left"),
        ),
        **CLEAN,
    )


def test_one_seed_gives_one_exam_and_another_seed_another() -> None:
    first, again, other = (breast_phantom(seed, **SMALL) for seed in (5, 5, 6))
    assert digest(first) == digest(again)
    assert digest(first) != digest(other)


def test_every_process_of_a_machine_draws_the_same_exam() -> None:
    outputs = {
        subprocess.run(
            [sys.executable, "-c", DIGEST],
            env={"PYTHONPATH": str(REPOSITORY), "PYTHONHASHSEED": hash_seed, "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(outputs) == 1
    assert len(outputs.pop().strip()) == 64


def test_needs_neither_qt_nor_torch() -> None:
    code = (
        "import sys; from napari_breastseg.phantom import breast_phantom; "
        "breast_phantom(0, shape=(2, 64, 64), spacing_mm=(5, 5, 5)); "
        "print([m for m in ('torch', 'qtpy', 'napari') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(REPOSITORY), "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.strip() == "[]"


def test_lesions_have_the_volume_asked_for(clean_exam: PhantomExam) -> None:
    asked = {"round": 6.0, "irregular": 4.0, "spiculated": 2.0, "rim": 8.0, "nonmass": 3.0}
    assert {lesion.kind for lesion in clean_exam.lesions} == set(asked)
    for lesion in clean_exam.lesions:
        assert lesion.volume_ml == pytest.approx(asked[lesion.kind], rel=0.05)
        mask = clean_exam.lesion_labels.data == lesion.id
        voxel_ml = clean_exam.truth.grid.voxel_ml
        assert voxel_ml is not None
        assert mask.sum() * voxel_ml == pytest.approx(lesion.volume_ml)
        assert mask[lesion.box].sum() == mask.sum()


def test_largest_lesion_fits_and_smallest_is_there() -> None:
    phantom = breast_phantom(
        9,
        shape=(44, 112, 112),
        spacing_mm=(3.5, 3.0, 3.0),
        lesions=(LesionSpec("irregular", 70.0, "III", "left"), LesionSpec("round", 0.1, "I")),
    )
    large, small = phantom.lesions
    assert large.volume_ml == pytest.approx(70.0, rel=0.05)
    assert 0 < small.volume_ml < 0.3


def test_only_the_round_lesion_has_an_analytic_volume(clean_exam: PhantomExam) -> None:
    analytic = {lesion.kind: lesion.analytic_volume_ml for lesion in clean_exam.lesions}
    assert analytic.pop("round") == pytest.approx(6.0)
    assert set(analytic.values()) == {None}


def test_round_lesion_is_as_long_as_its_volume_says(clean_exam: PhantomExam) -> None:
    ball = next(lesion for lesion in clean_exam.lesions if lesion.kind == "round")
    diameter_mm = (6 * 6000.0 / np.pi) ** (1 / 3)
    # Its axes differ by up to a fifth; voxel centers lie inside the surface.
    assert diameter_mm - 2.5 < ball.longest_diameter_mm < 1.2 * diameter_mm


@pytest.mark.parametrize("number", range(5))
def test_mean_curve_has_the_type_asked_for(clean_exam: PhantomExam, number: int) -> None:
    lesion = clean_exam.lesions[number]
    mask = clean_exam.lesion_labels.data == lesion.id
    curve = [float(volume.data[mask].mean()) for volume in clean_exam.exam.phases.values()]
    change = curve[-1] / curve[1] - 1
    kinetic_type = "I" if change > PLATEAU_LIMIT else "III" if change < -PLATEAU_LIMIT else "II"
    assert kinetic_type == lesion.kinetic_type
    assert curve[1] / curve[0] > 1.3
    assert lesion.enhancement["pre"] == 0.0


def test_rim_lesion_enhances_at_its_border(clean_exam: PhantomExam) -> None:
    from scipy import ndimage

    rim = next(lesion for lesion in clean_exam.lesions if lesion.kind == "rim")
    mask = clean_exam.lesion_labels.data == rim.id
    depth = ndimage.distance_transform_edt(mask, sampling=(3.0, 1.75, 1.75))
    phases = clean_exam.exam.phases
    gain = phases["post1"].data.astype(float) - phases["pre"].data
    shell = mask & (depth > 2) & (depth < 4.5)
    assert gain[shell].mean() > 2 * gain[depth > 0.85 * depth.max()].mean()


def test_lesions_are_connected_and_lie_inside_the_breast_of_their_side(
    clean_exam: PhantomExam,
) -> None:
    from scipy import ndimage

    for lesion in clean_exam.lesions:
        mask = clean_exam.lesion_labels.data == lesion.id
        assert ndimage.label(mask, np.ones((3, 3, 3)))[1] == 1
        assert set(np.unique(clean_exam.breasts.data[mask])) == {1 if lesion.side == "right" else 2}
        right_mm = lesion.center_mm[0]
        assert (right_mm > 0) == (lesion.side == "right")


def test_truth_anatomy_and_lesion_labels_agree(clean_exam: PhantomExam) -> None:
    is_lesion = clean_exam.anatomy.data == Tissue.LESION
    assert np.array_equal(clean_exam.truth.tumor, is_lesion)
    assert np.array_equal(clean_exam.lesion_labels.data > 0, is_lesion)
    assert not clean_exam.breasts.data[clean_exam.anatomy.data == Tissue.AIR].any()


def test_heart_and_great_vessels_enhance_and_are_labeled(clean_exam: PhantomExam) -> None:
    pre, post = (clean_exam.exam.phases[role].data.astype(float) for role in ("pre", "post1"))
    anatomy = clean_exam.anatomy.data
    voxel_ml = clean_exam.truth.grid.voxel_ml
    assert voxel_ml is not None
    heart = anatomy == Tissue.HEART
    assert 200 < heart.sum() * voxel_ml < 900
    for mask, factor in ((heart, 2.5), (anatomy == Tissue.GREAT_VESSEL, 3.0)):
        assert post[mask].mean() > factor * pre[mask].mean()
    fat = anatomy == Tissue.FAT
    assert post[fat].mean() < 1.1 * pre[fat].mean()
    assert not (clean_exam.breasts.data[heart]).any()


def test_every_tissue_is_there(clean_exam: PhantomExam) -> None:
    assert set(np.unique(clean_exam.anatomy.data)) == {int(tissue) for tissue in Tissue}


def test_slices_are_shown_as_radiologists_look_at_them(clean_exam: PhantomExam) -> None:
    grid = clean_exam.exam.grid
    assert grid.end_letters == (("F", "H"), ("A", "P"), ("R", "L"))
    assert grid.spacing_mm == (3.0, 1.75, 1.75)
    rows = np.nonzero(clean_exam.breasts.data)[1]
    heart_rows = np.nonzero(clean_exam.anatomy.data == Tissue.HEART)[1]
    assert rows.mean() < heart_rows.mean()  # breasts up
    columns = np.nonzero(clean_exam.breasts.data == 1)[2]
    assert columns.max() < grid.shape[2] / 2 + 5  # the right breast on the picture's left
    liver = np.nonzero(clean_exam.anatomy.data == Tissue.ABDOMEN)
    assert liver[0].mean() < grid.shape[0] / 2  # feet first


def test_one_patient_on_two_grids_is_the_same_patient() -> None:
    fields = {"lesions": 0, **CLEAN}
    fine = breast_phantom(2, shape=(24, 168, 168), spacing_mm=(4.0, 2.0, 2.0), **fields)
    coarse = breast_phantom(2, shape=(12, 112, 112), spacing_mm=(8.0, 3.0, 3.0), **fields)
    for tissue, tolerance in ((Tissue.HEART, 0.05), (Tissue.GLAND, 0.15), (Tissue.MUSCLE, 0.05)):
        volumes = [
            float((p.anatomy.data == tissue).sum() * (p.truth.grid.voxel_ml or 0))
            for p in (fine, coarse)
        ]
        assert volumes[0] == pytest.approx(volumes[1], rel=tolerance)


def test_slab_at_random_height_keeps_its_lesion_among_its_slices() -> None:
    heights = set()
    for seed in range(6):
        slab = breast_phantom(
            seed, shape=(3, 112, 112), spacing_mm=(3.0, 3.0, 3.0), z_center_mm=None
        )
        assert slab.truth.tumor.any()
        heights.add(round(float(slab.exam.grid.affine[2, 3])))
    assert len(heights) > 3


def test_lesion_cut_by_a_slab_says_so() -> None:
    lesion = LesionSpec("round", 30.0, "II", "left")
    (slab,) = breast_phantom(
        1, shape=(2, 112, 112), spacing_mm=(3.0, 3.0, 3.0), lesions=(lesion,)
    ).lesions
    assert slab.is_cut
    assert slab.volume_ml < 10.0


def test_single_slice_of_a_single_phase() -> None:
    phantom = breast_phantom(4, shape=(1, 128, 128), spacing_mm=(3, 2.5, 2.5), phases=("post1",))
    assert list(phantom.exam.phases) == ["post1"]
    assert phantom.truth.tumor.any()


def test_clear_exam_has_an_empty_truth() -> None:
    phantom = breast_phantom(4, lesions=0, **SMALL)
    assert phantom.lesions == ()
    assert not phantom.truth.data.any()


def test_times_count_from_the_injection() -> None:
    phantom = breast_phantom(
        0, phases=("pre", "post1", "post2"), times_s=(-20.0, 60.0, 130.0), **SMALL
    )
    assert phantom.exam.times_s == {"pre": -20.0, "post1": 60.0, "post2": 130.0}


def test_noise_is_rician_in_air_and_may_be_absent_there() -> None:
    noisy = breast_phantom(1, noise=0.1, motion_mm=0, **SMALL)
    air = noisy.anatomy.data == Tissue.AIR
    # Rayleigh: mean over standard deviation is sqrt(pi / (4 - pi)).
    away = air.copy()
    away[:, 6:] = False
    values = noisy.exam.phases["pre"].data[away].astype(float)
    assert values.mean() / values.std() == pytest.approx(1.913, rel=0.05)
    silent = breast_phantom(1, noise=0.1, has_air_noise=False, **SMALL)
    assert not silent.exam.phases["pre"].data[silent.anatomy.data == Tissue.AIR].any()


def test_motion_moves_the_other_phases_and_leaves_the_first_post_alone() -> None:
    settings = {**SMALL, **CLEAN}
    still = breast_phantom(1, **settings).exam.phases
    moved = breast_phantom(1, **{**settings, "motion_mm": 3.0}).exam.phases
    assert np.array_equal(still["post1"].data, moved["post1"].data)
    for role in ("pre", "post2"):
        apart = np.abs(still[role].data.astype(float) - moved[role].data)
        assert apart.mean() > 3


def test_fat_is_bright_where_suppression_fails_and_everywhere_without_it() -> None:
    settings = {**SMALL, **CLEAN, "lesions": 0}
    brightness = []
    for fields in (
        {"fat_suppression_failure": 0.0},
        {"fat_suppression_failure": 0.6},
        {"fat_suppression_failure": 1.0},
        {"fat_suppressed": False},
    ):
        phantom = breast_phantom(1, **{**settings, **fields})
        fat = phantom.exam.phases["pre"].data[phantom.anatomy.data == Tissue.FAT]
        brightness.append((fat > 200).mean())
    assert brightness[0] < 0.01
    assert 0.02 < brightness[1] < 0.8 < brightness[2]
    assert brightness[3] > 0.95


def test_background_enhancement_follows_its_setting() -> None:
    gains = []
    for bpe in (0.0, 0.5, 1.0):
        phantom = breast_phantom(1, bpe=bpe, density=0.4, lesions=0, **SMALL, **CLEAN)
        gland = phantom.anatomy.data == Tissue.GLAND
        pre, post = (phantom.exam.phases[role].data[gland].mean() for role in ("pre", "post1"))
        gains.append(post / pre - 1)
    assert gains[0] < 0.1
    assert gains[1] == pytest.approx(0.5, abs=0.15)
    assert gains[2] == pytest.approx(1.0, abs=0.25)


def test_density_is_the_share_of_gland() -> None:
    shares = []
    for density in (0.05, 0.4):
        phantom = breast_phantom(1, density=density, lesions=0, **SMALL)
        inside = phantom.anatomy.data[phantom.breasts.data > 0]
        shares.append((inside == Tissue.GLAND).mean())
    assert shares[0] < 0.12 < 0.25 < shares[1]


@pytest.mark.parametrize(
    ("settings", "needed", "came"),
    [
        ({"shape": (0, 224, 224)}, "shape of three whole numbers", r"shape \(0, 224, 224\)"),
        ({"spacing_mm": (3.0, -1.0, 1.5)}, "spacing_mm of three numbers", "-1.0"),
        ({"shape": (8, 64, 64)}, "field of view of at least 280 mm", "86.4 x 86.4 mm"),
        ({"phases": ("post1", "pre")}, "phases such as", "post1"),
        ({"times_s": (0.0, 90.0)}, "times_s of 4 rising numbers", r"\(0.0, 90.0\)"),
        ({"times_s": (10.0, 90.0, 100.0, 110.0)}, "at most 0 for pre", "10.0"),
        ({"noise": -0.1}, "noise from 0 to 1", "noise -0.1"),
        ({"motion_mm": 99.0}, "motion_mm from 0 to 10", "motion_mm 99"),
        ({"lesions": -1}, "0 to 20 lesions", "-1"),
        ({"lesions": (LesionSpec("round", 90.0),)}, "volume_ml from 0.1 to 80", "lesion 1"),
        ({"lesions": (LesionSpec("square"),)}, "a kind of round", "kind square"),  # type: ignore[arg-type]
        ({"lesions": (LesionSpec(kinetic_type="IV"),)}, "kinetic_type of I", "IV"),  # type: ignore[arg-type]
        ({"z_center_mm": 500.0}, "z_center_mm from -120 to 120", "500"),
        ({"colour": 1}, "settings of the phantom", "colour"),
    ],
)
def test_settings_out_of_range_are_refused(
    settings: dict[str, Any], needed: str, came: str
) -> None:
    with pytest.raises(InputError, match=rf"(?s){needed}.*; found .*{came}.*\. (Change|Correct)"):
        breast_phantom(0, **settings)


def test_all_problems_are_reported_together() -> None:
    with pytest.raises(InputError, match=r"(?s)noise.*bpe|bpe.*noise"):
        PhantomConfig(noise=9.0, bpe=9.0)


def test_seed_must_be_a_whole_number() -> None:
    with pytest.raises(InputError, match=r"whole number from 0 as the seed; found -1\. Give"):
        breast_phantom(-1)


def test_lesion_without_room_is_refused_by_name() -> None:
    with pytest.raises(
        InputError, match=r"room for lesion 1 of 2 mL .*; found less in the slices .*\. Ask for"
    ):
        breast_phantom(0, z_center_mm=120.0, lesions=(LesionSpec(volume_ml=2.0),), **SMALL)


def test_random_lesions_without_room_are_left_out() -> None:
    assert breast_phantom(0, z_center_mm=120.0, lesions=3, **SMALL).lesions == ()


def test_sample_opens_as_one_exam_and_its_truth_fits() -> None:
    folder = REPOSITORY / "sample_data"
    assert len(find_cases(folder)) == 1
    exam = open_exam(folder)
    assert list(exam.phases) == ["pre", "post1", "post2", "post3"]
    truth = read_label_map(folder / "truth" / f"{exam.case_id}.nii.gz", exam=exam)
    assert {volume.data.dtype for volume in exam.phases.values()} == {np.dtype(np.int16)}
    assert truth.tumor.sum() * (truth.grid.voxel_ml or 0) == pytest.approx(3.4, rel=0.05)
    assert sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) <= 6_000_000


def test_sample_is_what_its_recipe_makes() -> None:
    """On any processor: cosines, exponentials and matrix products differ in their last bits.

    Such a difference moves a gray value from one side of a half to the other, so by 1, in about
    one voxel of 100,000; the shipped values are rounded to multiples of `GRAY_STEP` besides. In the
    truth it may move a voxel on the border of a lesion in or out.
    """
    recipe = runpy.run_path(str(REPOSITORY / "recipes" / "make_sample.py"))
    truth = read_label_map(REPOSITORY / "sample_data" / "truth" / f"{recipe['CASE_ID']}.nii.gz")
    phantom = recipe["draw_sample"]()
    assert np.count_nonzero(phantom.truth.data != truth.data) <= 2
    shipped = open_exam(REPOSITORY / "sample_data").phases
    for role, drawn in phantom.exam.phases.items():
        apart = np.abs(drawn.data.astype(int) - shipped[role].data)
        assert apart.max() <= recipe["GRAY_STEP"] / 2 + 1
        assert np.mean(apart > recipe["GRAY_STEP"] / 2) < 1e-4
