"""Dice after 0, 1, 2, 3 and 5 clicks: the click network, region growing, random walk, best brush.

    python benchmarks/clicks.py [--only ispy|post|clinic|volumes] [--network] [--model FOLDER]

A simulated reader knows the reference and clicks in the middle of the largest error, on the lesion
where lesion is missing and beside it where too much is marked. Two more readers, on one slice of
each patient, aim as hands do: one misses the middle by a third of the way to the border, the other
by two thirds and, once in ten clicks, clicks anywhere in the picture and says the wrong thing.

Sets, none of which the networks learned from: the slices of the 40 I-SPY test patients in windows
moved by up to a third (pre and post, and post alone); the slices of another hospital; and synthetic
exams with one lesion of 1 to 70 mL in three dimensions (what of it enhances), where the first
reader clicks five times. From nothing, and from the starter's draft.

Growing takes the best of three tolerances for every click and adds the region, or takes it away.
The random walk is given each click as a small mark, and a ring of background at first. The
brush puts the best straight drag of any of four sizes: better than any hand. "Fine-tuned" is the
network as `train` leaves it with the other patients of the clinic, one of whom decides. Needs the
test data folder (BREASTSEG_TEST_DATA); about an hour of one core.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import simulated_reader
from _common import RESULTS, machine, test_data, today
from _random_walk import IN, OUT, walked
from numpy.typing import NDArray
from scipy import ndimage
from starter import Case, clinic_slices, read_slices, shifted

from napari_breastseg.clicks.lesion import ClickReader
from napari_breastseg.clicks.prompts import Prompts
from napari_breastseg.clicks.simulated import click_on_largest_error
from napari_breastseg.core.atomic import write_text
from napari_breastseg.core.overlap import dice
from napari_breastseg.core.progress import drain
from napari_breastseg.core.volume import Exam, LabelMap
from napari_breastseg.dataset import Dataset
from napari_breastseg.imaging import correction
from napari_breastseg.model import checkpoint
from napari_breastseg.model.checkpoint import CLICKS, STARTER, Checkpoint, clicks_of
from napari_breastseg.phantom import LesionSpec, breast_phantom
from napari_breastseg.predict.prediction import predict
from napari_breastseg.scoring.bootstrap import bootstrap_ci95
from napari_breastseg.training.cases import DatasetCase
from napari_breastseg.training.clicks import tune_clicks
from napari_breastseg.training.replay import enhancing

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "recipes"))

MOST = 10
"""Clicks after which a reader gives up."""

SHOWN = (0, 1, 2, 3, 5)
AIMS = (0.85, 0.90)
READERS = {"exact": (0.0, 0.0), "jittered": (0.35, 0.0), "careless": (0.7, 0.1)}
"""How far each misses the middle, as a share of the way to the border, and how often altogether."""

VOLUMES = tuple(
    (kind, volume_ml)
    for volume_ml in (1.0, 4.0, 16.0, 70.0)
    for kind in ("irregular", "spiculated", "rim")
)
FIRST_SEED = 930_000

Mask = NDArray[np.bool_]
Row = dict[str, Any]


@dataclass
class Sitting:
    """One case, one way of clicking, one reader."""

    exam: Exam
    truth: Mask
    mask: Mask
    growth: Any = None

    def dice(self) -> float:
        """With the reference."""
        return dice(self.mask, self.truth)


Answerer = Callable[[Sitting, tuple[int, int, int], bool], Mask]
"""The mask after one more click at a voxel that says lesion, or not lesion."""


def network_for(model: Checkpoint, *, only_enhancing: bool) -> Callable[[Sitting], Answerer]:
    """The click network; it remembers what was said."""
    first = Prompts(only_enhancing=only_enhancing)

    def begin(sitting: Sitting) -> Answerer:
        reader = ClickReader(model, sitting.exam)
        said: dict[int, Prompts] = {}

        def answer(now: Sitting, at: tuple[int, int, int], is_lesion: bool) -> Mask:
            z, *place = at
            said[z] = said.get(z, first).with_click((place[0], place[1]), is_lesion)
            if len(now.mask) == 1:
                return reader.answer(z, said[z], now.mask[z]).mask[None]
            return drain(reader.outline(said, [z], now.mask)).mask

        return answer

    return begin


def growing(sitting: Sitting) -> Answerer:
    """Region growing with the best of three tolerances."""

    def answer(now: Sitting, at: tuple[int, int, int], is_lesion: bool) -> Mask:
        axis = 0 if len(now.mask) == 1 else None
        region = correction.Growth(now.growth, now.exam.grid, at, axis=axis)
        best = now.mask
        for tolerance in simulated_reader.TOLERANCES:
            mask = now.mask.copy()
            mask[region.box][region.mask(tolerance)] = is_lesion
            if best is now.mask or dice(mask, now.truth) > dice(best, now.truth):
                best = mask
        return best

    return answer


def walking(sitting: Sitting) -> Answerer:
    """The random walk between marks."""
    marks = np.zeros(sitting.mask.shape, np.uint8)

    def answer(now: Sitting, at: tuple[int, int, int], is_lesion: bool) -> Mask:
        z, y, x = at
        rows, columns = np.indices(marks.shape[1:], sparse=True)
        dab = np.hypot(rows - y, columns - x) <= 1.5
        marks[z][dab] = IN if is_lesion else OUT
        return walked(now.mask, now.growth, marks, now.exam.grid.spacing_mm or (1.0, 1.0, 1.0))

    return answer


def brushing(sitting: Sitting) -> Answerer:
    """The best drag of any size, wherever it is."""

    def answer(now: Sitting, at: tuple[int, int, int], is_lesion: bool) -> Mask:
        labels = LabelMap(now.mask.astype(np.uint8), now.exam.grid)
        case = simulated_reader.Case("", now.exam, now.truth, labels.data, labels, (0, 0))
        reading = simulated_reader.Reading(case, case.start, simulated_reader.ANY_SIZE)
        stroke = simulated_reader.best_stroke(reading, at[0])
        if stroke is not None:
            reading.do(stroke)
        mask: Mask = reading.labels == 1
        return mask

    return answer


def click(
    mask: Mask, truth: Mask, how: tuple[float, float], rng: np.random.Generator
) -> tuple[tuple[int, int, int], bool] | None:
    """Where a reader clicks next, and what that says; None when nothing is wrong."""
    jitter, wrong = how
    if not (mask ^ truth).any():
        return None
    if rng.random() < wrong:
        z = int(rng.choice(np.flatnonzero(truth.any((1, 2)))))
        y, x = (int(rng.integers(n)) for n in truth.shape[1:])
        return (z, y, x), not truth[z, y, x]
    z = 0 if len(mask) == 1 else _worst_slice(mask, truth)
    found = click_on_largest_error(mask[z], truth[z], rng if jitter else None, jitter=jitter)
    assert found is not None
    (y, x), is_lesion = found
    return (z, y, x), is_lesion


def _worst_slice(mask: Mask, truth: Mask) -> int:
    """Where the largest error in three dimensions is widest."""
    largest: tuple[int, Mask] = (0, mask)
    for error in (truth & ~mask, mask & ~truth):
        components, count = ndimage.label(error, np.ones((3, 3, 3)))
        if count:
            sizes = np.bincount(components.ravel())[1:]
            if sizes.max() > largest[0]:
                largest = int(sizes.max()), components == 1 + int(sizes.argmax())
    return int(largest[1].sum((1, 2)).argmax())


def clicked(
    sitting: Sitting, begin: Callable[[Sitting], Answerer], how: tuple[float, float], seed: int
) -> tuple[list[float], list[float]]:
    """Dice after 0, 1, 2 ... clicks, and the milliseconds of each."""
    rng = np.random.default_rng(seed)
    answer = begin(sitting)
    dices, taken = [sitting.dice()], []
    for _ in range(MOST if len(sitting.mask) == 1 else SHOWN[-1]):
        said = click(sitting.mask, sitting.truth, how, rng)
        if said is not None:
            started = time.perf_counter()
            sitting.mask = answer(sitting, *said)
            taken.append(1000 * (time.perf_counter() - started))
        dices.append(sitting.dice())
    return dices, taken


def sets(only: str | None) -> Iterator[tuple[str, list[Case]]]:
    """The cases, set by set."""
    data = test_data()
    tested = read_slices(data / "ispy_slices")["test"]
    if only in (None, "ispy"):
        yield "I-SPY, pre and post", shifted(tested, ("pre", "post1"))
    if only in (None, "post"):
        yield "I-SPY, post alone", shifted(tested, ("post1",))
    if only in (None, "clinic"):
        yield "clinic slices", clinic_slices(data / "clinic_slices")
    if only in (None, "volumes"):
        yield "synthetic volumes", [volume(*one) for one in enumerate(VOLUMES)]


def volume(number: int, what: tuple[Any, float]) -> Case:
    """A synthetic exam with one lesion, pre and two posts."""
    phantom = breast_phantom(
        FIRST_SEED + number,
        shape=(60, 288, 288),
        spacing_mm=(2.5, 1.2, 1.2),
        phases=("pre", "post1", "post2"),
        lesions=(LesionSpec(*what),),
    )
    name = f"{what[0]} {what[1]:g} mL"
    return name, name, phantom.exam, enhancing(phantom.exam, phantom.truth)


def measure(
    name: str,
    cases: list[Case],
    clicks: Checkpoint,
    starter: Checkpoint,
    *,
    network_alone: bool = False,
) -> list[Row]:
    """Every way of clicking on every case of a set."""
    # The references of I-SPY and of the phantoms are what enhances; the clinic's were drawn.
    asked = network_for(clicks, only_enhancing=name != "clinic slices")
    ways: dict[str, Callable[[Sitting], Answerer]] = {"network": asked}
    others = {} if network_alone else {"growing": growing, "random walk": walking}
    if not network_alone and name != "synthetic volumes":
        others["best brush"] = brushing
    rows: list[Row] = []
    seen: set[str] = set()
    for number, (case_id, patient, exam, label_map) in enumerate(cases):
        truth = label_map.tumor
        if not truth.any():
            continue
        is_first = patient not in seen
        seen.add(patient)
        growth = np.asarray(correction.growth_map(exam), np.float32)
        draft = drain(predict(starter, exam, device="cpu")).label_map.tumor
        for start, mask in (("nothing", np.zeros_like(truth)), ("draft", draft)):
            for way, begin in {**ways, **others}.items():
                for reader, how in READERS.items():
                    if reader != "exact" and (way != "network" or not is_first or len(mask) > 1):
                        continue
                    sitting = Sitting(exam, truth, mask.copy(), growth)
                    dices, taken = clicked(sitting, begin, how, number)
                    rows.append(
                        {
                            "set": name, "case": case_id, "patient": patient, "start": start,
                            "way": way, "reader": reader,
                            "dice": [round(d, 4) for d in dices],
                            "ms": round(float(np.median(taken)), 1) if taken else None,
                        }
                    )  # fmt: skip
        print(name, case_id, rows[-1]["way"], flush=True)
    return rows


def fine_tuned(name: str, cases: list[Case], clicks: Checkpoint) -> list[Row]:
    """Each patient clicked with the network as fine-tuned on the others."""
    rows: list[Row] = []
    with TemporaryDirectory() as folder:
        dataset = Dataset.create(Path(folder) / "others")
        for case_id, patient, exam, label_map in cases:
            dataset.add(exam, patient_id=patient, case_id=case_id)
            dataset.accept(case_id, label_map, reviewed_slices=None, annotator="A", seconds=0)
        patients = list(dict.fromkeys(case[1] for case in cases))
        for patient, judge in zip(patients, patients[1:] + patients[:1], strict=True):
            sources = [DatasetCase(dataset, case[0], case[1]) for case in cases]
            learned = [one for one in sources if one.patient_id not in (patient, judge)]
            held_out = [one for one in sources if one.patient_id == judge]
            output = Path(folder) / patient
            tuning = drain(tune_clicks(learned, held_out, clicks, output))
            assert tuning is not None  # every slice of the clinic is reviewed and shows tumor
            print(tuning.describe(), flush=True)
            begin = network_for(checkpoint.load(clicks_of(output)), only_enhancing=False)
            for number, (case_id, whose, exam, label_map) in enumerate(cases):
                if whose == patient:
                    truth = label_map.tumor
                    sitting = Sitting(exam, truth, np.zeros_like(truth))
                    dices, taken = clicked(sitting, begin, READERS["exact"], number)
                    row = {"set": name, "case": case_id, "patient": patient, "start": "nothing"}
                    row |= {
                        "way": "fine-tuned",
                        "reader": "exact",
                        "dice": [round(d, 4) for d in dices],
                    }
                    rows.append(row | {"ms": round(float(np.median(taken)), 1)})
    return rows


def report(rows: list[Row]) -> list[str]:
    """Tables: Dice after so many clicks, and clicks to a Dice."""
    lines = []
    for name in dict.fromkeys(row["set"] for row in rows):
        of_set = [row for row in rows if row["set"] == name]
        patients = len({row["patient"] for row in of_set})
        lines += [
            f"## {name[0].upper()}{name[1:]}: {patients} patients", "",
            f"| from | with | reader | {' | '.join(f'{n} clicks' for n in SHOWN)} "
            f"| {' | '.join(f'clicks to {aim:.2f}' for aim in AIMS)} | ms a click |",
            "|---" * (5 + len(SHOWN) + len(AIMS) - 1) + "|",
        ]  # fmt: skip
        for key in dict.fromkeys((row["start"], row["way"], row["reader"]) for row in of_set):
            own = [row for row in of_set if (row["start"], row["way"], row["reader"]) == key]
            cells = []
            for count in SHOWN:
                values = per_patient(own, count)
                low, high = bootstrap_ci95(values)
                cells.append(f"{np.mean(values):.3f} ({low:.2f}, {high:.2f})")
            for aim in AIMS:
                needed = [next((n for n, d in enumerate(r["dice"]) if d >= aim), MOST) for r in own]
                cells.append(f"{np.mean(needed):.2f}")
            times = [row["ms"] for row in own if row["ms"] is not None]
            cells.append(f"{np.median(times):.0f}" if times else "")
            lines.append(f"| {' | '.join(key)} | {' | '.join(cells)} |")
        lines.append("")
    return lines


def per_patient(rows: list[Row], clicks: int) -> NDArray[np.float64]:
    """Mean Dice of each patient after so many clicks."""
    found = defaultdict(list)
    for row in rows:
        found[row["patient"]].append(row["dice"][clicks])
    return np.array([np.mean(values) for values in found.values()])


def draw(rows: list[Row], path: Path) -> None:
    """Dice over clicks, a panel for each set."""
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(row["set"] for row in rows))
    figure = Figure(figsize=(3.2 * len(names), 3.2), layout="constrained")
    colors = {"network": "#0072b2", "growing": "#e69f00", "random walk": "#009e73"}
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        for way, color in (*colors.items(), ("best brush", "#999999")):
            for start, style in (("nothing", "-"), ("draft", "--")):
                own = [
                    row for row in rows
                    if (row["set"], row["way"], row["start"], row["reader"])
                    == (name, way, start, "exact")
                ]  # fmt: skip
                if own:
                    means = [per_patient(own, n).mean() for n in range(6)]
                    label = way if start == "nothing" else None
                    axes.plot(range(6), means, style, color=color, label=label, marker=".")
        axes.set(title=name, xlabel="clicks", ylim=(0, 1))
        axes.grid(alpha=0.3)
    first = figure.axes[0]
    first.set_ylabel("mean Dice")
    first.legend(frameon=False, loc="lower right", fontsize=8)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=("ispy", "post", "clinic", "volumes"))
    parser.add_argument("--tuned", action="store_true", help="fine-tuned on the clinic alone")
    parser.add_argument("--model", type=Path, default=CLICKS)
    parser.add_argument("--report", action="store_true", help="only the tables of what is kept")
    parser.add_argument(
        "--network", action="store_true", help="keep the rows of the other ways as they are"
    )
    arguments = parser.parse_args()
    clicks, starter = checkpoint.load(arguments.model), checkpoint.load(STARTER)
    chosen = [] if arguments.report or arguments.tuned else sets(arguments.only)
    measured = [
        row
        for name, cases in chosen
        for row in measure(name, cases, clicks, starter, network_alone=arguments.network)
    ]
    if arguments.tuned or (arguments.only in (None, "clinic") and not arguments.report):
        ((name, cases),) = sets("clinic")
        measured += fine_tuned(name, cases, clicks)
    # Those of other sets are kept, also when two processes measure one each.
    path = RESULTS / "clicks.json"
    kept = json.loads(path.read_text()) if path.is_file() else {}
    is_same = kept.get("model") == clicks.info.identity
    done = {(row["set"], row["way"]) for row in measured}
    rows = measured + [
        row
        for row in kept.get("rows", [])
        if (is_same or row["way"] not in ("network", "fine-tuned"))
        and (row["set"], row["way"]) not in done
    ]
    lines = [
        "# Clicks", "",
        f"{today()}, {machine()}, {clicks.info.identity}. `python benchmarks/clicks.py`, which",
        "says how the readers click. Means over patients with 95 % intervals; a reader who has not",
        f"reached a Dice after {MOST} clicks counts with {MOST}.",
        "",
        *report(rows),
    ]  # fmt: skip
    print("\n".join(lines))
    if arguments.model == CLICKS:
        write_text(RESULTS / "clicks.md", "\n".join(lines))
        about = {"date": today(), "machine": machine(), "model": clicks.info.identity}
        # A row a line: indented it would be 60,000 lines.
        lined = ",\n".join(json.dumps(row) for row in rows)
        write_text(path, f'{json.dumps(about)[:-1]}, "rows": [\n{lined}\n]}}\n')
        draw(rows, RESULTS / "clicks.png")
        draw(rows, RESULTS.parent.parent / "docs" / "images" / "clicks.png")


if __name__ == "__main__":
    main()
