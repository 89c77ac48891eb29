"""What several commands ask for: the model to use, the phases, the exams."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..registry.models import Registry

if TYPE_CHECKING:
    from ..model.checkpoint import Checkpoint

__all__ = [
    "Case",
    "Device",
    "Model",
    "Phases",
    "Threshold",
    "load_model",
    "model_folder",
    "phase_list",
]

Case = Annotated[
    str | None,
    typer.Option("--case", help="Name of the exam to take where the folder holds several."),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Model = Annotated[
    str | None,
    typer.Option(help="Registered model or checkpoint folder \\[default: the default model]"),
]
Threshold = Annotated[float, typer.Option(help="Lowest probability at which a voxel is tumor.")]
Phases = Annotated[
    str | None,
    typer.Option(
        help="Channel roles in order, such as pre,post1; overrides file names. For DICOM also "
        "with series numbers: pre=2,post1=4."
    ),
]


def phase_list(phases: str | None) -> list[str] | None:
    """Roles of a comma-separated list."""
    return None if phases is None else [role.strip() for role in phases.split(",") if role.strip()]


def model_folder(model: str | None) -> Path:
    """Checkpoint folder of the model named; see `Registry.chosen`."""
    return Registry().chosen(model)


def load_model(model: str | None) -> Checkpoint:
    """Checkpoint of `model_folder`."""
    from ..model import checkpoint

    return checkpoint.load(model_folder(model))
