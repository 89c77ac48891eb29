"""How long a training takes is said before it begins."""

from __future__ import annotations

import pytest
from test_training import Slice

from napari_breastseg.core.errors import InputError
from napari_breastseg.dataset import Dataset
from napari_breastseg.model.checkpoint import Checkpoint, ModelInfo
from napari_breastseg.model.unet import ModelSpec, build
from napari_breastseg.training import duration
from napari_breastseg.training.duration import Expected, expected

SPEC = ModelSpec(features=(4, 8), patch_size=(32, 32))
BASE = Checkpoint(ModelInfo(name="base", spec=SPEC), build(SPEC))


@pytest.fixture
def dataset(tmp_path):
    made = Dataset.create(tmp_path / "data")
    for n in range(6):
        case = Slice(f"C{n}", f"P{n}", n)
        made.add(case.exam(), patient_id=case.patient_id)
        made.accept(case.case_id, case.label_map(), reviewed_slices=None, annotator="a", seconds=1)
    return made


@pytest.fixture
def paced(monkeypatch):
    """A machine that learns from a patch in a second and looks at one in a third."""
    monkeypatch.setattr(duration, "_patch_seconds", lambda spec, config: (1.0, 0.3))


def test_more_steps_and_more_cases_to_validate_on_take_longer(dataset, paced):
    short = expected([dataset], base=BASE, steps=10, fold=None)
    long = expected([dataset], base=BASE, steps=20, fold=None)
    validated = expected([dataset], base=BASE, steps=10, fold=0)
    assert long.seconds - short.seconds == pytest.approx(10 * 4 * 1.25)
    assert validated.seconds > short.seconds
    assert validated.cases < short.cases


def test_it_says_who_is_learned_from_and_about_how_long():
    assert Expected(1, 1, 30, 8.0).describe() == "1 case of 1 patient, 30 steps, about 10 s"
    assert Expected(40, 12, 95, 400.0).describe().endswith("95 steps, about 7 min")


def test_a_machine_takes_time_for_a_patch():
    from napari_breastseg.training.planning import plan_config

    learning, looking = duration._patch_seconds(SPEC, plan_config(is_fine_tuning=True, cases=2))
    assert learning > 0
    assert looking > 0


def test_a_dataset_without_accepted_cases_is_refused(tmp_path, paced):
    empty = Dataset.create(tmp_path / "empty")
    with pytest.raises(InputError, match="accepted"):
        expected([empty], base=BASE)
