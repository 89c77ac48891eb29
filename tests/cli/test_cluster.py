"""`predict --scheduler`: two worker processes make what one process makes, even if one dies."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest

from napari_breastseg import formats
from napari_breastseg.cli import _cluster
from napari_breastseg.cli._cluster import Task
from napari_breastseg.cli._finishing import Finishing
from napari_breastseg.cli._planning import Planned, plan
from napari_breastseg.cli._resuming import Resuming
from napari_breastseg.core.progress import drain
from napari_breastseg.model import checkpoint
from napari_breastseg.model.checkpoint import ModelInfo
from napari_breastseg.model.unet import ModelSpec, build

distributed = pytest.importorskip("distributed")
pytestmark = pytest.mark.filterwarnings("ignore")  # Dask's own, of ports and closing streams


@pytest.fixture
def model(tmp_path):
    spec = ModelSpec(features=(4, 8), patch_size=(32, 32), inputs=("post1",))
    checkpoint.save(tmp_path / "m", build(spec).state_dict(), ModelInfo(name="small", spec=spec))
    return tmp_path / "m"


@pytest.fixture
def slices(tmp_path):
    folder = tmp_path / "slices"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for n in range(6):
        iio.imwrite(folder / f"S{n}.png", rng.integers(20, 200, (48, 40)).astype(np.uint8))
    (folder / "S6.png").write_bytes(b"cut off")
    return folder


def masks(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.png")}


def test_two_workers_make_the_same_masks_as_one_process(run, model, slices, tmp_path):
    one, many = tmp_path / "one", tmp_path / "many"
    assert run("predict", slices, "--output", one, "--model", model)[0] == 1
    words = ("--model", model, "--scheduler", "local:2", "--table", tmp_path / "t.csv")
    assert run("predict", slices, "--output", many, *words)[0] == 1
    assert masks(many) == masks(one)
    assert len(masks(one)) == 6
    assert (tmp_path / "t.csv").read_text().count("\n") == 8


class Dying:
    """A task whose worker is killed in the middle, once."""

    def __init__(self, task: Task, marker: Path) -> None:
        self.task, self.marker = task, marker

    def __call__(self, one: Planned) -> object:
        if one.case.case_id == "S2" and not self.marker.exists():
            self.marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return self.task(one)


def test_a_worker_that_is_killed_loses_no_case(model, slices, tmp_path):
    (slices / "S6.png").unlink()
    planned, _ = plan(
        [slices], tmp_path / "out", None, False, part=None, tables=[], show_paths=False, quiet=True
    )
    finishing = Finishing(
        prob=False, is_measured=False, is_looked_at=False, breasts=None, quiet=True
    )
    how = {"device": "cpu", "threshold": 0.5, "breasts_only": None}
    task = Task(model, how, False, finishing, Resuming([], {}, wanted=False), threads=1)
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        dying = Dying(task, tmp_path / "killed")
        rows = drain(_cluster._rows(distributed, client, planned, dying))  # type: ignore[arg-type]
    assert (tmp_path / "killed").exists()
    assert [row["case_id"] for row in rows] == [one.case.case_id for one in planned]
    assert {row["status"] for row in rows} == {"done"}
    assert len(masks(tmp_path / "out")) == 6
    assert formats.find_cases(tmp_path / "out")
