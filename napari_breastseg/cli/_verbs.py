"""The commands by name, imported when one is called: help and wrong names need none of them.

Importing them all takes ten times as long as importing numpy.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

__all__ = ["VERBS", "Verbs", "load"]


@dataclass(frozen=True)
class _Verb:
    module: str
    """Module of this room."""

    name: str
    """Function, or Typer app of several commands."""

    help: str
    """First line of its help, which `--help` shows without importing it."""


VERBS = {
    "demo": _Verb(
        "demo",
        "demo",
        "Segment, correct, learn from it at once, accept and train, on synthetic exams.",
    ),
    "predict": _Verb("predicting", "predict", "Segment exams and write one mask per case."),
    "report": _Verb(
        "reporting",
        "report",
        "Measure each lesion: volume, diameters, side, enhancement curve and its type.",
    ),
    "dataset": _Verb("data", "app", "Create, fill and check a dataset folder."),
    "train": _Verb(
        "training",
        "train",
        "Train on the accepted cases; patients locked for testing are never used.",
    ),
    "evaluate": _Verb(
        "scoring",
        "evaluate",
        "Score a model on accepted cases: Dice, surface distances, volumes, lesions, curves.",
    ),
    "models": _Verb("models", "app", "List, add and choose models."),
    "export-seg": _Verb(
        "segobject",
        "export_seg",
        "Write a mask as a DICOM SEG, which names the patient as its source does; no other file "
        "does.",
    ),
    "doctor": _Verb(
        "doctor", "doctor", "Check what the program needs and say how to fix what is missing."
    ),
}


def load(name: str) -> Any:
    """The command, or group of commands, of a name, ready to run; imports its module."""
    verb = VERBS[name]
    found = getattr(import_module(f"{__package__}.{verb.module}"), verb.name)
    if isinstance(found, typer.Typer):
        return typer.main.get_command(found)
    alone = typer.Typer(add_completion=False)
    alone.command(name)(found)
    return typer.main.get_command(alone)


class Verbs(TyperGroup):
    """The group of all commands, which loads the one that is called."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Name, command and its arguments, as Typer wants them."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, load(name) if name in VERBS else command, rest
