"""How well one predicted mask agrees with its reference. Arrays in, numbers out.

Conventions, the same for every measure:

- Voxels marked `ignore` are left out: what a model says there changes no score.
- A slice (Z = 1) is scored in two dimensions, a volume in three.
- Where spacing is not known distances are in pixels, under names that end in `_px`; the names
  that end in `_mm` and `_ml` are then None.
- The surface of a mask is its voxels that share a face with a scored voxel outside it, or lie at
  the border of the image; distances run between voxel centers, in mm along the grid's axes.
- Both masks empty: Dice, Jaccard and surface Dice are 1, distances None. One empty: those three
  are 0 and distances None, for no distance is right; how many such cases there are is said.
- A lesion is found when the prediction holds at least one of its voxels; a predicted component
  that holds no voxel of the reference is a false positive. Components join over faces, edges and
  corners (26 neighbors, 8 in a slice) and none is too small to count.

References
----------
Maier-Hein, Reinke et al. Metrics reloaded. Nature Methods 21, 195-212 (2024).
Nikolov et al. Clinically applicable segmentation of head and neck anatomy. JMIR 23(7) (2021).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..core.overlap import dice_of_counts
from ..core.region import tight_box, widened
from ..core.volume import LabelMap
from .curves import ProbabilityHistogram, require_same_shape

__all__ = [
    "CaseScores",
    "score_case",
    "surface_distances",
]

SURFACE_TOLERANCE_MM = 2.0
"""Surface Dice takes surfaces this close, in mm, as the same."""

SURFACE_TOLERANCE_PX = 2.0
"""The same in pixels, for images of unknown spacing."""

MAIN_SHARE = 0.1
"""Share of a case's largest lesion from which another one is a main lesion."""

_ONE_VOXEL = (slice(0, 1), slice(0, 1), slice(0, 1))


@dataclass(frozen=True)
class CaseScores:
    """One case's scores; None where a measure is not defined."""

    case_id: str
    patient_id: str
    dice: float
    jaccard: float
    surface_dice_mm: float | None
    """Share of both surfaces within the tolerance in mm of the other (NSD)."""
    surface_dice_px: float | None
    """The same with the tolerance in pixels, where spacing is not known."""
    hd95_mm: float | None
    """95th percentile Hausdorff distance: the larger of the two directions."""
    hd95_px: float | None
    assd_mm: float | None
    """Average symmetric surface distance, over all voxels of both surfaces."""
    assd_px: float | None
    reference_ml: float | None
    prediction_ml: float | None
    volume_error_ml: float | None
    """Prediction less reference; negative when the model marks too little."""
    volume_error_relative: float | None
    """Volume error over the reference's volume; None without tumor in the reference."""
    reference_px: int
    prediction_px: int
    volume_error_px: int
    lesions: int
    lesions_found: int
    lesion_sensitivity: float | None
    """Found over all; None without a lesion in the reference."""
    false_positives: int
    """Predicted components that touch no tumor."""
    true_positive_px: int
    false_positive_px: int
    false_negative_px: int
    true_negative_px: int
    roc_auc: float | None
    pr_auc: float | None
    main_lesions: int = 0
    """Lesions of at least a tenth of the case's largest; smaller ones are mostly fragments."""
    main_lesions_found: int = 0
    is_trained_on: bool = False
    """Whether the model learned from this patient, which flatters its scores."""


def score_case(
    case_id: str,
    patient_id: str,
    prediction: NDArray[np.bool_],
    reference: LabelMap,
    probability: NDArray[np.floating] | ProbabilityHistogram | None = None,
    *,
    surface_tolerance_mm: float = SURFACE_TOLERANCE_MM,
    surface_tolerance_px: float = SURFACE_TOLERANCE_PX,
) -> CaseScores:
    """All scores of one case; the module's text says the conventions.

    Parameters
    ----------
    case_id, patient_id : str
        Names of the row.
    prediction : array of bool, shape (Z, Y, X)
        Tumor as predicted.
    reference : LabelMap
        The truth, with its grid; `ignore` voxels are left out.
    probability : array, shape (Z, Y, X), or ProbabilityHistogram, optional
        Tumor probability for the areas under the curves, or its counts for this case.
    surface_tolerance_mm, surface_tolerance_px : float
        How far apart surfaces may lie and still count as the same.

    Raises
    ------
    InputError
        If the shapes differ or the probabilities are none.

    Examples
    --------
    >>> from napari_breastseg.core.volume import Grid
    >>> truth = LabelMap(np.array([[[1, 1, 0, 0]]], np.uint8), Grid((1, 1, 4)))
    >>> scores = score_case("P001_v1", "P001", truth.data > 0, truth)
    >>> scores.dice, scores.hd95_px, scores.hd95_mm
    (1.0, 0.0, None)
    """
    require_same_shape(prediction, reference, case_id, "prediction")
    scored, tumor = reference.is_scored, reference.tumor
    marked = np.asarray(prediction, dtype=bool) & scored
    n_scored, n_tumor, n_marked = (int(np.count_nonzero(a)) for a in (scored, tumor, marked))
    n_both = int(np.count_nonzero(tumor & marked))
    n_either = n_tumor + n_marked - n_both
    # One voxel of margin, so that a mask's surface is seen from inside.
    shape = reference.grid.shape
    box = widened(tight_box(tumor | marked) or _ONE_VOXEL, shape, (1, 1, 1))

    grid = reference.grid
    if grid.spacing_mm is None:
        spacing, tolerance = (1.0, 1.0, 1.0), surface_tolerance_px
    else:
        spacing, tolerance = grid.voxel_size, surface_tolerance_mm
    nsd, hd95, assd = _surface_scores(marked[box], tumor[box], scored[box], spacing, tolerance)
    lesions, found, false_positives, main, main_found = _count_lesions(marked[box], tumor[box])

    if probability is None or isinstance(probability, ProbabilityHistogram):
        histogram = probability
    else:
        histogram = ProbabilityHistogram()
        histogram.add(probability, reference, case_id)
    curves = None if histogram is None else histogram.curves()

    has_mm, voxel_ml = grid.spacing_mm is not None, grid.voxel_ml
    return CaseScores(
        case_id=case_id,
        patient_id=patient_id,
        dice=dice_of_counts(n_both, n_tumor + n_marked),
        jaccard=n_both / n_either if n_either else 1.0,
        surface_dice_mm=nsd if has_mm else None,
        surface_dice_px=None if has_mm else nsd,
        hd95_mm=hd95 if has_mm else None,
        hd95_px=None if has_mm else hd95,
        assd_mm=assd if has_mm else None,
        assd_px=None if has_mm else assd,
        reference_ml=None if voxel_ml is None else n_tumor * voxel_ml,
        prediction_ml=None if voxel_ml is None else n_marked * voxel_ml,
        volume_error_ml=None if voxel_ml is None else (n_marked - n_tumor) * voxel_ml,
        volume_error_relative=(n_marked - n_tumor) / n_tumor if n_tumor else None,
        reference_px=n_tumor,
        prediction_px=n_marked,
        volume_error_px=n_marked - n_tumor,
        lesions=lesions,
        lesions_found=found,
        lesion_sensitivity=found / lesions if lesions else None,
        false_positives=false_positives,
        true_positive_px=n_both,
        false_positive_px=n_marked - n_both,
        false_negative_px=n_tumor - n_both,
        true_negative_px=n_scored - n_either,
        roc_auc=None if curves is None else curves.roc_auc,
        pr_auc=None if curves is None else curves.pr_auc,
        main_lesions=main,
        main_lesions_found=main_found,
    )


def surface_distances(
    a: NDArray[np.bool_],
    b: NDArray[np.bool_],
    spacing: tuple[float, float, float],
    scored: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distance of every surface voxel to the other mask's surface, in the unit of `spacing`.

    Parameters
    ----------
    a, b : array of bool, shape (Z, Y, X)
        Two masks.
    spacing : tuple of float
        Voxel size (z, y, x).
    scored : array of bool, shape (Z, Y, X), optional
        Voxels that count. A mask ends at a scored voxel, not at one that was not reviewed.

    Returns
    -------
    from_a, from_b : array, shape (N,), (M,)
        Both empty when either mask has no surface.

    Examples
    --------
    >>> a, b = np.zeros((2, 1, 5, 5), bool)
    >>> a[0, 2, 1] = b[0, 2, 4] = True
    >>> surface_distances(a, b, (3.0, 0.7, 0.5))
    (array([1.5]), array([1.5]))
    """
    from scipy.spatial import KDTree

    scored = np.ones(a.shape, bool) if scored is None else scored
    points = [np.argwhere(_surface(mask, scored)) * np.asarray(spacing) for mask in (a, b)]
    if min(len(p) for p in points) == 0:
        return np.empty(0), np.empty(0)
    trees = [KDTree(p) for p in points]
    return trees[1].query(points[0])[0], trees[0].query(points[1])[0]


def _surface(mask: NDArray[np.bool_], scored: NDArray[np.bool_]) -> NDArray[np.bool_]:
    from scipy import ndimage

    outside = scored & ~mask
    faces = ndimage.generate_binary_structure(3, 1)
    if mask.shape[0] == 1:  # a slice has no faces towards its missing neighbors
        faces[0] = faces[2] = False
    # What lies beyond the image counts as outside: a mask cut off by the border ends there.
    edge: NDArray[np.bool_] = mask & ndimage.binary_dilation(outside, faces, border_value=1)
    return edge


def _surface_scores(
    marked: NDArray[np.bool_],
    tumor: NDArray[np.bool_],
    scored: NDArray[np.bool_],
    spacing: tuple[float, float, float],
    tolerance: float,
) -> tuple[float | None, float | None, float | None]:
    if not marked.any() or not tumor.any():
        return (0.0 if marked.any() or tumor.any() else 1.0), None, None
    there, back = surface_distances(marked, tumor, spacing, scored)
    if there.size == 0:  # a mask that fills all that is scored has no surface
        return None, None, None
    both = np.concatenate([there, back])
    near = float(np.mean(both <= tolerance + 1e-6))  # 20 steps of 0.1 mm are 2 mm
    hd95 = max(float(np.percentile(there, 95)), float(np.percentile(back, 95)))
    return near, hd95, float(np.mean(both))


def _count_lesions(
    marked: NDArray[np.bool_], tumor: NDArray[np.bool_]
) -> tuple[int, int, int, int, int]:
    """Lesions, those found, false positives, main lesions, those found."""
    from scipy import ndimage

    neighbors = np.ones((3, 3, 3), bool)
    tumor_labels, n_tumor = ndimage.label(tumor, neighbors)
    marked_labels, n_marked = ndimage.label(marked, neighbors)
    both = tumor & marked
    found = np.unique(tumor_labels[both])
    sizes = np.bincount(tumor_labels.ravel())[1:]
    main = 1 + np.flatnonzero(sizes >= MAIN_SHARE * sizes.max(initial=0))
    touching = np.unique(marked_labels[both]).size
    main_found = np.intersect1d(main, found).size
    return int(n_tumor), found.size, int(n_marked - touching), main.size, main_found
