"""The command line: one subcommand per verb over the engine. Loads no torch and no Qt at import.

Exit code 0: all well; 1: some case failed; 2: bad input or use. Errors go to stderr.
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Annotated

import typer

from ..core.errors import InputError
from . import (
    data,
    demo,
    doctor,
    models,
    predicting,
    reporting,
    scoring,
    segobject,
    training,
)
from ._console import show_error

__all__ = ["app", "main"]

app = typer.Typer(
    name="napari-breastseg",
    help="Outline tumors in breast MRI: draft with a U-Net, correct, train on the corrections. "
    "Research software, not a medical device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(version("napari-breastseg"))
        raise typer.Exit


@app.callback()
def _of_all_commands(
    is_asked: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Options that stand before any command."""


app.command("demo")(demo.demo)
app.command("predict")(predicting.predict)
app.command("report")(reporting.report)
app.add_typer(data.app, name="dataset")
app.command("train")(training.train)
app.command("evaluate")(scoring.evaluate)
app.add_typer(models.app, name="models")
app.command("export-seg")(segobject.export_seg)
app.command("doctor")(doctor.doctor)


def main() -> None:
    """Entry point of the command `napari-breastseg`."""
    try:
        app()
    except InputError as error:
        show_error(error)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
