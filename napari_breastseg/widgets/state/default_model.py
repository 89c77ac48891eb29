"""Whether a model may become the default, or the default go back, and the verdict on it."""

from __future__ import annotations

from pathlib import Path

from ...core.errors import InputError
from ...model.checkpoint import STARTER
from ...registry.judgment import Judgment
from ...registry.models import Registry

__all__ = ["verdict_title", "why_not_go_back", "why_not_set_default"]

_TITLES = {
    "better": "Better than the default",
    "not worse": "Not worse than the default",
    "unclear": "No clear difference to the default",
    "worse": "Worse than the default",
}


def why_not_set_default(folder: Path | None, registry: Registry) -> str:
    """Why a model cannot be set as default, even without the check; empty when it can.

    Raises
    ------
    InputError
        If the registry cannot be read.
    """
    if folder is None:
        return "Choose a model first"
    if folder == STARTER:
        return "The starter becomes the default when you go back from every other model"
    return "It is already the default" if folder == registry.promoted() else ""


def why_not_go_back(registry: Registry) -> str:
    """Why there is no earlier default to go back to; empty when there is."""
    try:
        return "" if registry.promoted() is not None else "The starter is the default"
    except InputError:  # the default is missing; going back mends that
        return ""


def verdict_title(judgment: Judgment | None) -> str:
    """The verdict on a model in a few words; empty without one.

    Examples
    --------
    >>> few = Judgment.model_construct(verdict="not enough to judge", n_patients=0)
    >>> verdict_title(few), verdict_title(None)
    ('Too few locked patients: 0 of 5', '')
    """
    if judgment is None:
        return ""
    if judgment.verdict in _TITLES:
        return _TITLES[judgment.verdict]
    return f"Too few locked patients: {judgment.n_patients} of {judgment.rule.min_patients}"
