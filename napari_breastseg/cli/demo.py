"""`demo`: the whole loop on the sample exam, in the window or without one."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from .. import formats
from ..core.atomic import write_text
from ..core.errors import InputError
from ..core.home import SAMPLE, sample_folder
from ..core.overlap import dice
from ..core.volume import Exam, LabelMap
from ..dataset import Dataset
from ..scripting import accept
from ._choices import model_folder
from ._console import AsJson, print_json, print_table, run, say
from .doctor import screen_problem

if TYPE_CHECKING:
    from ..model.checkpoint import Checkpoint

FINE_TUNE_STEPS = 100


def demo(
    headless: Annotated[
        bool, typer.Option("--headless", help="Run the loop without a window.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option(help="Folder for the results \\[default: demo-output]")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Segment, correct, accept and fine-tune on the synthetic sample exam."""
    from ..model.checkpoint import load

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
    rows = _loop(checkpoint, exam, reference, folder, quiet=as_json)
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


def _loop(
    checkpoint: Checkpoint, exam: Exam, reference: LabelMap, folder: Path, *, quiet: bool
) -> list[dict[str, object]]:
    from ..model.checkpoint import load
    from ..predict.prediction import predict
    from ..scoring.figures import loop_picture
    from ..training import train_dataset

    prediction = run(predict(checkpoint, exam), quiet=quiet)
    draft = prediction.label_map
    corrected, touched = _simulated_correction(draft, reference)
    formats.write_label_map(folder / f"{exam.case_id}.nii.gz", corrected)
    image = exam.phases["post1"]
    loop_picture(folder / "picture.png", image, reference, draft, corrected)

    dataset = Dataset.create(folder / "dataset", tuple(exam.phases))
    accept(dataset, exam, corrected, patient_id="SAMPLE", reader="simulated", draft=prediction)
    result = run(
        train_dataset([dataset], folder / "model", base=checkpoint, steps=FINE_TUNE_STEPS),
        quiet=quiet,
    )
    tuned = run(predict(load(result.folder), exam), quiet=quiet).label_map
    return [
        _table_row("draft", draft, reference, 0),
        _table_row("corrected", corrected, reference, touched),
        _table_row("fine-tuned on this case", tuned, reference, 0),
    ]


def _simulated_correction(draft: LabelMap, reference: LabelMap) -> tuple[LabelMap, int]:
    """What a reader would make of the draft: badly outlined slices are redrawn.

    Returns
    -------
    corrected : LabelMap
        The reference on slices where the draft's Dice is below 0.8, elsewhere the draft.
    slices : int
        How many were redrawn.
    """
    corrected = np.array(draft.data)
    touched = 0
    for z in range(draft.grid.shape[0]):
        if dice(draft.tumor[z], reference.tumor[z]) < 0.8:
            corrected[z] = reference.data[z]
            touched += 1
    return LabelMap(corrected, draft.grid), touched


def _table_row(what: str, mask: LabelMap, reference: LabelMap, touched: int) -> dict[str, object]:
    voxel_ml = mask.grid.voxel_ml or 0.0
    return {
        "mask": what,
        "dice": round(dice(mask.tumor, reference.tumor), 3),
        "tumor_ml": round(float(mask.tumor.sum()) * voxel_ml, 2),
        "reference_ml": round(float(reference.tumor.sum()) * voxel_ml, 2),
        "slices_redrawn": touched,
    }


def _open_window(checkpoint: Checkpoint, model: Path, exam: Exam, folder: Path) -> None:
    """Napari on the segmented sample, through the plugin's own command: no widgets import here."""
    from npe2 import PluginManager

    from ..predict.prediction import predict

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
