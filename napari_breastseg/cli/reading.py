"""`dataset ask`, `agreement`, `consensus`: second reads and what follows from them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from ..core.errors import InputError
from ._choices import open_dataset
from ._console import AsJson, exit_if_failed, print_json, print_table, run, say, show_error

__all__ = ["agreement", "ask", "consensus"]

Folder = Annotated[Path, typer.Argument(metavar="DATASET", help="The dataset folder.")]
Cases = Annotated[list[str], typer.Argument(metavar="CASE...", help="Case ids.")]


def ask(dataset: Folder, cases: Cases, as_json: AsJson = False) -> None:
    """Ask for a second read of accepted cases, blinded to the first."""
    reads = open_dataset(dataset).reads
    _each(cases, lambda case_id: reads.ask(case_id), "asked", as_json)


def consensus(
    dataset: Folder,
    cases: Cases,
    method: Annotated[
        str, typer.Option(help="staple, or majority of three or more readers.")
    ] = "staple",
    as_json: AsJson = False,
) -> None:
    """Make the readers' consensus the new draft of each case, to be reviewed and accepted."""
    from ..scoring.consensus import Method, propose_consensus

    if method not in list(Method):
        raise InputError(
            f"Expected one of the methods {', '.join(Method)}",
            f"found {method}",
            "Choose one of them",
        )
    opened = open_dataset(dataset)
    _each(cases, lambda c: propose_consensus(opened, c, Method(method)), "drafted", as_json)


def agreement(dataset: Folder, as_json: AsJson = False) -> None:
    """Compare the readers of each case, and the model with them."""
    from ..scoring.agreement import agreement as comparing

    found = run(comparing(open_dataset(dataset)), quiet=as_json)
    if as_json:
        print_json(asdict(found))
        return
    columns = ["first", "second", "cases", "Dice", "HD95", "volume difference"]
    print_table(columns, [[p.first, p.second, p.n_cases, *_figures(p)] for p in found.pairs])
    if found.readers_dice is not None:
        say(f"Dice between two readers: {_words(found.readers_dice)}")
    if found.model_dice is not None:
        dice = _words(found.model_dice)
        say(f"Dice between the model and a reader who did not see its draft: {dice}")
    if (gap := found.model_less_readers) is not None:
        say(f"Model minus readers, same {gap.n_patients} patients: {_words(gap)}")
    if any(pair.is_corrected for pair in found.pairs):
        say("Some first reads were corrected from the model's draft and are biased towards it.")


def _figures(pair: Any) -> list[str]:
    hd95, unit = (pair.hd95_mm, "mm") if pair.hd95_mm is not None else (pair.hd95_px, "px")
    volume = f"{_words(pair.difference_px, 0)} px"
    if pair.difference_ml is not None:
        volume = f"{_words(pair.difference_ml)} mL"
    return [_words(pair.dice), "" if hd95 is None else f"{_words(hd95, 1)} {unit}", volume]


def _words(mean: Any, digits: int = 2) -> str:
    text = f"{mean.mean:.{digits}f}"
    if mean.ci95 is None:
        return text
    low, high = mean.ci95
    return f"{text} ({low:.{digits}f} to {high:.{digits}f})"


def _each(cases: list[str], work: Any, word: str, as_json: bool) -> None:
    """Do something to each case; a bad one stops no other."""
    rows: list[dict[str, Any]] = []
    for case_id in cases:
        try:
            record = work(case_id)
            rows.append({"case_id": case_id, "status": record.status.value, "done": word})
        except InputError as error:
            show_error(error)
            rows.append({"case_id": case_id, "status": "failed", "error": str(error)})
    if as_json:
        print_json({"cases": rows})
    else:
        print_table(["case", "status"], [[r["case_id"], r["status"]] for r in rows])
    exit_if_failed(sum(row["status"] == "failed" for row in rows), len(rows))
