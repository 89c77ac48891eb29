"""Two processes that torchrun starts get the weights that one process gets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from test_training import CASES, config, history_of

from napari_breastseg.core.errors import InputError
from napari_breastseg.core.progress import drain
from napari_breastseg.dataset import Dataset
from napari_breastseg.model.unet import ModelSpec, build
from napari_breastseg.training import loop, train_dataset
from napari_breastseg.training.ranks import ALONE, Ranks, joined
from napari_breastseg.training.state import STATE_FILE

pytestmark = pytest.mark.skipif(os.name == "nt", reason="torchrun's gloo is tried on Linux")


def double(spec: ModelSpec) -> torch.nn.Module:
    """A network in double precision, so that rounding hides no error of the mathematics."""
    network = build(spec).double()
    network.register_forward_pre_hook(lambda _, inputs: (inputs[0].double(),))
    return network


def launch(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in two processes on the CPU, in double precision."""
    command = [sys.executable, "-W", "ignore", "-m", "torch.distributed.run", "--standalone"]
    return subprocess.run(
        [*command, "--nproc-per-node=2", __file__, *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ranks") / "data"
    made = Dataset.create(folder)
    for case in CASES:
        made.add(case.exam(), patient_id=case.patient_id)
        made.accept(case.case_id, case.label_map(), reviewed_slices=None, annotator="a", seconds=1)
    return folder


def test_two_processes_get_the_weights_of_a_single_one(data, tmp_path, monkeypatch):
    how = ("--model", "scratch", "--steps", "4", "--device", "cpu", "--json")
    both = launch("train", str(data), "--output", str(tmp_path / "two"), *how)
    assert both.returncode == 0, both.stderr
    told = json.loads(both.stdout)  # one process speaks
    monkeypatch.setattr(loop, "build", double)
    job = train_dataset([Dataset.open(data)], tmp_path / "one", base=None, steps=4, device="cpu")
    assert told["val_dice"] == pytest.approx(drain(job).val_dice)
    one, two = (load_file(tmp_path / name / STATE_FILE) for name in ("one", "two"))
    assert list(one) == list(two)
    for key in one:
        torch.testing.assert_close(two[key], one[key], rtol=1e-6, atol=1e-8, msg=key)
    rows, twice = history_of(tmp_path / "one"), history_of(tmp_path / "two")
    for column in ("step", "loss", "learning_rate"):
        values = [[float(row[column]) for row in table] for table in (rows, twice)]
        assert values[0] == pytest.approx(values[1])
    names = [path.name for path in (tmp_path / "two").iterdir()]
    assert sorted(names) == sorted(path.name for path in (tmp_path / "one").iterdir())
    assert len(list((tmp_path / "two" / "events").iterdir())) == 1


def test_a_batch_that_cannot_be_shared_evenly_is_refused():
    with pytest.raises(InputError, match=r"divides the 4 patches.*torchrun started 3"):
        Ranks(0, 3).require_shares(4)
    Ranks(1, 2).require_shares(4)


def test_without_torchrun_a_process_is_alone(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")  # as other launchers leave it
    with joined(torch.device("cpu")) as ranks:
        assert ranks == ALONE
    value = torch.rand(2, 3)
    assert ranks.whole(value) is value
    assert ranks.every([1, 2]) == [1, 2]


def test_more_processes_than_cards_are_refused(monkeypatch):
    for key, value in {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    refused = pytest.raises(InputError, match=r"process 2 came to 1 GPUs.*--nproc-per-node 1")
    with refused, joined(torch.device("cuda")):
        pass


def test_each_process_makes_its_own_patches_of_the_same_batch():
    from test_training import SPEC, a_source

    from napari_breastseg.training.batches import BatchMaker
    from napari_breastseg.training.patches import Augmentation

    def inputs(*ranks: Ranks) -> np.ndarray:
        settings = config(batch_size=4)
        makers = [BatchMaker(a_source(), Augmentation(2), SPEC, settings, r) for r in ranks]
        return np.concatenate([maker[3][0].numpy() for maker in makers])

    whole = inputs(ALONE)
    shared = inputs(Ranks(0, 2), Ranks(1, 2))
    assert np.array_equal(shared, whole[[0, 2, 1, 3]])


if __name__ == "__main__":  # as torchrun starts it
    from napari_breastseg.cli import main

    loop.build = double
    main()
