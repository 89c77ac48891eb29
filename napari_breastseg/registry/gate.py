"""Whether a candidate may replace the default model: both are scored on the locked patients.

Both models are scored on the accepted cases of patients locked for testing, whom neither may have
learned from. Patients are the unit of every figure: a patient's value is the mean over that
patient's cases, and intervals come from drawing patients with replacement (`bootstrap`).
Scores in, a `Judgment` out; nothing is promoted or written here. No Qt; torch is loaded when a
network predicts.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from ..core.progress import Job, Progress, relay
from ..core.volume import Exam, LabelMap
from ..dataset import CaseRecord, Dataset
from ..predict.prediction import predict
from ..scoring.evaluation import evaluate
from .judgment import GateRule, Judgment
from .weighing import too_few, weigh

if TYPE_CHECKING:
    from ..model.checkpoint import Checkpoint

__all__ = ["judge"]

TAUGHT_CASES = 16
"""Training cases on which the candidate is scored too, to see whether it follows them."""


def judge(
    candidate: Checkpoint,
    reference: Checkpoint,
    datasets: Sequence[Dataset],
    *,
    rule: GateRule | None = None,
    device: str = "auto",
) -> Job[Judgment]:
    """Score both models on the datasets' locked patients and weigh what comes of it.

    Parameters
    ----------
    candidate, reference : Checkpoint
        The model that may be promoted, and the default model.
    datasets : sequence of Dataset
        Where locked patients come from; those one of the models learned from are left out.
    rule : GateRule, optional
    device : str
        As in `predict`.

    Yields
    ------
    Progress

    Returns
    -------
    Judgment
        "not enough to judge", without a prediction, where there are too few patients.

    Raises
    ------
    InputError
        If one of the models can segment none of the cases.
    """
    rule = rule or GateRule()
    chosen: list[tuple[Dataset, CaseRecord]] = []
    left_out: set[str] = set()
    datasets = list({dataset.folder.resolve(): dataset for dataset in datasets}.values())
    for dataset in datasets:
        records = {record.case_id: record for record in dataset.cases()}
        pairs = [(name, one.patient_id) for one in records.values() for name in one.all_ids]
        known = {
            case
            for model in (candidate, reference)
            for case in model.info.training.learned_from(pairs)
        }
        for case_id in dataset.locked():
            if case_id in known:
                left_out.add(records[case_id].patient_id)
            else:
                chosen.append((dataset, records[case_id]))
    patients = {record.patient_id for _, record in chosen}
    frame = Judgment(
        verdict="not enough to judge",
        candidate=candidate.info.identity,
        reference=reference.info.identity,
        datasets=tuple(dataset.name for dataset in datasets),
        data_sha256=_digest(chosen),
        n_patients=len(patients),
        n_cases=len(chosen),
        left_out=len(left_out),
        rule=rule,
    )
    if len(patients) < rule.min_patients:
        return frame.model_copy(update={"reasons": (too_few(frame),)})
    times = Counter(record.case_id for _, record in chosen)
    cases = [
        (
            record.case_id
            if times[record.case_id] == 1
            else f"{_named(dataset, datasets)}/{record.case_id}",
            record.patient_id,
            partial(dataset.exam, record.case_id),
            partial(dataset.label_map, record.case_id),
        )
        for dataset, record in chosen
    ]
    scores = []
    for number, model in enumerate((candidate, reference)):
        job = evaluate(cases, partial(predict, model, device=device))
        scores.append((yield from relay(job, partial(_as_half, number))))
    learned = None
    if taught := _taught(candidate, datasets):
        learned = yield from evaluate(taught, partial(predict, candidate, device=device))
    return weigh(scores[0], scores[1], frame, learned)


def _taught(
    candidate: Checkpoint, datasets: Sequence[Dataset]
) -> Sequence[tuple[str, str, Callable[[], Exam], Callable[[], LabelMap]]]:
    """Some of the accepted cases that the candidate's last training learned from."""
    training = candidate.info.training
    found = [
        (
            f"{_named(dataset, datasets)}/{record.case_id}",
            record.patient_id,
            partial(dataset.exam, record.case_id),
            partial(dataset.label_map, record.case_id),
        )
        for dataset in datasets
        for known in [training.read_of(dataset.id, dataset.name) & {*training.training_cases}]
        for record in dataset.cases()
        if record.is_accepted and not record.is_locked and record.case_id in known
    ]
    step = max(1, len(found) // TAUGHT_CASES)
    return found[::step][:TAUGHT_CASES]


def _named(dataset: Dataset, among: Sequence[Dataset]) -> str:
    """A dataset's name, with its id where others have the same name."""
    is_shared = sum(other.name == dataset.name for other in among) > 1
    return f"{dataset.name} ({dataset.id})" if is_shared else dataset.name


def _digest(cases: Sequence[tuple[Dataset, CaseRecord]]) -> str:
    parts = [
        [dataset.id, r.case_id, r.image_sha256, r.accepted.sha256 if r.accepted else None]
        for dataset, r in cases
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _as_half(number: int, part: Progress) -> Progress:
    done = number * part.total + part.done
    return Progress("Judging", done, 2 * part.total, metrics=part.metrics, message=part.message)
