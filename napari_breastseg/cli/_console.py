"""How the command line speaks: results on stdout, progress and errors on stderr."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any, TypeVar

import typer

from ..core.errors import InputError
from ..core.progress import Job, Progress, drain

__all__ = [
    "AsJson",
    "Pace",
    "exit_if_failed",
    "note",
    "print_json",
    "print_table",
    "run",
    "say",
    "show_error",
]

T = TypeVar("T")

_TELL_EVERY_S = 60.0

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]


def say(text: str) -> None:
    """Tell the user something that is not the result."""
    typer.echo(text, err=True)


def note(text: str) -> None:
    """Tell the user something about the result that is no error."""
    say(f"note: {text}")


class Pace:
    """Says every minute how many of many cases are done, and when all will be.

    Examples
    --------
    >>> now = iter((0.0, 30.0, 90.0, 100.0, 7000.0))
    >>> pace = Pace(10, clock=lambda: next(now))
    >>> [pace.words(done) for done in (1, 3, 4, 5)]
    ['', '3 of 10 done, about 4 min left', '', '5 of 10 done, about 1.9 h left']
    """

    def __init__(self, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._total = total
        self._clock = clock
        self._begun = self._told = clock()

    def words(self, done: int) -> str:
        """What to say when so many are done; empty when it is too early to say something."""
        now = self._clock()
        if not 0 < done < self._total or now - self._told < _TELL_EVERY_S:
            return ""
        self._told = now
        minutes = (now - self._begun) / done * (self._total - done) / 60
        left = f"{minutes / 60:.1f} h" if minutes > 90 else f"{max(1, round(minutes))} min"
        return f"{done} of {self._total} done, about {left} left"

    def tell(self, done: int) -> None:
        """Say it on stderr."""
        if words := self.words(done):
            say(words)


def show_error(error: InputError) -> None:
    """Print an error's three parts on stderr."""
    typer.secho("Error", fg="red", bold=True, err=True)
    say(f"  Expected  {error.expected.removeprefix('Expected ')}")
    say(f"  Found     {error.found.removeprefix('found ')}")
    say(f"  Fix       {error.fix}")


def exit_if_failed(failed: int, total: int, *, is_part: bool = False) -> None:
    """End with exit code 2 when all of `total` failed, 1 when some did.

    A part ends with 1 also when all of its cases failed: of the whole they may be some, and who
    runs the parts goes on either way.
    """
    if failed:
        raise typer.Exit(2 if failed == total and not is_part else 1)


def print_json(value: Any) -> None:
    """Print a result for programs."""
    typer.echo(json.dumps(value, indent=2, allow_nan=False, default=str))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a result for people."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row))
    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, 160)  # a file or a pipe has no edge to fold lines at
    console.print(table)


def run(job: Job[T], *, quiet: bool = False, tell: Callable[[str], None] = say) -> T:
    """Run a job with a progress bar on stderr; without a terminal only its messages are shown.

    Parameters
    ----------
    job : generator of Progress
    quiet : bool
        Without the bar.
    tell : callable
        Shows its messages.
    """
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    console = Console(stderr=True)
    bars = Bars(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}"),
        console=console,
        disable=quiet or not console.is_terminal,
        transient=True,
    )
    paces: dict[tuple[str, int], Pace] = {}
    with bars:
        task = bars.add_task("", total=1, figures="")

        def show(progress: Progress) -> None:
            if progress.message:
                bars.stop()
                tell(progress.message)
                bars.start()
            shown = {k: v for k, v in progress.metrics.items() if k != "seconds_left"}
            if "val_dice" in shown and not console.is_terminal and not quiet:
                say(f"step {progress.done}/{progress.total}: {_figures(shown)}")
            if not quiet and not console.is_terminal and progress.total > 1:
                pace = paces.setdefault((progress.stage, progress.total), Pace(progress.total))
                pace.tell(progress.done)
            bars.update(
                task,
                description=progress.stage,
                completed=progress.done,
                total=max(1, progress.total),
                figures=_figures(shown),
            )

        return drain(job, show)


def _figures(metrics: dict[str, float]) -> str:
    return "  ".join(f"{key.replace('_', ' ')} {value:.3g}" for key, value in metrics.items())
