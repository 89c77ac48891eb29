"""A spec decides the network, and a spec that contradicts itself is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from napari_breastseg.core.errors import InputError
from napari_breastseg.core.volume import Exam, Grid, Volume
from napari_breastseg.model.unet import ModelSpec, build, folded

SPECS = {
    "2D": ModelSpec(features=(4, 8)),
    "2.5D": ModelSpec(features=(4, 8), context_slices=2, inputs=("pre", "post1")),
    "3D": ModelSpec(features=(4, 8, 16), dims=3, patch_size=(16, 32, 32)),
    "half resolution": ModelSpec(features=(4, 8), stem_stride=2),
    "instance norm": ModelSpec(features=(4, 8), norm="instance"),
    "group norm": ModelSpec(features=(4, 8), norm="group"),
}


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_logits_have_the_inputs_size_and_a_channel_per_label(spec):
    size = (16, 32, 32)[-spec.dims :]
    logits = build(spec)(torch.rand(2, spec.in_channels, *size))
    assert logits.shape == (2, 2, *size)


def test_channels_are_inputs_times_slices():
    assert SPECS["2.5D"].in_channels == 2 * 5


def test_differences_need_both_phases():
    spec = ModelSpec(inputs=("post1", "post2-pre"))
    assert spec.phases == ("post1", "post2", "pre")


def test_a_fresh_network_believes_tumor_is_rare():
    torch.manual_seed(0)
    share = build(SPECS["2D"])(torch.rand(2, 1, 64, 64)).softmax(1)[:, 1].mean()
    assert share < 0.15


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"dims": 3, "context_slices": 1, "patch_size": (16, 32, 32)}, "context_slices is for"),
        ({"patch_size": (100, 100)}, "multiple of 8"),
        ({"patch_size": (16, 64, 64)}, "patch_size needs 2 numbers"),
        ({"labels": {"background": 0, "tumor": 2}}, "tumor = 1"),
        ({"widht": 3}, "Extra inputs"),
        ({"scales": ()}, "at least 1 item"),
        ({"scales": (1.0, 0.1)}, r"scales must lie between 0.25 and 4"),
        ({"dims": 3, "scales": (1.0, 0.9), "patch_size": (16, 32, 32)}, "scales are for dims 2"),
    ],
)
def test_a_spec_that_contradicts_itself_is_refused(fields, message):
    with pytest.raises(ValidationError, match=message):
        ModelSpec(**fields)


def exam_of(*roles):
    volume = Volume(np.arange(8.0).reshape(2, 2, 2), Grid((2, 2, 2)))
    return Exam("P", dict.fromkeys(roles, volume))


@pytest.mark.parametrize(
    ("roles", "used"),
    [
        (("pre", "post1", "post2"), ("pre", "post1")),
        (("post1",), ("post1",)),
        (("sub1",), ("sub1",)),
    ],
)
def test_a_model_that_bears_missing_phases_says_which_it_uses(roles, used):
    spec = ModelSpec(inputs=("pre", "post1", "post1-pre"), missing="zero")
    assert spec.require(exam_of(*roles), "starter") == used


@pytest.mark.parametrize(
    ("roles", "used"),
    [
        (("pre", "post1", "post2", "post3"), ("pre", "post1", "last", "least")),
        (("post1", "post2"), ("post1", "last", "least")),
        (("pre", "post1"), ("pre", "post1")),
        (("sub1",), ("sub1",)),
    ],
)
def test_a_model_of_all_phases_takes_those_there_are(roles, used):
    inputs = ("pre", "post1", "post1-pre", "last-post1", "least-pre")
    spec = ModelSpec(inputs=inputs, missing="zero")
    assert spec.require(exam_of(*roles), "starter") == used
    assert spec.phases == ("pre", "post1")
    assert spec.uses_all_posts


def test_models_that_hid_small_regions_still_open():
    spec = ModelSpec.model_validate({"least_share": 0.2, "least_share_in": "slices"})
    assert spec == ModelSpec()


def test_even_that_model_needs_something():
    spec = ModelSpec(inputs=("post1", "post1-pre"), missing="zero")
    with pytest.raises(InputError, match="phase post1 for model starter"):
        spec.require(exam_of("pre"), "starter")


def test_other_models_need_every_phase():
    with pytest.raises(InputError, match="phase pre for model plain"):
        ModelSpec(inputs=("pre", "post1")).require(exam_of("post1"), "plain")


@pytest.mark.parametrize("fields", [{"stem_stride": 2}, {"dims": 3, "patch_size": (16, 16, 16)}])
def test_folding_the_batch_norms_changes_no_logit(fields):
    torch.manual_seed(0)
    network = build(ModelSpec(features=(4, 8, 12), **{"patch_size": (32, 32), **fields})).train()
    shape = (2, 1, 16, 16, 16)[: 2 + fields.get("dims", 2)]
    for _ in range(3):  # running means and variances that are not those of a fresh network
        network(2 * torch.randn(shape) + 1)
    network.eval()
    x = torch.randn(shape)
    fast = folded(network)
    assert not any(isinstance(m, torch.nn.modules.batchnorm._BatchNorm) for m in fast.modules())
    assert any(isinstance(m, torch.nn.modules.batchnorm._BatchNorm) for m in network.modules())
    torch.testing.assert_close(fast(x), network(x), rtol=1e-4, atol=1e-4)


def test_folding_leaves_instance_norm_as_it_is():
    network = build(ModelSpec(features=(4, 8), norm="instance", patch_size=(32, 32))).eval()
    x = torch.randn(1, 1, 32, 32)
    torch.testing.assert_close(folded(network)(x), network(x))


def monai_unet(spec):
    """The same network of MONAI's own blocks."""
    from itertools import pairwise

    from monai.networks.blocks import Convolution
    from monai.networks.nets.basic_unet import Down, TwoConv, UpCat
    from torch import nn

    act = ("LeakyReLU", {"inplace": True, "negative_slope": 0.1})
    norm = {
        "batch": "batch",
        "instance": ("instance", {"affine": True}),
        "group": ("group", {"num_groups": 4}),
    }[spec.norm]
    how = {"act": act, "norm": norm, "bias": False, "dropout": spec.dropout}
    widths, dims, first = spec.features, spec.dims, spec.in_channels
    network, entry = nn.Module(), nn.Identity()
    if spec.stem_stride == 2:
        shape = {"strides": 2, "kernel_size": 4, "padding": 1}
        entry = Convolution(dims, first, widths[0], act=act, norm=norm, bias=False, **shape)
        first = widths[0]
    network.stem = nn.Sequential(entry, TwoConv(dims, first, widths[0], **how))
    network.downs = nn.ModuleList(Down(dims, a, b, **how) for a, b in pairwise(widths))
    network.ups = nn.ModuleList(
        UpCat(dims, a, b, b, upsample="deconv", is_pad=False, **how)
        for a, b in pairwise(reversed(widths))
    )
    network.head = nn.Sequential(Convolution(dims, widths[0], 2, kernel_size=1, conv_only=True))
    return network


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_blocks_are_monais_in_names_fresh_weights_and_answers(spec):
    torch.manual_seed(3)
    theirs = monai_unet(spec)
    torch.manual_seed(3)
    ours = build(spec)
    weights, own = theirs.state_dict(), ours.state_dict()
    assert list(weights) == list(own)
    fresh = [name for name in weights if name != "head.0.conv.bias"]  # which believes in no tumor
    assert all(torch.equal(weights[name], own[name]) for name in fresh)
    ours.load_state_dict(weights)
    x = torch.rand(2, spec.in_channels, *(16, 32, 32)[-spec.dims :])
    skips = [theirs.stem(x)]
    for down in theirs.downs:
        skips.append(down(skips[-1]))
    seen = skips.pop()
    for up in theirs.ups:
        seen = up(seen, skips.pop())
    torch.testing.assert_close(ours.features(x), seen)


def test_building_and_loading_a_network_imports_no_monai():
    import subprocess
    import sys

    code = (
        "import sys; from napari_breastseg.model.checkpoint import STARTER, load; "
        "import napari_breastseg.predict.prediction; load(STARTER).fast_network; "
        "sys.exit('monai' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
