"""Evaluation of many cases with a stand-in for the model."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass

import numpy as np
import pytest

from napari_breastseg.core.errors import InputError, StorageError
from napari_breastseg.core.progress import Progress, drain
from napari_breastseg.core.volume import Exam, Grid, LabelMap, Volume
from napari_breastseg.scoring.evaluation import evaluate


@dataclass(frozen=True)
class FakePrediction:
    probability: Volume | None
    label_map: LabelMap


def exam_of(case_id, grid):
    grey = np.random.default_rng(len(case_id)).normal(100, 20, grid.shape).astype(np.float32)
    return Exam(case_id, {"pre": Volume(grey, grid), "post1": Volume(grey + 5, grid)})


def square(grid, z, y, x, size=6):
    mask = np.zeros(grid.shape, np.uint8)
    mask[z, y : y + size, x : x + size] = 1
    return LabelMap(mask, grid)


def shifted(by, with_probability=True):
    """A model that finds the truth `by` voxels beside where it is."""

    def predict_from(truths):
        def predict(exam):
            mask = np.roll(truths[exam.case_id].tumor, by, axis=2)
            probability = Volume(np.where(mask, 0.9, 0.1).astype(np.float32), exam.grid)
            label_map = LabelMap(mask.astype(np.uint8), exam.grid)
            return FakePrediction(probability if with_probability else None, label_map)

        return predict

    return predict_from


@pytest.fixture
def cases(oblique_grid):
    """Two visits of P02, one of P01 and one of P10 without tumor, in no order."""
    truths = {
        "P02_v2": square(oblique_grid, 3, 10, 10),
        "P01_v1": square(oblique_grid, 5, 20, 12),
        "P10_v1": LabelMap(np.zeros(oblique_grid.shape, np.uint8), oblique_grid),
        "P02_v1": square(oblique_grid, 7, 30, 20, size=8),
    }
    return [(name, name[:3], exam_of(name, oblique_grid), truth) for name, truth in truths.items()]


def truths_of(cases):
    return {case_id: truth for case_id, _, _, truth in cases}


def test_rows_come_in_the_order_of_ids_whatever_order_the_cases_came_in(cases):
    model = shifted(2)(truths_of(cases))
    result = drain(evaluate(cases, model))
    again = drain(evaluate(cases[::-1], model))
    assert [row.case_id for row in result.cases] == ["P01_v1", "P02_v1", "P02_v2", "P10_v1"]
    assert [row.patient_id for row in result.patients] == ["P01", "P02", "P10"]
    assert result.to_json() == again.to_json()


def test_a_patient_with_two_cases_weighs_as_much_as_one_with_one(cases):
    result = drain(evaluate(cases, shifted(2)(truths_of(cases))))
    dice = {row.case_id: row.dice for row in result.cases}
    assert dice == pytest.approx({"P01_v1": 4 / 6, "P02_v1": 6 / 8, "P02_v2": 4 / 6, "P10_v1": 1.0})
    of_patients = {"P01": 4 / 6, "P02": (6 / 8 + 4 / 6) / 2, "P10": 1.0}
    assert result.patient_values() == pytest.approx(of_patients)
    assert result.summary["dice_mean"] == pytest.approx(sum(of_patients.values()) / 3)
    assert result.summary["dice_median"] == pytest.approx(of_patients["P02"])
    assert result.summary["dice_case_mean"] == pytest.approx(sum(dice.values()) / 4)
    low, high = result.summary["dice_ci95"]
    assert low == pytest.approx(4 / 6)
    assert high == pytest.approx(1.0)
    assert result.summary["hd95_mm_mean"] == pytest.approx(1.4)
    assert result.summary["hd95_mm_n"] == 2
    assert result.patients[1].cases == 2


def test_pixels_are_pooled_over_all_cases(cases):
    summary = drain(evaluate(cases, shifted(2)(truths_of(cases)))).summary
    tp, fp, fn = 24 + 24 + 48, 12 + 12 + 16, 12 + 12 + 16
    tn = 4 * 12 * 48 * 40 - tp - fp - fn
    assert summary["pixel_confusion"] == {
        "true_positive_px": tp,
        "false_positive_px": fp,
        "false_negative_px": fn,
        "true_negative_px": tn,
    }
    assert summary["pixel_f1"] == pytest.approx(2 * tp / (2 * tp + fp + fn))
    assert summary["pixel_sensitivity"] == pytest.approx(tp / (tp + fn))
    assert summary["pixel_specificity"] == pytest.approx(tn / (tn + fp))
    assert summary["pixel_precision"] == pytest.approx(tp / (tp + fp))
    assert summary["pixel_accuracy"] == pytest.approx((tp + tn) / (tp + tn + fp + fn))
    # Two values of probability: one corner in the ROC curve.
    assert summary["roc_auc"] == pytest.approx((tp / (tp + fn) + tn / (tn + fp)) / 2)
    assert (summary["lesions"], summary["lesions_found"]) == (3, 3)
    assert summary["false_positives_per_case"] == 0


def test_empty_masks_are_counted_and_said(cases):
    empty = np.zeros(cases[0][3].data.shape, np.uint8)

    def predict(exam):
        return FakePrediction(None, LabelMap(empty, exam.grid))

    summary = drain(evaluate(cases, predict)).summary
    assert (summary["n_both_empty"], summary["n_prediction_empty"]) == (1, 3)
    assert summary["dice_mean"] == pytest.approx(1 / 3)
    assert summary["hd95_mm_mean"] is None
    assert summary["hd95_mm_n"] == 0
    assert summary["pixel_precision"] is None
    assert summary["pixel_sensitivity"] == 0
    assert (
        "1 case without tumor in reference and prediction: counted as Dice 1" in summary["notes"][0]
    )
    assert "3 cases with one of the two masks empty: counted as Dice 0" in summary["notes"][1]


def test_slices_nobody_looked_at_are_left_out(oblique_grid):
    truth = square(oblique_grid, 5, 20, 12)
    values = truth.data.copy()
    values[8:] = 2
    prediction = truth.data.copy()
    prediction[9, :20, :20] = 1

    def predict(exam):
        probability = Volume(prediction.astype(np.float32), exam.grid)
        return FakePrediction(probability, LabelMap(prediction, exam.grid))

    case = ("P01_v1", "P01", exam_of("P01_v1", oblique_grid), LabelMap(values, oblique_grid))
    result = drain(evaluate([case], predict))
    assert result.cases[0].dice == 1.0
    assert result.cases[0].false_positives == 0
    assert result.summary["roc_auc"] == 1.0
    assert sum(result.summary["pixel_confusion"].values()) == 8 * 48 * 40
    assert result.summary["dice_ci95"] is None  # one patient tells nothing of the spread


def test_the_folder_holds_tables_curves_and_a_picture_per_case(cases, tmp_path):
    result = drain(evaluate(cases, shifted(2)(truths_of(cases)), output=tmp_path / "out"))
    names = {path.relative_to(tmp_path / "out").as_posix() for path in tmp_path.rglob("*.*")}
    assert names == {
        "cases.csv",
        "patients.csv",
        "curves.png",
        "reliability.png",
        "evaluation.json",
        *(f"pictures/{case_id}.png" for case_id, *_ in cases),
    }
    saved = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert saved == result.to_json()
    assert set(saved) == {"cases", "patients", "summary"}
    with (tmp_path / "out" / "cases.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["case_id"] for row in rows] == [row.case_id for row in result.cases]
    assert float(rows[0]["dice"]) == result.cases[0].dice
    assert rows[0]["hd95_px"] == ""
    assert float(rows[0]["hd95_mm"]) == pytest.approx(1.4)
    with (tmp_path / "out" / "patients.csv").open(newline="") as file:
        assert [row["patient_id"] for row in csv.DictReader(file)] == ["P01", "P02", "P10"]


def test_the_json_holds_no_nan(cases):
    result = drain(evaluate(cases, shifted(30, with_probability=False)(truths_of(cases))))
    assert json.loads(json.dumps(result.to_json(), allow_nan=False)) == result.to_json()
    assert result.summary["roc_auc"] is None
    assert result.curves is None


def test_case_ids_that_are_no_file_names_stay_in_the_folder(cases, tmp_path):
    renamed = [
        ("../../" + "x" * 300, *cases[0][1:]),
        ("a/b", *cases[1][1:]),
        ("a_b", *cases[3][1:]),
    ]
    drain(evaluate(renamed, shifted(1)(truths_of(cases)), output=tmp_path / "out"))
    assert len(list((tmp_path / "out" / "pictures").iterdir())) == 3
    assert {path.name for path in tmp_path.iterdir()} == {"out"}


def test_a_trained_on_case_is_marked_in_table_summary_and_picture(cases, tmp_path):
    predict = shifted(2)(truths_of(cases))
    plain = drain(evaluate(cases, predict, output=tmp_path / "plain"))
    result = drain(evaluate(cases, predict, output=tmp_path / "told", trained_on={"P01_v1"}))
    assert plain.summary["trained_on"] == []
    assert result.summary["trained_on"] == ["P01_v1"]
    assert "1 case of patients the model was trained on" in result.summary["notes"][0]
    assert result.describe() == plain.describe() + ", 1 of them trained on"
    rows = list(csv.DictReader((tmp_path / "told" / "cases.csv").read_text().splitlines()))
    assert [row["is_trained_on"] for row in rows] == ["True", "False", "False", "False"]
    same = [
        (tmp_path / "plain" / "pictures" / f"{case_id}.png").read_bytes()
        == (tmp_path / "told" / "pictures" / f"{case_id}.png").read_bytes()
        for case_id in ("P01_v1", "P02_v1")
    ]
    assert same == [False, True]


def test_progress_counts_cases_and_carries_dice(cases):
    steps = []
    drain(evaluate(cases, shifted(0)(truths_of(cases))), steps.append)
    assert [(step.done, step.total) for step in steps] == [(i, 4) for i in range(5)]
    assert steps[1].metrics == {"dice": 1.0}
    steps.clear()
    drain(evaluate((case for case in cases), shifted(0)(truths_of(cases))), steps.append)
    assert steps[-1].total == 0


def test_a_prediction_that_is_a_job_is_driven_and_left_with_the_evaluation(cases):
    left = []

    def predict(exam):
        try:
            yield Progress("Segmenting", 1, 2, message="going on with the CPU")
            yield Progress("Segmenting", 2, 2)
            return shifted(0)(truths_of(cases))(exam)
        finally:
            left.append(exam.case_id)

    steps = []
    result = drain(evaluate(cases[:1], predict), steps.append)
    assert result.cases[0].dice == 1.0
    assert [step.message for step in steps] == ["", "going on with the CPU", "", ""]
    assert {step.stage for step in steps} == {"Evaluating"}

    left.clear()
    job = evaluate(cases, predict)
    next(job), next(job)
    job.close()
    assert left == ["P02_v2"]


def test_a_case_that_cannot_be_used_is_named_and_stops_no_other(cases, tmp_path):
    fine = shifted(0)(truths_of(cases))

    def predict(exam):
        exam.require_phases(["post2"] if exam.case_id == "P02_v1" else ["post1"], "model m")
        return fine(exam)

    other = Grid((12, 48, 41))
    cases[1] = (*cases[1][:3], LabelMap(np.zeros(other.shape, np.uint8), other))
    messages = []
    result = drain(
        evaluate(cases, predict, output=tmp_path), lambda step: messages.append(step.message)
    )
    assert result.failed == ("P01_v1", "P02_v1")
    assert [row.case_id for row in result.cases] == ["P02_v2", "P10_v1"]
    assert "12 x 48 x 41" in result.summary["failed"][0]["message"]
    assert "phase post2 for model m" in result.summary["failed"][1]["message"]
    assert sum("P02_v1: Expected phase post2 for model m" in message for message in messages) == 1
    assert "2 cases not scored" in result.summary["notes"][-1]


def test_no_cases_are_refused():
    with pytest.raises(
        InputError, match=r"at least one case to score; found none. Accept or import"
    ):
        drain(evaluate([], lambda exam: None))


def test_a_run_without_one_scored_case_says_the_first_reason(cases):
    def predict(exam):
        exam.require_phases(["post9"], "model m")

    with pytest.raises(
        InputError, match="all 4 failed, the first with 'Expected phase post9 for model m"
    ):
        drain(evaluate(cases, predict))


def test_a_case_given_twice_is_refused(cases):
    with pytest.raises(InputError, match="every case once; found P02_v2 twice"):
        drain(evaluate([cases[0], cases[0]], shifted(0)(truths_of(cases))))


def test_a_folder_that_cannot_be_written_is_said_before_the_first_prediction(cases, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    called = []
    with pytest.raises(StorageError, match="to be writable"):
        drain(evaluate(cases, called.append, output=tmp_path / "file" / "out"))
    assert called == []


def test_a_line_to_read_says_dice_interval_and_numbers(cases):
    result = drain(evaluate(cases, shifted(0)(truths_of(cases))))
    assert (
        result.describe()
        == "Dice 1.000 (95 % interval 1.000 to 1.000), pixel F1 1.000, 3 patients, 4 cases"
    )


def test_clinic_slices_are_scored_in_pixels(test_data, tmp_path):
    from napari_breastseg.formats import open_exam, read_label_map

    folder = test_data / "clinic_slices"
    with (folder / "cases.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))[:4]
    cases = []
    for row in rows:
        exam = open_exam(folder / row["image"])
        reference = read_label_map(folder / row["mask"], exam=exam)
        cases.append((row["case_id"], row["patient_id"], exam, reference))
    truths = {exam.case_id: reference for _, _, exam, reference in cases}
    result = drain(evaluate(cases, shifted(1)(truths), output=tmp_path))
    assert result.summary["dice_mean"] > 0.8
    assert result.summary["hd95_px_mean"] == pytest.approx(1.0, abs=0.5)
    assert result.summary["hd95_mm_mean"] is None
    assert len(list((tmp_path / "pictures").glob("*.png"))) == 4
