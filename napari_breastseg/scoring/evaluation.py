"""A model's scores over many cases: tables, intervals over patients, pictures.

Three kinds of figures, never mixed:

- Means and medians are over patients: a patient's value is the mean over that patient's cases, so
  that ten slices of one patient weigh as much as one. The 95 % intervals come from drawing
  patients with replacement, 10,000 times, with a fixed seed. Undefined values are left out, and
  `<measure>_n` says how many patients are in.
- `pixel_` figures and the areas under the curves are over all scored pixels of all cases pooled.
- Lesion figures are over all lesions of all cases pooled.

`scores` says what the measures mean and what empty masks give. The model comes in as a callable.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence, Sized
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..core.atomic import storage_errors, write_json, write_text
from ..core.errors import InputError, StorageError
from ..core.progress import Job, Progress, relay
from ..core.volume import Exam, LabelMap, Volume
from .bootstrap import (
    RESAMPLES,
    SEED,
    PairedDifference,
    bootstrap_ci95,
    paired_bootstrap,
)
from .curves import Curves, ProbabilityHistogram, Reliability
from .kept_scores import KeptScores
from .scores import SURFACE_TOLERANCE_MM, SURFACE_TOLERANCE_PX, CaseScores, score_case
from .summary import PatientScores, count, patient_rows, summarize

__all__ = [
    "CaseScores",
    "Evaluation",
    "PairedDifference",
    "PatientScores",
    "Predicted",
    "Scored",
    "bootstrap_ci95",
    "evaluate",
    "file_name",
    "paired_bootstrap",
    "score_case",
    "scoring_cases",
]

T = TypeVar("T")
Reader = Callable[[], T]
"""Reads a case's part when its turn comes."""


class Predicted(Protocol):
    """What `evaluate` reads of a prediction."""

    @property
    def probability(self) -> Volume | None:
        """Tumor probability; without it there are no curves."""

    @property
    def label_map(self) -> LabelMap:
        """Tumor at the model's threshold."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """All scores of one run.

    Parameters
    ----------
    cases : tuple of CaseScores
        One row each, in the order of patient and case ids.
    patients : tuple of PatientScores
        In the order of patient ids.
    summary : mapping
        Figures over all cases; the module's text says what each is computed over.
    curves : Curves, optional
        ROC and precision-recall over all scored pixels.
    reliability : Reliability, optional
        How often pixels are tumor that are given a probability, over all scored pixels.
    """

    cases: tuple[CaseScores, ...]
    patients: tuple[PatientScores, ...]
    summary: Mapping[str, Any]
    curves: Curves | None = None
    reliability: Reliability | None = None

    @property
    def failed(self) -> tuple[str, ...]:
        """Ids of the cases that could not be scored; `summary["failed"]` says why."""
        return tuple(failure["case_id"] for failure in self.summary["failed"])

    def patient_values(self, measure: str = "dice") -> dict[str, float]:
        """One measure by patient id, for `paired_bootstrap`; undefined values are left out."""
        values = {row.patient_id: getattr(row, measure) for row in self.patients}
        return {patient: value for patient, value in values.items() if value is not None}

    def to_json(self) -> dict[str, Any]:
        """Cases, patients and summary as plain values that JSON can hold, without NaN."""
        return {
            "cases": [asdict(row) for row in self.cases],
            "patients": [asdict(row) for row in self.patients],
            "summary": dict(self.summary),
        }

    def describe(self) -> str:
        """One line to read, such as "Dice 0.874 (95 % interval 0.831 to 0.905), ..."."""
        interval = self.summary["dice_ci95"]
        text = f"Dice {self.summary['dice_mean']:.3f}"
        if interval is not None:
            text += f" (95 % interval {interval[0]:.3f} to {interval[1]:.3f})"
        text += f", pixel F1 {self.summary['pixel_f1']:.3f}"
        patients, cases = count(len(self.patients), "patient"), count(len(self.cases), "case")
        known = len(self.summary["trained_on"])
        return f"{text}, {patients}, {cases}" + (f", {known} of them trained on" if known else "")

    def write(self, folder: Path) -> None:
        """Write tables, curves.png, reliability.png and, last, evaluation.json.

        Raises
        ------
        StorageError
            When a file cannot be written.
        """
        write_text(folder / "cases.csv", _csv_text(CaseScores, self.cases))
        write_text(folder / "patients.csv", _csv_text(PatientScores, self.patients))
        if self.curves is not None:
            from .figures import curves_picture

            curves_picture(folder / "curves.png", self.curves)
        if self.reliability is not None:
            from .figures import reliability_picture

            reliability_picture(folder / "reliability.png", {"": self.reliability})
        write_json(folder / "evaluation.json", self.to_json())


def evaluate(
    cases: Iterable[tuple[str, str, Exam | Reader[Exam], LabelMap | Reader[LabelMap]]],
    predict: Callable[[Exam], Predicted | Job[Predicted]],
    *,
    output: Path | None = None,
    trained_on: Collection[str] = (),
    surface_tolerance_mm: float = SURFACE_TOLERANCE_MM,
    surface_tolerance_px: float = SURFACE_TOLERANCE_PX,
    kept: KeptScores | None = None,
) -> Job[Evaluation]:
    """Predict and score cases, one after the other; a generator of `Progress`.

    Parameters
    ----------
    cases : iterable of (case_id, patient_id, Exam, LabelMap)
        Exam and label map may be callables that read them: then one exam at a time is in
        memory, and one that cannot be read stops no other. Give a list, or anything with a
        length, for progress with a total.
    predict : callable
        Makes an exam's prediction, at once or as a job; a job is left when this one is.
    output : Path, optional
        Folder for the tables, the JSON, the curves and pictures/<case>.png.
    trained_on : collection of str
        Ids of the cases whose patients the model learned from: rows, summary and pictures say so.
    surface_tolerance_mm, surface_tolerance_px : float
        Tolerance of surface Dice.
    kept : KeptScores, optional
        Scores of cases that were scored before, which are taken, and where new ones go.

    Returns
    -------
    Evaluation
        A case whose input cannot be used is named in `failed` and stops no other.

    Raises
    ------
    InputError
        If there are no cases, one comes twice, or none can be scored.
    StorageError
        When `output` cannot be written; said before the first prediction if it can be known.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from napari_breastseg.core.progress import drain
    >>> from napari_breastseg.core.volume import Grid
    >>> grid = Grid((1, 4, 4))
    >>> truth = LabelMap(np.eye(4, dtype=np.uint8)[None], grid)
    >>> exam = Exam("P001_v1", {"post1": Volume(np.zeros((1, 4, 4)), grid)})
    >>> perfect = lambda exam: SimpleNamespace(label_map=truth, probability=None)
    >>> drain(evaluate([("P001_v1", "P001", exam, truth)], perfect)).describe()
    'Dice 1.000, pixel F1 1.000, 1 patient, 1 case'
    """
    scored = yield from scoring_cases(
        cases,
        predict,
        output=output,
        trained_on=trained_on,
        surface_tolerance_mm=surface_tolerance_mm,
        surface_tolerance_px=surface_tolerance_px,
        kept=kept,
    )
    rows, failed, pooled = scored.rows, scored.failed, scored.pooled
    if not rows:
        raise InputError(
            "Expected at least one case to score",
            f"found that all {len(failed)} failed, the first with '{next(iter(failed.values()))}'"
            if failed
            else "found none",
            "Fix the cases named" if failed else "Accept or import cases with a mask first",
        )
    curves = None if pooled is None else pooled.curves()
    reliability = None if pooled is None else pooled.reliability()
    settings: dict[str, Any] = {
        "surface_tolerance_mm": surface_tolerance_mm,
        "surface_tolerance_px": surface_tolerance_px,
        "bootstrap_resamples": RESAMPLES,
        "bootstrap_seed": SEED,
    }
    result = replace(_evaluation(rows.values(), curves, failed, settings), reliability=reliability)
    if output is not None:
        result.write(output)
    return result


@dataclass(frozen=True, eq=False)
class Scored:
    """Cases scored one by one, before anything is said of all of them."""

    rows: dict[str, CaseScores]
    failed: dict[str, str]
    """Why a case could not be scored, by case id."""

    pooled: ProbabilityHistogram | None
    """Of all scored pixels; None where a prediction came without probability."""


def scoring_cases(
    cases: Iterable[tuple[str, str, Exam | Reader[Exam], LabelMap | Reader[LabelMap]]],
    predict: Callable[[Exam], Predicted | Job[Predicted]],
    *,
    output: Path | None = None,
    trained_on: Collection[str] = (),
    surface_tolerance_mm: float = SURFACE_TOLERANCE_MM,
    surface_tolerance_px: float = SURFACE_TOLERANCE_PX,
    kept: KeptScores | None = None,
) -> Job[Scored]:
    """Predict and score cases as `evaluate` does, without figures over all of them."""
    total = len(cases) if isinstance(cases, Sized) else 0
    if output is not None:
        with storage_errors(output):
            (output / "pictures").mkdir(parents=True, exist_ok=True)
    rows: dict[str, CaseScores] = {}
    failed: dict[str, str] = {}
    pooled: ProbabilityHistogram | None = ProbabilityHistogram()
    yield Progress("Evaluating", 0, total)
    for done, (case_id, patient_id, exam_or_reader, reference_or_reader) in enumerate(cases):
        if case_id in rows or case_id in failed:
            raise InputError(
                "Expected every case once",
                f"found {case_id} twice",
                "Give each case its own id",
            )
        before = None if kept is None else kept.get(case_id)
        if before is not None:
            row, histogram = before
            rows[case_id] = replace(row, is_trained_on=case_id in trained_on)
            pooled = _merged(pooled, histogram)
            yield Progress("Evaluating", done + 1, total)
            continue
        try:
            exam, reference = _read(exam_or_reader), _read(reference_or_reader)
            reference.require_grid(exam.grid, case_id)
            predicted = predict(exam)
            if isinstance(predicted, Generator):
                predicted = yield from relay(predicted, partial(_as_evaluating, done, total))
            mask = predicted.label_map.tumor
            histogram = None
            if predicted.probability is not None:
                histogram = ProbabilityHistogram()
                histogram.add(
                    np.asarray(predicted.probability.data, np.float32), reference, case_id
                )
            row = score_case(
                case_id,
                patient_id,
                mask,
                reference,
                histogram,
                surface_tolerance_mm=surface_tolerance_mm,
                surface_tolerance_px=surface_tolerance_px,
            )
            row = replace(row, is_trained_on=case_id in trained_on)
        except StorageError:
            raise
        except InputError as error:
            failed[case_id] = str(error)
            yield Progress("Evaluating", done + 1, total, message=f"{case_id}: {error}")
            continue
        rows[case_id] = row
        pooled = _merged(pooled, histogram)
        if output is not None:
            _write_case_picture(output, exam, reference, mask, row)
        if kept is not None:
            kept.keep(row, histogram)
        yield Progress("Evaluating", done + 1, total, {"dice": row.dice})
    return Scored(rows, failed, pooled)


def _merged(
    pooled: ProbabilityHistogram | None, histogram: ProbabilityHistogram | None
) -> ProbabilityHistogram | None:
    if pooled is None or histogram is None:
        return None  # curves over some of the cases would stand beside scores over all
    pooled.merge(histogram)
    return pooled


def _read(value: T | Reader[T]) -> T:
    return value() if callable(value) else value


def _as_evaluating(done: int, total: int, part: Progress) -> Progress:
    return Progress("Evaluating", done, total, message=part.message)


def _evaluation(
    rows: Iterable[CaseScores],
    curves: Curves | None,
    failed: Mapping[str, str],
    settings: dict[str, Any],
) -> Evaluation:
    cases = tuple(sorted(rows, key=lambda row: (row.patient_id, row.case_id)))
    patients = patient_rows(cases)
    summary = summarize(cases, patients, curves, failed) | settings
    return Evaluation(cases, patients, summary, curves)


def _csv_text(row_type: type, rows: Sequence[Any]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, [f.name for f in fields(row_type)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    return text.getvalue()


def _write_case_picture(
    output: Path, exam: Exam, reference: LabelMap, mask: NDArray[np.bool_], row: CaseScores
) -> None:
    from .figures import case_picture

    role = next((name for name in exam.phases if name != "pre"), "pre")  # first after contrast
    image = exam.phases[role]
    path = output / "pictures" / f"{file_name(row.case_id)}.png"
    remark = "trained on" if row.is_trained_on else ""
    case_picture(path, image, reference, mask, case_id=row.case_id, dice=row.dice, remark=remark)


def file_name(case_id: str) -> str:
    """A case id as a file name; one that had to be changed carries a few letters of its hash."""
    name = re.sub(r"[^\w.-]+", "_", case_id).lstrip(".")[:100]
    if name == case_id:
        return name
    return f"{name}-{hashlib.sha256(case_id.encode()).hexdigest()[:8]}"
