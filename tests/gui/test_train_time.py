"""The Train step says how long a training will take, before it starts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest
from hands import exam_with_truth

from napari_breastseg.core.progress import Progress
from napari_breastseg.dataset import Dataset
from napari_breastseg.widgets.state.training import TrainingOrder


@pytest.fixture
def asked(window: SimpleNamespace) -> Iterator[list[int | None]]:
    """The steps asked about; what is answered names them."""
    steps: list[int | None] = []

    def work_out(dataset: Dataset, order: TrainingOrder) -> Iterator[Progress]:
        yield Progress("Timing", 0, 0)
        steps.append(order.steps)
        return f"{len(dataset.cases())} cases of 4 patients, {order.steps} steps, about 2 min"

    window.dock.train_panel.expecting.work_out = work_out
    yield steps
    steps.clear()


def test_it_is_worked_out_when_the_tab_is_shown_and_anew_when_a_field_changes(
    window: SimpleNamespace,
    opened: SimpleNamespace,
    folder: Dataset,
    settle: Callable[[], None],
    asked: list[int | None],
) -> None:
    train = window.dock.train_panel
    window.dock.show_tab("Train")
    window.qtbot.wait(600)
    assert asked == []  # nothing is accepted yet
    assert not train.expected_line.isVisible()
    truth = exam_with_truth("P001", 9, 0)[1]
    folder.accept("P001", truth, reviewed_slices=None, annotator="AB", seconds=1)
    window.dock.show_tab("Open")
    window.dock.show_tab("Train")
    window.qtbot.waitUntil(train.expected_line.isVisible, timeout=20_000)
    assert train.expected_line.text() == (
        "Learns from 4 cases of 4 patients, None steps, about 2 min."
    )
    window.dock.reset_choices()
    window.qtbot.wait(600)
    assert asked == [None]  # the same is not asked twice
    train.form.steps.value = 50
    train.form.steps.value = 100
    window.qtbot.waitUntil(lambda: "100 steps" in train.expected_line.text(), timeout=20_000)
    assert asked == [None, 100]
    # A training has the processor to itself.
    train.form.steps.value = 150
    train.expecting.pause()
    window.qtbot.wait(600)
    assert asked == [None, 100]
    settle()
