"""What readers kept and dropped, learned by the score that orders findings."""

from __future__ import annotations

from collections.abc import Sequence

from ..dataset import Decision, FindingRecord
from ..lesions.evidence import Evidence
from ..lesions.finding_score import KINDS, FindingScore, Kind, fitted, kind_of
from .cases import DatasetCase

__all__ = ["learned_score"]

_IN_THE_MASK, _NOT_IN_IT = 0.5, 0.05
"""Share of a finding in the accepted mask from which, without a decision, it counts as a lesion,
and up to which as none. What lies between was redrawn: it says neither."""


def learned_score(base: FindingScore, cases: Sequence[DatasetCase]) -> FindingScore:
    """A score that has seen what readers made of a model's findings.

    Parameters
    ----------
    base : FindingScore
        What is known before: the result stays near it where readers decided little.
    cases : sequence of DatasetCase
        Accepted cases that may be learned from.

    Returns
    -------
    FindingScore
        `base` itself if nothing was decided in these cases.
    """
    decided: dict[Kind, list[list[tuple[Evidence, bool]]]] = {kind: [] for kind in KINDS}
    for case in cases:
        record = case.dataset.case(case.case_id)
        verdicts = [
            (Evidence(**finding.evidence), is_lesion)  # type: ignore[arg-type]
            for finding in record.findings
            if (is_lesion := _verdict(finding)) is not None
        ]
        if verdicts:
            decided[kind_of(case.dataset.channels)].append(verdicts)
    learned = {
        kind: fitted(exams, sum(v for exam in exams for _, v in exam), prior=base.weights[kind])
        for kind, exams in decided.items()
        if exams
    }
    return base.model_copy(update={"weights": {**base.weights, **learned}}) if learned else base


def _verdict(finding: FindingRecord) -> bool | None:
    """Whether a reader took a finding for a lesion; None where that cannot be said."""
    if finding.decision is not Decision.NONE:
        return finding.decision is Decision.KEPT
    if finding.share_accepted >= _IN_THE_MASK:
        return True
    # What was held back and not decided may never have been looked at.
    return False if finding.is_shown and finding.share_accepted <= _NOT_IN_IT else None
