"""The model registry: copies, pointer, log, and what a crash may leave."""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from napari_breastseg.core.errors import InputError, StorageError
from napari_breastseg.core.home import home_folder
from napari_breastseg.model.checkpoint import STARTER, read_info
from napari_breastseg.model.unet import ModelSpec, build
from napari_breastseg.registry.judgment import Figure, Judgment
from napari_breastseg.registry.models import Registry

SPEC = ModelSpec(features=(4, 8), patch_size=(32, 32))


@pytest.fixture
def registry(tmp_path):
    return Registry(tmp_path / "home")


@pytest.fixture
def make_checkpoint(tmp_path):
    """Write a checkpoint folder as training leaves it; its weights depend on its name."""

    def make(name="model-a", *, parent=None, dice=0.8, card=False):
        folder = tmp_path / "made" / name
        folder.mkdir(parents=True)
        torch.manual_seed(sum(map(ord, name)))
        weights = save(build(SPEC).state_dict())
        (folder / "weights.safetensors").write_bytes(weights)
        info = {
            "name": name,
            "spec": SPEC.model_dump(mode="json"),
            "parent": parent,
            "metrics": {"dice_mean": dice},
            "weights_sha256": hashlib.sha256(weights).hexdigest(),
        }
        (folder / "model.json").write_text(json.dumps(info))
        (folder / "history.csv").write_text("step,loss\n1,0.5\n")
        if card:
            (folder / "MODEL_CARD.md").write_text("# Model card\n")
        return folder

    return make


def files_of(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_registered_model_is_a_copy_without_the_training_s_other_files(registry, make_checkpoint):
    source = make_checkpoint("site-a", parent="starter@0123456789ab", card=True)
    entry = registry.register(source, by="reader 1")
    assert entry.path == registry.folder / "site-a"
    assert files_of(entry.path) == {
        "weights.safetensors",
        "model.json",
        "MODEL_CARD.md",
        "registered.json",
    }
    for name in ("weights.safetensors", "model.json", "MODEL_CARD.md"):
        assert (entry.path / name).read_bytes() == (source / name).read_bytes()
    assert (entry.parent, entry.metrics, entry.by) == (
        "starter@0123456789ab",
        {"dice_mean": 0.8},
        "reader 1",
    )
    assert not entry.is_promoted
    assert registry.list() == (entry,)
    assert json.loads(json.dumps(entry.to_json()))["name"] == "site-a"


def test_the_log_tells_when_who_what_and_on_which_figures(registry, make_checkpoint):
    entry = registry.register(make_checkpoint("a", dice=0.81), by="reader 1")
    registry.promote("a", force=True, by="reader 2")
    registry.rollback(by="reader 3")
    log = registry.log()
    assert [(event["action"], event["by"], event["name"]) for event in log] == [
        ("register", "reader 1", "a"),
        ("promote", "reader 2", "a"),
        ("rollback", "reader 3", None),
    ]
    assert all(event["time_utc"].endswith("+00:00") for event in log)
    assert log[1]["by_hand"] is True
    assert log[1]["metrics"] == {"dice_mean": 0.81}
    assert log[0]["weights_sha256"] == log[1]["weights_sha256"] == entry.weights_sha256
    assert log[2]["rolled_back_from"] == "a"


def test_who_is_the_account_and_unknown_without_one(registry, make_checkpoint, monkeypatch):
    assert registry.register(make_checkpoint("a")).by == getpass.getuser()

    def no_account():
        raise KeyError("uid not found")

    monkeypatch.setattr(getpass, "getuser", no_account)
    assert registry.register(make_checkpoint("b")).by == "unknown"


def test_figures_that_are_nan_are_listed_as_unknown(registry, make_checkpoint):
    assert registry.register(make_checkpoint("a", dice=float("nan"))).metrics == {"dice_mean": None}


def test_models_are_listed_oldest_first(registry, make_checkpoint):
    for name in ("m", "z", "a"):
        registry.register(make_checkpoint(name))
    assert [entry.name for entry in registry.list()] == ["m", "z", "a"]


def test_an_empty_registry_makes_no_folder(registry):
    assert registry.list() == ()
    assert registry.log() == ()
    assert registry.promoted() is None
    assert not registry.folder.exists()


def test_a_registered_name_is_never_replaced(registry, make_checkpoint):
    source = make_checkpoint("Site-A")
    registry.register(source)
    for name in ("Site-A", "site-a"):  # one folder on macOS and Windows
        with pytest.raises(InputError, match=f"'{name}', which is taken. Choose another name"):
            registry.register(source, name)
        with pytest.raises(InputError, match=f"'{name}', which is taken. Choose another name"):
            registry.require_free(name)
    with pytest.raises(InputError, match="Expected a model name of 1 to 64 letters"):
        registry.require_free("a/b")
    registry.require_free("Site-B")
    assert len(registry.list()) == 1


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../up",
        "a/b",
        "a\\b",
        ".hidden",
        "-flag",
        "a b",
        "a.",
        "é",
        "x" * 65,
        "a\n",
        "promoted",
        "log.jsonl",
        "starter",
        "scratch",
        "CON",
        "nul.txt",
    ],
)
def test_names_that_are_no_safe_folder_names_are_refused(registry, make_checkpoint, name):
    with pytest.raises(InputError, match="Expected a model name of 1 to 64 letters"):
        registry.register(make_checkpoint(), name)
    assert not registry.folder.exists()


@pytest.mark.parametrize("missing", ["weights.safetensors", "model.json"])
def test_a_folder_that_lacks_a_file_is_refused(registry, make_checkpoint, missing):
    source = make_checkpoint()
    (source / missing).unlink()
    with pytest.raises(
        InputError, match=r"weights.safetensors and model.json; .* which is not one"
    ):
        registry.register(source)


def test_a_description_that_is_no_json_is_refused(registry, make_checkpoint):
    source = make_checkpoint()
    (source / "model.json").write_text('{"name": "model-a", ')
    with pytest.raises(InputError, match=r"Expected a valid model\.json"):
        registry.register(source)


def test_weights_of_another_model_are_refused_and_leave_nothing(registry, make_checkpoint):
    source, other = make_checkpoint("a"), make_checkpoint("b")
    (source / "weights.safetensors").write_bytes((other / "weights.safetensors").read_bytes())
    with pytest.raises(InputError, match=r"weights with SHA-256 .*; found .*another model"):
        registry.register(source)
    assert registry.list() == ()
    assert registry.log() == ()
    assert files_of(registry.folder) <= {".lock"}


def test_weights_cut_off_are_refused_even_without_a_hash(registry, make_checkpoint):
    source = make_checkpoint("a")
    info = json.loads((source / "model.json").read_text())
    (source / "model.json").write_text(json.dumps({**info, "weights_sha256": ""}))
    weights = (source / "weights.safetensors").read_bytes()
    (source / "weights.safetensors").write_bytes(weights[:-5])
    with pytest.raises(InputError, match="Error while deserializing"):
        registry.register(source)


def test_a_disk_full_in_mid_copy_leaves_nothing(registry, make_checkpoint, monkeypatch):
    registry.register(make_checkpoint("a"))
    before = files_of(registry.folder)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left on device"):
        registry.register(make_checkpoint("b"))
    assert files_of(registry.folder) == before


def test_a_name_or_a_folder_resolves_to_a_checkpoint(registry, make_checkpoint, monkeypatch):
    source = make_checkpoint("a")
    registry.register(source)
    assert registry.resolve("a") == registry.folder / "a"
    assert registry.resolve(source) == source
    assert registry.resolve(str(source)) == source
    monkeypatch.chdir(source.parent)
    assert registry.resolve("a") == registry.folder / "a"
    assert registry.resolve("./a").resolve() == source.resolve()


def test_a_name_nobody_knows_is_refused_with_those_known(registry, make_checkpoint):
    with pytest.raises(InputError, match="found 'site-b'; registered: none"):
        registry.resolve("site-b")
    registry.register(make_checkpoint("z"))
    registry.register(make_checkpoint("a"))
    with pytest.raises(InputError, match=r"found 'site-b'; registered: a, z. Choose one of these"):
        registry.resolve("site-b")
    with pytest.raises(InputError, match=r"found 'site-b'; registered: a, z. Choose one of these"):
        registry.promote("site-b", force=True)


def test_a_model_nobody_judged_is_promoted_by_hand_only(registry, make_checkpoint):
    registry.register(make_checkpoint("a"))
    with pytest.raises(
        InputError,
        match=r"which was not judged on them\. "
        "Judge it with 'napari-breastseg models promote a --dataset DATASET', or add --force to "
        "promote it without the check",
    ):
        registry.promote("a")
    assert registry.promoted() is None
    assert registry.promote("a", force=True).is_promoted
    assert registry.promoted() == registry.folder / "a"
    assert [entry.is_promoted for entry in registry.list()] == [True]


@pytest.fixture
def judged():
    """A judgment of a registered model against the one in use, as it stands in a registry."""

    def make(registry, name, verdict="better", reference=STARTER):
        return Judgment(
            verdict=verdict,
            candidate=read_info(registry.folder / name).identity,
            reference=read_info(reference).identity,
            datasets=("Dataset501",),
            data_sha256="d" * 64,
            n_patients=6,
            n_cases=9,
            figures=(
                Figure(
                    measure="mean Dice",
                    candidate=0.8,
                    reference=0.75,
                    difference=0.05,
                    ci95=(0.01, 0.09),
                    allowed="a loss below 0.05",
                    is_kept=True,
                ),
            ),
        )

    return make


def test_a_judgment_that_passes_promotes_and_stands_in_the_log(registry, make_checkpoint, judged):
    registry.register(make_checkpoint("a"), by="one")
    judgment = judged(registry, "a")
    assert registry.promote("a", judgment=judgment, by="two").is_promoted
    assert registry.promoted() == registry.folder / "a"
    assert registry.judgment("a") == judgment
    judge, promote = registry.log()[1:]
    for event in (judge, promote):
        assert (event["by"], event["name"], event["verdict"]) == ("two", "a", "better")
        assert (event["data_sha256"], event["n_patients"]) == ("d" * 64, 6)
        assert event["figures"][0]["candidate"] == 0.8
        assert event["reference"] == read_info(STARTER).identity
    assert (judge["action"], promote["action"], promote["by_hand"]) == ("judge", "promote", False)


@pytest.mark.parametrize("verdict", ["unclear", "worse", "not enough to judge"])
def test_a_judgment_that_does_not_pass_is_kept_and_promotes_by_hand_only(
    registry, make_checkpoint, judged, verdict
):
    registry.register(make_checkpoint("a"))
    judgment = judged(registry, "a", verdict)
    assert not registry.promote("a", judgment=judgment).is_promoted
    assert registry.promoted() is None
    assert registry.judgment("a") == judgment
    assert registry.log()[-1]["action"] == "judge"
    assert registry.promote("a", judgment=judgment, force=True).is_promoted
    assert registry.log()[-1]["by_hand"] is True
    assert registry.log()[-1]["verdict"] == verdict


def test_a_judgment_of_other_models_or_of_another_time_is_refused(
    registry, make_checkpoint, judged
):
    for name in ("a", "b"):
        registry.register(make_checkpoint(name))
    of_b = judged(registry, "b")
    with pytest.raises(
        InputError, match=r"Expected a judgment of a@.* against starter@.* found one of b@"
    ):
        registry.promote("a", judgment=of_b)
    registry.promote("a", force=True)  # in the meantime another became the one in use
    with pytest.raises(InputError, match=r"of b@.* against a@.* Judge it again"):
        registry.promote("b", judgment=of_b)
    assert registry.judgment("b") is None
    assert registry.promote("b", judgment=judged(registry, "b", reference=registry.folder / "a"))
    assert registry.rollback() == registry.folder / "a"


def test_a_judgment_killed_before_its_log_line_is_logged_by_the_next_writer(
    registry, make_checkpoint, judged
):
    registry.register(make_checkpoint("a"))
    path = registry.folder / "log.jsonl"
    before = path.read_bytes()
    registry.promote("a", judgment=judged(registry, "a", "worse"), by="two")
    path.write_bytes(before)
    registry.register(make_checkpoint("b"))
    assert [event["action"] for event in registry.log()] == ["register", "judge", "register"]


def test_rolling_back_goes_through_the_promoted_ones_to_the_starter(registry, make_checkpoint):
    for name in ("a", "b", "c"):
        registry.register(make_checkpoint(name))
        registry.promote(name, force=True)
    registry.promote("c", force=True)  # again: nothing changes
    assert registry.rollback() == registry.folder / "b"
    registry.promote("c", force=True)
    assert registry.rollback() == registry.folder / "b"
    assert registry.rollback() == registry.folder / "a"
    assert registry.promoted() == registry.folder / "a"
    assert registry.rollback() is None
    assert registry.promoted() is None
    with pytest.raises(InputError, match="found none: the starter is the default model"):
        registry.rollback()


def test_a_promoted_model_that_is_gone_is_said_and_rolled_back_over(registry, make_checkpoint):
    for name in ("a", "b", "c"):
        registry.register(make_checkpoint(name))
        registry.promote(name, force=True)
    for name in ("b", "c"):
        (registry.folder / name).rename(registry.folder.parent / name)
    with pytest.raises(
        InputError, match=r"promoted model 'c' in .*; found it missing.* 'models rollback'"
    ):
        registry.promoted()
    assert registry.rollback() == registry.folder / "a"


def test_a_damaged_model_is_listed_with_its_problem_and_not_promoted(registry, make_checkpoint):
    registry.register(make_checkpoint("a"))
    registry.register(make_checkpoint("b"))
    (registry.folder / "a" / "model.json").write_text("{")
    problems = {entry.name: bool(entry.problem) for entry in registry.list()}
    assert problems == {"a": True, "b": False}
    with pytest.raises(InputError, match="Expected a complete model to promote 'a'"):
        registry.promote("a", force=True)


def test_a_pointer_nobody_can_read_is_said(registry, make_checkpoint):
    registry.register(make_checkpoint("a"))
    (registry.folder / "promoted").write_text("{")
    with pytest.raises(InputError, match=r"could not be read. Delete that file"):
        registry.promoted()


@pytest.mark.parametrize("kept", [0, 1, 20, -1])
def test_a_log_line_torn_by_a_crash_loses_no_other(registry, make_checkpoint, kept):
    registry.register(make_checkpoint("a"), by="one")
    registry.register(make_checkpoint("b"), by="two")
    path = registry.folder / "log.jsonl"
    first, second, _ = path.read_bytes().split(b"\n")
    path.write_bytes(first + b"\n" + second[:kept])
    assert [event["by"] for event in registry.log()] == ["one"]
    registry.register(make_checkpoint("c"), by="three")
    # What the crash cut off is written again from the model's own record.
    assert [event["by"] for event in registry.log()] == ["one", "two", "three"]


def test_a_promotion_killed_before_its_log_line_is_logged_by_the_next_writer(
    registry, make_checkpoint
):
    registry.register(make_checkpoint("a"))
    path = registry.folder / "log.jsonl"
    before = path.read_bytes()
    registry.promote("a", force=True, by="reader 2")
    path.write_bytes(before)
    registry.register(make_checkpoint("b"))
    actions = [(event["action"], event["name"]) for event in registry.log()]
    assert actions == [("register", "a"), ("promote", "a"), ("register", "b")]


def test_a_copy_killed_half_way_is_no_model_and_is_cleared(registry, make_checkpoint):
    source = make_checkpoint("a")
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from napari_breastseg.model import checkpoint\n"
        "from napari_breastseg.registry import models as registry\n"
        "checkpoint._require_whole_weights = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "registry.Registry(Path(sys.argv[1])).register(Path(sys.argv[2]))\n"
    )
    home = registry.folder.parent
    done = subprocess.run([sys.executable, "-c", script, home, source], check=False)
    assert done.returncode != 0
    assert any(path.name.startswith(".tmp-") for path in registry.folder.iterdir())
    assert registry.list() == ()
    registry.register(source)
    assert [entry.name for entry in registry.list()] == ["a"]
    assert not any(path.name.startswith(".tmp-") for path in registry.folder.iterdir())


def test_many_may_register_and_promote_at_once(registry, make_checkpoint):
    sources = [make_checkpoint(f"m{i}") for i in range(8)]

    def work(source):
        own = Registry(registry.folder.parent)
        own.register(source)
        own.promote(source.name, force=True)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, sources))
    assert {entry.name for entry in registry.list()} == {source.name for source in sources}
    log = registry.log()
    assert len(log) == 16
    last = [event["name"] for event in log if event["action"] == "promote"][-1]
    assert registry.promoted() == registry.folder / last
    for _ in range(7):
        assert registry.rollback() is not None
    assert registry.rollback() is None


def test_a_registry_that_is_held_too_long_is_said(registry, make_checkpoint, monkeypatch):
    from filelock import FileLock

    registry.register(make_checkpoint("a"))
    monkeypatch.setattr("napari_breastseg.registry.folder._LOCK_TIMEOUT_S", 0.1)
    with (
        FileLock(registry.folder / ".lock"),
        pytest.raises(StorageError, match="another program holding it"),
    ):
        registry.promote("a", force=True)


def test_a_home_that_cannot_be_made_is_said(tmp_path, make_checkpoint):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="to be writable"):
        Registry(tmp_path / "file").register(make_checkpoint())


def test_the_home_is_where_the_platform_keeps_application_data(monkeypatch, tmp_path):
    monkeypatch.setenv("BREASTSEG_HOME", str(tmp_path))
    assert home_folder() == tmp_path
    assert Registry().folder == tmp_path / "models"
    monkeypatch.delenv("BREASTSEG_HOME")
    monkeypatch.setenv("HOME", "/home/reader")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    assert home_folder() == Path("/home/reader/.local/share/napari-breastseg")
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert home_folder() == Path("/data/napari-breastseg")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert home_folder() == Path("/home/reader/Library/Application Support/napari-breastseg")
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", "/c/Local")
    assert home_folder() == Path("/c/Local/napari-breastseg")


def test_the_registry_loads_no_torch():
    script = "import sys, napari_breastseg.registry.models; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
