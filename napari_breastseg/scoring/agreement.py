"""How far several readers of the same cases agree, and how far the model is from each of them.

Scores are those of `scores`; a voxel that one of the two did not look at is left out. Means are
over patients, intervals by the bootstrap over patients. Imports `bootstrap`, `dataset`, `errors`,
`progress`, `scores`, `volume`.

References
----------
Bland, Altman. Statistical methods for assessing agreement between two methods of clinical
measurement. Lancet 327, 307-310 (1986).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import fmean, stdev

from ..core.errors import InputError
from ..core.progress import Job, Progress
from ..core.volume import IGNORE, LabelMap
from ..dataset import Dataset, ReadKind, ReadRecord
from .bootstrap import PairedDifference, bootstrap_ci95, paired_bootstrap
from .scores import score_case

__all__ = ["Agreement", "CaseAgreement", "Mean", "PairAgreement", "agreement", "compare"]


@dataclass(frozen=True)
class CaseAgreement:
    """Two outlines of one case."""

    case_id: str
    patient_id: str
    first: str
    """A reader, or the model."""
    second: str
    is_model: bool
    """Whether `first` is the model's draft."""
    is_corrected: bool
    """Whether one was drawn over the other, as a first read over the model's draft."""
    dice: float
    hd95_mm: float | None
    hd95_px: float | None
    first_ml: float | None
    second_ml: float | None
    difference_ml: float | None
    """`second` less `first`."""
    first_px: int
    second_px: int
    difference_px: int


@dataclass(frozen=True)
class Mean:
    """A mean over patients."""

    mean: float
    ci95: tuple[float, float] | None
    """None for fewer than two patients."""
    n_patients: int


@dataclass(frozen=True)
class PairAgreement:
    """Two readers, or the model and a reader, over all cases that both outlined."""

    first: str
    second: str
    is_model: bool
    is_corrected: bool
    """Whether some of the outlines were drawn over the other's."""
    n_cases: int
    dice: Mean
    hd95_mm: Mean | None
    """Over the cases in which both marked something and spacing is known."""
    hd95_px: Mean | None
    difference_ml: Mean | None
    limits_ml: tuple[float, float] | None
    """Bland and Altman's 95 % limits of the volume difference over patients."""
    difference_px: Mean


@dataclass(frozen=True)
class Agreement:
    """The readers' disagreement and, beside it, the model's error on the same cases."""

    cases: tuple[CaseAgreement, ...]
    pairs: tuple[PairAgreement, ...]
    """Pairs of readers first, then the model and each reader."""
    readers_dice: Mean | None
    """Dice of two readers."""
    model_dice: Mean | None
    """Dice of the model's draft and a reader who did not see it, on the same patients."""
    model_less_readers: PairedDifference | None
    """Model's Dice less the readers', patient by patient: 0 says it is as good as a reader."""


def agreement(dataset: Dataset) -> Job[Agreement]:
    """Compare all readers of a dataset's cases pair by pair, and the model with each of them.

    A case whose reads have an unreadable record is told and left out.

    Raises
    ------
    InputError
        When no case has two reads.
    """
    reads = dataset.reads
    patients = {record.case_id: record.patient_id for record in dataset.summaries()}
    of_case: dict[str, list[ReadRecord]] = {}
    for case_id in patients:
        try:
            of_case[case_id] = reads.of_case(case_id)
        except InputError as error:  # that case only
            yield Progress("Comparing reads", 0, len(patients), message=str(error))
    chosen = {c: r for c, r in of_case.items() if sum(x.kind is not ReadKind.MODEL for x in r) > 1}
    if not chosen:
        raise InputError(
            "Expected cases that two readers outlined",
            f"found none in dataset {dataset.name}",
            "Ask for second reads in the List step or with `dataset ask`, and read them",
        )
    rows: list[CaseAgreement] = []
    for index, (case_id, records) in enumerate(chosen.items()):
        yield Progress("Comparing reads", index, len(chosen))
        maps = [reads.label_map(read) for read in records]
        for (one, its), (other, others) in combinations(zip(records, maps, strict=True), 2):
            if other.kind is ReadKind.MODEL:  # the model comes first in a row
                one, its, other, others = other, others, one, its
            row = compare(case_id, patients[case_id], one, its, other, others)
            rows.append(row)
    yield Progress("Comparing reads", len(chosen), len(chosen))
    return _summed_up(rows)


def compare(
    case_id: str,
    patient_id: str,
    first: ReadRecord,
    first_map: LabelMap,
    second: ReadRecord,
    second_map: LabelMap,
) -> CaseAgreement:
    """Agreement of two outlines of a case where both looked."""
    seen = second_map.data.copy()
    seen[~first_map.is_scored] = IGNORE
    scores = score_case(case_id, patient_id, first_map.tumor, replace(second_map, data=seen))
    is_model = first.kind is ReadKind.MODEL
    return CaseAgreement(
        case_id=case_id,
        patient_id=patient_id,
        first=first.reader,
        second=second.reader,
        is_model=is_model,
        is_corrected=is_model and second.model is not None,
        dice=scores.dice,
        hd95_mm=scores.hd95_mm,
        hd95_px=scores.hd95_px,
        first_ml=scores.prediction_ml,
        second_ml=scores.reference_ml,
        difference_ml=None if scores.volume_error_ml is None else -scores.volume_error_ml,
        first_px=scores.prediction_px,
        second_px=scores.reference_px,
        difference_px=-scores.volume_error_px,
    )


def _summed_up(rows: Sequence[CaseAgreement]) -> Agreement:
    pairs: dict[tuple[bool, str, str], list[CaseAgreement]] = defaultdict(list)
    for row in rows:
        # Two readers are one pair, whoever of them read a case first.
        turned = row if row.is_model or row.first <= row.second else _turned(row)
        pairs[turned.is_model, turned.first, turned.second].append(turned)
    between = [row for row in rows if not row.is_model]
    unseen = [row for row in rows if row.is_model and not row.is_corrected]
    readers, model = _by_patient(between, "dice"), _by_patient(unseen, "dice")
    both = sorted(readers.keys() & model.keys())
    difference = None
    if both:
        difference = paired_bootstrap({p: model[p] for p in both}, {p: readers[p] for p in both})
    return Agreement(
        cases=tuple(rows),
        pairs=tuple(_pair(pairs[key]) for key in sorted(pairs)),
        readers_dice=_mean(readers),
        model_dice=_mean(model),
        model_less_readers=difference,
    )


def _turned(row: CaseAgreement) -> CaseAgreement:
    return replace(
        row,
        first=row.second,
        second=row.first,
        first_ml=row.second_ml,
        second_ml=row.first_ml,
        difference_ml=None if row.difference_ml is None else -row.difference_ml,
        first_px=row.second_px,
        second_px=row.first_px,
        difference_px=-row.difference_px,
    )


def _pair(rows: Sequence[CaseAgreement]) -> PairAgreement:
    dice, pixels = _mean(_by_patient(rows, "dice")), _mean(_by_patient(rows, "difference_px"))
    assert dice is not None  # both are known of every row
    assert pixels is not None
    differences = _by_patient(rows, "difference_ml")
    spread = 1.96 * stdev(differences.values()) if len(differences) > 1 else None
    middle = _mean(differences)
    limits = None
    if spread is not None and middle is not None:
        limits = (middle.mean - spread, middle.mean + spread)
    return PairAgreement(
        first=rows[0].first,
        second=rows[0].second,
        is_model=rows[0].is_model,
        is_corrected=any(row.is_corrected for row in rows),
        n_cases=len(rows),
        dice=dice,
        hd95_mm=_mean(_by_patient(rows, "hd95_mm")),
        hd95_px=_mean(_by_patient(rows, "hd95_px")),
        difference_ml=middle,
        limits_ml=limits,
        difference_px=pixels,
    )


def _by_patient(rows: Iterable[CaseAgreement], score: str) -> dict[str, float]:
    """Mean of a score over each patient's rows in which it is defined."""
    values: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        if (value := getattr(row, score)) is not None:
            values[row.patient_id].append(value)
    return {patient: fmean(found) for patient, found in values.items()}


def _mean(values: Mapping[str, float]) -> Mean | None:
    if not values:
        return None
    found = [values[patient] for patient in sorted(values)]
    return Mean(fmean(found), bootstrap_ci95(found), len(found))
