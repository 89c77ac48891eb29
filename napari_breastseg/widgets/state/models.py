"""The models to choose from, and a line about each. No Qt, no torch."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ...core.errors import InputError
from ...model.checkpoint import STARTER, ModelInfo, read_info
from ...registry.models import Registry

__all__ = ["ModelChoice", "describe", "figure_of", "list_models"]


@dataclass(frozen=True)
class ModelChoice:
    """A model as the picker shows it."""

    title: str
    folder: Path
    problem: str = ""
    """Why it cannot be used; empty when it can."""


def list_models(registry: Registry, folders: Iterable[Path] = ()) -> list[ModelChoice]:
    """Models to choose from, the default first.

    Parameters
    ----------
    registry : Registry
    folders : iterable of Path
        Checkpoint folders the user chose.
    """
    entries = registry.list()
    choices = [
        ModelChoice(f"{e.name} (default)" if e.is_promoted else e.name, e.path, e.problem)
        for e in sorted(entries, key=lambda e: not e.is_promoted)
    ]
    place = 1 if any(e.is_promoted for e in entries) else 0
    choices.insert(place, ModelChoice("Starter model", STARTER))
    known = {choice.folder for choice in choices}
    for folder in folders:
        if folder in known:
            continue
        try:
            choices.append(ModelChoice(read_info(folder).name, folder))
        except InputError as error:
            choices.append(ModelChoice(folder.name, folder, str(error)))
    return choices


def describe(info: ModelInfo, card: str = "") -> str:
    """A model in one line: phases it takes, dimensions, how well it does.

    Parameters
    ----------
    info : ModelInfo
    card : str
        Its model card. Where the card gives a figure of patients never learned from, that one is
        said, and the Dice of the validation is not.

    Examples
    --------
    >>> from napari_breastseg.model.unet import ModelSpec
    >>> describe(ModelInfo(name="a", spec=ModelSpec(inputs=("pre", "post1"))))
    'Needs pre and post1 · 2D'
    >>> either = ModelSpec(inputs=("pre", "post1"), missing="zero")
    >>> describe(ModelInfo(name="a", spec=either))
    'Takes pre or post1, or both · 2D'
    """
    spec = info.spec
    kind = "3D" if spec.dims == 3 else "2.5D" if spec.context_slices else "2D"
    *others, last = spec.phases
    if spec.missing == "zero" and others:
        needs = f"Takes {', '.join(others)} or {last}, or both"
    else:
        needs = f"Needs {', '.join(others)} and {last}" if others else f"Needs {last}"
    if spec.uses_all_posts:
        needs += ", and later phases"
    parts = [needs, kind]
    dice = info.metrics.get("val_dice")
    if words := figure_of(card):
        parts.append(words)
    elif dice is not None and info.training.is_validated_on_its_own:
        parts.append("validated on its own training cases only")
    elif dice is not None:
        parts.append(f"validation Dice {dice:.2f}")
    return " · ".join(parts)


def figure_of(card: str) -> str:
    r"""The mean Dice that a model card's table gives, of the row with the most patients.

    Examples
    --------
    >>> table = "| on | patients | mean Dice |", "|---|---|---|", "| slices | 7 | 0.787 |"
    >>> card = "\n".join([*table, "| test patients | 40 | 0.784 |"])
    >>> figure_of(card), figure_of("no table")
    ('mean Dice 0.78 in 40 patients it never saw', '')
    """
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in card.splitlines()]
    found: list[tuple[int, float]] = []
    columns: list[str] = []
    for row in rows:
        if "patients" in row and "mean Dice" in row:
            columns = row
        elif columns and len(row) == len(columns):
            cells = dict(zip(columns, row, strict=True))
            with suppress(ValueError):
                found.append((int(cells["patients"]), float(cells["mean Dice"])))
        elif found:
            break
    if not found:
        return ""
    patients, dice = max(found, key=lambda one: one[0])
    return f"mean Dice {dice:.2f} in {patients:,} patients it never saw"
