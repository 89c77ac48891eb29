"""Fit the score that orders a model's findings, on whole synthetic exams in three views.

    python recipes/finding_score.py MODEL --output score-work [--into CHECKPOINT]

Each exam is segmented as a dynamic series, as pre and one post, and as a single post series; every
candidate is described, and is a lesion or none by the truth. Exams are drawn once and their
candidates kept as JSON, so that an interrupted run goes on.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from napari_breastseg.core.atomic import write_json
from napari_breastseg.core.progress import drain
from napari_breastseg.core.volume import Exam
from napari_breastseg.lesions.evidence import Evidence
from napari_breastseg.lesions.finding_score import KINDS, FindingScore, Kind, fitted
from napari_breastseg.model import checkpoint
from napari_breastseg.predict.prediction import predict
from napari_breastseg.scoring.detection import lesions_hit
from napari_breastseg.training.replay import enhancing, whole_phantom

VIEWS = ("axial", "sagittal", "coronal")
FIRST_SEED = 50_000
"""Seeds from here on are neither trained on nor measured on."""

EXAMS = 45
LEAST_ML = 0.05
"""Smaller lesions are no candidates to be found, nor false ones."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="checkpoint folder")
    parser.add_argument("--output", type=Path, default=Path("score-work"))
    parser.add_argument("--exams", type=int, default=EXAMS)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--into", type=Path, help="checkpoint whose model.json gets the score")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    jobs = [(n, arguments.model, arguments.output) for n in range(arguments.exams)]
    with ProcessPoolExecutor(arguments.processes) as pool:
        for number, path in enumerate(pool.map(described, *zip(*jobs, strict=True))):
            print(f"{number + 1} of {len(jobs)}: {path.name}", flush=True)
    score = FindingScore(weights={kind: weights_of(kind, arguments.output) for kind in KINDS})
    for kind, weights in score.weights.items():
        point = min(weights.curve, key=lambda p: abs(p[0] - weights.limit))
        print(f"{kind}: limit {weights.limit}, {point[1]:.2f} false an exam, {point[2]:.2f} found")
        print("   ", {name: round(w, 2) for name, w in weights.weight.items()})
    write_json(arguments.output / "score.json", score.model_dump())
    if arguments.into is not None:
        put_into(arguments.into, score)


def put_into(folder: Path, score: FindingScore) -> None:
    """Write the score into a checkpoint's model.json; the weights stay as they are."""
    file = folder / checkpoint.MODEL_FILE
    value = json.loads(file.read_text())
    value["finding_score"] = score.model_dump(mode="json")
    write_json(file, value)
    checkpoint.read_info(folder)


def described(number: int, model: Path, folder: Path) -> Path:
    """Candidates of one synthetic exam, as a file."""
    import torch

    torch.set_num_threads(1)
    path = folder / f"exam-{number:03d}.json"
    if path.is_file():
        return path
    phantom = whole_phantom(FIRST_SEED + number, f"P{number:03d}", view=VIEWS[number % 3])
    loaded = checkpoint.load(model)
    lesions = np.where(enhancing(phantom.exam, phantom.truth).tumor, phantom.lesion_labels.data, 0)
    small = {one.id for one in phantom.lesions if one.volume_ml < LEAST_ML}
    rows: dict[str, Any] = {
        "view": VIEWS[number % 3],
        "lesions": [
            {"id": one.id, "ml": one.volume_ml, "kind": one.kind}
            for one in phantom.lesions
            if one.id not in small
        ],
    }
    for kind, exam in as_kinds(phantom.exam):
        findings = drain(predict(loaded, exam, device="cpu")).findings
        assert findings is not None
        hits = lesions_hit(findings, lesions)
        rows[kind] = [
            {"lesion": hit, "evidence": asdict(one.evidence)}
            for one, hit in zip(findings.findings, hits, strict=True)
            if hit not in small
        ]
    write_json(path, rows)
    return path


def as_kinds(exam: Exam) -> Iterator[tuple[Kind, Exam]]:
    """An exam as each kind of exam that a score has weights for."""
    phases = {"dynamic": tuple(exam.phases), "pair": ("pre", "post1"), "single": ("post1",)}
    for kind in KINDS:
        yield kind, Exam(exam.case_id, {role: exam.phases[role] for role in phases[kind]})


def weights_of(kind: Kind, folder: Path) -> Any:
    """Weights for one kind of exam, fitted on all that are described."""
    exams, lesions = [], 0
    for path in sorted(folder.glob("exam-*.json")):
        rows = json.loads(path.read_text())
        lesions += len(rows["lesions"])
        exams.append(
            [(Evidence(**row["evidence"]), row["lesion"] is not None) for row in rows[kind]]
        )
    return fitted(exams, lesions)


if __name__ == "__main__":
    main()
