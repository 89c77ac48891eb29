"""Figures over cases and patients, computed as `evaluation` describes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.overlap import dice_of_counts
from .bootstrap import bootstrap_ci95
from .curves import Curves
from .scores import CaseScores

__all__ = ["PatientScores", "count", "patient_rows", "summarize"]

_MEANS = (
    "dice",
    "jaccard",
    "surface_dice_mm",
    "surface_dice_px",
    "hd95_mm",
    "hd95_px",
    "assd_mm",
    "assd_px",
    "volume_error_ml",
    "volume_error_relative",
)


@dataclass(frozen=True)
class PatientScores:
    """Means over one patient's cases; None where no case defines the measure."""

    patient_id: str
    cases: int
    dice: float
    jaccard: float
    surface_dice_mm: float | None
    surface_dice_px: float | None
    hd95_mm: float | None
    hd95_px: float | None
    assd_mm: float | None
    assd_px: float | None
    volume_error_ml: float | None
    volume_error_relative: float | None
    lesions: int
    lesions_found: int
    false_positives: int


def patient_rows(cases: Sequence[CaseScores]) -> tuple[PatientScores, ...]:
    """Means over each patient's cases, in the order in which patients come."""
    by_patient: dict[str, list[CaseScores]] = defaultdict(list)
    for row in cases:
        by_patient[row.patient_id].append(row)
    return tuple(_patient_scores(name, rows) for name, rows in by_patient.items())


def _patient_scores(patient_id: str, rows: Sequence[CaseScores]) -> PatientScores:
    return PatientScores(
        patient_id=patient_id,
        cases=len(rows),
        **{measure: _mean(_values(rows, measure)) for measure in _MEANS},
        lesions=sum(row.lesions for row in rows),
        lesions_found=sum(row.lesions_found for row in rows),
        false_positives=sum(row.false_positives for row in rows),
    )


def summarize(
    cases: Sequence[CaseScores],
    patients: Sequence[PatientScores],
    curves: Curves | None,
    failed: Mapping[str, str],
) -> dict[str, Any]:
    """Figures over all cases and patients; `failed` maps case ids to reasons."""
    both_empty = sum(row.reference_px == 0 and row.prediction_px == 0 for row in cases)
    missed = sum(row.reference_px > 0 and row.prediction_px == 0 for row in cases)
    invented = sum(row.reference_px == 0 and row.prediction_px > 0 for row in cases)
    summary: dict[str, Any] = {
        "n_cases": len(cases),
        "n_patients": len(patients),
        "n_both_empty": both_empty,
        "n_prediction_empty": missed,
        "n_reference_empty": invented,
        "dice_median": float(np.median(_values(patients, "dice"))),
        "dice_case_mean": _mean(_values(cases, "dice")),
    }
    for measure in _MEANS:
        values = _values(patients, measure)
        interval = bootstrap_ci95(values)
        summary[f"{measure}_mean"] = _mean(values)
        summary[f"{measure}_ci95"] = None if interval is None else list(interval)
        summary[f"{measure}_n"] = len(values)
    for measure in ("volume_error_ml", "volume_error_relative"):
        sizes = [abs(value) for value in _values(cases, measure)]
        summary[f"{measure}_absolute_case_mean"] = _mean(sizes)

    tp, fp, fn, tn = (
        sum(getattr(row, f"{kind}_px") for row in cases)
        for kind in ("true_positive", "false_positive", "false_negative", "true_negative")
    )
    summary |= {
        "pixel_f1": dice_of_counts(tp, 2 * tp + fp + fn),  # pooled Dice
        "pixel_accuracy": _ratio(tp + tn, tp + fp + fn + tn),
        "pixel_sensitivity": _ratio(tp, tp + fn),
        "pixel_specificity": _ratio(tn, tn + fp),
        "pixel_precision": _ratio(tp, tp + fp),
        "pixel_confusion": {
            "true_positive_px": tp,
            "false_positive_px": fp,
            "false_negative_px": fn,
            "true_negative_px": tn,
        },
        "roc_auc": None if curves is None else curves.roc_auc,
        "pr_auc": None if curves is None else curves.pr_auc,
    }
    lesions, found = sum(row.lesions for row in cases), sum(row.lesions_found for row in cases)
    false_positives = sum(row.false_positives for row in cases)
    trained_on = [row.case_id for row in cases if row.is_trained_on]
    summary |= {
        "lesions": lesions,
        "lesions_found": found,
        "lesion_sensitivity": _ratio(found, lesions),
        "false_positives": false_positives,
        "false_positives_per_case": false_positives / len(cases),
        "trained_on": trained_on,
        "failed": [{"case_id": name, "message": failed[name]} for name in sorted(failed)],
        "notes": _notes(both_empty, missed + invented, len(failed), len(trained_on)),
    }
    return summary


def _notes(both_empty: int, one_empty: int, failed: int, trained_on: int) -> list[str]:
    """What to know before reading the means."""
    notes = []
    if trained_on:
        notes.append(
            f"{count(trained_on, 'case')} of patients the model was trained on: these "
            "scores are too high"
        )
    if both_empty:
        notes.append(
            f"{count(both_empty, 'case')} without tumor in reference and prediction: counted as "
            "Dice 1, without distances"
        )
    if one_empty:
        notes.append(
            f"{count(one_empty, 'case')} with one of the two masks empty: counted as Dice 0, "
            "left out of the distances"
        )
    if failed:
        notes.append(f"{count(failed, 'case')} not scored: see 'failed'")
    return notes


def _values(rows: Sequence[CaseScores] | Sequence[PatientScores], measure: str) -> list[float]:
    values = (getattr(row, measure) for row in rows)
    return [value for value in values if value is not None]


def _mean(values: Sequence[float]) -> Any:  # float, or None without values
    return sum(values) / len(values) if values else None


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def count(number: int, noun: str) -> str:
    """A number with its noun, such as "1 case" or "2 cases"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
