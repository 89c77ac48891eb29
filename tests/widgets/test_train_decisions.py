"""What the Train step decides, without a window and without a training."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hospital import bright_model

from napari_breastseg.model import checkpoint
from napari_breastseg.model.checkpoint import STARTER
from napari_breastseg.registry.models import Registry
from napari_breastseg.widgets.state.default_model import why_not_go_back, why_not_set_default
from napari_breastseg.widgets.state.training import (
    Learnable,
    TrainingOrder,
    result_words,
    run_name,
    why_not_train,
)

ORDER = TrainingOrder(Path("set"), Path("base"), None, 0, 0, "cpu")


def record(patient: str, *, is_accepted: bool = True, is_locked: bool = False) -> Any:
    return SimpleNamespace(patient_id=patient, is_accepted=is_accepted, is_locked=is_locked)


def test_a_training_learns_from_accepted_cases_of_patients_that_are_not_locked() -> None:
    records = [
        record("A"),
        record("A"),
        record("B"),
        record("C", is_accepted=False),
        record("D", is_locked=True),
        record("E", is_accepted=False, is_locked=True),
    ]
    learnable = Learnable.of(records)
    assert learnable == Learnable(n_cases=3, n_patients=2, n_locked=1)
    assert learnable.describe() == "3 accepted cases of 2 patients; 1 locked for testing"


def test_why_no_training_starts_names_the_first_thing_to_do() -> None:
    some = Learnable(1, 1, 0)
    assert why_not_train(some, is_running=False) == ""
    assert why_not_train(some, is_running=True) == "Training; wait or cancel"
    assert why_not_train(None, is_running=False) == "Open a dataset folder first"
    only_locked = Learnable(0, 0, 4)
    assert why_not_train(only_locked, is_running=False).startswith("Accept a case")
    assert why_not_train(some, is_running=False, problem="no weights") == "no weights"


def test_only_the_same_order_resumes_an_interrupted_training() -> None:
    interrupted = replace(ORDER, output=Path("trained/one"))
    assert ORDER.resuming(None) is None
    assert ORDER.resuming(interrupted) is interrupted
    for change in (
        {"dataset": Path("other")},
        {"base": None},
        {"steps": 10},
        {"fold": None},
        {"seed": 1},
        {"device": "cuda"},
    ):
        assert replace(ORDER, **change).resuming(interrupted) is None


def test_a_training_is_named_by_hand_or_after_dataset_and_time() -> None:
    now = datetime(2026, 11, 29, 4, 5)
    assert run_name(" mine ", "set", now) == "mine"
    assert run_name("", "set", now) == "set-20261129-0405"


@pytest.mark.parametrize(
    ("val_dice", "is_own", "expected"),
    [
        (0.8764, False, "a: best at step 7, 3 s. So much better."),
        (
            0.8764,
            True,
            "a: best at step 7, Dice 0.876 on the cases it learned from, 3 s. So much better.",
        ),
        (None, False, "a: best at step 7, 3 s. So much better."),
    ],
)
def test_a_result_says_what_it_brought_and_on_whom(
    val_dice: float | None, is_own: bool, expected: str
) -> None:
    training = SimpleNamespace(is_validated_on_its_own=is_own)
    info = SimpleNamespace(name="a", training=training)
    result: Any = SimpleNamespace(info=info, best_step=7, val_dice=val_dice, gain="So much better.")
    assert result_words(result, "3 s") == expected


@pytest.fixture
def right(tmp_path: Path) -> Path:
    model = bright_model("right", 0.5)
    checkpoint.save(tmp_path / "right", model.network.state_dict(), model.info)
    return tmp_path / "right"


def test_the_default_is_set_once_and_the_starter_only_by_going_back(right: Path) -> None:
    registry = Registry()
    entry = registry.register(right)

    assert why_not_set_default(entry.path, registry) == ""
    assert why_not_set_default(None, registry) == "Choose a model first"
    assert "when you go back" in why_not_set_default(STARTER, registry)
    assert why_not_go_back(registry) == "The starter is the default"
    registry.promote(entry.name, force=True)
    assert why_not_set_default(entry.path, registry) == "It is already the default"
    assert why_not_go_back(registry) == ""


def test_one_can_go_back_from_a_default_that_is_missing(right: Path) -> None:
    registry = Registry()
    registry.promote(registry.register(right).name, force=True)
    shutil.rmtree(registry.folder / "right")
    assert why_not_go_back(registry) == ""
