"""Whether a candidate may take the place of the model in use: both on the locked patients.

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
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..core.progress import Job, Progress, relay
from ..core.volume import Exam, LabelMap
from ..dataset import CaseRecord, Dataset
from ..predict.prediction import predict
from ..scoring.bootstrap import PairedDifference, paired_bootstrap
from ..scoring.evaluation import CaseScores, Evaluation, evaluate

if TYPE_CHECKING:
    from ..model.checkpoint import Checkpoint

__all__ = ["Figure", "GateRule", "JudgedPatient", "Judgment", "Verdict", "judge", "weigh"]

TAUGHT_CASES = 16
"""Of the cases learned from, so many tell whether the masks fit."""

Verdict = Literal["better", "not worse", "unclear", "worse", "not enough to judge"]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class GateRule(_Record):
    """What a candidate has to show.

    Dice decides, by its whole interval: it has to show that it is not worse, and few patients show
    little. The other figures stop a candidate whose Dice hides a fault.
    """

    min_patients: int = Field(5, ge=2)
    """Locked patients needed; with fewer an interval says next to nothing."""

    dice_margin: float = Field(0.05, ge=0)
    """Mean Dice that may be lost: the lower end of the interval has to lie above its negative.
    Half the standard deviation between two radiologists on breast DCE-MRI, which is 0.10."""

    patient_margin: float = Field(0.2, ge=0)
    """Dice that the patient who loses most may lose: twice that deviation. Two trainings that
    differ by their seed alone were seen to differ by up to 0.13 on one patient of seven."""

    missed_margin: float = Field(0.05, ge=0)
    """Share of a patient's lesions, in the mean over patients, that may be missed on top: stopped
    when the whole interval lies above. Counted are lesions of at least a tenth of the exam's
    largest. Whoever loses a patient's main lesion loses by `patient_margin` already."""

    false_positives_margin: float = Field(0.5, ge=0)
    """False positives a case that may be added: stopped when the whole interval lies above."""

    hd95_margin: float = Field(3.0, ge=0)
    """HD95 in mm (px where spacing is unknown) that may be added, about the thickness of a slice:
    stopped when the whole interval lies above. One far false positive makes it jump, so that
    an interval that reaches above stops nothing by itself."""

    least_fit: float = Field(0.7, ge=0, le=1)
    """Dice that the candidate has to reach on the masks it learned from, as a share of its Dice on
    the locked patients: one that cannot even follow what it was taught was taught wrong."""


class Figure(_Record):
    """One measure of both models, and whether the rule is kept."""

    measure: str
    """What is measured, in words, with its unit."""

    candidate: float
    reference: float
    difference: float
    """Candidate less reference."""

    ci95: tuple[float, float] | None = None
    """95 % interval of the difference over patients; None for counts."""

    allowed: str
    """What the rule allows, in words."""

    is_kept: bool
    """Whether the candidate keeps to it."""

    def __str__(self) -> str:
        text = f"{self.measure}: {self.candidate:.3g} against {self.reference:.3g}"
        if self.ci95 is not None:
            text += f", {self.difference:+.3f} ({self.ci95[0]:+.3f} to {self.ci95[1]:+.3f})"
        return text + ("" if self.is_kept else f"; allowed: {self.allowed}")


class JudgedPatient(_Record):
    """One locked patient's mean Dice under both models."""

    patient_id: str
    cases: int
    candidate_dice: float
    reference_dice: float


class Judgment(_Record):
    """What came of scoring a candidate against the model in use."""

    verdict: Verdict
    candidate: str
    """Name and weights hash."""

    reference: str
    """Name and weights hash of the model it was scored against."""

    datasets: tuple[str, ...]
    """Names of the datasets whose locked patients judged."""

    data_sha256: str
    """Tells the judging cases, their images and masks from any others."""

    n_patients: int
    n_cases: int
    left_out: int = 0
    """Locked patients left out, because one of the models had learned from them."""

    figures: tuple[Figure, ...] = ()
    reasons: tuple[str, ...] = ()
    """Why, in sentences for people."""

    patients: tuple[JudgedPatient, ...] = ()
    rule: GateRule = GateRule()

    @property
    def passes(self) -> bool:
        """Whether the candidate may be promoted without anybody's word."""
        return self.verdict in ("better", "not worse")

    def describe(self) -> str:
        """The verdict and why, in a few lines.

        Examples
        --------
        >>> judgment = Judgment(
        ...     verdict="worse",
        ...     candidate="ward-3@0a",
        ...     reference="starter@1b",
        ...     datasets=("D",),
        ...     data_sha256="",
        ...     n_patients=6,
        ...     n_cases=9,
        ...     reasons=("Missed lesions: 4 against 1; allowed: at most 1.",),
        ... )
        >>> print(judgment.describe())
        ward-3 is worse than starter on 6 locked patients (9 cases).
        Missed lesions: 4 against 1; allowed: at most 1.
        """
        names = [identity.partition("@")[0] for identity in (self.candidate, self.reference)]
        words = {
            "better": "is better than",
            "not worse": "is not worse, within the margin, than",
            "unclear": "was not shown to be as good as",
            "worse": "is worse than",
            "not enough to judge": "could not be judged against",
        }
        cases = f"{self.n_cases} case{'' if self.n_cases == 1 else 's'}"
        where = (
            f"on {self.n_patients} locked patient{'' if self.n_patients == 1 else 's'} ({cases})"
        )
        lines = [f"{names[0]} {words[self.verdict]} {names[1]} {where}.", *self.reasons]
        if self.left_out:
            lines.append(f"Left out, because a model learned from them: {self.left_out}.")
        return "\n".join(lines)


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
        The model that may be promoted, and the one in use.
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
        pairs = [(record.case_id, record.patient_id) for record in records.values()]
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
        return frame.model_copy(update={"reasons": (_too_few(frame),)})
    times = Counter(record.case_id for _, record in chosen)
    cases = [
        (
            record.case_id if times[record.case_id] == 1 else f"{dataset.name}/{record.case_id}",
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
    known = {*training.training_cases}
    found = [
        (
            f"{dataset.name}/{record.case_id}",
            record.patient_id,
            partial(dataset.exam, record.case_id),
            partial(dataset.label_map, record.case_id),
        )
        for dataset in datasets
        if dataset.name in training.datasets
        for record in dataset.cases()
        if record.is_accepted and not record.is_locked and record.case_id in known
    ]
    step = max(1, len(found) // TAUGHT_CASES)
    return found[::step][:TAUGHT_CASES]


def weigh(
    candidate: Evaluation,
    reference: Evaluation,
    frame: Judgment,
    learned: Evaluation | None = None,
) -> Judgment:
    """The verdict on two evaluations of the same cases.

    Parameters
    ----------
    candidate, reference : Evaluation
    frame : Judgment
        Who is judged on what, and by which rule; verdict, figures and reasons are filled in.
    learned : Evaluation, optional
        The candidate on cases it learned from: locked patients do not tell whether the masks
        were right, only whether they did harm.
    """
    rule = frame.rule
    both = {row.case_id for row in candidate.cases} & {row.case_id for row in reference.cases}
    rows = [
        [row for row in scored.cases if row.case_id in both] for scored in (candidate, reference)
    ]
    patients = _patients(*rows)
    frame = frame.model_copy(
        update={"n_patients": len(patients), "n_cases": len(both), "patients": patients}
    )
    if failed := sorted(set(candidate.failed) - set(reference.failed)):
        reason = f"It could not segment {', '.join(failed)}, which the model in use could."
        return frame.model_copy(update={"verdict": "worse", "reasons": (reason,)})
    with_tumor = {row.patient_id for row in rows[1] if row.reference_px}
    if len(with_tumor) < rule.min_patients:
        reasons: tuple[str, ...] = (_too_few(frame),)
        if len(with_tumor) < len(patients):
            count = f"Patients with a tumor among them: {len(with_tumor)}."
            reasons = count, _too_few(frame, "a tumor in an accepted case")
        return frame.model_copy(update={"reasons": reasons})
    figures = _figures(rows[0], rows[1], rule)
    if learned is not None and (fit := _fit(learned, figures[0].candidate, rule)) is not None:
        figures.append(fit)
    dice, *others = figures
    low, high = dice.ci95 or (-1.0, 1.0)
    verdict: Verdict = "better" if low > 0 else "not worse"
    if not all(figure.is_kept for figure in figures):
        verdict = "worse" if high < 0 or not all(o.is_kept for o in others) else "unclear"
    told = [dice, *(figure for figure in others if not figure.is_kept)]
    return frame.model_copy(
        update={
            "verdict": verdict,
            "figures": tuple(figures),
            "reasons": tuple(f"{figure}." for figure in told),
        }
    )


def _figures(
    candidate: Sequence[CaseScores], reference: Sequence[CaseScores], rule: GateRule
) -> list[Figure]:
    """Dice first, then what may stop a candidate besides."""
    both = (candidate, reference)
    # Without a tumor Dice is 1 or, for a single false voxel, 0; false positives speak for those.
    with_tumor = {row.case_id for row in reference if row.reference_px}
    a, b = (
        _by_patient([row for row in rows if row.case_id in with_tumor], "dice") for rows in both
    )
    dice = paired_bootstrap(a, b)
    losses = {patient: b[patient] - a[patient] for patient in a}
    worst = max(losses, key=lambda patient: losses[patient])
    figures = [
        _mean_figure(
            "mean Dice",
            a,
            b,
            dice,
            f"a loss below {rule.dice_margin:g}, by the interval's lower end",
            dice.ci95 is not None and dice.ci95[0] > -rule.dice_margin,
        ),
        Figure(
            measure="Dice of the patient who loses most",
            candidate=a[worst],
            reference=b[worst],
            difference=-losses[worst],
            allowed=f"a loss up to {rule.patient_margin:g}",
            is_kept=losses[worst] <= rule.patient_margin,
        ),
    ]
    lesions = sum(row.main_lesions for row in reference)
    for title, margin, (a, b) in (
        (
            f"share of lesions missed ({lesions} in all)",
            rule.missed_margin,
            map(_missed_share, both),
        ),
        (
            "false positives a case",
            rule.false_positives_margin,
            (_by_patient(rows, "false_positives") for rows in both),
        ),
        ("mean HD95 in mm", rule.hd95_margin, (_by_patient(rows, "hd95_mm") for rows in both)),
        ("mean HD95 in px", rule.hd95_margin, (_by_patient(rows, "hd95_px") for rows in both)),
    ):
        shared = a.keys() & b.keys()
        if not shared:
            continue
        a, b = ({patient: values[patient] for patient in shared} for values in (a, b))
        paired = paired_bootstrap(a, b)
        is_kept = paired.ci95 is None or paired.ci95[0] <= margin
        allowed = f"up to {margin:g} more, by the interval's lower end"
        figures.append(_mean_figure(title, a, b, paired, allowed, is_kept))
    return figures


def _fit(learned: Evaluation, locked_dice: float, rule: GateRule) -> Figure | None:
    """Whether the candidate follows the masks it learned from; None without tumor among them."""
    rows = [row for row in learned.cases if row.reference_px]
    if not rows:
        return None
    dice = _mean(_by_patient(rows, "dice").values())
    least = rule.least_fit * locked_dice
    return Figure(
        measure="Dice on the masks it learned from",
        candidate=dice,
        reference=locked_dice,
        difference=dice - locked_dice,
        allowed=f"at least {least:.2f}, {rule.least_fit:.0%} of its Dice on the locked patients",
        is_kept=dice >= least,
    )


def _mean_figure(
    measure: str,
    candidate: Mapping[str, float],
    reference: Mapping[str, float],
    paired: PairedDifference,
    allowed: str,
    is_kept: bool,
) -> Figure:
    return Figure(
        measure=measure,
        candidate=_mean(candidate.values()),
        reference=_mean(reference.values()),
        difference=paired.mean,
        ci95=paired.ci95,
        allowed=allowed,
        is_kept=is_kept,
    )


def _missed_share(rows: Sequence[CaseScores]) -> dict[str, float]:
    """Share of each patient's lesions that was missed; patients without a lesion left out."""
    missed: dict[str, int] = {}
    lesions: dict[str, int] = {}
    for row in rows:
        lesions[row.patient_id] = lesions.get(row.patient_id, 0) + row.main_lesions
        missed[row.patient_id] = (
            missed.get(row.patient_id, 0) + row.main_lesions - row.main_lesions_found
        )
    return {patient: missed[patient] / count for patient, count in lesions.items() if count}


def _by_patient(rows: Sequence[CaseScores], measure: str) -> dict[str, float]:
    """Mean over each patient's cases; patients for whom the measure is nowhere defined left out."""
    values: dict[str, list[float]] = {}
    for row in rows:
        if (value := getattr(row, measure)) is not None:
            values.setdefault(row.patient_id, []).append(value)
    return {patient: _mean(found) for patient, found in values.items()}


def _patients(
    candidate: Sequence[CaseScores], reference: Sequence[CaseScores]
) -> tuple[JudgedPatient, ...]:
    a, b = _by_patient(candidate, "dice"), _by_patient(reference, "dice")
    return tuple(
        JudgedPatient(
            patient_id=patient,
            cases=sum(row.patient_id == patient for row in candidate),
            candidate_dice=a[patient],
            reference_dice=b[patient],
        )
        for patient in sorted(a)
    )


def _mean(values: Collection[float]) -> float:
    return sum(values) / len(values)


def _too_few(frame: Judgment, what: str = "an accepted case") -> str:
    return (
        f"{frame.rule.min_patients} locked patients with {what} are needed; every fifth "
        "patient from the tenth on is locked. Until then promote by hand, after a look at its "
        "masks."
    )


def _digest(cases: Sequence[tuple[Dataset, CaseRecord]]) -> str:
    parts = [
        [dataset.name, r.case_id, r.image_sha256, r.accepted.sha256 if r.accepted else None]
        for dataset, r in cases
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _as_half(number: int, part: Progress) -> Progress:
    done = number * part.total + part.done
    return Progress("Judging", done, 2 * part.total, metrics=part.metrics, message=part.message)
