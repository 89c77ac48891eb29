"""Which trainings are offered again: those cut off, and only those."""

from __future__ import annotations

import os
from pathlib import Path

from filelock import FileLock

from napari_breastseg.core.home import home_folder, new_training_folder
from napari_breastseg.model import checkpoint
from napari_breastseg.model.unet import ModelSpec, build
from napari_breastseg.widgets.state.interrupted import (
    Interrupted,
    forget_training,
    interrupted_trainings,
    note_training,
)
from napari_breastseg.widgets.state.training import TrainingOrder


def order(name: str, base: Path | None = None) -> TrainingOrder:
    output = new_training_folder(name)
    output.mkdir(parents=True)
    return TrainingOrder(Path("/data/set"), base, None, None, 3, "cpu", output)


def test_an_order_is_read_back_with_its_steps_the_latest_first() -> None:
    assert interrupted_trainings() == []
    first, second = order("first"), order("second", Path("/models/base"))
    note_training(first)
    note_training(second)
    for age, one in enumerate((second, first)):
        os.utime(one.output.parent / f"{one.output.name}.order.json", (1000 - age, 1000 - age))
    (first.output / "history.csv").write_text("step,loss\n0,\n1,0.5\n40,0.1\n")
    found = interrupted_trainings()
    assert found == [Interrupted(second, 0), Interrupted(first, 40)]
    assert [one.words for one in found] == [
        "second: stopped before its first steps were kept, on set",
        "first: stopped at step 40, on set",
    ]
    forget_training(second.output)
    assert interrupted_trainings() == [Interrupted(first, 40)]


def test_what_is_finished_or_runs_or_cannot_be_read_is_not_offered() -> None:
    finished, running = order("finished"), order("running")
    for one in (finished, running):
        note_training(one)
    (home_folder() / "trainings" / "broken.order.json").write_text("[1]")
    assert len(interrupted_trainings()) == 2
    spec = ModelSpec(inputs=("post1",), features=(4, 8), patch_size=(32, 32))
    info = checkpoint.ModelInfo(name="finished", spec=spec)
    checkpoint.save(finished.output, build(spec).state_dict(), info)
    with FileLock(running.output / ".training.lock"):
        assert interrupted_trainings() == []
    assert interrupted_trainings() == [Interrupted(running, 0)]
