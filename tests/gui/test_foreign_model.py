"""A MONAI bundle in the registry is segmented with like a model of our own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from napari_breastseg.core.progress import drain
from napari_breastseg.core.volume import TUMOR
from napari_breastseg.model import checkpoint
from napari_breastseg.model.importing import import_model
from napari_breastseg.predict.prediction import predict
from napari_breastseg.registry.models import Registry


def make_bundle(folder: Path) -> Path:
    """A 2D bundle with fresh weights."""
    from monai.networks.nets import BasicUNet

    for part in ("configs", "models"):
        (folder / part).mkdir(parents=True)
    channels = {
        "inputs": {"image": {"channel_def": {"0": "post1"}}},
        "outputs": {"pred": {"channel_def": {"0": "background", "1": "tumor"}}},
    }
    features = [4, 4, 8, 8, 8, 4]
    described = {"spatial_dims": 2, "in_channels": 1, "out_channels": 2, "features": features}
    config = {
        "network_def": {"_target_": "BasicUNet", **described},
        "preprocessing": [{"_target_": "NormalizeIntensityd", "keys": "image"}],
        "inferer": {"_target_": "SlidingWindowInferer", "roi_size": [128, 128]},
    }
    (folder / "configs" / "metadata.json").write_text(
        json.dumps({"name": "bundle", "network_data_format": channels})
    )
    (folder / "configs" / "inference.json").write_text(json.dumps(config))
    torch.manual_seed(0)
    torch.save(BasicUNet(**described).state_dict(), folder / "models" / "model.pt")
    return folder


def test_a_bundle_segments_in_the_window(
    window: SimpleNamespace, idle: Callable[..., None], slice_case: Any, tmp_path: Path
) -> None:
    made = import_model(make_bundle(tmp_path / "bundle"), tmp_path / "made")
    entry = Registry().register(made, "bundle")
    dock = window.dock
    dock.open_panel.path.setValue(slice_case.path)
    dock.open_panel.open()
    window.qtbot.waitUntil(lambda: dock.session.case_id == slice_case.case_id)
    idle(dock.open_panel.runner)
    segment = dock.segment_panel
    segment.reset_choices()
    segment.model.value = entry.path
    segment.device.value = "cpu"
    dock.segment()
    idle(segment.runner)
    drawn = window.viewer.layers[f"{slice_case.case_id} tumor"].data
    model = checkpoint.load(entry.path)
    engine = drain(predict(model, slice_case.exam(), device="cpu")).label_map
    assert engine.tumor.any()
    assert np.array_equal(drawn == TUMOR, engine.tumor)

    # It is no start for a training, and says so.
    dock.train_panel.form.base.value = entry.path
    assert "other software" in dock.train_panel.form.base.problem
