"""What the Correct step decides about learning from the current exam, and its words. No Qt."""

from __future__ import annotations

from dataclasses import dataclass

from ...core.volume import Grid, Volume
from ...predict.prediction import Prediction
from ...predict.thresholding import PROBABILITY_STEPS
from .drafts import Draft

__all__ = [
    "Told",
    "learning_line",
    "prediction_of",
    "size_words",
    "slices_line",
    "why_no_learning",
]


def why_no_learning(
    *,
    is_wanted: bool,
    is_held: bool,
    has_draft: bool,
    is_hidden: bool,
    is_second_read: bool,
    has_model: bool,
    is_rest_reviewed: bool,
    is_single: bool,
    problem: str = "",
) -> str:
    """Why the rest of the exam is not drafted again from corrections; empty when it is.

    Parameters
    ----------
    is_wanted : bool
        Whether the reader left the switch on.
    is_held : bool
        Whether the case is held for correction.
    has_draft, is_hidden : bool
        Whether there is a draft, and whether it is hidden until the reader asks for it.
    is_second_read : bool
        A second reader must not see what a model makes of the exam.
    has_model : bool
    is_rest_reviewed : bool
        Whether the reader called the whole exam reviewed.
    is_single : bool
        Whether the exam is one slice.
    problem : str
        Why this model cannot learn from this exam.
    """
    if not is_wanted:
        return "Switched off"
    if not is_held:
        return "Start correcting first"
    if is_second_read:
        return "A second read is made without a model"
    if is_hidden:
        return "The draft is hidden: nothing is drafted before you ask for it"
    if not has_draft:
        return "Nothing was drafted: segment the exam first"
    if not has_model:
        return "Choose a model in the Draft step"
    if is_single:
        return "One slice: what you accept serves the patient's next slices"
    if is_rest_reviewed:
        return "You have marked the whole exam as reviewed"
    return problem


@dataclass(frozen=True)
class Told:
    """What a redraft did to the mask."""

    slices: int
    """Slices it changed."""

    learned_from: int
    """Slices it learned from."""

    before_px: int
    after_px: int
    """Tumor voxels of the whole mask."""

    spared: int = 0
    """Findings it would have taken away, larger than all that the reader removed."""


def size_words(voxels: int, grid: Grid) -> str:
    """Tumor in mL, or in pixels where their size is not known.

    Examples
    --------
    >>> size_words(1200, Grid((1, 9, 9))), size_words(0, Grid((1, 9, 9)))
    ('1,200 px', '0 px')
    """
    if grid.voxel_ml is None:
        return f"{voxels:,} px"
    ml = voxels * grid.voxel_ml
    return f"{ml:.1f} mL" if ml >= 1 else f"{ml:.2f} mL"


def learning_line(
    told: Told | None,
    grid: Grid,
    *,
    learns_from: int,
    stage: str | None = None,
    is_undone: bool = False,
    why_not: str = "",
) -> str:
    """What is said under the switch.

    Parameters
    ----------
    told : Told, optional
        None while nothing was drafted again.
    grid : Grid
        The mask's.
    learns_from : int
        Slices that the reader has corrected so far.
    stage : str, optional
        What is being done now: "features" is the quick redraft, "adapted" the better one after it.
    is_undone : bool
        Whether the newest redraft was taken back by undo.
    why_not : str
        Why nothing more is drafted again.

    Examples
    --------
    >>> grid = Grid((1, 9, 9))
    >>> learning_line(None, grid, learns_from=1, stage="features")
    'Learning from your slice…'
    >>> learning_line(Told(12, 2, 310, 400), grid, learns_from=2)
    'Drafted 12 slices again from your 2: 310 px → 400 px.'
    >>> learning_line(Told(0, 1, 310, 310), grid, learns_from=1, stage="adapted")
    'Your slice changed nothing elsewhere. Refining…'
    """
    if stage == "features":
        return f"Learning from your {_slices(learns_from)}…"
    words = "" if told is None else _redraft_words(told, grid)
    if is_undone:
        words = "Undone: those slices are as they were, and stay so."
    refining = "Refining…" if stage == "adapted" else ""
    return " ".join(part for part in (words, refining, why_not) if part)


def slices_line(slices: int, learned_from: int, *, is_running: bool) -> str:
    """What accepted slices did for the patient's other slices in the worklist.

    Examples
    --------
    >>> slices_line(1, 1, is_running=False)
    'Drafted 1 slice of this patient again from the one accepted.'
    >>> slices_line(5, 2, is_running=True)
    'Drafted 5 slices of this patient again from the 2 accepted. Refining…'
    """
    others = "1 slice" if slices == 1 else f"{slices:,} slices"
    own = "one" if learned_from == 1 else f"{learned_from:,}"
    words = f"Drafted {others} of this patient again from the {own} accepted."
    return f"{words} Refining…" if is_running else words


def _redraft_words(told: Told, grid: Grid) -> str:
    spared = ""
    if told.spared:
        lesions = "1 finding" if told.spared == 1 else f"{told.spared} findings"
        spared = f" {lesions} larger than all you removed left as drafted."
    if not told.slices:
        return f"Your {_slices(told.learned_from)} changed nothing elsewhere.{spared}"
    own = "slice" if told.learned_from == 1 else f"{told.learned_from:,}"
    slices = "1 slice" if told.slices == 1 else f"{told.slices:,} slices"
    sizes = f"{size_words(told.before_px, grid)} → {size_words(told.after_px, grid)}"
    return f"Drafted {slices} again from your {own}: {sizes}.{spared}"


def _slices(count: int) -> str:
    return "slice" if count == 1 else f"{count:,} slices"


def prediction_of(draft: Draft) -> Prediction | None:
    """The prediction that a draft was cut from, as far as it was kept; None where it was not."""
    import numpy as np

    steps = draft.probability
    if steps is None or not steps.grid.matches(draft.label_map.grid):
        return None
    probability = steps.steps.astype(np.float32) / np.float32(PROBABILITY_STEPS)
    return Prediction(
        probability=Volume(probability, steps.grid),
        label_map=draft.label_map,
        threshold=0.5,
        phases=(),
        device="",
        model=draft.model,
        seconds=0.0,
        findings=draft.findings,
        breasts=draft.breasts,
    )
