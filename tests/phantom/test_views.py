"""The phantom in every view: letters, sides and volumes are those of one patient."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_breastseg.core.errors import InputError
from napari_breastseg.phantom import LesionSpec, PhantomExam, Tissue, breast_phantom

FIELDS: dict[str, dict[str, Any]] = {
    "axial": {"shape": (48, 128, 128), "spacing_mm": (4.0, 2.6, 2.6)},
    "sagittal": {"shape": (96, 90, 90), "spacing_mm": (3.0, 2.5, 2.5)},
    "coronal": {"shape": (60, 90, 130), "spacing_mm": (3.0, 2.5, 2.5)},
}
LETTERS = {
    "axial": (("F", "H"), ("A", "P"), ("R", "L")),
    "sagittal": (("R", "L"), ("H", "F"), ("A", "P")),
    "coronal": (("A", "P"), ("H", "F"), ("R", "L")),
}


def draw(view: str, **settings: Any) -> PhantomExam:
    """A patient with a round lesion in each breast, without noise or motion."""
    lesions = (LesionSpec("round", 6.0, "III", "right"), LesionSpec("irregular", 3.0, "II", "left"))
    clean = {"noise": 0.0, "motion_mm": 0.0, "phases": ("pre", "post1"), "lesions": lesions}
    return breast_phantom(3, view=view, **{**clean, **FIELDS[view], **settings})


def places_mm(phantom: PhantomExam, mask: np.ndarray) -> np.ndarray:
    """RAS positions of the voxels of a mask, shape (N, 3)."""
    affine = phantom.exam.grid.affine
    places: np.ndarray = np.argwhere(mask) @ affine[:3, :3].T + affine[:3, 3]
    return places


@pytest.fixture(scope="module", params=FIELDS)
def phantom(request: pytest.FixtureRequest) -> PhantomExam:
    """The patient in one view."""
    return draw(request.param)


def test_letters_and_spacing_are_those_of_the_view(phantom: PhantomExam) -> None:
    view = next(v for v, f in FIELDS.items() if f["shape"] == phantom.exam.grid.shape)
    assert phantom.exam.grid.end_letters == LETTERS[view]
    assert phantom.exam.grid.spacing_mm == pytest.approx(FIELDS[view]["spacing_mm"])


def test_each_lesion_lies_in_the_breast_of_its_side(phantom: PhantomExam) -> None:
    assert [lesion.side for lesion in phantom.lesions] == ["right", "left"]
    for lesion, value, right in zip(phantom.lesions, (1, 2), (1, -1), strict=True):
        mask = phantom.lesion_labels.data == lesion.id
        assert set(np.unique(phantom.breasts.data[mask])) == {value}
        assert (places_mm(phantom, mask)[:, 0] * right > 0).all()
        assert mask[lesion.box].sum() == mask.sum()
        assert places_mm(phantom, mask).mean(0) == pytest.approx(lesion.center_mm)
        gain = phantom.exam.phases["post1"].data.astype(int) - phantom.exam.phases["pre"].data
        assert gain[mask].mean() > 3 * gain[phantom.breasts.data == value].mean()
        assert not lesion.is_cut


def test_volumes_and_organs_do_not_depend_on_the_view(phantom: PhantomExam) -> None:
    assert [lesion.volume_ml for lesion in phantom.lesions] == pytest.approx([6.0, 3.0], rel=0.03)
    tip_mm = places_mm(phantom, phantom.breasts.data > 0)[:, 1].max()
    expected = draw("axial", lesions=0, shape=(48, 280, 280), spacing_mm=(4.0, 1.2, 1.2))
    assert tip_mm == pytest.approx(
        places_mm(expected, expected.breasts.data > 0)[:, 1].max(), abs=6
    )
    for value in (1, 2):
        volume = (phantom.breasts.data == value).sum() * (phantom.exam.grid.voxel_ml or 0)
        whole = (expected.breasts.data == value).sum() * (expected.exam.grid.voxel_ml or 0)
        assert volume == pytest.approx(whole, rel=0.06)


@pytest.mark.parametrize("side", ["right", "left"])
def test_one_sagittal_breast_from_sternum_to_side(side: str) -> None:
    phantom = breast_phantom(
        4, view="sagittal", breasts=side, shape=(50, 90, 90), spacing_mm=(3.0, 2.5, 2.5), lesions=2
    )
    own = phantom.breasts.data == (1 if side == "right" else 2)
    assert own.sum() > 20 * (phantom.breasts.data > 0)[~own].sum()
    assert {lesion.side for lesion in phantom.lesions} == {side}
    assert not own[-1 if side == "left" else 0].any()  # the lateral edge is in the field
    assert {Tissue.MUSCLE, Tissue.LUNG, Tissue.ABDOMEN} <= set(np.unique(phantom.anatomy.data))


@pytest.mark.parametrize("slice_mm", [3.0, 1.2])
@pytest.mark.parametrize("view", FIELDS)
def test_a_slab_of_any_view_holds_breast_and_lesion_wherever_it_lies(
    view: str, slice_mm: float
) -> None:
    middles = set()
    for seed in range(4):
        settings = {**FIELDS[view], "z_center_mm": None}
        settings["shape"] = (2, *settings["shape"][1:])
        settings["spacing_mm"] = (slice_mm, *settings["spacing_mm"][1:])
        phantom = breast_phantom(seed, view=view, lesions=(LesionSpec("round", 3.0),), **settings)
        lesion = phantom.lesions[0]
        assert lesion.is_cut
        assert lesion.volume_ml < 3.0
        mask = phantom.truth.tumor
        assert (phantom.breasts.data[mask] == (1 if lesion.side == "right" else 2)).all()
        middles.add(round(float(phantom.exam.grid.affine[:3, 3].sum())))
    assert len(middles) == 4


def test_views_and_fields_that_do_not_exist_are_refused() -> None:
    with pytest.raises(InputError, match=r"view of axial, sagittal, coronal.*; found view oblique"):
        breast_phantom(0, view="oblique")
    with pytest.raises(InputError, match=r"breasts of both, right, left.*; found .*none"):
        breast_phantom(0, breasts="none")
    with pytest.raises(InputError, match=r"150 mm in y and x, to hold the breast; found 140"):
        breast_phantom(
            0, view="sagittal", breasts="left", shape=(4, 70, 70), spacing_mm=(3.0, 2.0, 2.0)
        )
