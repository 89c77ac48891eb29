"""The part of `learning.py` about an exam that learns from its own corrections.

Slices: seven patients of another hospital, three post-contrast slices each with hand-drawn masks,
of unknown pixel size; and eight I-SPY test patients, six slices each, pre and post. One, two or
four slices of a patient are corrected, the others are drafted again and scored: every choice of one
and of two of three slices, one even choice of six.

Volumes: synthetic exams in three views, the first two of each from seed 95,000 on whose largest
lesion spans ten slices. One, two or four evenly spaced slices of that lesion are corrected; all its
other slices are scored. False marks are counted in the whole exam, farther than 2 mm from any
lesion.

"Corrected" is the reference in a slice. That a copy keeps sure background close to lesions, too,
was added on seeing what it falsely marked in the synthetic exam 95,014, and that a redraft keeps
close to what was marked because there were such marks; how close was chosen on synthetic exams from
seed 96,000. Nothing else was chosen on these exams: steps, rate and the pull of the regression were
chosen on I-SPY validation patients, and on synthetic exams from seed 60,000.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from _common import test_data
from numpy.typing import NDArray
from scipy import ndimage
from starter import Case, read_slices
from starter import clinic_slices as slices_in

from napari_breastseg.core.atomic import write_json
from napari_breastseg.core.overlap import dice
from napari_breastseg.core.progress import drain
from napari_breastseg.core.volume import Exam, Grid, LabelMap, Volume
from napari_breastseg.model import checkpoint
from napari_breastseg.model.checkpoint import STARTER, Checkpoint
from napari_breastseg.phantom import View
from napari_breastseg.predict.prediction import Prediction, predict
from napari_breastseg.predict.thresholding import PROBABILITY_STEPS, ProbabilitySteps
from napari_breastseg.training.corrections import Corrections, Redraft
from napari_breastseg.training.exam_learning import ExamLearner
from napari_breastseg.training.replay import enhancing, whole_phantom

Row = dict[str, Any]
Mask = NDArray[np.bool_]

VOLUMES: dict[int, View] = {
    95_001: "axial",
    95_004: "axial",
    95_014: "sagittal",
    95_029: "sagittal",
    95_000: "coronal",
    95_003: "coronal",
}
ISPY_PATIENTS = 8
COUNTS = (1, 2, 4)
STAGES = {"draft": "first draft", "features": "from features", "adapted": "adapted copy"}
GROUPS = {"clinic": "clinic slices", "ispy": "I-SPY slices", "volume": "synthetic volumes"}
LEAST_MM = 2.0


def perform_all(work: Path, jobs: int) -> None:
    """Do what is not done yet: one file for each patient and number of corrected slices."""
    work.mkdir(parents=True, exist_ok=True)
    units = plan()
    with ProcessPoolExecutor(jobs) as pool:
        list(pool.map(perform, units, [work] * len(units)))


def plan() -> list[tuple[str, str, int]]:
    """All that is measured, the most telling first."""
    clinic = sorted({one[1] for one in clinic_slices()})
    return [
        *(("clinic", patient, 2) for patient in clinic),
        *(("volume", str(seed), 2) for seed in VOLUMES),
        *(("clinic", patient, 1) for patient in clinic),
        *(("volume", str(seed), count) for count in (1, 4) for seed in VOLUMES),
        *(("ispy", patient, count) for count in (2, 1, 4) for patient in ispy_patients()),
    ]


def perform(unit: tuple[str, str, int], work: Path) -> None:
    """All redrafts of one patient after so many corrected slices."""
    import torch

    group, name, count = unit
    path = work / f"{group}-{name}-{count}.json"
    if path.is_file():
        return
    torch.set_num_threads(1)
    if group == "volume":
        rows = list(of_volume(int(name), count, work.parent.parent / "phantoms", work))
    else:
        rows = list(of_slices(group, name, count))
    write_json(path, [{"group": group, "patient": name, "count": count, **row} for row in rows])
    words = [
        f"{stage} {fmean(row['dice'] for row in rows if row['stage'] == stage):.3f}"
        for stage in STAGES
    ]
    print(f"{group} {name} {count}: {', '.join(words)}", flush=True)


def clinic_slices() -> list[Case]:
    """Those of the test data folder."""
    return slices_in(test_data() / "clinic_slices")


def ispy_patients() -> list[str]:
    """The first of the I-SPY test patients, by name."""
    test = read_slices(test_data() / "ispy_slices")["test"]
    return sorted({one.patient_id for one in test})[:ISPY_PATIENTS]


def of_slices(group: str, patient: str, count: int) -> Iterator[Row]:
    """Single slices of one patient."""
    if group == "clinic":
        members = [one for one in clinic_slices() if one[1] == patient]
        exams, truths = [one[2] for one in members], [one[3] for one in members]
        choices = list(itertools.combinations(range(len(exams)), count))
    else:
        test = read_slices(test_data() / "ispy_slices")["test"]
        own = [one for one in test if one.patient_id == patient]
        exams = [pre_and_post(one.exam()) for one in own]
        truths = [one.label_map() for one in own]
        choices = [tuple(spread(len(exams), count))]
    learner = ExamLearner(checkpoint.load(STARTER), exams, device="cpu")
    drain(learner.prepare())
    for choice in choices:
        corrections = [
            Corrections.of_mask(truth)
            if number in choice
            else Corrections.nothing(truth.grid.shape, draft.label_map)
            for number, (truth, draft) in enumerate(zip(truths, learner.drafts, strict=True))
        ]
        others = [number for number in range(len(exams)) if number not in choice]

        def scored(masks: Sequence[LabelMap], others: Sequence[int] = others) -> Row:
            values = [dice(masks[number].tumor, truths[number].tumor) for number in others]
            return {"dice": fmean(values), "each": values}

        before = scored([draft.label_map for draft in learner.drafts])
        yield {"stage": "draft", "seconds": 0.0, **before}
        for redrafts, seconds in redrafted(learner, corrections):
            row = {"stage": redrafts[0].stage, "seconds": seconds}
            yield row | scored([one.label_map for one in redrafts])


def redrafted(
    learner: ExamLearner, corrections: Sequence[Corrections]
) -> Iterator[tuple[tuple[Redraft, ...], float]]:
    """Both redrafts, each with the seconds that one core worked for it."""
    for job in (learner.quick(corrections), learner.adapt(corrections)):
        started = time.process_time()
        redrafts = drain(job)
        yield redrafts, round(time.process_time() - started, 2)


def pre_and_post(exam: Exam) -> Exam:
    """The first two phases."""
    return Exam(exam.case_id, {role: exam.phases[role] for role in ("pre", "post1")})


def spread(count: int, chosen: int) -> list[int]:
    """Evenly spaced places within a range, none at its ends."""
    return [round((n + 1) * (count - 1) / (chosen + 1)) for n in range(chosen)]


def of_volume(seed: int, count: int, cache: Path, work: Path) -> Iterator[Row]:
    """A synthetic exam whose largest lesion is corrected in a few slices."""
    exam, truth, target, lesion = drawn(seed, cache)
    model = checkpoint.load(STARTER)
    first = drafted(model, exam, work / "drafts")
    learner = ExamLearner(model, [exam], drafts=[first], device="cpu")
    drain(learner.prepare())
    draft = first.label_map
    slices = [int(z) for z in np.flatnonzero(lesion.any((1, 2)))]
    chosen = [slices[place] for place in spread(len(slices), count)]
    labels = draft.data.copy()
    labels[chosen] = target[chosen]
    reviewed = np.zeros(len(labels), bool)
    reviewed[chosen] = True
    corrections = Corrections(labels, np.zeros(labels.shape, bool), reviewed)
    others = [z for z in slices if z not in chosen]
    far, around = ~near(truth, exam), near(lesion, exam)

    def scored(tumor: Mask) -> Row:
        return {
            "dice": dice((tumor & around)[others], lesion[others]),
            "false_ml": float((tumor & far).sum() * (exam.grid.voxel_ml or 0.0)),
            "slices": len(slices),
        }

    yield {"stage": "draft", "seconds": 0.0, **scored(draft.tumor)}
    for redrafts, seconds in redrafted(learner, [corrections]):
        row = {"stage": redrafts[0].stage, "seconds": seconds}
        yield row | scored(redrafts[0].label_map.tumor)


def drafted(model: Checkpoint, exam: Exam, cache: Path) -> Prediction:
    """What the starter makes of an exam, kept in steps of half a per cent."""
    path = cache / f"{exam.case_id}.npz"
    if not path.is_file():
        made = drain(predict(model, exam, device="cpu"))
        cache.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part.npz")
        steps = ProbabilitySteps.of(made.probability).steps
        np.savez_compressed(part, steps=steps, mask=made.label_map.data)
        part.rename(path)
    with np.load(path) as kept:
        probability = (kept["steps"] / np.float32(PROBABILITY_STEPS)).astype(np.float32)
        return Prediction(
            probability=Volume(probability, exam.grid),
            label_map=LabelMap(kept["mask"], exam.grid),
            threshold=0.5,
            phases=tuple(exam.phases),
            device="cpu",
            model=model.info.identity,
            seconds=0.0,
        )


def near(mask: Mask, exam: Exam) -> Mask:
    """A mask, widened by `LEAST_MM`."""
    z, y, x = (max(1, round(LEAST_MM / step)) for step in exam.grid.voxel_size)
    wide: Mask = ndimage.binary_dilation(mask, np.ones((2 * z + 1, 2 * y + 1, 2 * x + 1)))
    return wide


def drawn(seed: int, cache: Path) -> tuple[Exam, Mask, NDArray[np.uint8], Mask]:
    """Synthetic exam; its lesions; their enhancing part, which is the reference; the largest."""
    path = cache / f"{seed}.npz"
    if not path.is_file():
        phantom = whole_phantom(seed, f"P{seed}", view=VOLUMES[seed], posts=2)
        target = enhancing(phantom.exam, phantom.truth).data
        lesions = np.where(target > 0, phantom.lesion_labels.data, 0)
        depth = [int((lesions == n).any((1, 2)).sum()) for n in range(1, int(lesions.max()) + 1)]
        cache.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part.npz")
        np.savez(
            part,
            affine=phantom.exam.grid.affine,
            truth=phantom.truth.tumor,
            target=target,
            lesion=lesions == int(np.argmax(depth)) + 1,
            **{role: volume.data for role, volume in phantom.exam.phases.items()},
        )
        part.rename(path)
    with np.load(path) as kept:
        grid = Grid(kept["truth"].shape, kept["affine"])
        roles = [role for role in kept.files if role == "pre" or role.startswith("post")]
        exam = Exam(f"P{seed}", {role: Volume(kept[role], grid) for role in roles})
        return exam, kept["truth"], kept["target"], kept["lesion"]


def rows_of(work: Path) -> list[Row]:
    """All that was measured."""
    rows: list[Row] = []
    for path in sorted(work.glob("*.json")):
        rows += json.loads(path.read_text())
    return rows


def per_patient(rows: Sequence[Row], group: str, count: int, stage: str, key: str) -> list[float]:
    """A figure of each patient, the mean over the choices of slices."""
    chosen = [
        row for row in rows if (row["group"], row["count"], row["stage"]) == (group, count, stage)
    ]
    patients = sorted({row["patient"] for row in chosen})
    return [fmean(row[key] for row in chosen if row["patient"] == one) for one in patients]


def report(rows: Sequence[Row]) -> list[str]:
    """The tables, in Markdown."""
    lines = [
        "## The same exam",
        "",
        "Dice of what was not corrected, mean over patients (lowest patient). Seconds of one core, "
        "median.",
        "",
        "| exams | slices corrected | first draft | from features | s | adapted copy | s |",
        "|---|---|---|---|---|---|---|",
    ]
    for group, name in GROUPS.items():
        for count in COUNTS:
            cells = []
            for stage in STAGES:
                values = per_patient(rows, group, count, stage, "dice")
                if not values:
                    break
                cells.append(f"{fmean(values):.3f} ({min(values):.3f})")
                if stage != "draft":
                    seconds = per_patient(rows, group, count, stage, "seconds")
                    cells.append(f"{float(np.median(seconds)):.1f}")
            if len(cells) == 5:
                many = len(per_patient(rows, group, count, "draft", "dice"))
                lines.append(f"| {name} ({many}) | {count} | {' | '.join(cells)} |")
    lines += [
        "",
        "False marks in synthetic exams, mL farther than 2 mm from any lesion: mean (most in an "
        "exam; most that is more than in its draft).",
        "",
        "| slices corrected | first draft | from features | adapted copy |",
        "|---|---|---|---|",
    ]
    for count in COUNTS:
        before = per_patient(rows, "volume", count, "draft", "false_ml")
        cells = []
        for stage in STAGES:
            values = per_patient(rows, "volume", count, stage, "false_ml")
            if values:
                more = max(now - then for now, then in zip(values, before, strict=True))
                cells.append(f"{fmean(values):.2f} ({max(values):.2f}; {more:+.2f})")
        if cells:
            lines.append(f"| {count} | {' | '.join(cells)} |")
    return lines


def draw(axes: Any, rows: Sequence[Row]) -> None:
    """Dice of what was not corrected over the slices corrected."""
    for (group, name), color in zip(GROUPS.items(), ("C0", "C2", "C1"), strict=True):
        for stage, style in (("features", ":"), ("adapted", "-")):
            counts = [0, *(n for n in COUNTS if per_patient(rows, group, n, stage, "dice"))]
            if len(counts) == 1:
                continue
            first = fmean(per_patient(rows, group, counts[1], "draft", "dice"))
            values = [fmean(per_patient(rows, group, n, stage, "dice")) for n in counts[1:]]
            label = name if stage == "adapted" else None
            axes.plot(counts, [first, *values], style, marker="o", ms=4, color=color, label=label)
    axes.set(
        title="this exam",
        xlabel="slices corrected in it",
        ylabel="Dice of its other slices",
        xticks=(0, *COUNTS),
    )
    axes.legend(frameon=False, fontsize=8, title="dotted: at once", title_fontsize=8)
