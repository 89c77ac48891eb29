"""A model from somewhere else is bounded before it is built, and tried before it is registered."""

from __future__ import annotations

import hashlib
import json
import tracemalloc

import pytest
import torch
from safetensors.torch import save

from napari_breastseg.core.errors import InputError
from napari_breastseg.model import checkpoint
from napari_breastseg.model.checkpoint import MODEL_FILE, WEIGHTS_FILE, ModelInfo
from napari_breastseg.model.unet import ModelSpec, build
from napari_breastseg.registry.models import Registry

SPEC = ModelSpec(features=(4, 8), patch_size=(32, 32))


@pytest.fixture
def model(tmp_path):
    torch.manual_seed(1)
    folder = tmp_path / "model"
    checkpoint.save(folder, build(SPEC).state_dict(), ModelInfo(name="tiny", spec=SPEC))
    return folder


def change_spec(folder, **changes):
    path = folder / MODEL_FILE
    info = json.loads(path.read_text())
    info["spec"] |= changes
    path.write_text(json.dumps(info))


def put_weights(folder, weights):
    """Weights with the right hash, whatever they are."""
    data = save(weights)
    (folder / WEIGHTS_FILE).write_bytes(data)
    info = json.loads((folder / MODEL_FILE).read_text())
    info["weights_sha256"] = hashlib.sha256(data).hexdigest()
    (folder / MODEL_FILE).write_text(json.dumps(info))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_neither_loaded_nor_registered(model, value):
    weights = checkpoint.load(model).network.state_dict()
    weights["head.0.conv.bias"] = torch.tensor([value, 0.0])
    put_weights(model, weights)
    with pytest.raises(InputError, match=r"finite weights.*head.0.conv.bias.*mark nothing"):
        checkpoint.load(model)
    registry = Registry()
    with pytest.raises(InputError, match="NaN or infinite"):
        registry.register(model)
    assert registry.list() == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"features": [4] * 2000},
        {"features": [20000, 20000]},
        {"features": [2048] * 8},
        {"features": [-4, 8]},
        {"percentiles": [-5, 500]},
        {"percentiles": [99, 1]},
        {"spacing_mm": [None, -1, 1]},
        {"spacing_mm": [None, 1e-9, 1]},
        {"patch_size": [-32, 32]},
        {"patch_size": [10**9, 10**9]},
        {"dims": 3, "patch_size": [4096, 4096, 4096]},
        {"inputs": ["post1"] * 1000},
        {"through_plane_mm": 1e9},
        {"scales": [1.0] * 1000},
        {"labels": {"tumor": 1} | {f"l{n}": n for n in range(2, 5000)} | {"background": 0}},
        {"norm": "group", "features": [5, 7]},
    ],
    ids=lambda changes: ",".join(changes),
)
def test_an_absurd_spec_is_refused_before_anything_is_built(model, changes):
    change_spec(model, **changes)
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=r"Expected a valid model\.json.*spec"):
            Registry().register(model)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**24


def foreign(name, preprocessing=(), roi_size=None, **arguments):
    return {
        "source": "monai",
        "name": name,
        "arguments": arguments,
        "preprocessing": preprocessing,
        "roi_size": roi_size,
    }


BASIC = {"spatial_dims": 2, "in_channels": 1, "out_channels": 2}


@pytest.mark.parametrize(
    ("network", "found"),
    [
        (foreign("BasicUNet", **BASIC, features=[20000] * 6), "more weights"),
        (foreign("BasicUNet", **BASIC, features=[1e9] * 6), "numbers must lie"),
        (foreign("BasicUNet", **BASIC, features="many"), "that fail"),
        (
            foreign("UNet", **BASIC, channels=[4, 8], strides=[2], num_res_units=10**5),
            "more layers",
        ),
        (foreign("UNet", **BASIC, channels=[4] * 30000, strides=[2]), "at most 20000 values"),
        (foreign("SwinUNETR", **BASIC, window_size=4096), "window_size"),
        (foreign("BasicUNet", [["SaveImaged", {"output_dir": "/"}]], **BASIC), "preprocessing"),
        (foreign("BasicUNet", [["Spacingd", {"pixdim": [1e-9, 1]}]], **BASIC), "pixdim"),
        (foreign("BasicUNet", (), [1024, 1024, 1024], **BASIC), "roi_size"),
    ],
)
def test_an_absurd_network_of_another_library_is_refused(model, network, found):
    change_spec(model, foreign=network)
    with pytest.raises(InputError, match=found):
        Registry().register(model)
    assert Registry().list() == ()


def test_transformers_are_measured_like_any_other_network(model):
    swin = {"in_channels": 1, "out_channels": 2, "spatial_dims": 2, "feature_size": 12}
    spec = SPEC.model_validate(
        SPEC.model_dump() | {"foreign": foreign("SwinUNETR", **swin), "patch_size": (64, 64)}
    )
    assert all(not value.is_meta for value in build(spec).parameters())


def test_a_model_that_fails_on_a_tiny_exam_is_not_registered(model):
    # Its weights fit, its input channels do not: two of them are asked for, it has one.
    network = foreign("BasicUNet", **BASIC, features=[4, 4, 8, 8, 8, 4])
    made = ModelSpec.model_validate(SPEC.model_dump() | {"foreign": network})
    put_weights(model, build(made).state_dict())
    change_spec(model, foreign=network, inputs=["pre", "post1"])
    with pytest.raises(InputError, match="segment a small test exam; found that it fails"):
        Registry().register(model)
    assert Registry().list() == ()


def test_a_broken_click_network_beside_a_model_is_found(model):
    spec = SPEC.model_copy(update={"prompts": ("in",)})
    clicks = model / "clicks"
    checkpoint.save(clicks, build(spec).state_dict(), ModelInfo(name="clicks", spec=spec))
    assert Registry().register(model, "whole").name == "whole"
    weights = build(spec).state_dict()
    weights["head.0.conv.bias"] = torch.tensor([float("nan"), 0.0])
    put_weights(clicks, weights)
    with pytest.raises(InputError, match="NaN or infinite"):
        Registry().register(model, "broken")
