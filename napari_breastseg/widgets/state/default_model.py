"""Whether a model may become the default, or the default go back. Shown by the Train tab."""

from __future__ import annotations

from pathlib import Path

from ...core.errors import InputError
from ...model.checkpoint import STARTER
from ...registry.models import Registry

__all__ = ["BUSY", "why_not_go_back", "why_not_set_default"]

BUSY = "Busy; wait a moment"


def why_not_set_default(
    folder: Path | None, registry: Registry, *, is_running: bool, problem: str = ""
) -> str:
    """Why a model cannot be set as default, even without the check; empty when it can.

    Parameters
    ----------
    folder : Path, optional
        The model's; None when none is chosen.
    registry : Registry
    is_running : bool
        Whether a model is being judged or promoted.
    problem : str
        What is wrong with the model.

    Raises
    ------
    InputError
        If the registry cannot be read.
    """
    if is_running:
        return BUSY
    if problem or folder is None:
        return problem or "Choose a model first"
    if folder == STARTER:
        return "The starter becomes the default when you go back from every other model"
    return "It is already the default" if folder == registry.promoted() else ""


def why_not_go_back(registry: Registry, *, is_running: bool) -> str:
    """Why there is no earlier default to go back to; empty when there is."""
    if is_running:
        return BUSY
    try:
        return "" if registry.promoted() is not None else "The starter is the default"
    except InputError:  # the default is missing; going back mends that
        return ""
