"""The whole loop as twelve calls for scripts and notebooks: a door beside window and commands.

`napari_breastseg` offers them by name. Each runs the same job as the window and the command line
and returns when it is done. Loads torch only in the calls that need a network; no Qt, no napari.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import formats
from .clicks.asking import segment_at
from .core.home import new_training_folder
from .core.progress import Progress, drain
from .core.volume import Exam, LabelMap
from .dataset import CaseRecord, Dataset, enter_exam
from .formats import DicomExam, WrittenSeg, open_exam
from .lesions import PE_THRESHOLD_PERCENT, LesionReport
from .lesions.report import lesion_report
from .lesions.report import write_report as save_report
from .lesions.seg import exporting_seg

if TYPE_CHECKING:
    from .core.region import Region
    from .lesions.findings import Findings
    from .predict.prediction import Prediction
    from .registry.promotion import Promotion
    from .scoring.evaluation import Evaluation
    from .scoring.held_out import SplitName
    from .training import TrainResult

__all__ = [
    "accept",
    "draft",
    "evaluate",
    "export_seg",
    "measure",
    "open_exam",
    "promote",
    "redraft",
    "save_report",
    "segment_at",
    "train",
    "write_mask",
]

OnProgress = Callable[[Progress], None]
"""Called with each step of a long job, such as ``print``."""


def draft(
    exam: Exam,
    *,
    model: str | Path | None = None,
    device: str = "auto",
    threshold: float = 0.5,
    region: Region | None = None,
    breasts_only: bool | None = None,
    on_progress: OnProgress | None = None,
) -> Prediction:
    """A model's outline of the tumor in an exam, to be corrected.

    Parameters
    ----------
    exam : Exam
        From `open_exam`.
    model : str or Path, optional
        Registered name, checkpoint folder or "starter"; by default the default model.
    device : str
        auto, cpu, cuda or mps.
    threshold : float
        Probability from which a voxel is tumor, 0 to 1.
    region : tuple of slice, optional
        Slices of voxels along (Z, Y, X); the whole exam by default.
    breasts_only : bool, optional
        Mark nothing away from the breasts; by default so in whole exams in which they are outlined
        reliably.
    on_progress : callable, optional
        Called with each `Progress`.

    Returns
    -------
    Prediction
        `label_map` is the draft and `probability` what it was made from, on the exam's grid.

    Raises
    ------
    InputError
        If there is no such model or device, or the exam lacks a phase the model needs.
    """
    from .model.checkpoint import load
    from .predict.prediction import predict
    from .registry.models import Registry

    job = predict(
        load(Registry().chosen(model)),
        exam,
        device=device,
        threshold=threshold,
        region=region,
        breasts_only=breasts_only,
    )
    return drain(job, on_progress)


def redraft(
    exam: Exam,
    corrected: LabelMap,
    *,
    draft: Prediction,
    reviewed_slices: Sequence[int] | None = None,
    model: str | Path | None = None,
    device: str = "auto",
    on_progress: OnProgress | None = None,
) -> Prediction:
    """The rest of an exam drafted again by a copy of the model that learned its corrected slices.

    The model itself stays as it is, and the copy is not kept.

    Parameters
    ----------
    exam : Exam
    corrected : LabelMap
        Its mask: 0 no tumor, 1 tumor, 2 not reviewed.
    draft : Prediction
        What the model made of the exam, from `draft`.
    reviewed_slices : sequence of int, optional
        Numbers of the slices of the mask that are right, from 0; None for all that is not marked
        as not reviewed.
    model, device : optional
        As in `draft`.
    on_progress : callable, optional
        Called with each `Progress`.

    Returns
    -------
    Prediction
        Its `label_map` is the mask where it was reviewed, and a new draft elsewhere.

    Raises
    ------
    InputError
        If the mask is not on the exam's grid, no slice is reviewed, or the model is not a 2D one
        of this package.
    """
    from .model.checkpoint import load
    from .registry.models import Registry
    from .training.corrections import Corrections
    from .training.exam_learning import ExamLearner
    from .training.redrafted import redrafted_prediction

    corrected.require_grid(exam.grid, exam.case_id)
    checkpoint = load(Registry().chosen(model))
    corrections = Corrections.of_mask(corrected, draft.label_map, reviewed_slices)
    learner = ExamLearner(checkpoint, [exam], drafts=[draft], device=device)
    (found,) = drain(learner.adapt([corrections]), on_progress)
    return drain(redrafted_prediction(checkpoint, exam, draft, found), on_progress)


def measure(
    exam: Exam,
    mask: LabelMap,
    *,
    findings: Findings | None = None,
    previous: LesionReport | None = None,
    injection_s: float | None = None,
    pe_threshold_percent: float = PE_THRESHOLD_PERCENT,
    on_progress: OnProgress | None = None,
) -> LesionReport:
    """Each lesion of a mask: volume, diameters, side, enhancement curve and its type.

    Parameters
    ----------
    exam : Exam
    mask : LabelMap
        On the exam's grid.
    findings : Findings, optional
        Those of a prediction: lesions get their scores, and the most likely one comes first.
    previous : LesionReport, optional
        An earlier measurement of the same exam, whose lesions keep their names.
    injection_s : float, optional
        Seconds from the first phase to the injection, where known.
    pe_threshold_percent : float
        Early enhancement in percent from which a voxel is functional tumor.
    on_progress : callable, optional
        Called with each `Progress`.

    Returns
    -------
    LesionReport

    Raises
    ------
    InputError
        If the mask is not on the exam's grid.
    """
    job = lesion_report(
        exam,
        mask,
        findings=findings,
        previous=previous,
        injection_s=injection_s,
        pe_threshold_percent=pe_threshold_percent,
    )
    return drain(job, on_progress)


def write_mask(path: str | Path, mask: LabelMap) -> None:
    """Write a mask on the grid it lies on.

    Parameters
    ----------
    path : str or Path
        Ends in `.nii.gz`, `.nii`, `.nrrd`, `.png` or `.tif`.
    mask : LabelMap
        0 background, 1 tumor, 2 not reviewed.

    Raises
    ------
    InputError
        If the format cannot hold the mask.
    StorageError
        If the file cannot be written.
    """
    formats.write_label_map(Path(path), mask)


def accept(
    dataset: str | Path | Dataset,
    exam: Exam,
    mask: LabelMap,
    *,
    patient_id: str,
    reader: str,
    draft: Prediction | None = None,
    reviewed_slices: Sequence[int] | None = None,
    seconds: float = 0.0,
) -> CaseRecord:
    """Accept a corrected mask into a dataset folder, which is made where there is none.

    Parameters
    ----------
    dataset : str, Path or Dataset
    exam : Exam
        Enters the dataset as a new case unless it is one.
    mask : LabelMap
        On the exam's grid.
    patient_id : str
        A pseudonym.
    reader : str
        Who corrected, such as initials.
    draft : Prediction, optional
        The model's draft, kept for comparison.
    reviewed_slices : sequence of int, optional
        Numbers of the slices that were reviewed, from 0; None for all. The others are written as
        not reviewed, and no model learns from them.
    seconds : float
        Time spent.

    Returns
    -------
    CaseRecord

    Raises
    ------
    InputError
        If the case is known with another grid, patient or image, is accepted already, or is open
        elsewhere.
    StorageError
        If the folder cannot be written.
    """
    if not isinstance(dataset, Dataset):
        dataset = Dataset.open_or_create(Path(dataset))
    record = enter_exam(dataset, exam, patient_id=patient_id)
    with dataset.lock(record.case_id, reader):
        if draft is not None:
            dataset.save_draft(record.case_id, draft.label_map, model=draft.model)
        return dataset.accept(
            record.case_id,
            mask,
            reviewed_slices=reviewed_slices,
            annotator=reader,
            seconds=seconds,
        )


def train(
    datasets: str | Path | Dataset | Sequence[str | Path | Dataset],
    output: str | Path | None = None,
    *,
    model: str | Path | None = None,
    on_progress: OnProgress | None = None,
    **options: Any,
) -> TrainResult:
    """Train on the accepted cases of dataset folders; patients locked for testing are never read.

    Parameters
    ----------
    datasets : str, Path, Dataset or sequence of these
    output : str or Path, optional
        Becomes the checkpoint folder; by default a new one under BREASTSEG_HOME.
    model : str or Path, optional
        Model to start from, or "scratch"; by default the default model.
    on_progress : callable, optional
        Called with each `Progress`, whose metrics hold loss and Dice.
    **options
        `fold`, `steps`, `seed`, `device`, `resume`, `name`, `base_share` as in
        `napari_breastseg.training.train_dataset`.

    Returns
    -------
    TrainResult
        Its `folder` is the checkpoint.

    Raises
    ------
    InputError
        If a dataset has no accepted case, no such fold, or lacks a phase the model needs.
    """
    from .model.checkpoint import load
    from .registry.models import Registry
    from .training import train_dataset

    opened = _opened(datasets)
    if output is None:
        output = new_training_folder(options.get("name") or opened[0].name)
    base = None if model == "scratch" else load(Registry().chosen(model))
    return drain(train_dataset(opened, Path(output), base=base, **options), on_progress)


def evaluate(
    dataset: str | Path | Dataset,
    *,
    model: str | Path | None = None,
    split: SplitName = "val",
    threshold: float = 0.5,
    include_trained: bool = False,
    output: str | Path | None = None,
    device: str = "auto",
    on_progress: OnProgress | None = None,
) -> Evaluation:
    """A model's scores on accepted cases: Dice, surface distances, volumes, lesions, curves.

    Parameters
    ----------
    dataset : str, Path or Dataset
    model : str or Path, optional
        As in `draft`.
    split : {"val", "test", "all"}
        The fold the model held out, the patients locked for testing, or every accepted case.
    threshold : float
        Probability from which a voxel is tumor.
    include_trained : bool
        Score patients the model learned from, too, and mark them.
    output : str or Path, optional
        Folder for tables, curves and pictures.
    device : str
        auto, cpu, cuda or mps.
    on_progress : callable, optional
        Called with each `Progress`.

    Returns
    -------
    Evaluation

    Raises
    ------
    InputError
        If there is no such case, or the model learned from some of them.
    """
    from .model.checkpoint import load
    from .predict.prediction import predict
    from .registry.models import Registry
    from .scoring.held_out import evaluate_dataset

    checkpoint = load(Registry().chosen(model))
    job = evaluate_dataset(
        _opened(dataset)[0],
        checkpoint.info,
        lambda exam: predict(checkpoint, exam, device=device, threshold=threshold),
        split=split,
        include_trained=include_trained,
        output=None if output is None else Path(output),
    )
    return drain(job, on_progress)


def promote(
    model: str | Path,
    datasets: str | Path | Dataset | Sequence[str | Path | Dataset],
    *,
    force: bool = False,
    device: str = "auto",
    on_progress: OnProgress | None = None,
) -> Promotion:
    """Make a model the default one if the locked patients of the datasets speak for it.

    Parameters
    ----------
    model : str or Path
        A registered name, or a checkpoint folder, which is registered under its own name.
    datasets : str, Path, Dataset or sequence of these
        Their locked patients judge.
    force : bool
        Promote whatever the judgment says; the registry's log then says so.
    device : str
        auto, cpu, cuda or mps.
    on_progress : callable, optional
        Called with each `Progress`.

    Returns
    -------
    Promotion
        `entry.is_promoted` tells how it ended, `describe()` why.

    Raises
    ------
    InputError
        If there is no such model, it is the default already, or it can segment none of the cases.
    """
    from .registry.models import Registry
    from .registry.promotion import promote as promote_judged
    from .registry.promotion import registered

    registry = Registry()
    entry = registered(registry, registry.resolve(model))
    job = promote_judged(registry, entry.name, _opened(datasets), device=device, force=force)
    return drain(job, on_progress)


def export_seg(
    source: str | Path | DicomExam,
    mask: str | Path | LabelMap,
    output: str | Path,
    *,
    on_progress: OnProgress | None = None,
    **options: Any,
) -> WrittenSeg:
    """Write a mask as a DICOM SEG of its exam's study.

    Parameters
    ----------
    source : str, Path or DicomExam
        The DICOM exam's folder.
    mask : str, Path or LabelMap
        On the exam's grid.
    output : str or Path
        The SEG to write; ends in `.dcm`. Like its source it names the patient.
    on_progress : callable, optional
        Called with each `Progress`.
    **options
        `phases`, `side`, `role`, `kind`, `algorithm`, `made_with` as in
        `napari_breastseg.lesions.seg.exporting_seg`.

    Returns
    -------
    WrittenSeg

    Raises
    ------
    InputError
        If the folder does not hold one DICOM exam, or the mask is empty or on another grid.
    StorageError
        If the file cannot be written.
    """
    job = exporting_seg(
        Path(output),
        source if isinstance(source, DicomExam) else Path(source),
        mask if isinstance(mask, LabelMap) else Path(mask),
        **options,
    )
    return drain(job, on_progress)


def _opened(
    datasets: str | Path | Dataset | Sequence[str | Path | Dataset],
) -> list[Dataset]:
    if isinstance(datasets, str | Path | Dataset):
        datasets = [datasets]
    return [one if isinstance(one, Dataset) else Dataset.open(Path(one)) for one in datasets]
