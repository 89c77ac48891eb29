"""Which models there are to choose from, and what each one is. No Qt, no torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..checkpoint import ModelInfo, is_checkpoint, read_info
from ..errors import InputError
from ..registry import Registry

__all__ = ["ModelChoice", "describe", "list_models", "starter_folder"]


@dataclass(frozen=True)
class ModelChoice:
    """A model as a picker shows it."""

    title: str
    folder: Path
    problem: str = ""
    """Why it cannot be used; empty when it can."""


def starter_folder() -> Path | None:
    """The model that comes with the package, None where there is none."""
    folder = Path(__file__).resolve().parent.parent / "weights" / "starter"
    return folder if is_checkpoint(folder) else None


def list_models(registry: Registry, folders: Iterable[Path] = ()) -> list[ModelChoice]:
    """Models to choose from, the one used by default first.

    Parameters
    ----------
    registry : Registry
    folders : iterable of Path
        Checkpoint folders chosen by hand.
    """
    entries = registry.list()
    choices = [
        ModelChoice(f"{e.name} (default)" if e.is_promoted else e.name, e.path, e.problem)
        for e in sorted(entries, key=lambda e: not e.is_promoted)
    ]
    starter = starter_folder()
    if starter is not None:
        place = 1 if any(e.is_promoted for e in entries) else 0
        choices.insert(place, ModelChoice("Starter model", starter))
    known = {choice.folder for choice in choices}
    for folder in folders:
        if folder in known:
            continue
        try:
            choices.append(ModelChoice(read_info(folder).name, folder))
        except InputError as error:
            choices.append(ModelChoice(folder.name, folder, str(error)))
    return choices


def describe(info: ModelInfo) -> str:
    """A model in one line: phases it needs, dimensions, validation Dice.

    Examples
    --------
    >>> from napari_breastseg.unet import ModelSpec
    >>> describe(ModelInfo(name="a", spec=ModelSpec(inputs=("pre", "post1"))))
    'Needs pre and post1 · 2D'
    """
    spec = info.spec
    kind = "3D" if spec.dims == 3 else "2.5D" if spec.context_slices else "2D"
    *others, last = spec.phases
    needs = f"{', '.join(others)} and {last}" if others else last
    parts = [f"Needs {needs}", kind]
    dice = info.metrics.get("val_dice")
    if dice is not None:
        parts.append(f"validation Dice {dice:.2f}")
    return " · ".join(parts)
