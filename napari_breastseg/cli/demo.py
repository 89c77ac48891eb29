"""`demo`: the whole loop on the sample exam, in the window or without one."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .. import formats
from ..core.atomic import write_text
from ..core.errors import InputError
from ..core.home import SAMPLE, sample_folder
from ._choices import model_folder
from ._console import AsJson, print_json, print_table, run, say
from .doctor import screen_problem

if TYPE_CHECKING:
    from ..core.volume import Exam, LabelMap
    from ..model.checkpoint import Checkpoint


def demo(
    headless: Annotated[
        bool, typer.Option("--headless", help="Run the loop without a window.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option(help="Folder for the results \\[default: demo-output]")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Segment, correct, learn from it at once, accept and train, on synthetic exams."""
    from ..model.checkpoint import load
    from ._demo_loop import demo_loop

    problem = None if headless else screen_problem()
    if problem is not None:
        say(f"No window can be opened: {problem}. Running the loop without one.")
    folder = _new_folder(output)
    model = model_folder(None)
    checkpoint = load(model)
    exam, reference = read_sample()
    if not headless and problem is None:
        _open_window(checkpoint, model, exam, folder)
        return
    loop = demo_loop(checkpoint, exam, reference, folder, quiet=as_json)
    rows = loop.rows
    table = io.StringIO()
    writer = csv.DictWriter(table, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(folder / "table.csv", table.getvalue())
    if as_json:
        print_json({"folder": str(folder), "rows": rows})
        return
    print_table(list(rows[0]), [list(row.values()) for row in rows])
    typer.echo(f"Mask, picture, table, dataset and model are in {folder.resolve()}")
    say("Synthetic data: the figures show that the loop runs, not how well it does on patients.")


def read_sample() -> tuple[Exam, LabelMap]:
    """The sample exam and its reference mask."""
    folder = sample_folder()
    exam = formats.open_exam(folder / f"{SAMPLE}_0000.nii.gz")
    return exam, formats.read_label_map(folder / "truth" / f"{SAMPLE}.nii.gz", exam=exam)


def _new_folder(output: Path | None) -> Path:
    """The folder asked for, which must be empty, or the first free demo-output."""
    if output is not None:
        if output.exists() and (not output.is_dir() or any(output.iterdir())):
            raise InputError(
                "Expected a new or empty --output folder",
                f"found other files in {output}",
                "Choose another folder",
            )
        return output
    number, folder = 1, Path("demo-output")
    while folder.exists():
        number += 1
        folder = Path(f"demo-output-{number}")
    return folder


def _open_window(checkpoint: Checkpoint, model: Path, exam: Exam, folder: Path) -> None:
    """Napari on the segmented sample, through the plugin's own command: no widgets import here."""
    from npe2 import PluginManager

    from ..predict.prediction import predict

    say("For the whole loop without a window: napari-breastseg demo --headless")
    prediction = run(predict(checkpoint, exam))
    formats.write_label_map(folder / f"{exam.case_id}.nii.gz", prediction.label_map)
    PluginManager.instance().discover()
    PluginManager.instance().commands.execute(
        "napari-breastseg.show_demo",
        kwargs={
            "exam": exam,
            "draft": prediction.label_map,
            "model": model,
            "model_identity": checkpoint.info.identity,
            "findings": prediction.findings,
        },
    )
