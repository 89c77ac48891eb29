"""What several commands ask for: the model to use, the phases, the exams."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..core.errors import InputError
from ._console import say

if TYPE_CHECKING:
    from ..dataset import Dataset
    from ..model.checkpoint import Checkpoint

__all__ = [
    "Case",
    "Device",
    "Model",
    "Phases",
    "Threshold",
    "TumorLabels",
    "label_list",
    "load_model",
    "model_folder",
    "open_dataset",
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
TumorLabels = Annotated[
    str | None,
    typer.Option(
        "--tumor-label",
        metavar="N[,N]",
        help="Labels of the mask that are tumor, where they are not 0 and 1: 2, or 1,2 if each is "
        "a lesion.",
    ),
]
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


def label_list(labels: str | None) -> frozenset[int] | None:
    """Numbers of a comma-separated list; None where nothing was said."""
    if labels is None:
        return None
    parts = [part.strip() for part in labels.split(",") if part.strip()]
    if not parts or not all(part.isdigit() and int(part) > 0 for part in parts):
        raise InputError(
            "Expected labels of the mask that are tumor, as numbers from 1",
            f"found '{labels}'",
            "Give for example --tumor-label 2, or --tumor-label 1,2",
        )
    return frozenset(map(int, parts))


def open_dataset(folder: Path, *, may_create: bool = False) -> Dataset:
    """The dataset in a folder, after saying on stderr which of its cases need a look."""
    from ..dataset import Dataset

    dataset = Dataset.open_or_create(folder) if may_create else Dataset.open(folder)
    for note in dataset.notes():
        say(f"note: {note}")
    return dataset


def model_folder(model: str | None) -> Path:
    """Checkpoint folder of the model named; see `Registry.chosen`."""
    from ..registry.models import Registry

    return Registry().chosen(model)


def load_model(model: str | None) -> Checkpoint:
    """Checkpoint of `model_folder`."""
    from ..model import checkpoint

    return checkpoint.load(model_folder(model))
