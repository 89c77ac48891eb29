"""Whether fine-tuning helps where it is meant to, harms nowhere, and whether the gate sees to it.

    python benchmarks/gate.py [--device cuda] [--jobs 2]

Five orders. In each, five of the seven patients of another hospital are corrected (all their
slices) and the starter is fine-tuned on them; the other two are left out. What the gate judges on
(`locked`): the two patients left out and eight of the forty I-SPY test patients, drawn anew in
each order. The other thirty-two I-SPY patients show what is lost where the starter came from; no
gate and no training sees them. Nobody in the starter's training is among any of these.

The trainings of each order: as `train` does it (`clean`); the same with every mask moved by 20
pixels (`poisoned`); without replay of synthetic exams (`no replay`); and, where it differs, with
nothing of what protects the base model (`unprotected`). All take the last step of the run.

Finished runs are kept in the work folder, so an interrupted benchmark goes on; a run takes less
than a minute of one core, all of it some fifteen. Needs the test
data folder (BREASTSEG_TEST_DATA).
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from _common import RESULTS, machine, test_data, today
from starter import Case, clinic_slices, read_slices, shifted

from napari_breastseg.core.atomic import write_json, write_text
from napari_breastseg.core.progress import drain
from napari_breastseg.core.volume import Exam, LabelMap
from napari_breastseg.imaging.preprocessing import prepare
from napari_breastseg.model import checkpoint
from napari_breastseg.model.checkpoint import Checkpoint
from napari_breastseg.predict.likeness import site_share
from napari_breastseg.predict.prediction import predict
from napari_breastseg.registry.judgment import Judgment
from napari_breastseg.registry.weighing import weigh
from napari_breastseg.scoring.bootstrap import paired_bootstrap
from napari_breastseg.scoring.evaluation import Evaluation, evaluate
from napari_breastseg.training import TrainConfig, replay, train
from napari_breastseg.training.planning import plan_config

ORDERS = 5
JUDGING_ISPY = 8
SHIFT_PX = 20
PROTECTION = ("replay", "keeps_base", "base_share", "encoder_rate", "norm_statistics")
"""Fields of TrainConfig that keep what the base model knew."""

WAYS = ("clean", "poisoned", "no replay", "unprotected")
MOST_LOST = 0.01
LEAST_GAIN = 0.06
JUDGED = (
    *("case_id", "patient_id", "dice", "hd95_mm", "hd95_px", "false_positives"),
    *("main_lesions", "main_lesions_found"),
)
"""Scores of the locked cases that are kept, to weigh them again by another rule."""


@dataclass(frozen=True)
class Corrected:
    """A slice with its mask, or with the mask moved."""

    case: Case
    shift_px: int = 0

    @property
    def case_id(self) -> str:
        """The slice's name."""
        return self.case[0]

    @property
    def patient_id(self) -> str:
        """Pseudonym of the patient."""
        return self.case[1]

    def exam(self) -> Exam:
        """The one phase there is."""
        return self.case[2]

    def label_map(self) -> LabelMap:
        """The mask."""
        truth = self.case[3]
        return LabelMap(np.roll(truth.data, self.shift_px, axis=2), truth.grid)


@dataclass(frozen=True)
class Order:
    """Who does what in one order."""

    number: int
    corrected: tuple[str, ...]
    left_out: tuple[str, ...]
    judging_ispy: tuple[str, ...]

    @property
    def locked(self) -> tuple[str, ...]:
        """Patients the gate judges on."""
        return self.left_out + self.judging_ispy


def orders(clinic: list[str], ispy: list[str]) -> list[Order]:
    """Two patients of seven left out in turn; each is once, three are twice."""
    made = []
    for number in range(ORDERS):
        left_out = tuple(clinic[(2 * number + k) % len(clinic)] for k in range(2))
        rng = np.random.default_rng(number)
        made.append(
            Order(
                number,
                tuple(patient for patient in clinic if patient not in left_out),
                left_out,
                tuple(str(p) for p in rng.choice(ispy, JUDGING_ISPY, replace=False)),
            )
        )
    return made


def settings(way: str, cases: int, seed: int, device: str) -> TrainConfig:
    """As `train` chooses them, or without what protects the base model."""
    config = plan_config(is_fine_tuning=True, cases=cases, seed=seed, device=device)
    off = {"no replay": PROTECTION[:1], "unprotected": PROTECTION}.get(way, ())
    fields = {
        name: TrainConfig.model_fields[name].default
        for name in off
        if name in TrainConfig.model_fields
    }
    return config.model_copy(update=fields)


@cache
def all_cases() -> tuple[list[Case], list[Case]]:
    """The other hospital's slices, and those of the I-SPY test patients."""
    data = test_data()
    ispy = read_slices(data / "ispy_slices")["test"]
    return clinic_slices(data / "clinic_slices"), shifted(ispy, ("pre", "post1"))


def score(model: Checkpoint, cases: list[Case], device: str) -> Evaluation:
    """The model on all cases."""
    return drain(evaluate(cases, partial(predict, model, device=device)))


def perform(
    order: Order, way: str, starter_dice: dict[str, float], work: Path, device: str
) -> dict[str, Any]:
    """Train one candidate, score it on everybody it did not learn from, and ask the gate."""
    import torch

    done = work / "runs" / f"{order.number}-{way.replace(' ', '-')}.json"
    if done.is_file():
        return json.loads(done.read_text())  # type: ignore[no-any-return]
    if device == "cpu":
        torch.set_num_threads(1)
    clinic, ispy = all_cases()
    draw_once()
    base = checkpoint.load(checkpoint.STARTER)
    learned = [
        Corrected(case, SHIFT_PX if way == "poisoned" else 0)
        for case in clinic
        if case[1] in order.corrected
    ]
    tested = [case for case in [*clinic, *ispy] if case[1] not in order.corrected]
    known = base.info.training.learned_from([(case[0], case[1]) for case in [*clinic, *ispy]])
    assert not known, "the starter learned from a patient it is tested on"
    output = work / "models" / done.stem
    config = settings(way, len(learned), order.number, device)
    if not checkpoint.is_checkpoint(output):  # else interrupted while it was scored
        drain(train(learned, output, base=base, config=config, resume=True))
    with (output / "history.csv").open(newline="") as table:
        seconds = float(list(csv.DictReader(table))[-1]["seconds"])
    candidate = checkpoint.load(output)
    judged = [case for case in tested if case[1] in order.locked]
    scores = [score(candidate, judged, device), _by_base(order, device)]
    frame = Judgment(
        verdict="not enough to judge",
        candidate=candidate.info.identity,
        reference=base.info.identity,
        datasets=("clinic_slices", "ispy_slices"),
        data_sha256="",
        n_patients=0,
        n_cases=0,
    )
    taught = [(c.case_id, c.patient_id, c.exam(), c.label_map()) for c in learned]
    judgment = weigh(*scores, frame, score(candidate, taught, device))
    unseen = [case for case in tested if case[1] not in order.locked]
    row = {
        "order": order.number,
        "way": way,
        "seconds": round(seconds, 1),
        "config": config.model_dump(),
        "left_out": _dice(scores[0], order.left_out),
        "left_out_starter": _dice(scores[1], order.left_out),
        "ispy": _unseen(candidate, unseen, starter_dice, device),
        "ispy_starter": {p: d for p, d in starter_dice.items() if p in {c[1] for c in unseen}},
        "judgment": judgment.model_dump(mode="json"),
        "judged": [
            [
                {key: getattr(one, key) for key in JUDGED if getattr(one, key) is not None}
                for one in scored.cases
            ]
            for scored in scores
        ],
    }
    write_json(done, row)
    shutil.rmtree(output, ignore_errors=True)
    print(f"order {order.number}, {way}: {judgment.verdict}, {seconds:.0f} s", flush=True)
    return row


@cache
def _by_base(order: Order, device: str) -> Evaluation:
    """The starter on an order's locked patients: the same for every training of the order."""
    base = checkpoint.load(checkpoint.STARTER)
    clinic, ispy = all_cases()
    return score(base, [case for case in [*clinic, *ispy] if case[1] in order.locked], device)


def _unseen(
    candidate: Checkpoint, cases: list[Case], starter_dice: dict[str, float], device: str
) -> dict[str, float]:
    """Dice of each patient; the starter's where it alone predicts all of the patient's cases."""
    changed = {case[1] for case in cases if share_of(candidate, case[2]) != 0.0}
    same = {case[1]: starter_dice[case[1]] for case in cases if case[1] not in changed}
    asked = [case for case in cases if case[1] in changed]
    return {**same, **(score(candidate, asked, device).patient_values("dice") if asked else {})}


def share_of(model: Checkpoint, exam: Exam) -> float | None:
    """Share of the site's model that `predict` will choose for an exam; None for one network."""
    import torch

    if model.general is None:
        return None
    roles, spec = model.spec.require(exam, model.info.name), model.spec
    prepared = prepare(exam, roles, spacing_mm=spec.spacing_mm, percentiles=spec.percentiles)
    return site_share(model, prepared, torch.device("cpu"))


def draw_once() -> None:
    """Keep what a process has drawn: every run replays the same synthetic exams."""
    if not hasattr(replay.draw_phantom, "cache_info"):
        replay.draw_phantom = lru_cache(maxsize=24)(replay.draw_phantom)


def _dice(scores: Evaluation, patients: tuple[str, ...]) -> dict[str, float]:
    values = scores.patient_values("dice")
    return {patient: values[patient] for patient in patients}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path("benchmark-work/gate"))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--orders", type=int, nargs="+", default=list(range(ORDERS)))
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    arguments = parser.parse_args()
    if arguments.device == "cpu":
        os.environ["OMP_NUM_THREADS"] = "1"  # before torch is loaded in the workers
    identity = checkpoint.read_info(checkpoint.STARTER).identity
    work = (arguments.work / identity.replace("@", "-")).resolve()
    clinic, ispy = all_cases()
    made = orders(sorted({case[1] for case in clinic}), sorted({case[1] for case in ispy}))
    scored = work / "starter.json"
    if not scored.is_file():
        model = checkpoint.load(checkpoint.STARTER)
        write_json(scored, score(model, ispy, arguments.device).patient_values("dice"))
    starter_dice = json.loads(scored.read_text())
    ways = [way for way in arguments.ways if _differs(way)]
    todo = [(made[number], way) for way in ways for number in arguments.orders]
    # Spawned, because CUDA does not live through a fork.
    with ProcessPoolExecutor(arguments.jobs, mp_context=get_context("spawn")) as pool:
        count = len(todo)
        list(
            pool.map(
                perform,
                [order for order, _ in todo],
                [way for _, way in todo],
                [starter_dice] * count,
                [work] * count,
                [arguments.device] * count,
            )
        )
    rows = [json.loads(path.read_text()) for path in sorted((work / "runs").glob("*.json"))]
    report(rows, identity, arguments.device)


def _differs(way: str) -> bool:
    """Whether a way is another one in this version."""
    plain = settings("clean", 15, 0, "cpu")
    if way in ("clean", "poisoned"):
        return True
    others = [settings(other, 15, 0, "cpu") for other in WAYS[2 : WAYS.index(way)]]
    return settings(way, 15, 0, "cpu") not in [plain, *others]


def change(rows: list[dict[str, Any]], key: str) -> tuple[float, tuple[float, float] | None, int]:
    """Mean change of Dice from the starter, over patients; a patient's value is its mean."""
    values: list[dict[str, list[float]]] = [{}, {}]
    for row in rows:
        for found, name in zip(values, (key, f"{key}_starter"), strict=True):
            for patient, dice in row[name].items():
                found.setdefault(patient, []).append(dice)
    means = [{p: float(np.mean(v)) for p, v in found.items()} for found in values]
    paired = paired_bootstrap(means[0], means[1])
    return paired.mean, paired.ci95, paired.n_patients


def report(rows: list[dict[str, Any]], identity: str, device: str) -> None:
    """Write the tables and the JSON, and print the tables."""
    lines = [
        "# Fine-tuning on five corrected patients, and the gate",
        "",
        f"{today()}, {machine()}, device {device}. Starter {identity}. Command: "
        "`python benchmarks/gate.py`.",
        "",
        f"Seven patients of another hospital, {ORDERS} orders; in each, five are corrected and "
        "learned from, two left out. The gate judges on these two and on "
        f"{JUDGING_ISPY} I-SPY test patients drawn in each order; what is lost is measured on the "
        "other I-SPY test patients, whom neither gate nor training sees. Poisoned: every mask "
        f"moved by {SHIFT_PX} pixels. Settings of `train`, the last step, threshold 0.5. Change of "
        "Dice from the starter, over patients (means over the orders a patient is tested in), with "
        "its 95 % interval.",
        "",
        "| trained | orders | left-out patients gain | I-SPY patients change | promoted | "
        "s a run (median) |",
        "|---|---|---|---|---|---|",
    ]
    for way in WAYS:
        chosen = [row for row in rows if row["way"] == way]
        if not chosen:
            continue
        cells = []
        for key in ("left_out", "ispy"):
            mean, interval, count = change(chosen, key)
            low, high = interval or (float("nan"),) * 2
            cells.append(f"{mean:+.3f} ({low:+.3f} to {high:+.3f}), {count}")
        passed = sum(row["judgment"]["verdict"] in ("better", "not worse") for row in chosen)
        seconds = float(np.median([row["seconds"] for row in chosen]))
        lines.append(
            f"| {way} | {len(chosen)} | {' | '.join(cells)} | {passed} of {len(chosen)} | "
            f"{seconds:.0f} |"
        )
    lines += [
        "",
        "## What the gate said",
        "",
        "| trained | order | verdict | Dice of the locked: candidate, starter, difference | "
        "left-out | I-SPY, unseen |",
        "|---|---|---|---|---|---|",
    ]
    for row in sorted(rows, key=lambda row: (WAYS.index(row["way"]), row["order"])):
        dice = row["judgment"]["figures"][0]
        low, high = dice["ci95"]
        lines.append(
            f"| {row['way']} | {row['order']} | {row['judgment']['verdict']} | "
            f"{dice['candidate']:.3f}, {dice['reference']:.3f}, {dice['difference']:+.3f} "
            f"({low:+.3f} to {high:+.3f}) | {change([row], 'left_out')[0]:+.3f} | "
            f"{change([row], 'ispy')[0]:+.3f} |"
        )
    lines += ["", *_aims(rows), ""]
    text = "\n".join(lines)
    write_text(RESULTS / "gate.md", text)
    write_json(RESULTS / "gate.json", {"date": today(), "model": identity, "rows": rows})
    print(text)


def _aims(rows: list[dict[str, Any]]) -> list[str]:
    """The aims, in words, against what came."""
    of = {way: [row for row in rows if row["way"] == way] for way in WAYS}
    passed = {
        way: sum(row["judgment"]["verdict"] in ("better", "not worse") for row in chosen)
        for way, chosen in of.items()
    }
    lines = []
    if of["clean"]:
        _, interval, _ = change(of["clean"], "left_out")
        gain, _, _ = change(of["clean"], "left_out")
        lost, _, _ = change(of["clean"], "ispy")
        has_gained = interval is not None and interval[0] > 0
        lines += [
            f"- Left-out patients gain with an interval above 0: {'yes' if has_gained else 'no'}; "
            f"at least {LEAST_GAIN}: {'yes' if gain >= LEAST_GAIN else 'no'} ({gain:+.3f}).",
            f"- I-SPY patients lose at most {MOST_LOST} Dice: "
            f"{'yes' if lost >= -MOST_LOST else 'no'} ({lost:+.3f}).",
            f"- The clean candidate passes in every order: {passed['clean']} of "
            f"{len(of['clean'])}.",
        ]
    if of["poisoned"]:
        lines.append(
            f"- The poisoned one is stopped every time: {len(of['poisoned']) - passed['poisoned']} "
            f"of {len(of['poisoned'])}."
        )
    return lines


if __name__ == "__main__":
    main()
