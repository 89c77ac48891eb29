"""How sure a model is: what it answers again, the number per case, and what becomes of it."""

from __future__ import annotations

import json

import imageio.v3 as iio
import numpy as np
import pytest
from hospital import add_case, bright_model

from napari_breastseg.core.progress import drain
from napari_breastseg.core.volume import Exam, Grid, Volume
from napari_breastseg.dataset import Dataset
from napari_breastseg.model import checkpoint
from napari_breastseg.model.checkpoint import Checkpoint
from napari_breastseg.model.unet import ModelSpec, build
from napari_breastseg.predict.prediction import predict
from napari_breastseg.predict.uncertainty import load_members, predict_uncertain, predicted_dice


def exam_with(contrast, seed=0):
    """A square that stands out from noise by so much; what is below it is less bright."""
    rng = np.random.default_rng(seed)
    image = rng.normal(0, 1, (1, 32, 32))
    image[0, 8:20, 10:22] += contrast
    image[0, 0, 0], image[0, 31, 31] = -8, 8
    return Exam("A", {"post1": Volume(image.astype(np.float32), Grid(image.shape))})


def test_the_mask_is_that_of_a_plain_prediction_and_the_surer_the_clearer():
    model = bright_model("m", 0.6)
    expected = []
    for contrast in (6.0, 3.0, 1.5):
        exam = exam_with(contrast)
        answer = drain(predict_uncertain([model], exam, device="cpu"))
        plain = drain(predict(model, exam, device="cpu"))
        np.testing.assert_array_equal(answer.prediction.label_map.data, plain.label_map.data)
        assert answer.answers == 2
        expected.append(answer.predicted_dice)
    assert expected == sorted(expected, reverse=True)
    assert expected[0] - expected[-1] > 0.1


def test_the_mirrored_answer_is_turned_back():
    # Weights by chance are not mirror symmetric, so the two answers differ a little; turned the
    # wrong way round they would differ as much as left and right of the exam do.
    spec = ModelSpec(inputs=("post1",), features=(8, 16), patch_size=(32, 32))
    model = Checkpoint(checkpoint.ModelInfo(name="m", spec=spec), build(spec).eval())
    exam = exam_with(6.0)
    plain = np.asarray(drain(predict(model, exam, device="cpu")).probability.data)
    both = drain(predict(model, exam, device="cpu", mirror=True)).probability.data
    answer = drain(predict_uncertain([model], exam, device="cpu"))
    np.testing.assert_allclose(answer.mean_probability.data, both, atol=1e-6)
    assert np.abs(plain - both).max() > 1e-5


def test_a_model_that_looks_at_the_mirror_image_anyway_still_answers_twice():
    spec = ModelSpec(inputs=("post1",), features=(8, 16), patch_size=(32, 32))
    network = build(spec).eval()
    exam = exam_with(6.0)
    answers = []
    for is_mirrored in (False, True):
        own = spec.model_copy(update={"mirrored": is_mirrored})
        model = Checkpoint(checkpoint.ModelInfo(name="m", spec=own), network)
        # A threshold in the midst of the probabilities, where the two answers must differ.
        level = float(np.median(drain(predict(model, exam, device="cpu")).probability.data))
        answers.append(drain(predict_uncertain([model], exam, device="cpu", threshold=level)))
    once, twice = answers
    np.testing.assert_allclose(
        twice.mean_probability.data, twice.prediction.probability.data, atol=1e-6
    )
    np.testing.assert_allclose(twice.mean_probability.data, once.mean_probability.data, atol=1e-6)
    assert once.answers == twice.answers == 2
    assert once.predicted_dice < 1
    assert twice.predicted_dice < 1


def test_models_that_disagree_lower_what_is_expected():
    exam = exam_with(6.0)
    sure, other = bright_model("a", 0.6), bright_model("b", 0.95)
    alone = drain(predict_uncertain([sure], exam, device="cpu"))
    together = drain(predict_uncertain([sure, other], exam, device="cpu"))
    assert together.answers == 4
    assert together.predicted_dice < alone.predicted_dice - 0.1
    np.testing.assert_array_equal(
        together.prediction.label_map.data, alone.prediction.label_map.data
    )


@pytest.mark.parametrize(
    ("probability", "agreements", "expected"),
    [
        ([1.0, 1.0, 0.0, 0.0], [1.0], 1.0),
        ([1.0, 1.0, 0.0, 0.0], [0.5, 0.7], 0.6),
        ([0.5, 0.5, 0.5, 0.5], [1.0], 0.5),
        ([0.5, 0.5, 0.0, 0.0], [], 2 / 3),
    ],
)
def test_the_number_is_soft_overlap_times_agreement(probability, agreements, expected):
    mask = np.array([[[True, True, False, False]]])
    assert predicted_dice(mask, np.array([[probability]]), agreements) == pytest.approx(expected)


def test_an_empty_mask_is_as_sure_as_nothing_is_to_be_found():
    empty = np.zeros((1, 2, 2), bool)
    assert predicted_dice(empty, np.full((1, 2, 2), 0.01), [1.0]) == pytest.approx(0.99)
    assert predicted_dice(empty, np.full((1, 2, 2), 0.49), [1.0]) == pytest.approx(0.51)
    assert predicted_dice(empty, np.full((1, 2, 2), 0.49), [0.0]) == 0


def test_the_last_weights_answer_too_where_they_differ(tmp_path):
    best, last = bright_model("best", 0.5), bright_model("last", 0.6)
    checkpoint.save(tmp_path / "m", best.network.state_dict(), best.info)
    assert len(load_members(tmp_path / "m")) == 1
    checkpoint.save(tmp_path / "m" / "last", best.network.state_dict(), best.info)
    assert len(load_members(tmp_path / "m")) == 1
    checkpoint.save(tmp_path / "m" / "last", last.network.state_dict(), last.info)
    assert [member.info.name for member in load_members(tmp_path / "m")] == ["best", "last"]


@pytest.fixture
def model(tmp_path):
    made = bright_model("bright", 0.6)
    checkpoint.save(tmp_path / "bright", made.network.state_dict(), made.info)
    return tmp_path / "bright"


def test_predict_tells_what_it_expects_and_writes_the_same_masks(run, model, tmp_path):
    for name, contrast in (("clear", 6.0), ("faint", 1.5)):
        image = exam_with(contrast).phases["post1"].data[0]
        iio.imwrite(tmp_path / f"{name}.png", (127 + 15 * image).clip(0, 255).astype(np.uint8))
    words = ["predict", tmp_path / "clear.png", tmp_path / "faint.png", "--model", model]
    assert run(*words, "--output", tmp_path / "plain")[0] == 0
    sure = [*words, "--output", tmp_path / "sure", "--uncertainty"]
    code, stdout, _ = run(*sure, "--json")
    assert code == 0
    expected = {row["case_id"]: row["predicted_dice"] for row in json.loads(stdout)["cases"]}
    assert 0 <= expected["faint"] < expected["clear"] <= 1
    for name in expected:
        written = [(tmp_path / out / f"{name}.png").read_bytes() for out in ("plain", "sure")]
        assert written[0] == written[1]
    code, stdout, _ = run(*sure)
    assert stdout.index("faint") < stdout.index("clear")  # the least certain first


def test_the_cases_nobody_works_on_get_drafts_with_what_is_expected_of_them(run, model, tmp_path):
    data = Dataset.create(tmp_path / "data")
    for n in range(5):
        add_case(data, n, "v1", is_accepted=n == 0)
    data.flag("P01_v1", "motion")
    mine = drain(predict(checkpoint.load(model), data.exam("P02_v1"), device="cpu")).label_map
    data.save_draft("P02_v1", mine, model="other@1")
    data.autosave("P03_v1", mine)
    words = ["dataset", "draft", data.folder, "--model", model, "--device", "cpu"]
    code, stdout, _ = run(*words, "--json")
    assert code == 0
    listed = json.loads(stdout)["cases"]
    assert {row["case_id"] for row in listed} == {"P02_v1", "P04_v1"}
    for row in listed:
        record = Dataset.open(data.folder).case(row["case_id"])
        assert record.status == "drafted"
        assert record.predicted_dice == pytest.approx(row["predicted_dice"], abs=1e-4)
        assert record.draft.model == checkpoint.read_info(model).identity
    assert Dataset.open(data.folder).case("P03_v1").draft is None
    code, stdout, _ = run(*words)
    assert code == 0
    assert "No case is waiting for a draft" in stdout


def test_a_case_that_cannot_be_drafted_stops_no_other(run, model, tmp_path):
    data = Dataset.create(tmp_path / "data")
    for n in range(2):
        add_case(data, n, "v1", is_accepted=False)
    (data.folder / "imagesTr" / "P00_v1_0000.nii.gz").write_bytes(b"nothing")
    code, stdout, stderr = run(
        "dataset", "draft", data.folder, "--model", model, "--device", "cpu", "--json"
    )
    assert code == 1
    assert [row["case_id"] for row in json.loads(stdout)["cases"]] == ["P01_v1"]
    assert [row["case_id"] for row in json.loads(stdout)["failed"]] == ["P00_v1"]
    assert "1 cases failed: P00_v1" in stderr
