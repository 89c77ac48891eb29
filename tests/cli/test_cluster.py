"""`predict --scheduler`: two worker processes make what one process makes, even if one dies."""

from __future__ import annotations

from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from dying_task import Dying

from napari_breastseg.cli import _cluster
from napari_breastseg.cli._planning import plan
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


def test_a_worker_that_is_killed_loses_no_case(slices, tmp_path):
    planned, _ = plan(
        [slices], tmp_path / "out", None, False, part=None, tables=[], show_paths=False, quiet=True
    )
    task = Dying(tmp_path / "killed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        rows = drain(_cluster._rows(distributed, client, planned, task))  # type: ignore[arg-type]
    assert (tmp_path / "killed").exists()
    assert [row["case_id"] for row in rows] == [one.case.case_id for one in planned]
    assert {row["status"] for row in rows} == {"done"}
    made = {path.stem: path.read_text() for path in (tmp_path / "out").iterdir()}
    assert made == {one.case.case_id: one.case.case_id for one in planned}
