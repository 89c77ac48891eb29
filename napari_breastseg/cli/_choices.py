"""What several commands ask for: the model to use, the phases, the exams."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InputError
from ..registry import Registry

if TYPE_CHECKING:
    from ..checkpoint import Checkpoint

__all__ = [
    "Device",
    "Model",
    "Phases",
    "Threshold",
    "has_default_model",
    "load_model",
    "model_folder",
    "phase_list",
]

Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Model = Annotated[
    str | None,
    typer.Option(help="Registered name or checkpoint folder [default: promoted, else starter]"),
]
Threshold = Annotated[float, typer.Option(help="Probability from which a voxel is tumor.")]
Phases = Annotated[
    str | None,
    typer.Option(
        help="Roles of the channels in order, such as pre,post1; overrides file names. For DICOM "
        "also with series numbers: pre=2,post1=4."
    ),
]


def phase_list(phases: str | None) -> list[str] | None:
    """Roles of a comma-separated list."""
    return None if phases is None else [role.strip() for role in phases.split(",") if role.strip()]


def starter_folder() -> Path:
    """Where the model shipped with the package lies."""
    return Path(__file__).resolve().parent.parent / "weights" / "starter"


def model_folder(model: str | None) -> Path:
    """Checkpoint folder of the model named, the promoted one, or the starter.

    Raises
    ------
    InputError
        If the one named is not known, or none is named and there is none.
    """
    from ..checkpoint import is_checkpoint

    promoted = Registry().promoted() if model is None else None
    if promoted is not None:
        return promoted
    if model not in (None, "starter"):
        return Registry().resolve(model)
    if is_checkpoint(starter_folder()):
        return starter_folder()
    raise InputError(
        "Needed a model",
        "none is named or promoted, and this version ships no starter model yet",
        "Train one with 'napari-breastseg train DATASET --model scratch --output DIR' and "
        "give it with --model, or see 'napari-breastseg demo'",
    )


def has_default_model() -> bool:
    """Whether there is a promoted model or a starter, whole or damaged."""
    from ..checkpoint import is_checkpoint

    return Registry().promoted() is not None or is_checkpoint(starter_folder())


def load_model(model: str | None) -> Checkpoint:
    """Checkpoint of `model_folder`."""
    from .. import checkpoint

    return checkpoint.load(model_folder(model))
