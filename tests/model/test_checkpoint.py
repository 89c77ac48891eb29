"""A checkpoint folder loads as it was saved, or says why not."""

from __future__ import annotations

import json

import pytest
import torch

from napari_breastseg.core.errors import InputError
from napari_breastseg.model import checkpoint
from napari_breastseg.model.checkpoint import MODEL_FILE, WEIGHTS_FILE, ModelInfo, TrainingRecord
from napari_breastseg.model.site import Site, SiteExams
from napari_breastseg.model.unet import ModelSpec, build

SPEC = ModelSpec(features=(4, 8), patch_size=(32, 32))


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(1)
    network = build(SPEC).eval()
    folder = tmp_path / "model"
    info = checkpoint.save(folder, network.state_dict(), ModelInfo(name="tiny", spec=SPEC))
    return folder, network, info


def test_a_saved_network_gives_the_same_answers(saved):
    folder, network, info = saved
    loaded = checkpoint.load(folder)
    image = torch.rand(1, 1, 32, 32)
    torch.testing.assert_close(loaded.network(image), network(image))
    assert loaded.info == info
    assert info.identity == f"tiny@{info.weights_sha256[:12]}"
    assert info.software["torch"] == torch.__version__


def test_a_folder_holds_two_files_and_no_pickle(saved):
    folder, *_ = saved
    assert sorted(path.name for path in folder.iterdir()) == [MODEL_FILE, WEIGHTS_FILE]
    assert b"torch_utils" not in (folder / WEIGHTS_FILE).read_bytes()


def test_half_precision_is_half_the_size_and_loads_as_float32(saved, tmp_path):
    folder, network, info = saved
    checkpoint.save(tmp_path / "half", network.state_dict(), info, half=True)
    loaded = checkpoint.load(tmp_path / "half")
    assert all(
        value.dtype == torch.float32
        for value in loaded.network.state_dict().values()
        if value.is_floating_point()
    )
    image = torch.rand(1, 1, 32, 32)
    torch.testing.assert_close(loaded.network(image), network(image), atol=0.02, rtol=0.02)
    size = (tmp_path / "half" / WEIGHTS_FILE).stat().st_size
    assert size < 0.7 * (folder / WEIGHTS_FILE).stat().st_size


def test_weights_of_another_model_are_refused(saved, tmp_path):
    folder, network, info = saved
    other = {key: value + 1 for key, value in network.state_dict().items()}
    checkpoint.save(tmp_path / "other", other, info)
    (folder / WEIGHTS_FILE).write_bytes((tmp_path / "other" / WEIGHTS_FILE).read_bytes())
    with pytest.raises(InputError, match=r"Expected the weights with SHA-256.*Copy the whole"):
        checkpoint.load(folder)


def test_truncated_weights_are_refused(saved):
    folder, *_ = saved
    weights = folder / WEIGHTS_FILE
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"in weights\.safetensors"):
        checkpoint.load(folder)


def test_a_folder_that_is_no_checkpoint_is_refused(tmp_path):
    with pytest.raises(InputError, match="Expected a checkpoint folder"):
        checkpoint.load(tmp_path)


def test_a_broken_description_is_named(saved):
    folder, *_ = saved
    plain = json.loads((folder / MODEL_FILE).read_text())
    plain["spec"]["dims"] = 4
    (folder / MODEL_FILE).write_text(json.dumps(plain))
    with pytest.raises(InputError, match=r"Expected a valid model.json.*spec.dims"):
        checkpoint.read_info(folder)


def test_weights_that_are_not_numbers_are_not_saved(saved, tmp_path):
    _, network, info = saved
    broken = dict(network.state_dict())
    broken["head.0.conv.bias"] = torch.tensor([float("nan"), 0.0])
    with pytest.raises(InputError, match="NaN or infinite"):
        checkpoint.save(tmp_path / "broken", broken, info)
    assert not (tmp_path / "broken").exists()


def test_another_sites_case_of_the_same_name_was_not_learned_from():
    here, elsewhere = [("P01_v1", "A"), ("P01_v2", "A")], [("P01_v1", "Q"), ("P02_v1", "R")]
    record = TrainingRecord(training_cases=["P01_v1"], patients=["A"])
    assert record.learned_from(here) == {"P01_v1", "P01_v2"}
    assert record.learned_from(elsewhere) == set()
    tuned = TrainingRecord(
        training_cases=["X_v1"],
        patients=["X"],
        inherited_cases=["P01_v1"],
        inherited_patients=["A"],
    )
    assert tuned.learned_from(here) == {"P01_v1", "P01_v2"}
    assert tuned.learned_from(elsewhere) == set()
    # Where a record knows no patients, a name is all there is to go by.
    for older in (
        TrainingRecord(training_cases=["P01_v1"]),
        TrainingRecord(training_cases=["X_v1"], patients=["X"], inherited_cases=["P01_v1"]),
    ):
        assert older.learned_from(elsewhere) == {"P01_v1"}


SITE = Site(
    scale=(1.0, 1.0),
    exams=(SiteExams(phases=("post1",), cases=2, patients=1, mean=(0.0, 1.0), spread=1.5),),
)


@pytest.fixture
def pair(tmp_path):
    torch.manual_seed(1)
    site, general = build(SPEC).eval(), build(SPEC).eval()
    info = ModelInfo(name="pair", spec=SPEC, site=SITE)
    checkpoint.save(tmp_path / "pair", site.state_dict(), info, general=general.state_dict())
    return tmp_path / "pair", site, general


def test_a_fine_tuned_checkpoint_holds_the_site_and_the_general_network(pair):
    folder, site, general = pair
    loaded = checkpoint.load(folder)
    image = torch.rand(1, 1, 32, 32)
    torch.testing.assert_close(loaded.network(image), site(image))
    torch.testing.assert_close(loaded.general(image), general(image))
    assert loaded.info.site == SITE
    assert sorted(path.name for path in folder.iterdir()) == [MODEL_FILE, WEIGHTS_FILE]


def test_the_mixture_of_a_share_is_one_network_made_once(pair):
    folder, site, general = pair
    loaded = checkpoint.load(folder)
    half = loaded.at(0.5)
    assert half is loaded.at(0.5)
    assert (half.general, half.info.site) == (None, None)
    assert half.at(0.25) is half
    for key, value in half.network.state_dict().items():
        if value.is_floating_point():
            middle = (site.state_dict()[key] + general.state_dict()[key]) / 2
            torch.testing.assert_close(value, middle)
    image = torch.rand(1, 1, 32, 32)
    torch.testing.assert_close(loaded.at(0.0).network(image), general(image))
    torch.testing.assert_close(loaded.at(1.0).network(image), site(image))


def test_a_pair_without_its_general_network_is_refused(pair, tmp_path):
    folder, site, _ = pair
    info = checkpoint.read_info(folder)
    checkpoint.save(tmp_path / "half", site.state_dict(), info)
    with pytest.raises(InputError, match="weights that fit the network"):
        checkpoint.load(tmp_path / "half")
