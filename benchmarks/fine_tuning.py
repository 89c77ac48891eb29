"""What corrections on another hospital's slices are worth, from the starter and from scratch.

    python benchmarks/fine_tuning.py

Single post-contrast slices with hand-drawn masks of seven patients the starter never saw. Three
questions: every patient left out once, trained on all others (`left-out`); two slices each of
three patients, tested on their third slices (`own`); and mean Dice on a left-out patient after 0,
2, 4, 8 and 16 corrected slices, from the starter and from scratch (`curve`). Settings are those
that `train` uses; every run takes its last step, and nothing in it sees what it is tested on.

With default settings the result is averaged with the starter, so that little is forgotten;
`starter-alone` is the trained weights alone (`train --base-share 0`). The average is taken at the
end of a training, so one training gives both.

One core a run, two at a time unless --jobs says otherwise; finished runs are kept in the work
folder, so an interrupted benchmark goes on. Needs the test data folder (BREASTSEG_TEST_DATA).
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import shutil
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from _common import RESULTS, machine, test_data, today

from napari_breastseg.core.atomic import write_json, write_text

COUNTS = (0, 2, 4, 8, 16)
ORDERS = 3
STARTERS = ("starter", "starter-alone")
AIMS = {"left-out": 0.88, "own": 0.91}
Rows = list[dict[str, object]]


@dataclass(frozen=True)
class Run:
    """One training and what it is tested on."""

    question: str
    start: str
    """starter or scratch."""

    key: str
    learned: tuple[str, ...]
    tested: tuple[str, ...]
    seed: int = 0

    @property
    def name(self) -> str:
        """Folder of the run."""
        return f"{self.question}-{self.start}-{self.key}-{self.seed}"


def plan(cases_of: dict[str, list[str]]) -> list[Run]:
    """All runs; patients and their slices in order."""
    patients = sorted(cases_of)
    everything = [case for patient in patients for case in cases_of[patient]]
    triples = [patients[0:3], patients[3:6], [patients[6], *patients[0:2]]]
    runs = []
    for patient in patients:
        learned = tuple(case for case in everything if case not in cases_of[patient])
        runs.append(Run("left-out", "starter", patient, learned, tuple(cases_of[patient])))
    for seed, triple in itertools.product(range(3), triples):
        learned = tuple(case for patient in triple for case in cases_of[patient][:2])
        tested = tuple(cases_of[patient][2] for patient in triple)
        runs.append(Run("own", "starter", "+".join(triple), learned, tested, seed))
    for order in range(ORDERS):
        rng = np.random.default_rng(order)
        held = patients[(2 * order + 1) % len(patients)]
        others = [case for case in everything if case not in cases_of[held]]
        shuffled = [str(case) for case in rng.permutation(others)]
        for start in ("starter", "scratch"):
            for count in COUNTS:
                if count == 0 and start == "scratch":
                    continue
                runs.append(
                    Run(
                        "curve",
                        start,
                        f"{held}-{count:02d}",
                        tuple(shuffled[:count]),
                        tuple(cases_of[held]),
                        order,
                    )
                )
    return runs


def perform(run: Run, dataset_folder: Path, work: Path) -> Rows:
    """Train, test, and give the Dice of each tested slice, for the weights kept and alone."""
    import torch

    from napari_breastseg.core.progress import drain
    from napari_breastseg.dataset import Dataset
    from napari_breastseg.model import checkpoint
    from napari_breastseg.model.mixing import mixed
    from napari_breastseg.predict.prediction import predict
    from napari_breastseg.scoring.evaluation import evaluate
    from napari_breastseg.training import DatasetCase, plan_spec, train
    from napari_breastseg.training.planning import plan_config

    done = work / "runs" / f"{run.name}.json"
    if done.is_file():
        return json.loads(done.read_text())  # type: ignore[no-any-return]
    torch.set_num_threads(1)
    dataset = Dataset.open(dataset_folder)
    patient_of = {record.case_id: record.patient_id for record in dataset.cases()}
    base = checkpoint.load(checkpoint.STARTER) if run.start == "starter" else None
    seconds, steps = 0.0, 0
    models = {} if base is None else dict.fromkeys(STARTERS, base)
    if run.learned:
        cases = [DatasetCase(dataset, case, patient_of[case]) for case in run.learned]
        config = plan_config(
            is_fine_tuning=base is not None,
            cases=len(cases),
            seed=run.seed,
            device="cpu",
        )
        share, config = (
            config.base_share,
            config.model_copy(update={"base_share": 0.0, "keeps_base": False}),
        )
        spec = None if base is not None else plan_spec([dataset])
        output = work / "models" / run.name
        job = train(cases, output, base=base, spec=spec, config=config, resume=True)
        started = time.perf_counter()
        drain(job)
        seconds, steps = time.perf_counter() - started, config.steps
        alone = checkpoint.load(output)
        models = {"scratch": alone}
        if base is not None:
            kept = replace(alone, network=mixed(alone.network, base.network, share))
            models = {"starter": kept, "starter-alone": alone}
    tested = [
        (case, patient_of[case], dataset.exam(case), dataset.label_map(case)) for case in run.tested
    ]
    rows: Rows = []
    for start, model in models.items():
        result = drain(evaluate(tested, lambda exam, m=model: predict(m, exam, device="cpu")))
        rows.append(
            {
                "question": run.question,
                "start": start,
                "key": run.key,
                "seed": run.seed,
                "count": len(run.learned),
                "steps": steps,
                "seconds": round(seconds, 1),
                "machine": f"{today()}, {machine()}",
                "dice": result.patient_values("dice"),
            }
        )
    write_json(done, rows)
    shutil.rmtree(work / "models" / run.name, ignore_errors=True)
    print(run.name, *(f"{r['start']} {r['dice']}" for r in rows), f"{seconds:.0f} s", flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path("benchmark-work/fine-tuning"))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", choices=("left-out", "own", "curve"))
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # before torch is loaded in the workers

    from napari_breastseg.core.progress import drain
    from napari_breastseg.dataset import Dataset, import_csv
    from napari_breastseg.model.checkpoint import STARTER, read_info

    identity = read_info(STARTER).identity
    work = arguments.work / f"{identity.replace('@', '-')}-{settings()}"
    folder = work / "dataset"
    drain(import_csv(test_data() / "clinic_slices" / "cases.csv", folder))
    cases_of: dict[str, list[str]] = {}
    for record in Dataset.open(folder).cases():
        cases_of.setdefault(record.patient_id, []).append(record.case_id)
    runs = [run for run in plan(cases_of) if arguments.only in (None, run.question)]
    with ProcessPoolExecutor(arguments.jobs) as pool:
        list(pool.map(perform, runs, [folder.resolve()] * len(runs), [work.resolve()] * len(runs)))
    done = sorted((work / "runs").glob("*.json"))
    report([row for path in done for row in json.loads(path.read_text())], identity)


def settings() -> str:
    """What stands for the settings of `train` and the starter's spec in the work folder's name."""
    from napari_breastseg.model.checkpoint import STARTER, read_info
    from napari_breastseg.training import planning

    tuned, fresh = (
        planning.plan_config(is_fine_tuning=is_tuned, cases=8).model_dump_json()
        for is_tuned in (True, False)
    )
    text = f"{tuned}{fresh}{planning.SCRATCH_FEATURES}{read_info(STARTER).spec}"
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def report(rows: Rows, identity: str) -> None:
    """Write tables, JSON and figure."""
    from napari_breastseg.scoring.bootstrap import bootstrap_ci95

    lines = [
        "# Fine-tuning the starter on another hospital's slices",
        "",
        f"Runs of {'; of '.join(sorted({str(r['machine']) for r in rows}))}; one core each. "
        f"Starter {identity}. Command: `python benchmarks/fine_tuning.py`.",
        "",
        "Seven patients x 3 single post-contrast slices with hand-drawn masks, none of them in the "
        "starter's training. Settings of `train`; the last step; threshold 0.5. 'averaged' "
        "with the starter is the default; 'alone' is `train --base-share 0`. The settings were "
        "compared on these patients, which flatters the rows a little.",
        "",
        "| trained on | tested on | weights | seed | mean Dice | 95 % interval over patients | aim "
        "| s a run (median) |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for question, learned, tested in (
        ("left-out", "all other patients (18 slices)", "left-out patient, each once"),
        ("own", "two slices each of three patients", "their third slices"),
    ):
        of_question = [r for r in rows if r["question"] == question]
        for start, seed in itertools.product(STARTERS, range(3)):
            chosen = [r for r in of_question if (r["start"], r["seed"]) == (start, seed)]
            if not chosen:
                continue
            dice = _by_patient(chosen)
            low, high = bootstrap_ci95(list(dice.values())) or (float("nan"),) * 2
            seconds = float(np.median([r["seconds"] for r in chosen]))  # type: ignore[arg-type]
            weights = "averaged" if start == "starter" else "alone"
            lines.append(
                f"| {learned} | {tested} | {weights} | {seed} | {np.mean(list(dice.values())):.3f} "
                f"| {low:.3f} to {high:.3f} | {AIMS[question]} | {seconds:.0f} |"
            )
            lines.append(f"| | {', '.join(f'{p} {d:.3f}' for p, d in dice.items())} | | | | | | |")
    curve = {
        (str(r["start"]), int(r["seed"]), int(r["count"])): float(np.mean(list(r["dice"].values())))  # type: ignore[call-overload, attr-defined]
        for r in rows
        if r["question"] == "curve"
    }
    lines += [
        "",
        "Mean Dice on a left-out patient after so many corrected slices of the others; three "
        "orders, each with another patient left out:",
        "",
        "| start | order | " + " | ".join(str(count) for count in COUNTS) + " |",
        "|---|---|" + "---|" * len(COUNTS),
    ]
    for start in (*STARTERS, "scratch"):
        for order in range(ORDERS):
            values = [curve.get((start, order, count)) for count in COUNTS]
            lines.append(
                f"| {start} | {order} | "
                + " | ".join("" if v is None else f"{v:.3f}" for v in values)
                + " |"
            )
    text = "\n".join([*lines, ""])
    write_text(RESULTS / "fine_tuning.md", text)
    write_json(RESULTS / "fine_tuning.json", {"date": today(), "model": identity, "rows": rows})
    draw(curve)
    print(text)


def _by_patient(rows: Rows) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for row in rows:
        for patient, dice in row["dice"].items():  # type: ignore[attr-defined]
            found.setdefault(patient, []).append(dice)
    return {patient: float(np.mean(values)) for patient, values in sorted(found.items())}


def draw(curve: dict[tuple[str, int, int], float]) -> None:
    """The figure of the README, of the orders that are finished."""
    from matplotlib.figure import Figure

    orders = [
        order
        for order in range(ORDERS)
        if all((s, order, c) in curve for s in (*STARTERS, "scratch") for c in COUNTS[1:])
    ]
    if not orders:
        return
    figure = Figure(figsize=(6.4, 3.8), layout="constrained")
    axes = figure.add_subplot()
    for start, color, label, counts in (
        ("starter", "#0072b2", "from the starter model, averaged with it", COUNTS),
        ("starter-alone", "#009e73", "from the starter model, alone", COUNTS),
        ("scratch", "#d55e00", "from scratch", COUNTS[1:]),
    ):
        values = np.array([[curve[start, order, c] for c in counts] for order in orders])
        for one in values:
            axes.plot(counts, one, color=color, alpha=0.35, linewidth=1)
        axes.plot(counts, values.mean(0), color=color, marker="o", linewidth=2, label=label)
    axes.set(
        title=f"Mean of {len(orders)} orders, each with another patient left out",
        xlabel="corrected slices",
        ylabel="Dice on the left-out patient",
        ylim=(0.6, 1),
    )
    axes.title.set_fontsize(9)
    axes.set_xticks(COUNTS)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", frameon=False)
    figure.savefig(RESULTS.parent.parent / "docs" / "images" / "learning-curve.png", dpi=130)


if __name__ == "__main__":
    main()
