"""The demo without a window: a reader corrects two slices, the exam learns, then the model does.

The reader is a program: it drops findings that are none, and outlines lesions more widely than they
enhance, as some do, so that there is something to learn that the starter cannot know. No Qt.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .. import formats
from ..core.overlap import dice
from ..core.volume import TUMOR, Exam, LabelMap
from ..dataset import Dataset
from ..phantom import LesionSpec, breast_phantom
from ..scripting import accept
from ._console import run, say

if TYPE_CHECKING:
    from ..model.checkpoint import Checkpoint
    from ..predict.prediction import Prediction
    from ..training import TrainResult
    from ..training.corrections import Redraft

__all__ = ["Loop", "demo_loop", "outlined"]

MARGIN_MM = 3.0
"""How far beyond what enhances the reader outlines."""

CORRECTED_SLICES = 2


@dataclass(frozen=True, eq=False)
class Loop:
    """What the loop gave."""

    rows: list[dict[str, object]]
    """One for each mask: exam, mask, Dice, volumes, slices redrawn by the reader."""

    result: TrainResult


def demo_loop(
    checkpoint: Checkpoint, exam: Exam, truth: LabelMap, folder: Path, *, quiet: bool
) -> Loop:
    """Draft, correct two slices, draft the rest again, accept, train, try another patient.

    Parameters
    ----------
    checkpoint : Checkpoint
        The model to begin with.
    exam : Exam
    truth : LabelMap
        What enhances in it.
    folder : Path
        Gets the mask, the picture, the dataset and the trained model.
    quiet : bool
        Whether to show no progress.
    """
    from ..model.checkpoint import load
    from ..predict.prediction import predict
    from ..scoring.figures import learning_picture
    from ..training import train_dataset

    wanted = outlined(truth)
    prediction = run(predict(checkpoint, exam), quiet=quiet)
    draft = prediction.label_map
    corrected, touched, slices = _two_slices(prediction, wanted)
    quick, adapted = _redrafts(checkpoint, exam, prediction, corrected, touched, slices, quiet)
    accepted, redrawn = _rest_corrected(adapted.label_map, wanted)
    formats.write_label_map(folder / f"{exam.case_id}.nii.gz", accepted)

    dataset = Dataset.create(folder / "dataset", tuple(exam.phases))
    accept(dataset, exam, accepted, patient_id="SAMPLE", reader="simulated", draft=prediction)
    result = run(train_dataset([dataset], folder / "model", base=checkpoint), quiet=quiet)
    other, other_truth = another_patient()
    other_wanted = outlined(other_truth)
    before = run(predict(checkpoint, other), quiet=quiet).label_map
    after = run(predict(load(result.folder), other), quiet=quiet).label_map

    learning_picture(
        folder / "picture.png",
        (exam.phases["post1"], wanted, draft, adapted.label_map, slices),
        (other.phases["post1"], other_wanted, before, after),
    )
    unseen = [z for z in range(len(wanted.data)) if z not in slices]
    rows = [
        _row(exam.case_id, "draft", draft, wanted, 0, unseen),
        _row(exam.case_id, "two slices corrected", corrected, wanted, len(slices), unseen),
        _row(exam.case_id, "rest drafted again at once", quick.label_map, wanted, 0, unseen),
        _row(exam.case_id, "rest drafted again", adapted.label_map, wanted, 0, unseen),
        _row(exam.case_id, "corrected", accepted, wanted, redrawn, unseen),
        _row(other.case_id, "before training", before, other_wanted, 0),
        _row(other.case_id, "after training", after, other_wanted, 0),
    ]
    if not quiet:
        say(
            f"Drafted again {quick.seconds:.1f} s after the correction, and better after "
            f"{adapted.seconds:.1f} s more. The reader outlines {MARGIN_MM:g} mm beyond what "
            f"enhances; against what enhances itself the draft has Dice "
            f"{dice(draft.tumor, truth.tumor):.3f}."
        )
    return Loop(rows, result)


def outlined(truth: LabelMap) -> LabelMap:
    """What the reader outlines of the tumor in a truth: in each slice `MARGIN_MM` more."""
    from scipy import ndimage

    _, row_mm, column_mm = truth.grid.spacing_mm or truth.grid.voxel_size
    far = np.stack(
        [
            ndimage.distance_transform_edt(~plane, sampling=(row_mm, column_mm))
            if plane.any()
            else np.full(plane.shape, np.inf)
            for plane in truth.tumor
        ]
    )
    return LabelMap((far <= MARGIN_MM).astype(np.uint8), truth.grid)


def another_patient() -> tuple[Exam, LabelMap]:
    """A synthetic patient whose exam nothing is learned from, and what enhances in it."""
    phantom = breast_phantom(
        13,
        case_id="SAMPLE_002",
        shape=(24, 224, 224),
        spacing_mm=(3.5, 1.5, 1.5),
        phases=("pre", "post1", "post2", "post3"),
        times_s=(0.0, 90.0, 200.0, 310.0),
        lesions=(LesionSpec("irregular", 4.0, "III", "right"),),
        density=0.14,
        bpe=0.2,
        noise=0.05,
        has_air_noise=False,
        motion_mm=0.4,
    )
    return phantom.exam, phantom.truth


def _two_slices(
    prediction: Prediction, wanted: LabelMap
) -> tuple[LabelMap, NDArray[np.bool_], tuple[int, ...]]:
    """The draft after the reader dropped what is no lesion and redrew two slices of the largest.

    Returns
    -------
    corrected : LabelMap
    touched : ndarray of bool, shape (Z, Y, X)
        What was dropped.
    slices : tuple of int
        Those redrawn, from 0: a third and two thirds of the way through the lesion.
    """
    from scipy import ndimage

    mask = np.array(prediction.label_map.data)
    parts, count = ndimage.label(mask == TUMOR, np.ones((3, 3, 3)))
    touched = np.zeros(mask.shape, bool)
    for number in range(1, count + 1):
        is_part = parts == number
        if not (is_part & wanted.tumor).any():
            touched |= is_part
    mask[touched] = 0
    lesions, _ = ndimage.label(wanted.tumor, np.ones((3, 3, 3)))
    largest = lesions == np.argmax(np.bincount(lesions.ravel())[1:]) + 1
    through = np.flatnonzero(largest.any(axis=(1, 2)))
    steps = np.linspace(0, len(through) - 1, CORRECTED_SLICES + 2)[1:-1]
    slices = tuple(sorted({int(through[round(step)]) for step in steps}))
    mask[list(slices)] = wanted.data[list(slices)]
    return LabelMap(mask, wanted.grid), touched, slices


def _redrafts(
    checkpoint: Checkpoint,
    exam: Exam,
    prediction: Prediction,
    corrected: LabelMap,
    touched: NDArray[np.bool_],
    slices: tuple[int, ...],
    quiet: bool,
) -> tuple[Redraft, Redraft]:
    """The rest of the exam drafted again: at once, and better."""
    from ..training.corrections import Corrections
    from ..training.exam_learning import ExamLearner

    reviewed = np.zeros(len(corrected.data), bool)
    reviewed[list(slices)] = True
    corrections = [Corrections(corrected.data, touched, reviewed)]
    learner = ExamLearner(checkpoint, [exam], drafts=[prediction])
    run(learner.prepare(), quiet=quiet)
    (quick,) = run(learner.quick(corrections), quiet=quiet)
    (adapted,) = run(learner.adapt(corrections), quiet=quiet)
    return quick, adapted


def _rest_corrected(mask: LabelMap, wanted: LabelMap) -> tuple[LabelMap, int]:
    """What the reader accepts, and how many slices of Dice below 0.8 had to be redrawn for it."""
    corrected, redrawn = np.array(mask.data), 0
    for z in range(len(corrected)):
        if dice(mask.tumor[z], wanted.tumor[z]) < 0.8:
            corrected[z] = wanted.data[z]
            redrawn += 1
    return LabelMap(corrected, mask.grid), redrawn


def _row(
    exam: str,
    what: str,
    mask: LabelMap,
    wanted: LabelMap,
    redrawn: int,
    unseen: list[int] | None = None,
) -> dict[str, object]:
    """A row of the table; `unseen` are the slices that the reader did not redraw at first."""
    voxel_ml = mask.grid.voxel_ml or 0.0
    rest = slice(None) if unseen is None else unseen
    return {
        "exam": exam,
        "mask": what,
        "dice": round(dice(mask.tumor, wanted.tumor), 3),
        "dice_other_slices": round(dice(mask.tumor[rest], wanted.tumor[rest]), 3),
        "tumor_ml": round(float(mask.tumor.sum()) * voxel_ml, 2),
        "reference_ml": round(float(wanted.tumor.sum()) * voxel_ml, 2),
        "slices_redrawn": redrawn,
    }
