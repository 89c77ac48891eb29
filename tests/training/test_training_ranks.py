"""Two processes that torchrun starts get the weights that one process gets."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from test_training import CASES, SPEC, a_source, config, history_of

from napari_breastseg.cli import main
from napari_breastseg.core.errors import InputError
from napari_breastseg.dataset import Dataset
from napari_breastseg.model.unet import ModelSpec, build
from napari_breastseg.training import learner, planning, ranks
from napari_breastseg.training.augmentation import Augmentation
from napari_breastseg.training.batches import BatchMaker
from napari_breastseg.training.ranks import ALONE, Ranks, joined
from napari_breastseg.training.state import STATE_FILE

pytestmark = pytest.mark.skipif(os.name == "nt", reason="torchrun's gloo is tried on Linux")


def double(spec: ModelSpec) -> torch.nn.Module:
    """A network in double precision, so that rounding hides no error of the mathematics."""
    network = build(spec).double()
    network.register_forward_pre_hook(lambda _, inputs: (inputs[0].double(),))
    return network


SETTINGS = (
    (learner, "build", double),
    (planning, "SCRATCH_FEATURES", (4, 8)),
    (planning, "REPLAY", 0),
)
"""What makes the run exact and short, in the processes and in the single one alike."""


ENVIRONMENT = {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
"""The package under test, on one core for each process."""


def train_tiny(*arguments: str) -> None:
    """Run the command line with `SETTINGS`."""
    with pytest.MonkeyPatch.context() as patch:
        for module, setting, value in SETTINGS:
            patch.setattr(module, setting, value)
        patch.setattr(sys, "argv", ["napari-breastseg", "train", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code


def environment(rank: int, port: int) -> dict[str, str]:
    """What torchrun tells the processes it starts."""
    told = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "MASTER_PORT": port}
    plain = {"TORCHELASTIC_RUN_ID": "test", "MASTER_ADDR": "127.0.0.1"}
    return plain | {key: str(value) for key, value in told.items()}


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ranks") / "data"
    made = Dataset.create(folder)
    for case in CASES:
        made.add(case.exam(), patient_id=case.patient_id)
        made.accept(case.case_id, case.label_map(), reviewed_slices=None, annotator="a", seconds=1)
    return folder


HOW = ("--model", "scratch", "--steps", "4", "--device", "cpu", "--json")


def require_same(data: Path, one: Path, two: Path) -> None:
    """Fail unless a training of two processes left what that of a single one did.

    Batch norm, loss and gradients are summed in another order, so in double precision weights
    agree to a millionth; statistics or gradients of a share only would differ by a hundredth.
    """
    train_tiny(str(data), "--output", str(one), *HOW)
    ours, theirs = (load_file(folder / STATE_FILE) for folder in (one, two))
    assert list(ours) == list(theirs)
    for key in ours:
        torch.testing.assert_close(theirs[key], ours[key], rtol=1e-6, atol=1e-8, msg=key)
    rows, twice = history_of(one), history_of(two)
    for column in ("step", "loss", "learning_rate"):
        values = [[float(row[column]) for row in table] for table in (rows, twice)]
        assert values[0] == pytest.approx(values[1])
    assert sorted(p.name for p in two.iterdir()) == sorted(p.name for p in one.iterdir())


def test_two_processes_get_the_weights_of_a_single_one(data, tmp_path, capfd):
    """This process as the first, and one beside it, with torchrun's variables."""
    arguments = (str(data), "--output", str(tmp_path / "two"), *HOW)
    port = free_port()
    second = subprocess.Popen(
        [sys.executable, "-W", "ignore", __file__, *arguments],
        env={**os.environ, **environment(1, port), **ENVIRONMENT},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        with pytest.MonkeyPatch.context() as patch:
            for key, value in environment(0, port).items():
                patch.setenv(key, value)
            patch.setattr(ranks, "LONGEST_WAIT", timedelta(seconds=120))
            train_tiny(*arguments)
        said = second.communicate(timeout=120)[0]
    finally:
        second.kill()
        second.communicate()
    assert second.returncode == 0
    assert said == ""  # one process speaks
    told = json.loads(capfd.readouterr().out)
    require_same(data, tmp_path / "one", tmp_path / "two")
    assert json.loads(capfd.readouterr().out)["val_dice"] == pytest.approx(told["val_dice"])


@pytest.mark.slow
def test_torchrun_starts_two_processes_that_train_as_one(data, tmp_path):
    launcher = [sys.executable, "-W", "ignore", "-m", "torch.distributed.run", "--standalone"]
    arguments = ["--nproc-per-node=2", __file__, str(data), "--output", str(tmp_path / "two"), *HOW]
    both = subprocess.run(
        [*launcher, *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, **ENVIRONMENT},
    )
    assert both.returncode == 0, both.stderr
    assert json.loads(both.stdout)["best_step"] > 0  # one process speaks
    require_same(data, tmp_path / "one", tmp_path / "two")


def test_a_batch_that_cannot_be_shared_evenly_is_refused():
    with pytest.raises(InputError, match=r"divides the 4 patches.*found 3, started by torchrun"):
        Ranks(0, 3).require_shares(4)
    Ranks(1, 2).require_shares(4)


def test_without_torchrun_a_process_is_alone(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")  # as other launchers leave it
    with joined(torch.device("cpu")) as alone:
        assert alone == ALONE
    value = torch.rand(2, 3)
    assert alone.whole(value) is value
    assert alone.every([1, 2]) == [1, 2]


def test_more_processes_than_cards_are_refused(monkeypatch):
    for key, value in {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    refused = pytest.raises(InputError, match=r"found 1 GPUs for process 2.*--nproc-per-node 1")
    with refused, joined(torch.device("cuda")):
        pass


def test_each_process_makes_its_own_patches_of_the_same_batch():
    def inputs(*processes: Ranks) -> np.ndarray:
        settings = config(batch_size=4)
        makers = [BatchMaker(a_source(), Augmentation(2), SPEC, settings, r) for r in processes]
        return np.concatenate([maker[3][0].numpy() for maker in makers])

    whole = inputs(ALONE)
    shared = inputs(Ranks(0, 2), Ranks(1, 2))
    assert np.array_equal(shared, whole[[0, 2, 1, 3]])


if __name__ == "__main__":  # the processes beside the test's own
    train_tiny(*sys.argv[1:])
