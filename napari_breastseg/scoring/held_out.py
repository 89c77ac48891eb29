"""A model's scores on a dataset's accepted cases: on which, and not on what it learned from."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

from ..core.errors import InputError
from ..core.progress import Job
from ..core.volume import Exam, LabelMap
from ..dataset import Dataset
from ..model.checkpoint import ModelInfo, TrainingRecord
from .evaluation import Evaluation, Predicted, evaluate
from .kept_scores import KeptScores

__all__ = ["CaseToScore", "SplitName", "cases_to_score", "evaluate_dataset"]

CaseToScore = tuple[str, str, Callable[[], Exam], Callable[[], LabelMap]]
"""Case id, patient id, and what reads exam and mask."""

SplitName = Literal["val", "test", "all"]
"""val: the fold the model held out; test: patients locked for testing; all: every accepted case."""


def evaluate_dataset(
    dataset: Dataset,
    model: ModelInfo,
    predict: Callable[[Exam], Predicted | Job[Predicted]],
    *,
    split: SplitName = "val",
    include_trained: bool = False,
    output: Path | None = None,
    kept: KeptScores | None = None,
) -> Job[Evaluation]:
    """Score a model on accepted cases of a dataset.

    Parameters
    ----------
    dataset : Dataset
    model : ModelInfo
        Says which patients the model learned from and which it held out.
    predict : callable
        Makes an exam's prediction, as in `evaluate`.
    split : {"val", "test", "all"}
        The fold the model held out, the patients locked for testing, or every accepted case.
    include_trained : bool
        Score patients the model learned from, too, and mark them.
    output : Path, optional
        Folder for tables, curves and pictures.
    kept : KeptScores, optional
        As in `evaluate`.

    Yields
    ------
    Progress

    Returns
    -------
    Evaluation

    Raises
    ------
    InputError
        If there is no such case, or the model learned from some of them and `include_trained` is
        not set.
    """
    cases, trained_on = cases_to_score(dataset, model, split=split, include_trained=include_trained)
    return (yield from evaluate(cases, predict, output=output, trained_on=trained_on, kept=kept))


def cases_to_score(
    dataset: Dataset, model: ModelInfo, *, split: SplitName, include_trained: bool
) -> tuple[list[CaseToScore], frozenset[str]]:
    """The cases of a split, and the ids of those whose patients the model learned from.

    Parameters and errors are those of `evaluate_dataset`.
    """
    case_ids = _case_ids(dataset, split, model.training)
    patient_of = {record.case_id: record.patient_id for record in dataset.summaries()}
    pairs = [(name, one.patient_id) for one in dataset.summaries() for name in one.all_ids]
    trained_on = model.training.learned_from(pairs).intersection(case_ids)
    if trained_on and not include_trained:
        raise InputError(
            f"Expected cases of patients that {model.name} and the models it was made from were "
            "not trained on",
            f"found {len(trained_on)} of {len(case_ids)} cases that they were trained on",
            "Use --split test, or --split val with a model that held them out; "
            "--include-trained scores them anyway and marks them",
        )
    cases: list[CaseToScore] = [
        (
            case_id,
            patient_of[case_id],
            partial(dataset.exam, case_id),
            partial(dataset.label_map, case_id),
        )
        for case_id in case_ids
    ]
    return cases, frozenset(trained_on)


def _case_ids(dataset: Dataset, split: SplitName, training: TrainingRecord) -> tuple[str, ...]:
    if split == "all":
        return tuple(record.case_id for record in dataset.summaries() if record.is_accepted)
    if split == "val":
        # A case that was renamed since is known to the model by its former id.
        accepted = [one for one in dataset.summaries() if one.is_accepted]
        id_of = {name: one.case_id for one in accepted for name in one.all_ids}
        # The fold's number can mean other patients once more have entered; the names cannot.
        read = training.read_of(dataset.id, dataset.name)
        held_out = [
            id_of[case] for case in training.validation_cases if case in id_of and case in read
        ]
        if held_out:
            return tuple(held_out)
        return dataset.split(training.fold or 0).val
    locked = dataset.locked()
    if not locked:
        raise InputError(
            "Expected accepted cases of patients locked for testing",
            f"found none in dataset {dataset.name}; the tenth patient is the first to be locked",
            "Use --split val, or accept cases of more patients",
        )
    return locked
