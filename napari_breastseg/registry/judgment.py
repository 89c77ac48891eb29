"""What the gate asks and says: the rule, the figures and the judgment, as values for the disk."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Figure", "GateRule", "JudgedPatient", "Judgment", "Verdict"]

Verdict = Literal["better", "not worse", "unclear", "worse", "not enough to judge"]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


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
    """The result of scoring a candidate against the default model."""

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
    """Locked patients left out because one of the models was trained on them."""

    figures: tuple[Figure, ...] = ()
    reasons: tuple[str, ...] = ()
    """Why, as sentences."""

    patients: tuple[JudgedPatient, ...] = ()
    rule: GateRule = GateRule()

    @property
    def passes(self) -> bool:
        """Whether the candidate may become the default model by itself."""
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
            "not worse": "is not worse (within the margin) than",
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
            lines.append(
                f"Locked patients left out because a model was trained on them: {self.left_out}."
            )
        return "\n".join(lines)
