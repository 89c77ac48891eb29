"""Training learns from what was looked at, and goes on after a kill as if nothing had happened."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_breastseg.core.errors import InputError
from napari_breastseg.core.progress import Progress, drain
from napari_breastseg.core.volume import IGNORE, TUMOR, Exam, Grid, LabelMap, Volume
from napari_breastseg.dataset import Dataset
from napari_breastseg.model import checkpoint
from napari_breastseg.model.unet import ModelSpec
from napari_breastseg.training import DatasetCase, TrainConfig, plan_spec, train, train_dataset
from napari_breastseg.training.augmentation import RANGES, Augmentation
from napari_breastseg.training.batches import BatchMaker, batches_from
from napari_breastseg.training.cases import TrainingCase
from napari_breastseg.training.clicks import ClickTuning
from napari_breastseg.training.config import learning_rate
from napari_breastseg.training.loss import segmentation_loss
from napari_breastseg.training.patches import PatchSource, make_batch
from napari_breastseg.training.splitting import split_by_patient

SPEC = ModelSpec(features=(4, 8), patch_size=(32, 32))


@dataclass(frozen=True)
class Slice:
    """A bright disk on noise: a case that any network learns in a minute."""

    case_id: str
    patient_id: str
    seed: int = 0
    has_tumor: bool = True

    def exam(self) -> Exam:
        rng = np.random.default_rng(self.seed)
        image = rng.normal(100, 10, (1, 48, 40)) + 120 * (self.label_map().data == TUMOR)
        return Exam(self.case_id, {"post1": Volume(image.astype(np.float32), Grid(image.shape))})

    def label_map(self) -> LabelMap:
        _, y, x = np.indices((1, 48, 40))
        inside = (y - 20 - self.seed % 5) ** 2 + (x - 18 + self.seed % 3) ** 2 < 49
        return LabelMap((inside & self.has_tumor).astype(np.uint8), Grid(inside.shape))


CASES = [Slice(f"C{n}", f"P{n}", n) for n in range(4)]


def config(**fields):
    return TrainConfig(**{"steps": 2, "batch_size": 2, "device": "cpu", **fields})


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return checkpoint.load(folder).network.state_dict()


def require_same_weights(whole: Path, cut: Path) -> None:
    """Fail unless two runs on this machine came to the same weights, within rounding.

    A run that lost its optimizer's state, a step or a patch is off by a learning rate, 1e-3 or
    more.
    """
    ours, theirs = weights_of(whole), weights_of(cut)
    for key in ours:
        torch.testing.assert_close(theirs[key], ours[key], rtol=1e-4, atol=1e-5, msg=key)


def history_of(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "history.csv").read_text().splitlines()))


def test_two_steps_leave_exactly_these_files(tmp_path):
    result = drain(
        train(
            CASES[:3],
            tmp_path / "m",
            spec=SPEC,
            config=config(seed=5),
            validation=CASES[3:],
            datasets=["D"],
            fold=0,
        )
    )
    names = sorted(p.relative_to(tmp_path / "m").as_posix() for p in (tmp_path / "m").rglob("*"))
    events = [name for name in names if name.startswith("events/")]
    assert [name for name in names if name not in events] == [
        "MODEL_CARD.md",
        "events",
        "history.csv",
        "last",
        "last/model.json",
        "last/weights.safetensors",
        "model.json",
        "training_state.safetensors",
        "weights.safetensors",
    ]
    assert len(events) == 1
    info = checkpoint.read_info(tmp_path / "m")
    assert info == result.info
    card = checkpoint.load(tmp_path / "m").card
    assert card.startswith(f"# {info.identity}")
    assert "**D**: 3 cases of 3 patients, 2 steps, from scratch." in card
    assert info.training.training_cases == ["C0", "C1", "C2"]
    assert info.training.validation_cases == ["C3"]
    assert info.training.patients == ["P0", "P1", "P2"]
    assert (info.training.steps, info.training.seed, info.training.fold) == (2, 5, 0)
    rows = history_of(tmp_path / "m")
    assert [row["step"] for row in rows] == ["1", "2"]
    assert rows[0]["val_dice"] == ""
    assert float(rows[1]["val_dice"]) == pytest.approx(result.val_dice)


def test_training_learns_the_disks(tmp_path):
    result = drain(
        train(
            CASES[:3],
            tmp_path / "m",
            spec=SPEC,
            validation=CASES[3:],
            config=config(steps=60, batch_size=4, validate_every=20, learning_rate=1e-2),
        )
    )
    assert result.val_dice > 0.8


@pytest.mark.parametrize("stop_at", [1, 5, 7])
def test_an_interrupted_run_goes_on_to_the_same_weights(tmp_path, stop_at):
    settings = config(steps=9, save_every=3, validate_every=4)
    how = {"spec": SPEC, "config": settings, "validation": CASES[3:]}
    drain(train(CASES[:3], tmp_path / "whole", **how))
    job = train(CASES[:3], tmp_path / "cut", **how)
    for progress in job:
        if progress.stage == "Training" and progress.done == stop_at:
            break
    job.close()
    assert not checkpoint.is_checkpoint(tmp_path / "cut")
    drain(train(CASES[:3], tmp_path / "cut", resume=True, **how))
    for folder in ("", "last"):
        require_same_weights(tmp_path / "whole" / folder, tmp_path / "cut" / folder)
    steps = [row["step"] for row in history_of(tmp_path / "cut")]
    assert steps == [str(n) for n in range(1, 10)]


KILLED = """
    import sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[2])
    from test_training import CASES, SPEC, config
    from napari_breastseg.training import train
    for progress in train(CASES[:3], Path(sys.argv[1]), spec=SPEC, resume=True,
                          config=config(steps=12, save_every=2)):
        if progress.stage == "Training":
            print(progress.done, flush=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_a_killed_process_goes_on_to_the_same_weights(tmp_path):
    drain(train(CASES[:3], tmp_path / "whole", spec=SPEC, config=config(steps=12, save_every=2)))
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-c",
        textwrap.dedent(KILLED),
        str(tmp_path / "cut"),
        str(Path(__file__).parent),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) >= 5:
            process.send_signal(signal.SIGKILL)
            break
    process.wait()
    process.stdout.close()
    drain(
        train(
            CASES[:3],
            tmp_path / "cut",
            spec=SPEC,
            resume=True,
            config=config(steps=12, save_every=2),
        )
    )
    require_same_weights(tmp_path / "whole", tmp_path / "cut")


def test_canceling_in_the_midst_of_a_validation_loses_no_step(tmp_path):
    how = {"spec": SPEC, "config": config(steps=4, validate_every=2), "validation": CASES[2:]}
    drain(train(CASES[:2], tmp_path / "whole", **how))
    job = train(CASES[:2], tmp_path / "cut", **how)
    for progress in job:
        if progress.stage == "Validating":
            break
    job.close()
    (tmp_path / "cut" / ".tmp-cases-killed").mkdir()
    drain(train(CASES[:2], tmp_path / "cut", resume=True, **how))
    require_same_weights(tmp_path / "whole", tmp_path / "cut")
    assert len(history_of(tmp_path / "cut")) == 4
    assert not list((tmp_path / "cut").glob(".tmp-*"))


def test_a_run_cut_off_in_what_goes_beside_its_model_goes_on(tmp_path):
    tuning = ClickTuning((0.1, 0.1, 0.1), (0.2, 0.2, 0.2))

    def beside():
        yield Progress("Fine-tuning the smart click", 1, 2)
        return tuning

    how = {"spec": SPEC, "config": config(steps=2), "beside": beside}
    whole = drain(train(CASES, tmp_path / "whole", **how))
    assert whole.clicks == tuning
    job = train(CASES, tmp_path / "cut", **how)
    for progress in job:
        if progress.stage == "Fine-tuning the smart click":
            break
    assert not checkpoint.is_checkpoint(tmp_path / "cut")
    del job  # as a killed program leaves it
    assert drain(train(CASES, tmp_path / "cut", resume=True, **how)).clicks == tuning
    require_same_weights(tmp_path / "whole", tmp_path / "cut")


def test_resuming_with_other_settings_is_refused(tmp_path):
    job = train(CASES, tmp_path / "m", spec=SPEC, config=config(steps=5))
    for progress in job:
        if progress.stage == "Training":
            break
    job.close()
    with pytest.raises(InputError, match="Expected the same data, model and settings"):
        drain(train(CASES, tmp_path / "m", spec=SPEC, config=config(steps=6), resume=True))
    moved = [Slice(case.case_id, case.patient_id, case.seed + 1) for case in CASES]
    with pytest.raises(InputError, match="Expected the same data, model and settings"):
        drain(train(moved, tmp_path / "m", spec=SPEC, config=config(steps=5), resume=True))
    with pytest.raises(InputError, match="Add --resume"):
        drain(train(CASES, tmp_path / "m", spec=SPEC, config=config(steps=5)))


def test_a_finished_model_is_not_overwritten(tmp_path):
    drain(train(CASES, tmp_path / "m", spec=SPEC, config=config()))
    before = (tmp_path / "m" / "weights.safetensors").read_bytes()
    for resume in (False, True):
        with pytest.raises(InputError, match="found a finished model"):
            drain(train(CASES, tmp_path / "m", spec=SPEC, config=config(), resume=resume))
    assert (tmp_path / "m" / "weights.safetensors").read_bytes() == before


def test_fine_tuning_starts_from_the_base_and_names_it(tmp_path):
    drain(train(CASES[:3], tmp_path / "base", spec=SPEC, config=config(steps=4)))
    base = checkpoint.load(tmp_path / "base")
    drain(
        train(
            CASES[3:],
            tmp_path / "tuned",
            base=base,
            config=config(steps=1, learning_rate=1e-9, averaging=0.0),
        )
    )
    tuned = checkpoint.load(tmp_path / "tuned")
    assert tuned.info.parent == base.info.identity
    for (name, ours), theirs in zip(
        tuned.network.named_parameters(), base.network.parameters(), strict=True
    ):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0, msg=name)


def test_without_a_marked_tumor_there_is_nothing_to_learn(tmp_path):
    with pytest.raises(
        InputError, match=r"at least one accepted case with tumor.*found 1 accepted"
    ):
        drain(train([Slice("C", "P", has_tumor=False)], tmp_path / "m", spec=SPEC))


def test_a_loss_that_is_no_number_stops_and_keeps_the_state_before(tmp_path, monkeypatch):
    from napari_breastseg.training import steps

    calls = []

    def breaks_at_the_fourth(logits, labels, **how):
        calls.append(1)
        factor = float("nan") if len(calls) == 4 else 1.0
        return segmentation_loss(logits, labels, **how) * factor

    monkeypatch.setattr(steps, "segmentation_loss", breaks_at_the_fourth)
    with pytest.raises(InputError, match=r"diverged at step 4 \(NaN loss\).*smaller learning rate"):
        drain(train(CASES, tmp_path / "m", spec=SPEC, config=config(steps=9, save_every=1)))
    monkeypatch.undo()
    assert not checkpoint.is_checkpoint(tmp_path / "m")
    result = drain(
        train(CASES, tmp_path / "m", spec=SPEC, config=config(steps=9, save_every=1), resume=True)
    )
    assert result.info.training.steps == 9


def test_ignored_voxels_change_neither_loss_nor_gradient():
    torch.manual_seed(0)
    labels = torch.randint(0, 2, (2, 8, 8))
    labels[:, :4] = IGNORE
    logits = torch.randn(2, 2, 8, 8, requires_grad=True)
    loss = segmentation_loss(logits, labels)
    loss.backward()
    assert logits.grad is not None
    assert logits.grad[:, :, :4].abs().max() == 0
    assert logits.grad[:, :, 4:].abs().max() > 0
    changed = logits.detach().clone()
    changed[:, :, :4] = 99
    torch.testing.assert_close(segmentation_loss(changed, labels), loss.detach())


def test_a_batch_nobody_looked_at_teaches_nothing():
    logits = torch.randn(1, 2, 4, 4, requires_grad=True)
    loss = segmentation_loss(logits, torch.full((1, 4, 4), IGNORE))
    loss.backward()
    assert loss == 0
    assert logits.grad is not None
    assert logits.grad.abs().max() == 0


def test_a_perfect_answer_costs_nothing():
    labels = torch.zeros(1, 8, 8, dtype=torch.long)
    labels[:, 2:5, 2:5] = 1
    logits = torch.stack([1.0 - labels, labels], 1).float() * 100 - 50
    assert segmentation_loss(logits, labels) < 1e-4


def memory_case(labels, patient="P", value=1.0):
    phases = np.full((1, *labels.shape), value, np.float16)
    return TrainingCase(f"{patient}-c", patient, phases, ("post1",), labels.astype(np.uint8))


def test_patches_are_placed_on_lesions_as_often_as_asked():
    labels = np.zeros((20, 64, 64))
    labels[7, 30:34, 30:34] = TUMOR
    rng = np.random.default_rng(0)
    for share in (0.0, 0.5, 1.0):
        source = PatchSource([memory_case(labels)], (1, 16, 16), share)
        hits = np.mean([(source.draw(rng)[1] == TUMOR).any() for _ in range(300)])
        by_chance = 1 / 20 * (19 / 49) ** 2
        assert abs(hits - share - (1 - share) * by_chance) < 0.09


def test_every_patient_is_drawn_alike_whatever_their_number_of_cases():
    labels = np.ones((1, 16, 16))
    cases = [memory_case(labels, "A", 1.0)] + [memory_case(labels, "B", 2.0)] * 9
    source = PatchSource(cases, (1, 8, 8), 0.5)
    rng = np.random.default_rng(1)
    drawn = [float(source.draw(rng)[0].max()) for _ in range(400)]
    assert 0.4 < np.mean(np.array(drawn) == 1.0) < 0.6


def test_slices_nobody_looked_at_are_never_the_center_of_a_patch():
    labels = np.full((6, 16, 16), IGNORE)
    labels[2, :8] = 0
    source = PatchSource([memory_case(labels)], (1, 8, 8), 0.5)
    rng = np.random.default_rng(2)
    assert all((source.draw(rng)[1] != IGNORE).any() for _ in range(50))


def test_beyond_the_border_phases_are_zero_and_labels_ignored():
    source = PatchSource([memory_case(np.ones((1, 8, 8)))], (3, 16, 16), 1.0)
    phases, labels, _ = source.draw(np.random.default_rng(0))
    assert phases.shape == (1, 3, 16, 16)
    inside = labels != IGNORE
    assert inside.sum() == 64
    assert inside[1].sum() == 64
    assert (phases[0][inside] == 1).all()
    assert (phases[0][~inside] == 0).all()


@pytest.mark.parametrize(
    "spec",
    [
        SPEC,
        ModelSpec(
            features=(4, 8), patch_size=(32, 32), context_slices=1, inputs=("pre", "post1-pre")
        ),
        ModelSpec(features=(4, 8), dims=3, patch_size=(8, 16, 16), inputs=("pre", "post1")),
    ],
    ids=["2D", "2.5D", "3D"],
)
def test_a_batch_is_decided_by_seed_and_step_alone(spec):
    rng = np.random.default_rng(0)
    count = len(spec.phases)
    labels = (rng.random((9, 40, 40)) > 0.8).astype(np.uint8)
    phases = rng.random((count, 9, 40, 40)).astype(np.float16)
    size = spec.patch_size if spec.dims == 3 else (1 + 2 * spec.context_slices, *spec.patch_size)
    source = PatchSource([TrainingCase("c", "p", phases, spec.phases, labels)], size, 0.5)

    def batch(seed, step):
        return make_batch(
            source, Augmentation(spec.dims), spec, samples=range(3), seed=seed, step=step
        )

    inputs, targets = batch(1, 7)
    batch(3, 1)
    again, targets_again = batch(1, 7)
    assert inputs.shape == (3, spec.in_channels, *spec.patch_size)
    assert targets.shape == (3, *spec.patch_size)
    torch.testing.assert_close(inputs, again)
    assert torch.equal(targets, targets_again)
    assert not torch.equal(inputs, batch(1, 8)[0])
    assert set(targets.unique().tolist()) <= {0, 1, 2}


def test_making_patches_leaves_monai_as_it_was():
    from monai.data.meta_obj import get_track_meta

    source = PatchSource([memory_case(np.ones((1, 48, 48)))], (1, 32, 32), 0.5)
    before = get_track_meta()
    make_batch(source, Augmentation(2), SPEC, samples=[0], seed=0, step=0)
    assert get_track_meta() == before


def test_variation_keeps_image_and_labels_together():
    labels = np.zeros((64, 64), np.uint8)
    labels[24:44, 20:36] = TUMOR
    image = labels[None].astype(np.float32)
    augmentation = Augmentation(2)
    overlaps = []
    for seed in range(20):
        varied, target = augmentation(image, labels, seed)
        bright = varied[0] > (varied.min() + varied.max()) / 2
        both = (bright & (target == TUMOR)).sum() * 2 / (bright.sum() + (target == TUMOR).sum())
        overlaps.append(float(both))
    assert np.mean(overlaps) > 0.9


def test_the_learning_rate_rises_and_falls():
    one = TrainConfig(steps=100, learning_rate=1.0)
    rates = [learning_rate(step, one) for step in range(100)]
    assert rates.index(max(rates)) == 25
    assert rates[0] < 0.1
    assert rates[-1] < 0.01
    cosine = TrainConfig(steps=100, learning_rate=1.0, schedule="cosine")
    assert learning_rate(0, cosine) == 1.0


def test_all_wrong_settings_are_told_at_once():
    with pytest.raises(ValueError, match=r"(?s)steps.*learning_rate"):
        TrainConfig(steps=0, learning_rate=-1)


@pytest.fixture
def dataset(tmp_path):
    """Eleven patients, so that the tenth is locked for testing."""
    made = Dataset.create(tmp_path / "data")
    for n in range(11):
        case = Slice(f"C{n:02d}", f"P{n:02d}", n)
        made.add(case.exam(), patient_id=case.patient_id)
        made.accept(case.case_id, case.label_map(), reviewed_slices=None, annotator="a", seconds=1)
    return made


def test_locked_patients_are_never_read(dataset, tmp_path, monkeypatch):
    locked = set(dataset.locked())
    assert locked == {"C09"}
    read = []
    for method in ("exam", "label_map"):
        real = getattr(Dataset, method)
        monkeypatch.setattr(
            Dataset,
            method,
            lambda self, case_id, real=real: (read.append(case_id), real(self, case_id))[1],
        )
    for fold in (0, None):
        result = drain(
            train_dataset([dataset], tmp_path / f"m{fold}", base=None, fold=fold, steps=1)
        )
        training = result.info.training
        assert len(training.training_cases) + len(training.validation_cases) == 10
    assert set(read) == {f"C{n:02d}" for n in range(11)} - locked


def test_a_locked_patient_is_refused_even_when_given_by_name(dataset, tmp_path):
    cases = [DatasetCase(dataset, "C09", "P09"), DatasetCase(dataset, "C00", "P00")]
    for learned, held_out in ((cases, ()), (cases[1:], cases[:1])):
        job = train(learned, tmp_path / "m", spec=SPEC, config=config(), validation=held_out)
        with pytest.raises(InputError, match="found case C09 of a patient locked for testing"):
            drain(job)


def test_a_patient_in_two_datasets_is_learned_from_held_out_or_locked_in_both(dataset, tmp_path):
    other = Dataset.create(tmp_path / "other")
    # P09 is locked in the first, P00 held out there; P20 is only here.
    for n, patient in enumerate(("P09", "P01", "P00", "P20")):
        case = Slice(f"V{n}", patient, n)
        other.add(case.exam(), patient_id=patient, visit="T2")
        other.accept(case.case_id, case.label_map(), reviewed_slices=None, annotator="a", seconds=1)
    learned, held_out = split_by_patient([dataset, other], 1)
    names = [{case.case_id for case in cases} for cases in (learned, held_out)]
    patients = [{case.patient_id for case in cases} for cases in (learned, held_out)]
    assert patients[0].isdisjoint(patients[1])
    assert "P09" not in patients[0] | patients[1]
    assert {"C01", "V1"} <= names[1]  # fold 1 of both
    assert {"C00", "V2", "V3"} <= names[0]
    everything, nothing = split_by_patient([dataset, other], None)
    assert len(everything) == 10 + 3
    assert nothing == []
    only = Dataset.create(tmp_path / "only")
    case = Slice("A", "P00")
    only.add(case.exam(), patient_id="P00")
    only.accept("A", case.label_map(), reviewed_slices=None, annotator="a", seconds=1)
    assert split_by_patient([only], 0)[0] == split_by_patient([only], 0)[1]


def test_two_patients_held_out_in_one_dataset_each_leave_nothing_to_learn(tmp_path):
    sets = []
    for name, patients in (("a", ("P0", "P1")), ("b", ("P1", "P0"))):
        made = Dataset.create(tmp_path / name)
        for patient in patients:
            case = Slice(f"{name}{patient}", patient)
            made.add(case.exam(), patient_id=patient)
            made.accept(
                case.case_id, case.label_map(), reviewed_slices=None, annotator="a", seconds=1
            )
        sets.append(made)
    with pytest.raises(InputError, match="Expected patients to train on besides those held out"):
        split_by_patient(sets, 0)


def test_patients_are_inherited_through_two_generations(tmp_path):
    models = []
    for generation in range(3):
        base = checkpoint.load(models[-1]) if models else None
        models.append(tmp_path / f"m{generation}")
        case = CASES[generation]
        job = train(
            [case], models[-1], base=base, spec=None if base else SPEC, config=config(steps=1)
        )
        drain(job)
    training = checkpoint.read_info(models[-1]).training
    assert training.patients == ["P2"]
    assert training.inherited_patients == ["P0", "P1"]
    later = [("visit 2", "P0"), ("C2", "P2"), ("C3", "P3")]
    assert training.learned_from(later) == {"visit 2", "C2"}


def test_slices_of_unknown_pixel_size_are_looked_at_in_several_sizes(dataset, tmp_path):
    assert plan_spec([dataset]).scales == (1.0, 0.9, 0.8)
    known = Dataset.create(tmp_path / "known")
    volume = Volume(np.arange(4096.0).reshape(1, 64, 64), Grid((1, 64, 64), np.eye(4)))
    known.add(Exam("S1", {"post1": volume}), patient_id="S1")
    exam = known.exam(known.cases()[0].case_id)
    assert plan_spec([known]).scales_for(exam) == (1.0,)


def test_a_model_for_phases_the_dataset_lacks_is_refused(dataset, tmp_path):
    from napari_breastseg.model.checkpoint import Checkpoint, ModelInfo
    from napari_breastseg.model.unet import build

    spec = ModelSpec(features=(4, 8), inputs=("pre", "post1"), patch_size=(32, 32))
    base = Checkpoint(ModelInfo(name="two-phase", spec=spec), build(spec))
    with pytest.raises(
        InputError, match=r"phase pre for model two-phase; found post1 in dataset data"
    ):
        drain(train_dataset([dataset], tmp_path / "m", base=base))


def test_a_full_disk_ends_the_run_cleanly(tmp_path, monkeypatch):
    import errno

    from napari_breastseg.core import atomic

    job = train(CASES, tmp_path / "m", spec=SPEC, config=config(steps=6, save_every=2))
    for progress in job:
        if progress.stage == "Training" and progress.done == 3:
            break
    before = (tmp_path / "m" / "training_state.safetensors").read_bytes()

    def full(path):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(atomic, "fsync", full)
    with pytest.raises(InputError, match="No space left"):
        drain(job)
    monkeypatch.undo()
    assert (tmp_path / "m" / "training_state.safetensors").read_bytes() == before
    assert not list((tmp_path / "m").glob(".tmp-*"))
    result = drain(
        train(CASES, tmp_path / "m", spec=SPEC, config=config(steps=6, save_every=2), resume=True)
    )
    assert result.info.training.steps == 6


def a_source() -> PatchSource:
    rng = np.random.default_rng(0)
    labels = np.zeros((1, 40, 40), np.uint8)
    labels[0, 10:20, 12:22] = TUMOR
    phases = rng.random((1, 1, 40, 40)).astype(np.float16)
    return PatchSource([TrainingCase("A", "A", phases, ("post1",), labels)], (1, 32, 32), 0.5)


def test_batches_made_in_processes_are_those_of_the_thread():
    maker = BatchMaker(a_source(), Augmentation(2), SPEC, config(seed=3))
    alone = list(batches_from(maker, 2, 5, loaders=1))
    together = list(batches_from(maker, 2, 5, loaders=2))
    assert len(alone) == len(together) == 3
    for (inputs, labels), (other_inputs, other_labels) in zip(alone, together, strict=True):
        torch.testing.assert_close(inputs, other_inputs)
        assert torch.equal(labels, other_labels)


@pytest.mark.parametrize("loaders", [1, 2])
def test_closing_the_batches_ends_what_makes_them(loaders):
    import multiprocessing
    import threading

    before = set(threading.enumerate())

    def makers() -> list[str]:
        """Threads that make or feed batches; the process may have started others meanwhile."""
        started = set(threading.enumerate()) - before
        return [t.name for t in started if t.name.startswith(("ThreadPool", "QueueFeeder"))]

    batches = batches_from(
        BatchMaker(a_source(), Augmentation(2), SPEC, config()), 0, 50, loaders=loaders
    )
    next(batches)
    assert makers() or multiprocessing.active_children()
    batches.close()
    assert not multiprocessing.active_children()
    for _ in range(200):  # the thread that fed a process its steps ends a moment after it
        if not makers():
            break
        time.sleep(0.05)
    assert not makers()


def test_the_dice_of_patches_counts_a_small_tumor_as_much_as_a_large_one():
    labels = torch.zeros((2, 16, 16), dtype=torch.int64)
    labels[0, :12, :12] = TUMOR
    labels[1, :2, :2] = TUMOR
    logits = torch.full((2, 2, 16, 16), -6.0)
    logits[:, 0] = 6.0
    logits[0] = (
        torch.where(labels[0] == TUMOR, 6.0, -6.0) * torch.tensor([-1.0, 1.0])[:, None, None]
    )
    # The large tumor is found, the small one missed altogether.
    pooled = segmentation_loss(logits, labels)
    per_patch = segmentation_loss(logits, labels, dice_over_batch=False)
    assert per_patch - pooled > 0.4


def test_wide_variation_mirrors_front_and_back_and_leaves_enhancement_its_level():
    image = np.zeros((2, 32, 32), np.float32)
    image[:, :8] = 1.0
    image[1, 4:28, 4:28] = 3.0
    labels = np.zeros((32, 32), np.uint8)
    labels[4:28, 4:28] = TUMOR
    wide = Augmentation(2, 1.0, RANGES["wide"])
    varied = [wide(image.copy(), labels, seed) for seed in range(12)]
    is_upside_down = [v[0, 24:].mean() > v[0, :8].mean() for v, _ in varied]
    assert any(is_upside_down)
    assert not all(is_upside_down)
    assert RANGES["wide"].lesion_fainter == 0
    gains = [float(v[1][label == TUMOR].median()) / 3 for v, label in varied]
    assert max(gains) > 1.4
    assert min(gains) < 0.8


def test_a_second_training_into_the_same_folder_is_refused_and_harms_nothing(tmp_path):
    first = train(CASES[:2], tmp_path / "m", spec=SPEC, config=config(steps=3))
    for progress in first:
        if progress.stage == "Training":
            break
    for resume in (False, True):
        second = train(CASES[:2], tmp_path / "m", spec=SPEC, config=config(steps=3), resume=resume)
        with pytest.raises(InputError, match=r"no other training writes into; found one running"):
            drain(second)
    result = drain(first)
    assert result.best_step
    assert not [p.name for p in (tmp_path / "m").iterdir() if p.name.startswith(".")]
