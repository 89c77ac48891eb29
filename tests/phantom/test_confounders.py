"""What misleads a model is drawn as its setting says, and only then."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from napari_breastseg.core.errors import InputError
from napari_breastseg.phantom import LesionSpec, PhantomExam, Tissue, breast_phantom

SAGITTAL: dict[str, Any] = {
    "view": "sagittal", "breasts": "left", "shape": (40, 100, 100), "spacing_mm": (3.0, 2.2, 2.2),
}  # fmt: skip
AXIAL: dict[str, Any] = {"shape": (12, 150, 150), "spacing_mm": (4.0, 2.2, 2.2)}


def draw(**settings: Any) -> PhantomExam:
    """A patient without lesion, noise, motion or failed suppression, unless asked for."""
    clean = {
        "noise": 0.0, "motion_mm": 0.0, "fat_suppression_failure": 0.0, "lesions": 0,
        "phases": ("pre", "post1", "post2"), "density": 0.2,
    }  # fmt: skip
    return breast_phantom(4, **{**AXIAL, **clean, **settings})


def change(phantom: PhantomExam, other: PhantomExam, role: str) -> np.ndarray:
    """Signal of one exam minus that of the other, in a phase."""
    difference: np.ndarray = phantom.exam.phases[role].data.astype(float)
    return difference - other.exam.phases[role].data


@pytest.mark.parametrize(
    ("fields", "axis"),
    [(AXIAL, "left"), (AXIAL, "front"), (SAGITTAL, "head"), (SAGITTAL, "front")],
)
def test_ghosts_of_the_heart_lie_along_the_phase_direction(fields: Any, axis: str) -> None:
    without = draw(**fields)
    ghosted = draw(**fields, heart_ghosts=0.4, ghost_axis=axis)
    assert not change(ghosted, without, "pre").any()
    first, second = (change(ghosted, without, role) for role in ("post1", "post2"))
    assert np.abs(first - second).mean() > 0.2 * np.abs(first).mean()  # another place or strength
    letters = {"left": "RL", "front": "AP", "head": "HF"}[axis]
    ends = ghosted.exam.grid.end_letters or ()
    along = next(n for n, pair in enumerate(ends) if set(pair) == set(letters))
    heart = np.isin(ghosted.anatomy.data, (Tissue.HEART, Tissue.GREAT_VESSEL))
    lines = np.broadcast_to(heart.any(axis=along, keepdims=True), heart.shape)
    assert not first[~lines].any()
    blood = without.exam.phases["post1"].data[heart].mean()
    outside = np.abs(first[lines & ~heart])
    assert outside.max() > 0.05 * blood
    assert outside.max() < 1.5 * blood


def test_breathing_moves_the_chest_and_leaves_the_nipples() -> None:
    moved = np.abs(change(draw(breathing_mm=4.0), draw(), "pre"))
    anatomy = draw().anatomy.data
    assert moved[anatomy == Tissue.MUSCLE].mean() > 3
    rows = np.nonzero(draw().breasts.data)[1]
    assert not moved[:, : rows.min() + 5].any()


def test_motion_makes_bright_rims_at_the_skin() -> None:
    def rims(motion_mm: float) -> float:
        phantom = draw(motion_mm=motion_mm)
        gain = phantom.exam.phases["post1"].data.astype(float) - phantom.exam.phases["pre"].data
        breast = phantom.breasts.data > 0
        border = breast & ~ndimage.binary_erosion(breast, iterations=2)
        return float(np.quantile(gain[border], 0.98))

    assert rims(3.0) > 2 * rims(0.0)


def test_fat_is_bright_at_folds_of_the_skin() -> None:
    without, failed = draw(**SAGITTAL), draw(**SAGITTAL, fold_failure=1.0)
    gained = change(failed, without, "pre")
    fat = failed.anatomy.data == Tissue.FAT
    assert 0.02 < (gained[fat] > 100).mean() < 0.6
    depth = ndimage.distance_transform_edt(failed.anatomy.data > 0, sampling=(3.0, 2.2, 2.2))
    assert depth[fat & (gained > 100)].mean() < 0.8 * depth[fat].mean()
    # Fat does not take up contrast where it is bright.
    later = change(failed, without, "post1")
    assert np.abs(later - gained)[fat].mean() < 1


def test_suppressed_fat_has_its_level() -> None:
    fat = [
        phantom.exam.phases["pre"].data[phantom.anatomy.data == Tissue.FAT].mean()
        for phantom in (draw(), draw(fat_level=0.5))
    ]
    assert 0.4 < fat[1] / fat[0] < 0.75


def test_patches_of_gland_enhance_more_than_the_rest() -> None:
    without, patchy = draw(density=0.5, bpe=0.1), draw(density=0.5, bpe=0.1, bpe_patches=1.2)
    assert not change(patchy, without, "pre").any()
    gland = without.anatomy.data == Tissue.GLAND
    gained = change(patchy, without, "post1")[gland] / without.exam.phases["pre"].data[gland]
    assert 0.05 < (gained > 0.8).mean() < 0.7
    assert (gained < 0.1).mean() > 0.2


def test_thick_vessels_and_nodes_enhance_in_the_breast() -> None:
    for fields, tissue in (
        ({"thick_vessels": 20}, Tissue.VESSEL),
        ({"breast_nodes": 8}, Tissue.LYMPH_NODE),
    ):
        fine = {"shape": (70, 150, 150), "spacing_mm": (2.5, 2.2, 2.2)}
        without, crowded = draw(**fine), draw(**fine, **fields)
        added = (crowded.anatomy.data == tissue) & (without.anatomy.data != tissue)
        assert added.sum() > 20
        assert (crowded.breasts.data[added] > 0).mean() > 0.8
        gain = crowded.exam.phases["post1"].data.astype(float) - crowded.exam.phases["pre"].data
        assert gain[added].mean() > 100


def test_clips_are_black_in_every_phase_with_a_bright_rim() -> None:
    without, clipped = draw(), draw(shape=(12, 150, 150), clips=10)
    for role in ("pre", "post1", "post2"):
        before = without.exam.phases[role].data
        after = clipped.exam.phases[role].data
        holes = (before > 40) & (after < 0.2 * before)
        assert holes.sum() > 5
        near = ndimage.binary_dilation(holes, iterations=2) & ~holes
        assert (after[near] > 1.15 * before[near]).mean() > 0.1


def test_a_dead_core_is_dark_and_belongs_to_the_lesion() -> None:
    phantom = draw(
        lesions=(LesionSpec("rim", 40.0, "II", "left", core=0.7),),
        shape=(44, 130, 130), spacing_mm=(3.5, 2.5, 2.5),
    )  # fmt: skip
    lesion = phantom.lesions[0]
    assert lesion.volume_ml == pytest.approx(40, rel=0.05)
    mask = phantom.truth.tumor
    pre, post = (phantom.exam.phases[role].data.astype(float) for role in ("pre", "post1"))
    depth = ndimage.distance_transform_edt(mask, sampling=(3.5, 2.5, 2.5))
    core, rim = depth > 0.75 * depth.max(), mask & (depth < 4)
    assert (post - pre)[core].mean() < 0.1 * (post - pre)[rim].mean()
    assert pre[core].mean() < 0.75 * pre[rim].mean()


def test_settings_of_artifacts_out_of_range_are_refused() -> None:
    with pytest.raises(
        InputError,
        match=r"ghost_axis of head, front.*heart_ghosts from 0 to 0.5; found ghost_axis up; .* 0.9",
    ):
        draw(heart_ghosts=0.9, ghost_axis="up")
    with pytest.raises(InputError, match=r"a core from 0 to 0.9; found core 1 for lesion 1"):
        draw(lesions=(LesionSpec("rim", core=1.0),))
