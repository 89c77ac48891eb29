"""What keeps a model from forgetting: replayed phantoms, kept statistics, shares of the base."""

import numpy as np
import pytest
import torch
from test_training import CASES, SPEC, config, require_same_weights, weights_of

from napari_breastseg.core.progress import drain
from napari_breastseg.core.volume import TUMOR
from napari_breastseg.model import checkpoint
from napari_breastseg.model.unet import ModelSpec
from napari_breastseg.training import train
from napari_breastseg.training.cases import TrainingCase
from napari_breastseg.training.patches import MixedSource, PatchSource
from napari_breastseg.training.planning import plan_config
from napari_breastseg.training.replay import (
    PhantomCase,
    can_replay,
    draw_phantom,
    replay_cases,
    whole_phantom,
)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base") / "base"
    drain(train(CASES[:2], folder, spec=SPEC, config=config(steps=3)))
    return checkpoint.load(folder)


def tuned(base, folder, **settings):
    settings = {"steps": 3, "averaging": 0.0, **settings}
    drain(train(CASES[2:], folder, base=base, config=config(**settings)))
    return weights_of(folder / "last")


def test_a_phantom_is_the_same_each_time_and_has_the_phases_asked_for():
    case = PhantomCase(0, ("post1", "post2"))
    again = PhantomCase(0, ("post1", "post2"))
    assert list(case.exam().phases) == ["post1", "post2"]
    assert np.array_equal(case.exam().phases["post2"].data, again.exam().phases["post2"].data)
    assert case.label_map().grid.shape == (2, 256, 256)  # a sagittal one
    assert (case.label_map().data == TUMOR).any()
    assert not (PhantomCase(1).label_map().data == TUMOR).any()


def test_models_of_other_images_get_no_phantoms():
    assert not can_replay(ModelSpec(inputs=("t2",)))
    assert not can_replay(ModelSpec(inputs=("post",)))
    assert replay_cases(ModelSpec(inputs=("t2",)), patches=100) == ()
    assert replay_cases(SPEC, patches=0) == ()


def test_a_short_run_draws_few_phantoms_and_a_long_one_no_more_than_are_enough():
    counts = [len(replay_cases(SPEC, patches)) for patches in (2, 100, 100_000)]
    assert counts == [2, 25, 64]
    deep = ModelSpec(dims=3, features=(4, 8), patch_size=(16, 32, 32), inputs=("pre", "post1"))
    assert {case.slices for case in replay_cases(deep, 100_000)} == {16}
    assert len(replay_cases(deep, 100_000)) == 8


def source_of(value: float) -> PatchSource:
    phases = np.full((1, 1, 32, 32), value, np.float16)
    labels = np.zeros((1, 32, 32), np.uint8)
    return PatchSource([TrainingCase("A", "A", phases, ("post1",), labels)], (1, 32, 32), 0.5)


def test_the_last_patches_of_each_step_are_replayed():
    source = MixedSource(source_of(1), source_of(2), own_patches=3)
    rng = np.random.default_rng(0)
    assert [source.draw(rng, n)[0].max() for n in range(4)] == [1, 1, 1, 2]


def test_replayed_phantoms_change_what_is_learned(base, tmp_path):
    without = tuned(base, tmp_path / "without", batch_size=4)
    replayed = tuned(base, tmp_path / "with", batch_size=4, replay=0.25)
    assert any(not torch.equal(without[key], replayed[key]) for key in without)
    # Phantoms are no cases of anybody: the record names the reader's own only.
    info = checkpoint.read_info(tmp_path / "with")
    assert info.training.training_cases == ["C2", "C3"]


def test_kept_statistics_stay_those_of_the_base(base, tmp_path):
    learned = tuned(base, tmp_path / "learned")
    kept = tuned(base, tmp_path / "kept", norm_statistics="base")
    before = base.network.state_dict()
    statistics = [key for key in before if "running" in key]
    assert statistics
    assert all(torch.equal(kept[key], before[key]) for key in statistics)
    assert not all(torch.equal(learned[key], before[key]) for key in statistics)


def test_a_frozen_encoder_stays_as_it_is(base, tmp_path):
    frozen = tuned(base, tmp_path / "m", encoder_rate=0.0, norm_statistics="base")
    before = base.network.state_dict()
    encoder = [key for key in before if key.startswith(("stem", "downs"))]
    assert all(torch.equal(frozen[key], before[key]) for key in encoder)
    assert not torch.equal(frozen["head.0.conv.weight"], before["head.0.conv.weight"])


def test_the_share_of_the_base_is_averaged_into_what_is_saved(base, tmp_path):
    alone = tuned(base, tmp_path / "alone")
    half = tuned(base, tmp_path / "half", base_share=0.5)
    before = base.network.state_dict()
    for key, value in half.items():
        if value.is_floating_point():
            assert torch.allclose(value, (alone[key] + before[key]) / 2, atol=1e-6)


def test_a_resumed_run_saves_the_same_average(base, tmp_path):
    settings = config(steps=4, save_every=1, base_share=0.5, replay=0.5, batch_size=2)
    drain(train(CASES[2:], tmp_path / "whole", base=base, config=settings))
    job = train(CASES[2:], tmp_path / "cut", base=base, config=settings)
    while next(job).done != 2:
        pass
    job.close()
    drain(train(CASES[2:], tmp_path / "cut", base=base, config=settings, resume=True))
    require_same_weights(tmp_path / "whole", tmp_path / "cut")


def test_fine_tuning_replays_and_stays_near_the_base_unless_told_otherwise():
    usual = plan_config(is_fine_tuning=True, cases=8)
    assert (usual.replay, usual.keeps_base, usual.base_share) == (0.25, True, 0.35)
    fixed = plan_config(is_fine_tuning=True, cases=8, base_share=0.5)
    assert (fixed.keeps_base, fixed.base_share) == (False, 0.5)
    without = plan_config(is_fine_tuning=True, cases=8, keeps_base=False)
    assert (without.keeps_base, without.base_share) == (False, 0.65)
    assert plan_config(is_fine_tuning=False, cases=8).base_share == 0.0


def test_slabs_come_in_every_view_and_a_view_can_be_asked_for():
    drawn = [draw_phantom(number, "P", slices=2, posts=2) for number in range(12)]
    assert {phantom.exam.grid.end_letters[0][0] for phantom in drawn} == {"F", "R", "A"}
    for number, phantom in enumerate(drawn):
        assert list(phantom.exam.phases) == ["pre", "post1", "post2"]
        assert phantom.truth.grid.shape[0] == 2
        assert phantom.truth.tumor.any() == (number % 2 == 0)
    coronal = draw_phantom(0, "P", slices=3, view="coronal")
    assert coronal.exam.grid.end_letters == (("A", "P"), ("H", "F"), ("R", "L"))


@pytest.mark.parametrize(
    ("view", "slices", "letter"), [("axial", 60, "F"), ("sagittal", 46, "R"), ("coronal", 70, "A")]
)
def test_a_whole_phantom_has_the_slices_and_lesions_asked_for(view, slices, letter):
    phantom = whole_phantom(1, "P", view=view, posts=2, lesions=2)
    grid = phantom.exam.grid
    assert grid.end_letters[0][0] == letter
    assert grid.shape[0] >= slices
    assert list(phantom.exam.phases) == ["pre", "post1", "post2"]
    assert 1 <= len(phantom.lesions) <= 2
    assert not whole_phantom(1, "P", view=view, posts=1, lesions=0).truth.tumor.any()
