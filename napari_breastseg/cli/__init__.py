"""The command line: one subcommand per verb over the engine. Loads no torch and no Qt at import.

Exit code 0: all well; 1: some case failed; 2: bad input or use. Errors go to stderr.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from ..core.errors import InputError
from ._console import show_error
from ._verbs import VERBS, Verbs

__all__ = ["app", "main"]

app = typer.Typer(
    cls=Verbs,
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
        from importlib.metadata import version

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


def _stand_in() -> None:
    """Fill the place of a command in the list; `Verbs` loads the one that is called."""


for _name, _verb in VERBS.items():
    app.command(_name, help=_verb.help)(_stand_in)


def main() -> None:
    """Entry point of the command `napari-breastseg`."""
    try:
        app()
    except InputError as error:
        show_error(error)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
