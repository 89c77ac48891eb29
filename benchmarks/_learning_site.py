"""The part of `learning.py` about other patients and elsewhere.

Seven patients of another hospital, three post-contrast slices each with hand-drawn masks. For each
patient, number of slices and seed, that many slices of the other six are drawn and learned from;
tested on the patient's own three. Elsewhere: the 40 I-SPY test patients, one slice each, pre and
post, and post alone; and twelve synthetic patients in three views, pre and two posts.
"""

from __future__ import annotations

import itertools
import json
import shutil
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from _common import test_data
from gate import Corrected, draw_once, share_of
from starter import Case, clinic_slices, read_slices, shifted

from napari_breastseg.core.atomic import write_json
from napari_breastseg.core.progress import drain
from napari_breastseg.core.volume import Exam, Grid, LabelMap, Volume
from napari_breastseg.model import checkpoint
from napari_breastseg.model.checkpoint import STARTER, Checkpoint
from napari_breastseg.predict.prediction import predict
from napari_breastseg.scoring.bootstrap import bootstrap_ci95, paired_bootstrap
from napari_breastseg.scoring.evaluation import evaluate
from napari_breastseg.training import TrainConfig, replay, train
from napari_breastseg.training.planning import plan_config

COUNTS = (2, 4, 8, 16)
SEEDS = 3
FULL = 16
"""Slices after which elsewhere is compared between all ways of training."""

ELSEWHERE = {"ispy": "I-SPY, pre and post", "post": "I-SPY, post alone", "phantoms": "synthetic"}
PHANTOMS = 12

ASKED_ALWAYS = ("C01", "C04", "C06")
"""Whose trainings show, too, what the site's model alone would lose elsewhere."""

ARMS = {
    "new": "as `train` does it",
    "before": "before: one network, 65 % base",
    "frozen": "as `train`, encoder frozen",
}
Row = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """One training: how, on how many slices, and who is left out."""

    arm: str
    count: int
    patient: str
    seed: int

    @property
    def name(self) -> str:
        """Its file in the work folder."""
        return f"{self.arm}-{self.count:02d}-{self.patient}-{self.seed}"

    @property
    def looks_elsewhere(self) -> bool:
        """Whether forgetting is measured, too."""
        return self.seed == 0 and self.count in (COUNTS[0], FULL)


def plan(patients: list[str]) -> list[Run]:
    """All runs, the most telling first."""
    runs = [Run(arm, FULL, patient, 0) for arm in ("new", "before") for patient in patients]
    runs += [Run("new", count, patient, 0) for count in COUNTS for patient in patients]
    runs += [Run("frozen", FULL, patient, 0) for patient in patients]
    runs += [Run("before", COUNTS[0], patient, 0) for patient in patients]
    for seed in range(1, SEEDS):
        runs += [Run("new", count, patient, seed) for count in COUNTS for patient in patients]
    return list(dict.fromkeys(runs))


def settings(run: Run) -> TrainConfig:
    """As `train` chooses them; as it chose them before the base was kept; with a frozen encoder."""
    config = plan_config(is_fine_tuning=True, cases=run.count, seed=run.seed, device="cpu")
    changes: dict[str, dict[str, Any]] = {
        "new": {},
        "frozen": {"encoder_rate": 0.0},
        "before": {
            "steps": round(min(max(50 * run.count**0.5, 80), 200)),
            "norm_statistics": "base",
            "encoder_rate": 0.3,
            "averaging": 0.95,
            "keeps_base": False,
            "base_share": 0.65,
        },
    }
    return config.model_copy(update=changes[run.arm])


def perform_all(work: Path, jobs: int) -> None:
    """Do what is not done yet."""
    clinic = clinic_cases()
    patients = sorted({case[1] for case in clinic})
    (work / "runs").mkdir(parents=True, exist_ok=True)
    if not (work / "starter.json").is_file():
        base = checkpoint.load(STARTER)
        scored = {key: dice(base, cases) for key, cases in elsewhere().items()}
        write_json(work / "starter.json", {"clinic": dice(base, clinic), **scored})
    runs = plan(patients)
    with ProcessPoolExecutor(jobs) as pool:
        list(pool.map(perform, runs, [work] * len(runs)))


def perform(run: Run, work: Path) -> None:
    """Train one model and score it on the patient left out, and elsewhere."""
    import torch

    done = work / "runs" / f"{run.name}.json"
    if done.is_file():
        return
    torch.set_num_threads(1)
    draw_once()
    clinic = clinic_cases()
    others = [case for case in clinic if case[1] != run.patient]
    chosen = np.random.default_rng((run.seed, int(run.patient[1:]))).permutation(len(others))
    learned = [Corrected(others[n]) for n in chosen[: run.count]]
    base = checkpoint.load(STARTER)
    config = settings(run)
    output = work / "models" / run.name
    shutil.rmtree(output, ignore_errors=True)
    started = time.process_time()
    drain(train(learned, output, base=base, config=config))
    seconds = time.process_time() - started
    model = checkpoint.load(output)
    shares: dict[str, list[float]] = {}
    own = [case for case in clinic if case[1] == run.patient]
    row: Row = {
        **{"arm": run.arm, "count": run.count, "patient": run.patient, "seed": run.seed},
        **{"steps": config.steps, "seconds": round(seconds, 1)},
        "dice": dice(model, own, shares.setdefault("own", []))[run.patient],
    }
    if run.arm == "new":
        row["dice_always"] = dice(model.at(1.0), own)[run.patient]
    if run.looks_elsewhere:
        starter = json.loads((work / "starter.json").read_text())
        for key, cases in elsewhere().items():
            row[key] = dice(model, cases, shares.setdefault(key, []), starter[key])
            row[f"{key}_starter"] = {patient: starter[key][patient] for patient in row[key]}
            if run.arm == "new" and run.count == FULL and run.patient in ASKED_ALWAYS:
                row[f"{key}_always"] = dice(model.at(1.0), cases)
    row["shares"] = {key: values for key, values in shares.items() if values}
    write_json(done, row)
    shutil.rmtree(output, ignore_errors=True)
    print(run.name, row["dice"], shares.get("own"), f"{seconds:.0f} s", flush=True)


def dice(
    model: Checkpoint,
    cases: list[Case],
    shares: list[float] | None = None,
    starter: dict[str, float] | None = None,
) -> dict[str, float]:
    """Mean Dice of each patient; the site's share in each case is added to `shares`.

    Patients of one case who get nothing of the site's model take the starter's Dice where it is
    given: that is what predicts them.
    """
    asked = []
    same: dict[str, float] = {}
    for case in cases:
        share = share_of(model, case[2])
        if shares is not None and share is not None:
            shares.append(share)
        if share == 0.0 and starter is not None:
            same[case[1]] = starter[case[1]]
        else:
            asked.append(case)
    if not asked:
        return same
    result = drain(evaluate(asked, partial(predict, model, device="cpu")))
    return {**same, **result.patient_values("dice")}


@cache
def clinic_cases() -> list[Case]:
    """The other hospital's slices."""
    return clinic_slices(test_data() / "clinic_slices")


@cache
def elsewhere() -> dict[str, list[Case]]:
    """Exams of other hospitals and synthetic ones, by kind."""
    tested = read_slices(test_data() / "ispy_slices")["test"]
    of_patient: dict[str, list[Any]] = {}
    for one in tested:
        of_patient.setdefault(one.patient_id, []).append(one)
    middle = [slices[len(slices) // 2] for slices in of_patient.values()]
    return {
        "ispy": shifted(middle, ("pre", "post1")),
        "post": shifted(middle, ("post1",)),
        "phantoms": [_phantom(number) for number in range(PHANTOMS)],
    }


def _phantom(number: int) -> Case:
    """One slice of a synthetic patient that no training has seen."""
    name = f"PHANTOM_{number:02d}"
    view = replay.VIEWS[number % len(replay.VIEWS)]
    drawn = replay.draw_phantom(60_000 + 2 * number, name, slices=2, posts=2, view=view)
    truth = replay.enhancing(drawn.exam, drawn.truth)
    z = int(truth.tumor.sum((1, 2)).argmax())
    affine, shape = drawn.exam.grid.affine, (1, *drawn.exam.grid.shape[1:])
    grid = Grid(shape, affine)
    phases = {
        role: Volume(volume.data[z : z + 1], grid) for role, volume in drawn.exam.phases.items()
    }
    return name, name, Exam(name, phases), LabelMap(truth.data[z : z + 1], grid)


def rows_of(work: Path) -> Row:
    """What was measured so far."""
    runs = [json.loads(path.read_text()) for path in sorted((work / "runs").glob("*.json"))]
    return {"starter": json.loads((work / "starter.json").read_text()), "runs": runs}


def _chosen(rows: Row, arm: str, count: int | None = None) -> list[Row]:
    return [r for r in rows["runs"] if r["arm"] == arm and count in (None, r["count"])]


def _by_patient(runs: list[Row], key: str = "dice") -> dict[str, float]:
    values: dict[str, list[float]] = {}
    for run in runs:
        values.setdefault(run["patient"], []).append(run[key])
    return {patient: float(np.mean(found)) for patient, found in sorted(values.items())}


def changed(runs: list[Row], key: str, after: str | None = None) -> tuple[float, str]:
    """Mean change of Dice from the starter over patients of a kind, and it with its interval."""
    values: list[dict[str, list[float]]] = [{}, {}]
    for run in runs:
        for found, name in zip(values, (after or key, f"{key}_starter"), strict=True):
            for patient, value in run[name].items():
                found.setdefault(patient, []).append(value)
    means = [{p: float(np.mean(v)) for p, v in found.items()} for found in values]
    paired = paired_bootstrap(means[0], means[1])
    low, high = paired.ci95 or (float("nan"),) * 2
    return paired.mean, f"{paired.mean:+.3f} ({low:+.3f} to {high:+.3f})"


def report(rows: Row) -> list[str]:
    """The tables."""
    starter = rows["starter"]
    untrained = list(starter["clinic"].values())
    low, high = bootstrap_ci95(untrained) or (float("nan"),) * 2
    lines = [
        "## Other patients",
        "",
        *(__doc__ or "").split("\n\n")[1].strip().splitlines(),
        "",
        "Mean Dice over patients at threshold 0.5, last step, with a bootstrap interval; "
        "*site* is the mean share of the site's own model on the patients tested.",
        "",
        "| trained | slices | steps | patients x seeds | mean Dice | 95 % interval | worst | "
        "site | core-seconds (median) |",
        "|---|---|---|---|---|---|---|---|---|",
        f"| starter | 0 | 0 | {len(untrained)} | {np.mean(untrained):.3f} | "
        f"{low:.3f} to {high:.3f} | {min(untrained):.3f} | | |",
    ]
    for arm, count in itertools.product(ARMS, COUNTS):
        if not (runs := _chosen(rows, arm, count)):
            continue
        values = _by_patient(runs)
        ci95 = bootstrap_ci95(list(values.values()))
        interval = "" if ci95 is None else f"{ci95[0]:.3f} to {ci95[1]:.3f}"
        shares = [share for run in runs for share in run["shares"].get("own", [])]
        site = f"{100 * np.mean(shares):.0f} %" if shares else ""
        seconds = float(np.median([run["seconds"] for run in runs]))
        lines.append(
            f"| {ARMS[arm]} | {count} | {runs[0]['steps']} | {len(values)} x "
            f"{len(runs) / len(values):.3g} | {np.mean(list(values.values())):.3f} | "
            f"{interval} | {min(values.values()):.3f} | {site} | {seconds:.0f} |"
        )
    lines += [
        "",
        "## Elsewhere",
        "",
        "Change of Dice from the starter, over patients, after the same trainings (first seed).",
        "",
        "| trained | slices | " + " | ".join(ELSEWHERE.values()) + " | site there |",
        "|---|---|---|---|---|---|",
    ]
    for arm, count in itertools.product(ARMS, (COUNTS[0], FULL)):
        runs = [run for run in _chosen(rows, arm, count) if "ispy" in run]
        if not runs:
            continue
        cells = [changed(runs, key)[1] for key in ELSEWHERE]
        shares = [
            np.mean([share for run in runs for share in run["shares"].get(key, [])])
            for key in ELSEWHERE
            if any(run["shares"].get(key) for run in runs)
        ]
        site = ", ".join(f"{100 * share:.0f} %" for share in shares)
        lines.append(f"| {ARMS[arm]} | {count} | {' | '.join(cells)} | {site} |")
    return [*lines, "", *_means(rows)]


def _means(rows: Row) -> list[str]:
    """Ways to choose between site and base, from the same trainings on sixteen slices."""
    runs = [run for run in _chosen(rows, "new", FULL) if "ispy" in run]
    if not any("ispy_always" in run for run in runs):
        return []
    base = rows["starter"]["clinic"]
    patients = _by_patient(runs)
    always = _by_patient(runs, "dice_always")
    gains = [
        float(np.mean([values[patient] - base[patient] for patient in values]))
        for values in (patients, always)
    ]
    lost = {key: changed(runs, key)[0] for key in ELSEWHERE}
    asked = [run for run in runs if "ispy_always" in run]
    whole = {key: changed(asked, key, f"{key}_always")[0] for key in ELSEWHERE}
    table = [
        ("the share chosen exam by exam (as it is)", gains[0], lost),
        ("always the site's model", gains[1], whole),
        (
            "the site's model where the phases are the site's",
            gains[1],
            {**dict.fromkeys(ELSEWHERE, 0.0), "post": whole["post"]},
        ),
    ]
    for arm, words in (
        ("before", "one network, fixed share of the base of 65 % (before)"),
        ("frozen", "the share chosen, encoder frozen in training"),
    ):
        if other := [run for run in _chosen(rows, arm, FULL) if "ispy" in run]:
            values = _by_patient(other)
            gain = float(np.mean([values[p] - base[p] for p in values]))
            if len(values) < len(patients):
                same = float(np.mean([patients[p] - base[p] for p in values]))
                words += (
                    f"; so far on {', '.join(values)} alone, where the first row is {same:+.3f}"
                )
            table.append((words, gain, {key: changed(other, key)[0] for key in ELSEWHERE}))
    return [
        "## Ways to keep both",
        "",
        f"After {FULL} slices, first seed: mean gain of left-out patients, and change elsewhere. A "
        "switch by scanner would be the second row for the site and no change elsewhere, but no "
        "PNG tells its scanner. Distillation was not measured again: earlier "
        "it gave what a larger share of the base gives (fine_tuning_settings_tried.md).",
        "",
        "| way | left-out patients | " + " | ".join(ELSEWHERE.values()) + " |",
        "|---|---|---|---|---|",
        *(
            f"| {words} | {gain:+.3f} | "
            + " | ".join(f"{change[k]:+.3f}" for k in ELSEWHERE)
            + " |"
            for words, gain, change in table
        ),
    ]


def draw(curve: Any, bars: Any, rows: Row) -> None:
    """Two panels: Dice on left-out patients against slices, and change elsewhere."""
    start = float(np.mean(list(rows["starter"]["clinic"].values())))
    for arm, color in (("new", "#0072b2"), ("before", "#d55e00")):
        # A mean over some patients says nothing beside one over all.
        counts = [
            count
            for count in COUNTS
            if len(_by_patient(_chosen(rows, arm, count))) == len(rows["starter"]["clinic"])
        ]
        if not counts:
            continue
        for seed in range(SEEDS if arm == "new" else 0):
            of_seed = [
                [r["dice"] for r in _chosen(rows, arm, count) if r["seed"] == seed]
                for count in counts
            ]
            if all(len(values) == len(rows["starter"]["clinic"]) for values in of_seed):
                means = [start, *(float(np.mean(values)) for values in of_seed)]
                curve.plot([0, *counts], means, color=color, alpha=0.3, linewidth=1)
        means = [
            float(np.mean(list(_by_patient(_chosen(rows, arm, count)).values())))
            for count in counts
        ]
        label = "now" if arm == "new" else "before"
        curve.plot([0, *counts], [start, *means], color=color, marker="o", label=label)
    curve.axhline(start, color="gray", linestyle=":", linewidth=1)
    curve.set(
        title="Other patients",
        xlabel="corrected slices of the others",
        ylabel="Dice on the left-out patient",
    )
    curve.set_ylim(0.75, 0.9)
    curve.set_xticks((0, *COUNTS))
    curve.grid(alpha=0.3)
    curve.legend(frameon=False, loc="lower right")
    places = np.arange(len(ELSEWHERE))
    for n, (arm, color) in enumerate((("before", "#d55e00"), ("new", "#0072b2"))):
        runs = [run for run in _chosen(rows, arm, FULL) if "ispy" in run]
        if runs:
            heights = [changed(runs, key)[0] for key in ELSEWHERE]
            trainings = f"{len(runs)} training{'' if len(runs) == 1 else 's'}"
            label = f"{'now' if arm == 'new' else 'before'} ({trainings})"
            drawn = bars.bar(places + 0.38 * (n - 0.5), heights, 0.36, color=color, label=label)
            bars.bar_label(drawn, fmt="%+.3f", fontsize=7, padding=2)
    bars.axhline(0, color="black", linewidth=0.8)
    bars.set_xticks(places, [name.replace(", ", ",\n") for name in ELSEWHERE.values()])
    bars.tick_params(axis="x", labelsize=8)
    bars.set(title=f"Elsewhere, after {FULL} slices", ylabel="change of Dice")
    bars.margins(y=0.15)
    bars.legend(frameon=False, loc="upper left", fontsize=8)
    bars.grid(alpha=0.3, axis="y")
