"""Single slices of one patient in a worklist: those accepted draft the others again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hands import NO_KEYS, SHIFT, exam_with_truth, open_row, press
from qtpy.QtCore import Qt

from napari_breastseg.core.progress import Progress
from napari_breastseg.core.volume import LabelMap, Volume
from napari_breastseg.dataset import Dataset
from napari_breastseg.training.corrections import Redraft

ENTER, NEXT = Qt.Key.Key_Return, Qt.Key.Key_PageDown
WHERE = {"features": np.s_[10:14, 50:60], "adapted": np.s_[10:16, 50:60]}


class StandIn:
    """Drafts a patient's slices again as it is told, and waits to be let go."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, list[str]]] = []
        self.go = {"features": threading.Event(), "adapted": threading.Event()}
        for event in self.go.values():
            event.set()

    def made_for(self, dataset: Dataset, model: Path, patient_id: str) -> StandIn:
        from napari_breastseg.training.patient_slices import slices_of

        self.dataset = dataset
        self.taught, self.waiting = slices_of(dataset, patient_id)
        return self

    def draft(self, stage: Any) -> Iterator[Progress]:
        self.asked.append((stage, [record.case_id for record in self.waiting]))
        while not self.go[stage].wait(0.02):
            yield Progress("Learning", 0, 1)
        found = {}
        for record in self.waiting:
            data = np.zeros(record.grid.shape, np.uint8)
            data[0, *WHERE[stage]] = 1
            grid = record.grid.grid
            probability = Volume(data.astype(np.float32), grid)
            label_map = LabelMap(data, grid)
            found[record.case_id] = Redraft(
                probability, label_map, (0,), 0.1, stage, len(self.taught)
            )
        return found

    def keep(self, redrafts: Mapping[str, Redraft]) -> tuple[str, ...]:
        for case_id, one in redrafts.items():
            self.dataset.save_draft(case_id, one.label_map, model="m@1+own", learned_from=("S1",))
        return tuple(redrafts)


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    made = StandIn()
    yield made
    for event in made.go.values():
        event.set()
    made.__dict__.clear()


@pytest.fixture
def folder(tmp_path: Path) -> Dataset:
    """Three drafted slices of one patient, and one of another."""
    dataset = Dataset.create(tmp_path / "set", ["post1"])
    for seed, case_id in enumerate(("S1", "S2", "S3", "T1")):
        exam, truth = exam_with_truth(case_id, 1, seed)
        dataset.add(replace(exam, case_id=case_id), patient_id=f"patient-{case_id[0]}")
        dataset.save_draft(case_id, truth, model="m@1")
    return dataset


@pytest.fixture
def reading(
    window: SimpleNamespace,
    opened: SimpleNamespace,
    settle: Callable[[], None],
    stand_in: StandIn,
) -> SimpleNamespace:
    """S1 held for correction, with the switch on."""
    learning = window.dock.correct_panel.learning
    learning.slices.make_learner = stand_in.made_for
    learning.switch.setChecked(True)
    open_row(opened.panel, 0)
    settle()
    assert window.dock.session.record.case_id == "S1"
    return window


def test_an_accepted_slice_drafts_the_patients_others_and_the_one_on_show(
    reading: SimpleNamespace,
    stroke: Callable[..., None],
    settle: Callable[[], None],
    stand_in: StandIn,
    folder: Dataset,
) -> None:
    stand_in.go["adapted"].clear()
    stroke(reading.viewer.layers["S1 tumor"], (0, 40, 20), (0, 40, 40))
    press(reading, ENTER, SHIFT)
    reading.qtbot.waitUntil(lambda: len(stand_in.asked) == 2, timeout=20_000)
    press(reading, NEXT, NO_KEYS)
    reading.qtbot.waitUntil(
        lambda: getattr(reading.dock.session.record, "case_id", "") == "S2", timeout=20_000
    )
    stand_in.go["adapted"].set()
    settle()
    settle()
    assert stand_in.asked == [("features", ["S2", "S3"]), ("adapted", ["S2", "S3"])]
    layer: Any = reading.viewer.layers["S2 tumor"]
    wanted = np.zeros((1, 60, 70), np.uint8)
    wanted[0, *WHERE["adapted"]] = 1
    np.testing.assert_array_equal(layer.data, wanted)
    assert reading.dock.correct_panel.learning.line.text() == (
        "Drafted 2 slices of this patient again from the one accepted."
    )
    assert reading.dock.session.effort.strokes == 0
    for case_id in ("S2", "S3"):
        np.testing.assert_array_equal(folder.draft(case_id).data, wanted)
    assert folder.case("T1").draft.model == "m@1"
    press(reading, ENTER, SHIFT)
    settle()
    accepted = folder.case("S2")
    assert accepted.accepted.model == "m@1+own"
    assert accepted.accepted.dice_draft == 1
    assert accepted.draft.learned_from == ("S1",)


def test_a_slice_that_the_reader_has_begun_stays_as_it_is(
    reading: SimpleNamespace,
    stroke: Callable[..., None],
    settle: Callable[[], None],
    stand_in: StandIn,
    folder: Dataset,
) -> None:
    stand_in.go["features"].clear()
    press(reading, ENTER, SHIFT)
    reading.qtbot.waitUntil(lambda: len(stand_in.asked) == 1, timeout=20_000)
    press(reading, NEXT, NO_KEYS)
    reading.qtbot.waitUntil(
        lambda: getattr(reading.dock.session.record, "case_id", "") == "S2", timeout=20_000
    )
    reading.qtbot.wait(300)
    layer: Any = reading.viewer.layers["S2 tumor"]
    stroke(layer, (0, 40, 20), (0, 40, 40))
    painted = layer.data.copy()
    stand_in.go["features"].set()
    settle()
    settle()
    np.testing.assert_array_equal(layer.data, painted)
    press(reading, ENTER, SHIFT)
    settle()
    assert folder.case("S2").accepted.model == "m@1"  # what was corrected


def test_switched_off_nothing_is_drafted_from_an_accepted_slice(
    reading: SimpleNamespace, settle: Callable[[], None], stand_in: StandIn, folder: Dataset
) -> None:
    reading.dock.correct_panel.learning.switch.setChecked(False)
    press(reading, ENTER, SHIFT)
    settle()
    assert stand_in.asked == []
    assert folder.case("S2").draft.model == "m@1"
