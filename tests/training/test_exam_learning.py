"""An exam learns from its own corrections: what is drafted again, and what never is."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_breastseg.core.errors import InputError
from napari_breastseg.core.overlap import dice
from napari_breastseg.core.progress import drain
from napari_breastseg.core.volume import Exam, Grid, LabelMap, Volume
from napari_breastseg.model import checkpoint
from napari_breastseg.model.checkpoint import Checkpoint, ModelInfo
from napari_breastseg.model.site import Site
from napari_breastseg.model.unet import ModelSpec, build
from napari_breastseg.predict.prediction import Prediction
from napari_breastseg.training.corrections import Corrections
from napari_breastseg.training.exam_learning import ExamLearner, ExamLearning, can_learn

FEW_STEPS = ExamLearning(steps=12, batch_size=2, patch_px=64)


@pytest.fixture(scope="module")
def starter() -> Checkpoint:
    return checkpoint.load(checkpoint.STARTER)


def corrected(truth: LabelMap, slices: list[int], draft: LabelMap) -> Corrections:
    """A reader has put these slices right and looked at no other."""
    labels = draft.data.copy()
    labels[slices] = truth.data[slices]
    reviewed = np.zeros(len(labels), bool)
    reviewed[slices] = True
    return Corrections(labels, np.zeros(labels.shape, bool), reviewed)


def draft_of(exam: Exam, mask: LabelMap) -> Prediction:
    """A draft that is sure of its mask."""
    probability = Volume(mask.tumor.astype(np.float32), exam.grid)
    return Prediction(probability, mask, 0.5, tuple(exam.phases), "cpu", "drafted@0", 0.0)


def faint_exam(sphere_exam: tuple[Exam, LabelMap]) -> tuple[Exam, LabelMap]:
    """Only the upper half of what a reader calls tumor enhances brightly."""
    exam, truth = sphere_exam
    pre, post = (np.asarray(exam.phases[role].data) for role in ("pre", "post1"))
    weaker = post.copy()
    half = truth.tumor.copy()
    half[:, :20] = False
    weaker[half] = (pre + 0.35 * (post - pre))[half]
    phases = {"pre": exam.phases["pre"], "post1": Volume(weaker, exam.grid)}
    return Exam("P001", phases), truth


@pytest.mark.parametrize("stage", ["quick", "adapt"])
def test_other_slices_follow_a_corrected_one(starter, sphere_exam, stage) -> None:
    exam, truth = faint_exam(sphere_exam)
    learner = ExamLearner(starter, [exam], device="cpu", how=FEW_STEPS)
    drain(learner.prepare())
    draft = learner.drafts[0].label_map
    corrections = corrected(truth, [5, 7], draft)

    (redraft,) = drain(getattr(learner, stage)([corrections]))

    others = [z for z in range(12) if z not in (5, 7)]
    before = dice(draft.tumor[others], truth.tumor[others])
    after = dice(redraft.label_map.tumor[others], truth.tumor[others])
    assert after > before + 0.02
    assert np.array_equal(redraft.label_map.data[[5, 7]], truth.data[[5, 7]])
    assert redraft.learned_from == 2
    assert redraft.changed
    assert not {5, 7} & set(redraft.changed)
    assert redraft.stage == {"quick": "features", "adapt": "adapted"}[stage]


@pytest.mark.parametrize("stage", ["quick", "adapt"])
def test_voxels_touched_stay_as_the_reader_left_them(starter, sphere_exam, stage) -> None:
    exam, truth = sphere_exam
    learner = ExamLearner(starter, [exam], device="cpu", how=FEW_STEPS)
    drain(learner.prepare())
    corrections = corrected(truth, [6], learner.drafts[0].label_map)
    corrections.touched[5, 10:30, 10:20] = True
    corrections.labels[5, 10:30, 10:20] = np.eye(20, 10, dtype=np.uint8)
    left = corrections.labels[5, 10:30, 10:20].copy()

    (redraft,) = drain(getattr(learner, stage)([corrections]))

    assert np.array_equal(redraft.label_map.data[5, 10:30, 10:20], left)


def test_the_model_itself_does_not_change(starter, sphere_exam) -> None:
    exam, truth = sphere_exam
    before = {name: value.clone() for name, value in starter.network.state_dict().items()}
    learner = ExamLearner(starter, [exam], device="cpu", how=FEW_STEPS)
    drain(learner.prepare())
    drain(learner.adapt([corrected(truth, [6], learner.drafts[0].label_map)]))
    after = starter.network.state_dict()
    assert all(bool((after[name] == value).all()) for name, value in before.items())


@pytest.mark.parametrize("stage", ["quick", "adapt"])
def test_nothing_is_marked_away_from_what_was_marked(starter, sphere_exam, stage) -> None:
    exam, truth = sphere_exam
    # A second sphere, as bright, that nobody marked.
    phases = {}
    for role, volume in exam.phases.items():
        twice = np.concatenate([np.asarray(volume.data)] * 2, axis=2)
        phases[role] = Volume(twice, Grid(twice.shape, exam.grid.affine))
    both = Exam("P002", phases)
    data = np.concatenate([truth.data, np.zeros_like(truth.data)], axis=2)
    mask = LabelMap(data, both.grid)
    learner = ExamLearner(
        starter, [both], drafts=[draft_of(both, mask)], device="cpu", how=FEW_STEPS
    )
    corrections = corrected(mask, [6], mask)

    (redraft,) = drain(getattr(learner, stage)([corrections]))

    others = [z for z in range(12) if z != 6]
    assert dice(redraft.label_map.tumor[others], mask.tumor[others]) > 0.7
    assert not redraft.label_map.tumor[:, :, 50:].any()


def test_a_model_of_two_networks_learns_from_their_mixture(starter, sphere_exam) -> None:
    exam, truth = sphere_exam
    site = deepcopy(starter.network)
    with torch.no_grad():
        for weights in site.stem.parameters():
            weights.zero_()  # sees nothing by itself
    info = starter.info.model_copy(update={"site": Site.model_construct(exams=[])})
    pair = Checkpoint(info, site, general=starter.network)
    draft = replace(draft_of(exam, truth), site_share=0.0)
    corrections = corrected(truth, [5, 7], truth)
    masks = []
    for model in (pair, starter):
        learner = ExamLearner(model, [exam], drafts=[draft], device="cpu")
        (redraft,) = drain(learner.quick([corrections]))
        masks.append(redraft.label_map.data)
    assert np.array_equal(*masks)
    assert masks[0][6].any()


def test_slices_of_one_patient_learn_from_each_other(starter, sphere_exam) -> None:
    exam, truth = faint_exam(sphere_exam)

    def single(z: int) -> tuple[Exam, LabelMap]:
        grid = Grid((1, *exam.grid.shape[1:]))
        phases = {r: Volume(v.data[z : z + 1], grid) for r, v in exam.phases.items()}
        return Exam(f"S{z}", phases), LabelMap(truth.data[z : z + 1], grid)

    (first, mask), (second, wanted) = single(5), single(7)
    learner = ExamLearner(starter, [first, second], device="cpu", how=FEW_STEPS)
    drain(learner.prepare())
    nothing = Corrections.nothing(second.grid.shape, learner.drafts[1].label_map)
    own, other = drain(learner.quick([Corrections.of_mask(mask), nothing]))
    assert np.array_equal(own.label_map.data, mask.data)
    assert own.changed == ()
    before = dice(learner.drafts[1].label_map.tumor, wanted.tumor)
    assert dice(other.label_map.tumor, wanted.tumor) > before


def test_without_a_correction_there_is_nothing_to_learn(starter, sphere_exam) -> None:
    exam, _ = sphere_exam
    learner = ExamLearner(starter, [exam], device="cpu")
    with pytest.raises(InputError, match="Expected a corrected slice to learn from"):
        drain(learner.quick([Corrections.nothing(exam.grid.shape)]))


def test_only_2d_models_of_ours_learn(sphere_exam) -> None:
    exam, _ = sphere_exam
    spec = ModelSpec(dims=3, features=(4, 8), patch_size=(8, 16, 16))
    assert not can_learn(spec)
    model = Checkpoint(ModelInfo(name="deep", spec=spec), build(spec))
    with pytest.raises(InputError, match="Expected a 2D model of napari-breastseg to learn"):
        ExamLearner(model, [exam])
