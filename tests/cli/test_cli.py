"""The command line: exit codes, files and JSON that scripts rely on, errors in three parts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import torch

from napari_breastseg import formats
from napari_breastseg.core.volume import Grid, Volume
from napari_breastseg.imaging.breast_region import find_breasts
from napari_breastseg.model import checkpoint
from napari_breastseg.model.checkpoint import ModelInfo
from napari_breastseg.model.unet import ModelSpec, build
from napari_breastseg.phantom import breast_phantom


@pytest.fixture
def model(tmp_path):
    """A network that marks what is bright: one convolution set by hand."""
    return bright_model(tmp_path / "bright", ("post1",))


def bright_model(folder, inputs):
    spec = ModelSpec(features=(4, 8), patch_size=(32, 32), inputs=inputs)
    network = build(spec)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        # One path through the finest level: the last input, halved and passed on.
        for block in (network.stem[1].conv_0, network.stem[1].conv_1):
            block.conv.weight[0, 0, 1, 1] = 1
            block.adn.N.weight[:] = 1
        network.stem[1].conv_0.conv.weight[0, 0, 1, 1] = 0
        network.stem[1].conv_0.conv.weight[0, len(inputs) - 1, 1, 1] = 1
        for block in (network.ups[0].convs.conv_0, network.ups[0].convs.conv_1):
            block.conv.weight[0, 0, 1, 1] = 1
            block.adn.N.weight[:] = 1
        network.head[0].conv.weight[1, 0] = 20
        network.head[0].conv.bias[1] = -10
    checkpoint.save(folder, network.state_dict(), ModelInfo(name="bright", spec=spec))
    return folder


@pytest.fixture
def slices(tmp_path):
    """Five patients' slices with masks, and the CSV that lists them."""
    folder = tmp_path / "slices"
    folder.mkdir()
    rows = ["case_id,patient_id,image,mask"]
    rng = np.random.default_rng(0)
    for n in range(5):
        image = rng.integers(20, 60, (64, 60)).astype(np.uint8)
        mask = np.zeros((64, 60), np.uint8)
        mask[20 + n : 35, 15:30] = 255
        image[mask > 0] = 240
        iio.imwrite(folder / f"S{n}.png", image)
        iio.imwrite(folder / f"S{n}_mask.png", mask)
        rows.append(f"S{n},P{n},S{n}.png,S{n}_mask.png")
    (folder / "cases.csv").write_text("\n".join(rows) + "\n")
    return folder


def test_predict_writes_a_png_of_0_and_255_beside_nothing_else(run, model, slices, tmp_path):
    out = tmp_path / "out"
    code, stdout, _ = run("predict", slices / "S0.png", "--output", out, "--model", model, "--json")
    assert code == 0
    mask = iio.imread(out / "S0.png")
    truth = iio.imread(slices / "S0_mask.png")
    np.testing.assert_array_equal(mask, truth)
    assert [path.name for path in out.iterdir()] == ["S0.png"]
    row = json.loads(stdout)["cases"][0]
    assert row["phases"] == ["post1"]
    assert row["tumor_voxels"] == (truth > 0).sum()
    assert row["tumor_ml"] is None
    assert row["spacing_mm"] is None


def test_predict_writes_nifti_on_the_exams_grid(run, sphere_exam, tmp_path):
    exam, truth = sphere_exam
    for number, volume in enumerate(exam.phases.values()):
        formats.write_volume(tmp_path / f"P001_{number:04d}.nii.gz", volume)
    model = bright_model(tmp_path / "m", ("pre", "post1"))
    code, stdout, _ = run(
        "predict",
        tmp_path / "P001_0000.nii.gz",
        "--output",
        tmp_path / "out",
        "--model",
        model,
        "--prob",
        "--json",
    )
    assert code == 0
    found = formats.read_label_map(tmp_path / "out" / "P001.nii.gz", exam=exam)
    dice = 2 * (found.tumor & truth.tumor).sum() / (found.tumor.sum() + truth.tumor.sum())
    assert dice > 0.95
    np.testing.assert_allclose(found.grid.affine, exam.grid.affine, atol=1e-5)
    row = json.loads(stdout)["cases"][0]
    assert row["phases"] == ["pre", "post1"]
    assert row["tumor_ml"] == pytest.approx(found.tumor.sum() * 3 * 0.7 * 0.7 / 1000, rel=1e-3)
    assert (tmp_path / "out" / "P001_prob.nii.gz").is_file()


def test_one_bad_case_is_reported_and_stops_no_other(run, model, slices, tmp_path):
    (slices / "S9.png").write_bytes(b"")
    code, stdout, stderr = run(
        "predict",
        slices / "S9.png",
        slices / "S1.png",
        "--output",
        tmp_path / "o",
        "--model",
        model,
        "--json",
    )
    assert code == 1
    assert (tmp_path / "o" / "S1.png").is_file()
    assert "Expected" in stderr
    assert sorted(row["status"] for row in json.loads(stdout)["cases"]) == ["done", "failed"]


BAD_EXAMS = {
    "zero bytes": ("a.png", b""),
    "no image": ("a.png", b"hello, this is text and no image at all"),
    "truncated": ("a.nii.gz", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03"),
    "wrong ending": ("a.nii", b"\x89PNG\r\n\x1a\n" + bytes(400)),
    "DICOM": ("a.dcm", bytes(128) + b"DICM" + bytes(40)),
    "NRRD": ("a.nrrd", b"NRRD0004\n"),
}


@pytest.mark.parametrize(("name", "content"), BAD_EXAMS.values(), ids=BAD_EXAMS)
def test_a_bad_exam_gives_three_parts_and_exit_code_2(run, model, tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    code, _, stderr = run("predict", tmp_path / name, "--output", tmp_path / "o", "--model", model)
    assert code == 2
    assert all(f"  {part}" in stderr for part in ("Expected", "Found", "Fix"))
    assert not (tmp_path / "o").exists()


def bad_volume(kind):
    data = np.random.default_rng(0).random((4, 8, 8)).astype(np.float32)
    if kind == "NaN":
        data[0, 0, 0] = np.nan
    if kind == "infinite":
        data[0, 0, 0] = np.inf
    if kind == "constant":
        data[:] = 3
    return Volume(data, Grid((4, 8, 8), np.diag([3.0, 1, 1, 1])))


@pytest.mark.parametrize("kind", ["NaN", "infinite", "constant"])
def test_values_that_cannot_be_right_are_refused(run, model, tmp_path, kind):
    import nibabel as nib

    volume = bad_volume(kind)
    nib.save(nib.Nifti1Image(volume.data.T, np.eye(4)), tmp_path / "x.nii.gz")
    code, _, stderr = run(
        "predict", tmp_path / "x.nii.gz", "--output", tmp_path / "o", "--model", model
    )
    assert code == 2
    assert "Expected" in stderr
    assert not (tmp_path / "o").exists()


def test_a_model_for_more_phases_than_the_exam_has_names_them(run, slices, tmp_path):
    model = bright_model(tmp_path / "m", ("pre", "post1"))
    code, _, stderr = run(
        "predict", slices / "S0.png", "--output", tmp_path / "o", "--model", model
    )
    assert code == 2
    assert "phase pre for model" in stderr
    assert "post1 in exam S0" in stderr


def test_an_output_that_is_an_input_is_refused_before_work(run, model, slices):
    before = (slices / "S0.png").read_bytes()
    code, _, stderr = run("predict", slices / "S0.png", "--output", slices, "--model", model)
    assert code == 2
    assert "is one of the exams" in stderr
    assert (slices / "S0.png").read_bytes() == before


def test_two_cases_of_one_name_are_refused_before_work(run, model, slices, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "s0.png").write_bytes((slices / "S0.png").read_bytes())
    code, _, stderr = run(
        "predict", slices / "S0.png", other, "--output", tmp_path / "o", "--model", model
    )
    assert code == 2
    assert "a different name for every case" in stderr
    assert not (tmp_path / "o").exists()


def test_unequal_colors_need_phases(run, model, tmp_path):
    rgb = np.random.default_rng(0).integers(0, 255, (32, 32, 3)).astype(np.uint8)
    iio.imwrite(tmp_path / "rgb.png", rgb)
    words = ["predict", tmp_path / "rgb.png", "--output", tmp_path / "o", "--model", model]
    code, _, stderr = run(*words)
    assert code == 2
    assert "--phases" in stderr
    assert run(*words, "--phases", "pre,post1,post2")[0] == 0


def test_naming_both_phases_of_a_set_names_one_case(run, sphere_exam, tmp_path):
    files = [tmp_path / f"P001_{number:04d}.nii.gz" for number in range(2)]
    for path, volume in zip(files, sphere_exam[0].phases.values(), strict=True):
        formats.write_volume(path, volume)
    model = bright_model(tmp_path / "m", ("pre", "post1"))
    assert run("predict", *files, "--output", tmp_path / "o", "--model", model)[0] == 0
    words = ["dataset", "add", tmp_path / "data", *files, "--patient-id", "P", "--json"]
    code, stdout, _ = run(*words)
    assert code == 0
    assert json.loads(stdout)["cases"] == [{"case_id": "P001", "status": "new"}]


def test_breasts_leaves_out_the_rest_and_is_refused_where_none_are(
    run, model, slices, tmp_path, monkeypatch
):
    # Nothing is held back: this model knows no lesions.
    monkeypatch.setattr("napari_breastseg.predict.prediction.score_of", lambda info: None)
    phantom = breast_phantom(3, shape=(8, 96, 96), spacing_mm=(9.0, 3.6, 3.6), phases=("post1",))
    exam = tmp_path / "P1.nii.gz"
    formats.write_volume(exam, phantom.exam.phases["post1"])
    words = ["predict", exam, slices / "S0.png", "--model", model, "--json"]
    _, stdout, _ = run(*words, "--output", tmp_path / "all", "--whole-exam")
    assert [row["breasts_only"] for row in json.loads(stdout)["cases"]] == [False, False]
    code, stdout, _ = run(*words, "--output", tmp_path / "default")
    assert [row["breasts_only"] for row in json.loads(stdout)["cases"]] == [True, False]
    assert code == 0
    code, stdout, stderr = run(*words, "--output", tmp_path / "o", "--breasts")
    assert code == 1  # a picture of no known size has no breasts to find
    assert "Expected  an exam with known sides and spacing to find the breasts" in stderr
    done, failed = json.loads(stdout)["cases"]
    assert (done["breasts_only"], failed["status"]) == (True, "failed")
    masks = [formats.read_label_map(tmp_path / f / "P1.nii.gz").tumor for f in ("all", "o")]
    near = find_breasts(formats.open_exam(exam)).near()
    assert not (masks[1] & ~near).any()
    assert 0 < masks[1].sum() < masks[0].sum()
    same = formats.read_label_map(tmp_path / "default" / "P1.nii.gz").tumor
    np.testing.assert_array_equal(masks[1], same)


def test_a_folder_of_slices_is_one_case_each_or_one_stack(run, model, slices, tmp_path):
    for path in slices.glob("*mask.png"):
        path.unlink()
    (slices / "cases.csv").unlink()
    code, stdout, _ = run("predict", slices, "--output", tmp_path / "a", "--model", model, "--json")
    assert code == 0
    assert [row["case_id"] for row in json.loads(stdout)["cases"]] == [f"S{n}" for n in range(5)]
    run("predict", slices, "--stack", "--output", tmp_path / "b", "--model", model)
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["slices.nii.gz"]
    assert formats.read_label_map(tmp_path / "b" / "slices.nii.gz").grid.shape == (5, 64, 60)


def test_without_a_model_named_the_starter_is_taken_and_says_what_it_got(run, slices, tmp_path):
    code, stdout, _ = run("predict", slices / "S0.png", "--output", tmp_path / "o", "--json")
    assert code == 0
    answer = json.loads(stdout)
    assert answer["model"].startswith("starter@")
    assert answer["cases"][0]["phases"] == ["post1"]


def test_the_starters_card_is_shown_with_its_data_and_limits(run):
    code, stdout, _ = run("models", "show")
    assert code == 0
    for words in ("CC BY 4.0", "10.7937/TCIA.KK02-6D95", "not a medical device", "Where it fails"):
        assert words in stdout


def test_import_train_evaluate_promote_predict(run, slices, tmp_path):
    data = tmp_path / "data"
    code, stdout, _ = run("dataset", "import", slices / "cases.csv", data, "--json")
    assert code == 0
    assert json.loads(stdout)["imported"] == [f"S{n}" for n in range(5)]
    code, stdout, _ = run("dataset", "import", slices / "cases.csv", data, "--json")
    assert json.loads(stdout)["skipped"] == [f"S{n}" for n in range(5)]
    code, stdout, _ = run("dataset", "status", data, "--json")
    assert json.loads(stdout)["cases"]["accepted"] == 5
    assert run("dataset", "check", data)[0] == 0

    code, stdout, _ = run(
        "train",
        data,
        "--model",
        "scratch",
        "--output",
        tmp_path / "m",
        "--steps",
        2,
        "--fold",
        1,
        "--device",
        "cpu",
        "--json",
    )
    assert code == 0
    trained = json.loads(stdout)
    assert trained["model"]["training"]["validation_cases"] == ["S1"]
    assert checkpoint.is_checkpoint(tmp_path / "m")

    code, stdout, _ = run(
        "evaluate", data, "--model", tmp_path / "m", "--output", tmp_path / "ev", "--json"
    )
    assert code == 0
    scored = json.loads(stdout)
    assert set(scored) == {"cases", "patients", "summary"}
    assert [case["case_id"] for case in scored["cases"]] == ["S1"]
    assert "dice_mean" in scored["summary"]
    assert "dice_ci95" in scored["summary"]
    assert (tmp_path / "ev" / "pictures" / "S1.png").is_file()

    assert "starter (default)" in run("models", "list")[1]
    assert run("models", "import", tmp_path / "m", "--name", "first")[0] == 0
    code, _, stderr = run("models", "promote", "first")
    assert code == 2
    assert "--force" in stderr
    assert run("models", "promote", "first", "--force")[0] == 0
    code, stdout, _ = run("models", "list", "--json")
    assert [m["is_promoted"] for m in json.loads(stdout)["models"]] == [True]
    _, stdout, _ = run("models", "list")
    assert "first (default)" in stdout
    assert "starter (default)" not in stdout
    code, stdout, _ = run("predict", slices / "S0.png", "--output", tmp_path / "o", "--json")
    assert code == 0
    assert json.loads(stdout)["model"].startswith("m@")
    assert run("models", "rollback")[0] == 0


def test_the_version_is_that_of_the_package(run):
    code, stdout, _ = run("--version")
    assert code == 0
    assert stdout.strip() == version("napari-breastseg")


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("train", "[default: both are kept, their share is chosen exam by exam]"),
        ("predict", "[default: the default model]"),
    ],
)
def test_help_tells_defaults(run, command, told):
    code, stdout, _ = run(command, "--help")
    assert code == 0
    assert told in " ".join(stdout.replace("│", " ").split())


def test_evaluating_on_training_cases_is_refused_and_when_told_marked(run, slices, tmp_path):
    run("dataset", "import", slices / "cases.csv", tmp_path / "data")
    run(
        "train",
        tmp_path / "data",
        "--model",
        "scratch",
        "--output",
        tmp_path / "m",
        "--steps",
        1,
        "--device",
        "cpu",
    )
    words = ["evaluate", tmp_path / "data", "--model", tmp_path / "m", "--split", "all"]
    code, _, stderr = run(*words, "--output", tmp_path / "ev")
    assert code == 2
    assert "4 of 5 cases that they were trained on" in stderr
    assert "--include-trained" in stderr
    assert not (tmp_path / "ev").exists()
    # Another id makes no case of a patient that was trained on a new one.
    code, stdout, _ = run("dataset", "rename", tmp_path / "data", "S0", "K0")
    assert (code, stdout.strip()) == (0, "Renamed S0 to K0")
    code, _, stderr = run(*words, "--output", tmp_path / "ev")
    assert "4 of 5 cases that they were trained on" in stderr
    code, _, stderr = run("dataset", "rename", tmp_path / "data", "K0", "S1")
    assert code == 2
    assert "case S1" in stderr
    code, stdout, _ = run(*words, "--include-trained")
    assert code == 0
    assert stdout.count("trained on") == 5  # four rows and the line below
    code, stdout, _ = run(*words, "--include-trained", "--json")
    scores = json.loads(stdout)
    marked = [row["case_id"] for row in scores["cases"] if row["is_trained_on"]]
    assert scores["summary"]["trained_on"] == marked
    assert len(marked) == 4
    assert "the model was trained on: these scores are too high" in scores["summary"]["notes"][0]


def test_what_a_models_ancestors_learned_from_is_refused_by_patient(run, model, slices, tmp_path):
    run("dataset", "import", slices / "cases.csv", tmp_path / "data")
    words = ["evaluate", tmp_path / "data", "--model", model, "--split", "all"]
    assert run(*words)[0] == 0
    info = json.loads((model / "model.json").read_text())
    for known in ({"inherited_patients": ["P3"]}, {"inherited_cases": ["S3"]}):
        info["training"] = known
        (model / "model.json").write_text(json.dumps(info))
        code, _, stderr = run(*words)
        assert code == 2
        assert "bright and the models it was made from" in stderr
        assert "1 of 5 cases that they were trained on" in stderr


def test_a_dataset_made_by_something_else_is_left_alone(run, slices, tmp_path):
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("mine")
    code, _, stderr = run("dataset", "import", slices / "cases.csv", foreign)
    assert code == 2
    assert "Expected" in stderr
    assert [path.name for path in foreign.iterdir()] == ["thesis.txt"]


def test_a_mask_on_another_grid_stops_its_row_only(run, slices, tmp_path):
    iio.imwrite(slices / "S2_mask.png", np.zeros((10, 10), np.uint8))
    code, stdout, stderr = run(
        "dataset", "import", slices / "cases.csv", tmp_path / "data", "--json"
    )
    assert code == 1
    result = json.loads(stdout)
    assert len(result["imported"]) == 4
    assert result["failures"][0]["case_id"] == "S2"
    assert "ImportFailure" not in stderr
    assert "1 x 64 x 60" in stderr
    assert "1 x 10 x 10" in stderr


def test_a_mask_with_unknown_labels_is_refused(run, slices, tmp_path):
    mask = np.zeros((64, 60), np.uint8)
    mask[5:9], mask[9:12] = 3, 7
    iio.imwrite(slices / "S2_mask.png", mask)
    code, _, stderr = run("dataset", "import", slices / "cases.csv", tmp_path / "data")
    assert code == 1
    assert "3" in stderr
    assert "7" in stderr


def test_add_takes_an_exam_with_its_mask(run, slices, tmp_path):
    code, stdout, _ = run(
        "dataset",
        "add",
        tmp_path / "data",
        slices / "S0.png",
        "--patient-id",
        "P0",
        "--mask",
        slices / "S0_mask.png",
        "--json",
    )
    assert code == 0
    assert json.loads(stdout)["cases"] == [{"case_id": "S0", "status": "accepted"}]


def test_labels_of_another_program_are_asked_for_by_every_command(run, slices, tmp_path):
    mask = iio.imread(slices / "S0_mask.png") // 255
    mask[50:52, 40:42] = 2
    iio.imwrite(slices / "two.png", mask)
    add = ["dataset", "add", tmp_path / "d", slices / "S0.png", "--patient-id", "P", "--mask"]
    add += [slices / "two.png", "--json"]
    report = ["report", slices / "S0.png", "--mask", slices / "two.png", "--json"]
    for words in (add, report):
        code, _, stderr = run(*words)
        assert code in (1, 2)
        assert "label 1 (225 voxels) and label 2 (4 voxels)" in " ".join(stderr.split())
    code, _, stderr = run(*add, "--tumor-label", "two")
    assert code == 2
    assert "Found 'two'" in " ".join(stderr.split())
    code, stdout, _ = run(*report, "--tumor-label", "1,2")
    assert code == 0
    assert json.loads(stdout)["total"]["volume_px"] == 229
    code, stdout, _ = run(*add, "--tumor-label", "2", "--case-id", "first-visit")
    assert code == 0
    assert json.loads(stdout)["cases"] == [{"case_id": "first-visit", "status": "accepted"}]
    record = json.loads((tmp_path / "d" / "cases" / "first-visit.json").read_text())
    assert record["accepted"]["tumor_voxels"] == 4
    # In the dataset's own folder dataset.json says what labels mean, also of a mask without header.
    code, stdout, _ = run(*report[:3], tmp_path / "d" / "labelsTr" / "first-visit.nii.gz", "--json")
    assert code == 0
    assert json.loads(stdout)["total"]["volume_px"] == 4


def test_check_accepts_masks_that_another_program_changed(run, slices, tmp_path):
    words = ["dataset", "add", tmp_path / "d", slices / "S0.png", "--patient-id", "P"]
    assert run(*words, "--mask", slices / "S0_mask.png")[0] == 0
    path = tmp_path / "d" / "labelsTr" / "S0.nii.gz"
    label_map = formats.read_label_map(path)
    label_map.data[0, :2, :2] = 1
    formats.write_label_map(path, label_map)
    code, out, _ = run("dataset", "check", tmp_path / "d")
    assert "S0" in out
    code, _, err = run("dataset", "check", tmp_path / "d", "--accept-changed", "CD")
    assert code == 0
    assert "Accepted the changed mask of case S0" in err
    record = json.loads((tmp_path / "d" / "cases" / "S0.json").read_text())
    assert (record["accepted"]["tumor_voxels"], record["accepted"]["annotator"]) == (229, "CD")
    assert "No problems found" in run("dataset", "check", tmp_path / "d")[1]


def test_a_case_id_names_one_exam(run, slices, tmp_path):
    words = ["dataset", "add", tmp_path / "d", slices / "S0.png", slices / "S1.png"]
    code, _, stderr = run(*words, "--patient-id", "P", "--case-id", "A")
    assert code == 2
    assert "Expected a single exam to go with --case-id" in " ".join(stderr.split())


def test_add_reports_a_bad_exam_and_takes_the_others(run, slices, tmp_path):
    words = ["dataset", "add", tmp_path / "data"]
    code, _, stderr = run(*words, tmp_path / "nope.nii.gz", "--patient-id", "P0")
    assert code == 2
    assert "nothing at" in stderr
    assert not (tmp_path / "data").exists()
    code, stdout, _ = run(
        *words, tmp_path / "nope.nii.gz", slices / "S0.png", "--patient-id", "P0", "--json"
    )
    assert code == 1
    assert [row["status"] for row in json.loads(stdout)["cases"]] == ["failed", "new"]


def test_a_damaged_case_stops_no_other_from_being_scored(run, model, slices, tmp_path):
    run("dataset", "import", slices / "cases.csv", tmp_path / "data")
    image = tmp_path / "data" / "imagesTr" / "S2_0000.nii.gz"
    image.write_bytes(image.read_bytes()[:60])
    code, stdout, stderr = run(
        "evaluate", tmp_path / "data", "--model", model, "--split", "all", "--json"
    )
    assert code == 1
    scored = json.loads(stdout)
    assert [row["case_id"] for row in scored["cases"]] == ["S0", "S1", "S3", "S4"]
    assert scored["summary"]["failed"][0]["case_id"] == "S2"
    assert scored["summary"]["trained_on"] == []
    assert "1 cases failed: S2" in stderr


def test_a_damaged_promoted_model_is_not_replaced_by_training_from_scratch(
    run, model, slices, tmp_path
):
    run("dataset", "import", slices / "cases.csv", tmp_path / "data")
    run("models", "import", model, "--name", "ward")
    run("models", "promote", "ward", "--force")
    weights = next(Path(os.environ["BREASTSEG_HOME"]).rglob("ward/weights.safetensors"))
    weights.write_bytes(weights.read_bytes()[:100])
    code, _, stderr = run(
        "train", tmp_path / "data", "--output", tmp_path / "m", "--steps", 1, "--device", "cpu"
    )
    assert code == 2
    assert "SHA-256" in stderr
    assert not (tmp_path / "m").exists()


def test_fine_tuned_models_remember_what_their_base_learned_from(run, slices, tmp_path):
    data = tmp_path / "data"
    run("dataset", "import", slices / "cases.csv", data)
    words = ["train", data, "--steps", 1, "--device", "cpu", "--output"]
    run(*words, tmp_path / "a", "--model", "scratch", "--fold", 0)
    run(*words, tmp_path / "b", "--model", tmp_path / "a", "--fold", 1)
    record = checkpoint.read_info(tmp_path / "b").training
    assert record.validation_cases == ["S1"]
    assert record.known_cases == {"S0", "S1", "S2", "S3", "S4"}
    assert (record.patients, record.inherited_patients) == (
        ["P0", "P2", "P3", "P4"],
        ["P1", "P2", "P3", "P4"],
    )
    words = ["evaluate", data, "--model", tmp_path / "b", "--json"]
    code, _, stderr = run(*words)
    assert code == 2
    assert "1 of 1 cases that they were trained on" in stderr
    code, stdout, _ = run(*words, "--include-trained")
    assert code == 0
    assert json.loads(stdout)["summary"]["trained_on"] == ["S1"]


def test_no_permission_is_a_three_part_error(run, model, slices, tmp_path):
    (tmp_path / "file").write_text("")
    code, _, stderr = run(
        "predict", slices / "S0.png", "--output", tmp_path / "file" / "below", "--model", model
    )
    assert code == 2
    assert "to be writable" in stderr


def test_wrong_use_exits_with_2(run):
    assert run("predict")[0] == 2
    assert run("nonsense")[0] == 2


def test_the_command_line_loads_no_torch_and_no_qt():
    code = (
        "import sys, napari_breastseg.cli; "
        "import napari_breastseg.cli._verbs as verbs; [verbs.load(name) for name in verbs.VERBS]; "
        "bad = {'torch', 'monai', 'qtpy', 'napari', 'magicgui'} & set(sys.modules); "
        "sys.exit(', '.join(bad) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_help_imports_neither_arrays_nor_records():
    code = (
        "import sys; from napari_breastseg.cli import app; "
        "app(['--help'], standalone_mode=False); "
        "print(*{'numpy', 'scipy', 'pydantic', 'pydicom', 'torch'} & set(sys.modules), "
        "file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0
    assert not done.stderr.split()
    assert "export-seg" in done.stdout


def test_the_help_of_no_command_imports_what_its_work_needs():
    code = """
import contextlib, io, sys
from napari_breastseg.cli import app
from napari_breastseg.cli._verbs import VERBS, load

with contextlib.redirect_stdout(io.StringIO()):
    for name in VERBS:
        for sub in getattr(load(name), "commands", None) or [None]:
            app([name, *([sub] if sub else []), "--help"], standalone_mode=False)
heavy = {"numpy", "scipy", "skimage", "nibabel", "pydicom", "highdicom", "matplotlib", "torch"}
print(*sorted(heavy & set(sys.modules)), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not done.stderr.split()


def test_the_help_of_report_names_the_usual_threshold(run):
    from napari_breastseg.lesions import PE_THRESHOLD_PERCENT

    assert f"[default: {PE_THRESHOLD_PERCENT}]" in run("report", "--help")[1]


def test_help_says_of_each_command_what_the_command_says():
    from napari_breastseg.cli._verbs import VERBS, load

    for name, verb in VERBS.items():
        assert load(name).help.split("\n\n")[0].replace("\n", " ") == verb.help


def test_every_command_takes_json():
    from napari_breastseg.cli._verbs import VERBS, load

    def leaves(command):
        for sub in getattr(command, "commands", {}).values():
            yield from leaves(sub)
        if not hasattr(command, "commands"):
            yield command

    for command in (leaf for name in VERBS for leaf in leaves(load(name))):
        assert any("--json" in option.opts for option in command.params), command.name


@pytest.mark.slow
def test_the_demo_runs_the_loop_without_a_window(run, tmp_path):
    code, stdout, _ = run("demo", "--headless", "--output", tmp_path / "demo", "--json")
    assert code == 0
    rows = {row["mask"]: row for row in json.loads(stdout)["rows"]}
    dice = {mask: row["dice_other_slices"] for mask, row in rows.items()}
    # Slices that nobody corrected, after two others were.
    assert dice["rest drafted again"] > dice["two slices corrected"] + 0.05
    assert rows["corrected"]["dice"] > rows["draft"]["dice"]
    assert dice["after training"] > dice["before training"]
    assert {row["exam"] for row in rows.values()} == {"SAMPLE_001", "SAMPLE_002"}
    names = {path.name for path in (tmp_path / "demo").iterdir()}
    assert names == {"SAMPLE_001.nii.gz", "picture.png", "table.csv", "dataset", "model"}


def test_readme_commands_exist(run):
    """Every napari-breastseg command the README shows is one this program has."""
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    shown = [
        line.split("#")[0].split()[1:]
        for line in readme.splitlines()
        if line.strip().startswith("napari-breastseg ")
    ]
    assert shown
    for words in shown:
        verb = [words[0]] + ([words[1]] if words[0] in ("dataset", "models") else [])
        assert run(*verb, "--help")[0] == 0, words
