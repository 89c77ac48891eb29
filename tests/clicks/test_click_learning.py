"""What a click network learns from, and that it learns; it segments nothing unasked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_breastseg.clicks.learning import Example, ExampleSlice, example, sitting
from napari_breastseg.clicks.prompts import CHANNELS, Prompts
from napari_breastseg.core.errors import InputError
from napari_breastseg.core.overlap import dice
from napari_breastseg.core.progress import drain
from napari_breastseg.core.volume import Exam, Grid, Volume
from napari_breastseg.model import checkpoint
from napari_breastseg.model.checkpoint import ModelInfo
from napari_breastseg.model.unet import ModelSpec, build
from napari_breastseg.predict.prediction import predict
from napari_breastseg.registry.models import Registry
from napari_breastseg.training.loss import segmentation_loss
from napari_breastseg.training.preparing import require_trainable

SIDE = 96
SPEC = ModelSpec(
    inputs=("pre", "post1", "post1-pre"),
    missing="zero",
    prompts=CHANNELS,
    features=(4, 8, 16),
    patch_size=(SIDE, SIDE),
)


def a_slice(seed: int, *, has_lesion: bool = True) -> ExampleSlice:
    """A bright disk, and a bright stripe that is no lesion."""
    rng = np.random.default_rng(seed)
    y, x = np.indices((100, 120))
    lesion = np.hypot(y - rng.uniform(30, 70), x - rng.uniform(30, 90)) < rng.uniform(6, 14)
    lesion &= has_lesion
    stripe = abs(y - rng.uniform(0, 100)) < 3
    pre = rng.normal(0.3, 0.02, (100, 120))
    post = pre + 0.5 * (lesion | stripe)
    phases = torch.from_numpy(np.stack([pre, post]).astype(np.float32))
    truth = torch.from_numpy(lesion.astype(np.float32))
    return ExampleSlice(f"P{seed}", phases, ("pre", "post1"), truth, truth * 0.4, truth)


SLICES = [a_slice(n) for n in range(12)]


def test_examples_begin_in_every_way_and_say_what_is_true_of_them() -> None:
    rng = np.random.default_rng(0)
    made = [example([SLICES[n % 12]], SPEC, rng) for n in range(150)]
    assert sum(bool(one.prompts.inside) for one in made) > 60
    assert sum(bool(one.prompts.outside) for one in made) > 10
    assert sum(one.prompts.box is not None for one in made) > 3
    assert sum(one.neighbor is not None for one in made) > 8
    assert sum(bool(one.mask.any()) for one in made) > 30
    assert all(one.channels().shape == (3 + len(CHANNELS), SIDE, SIDE) for one in made)
    inside = [one.truth[round(y), round(x)] for one in made for y, x in one.prompts.inside]
    assert np.mean(inside) > 0.9  # a few clicks mean nothing
    fewer = [one for one in made if not one.inputs[0].any()]
    assert 20 < len(fewer) < 75
    sizes = [one.truth.sum() for one in made]
    assert np.percentile(sizes, 90) > 8 * np.percentile(sizes, 10)


def test_a_slice_without_lesion_is_learned_from_too() -> None:
    rng = np.random.default_rng(1)
    made = [example([a_slice(3, has_lesion=False)], SPEC, rng) for _ in range(30)]
    assert not any(one.truth.any() for one in made)
    assert any(one.prompts.outside for one in made)


def test_readers_who_draw_are_told_from_those_who_mark_what_enhances() -> None:
    ring = a_slice(5)
    y, x = np.indices(ring.truth.shape)
    far = np.hypot(y - 50, x - 60)
    truth = torch.from_numpy(((far < 14) & (far > 5)).astype(np.float32))
    ring = replace(ring, truth=truth, neighbor=None)
    rng = np.random.default_rng(3)
    made = [example([ring], SPEC, rng, side) for side in (64, 96, 128) for _ in range(20)]
    shown = [one for one in made if one.truth.any()]
    filled = [bool((ndimage.binary_fill_holes(one.truth) == one.truth).all()) for one in shown]
    told = [not one.prompts.only_enhancing for one in shown]
    assert np.mean(np.array(filled) == told) > 0.9  # a part of a ring in a square has no hole
    assert 0.2 < np.mean(told) < 0.8
    drawn = [example([replace(ring, is_drawn=True)], SPEC, rng) for _ in range(20)]
    assert not any(one.prompts.only_enhancing for one in drawn)
    assert {len(one.mask) for one in made} == {64, 96, 128}


def test_what_a_reader_said_is_said_again_where_the_mask_says_the_same() -> None:
    one = a_slice(4)
    y, x = (int(v) for v in np.argwhere(one.truth.numpy() > 0.5)[0])
    said = replace(one, said=(((float(y), float(x)), True), ((2.0, 2.0), True)), is_drawn=True)
    rng, other = np.random.default_rng(6), np.random.default_rng(6)
    places = [p for _ in range(60) for p in example([said], SPEC, rng).prompts.inside]
    assert len(places) > 20
    plain = replace(one, is_drawn=True)
    without = [p for _ in range(60) for p in example([plain], SPEC, other).prompts.inside]
    assert places != without


def test_each_sitting_clicks_on_what_the_network_got_wrong() -> None:
    class Nothing(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.stack([torch.ones_like(x[:, 0]), torch.zeros_like(x[:, 0])], 1)

    truth = np.zeros((SIDE, SIDE), bool)
    truth[20:40, 30:60] = True
    one = Example(torch.zeros(3, SIDE, SIDE), truth, Prompts(), np.zeros_like(truth))
    inputs, target = sitting(Nothing(), [one], 3, np.random.default_rng(0))
    assert len(one.prompts.inside) == 3
    assert inputs.shape == (1, 3 + len(CHANNELS), SIDE, SIDE)
    assert (target[0].numpy() == truth).all()


def test_it_learns_to_outline_what_is_clicked() -> None:
    torch.manual_seed(0)
    network = build(SPEC).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    rng = np.random.default_rng(2)
    for _ in range(40):
        examples = [example([SLICES[int(rng.integers(12))]], SPEC, rng) for _ in range(6)]
        inputs, truth = sitting(network, examples, 0, rng)
        loss = segmentation_loss(network(inputs), truth, dice_over_batch=False)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    unseen = [a_slice(n) for n in range(40, 52)]
    fresh = [example([one], SPEC, np.random.default_rng(7)) for one in unseen]
    inputs, truth = sitting(network.eval(), fresh, 1, np.random.default_rng(8))
    with torch.inference_mode():
        masks = network(inputs).argmax(1).numpy() == 1
    found = [dice(mask, one.truth) for mask, one in zip(masks, fresh, strict=True)]
    assert np.mean(found) > 0.5


def test_a_click_network_is_kept_like_any_model_but_segments_nothing_unasked(
    tmp_path: Path,
) -> None:
    network = build(SPEC)
    checkpoint.save(tmp_path / "clicks", network.state_dict(), ModelInfo(name="c", spec=SPEC))
    loaded = checkpoint.load(tmp_path / "clicks")
    assert loaded.spec == SPEC
    volume = Volume(np.random.default_rng(0).normal(size=(2, 32, 32)), Grid((2, 32, 32)))
    with pytest.raises(InputError, match="answers clicks"):
        drain(predict(loaded, Exam("P1", {"post1": volume})))
    with pytest.raises(InputError, match="answers clicks"):
        require_trainable(SPEC)
    with pytest.raises(InputError, match="answers clicks"):
        Registry(tmp_path / "home").register(tmp_path / "clicks")
