"""`predict` says of every mask which files it was made from, as JSON and as CSV."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_files import STUDY, write_exam, write_two_breasts
from hospital import bright_model

from napari_breastseg import formats
from napari_breastseg.cli._results import CSV_COLUMNS
from napari_breastseg.core.volume import Exam, Grid, LabelMap, Volume
from napari_breastseg.model import checkpoint

Run = Callable[..., tuple[int, str, str]]
PERSON = {"PatientName": "Zebrowska^Quirina", "PatientID": "QX99887"}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    made = bright_model("bright", 0.7)
    checkpoint.save(tmp_path / "model", made.network.state_dict(), made.info)
    return tmp_path / "model"


@pytest.fixture
def predict(run: Run, model: Path, tmp_path: Path) -> Callable[..., list[dict[str, Any]]]:
    """Rows of `predict --json`."""

    def call(*words: Any, code: int = 0) -> list[dict[str, Any]]:
        done, out, err = run(
            "predict", *words, "--output", tmp_path / "masks", "--model", model, "--json"
        )
        assert done == code, err
        rows: list[dict[str, Any]] = json.loads(out)["cases"]
        return rows

    return call


@pytest.fixture
def files(tmp_path: Path, sphere_exam: tuple[Exam, LabelMap]) -> Path:
    """A folder with a case set, a single file, and a file that cannot be read."""
    folder = tmp_path / "files"
    for number, volume in enumerate(sphere_exam[0].phases.values()):
        formats.write_volume(folder / f"P1_{number:04d}.nii.gz", volume)
    formats.write_volume(folder / "P2.nrrd", volume)
    (folder / "P3.nii").write_bytes(b"")
    return folder


def test_the_source_of_files_is_their_path_or_all_of_them(predict: Any, files: Path) -> None:
    rows = {row["case_id"]: row for row in predict(files, code=1)}
    assert rows["P1"]["source"] == [str(files / f"P1_000{n}.nii.gz") for n in range(2)]
    assert rows["P2"]["source"] == str(files / "P2.nrrd")
    assert (rows["P3"]["status"], rows["P3"]["source"]) == ("failed", str(files / "P3.nii"))


def test_the_source_is_absolute(predict: Any, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(files)
    (files.parent / "link").symlink_to(files)
    for given in (Path("P2.nrrd"), Path("../link/P2.nrrd")):
        assert [row["source"] for row in predict(given)] == [str((files / "P2.nrrd").resolve())]
    (row,) = predict("nothing.nii", code=2)
    assert row["source"] == str(files.resolve() / "nothing.nii")


def test_a_dicom_exam_is_read_from_its_folder(predict: Any, tmp_path: Path) -> None:
    for name in ("P1", "P2"):
        write_exam(tmp_path / "many" / name, StudyInstanceUID=f"{STUDY}.{name[1]}")
    both = [str(tmp_path / "many" / name) for name in ("P1", "P2")]
    assert [row["source"] for row in predict(tmp_path / "many")] == both
    assert [row["source"] for row in predict(*both)] == both
    write_two_breasts(tmp_path / "P3", 2, 1000)
    assert [row["source"] for row in predict(tmp_path / "P3")] == [str(tmp_path / "P3")] * 2


def test_a_path_that_names_the_patient_is_given_only_when_asked_for(
    predict: Any, tmp_path: Path
) -> None:
    plain, named = tmp_path / "P1", tmp_path / "Zebrowska" / "mr"
    for folder in (plain, named):
        write_exam(folder, StudyInstanceUID=f"{STUDY}.{len(str(folder))}", **PERSON)
    assert [row["source"] for row in predict(plain, named)] == [str(plain), "EXAM 2"]
    shown = predict(plain, named, "--show-paths")
    assert [row["source"] for row in shown] == [str(plain), str(named)]


def test_values_that_are_pseudonyms_by_their_own_account_name_nobody(
    predict: Any, tmp_path: Path
) -> None:
    pseudonym = {"PatientName": "Breast_153", "PatientID": "Breast_153"}
    write_exam(tmp_path / "Breast_153", PatientIdentityRemoved="YES", **pseudonym)
    assert [row["source"] for row in predict(tmp_path / "Breast_153")] == [
        str(tmp_path / "Breast_153")
    ]
    write_exam(tmp_path / "x" / "Breast_153", PatientIdentityRemoved="NO", **pseudonym)
    assert [row["source"] for row in predict(tmp_path / "x" / "Breast_153")] == ["EXAM 1"]


def test_csv_has_a_row_for_each_case(run: Run, model: Path, files: Path, tmp_path: Path) -> None:
    table = tmp_path / "tables" / "cases.csv"
    words = ("predict", files, "--output", tmp_path / "masks", "--model", model)
    code, out, err = run(*words, "--csv", table, "--json")
    assert code == 1, err
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == CSV_COLUMNS
    said = json.loads(out)["cases"]
    assert [row["case_id"] for row in rows] == [row["case_id"] for row in said]
    first, second = (next(row for row in rows if row["case_id"] == n) for n in ("P1", "P3"))
    assert first["source"] == "; ".join(str(files / f"P1_000{n}.nii.gz") for n in range(2))
    assert Path(first["mask"]).is_file()
    assert float(first["tumor_ml"]) == pytest.approx(said[0]["tumor_ml"])
    assert first["spacing_mm"].startswith("3.0; 0.7")
    assert (second["status"], second["tumor_ml"]) == ("failed", "")
    assert second["error"].startswith("Expected")


def test_every_finding_is_told_with_its_place_and_size(
    run: Run, model: Path, tmp_path: Path
) -> None:
    """Two balls in a synthetic patient: as JSON in the case's row, as CSV a line each."""
    grid = Grid((10, 60, 60), np.diag([3.0, 1.0, 1.0, 1.0]))
    z, y, x = np.indices(grid.shape)
    balls = [(5, 20, 20, 8), (4, 42, 42, 5)]
    image = np.random.default_rng(0).normal(100, 3, grid.shape)
    for cz, cy, cx, radius in balls:
        image[9 * (z - cz) ** 2 + (y - cy) ** 2 + (x - cx) ** 2 <= radius**2] = 300
    formats.write_volume(tmp_path / "P7.nii.gz", Volume(image.astype(np.int16), grid))
    table = tmp_path / "findings.csv"
    words = ("predict", tmp_path / "P7.nii.gz", "--output", tmp_path / "o", "--model", model)
    code, out, err = run(*words, "--csv", table, "--json")
    assert code == 0, err
    (row,) = json.loads(out)["cases"]
    first, second = row["findings"]
    assert [first["finding"], second["finding"]] == [1, 2]
    assert first["center_voxel"] == pytest.approx([5, 20, 20], abs=0.2)
    assert first["volume_ml"] > second["volume_ml"] > 0.3
    assert first["diameter_mm"] == pytest.approx(16, abs=1)
    assert first["volume_ml"] + second["volume_ml"] == pytest.approx(row["tumor_ml"], abs=0.001)
    with table.open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["finding"] for line in lines] == ["1", "2"]
    assert {line["case_id"] for line in lines} == {"P7"}
    assert float(lines[1]["volume_ml"]) == pytest.approx(second["volume_ml"])
    assert {line["source"] for line in lines} == {str(tmp_path / "P7.nii.gz")}


def test_csv_takes_the_place_of_no_exam(run: Run, model: Path, files: Path, tmp_path: Path) -> None:
    kept = (files / "P2.nrrd").read_bytes()
    words = ("predict", files / "P2.nrrd", "--output", tmp_path / "masks", "--model", model)
    code, _, err = run(*words, "--csv", files / "P2.nrrd")
    assert code == 2
    assert "Expected  a --csv or --table file other than the exams" in err
    assert (files / "P2.nrrd").read_bytes() == kept


def test_report_names_the_exam_it_measured(run: Run, tmp_path: Path) -> None:
    folder = write_exam(tmp_path / "Zebrowska", **PERSON)
    exam = formats.open_exam(folder)
    drawn = np.zeros(exam.grid.shape, np.uint8)
    drawn[1, 2:4, 1:3] = 1
    mask = tmp_path / "mask.nii.gz"
    formats.write_label_map(mask, LabelMap(drawn, exam.grid))
    for flags, source in (((), "EXAM"), (("--show-paths",), str(folder))):
        code, out, err = run("report", folder, "--mask", mask, "--json", *flags)
        assert code == 0, err
        assert json.loads(out)["source"] == source
    (tmp_path / "prior.json").write_text(out)
    code, _, err = run("report", folder, "--mask", mask, "--prior", tmp_path / "prior.json")
    assert code == 0, err


def test_report_tells_that_a_mask_covers_a_part_of_the_exam(run: Run, tmp_path: Path) -> None:
    folder = write_exam(tmp_path / "P1")
    grid = formats.open_exam(folder).grid
    affine = np.array(grid.affine)
    affine[:, 3] = affine @ (1, 2, 1, 1)
    part = Grid((1, 2, 2), affine)
    formats.write_label_map(tmp_path / "mask.nii.gz", LabelMap(np.ones(part.shape, np.uint8), part))
    code, out, err = run("report", folder, "--mask", tmp_path / "mask.nii.gz", "--json")
    assert code == 0, err
    assert json.loads(out)["total"]["volume_ml"] == pytest.approx(4 * 2 * 0.75 * 0.5 / 1000)
    assert err.count("note: the mask mask.nii.gz covers slice 2 of 4") == 1
