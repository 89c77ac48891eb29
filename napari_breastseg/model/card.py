"""A trained model's card: what it is for, its data and licence, how well it does.

The card of a fine-tuned model repeats the data section of its base, so the attribution that the
base's licence asks for is kept. It names datasets and numbers, but no case and no patient.
"""

from __future__ import annotations

from .checkpoint import ModelInfo

__all__ = ["model_card"]

_DATA = "## Data, licence"
"""Heading of the section that goes on from card to card."""


def model_card(info: ModelInfo, base_card: str = "") -> str:
    """Card of a trained model, as Markdown.

    Parameters
    ----------
    info : ModelInfo
        What `checkpoint.save` gave back: with the hash of its weights.
    base_card : str
        Card of the model it was made from, empty for none.

    Examples
    --------
    >>> from napari_breastseg.model.unet import ModelSpec
    >>> print(model_card(ModelInfo(name="ward-3", spec=ModelSpec())).splitlines()[0])
    # ward-3@
    """
    lines = [
        f"# {info.identity}",
        "",
        "**Research software, not a medical device.** Do not use it to decide about a patient. "
        f"It drafts outlines that a reader corrects. Licence of the weights: {info.licence}.",
        "",
        "## What it takes",
        "",
        _takes(info),
        "",
        _DATA,
        "",
        f"- {_learned(info)}",
        *_data_of(base_card),
        "",
        "## How well it does",
        "",
        _figures(info),
    ]
    if info.software:
        versions = ", ".join(f"{name} {number}" for name, number in info.software.items())
        lines += ["", f"Made with {versions}."]
    return "\n".join([*lines, ""])


def _takes(info: ModelInfo) -> str:
    spec = info.spec
    is_any = spec.missing == "zero" and len(spec.phases) > 1
    uses = "those available of" if is_any else "phases"
    text = f"{spec.title}. It uses {uses} {', '.join(spec.phases)}"
    if spec.uses_all_posts:
        text += " and the later post-contrast phases"
    if spec.spacing_mm is not None:
        sides = " x ".join("own" if side is None else f"{side:g}" for side in spec.spacing_mm)
        text += f", at {sides} mm where the pixel size is known"
    return f"{text}."


def _learned(info: ModelInfo) -> str:
    training = info.training
    names = ", ".join(training.datasets) or "an unnamed dataset"
    text = (
        f"**{names}**: {_count(training.training_cases, 'case')} of "
        f"{_count(training.patients, 'patient')}, {training.steps} steps"
    )
    if info.parent is None:
        return f"{text}, from scratch."
    if info.site is not None:
        return (
            f"{text}, from the weights of {info.parent}. "
            "Those of the general model are kept beside: each exam gets as "
            "much of the site's as it is like the exams trained on."
        )
    share = (training.model_extra or {}).get("config", {}).get("base_share", 0)
    kept = f", of which {share:.0%} are in it" if share else ""
    return f"{text}, from the weights of {info.parent}{kept}."


def _data_of(card: str) -> list[str]:
    """What the model it was made from was trained on: the data section of that model's card."""
    _, heading, after = card.partition(f"{_DATA}\n")
    section = after.split("\n## ")[0].strip()
    if not (heading and section):
        return []
    return ["", "What those weights were trained on:", "", *section.splitlines()]


def _figures(info: ModelInfo) -> str:
    dice, training = info.metrics.get("val_dice"), info.training
    if dice is None:
        return "Not validated. Use `napari-breastseg evaluate` on other patients."
    if training.is_validated_on_its_own:
        return (
            f"Mean Dice {dice:.2f} on the cases it was trained on, which says nothing about other "
            "patients."
        )
    held = _count(training.validation_cases, "case")
    return f"Mean Dice {dice:.2f} on {held} held out from training to choose the best step."


def _count(entries: list[str], what: str) -> str:
    return f"{len(entries)} {what}{'' if len(entries) == 1 else 's'}"
