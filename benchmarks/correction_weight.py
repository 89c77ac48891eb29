"""Does it help to count the voxels that a reader changed in the draft more often than the others?

    python benchmarks/correction_weight.py

The starter drafts single post-contrast slices of seven patients it never saw; the hand-drawn masks
are what a reader made of the drafts. Two slices each of three patients are learned from with each
weight, with the settings of `train` but without replay and without holding on to the base, which
would dampen the difference; tested are those patients' third slices and all slices of the
other four. Every run takes its last step. Finished runs are kept in the work folder, so an
interrupted benchmark goes on. Needs the test data folder (BREASTSEG_TEST_DATA).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from pathlib import Path

import numpy as np
from _common import RESULTS, machine, test_data, today

from napari_breastseg.core.atomic import write_json, write_text

WEIGHTS = (1.0, 2.0, 5.0)
Rows = list[dict[str, object]]


def drafted_dataset(folder: Path) -> dict[str, list[str]]:
    """Case ids by patient of a dataset in which every mask was made of the starter's draft."""
    from napari_breastseg.core.progress import drain
    from napari_breastseg.dataset import Dataset, import_csv
    from napari_breastseg.model import checkpoint
    from napari_breastseg.predict.prediction import predict

    imported = folder.with_name("imported")
    drain(import_csv(test_data() / "clinic_slices" / "cases.csv", imported))
    source = Dataset.open(imported)
    if not (folder / "dataset.json").is_file():
        starter = checkpoint.load(checkpoint.STARTER)
        made = Dataset.create(folder, source.channels)
        for record in source.cases():
            exam = source.exam(record.case_id)
            made.add(exam, patient_id=record.patient_id)
            draft = drain(predict(starter, exam, device="cpu"))
            made.save_draft(exam.case_id, draft.label_map, model=draft.model)
            made.accept(
                exam.case_id,
                source.label_map(exam.case_id),
                reviewed_slices=None,
                annotator="reference",
                seconds=0,
            )
    cases_of: dict[str, list[str]] = {}
    for record in Dataset.open(folder).cases():
        cases_of.setdefault(record.patient_id, []).append(record.case_id)
    return cases_of


def perform(
    folder: Path, triple: list[str], cases_of: dict[str, list[str]], weight: float, seed: int
) -> dict[str, object]:
    """Train with a weight and test: mean Dice on own third slices and on other patients."""
    from napari_breastseg.core.progress import drain
    from napari_breastseg.dataset import Dataset
    from napari_breastseg.model import checkpoint
    from napari_breastseg.predict.prediction import predict
    from napari_breastseg.scoring.evaluation import evaluate
    from napari_breastseg.training import DatasetCase, train
    from napari_breastseg.training.planning import plan_config

    name = f"{'+'.join(triple)}-{weight:g}-{seed}"
    done = folder.parent / "runs" / f"{name}.json"
    if done.is_file():
        return json.loads(done.read_text())  # type: ignore[no-any-return]
    dataset = Dataset.open(folder)
    learned = [
        DatasetCase(dataset, case, patient) for patient in triple for case in cases_of[patient][:2]
    ]
    config = plan_config(is_fine_tuning=True, cases=len(learned), seed=seed, device="cpu")
    # Nothing that would dampen the difference.
    plain = {"replay": 0.0, "norm_statistics": "batch", "encoder_rate": 1.0, "base_share": 0.0}
    config = config.model_copy(update={"correction_weight": weight, **plain})
    output = folder.parent / "models" / name
    base = checkpoint.load(checkpoint.STARTER)
    result = drain(train(learned, output, base=base, config=config, resume=True))
    model = checkpoint.load(output)
    row: dict[str, object] = {"triple": triple, "weight": weight, "seed": seed}
    row["seconds"] = round(result.seconds, 1)
    tests = {
        "own": {patient: cases_of[patient][2:] for patient in triple},
        "others": {p: cases for p, cases in cases_of.items() if p not in triple},
    }
    for kind, chosen in tests.items():
        tested = [
            (case, patient, dataset.exam(case), dataset.label_map(case))
            for patient, cases in chosen.items()
            for case in cases
        ]
        scores = drain(evaluate(tested, lambda exam: predict(model, exam, device="cpu")))
        row[kind] = scores.patient_values("dice")
    write_json(done, row)
    shutil.rmtree(output, ignore_errors=True)
    print(name, row, flush=True)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path("benchmark-work/correction-weight"))
    parser.add_argument("--seeds", type=int, default=2)
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # before torch is loaded

    folder = arguments.work.resolve() / "drafted"
    cases_of = drafted_dataset(folder)
    patients = sorted(cases_of)
    triples = [patients[0:3], patients[3:6], [patients[6], *patients[0:2]]]
    rows = [
        perform(folder, triple, cases_of, weight, seed)
        for seed in range(arguments.seeds)
        for triple in triples
        for weight in WEIGHTS
    ]
    report(rows)


def report(rows: Rows) -> None:
    """Write the table."""
    lines = [
        "# Weight of corrected voxels when fine-tuning",
        "",
        f"{today()}, {machine()}, one core. Command: `python benchmarks/correction_weight.py`.",
        "",
        "Starter's drafts of single post-contrast slices, corrected to the hand-drawn masks; two "
        "slices each of three patients learned from, without replay and without holding on to the "
        "base. Mean Dice over patients; in brackets the difference to weight 1 in each run.",
        "",
        "| weight | runs | their third slices | other patients |",
        "|---|---|---|---|",
    ]
    plain = {(str(r["triple"]), r["seed"]): r for r in rows if r["weight"] == 1.0}
    for weight in WEIGHTS:
        chosen = [r for r in rows if r["weight"] == weight]
        cells = []
        for kind in ("own", "others"):
            values = [_mean(r[kind]) for r in chosen]
            gains = [
                _mean(r[kind]) - _mean(plain[str(r["triple"]), r["seed"]][kind]) for r in chosen
            ]
            listed = ", ".join(f"{gain:+.3f}" for gain in gains)
            cells.append(f"{np.mean(values):.3f}" + (f" ({listed})" if weight != 1 else ""))
        lines.append(f"| {weight:g} | {len(chosen)} | {cells[0]} | {cells[1]} |")
    text = "\n".join([*lines, ""])
    write_text(RESULTS / "correction_weight.md", text)
    write_json(RESULTS / "correction_weight.json", {"date": today(), "rows": rows})
    print(text)


def _mean(dice: object) -> float:
    return float(np.mean(list(dice.values())))  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
