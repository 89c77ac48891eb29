"""Models of other makers become checkpoint folders and predict what their own software predicts."""

from __future__ import annotations

import io
import json
import shutil
import threading
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_breastseg import formats
from napari_breastseg.core.errors import InputError
from napari_breastseg.core.progress import drain, in_thread
from napari_breastseg.core.volume import Exam, Grid, Volume
from napari_breastseg.model import checkpoint
from napari_breastseg.model.foreign_monai import MonaiNetwork
from napari_breastseg.model.importing import import_model
from napari_breastseg.model.monai_switch import metadata_tracked
from napari_breastseg.predict.prediction import predict
from napari_breastseg.registry.models import Registry
from napari_breastseg.training import TrainConfig, train

NETWORK = {
    "_target_": "BasicUNet",
    "spatial_dims": 3,
    "in_channels": 2,
    "out_channels": "@classes",
    "features": [4, 4, 8, 8, 8, 4],
}
PREPROCESSING = [
    {"_target_": "LoadImaged", "keys": "image"},
    {"_target_": "EnsureChannelFirstd", "keys": "image"},
    {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS", "labels": None},
    {"_target_": "Spacingd", "keys": ["image"], "pixdim": "@spacing", "mode": ["bilinear"]},
    {"_target_": "NormalizeIntensityd", "keys": "image", "nonzero": True, "channel_wise": True},
    {"_target_": "EnsureTyped", "keys": "image", "device": "@device"},
]
CONFIG = {
    "device": "$torch.device('cpu')",
    "classes": 2,
    "spacing": [1.0, 1.0, 3.0],
    "network_def": NETWORK,
    "network": "$@network_def.to(@device)",
    "preprocessing": {"_target_": "Compose", "transforms": PREPROCESSING},
    "inferer": {"_target_": "SlidingWindowInferer", "roi_size": [32, 32, 16], "overlap": 0.5},
}
METADATA = {
    "name": "Breast tumor",
    "network_data_format": {
        "inputs": {"image": {"channel_def": {"0": "pre", "1": "post1"}}},
        "outputs": {"pred": {"channel_def": {"0": "background", "1": "tumor"}}},
    },
}


def make_bundle(folder: Path, *, metadata=METADATA, weights=None, **changes) -> Path:
    from monai.networks.nets import BasicUNet

    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    (folder / "configs" / "metadata.json").write_text(json.dumps(metadata))
    (folder / "configs" / "inference.json").write_text(json.dumps(CONFIG | changes))
    if weights is None:
        torch.manual_seed(0)
        network = BasicUNet(3, 2, 2, features=(4, 4, 8, 8, 8, 4))
        weights = {"model": network.state_dict(), "epoch": 3}
    torch.save(weights, folder / "models" / "model.pt")
    return folder


def written(exam: Exam, folder: Path) -> list[str]:
    """The exam's phases as NIfTI files."""
    files = []
    for number, role in enumerate(("pre", "post1")):
        path = folder / f"exam_{number:04d}.nii.gz"
        formats.write_volume(path, exam.phases[role])
        files.append(str(path))
    return files


# MONAI tries all its readers of files when it is to load one.
@pytest.mark.filterwarnings("ignore:NvImgCodecPydicomReader:UserWarning")
def test_a_bundle_predicts_what_monai_makes_of_it(sphere_exam, tmp_path):
    from monai.bundle import ConfigParser
    from monai.data import MetaTensor
    from monai.transforms import Invertd

    files = written(sphere_exam[0], tmp_path)
    exam = formats.open_exam(
        files[0]
    )  # a file's rounding of the affine moves MONAI's grid a little
    bundle = make_bundle(tmp_path / "bundle")
    made = import_model(bundle, tmp_path / "made")
    assert sorted(path.name for path in made.iterdir()) == ["model.json", "weights.safetensors"]
    model = checkpoint.load(made)
    assert (model.info.name, model.spec.phases) == ("Breast tumor", ("pre", "post1"))
    ours = drain(predict(model, exam, device="cpu"))
    assert ours.probability.grid is exam.grid

    parser = ConfigParser(json.loads((bundle / "configs" / "inference.json").read_text()))
    chain = parser.get_parsed_content("preprocessing")
    network = parser.get_parsed_content("network")
    network.load_state_dict(torch.load(bundle / "models" / "model.pt")["model"])
    image = chain({"image": files})["image"]
    window = parser.get_parsed_content("inferer")
    window.mode = "gaussian"
    with torch.no_grad():
        tumor = window(image.as_tensor()[None], network.eval()).softmax(1)[0, 1:]
    tumor = MetaTensor(tumor, meta=image.meta, applied_operations=image.applied_operations)
    back = Invertd("tumor", chain, orig_keys="image", nearest_interp=False)
    theirs = back({"image": image, "tumor": tumor})["tumor"][0].numpy().transpose()
    assert theirs.shape == exam.grid.shape
    assert theirs.std() > 1e-3
    np.testing.assert_allclose(ours.probability.data, theirs, atol=2e-4)


def test_a_two_dimensional_bundle_sees_slice_by_slice(tmp_path):
    from monai.networks.nets import BasicUNet

    torch.manual_seed(0)
    network = BasicUNet(2, 1, 1, features=(4, 4, 8, 8, 8, 4)).eval()
    description = {**NETWORK, "spatial_dims": 2, "in_channels": 1, "out_channels": 1}
    metadata = {
        "network_data_format": {
            "inputs": {"image": {"channel_def": {"0": "image"}}},
            "outputs": {"pred": {"channel_def": {"0": "tumor"}}},
        }
    }
    scale = {"_target_": "ScaleIntensityd", "keys": "image"}
    changes = {"network_def": description, "preprocessing": [scale], "inferer": {}}
    weights = network.state_dict()
    bundle = make_bundle(tmp_path / "flat", metadata=metadata, weights=weights, **changes)
    with pytest.raises(InputError, match=r"phases of the 1 input channels.*found image.*--phases"):
        import_model(bundle, tmp_path / "made")
    model = checkpoint.load(import_model(bundle, tmp_path / "made", phases=["post1"]))
    assert model.spec.title == "2D MONAI BasicUNet"
    rng = np.random.default_rng(0)
    image = rng.random((2, 48, 32)).astype(np.float32)
    exam = Exam("E", {"post1": Volume(image, Grid(image.shape))})
    got = drain(
        predict(model, exam, device="cpu", region=(slice(1, 2), slice(0, 48), slice(0, 32)))
    )
    assert not got.probability.data[0].any()
    one = image[1].T
    scaled = (one - one.min()) / (one.max() - one.min())
    with torch.no_grad():
        expected = network(torch.from_numpy(scaled)[None, None]).sigmoid()[0, 0].numpy().T
    np.testing.assert_allclose(got.probability.data[1], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"network_def": NETWORK | {"_target_": "os.system"}}, "found system in"),
        ({"network_def": NETWORK | {"features": "$[2**n for n in range(6)]"}}, "not evaluated"),
        ({"network_def": NETWORK | {"in_channels": "@nothing"}}, "refers to nothing"),
        ({"network_def": NETWORK | {"in_channels": "@network_def#in_channels"}}, "not evaluated"),
        ({"network_def": NETWORK | {"colour": 3}}, "arguments that make a MONAI BasicUNet"),
        ({"network_def": NETWORK | {"in_channels": 5}}, "weights that fit"),
        ({"preprocessing": [{"_target_": "Lambdad", "func": "$print"}]}, "found Lambdad"),
        ({"preprocessing": "$@a + @b"}, "not a list of transforms"),
        ({"inferer": {"_target_": "mine.Inferer"}}, "Inferer is not supported"),
    ],
)
def test_what_a_bundle_would_have_to_run_is_refused(tmp_path, changes, match):
    bundle = make_bundle(tmp_path / "bundle", **changes)
    with pytest.raises(InputError, match=match):
        import_model(bundle, tmp_path / "made")


class Runs:
    def __reduce__(self):
        return (print, ("run",))


def test_weights_that_would_run_code_are_refused_unread(tmp_path, capsys):
    bundle = make_bundle(tmp_path / "bundle", weights={"model": Runs()})
    with pytest.raises(InputError, match=r"without running code.*would run print"):
        import_model(bundle, tmp_path / "made")
    assert "run" not in capsys.readouterr().out
    assert not (tmp_path / "made").exists()


def test_a_folder_of_nothing_known_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"is none of them.*3d_fullres"):
        import_model(tmp_path, tmp_path / "made")


ARCHITECTURES = "dynamic_network_architectures.architectures"
PLANS = {
    "dataset_name": "Dataset001_Breast",
    "plans_name": "nnUNetPlans",
    "original_median_spacing_after_transp": [3.0, 0.8, 0.8],
    "original_median_shape_after_transp": [12, 42, 35],
    "image_reader_writer": "SimpleITKIO",
    "transpose_forward": [0, 1, 2],
    "transpose_backward": [0, 1, 2],
    "experiment_planner_used": "ExperimentPlanner",
    "label_manager": "LabelManager",
    "foreground_intensity_properties_per_channel": {"0": {}, "1": {}},
    "configurations": {
        "3d_fullres": {
            "data_identifier": "nnUNetPlans_3d_fullres",
            "preprocessor_name": "DefaultPreprocessor",
            "batch_size": 2,
            "patch_size": [8, 32, 32],
            "median_image_size_in_voxels": [12, 42, 35],
            "spacing": [3.0, 0.8, 0.8],
            "normalization_schemes": ["ZScoreNormalization", "ZScoreNormalization"],
            "use_mask_for_norm": [False, False],
            "resampling_fn_data": "resample_data_or_seg_to_shape",
            "resampling_fn_seg": "resample_data_or_seg_to_shape",
            "resampling_fn_data_kwargs": {
                "is_seg": False,
                "order": 3,
                "order_z": 0,
                "force_separate_z": None,
            },
            "resampling_fn_seg_kwargs": {
                "is_seg": True,
                "order": 1,
                "order_z": 0,
                "force_separate_z": None,
            },
            "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
            "resampling_fn_probabilities_kwargs": {
                "is_seg": False,
                "order": 1,
                "order_z": 0,
                "force_separate_z": None,
            },
            "batch_dice": True,
            "architecture": {
                "network_class_name": ARCHITECTURES + ".unet.PlainConvUNet",
                "arch_kwargs": {
                    "n_stages": 3,
                    "features_per_stage": [4, 8, 8],
                    "conv_op": "torch.nn.modules.conv.Conv3d",
                    "kernel_sizes": [[1, 3, 3], [3, 3, 3], [3, 3, 3]],
                    "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2]],
                    "n_conv_per_stage": [1, 1, 1],
                    "n_conv_per_stage_decoder": [1, 1],
                    "conv_bias": True,
                    "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
                    "norm_op_kwargs": {"eps": 1e-05, "affine": True},
                    "dropout_op": None,
                    "dropout_op_kwargs": None,
                    "nonlin": "torch.nn.LeakyReLU",
                    "nonlin_kwargs": {"inplace": True},
                },
                "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
            },
        }
    },
}
DESCRIPTION = {
    "name": "Dataset001_Breast",
    "channel_names": {"0": "pre", "1": "post1"},
    "labels": {"background": 0, "tumor": 1, "ignore": 2},
    "numTraining": 1,
    "file_ending": ".nii.gz",
}


@pytest.fixture(scope="module")
def nnunet_model(tmp_path_factory) -> Path:
    """The folder that nnU-Net's own trainer leaves, of two folds, before it has learned."""
    pytest.importorskip("nnunetv2", reason="needs the extra nnunet")
    with redirect_stdout(io.StringIO()):
        from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    root = tmp_path_factory.mktemp("nnunet")
    cases = root / "preprocessed" / "Dataset001_Breast" / "nnUNetPlans_3d_fullres"
    cases.mkdir(parents=True)
    (cases / "case.npz").touch()  # tells the trainer how its cases are stored; none is read
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()):
        patch.setenv("nnUNet_results", str(root))
        patch.setenv("nnUNet_preprocessed", str(root / "preprocessed"))
        for fold in (0, 1):
            torch.manual_seed(fold)
            plans, description = json.loads(json.dumps([PLANS, DESCRIPTION]))
            trainer = nnUNetTrainer(
                plans | {"continue_training": False},
                "3d_fullres",
                fold,
                description,
                torch.device("cpu"),
            )
            trainer.initialize()
            trainer.logger.log("train_losses", np.float64(0.5), 0)
            trainer._best_ema = np.float32(0.7)
            trainer.save_checkpoint(str(Path(trainer.output_folder) / "checkpoint_final.pth"))
    folder = Path(trainer.output_folder_base)
    (folder / "plans.json").write_text(json.dumps(PLANS))
    (folder / "dataset.json").write_text(json.dumps(DESCRIPTION))
    return folder


def test_an_nnunet_model_predicts_what_nnunet_predicts(nnunet_model, sphere_exam, tmp_path):
    exam, _ = sphere_exam
    made = import_model(nnunet_model, tmp_path / "made")
    assert sorted(path.name for path in made.iterdir()) == ["model.json", "weights.safetensors"]
    entry = Registry().register(made, "nnunet-breast")
    model = checkpoint.load(entry.path)
    assert model.spec.title == "3D nnU-Net 3d_fullres, 2 folds"
    ours = drain(predict(model, exam, device="cpu"))

    from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    predictor = nnUNetPredictor(
        use_mirroring=False,
        perform_everything_on_device=False,
        device=torch.device("cpu"),
        allow_tqdm=False,
    )
    predictor.initialize_from_trained_model_folder(str(nnunet_model), use_folds=(0, 1))
    image, properties = SimpleITKIO().read_images(written(exam, tmp_path))
    labels, probabilities = predictor.predict_single_npy_array(
        image, properties, save_or_return_probabilities=True
    )
    np.testing.assert_allclose(ours.probability.data, probabilities[1], atol=1e-4)
    assert ours.probability.data.std() > 1e-3
    agree = (ours.probability.data >= 0.5) == (labels == 1)
    assert agree.mean() > 0.999


@pytest.mark.parametrize(
    ("file", "change", "match"),
    [
        ("plans.json", {"image_reader_writer": "NibabelIOWithReorient"}, "reorients images"),
        ("dataset.json", {"labels": {"background": 0, "a": 1, "b": 2}}, "one label .* a, b"),
        ("dataset.json", {"labels": {"background": 0, "a": [1, 2]}}, "regions of several"),
        ("dataset.json", {"channel_names": {"0": "T1", "1": "T2"}}, "found T1, T2"),
    ],
)
def test_an_nnunet_model_that_cannot_be_taken_over_says_why(
    nnunet_model, tmp_path, file, change, match
):
    folder = shutil.copytree(nnunet_model, tmp_path / "model")
    value = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps(value | change))
    with pytest.raises(InputError, match=match):
        import_model(folder, tmp_path / "made")


def test_plans_that_name_other_code_are_refused(nnunet_model, tmp_path):
    folder = shutil.copytree(nnunet_model, tmp_path / "model")
    text = (folder / "plans.json").read_text()
    (folder / "plans.json").write_text(
        text.replace("torch.nn.LeakyReLU", "torch.nn.init.math.sqrt")
    )
    with pytest.raises(InputError, match="made of layers of torch"):
        import_model(folder, tmp_path / "made")


def test_without_nnunet_the_extra_is_named(nnunet_model, tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "nnunetv2.inference.predict_from_raw_data", None)
    with pytest.raises(InputError, match=r"pip install 'napari-breastseg\[nnunet\]'"):
        import_model(nnunet_model, tmp_path / "made")


def test_a_model_of_other_software_is_not_trained_here(tmp_path):
    made = import_model(make_bundle(tmp_path / "bundle"), tmp_path / "made")
    job = train([], tmp_path / "out", base=checkpoint.load(made), config=TrainConfig())
    with pytest.raises(InputError, match=r"found 3D MONAI BasicUNet, made with other software"):
        drain(job)


def test_a_model_that_resamples_needs_voxel_sizes(tmp_path):
    model = checkpoint.load(import_model(make_bundle(tmp_path / "bundle"), tmp_path / "made"))
    volume = Volume(np.zeros((4, 16, 16), np.float32), Grid((4, 16, 16)))
    exam = Exam("E", {"pre": volume, "post1": volume})
    with pytest.raises(InputError, match=r"voxel size and orientation, .*; found exam E without"):
        drain(predict(model, exam, device="cpu"))


def test_closing_ends_what_runs_in_a_thread_at_its_next_step():
    import threading

    steps = []
    first = threading.Event()

    def work(tick):
        while True:
            tick()
            steps.append(1)
            first.set()

    job = in_thread("Counting", work)
    next(job)
    assert first.wait(10)
    job.close()
    count = len(steps)
    assert threading.active_count() == threading.active_count()
    assert len(steps) == count


def test_what_nnunet_prints_is_no_part_of_the_json(nnunet_model, sphere_exam, tmp_path, capsys):
    from napari_breastseg.cli import app

    folder = tmp_path / "older"
    shutil.copytree(nnunet_model, folder)
    plans = json.loads((folder / "plans.json").read_text())
    del plans["label_manager"]  # nnU-Net says which one it takes instead
    (folder / "plans.json").write_text(json.dumps(plans))
    app(["models", "import", str(folder), "--json"], standalone_mode=False)
    name = json.loads(capsys.readouterr().out)["name"]
    how = ["--model", name, "--output", str(tmp_path / "masks"), "--json", "--device", "cpu"]
    app(["predict", written(sphere_exam[0], tmp_path)[0], *how], standalone_mode=False)
    assert len(json.loads(capsys.readouterr().out)["cases"]) == 1


def test_models_import_takes_a_bundle_and_predict_runs_it(sphere_exam, tmp_path, capsys):
    from napari_breastseg.cli import app

    exam, _ = sphere_exam
    bundle = make_bundle(tmp_path / "ward-model")
    capsys.readouterr()  # an older MONAI prints
    app(["models", "import", str(bundle), "--json"], standalone_mode=False)
    assert json.loads(capsys.readouterr().out)["name"] == "ward-model"
    files = written(exam, tmp_path)
    how = ["--model", "ward-model", "--output", str(tmp_path / "masks"), "--json"]
    app(["predict", files[0], *how, "--device", "cpu"], standalone_mode=False)
    (row,) = json.loads(capsys.readouterr().out)["cases"]
    assert row["phases"] == ["pre", "post1"]
    model = checkpoint.load(Registry().resolve("ward-model"))
    mask = formats.read_label_map(Path(row["mask"]))
    expected = drain(predict(model, formats.open_exam(files[0]), device="cpu")).label_map
    assert np.array_equal(mask.data, expected.data)


def test_a_bundle_predicts_the_same_while_a_training_tracks_no_metadata(sphere_exam, tmp_path):
    from monai.data.meta_obj import get_track_meta, set_track_meta

    exam = sphere_exam[0]
    model = checkpoint.load(import_model(make_bundle(tmp_path / "bundle"), tmp_path / "made"))
    usual = drain(predict(model, exam, device="cpu")).probability.data
    set_track_meta(False)
    try:
        now = drain(predict(model, exam, device="cpu")).probability.data
        assert get_track_meta() is False
    finally:
        set_track_meta(True)
    np.testing.assert_array_equal(now, usual)


def test_threads_take_turns_at_monais_switch():
    from monai.data.meta_obj import get_track_meta

    inside, done, seen = threading.Event(), threading.Event(), []

    def train() -> None:
        with metadata_tracked(False):
            inside.set()
            done.wait(5)
            seen.append(get_track_meta())

    def predict_bundle() -> None:
        with metadata_tracked(True):
            seen.append(get_track_meta())

    threads = [threading.Thread(target=train), threading.Thread(target=predict_bundle)]
    threads[0].start()
    assert inside.wait(5)
    threads[1].start()
    assert seen == []
    done.set()
    for thread in threads:
        thread.join()
    assert seen == [False, True]


def test_a_network_that_prints_as_it_is_made_says_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from monai.networks import nets

    class Talking(nets.BasicUNet):
        def __init__(self, **arguments: object) -> None:
            print("BasicUNet features")  # as MONAI 1.5.0 does, in the midst of --json
            super().__init__(**arguments)

    monkeypatch.setattr(nets, "BasicUNet", Talking)
    arguments = {"spatial_dims": 2, "features": [4, 4, 8, 8, 8, 4], "out_channels": 2}
    MonaiNetwork(name="BasicUNet", arguments=arguments).build()
    assert capsys.readouterr().out == ""
