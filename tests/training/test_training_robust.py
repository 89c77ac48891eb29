"""A training lives through what goes wrong, and gives weight to what a reader changed."""

from __future__ import annotations

import math
import os
import re
import sys

import numpy as np
import pytest
import torch
from test_training import (
    CASES,
    SPEC,
    Slice,
    config,
    history_of,
    memory_case,
    require_same_weights,
    weights_of,
)

from napari_breastseg.core.errors import InputError, StorageError
from napari_breastseg.core.progress import drain
from napari_breastseg.core.volume import IGNORE, TUMOR, Exam, Grid, LabelMap, Volume
from napari_breastseg.dataset import Dataset
from napari_breastseg.model import checkpoint
from napari_breastseg.model.unet import ModelSpec, build
from napari_breastseg.training import DatasetCase, learner, steps, train
from napari_breastseg.training.augmentation import Augmentation
from napari_breastseg.training.cases import CORRECTED, load_cases
from napari_breastseg.training.loss import segmentation_loss
from napari_breastseg.training.patches import PatchSource
from napari_breastseg.training.ranks import ALONE
from napari_breastseg.training.state import RunState


def test_a_corrected_voxel_counts_as_often_as_asked():
    torch.manual_seed(0)
    labels = torch.randint(0, 2, (1, 8, 8))
    labels[0, 0] = IGNORE
    logits = torch.randn(1, 2, 8, 8)
    marked = labels.clone()
    marked[0, 1, :3] |= CORRECTED
    marked[0, 0, :3] |= CORRECTED
    entropy = torch.nn.functional.cross_entropy(logits, labels.clamp(max=1), reduction="none")
    weights = torch.ones(1, 8, 8)
    weights[0, 1, :3] = 3
    weights[0, 0] = 0
    plain = segmentation_loss(logits, labels)
    weighted = segmentation_loss(logits, marked, correction_weight=3.0)
    scored = entropy[:, 1:].mean()
    expected = (entropy * weights).sum() / weights.sum()
    torch.testing.assert_close(weighted - plain, expected - scored)
    torch.testing.assert_close(segmentation_loss(logits, marked), plain)


def test_what_was_changed_moves_with_the_patch():
    labels = np.zeros((1, 40, 40))
    labels[0, 10:30, 12:28] = TUMOR
    case = memory_case(labels)
    changed = np.zeros(labels.shape, np.uint8)
    changed[0, 10:30, 12:20] = 1
    case = type(case)(**{**vars(case), "corrected": changed})
    _, drawn, _ = PatchSource([case], (1, 40, 40), 1.0).draw(np.random.default_rng(0))
    assert np.array_equal(drawn == TUMOR | CORRECTED, changed == 1)
    for seed in range(10):
        image = (changed[0] == 1).astype(np.float32)[None]
        varied, target = Augmentation(2)(image, drawn[0], seed)
        assert set(target.unique().tolist()) <= {0, TUMOR, TUMOR | CORRECTED}
        bright = varied[0] > (varied.min() + varied.max()) / 2
        marked = (target & CORRECTED) > 0
        assert 2 * (bright & marked).sum() / (bright.sum() + marked.sum()) > 0.8


def test_only_reviewed_changes_of_a_draft_are_corrections(tmp_path):
    data = Dataset.create(tmp_path / "data")
    shape = (3, 48, 40)
    for number, has_draft in enumerate((True, False)):
        one = Slice(f"C{number}", f"P{number}")
        image = np.broadcast_to(one.exam().phases["post1"].data, shape).copy()
        exam = Exam(one.case_id, {"post1": Volume(image, Grid(shape))})
        data.add(exam, patient_id=one.patient_id)
        draft = np.zeros(shape, np.uint8)
        draft[:, 5:15, 5:15] = TUMOR
        grid = data.exam(one.case_id).grid
        if has_draft:
            data.save_draft(one.case_id, LabelMap(draft, grid), model="m")
        accepted = np.zeros(shape, np.uint8)
        accepted[:, 10:20, 5:15] = TUMOR
        data.accept(
            one.case_id, LabelMap(accepted, grid), reviewed_slices=[0, 1], annotator="a", seconds=1
        )
    sources = [DatasetCase(data, f"C{n}", f"P{n}") for n in (0, 1)]
    drafted, imported = drain(load_cases(sources, SPEC, tmp_path, "Reading"))
    expected = np.zeros(shape, bool)
    expected[:2, 5:10, 5:15] = expected[:2, 15:20, 5:15] = True
    assert np.array_equal(drafted.corrected == 1, expected)
    assert imported.corrected is None
    assert (drafted.labels[2] == IGNORE).all()


def test_the_weight_of_corrections_reaches_the_training(tmp_path):
    class Drafted(Slice):
        def draft(self):
            shifted = np.roll(self.label_map().data, 4, axis=2)
            return LabelMap(shifted, self.label_map().grid)

    drafted = [Drafted(case.case_id, case.patient_id, case.seed) for case in CASES]
    for name, weight in (("one", 1.0), ("five", 5.0)):
        settings = config(correction_weight=weight)
        drain(train(drafted, tmp_path / name, spec=SPEC, config=settings))
    one, five = weights_of(tmp_path / "one"), weights_of(tmp_path / "five")
    assert not all(torch.equal(one[key], five[key]) for key in one)


class Cramped(torch.nn.Module):
    """A network on a device that holds so many patches at a time."""

    def __init__(self, network, most):
        super().__init__()
        network.register_forward_pre_hook(self.check)
        self.most = most
        self.refused = 0

    def check(self, module, inputs):
        if module.training and len(inputs[0]) > self.most:
            self.refused += 1
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def cramp(monkeypatch, most):
    made = []

    def cramped(spec):
        network = build(spec)
        made.append(Cramped(network, most))
        return network

    monkeypatch.setattr(learner, "build", cramped)
    return made


def test_out_of_memory_goes_on_in_parts_and_says_so(tmp_path, monkeypatch):
    # Group norm and Dice by patch: then parts must give what the whole batch gives.
    spec = ModelSpec(features=(4, 8), patch_size=(32, 32), norm="group")
    settings = config(steps=3, batch_size=4, dice_over="patch", lesion_fraction=1.0, save_every=1)
    drain(train(CASES, tmp_path / "whole", spec=spec, config=settings))
    made = cramp(monkeypatch, most=1)
    told = []
    job = train(CASES, tmp_path / "parts", spec=spec, config=settings)
    drain(job, lambda p: told.append(p.message) if p.message else None)
    assert [text.rpartition("from ")[2] for text in told] == [
        "step 1 on the 4 patches of a step are processed in 2 parts",
        "step 1 on the 4 patches of a step are processed in 4 parts",
    ]
    assert made[0].refused == 2
    assert [row["parts"] for row in history_of(tmp_path / "parts")] == ["4", "4", "4"]
    whole, parts = weights_of(tmp_path / "whole"), weights_of(tmp_path / "parts")
    for key in whole:
        torch.testing.assert_close(whole[key], parts[key], rtol=1e-3, atol=1e-4, msg=key)


def test_a_resumed_run_goes_on_in_parts(tmp_path, monkeypatch):
    made = cramp(monkeypatch, most=2)
    settings = config(steps=3, batch_size=4)
    job = train(CASES, tmp_path / "m", spec=SPEC, config=settings)
    for progress in job:
        if progress.done == 1:
            break
    job.close()
    drain(train(CASES, tmp_path / "m", spec=SPEC, config=settings, resume=True))
    assert sum(network.refused for network in made) == 1


def test_no_memory_for_a_single_patch_is_said(tmp_path, monkeypatch):
    cramp(monkeypatch, most=0)
    with pytest.raises(
        InputError, match=r"enough memory for the network and one patch.*--device cpu"
    ):
        drain(train(CASES, tmp_path / "m", spec=SPEC, config=config()))


def test_validation_without_memory_goes_on_with_the_cpu(monkeypatch):
    from napari_breastseg.training import validating

    real, devices = validating.predict_working, []

    def full(network, spec, prepared, device):
        devices.append(device.type)
        if device.type == "meta":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return (yield from real(network, spec, prepared, device))

    placed = []
    monkeypatch.setattr(validating, "predict_working", full)
    monkeypatch.setattr(validating, "place", lambda net, device, dims: placed.append(device.type))
    labels = np.zeros((1, 16, 16))
    job = validating.dice_of_cases(
        [build(SPEC)] * 2, SPEC, [memory_case(labels)] * 2, torch.device("meta")
    )
    told = []
    assert len(drain(job, lambda p: told.append(p.message) if p.message else None)) == 2
    assert told == ["The meta device ran out of memory; validating on the CPU"]
    assert devices == ["meta", "cpu", "cpu"]
    assert placed == ["meta"]


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_what_is_no_number_leaves_the_model_before(tmp_path, monkeypatch, what):
    drain(train(CASES, tmp_path / "three", spec=SPEC, config=config(steps=3, schedule="cosine")))
    calls = []

    def breaks_at_the_fourth(logits, labels, **how):
        calls.append(1)
        loss = segmentation_loss(logits, labels, **how)
        if len(calls) < 4:
            return loss
        if what == "loss":
            return loss * math.inf
        return loss + (logits * 0).sum().sqrt()  # 0, with a gradient of 0 times infinity

    monkeypatch.setattr(steps, "segmentation_loss", breaks_at_the_fourth)
    came = "infinite loss" if what == "loss" else "NaN gradient"
    diverged = rf"training diverged at step 4 \({came}\).*before that step is in .*last"
    with pytest.raises(InputError, match=diverged):
        drain(train(CASES, tmp_path / "m", spec=SPEC, config=config(steps=9, save_every=2)))
    assert not checkpoint.is_checkpoint(tmp_path / "m")
    kept = checkpoint.load(tmp_path / "m" / "last")
    assert kept.info.training.steps == 3
    assert all(torch.isfinite(value).all() for value in kept.network.state_dict().values())


@pytest.mark.skipif(os.name == "nt", reason="needs a limit of file sizes")
@pytest.mark.parametrize("at", ["state", "weights"])
def test_files_that_cannot_grow_end_the_run_cleanly(tmp_path, monkeypatch, at):
    """A real write that fails in its midst, as on a full disk."""
    import resource

    settings = config(steps=4, save_every=2)
    job = train(CASES, tmp_path / "m", spec=SPEC, config=settings)
    for progress in job:
        if progress.done == (3 if at == "state" else 4) and progress.stage == "Training":
            break
    before = (tmp_path / "m" / "training_state.safetensors").read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(StorageError, match=r"to be writable; .*Free disk space"):
            drain(job)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (tmp_path / "m" / "training_state.safetensors").read_bytes() == before
    assert not checkpoint.is_checkpoint(tmp_path / "m")
    assert not list((tmp_path / "m").rglob(".tmp-*"))
    drain(train(CASES, tmp_path / "m", spec=SPEC, config=settings, resume=True))
    drain(train(CASES, tmp_path / "whole", spec=SPEC, config=settings))
    require_same_weights(tmp_path / "whole", tmp_path / "m")


def test_fine_tuning_tells_each_case_before_and_after(tmp_path):
    drain(train(CASES[:2], tmp_path / "base", spec=SPEC, config=config(steps=2)))
    base = checkpoint.load(tmp_path / "base")
    settings = config(steps=3, validate_every=2)
    job = train(CASES[:2], tmp_path / "m", base=base, config=settings, validation=CASES[2:])
    told = []
    drain(job, lambda p: told.append((p.done, p.per_case, p.metrics)) if p.per_case else None)
    assert [step for step, *_ in told] == [0, 2, 3]
    for _, per_case, metrics in told:
        assert list(per_case) == ["C2", "C3"]
        assert metrics["val_dice"] == pytest.approx(np.mean(list(per_case.values())))
    rows = history_of(tmp_path / "m")
    assert [(row["step"], row["loss"] == "") for row in rows] == [
        ("0", True),
        ("1", False),
        ("2", False),
        ("3", False),
    ]


def test_in_mixed_precision_weights_and_loss_stay_in_float32(monkeypatch):
    """As on a CUDA card, tried on the CPU."""
    torch.manual_seed(0)
    network, seen = build(SPEC), []
    network.head.register_forward_hook(lambda module, inputs, logits: seen.append(logits.dtype))
    batch = torch.rand(2, 1, 32, 32), torch.randint(0, 3, (2, 32, 32))
    cpu, layout = torch.device("cpu"), torch.channels_last
    assert not steps.has_bfloat16(cpu)
    losses, gradients = [], []
    for is_there, is_wanted in ((False, True), (True, True), (True, False)):
        monkeypatch.setattr(steps, "has_bfloat16", lambda device, is_there=is_there: is_there)
        network.zero_grad()
        settings = config(mixed_precision=is_wanted)
        losses.append(steps.gradient(network, batch, settings, cpu, layout, 1, ALONE))
        gradients.append(torch.cat([p.grad.flatten() for p in network.parameters()]))
    assert seen == [torch.float32, torch.bfloat16, torch.float32]
    assert losses[0] == losses[2] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=0.02)
    assert gradients[1].dtype == torch.float32
    similar = torch.nn.functional.cosine_similarity(gradients[0], gradients[1], dim=0)
    assert similar > 0.98


def test_a_long_gradient_is_shortened(monkeypatch):
    """One odd batch must not throw the weights away."""
    monkeypatch.setattr(
        steps, "segmentation_loss", lambda *a, **how: 1000 * segmentation_loss(*a, **how)
    )
    taught = learner.Learner(SPEC, config(), None, torch.device("cpu"), ALONE)
    batch = torch.rand(2, 1, 32, 32), torch.randint(0, 2, (2, 32, 32))
    _, norm = drain(taught.look_at(batch, RunState("")))
    assert norm > 10
    left = [p.grad.norm() for p in taught.network.parameters()]
    assert float(torch.stack(left).norm()) == pytest.approx(learner.LARGEST_GRADIENT, rel=1e-4)


def test_without_tensorboard_the_history_is_kept_and_the_run_says_so_once(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    told = []
    job = train(CASES, tmp_path / "m", spec=SPEC, config=config())
    drain(job, lambda p: told.append(p.message) if p.message else None)
    (message,) = told
    assert re.match(r"Loss and Dice are written to history.csv only.*pip install", message)
    assert [row["step"] for row in history_of(tmp_path / "m")] == ["1", "2"]
    assert not (tmp_path / "m" / "events").exists()


def test_what_is_saved_is_the_running_average_of_the_weights():
    taught = learner.Learner(SPEC, config(averaging=0.5), None, torch.device("cpu"), ALONE)
    batch = torch.rand(2, 1, 32, 32), torch.randint(0, 2, (2, 32, 32))
    key = "head.0.conv.weight"
    before = taught.kept().state_dict()[key].clone()
    for done in (1, 20):
        taught.set_rate(1)
        drain(taught.look_at(batch, RunState("")))
        taught.step(done)
        now = taught.network.state_dict()[key]
        decay = min(0.5, (1 + done) / (10 + done))  # the average follows faster at first
        before = decay * before + (1 - decay) * now
        torch.testing.assert_close(taught.kept().state_dict()[key], before)
        assert not torch.allclose(before, now, atol=1e-5)
