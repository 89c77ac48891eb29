"""The part of `simulated_reader.py` about exams that learn from their reader.

Slices: the three of a patient are read one after another, each of the three first in turn. What
was corrected so far is learned from, and the next slice starts from what it is drafted as then;
or, for comparison, from the starter's draft. Volumes: the reader puts the worst slice right, up to
a Dice of 0.95, then the one that is worst now, until the whole lesion has a Dice of 0.90; after
each of them the rest is drafted again, or is not. A redraft costs no stroke.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from typing import Any, Literal

import numpy as np
from simulated_reader import (
    AIM,
    MOST_STROKES,
    SLICE_AIM,
    SLICE_TOOLS,
    Case,
    Labels,
    Reading,
    best_stroke,
    box_around,
    dice,
    finish,
    row_of,
    slices,
    volume_phantoms,
)

from napari_breastseg.core.progress import drain
from napari_breastseg.core.volume import LabelMap
from napari_breastseg.model.checkpoint import Checkpoint
from napari_breastseg.predict.prediction import predict
from napari_breastseg.training.corrections import Corrections
from napari_breastseg.training.exam_learning import ExamLearner

Row = dict[str, object]
STAGES: tuple[Literal["quick", "adapt"], ...] = ("quick", "adapt")
STARTS = {
    "draft": "the starter's draft",
    "quick": "drafted again from features",
    "adapt": "drafted again by the copy that learned",
}
TOOLS = {"brush": (), "all tools": SLICE_TOOLS["all of these"]}


def measured(model: Checkpoint) -> dict[str, dict[str, Any]]:
    """Parts of the record, as `simulated_reader.keep` writes them."""
    read = list(of_slices(model))
    parts: dict[str, dict[str, Any]] = {}
    for place, word in ((1, "second"), (2, "third")):
        rows = [row for at, row in read if at == place]
        name = f"slices, the {word} of a patient, after the ones before were corrected"
        note = "Each patient's slices in three orders: 21 readings."
        parts[name] = {"head": "with, from", "note": note, "rows": rows}
    rows = list(of_volumes(model))
    note = f"Those of the four that start below {AIM:.2f}."
    name = "volumes, slice by slice from the starter's draft"
    parts[name] = {"head": "with, the rest", "note": note, "rows": rows}
    return parts


def of_slices(model: Checkpoint) -> Iterator[tuple[int, Row]]:
    """Rows of slices, with their place in the order of reading."""
    for patient, group in groupby(slices(model), key=lambda case: case.name[:3]):
        cases = list(group)
        learner = ExamLearner(model, [case.exam for case in cases], device="cpu")
        drain(learner.prepare())
        for first in range(len(cases)):
            order = [*range(first, len(cases)), *range(first)]
            read: dict[int, Labels] = {}
            for place, number in enumerate(order):
                starts = {"draft": cases[number].start}
                for stage in STAGES if read else ():
                    starts[stage] = redrafted(learner, stage, cases, read)[number]
                for start, labels in starts.items():
                    for tool, own in TOOLS.items():
                        reading = reading_of(cases[number], labels)
                        finish(reading, own)
                        row = row_of(reading.case, f"{tool}, {STARTS[start]}", reading)
                        row["case"] = f"{cases[number].name} after {len(read)} from {first + 1}"
                        yield place, row
                        if (start, tool) == (next(reversed(starts)), "brush"):
                            kept = reading.labels
                read[number] = kept
        print(patient, flush=True)


def redrafted(
    learner: ExamLearner, stage: str, cases: Sequence[Case], read: dict[int, Labels]
) -> list[Labels]:
    """Masks of all slices of a patient, after some were corrected."""
    corrections = [
        Corrections.of_mask(LabelMap(read[number], case.exam.grid))
        if number in read
        else Corrections.nothing(case.start.shape, case.draft)
        for number, case in enumerate(cases)
    ]
    return [one.label_map.data for one in drain(getattr(learner, stage)(corrections))]


def reading_of(case: Case, labels: Labels) -> Reading:
    """A reading that starts from a mask, with the brush of the window."""
    size = max(2, round(min(case.width) / 50))
    return Reading(replace(case, start=labels), labels.copy(), (size / 2,))


def of_volumes(model: Checkpoint) -> Iterator[Row]:
    """Rows of phantoms that the starter does not draft well enough."""
    for name, phantom in volume_phantoms():
        made = drain(predict(model, phantom.exam, device="cpu"))
        case = box_around(name, phantom.exam, phantom.truth.tumor, made.label_map)
        if dice(case.start == 1, case.reference) >= AIM:
            continue
        learner = ExamLearner(model, [phantom.exam], drafts=[made], device="cpu")
        drain(learner.prepare())

        for start, words in STARTS.items():
            reading = reading_of(case, case.start)
            again = partial(redrafted_part, learner, start, case)
            slice_by_slice(reading, None if start == "draft" else again)
            tool = "never drafted again" if start == "draft" else words
            yield row_of(case, f"brush, {tool}", reading)
        print(name, flush=True)


def redrafted_part(
    learner: ExamLearner, stage: str, case: Case, labels: Labels, reviewed: set[int]
) -> Labels:
    """A case drafted again within its whole exam, from slices that were put right."""
    box = case.box
    assert box is not None
    mask = learner.drafts[0].label_map.data.copy()
    mask[box] = labels
    is_reviewed = np.zeros(len(mask), bool)
    is_reviewed[[box[0].start + z for z in reviewed]] = True
    corrections = Corrections(mask, np.zeros(mask.shape, bool), is_reviewed)
    (again,) = drain(getattr(learner, stage)([corrections]))
    part: Labels = again.label_map.data[box].copy()
    return part


def slice_by_slice(reading: Reading, redraft: Callable[[Labels, set[int]], Labels] | None) -> None:
    """Put the worst slice right, and the next; what was put right stays."""
    reviewed: set[int] = set()
    reference = reading.case.reference
    while reading.dice() < AIM and reading.strokes < MOST_STROKES:
        wrong = ((reading.labels == 1) != reference).sum((1, 2))
        wrong[list(reviewed)] = 0
        z = int(wrong.argmax())
        if wrong[z] == 0:
            return
        while dice(reading.labels[z] == 1, reference[z]) < SLICE_AIM:
            stroke = best_stroke(reading, z)
            if stroke is None or reading.strokes >= MOST_STROKES:
                break
            reading.do(stroke)
        reviewed.add(z)
        if redraft is not None and reading.dice() < AIM:
            reading.labels[:] = redraft(reading.labels, reviewed)
            reading.places = None
            reading.strokes_by_slice.clear()
