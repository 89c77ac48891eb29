"""The verdict on two evaluations of the same cases: scores in, a `Judgment` out.

Patients are the unit of every figure: a patient's value is the mean over that patient's cases, and
intervals come from drawing patients with replacement (`bootstrap`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from ..scoring.bootstrap import PairedDifference, paired_bootstrap
from ..scoring.evaluation import CaseScores, Evaluation
from .judgment import Figure, GateRule, JudgedPatient, Judgment, Verdict

__all__ = ["too_few", "weigh"]


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
        reason = f"It could not segment {', '.join(failed)}, which the default model could."
        return frame.model_copy(update={"verdict": "worse", "reasons": (reason,)})
    with_tumor = {row.patient_id for row in rows[1] if row.reference_px}
    if len(with_tumor) < rule.min_patients:
        reasons: tuple[str, ...] = (too_few(frame),)
        if len(with_tumor) < len(patients):
            count = f"Patients with a tumor among them: {len(with_tumor)}."
            reasons = count, too_few(frame, "a tumor in an accepted case")
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
            f"a loss below {rule.dice_margin:g}, judged by the lower end of the interval",
            dice.ci95 is not None and dice.ci95[0] > -rule.dice_margin,
        ),
        Figure(
            measure="Dice of the patient with the largest loss",
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
            f"share of lesions missed ({lesions} lesions)",
            rule.missed_margin,
            map(_missed_share, both),
        ),
        (
            "false positives per case",
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
        allowed = f"up to {margin:g} more, judged by the lower end of the interval"
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
        measure="Dice on the masks it was trained on",
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


def too_few(frame: Judgment, what: str = "an accepted case") -> str:
    """Why there are not enough patients to judge."""
    return (
        f"{frame.rule.min_patients} locked patients with {what} are needed; every fifth "
        "patient from the tenth on is locked. Until then look at its masks, then set it as default "
        "without the check."
    )
