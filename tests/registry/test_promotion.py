"""From a trained model to the one in use, in the engine and on the command line."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hospital import add_case, bright_model, make_hospital

from napari_breastseg.core.errors import InputError
from napari_breastseg.core.progress import drain
from napari_breastseg.dataset import Dataset
from napari_breastseg.model import checkpoint
from napari_breastseg.registry.gate import _taught
from napari_breastseg.registry.models import Registry
from napari_breastseg.registry.promotion import lone_training, new_cases, promote, registered


@pytest.fixture(scope="module")
def hospital(tmp_path_factory):
    return make_hospital(tmp_path_factory.mktemp("hospital") / "Dataset501_Breast")


@pytest.fixture
def models(tmp_path):
    """Checkpoint folders: one that is right, and one that is blind."""
    folders = {}
    for name, level in (("right", 0.5), ("blind", 9.0)):
        model = bright_model(name, level)
        folders[name] = tmp_path / name
        checkpoint.save(folders[name], model.network.state_dict(), model.info)
    return folders


def test_a_better_model_is_promoted_and_a_worse_one_stopped_with_words(run, hospital, models):
    registry = Registry()
    for name, folder in models.items():
        assert run("models", "import", folder, "--name", name)[0] == 0
    registry.promote("blind", force=True)
    words = ["--dataset", hospital.folder, "--device", "cpu"]
    code, stdout, _ = run("models", "promote", "right", *words)
    assert code == 0
    assert "right is better than blind on 5 locked patients (10 cases)." in stdout
    assert "right is now the default model." in stdout
    assert registry.promoted() == registry.folder / "right"

    code, stdout, _ = run("models", "promote", "blind", *words, "--json")
    assert code == 1
    answer = json.loads(stdout)
    assert answer["is_promoted"] is False
    assert answer["judgment"]["verdict"] == "worse"
    assert registry.promoted() == registry.folder / "right"
    code, stdout, _ = run("models", "show", "blind")
    assert "blind is worse than right on 5 locked patients" in stdout
    code, stdout, _ = run("models", "promote", "blind", *words, "--force")
    assert code == 0
    assert "blind is now the default model, set without passing the check" in stdout
    assert [event["action"] for event in registry.log()[2:]] == [
        "promote",
        "judge",
        "promote",
        "judge",
        "judge",
        "promote",
    ]
    assert registry.log()[-1]["by_hand"] is True
    assert registry.rollback() == registry.folder / "right"


def test_without_enough_locked_patients_promotion_is_by_hand(run, models, tmp_path):
    small = Dataset.create(tmp_path / "small")
    for n in range(10):
        add_case(small, n, "v1", is_accepted=n > 7)
    Registry().register(models["right"])
    words = ["models", "promote", "right", "--dataset", small.folder]
    code, stdout, _ = run(*words)
    assert code == 1
    assert "right could not be judged against starter on 1 locked patient (1 case)" in stdout
    assert Registry().promoted() is None
    assert Registry().judgment("right").verdict == "not enough to judge"
    assert run(*words, "--force")[0] == 0
    assert Registry().promoted() == Registry().folder / "right"


def test_the_model_in_use_and_one_nobody_knows_are_refused(hospital, models):
    registry = Registry()
    registry.register(models["right"])
    registry.promote("right", force=True)
    with pytest.raises(InputError, match="found right, which is"):
        drain(promote(registry, "right", [hospital]))
    with pytest.raises(InputError, match="found 'left'; registered: right"):
        drain(promote(registry, "left", [hospital]))


def test_weights_are_registered_once(models):
    registry = Registry()
    first = registered(registry, models["right"])
    assert registered(registry, models["right"]) == first
    assert registered(registry, models["right"], "another") == first
    assert [entry.name for entry in registry.list()] == ["right"]
    assert registered(registry, models["blind"], "nightly").path == registry.folder / "nightly"


def test_a_case_is_new_until_a_model_of_its_dataset_has_read_it(hospital, tmp_path):
    registry = Registry()
    assert new_cases(registry, [hospital]) == ["P00_v1", "P01_v1", "P02_v1", "P03_v1"]
    for name, training in (
        ("elsewhere", {"datasets": ["other"], "training_cases": ["P00_v1"]}),
        ("here", {"datasets": [hospital.name], "training_cases": ["P00_v1"]}),
        ("held", {"datasets": [hospital.name], "validation_cases": ["P01_v1"]}),
    ):
        model = bright_model(name, 0.5 + len(name) / 100, **training)
        checkpoint.save(tmp_path / name, model.network.state_dict(), model.info)
        registry.register(tmp_path / name)
        if name == "elsewhere":
            assert len(new_cases(registry, [hospital])) == 4
    assert new_cases(registry, [hospital]) == ["P02_v1", "P03_v1"]


def test_a_dataset_of_the_same_name_is_another_dataset(hospital, tmp_path):
    registry = Registry()
    twin = make_hospital(tmp_path / hospital.name)
    assert twin.name == hospital.name
    read = {"datasets": [hospital.name], "training_cases": ["P00_v1", "P01_v1"]}
    model = bright_model("here", 0.5, dataset_cases={hospital.id: ["P00_v1", "P01_v1"]}, **read)
    checkpoint.save(tmp_path / "here", model.network.state_dict(), model.info)
    registry.register(tmp_path / "here")
    assert new_cases(registry, [hospital]) == ["P02_v1", "P03_v1"]
    assert new_cases(registry, [twin]) == ["P00_v1", "P01_v1", "P02_v1", "P03_v1"]
    taught = [case for case, *_ in _taught(model, [hospital, twin])]
    assert taught == [f"{hospital.name} ({hospital.id})/{case}" for case in ("P00_v1", "P01_v1")]


def test_a_patient_locked_in_one_dataset_is_new_in_no_other(hospital, tmp_path):
    other = Dataset.create(tmp_path / "other")
    for n in (*range(40, 49), 0):  # P00 is the tenth here
        add_case(other, n, "v1", is_accepted=n == 0)
    assert other.locked() == ("P00_v1",)
    assert new_cases(Registry(), [hospital, other]) == ["P01_v1", "P02_v1", "P03_v1"]
    assert new_cases(Registry(), [hospital])[0] == "P00_v1"


def test_a_name_that_is_taken_is_said_before_the_training(run, hospital, models, tmp_path):
    Registry().register(models["right"])
    words = ["train", hospital.folder, "--model", "scratch", "--steps", 1, "--device", "cpu"]
    new = tmp_path / "new"
    for names in (["--output", new, "--name", "Right"], ["--output", new / "right"]):
        for asked in (["--promote"], ["--if-new", 1]):
            code, _, stderr = run(*words, *names, *asked)
            assert code == 2
            assert "right', which is taken" in stderr.lower()
    assert not new.exists()


@pytest.fixture
def starter(tmp_path, monkeypatch):
    """A starter that knows the hospital's squares: the shipped one knows tumors only."""
    made = bright_model("starter", 0.5)
    checkpoint.save(tmp_path / "starter", made.network.state_dict(), made.info)
    monkeypatch.setattr("napari_breastseg.registry.promotion.STARTER", tmp_path / "starter")
    monkeypatch.setattr("napari_breastseg.registry.models.STARTER", tmp_path / "starter")


@pytest.mark.usefixtures("starter")
def test_a_training_is_registered_under_its_name_and_promoted_once(run, hospital, tmp_path):
    def train(name):
        return run(
            "train", hospital.folder, "--model", "scratch", "--steps", 1, "--device", "cpu",
            "--output", tmp_path / f"out-{name}", "--name", name, "--promote",
        )  # fmt: skip

    assert train("first")[0] == 1  # one step from fresh weights is no match for the starter
    assert [entry.name for entry in Registry().list()] == ["first"]
    Registry().promote("first", force=True)
    code, _, stderr = train("second")  # the same seed makes the same weights: they are in use
    assert code == 0, stderr
    assert [event["action"] for event in Registry().log()] == ["register", "judge", "promote"]


@pytest.mark.usefixtures("starter")
def test_the_nightly_command_trains_when_it_is_due_and_not_again(run, tmp_path):
    data = make_hospital(tmp_path / "Dataset501_Breast")
    words = [
        "train", data.folder, "--model", "scratch", "--steps", 1, "--device", "cpu",
        "--if-new", 4, "--promote",
    ]  # fmt: skip
    code, stdout, _ = run(*words[:-2], 5, "--promote")
    assert code == 0
    assert "Dataset501_Breast: not trained, 4 new cases, 5 are needed" in stdout
    assert Registry().list() == ()

    code, stdout, _ = run(*words)
    assert code == 1  # one step from fresh weights is no match for the starter
    assert stdout.count("\n") == 1
    assert stdout[:2] == "20"  # begins with the date
    assert "4 new cases. Wrote" in stdout
    assert "is worse than starter on 5 locked patients" in stdout
    assert "is registered, but is not the default model" in stdout
    (entry,) = Registry().list()
    assert entry.path.name.startswith("Dataset501_Breast-")
    assert not entry.is_promoted
    assert [event["action"] for event in Registry().log()] == ["register", "judge"]

    code, stdout, _ = run(*words, "--json")
    assert code == 0
    answer = json.loads(stdout)
    assert answer == {"folder": None, "not_trained": "0 new cases, 4 are needed"}


def test_two_nightly_trainings_never_run_at_once(run, hospital, tmp_path):
    words = ["train", hospital.folder, "--if-new", 1, "--steps", 1]
    with lone_training() as is_alone:
        assert is_alone
        with lone_training() as is_second_alone:
            assert not is_second_alone
        code, stdout, _ = run(*words)
    assert code == 0
    assert "not trained, another automatic training is running" in stdout
    assert Registry().list() == ()
    with lone_training() as is_alone:
        assert is_alone
    # The system frees the lock of one that was killed.
    script = (
        "import os, signal\n"
        "from napari_breastseg.registry.promotion import lone_training\n"
        "with lone_training():\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode != 0
    with lone_training() as is_alone:
        assert is_alone


def test_going_on_needs_the_folder(run, hospital):
    code, _, stderr = run("train", hospital.folder, "--resume")
    assert code == 2
    assert "Found     no --output" in stderr


def test_several_processes_need_the_folder_and_start_by_hand(run, hospital, monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    code, _, stderr = run("train", hospital.folder)
    assert code == 2
    assert "Expected  an --output folder for training in several processes" in stderr
    code, _, stderr = run("train", hospital.folder, "--if-new", 1)
    assert code == 2
    assert "Expected  a single process for --if-new" in stderr
