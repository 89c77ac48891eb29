"""What the frame of the dock says: header, state of the five steps. No Qt, no napari."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["STEPS", "Situation", "Step", "header_words", "steps"]

STEPS = ("Open", "Draft", "Correct", "List", "Train")


class Step(NamedTuple):
    """One of the five steps as the frame shows it."""

    name: str
    words: str
    """Where it stands, in a word or two; empty when there is nothing to say."""

    is_done: bool


class Situation(NamedTuple):
    """What the states of the steps are told from."""

    has_exam: bool = False
    has_mask: bool = False
    is_drafting: bool = False
    is_held: bool = False
    is_accepted: bool = False
    """Whether the case held is accepted and unchanged since."""

    n_cases: int = 0
    n_accepted: int = 0
    is_training: bool = False
    has_new_model: bool = False


def steps(now: Situation) -> tuple[Step, ...]:
    """The five steps and where each stands.

    Examples
    --------
    >>> [step.words for step in steps(Situation(has_exam=True, n_cases=9, n_accepted=4))]
    ['done', '', '', '4/9', '']
    """
    draft = "running" if now.is_drafting else "done" if now.has_mask else ""
    correct = "accepted" if now.is_accepted else "under way" if now.is_held else ""
    listed = f"{now.n_accepted}/{now.n_cases}" if now.n_cases else ""
    train = "running" if now.is_training else "new model" if now.has_new_model else ""
    return (
        Step("Open", "done" if now.has_exam else "", now.has_exam),
        Step("Draft", draft, now.has_mask and not now.is_drafting),
        Step("Correct", correct, now.is_accepted),
        Step("List", listed, 0 < now.n_cases == now.n_accepted),
        Step("Train", train, now.has_new_model and not now.is_training),
    )


def header_words(exam: str, patient: str, reader: str, dataset: str) -> str:
    r"""Exam and patient, reader and dataset, in two lines; what is missing is named.

    Examples
    --------
    >>> header_words("P017_1", "P017", "AB", "study")
    'P017_1 · P017\nAB · study'
    >>> header_words("", "", "", "")
    'no exam\nno reader · no dataset'
    """
    first = " · ".join(part for part in (exam or "no exam", patient) if part)
    return f"{first}\n{reader or 'no reader'} · {dataset or 'no dataset'}"
