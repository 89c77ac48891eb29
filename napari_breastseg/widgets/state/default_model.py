"""Whether a model may become the default, or the default go back. Shown by the Train tab."""

from __future__ import annotations

from pathlib import Path

from ...core.errors import InputError
from ...model.checkpoint import STARTER
from ...registry.models import Registry

__all__ = ["why_not_go_back", "why_not_set_default"]


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
