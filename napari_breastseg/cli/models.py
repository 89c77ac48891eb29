"""`models`: the registry."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from ._choices import Device, Phases, model_folder, open_dataset, phase_list
from ._console import AsJson, print_json, print_table, run

if TYPE_CHECKING:
    from ..registry.judgment import Judgment

app = typer.Typer(help="List, add and choose models.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="A registered model.")]


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the starter and the registered models, oldest first."""
    from ..model.checkpoint import STARTER, read_info
    from ..registry.models import Registry

    entries = Registry().list()
    if as_json:
        print_json({"models": [entry.to_json() for entry in entries]})
        return
    has_promoted = any(entry.is_promoted for entry in entries)
    starter = read_info(STARTER)
    rows: list[list[object]] = [
        [
            starter.name + ("" if has_promoted else " (default)"),
            _dice(starter.metrics.get("val_dice")),
            "comes with the program",
            "",
        ]
    ]
    rows += [
        [
            entry.name + (" (default)" if entry.is_promoted else ""),
            _dice(entry.metrics.get("val_dice")),
            entry.parent,
            entry.problem,
        ]
        for entry in entries
    ]
    print_table(["model", "val Dice", "made from", ""], rows)
    if not entries:
        typer.echo("No registered models. 'models import DIR' adds the folder that train wrote.")


@app.command()
def show(
    name: Annotated[
        str | None,
        typer.Argument(help="A registered model or a folder \\[default: the default model]"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what a model takes, how it was trained, and its model card."""
    from ..model.checkpoint import CARD_FILE, read_info
    from ..registry.models import Registry

    folder = model_folder(name)
    info = read_info(folder)
    if as_json:
        print_json({"folder": str(folder), **info.for_display()})
        return
    spec, training = info.spec, info.training
    print_table(
        ["model", info.name],
        [
            ["folder", folder],
            ["network", spec.title],
            ["takes", ", ".join(spec.inputs)],
            ["trained on", f"{len(training.training_cases)} cases, {training.steps} steps"],
            [
                "validation Dice" + (", own cases" if training.is_validated_on_its_own else ""),
                _dice(info.metrics.get("val_dice")),
            ],
            ["made from", info.parent or "scratch"],
            ["licence", info.licence],
            ["weights", info.weights_sha256],
        ],
    )
    if name is not None and (judgment := Registry().judgment(name)) is not None:
        typer.echo()
        _print_judgment(judgment)
        typer.echo(judgment.describe())
    card = folder / CARD_FILE
    if card.is_file():
        typer.echo()
        lines = card.read_text("utf-8").splitlines()
        typer.echo("\n".join(line for line in lines if not line.startswith("![")))  # pictures


@app.command("import")
def import_(
    folder: Annotated[
        Path,
        typer.Argument(help="Folder that train wrote, MONAI bundle or nnU-Net v2 model."),
    ],
    name: Annotated[
        str | None, typer.Option(help="The model's name \\[default: the folder's]")
    ] = None,
    phases: Phases = None,
    as_json: AsJson = False,
) -> None:
    """Register a copy of a model; a MONAI bundle or nnU-Net model is converted."""
    from ..model.importing import import_model
    from ..registry.models import Registry

    with TemporaryDirectory() as work:
        made = import_model(folder, Path(work) / "model", phases=phase_list(phases))
        entry = Registry().register(made, name or folder.resolve().name)
    if as_json:
        print_json(entry.to_json())
    else:
        typer.echo(f"Registered {entry.name}")


@app.command()
def promote(
    name: Name,
    dataset: Annotated[
        list[Path] | None,
        typer.Option(help="Dataset with locked patients to check it on; may be given again."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Set as default without the check, or whatever it says.")
    ] = False,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Set a model as default if it passes the check on locked patients.

    Exit code 1 if it does not pass.
    """
    from ..registry.models import Registry
    from ..registry.promotion import promote as promote_judged

    if not dataset:
        entry = Registry().promote(name, force=force)
        if as_json:
            print_json(entry.to_json())
        else:
            typer.echo(f"Set {entry.name} as default without the check")
        return
    opened = [open_dataset(folder) for folder in dataset]
    job = promote_judged(Registry(), name, opened, device=device, force=force)
    promotion = run(job, quiet=as_json)
    if as_json:
        judgment = promotion.judgment.model_dump(mode="json")
        print_json({**promotion.entry.to_json(), "judgment": judgment})
    else:
        _print_judgment(promotion.judgment)
        typer.echo(promotion.describe())
    if not promotion.entry.is_promoted:
        raise typer.Exit(1)


@app.command()
def rollback(as_json: AsJson = False) -> None:
    """Go back to the previous default model."""
    from ..registry.models import Registry

    folder = Registry().rollback()
    name = "starter" if folder is None else folder.name
    if as_json:
        print_json({"promoted": name})
    else:
        typer.echo(f"The default model is {name} again")


def _print_judgment(judgment: Judgment) -> None:
    """The figures of a judgment as a table."""
    if judgment.figures:
        rows = [
            [
                figure.measure,
                f"{figure.candidate:.3g}",
                f"{figure.reference:.3g}",
                f"{figure.difference:+.3g}",
                "" if figure.ci95 is None else f"{figure.ci95[0]:+.3f} to {figure.ci95[1]:+.3f}",
                figure.allowed,
                "" if figure.is_kept else "broken",
            ]
            for figure in judgment.figures
        ]
        columns = [
            "on locked patients",
            "candidate",
            "default",
            "difference",
            "95 %",
            "allowed",
            "",
        ]
        print_table(columns, rows)


def _dice(value: float | None) -> str | None:
    return None if value is None else f"{value:.3f}"
