"""A fine-tuned model keeps its base beside, for exams unlike those it learned from."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from test_training import CASES, SPEC, Slice, config

from napari_breastseg.core.errors import InputError
from napari_breastseg.core.progress import drain
from napari_breastseg.core.volume import Exam, Grid, Volume
from napari_breastseg.model import checkpoint
from napari_breastseg.model.checkpoint import Checkpoint, ModelInfo
from napari_breastseg.model.unet import ModelSpec, build
from napari_breastseg.predict.prediction import predict
from napari_breastseg.training import preparing, train
from napari_breastseg.training.cases import load_cases
from napari_breastseg.training.corrections import Corrections
from napari_breastseg.training.exam_learning import ExamLearner
from napari_breastseg.training.learner import Learner
from napari_breastseg.training.likening import site_of
from napari_breastseg.training.planning import plan_config_for
from napari_breastseg.training.ranks import ALONE
from napari_breastseg.training.validating import validation_of


@dataclass(frozen=True)
class Stripes(Slice):
    """A disk on stripes: an exam of another machine."""

    def exam(self) -> Exam:
        image = 100 * (np.indices((1, 48, 40))[1] % 8 < 4) + 120 * self.label_map().tumor
        return Exam(self.case_id, {"post1": Volume(image.astype(np.float32), Grid(image.shape))})


ELSEWHERE = Stripes("F0", "PF")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A base, a model fine-tuned on two cases of it, and the result of that training."""
    folder = tmp_path_factory.mktemp("trained")
    drain(train(CASES[:2], folder / "base", spec=SPEC, config=config(steps=3)))
    base = checkpoint.load(folder / "base")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preparing, "LIKENED_PATCHES", 8)
        settings = config(steps=6, keeps_base=True, averaging=0.0)
        job = train(CASES[2:], folder / "site", base=base, config=settings, validation=[ELSEWHERE])
        result = drain(job)
        drain(
            train(
                CASES[:1],
                folder / "again",
                base=checkpoint.load(folder / "site"),
                config=config(steps=2, keeps_base=True),
            )
        )
    return base, folder, result


def test_the_checkpoint_holds_the_base_as_it_was_and_what_was_trained(trained):
    base, folder, _ = trained
    site = checkpoint.load(folder / "site")
    before, general = base.network.state_dict(), site.general.state_dict()
    assert all(torch.equal(general[key], value) for key, value in before.items())
    assert not all(
        torch.equal(site.network.state_dict()[key], value) for key, value in before.items()
    )
    (own,) = site.info.site.exams
    assert (own.phases, own.cases, own.patients) == (("post1",), 2, 2)


def test_an_exam_like_the_sites_gets_its_model_and_one_from_elsewhere_the_base(trained):
    base, folder, _ = trained
    site = checkpoint.load(folder / "site")
    own = drain(predict(site, CASES[3].exam(), device="cpu"))
    other = drain(predict(site, ELSEWHERE.exam(), device="cpu"))
    assert (own.site_share, other.site_share) == (1.0, 0.0)
    alone = drain(predict(site.at(1.0), CASES[3].exam(), device="cpu"))
    general = drain(predict(base, ELSEWHERE.exam(), device="cpu"))
    np.testing.assert_allclose(own.probability.data, alone.probability.data, atol=1e-6)
    np.testing.assert_allclose(other.probability.data, general.probability.data, atol=1e-6)
    assert general.site_share is None


def test_it_is_told_where_the_general_model_takes_part(trained):
    _, folder, _ = trained
    site = checkpoint.load(folder / "site")
    told = {}
    for case in (ELSEWHERE, CASES[3]):
        said = told.setdefault(case.case_id, [])
        drain(
            predict(site, case.exam(), device="cpu"),
            lambda progress, said=said: said.append(progress.message),
        )
    text = (
        "Site 0 %, general model 100 %: F0 is less like the exams that the model was fine-tuned on"
    )
    assert text in told["F0"]
    assert not any("Site" in message for message in told["C3"])


def test_an_exam_learns_from_its_corrections_with_the_mixture_that_drafted_it(trained):
    base, folder, _ = trained
    exams = [ELSEWHERE.exam(), Stripes("F1", "PF", 1).exam()]
    truth = ELSEWHERE.label_map().data
    corrections = [
        Corrections(truth, np.zeros(truth.shape, bool), np.ones(1, bool)),
        Corrections.nothing(exams[1].grid.shape),
    ]
    redrafts = [
        drain(ExamLearner(model, exams, device="cpu").quick(corrections))[1]
        for model in (base, checkpoint.load(folder / "site"))
    ]
    np.testing.assert_allclose(
        redrafts[0].probability.data, redrafts[1].probability.data, atol=1e-3
    )


def test_each_case_is_validated_on_with_the_mixture_it_would_get(trained, tmp_path):
    base, folder, _ = trained
    site = checkpoint.load(folder / "site").info.site
    cases = drain(load_cases([ELSEWHERE, CASES[3]], SPEC, tmp_path, "Reading"))
    tests = drain(validation_of(cases, SPEC, base, site, torch.device("cpu")))
    assert tests.shares == [0.0, 1.0]
    learner = Learner(SPEC, config(keeps_base=True), base, torch.device("cpu"), ALONE)
    with torch.no_grad():
        learner.averaged.head[0].conv.bias += 1.0
    general, kept = learner.used(tests.shares)
    before = base.network.head[0].conv.bias
    torch.testing.assert_close(general.head[0].conv.bias, before)
    torch.testing.assert_close(kept.head[0].conv.bias, before + 1.0)


def test_what_it_brought_is_said_in_a_sentence(trained):
    result = replace(trained[2], dice_before=0.781, val_dice=0.844)
    assert result.gain == (
        "On 1 case of patients it did not learn from, the mean Dice went from 0.78 to 0.84 (+0.06)."
    )
    assert "the mean Dice is 0.84." in replace(result, dice_before=None).gain


def test_a_second_fine_tuning_keeps_the_first_base_and_adds_to_what_the_site_looks_like(trained):
    base, folder, _ = trained
    site, again = checkpoint.load(folder / "site"), checkpoint.load(folder / "again")
    before = base.network.state_dict()
    assert all(torch.equal(again.general.state_dict()[k], v) for k, v in before.items())
    assert again.info.site.scale == site.info.site.scale
    assert again.info.site.exams[0] == site.info.site.exams[0]
    assert [own.cases for own in again.info.site.exams] == [2, 1]


def test_the_model_card_tells_of_both_models(trained):
    _, folder, _ = trained
    assert "Those of the general model are kept beside" in checkpoint.load(folder / "site").card


def test_the_last_weights_are_a_pair_too(trained):
    _, folder, _ = trained
    last = checkpoint.load(folder / "site" / "last")
    assert last.general is not None
    assert last.info.site == checkpoint.load(folder / "site").info.site


def test_models_that_cannot_compare_exams_get_a_fixed_share_of_their_base():
    deep = ModelSpec(dims=3, features=(4, 8), patch_size=(16, 32, 32), inputs=("post1",))
    for spec in (deep, ModelSpec(inputs=("t2",))):
        base = Checkpoint(ModelInfo(name="base", spec=spec), build(spec))
        settings = plan_config_for(base, cases=4)
        assert (settings.keeps_base, settings.base_share) == (False, 0.65)
        with pytest.raises(InputError, match="Expected a 2D model of pre- and post-contrast"):
            drain(site_of(base, [], [], torch.device("cpu")))


def test_without_patients_kept_apart_nothing_is_said_of_others(tmp_path):
    result = drain(train(CASES[:1], tmp_path / "m", spec=SPEC, config=config(steps=1)))
    assert result.gain.startswith("No patient was kept apart")
