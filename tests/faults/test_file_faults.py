"""Every action under a failing file layer: nothing lost, nothing half, and a second try works.

A few changes of each action are spoiled here; `benchmarks/file_faults.py` spoils every one.
"""

from __future__ import annotations

import os

import pytest
from fault_actions import DATASET_ACTIONS, FILE_ACTIONS, trials
from fault_layer import KINDS, Layer
from fault_models import MODEL_ACTIONS

from napari_breastseg.core.errors import InputError

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs fork and /proc")

FEW = ("kill", "full", "io after")
ACTIONS = DATASET_ACTIONS + FILE_ACTIONS + MODEL_ACTIONS


@pytest.mark.parametrize("action", ACTIONS, ids=[action.name for action in ACTIONS])
def test_an_action_that_a_fault_stops_leaves_the_state_before_or_after(action, tmp_path):
    def few(kind: str, count: int) -> list[int]:
        return [sum(map(ord, kind + action.name)) % count] if kind in FEW else []

    tried = list(trials(action, tmp_path, few))
    assert [trial for trial in tried if trial.problems] == []
    assert [trial.ended for trial in tried if trial.kind == "kill"] == ["killed"]
    assert len(tried) == len(FEW)


def test_each_kind_of_fault_is_one(tmp_path):
    from fault_actions import prepare_dataset

    from napari_breastseg.dataset import Dataset

    prepare_dataset(tmp_path)
    dataset = Dataset.open(tmp_path / "D")
    ends = {}
    for kind in KINDS:
        if kind != "kill":
            with Layer(tmp_path, kind, 3) as layer:
                try:
                    dataset.flag("K3", "motion")
                    ends[kind] = "done"
                    dataset.reopen("K3")
                except InputError as error:
                    ends[kind] = error.found
            assert len(layer.done) > 3
    assert ends["full"] == "found the system error 'No space left on device'"
    assert ends["io"] == ends["io after"] == "found the system error 'Input/output error'"
    assert ends["lost"] == "found the system error 'Permission denied'"
    assert ends["clock back"] == ends["clock on"] == "done"
