"""`train` fine-tunes the click network on accepted masks, and keeps it only where it got better."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_breastseg.core.progress import drain
from napari_breastseg.core.volume import IGNORE, Exam, Grid, LabelMap, Volume
from napari_breastseg.dataset import ClickRecord, Dataset
from napari_breastseg.model import checkpoint
from napari_breastseg.registry.models import Registry
from napari_breastseg.training import DatasetCase, clicks, duration, expected, train_dataset
from napari_breastseg.training.clicks import ClickTuning, can_tune_clicks, tune_clicks

GRID = Grid((3, 96, 96), np.diag([3.0, 0.8, 0.8, 1.0]))


def an_exam(number: int) -> tuple[Exam, LabelMap]:
    """A ball that enhances; this reader draws wide around it, and looked at two slices of three."""
    rng = np.random.default_rng(number)
    z, y, x = np.indices(GRID.shape)
    far = np.hypot(y - rng.uniform(35, 60), x - rng.uniform(35, 60))
    pre = rng.normal(100, 4, GRID.shape)
    radius = rng.uniform(6, 11)
    post = pre + 120 * (far < radius) + rng.normal(0, 4, GRID.shape)
    label = np.where(z == 2, IGNORE, far < 1.5 * radius)
    images = (Volume(data.astype(np.float32), GRID) for data in (pre, post))
    phases = dict(zip(("pre", "post1"), images, strict=True))
    return Exam(f"C{number}", phases), LabelMap(label.astype(np.uint8), GRID)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    made = Dataset.create(tmp_path / "data", ["pre", "post1"])
    for number in range(6):
        exam, labels = an_exam(number)
        made.add(exam, patient_id=f"P{number}")
        y, x = (int(v) for v in np.argwhere(labels.data[1] == 1).mean(0))
        said = (ClickRecord(voxel=(1, y, x), is_lesion=True),)
        made.accept(
            exam.case_id, labels, reviewed_slices=(0, 1), annotator="AB", seconds=1, clicks=said
        )
    return made


def cases_of(dataset: Dataset, *numbers: int) -> list[DatasetCase]:
    return [DatasetCase(dataset, f"C{n}", f"P{n}") for n in numbers]


def test_it_learns_the_outline_of_its_readers_and_goes_with_the_model(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clicks, "BASE_SHARE", 0.0)  # what it learns shows after fewer steps
    base = checkpoint.load(checkpoint.CLICKS)
    learned, held_out = cases_of(dataset, 0, 1, 2), cases_of(dataset, 3, 4)
    model = tmp_path / "model"
    checkpoint.copy(checkpoint.STARTER, made(model))
    tuning = drain(tune_clicks(learned, held_out, base, model, steps=30))
    assert tuning is not None
    assert tuning.after[0] > tuning.before[0] + 0.03
    assert tuning.is_better
    assert "fine-tuned." in tuning.describe()
    own = checkpoint.read_info(model / "clicks")
    assert own.parent == base.info.identity
    assert own.training.training_cases == ["C0", "C1", "C2"]
    assert "BreastDCEDL" in (model / "clicks" / "MODEL_CARD.md").read_text()
    assert checkpoint.load(model).clicks == model / "clicks"
    entry = Registry(tmp_path / "home").register(model)
    assert checkpoint.read_info(checkpoint.clicks_of(entry.path)).identity == own.identity


def test_what_got_worse_is_not_kept(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clicks, "RATE", 3.0)
    monkeypatch.setattr(clicks, "BASE_SHARE", 0.0)
    base = checkpoint.load(checkpoint.CLICKS)
    job = tune_clicks(cases_of(dataset, 0, 1), cases_of(dataset, 3), base, tmp_path, steps=6)
    tuning = drain(job)
    assert tuning is not None
    assert not tuning.is_better
    assert "it stays as it was" in tuning.describe()
    assert not (tmp_path / "clicks").exists()
    assert checkpoint.clicks_of(tmp_path) == checkpoint.CLICKS


def test_only_patients_left_out_may_decide(dataset: Dataset) -> None:
    base = checkpoint.load(checkpoint.STARTER)
    assert can_tune_clicks(base, cases_of(dataset, 0, 1), cases_of(dataset, 3))
    assert not can_tune_clicks(base, cases_of(dataset, 0, 1), cases_of(dataset, 1))
    assert not can_tune_clicks(base, cases_of(dataset, 0, 1), [])


def test_channels_that_the_click_network_does_not_take_are_left_alone(tmp_path: Path) -> None:
    t2 = Dataset.create(tmp_path / "t2", ["t2"])
    for number in range(2):
        exam, labels = an_exam(number)
        t2.add(Exam(exam.case_id, {"t2": exam.phases["pre"]}), patient_id=f"P{number}")
        t2.accept(exam.case_id, labels, reviewed_slices=None, annotator="AB", seconds=1)
    base = checkpoint.load(checkpoint.STARTER)
    assert not can_tune_clicks(base, cases_of(t2, 0), cases_of(t2, 1))


def test_without_a_slice_reviewed_as_a_whole_nothing_is_tuned(tmp_path: Path) -> None:
    partly = Dataset.create(tmp_path / "partly", ["pre", "post1"])
    for number in range(2):
        exam, labels = an_exam(number)
        data = labels.data.copy()
        data[:, 0, 0] = IGNORE
        partly.add(exam, patient_id=f"P{number}")
        partly.accept(
            exam.case_id, LabelMap(data, GRID), reviewed_slices=None, annotator="AB", seconds=1
        )
    base = checkpoint.load(checkpoint.CLICKS)
    job = tune_clicks(cases_of(partly, 0), cases_of(partly, 1), base, tmp_path, steps=1)
    assert drain(job) is None


def test_train_says_what_became_of_it_and_counts_its_time(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = checkpoint.load(checkpoint.STARTER)
    how = {"base": base, "fold": 0, "steps": 1, "device": "cpu"}
    result = drain(train_dataset([dataset], tmp_path / "m", **how))
    assert isinstance(result.clicks, ClickTuning)
    assert "One smart click" in result.gain
    # A busy machine takes longer for one and the same patch.
    monkeypatch.setattr(duration, "_patch_seconds", lambda *_: (0.1, 0.05))
    with_clicks = expected([dataset], **how).seconds
    assert with_clicks > expected([dataset], **{**how, "fold": None}).seconds


def test_clicks_outside_the_exam_are_no_record(dataset: Dataset) -> None:
    with pytest.raises(ValueError, match="clicks must lie in the exam"):
        dataset.case("C0").model_validate(
            dataset.case("C0").model_dump() | {"clicks": [{"voxel": (1, 96, 2), "is_lesion": True}]}
        )


def made(folder: Path) -> Path:
    folder.mkdir()
    return folder
